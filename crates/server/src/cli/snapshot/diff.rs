//! `sluice snapshot diff`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use sluice_snapshot::Snapshot;
use sluice_snapshot::diff::{Change, diff};
use sluice_snapshot::limits::CHANGES_SHOWN_MAX;

use super::{answer, tokens};

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The first snapshot file.
    before: PathBuf,
    /// The second snapshot file.
    after: PathBuf,
    /// Write every change to this file, as CSV in base units.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the counts as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (before, after) = (Snapshot::open(&self.before)?, Snapshot::open(&self.after)?);
        let mut out = match &self.out {
            None => None,
            Some(path) => {
                let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
                Some(BufWriter::new(file))
            }
        };
        if let Some(out) = &mut out {
            writeln!(out, "change,address,person,before,after")?;
        }
        let mut shown = 0;
        let summary = diff(&before, &after, |change| {
            if let Some(out) = &mut out {
                writeln!(out, "{}", row(&change)).context("cannot write the changes")?;
            }
            if !self.json && shown < CHANGES_SHOWN_MAX {
                println!("{}", sentence(&change, before.decimals(), after.decimals()));
                shown += 1;
            }
            anyhow::Ok(())
        })?;
        if let Some(out) = &mut out {
            out.flush().context("cannot write the changes")?;
        }
        let total = |snapshot: &Snapshot| tokens(snapshot.total(), snapshot.decimals());
        let facts = [
            ("added", summary.added.to_string()),
            ("removed", summary.removed.to_string()),
            ("changed", summary.changed.to_string()),
            ("same", summary.same.to_string()),
            ("total before", total(&before)),
            ("total after", total(&after)),
        ];
        answer(self.json, &summary, &facts)
    }
}

fn kind(change: &Change) -> &'static str {
    match (change.before, change.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    }
}

fn row(change: &Change) -> String {
    let text = |value: Option<String>| value.unwrap_or_default();
    let person = text(change.person.map(|person| person.to_string()));
    let [before, after] = [change.before, change.after].map(|amount| text(amount.map(|a| a.to_string())));
    format!("{},{},{person},{before},{after}", kind(change), change.recipient)
}

fn sentence(change: &Change, before: u8, after: u8) -> String {
    let amounts = match (change.before, change.after) {
        (Some(a), Some(b)) => format!("{} -> {}", a.to_decimal_string(before), b.to_decimal_string(after)),
        (Some(a), None) => a.to_decimal_string(before),
        (None, Some(b)) => b.to_decimal_string(after),
        (None, None) => String::new(),
    };
    let person = change.person.map(|person| format!(" {person}")).unwrap_or_default();
    format!("{:7} {}{person} {amounts}", kind(change), change.recipient)
}
