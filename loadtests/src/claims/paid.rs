//! What the chain paid of the claims' measurement, where it is settled afterwards: beside the measurement, the chain would
//! have the processor that the node is measured on.

use std::collections::HashMap;

use anyhow::Context;
use serde_json::json;
use sluice_core::log::entry::Body;
use sluice_engine::snapshots::Snapshots;
use sluice_server::dev;
use sluice_snapshot::Snapshot;

use super::ground::{Ground, Servers};
use crate::stage::{COIN, ROUND};
use crate::steady::{Decided, OnChain, Payer, connect};

/// Gives the settlement account coin, waits until all is paid that can be, and compares. Claims before a gate are left out:
/// they wait for the gate's word, and nobody gives it here.
pub(super) async fn compare(servers: &Servers, ground: &Ground, gated: bool) -> anyhow::Result<OnChain> {
    let mut decided = HashMap::new();
    ground
        .read_log(|entry| {
            if let Body::ClaimDecided(claim) = &entry.body
                && claim.entitlement.round == ROUND
            {
                let of = Decided { recipient: claim.recipient, amount: claim.amount.get() };
                decided.insert((ROUND, claim.entitlement.index), of);
            }
        })
        .await?;
    let list =
        ground.node.follower().read(|s| Some(s.campaign(ground.campaign)?.round(ROUND)?.terms.list_hash));
    let list = list.context("the round without a gate")?;
    let snapshot = Snapshot::open(Snapshots::new(ground.prepared.snapshots()).path(list))?;
    let payer = Payer {
        chain: connect(&servers.rpc()).await?,
        distributor: ground.distributor.address,
        token: ground.prepared.token,
        // Each round was given the whole list's sum.
        funded: snapshot.total().0 * if gated { 2 } else { 1 },
        rounds: ROUND..ROUND + 1,
        snapshot: &snapshot,
    };
    eprintln!("claims: {} decided without a gate; waiting until they are paid", decided.len());
    servers.anvil("anvil_setBalance", json!([dev::lane(1, 0)?.address(), COIN])).await?;
    OnChain::compare(&payer, &decided).await
}
