//! `sluice-load workers`: two nodes of one log, both taking claims of campaigns of very different size, while verify workers
//! come and go at both. Nothing may be lost, nobody overtaken, and all workers of a node must have about as much to do.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use futures::future::try_join_all;
use sluice_core::ids::{CampaignId, IntakeKey, Millis};
use sluice_core::log::entry::{Body, Entry};
use sluice_engine::node::Node;
use uuid::Uuid;

use crate::claims::cluster;
use crate::claims::embedded::Serving;
use crate::claims::figures::{Counts, add_comparison, latencies, millis};
use crate::claims::ground::{Ground, Placed, Servers, eventually};
use crate::claims::offer::{Offer, Pace, Prepared, Record, prepare};
use crate::claims::reconcile::LogSide;
use crate::claims::stats::{median, whole};
use crate::claims::wallets::{self, Wallet};
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};
use crate::soak::{DISK_EACH, MEMORY_EACH};

/// What each campaign sends of a hundred claims.
const SHARES: [u32; 4] = [85, 10, 4, 1];
/// Connections of each campaign to each node.
const CONNECTIONS: usize = 64;
/// Workers of each node while their load is compared.
const STEADY: usize = 4;
/// How many there are by turns while they come and go, and for how long.
const TURNS: [usize; 8] = [1, 4, 2, 8, 1, 16, 3, 1];
const TURN: Duration = Duration::from_millis(500);
/// Whoever was accepted so much later and decided earlier has overtaken. Inside one moment several are verified at once.
const OVERTAKEN: Millis = 100;

/// `sluice-load workers`.
#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    /// Claims a second, of all campaigns at both nodes.
    #[arg(long, default_value_t = 1_500, value_parser = options::whole_rate())]
    rate: u32,
    /// Length of each of the two stretches, seconds.
    #[arg(long, default_value_t = 20, value_parser = options::seconds())]
    seconds: u64,
    #[command(flatten)]
    show: Show,
}

/// Claims of one campaign at one node, of both stretches.
#[derive(Debug)]
struct Stream {
    campaign: CampaignId,
    at: usize,
    rate: f64,
    left: Vec<Prepared>,
}

impl WorkersArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let count = u64::from(self.wallets()) * 2;
        let needs = Needs {
            time: Duration::from_secs(self.seconds * 2 + count / 8_000 + 40),
            disk: count * DISK_EACH + cluster::DISK,
            memory: count * MEMORY_EACH + (1 << 30),
        };
        needs.announce("workers", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    /// As many as the largest campaign needs.
    fn wallets(&self) -> u32 {
        let seconds = u32::try_from(self.seconds).unwrap_or(u32::MAX).saturating_add(1);
        self.rate.saturating_mul(seconds).saturating_mul(2)
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let count = self.wallets();
        let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
        let ground = Ground::start(&servers, "workers").await?;
        let mut streams = self.streams(&ground, &wallets).await?;
        // Another process of the same sequencer: it follows as long as the first one leads.
        let beside = Node::start(ground.prepared.node(1, &format!("beside {}", Uuid::now_v7()))?).await?;
        let follows = Serving::of(beside.clone()).await?;
        let leads = Serving::start(Arc::new(ground)).await?;
        eprintln!(
            "workers: claims signed; the nodes listen at {} and {}",
            leads.target.url(),
            follows.0.url()
        );
        let nodes = [leads.ground.node.clone(), beside];
        ensure!(nodes[1].status().leading.is_none(), "the second node leads");
        let targets = [leads.target.clone(), follows.0.clone()];

        nodes.iter().for_each(|node| node.verify_workers().set(some(STEADY)));
        let before = nodes.each_ref().map(|node| node.verify_workers().busy());
        let mut records = self.offer(&targets, &mut streams).await?;
        let after = nodes.each_ref().map(|node| node.verify_workers().busy());
        let stop = Arc::new(AtomicBool::new(false));
        let coming_and_going = tokio::spawn(come_and_go(nodes.clone(), Arc::clone(&stop)));
        let changing = self.offer(&targets, &mut streams).await?;
        stop.store(true, Ordering::Relaxed);
        let changes = coming_and_going.await?;
        for node in &nodes {
            eventually("every accepted claim is decided", || async {
                Ok((node.status().waiting == 0).then_some(()))
            })
            .await?;
        }
        let mut report = Report::new("workers");
        for (name, records) in [("as many all the time", &records), ("coming and going", &changing)] {
            let all: u64 =
                records.iter().map(|record| (record.seen.len() + record.unsent.len()) as u64).sum();
            let accepted: u64 = records.iter().map(|record| Counts::of(record).accepted()).sum();
            let figure = Figure::new(format!("{name}: not accepted"), (all - accepted) as f64, "claims");
            report.add(
                figure
                    .goal(Goal::AtMost(0.0))
                    .note(format!("of {all}, half at each node, those due and not sent among them")),
            );
            report.add(Figure::new(format!("{name}: p99"), millis(&latencies(records)?, 0.99), "ms"));
        }
        for (name, before, after) in [("leader", &before[0], &after[0]), ("follower", &before[1], &after[1])]
        {
            add_loads(&mut report, name, before, after, self.seconds)?;
        }
        report.add(Figure::new("changes of their number", changes as f64, "times").note("at each node"));
        records.extend(changing);
        let (mut log, mut order) = (LogSide::default(), Order::default());
        leads
            .ground
            .read_log(|entry| {
                log.take(&entry);
                order.take(&entry);
            })
            .await?;
        report.add(order.figure());
        let comparison = log.compare(records.iter().flat_map(|record| &record.seen));
        add_comparison(&mut report, &comparison);
        report.print(self.show)?;
        follows.1.abort();
        nodes[1].stop().await;
        drop(nodes);
        leads.stop().await;
        servers.stop().await;
        ensure!(comparison.agrees(), "the client's record and the log differ: {comparison:?}");
        Ok(())
    }

    /// The campaigns, an open round in each, and their claims for each node.
    async fn streams(&self, ground: &Ground, wallets: &[Wallet]) -> anyhow::Result<Vec<Stream>> {
        let list = ground.prepared.dir.join("list.csv");
        wallets::write_list(wallets, &list)?;
        let stored = ground.snapshot(&list).await?;
        let mut streams = Vec::new();
        for (number, share) in SHARES.into_iter().enumerate() {
            let placed = match number {
                0 => Placed { campaign: ground.campaign, distributor: ground.distributor },
                _ => ground.create_campaign(&format!("campaign {number}")).await?,
            };
            let round = ground.open_round_of(placed, 1, stored.clone(), None).await?;
            let rate = f64::from(self.rate * share) / 200.0;
            // Of both stretches and both nodes.
            let each = usize::try_from(whole(rate * self.seconds as f64))? * 2 + 2;
            let mine = wallets.get(..each * 2).context("wallets for everybody")?;
            let mut claims = prepare(wallets::signed(mine, &round.snapshot, 1, placed.distributor)?);
            let rest = claims.split_off(each);
            for (at, left) in [claims, rest].into_iter().enumerate() {
                streams.push(Stream { campaign: placed.campaign, at, rate, left });
            }
        }
        Ok(streams)
    }

    /// A stretch: everybody to their node.
    async fn offer(
        &self,
        targets: &[crate::claims::client::Target; 2],
        streams: &mut [Stream],
    ) -> anyhow::Result<Vec<Record>> {
        let offers = streams.iter_mut().map(|stream| {
            let offer = Offer {
                target: targets[stream.at].clone(),
                campaign: stream.campaign,
                pace: Pace::PerSecond(stream.rate),
                connections: CONNECTIONS,
                at_most: Duration::from_secs(self.seconds),
                stop: Arc::new(AtomicBool::new(false)),
            };
            async move {
                let (record, left) = offer.make(std::mem::take(&mut stream.left)).await?;
                stream.left = left;
                anyhow::Ok(record)
            }
        });
        try_join_all(offers).await
    }
}

fn some(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

/// Changes the number of workers at both nodes, not at the same time, until it is told to stop; says how often.
async fn come_and_go(nodes: [Node; 2], stop: Arc<AtomicBool>) -> u32 {
    let mut changes = 0;
    let mut turns = tokio::time::interval(TURN);
    for turn in 0.. {
        turns.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for (number, node) in nodes.iter().enumerate() {
            node.verify_workers().set(some(TURNS[(turn + number * 3) % TURNS.len()]));
        }
        changes += 1;
    }
    changes
}

/// Adds how much the busiest worker had to do beside the one in the middle.
fn add_loads(
    report: &mut Report,
    node: &str,
    before: &BTreeMap<u64, Duration>,
    after: &BTreeMap<u64, Duration>,
    seconds: u64,
) -> anyhow::Result<()> {
    let of = |(name, busy): (&u64, &Duration)| {
        busy.saturating_sub(before.get(name).copied().unwrap_or_default()).as_secs_f64() / seconds as f64
    };
    let loads: Vec<f64> = after.iter().map(of).collect();
    let busiest = loads.iter().copied().fold(0.0, f64::max);
    ensure!(loads.len() == STEADY && busiest > 0.0, "the {node}'s workers had nothing to do");
    let ratio = Figure::new(format!("{node}: busiest worker / median"), busiest / median(&loads), "×");
    let shares: Vec<_> = loads.iter().map(|load| format!("{:.1}", load * 100.0)).collect();
    report.add(ratio.goal(Goal::AtMost(1.2)).note(format!("{} % of their time", shares.join(", "))));
    Ok(())
}

/// Who was overtaken: of each campaign and node, the latest that was accepted among those decided so far.
#[derive(Debug, Default)]
struct Order {
    latest: BTreeMap<(CampaignId, u32), Millis>,
    overtaken: u64,
    farthest: Millis,
    claims: u64,
}

impl Order {
    fn take(&mut self, entry: &Entry) {
        if let Body::ClaimDecided(claim) = &entry.body {
            self.decided(claim.intake, claim.accepted_at);
        }
    }

    fn decided(&mut self, key: IntakeKey, accepted_at: Millis) {
        let latest = self.latest.entry((key.campaign, key.node)).or_default();
        let by = latest.saturating_sub(accepted_at);
        *latest = accepted_at.max(*latest);
        self.claims += 1;
        self.overtaken += u64::from(by > OVERTAKEN);
        self.farthest = self.farthest.max(by);
    }

    fn figure(&self) -> Figure {
        let figure = Figure::new("overtaken", self.overtaken as f64, "claims").goal(Goal::AtMost(0.0));
        figure.note(format!(
            "of {}, by one of their campaign and node that was accepted over {OVERTAKEN} ms later; the farthest by {} ms",
            self.claims, self.farthest
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_the_same_queue_that_came_much_later_overtakes() {
        let mut order = Order::default();
        let key =
            |campaign: u128, node, n| IntakeKey { campaign: CampaignId(Uuid::from_u128(campaign)), node, n };
        for (key, at) in [
            (key(1, 1, 2), 1_100),
            (key(1, 1, 1), 1_000),
            (key(1, 2, 1), 10),
            (key(2, 1, 1), 10),
            (key(1, 1, 3), 1_300),
            (key(1, 1, 4), 1_199),
        ] {
            order.decided(key, at);
        }
        assert_eq!((order.overtaken, order.farthest, order.claims), (1, 101, 6));
    }
}
