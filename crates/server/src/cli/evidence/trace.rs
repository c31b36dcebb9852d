//! `sluice trace`: from a payment back to the intention.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use sluice_core::ids::CampaignId;
use sluice_engine::evidence::trace::{Step, Target, Trace as Traced, trace};

use super::SourceArgs;
use crate::cli::block_on;
use crate::cli::time::shown;

/// Tell why a payment was right: transaction, batch, claim, rules, attestations, who ordered it under which mandate.
#[derive(Debug, Args)]
pub struct Trace {
    /// A transaction hash, a claim's id, or ROUND/INDEX.
    what: Target,
    /// The campaign, for ROUND/INDEX where the log has several.
    #[arg(long)]
    campaign: Option<CampaignId>,
    #[command(flatten)]
    source: SourceArgs,
    /// Leave out what is about people: ids of persons, reasons, addresses of what was not paid.
    #[arg(long)]
    public: bool,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Trace {
    /// Prints the story.
    ///
    /// # Errors
    /// When the log cannot be read or does not know it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let target = match self.what {
            Target::Entitlement(None, id) => Target::Entitlement(self.campaign, id),
            other => other,
        };
        let told = block_on(async {
            let (source, steps) = self.source.open().await?;
            let told = trace(&source, target).await;
            steps.done();
            Ok(told?)
        })?;
        let told = if self.public { told.without_personal_data() } else { told };
        let text = if self.json { serde_json::to_string(&told)? + "\n" } else { words(&told) };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The story as text, newest first.
pub(crate) fn words(trace: &Traced) -> String {
    let mut text = format!("Campaign {} ({}), as of position {}\n", trace.campaign, trace.name, trace.as_of);
    for traced in &trace.entitlements {
        text += &format!("  {}/{}", traced.id.round, traced.id.index);
        if let (Some(recipient), Some(amount)) = (traced.recipient, traced.amount) {
            text += &format!(": {amount} base units to {recipient}");
        }
        for hash in &traced.paid_by {
            text += &format!(", paid by {hash}");
        }
        text.push('\n');
    }
    for step in &trace.steps {
        text += &format!("\n{:>8}  {}  {}\n", step.seq, shown(step.recorded_at), step.kind);
        for line in details(step) {
            text += &format!("          {line}\n");
        }
    }
    text
}

fn details(step: &Step) -> Vec<String> {
    let mut lines = vec![step.says.clone()];
    let mut line = |text: String| lines.push(text);
    if let Some(batch) = step.batch {
        line(format!("batch {batch}"));
    }
    if let Some(hash) = step.transaction {
        line(format!("transaction {hash}"));
    }
    if let Some(block) = step.block {
        line(format!("block {} {}", block.number, block.hash));
    }
    if let Some(demand) = step.demand {
        line(format!("demand {demand}"));
    }
    if let Some(signed) = step.signed_by {
        line(format!("signed: {signed}"));
    }
    if let Some(valid_at) = step.valid_at {
        line(format!("valid at {}, recorded at {}", shown(valid_at), shown(step.recorded_at)));
    }
    if let Some(reason) = step.reason.as_ref().filter(|reason| !reason.is_empty()) {
        line(format!("reason: {reason}"));
    }
    for who in &step.by {
        line(format!("by {} {} with key {}", who.authority, who.name, who.signer));
    }
    if let Some(mandate) = &step.mandate {
        line(format!(
            "under mandate {} of {}, granted at {}",
            mandate.mandate, mandate.holder, mandate.granted
        ));
        mandate.says.iter().for_each(|rule| line(format!("  {}: {}", rule.id, rule.sentence)));
    }
    if let Some(delegation) = &step.delegation {
        let actions = delegation.actions.join(", ");
        line(format!("by delegation {} of {} for {actions}", delegation.delegation, delegation.authority));
    }
    for rules in &step.rule_sets {
        line(format!("rule set {} {} ({}) of {}", rules.lineage, rules.version, rules.rules, rules.owner));
        for rule in &rules.says {
            let decided = if step.policies.contains(&rule.id) { " (decided)" } else { "" };
            line(format!("  {}{decided}: {}", rule.id, rule.sentence));
        }
    }
    if !step.policies.is_empty() {
        line(format!("deciding policies: {}", step.policies.join(", ")));
    }
    if let Some(cause) = &step.cause {
        line(format!("refused for {}: {}", cause.code, cause.sentence));
    }
    step.attestations.iter().for_each(|uid| line(format!("attestation {uid}")));
    if let Some(person) = step.person {
        line(format!("person {person}"));
    }
    if let (Some(inputs), Some(facts)) = (step.inputs, step.facts) {
        line(format!("facts {inputs} ({facts})"));
    }
    if let Some(block) = step.looked_at {
        line(format!("looked up at block {} {}", block.number, block.hash));
    }
    lines
}
