//! The figures of an offering.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

use super::offer::{Outcome, Record};
use super::reconcile::Comparison;
use crate::report::{Figure, Goal, Report};

/// Microseconds; the longest a latency may be told, and the digits of it that count.
const LONGEST: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// The latencies of the accepted claims, microseconds.
pub(crate) fn latencies<'a>(records: impl IntoIterator<Item = &'a Record>) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS).context("no histogram")?;
    for seen in records.into_iter().flat_map(|record| &record.seen) {
        if matches!(seen.outcome, Outcome::Decided(_) | Outcome::Waiting) {
            histogram.saturating_record(seen.latency.as_micros().try_into().unwrap_or(LONGEST));
        }
    }
    Ok(histogram)
}

/// A quantile in milliseconds.
pub(crate) fn millis(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

/// How many claims came to what.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) decided: u64,
    pub(crate) waiting: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts a record.
    pub(crate) fn of(record: &Record) -> Self {
        let mut counts = Self::default();
        for seen in &record.seen {
            match &seen.outcome {
                Outcome::Decided(_) => counts.decided += 1,
                Outcome::Waiting => counts.waiting += 1,
                Outcome::Unknown(_) => counts.unknown += 1,
                Outcome::Refused(status, code) => {
                    *counts.refused.entry(format!("{status} {code}")).or_default() += 1;
                }
            }
        }
        counts
    }

    /// Accepted: decided or waiting with a ticket.
    pub(crate) fn accepted(&self) -> u64 {
        self.decided + self.waiting
    }

    fn refusals(&self) -> String {
        let codes: Vec<_> = self.refused.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        codes.join(", ")
    }
}

/// What was used while a record was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Processor seconds of the node.
    pub(crate) node: f64,
    /// Of PostgreSQL.
    pub(crate) postgres: f64,
}

/// Adds a phase's figures. `decided` is what the log decided in it.
pub(crate) fn add(
    report: &mut Report,
    phase: &str,
    record: &Record,
    decided: u64,
    goals: [Option<Goal>; 2],
    used: Option<Used>,
) -> anyhow::Result<()> {
    let (counts, seconds) = (Counts::of(record), record.took.as_secs_f64());
    let histogram = latencies([record])?;
    let with = |figure: Figure, goal: Option<Goal>| match goal {
        Some(goal) => figure.goal(goal),
        None => figure,
    };
    let offered = Figure::new(format!("{phase}: offered"), record.seen.len() as f64 / seconds, "/s");
    report.add(offered.note(format!("{} claims in {seconds:.0} s", record.seen.len())));
    let accepted = Figure::new(format!("{phase}: accepted"), counts.accepted() as f64 / seconds, "/s");
    report
        .add(accepted.note(format!("{} decided at once, {} with a ticket", counts.decided, counts.waiting)));
    let decided = with(Figure::new(format!("{phase}: decided"), decided as f64 / seconds, "/s"), goals[0]);
    report.add(decided.note("by the log"));
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let figure = Figure::new(format!("{phase}: {name}"), millis(&histogram, quantile), "ms");
        report.add(with(figure, goals[1].filter(|_| name == "p99")));
    }
    let refused: u64 = counts.refused.values().sum();
    report.add(Figure::new(format!("{phase}: refused"), refused as f64, "claims").note(counts.refusals()));
    if counts.unknown > 0 {
        report.add(Figure::new(format!("{phase}: not answered"), counts.unknown as f64, "claims"));
    }
    if let Some(used) = used {
        let each = |seconds: f64| seconds * 1e6 / (counts.accepted().max(1) as f64);
        let figure =
            Figure::new(format!("{phase}: processor"), (used.node + used.postgres) / seconds, "cores");
        report.add(figure.note(format!(
            "a claim: node {:.0} µs, PostgreSQL {:.0} µs, generator {:.0} µs",
            each(used.node),
            each(used.postgres),
            each(record.generator)
        )));
    }
    Ok(())
}

/// Adds what the comparison of the client's record with the log came to.
pub(crate) fn add_comparison(report: &mut Report, comparison: &Comparison) {
    let differences = comparison.lost + comparison.contradicted + comparison.strangers + comparison.twice;
    let figure =
        Figure::new("reconciliation: differences", differences as f64, "claims").goal(Goal::AtMost(0.0));
    report.add(figure.note(format!(
        "{} accepted by the client's record, {} decided in the log; lost {}, contradicted {}, unknown to the client {}, \
         twice {}",
        comparison.accepted,
        comparison.decided,
        comparison.lost,
        comparison.contradicted,
        comparison.strangers,
        comparison.twice
    )));
}

/// Adds the time of a durable page.
pub(crate) fn add_sync(report: &mut Report, time: Duration) {
    let figure = Figure::new("one page made durable", time.as_secs_f64() * 1e6, "µs");
    report.add(figure.note("median of 100 writes of 8 KiB with fdatasync, nothing else running here"));
}
