//! Holds: a person's, before and after a batch; and what the chain itself holds, pauses and lets go.

mod support;

use std::collections::BTreeSet;

use alloy_primitives::{B256, U256};
use sluice_chain::actions::ChainAction;
use sluice_chain::calls;
use sluice_core::command::{Action, HoldTarget, RoundMode};
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::{Body, Due, Outcome as Done, WordMask};
use sluice_core::state::State;
use sluice_core::state::funds::Account as Ledger;
use sluice_core::state::status::ClaimState;
use sluice_engine::follower::Outcome;
use sluice_engine::node::Node;
use sluice_snapshot::Snapshot;
use support::institutions::done;
use support::{Setup, World, decided, eventually, tokens, wallet};
use uuid::Uuid;

fn person(i: u32) -> B256 {
    B256::from(U256::from(0xd000 + i))
}

/// A node that leads, and an open PULL round of the wallets 0 to 9, each the address of a person.
async fn persons(setup: Setup) -> (World, Node, Snapshot) {
    let world = World::with(setup).await;
    let node = world.node(0).await;
    let mut list = String::from("address,amount,person\n");
    for i in 0..10 {
        list.push_str(&format!("{},{},{}\n", wallet(i).address(), i + 1, person(i)));
    }
    let (mut terms, snapshot) = world.snapshot_of(&list);
    terms.mode = RoundMode::Pull;
    world.open_round(&node, &terms).await;
    (world, node, snapshot)
}

fn index(snapshot: &Snapshot, i: u32) -> u64 {
    snapshot.find(wallet(i).address()).start
}

async fn claim(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> Outcome {
    let key = wallet(i);
    let claim = world.claim(snapshot, 1, &key, key.address());
    let id = DemandId(Uuid::now_v7());
    let outcome = decided(node, node.submit_claim(world.campaign, id, claim).await.expect("accepted")).await;
    assert!(matches!(outcome.entry.body, Body::ClaimDecided(_)), "{:?}", outcome.entry.body);
    outcome
}

async fn until_known(node: &Node, what: &str, known: impl Fn(&State) -> bool) {
    eventually(what, || async { node.follower().read(|state| known(state).then_some(())) }).await;
}

/// The bits of these indexes in the first word.
fn mask(indexes: &[u64]) -> WordMask {
    let mut mask = [0; 4];
    for index in indexes {
        mask[usize::try_from(index / 64).expect("below 4")] |= 1 << (index % 64);
    }
    WordMask { round: 1, word: 0, mask }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_on_a_person_before_the_batch_stops_it_and_after_it_names_what_may_still_pay() {
    let (world, node, snapshot) = persons(Setup::default()).await;
    let held = index(&snapshot, 3);
    let target = HoldTarget::Person { person: person(3) };
    let placed = world.command(&node, Action::Hold { target }, 1).await;
    let Done::Held(hold) = &done(&placed).outcome else { panic!("{:?}", placed.entry.body) };
    assert_eq!(hold.covers.iter().map(|c| c.entitlement.index).collect::<Vec<_>>(), [held]);
    assert_eq!(hold.in_flight, []);

    // Claimed and decided, but not paid, while others are.
    claim(&world, &node, &snapshot, 3).await;
    claim(&world, &node, &snapshot, 4).await;
    world.final_at(&node, EntitlementId { round: 1, index: index(&snapshot, 4) }).await;
    assert_eq!(world.status(&node, held), Some(ClaimState::Held));
    let release = Action::Release { hold: placed.entry.seq };
    done(&world.command(&node, release, 1).await);
    world.final_at(&node, EntitlementId { round: 1, index: held }).await;
    assert_eq!(world.balance(wallet(3).address()).await, tokens(4).get());

    // Too late for a batch that is on its way: the answer names it.
    world.hold_blocks().await;
    claim(&world, &node, &snapshot, 5).await;
    let late = index(&snapshot, 5);
    let sent = world.until(&node, late, "it is sent", |state| matches!(state, ClaimState::Sent(..))).await;
    let ClaimState::Sent(batch, _) = sent else { panic!("{sent:?}") };
    let target = HoldTarget::Person { person: person(5) };
    let placed = world.command(&node, Action::Hold { target }, 1).await;
    let Done::Held(hold) = &done(&placed).outcome else { panic!("{:?}", placed.entry.body) };
    assert_eq!(hold.in_flight, [(EntitlementId { round: 1, index: late }, world.campaign, batch)]);
    world.mining_until(&node, late, "it is paid all the same", |state| *state == ClaimState::Final).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_on_chain_after_it_was_planned_is_passed_over_held_and_paid_after_the_release() {
    // Without coin in its lane the node plans and signs nothing.
    let (world, node, snapshot) = persons(Setup { funded_lanes: false, ..Setup::default() }).await;
    claim(&world, &node, &snapshot, 3).await;
    let (held, paid) = (index(&snapshot, 3), index(&snapshot, 4));
    let batched = |state: &ClaimState| matches!(state, ClaimState::Batched(_));
    world.until(&node, held, "it is planned", batched).await;
    claim(&world, &node, &snapshot, 4).await;
    world.until(&node, paid, "it is planned", batched).await;

    let distributor = world.distributor;
    let reason = B256::repeat_byte(1);
    let action = ChainAction::Hold { distributor, mask: mask(&[held]), reason, together: 2, nonce: 1 };
    world.act("hold", calls::hold(mask(&[held]), reason, 2, 1, &world.approve(&action))).await;
    until_known(&node, "the hold is final", |state| {
        state.campaigns[&world.campaign].is_held_on_chain(EntitlementId { round: 1, index: held })
    })
    .await;
    world.fund(world.sequencers[0].1[0].address()).await;
    world.final_at(&node, EntitlementId { round: 1, index: paid }).await;
    world.until(&node, held, "it is held", |state| *state == ClaimState::Held).await;
    assert_eq!(world.balance(wallet(3).address()).await, 0);
    assert_eq!(world.funds(&node, Ledger::Reserved).unsigned_abs(), tokens(4).get());
    assert_eq!(world.funds(&node, Ledger::Paid).unsigned_abs(), tokens(5).get());

    let action = ChainAction::Release { distributor, hold: 1, together: 2, nonce: 2 };
    world.act("release", calls::release(1, 2, 2, &world.approve(&action))).await;
    world.final_at(&node, EntitlementId { round: 1, index: held }).await;
    assert_eq!(world.balance(wallet(3).address()).await, tokens(4).get());
    let log = world.log(&node).await;
    let retried = |e: &sluice_core::log::entry::Entry| matches!(e.body, Body::Due(Due::SkipRetry { .. }));
    assert!(!log.iter().any(retried), "no failed transfer was counted");
    let batches: BTreeSet<u64> = log
        .iter()
        .filter_map(|e| match &e.body {
            Body::BatchMined(mined) if mined.paid.iter().any(|w| w.contains(1, held)) => Some(mined.batch),
            _ => None,
        })
        .collect();
    assert_eq!(batches.len(), 1, "one batch paid it, another passed it over");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_a_hold_on_the_whole_campaign_on_chain_stop_planning_until_they_end() {
    let (world, node, snapshot) = persons(Setup::default()).await;
    let distributor = world.distributor;
    let now = world.chain.timestamp().await.expect("the chain's time");
    let later = now + 86_400;
    let campaign = |state: &State| {
        let campaign = &state.campaigns[&world.campaign];
        (campaign.paused_on_chain, campaign.held_until_on_chain)
    };
    let pause = async |until: u64, nonce: u64| {
        let action = ChainAction::Pause { distributor, until, together: 2, nonce };
        world.act("pause", calls::pause(until, 2, nonce, &world.approve(&action))).await;
    };
    pause(later, 1).await;
    until_known(&node, "the pause is final", |state| campaign(state).0 == later).await;
    claim(&world, &node, &snapshot, 3).await;
    let head = world.chain.latest().await.expect("a block").number;
    world.mine(5).await;
    world.read_up_to(&node, head + 5).await;
    assert_eq!(world.status(&node, index(&snapshot, 3)), Some(ClaimState::Decided), "nothing is planned");
    pause(1, 2).await;
    world.final_at(&node, EntitlementId { round: 1, index: index(&snapshot, 3) }).await;

    let hold = async |until: u64, nonce: u64| {
        let action = ChainAction::HoldCampaign { distributor, until, together: 2, nonce };
        world.act("holdCampaign", calls::hold_campaign(until, 2, nonce, &world.approve(&action))).await;
    };
    hold(later, 3).await;
    until_known(&node, "the hold is final", |state| campaign(state).1 == later).await;
    claim(&world, &node, &snapshot, 4).await;
    assert_eq!(world.status(&node, index(&snapshot, 4)), Some(ClaimState::Held));
    hold(1, 4).await;
    world.final_at(&node, EntitlementId { round: 1, index: index(&snapshot, 4) }).await;
    let log = world.log(&node).await;
    assert!(log.iter().any(|e| matches!(e.body, Body::Due(Due::ChainHoldEnds { .. }))));
    node.stop().await;
}
