//! The gate-signer beside a node, on real Postgres and a real chain: what it confirms is paid, what a bad leader wrote is
//! never signed, and while it is away everything else goes on.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Bytes;
use sluice_chain::signer::Account;
use sluice_core::command::{ClaimDemand, Demand, RoundMode};
use sluice_core::decide::{About, ClaimVerdict, GateVerdict, Input, VerifiedClaim};
use sluice_core::ids::{DemandId, EntitlementId, IntakeKey, Seq};
use sluice_core::limits::DECIDE_WITHIN;
use sluice_core::log::entry::{Body, ClaimDecided, GateSigned, SignedBy};
use sluice_core::state::status::ClaimState;
use sluice_engine::erasure::{self, Erasure};
use sluice_engine::error::EngineError;
use sluice_engine::gate_signer::{GateSigner, GateSignerConfig, gate_words_id};
use sluice_engine::node::Node;
use sluice_engine::snapshots::Snapshots;
use sluice_engine::verify::Verifier;
use sluice_snapshot::Snapshot;
use sluice_store::{ErasureOrder, IntakeOutcome, IntakeWriter, KeptFacts, NewIntake};
use sqlx::Connection;
use support::institutions::{Gated, INCOME, earns};
use support::term::Term;
use support::{FAR, SEAL_SECRET, STREAM, World, account, decided, eventually, tokens, wallet};
use uuid::Uuid;

/// The gate's key in these tests' worlds; it may only read the database.
fn config(world: &World, key: Account) -> GateSignerConfig {
    let url = world.database.url();
    let and = if url.contains('?') { '&' } else { '?' };
    GateSignerConfig {
        stream: STREAM,
        database_url: format!("{url}{and}options[default_transaction_read_only]=on"),
        snapshots: world.folder.path().to_owned(),
        chains: BTreeMap::from([(31_337, (world.chain.clone(), world.charter))]),
        home: 31_337,
        key,
        interval: Duration::from_millis(1),
        seal_secret: SEAL_SECRET,
    }
}

async fn gate_signer(world: &World) -> GateSigner {
    GateSigner::start(config(world, account("gate"))).await.expect("a gate-signer")
}

/// A node that leads, and an open GATED round of the wallets 0 to 9.
async fn gated() -> (World, Node, Gated, Snapshot) {
    let world = World::new().await;
    let node = world.node(0).await;
    let (mut terms, snapshot) = world.snapshot(0..10);
    let gated = world.open_gated(&node, &mut terms).await;
    (world, node, gated, snapshot)
}

fn index(snapshot: &Snapshot, i: u32) -> u64 {
    snapshot.find(wallet(i).address()).start
}

fn mask(indexes: &[u64]) -> [u64; 4] {
    let mut mask = [0; 4];
    for at in indexes {
        mask[usize::try_from(at / 64).expect("below 4")] |= 1 << (at % 64);
    }
    mask
}

async fn claim(world: &World, node: &Node, snapshot: &Snapshot, round: u64, i: u32) -> (Seq, ClaimDecided) {
    let key = wallet(i);
    let claim = world.claim(snapshot, round, &key, key.address());
    let submitted =
        node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await.expect("accepted");
    let entry = decided(node, submitted).await.entry;
    let Body::ClaimDecided(claim) = entry.body else { panic!("{:?}", entry.body) };
    (entry.seq, claim)
}

async fn hand_in(node: &Node, words: &GateSigned) {
    let submitted = node.submit(gate_words_id(words), Demand::Gate(words.clone())).await.expect("accepted");
    let entry = decided(node, submitted).await.entry;
    assert!(matches!(entry.body, Body::GateSigned(_)), "{:?}", entry.body);
}

/// The same with the signature of each word written otherwise.
fn written(mut words: GateSigned, otherwise: impl Fn(&mut Vec<u8>)) -> GateSigned {
    for word in &mut words.words {
        let mut signature = word.signature.to_vec();
        otherwise(&mut signature);
        word.signature = signature.into();
    }
    words
}

/// What is due now, of one word.
async fn one_word(signer: &mut GateSigner) -> (GateSigned, [u64; 4]) {
    let mut due = signer.tick().await.expect("a step");
    assert_eq!(due.len(), 1, "{due:?}");
    let words = due.remove(0);
    assert_eq!(words.words.len(), 1);
    let mask = words.words[0].mask;
    (words, mask)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_confirms_is_paid_and_while_it_is_away_other_rounds_go_on() {
    let (world, node, gated, snapshot) = gated().await;
    for i in [3, 4, 5] {
        world.attest_both(&node, &gated, wallet(i).address()).await;
    }
    claim(&world, &node, &snapshot, 1, 3).await;
    claim(&world, &node, &snapshot, 1, 4).await;

    // Nobody signs: a round without a gate is claimed, paid and final all the same.
    let (mut open, its_snapshot) = world.snapshot(20..25);
    (open.round, open.mode) = (2, RoundMode::Pull);
    world.publish_round(&node, &open).await;
    claim(&world, &node, &its_snapshot, 2, 21).await;
    let id = EntitlementId { round: 2, index: index(&its_snapshot, 21) };
    world.final_at(&node, id).await;
    assert_eq!(world.balance(wallet(21).address()).await, tokens(22).get());
    assert_eq!(world.status(&node, index(&snapshot, 3)), Some(ClaimState::Decided), "it waits for its gate");
    assert_eq!(world.balance(wallet(3).address()).await, 0);

    let mut signer = gate_signer(&world).await;
    let both = [index(&snapshot, 3), index(&snapshot, 4)];
    let (words, signed) = one_word(&mut signer).await;
    assert_eq!(signed, mask(&both));
    assert!(words.words[0].expiry > FAR, "it outlives the closing");
    assert_eq!(signer.incidents(), []);
    // A key may write its signature in several ways, and a contract takes one of them.
    let words = written(words, |signature| {
        signature[32] |= (signature[64] - 27) << 7;
        signature.truncate(64);
    });
    hand_in(&node, &words).await;
    // The same again is the same demand.
    hand_in(&node, &words).await;
    for index in both {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    assert_eq!(world.balance(wallet(3).address()).await, tokens(4).get());
    assert_eq!(signer.tick().await.expect("a step"), []);

    // Another process with the same key goes on where the log stands.
    drop(signer);
    let mut signer = gate_signer(&world).await;
    assert_eq!(signer.tick().await.expect("a step"), []);
    claim(&world, &node, &snapshot, 1, 5).await;
    let (words, signed) = one_word(&mut signer).await;
    assert_eq!(signed, mask(&[both[0], both[1], index(&snapshot, 5)]), "a mask only grows");
    let words = written(words, |signature| signature[64] -= 27);
    hand_in(&node, &words).await;
    world.final_at(&node, EntitlementId { round: 1, index: index(&snapshot, 5) }).await;
    assert_eq!(signer.tick().await.expect("a step"), []);
    let signed = world.log(&node).await.iter().filter(|e| matches!(e.body, Body::GateSigned(_))).count();
    assert_eq!(signed, 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_after_a_decision_changes_nothing() {
    let (world, node, gated, snapshot) = gated().await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    claim(&world, &node, &snapshot, 1, 3).await;
    world.attest(&node, &gated.issuer, wallet(3).address(), INCOME, earns(90_000)).await;
    let mut signer = gate_signer(&world).await;
    let (_, signed) = one_word(&mut signer).await;
    assert_eq!(signed, mask(&[index(&snapshot, 3)]));
    assert_eq!(signer.incidents(), []);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_between_verification_and_decision_must_permit_it_too() {
    let (world, node, gated, snapshot) = gated().await;
    for i in [3, 4] {
        world.attest_both(&node, &gated, wallet(i).address()).await;
    }
    node.stop().await;
    let term = world.term().await;
    let chains = BTreeMap::from([(31_337, world.chain.clone())]);
    let verifier = Verifier::new(
        term.follower.clone(),
        Snapshots::new(world.folder.path()),
        term.store.clone(),
        Arc::new(chains),
        Arc::clone(&term.clock),
    );
    let mut verified = Vec::new();
    for i in [3, 4] {
        let claim = world.claim(&snapshot, 1, &wallet(i), wallet(i).address());
        let (_, id) = hand_in_quietly(&term, &world, &claim).await;
        let row = term.store.intake_by_id(world.campaign, id).await.expect("an answer").expect("a row");
        verified.push(verifier.verify(&row.accepted().expect("a demand")).await.expect("verified"));
    }
    // Another node takes a newer attestation about each: one permits, one does not.
    let other = world.node(1).await;
    for (i, yearly) in [(3, 8_000), (4, 90_000)] {
        world.attest(&other, &gated.issuer, wallet(i).address(), INCOME, earns(yearly)).await;
    }
    // The leader knows the database's clock by a few milliseconds only; what is decided now must come after both.
    let kept = term.store.database_now().await.expect("a clock");
    eventually("the leader's clock is past both", || async { (term.clock.now() > kept).then_some(()) }).await;
    let before = term.seq();
    for input in verified {
        term.verified.send((world.campaign, input)).await.expect("the sequencer runs");
    }
    eventually("both are decided", || async {
        let log = term.log_after(before).await;
        (log.iter().filter(|e| matches!(e.body, Body::ClaimDecided(_))).count() == 2).then_some(())
    })
    .await;
    let mut signer = gate_signer(&world).await;
    let (_, signed) = one_word(&mut signer).await;
    assert_eq!(signed, mask(&[index(&snapshot, 3)]));
    let told: Vec<_> =
        signer.incidents().iter().map(|i| (i.entitlement.map(|e| e.index), &*i.what)).collect();
    let why = "decided, where it is to be refused: rule_refused";
    assert_eq!(told, [(Some(index(&snapshot, 4)), why)]);
    other.stop().await;
}

/// What a bad leader puts into the log: a claim found good by nobody, with an honest one's evidence.
async fn forge(
    term: &Term,
    world: &World,
    key: IntakeKey,
    id: DemandId,
    claim: ClaimDemand,
    honest: &Honest,
) {
    let before = term.seq();
    let gate = GateVerdict {
        gate: 1,
        rule_sets: honest.claim.evidence.rule_sets.clone(),
        policies: honest.claim.evidence.policies.clone(),
        attestations: honest.claim.evidence.attestations.clone(),
        as_of: before,
        facts: honest.facts.clone(),
    };
    let verdict = ClaimVerdict {
        signed_by: SignedBy::Key,
        looked_at: None,
        valid_until: u64::MAX,
        person: None,
        gate: Some(gate),
    };
    let body_hash = Demand::Claim(claim.clone()).body_hash();
    let accepted_at = honest.claim.accepted_at;
    let input = VerifiedClaim { key, id, accepted_at, claim, body_hash, verdict: Ok(verdict) };
    term.verified.send((world.campaign, Input::Claim(input))).await.expect("the sequencer runs");
    let entry = eventually("the forged entry is in the log", || async {
        term.log_after(before).await.into_iter().find(|entry| entry.body.intake() == Some(key))
    })
    .await;
    assert!(matches!(entry.body, Body::ClaimDecided(_)), "{:?}", entry.body);
}

struct Honest {
    claim: ClaimDecided,
    facts: Bytes,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bad_leader_decided_is_never_signed_and_told_once() {
    let (world, node, gated, snapshot) = gated().await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    let (seq, honest) = claim(&world, &node, &snapshot, 1, 3).await;
    let kept = node.store().facts_of(STREAM, seq).await.expect("an answer").expect("facts");
    let KeptFacts::Open(facts) = kept else { panic!("a node opens them") };
    let facts = facts.into();
    let honest = Honest { claim: honest, facts };
    node.stop().await;

    let term = world.term().await;
    // Nobody handed this in.
    let made_up = world.claim(&snapshot, 1, &wallet(4), wallet(4).address());
    let key = IntakeKey { campaign: world.campaign, node: 900, n: 1 };
    forge(&term, &world, key, DemandId(Uuid::now_v7()), made_up, &honest).await;
    // This was handed in, by somebody without attestations.
    let unattested = world.claim(&snapshot, 1, &wallet(5), wallet(5).address());
    let (key, id) = hand_in_quietly(&term, &world, &unattested).await;
    forge(&term, &world, key, id, unattested, &honest).await;
    // This was handed in with another's signature.
    let mut stolen = world.claim(&snapshot, 1, &wallet(6), wallet(6).address());
    stolen.signature = world.claim(&snapshot, 1, &wallet(7), wallet(7).address()).signature;
    let (key, id) = hand_in_quietly(&term, &world, &stolen).await;
    forge(&term, &world, key, id, stolen, &honest).await;

    let mut signer = gate_signer(&world).await;
    let (words, signed) = one_word(&mut signer).await;
    assert_eq!(signed, mask(&[index(&snapshot, 3)]), "the honest claim alone");
    let told: Vec<_> =
        signer.incidents().iter().map(|i| (i.entitlement.map(|e| e.index), i.what.clone())).collect();
    assert_eq!(
        told,
        [
            (Some(index(&snapshot, 4)), "decided, but nobody handed it in".to_owned()),
            (Some(index(&snapshot, 5)), "decided, where it is to be refused: attestation_missing".to_owned()),
            (Some(index(&snapshot, 6)), "decided, where it is to be refused: bad_signature".to_owned()),
        ]
    );
    assert_eq!(
        signer.tick().await.expect("a step").len(),
        1,
        "what the log does not have is handed in again"
    );
    assert_eq!(signer.incidents().len(), 3, "each is told once");
    drop(term);

    // An honest leader again: only the confirmed one is paid, and the log takes no mask that says more.
    let node = world.node(1).await;
    hand_in(&node, &words).await;
    world.final_at(&node, EntitlementId { round: 1, index: index(&snapshot, 3) }).await;
    let head = world.chain.latest().await.expect("a block").number;
    world.mine(5).await;
    world.read_up_to(&node, head + 5).await;
    for i in [4, 5, 6] {
        assert_eq!(world.status(&node, index(&snapshot, i)), Some(ClaimState::Decided));
        assert_eq!(world.balance(wallet(i).address()).await, 0);
    }
    node.stop().await;
}

/// Writes a claim's intake row without a door that would refuse it.
async fn hand_in_quietly(term: &Term, world: &World, claim: &ClaimDemand) -> (IntakeKey, DemandId) {
    let node = term.store.register_node(&format!("a bad node {}", Uuid::now_v7())).await.expect("a number");
    let demand = Demand::Claim(claim.clone());
    let row = NewIntake {
        campaign: world.campaign,
        id: DemandId(Uuid::now_v7()),
        body_hash: demand.body_hash(),
        body: demand.encode(),
        place: 1,
        estimate_ms: 0,
        decide_within: DECIDE_WITHIN,
    };
    let mut outcomes = IntakeWriter::new(term.store.clone(), node).append(vec![row]).await.expect("written");
    let IntakeOutcome::Accepted(row) = outcomes.remove(0) else { panic!("a fresh id") };
    (row.key, row.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_to_be_erased_between_decision_and_gate_word_is_paid_and_then_erased() {
    let (world, node, gated, snapshot) = gated().await;
    for i in [3, 4] {
        world.attest_both(&node, &gated, wallet(i).address()).await;
    }
    claim(&world, &node, &snapshot, 1, 3).await;
    let erase = async |i: u32| {
        let about = About::Recipient(wallet(i).address());
        let order = ErasureOrder::new(about, "a test");
        erasure::erase(node.follower(), node.snapshots(), node.store(), &order).await.expect("answered")
    };
    let id = EntitlementId { round: 1, index: index(&snapshot, 3) };
    assert_eq!(erase(3).await, Erasure::Waits(world.campaign, id), "its gate has not verified it");
    // The leader asks again, whoever ordered past the door.
    let about = About::Recipient(wallet(3).address());
    let order = node
        .store()
        .order_erasure(STREAM, &ErasureOrder::new(about, "past the door"))
        .await
        .expect("ordered");
    let Erasure::Done { erased, .. } = erase(4).await else { panic!("somebody else need not wait") };
    assert_eq!((erased.facts, erased.attestations, erased.shared), (0, 2, 0));
    // Orders are looked at in turn: the leader has passed by the one before.
    assert_eq!(node.store().erasure(order).await.expect("answered"), None);

    let mut signer = gate_signer(&world).await;
    let (words, signed) = one_word(&mut signer).await;
    assert_eq!((signed, signer.incidents()), (mask(&[id.index]), [].as_slice()));
    hand_in(&node, &words).await;
    let done = async || node.store().erasure(order).await.expect("answered");
    let erased = eventually("the leader carries it out", done).await;
    assert_eq!((erased.facts, erased.attestations), (1, 2));
    let entry = node.store().read_log(STREAM, erased.seq - 1, 1).await.expect("the log").remove(0);
    let Body::Erased(entry) = entry.decode().expect("an entry").body else {
        panic!("position {}", erased.seq)
    };
    assert_eq!((entry.order, entry.facts.len(), entry.attestations), (order, 1, 2));
    let Erasure::Done { erased, subjects } = erase(3).await else { panic!("its gate said its word") };
    assert_eq!((erased.facts, erased.attestations), (0, 0), "nothing is left");
    assert_eq!(subjects, [wallet(3).address().to_vec()]);
    world.final_at(&node, id).await;
    assert_eq!(world.balance(wallet(3).address()).await, tokens(4).get());
    node.stop().await;
}

/// The claim was on its way to the log while its attestations went: no gate can verify it, and its facts go nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_whose_attestations_were_erased_do_not_wait_for_a_gate_word() {
    let (world, node, gated, snapshot) = gated().await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    let (seq, _) = claim(&world, &node, &snapshot, 1, 3).await;
    let about = About::Recipient(wallet(3).address());
    let order =
        node.store().order_erasure(STREAM, &ErasureOrder::new(about, "a test")).await.expect("ordered");
    let mut raw = sqlx::PgConnection::connect(world.database.url()).await.expect("the database");
    let went = "WITH gone AS (DELETE FROM attestation RETURNING id)
        INSERT INTO erased (stream, seq, erasure, facts, attestations, shared, last)
        SELECT 0, 1, $1, 0, count(*), 0, false FROM gone";
    let order_number = i64::try_from(order).expect("small");
    sqlx::query(went).bind(order_number).execute(&mut raw).await.expect("its first entry's part");
    let done = async || node.store().erasure(order).await.expect("answered");
    let erased = eventually("the leader carries it out", done).await;
    assert_eq!((erased.facts, erased.attestations), (1, 2));
    assert_eq!(node.store().facts_of(STREAM, seq).await.expect("answered"), None);
    assert_eq!(world.status(&node, index(&snapshot, 3)), Some(ClaimState::Decided));
    node.stop().await;
}

/// The operator may say that a payment which waits for its gate, perhaps in vain, is no reason to keep anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_to_be_erased_although_unpaid_is_erased_at_once() {
    let (world, node, gated, snapshot) = gated().await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    let (seq, _) = claim(&world, &node, &snapshot, 1, 3).await;
    let about = About::Recipient(wallet(3).address());
    let mut order = ErasureOrder::new(about, "a test");
    let erase = async |order: &ErasureOrder<'_>| {
        erasure::erase(node.follower(), node.snapshots(), node.store(), order).await.expect("answered")
    };
    assert!(matches!(erase(&order).await, Erasure::Waits(..)), "it needs to be said");
    order.although_unpaid = true;
    let Erasure::Done { erased, .. } = erase(&order).await else { panic!("it waits for nothing") };
    assert_eq!((erased.facts, erased.attestations), (1, 2));
    assert_eq!(node.store().facts_of(STREAM, seq).await.expect("answered"), None);
    let mut signer = gate_signer(&world).await;
    assert_eq!(signer.tick().await.expect("a step"), [], "nothing is left to verify it by");
    assert_eq!(world.status(&node, index(&snapshot, 3)), Some(ClaimState::Decided));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequencers_key_is_no_gates() {
    let world = World::new().await;
    let node = world.node(0).await;
    for key in [world.sequencers[0].0.clone(), world.sequencers[1].1[0].clone()] {
        let refused = GateSigner::start(config(&world, key)).await;
        let Err(EngineError::Config(why)) = refused else { panic!("{refused:?}") };
        assert!(why.starts_with("gate_signer.key: "), "{why}");
    }
    node.stop().await;
}
