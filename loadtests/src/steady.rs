//! Claims at one rate for a long time, at a node in a process of its own: how latency and memory go on meanwhile, and
//! afterwards the client's record beside the log and, where they are settled, the chain.

mod chain;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use anyhow::ensure;
use sluice_core::log::entry::Body;
use tokio::task::JoinHandle;

use crate::claims::figures::{Counts, add_comparison, add_unsent, latencies, millis};
use crate::claims::offer::{Offer, Outcome, Pace, Prepared, Record};
use crate::claims::processor::family_seconds;
use crate::claims::reconcile::{Comparison, LogSide};
use crate::claims::stats::whole;
use crate::claims::wallets::{self, Wallet};
use crate::machine;
use crate::report::{Figure, Goal, Report, Show};
use crate::stage::Stage;

pub(crate) use chain::{OnChain, Payer, connect};

/// Connections; an arrival that finds all of them busy waits, and its waiting counts.
const CONNECTIONS: usize = 512;
/// Between two looks at the node's memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two lines that say how far it is.
const LOOKS_A_LINE: usize = 60;
/// What may still be called decided at once.
const SECOND: Duration = Duration::from_secs(1);

/// How long and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    pub(crate) name: &'static str,
    /// Claims a second.
    pub(crate) rate: f64,
    pub(crate) seconds: u64,
}

/// What a long offering came to.
#[derive(Debug)]
pub(crate) struct Course {
    /// The record of each third of the time.
    pub(crate) thirds: Vec<Record>,
    /// Bytes of the node's memory, each second.
    memory: Vec<u64>,
    /// Processor seconds of the node and its chain, and of PostgreSQL.
    used: [f64; 2],
}

/// What the log says of a decided claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    pub(crate) recipient: Address,
    pub(crate) amount: u128,
}

/// The list of the sample wallets, in a folder that goes with this.
#[derive(Debug)]
pub(crate) struct Listed {
    folder: tempfile::TempDir,
    pub(crate) wallets: Vec<Wallet>,
}

impl Listed {
    /// Makes the keys of so many wallets, and their list.
    pub(crate) async fn new(count: u32) -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(move || {
            let listed = Self { folder: tempfile::tempdir()?, wallets: wallets::wallets(count)? };
            wallets::write_list(&listed.wallets, &listed.path())?;
            Ok(listed)
        })
        .await?
    }

    /// The list's file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("list.csv")
    }
}

impl Steady {
    /// How many claims it takes.
    pub(crate) fn claims(&self) -> usize {
        usize::try_from(whole(self.rate * self.seconds as f64)).unwrap_or(usize::MAX)
    }

    /// Offers the claims, all of them at their times; what came of them is told by thirds of the time.
    pub(crate) async fn offer(&self, stage: &Stage, claims: Vec<Prepared>) -> anyhow::Result<Course> {
        let watch = Watch::start(self.name, stage.pid());
        let used = || [family_seconds(stage.pid()), family_seconds(stage.set.postgres)];
        let (before, time) = (used(), Duration::from_secs(self.seconds));
        let offer = Offer {
            target: stage.target()?,
            campaign: stage.set.campaigns[0].0,
            pace: Pace::PerSecond(self.rate),
            connections: CONNECTIONS,
            at_most: time,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let (record, _) = offer.make(claims).await?;
        let after = used();
        let used = [after[0] - before[0], after[1] - before[1]];
        Ok(Course { thirds: record.into_thirds(time), memory: watch.end().await, used })
    }
}

/// Looks at the node's memory and says how far the offering is.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Vec<u64>>,
}

impl Watch {
    pub(crate) fn start(name: &'static str, pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looking = tokio::spawn(async move {
            let (begun, mut seen) = (Instant::now(), Vec::new());
            let mut looks = tokio::time::interval(LOOK_EVERY);
            while !stopped.load(Ordering::Relaxed) {
                looks.tick().await;
                seen.push(machine::memory_of(pid));
                if seen.len().is_multiple_of(LOOKS_A_LINE) {
                    let megabytes = seen.last().copied().unwrap_or(0) / 1_000_000;
                    eprintln!("{name}: {} s; the node's memory {megabytes} MB", begun.elapsed().as_secs());
                }
            }
            seen
        });
        Self { stop, looking }
    }

    pub(crate) async fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.await.unwrap_or_default()
    }
}

impl Course {
    /// The parts of a hundred that were not decided within a second of when they were due, refused, unanswered and unsent
    /// ones among them: a ticket says that a claim waited longer. None of nothing, which is no number.
    pub(crate) fn late(&self) -> f64 {
        let all: usize = self.thirds.iter().map(|third| third.seen.len() + third.unsent.len()).sum();
        let seen = self.thirds.iter().flat_map(|third| &third.seen);
        let in_time =
            seen.filter(|seen| matches!(seen.outcome, Outcome::Decided(_)) && seen.latency <= SECOND).count();
        100.0 * (all - in_time) as f64 / all as f64
    }

    /// Claims a second that were sent.
    pub(crate) fn offered(&self) -> f64 {
        let all: usize = self.thirds.iter().map(|third| third.seen.len()).sum();
        all as f64 / self.thirds.iter().map(|third| third.took.as_secs_f64()).sum::<f64>()
    }

    /// Adds the figures of the offering; `flat` names what must stay as it is as a goal.
    pub(crate) fn add(&self, report: &mut Report, flat: bool) -> anyhow::Result<()> {
        let seconds: f64 = self.thirds.iter().map(|third| third.took.as_secs_f64()).sum();
        let all: usize = self.thirds.iter().map(|third| third.seen.len()).sum();
        let counts: Vec<Counts> = self.thirds.iter().map(Counts::of).collect();
        let decided: u64 = counts.iter().map(|counts| counts.decided).sum();
        let accepted: u64 = counts.iter().map(Counts::accepted).sum();
        let refused: u64 = counts.iter().flat_map(|counts| counts.refused.values()).sum();
        let unknown: u64 = counts.iter().map(|counts| counts.unknown).sum();
        let offered = Figure::new("offered", self.offered(), "/s");
        report.add(offered.note(format!("{all} claims in {seconds:.0} s")));
        add_unsent(report, "", &self.thirds, true);
        let accepted = Figure::new("accepted", accepted as f64 / seconds, "/s");
        report.add(
            accepted.note(format!("{decided} decided at once; {refused} refused, {unknown} not answered")),
        );
        let histogram = latencies(&self.thirds)?;
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)] {
            report.add(Figure::new(name, millis(&histogram, quantile), "ms"));
        }
        let goal = |figure: Figure, most: f64| if flat { figure.goal(Goal::AtMost(most)) } else { figure };
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let each = self.thirds.iter().map(|third| Ok(millis(&latencies([third])?, quantile)));
            let each = each.collect::<anyhow::Result<Vec<f64>>>()?;
            let note = each.iter().map(|ms| format!("{ms:.1}")).collect::<Vec<_>>().join(", ");
            let (Some(first), Some(last)) = (each.first(), each.last()) else { continue };
            let figure = Figure::new(format!("{name}, last third / first"), last / first, "×");
            report.add(goal(figure, 1.25).note(format!("{note} ms")));
        }
        let [first, middle, last] = thirds(&self.memory);
        let figure = Figure::new("memory, last third / first", last / first, "×");
        let megabytes = [first, middle, last].map(|bytes| format!("{:.0}", bytes / 1e6)).join(", ");
        report.add(
            goal(figure, 1.1).note(format!("means of {megabytes} MB; the node's, mapped files left out")),
        );
        let cores = Figure::new("processor", self.used.iter().sum::<f64>() / seconds, "cores");
        let [node, postgres] = self.used.map(|used| used * 1e6 / all.max(1) as f64);
        report.add(cores.note(format!("a claim: node and chain {node:.0} µs, PostgreSQL {postgres:.0} µs")));
        Ok(())
    }
}

/// The means of the three thirds.
pub(crate) fn thirds(figures: &[u64]) -> [f64; 3] {
    let part = |from: usize, to: usize| {
        let part = figures.get(figures.len() * from / 3..figures.len() * to / 3).unwrap_or_default();
        part.iter().sum::<u64>() as f64 / part.len().max(1) as f64
    };
    [part(0, 1), part(1, 2), part(2, 3)]
}

/// What a run ends with.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) stage: &'a Stage,
    /// Everything that was sent.
    pub(crate) records: &'a [Record],
    /// The rounds that are compared with the chain, where it pays.
    pub(crate) paid_rounds: Option<u64>,
    pub(crate) show: Show,
}

impl End<'_> {
    /// Compares the client's record with the log and the chain, adds what that came to, and prints: also when there is no
    /// comparison, for then the figures are all there is.
    ///
    /// # Errors
    /// When somebody is never decided, something cannot be compared, or there is a difference.
    pub(crate) async fn print(self, mut report: Report) -> anyhow::Result<()> {
        let compared = self.compare(&mut report).await;
        if let Err(error) = &compared {
            let figure = Figure::new("comparisons that failed", 1.0, "").goal(Goal::AtMost(0.0));
            report.add(figure.note(format!("{error:#}")));
        }
        report.print(self.show)?;
        compared
    }

    async fn compare(&self, report: &mut Report) -> anyhow::Result<()> {
        // Whoever still waits after that is missing in the log, and counted as lost.
        let waited = self.stage.all_decided().await;
        let (comparison, decided) = compare(self.stage, self.records).await?;
        add_comparison(report, &comparison);
        let bytes = self.stage.database_bytes().await? as f64 / decided.len().max(1) as f64;
        report.add(Figure::new("database", bytes, "B/claim"));
        waited?;
        if let Some(rounds) = self.paid_rounds {
            let on_chain = OnChain::compare(&self.stage.payer(rounds).await?, &decided).await?;
            on_chain.add(report);
            ensure!(on_chain.differences == 0, "log and chain differ: {on_chain:?}");
        }
        ensure!(comparison.agrees(), "the client's record and the log differ: {comparison:?}");
        Ok(())
    }
}

/// Compares all that was offered with the log as it stands; says what the log decided, by round and index.
pub(crate) async fn compare(
    stage: &Stage,
    records: &[Record],
) -> anyhow::Result<(Comparison, HashMap<(u64, u64), Decided>)> {
    let (mut log, mut decided) = (LogSide::default(), HashMap::new());
    stage
        .read_log(0, |entry| {
            log.take(entry);
            if let Body::ClaimDecided(claim) = &entry.body {
                let of = Decided { recipient: claim.recipient, amount: claim.amount.get() };
                decided.insert((claim.entitlement.round, claim.entitlement.index), of);
            }
        })
        .await?;
    Ok((log.compare(records.iter().flat_map(|record| &record.seen)), decided))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::offer::{Seen, Unsent};
    use sluice_core::ids::DemandId;
    use uuid::Uuid;

    #[test]
    fn thirds_are_means_in_order() {
        assert_eq!(thirds(&[1, 1, 2, 4, 9, 9]), [1.0, 3.0, 9.0]);
        assert_eq!(thirds(&[]), [0.0; 3]);
    }

    #[test]
    fn what_is_not_decided_within_a_second_is_late() {
        let seen = |outcome, ms| Seen {
            id: DemandId(Uuid::nil()),
            index: 0,
            outcome,
            due: Duration::ZERO,
            latency: Duration::from_millis(ms),
        };
        let third = Record {
            seen: vec![
                seen(Outcome::Decided(1), 1_000),
                seen(Outcome::Decided(2), 1_001),
                seen(Outcome::Waiting, 10),
                seen(Outcome::Refused(429, "busy".into()), 1),
            ],
            // However short a time it had waited when nobody was sent any more.
            unsent: vec![Unsent { due: Duration::ZERO, waited: Duration::from_millis(1) }],
            ..Record::default()
        };
        let course = |thirds| Course { thirds, memory: Vec::new(), used: [0.0; 2] };
        assert_eq!(course(vec![third]).late(), 80.0);
        assert!(course(vec![Record::default()]).late().is_nan());
    }
}
