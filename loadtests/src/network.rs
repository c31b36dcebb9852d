//! `sluice-load network`: a hundred thousand claimants whom one carrier brings through one address, some of whom mistype.
//! None of them may be kept out for the others' sake.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use alloy_primitives::Bytes;
use clap::Args;

use crate::claims::cluster;
use crate::claims::figures::{Counts, add_unsent, latencies, millis};
use crate::claims::offer::{Offer, Pace, prepare};
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};
use crate::soak::{DISK_EACH, MEMORY_EACH};
use crate::stage::{Plan, Stage};
use crate::steady::{End, Listed};

/// Connections, all of one address.
const CONNECTIONS: usize = 1_024;
/// How a network limit answers.
const LIMITED: &str = "429 too_many_requests";
/// Refused requests that a network may make, a second and at once (`REFUSALS_PER_SECOND` and `REFUSALS_BURST` in
/// `crates/server/src/http/bounds.rs`), whose limit this test stays below with the options' defaults.
const PERMITTED: u32 = 20;
const PERMITTED_AT_ONCE: u32 = 200;

/// `sluice-load network`.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// Claimants, all behind one address.
    #[arg(long, default_value_t = 100_000, value_parser = options::some())]
    claimants: u32,
    /// Claims a second.
    #[arg(long, default_value_t = 2_500, value_parser = options::whole_rate())]
    rate: u32,
    /// Every so many-th hands in a signature that is none first; 0 for none.
    #[arg(long, default_value_t = 250)]
    mistyped_every: usize,
    #[command(flatten)]
    show: Show,
}

impl NetworkArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let count = u64::from(self.claimants);
        let needs = Needs {
            time: Duration::from_secs(count / u64::from(self.rate) + count / 8_000 + 30),
            disk: count * DISK_EACH + cluster::DISK,
            memory: count * MEMORY_EACH + (1 << 29),
        };
        needs.announce("network", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let listed = Listed::new(self.claimants).await?;
        let plan = Plan {
            name: "network".into(),
            list: listed.path(),
            campaigns: 1,
            rounds: 1,
            core: None,
            decisions_per_second: None,
            settles: None,
        };
        let stage = Stage::start(&plan).await?;
        let mut claims = Vec::new();
        for (number, claim) in stage.signed(&listed.wallets, 0)?.into_iter().enumerate() {
            if self.mistyped_every > 0 && number.is_multiple_of(self.mistyped_every) {
                let mut mistyped = claim.clone();
                mistyped.signature = Bytes::from(vec![1; 65]);
                claims.push(mistyped);
            }
            claims.push(claim);
        }
        let mistyped = claims.len() - self.claimants as usize;
        let offer = Offer {
            target: stage.target()?,
            campaign: stage.set.campaigns[0].0,
            pace: Pace::PerSecond(self.rate.into()),
            connections: CONNECTIONS,
            at_most: Duration::from_secs(claims.len() as u64 / u64::from(self.rate) + 1),
            stop: Arc::new(AtomicBool::new(false)),
        };
        let (record, _) = offer.make(prepare(claims)).await?;
        let counts = Counts::of(&record);
        let limited = counts.refused.get(LIMITED).copied().unwrap_or(0);
        let others: u64 = counts.refused.values().sum::<u64>() - limited;
        let mut report = Report::new("network");
        let rate = Figure::new("accepted", counts.accepted() as f64 / record.took.as_secs_f64(), "/s");
        report.add(rate.note(format!(
            "{} of {} claimants behind 127.0.0.1",
            counts.accepted(),
            self.claimants
        )));
        report.add(Figure::new("p99", millis(&latencies([&record])?, 0.99), "ms"));
        add_unsent(&mut report, "", [&record], true);
        let figure = Figure::new("refused by a network limit", limited as f64, "claims");
        report.add(figure.goal(Goal::AtMost(0.0)));
        let missing = u64::from(self.claimants).saturating_sub(counts.accepted());
        report.add(Figure::new("claimants not accepted", missing as f64, "claims").goal(Goal::AtMost(0.0)));
        let codes: Vec<_> = counts.refused.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        let refused = Figure::new("refused otherwise", others as f64, "claims");
        report.add(refused.note(format!("{mistyped} had no signature; {}", codes.join(", "))));
        let charged =
            Figure::new("refused otherwise, a second", others as f64 / record.took.as_secs_f64(), "/s");
        report.add(charged.note(format!(
            "a network may be refused {PERMITTED} a second, {PERMITTED_AT_ONCE} at once; the defaults keep below that, and with \
             more mistakes its claimants wait"
        )));
        End { stage: &stage, records: &[record], paid_rounds: None, show: self.show }.print(report).await
    }
}
