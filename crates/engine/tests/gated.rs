//! Rounds behind a gate, on a real chain: attested claims are decided under the rule sets in force and paid once the gate
//! has approved them; everybody else is told why not.

mod support;

use alloy_primitives::{Address, B256};
use serde_json::json;
use sha2::{Digest, Sha256};
use sluice_chain::actions::ChainAction;
use sluice_chain::calls;
use sluice_core::command::Demand;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::{BatchForm, Body, ClaimDecided, ClaimRefused};
use sluice_core::refusal::Code;
use sluice_core::state::status::ClaimState;
use sluice_engine::facts::unsalted;
use sluice_engine::follower::Outcome;
use sluice_engine::node::Node;
use sluice_gate::rules::{ClaimFacts, KeptClaim};
use sluice_snapshot::Snapshot;
use sluice_store::KeptFacts;
use sqlx::Connection;
use support::institutions::{Gated, INCOME, RESIDENCY, earns, residency, resident_of};
use support::{FAR, STREAM, World, decided, eventually, tokens, wallet};
use uuid::Uuid;

/// A node that leads, and an open GATED round of the wallets 0 to 9.
async fn gated() -> (World, Node, Gated, Snapshot) {
    let world = World::new().await;
    let node = world.node(0).await;
    let (mut terms, snapshot) = world.snapshot(0..10);
    let gated = world.open_gated(&node, &mut terms).await;
    (world, node, gated, snapshot)
}

async fn claimed(world: &World, node: &Node, snapshot: &Snapshot, i: u32, to: Option<Address>) -> Outcome {
    let key = wallet(i);
    let claim = world.claim(snapshot, 1, &key, to.unwrap_or(key.address()));
    let id = DemandId(Uuid::now_v7());
    decided(node, node.submit_claim(world.campaign, id, claim).await.expect("accepted")).await
}

fn paid_for(outcome: &Outcome) -> &ClaimDecided {
    match &outcome.entry.body {
        Body::ClaimDecided(claim) => claim,
        other => panic!("{other:?}"),
    }
}

fn refused(outcome: &Outcome) -> &ClaimRefused {
    match &outcome.entry.body {
        Body::ClaimRefused(claim) => claim,
        other => panic!("{other:?}"),
    }
}

fn index(snapshot: &Snapshot, i: u32) -> u64 {
    snapshot.find(wallet(i).address()).start
}

/// What the policies saw, as kept beside the entry.
async fn facts(node: &Node, seq: u64, inputs: B256) -> ClaimFacts {
    kept(node, seq, inputs).await.facts().clone()
}

/// What is kept beside the entry; it is what the entry's hash names.
async fn kept(node: &Node, seq: u64, inputs: B256) -> KeptClaim {
    let kept = node.store().facts_of(STREAM, seq).await.expect("an answer").expect("the facts are kept");
    let KeptFacts::Open(bytes) = kept else { panic!("a node opens them") };
    assert_eq!(B256::from_slice(&Sha256::digest(&bytes)), inputs);
    unsalted(&bytes).expect("facts")
}

/// The gate approves these until `expiry` (Unix seconds).
async fn approve(world: &World, node: &Node, gated: &Gated, indexes: &[u64], expiry: u64) {
    let demand = Demand::Gate(world.gate_signs(node, gated, indexes, expiry));
    let submitted = node.submit(DemandId(Uuid::now_v7()), demand).await.expect("accepted");
    let outcome = decided(node, submitted).await;
    assert!(matches!(outcome.entry.body, Body::GateSigned(_)), "{:?}", outcome.entry.body);
}

/// Waits until the log has read a final event of the chain.
async fn until_known(node: &Node, what: &str, known: impl Fn(&sluice_core::state::State) -> bool) {
    eventually(what, || async { node.follower().read(|state| known(state).then_some(())) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attested_claim_is_decided_under_the_rules_in_force_approved_by_the_gate_and_final() {
    let (world, node, gated, snapshot) = gated().await;
    for i in [3, 4] {
        world.attest_both(&node, &gated, wallet(i).address()).await;
    }
    let outcome = claimed(&world, &node, &snapshot, 3, None).await;
    let decided = paid_for(&outcome);
    assert_eq!(decided.evidence.rule_sets, gated.rules);
    assert_eq!(decided.evidence.attestations.len(), 2);
    assert!(decided.evidence.policies.iter().any(|p| p == "resident-and-of-age"), "{:?}", decided.evidence);
    let seen = facts(&node, outcome.entry.seq, decided.evidence.inputs).await;
    assert_eq!((seen.recipient, seen.index), (wallet(3).address(), index(&snapshot, 3)));
    assert_eq!(seen.attestations.keys().collect::<Vec<_>>(), ["income", "residency"]);

    // Another one is paid elsewhere: both calls carry the gate's word.
    let elsewhere = Address::repeat_byte(0xee);
    paid_for(&claimed(&world, &node, &snapshot, 4, Some(elsewhere)).await);
    let both = [index(&snapshot, 3), index(&snapshot, 4)];
    assert_eq!(
        both.map(|at| world.status(&node, at)),
        [Some(ClaimState::Decided), Some(ClaimState::Decided)]
    );
    approve(&world, &node, &gated, &both, FAR).await;
    for index in both {
        world.final_at(&node, EntitlementId { round: 1, index }).await;
    }
    assert_eq!(world.balance(wallet(3).address()).await, tokens(4).get());
    assert_eq!(
        (world.balance(elsewhere).await, world.balance(wallet(4).address()).await),
        (tokens(5).get(), 0)
    );

    let log = world.log(&node).await;
    let approved = log.iter().position(|e| matches!(e.body, Body::GateSigned(_))).expect("approved");
    let planned: Vec<_> = log
        .iter()
        .enumerate()
        .filter_map(|(at, e)| match &e.body {
            Body::BatchPlanned(plan) => Some((at, &plan.form)),
            _ => None,
        })
        .collect();
    assert!(planned.iter().all(|(at, _)| *at > approved), "nothing is planned before the gate's mask is out");
    assert!(planned.iter().any(|(_, form)| **form == BatchForm::Gated));
    assert!(planned.iter().any(|(_, form)| matches!(form, BatchForm::Redirected { .. })));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lacks_an_attestation_or_fails_a_rule_is_refused_with_the_condition_and_its_evidence() {
    let (world, node, gated, snapshot) = gated().await;
    let outcome = claimed(&world, &node, &snapshot, 3, None).await;
    let claim = refused(&outcome);
    assert_eq!(claim.code, Code::AttestationMissing);
    assert_eq!(claim.evidence.rule_sets, gated.rules);
    assert_eq!(claim.evidence.attestations, Vec::<B256>::new());
    let seen = facts(&node, outcome.entry.seq, claim.evidence.inputs).await;
    assert_eq!(seen.attestations.len(), 0);

    // Once attested, the same person claims again.
    world.attest(&node, &gated.issuer, wallet(3).address(), RESIDENCY, resident_of("DE")).await;
    let richer = world.attest(&node, &gated.issuer, wallet(3).address(), INCOME, earns(90_000)).await;
    let outcome = claimed(&world, &node, &snapshot, 3, None).await;
    assert_eq!(refused(&outcome).code, Code::RuleRefused);
    let kept = kept(&node, outcome.entry.seq, refused(&outcome).evidence.inputs).await;
    assert_eq!(kept.facts().attestations.len(), 2);
    let why = kept.refused().expect("a refusal");
    assert_eq!((why.cause.code.as_str(), why.told.code.as_str()), ("income_too_high", "income_too_high"));
    assert!(why.attestations.contains(&richer.id()));

    // What the issuer took back on chain does not count, although it was looked up and is remembered: the registry is
    // followed.
    world.revoke_on_chain(&richer).await;
    eventually("the revocation is seen", || async {
        let code = refused(&claimed(&world, &node, &snapshot, 3, None).await).code;
        (code == Code::AttestationRefused).then_some(())
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_verified_while_rules_are_activated_is_verified_again_under_the_new_ones() {
    let (world, node, gated, snapshot) = gated().await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    let only_austria =
        residency(|text| text.replace("2026-1", "2026-2").replace("[\"DE\", \"AT\"]", "[\"AT\"]"));
    let new = world.propose(&node, &gated.ministry, only_austria).await;

    // The claim is stopped in the midst of its verification, when it has seen the old rules.
    let mut raw = sqlx::PgConnection::connect(world.database.url()).await.expect("the database");
    let mut lock = raw.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE attestation_subject IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let claim = claimed(&world, &node, &snapshot, 3, None);
    let meanwhile = async {
        let waits =
            "SELECT count(*) FROM pg_locks WHERE relation = 'attestation_subject'::regclass AND NOT granted";
        eventually("the claim waits for its attestations", || async {
            let mut other = sqlx::PgConnection::connect(world.database.url()).await.ok()?;
            let (waiting,): (i64,) = sqlx::query_as(waits).fetch_one(&mut other).await.ok()?;
            (waiting > 0).then_some(())
        })
        .await;
        let activated = world.activate(&node, &gated.ministry, new).await;
        lock.rollback().await.expect("released");
        activated
    };
    let (outcome, activated) = tokio::join!(claim, meanwhile);
    let claim = refused(&outcome);
    assert_eq!(claim.code, Code::RuleRefused);
    assert_eq!(claim.evidence.rule_sets, [new, gated.rules[1]]);
    assert!(outcome.entry.seq > activated);
    // The same claim, had it come a moment earlier, would have been paid.
    let seen = facts(&node, outcome.entry.seq, claim.evidence.inputs).await;
    assert_eq!(seen.attestations.len(), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_is_off_on_chain_delays_its_payments_until_it_counts_again() {
    let (world, node, gated, snapshot) = gated().await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    let (distributor, version) = (world.distributor, 1);
    let now = world.chain.timestamp().await.expect("the chain's time");
    let set = async |until: u64, nonce: u64| {
        let action = ChainAction::DisableGate { distributor, version, until, together: 2, nonce };
        let data = calls::disable_gate(version, until, 2, nonce, &world.approve(&action)).expect("fits");
        world.act("disableGate", data).await;
        until_known(&node, "the log knows of it", |state| {
            // A time that has passed is told as the block's own.
            let off = state.campaigns[&world.campaign].gates_off.get(&1);
            off.is_some_and(|off| if until > now { *off == until } else { *off < now + 86_400 })
        })
        .await;
    };
    set(now + 7 * 86_400, 1).await;
    paid_for(&claimed(&world, &node, &snapshot, 3, None).await);
    let index = index(&snapshot, 3);
    approve(&world, &node, &gated, &[index], FAR).await;
    // Settlement goes on: the node follows the chain over several final blocks, and plans nothing.
    let head = world.chain.latest().await.expect("a block").number;
    world.mine(5).await;
    world.read_up_to(&node, head + 5).await;
    assert_eq!(world.status(&node, index), Some(ClaimState::Decided));
    set(1, 2).await;
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    let planned = |e: &sluice_core::log::entry::Entry| matches!(e.body, Body::BatchPlanned(_));
    assert_eq!(world.log(&node).await.iter().filter(|e| planned(e)).count(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gates_word_that_expires_soon_is_not_planned_and_a_newer_one_is() {
    let (world, node, gated, snapshot) = gated().await;
    world.attest_both(&node, &gated, wallet(3).address()).await;
    paid_for(&claimed(&world, &node, &snapshot, 3, None).await);
    let index = index(&snapshot, 3);
    let now = world.chain.timestamp().await.expect("the chain's time");
    approve(&world, &node, &gated, &[index], now + 60).await;
    let head = world.chain.latest().await.expect("a block").number;
    world.mine(5).await;
    world.read_up_to(&node, head + 5).await;
    assert_eq!(world.status(&node, index), Some(ClaimState::Decided));
    approve(&world, &node, &gated, &[index], FAR).await;
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    node.stop().await;
}

/// What was planned and not signed when its gate stopped counting is given back, and blames nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_gate_is_off_or_whose_word_expired_before_it_was_signed_is_planned_anew() {
    let (world, node, gated, snapshot) = gated().await;
    let lane = world.sequencers[0].1[0].address();
    let given_back = async |times: usize| {
        eventually("the batch is given back", || async {
            let log = world.log(&node).await;
            let given: Vec<_> = log
                .iter()
                .filter_map(|e| match &e.body {
                    Body::BatchReplanned(given) => Some(given.poison.len()),
                    _ => None,
                })
                .collect();
            (given == vec![0; times]).then_some(())
        })
        .await;
    };
    let planned_without_coin = async |i: u32, expiry: u64| {
        world.anvil("anvil_setBalance", json!([lane, "0x0"])).await;
        world.attest_both(&node, &gated, wallet(i).address()).await;
        paid_for(&claimed(&world, &node, &snapshot, i, None).await);
        let so_far: Vec<u64> = (3..=i).map(|i| index(&snapshot, i)).collect();
        approve(&world, &node, &gated, &so_far, expiry).await;
        let index = index(&snapshot, i);
        world.until(&node, index, "it is planned", |s| matches!(s, ClaimState::Batched(_))).await;
        index
    };

    let now = world.chain.timestamp().await.expect("the chain's time");
    let first = planned_without_coin(3, now + 900).await;
    world.anvil("evm_increaseTime", json!([1_000])).await;
    world.mine(1).await;
    world.fund(lane).await;
    given_back(1).await;
    assert_eq!(world.status(&node, first), Some(ClaimState::Decided));
    approve(&world, &node, &gated, &[first], FAR).await;
    world.final_at(&node, EntitlementId { round: 1, index: first }).await;

    let second = planned_without_coin(4, FAR).await;
    let now = world.chain.timestamp().await.expect("the chain's time");
    let disable = async |until: u64, nonce: u64| {
        let (distributor, version) = (world.distributor, 1);
        let action = ChainAction::DisableGate { distributor, version, until, together: 2, nonce };
        let data = calls::disable_gate(version, until, 2, nonce, &world.approve(&action)).expect("fits");
        world.act("disableGate", data).await;
    };
    disable(now + 7 * 86_400, 1).await;
    world.fund(lane).await;
    given_back(2).await;
    assert_eq!(world.status(&node, second), Some(ClaimState::Decided));
    disable(1, 2).await;
    world.final_at(&node, EntitlementId { round: 1, index: second }).await;
    node.stop().await;
}
