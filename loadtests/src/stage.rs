//! A node with its servers in a process of its own, so that its memory and its core are its own and not the generator's:
//! `sluice-load stage`, started by the measurements that need one, and ended when its standard input is.

mod process;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_core::ids::{CampaignId, ContractRef};
use sluice_engine::node::Node;
use sluice_engine::snapshots::Snapshots;
use sluice_server::dev;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::claims::embedded::Serving;
use crate::claims::ground::{Ground, Placed, Servers, eventually};
use crate::claims::run;

pub(crate) use process::Stage;

/// The first round of each campaign.
pub(crate) const ROUND: u64 = 1;
/// Wei for the settlement account: far more than all of it costs.
pub(crate) const COIN: &str = "0xd3c21bcecceda1000000";

/// What a stage is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Names the database.
    pub(crate) name: String,
    /// The list of every campaign.
    pub(crate) list: PathBuf,
    /// Campaigns.
    pub(crate) campaigns: u32,
    /// The open rounds of each of them, all of that list.
    pub(crate) rounds: u64,
    /// The core that node and servers share; all of them where none is named.
    pub(crate) core: Option<usize>,
    /// What the node decides a second at most.
    pub(crate) decisions_per_second: Option<NonZeroU32>,
    /// Whether the settlement account has coin; blocks then come at this pace and at no other time.
    pub(crate) settles: Option<Settles>,
}

/// A chain that pays.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Settles {
    /// Seconds between blocks.
    pub(crate) seconds: u64,
    /// Gas of a block.
    pub(crate) gas: u64,
}

/// Where everything on a stage is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Set {
    /// Where the node listens.
    pub(crate) url: String,
    /// Where its database is.
    pub(crate) database: String,
    /// Where its chain is.
    pub(crate) rpc: String,
    /// The token of all campaigns.
    pub(crate) token: Address,
    /// PostgreSQL's first process.
    pub(crate) postgres: u32,
    /// The list's snapshot.
    pub(crate) snapshot: PathBuf,
    /// The campaigns with their Distributors.
    pub(crate) campaigns: Vec<(CampaignId, ContractRef)>,
}

/// `sluice-load stage`.
#[derive(Debug, Args)]
pub(crate) struct StageArgs {
    /// The plan, as JSON.
    plan: String,
}

impl StageArgs {
    /// Sets the stage, says where everything is in one line, and plays until standard input ends.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let plan: Plan = serde_json::from_str(&self.plan)?;
        if let Some(core) = plan.core {
            // Before any other thread or process is started: all of them inherit it.
            crate::machine::keep_to_core(core)?;
        }
        run::to_the_end(play(plan))
    }
}

async fn play(plan: Plan) -> anyhow::Result<()> {
    let ended = input_ended();
    let mut servers = Servers::start().await?;
    let mut ground = Ground::start(&servers, &plan.name).await?;
    let (snapshot, hash) = ground.snapshot(&plan.list).await?;
    let mut placed = vec![Placed { campaign: ground.campaign, distributor: ground.distributor }];
    for number in 1..plan.campaigns {
        placed.push(ground.create_campaign(&format!("{} {number}", plan.name)).await?);
    }
    for placed in &placed {
        for round in ROUND..ROUND + plan.rounds {
            ground.open_round_of(*placed, round, (Arc::clone(&snapshot), hash), None).await?;
        }
    }
    if let Some(Settles { seconds, gas }) = plan.settles {
        servers.mine_every(Duration::from_secs(seconds), gas).await?;
        servers.anvil("anvil_setBalance", json!([dev::lane(1, 0)?.address(), COIN])).await?;
    }
    if plan.decisions_per_second.is_some() {
        slow_down(&mut ground, &plan).await?;
    }
    let set = Set {
        url: String::new(),
        database: ground.prepared.database_url.clone(),
        rpc: servers.rpc(),
        token: ground.prepared.token,
        postgres: servers.postgres.pid(),
        snapshot: Snapshots::new(ground.prepared.snapshots()).path(hash),
        campaigns: placed.iter().map(|placed| (placed.campaign, placed.distributor)).collect(),
    };
    let serving = Serving::start(Arc::new(ground)).await?;
    println!("{}", serde_json::to_string(&Set { url: serving.target.url(), ..set })?);
    let failed = serving.ground.node.clone();
    let played = tokio::select! {
        // Whether it was sent or dropped, it is the end.
        _ = ended => Ok(()),
        error = failed.failed() => Err(anyhow::Error::new(error).context("the node must exit")),
    };
    drop(failed);
    serving.stop().await;
    servers.stop().await;
    played
}

/// Starts the node again, under a bound that the set-up did not need.
async fn slow_down(ground: &mut Ground, plan: &Plan) -> anyhow::Result<()> {
    ground.node.stop().await;
    let mut config = ground.prepared.node(1, &format!("stage {}", Uuid::now_v7()))?;
    config.decisions_per_second = plan.decisions_per_second;
    ground.node = Node::start(config).await?;
    let node = &ground.node;
    eventually("the node leads again", || async { Ok(node.status().leading) }).await?;
    Ok(())
}

/// Resolves when the other end of standard input is gone, as it is when the measurement was killed.
fn input_ended() -> oneshot::Receiver<()> {
    let (gone, ended) = oneshot::channel();
    std::thread::spawn(move || {
        // However it ends, it has ended.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = gone.send(());
    });
    ended
}
