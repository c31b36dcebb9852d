//! A claim and a push, from the signature to finality on a real chain.

mod support;

use alloy_primitives::Address;
use sluice_core::command::Action;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::Body;
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account as Ledger;
use support::{World, decided, log_key, tokens, wallet};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_a_redirected_claim_and_a_push_end_final_and_pay_the_list() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..100);
    world.open_round(&node, &terms).await;

    let id = DemandId(Uuid::now_v7());
    let claim = world.claim(&snapshot, 1, &wallet(7), wallet(7).address());
    let first = decided(&node, node.submit_claim(world.campaign, id, claim.clone()).await.unwrap()).await;
    assert!(matches!(first.entry.body, Body::ClaimDecided(_)), "{:?}", first.entry.body);
    first.receipt.verify(&[log_key(world.charter, 0).verifier()]).expect("the receipt verifies offline");

    let again = decided(&node, node.submit_claim(world.campaign, id, claim.clone()).await.unwrap()).await;
    assert_eq!(again.entry, first.entry, "the same id gets the same answer");
    let other = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
    assert!(
        matches!(other, Err(sluice_engine::intake::SubmitError::Refused(Code::AlreadyDecided))),
        "{other:?}"
    );

    let elsewhere = Address::repeat_byte(0xee);
    // Its wallet writes a parity where others write 27 or 28, which is what contracts take.
    let mut redirected = world.claim(&snapshot, 1, &wallet(8), elsewhere);
    let mut signature = redirected.signature.to_vec();
    signature[64] -= 27;
    redirected.signature = signature.into();
    let outcome = decided(
        &node,
        node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), redirected).await.unwrap(),
    )
    .await;
    assert!(matches!(outcome.entry.body, Body::ClaimDecided(_)), "{:?}", outcome.entry.body);

    let push = Action::Push { campaign: world.campaign, round: 1, from: 0, to: 100 };
    let pushed = world.command(&node, push, 1).await;
    assert!(matches!(pushed.entry.body, Body::Pushed(_)), "{:?}", pushed.entry.body);

    for index in 0..100 {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    assert_eq!(world.balance(wallet(7).address()).await, tokens(8).get());
    assert_eq!(world.balance(wallet(8).address()).await, 0);
    assert_eq!(world.balance(elsewhere).await, tokens(9).get());
    assert_eq!(world.balance(wallet(99).address()).await, tokens(100).get());
    assert_eq!(world.balance(world.distributor).await, 0);
    let paid = node.follower().read(|s| s.campaigns[&world.campaign].funds.balance(Ledger::Paid));
    assert_eq!(paid.unsigned_abs(), terms.total.get());
    node.stop().await;
}
