//! The story's last page: who met whom, who was first and why; then what was compared.

use std::time::Duration;

use serde_json::{Value, json};

use super::checks::Check;
use super::explain::Row;

/// Everything that is told in the end.
pub(super) struct Told {
    pub(super) rows: Vec<Row>,
    pub(super) checks: Vec<Check>,
    /// Answers that clients got.
    pub(super) answers: usize,
    /// Readings that both nodes answered at one position.
    pub(super) across_nodes: u64,
    /// Of them, those at the end.
    pub(super) last_pairs: usize,
    /// Claims accepted under the old rules and decided under the new ones.
    pub(super) asked_again: usize,
    /// Entries of the log.
    pub(super) entries: u64,
    pub(super) paid: usize,
    pub(super) held: usize,
}

/// A progress line. On stderr, so that the result stands alone on stdout.
pub(super) fn tell(what: &str) {
    eprintln!("scenario: {what}");
}

impl Told {
    /// Whether every check is good.
    pub(super) fn is_good(&self) -> bool {
        self.checks.iter().all(Check::is_good)
    }

    /// Prints races and checks.
    pub(super) fn print(&self, all: bool, took: Duration) {
        let mut race = "";
        for row in self.rows.iter().filter(|row| all || row.shown) {
            if row.race != race {
                race = row.race;
                println!("\n{race}");
            }
            println!("  {:<18} {} | {}", row.about, row.first, row.second);
            println!("  {:<18} {}: {} [{}]", "", row.won, row.why, row.money);
        }
        println!("\nwho won");
        for (race, won) in self.winners() {
            println!("  {race:<42} {won}");
        }
        let hidden = self.rows.iter().filter(|row| !row.shown).count();
        if !all && hidden > 0 {
            println!("  ({hidden} more races of these kinds are shown with --all)");
        }
        println!("\nchecks");
        for check in &self.checks {
            let good = if check.is_good() { "good" } else { "WRONG" };
            println!("  {good:<6}{:>8} compared  {}", check.compared, check.name);
            for wrong in &check.wrong {
                println!("        {wrong}");
            }
        }
        println!(
            "\n{} entries, {} answers; {} times both nodes answered the same question at one position, {} of them at the end",
            self.entries, self.answers, self.across_nodes, self.last_pairs
        );
        println!(
            "{} payments are final, {} entitlements held; {} claims were accepted under the old rules and decided under the new",
            self.paid, self.held, self.asked_again
        );
        println!("{}.{} s", took.as_secs(), took.subsec_millis() / 100);
    }

    /// Of each kind of race who won how often.
    fn winners(&self) -> Vec<(&'static str, String)> {
        let mut kinds: Vec<(&'static str, Vec<(String, u32)>)> = Vec::new();
        for row in &self.rows {
            if kinds.last().is_none_or(|(race, _)| *race != row.race) {
                kinds.push((row.race, Vec::new()));
            }
            let Some((_, counts)) = kinds.last_mut() else { continue };
            match counts.iter_mut().find(|(won, _)| *won == row.won) {
                Some((_, count)) => *count += 1,
                None => counts.push((row.won.clone(), 1)),
            }
        }
        let words = |counts: Vec<(String, u32)>| {
            counts.into_iter().map(|(won, count)| format!("{won} {count}")).collect::<Vec<_>>().join(", ")
        };
        kinds.into_iter().map(|(race, counts)| (race, words(counts))).collect()
    }

    /// The same for machines.
    pub(super) fn json(&self, seed: u64) -> Value {
        let check = |check: &Check| json!({ "check": check.name, "compared": check.compared, "wrong": check.wrong, "good": check.is_good() });
        json!({
            "seed": seed,
            "good": self.is_good(),
            "races": self.rows,
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "answers": self.answers,
            "both_nodes_at_one_position": self.across_nodes,
            "accepted_before_decided_after_the_rules": self.asked_again,
            "entries": self.entries,
            "paid": self.paid,
            "held": self.held,
        })
    }
}
