//! A void that comes between the decision and the transaction.

mod support;

use sluice_core::command::Action;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::Body;
use sluice_core::state::funds::Account as Ledger;
use sluice_core::state::status::ClaimState;
use support::{Setup, World, eventually, tokens, wallet};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_annulled_before_its_batch_is_signed_is_not_sent_and_the_rest_of_the_batch_is() {
    // The lane has no coin: batches are planned and not signed.
    let world = World::with(Setup { funded_lanes: false, ..Setup::default() }).await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let push = Action::Push { campaign: world.campaign, round: 1, from: 0, to: 10 };
    world.command(&node, push, 1).await;
    let annulled = snapshot.find(wallet(7).address()).start;
    world.until(&node, annulled, "it stands in a batch", |s| matches!(s, ClaimState::Batched(_))).await;
    eventually("the lane needs funds", || async { node.status().lanes.first()?.missing }).await;

    let void = Action::Void { campaign: world.campaign, round: 1, indexes: vec![annulled] };
    let done = world.command(&node, void, 2).await;
    assert!(matches!(done.entry.body, Body::Voided(_)), "{:?}", done.entry.body);
    assert_eq!(world.status(&node, annulled), Some(ClaimState::Voided));
    world.fund(world.sequencers[0].1[0].address()).await;
    for index in (0..10).filter(|index| *index != annulled) {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    assert_eq!(world.balance(wallet(7).address()).await, 0);
    assert_eq!(world.funds(&node, Ledger::Voided).unsigned_abs(), tokens(8).get());
    assert_eq!(world.funds(&node, Ledger::Reserved), 0);
    let claim = world.claim(&snapshot, 1, &wallet(7), wallet(7).address());
    let late = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
    assert!(late.is_err(), "{late:?}");
    node.stop().await;
}
