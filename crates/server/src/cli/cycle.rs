//! `sluice cycle next`: last month's list and what changed become the next list. Nothing is published: the list is built
//! and published as any other, by the commands that are printed.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
use sluice_core::amount::{Amount, Total};

use super::reach::answer;

mod tables;

use tables::{Change, Key};

/// Make the next list of a programme that pays again and again.
#[derive(Debug, Args)]
pub struct Cycle {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Next(Next),
}

/// Apply changes to last month's list: who is new, who is gone, whose amount changes, and who is still owed.
#[derive(Debug, Args)]
struct Next {
    /// Last month's list: CSV with the columns address and amount, and person where persons are named.
    last: PathBuf,
    /// What changed: CSV with the columns change (add, remove, change), address, amount, and person where the list names
    /// persons. A removal's amount may be empty.
    changes: PathBuf,
    /// The last round's states, as `sluice campaign report --out` wrote them: whoever is listed there and was neither paid
    /// nor annulled is in arrears.
    #[arg(long, value_name = "FILE", requires = "round")]
    report: Option<PathBuf>,
    /// With --report: the last round.
    #[arg(long, requires = "report")]
    round: Option<u64>,
    /// With --report: add what is in arrears to the next amounts. Only for a round whose claims are over, or for an
    /// exchange of rounds (`campaign publish --supersedes`): else it could be paid twice.
    #[arg(long, requires = "report")]
    carry_arrears: bool,
    /// Decimals of the token.
    #[arg(long, default_value_t = 18)]
    decimals: u8,
    /// The next list.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the summary as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

/// What became of the list.
#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    new: Sum,
    gone: Sum,
    changed: Sum,
    same: Sum,
    arrears: Sum,
    carried: bool,
    last: Sum,
    next: Sum,
}

/// A number of entitlements and what they add up to, base units.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sum {
    entitlements: u64,
    total: Total,
}

impl Sum {
    fn add(&mut self, amount: Amount) -> anyhow::Result<()> {
        self.entitlements += 1;
        self.total = self.total.checked_add(amount).context("the total exceeds 2^128 base units")?;
        Ok(())
    }

    fn words(self, decimals: u8) -> String {
        format!("{}, {} tokens", self.entitlements, self.total.to_decimal_string(decimals))
    }
}

impl Cycle {
    /// Does it.
    ///
    /// # Errors
    /// Naming the file and row that is wrong.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Next(next) => next.run(),
        }
    }
}

impl Next {
    fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(
            self.out != self.last,
            "--out {} is last month's list; name another file",
            self.out.display()
        );
        let (mut list, persons) = tables::list(&self.last, self.decimals)?;
        let mut summary = Summary::default();
        for amount in list.values() {
            summary.last.add(*amount)?;
        }
        self.apply(&mut list, persons, &mut summary)?;
        if let (Some(report), Some(round)) = (&self.report, self.round) {
            self.arrears(report, round, &mut list, &mut summary)?;
        }
        ensure!(!list.is_empty(), "nobody is left in the list; there is no round without entitlements");
        for amount in list.values() {
            summary.next.add(*amount)?;
        }
        self.write(&list, persons)?;
        self.tell(&summary, persons)
    }

    fn apply(
        &self,
        list: &mut BTreeMap<Key, Amount>,
        persons: bool,
        summary: &mut Summary,
    ) -> anyhow::Result<()> {
        let before = summary.last;
        let changes = tables::changes(&self.changes, persons, self.decimals)?;
        let mut touched = Sum::default();
        for (row, key, change) in changes {
            let at = || format!("{}, row {row}: {}", self.changes.display(), tables::name(&key));
            match (change, list.get(&key).copied()) {
                (Change::Add(amount), None) => {
                    list.insert(key, amount);
                    summary.new.add(amount)?;
                }
                (Change::Add(_), Some(_)) => {
                    bail!("{} is listed already; `change` says another amount", at())
                }
                (_, None) => bail!("{} is not listed; `add` lists it", at()),
                (Change::Remove, Some(amount)) => {
                    list.remove(&key);
                    summary.gone.add(amount)?;
                    touched.add(amount)?;
                }
                (Change::Amend(amount), Some(old)) => {
                    list.insert(key, amount);
                    summary.changed.add(amount)?;
                    touched.add(old)?;
                }
            }
        }
        summary.same = Sum {
            entitlements: before.entitlements - touched.entitlements,
            total: before.total.checked_sub(touched.total).context("more changed than was listed")?,
        };
        Ok(())
    }

    /// Who was neither paid nor annulled in the last round.
    fn arrears(
        &self,
        report: &Path,
        round: u64,
        list: &mut BTreeMap<Key, Amount>,
        summary: &mut Summary,
    ) -> anyhow::Result<()> {
        summary.carried = self.carry_arrears;
        let rows = tables::unpaid(report, round, self.decimals)?;
        for (key, amount) in rows {
            summary.arrears.add(amount)?;
            if self.carry_arrears {
                let now = list.get(&key).copied().unwrap_or(Amount::ZERO);
                let sum = Amount::new(now.get() + amount.get()).with_context(|| {
                    format!("{}: the amount with its arrears exceeds 2^96 - 1 base units", tables::name(&key))
                })?;
                list.insert(key, sum);
            }
        }
        Ok(())
    }

    fn write(&self, list: &BTreeMap<Key, Amount>, persons: bool) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", self.out.display());
        let folder = self.out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let aside =
            tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| ".".as_ref())).with_context(failed)?;
        let mut out = BufWriter::new(aside);
        writeln!(out, "address,amount{}", if persons { ",person" } else { "" }).with_context(failed)?;
        for ((address, person), amount) in list {
            let person = person.map(|person| format!(",{person}")).unwrap_or_default();
            let amount = amount.to_decimal_string(self.decimals);
            writeln!(out, "{address},{amount}{person}").with_context(failed)?;
        }
        let aside = out.into_inner().map_err(|error| error.into_error()).with_context(failed)?;
        aside.persist(&self.out).map_err(|error| error.error).with_context(failed)?;
        Ok(())
    }

    fn tell(&self, summary: &Summary, persons: bool) -> anyhow::Result<ExitCode> {
        let words = |sum: Sum| sum.words(self.decimals);
        let carried = if summary.carried { ", added to the next amounts" } else { "" };
        let keep = if persons { " --duplicates keep" } else { "" };
        let build = format!(
            "sluice snapshot build {} --decimals {}{keep} --expect-count {} --expect-total {}",
            self.out.display(),
            self.decimals,
            summary.next.entitlements,
            summary.next.total.to_decimal_string(self.decimals)
        );
        let snapshot = self.out.with_extension("snapshot");
        let publish =
            format!("sluice campaign publish CAMPAIGN {} --closes-at SECONDS …", snapshot.display());
        let facts = [
            ("last", words(summary.last)),
            ("new", words(summary.new)),
            ("gone", words(summary.gone)),
            ("changed", words(summary.changed)),
            ("same", words(summary.same)),
            ("arrears", words(summary.arrears) + carried),
            ("next", words(summary.next)),
            ("then", build),
            ("then", publish),
        ];
        answer(self.json, summary, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}
