//! `sluice-load fair`: several campaigns at a node that may decide so many a second, of which one sends nine tenths of three
//! times that. Those who come to the others must hardly notice.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use futures::future::try_join_all;

use crate::claims::cluster;
use crate::claims::figures::{Counts, add_comparison, latencies, millis};
use crate::claims::offer::{Offer, Pace, Prepared, Record, prepare};
use crate::claims::reconcile::LogSide;
use crate::claims::stats::{median, spread, whole};
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::insist::Crowd;
use crate::machine;
use crate::overload::{CROWD_CONNECTIONS, OURS, THEIRS};
use crate::report::{Figure, Goal, Report, Show};
use crate::soak::{DISK_EACH, MEMORY_EACH};
use crate::stage::{Plan, Stage};
use crate::steady::Listed;

/// How many times what the node may decide is offered by all together.
const TIMES: f64 = 3.0;
/// The part of it that comes to the first campaign.
const CROWDED: f64 = 0.9;
/// Connections of each other campaign.
const CONNECTIONS: usize = 128;
/// The crowd comes so much earlier: the waiting room is as full as it gets.
const EARLIER: Duration = Duration::from_secs(5);

/// `sluice-load fair`.
#[derive(Debug, Args)]
pub(crate) struct FairArgs {
    /// What the node decides a second at most.
    #[arg(long, default_value = "1000")]
    cap: NonZeroU32,
    /// Campaigns beside the crowded one.
    #[arg(long, default_value_t = 4, value_parser = options::turns())]
    others: u32,
    /// Length of each stretch, seconds.
    #[arg(long, default_value_t = 15, value_parser = options::seconds())]
    seconds: u64,
    /// Stretches of each kind; of an even number the median is of none of them.
    #[arg(long, default_value_t = 3, value_parser = options::turns())]
    turns: u32,
    #[command(flatten)]
    show: Show,
}

/// The stretches.
#[derive(Debug, Default)]
struct Stretches {
    /// Of the others, alone and beside the crowd.
    alone: Vec<Vec<Record>>,
    beside: Vec<Vec<Record>>,
    /// Requests a second of the crowd, and what of them was accepted.
    crowd: Vec<f64>,
    accepted: Vec<f64>,
    /// What became of the crowd.
    crowds: Vec<Record>,
}

impl FairArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let count = u64::from(self.crowded()) + u64::from(self.calm()) * u64::from(self.others);
        let needs = Needs {
            time: Duration::from_secs((self.seconds * 2 + 40) * u64::from(self.turns) + count / 8_000 + 60),
            disk: count * DISK_EACH + cluster::DISK,
            memory: count * MEMORY_EACH + (1 << 29),
        };
        needs.announce("fair", &std::env::temp_dir())?;
        machine::keep_to_core(OURS)?;
        run::to_the_end(self.measure())
    }

    fn rate(&self, part: f64) -> f64 {
        f64::from(self.cap.get()) * TIMES * part
    }

    /// Claims a second to each other campaign.
    fn calm_rate(&self) -> f64 {
        self.rate(1.0 - CROWDED) / f64::from(self.others)
    }

    /// Claims that the crowd may get accepted: what is decided meanwhile, and half a minute's worth that waits.
    fn crowded(&self) -> u32 {
        let seconds = u32::try_from(self.seconds + EARLIER.as_secs()).unwrap_or(u32::MAX) + 40;
        self.cap.get().saturating_mul(seconds).saturating_mul(self.turns)
    }

    /// Claims to each other campaign.
    fn calm(&self) -> u32 {
        let each = whole(self.calm_rate() * self.seconds as f64 * 2.0);
        u32::try_from(each).unwrap_or(u32::MAX).saturating_add(2).saturating_mul(self.turns)
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let listed = Listed::new(self.crowded().max(self.calm())).await?;
        let plan = Plan {
            name: "fair".into(),
            list: listed.path(),
            campaigns: self.others + 1,
            rounds: 1,
            core: Some(THEIRS),
            decisions_per_second: Some(self.cap),
            settles: None,
        };
        let stage = Stage::start(&plan).await?;
        let mut crowd = prepare(stage.signed(&listed.wallets, 0)?);
        let mut others = Vec::new();
        for campaign in 1..=self.others as usize {
            others.push(prepare(stage.signed(&listed.wallets[..self.calm() as usize], campaign)?));
        }
        eprintln!("fair: all claims signed; the node listens at {}", stage.set.url);
        let mut seen = Stretches::default();
        for turn in 0..self.turns {
            let (alone, rest) = self.calmly(&stage, others).await?;
            let (beside, rest, left) = self.beside(&stage, rest, crowd, &mut seen).await?;
            (others, crowd) = (rest, left);
            seen.alone.push(alone);
            seen.beside.push(beside);
            eprintln!("fair: turn {} of {}; waiting until the crowd is decided", turn + 1, self.turns);
            stage.all_decided().await?;
        }
        let mut report = self.report(&seen)?;
        let mut log = LogSide::default();
        stage.read_log(0, |entry| log.take(entry)).await?;
        let records = seen.alone.iter().chain(&seen.beside).flatten().chain(&seen.crowds);
        let comparison = log.compare(records.flat_map(|record| &record.seen));
        add_comparison(&mut report, &comparison);
        report.print(self.show)?;
        ensure!(comparison.agrees(), "the client's record and the log differ: {comparison:?}");
        Ok(())
    }

    /// A stretch of the other campaigns.
    async fn calmly(
        &self,
        stage: &Stage,
        claims: Vec<Vec<Prepared>>,
    ) -> anyhow::Result<(Vec<Record>, Vec<Vec<Prepared>>)> {
        let offers = claims.into_iter().zip(&stage.set.campaigns[1..]).map(|(claims, (campaign, _))| {
            let offer = stage.target().map(|target| Offer {
                target,
                campaign: *campaign,
                pace: Pace::PerSecond(self.calm_rate()),
                connections: CONNECTIONS,
                at_most: Duration::from_secs(self.seconds),
                stop: Arc::new(AtomicBool::new(false)),
            });
            async move { offer?.make(claims).await }
        });
        Ok(try_join_all(offers).await?.into_iter().unzip())
    }

    /// The same beside the crowd.
    async fn beside(
        &self,
        stage: &Stage,
        others: Vec<Vec<Prepared>>,
        claims: Vec<Prepared>,
        seen: &mut Stretches,
    ) -> anyhow::Result<(Vec<Record>, Vec<Vec<Prepared>>, Vec<Prepared>)> {
        let stop = Arc::new(AtomicBool::new(false));
        let crowd = Crowd {
            target: stage.target()?,
            campaign: stage.set.campaigns[0].0,
            rate: self.rate(CROWDED),
            connections: CROWD_CONNECTIONS,
            at_most: EARLIER + Duration::from_secs(self.seconds + 30),
            core: None,
            stop: Arc::clone(&stop),
        };
        let crowd = tokio::spawn(crowd.come(claims));
        tokio::time::sleep(EARLIER).await;
        let made = self.calmly(stage, others).await;
        stop.store(true, Ordering::Relaxed);
        let told = crowd.await??;
        let (records, others) = made?;
        let seconds = told.lasted.as_secs_f64();
        seen.crowd.push(told.requests as f64 / seconds);
        seen.accepted.push(told.seen.len() as f64 / seconds);
        seen.crowds.push(Record { seen: told.seen, took: told.took, ..Record::default() });
        Ok((records, others, told.left))
    }

    fn report(&self, seen: &Stretches) -> anyhow::Result<Report> {
        let mut report = Report::new("fair");
        report.add(Figure::new("the crowd", median(&seen.crowd), "requests/s").note(spread(&seen.crowd)));
        let accepted = Figure::new("accepted of it", median(&seen.accepted), "/s");
        report.add(accepted.note(format!("the node may decide {} a second", self.cap)));
        let mut each = |name: &str, stretches: &[Vec<Record>]| -> anyhow::Result<Vec<f64>> {
            let (mut p50, mut p99, mut not, mut all) = (Vec::new(), Vec::new(), 0, 0);
            for records in stretches {
                let histogram = latencies(records)?;
                p50.push(millis(&histogram, 0.5));
                p99.push(millis(&histogram, 0.99));
                let came =
                    records.iter().map(|record| record.seen.len() + record.unsent.len()).sum::<usize>();
                all += came as u64;
                not += came as u64 - records.iter().map(|record| Counts::of(record).accepted()).sum::<u64>();
            }
            report.add(Figure::new(format!("others {name}: p50"), median(&p50), "ms").note(spread(&p50)));
            report.add(Figure::new(format!("others {name}: p99"), median(&p99), "ms").note(spread(&p99)));
            let not = Figure::new(format!("others {name}: not accepted"), not as f64, "claims");
            report.add(
                not.goal(Goal::AtMost(0.0)).note(format!("of {all}, those due and not sent among them")),
            );
            Ok(p99)
        };
        let (alone, beside) = (each("alone", &seen.alone)?, each("beside the crowd", &seen.beside)?);
        let ratios: Vec<f64> = beside.iter().zip(&alone).map(|(beside, alone)| beside / alone).collect();
        let ratio = Figure::new("p99 beside / alone", median(&ratios), "×");
        report.add(ratio.goal(Goal::AtMost(2.0)).note(spread(&ratios)));
        Ok(report)
    }
}
