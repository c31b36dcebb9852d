//! What a campaign's terms say about its settlement: how long it waits for company, and what it may spend.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use sluice_core::command::Action;
use sluice_core::fees::{SettlementPolicy, SettlementTerms, SpendLimit};
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::{BatchPlanned, Body};
use sluice_core::state::status::ClaimState;
use sluice_engine::node::{Node, NodeConfig};
use sluice_engine::settlement::WaitsForSpend;
use sluice_snapshot::Snapshot;
use support::proxy::Proxy;
use support::{World, decided, eventually, tokens, wallet};
use uuid::Uuid;

const GWEI: u128 = 1_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);

fn under(world: &World, sequencer: usize, terms: SettlementTerms) -> NodeConfig {
    let mut config = world.config(sequencer);
    for settings in config.chains.values_mut() {
        settings.terms =
            SettlementPolicy { campaigns: [(world.campaign, terms)].into(), ..SettlementPolicy::default() };
        // So that a transaction of two million gas may cost some 0.2 coin, whatever the base fee is.
        settings.policy.priority_fee_min = 100 * GWEI;
    }
    config
}

async fn claimed(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> u64 {
    let claim = world.claim(snapshot, 1, &wallet(i), wallet(i).address());
    let index = claim.index;
    let submitted = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
    let outcome = decided(node, submitted.expect("accepted")).await;
    assert!(matches!(outcome.entry.body, Body::ClaimDecided(_)), "{:?}", outcome.entry.body);
    index
}

async fn planned(world: &World, node: &Node) -> Vec<BatchPlanned> {
    let plan = |body| match body {
        Body::BatchPlanned(plan) => Some(plan),
        _ => None,
    };
    world.log(node).await.into_iter().filter_map(|entry| plan(entry.body)).collect()
}

async fn read_some_blocks(world: &World, node: &Node) {
    let latest = world.chain.latest().await.expect("a block").number;
    world.mine(3).await;
    world.read_up_to(node, latest + 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_wait_for_company_within_the_window_and_are_paid_together_after_it() {
    let world = World::new().await;
    let waits = SettlementTerms { window: DAY, spend: None };
    let node = Node::start(under(&world, 0, waits)).await.expect("a node");
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let mut indexes = Vec::new();
    for i in 0..3 {
        indexes.push(claimed(&world, &node, &snapshot, i).await);
        read_some_blocks(&world, &node).await;
    }
    assert_eq!(planned(&world, &node).await, []);
    node.stop().await;
    let node = Node::start(under(&world, 0, SettlementTerms::default())).await.expect("a node");
    for index in &indexes {
        world.final_at(&node, EntitlementId { round: 1, index: *index }).await;
    }
    let plans = planned(&world, &node).await;
    assert_eq!(plans.len(), 1, "{plans:?}");
    assert_eq!(plans[0].words.iter().map(|w| w.count()).sum::<u32>(), 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fills_a_call_does_not_wait_for_the_window() {
    let world = World::new().await;
    let waits = SettlementTerms { window: DAY, spend: None };
    let node = Node::start(under(&world, 0, waits)).await.expect("a node");
    let (terms, snapshot) = world.snapshot(0..600);
    world.open_round(&node, &terms).await;
    // Redirected claims come first and travel apart: what waits among them holds up nobody else.
    let redirected = world.claim(&snapshot, 1, &wallet(599), wallet(900).address());
    let waits = EntitlementId { round: 1, index: redirected.index };
    let submitted = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), redirected).await;
    decided(&node, submitted.expect("accepted")).await;
    for (from, to) in [(0, waits.index), (waits.index + 1, 600)] {
        world.command(&node, Action::Push { campaign: world.campaign, round: 1, from, to }, 1).await;
    }
    let full = (0..600).find(|index| index / 256 != waits.index / 256).expect("another word");
    world.final_at(&node, EntitlementId { round: 1, index: full }).await;
    read_some_blocks(&world, &node).await;
    assert_eq!(planned(&world, &node).await.len(), 1);
    assert_eq!(world.status(&node, waits.index), Some(ClaimState::Decided));
    node.stop().await;
}

/// What the node says of a spend limit.
async fn waiting(node: &Node) -> Option<WaitsForSpend> {
    node.status().lanes.iter().find_map(|lane| lane.waits_for_spend.first().copied())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_its_spend_limit_settlement_waits_also_after_a_takeover_while_claims_go_on() {
    let world = World::new().await;
    // One transaction may cost 0.2 coin and costs 0.01.
    let limit = SpendLimit { wei: 240_000_000 * GWEI, period: DAY };
    let limited = SettlementTerms { window: Duration::ZERO, spend: Some(limit) };
    let node = Node::start(under(&world, 0, limited)).await.expect("a node");
    let (terms, snapshot) = world.snapshot(0..20);
    world.open_round(&node, &terms).await;
    let first = claimed(&world, &node, &snapshot, 0).await;
    world.final_at(&node, EntitlementId { round: 1, index: first }).await;

    let mut next = 1;
    let (index, said) = loop {
        assert!(next < 12, "the limit is never reached");
        let index = claimed(&world, &node, &snapshot, next).await;
        next += 1;
        let outcome = eventually("it is paid, or waits", || async {
            match world.status(&node, index) {
                Some(ClaimState::Final) => Some(None),
                _ => waiting(&node).await.map(Some),
            }
        })
        .await;
        if let Some(said) = outcome {
            break (index, said);
        }
    };
    assert_eq!((said.campaign, said.limit), (world.campaign, limit));
    assert!(said.spent > 0 && said.spent + said.wanted > limit.wei, "{said:?}");
    assert!(said.spent < 200_000_000 * GWEI, "what is mined counts by its receipt: {said:?}");
    assert_eq!(world.status(&node, index), Some(ClaimState::Decided));
    let other = claimed(&world, &node, &snapshot, next).await;
    let own = wallet(next + 1);
    world.pay_itself(&snapshot, &own).await;
    assert_eq!(
        world.balance(own.address()).await,
        tokens(u128::from(next + 2)).get(),
        "wallets pay themselves"
    );
    let signed = planned(&world, &node).await.len();
    node.stop().await;

    let node = Node::start(under(&world, 1, limited)).await.expect("a node");
    let again = eventually("the next leader waits too", || waiting(&node)).await;
    assert_eq!(again.spent, said.spent);
    assert_eq!(planned(&world, &node).await.len(), signed);
    node.stop().await;

    let more = SpendLimit { wei: 100 * limit.wei, ..limit };
    let relaxed = SettlementTerms { spend: Some(more), ..limited };
    let node = Node::start(under(&world, 1, relaxed)).await.expect("a node");
    for index in [index, other] {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    assert_eq!(waiting(&node).await, None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_anew_for_a_nonce_after_a_takeover_counts_once() {
    let world = World::new().await;
    // One transaction may cost some 0.2 coin, two together do not fit.
    let limit = SpendLimit { wei: 350_000_000 * GWEI, period: DAY };
    let limited = SettlementTerms { window: Duration::ZERO, spend: Some(limit) };
    let node = Node::start(under(&world, 0, limited)).await.expect("a node");
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let first = claimed(&world, &node, &snapshot, 0).await;
    world.final_at(&node, EntitlementId { round: 1, index: first }).await;
    world.hold_blocks().await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    eventually("a transaction waits", || async { (world.waiting_transactions().await > 0).then_some(()) })
        .await;
    let lane = world.sequencers[0].1[0].address();
    let noted = async |node: &Node, nonce| {
        let spent = node.store().spent_beside(31_337, world.campaign, DAY, Some((lane, nonce))).await;
        spent.expect("the sum").1
    };
    let nonce = node.status().lanes.iter().find(|l| l.account == lane).expect("its lane").nonce;
    let before = noted(&node, nonce).await;
    assert!(2 * before > limit.wei, "both attempts would exceed the limit: {before}");
    node.stop().await;
    // The next term's epoch makes the attempt useless, and no node remembers it.
    world.anvil("anvil_dropAllTransactions", json!([])).await;
    let node = Node::start(under(&world, 0, limited)).await.expect("a node");
    world.mining_until(&node, index, "the claim is final", |s| *s == ClaimState::Final).await;
    assert_eq!(waiting(&node).await, None);
    let attempts = world.log(&node).await.into_iter().filter_map(|entry| match entry.body {
        Body::AttemptSigned(attempt) if attempt.nonce == nonce => Some(attempt.tx_hash),
        _ => None,
    });
    assert!(attempts.count() > 1, "it was signed anew at the same nonce");
    node.stop().await;
}

/// The node's answer, but every receipt tells of a price per gas beyond all measure.
fn absurd(upstream: &str, request: &Value) -> Option<Value> {
    if request["method"] != "eth_getTransactionReceipt" {
        return None;
    }
    let ask = async {
        let answer = reqwest::Client::new().post(upstream).json(request).send().await.ok()?;
        answer.json::<Value>().await.ok()
    };
    let mut answer = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(ask))?;
    if answer["result"].is_object() {
        answer["result"]["effectiveGasPrice"] = json!(format!("{:#x}", u128::MAX));
    }
    Some(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_receipts_count_as_the_most_their_transactions_offered() {
    let world = World::new().await;
    let upstream = world.anvil.url();
    let proxy = Proxy::start(upstream.clone(), move |request| absurd(&upstream, request)).await;
    // Two transactions may cost some 0.4 coin, three do not fit.
    let limit = SpendLimit { wei: 550_000_000 * GWEI, period: DAY };
    let limited = SettlementTerms { window: Duration::ZERO, spend: Some(limit) };
    let mut config = under(&world, 0, limited);
    for settings in config.chains.values_mut() {
        settings.chain = world.through(&proxy).await;
    }
    let node = Node::start(config).await.expect("a node");
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    for i in 0..2 {
        let index = claimed(&world, &node, &snapshot, i).await;
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    let third = claimed(&world, &node, &snapshot, 2).await;
    let said = eventually("the third waits", || waiting(&node)).await;
    let offered: u128 = world
        .log(&node)
        .await
        .iter()
        .map(|entry| match &entry.body {
            Body::AttemptSigned(attempt) => attempt.max_fee * u128::from(attempt.gas_limit),
            _ => 0,
        })
        .sum();
    assert_eq!(said.spent, offered, "{said:?}");
    assert_eq!(world.status(&node, third), Some(ClaimState::Decided));
    node.stop().await;
}
