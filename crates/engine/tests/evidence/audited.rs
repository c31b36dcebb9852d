//! Decisions made again, what stood when, and what was wrong as known later.

use sluice_core::command::Action;
use sluice_core::decide::{ClaimFault, Input};
use sluice_core::log::entry::Body;
use sluice_core::refusal::Code;
use sluice_engine::evidence::audit::{Again, Which, redecide};
use sluice_engine::evidence::late::late;
use sluice_engine::evidence::standing::{Until, standing};

use crate::ground::{STREAM, Story, uid};
use crate::world::campaign;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decision_comes_out_the_same_until_its_facts_are_erased() {
    let story = Story::told();
    let ground = story.stored().await;
    let mut seen = Vec::new();
    let tally = redecide(&ground.source(), Which::Gated, |claim| seen.push(claim.clone())).await.unwrap();
    assert_eq!((tally.equal, tally.different, tally.erased), (5, 0, 0), "{seen:#?}");
    assert_eq!(seen[4].decision, "rule_refused");
    let first = seen[0].clone();
    assert!(ground.store.erase_facts(STREAM, first.seq).await.unwrap());
    let mut again = None;
    redecide(&ground.source(), Which::Claim(first.claim), |claim| again = Some(claim.again.clone()))
        .await
        .unwrap();
    assert_eq!(again, Some(Again::Erased));
    let unknown = sluice_core::ids::DemandId::default();
    assert!(redecide(&ground.source(), Which::Claim(unknown), |_| ()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_the_rules_would_not_permit_is_found() {
    let mut story = Story::new();
    // A verifier that lies: it says of somebody from elsewhere what it would say of a resident.
    let (honest, _) = story.asked(7, "DE");
    let (mut lie, facts) = story.asked(8, "FR");
    let mut gate = honest.verdict.unwrap().gate.unwrap();
    gate.facts = facts.clone().into();
    lie.verdict = story.world.claim(8).verdict;
    lie.verdict.as_mut().unwrap().gate = Some(gate);
    assert!(matches!(story.decide(lie, facts), Body::ClaimDecided(_)));
    // One that says it looked at other facts than were kept.
    let (claim, _) = story.asked(9, "DE");
    let (_, others) = story.asked(10, "DE");
    let mut claim = claim;
    claim.verdict.as_mut().unwrap().gate.as_mut().unwrap().facts = others.clone().into();
    assert!(matches!(story.decide(claim, others), Body::ClaimDecided(_)));
    let ground = story.stored().await;
    let mut found = Vec::new();
    let tally =
        redecide(&ground.source(), Which::All, |claim| found.push(claim.again.clone())).await.unwrap();
    assert_eq!((tally.equal, tally.different), (0, 2));
    let Again::Different { what } = &found[0] else { panic!("{found:?}") };
    assert!(what.iter().any(|w| w.contains("rule_refused")), "{what:?}");
    let Again::Different { what } = &found[1] else { panic!("{found:?}") };
    assert!(what.iter().any(|w| w.contains("another claim")), "{what:?}");
}

/// What becomes, decided again, of a refusal with this code that names rule sets and, unless they are kept, no facts.
async fn refused_again(code: Code, keeps: bool, spoil: impl Fn(&mut Body)) -> Again {
    let mut story = Story::new();
    let (mut claim, facts) = story.asked(6, "FR");
    let mut gate = claim.verdict.unwrap_err().gate.unwrap();
    if !keeps {
        (gate.policies, gate.facts) = Default::default();
    }
    claim.verdict = Err(ClaimFault { code, gate: Some(gate), person: None });
    let body = match keeps {
        true => story.decide(claim, facts),
        false => story.world.submit(vec![Input::Claim(claim)]).pop().unwrap(),
    };
    let Body::ClaimRefused(refused) = &body else { panic!("{body:?}") };
    assert_eq!((refused.code, refused.evidence.inputs.is_zero()), (code, !keeps));
    assert_eq!(refused.evidence.rule_sets, [story.rules]);
    let ground = story.stored().await;
    let mut entry = ground.entry(ground.last).await;
    spoil(&mut entry.body);
    ground.rewrite(ground.last, &entry).await;
    // Rewritten before its checkpoint was signed: what the log's keeper can do.
    ground.as_superuser(&format!("DELETE FROM checkpoint WHERE size = {}", ground.last)).await;
    let mut found = Vec::new();
    redecide(&ground.source(), Which::All, |claim| found.push(claim.again.clone())).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Facts that are too large are not kept, so their refusal is not decided again; what the log holds of it is checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_without_facts_is_taken_only_for_what_the_log_cannot_hold() {
    assert_eq!(refused_again(Code::FactsTooLarge, false, |_| ()).await, Again::Outside);
    assert_eq!(refused_again(Code::RuleRefused, true, |_| ()).await, Again::Equal);
    let says = |again: Again, part: &str| {
        let Again::Different { what } = &again else { panic!("{again:?}") };
        assert!(what.iter().any(|what| what.contains(part)), "{what:?}");
    };
    for code in [Code::RuleRefused, Code::AttestationMissing, Code::UnderReview, Code::RulesNotInForce] {
        says(refused_again(code, false, |_| ()).await, "names no facts");
    }
    says(refused_again(Code::FactsTooLarge, true, |_| ()).await, "said facts_too_large");
    let other = |body: &mut Body| {
        let Body::ClaimRefused(refused) = body else { panic!("{body:?}") };
        refused.evidence.rule_sets = vec![uid(1)];
    };
    says(refused_again(Code::FactsTooLarge, false, other).await, "in force");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stood_at_a_position_is_what_stood_then() {
    let story = Story::told();
    let ground = story.stored().await;
    let approved = story.world.log.iter().find(|entry| match &entry.body {
        Body::Ordered(o) => matches!(o.command.action, Action::ApproveRules { .. }),
        _ => false,
    });
    let seq = approved.unwrap().seq;
    let before = standing(&ground.source(), Until::Seq(seq)).await.unwrap();
    assert_eq!((before.seq, before.rule_sets[0].phase), (seq, "proposed"));
    let after = standing(&ground.source(), Until::Seq(seq + 1)).await.unwrap();
    assert_eq!((after.rule_sets[0].phase, after.rule_sets[0].rules), ("in_force", story.rules));
    assert_eq!(after.rule_sets[0].rules_in_words.len(), 1);
    let end = standing(&ground.source(), Until::Time(u64::MAX)).await.unwrap();
    assert_eq!(end.seq, ground.last);
    assert_eq!(end.state_hash, alloy_primitives::B256::from(story.world.state().clone().hash()));
    assert_eq!(end.campaigns[0].gates[0].rule_sets, [story.rules]);
    assert!(standing(&ground.source(), Until::Seq(ground.last + 1)).await.is_err());
    assert!(standing(&ground.source(), Until::Time(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_right_as_known_then_and_wrong_as_known_now_is_listed_with_what_changed_it() {
    let mut story = Story::told();
    let then = story.world.now;
    story.world.now += 60_000;
    let order = |story: &mut Story, action: Action, valid_at: u64| {
        let mut command = story.world.by(&[1, 2], action);
        command.command.valid_at = valid_at;
        let body = story.world.submit(vec![Input::Command(command)]).pop().unwrap();
        assert!(matches!(body, Body::Ordered(_) | Body::Voided(_)), "{body:?}");
        story.world.state().seq
    };
    // Known late that it never held; known late, and ended only after the payment's decision.
    let changed = order(&mut story, Action::RevokeAttestation { uid: uid(1) }, then - 1);
    order(&mut story, Action::RevokeAttestation { uid: uid(2) }, then + 30_000);
    // Annulled from before, when its transaction was under way already.
    let mask = story.world.mask([1, 2, 3, 4]);
    assert!(story.world.signs(mask));
    let plan = story.world.plan().unwrap();
    story.world.sign(plan.batch);
    let void = Action::Void { campaign: campaign(1), round: 1, indexes: vec![4] };
    let voided = order(&mut story, void, then - 5);
    let block = story.world.mine(&plan, &[]);
    story.world.finalize(plan.batch, block);
    let ground = story.stored().await;
    let found = late(&ground.source()).await.unwrap();
    let listed: Vec<(u64, &str, u64)> =
        found.iter().map(|p| (p.entitlement.index, p.state, p.changed_by[0].seq)).collect();
    assert_eq!(listed, [(1, "final", changed), (4, "final", voided)]);
    let correction = &found[0].changed_by[0];
    assert_eq!((correction.valid_at, correction.recorded_at), (then - 1, then + 60_000));
    assert_eq!(correction.action, "revoke_attestation");
}
