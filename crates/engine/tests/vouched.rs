//! A node seals with an attestation that it looked at its signature, and other nodes take its word. What that is worth when
//! the node lied: the leader believes it, the gate-signer does not, and nothing is paid.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::Address;
use sha2::{Digest, Sha256};
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::Body;
use sluice_core::state::status::ClaimState;
use sluice_engine::gate_signer::{GateSigner, GateSignerConfig};
use sluice_engine::node::Node;
use sluice_snapshot::Snapshot;
use sluice_store::{NewAttestation, Options, SealKey, Store};
use support::institutions::{Gated, INCOME, RESIDENCY, earns, resident_of};
use support::{SEAL_SECRET, STREAM, World, account, decided, wallet};
use uuid::Uuid;

/// Puts attestations about somebody into the database that the issuer did not sign, as who has the seal key can.
async fn vouch(world: &World, gated: &Gated, about: Address, signed_by_key: bool) {
    let store = Store::connect(world.database.url(), Options { connections: 1 }).await.expect("connects");
    let store = store.with_seal_key(SealKey::new(&SEAL_SECRET));
    let statements = [(RESIDENCY, resident_of("DE")), (INCOME, earns(9_000))];
    let forged = statements.map(|(schema, data)| {
        let forged =
            world.signed_attestation(&account("nobody"), gated.issuer.address(), about, schema, data);
        NewAttestation {
            id: forged.id().0,
            uid: forged.uid().0,
            issuer: forged.issuer.into(),
            schema: Sha256::digest(forged.schema()).into(),
            subjects: vec![about.to_vec()],
            signed_by_key,
            body: forged.encode(),
        }
    });
    assert_eq!(store.add_attestations(&forged).await.expect("kept").len(), 2);
}

async fn claimed(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> Body {
    let key = wallet(i);
    let claim = world.claim(snapshot, 1, &key, key.address());
    let submitted =
        node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await.expect("accepted");
    decided(node, submitted).await.entry.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_a_node_vouched_for_wrongly_pays_nobody() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (mut terms, snapshot) = world.snapshot(0..10);
    let gated = world.open_gated(&node, &mut terms).await;

    // Nobody vouches: the leader looks itself.
    vouch(&world, &gated, wallet(3).address(), false).await;
    let refused = claimed(&world, &node, &snapshot, 3).await;
    assert!(matches!(refused, Body::ClaimRefused(_)), "{refused:?}");
    // Somebody with the seal key does: it takes their word.
    vouch(&world, &gated, wallet(4).address(), true).await;
    let believed = claimed(&world, &node, &snapshot, 4).await;
    assert!(matches!(believed, Body::ClaimDecided(_)), "{believed:?}");

    let index = snapshot.find(wallet(4).address()).start;
    let mut signer = GateSigner::start(GateSignerConfig {
        stream: STREAM,
        database_url: world.database.url().to_owned(),
        snapshots: world.folder.path().to_owned(),
        chains: BTreeMap::from([(31_337, (world.chain.clone(), world.charter))]),
        home: 31_337,
        key: account("gate"),
        interval: Duration::from_millis(1),
        seal_secret: SEAL_SECRET,
    })
    .await
    .expect("a gate-signer");
    assert_eq!(signer.tick().await.expect("a step"), [], "it looks itself, and signs for nobody");
    let told: Vec<_> = signer.incidents().iter().map(|i| (i.entitlement, i.what.as_str())).collect();
    let why = "decided, where it is to be refused: attestation_refused";
    assert_eq!(told, [(Some(EntitlementId { round: 1, index }), why)]);
    assert_eq!(world.status(&node, index), Some(ClaimState::Decided), "it waits for its gate for ever");
    node.stop().await;
}
