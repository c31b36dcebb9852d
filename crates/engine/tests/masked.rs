//! A rule may tell claimants less than offices: what it masks stands neither in the receipt nor in the log, only beside it.

mod support;

use sha2::{Digest, Sha256};
use sluice_core::ids::DemandId;
use sluice_core::log::entry::{Body, Entry};
use sluice_core::refusal::Code;
use sluice_engine::evidence::LogSource;
use sluice_engine::evidence::audit::{Again, Which, redecide};
use sluice_engine::evidence::trace::{Target, trace};
use support::institutions::{INCOME, earns, residency};
use support::{STREAM, World, decided, wallet};
use uuid::Uuid;

/// Forbids whoever was born in 1990, which the sample attestations say of everybody, and tells nobody.
const WATCHED: &str = r#"
@id("watch-the-nineties")
@reason("on_the_watch_list")
@claimant("under_review")
forbid (principal, action == Action::"pay", resource)
when { context.attestations.residency.birth_date == 19900101 };
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_masked_cause_is_in_no_receipt_and_an_office_reads_it_beside_the_log() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (mut terms, snapshot) = world.snapshot(0..10);
    let gated = world.open_gated(&node, &mut terms).await;
    let watching = residency(|text| {
        let text = text.replace("2026-1", "2026-2");
        if text.contains("permit (") { text + WATCHED } else { text }
    });
    world.enact(&node, &gated.ministry, watching).await;
    let about = wallet(3).address();
    world.attest_both(&node, &gated, about).await;
    let alert = world.attest(&node, &gated.issuer, about, INCOME, earns(8_000)).await;

    let claim = world.claim(&snapshot, 1, &wallet(3), about);
    let id = DemandId(Uuid::now_v7());
    let outcome = decided(&node, node.submit_claim(world.campaign, id, claim).await.expect("accepted")).await;
    let Body::ClaimRefused(refused) = &outcome.entry.body else { panic!("{:?}", outcome.entry.body) };
    assert_eq!(refused.code, Code::UnderReview);
    assert!(refused.evidence.policies.is_empty() && refused.evidence.attestations.is_empty());
    // Not a word of it in the bytes that prove the refusal.
    let entry = outcome.receipt.entry.clone();
    assert_eq!(Entry::decode(&entry).expect("an entry").body, outcome.entry.body);
    let says = |words: &[u8]| entry.windows(words.len()).any(|window| window == words);
    for words in [&b"watch-the-nineties"[..], b"on_the_watch_list", alert.id().as_slice()] {
        assert!(!says(words), "the receipt names the cause");
    }
    // The hash that it holds is of bytes that nobody finds by trying: what was evaluated is not all of them.
    let kept = support::institutions::kept(&node, outcome.entry.seq).await;
    let told = kept.refused().expect("a refusal");
    let unblinded: [u8; 32] = Sha256::digest(told.facts.encode()).into();
    assert_ne!(refused.evidence.inputs.0, unblinded);

    // Offices and auditors read it there.
    assert_eq!((told.cause.code.as_str(), told.told.code.as_str()), ("on_the_watch_list", "under_review"));
    // The policy that refused, and the one by which the other institution's rules would have permitted.
    assert_eq!(told.policies, ["watch-the-nineties", "single"].map(str::to_owned));
    assert!(told.attestations.contains(&alert.id()));
    let source = LogSource::Database { store: node.store().clone(), stream: STREAM };
    let mut again = Vec::new();
    redecide(&source, Which::Claim(id), |claim| again.push(claim.clone())).await.expect("read");
    assert_eq!(again[0].again, Again::Equal);
    assert_eq!(again[0].cause.as_ref().map(|cause| cause.code.as_str()), Some("on_the_watch_list"));
    let story = trace(&source, Target::Claim(id)).await.expect("traced");
    let step = |kind: &str| story.steps.iter().find(|step| step.kind == kind).cloned().expect("a step");
    assert_eq!(step("claim_refused").cause.map(|cause| cause.code), Some("on_the_watch_list".to_owned()));
    let public = serde_json::to_string(&story.without_personal_data().steps).expect("JSON");
    let about_claim = public.split("\"kind\":\"claim_refused\"").nth(1).expect("the step");
    let about_claim = about_claim.split("\"kind\":").next().expect("until the next");
    assert!(
        !about_claim.contains(&alert.id().to_string()) && !about_claim.contains("\"cause\""),
        "{about_claim}"
    );
    node.stop().await;
}
