//! Gates: defined once, asked by claims under the rule sets in force, and masks that pay only what was decided.

use alloy_primitives::{B256, Bytes};
use sluice_core::command::{AcceptedAttestation, Action, RoundMode};
use sluice_core::decide::{ClaimFault, Input};
use sluice_core::log::entry::{BatchForm, Body, ChainEvent, Due};
use sluice_core::refusal::Code;
use sluice_core::state::status::ClaimState;

use crate::institutions::{gate, person, rules, signer};
use crate::world::{World, campaign, hash, refusal, words};

fn approve(world: &mut World, indexes: &[u64]) {
    let mask = world.mask(indexes.iter().copied());
    assert!(world.signs(mask));
}

fn claim(world: &mut World, index: u64) {
    let claim = world.permitted(index);
    assert!(matches!(world.submit(vec![Input::Claim(claim)])[..], [Body::ClaimDecided(_)]));
}

#[test]
fn a_gate_version_is_defined_once_and_with_the_key_that_the_chain_knows() {
    let mut world = World::open(10, RoundMode::Push);
    world.order(&[1, 2], Action::DefineGate(gate(1, vec![hash(1)])));
    for again in [gate(1, vec![hash(1)]), gate(1, vec![hash(2)]), gate(0, Vec::new())] {
        assert_eq!(world.refused(&[1, 2], Action::DefineGate(again)), Some(Code::GateMismatch));
    }
    world.events(campaign(1), vec![ChainEvent::GateInstalled { version: 2, signer: signer(0x6b) }]);
    assert_eq!(world.refused(&[1, 2], Action::DefineGate(gate(2, Vec::new()))), Some(Code::GateMismatch));
    let mut same_key = gate(2, Vec::new());
    same_key.signer = signer(0x6b);
    assert_eq!(world.refused(&[1, 2], Action::DefineGate(same_key)), None);
    let many = gate(3, vec![hash(1); 9]);
    assert_eq!(world.refused(&[1, 2], Action::DefineGate(many)), Some(Code::TooMany));
    let mut long = gate(3, Vec::new());
    long.attestations = vec![AcceptedAttestation { name: "id".into(), accepts: Bytes::from(vec![0; 4_097]) }];
    assert_eq!(world.refused(&[1, 2], Action::DefineGate(long)), Some(Code::TooMany));
}

#[test]
fn a_gated_round_names_a_gate_that_the_log_knows_and_others_name_none() {
    let mut world = World::open(10, RoundMode::Push);
    let known = gate(1, vec![hash(1)]);
    world.order(&[1, 2], Action::DefineGate(known.clone()));
    let terms = |world: &World, mode, version, rules_hash| {
        let mut terms = world.terms(campaign(1), 2, 10, mode);
        (terms.gate, terms.rules_hash) = (version, rules_hash);
        Action::Publish(terms)
    };
    for (mode, version, rules_hash, code) in [
        (RoundMode::Gated, 2, known.hash(), Code::UnknownGate),
        (RoundMode::Gated, 0, known.hash(), Code::UnknownGate),
        (RoundMode::Gated, u64::MAX, known.hash(), Code::UnknownGate),
        (RoundMode::Gated, 1, B256::ZERO, Code::GateMismatch),
        (RoundMode::Push, 1, B256::ZERO, Code::GateMismatch),
    ] {
        let action = terms(&world, mode, version, rules_hash);
        assert_eq!(world.refused(&[1, 2], action), Some(code), "{mode:?} {version}");
    }
    let action = terms(&world, RoundMode::Gated, 1, known.hash());
    assert_eq!(world.refused(&[1, 2], action), None);
}

#[test]
fn a_permitted_claim_is_decided_with_the_rules_it_rests_on_and_paid_once_its_mask_is_out() {
    let (mut world, name) = World::gated(10);
    let permitted = world.permitted(3);
    let verdict = permitted.verdict.as_ref().unwrap().gate.clone().unwrap();
    let Body::ClaimDecided(decided) = &world.submit(vec![Input::Claim(permitted)])[0] else { panic!() };
    let evidence = &decided.evidence;
    assert_eq!((&evidence.rule_sets[..], &evidence.policies[..]), (&[name][..], &["adults".to_owned()][..]));
    assert_eq!(evidence.inputs, verdict.inputs());
    claim(&mut world, 4);
    assert_eq!((world.status(3), world.plan()), (Some(ClaimState::Decided), None), "no mask, no batch");
    approve(&mut world, &[3]);
    let plan = world.plan().unwrap();
    assert_eq!((&plan.form, &plan.words), (&BatchForm::Gated, &words(1, [3])));
    assert_eq!(world.plan(), None);
    approve(&mut world, &[3, 4]);
    assert_eq!(world.plan().unwrap().words, words(1, [4]));
}

#[test]
fn a_redirected_gated_claim_waits_for_its_mask_too() {
    let (mut world, _) = World::gated(10);
    let mut redirected = world.redirected(3);
    let verdict = world.gate_verdict();
    redirected.verdict.as_mut().unwrap().gate = Some(verdict);
    world.submit(vec![Input::Claim(redirected)]);
    assert_eq!(world.plan(), None);
    approve(&mut world, &[3]);
    assert!(matches!(world.plan().unwrap().form, BatchForm::Redirected { .. }));
}

#[test]
fn a_claim_verified_under_rules_no_longer_in_force_is_verified_again_whichever_way_it_went() {
    let (mut world, _) = World::gated(10);
    let good = world.permitted(3);
    let mut bad = world.permitted(4);
    let gate = bad.verdict.as_ref().unwrap().gate.clone();
    bad.verdict = Err(ClaimFault { code: Code::RuleRefused, gate, person: None });
    let mut before = world.clone();
    let bodies = before.submit(vec![Input::Claim(bad.clone()), Input::Claim(good.clone())]);
    let [Body::ClaimRefused(refused), Body::ClaimDecided(_)] = &bodies[..] else { panic!("{bodies:?}") };
    assert_eq!(refused.evidence.rule_sets.len(), 1, "a refusal names the rules it rests on");
    let (policies, attestations) = (&refused.evidence.policies, &refused.evidence.attestations);
    assert!(policies.is_empty() && attestations.is_empty(), "and not why: that stands beside the log");
    world.in_force("another");
    let (bodies, again) = world.submit_all(vec![Input::Claim(bad), Input::Claim(good)]);
    assert_eq!((bodies.len(), again), (0, 2));
}

#[test]
fn an_activation_between_two_claims_of_one_group_parts_them() {
    let (mut world, _) = World::gated(10);
    let terms = rules(1, "next");
    let name = terms.hash();
    world.order(&[1], Action::ProposeRules(terms));
    world.order(&[2], Action::ApproveRules { rules: name });
    let (first, second) = (world.permitted(1), world.permitted(2));
    let activate = world.by(&[1], Action::ActivateRules { rules: name, at: 0 });
    let inputs = vec![Input::Claim(first), Input::Command(activate), Input::Claim(second)];
    let (bodies, again) = world.submit_all(inputs);
    assert!(matches!(bodies[..], [Body::ClaimDecided(_), Body::Ordered(_)]));
    assert_eq!(again, 1);
}

#[test]
fn without_its_rules_in_force_a_gate_permits_nothing_and_says_so() {
    let (mut world, name) = World::gated(10);
    world.order(&[1], Action::RetireRules { rules: name });
    let permitted = world.permitted(1);
    assert_eq!(refusal(&world.submit(vec![Input::Claim(permitted)])[0]), Some(Code::RulesNotInForce));
    let mut refused = world.permitted(1);
    let gate = refused.verdict.as_ref().unwrap().gate.clone();
    refused.verdict = Err(ClaimFault { code: Code::RulesNotInForce, gate, person: None });
    let mut still = world.clone();
    assert_eq!(refusal(&still.submit(vec![Input::Claim(refused.clone())])[0]), Some(Code::RulesNotInForce));
    world.in_force("back again");
    assert_eq!(world.submit_all(vec![Input::Claim(refused)]).1, 1, "they came into force meanwhile");
}

#[test]
fn an_attestation_revoked_since_it_was_looked_up_sends_the_claim_back() {
    let (mut world, _) = World::gated(10);
    let (mut good, mut bad) = (world.permitted(1), world.permitted(2));
    let mut gate = world.gate_verdict();
    gate.attestations = vec![person(7)];
    good.verdict.as_mut().unwrap().gate = Some(gate.clone());
    bad.verdict = Err(ClaimFault { code: Code::RuleRefused, gate: Some(gate.clone()), person: None });
    world.order(&[1, 2], Action::RevokeAttestation { uid: person(7) });
    let (bodies, again) = world.submit_all(vec![Input::Claim(good.clone()), Input::Claim(bad.clone())]);
    assert_eq!((bodies.len(), again), (0, 2));
    gate.as_of = world.state().seq;
    bad.verdict = Err(ClaimFault { code: Code::AttestationRefused, gate: Some(gate.clone()), person: None });
    assert_eq!(refusal(&world.submit(vec![Input::Claim(bad)])[0]), Some(Code::AttestationRefused));
    good.verdict.as_mut().unwrap().gate = Some(gate);
    assert_eq!(
        refusal(&world.submit(vec![Input::Claim(good)])[0]),
        Some(Code::AttestationRefused),
        "what is revoked permits nothing, whoever says so"
    );
}

#[test]
fn another_gate_s_word_is_none_and_a_push_does_not_pass() {
    let (mut world, _) = World::gated(10);
    world.order(&[1, 2], Action::DefineGate(gate(2, Vec::new())));
    let mut other = world.permitted(1);
    let verdict = other.verdict.as_mut().unwrap().gate.as_mut().unwrap();
    (verdict.gate, verdict.rule_sets) = (2, Vec::new());
    assert_eq!(world.submit_all(vec![Input::Claim(other)]).1, 1);
    assert_eq!(refusal(&world.push(0, 5)), Some(Code::WrongMode));
}

#[test]
fn a_verdict_that_leaves_a_rule_set_of_the_gate_out_is_made_again() {
    let (mut world, _) = World::gated(10);
    let mut short = world.permitted(1);
    let verdict = short.verdict.as_mut().unwrap().gate.as_mut().unwrap();
    assert!(verdict.rule_sets.pop().is_some(), "the gate asks one");
    assert_eq!(world.submit_all(vec![Input::Claim(short)]).1, 1);
    claim(&mut world, 1);
}

#[test]
fn masks_only_grow_and_approve_only_what_is_decided_and_not_void() {
    let (mut world, _) = World::gated(600);
    for index in [1, 2, 300] {
        claim(&mut world, index);
    }
    let takes = |world: &World, indexes: &[u64]| {
        let mask = world.mask(indexes.iter().copied());
        world.clone().signs(mask)
    };
    assert!(!takes(&world, &[1, 3]), "3 is not decided");
    assert!(!takes(&world, &[]), "nothing is signed");
    approve(&mut world, &[1]);
    assert!(!takes(&world, &[2]), "1 was approved");
    assert!(takes(&world, &[1, 2]));
    world.void(vec![2]);
    assert!(!takes(&world, &[1, 2]), "2 is void");
    world.void(vec![1]);
    assert!(takes(&world, &[1]) && takes(&world, &[300]), "what was approved before stays so");
    let with = |change: &dyn Fn(&mut sluice_core::log::entry::GateSigned)| {
        let mut mask = world.mask([300]);
        change(&mut mask);
        world.clone().signs(mask)
    };
    assert!(!with(&|m| m.version = 2), "a gate that is not defined");
    assert!(!with(&|m| m.words[0].word = 3), "outside the round");
    assert!(!with(&|m| m.words[0].word = u64::MAX));
    assert!(!with(&|m| m.words[0].round = 2));
    assert!(!with(&|m| m.words[0].as_of += 1), "it cannot have read so far");
    assert!(!with(&|m| m.words.push(m.words[0].clone())), "one word twice");
    assert!(!with(&|m| m.words[0].signature = vec![3; 2_561].into()), "longer than a signature may be");
    assert!(with(&|m| m.words[0].signature = vec![3; 2_560].into()));
    approve(&mut world, &[300]);
    let mut back = world.mask([300]);
    back.words[0].as_of -= 2;
    assert!(!world.signs(back), "it read further before");
}

#[test]
fn what_was_annulled_or_held_after_its_mask_is_not_planned() {
    let (mut world, _) = World::gated(10);
    for index in 1..4 {
        claim(&mut world, index);
    }
    approve(&mut world, &[1, 2, 3]);
    world.order(&[1], crate::institutions::hold_of(&[1]));
    world.void(vec![2]);
    assert_eq!(world.plan().unwrap().words, words(1, [3]));
}

#[test]
fn what_is_held_on_chain_is_not_planned_until_that_is_finally_over() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    let mask = words(1, [1])[0];
    world.events(campaign(1), vec![ChainEvent::HoldSet { mask, until: u64::MAX }]);
    assert_eq!(world.status(1), Some(ClaimState::Held));
    assert_eq!(world.settle(), [2]);
    world.events(campaign(1), vec![ChainEvent::HoldCleared { mask }]);
    assert_eq!(world.settle(), [1]);
}

#[test]
fn what_a_batch_passed_over_because_of_a_hold_on_chain_is_held_and_planned_again_after_it() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    let plan = world.plan().unwrap();
    world.sign(plan.batch);
    let mask = words(1, [1])[0];
    world.events(campaign(1), vec![ChainEvent::HoldSet { mask, until: u64::MAX }]);
    let mut mined = world.mined(&plan, &[1]);
    // The Distributor says nothing of what it holds.
    mined.skipped.clear();
    let block = mined.block;
    assert!(world.takes(Body::BatchMined(mined)));
    world.finalize(plan.batch, block);
    assert_eq!((world.status(1), world.status(2)), (Some(ClaimState::Held), Some(ClaimState::Final)));
    assert_eq!(world.plan(), None);
    world.events(campaign(1), vec![ChainEvent::HoldCleared { mask }]);
    assert_eq!(world.status(1), Some(ClaimState::Decided), "no failed transfer is counted");
    assert_eq!(world.settle(), [1]);
}

#[test]
fn a_campaign_held_on_chain_is_held_until_its_time_is_over() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    let until = world.state().recorded_at / 1_000 + 1_000;
    world.events(campaign(1), vec![ChainEvent::CampaignHeldUntil { until }]);
    assert_eq!((world.status(1), world.plan()), (Some(ClaimState::Held), None));
    // A time that has passed ends it.
    world.events(campaign(1), vec![ChainEvent::CampaignHeldUntil { until: 1 }]);
    let over = [Body::Due(Due::ChainHoldEnds { campaign: campaign(1) })];
    assert_eq!(world.submit(Vec::new()), over);
    assert_eq!(world.status(1), Some(ClaimState::Decided));
    world.events(campaign(1), vec![ChainEvent::CampaignHeldUntil { until }]);
    world.now = until * 1_000;
    assert_eq!(world.submit(Vec::new()), over);
    assert_eq!(world.settle(), [1, 2]);
}
