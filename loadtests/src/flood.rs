//! `sluice-load flood`: whether a flood of attestations slows claims, and the reverse. Claims come in an open loop, so that
//! whoever would have come during a stall is counted; quiet and flooded stretches take turns on one node.

mod bulk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;

use crate::claims::cluster;
use crate::claims::embedded::{Serving, field};
use crate::claims::figures::{Counts, add_comparison, latencies, millis};
use crate::claims::ground::{Servers, eventually};
use crate::claims::offer::{Offer, Pace, Prepared, Record, Seen, prepare};
use crate::claims::reconcile::{Comparison, LogSide};
use crate::claims::stats::{median, spread};
use crate::claims::wallets;
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};
use bulk::{Flood, Kind, Poured};

/// Connections over which claims come.
const CLAIM_CONNECTIONS: usize = 512;
/// Connections of a flood of claims.
const FLOOD_CONNECTIONS: usize = 512;
/// Claims a second that a flood of them may take.
const PRESSED_MAX: u64 = 10_000;
/// Floods of attestations in a turn, and what one hands in a second at most, on their average: with no claims beside it some
/// six thousand, beside them four.
const FLOODS: u64 = 4;
const POURED_MAX: u64 = 5_000;
/// Every so many-th claim is before a gate.
const GATED_EVERY: u32 = 3;

/// `sluice-load flood`.
#[derive(Debug, Args)]
pub(crate) struct FloodArgs {
    /// Claims a second, offered throughout.
    #[arg(long, default_value_t = 500, value_parser = options::whole_rate())]
    rate: u32,
    /// Length of each stretch, seconds.
    #[arg(long, default_value_t = 6, value_parser = options::seconds())]
    seconds: u64,
    /// Stretches of each kind.
    #[arg(long, default_value_t = 4, value_parser = options::turns())]
    turns: u32,
    /// Attestations signed beforehand; a flood that outruns them hands them in again from the first, which is less work for a
    /// node and told. Left out, as many as the time may take.
    #[arg(long, value_parser = options::some())]
    attestations: Option<u32>,
    #[command(flatten)]
    show: Show,
}

/// The figures of the stretches.
#[derive(Default)]
struct Stretches {
    quiet: Vec<Record>,
    bulk: Vec<(Record, Poured)>,
    deaf: Vec<(Record, Poured)>,
    /// Attestations without claims, and under a flood of claims.
    alone: Vec<Poured>,
    among_claims: Vec<Poured>,
    claims: Vec<Seen>,
}

impl FloodArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let wallets = self.wallets();
        let time = u64::from(wallets) / 3_000 + self.seconds * u64::from(self.turns) * 5 + 60;
        let needs = Needs {
            time: Duration::from_secs(time),
            disk: u64::from(wallets) * 8_000 + u64::from(self.attestations()) * 4_000 + cluster::DISK,
            memory: u64::from(wallets) * 2_500 + u64::from(self.attestations()) * 2_000 + (1 << 29),
        };
        needs.announce("flood", &std::env::temp_dir())?;
        run::to_the_end(self.measure(wallets))
    }

    /// What three kinds of stretches offer, and what a flood of claims may take.
    fn wallets(&self) -> u32 {
        let offered = u64::from(self.rate) * self.seconds * u64::from(self.turns) * 3;
        let flood = PRESSED_MAX * self.seconds * u64::from(self.turns);
        (offered + flood).try_into().unwrap_or(u32::MAX)
    }

    /// What all floods may hand in.
    fn attestations(&self) -> u32 {
        let all = FLOODS * self.seconds * u64::from(self.turns) * POURED_MAX;
        self.attestations.unwrap_or(all.try_into().unwrap_or(u32::MAX))
    }

    async fn measure(&self, count: u32) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
        let (serving, claims) = field(&servers, &wallets, GATED_EVERY).await?;
        let count = self.attestations();
        let texts = tokio::task::spawn_blocking(move || bulk::texts(count)).await??;
        let flood = Flood::new(serving.target.clone(), texts);
        let mut seen = Stretches::default();
        let ran = self.turns(&serving, &flood, prepare(claims), &mut seen).await;
        // Whatever went wrong, what is known is told.
        let compared = compare(&serving, &seen.claims).await;
        let mut report = seen.report()?;
        if let Ok((_, comparison)) = &compared {
            add_comparison(&mut report, comparison);
        }
        report.print(self.show)?;
        serving.stop().await;
        servers.stop().await;
        ran?;
        let (waited, comparison) = compared?;
        waited?;
        ensure!(comparison.agrees(), "the client's record and the log differ: {comparison:?}");
        Ok(())
    }

    async fn turns(
        &self,
        serving: &Serving,
        flood: &Flood,
        mut left: Vec<Prepared>,
        seen: &mut Stretches,
    ) -> anyhow::Result<()> {
        for turn in 0..self.turns {
            left = self.turn(serving, flood, left, seen).await?;
            ensure!(!left.is_empty(), "a flood of claims has used up all wallets: take a lower --rate");
            eprintln!("flood: turn {} of {}", turn + 1, self.turns);
        }
        Ok(())
    }

    /// One stretch of each kind.
    async fn turn(
        &self,
        serving: &Serving,
        flood: &Flood,
        left: Vec<Prepared>,
        seen: &mut Stretches,
    ) -> anyhow::Result<Vec<Prepared>> {
        let steady = || self.offer(serving, Pace::PerSecond(self.rate.into()), CLAIM_CONNECTIONS);
        let (record, left) = steady().make(left).await?;
        seen.note(&record);
        seen.quiet.push(record);
        let (record, rate, left) = during(flood, Kind::Bulk, steady(), left).await?;
        seen.note(&record);
        seen.bulk.push((record, rate));
        let (record, rate, left) = during(flood, Kind::Deaf, steady(), left).await?;
        seen.note(&record);
        seen.deaf.push((record, rate));
        // The reverse: attestations alone, then under as many claims as the node takes.
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let alone = flood.start(Kind::Bulk, stop);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        ends.store(true, Ordering::Relaxed);
        seen.alone.push(alone.await??);
        let pressed = self.offer(serving, Pace::AsTaken, FLOOD_CONNECTIONS);
        let (record, rate, left) = during(flood, Kind::Bulk, pressed, left).await?;
        seen.note(&record);
        seen.among_claims.push(rate);
        Ok(left)
    }

    fn offer(&self, serving: &Serving, pace: Pace, connections: usize) -> Offer {
        Offer {
            target: serving.target.clone(),
            campaign: serving.ground.campaign,
            pace,
            connections,
            at_most: Duration::from_secs(self.seconds),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// Waits until nobody waits, then compares what the client was told with the log as it stands; whether somebody waits for
/// ever is told with it.
async fn compare(serving: &Serving, seen: &[Seen]) -> anyhow::Result<(anyhow::Result<()>, Comparison)> {
    let follower = serving.ground.node.follower();
    let waited = eventually("every accepted claim is decided", || async {
        Ok(follower.room().is_empty().then_some(()))
    })
    .await;
    let mut log = LogSide::default();
    serving.ground.read_log(|entry| log.take(&entry)).await?;
    Ok((waited, log.compare(seen)))
}

/// Offers claims while a flood lasts; says what was kept of it.
async fn during(
    flood: &Flood,
    kind: Kind,
    offer: Offer,
    left: Vec<Prepared>,
) -> anyhow::Result<(Record, Poured, Vec<Prepared>)> {
    let stop = Arc::new(AtomicBool::new(false));
    let running = flood.start(kind, Arc::clone(&stop));
    let made = offer.make(left).await;
    stop.store(true, Ordering::Relaxed);
    let poured = running.await??;
    let (record, left) = made?;
    Ok((record, poured, left))
}

impl Stretches {
    fn note(&mut self, record: &Record) {
        self.claims.extend(record.seen.iter().cloned());
    }

    fn report(&self) -> anyhow::Result<Report> {
        let mut report = Report::new("flood");
        let quiet = self.quiet.iter();
        let base = add_claims(&mut report, "claims alone", quiet, None)?;
        let bulk = self.bulk.iter().map(|(record, _)| record);
        add_claims(&mut report, "claims in a bulk flood", bulk, Some(&base))?;
        add_rate(&mut report, "that flood: kept", self.bulk.iter().map(|(_, poured)| poured));
        let deaf = self.deaf.iter().map(|(record, _)| record);
        add_claims(&mut report, "claims in a flood deaf to 429", deaf, Some(&base))?;
        add_rate(&mut report, "that flood: kept", self.deaf.iter().map(|(_, poured)| poured));
        let alone = add_rate(&mut report, "attestations alone: kept", &self.alone);
        let among = add_rate(&mut report, "attestations in a claims flood: kept", &self.among_claims);
        report.add(Figure::new("with / without", among / alone, "×"));
        let floods = self.bulk.iter().chain(&self.deaf).map(|(_, poured)| poured);
        let all = floods.chain(&self.alone).chain(&self.among_claims);
        let (kept, known) = all.fold((0, 0), |(kept, known), p| (kept + p.kept, known + p.known));
        let again = Figure::new("attestations known before", known as f64, "attestations");
        report.add(again.goal(Goal::AtMost(0.0)).note(format!(
            "{kept} were kept; more than none, and rates are of two kinds of work: raise --attestations"
        )));
        Ok(report)
    }
}

/// Adds how many attestations a second some floods had kept; returns the median.
fn add_rate<'a>(report: &mut Report, name: &str, floods: impl IntoIterator<Item = &'a Poured>) -> f64 {
    let rates: Vec<f64> = floods.into_iter().map(Poured::rate).collect();
    report.add(Figure::new(name, median(&rates), "attestations/s").note(spread(&rates)));
    median(&rates)
}

/// Adds the latencies of some stretches, each stretch's apart; returns the p99 of each.
fn add_claims<'a>(
    report: &mut Report,
    name: &str,
    records: impl Iterator<Item = &'a Record>,
    base: Option<&[f64]>,
) -> anyhow::Result<Vec<f64>> {
    let (mut p50, mut p99, mut refused) = (Vec::new(), Vec::new(), 0);
    for record in records {
        let histogram = latencies([record])?;
        p50.push(millis(&histogram, 0.5));
        p99.push(millis(&histogram, 0.99));
        let counts = Counts::of(record);
        refused += counts.refused.values().sum::<u64>() + counts.unknown + record.unsent.len() as u64;
    }
    report.add(Figure::new(format!("{name}: p50"), median(&p50), "ms").note(spread(&p50)));
    report.add(Figure::new(format!("{name}: p99"), median(&p99), "ms").note(spread(&p99)));
    if let Some(base) = base {
        let ratios: Vec<f64> = p99.iter().zip(base).map(|(with, without)| with / without).collect();
        let figure = Figure::new("p99 with / p99 without", median(&ratios), "×").goal(Goal::AtMost(2.0));
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        report.add(figure.note(format!("{}; worst {worst:.2}", spread(&ratios))));
    }
    if refused > 0 {
        let note = "refused, not answered, or due and not sent";
        report.add(Figure::new(format!("{name}: not accepted"), refused as f64, "claims").note(note));
    }
    Ok(p99)
}

/// For how long something ran, at least a little.
fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64().max(0.001)
}
