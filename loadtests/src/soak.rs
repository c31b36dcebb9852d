//! `sluice-load soak`: claims for half an hour or more at 70 % of what the whole way bears, settled as they come. Nothing may
//! creep: memory and latency stay as they are, and at the end client, log and chain agree to the last claim.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use sluice_chain::At;

use crate::claims::cluster;
use crate::claims::figures::Counts;
use crate::claims::ground::eventually;
use crate::claims::offer::{Offer, Pace, Prepared, Record, prepare};
use crate::claims::stats::whole;
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};
use crate::stage::{Plan, Settles, Stage};
use crate::steady::{self, End, Listed, Steady};

/// Seconds between blocks: the pace of fast chains.
const BLOCK_SECONDS: u64 = 1;
/// Gas of a block: what Ethereum has.
const BLOCK_GAS: u64 = 60_000_000;
/// How long the node is pressed, and by how many connections, to find out what the whole way bears.
const PRESS_FOR: Duration = Duration::from_secs(5);
const PRESSING: usize = 256;
/// Claims that pressing takes at most.
const PRESSED_MAX: u32 = 60_000;
/// The part of what is borne that is offered.
const LOAD: f64 = 0.7;
/// The part that must have been, or it was no such load.
const LOAD_LEAST: f64 = 0.69;
/// Claims a second that are prepared for, unless `--wallets` says otherwise: claims scattered over a round of a hundred thousand
/// fill four calls a block of about four hundred and fifty each, of which 70 % are offered.
const PREPARED_FOR: u64 = 1_400;
/// Bytes of disk and memory that a claim takes: its rows with their indexes, and what is kept of it here to compare.
pub(crate) const DISK_EACH: u64 = 3_000;
pub(crate) const MEMORY_EACH: u64 = 1_200;
/// Rounds that the same wallets claim in, one after another: anvil hashes every balance for each block, and with a
/// million and more of them no longer makes one a second.
const ROUNDS: u64 = 12;
/// Of a chain in memory: for each wallet, in as many states as it remembers, and in all for the transactions that it does.
const CHAIN_EACH: u64 = 12_000;
const CHAIN: u64 = 2 << 30;

/// `sluice-load soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// How long claims are offered, seconds.
    #[arg(long, default_value_t = 1_800, value_parser = options::seconds())]
    seconds: u64,
    /// Claims a second; left out, 70 % of what is settled when the node is pressed.
    #[arg(long, value_parser = options::rate, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Listed wallets; each claims at most once in each of twelve rounds. Left out, as many as the time may take.
    #[arg(long, value_parser = options::some())]
    wallets: Option<u32>,
    #[command(flatten)]
    show: Show,
}

impl SoakArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let wallets = u64::from(self.wallets());
        let count = wallets * ROUNDS;
        let needs = Needs {
            time: Duration::from_secs(self.seconds + count / 8_000 + 240),
            disk: count * DISK_EACH + cluster::DISK,
            memory: count * MEMORY_EACH + wallets * CHAIN_EACH + CHAIN,
        };
        needs.announce("soak", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    fn wallets(&self) -> u32 {
        let rate = self.rate.map_or(PREPARED_FOR, |rate| whole(rate.ceil()));
        let claims = rate.saturating_mul(self.seconds).saturating_add(PRESSED_MAX.into());
        self.wallets.unwrap_or(claims.div_ceil(ROUNDS).try_into().unwrap_or(u32::MAX))
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let listed = Listed::new(self.wallets()).await?;
        let plan = Plan {
            name: "soak".into(),
            list: listed.path(),
            campaigns: 1,
            rounds: ROUNDS,
            core: None,
            decisions_per_second: None,
            settles: Some(Settles { seconds: BLOCK_SECONDS, gas: BLOCK_GAS }),
        };
        let stage = Stage::start(&plan).await?;
        let mut claims = Vec::new();
        for round in 1..=ROUNDS {
            claims.extend(prepare(stage.signed_in(&listed.wallets, 0, round)?));
        }
        eprintln!("soak: {} claims signed; the node listens at {}", claims.len(), stage.set.url);
        let mut report = Report::new("soak");
        let mut records = Vec::new();
        let (rate, borne) = match self.rate {
            Some(rate) => (rate, None),
            None => {
                let rest = claims.split_off(claims.len().min(PRESSED_MAX as usize));
                let (borne, record, left) = press(&stage, claims).await?;
                claims = left.into_iter().chain(rest).collect();
                records.push(record);
                let figure = Figure::new("decided and paid when pressed", borne, "/s");
                report.add(
                    figure.note(format!("blocks of {BLOCK_SECONDS} s; claims scattered over the round")),
                );
                let most = claims.len() as f64 / self.seconds as f64;
                ((borne * LOAD).min(most), Some(borne))
            }
        };
        let steady = Steady { name: "soak", rate, seconds: self.seconds };
        claims.truncate(steady.claims());
        ensure!(claims.len() >= steady.claims(), "{} wallets are too few; raise --wallets", claims.len());
        eprintln!("soak: {rate:.0} claims a second for {} s", self.seconds);
        let course = steady.offer(&stage, claims).await?;
        if let Some(borne) = borne {
            let part = Figure::new("offered / decided and paid when pressed", course.offered() / borne, "×");
            let note =
                format!("{LOAD} is aimed at; less where --wallets or the time prepared for allow no more");
            report.add(part.goal(Goal::AtLeast(LOAD_LEAST)).note(note));
        }
        course.add(&mut report, true)?;
        records.extend(course.thirds);
        End { stage: &stage, records: &records, paid_rounds: Some(ROUNDS), show: self.show }
            .print(report)
            .await
    }
}

/// Presses the node for a moment, and waits until all of it is paid: what the whole way bears a second.
async fn press(stage: &Stage, claims: Vec<Prepared>) -> anyhow::Result<(f64, Record, Vec<Prepared>)> {
    let (campaign, distributor) = stage.set.campaigns[0];
    let offer = Offer {
        target: stage.target()?,
        campaign,
        pace: Pace::AsTaken,
        connections: PRESSING,
        at_most: PRESS_FOR,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let start = Instant::now();
    let (record, left) = offer.make(claims).await?;
    let accepted = Counts::of(&record).accepted();
    let chain = steady::connect(&stage.set.rpc).await?;
    eprintln!("soak: pressed for {PRESS_FOR:?}: {accepted} claims taken; waiting until they are paid");
    stage.all_decided().await?;
    let (_, decided) = steady::compare(stage, std::slice::from_ref(&record)).await?;
    let owed: u128 = decided.values().map(|claim| claim.amount).sum();
    eventually("what was decided is paid", || async {
        let left = chain.token_balance(stage.set.token, distributor.address, At::Latest).await?.0;
        Ok((left + owed == stage.snapshot.total().0 * u128::from(ROUNDS)).then_some(()))
    })
    .await
    .context("the pressed claims")?;
    Ok((decided.len() as f64 / start.elapsed().as_secs_f64(), record, left))
}
