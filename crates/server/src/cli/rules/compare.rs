//! `sluice rules diff`: what changes between two rule sets, and whose outcome.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sluice_gate::rules::{Diff as Changes, OutcomeDiff, diff, diff_outcomes};

use super::facts::Claims;
use super::source;
use crate::cli::reach::answer;

/// Compare two rule sets: their rules and, with claims to try, whose outcome changes.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The rule set as it was: a folder or a built file.
    before: PathBuf,
    /// The rule set as it is to be.
    after: PathBuf,
    /// Claims to try under both, one in each line as JSON (see sample-data/rules/claims.ndjson).
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (before, after) = (source::right(&self.before)?, source::right(&self.after)?);
        let changes = diff(&before.compiled, &after.compiled);
        let mut outcomes = None;
        if let Some(path) = &self.claims {
            let mut claims = Claims::open(path)?;
            outcomes = Some(diff_outcomes(&before.compiled, &after.compiled, &mut claims));
            claims.end()?;
        }
        if self.json {
            answer(true, &json!({ "rules": changes, "outcomes": outcomes }), &[])?;
            return Ok(ExitCode::SUCCESS);
        }
        rules(&changes);
        if let Some(outcomes) = &outcomes {
            people(outcomes);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rules(changes: &Changes) {
    if changes.is_empty() {
        println!("no rule changes");
    }
    for line in &changes.manifest {
        println!("~ {line}");
    }
    for policy in &changes.added {
        println!("+ {}: {}", policy.id, policy.sentence);
    }
    for policy in &changes.removed {
        println!("- {}: {}", policy.id, policy.sentence);
    }
    for policy in &changes.changed {
        println!("~ {}: {}", policy.before.id, policy.before.sentence);
        println!("  now: {}", policy.after.sentence);
    }
}

fn people(outcomes: &OutcomeDiff) {
    let counts = [
        ("evaluated", outcomes.evaluated),
        ("now permitted", outcomes.now_permitted),
        ("now refused", outcomes.now_refused),
        ("other reason", outcomes.other_reason),
    ];
    for (name, count) in counts {
        println!("{name:13}  {} claims, {} base units", count.claims, count.total);
    }
    for change in &outcomes.examples {
        let code = |code: &Option<String>| code.clone().unwrap_or_else(|| "permitted".to_owned());
        let because = change.sentence.as_ref().map(|sentence| format!(" ({sentence})")).unwrap_or_default();
        let (round, index) = (change.round, change.index);
        println!(
            "round {round}, index {index}: {} -> {}{because}",
            code(&change.before),
            code(&change.after)
        );
    }
}
