//! What is turned away at the door, and what nobody gains by borrowing it.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::command::{Action, Approval, Command, Demand, HoldTarget};
use sluice_core::ids::{CampaignId, DemandId};
use sluice_core::log::entry::Body;
use sluice_core::refusal::Code;
use sluice_engine::follower::Outcome;
use sluice_engine::intake::SubmitError;
use sluice_engine::node::{Node, NodeConfig};
use sluice_engine::standby::ChainSettings;
use sluice_snapshot::Snapshot;
use support::institutions::{REGISTRY, RESIDENCY, done, resident_of};
use support::proxy::Proxy;
use support::{FAR, World, account, decided, eventually, wallet};
use uuid::Uuid;

fn new_id() -> DemandId {
    DemandId(Uuid::now_v7())
}

async fn claimed(world: &World, node: &Node, snapshot: &Snapshot, i: u32) -> Outcome {
    let key = wallet(i);
    let claim = world.claim(snapshot, 1, &key, key.address());
    decided(node, node.submit_claim(world.campaign, new_id(), claim).await.expect("accepted")).await
}

fn code(outcome: &Outcome) -> Option<Code> {
    match &outcome.entry.body {
        Body::ClaimRefused(refused) => Some(refused.code),
        Body::CommandRefused(refused) => Some(refused.code),
        _ => None,
    }
}

/// A signer that is a contract would have to be asked; whoever speaks for nobody has nobody asked, and no row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_command_makes_no_work_and_leaves_no_trace() {
    let world = World::new().await;
    let verifier = Address::repeat_byte(0x7f);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let proxy = Proxy::start(world.anvil.url().to_owned(), move |request| {
        let text = request.to_string().to_lowercase();
        if text.contains(&format!("{verifier:#x}")) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        None
    })
    .await;
    let config = world.config(0);
    let settings = ChainSettings { chain: world.through(&proxy).await, ..config.chains[&31_337].clone() };
    let config = NodeConfig { chains: BTreeMap::from([(31_337, settings)]), ..config };
    let node = Node::start(config).await.expect("a node");
    let charter = eventually("the Charter is read", || async { node.home_charter() }).await;
    let known = charter.view.institutions[0].id;

    let signer = Bytes::from([verifier.as_slice(), &[7; 64]].concat());
    let approval = |authority| Approval { authority, signer: signer.clone(), signature: vec![9; 65].into() };
    let person = B256::repeat_byte(3);
    let command = |action, approvals| Command {
        action,
        subject_version: 0,
        reason: "let me in".into(),
        valid_at: 0,
        deadline: FAR * 1_000,
        mandate: B256::ZERO,
        delegation: B256::ZERO,
        listed_at: None,
        approvals,
    };
    let hold = || Action::Hold { target: HoldTarget::Person { person } };
    let payee = Action::ChangePayee { person, payee: Address::repeat_byte(1) };
    let lent = Command { delegation: B256::repeat_byte(4), ..command(hold(), vec![approval(known)]) };
    for stranger in [
        // In the name of an institution, of nobody's, of a person, and as a vendor without a delegation.
        command(hold(), vec![approval(known)]),
        command(hold(), vec![approval(B256::repeat_byte(0x99))]),
        command(hold(), vec![approval(B256::ZERO)]),
        command(payee, vec![approval(B256::ZERO)]),
        lent,
    ] {
        let id = new_id();
        let answer = node.submit(id, Demand::Command(stranger)).await;
        assert!(matches!(answer, Err(SubmitError::Refused(Code::NotAuthorized))), "{answer:?}");
        let row = node.store().intake_by_id(CampaignId::default(), id).await.expect("an answer");
        assert!(row.is_none(), "nothing was recorded");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "and nobody was asked");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_paid_on_another_persons_attestation() {
    let world = World::new().await;
    let node = world.node(0).await;
    let person = B256::repeat_byte(0xd4);
    let list = format!(
        "address,amount,person\n{},4,{}\n{},5,{person}\n",
        wallet(3).address(),
        B256::repeat_byte(0xd3),
        wallet(4).address(),
    );
    let (mut terms, snapshot) = world.snapshot_of(&list);
    let gated = world.open_gated(&node, &mut terms).await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    assert_eq!(code(&claimed(&world, &node, &snapshot, 4).await), Some(Code::AttestationMissing));

    // The same statement about another, under the same signature, is no attestation.
    let mut altered = world.signed_attestation(
        &gated.issuer,
        gated.issuer.address(),
        wallet(3).address(),
        RESIDENCY,
        resident_of("DE"),
    );
    let sluice_gate::attestation::Statement::EasOffchain(statement) = &mut altered.statement else {
        panic!()
    };
    statement.recipient = wallet(4).address();
    let answer = node.attestations().submit(altered.eas_json().expect("of EAS").to_string()).await;
    assert!(matches!(answer, Err(sluice_engine::attestations::AttestationError::Refused(_))), "{answer:?}");

    // A person who moves to an attested address by an own signature brings nobody's attestations along.
    let bind = |payee| Action::BindPerson { person, payee, jurisdiction: String::new() };
    done(&world.command(&node, bind(wallet(4).address()), 2).await);
    let moves = Action::ChangePayee { person, payee: wallet(3).address() };
    let charter = node.home_charter().expect("read");
    let key = wallet(4);
    let moved = eventually("the move is not overtaken", || async {
        let id = new_id();
        let mut command = Command {
            action: moves.clone(),
            subject_version: node.follower().seq(),
            reason: "moved".into(),
            valid_at: 0,
            deadline: FAR * 1_000,
            mandate: B256::ZERO,
            delegation: B256::ZERO,
            listed_at: None,
            approvals: Vec::new(),
        };
        let digest = sluice_core::signing::command_digest(&command, id, B256::ZERO, charter.charter)?;
        let signature = key.sign_digest(digest).expect("signs");
        command.approvals = vec![Approval { authority: B256::ZERO, signer: key.signer_bytes(), signature }];
        let outcome =
            decided(&node, node.submit(id, Demand::Command(command)).await.expect("accepted")).await;
        (code(&outcome) != Some(Code::Stale)).then_some(outcome)
    })
    .await;
    done(&moved);
    assert_eq!(code(&claimed(&world, &node, &snapshot, 4).await), Some(Code::AttestationMissing));
    // Whose address it is a registrar has to say.
    done(&world.command(&node, bind(wallet(3).address()), 2).await);
    assert_eq!(code(&claimed(&world, &node, &snapshot, 4).await), None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_known_attestation_is_revoked_and_then_counts_no_more() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (mut terms, snapshot) = world.snapshot(0..10);
    let gated = world.open_gated(&node, &mut terms).await;
    let about = wallet(3).address();
    world.attest_both(&node, &gated, about).await;
    let known = world.attest(&node, &gated.issuer, about, RESIDENCY, resident_of("DE")).await;
    for unknown in [B256::repeat_byte(0x0f), known.uid()] {
        let refused = world.command(&node, Action::RevokeAttestation { uid: unknown }, 2).await;
        assert_eq!(code(&refused), Some(Code::AttestationMissing), "a uid is no attestation's id");
    }
    assert!(node.follower().read(|s| s.revoked.is_empty()));
    let revoke = || Action::RevokeAttestation { uid: known.id() };
    done(&world.command(&node, revoke(), 2).await);
    assert_eq!(code(&world.command(&node, revoke(), 2).await), Some(Code::AlreadyRevoked));
    assert_eq!(code(&claimed(&world, &node, &snapshot, 3).await), Some(Code::AttestationRefused));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_registry_stands_a_claim_is_refused_and_waits_for_none() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (mut terms, snapshot) = world.snapshot(0..10);
    let gated = world.open_gated(&node, &mut terms).await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    assert_eq!(code(&claimed(&world, &node, &snapshot, 3).await), None);
    world.anvil("anvil_setCode", serde_json::json!([REGISTRY, "0x"])).await;
    world.mine(1).await;
    world.attest_both(&node, &gated, wallet(4).address()).await;
    assert_eq!(code(&claimed(&world, &node, &snapshot, 4).await), Some(Code::AttestationRefused));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gates_words_that_are_known_are_turned_away_under_any_other_id() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (mut terms, snapshot) = world.snapshot(0..10);
    let gated = world.open_gated(&node, &mut terms).await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    assert_eq!(code(&claimed(&world, &node, &snapshot, 3).await), None);
    let index = snapshot.find(wallet(3).address()).start;
    let signed = world.gate_signs(&node, &gated, &[index], FAR);
    let first = new_id();
    let outcome =
        decided(&node, node.submit(first, Demand::Gate(signed.clone())).await.expect("taken")).await;
    assert!(matches!(outcome.entry.body, Body::GateSigned(_)), "{:?}", outcome.entry.body);
    eventually("it is applied", || async { (node.follower().seq() >= outcome.entry.seq).then_some(()) })
        .await;

    let replayed = new_id();
    let answer = node.submit(replayed, Demand::Gate(signed.clone())).await;
    assert!(matches!(answer, Err(SubmitError::Refused(Code::GateMismatch))), "{answer:?}");
    let row = node.store().intake_by_id(world.campaign, replayed).await.expect("an answer");
    assert!(row.is_none(), "whoever repeats what is public makes no rows");
    // The gate itself asks again under its own id, and is told what became of it.
    let again = decided(&node, node.submit(first, Demand::Gate(signed)).await.expect("known")).await;
    assert_eq!(again.entry.seq, outcome.entry.seq);
    assert_eq!(account("gate").signer_bytes(), gated.gate.signer);
    node.stop().await;
}
