//! One density: a deployment of its own, claims decided while nothing can be sent, then everything settled at once, and
//! the same transactions sent again without the engine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, Bytes};
use anyhow::{Context, bail, ensure};
use futures::stream::{self, TryStreamExt};
use serde_json::json;
use sluice_chain::At;
use sluice_core::command::ClaimDemand;
use sluice_core::fees::{SettlementPolicy, SettlementTerms};
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::Body;
use sluice_core::state::status::ClaimState;
use sluice_engine::intake::SubmitError;
use sluice_engine::node::Node;
use sluice_server::dev;
use uuid::Uuid;

use crate::claims::ground::{Ground, Servers, eventually};
use crate::claims::wallets::{self, Wallet};

/// Claims handed in at once.
const AT_ONCE: usize = 256;
/// The longest that transactions sent again may take to be mined.
const STUCK: Duration = Duration::from_secs(60);
/// Between two looks at a transaction receipt.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Wei for the settlement account: far more than all of it costs.
const COIN: &str = "0xd3c21bcecceda1000000";

/// What one density showed.
pub(super) struct Settled {
    pub(super) claims: usize,
    pub(super) calls: usize,
    /// By transaction receipts.
    pub(super) gas: u64,
    /// From the moment that the account had coin until the last claim was seen to be paid.
    pub(super) took: Duration,
    /// From the first transaction sent again until the last was mined.
    pub(super) raw: Duration,
}

/// Settles the claims of so many wallets, spread over the list.
pub(super) async fn measure(
    servers: &Servers,
    wallets: &[Wallet],
    percent: u32,
    count: usize,
) -> anyhow::Result<Settled> {
    let mut ground = Ground::start(servers, &format!("settle_{percent}")).await?;
    let list = ground.prepared.dir.join("list.csv");
    wallets::write_list(wallets, &list)?;
    let stored = ground.snapshot(&list).await?;
    let round = ground.open_round(1, stored, None).await?;
    // Wallets are hashes, so any of them are spread over the list.
    let claims = wallets::signed(&wallets[..count], &round.snapshot, 1, ground.distributor)?;
    let indexes: Vec<u64> = claims.iter().map(|claim| claim.index).collect();
    // While they come in, nothing that is not full is planned: as where they came over a long time.
    again(&mut ground, Duration::from_secs(86_400)).await?;
    decide(&ground, claims).await?;
    again(&mut ground, Duration::ZERO).await?;
    let lane = dev::lane(1, 0)?.address();
    // Until the chain knows the epoch nothing is signed; that is not settlement's time.
    eventually("the chain knows the epoch", || async {
        let known = ground.prepared.chain.epoch(ground.prepared.charter, At::Latest).await?;
        Ok((Some(known) == ground.node.status().leading).then_some(()))
    })
    .await?;
    let before = servers.anvil("evm_snapshot", json!([])).await?;
    let start = Instant::now();
    servers.anvil("anvil_setBalance", json!([lane, COIN])).await?;
    eventually("every claim is paid", || async { Ok(all_paid(&ground, &indexes)) }).await?;
    let took = start.elapsed();
    let mined = mined(&ground).await?;
    let mut gas = 0;
    for (tx, _) in &mined {
        let receipt =
            ground.prepared.chain.receipt(*tx).await?.context("a mined transaction has a receipt")?;
        gas += receipt.gas_used;
    }
    ground.node.stop().await;
    let reverted = servers.anvil("evm_revert", json!([before])).await?;
    ensure!(reverted == json!(true), "anvil could not go back: {reverted}");
    servers.anvil("anvil_setBalance", json!([lane, COIN])).await?;
    let raw = send_again(servers, &mined).await?;
    ground.prepared.stop().await;
    Ok(Settled { claims: count, calls: mined.len(), gas, took, raw })
}

/// Starts the ground's node again, with a settlement window.
async fn again(ground: &mut Ground, window: Duration) -> anyhow::Result<()> {
    ground.node.stop().await;
    let mut config = ground.prepared.node(1, &format!("settle {}", Uuid::now_v7()))?;
    for chain in config.chains.values_mut() {
        let usual = SettlementTerms { window, spend: None };
        chain.terms = SettlementPolicy { usual, campaigns: BTreeMap::new() };
    }
    ground.node = Node::start(config).await?;
    let node = &ground.node;
    eventually("the node leads", || async { Ok(node.status().leading) }).await?;
    Ok(())
}

/// Hands all claims in and waits until they are decided.
async fn decide(ground: &Ground, claims: Vec<ClaimDemand>) -> anyhow::Result<()> {
    let indexes: Vec<u64> = claims.iter().map(|claim| claim.index).collect();
    stream::iter(claims.into_iter().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |claim| async move {
            let id = DemandId(Uuid::now_v7());
            eventually("a claim is taken", || async {
                match ground.node.submit_claim(ground.campaign, id, claim.clone()).await {
                    Ok(_) => Ok(Some(())),
                    Err(SubmitError::Busy { .. } | SubmitError::Unavailable { .. }) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            })
            .await
        })
        .await?;
    let decided = |state: &ClaimState| !matches!(state, ClaimState::Waiting);
    eventually("every claim is decided", || async { Ok(all(ground, &indexes, decided)) }).await
}

fn all_paid(ground: &Ground, indexes: &[u64]) -> Option<()> {
    all(ground, indexes, |state| matches!(state, ClaimState::Paid { .. } | ClaimState::Final))
}

/// Whether all of these are in such a state.
fn all(ground: &Ground, indexes: &[u64], wanted: impl Fn(&ClaimState) -> bool) -> Option<()> {
    ground.node.follower().read(|state| {
        let campaign = state.campaign(ground.campaign)?;
        let is = |index: &u64| {
            campaign.status(EntitlementId { round: 1, index: *index }).is_some_and(|found| wanted(&found))
        };
        indexes.iter().all(is).then_some(())
    })
}

/// The transactions by which batches were mined, in order, with their bytes.
async fn mined(ground: &Ground) -> anyhow::Result<Vec<(B256, Bytes)>> {
    let mut hashes = Vec::new();
    ground
        .read_log(|entry| {
            if let Body::BatchMined(mined) = entry.body {
                hashes.push(mined.tx_hash);
            }
        })
        .await?;
    let mut found = Vec::new();
    for hash in hashes {
        let raw = ground.node.store().raw_of(hash).await?.context("the bytes of an attempt are kept")?;
        found.push((hash, Bytes::from(raw)));
    }
    Ok(found)
}

/// Sends them as fast as the chain takes them, in order, and waits until the last is mined: an account's transactions are
/// mined in the order of their nonces.
async fn send_again(servers: &Servers, mined: &[(B256, Bytes)]) -> anyhow::Result<Duration> {
    let (last, _) = mined.last().context("nothing was mined")?;
    let receipt = async |hash: &B256| servers.anvil("eth_getTransactionReceipt", json!([hash])).await;
    let start = Instant::now();
    for (_, raw) in mined {
        servers.anvil("eth_sendRawTransaction", json!([raw])).await?;
    }
    let is_mined = async {
        while receipt(last).await?.is_null() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(STUCK, is_mined).await {
        Ok(is_mined) => is_mined?,
        Err(_) => bail!("{last} is not mined: {}", servers.anvil("txpool_inspect", json!([])).await?),
    }
    let took = start.elapsed();
    for (hash, _) in mined {
        let receipt = receipt(hash).await?;
        ensure!(
            receipt["status"] == json!("0x1"),
            "{hash} was sent again and not mined, or reverted: {receipt}"
        );
    }
    Ok(took)
}
