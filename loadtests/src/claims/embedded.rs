//! The claims' measurement at a node in this process: its own threads, PostgreSQL's processes and the generator's thread
//! are told apart when the processor is counted.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use sluice_core::command::ClaimDemand;
use sluice_engine::node::Node;
use sluice_server::{http, telemetry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::ClaimsArgs;
use super::client::Target;
use super::figures::{self, Counts, Used};
use super::ground::{Ground, Round, Servers, eventually};
use super::offer::{Offer, Pace, Prepared, Record, prepare};
use super::processor::{family_seconds, sync_time};
use super::reconcile::LogSide;
use super::wallets::{self, Wallet};
use crate::gated::offices;
use crate::machine;
use crate::report::{Goal, Report};

/// How long the node is pressed to find out what it bears.
const PRESS_FOR: Duration = Duration::from_secs(8);
/// Connections that press: enough for full groups, few enough that the queue stays short.
const PRESSING: usize = 512;

/// A node of this process that listens.
pub(crate) struct Serving {
    pub(crate) ground: Arc<Ground>,
    pub(crate) target: Target,
    server: JoinHandle<()>,
}

impl Serving {
    /// Puts the HTTP API before a ground's node.
    pub(crate) async fn start(ground: Arc<Ground>) -> anyhow::Result<Self> {
        let (target, server) = Self::of(ground.node.clone()).await?;
        Ok(Self { ground, target, server })
    }

    /// Puts it before any node of this process.
    pub(crate) async fn of(node: Node) -> anyhow::Result<(Target, JoinHandle<()>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let target = Target::new(&format!("http://{}", listener.local_addr()?))?;
        let app = http::app(node, http::Options::default(), telemetry::figures()?);
        let server = tokio::spawn(async {
            // Gone when this task is aborted; the door then ends by itself.
            let (_open, closed) = oneshot::channel::<()>();
            let close = async {
                let _ = closed.await;
            };
            if let Err(error) = http::serve_apart(listener, app, close).await {
                eprintln!("the node does not listen: {error}");
            }
        });
        Ok((target, server))
    }

    pub(crate) async fn stop(self) {
        self.server.abort();
        if let Ok(ground) = Arc::try_unwrap(self.ground) {
            ground.stop().await;
        }
    }
}

/// A node with an open round and, if any claim is to be gated, a gated one of the same list, with everybody attested who
/// claims in it.
pub(crate) async fn field(
    servers: &Servers,
    wallets: &[Wallet],
    gated_every: u32,
) -> anyhow::Result<(Serving, Vec<ClaimDemand>)> {
    let ground = Arc::new(Ground::start(servers, "claims").await?);
    let list = ground.prepared.dir.join("list.csv");
    wallets::write_list(wallets, &list)?;
    let stored = ground.snapshot(&list).await?;
    let open = ground.open_round(1, stored.clone(), None).await?;
    let claims = match gated_every {
        0 => signed(&ground, wallets, &open)?,
        every => {
            let [gate, _] = offices::set_up(servers, &ground).await?;
            let gated = ground.open_round(2, stored, Some((gate.version, gate.hash))).await?;
            let is_gated = |i: usize| (i as u64).is_multiple_of(every.into());
            let before: Vec<Wallet> =
                wallets.iter().enumerate().filter_map(|(i, w)| is_gated(i).then_some(*w)).collect();
            attest(&ground, &before).await?;
            let (open, gated) = (signed(&ground, wallets, &open)?, signed(&ground, wallets, &gated)?);
            let both = open.into_iter().zip(gated).enumerate();
            both.map(|(i, (open, gated))| if is_gated(i) { gated } else { open }).collect()
        }
    };
    Ok((Serving::start(ground).await?, claims))
}

fn signed(ground: &Ground, wallets: &[Wallet], round: &Round) -> anyhow::Result<Vec<ClaimDemand>> {
    wallets::signed(wallets, &round.snapshot, round.number, ground.distributor)
}

async fn attest(ground: &Ground, wallets: &[Wallet]) -> anyhow::Result<()> {
    let (start, issuer) = (Instant::now(), offices::issuer()?);
    // In portions: the texts of all of them would fill gigabytes.
    for portion in wallets.chunks(20_000) {
        let texts = portion.par_iter().map(|wallet| offices::attested(&issuer, wallet.address, 0));
        let texts = texts.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
        offices::hand_in(ground.node.attestations(), texts).await?;
    }
    eprintln!("{} attestations signed and handed in within {:?}", wallets.len() * 2, start.elapsed());
    Ok(())
}

/// Measures and prints.
pub(super) async fn measure(args: &ClaimsArgs) -> anyhow::Result<()> {
    let servers = Servers::start().await?;
    let sync = sync_time(servers.folder())?;
    let count = args.wallets;
    let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
    let (serving, claims) = field(&servers, &wallets, args.gated_every).await?;
    eprintln!("claims: {} signed; the node listens at {}", claims.len(), serving.target.url());
    let mut left = prepare(claims);
    let mut records = Vec::new();
    let postgres = servers.postgres.pid();

    let rate = match args.rate {
        Some(rate) => rate,
        None => {
            let offer = offer(args, &serving, Pace::AsTaken, PRESSING, PRESS_FOR);
            let (pressed, _, rest) = watched(offer, left, postgres).await?;
            left = rest;
            let rate = Counts::of(&pressed).accepted() as f64 / pressed.took.as_secs_f64();
            eprintln!("claims: pressed by {PRESSING} connections the node took {rate:.0} a second");
            records.push(pressed);
            rate
        }
    };
    let mut report = Report::new("claims");
    figures::add_sync(&mut report, sync);
    let mut phases = Vec::new();
    let full =
        offer(args, &serving, Pace::PerSecond(rate), args.connections, Duration::from_secs(args.seconds));
    let (record, used, rest) = watched(full, left, postgres).await?;
    let decided = settled(&serving, &record).await?;
    let calm_rate = decided as f64 / record.took.as_secs_f64() * 0.7;
    phases.push(("full", record, used, decided, [Some(Goal::AtLeast(10_000.0)), None]));
    let calm = Duration::from_secs(args.calm_seconds);
    let offer = offer(args, &serving, Pace::PerSecond(calm_rate), args.connections, calm);
    let (record, used, rest) = watched(offer, rest, postgres).await?;
    let decided = settled(&serving, &record).await?;
    phases.push(("at 70 %", record, used, decided, [None, Some(Goal::AtMost(250.0))]));
    if rest.is_empty() {
        eprintln!("claims: the wallets ran out before the time did; take more (--wallets)");
    }

    for (name, record, used, decided, goals) in &phases {
        figures::add(&mut report, name, record, *decided, *goals, Some(*used))?;
    }
    records.extend(phases.into_iter().map(|(_, record, ..)| record));
    let mut log = LogSide::default();
    serving.ground.read_log(|entry| log.take(&entry)).await?;
    let seen: Vec<_> = records.into_iter().flat_map(|record| record.seen).collect();
    let comparison = log.compare(&seen);
    figures::add_comparison(&mut report, &comparison);
    report.print(args.show)?;
    serving.stop().await;
    servers.stop().await;
    anyhow::ensure!(comparison.agrees(), "the client's record and the log differ: {comparison:?}");
    Ok(())
}

fn offer(args: &ClaimsArgs, serving: &Serving, pace: Pace, connections: usize, at_most: Duration) -> Offer {
    Offer {
        target: serving.target.clone(),
        campaign: serving.ground.campaign,
        pace,
        connections: connections.min(args.connections),
        at_most,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

/// Makes an offer and counts who used the processor meanwhile.
async fn watched(
    offer: Offer,
    claims: Vec<Prepared>,
    postgres: u32,
) -> anyhow::Result<(Record, Used, Vec<Prepared>)> {
    let now = || {
        let (user, system) = machine::cpu_seconds();
        (user + system, family_seconds(postgres))
    };
    let before = now();
    let (record, left) = offer.make(claims).await?;
    let after = now();
    let used = Used { node: after.0 - before.0 - record.generator, postgres: after.1 - before.1 };
    Ok((record, used, left))
}

/// Waits until nobody waits, and says how many of a record's claims the log decided.
async fn settled(serving: &Serving, record: &Record) -> anyhow::Result<u64> {
    let follower = serving.ground.node.follower();
    eventually("every accepted claim is decided", || async {
        Ok((follower.room().is_empty()).then_some(()))
    })
    .await?;
    let campaign = serving.ground.campaign;
    Ok(follower.read(|state| {
        let Some(campaign) = state.campaign(campaign) else { return 0 };
        let decided = |round: u64, index: u64| {
            campaign.round(round).is_some_and(|round| {
                let (shard, at) = round.shard(index);
                shard.decided.get(at)
            })
        };
        record.seen.iter().filter(|seen| decided(seen.round, seen.index)).count() as u64
    }))
}
