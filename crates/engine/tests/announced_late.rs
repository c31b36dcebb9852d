//! A round that is published on chain before the log knows it.

mod support;

use sluice_chain::actions::ChainAction;
use sluice_core::command::Action;
use sluice_core::ids::EntitlementId;
use sluice_core::log::entry::{Body, ChainEvent};
use sluice_core::state::funds::Account as Ledger;
use sluice_core::state::status::ClaimState;
use support::{World, eventually, tokens, wallet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_published_on_chain_first_and_claimed_by_a_wallet_is_booked_when_it_is_announced() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    let created = world.command(&node, Action::CreateCampaign(world.campaign_terms()), 1).await;
    assert!(matches!(created.entry.body, Body::CampaignCreated(_)), "{:?}", created.entry.body);

    // The chain first: published, funded, opened, and one wallet pays itself.
    let publish = ChainAction::Publish { distributor: world.distributor, terms: Box::new(terms.clone()) };
    let approvals = world.approve(&publish);
    world.operator.publish(world.distributor, &terms, &approvals).await.expect("published");
    world.operator.mint(world.token, world.distributor, terms.total).await.expect("funded");
    eventually("the round opens", || async { world.operator.open(world.distributor, 1).await.ok() }).await;
    world.pay_itself(&snapshot, &wallet(3)).await;
    let early = snapshot.find(wallet(3).address()).start;
    eventually("the payment is final", || async {
        let paid = node.follower().read(|s| {
            let ahead = s.campaign(world.campaign)?.ahead.get(&1)?;
            Some(ahead.paid.below(10).collect::<Vec<_>>())
        });
        (paid? == [early]).then_some(())
    })
    .await;
    assert_eq!(world.status(&node, early), None);

    // Another is on its way while the round is announced.
    world.pay_itself(&snapshot, &wallet(4)).await;
    let published = world.command(&node, Action::Publish(terms.clone()), 2).await;
    let Body::RoundPublished(entry) = &published.entry.body else { panic!("{:?}", published.entry.body) };
    assert!(entry.ahead.iter().map(|share| share.paid).sum::<u32>() >= 1);
    assert_eq!(world.status(&node, early), Some(ClaimState::Final));
    let late = snapshot.find(wallet(4).address()).start;
    world.final_at(&node, EntitlementId { round: 1, index: late }).await;
    assert_eq!(world.funds(&node, Ledger::Paid).unsigned_abs(), tokens(4).get() + tokens(5).get());

    // The rest is paid as in any round.
    let push = Action::Push { campaign: world.campaign, round: 1, from: 0, to: 10 };
    let pushed = world.command(&node, push, 1).await;
    let Body::Pushed(entry) = &pushed.entry.body else { panic!("{:?}", pushed.entry.body) };
    assert_eq!(entry.decided.iter().map(|(_, count, _)| count).sum::<u32>(), 8);
    for index in 0..10 {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    assert_eq!(world.funds(&node, Ledger::Paid).unsigned_abs(), terms.total.get());
    for empty in [Ledger::Free, Ledger::Reserved, Ledger::Voided] {
        assert_eq!(world.funds(&node, empty), 0, "{empty:?}");
    }
    let log = world.log(&node).await;
    let unannounced = log.iter().filter_map(|entry| match &entry.body {
        Body::EventsMined(mined) => Some(&mined.events),
        _ => None,
    });
    let unannounced =
        unannounced.flatten().filter(|event| matches!(event, ChainEvent::PaidUnannounced { .. })).count();
    assert!(unannounced >= 1, "the chain was read before the announcement");
    assert_eq!(world.balance(world.distributor).await, 0);
    node.stop().await;
}
