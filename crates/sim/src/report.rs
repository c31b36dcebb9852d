//! The table at the end.

use std::fmt::Display;

/// What the auditor found, and what was done to find it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<(String, String)>,
    checks: Vec<(String, u64, Vec<String>)>,
}

/// Findings shown of each check; all are counted.
const SHOWN: usize = 10;

impl Report {
    pub(crate) fn figure(&mut self, name: impl Into<String>, value: impl Display) {
        self.figures.push((name.into(), value.to_string()));
    }

    /// A check over `looked` things, with what it found wrong.
    pub(crate) fn check(&mut self, name: impl Into<String>, looked: usize, wrong: Vec<String>) {
        self.checks.push((name.into(), looked as u64, wrong));
    }

    pub(crate) fn is_right(&self) -> bool {
        self.checks.iter().all(|(_, _, wrong)| wrong.is_empty())
    }

    pub(crate) fn print(&self) {
        println!();
        for (name, value) in &self.figures {
            println!("  {name:<44} {value}");
        }
        println!("\n  {:<60} {:>8}  wrong", "checked", "things");
        for (name, looked, wrong) in &self.checks {
            println!("  {name:<60} {looked:>8}  {}", wrong.len());
            for what in wrong.iter().take(SHOWN) {
                println!("      {what}");
            }
        }
    }
}
