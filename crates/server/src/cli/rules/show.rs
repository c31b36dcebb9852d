//! `sluice rules check`, `build`, `explain` and `table`: one rule set, looked at.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use sluice_gate::rules::{Problem, explain};

use super::source::{self, Read};
use crate::cli::reach::answer;

/// Check a rule set: its texts, its types, and that it permits none of the cases that it must never permit.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A folder with rules.toml and policies.cedar or table.csv, or a built file.
    rules: PathBuf,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match checked(&self.rules)? {
            Ok(read) => tell(self.json, &read, None),
            Err(problems) => wrong(self.json, &problems),
        }
    }
}

/// Build a rule set into the one file that is proposed; its name is the SHA-256 of the file.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// A folder with rules.toml and policies.cedar or table.csv.
    rules: PathBuf,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match checked(&self.rules)? {
            Ok(read) => {
                std::fs::write(&self.out, read.set.encode())
                    .with_context(|| format!("cannot write {}", self.out.display()))?;
                tell(self.json, &read, Some(self.out.display().to_string()))
            }
            Err(problems) => wrong(self.json, &problems),
        }
    }
}

/// Say each rule as a sentence.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A folder with rules.toml and policies.cedar or table.csv, or a built file.
    rules: PathBuf,
    /// Print the sentences as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let read = source::right(&self.rules)?;
        let rules = explain(&read.compiled);
        if self.json {
            answer(true, &rules, &[])?;
            return Ok(ExitCode::SUCCESS);
        }
        for rule in rules {
            let told = match rule.claimant {
                Some(code) => format!("{}, told to the claimant as {code}", rule.reason),
                None => rule.reason,
            };
            println!("{}: {} [{told}]", rule.id, rule.sentence);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Show the Cedar policies that a decision table becomes.
#[derive(Debug, Args)]
pub(super) struct Table {
    /// A folder with rules.toml and table.csv, or a built file.
    rules: PathBuf,
    /// Print them as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Table {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let read = source::right(&self.rules)?;
        match self.json {
            true => answer(true, &json!({ "policies": read.set.policies }), &[])?,
            false => println!("{}", read.set.policies.trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn checked(path: &std::path::Path) -> anyhow::Result<Result<Read, Vec<Problem>>> {
    Ok(match source::read(path)? {
        Err(problems) => Err(problems.0),
        Ok(read) => match source::never_permitted(&read) {
            failures if failures.is_empty() => Ok(read),
            failures => Err(failures),
        },
    })
}

fn tell(json: bool, read: &Read, file: Option<String>) -> anyhow::Result<ExitCode> {
    let manifest = read.compiled.manifest();
    let (name, policies) = (read.compiled.hash().to_string(), read.compiled.policy_ids().count());
    let value = json!({
        "rules": name, "owner": manifest.owner, "lineage": manifest.lineage, "version": manifest.version,
        "policies": policies, "never": read.set.never.len(), "file": file, "problems": [],
    });
    let mut facts = vec![
        ("rules", name),
        ("owner", manifest.owner.to_string()),
        ("lineage", format!("{}, version {}", manifest.lineage, manifest.version)),
        ("policies", policies.to_string()),
        ("never", format!("{} cases, none permitted", read.set.never.len())),
    ];
    facts.extend(file.map(|file| ("file", file)));
    answer(json, &value, &facts)?;
    Ok(ExitCode::SUCCESS)
}

fn wrong(json: bool, problems: &[Problem]) -> anyhow::Result<ExitCode> {
    for problem in problems {
        eprintln!("{problem}");
    }
    if json {
        answer(true, &json!({ "problems": problems }), &[])?;
    }
    Ok(ExitCode::FAILURE)
}
