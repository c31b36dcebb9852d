use super::*;
use sluice_core::ids::{EntitlementId, IntakeKey, StreamId};
use sluice_core::log::entry::{ClaimDecided, ClaimRefused, SignedBy};
use sluice_core::refusal::Code;
use std::time::Duration;
use uuid::Uuid;

fn seen(id: u128, outcome: Outcome) -> Seen {
    let (id, zero) = (DemandId(Uuid::from_u128(id)), Duration::ZERO);
    Seen { id, index: 0, outcome, due: zero, latency: zero }
}

fn refused(seq: u64, id: u128) -> Entry {
    let claim = ClaimRefused {
        intake: IntakeKey { campaign: Default::default(), node: 1, n: seq },
        id: DemandId(Uuid::from_u128(id)),
        entitlement: EntitlementId { round: 1, index: 0 },
        body_hash: Default::default(),
        accepted_at: 0,
        code: Code::AlreadyDecided,
        evidence: Default::default(),
    };
    Entry { stream: StreamId(0), seq, epoch: 1, recorded_at: 0, body: Body::ClaimRefused(claim) }
}

#[test]
fn every_kind_of_difference_is_counted() {
    let mut log = LogSide::default();
    for (seq, id) in [(1, 1), (2, 2), (3, 2), (4, 9)] {
        log.take(&refused(seq, id));
    }
    let client = [
        seen(1, Outcome::Decided(1)),
        seen(2, Outcome::Refused(422, "already_decided".into())),
        seen(3, Outcome::Waiting),
        seen(4, Outcome::Unknown("cut".into())),
    ];
    let found = log.compare(&client);
    assert_eq!((found.contradicted, found.lost, found.strangers, found.twice), (1, 1, 1, 1));
    assert!(!found.agrees());
    assert_eq!(found.refused_in_log.get("already_decided"), Some(&3));
    assert!(LogSide::default().compare(&[seen(4, Outcome::Unknown("cut".into()))]).agrees());
}

fn decided(seq: u64, id: u128, recorded_at: Millis) -> Entry {
    let claim = ClaimDecided {
        intake: IntakeKey { campaign: Default::default(), node: 1, n: seq },
        id: DemandId(Uuid::from_u128(id)),
        entitlement: EntitlementId { round: 1, index: seq },
        recipient: Default::default(),
        amount: Default::default(),
        redirect: None,
        body_hash: Default::default(),
        accepted_at: 0,
        signed_by: SignedBy::Key,
        evidence: Default::default(),
    };
    Entry { stream: StreamId(0), seq, epoch: 1, recorded_at, body: Body::ClaimDecided(claim) }
}

#[test]
fn a_good_claim_that_was_accepted_and_then_refused_is_a_difference() {
    let mut log = LogSide::default();
    log.take(&refused(1, 1));
    log.take(&refused(2, 2));
    log.take(&decided(3, 3, 0));
    let found = log.compare(&[
        seen(1, Outcome::Waiting),
        seen(2, Outcome::Unknown("cut".into())),
        seen(3, Outcome::Waiting),
    ]);
    assert_eq!((found.broken, found.differences(), found.unanswered_found), (2, 2, 1));
    assert!(!found.agrees());
}

#[test]
fn only_what_the_log_decided_in_time_counts_and_only_of_these() {
    let mut log = LogSide::default();
    for (seq, at) in [(1, 99), (2, 100), (3, 199), (4, 200), (5, 150)] {
        log.take(&decided(seq, seq.into(), at));
    }
    log.take(&refused(6, 6));
    let record: Vec<Seen> = [1, 2, 3, 4, 6, 7].map(|id| seen(id, Outcome::Waiting)).into();
    assert_eq!(log.decided_in(&record, Stretch { from: 100, to: 200 }), 2);
}
