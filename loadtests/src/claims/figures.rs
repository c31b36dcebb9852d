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

/// The latencies of the accepted claims, microseconds, and how long those had waited that were due and not sent.
pub(crate) fn latencies<'a>(records: impl IntoIterator<Item = &'a Record>) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS).context("no histogram")?;
    for record in records {
        let accepted =
            record.seen.iter().filter(|seen| matches!(seen.outcome, Outcome::Decided(_) | Outcome::Waiting));
        let waited = record.unsent.iter().map(|unsent| unsent.waited);
        for time in accepted.map(|seen| seen.latency).chain(waited) {
            histogram.saturating_record(time.as_micros().try_into().unwrap_or(LONGEST));
        }
    }
    Ok(histogram)
}

/// A quantile in milliseconds; of no latencies it is no number, and reaches no goal.
pub(crate) fn millis(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    match histogram.is_empty() {
        true => f64::NAN,
        false => histogram.value_at_quantile(quantile) as f64 / 1_000.0,
    }
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

/// What was decided of a phase's claims while it lasted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InTime {
    pub(crate) decided: u64,
    pub(crate) seconds: f64,
    /// By whose account.
    pub(crate) by: &'static str,
}

/// What a phase is to reach.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Goals {
    /// Decided a second, at least.
    pub(crate) decided: Option<f64>,
    /// Of those accepted, the part decided meanwhile, at least.
    pub(crate) of_accepted: Option<f64>,
    /// Milliseconds, at most.
    pub(crate) p99: Option<f64>,
    /// Nobody may be left who was due.
    pub(crate) all_sent: bool,
}

/// A phase of a run.
#[derive(Debug)]
pub(crate) struct Phase<'a> {
    pub(crate) name: &'a str,
    pub(crate) record: &'a Record,
    pub(crate) in_time: InTime,
    pub(crate) goals: Goals,
    pub(crate) used: Option<Used>,
    /// How its rate came about.
    pub(crate) note: &'a str,
}

fn at_least(figure: Figure, least: Option<f64>) -> Figure {
    least.into_iter().fold(figure, |figure, least| figure.goal(Goal::AtLeast(least)))
}

fn at_most(figure: Figure, most: Option<f64>) -> Figure {
    most.into_iter().fold(figure, |figure, most| figure.goal(Goal::AtMost(most)))
}

/// Adds a phase's figures. One in which nothing was accepted has missed, whatever its goals: nothing was measured.
pub(crate) fn add(report: &mut Report, phase: &Phase<'_>) -> anyhow::Result<()> {
    let Phase { name, record, in_time, goals, used, note } = *phase;
    let (counts, seconds) = (Counts::of(record), record.took.as_secs_f64());
    let all = record.seen.len() as f64;
    let offered = Figure::new(format!("{name}: offered"), all / seconds, "/s");
    let comma = if note.is_empty() { "" } else { "; " };
    report.add(offered.note(format!("{all} claims in {seconds:.0} s{comma}{note}")));
    add_unsent(report, name, [record], goals.all_sent);
    let accepted = Figure::new(format!("{name}: accepted"), counts.accepted() as f64 / seconds, "/s");
    let accepted =
        accepted.note(format!("{} decided at once, {} with a ticket", counts.decided, counts.waiting));
    if counts.accepted() == 0 {
        report.add(accepted.goal(Goal::AtLeast(1.0)));
    } else {
        report.add(accepted);
        let decided = in_time.decided as f64;
        let rate = Figure::new(format!("{name}: decided"), decided / in_time.seconds, "/s");
        report.add(at_least(rate, goals.decided).note(in_time.by));
        if goals.of_accepted.is_some() {
            let part = decided / counts.accepted() as f64;
            let part = Figure::new(format!("{name}: decided / accepted"), part, "×");
            report.add(
                at_least(part, goals.of_accepted).note("decided while it lasted, of those accepted in it"),
            );
        }
        add_latencies(report, name, record, goals.p99)?;
    }
    let refused: u64 = counts.refused.values().sum();
    report.add(Figure::new(format!("{name}: refused"), refused as f64, "claims").note(counts.refusals()));
    if counts.unknown > 0 {
        report.add(Figure::new(format!("{name}: not answered"), counts.unknown as f64, "claims"));
    }
    if let Some(used) = used {
        let each = |seconds: f64| seconds * 1e6 / (counts.accepted().max(1) as f64);
        let figure =
            Figure::new(format!("{name}: processor"), (used.node + used.postgres) / seconds, "cores");
        report.add(figure.note(format!(
            "a claim: node {:.0} µs, PostgreSQL {:.0} µs, generator {:.0} µs",
            each(used.node),
            each(used.postgres),
            each(record.generator)
        )));
    }
    Ok(())
}

fn add_latencies(
    report: &mut Report,
    name: &str,
    record: &Record,
    most_p99: Option<f64>,
) -> anyhow::Result<()> {
    let histogram = latencies([record])?;
    for (which, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let figure = Figure::new(format!("{name}: {which}"), millis(&histogram, quantile), "ms");
        report.add(at_most(figure, most_p99.filter(|_| which == "p99")));
    }
    Ok(())
}

/// Adds how many claims were due and not begun, as a goal where none may be.
pub(crate) fn add_unsent<'a>(
    report: &mut Report,
    name: &str,
    records: impl IntoIterator<Item = &'a Record>,
    all_sent: bool,
) {
    let waited: Vec<Duration> =
        records.into_iter().flat_map(|record| &record.unsent).map(|unsent| unsent.waited).collect();
    let colon = if name.is_empty() { "" } else { ": " };
    let figure = Figure::new(format!("{name}{colon}due and not sent"), waited.len() as f64, "claims");
    let longest = waited.iter().max().map_or(String::new(), |longest| {
        format!("every connection was busy; the first had waited {:.1} s", longest.as_secs_f64())
    });
    report.add(at_most(figure, all_sent.then_some(0.0)).note(longest));
}

/// Adds what the comparison of the client's record with the log came to.
pub(crate) fn add_comparison(report: &mut Report, comparison: &Comparison) {
    let Comparison { accepted, decided, unanswered_found, .. } = comparison;
    let Comparison { lost, contradicted, broken, strangers, twice, refused_in_log, .. } = comparison;
    let figure = Figure::new("reconciliation: differences", comparison.differences() as f64, "claims");
    let refused: Vec<_> = refused_in_log.iter().map(|(code, count)| format!("{code}: {count}")).collect();
    let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
    report.add(figure.goal(Goal::AtMost(0.0)).note(format!(
        "{accepted} accepted by the client's record, {decided} decided in the log; lost {lost}, contradicted {contradicted}, \
         accepted and then refused {broken}, unknown to the client {strangers}, twice {twice}; not answered and yet in the \
         log {unanswered_found}; refused in the log: {refused}"
    )));
}

/// Adds the time of a durable page.
pub(crate) fn add_sync(report: &mut Report, time: Duration) {
    let figure = Figure::new("one page made durable", time.as_secs_f64() * 1e6, "µs");
    report.add(figure.note("median of 100 writes of 8 KiB with fdatasync, nothing else running here"));
}

#[cfg(test)]
mod tests;
