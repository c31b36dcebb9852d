//! What a payment may go through, each as one story with a real PostgreSQL and a real chain.

mod support;

use serde_json::json;
use sluice_core::command::Action;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::Body;
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account as Ledger;
use sluice_core::state::status::ClaimState;
use sluice_embedded::Mining;
use sluice_engine::intake::SubmitError;
use sluice_engine::node::Node;
use sluice_snapshot::Snapshot;
use std::time::Duration;
use support::{Setup, World, decided, eventually, tokens, wallet};
use uuid::Uuid;

/// Far enough behind that what is mined stays un-final while a test looks at it.
fn deep() -> Setup {
    Setup { slots_in_an_epoch: 24, ..Setup::default() }
}

/// A node with an open round of ten wallets.
async fn opened(world: &World) -> (Node, Snapshot) {
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    (node, snapshot)
}

/// A decided claim of a wallet on its own entitlement; its index.
async fn claimed(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> u64 {
    let claim = world.claim(snapshot, 1, &wallet(i), wallet(i).address());
    let index = claim.index;
    let submitted = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
    let outcome = decided(node, submitted.expect("accepted")).await;
    assert!(matches!(outcome.entry.body, Body::ClaimDecided(_)), "{:?}", outcome.entry.body);
    index
}

async fn refused(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> Code {
    let claim = world.claim(snapshot, 1, &wallet(i), wallet(i).address());
    match node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await {
        Err(SubmitError::Refused(code)) => code,
        other => panic!("not refused: {other:?}"),
    }
}

fn is_paid(state: &ClaimState) -> bool {
    matches!(state, ClaimState::Paid(..) | ClaimState::Final)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_that_pays_itself_is_seen_and_made_final_and_cannot_claim_again() {
    let world = World::new().await;
    let (node, snapshot) = opened(&world).await;
    world.pay_itself(&snapshot, &wallet(3)).await;
    let index = snapshot.find(wallet(3).address()).start;
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    assert_eq!(refused(&world, &node, &snapshot, 3).await, Code::AlreadyPaid);
    assert_eq!(world.balance(wallet(3).address()).await, tokens(4).get());
    assert_eq!(world.funds(&node, Ledger::Paid).unsigned_abs(), tokens(4).get());
    assert!(!world.log(&node).await.iter().any(|e| matches!(e.body, Body::BatchPlanned(_))));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorganisation_takes_paid_back_and_the_claim_becomes_final_again() {
    let world = World::with(deep()).await;
    let (node, snapshot) = opened(&world).await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    let paid = world.until(&node, index, "the claim is paid", is_paid).await;
    let ClaimState::Paid(block, _) = paid else { panic!("final before it could be taken back") };
    // anvil's timer must not strike in the middle: it would leave heights without a block.
    world.hold_blocks().await;
    let latest = world.chain.latest().await.unwrap().number;
    world.anvil("anvil_reorg", json!([latest - block.number + 1, []])).await;
    world.mining_until(&node, index, "the claim is final again", |s| *s == ClaimState::Final).await;
    let log = world.log(&node).await;
    let back = log.iter().position(|e| matches!(&e.body, Body::BatchUnmined(at) if at.block == block));
    let back = back.expect("the payment was taken back by an entry");
    let again = log.iter().skip(back).find_map(|e| match &e.body {
        Body::BatchMined(mined) => Some(mined.block),
        _ => None,
    });
    assert_ne!(again.expect("and mined again"), block);
    assert_eq!(world.balance(wallet(1).address()).await, tokens(2).get());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_the_mempool_forgot_is_sent_again() {
    let world = World::new().await;
    let (node, snapshot) = opened(&world).await;
    world.hold_blocks().await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    let pool = || async { (world.waiting_transactions().await > 0).then_some(()) };
    eventually("a transaction waits", pool).await;
    world.anvil("anvil_dropAllTransactions", json!([])).await;
    world.mining_until(&node, index, "the claim is final", |s| *s == ClaimState::Final).await;
    assert_eq!(world.balance(wallet(1).address()).await, tokens(2).get());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fee_spike_is_outbid_at_the_same_nonce() {
    let world = World::new().await;
    let (node, snapshot) = opened(&world).await;
    world.hold_blocks().await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    let pool = || async { (world.waiting_transactions().await > 0).then_some(()) };
    eventually("a transaction waits", pool).await;
    // A hundred gwei: far above twice what was asked when it was signed, far below the cap.
    let spike = "0x174876e800";
    eventually("it is outbid", || async {
        world.anvil("anvil_setNextBlockBaseFeePerGas", json!([spike])).await;
        world.mine(1).await;
        let log = world.log(&node).await;
        let signed = log.iter().filter(|e| matches!(e.body, Body::AttemptSigned(_))).count();
        (signed > 1).then_some(())
    })
    .await;
    world.mining_until(&node, index, "the claim is final", |s| *s == ClaimState::Final).await;
    let log = world.log(&node).await;
    let signed = log.iter().filter_map(|e| match &e.body {
        Body::AttemptSigned(attempt) => Some(attempt),
        _ => None,
    });
    let signed: Vec<_> = signed.collect();
    assert!(signed.iter().all(|a| a.nonce == signed[0].nonce), "{signed:?}");
    for pair in signed.windows(2) {
        assert!(pair[1].max_fee * 8 >= pair[0].max_fee * 9, "raised by an eighth: {pair:?}");
        assert!(pair[1].priority_fee * 8 >= pair[0].priority_fee * 9, "raised by an eighth: {pair:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_without_funds_says_so_and_goes_on_when_it_is_funded() {
    let world = World::with(Setup { funded_lanes: false, ..Setup::default() }).await;
    let (node, snapshot) = opened(&world).await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    let missing = eventually("the lane needs funds", || async { node.status().lanes.first()?.missing }).await;
    assert!(missing > 0);
    assert!(matches!(world.status(&node, index), Some(ClaimState::Batched(_))));
    world.fund(world.sequencers[0].1[0].address()).await;
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    eventually("it needs nothing any more", || async {
        node.status().lanes.first().is_some_and(|lane| lane.missing.is_none()).then_some(())
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_takes_over_the_batch_that_is_under_way() {
    let world = World::new().await;
    let (node, snapshot) = opened(&world).await;
    world.hold_blocks().await;
    let index = claimed(&world, &node, &snapshot, 1).await;
    let pool = || async { (world.waiting_transactions().await > 0).then_some(()) };
    eventually("a transaction waits", pool).await;
    let planned = world.log(&node).await.iter().filter(|e| matches!(e.body, Body::BatchPlanned(_))).count();
    node.stop().await;
    let successor = world.node(1).await;
    // The old leader's transaction is lost for good: only the new one's attempt of the same content can be mined.
    world.anvil("anvil_dropAllTransactions", json!([])).await;
    world.mining_until(&successor, index, "the claim is final", |s| *s == ClaimState::Final).await;
    let log = world.log(&successor).await;
    let again = log.iter().filter(|e| matches!(e.body, Body::BatchPlanned(_))).count();
    assert_eq!((planned, again), (1, 1), "the content of a signed batch never changes");
    let lanes: Vec<_> = log
        .iter()
        .filter_map(|e| match &e.body {
            Body::AttemptSigned(attempt) => Some((e.epoch, attempt.lane)),
            _ => None,
        })
        .collect();
    assert_eq!(lanes.first().map(|l| l.1), Some(world.sequencers[0].1[0].address()));
    assert_eq!(lanes.last().map(|l| l.1), Some(world.sequencers[1].1[0].address()));
    assert!(lanes.last().map(|l| l.0) > lanes.first().map(|l| l.0), "{lanes:?}");
    assert_eq!(world.balance(wallet(1).address()).await, tokens(2).get());
    successor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_the_token_refuses_blocks_nobody_keeps_its_funds_and_is_paid_later() {
    let world =
        World::with(Setup { mining: Mining::Mixed(Duration::from_millis(200)), ..Setup::default() }).await;
    let (node, snapshot) = opened(&world).await;
    let bad = snapshot.find(wallet(5).address()).start;
    world.refuse_recipient(wallet(5).address()).await;
    let push = Action::Push { campaign: world.campaign, round: 1, from: 0, to: 10 };
    let pushed = world.command(&node, push, 1).await;
    assert!(matches!(pushed.entry.body, Body::Pushed(_)), "{:?}", pushed.entry.body);
    for index in (0..10).filter(|index| *index != bad) {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    let skipped = |s: &ClaimState| matches!(s, ClaimState::Skipped { .. });
    world.until(&node, bad, "the refused recipient is skipped", skipped).await;
    let reserved =
        || async { (world.funds(&node, Ledger::Reserved) == tokens(6).get() as i128).then_some(()) };
    eventually("only its funds are reserved", reserved).await;
    assert_eq!(world.balance(wallet(5).address()).await, 0);
    world.refuse_nobody().await;
    world.final_at(&node, EntitlementId { round: 1, index: bad }).await;
    assert_eq!(world.balance(wallet(5).address()).await, tokens(6).get());
    assert_eq!(world.funds(&node, Ledger::Reserved), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_would_pay_nobody_is_given_up_and_the_next_one_paid() {
    let world = World::new().await;
    let (node, snapshot) = opened(&world).await;
    world.refuse_recipient(wallet(2).address()).await;
    let bad = claimed(&world, &node, &snapshot, 2).await;
    let skipped = |s: &ClaimState| matches!(s, ClaimState::Skipped { .. });
    world.until(&node, bad, "the only recipient is skipped", skipped).await;
    let good = claimed(&world, &node, &snapshot, 4).await;
    world.final_at(&node, EntitlementId { round: 1, index: good }).await;
    let log = world.log(&node).await;
    assert!(log.iter().any(|e| matches!(e.body, Body::BatchReplanned(_))));
    assert_eq!(world.balance(wallet(2).address()).await, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_void_before_the_decision_prevents_it_and_one_after_the_payment_is_refused() {
    let world = World::new().await;
    let (node, snapshot) = opened(&world).await;
    let paid = claimed(&world, &node, &snapshot, 6).await;
    world.final_at(&node, EntitlementId { round: 1, index: paid }).await;
    let annulled = snapshot.find(wallet(7).address()).start;
    let void = |index| Action::Void { campaign: world.campaign, round: 1, indexes: vec![index] };
    let done = world.command(&node, void(annulled), 2).await;
    assert!(matches!(done.entry.body, Body::Voided(_)), "{:?}", done.entry.body);
    assert_eq!(refused(&world, &node, &snapshot, 7).await, Code::Voided);
    let late = world.command(&node, void(paid), 2).await;
    assert!(matches!(late.entry.body, Body::CommandRefused(_)), "{:?}", late.entry.body);
    let push = Action::Push { campaign: world.campaign, round: 1, from: 0, to: 10 };
    world.command(&node, push, 1).await;
    for index in (0..10).filter(|index| *index != annulled) {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    assert_eq!(world.status(&node, annulled), Some(ClaimState::Voided));
    assert_eq!(world.balance(wallet(7).address()).await, 0);
    assert_eq!(world.funds(&node, Ledger::Voided).unsigned_abs(), tokens(8).get());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_gets_its_first_answer_for_ever_and_no_other_body() {
    let world = World::new().await;
    let (node, snapshot) = opened(&world).await;
    let id = DemandId(Uuid::now_v7());
    let claim = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    let submit = |claim| node.submit_claim(world.campaign, id, claim);
    let (one, other) = tokio::join!(submit(claim.clone()), submit(claim.clone()));
    let one = decided(&node, one.expect("accepted")).await;
    let other = decided(&node, other.expect("accepted")).await;
    assert_eq!(one.entry, other.entry);
    world.final_at(&node, EntitlementId { round: 1, index: claim.index }).await;
    let later = decided(&node, submit(claim.clone()).await.expect("known")).await;
    assert_eq!(later.entry, one.entry);
    let elsewhere = world.claim(&snapshot, 1, &wallet(1), wallet(9).address());
    assert!(matches!(submit(elsewhere).await, Err(SubmitError::Conflict)));
    node.stop().await;
}
