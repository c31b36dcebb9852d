//! What a measurement prints: a table for people and, with `--json`, one line for programs.

use crate::machine::Machine;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// How to show the answer.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Show {
    /// Print the figures as one line of JSON, last.
    #[arg(long)]
    pub json: bool,
}

/// What a figure should reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Goal {
    /// Whether `value` reaches it.
    pub(crate) fn met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit: `rows/s`, `B/wallet`, `×`.
    pub unit: String,
    /// What it should reach, where there is a goal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub goal: Option<Goal>,
    /// What else a reader must know: what it is compared with, or why it is missing something.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

impl Figure {
    /// A figure without goal.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.to_owned(), goal: None, note: String::new() }
    }

    /// The same with a goal.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// The same with a note.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// All figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The subcommand.
    pub command: &'static str,
    /// Where it ran.
    pub machine: Machine,
    /// In the order of the table.
    pub figures: Vec<Figure>,
}

impl Report {
    /// A report without figures yet.
    pub(crate) fn new(command: &'static str) -> Self {
        Self { command, machine: Machine::here(), figures: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Prints the table and, where asked for, the line.
    pub(crate) fn print(&self, show: Show) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}: {}", self.command, self.machine)?;
        write!(out, "{}", self.table())?;
        if show.json {
            serde_json::to_writer(&mut out, self)?;
            writeln!(out)?;
        }
        Ok(out.flush()?)
    }

    fn table(&self) -> String {
        let header = ["what", "figure", "unit", "goal", "", "note"].map(str::to_owned);
        let rows: Vec<[String; 6]> =
            std::iter::once(header).chain(self.figures.iter().map(table_row)).collect();
        aligned(&rows)
    }
}

fn table_row(figure: &Figure) -> [String; 6] {
    let goal = match figure.goal {
        None => String::new(),
        Some(Goal::AtLeast(value)) => format!("≥ {}", number(value)),
        Some(Goal::AtMost(value)) => format!("≤ {}", number(value)),
    };
    let met = match figure.goal {
        None => "",
        Some(goal) if goal.met_by(figure.value) => "met",
        Some(_) => "MISSED",
    };
    let [name, unit, note] = [&figure.name, &figure.unit, &figure.note].map(Clone::clone);
    [name, number(figure.value), unit, goal, met.to_owned(), note]
}

/// Rows of cells as lines with aligned columns; the second column, of figures, to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            1 => format!("{cell:>width$}"),
            _ => format!("{cell:width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A figure as people read it: three digits that count, thousands apart.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size < 10.0 {
        return format!("{value:.2}");
    }
    if size < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{size:.0}");
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, grouped.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_all_load_tests_leaves_nothing_out() {
        let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/bench");
        let mut node = std::process::Command::new("node");
        let done = node.args(["--test", "bench.test.mjs"]).current_dir(scripts).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }

    #[test]
    fn numbers_for_people() {
        let cases = [
            (0.0, "0.0"),
            (0.756, "0.76"),
            (64.04, "64.0"),
            (999.6, "1 000"),
            (6_123_456.7, "6 123 457"),
            (-1234.0, "-1 234"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_table_shows_goals_beside_figures() {
        let mut report = Report::new("snapshot");
        report.add(Figure::new("build", 7e6, "rows/s").goal(Goal::AtLeast(6e6)));
        report.add(Figure::new("memory", 70.0, "B/wallet").goal(Goal::AtMost(64.0)).note("peak"));
        let expected = "\
what       figure  unit      goal                 note
build   7 000 000  rows/s    ≥ 6 000 000  met
memory       70.0  B/wallet  ≤ 64.0       MISSED  peak
";
        assert_eq!(report.table(), expected);
    }
}
