//! From a transaction and from a claim back to the intention.

use sluice_core::log::entry::Body;
use sluice_engine::evidence::EvidenceError;
use sluice_engine::evidence::trace::{Target, trace};

use crate::ground::{Story, uid};
use crate::institutions::institution;
use crate::world::recipient;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_leads_back_to_claims_rules_attestations_and_who_approved_them() {
    let story = Story::told();
    let ground = story.stored().await;
    let mined = story.world.log.iter().find_map(|entry| match &entry.body {
        Body::BatchMined(mined) => Some(mined.tx_hash),
        _ => None,
    });
    let told = trace(&ground.source(), Target::Transaction(mined.unwrap())).await.unwrap();
    let traced: Vec<u64> = told.entitlements.iter().map(|t| t.id.index).collect();
    assert_eq!(traced, [1, 2]);
    assert!(told.entitlements.iter().all(|t| t.paid_by == [mined.unwrap()]));
    assert_eq!(told.entitlements[0].recipient, Some(recipient(1)));
    let kinds: Vec<&str> = told.steps.iter().map(|step| step.kind).collect();
    for kind in [
        "batch_final",
        "batch_mined",
        "attempt_signed",
        "batch_planned",
        "gate_signed",
        "claim_decided",
        "publish",
        "define_gate",
        "activate_rules",
        "approve_rules",
        "propose_rules",
        "create_campaign",
    ] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    assert!(!kinds.contains(&"hold") && !kinds.contains(&"claim_refused"), "other people's: {kinds:?}");
    assert!(told.steps.is_sorted_by_key(|step| std::cmp::Reverse(step.seq)));
    let claim =
        told.steps.iter().find(|step| step.kind == "claim_decided" && step.demand == Some(story.claims[&1]));
    let claim = claim.unwrap();
    assert_eq!(
        (&claim.policies[..], &claim.attestations[..]),
        (&["residents".to_owned()][..], &[uid(1)][..])
    );
    assert_eq!((claim.facts, claim.signed_by.is_some()), (Some("kept"), true));
    let rules = &claim.rule_sets[0];
    assert_eq!((rules.rules, rules.owner, rules.version.as_str()), (story.rules, institution(1), "2026-1"));
    assert!(rules.says[0].sentence.contains("DE"), "{}", rules.says[0].sentence);
    let approved = told.steps.iter().find(|step| step.kind == "approve_rules").unwrap();
    assert_eq!(approved.by[0].authority, institution(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_leads_over_its_hold_and_what_is_public_names_nobody() {
    let story = Story::told();
    let ground = story.stored().await;
    let told = trace(&ground.source(), Target::Claim(story.claims[&3])).await.unwrap();
    let kinds: Vec<&str> = told.steps.iter().map(|step| step.kind).collect();
    assert!(
        kinds.contains(&"hold") && kinds.contains(&"release") && kinds.contains(&"batch_final"),
        "{kinds:?}"
    );
    let hold = told.steps.iter().find(|step| step.kind == "hold").unwrap();
    assert_eq!((hold.by[0].authority, hold.reason.as_deref()), (institution(1), Some("because")));
    assert!(hold.valid_at.is_some() && hold.recorded_at > 0);
    assert!(told.clone().without_personal_data().steps.iter().all(|step| step.reason.is_none()));
    // The same by its place, from the only campaign; and a refusal.
    let place: Target = "1/3".parse().unwrap();
    assert_eq!(trace(&ground.source(), place).await.unwrap().steps.len(), told.steps.len());
    let refused = trace(&ground.source(), Target::Claim(story.claims[&5])).await.unwrap();
    let step = refused.steps.iter().find(|step| step.kind == "claim_refused").unwrap();
    assert!(step.says.contains("rule_refused"), "{}", step.says);
    assert!(refused.without_personal_data().entitlements[0].recipient.is_none());
    for unknown in ["00000000-0000-0000-0000-0000000000ff", "1/17"] {
        let target: Target = unknown.parse().unwrap();
        assert!(
            matches!(trace(&ground.source(), target).await, Err(EvidenceError::NotFound(_))),
            "{unknown}"
        );
    }
    assert!("0x12".parse::<Target>().is_err());
}
