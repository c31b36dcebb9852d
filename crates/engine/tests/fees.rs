//! What transactions may cost: our cap, the nodes' caps, and a takeover in a market that rises.

mod support;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, hex, keccak256};
use serde_json::json;
use sluice_core::command::Action;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::{AttemptSigned, Body};
use sluice_core::state::status::ClaimState;
use sluice_engine::node::{Node, NodeConfig};
use sluice_snapshot::Snapshot;
use support::proxy::{Hold, Proxy, cost_of, refusal, transaction};
use support::{World, decided, eventually, tokens, wallet};
use uuid::Uuid;

const GWEI: u128 = 1_000_000_000;
const ETHER: u128 = GWEI * GWEI;

/// A node with an open round of ten wallets.
async fn opened(world: &World, config: NodeConfig) -> (Node, Snapshot) {
    let node = Node::start(config).await.expect("a node");
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    (node, snapshot)
}

async fn claimed(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> u64 {
    let claim = world.claim(snapshot, 1, &wallet(i), wallet(i).address());
    let index = claim.index;
    let submitted = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
    let outcome = decided(node, submitted.expect("accepted")).await;
    assert!(matches!(outcome.entry.body, Body::ClaimDecided(_)), "{:?}", outcome.entry.body);
    index
}

async fn attempts(world: &World, node: &Node) -> Vec<AttemptSigned> {
    let entries = world.log(node).await.into_iter();
    let attempt = |body| match body {
        Body::AttemptSigned(attempt) => Some(attempt),
        _ => None,
    };
    entries.filter_map(|entry| attempt(entry.body)).collect()
}

fn cost(attempt: &AttemptSigned) -> u128 {
    attempt.max_fee * u128::from(attempt.gas_limit)
}

/// From here on the next block's base fee is this, wei, until blocks are made.
async fn base_fee(world: &World, wei: u128) {
    world.anvil("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")])).await;
    world.mine(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_refuses_for_its_cost_is_signed_for_less_at_the_same_nonce() {
    let world = World::new().await;
    // As geth does with `--rpc.txfeecap 0.3`.
    let cap = 3 * ETHER / 10;
    let dear = Hold::new(true, move |request| cost_of(request).is_some_and(|cost| cost > cap));
    let geth = Proxy::holding(world.anvil.url(), Arc::clone(&dear), move |request| {
        let cost = cost_of(request).filter(|cost| *cost > cap)?;
        let ether = |wei: u128| wei as f64 / ETHER as f64;
        let (cost, cap) = (ether(cost), ether(cap));
        let message = format!("tx fee ({cost:.2} ether) exceeds the configured cap ({cap:.2} ether)");
        Some(refusal(request, &message))
    })
    .await;
    let mut config = world.config(0);
    for settings in config.chains.values_mut() {
        settings.chain = world.through(&geth).await;
    }
    let (node, snapshot) = opened(&world, config).await;
    world.hold_blocks().await;
    // Some 2.1 million gas at twice a hundred gwei are more than the node takes, at once a hundred gwei less.
    base_fee(&world, 110 * GWEI).await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    eventually("the dear one is sent", || async { (dear.waiting() > 0).then_some(()) }).await;
    // Until it is refused the call comes to need a little more gas: a transfer passes through another contract now.
    world.refuse_recipient(Address::repeat_byte(0xaa)).await;
    dear.close(false);
    eventually("a transaction waits", || async { (world.waiting_transactions().await > 0).then_some(()) })
        .await;
    let signed = attempts(&world, &node).await;
    assert!(cost(&signed[0]) > cap, "refused: {signed:?}");
    assert!(signed[1..].iter().any(|a| cost(a) <= cap), "taken: {signed:?}");
    assert!(signed.iter().all(|a| a.nonce == signed[0].nonce), "one nonce: {signed:?}");
    world.mining_until(&node, index, "the claim is final", |s| *s == ClaimState::Final).await;
    assert_eq!(world.balance(wallet(1).address()).await, tokens(2).get());
    assert!(node.status().lanes.iter().all(|lane| lane.waits_for_fees.is_none()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_which_nobody_knows_whether_they_were_taken_are_sent_again_without_a_block() {
    let world = World::new().await;
    // One that answers the first settlement with nothing a node says, and does not pass it on.
    let (lost, lane) = (AtomicUsize::new(0), world.sequencers[0].1[0].address());
    let flaky = Proxy::start(world.anvil.url(), move |request| {
        let gas = transaction(request).map(|[_, _, _, gas]| gas)?;
        let is_first = gas > 1_000_000 && lost.fetch_add(1, Ordering::SeqCst) == 0;
        is_first
            .then(|| json!({ "jsonrpc": "2.0", "id": request["id"], "result": "the pool is out for lunch" }))
    })
    .await;
    let mut config = world.config(0);
    for settings in config.chains.values_mut() {
        settings.chain = world.through(&flaky).await;
    }
    let (node, snapshot) = opened(&world, config).await;
    world.hold_blocks().await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    eventually("a transaction waits", || async { (world.waiting_transactions().await > 0).then_some(()) })
        .await;
    let signed = attempts(&world, &node).await;
    assert!(signed.len() == 1 && signed[0].lane == lane, "the same bytes: {signed:?}");
    world.mining_until(&node, index, "the claim is final", |s| *s == ClaimState::Final).await;
    node.stop().await;
}

/// What was signed last at a nonce that a reorganisation gave back may be of a batch that is final, and so forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_node_takes_for_a_free_nonce_holds_up_nothing_new() {
    let world = World::new().await;
    let (free, sent) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicUsize::new(0)));
    let (refused, counted) = (Arc::clone(&free), Arc::clone(&sent));
    let proxy = Proxy::start(world.anvil.url(), move |request| {
        let [nonce, _, _, gas] = transaction(request)?;
        let is_refused = gas > 1_000_000 && nonce == u128::from(refused.load(Ordering::SeqCst));
        is_refused.then(|| {
            counted.fetch_add(1, Ordering::SeqCst);
            json!({ "jsonrpc": "2.0", "id": request["id"], "result": "the pool is out for lunch" })
        })
    })
    .await;
    let mut config = world.config(0);
    for settings in config.chains.values_mut() {
        settings.chain = world.through(&proxy).await;
    }
    let (node, snapshot) = opened(&world, config).await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    world.hold_blocks().await;
    claimed(&world, &node, &snapshot, 2).await;
    eventually("a transaction waits", || async { (world.waiting_transactions().await > 0).then_some(()) })
        .await;
    let signed = attempts(&world, &node).await;
    let (first, lane) = (signed[0].nonce, signed[0].lane);
    assert_eq!(signed.iter().map(|a| a.nonce).collect::<Vec<_>>(), [first, first + 1]);

    free.store(first, Ordering::SeqCst);
    world.anvil("anvil_setNonce", json!([lane, format!("{first:#x}")])).await;
    eventually("its old bytes are sent", || async { (sent.load(Ordering::SeqCst) > 0).then_some(()) }).await;
    let index = claimed(&world, &node, &snapshot, 3).await;
    eventually("something new is signed", || async {
        attempts(&world, &node).await.iter().any(|a| a.nonce == first + 2).then_some(())
    })
    .await;

    world.anvil("anvil_setNonce", json!([lane, format!("{:#x}", first + 1)])).await;
    world.mining_until(&node, index, "the claim is final", |s| *s == ClaimState::Final).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_cap_a_batch_waits_says_so_and_goes_when_fees_fall() {
    let world = World::new().await;
    let mut config = world.config(0);
    for settings in config.chains.values_mut() {
        settings.policy.max_transaction_fee = ETHER / 10;
    }
    let (node, snapshot) = opened(&world, config).await;
    world.hold_blocks().await;
    base_fee(&world, 200 * GWEI).await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    let waits = eventually("the lane waits for fees", || async {
        node.status().lanes.first().and_then(|lane| lane.waits_for_fees)
    })
    .await;
    assert!(waits.asked > waits.most && waits.asked < 200 * GWEI, "{waits:?}");
    assert_eq!(attempts(&world, &node).await, [], "nothing is signed that nobody would mine");
    // Empty blocks lower the base fee by an eighth each.
    world.mining_until(&node, index, "the claim is final", |s| *s == ClaimState::Final).await;
    let signed = attempts(&world, &node).await;
    assert!(signed.iter().all(|a| cost(a) <= ETHER / 10), "{signed:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_gas_is_dear_a_push_goes_in_smaller_batches() {
    let world = World::new().await;
    let mut config = world.config(0);
    let cap = 3 * ETHER / 10;
    for settings in config.chains.values_mut() {
        settings.policy.priority_fee_min = 100 * GWEI;
        settings.policy.max_transaction_fee = cap;
    }
    let node = Node::start(config).await.expect("a node");
    let (terms, _) = world.snapshot(0..100);
    world.open_round(&node, &terms).await;
    let push = Action::Push { campaign: world.campaign, round: 1, from: 0, to: 100 };
    world.command(&node, push, 1).await;
    for index in 0..100 {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    let signed = attempts(&world, &node).await;
    assert!(signed.iter().all(|a| cost(a) <= cap), "{signed:?}");
    assert!(signed.iter().all(|a| a.max_fee >= 100 * GWEI), "{signed:?}");
    let planned = world.log(&node).await.iter().filter(|e| matches!(e.body, Body::BatchPlanned(_))).count();
    assert!(planned > 1, "a hundred transfers do not fit one transaction of three million gas");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_the_epoch_keeps_to_the_fee_policy_and_is_raised_at_its_nonce() {
    let world = World::new().await;
    // A mempool that takes the first offer and forgets it.
    let offers: Arc<Mutex<Vec<[u128; 4]>>> = Arc::default();
    let seen = Arc::clone(&offers);
    let forgetful = Proxy::start(world.anvil.url(), move |request| {
        let offer = transaction(request)?;
        let mut seen = seen.lock().expect("no panic inside");
        if !seen.contains(&offer) {
            seen.push(offer);
        }
        let raw = hex::decode(request["params"][0].as_str()?).ok()?;
        let taken = json!({ "jsonrpc": "2.0", "id": request["id"], "result": keccak256(raw) });
        (seen[0] == offer).then_some(taken)
    })
    .await;
    let mut config = world.config(0);
    for settings in config.chains.values_mut() {
        settings.chain = world.through(&forgetful).await;
        settings.policy.priority_fee_min = 3 * GWEI;
    }
    let node = Node::start(config).await.expect("a node");
    eventually("the chain knows the epoch", || async {
        world.mine(1).await;
        let epoch = world.chain.epoch(world.charter, sluice_chain::At::Latest).await.ok()?;
        (Some(epoch) == node.status().leading).then_some(())
    })
    .await;
    node.stop().await;
    let offers = offers.lock().expect("no panic inside").clone();
    let [nonce, tip, max_fee, _] = offers[0];
    assert_eq!(tip, 3 * GWEI, "the configured tip");
    let [raised_nonce, raised_tip, raised_fee, _] = offers[1];
    assert_eq!(raised_nonce, nonce, "{offers:?}");
    assert!(raised_fee * 8 >= max_fee * 9 && raised_tip * 8 >= tip * 9, "by an eighth: {offers:?}");
}
