//! Claims on a private list that their recipient did not sign: the chain is asked about each of them, listed or not, before
//! the list is looked at, so that the wait tells nobody who is listed.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use serde_json::Value;
use sluice_core::command::{Action, CampaignTerms, ClaimDemand, Visibility};
use sluice_core::ids::DemandId;
use sluice_core::limits::PRIVATE_LOOKUPS_MAX;
use sluice_core::log::entry::Body;
use sluice_core::refusal::Code;
use sluice_core::signing::claim_digest;
use sluice_engine::intake::SubmitError;
use sluice_engine::node::{Node, NodeConfig};
use sluice_engine::standby::ChainSettings;
use support::proxy::{Hold, Proxy};
use support::{World, decided, eventually, tokens, wallet};
use tokio::task::JoinSet;
use uuid::Uuid;

/// The number of a wallet that the list does not name.
const STRANGER: u32 = 900;

/// Whether a request asks a wallet of these tests whether it signed.
fn asks_a_wallet(request: &Value) -> bool {
    let to = request["params"][0]["to"].as_str().and_then(|to| to.parse::<Address>().ok());
    let mut wallets = (0..4).chain([STRANGER]).map(|number| wallet(number).address());
    request["method"] == "eth_call" && to.is_some_and(|to| wallets.any(|wallet| wallet == to))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_somebody_is_listed_does_not_show_in_how_a_bad_signature_is_refused() {
    let world = World::new().await;
    let hold = Hold::new(true, asks_a_wallet);
    let proxy = Proxy::holding(world.anvil.url().to_owned(), Arc::clone(&hold), |_| None).await;
    let config = world.config(0);
    let settings = ChainSettings { chain: world.through(&proxy).await, ..config.chains[&31_337].clone() };
    let node = Node::start(NodeConfig { chains: BTreeMap::from([(31_337, settings)]), ..config });
    let node = node.await.expect("a node");
    let (terms, snapshot) = world.snapshot(0..4);
    let private = CampaignTerms { visibility: Visibility::Private, ..world.campaign_terms() };
    let created = world.command(&node, Action::CreateCampaign(private), 1).await;
    assert!(matches!(created.entry.body, Body::CampaignCreated(_)), "{:?}", created.entry.body);
    world.publish_round(&node, &terms).await;

    let right = world.claim(&snapshot, 1, &wallet(2), wallet(2).address());
    // Signed by somebody else, every one.
    let forged = |claim: ClaimDemand| {
        let digest = claim_digest(&claim, world.distributor_ref());
        ClaimDemand { signature: wallet(77).sign_digest(digest).expect("signs"), ..claim }
    };
    let unlisted = wallet(STRANGER).address();
    let probes = [
        right.clone(),
        ClaimDemand { amount: tokens(4), ..right.clone() },
        ClaimDemand { index: (right.index + 1) % 4, ..right.clone() },
        ClaimDemand { recipient: unlisted, to: unlisted, ..right.clone() },
    ]
    .map(forged);
    let mut answers = JoinSet::new();
    let submit = |claim: ClaimDemand| {
        let (node, campaign) = (node.clone(), world.campaign);
        async move { node.submit_claim(campaign, DemandId(Uuid::now_v7()), claim).await }
    };
    for probe in &probes {
        answers.spawn(submit(probe.clone()));
    }
    eventually("the chain is asked about each of them", || async {
        (hold.waiting() == probes.len()).then_some(())
    })
    .await;
    // How many are listed is public.
    let beyond = submit(forged(ClaimDemand { index: 999, ..right.clone() })).await;
    assert!(matches!(beyond, Err(SubmitError::Refused(Code::NotListed))), "{beyond:?}");
    // Whom a key signed for is delayed by none of them, and told at once what is wrong with an entry that is not theirs.
    let index_of = |number: &u32| snapshot.find(wallet(*number).address()).start;
    let other = (0..4).find(|number| index_of(number) == (right.index + 2) % 4).expect("four are listed");
    let own = world.claim(&snapshot, 1, &wallet(other), wallet(other).address());
    let outcome = decided(&node, submit(own).await.expect("accepted")).await;
    assert!(matches!(outcome.entry.body, Body::ClaimDecided(_)), "{:?}", outcome.entry.body);
    let mut stranger =
        ClaimDemand { recipient: unlisted, to: unlisted, signature: Bytes::new(), ..right.clone() };
    let digest = claim_digest(&stranger, world.distributor_ref());
    stranger.signature = wallet(STRANGER).sign_digest(digest).expect("signs");
    let told = submit(stranger).await;
    assert!(matches!(told, Err(SubmitError::Refused(Code::NotListed))), "{told:?}");

    // As many are asked about as there may be; the next is sent away, and no listed one before an unlisted one.
    for number in probes.len()..PRIVATE_LOOKUPS_MAX {
        answers.spawn(submit(probes[number % probes.len()].clone()));
    }
    eventually("as many look-ups stand still as there may be", || async {
        (hold.waiting() == PRIVATE_LOOKUPS_MAX).then_some(())
    })
    .await;
    for probe in &probes {
        let told = submit(probe.clone()).await;
        assert!(matches!(told, Err(SubmitError::Busy { .. })), "{told:?}");
    }
    hold.close(false);
    while let Some(answer) = answers.join_next().await {
        let told = answer.expect("no panic");
        assert!(matches!(told, Err(SubmitError::Refused(Code::BadSignature))), "{told:?}");
    }
    node.stop().await;
}
