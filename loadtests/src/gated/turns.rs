//! Claims through a node's door, all of them at once as far as it takes them, until the last is decided.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{CampaignId, DemandId};
use sluice_core::log::entry::Body;
use sluice_engine::intake::{SubmitError, Submitted};
use sluice_engine::node::{DemandStatus, Node};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::claims::ground::eventually;
use crate::claims::processor::family_seconds;
use crate::machine::process_seconds;

/// Claims under way at once: enough that groups are full, few enough that nobody waits long for a decision.
const AT_ONCE: usize = 1_024;
/// Before a claim that found the door full comes again.
const COME_BACK: Duration = Duration::from_millis(20);

/// What a turn came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Claims decided a second.
    pub(crate) rate: f64,
    /// Seconds of processor time a claim: of this process, of the database, of the chain.
    pub(crate) used: [f64; 3],
}

impl Turn {
    /// As [`decide_all`]. `servers`: the processes of database and chain.
    ///
    /// # Errors
    /// When a claim is refused.
    pub(crate) async fn take(
        node: &Node,
        campaign: CampaignId,
        claims: Vec<ClaimDemand>,
        servers: [u32; 2],
    ) -> anyhow::Result<Self> {
        let used = || [process_seconds(), family_seconds(servers[0]), family_seconds(servers[1])];
        let (count, before) = (claims.len() as f64, used());
        let rate = decide_all(node, campaign, claims).await?;
        let now = used();
        Ok(Self { rate, used: std::array::from_fn(|of| (now[of] - before[of]) / count) })
    }
}

/// Hands in all of these claims and waits until each is decided and durable. Returns how many a second.
///
/// # Errors
/// When one is refused: all of them are good.
pub(crate) async fn decide_all(
    node: &Node,
    campaign: CampaignId,
    claims: Vec<ClaimDemand>,
) -> anyhow::Result<f64> {
    let count = claims.len();
    ensure!(count > 0, "a turn needs claims");
    let waiting = Arc::new(Mutex::new(claims.into_iter()));
    let mut workers = JoinSet::new();
    let start = Instant::now();
    for _ in 0..AT_ONCE.min(count) {
        let (waiting, node) = (Arc::clone(&waiting), node.clone());
        workers.spawn(async move {
            loop {
                let next = waiting.lock().expect("no panic inside").next();
                let Some(claim) = next else { return Ok::<_, anyhow::Error>(()) };
                decide(&node, campaign, claim).await?;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Hands in one and waits until it is decided.
pub(crate) async fn decide(node: &Node, campaign: CampaignId, claim: ClaimDemand) -> anyhow::Result<()> {
    let id = DemandId(Uuid::now_v7());
    let submitted = loop {
        match node.submit_claim(campaign, id, claim.clone()).await {
            Ok(submitted) => break submitted,
            Err(SubmitError::Busy { .. } | SubmitError::Unavailable { .. }) => {
                tokio::time::sleep(COME_BACK).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let entry = match submitted {
        Submitted::Decided(outcome) => outcome.entry,
        Submitted::Waiting(_) | Submitted::Before(_) => {
            eventually("a claim is decided", || async {
                Ok(match node.demand(campaign, id).await? {
                    Some(DemandStatus::Decided { entry, .. }) => Some(*entry),
                    _ => None,
                })
            })
            .await?
        }
    };
    match entry.body {
        Body::ClaimDecided(_) => Ok(()),
        other => bail!("a good claim was not decided: {other:?}"),
    }
}
