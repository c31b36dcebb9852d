//! `sluice-load overload`: ten times what a node may decide, for minutes. Node, PostgreSQL and chain share one core, the crowd
//! has the other. What is decided must stay as it was, nobody who was accepted may be lost, memory must not grow, and a
//! minute later everything must be as before.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use sluice_core::ids::Millis;
use sluice_core::log::entry::Body;

use crate::claims::cluster;
use crate::claims::figures::{Counts, latencies, millis};
use crate::claims::offer::{Offer, Pace, Prepared, Record, prepare};
use crate::claims::stretch::Stretch;
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::insist::{Crowd, Told};
use crate::machine;
use crate::report::{Figure, Goal, Report, Show};
use crate::soak::{DISK_EACH, MEMORY_EACH};
use crate::stage::{Plan, Stage};
use crate::steady::{self, End, Listed, Watch};

/// The core of the node and its servers, and the one of those who ask.
pub(crate) const THEIRS: usize = 0;
pub(crate) const OURS: usize = 1;
/// How long the node is asked calmly, then pressed, before the crowd comes.
const BEFORE: Duration = Duration::from_secs(10);
/// Connections of those who ask calmly or press.
const CALM_CONNECTIONS: usize = 256;
/// Connections of the crowd: a claim that waits for its decision keeps one for a second and a half.
pub(crate) const CROWD_CONNECTIONS: usize = 4_000;
/// The part of what the crowd is to ask for that it must have asked for: a crowd that does not manage is no overload.
const OFFERED: f64 = 0.95;
/// Milliseconds of overload that do not count: the waiting room fills.
const FILLING: Millis = 2_000;
/// How long each look afterwards takes, and how many there are at most.
const LOOK: Duration = Duration::from_secs(5);
const LOOKS: u32 = 24;
/// A p99 of at most so many times the calm one, or so many milliseconds above it, is as before.
const NORMAL: f64 = 1.5;
const NORMAL_MS: f64 = 10.0;

/// `sluice-load overload`.
#[derive(Debug, Args)]
pub(crate) struct OverloadArgs {
    /// What the node decides a second at most.
    #[arg(long, default_value = "1000")]
    cap: NonZeroU32,
    /// How many times that is offered.
    #[arg(long, default_value_t = 10, value_parser = options::turns())]
    times: u32,
    /// For how long, seconds; 300 for the whole.
    #[arg(long, default_value_t = 60, value_parser = options::seconds())]
    seconds: u64,
    #[command(flatten)]
    show: Show,
}

/// What a run saw.
struct Seen {
    calm: Record,
    pressed: Record,
    told: Told,
    after: Vec<Record>,
    peak: Stretch,
    overload: Stretch,
    memory: Vec<u64>,
    /// From the crowd's end until claims were decided as before; `None` if they never were.
    normal_after: Option<Duration>,
}

impl OverloadArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        ensure!(
            std::thread::available_parallelism()?.get() > OURS,
            "two cores are needed: one for the node, one for the crowd"
        );
        let count = u64::from(self.wallets());
        let needs = Needs {
            time: Duration::from_secs(self.seconds + count / 8_000 + 120),
            disk: count * DISK_EACH + cluster::DISK,
            memory: count * MEMORY_EACH + (1 << 29),
        };
        needs.announce("overload", &std::env::temp_dir())?;
        // All threads of this process; the stage goes to its own core.
        machine::keep_to_core(OURS)?;
        run::to_the_end(self.measure())
    }

    /// As many as can be decided meanwhile, and half a minute's worth that waits at the end.
    fn wallets(&self) -> u32 {
        let seconds = u32::try_from(self.seconds).unwrap_or(u32::MAX).saturating_add(150);
        self.cap.get().saturating_mul(seconds)
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let listed = Listed::new(self.wallets()).await?;
        let plan = Plan {
            name: "overload".into(),
            list: listed.path(),
            campaigns: 1,
            rounds: 1,
            core: Some(THEIRS),
            decisions_per_second: Some(self.cap),
            settles: None,
        };
        let stage = Stage::start(&plan).await?;
        let claims = prepare(stage.signed(&listed.wallets, 0)?);
        eprintln!("overload: {} claims signed; the node listens at {}", claims.len(), stage.set.url);
        let seen = self.press(&stage, claims).await?;
        let mut report = Report::new("overload");
        let told = self.report(&mut report, &stage, &seen).await;
        let Seen { calm, pressed, told: Told { seen, took, .. }, after, .. } = seen;
        let crowd = Record { seen, took, ..Record::default() };
        let records: Vec<Record> = [calm, pressed, crowd].into_iter().chain(after).collect();
        let end = End { stage: &stage, records: &records, paid_rounds: None, show: self.show };
        end.print(report).await?;
        told
    }

    /// Claims a second that the crowd asks for.
    fn rate(&self) -> f64 {
        f64::from(self.cap.get()) * f64::from(self.times)
    }

    async fn press(&self, stage: &Stage, claims: Vec<Prepared>) -> anyhow::Result<Seen> {
        let half = f64::from(self.cap.get()) / 2.0;
        let (calm, left) = offer(stage, Pace::PerSecond(half), BEFORE)?.make(claims).await?;
        let (pressed, left) = offer(stage, Pace::AsTaken, BEFORE)?.make(left).await?;
        let peak = Stretch::ending(stage.now().await?, pressed.took);
        stage.all_decided().await?;
        let rate = self.rate();
        eprintln!("overload: {rate:.0} claims a second for {} s", self.seconds);
        let crowd = Crowd {
            target: stage.target()?,
            campaign: stage.set.campaigns[0].0,
            rate,
            connections: CROWD_CONNECTIONS,
            at_most: Duration::from_secs(self.seconds),
            core: None,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let watch = Watch::start("overload", stage.pid());
        let mut told = crowd.come(left).await?;
        let mut overload = Stretch::ending(stage.now().await?, told.took);
        overload.from += FILLING;
        let ended = Instant::now();
        let memory = watch.end().await;
        let mut left = std::mem::take(&mut told.left);
        let usual = millis(&latencies([&calm])?, 0.99);
        let (mut after, mut normal_after) = (Vec::new(), None);
        for _ in 0..LOOKS {
            let begun = ended.elapsed();
            let (record, rest) = offer(stage, Pace::PerSecond(half), LOOK)?.make(left).await?;
            left = rest;
            let p99 = millis(&latencies([&record])?, 0.99);
            let sent_away = Counts::of(&record).accepted() < record.seen.len() as u64;
            eprintln!("overload: {} s after: p99 {p99:.1} ms, before {usual:.1} ms", begun.as_secs());
            after.push(record);
            if !sent_away && p99 <= (usual * NORMAL).max(usual + NORMAL_MS) {
                normal_after = Some(begun);
                break;
            }
        }
        Ok(Seen { calm, pressed, told, after, peak, overload, memory, normal_after })
    }

    async fn report(&self, report: &mut Report, stage: &Stage, seen: &Seen) -> anyhow::Result<()> {
        let Seen { calm, told, peak, overload, memory, normal_after, .. } = seen;
        let mut decided = Vec::new();
        stage
            .read_log(0, |entry| {
                if matches!(entry.body, Body::ClaimDecided(_)) {
                    decided.push(entry.recorded_at);
                }
            })
            .await?;
        let (peak, goodput) = (peak.rate(&decided), overload.rate(&decided));
        let offered = Figure::new("offered", told.requests as f64 / told.lasted.as_secs_f64(), "/s");
        report.add(offered.goal(Goal::AtLeast(self.rate() * OFFERED)).note(format!(
            "{} requests in {:.0} s, {} were due and not made; the node may decide {} a second",
            told.requests,
            told.lasted.as_secs_f64(),
            told.unsent,
            self.cap
        )));
        report.add(Figure::new("decided when pressed", peak, "/s"));
        report.add(Figure::new("decided in the overload", goodput, "/s"));
        let ratio = Figure::new("overload / pressed", goodput / peak, "×");
        report.add(ratio.goal(Goal::AtLeast(0.9)).note("goodput as a part of the peak"));
        let codes: Vec<_> = told.refused.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        let away = Figure::new("sent away, p99", millis(&told.sent_away, 0.99), "ms");
        report.add(away.note(format!("p50 {:.1} ms; {}", millis(&told.sent_away, 0.5), codes.join(", "))));
        let [first, middle, last] = steady::thirds(memory);
        let megabytes = [first, middle, last].map(|bytes| format!("{:.0}", bytes / 1e6)).join(", ");
        let flat = Figure::new("memory, last third / first", last / first, "×").goal(Goal::AtMost(1.1));
        report.add(flat.note(format!("means of {megabytes} MB; the node's, mapped files left out")));
        let normal = normal_after.unwrap_or(LOOK * LOOKS).as_secs_f64();
        let usual = millis(&latencies([calm])?, 0.99);
        let note = format!("p99 {usual:.1} ms before; looked at every {} s", LOOK.as_secs());
        report.add(Figure::new("as before again after", normal, "s").goal(Goal::AtMost(60.0)).note(note));
        Ok(())
    }
}

/// An offer by those who are no crowd.
fn offer(stage: &Stage, pace: Pace, at_most: Duration) -> anyhow::Result<Offer> {
    let (campaign, _) = *stage.set.campaigns.first().context("a campaign")?;
    Ok(Offer {
        target: stage.target()?,
        campaign,
        pace,
        connections: CALM_CONNECTIONS,
        at_most,
        stop: Arc::new(AtomicBool::new(false)),
    })
}
