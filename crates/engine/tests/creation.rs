//! A Distributor becomes a campaign: what is asked of the chain, and what of it stands in the entry.

mod support;

use sluice_core::command::{Action, CampaignTerms};
use sluice_core::log::entry::Body;
use sluice_core::refusal::Code;
use support::{World, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_s_terms_must_be_the_chain_s_and_the_entry_names_the_block_looked_at() {
    let world = World::new().await;
    let node = world.node(0).await;
    let right = world.campaign_terms();
    let wrong = |change: fn(&mut CampaignTerms)| {
        let mut terms = right.clone();
        change(&mut terms);
        Action::CreateCampaign(terms)
    };
    for action in [
        wrong(|t| t.deployed_at += 1),
        wrong(|t| t.deployed_at -= 1),
        wrong(|t| t.deployed_at += 1_000_000),
        wrong(|t| t.decimals = 6),
        wrong(|t| t.token = t.distributor.address),
    ] {
        let outcome = world.command(&node, action.clone(), 1).await;
        let Body::CommandRefused(refused) = outcome.entry.body else { panic!("not refused: {action:?}") };
        assert_eq!(refused.code, Code::WrongTerms, "{action:?}");
    }
    let stranger = wrong(|t| t.distributor.address = t.token);
    let outcome = world.command(&node, stranger, 1).await;
    assert!(matches!(outcome.entry.body, Body::CommandRefused(r) if r.code == Code::NotRegistered));

    let outcome = world.command(&node, Action::CreateCampaign(right.clone()), 1).await;
    let Body::CampaignCreated(created) = outcome.entry.body else { panic!("{:?}", outcome.entry.body) };
    assert_eq!(created.outcome, right);
    let looked_at = created.evidence.looked_at.expect("the look-up names its block");
    assert!(looked_at.number >= world.deployed_at);
    let there = eventually("the block is there", || async {
        world.chain.block_ref(looked_at.number).await.expect("the chain answers")
    })
    .await;
    assert_eq!(there, looked_at);
    node.stop().await;
}
