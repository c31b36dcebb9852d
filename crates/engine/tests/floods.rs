//! Attestations and claims share no look-ups: while those of the one stand still, the other goes on.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, hex};
use serde_json::Value;
use sluice_core::ids::DemandId;
use sluice_core::limits::{ATTESTATION_LOOKUPS_MAX, ATTESTATIONS_LOOKED_UP_MAX, LOOKUPS_MAX};
use sluice_core::log::entry::Body;
use sluice_engine::attestations::{AttestationError, Kept};
use sluice_engine::node::{Node, NodeConfig};
use sluice_engine::standby::ChainSettings;
use sluice_gate::attestation::AttestationCode;
use sluice_snapshot::Snapshot;
use support::institutions::{Gated, REGISTRY, RESIDENCY, SAFE, VAULT, resident_of};
use support::proxy::{Hold, Proxy};
use support::{World, account, decided, eventually, wallet};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

/// Whether a request is a call of this contract.
fn calls(contract: Address) -> impl Fn(&Value) -> bool + Send + Sync + 'static {
    move |request| {
        let to = request["params"][0]["to"].as_str().and_then(|to| to.parse::<Address>().ok());
        request["method"] == "eth_call" && to == Some(contract)
    }
}

/// A node that sees its chain through a proxy.
async fn start(world: &World, proxy: &Proxy) -> Node {
    let config = world.config(0);
    let settings = ChainSettings { chain: world.through(proxy).await, ..config.chains[&31_337].clone() };
    let config = NodeConfig { chains: BTreeMap::from([(31_337, settings)]), ..config };
    Node::start(config).await.expect("a node")
}

/// Such a node, and an open GATED round of the wallets 0 to 39.
async fn behind(hold: &Arc<Hold>) -> (World, Proxy, Node, Gated, Snapshot) {
    let world = World::new().await;
    let proxy = Proxy::holding(world.anvil.url().to_owned(), Arc::clone(hold), |_| None).await;
    let node = start(&world, &proxy).await;
    let (mut terms, snapshot) = world.snapshot(0..40);
    let gated = world.open_gated(&node, &mut terms).await;
    (world, proxy, node, gated, snapshot)
}

type Handed = JoinHandle<Result<Kept, AttestationError>>;

/// Hands in an attestation in the name of an issuer that is a contract.
fn hand_in(world: &World, node: &Node, issuer: Address, about: Address) -> Handed {
    let key = account("whoever signs for the contract");
    let attestation = world.signed_attestation(&key, issuer, about, RESIDENCY, resident_of("DE"));
    let (text, attestations) =
        (attestation.eas_json().expect("of EAS").to_string(), node.attestations().clone());
    tokio::spawn(async move { attestations.submit(text).await })
}

/// Somebody whom no list names.
fn stranger(n: usize) -> Address {
    Address::left_padding_from(&(0xf_0000 + n).to_be_bytes())
}

async fn claim(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> Body {
    let key = wallet(i);
    let claim = world.claim(snapshot, 1, &key, key.address());
    let id = DemandId(Uuid::now_v7());
    decided(node, node.submit_claim(world.campaign, id, claim).await.expect("accepted")).await.entry.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_verified_while_every_look_up_of_attestations_stands_still() {
    let hold = Hold::new(true, calls(SAFE));
    let (world, _proxy, node, gated, snapshot) = behind(&hold).await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    let most = ATTESTATION_LOOKUPS_MAX + ATTESTATIONS_LOOKED_UP_MAX;
    let flood: Vec<Handed> = (0..most + 10).map(|n| hand_in(&world, &node, SAFE, stranger(n))).collect();
    eventually("as many look-ups stand still as there may be", || async {
        (hold.waiting() == ATTESTATION_LOOKUPS_MAX).then_some(())
    })
    .await;
    // Its own attestations' registry is asked meanwhile.
    let body = claim(&world, &node, &snapshot, 3).await;
    assert!(matches!(body, Body::ClaimDecided(_)), "{body:?}");
    // Who needs no look-up passes those that wait by.
    world.attest(&node, &gated.issuer, wallet(4).address(), RESIDENCY, resident_of("DE")).await;
    assert_eq!(hold.waiting(), ATTESTATION_LOOKUPS_MAX, "and they still stand");
    eventually("those for whom there is no room are sent away", || async {
        (flood.iter().filter(|handed| handed.is_finished()).count() >= 9).then_some(())
    })
    .await;
    let (mut busy, mut waiting) = (0, 0);
    for handed in flood {
        if !handed.is_finished() {
            waiting += 1;
            continue;
        }
        let answer = handed.await.expect("no panic");
        let Err(AttestationError::Busy { retry_after }) = answer else { panic!("{answer:?}") };
        assert!(!retry_after.is_zero());
        busy += 1;
    }
    assert!(busy >= 9 && waiting <= most + 1, "{busy} sent away, {waiting} wait");
    hold.close(false);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_soon_after_its_attestations_waits_for_no_registry() {
    let registry = hex::encode(REGISTRY);
    let asks =
        move |request: &Value| request["method"] == "eth_call" && request.to_string().contains(&registry);
    let hold = Hold::new(false, asks);
    let (world, _proxy, node, gated, snapshot) = behind(&hold).await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    eventually("the registry is asked ahead", || async {
        (node.attestations().answers_remembered() == 2).then_some(())
    })
    .await;
    hold.close(true);
    let body = claim(&world, &node, &snapshot, 3).await;
    assert!(matches!(body, Body::ClaimDecided(_)), "{body:?}");
    hold.close(false);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attestation_is_looked_up_while_every_look_up_of_claims_stands_still() {
    let hold = Hold::new(false, calls(SAFE));
    let (world, proxy, node, _gated, snapshot) = behind(&hold).await;
    world.consent_to_all(SAFE).await;
    let claimants = 0..u32::try_from(LOOKUPS_MAX + 1).expect("few");
    for i in claimants.clone() {
        hand_in(&world, &node, SAFE, wallet(i).address()).await.expect("no panic").expect("kept");
    }
    // What was looked up then is remembered by that process only.
    node.stop().await;
    let node = start(&world, &proxy).await;
    hold.close(true);
    let mut claims = JoinSet::new();
    for i in claimants {
        let (key, node, campaign) = (wallet(i), node.clone(), world.campaign);
        let claim = world.claim(&snapshot, 1, &key, key.address());
        claims.spawn(async move { node.submit_claim(campaign, DemandId(Uuid::now_v7()), claim).await });
    }
    eventually("as many look-ups stand still as there may be", || async {
        (hold.waiting() == LOOKUPS_MAX).then_some(())
    })
    .await;
    // Nobody stands behind this issuer's signatures: the chain was asked to know that.
    let answer = hand_in(&world, &node, VAULT, stranger(1)).await.expect("no panic");
    let Err(AttestationError::Refused(refused)) = answer else { panic!("{answer:?}") };
    assert_eq!(refused.code, AttestationCode::SignatureRefused);
    assert_eq!(hold.waiting(), LOOKUPS_MAX, "and they still stand");
    hold.close(false);
    while let Some(claim) = claims.join_next().await {
        claim.expect("no panic").expect("accepted");
    }
    node.stop().await;
}
