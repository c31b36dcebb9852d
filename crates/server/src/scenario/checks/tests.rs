//! Every check sees the records that it is for, doctored in one place.

use serde_json::json;
use sluice_core::ids::{ContractRef, EntitlementId};
use sluice_core::log::note::{LogKey, Origin};
use uuid::Uuid;

use super::*;
use crate::scenario::audit::Planned;
use crate::scenario::record::Ordered;

const PATH: &str = "/v1/campaigns/c/rounds/1/indexes/7";

fn read(node: usize, as_of: Seq, state: Option<&str>) -> Heard {
    let body = json!({ "entitlements": [{ "index": 7, "state": state }] });
    Heard {
        who: "auditor".into(),
        as_office: false,
        node,
        asked: Asked::State,
        path: PATH.into(),
        min_seq: None,
        status: 200,
        as_of,
        body,
    }
}

fn person(as_of: Seq, version: Seq, payee: &str) -> Heard {
    let body = json!({ "version": version, "payee": payee });
    Heard { path: "/v1/persons/0x01".into(), body, ..read(0, as_of, None) }
}

fn decision(node: usize, id: u128, status: u16, body: Value) -> Heard {
    let mut body = body;
    body["id"] = json!(Uuid::from_u128(id));
    Heard { asked: Asked::Demand, status, body, ..read(node, 9, None) }
}

fn entry(seq: Seq, kind: &str) -> Change {
    Change { seq, kind: kind.into(), leaf: Some(format!("leaf {seq}")), ..Change::default() }
}

fn ordered(seq: Seq, action: &str) -> Change {
    Change { command: Some(Ordered { action: action.into() }), ..entry(seq, "ordered") }
}

/// Hold, claim, batch, attempt, mined, final.
fn feed() -> Vec<Change> {
    let kinds = ["claim_decided", "batch_planned", "attempt_signed", "batch_mined", "batch_final"];
    (1..).zip(kinds).map(|(seq, kind)| about(seq, kind)).collect()
}

/// An entry about the entitlement that is read, or about its batch.
fn about(seq: Seq, kind: &str) -> Change {
    match kind {
        "claim_decided" => Change { round: Some(1), index: Some(7), ..entry(seq, kind) },
        _ => Change { batch: Some(1), ..entry(seq, kind) },
    }
}

/// The entitlement that is read is in batch 1, planned at these positions.
fn planned(at: &[Seq]) -> Planned {
    let rows = at.iter().map(|seq| (*seq, 1)).collect();
    [(EntitlementId { round: 1, index: 7 }, rows)].into()
}

#[test]
fn two_answers_at_one_position_are_seen() {
    let honest = [read(0, 5, Some("decided")), read(1, 5, Some("decided")), read(1, 6, Some("sent"))];
    let check = reads_agree(&honest);
    assert!(check.is_good() && check.compared == 1, "{check:?}");
    assert_eq!(across_nodes(&honest), 1);
    let check = reads_agree(&[read(0, 5, Some("decided")), read(1, 5, Some("sent"))]);
    assert!(!check.is_good() && check.wrong[0].contains("node 2 said"), "{check:?}");
}

#[test]
fn who_may_see_more_is_told_more() {
    let office = |who: &str, body| Heard { who: who.into(), as_office: true, body, ..read(0, 5, None) };
    let (shown, hidden) = (json!({ "payee": "0xa" }), json!({}));
    let anybody = Heard { body: hidden.clone(), ..read(1, 5, None) };
    let honest = [anybody.clone(), office("registrar", shown.clone()), anybody];
    assert!(reads_agree(&honest).is_good());
    assert!(!reads_agree(&[office("registrar", shown), office("registrar", hidden)]).is_good());
}

#[test]
fn a_check_without_anything_to_compare_is_not_good() {
    assert!(!reads_agree(&[read(0, 5, None)]).is_good());
}

#[test]
fn answers_older_than_asked_for_are_seen() {
    let with = |least| Heard { min_seq: Some(least), ..read(0, 5, None) };
    assert!(min_seq_is_kept(&[with(5)]).is_good());
    assert!(!min_seq_is_kept(&[with(6)]).is_good());
}

#[test]
fn a_state_without_its_entry_and_a_step_back_are_seen() {
    let steps = [None, Some("decided"), Some("batched"), Some("sent"), Some("paid"), Some("final")];
    let honest: Vec<Heard> = (0..).zip(steps).map(|(at, state)| read(0, at, state)).collect();
    let check = states_follow_entries(&honest, &feed(), &planned(&[2]));
    assert!(check.is_good() && check.compared == 5, "{check:?}");
    // Paid before anything was mined.
    let check = states_follow_entries(
        &[read(0, 1, Some("decided")), read(0, 2, Some("paid"))],
        &feed(),
        &planned(&[2]),
    );
    assert!(check.wrong[0].contains("by no entry"), "{check:?}");
    // Final, and then sent again, although an attempt was signed in between.
    let mut longer = feed();
    longer.push(about(6, "attempt_signed"));
    let check = states_follow_entries(
        &[read(0, 5, Some("final")), read(1, 6, Some("sent"))],
        &longer,
        &planned(&[2]),
    );
    assert!(check.wrong.iter().any(|wrong| wrong.contains("goes back")), "{check:?}");
    // A reorganisation may take it back.
    longer.push(about(7, "batch_unmined"));
    let back = [read(0, 4, Some("paid")), read(0, 7, Some("sent"))];
    assert!(states_follow_entries(&back, &longer, &planned(&[2])).is_good());
}

/// What happened to others meanwhile explains nothing.
#[test]
fn entries_about_others_are_no_reason() {
    let states = |from, to| [read(0, 0, from), read(1, 5, to)];
    let good = |reads: &[Heard], feed: &[Change], planned: &Planned| {
        states_follow_entries(reads, feed, planned).is_good()
    };
    let (decided, paid) = (states(None, Some("decided")), states(Some("sent"), Some("paid")));
    assert!(good(&decided, &feed(), &planned(&[2])) && good(&paid, &feed(), &planned(&[2])));
    for (round, index) in [(1, 8), (2, 7)] {
        let mut others = feed();
        (others[0].round, others[0].index) = (Some(round), Some(index));
        assert!(!good(&decided, &others, &planned(&[2])), "decided was {round}/{index}");
    }
    // The batch that was mined did not name it, or no longer did when it was planned last.
    assert!(!good(&paid, &feed(), &planned(&[])) && !good(&paid, &feed(), &Planned::new()));
    let mut again = feed();
    again[2] = about(3, "batch_planned");
    assert!(!good(&paid, &again, &planned(&[2])) && good(&paid, &again, &planned(&[2, 3])));
    // Another batch was mined; or another one planned anew, which takes nothing back.
    let mut other = feed();
    other[3].batch = Some(2);
    assert!(!good(&paid, &other, &planned(&[2])));
    let back = states(Some("sent"), Some("decided"));
    let mut replanned = feed();
    replanned[3] = about(4, "batch_replanned");
    assert!(good(&back, &replanned, &planned(&[2])));
    replanned[3].batch = Some(2);
    assert!(!good(&back, &replanned, &planned(&[2])));
}

#[test]
fn nodes_that_never_met_are_seen() {
    assert!(nodes_met(1, 1).is_good());
    for (across, last) in [(0, 0), (0, 1), (3, 0)] {
        assert!(!nodes_met(across, last).is_good(), "{across} {last}");
    }
}

#[test]
fn a_payee_without_its_entry_is_seen() {
    let feed = [ordered(1, "bind_person"), entry(2, "chain_cursor"), ordered(3, "change_payee")];
    let honest = [person(1, 1, "0xa"), person(2, 1, "0xa"), person(3, 3, "0xb")];
    assert!(persons_follow_entries(&honest, &feed).is_good());
    for doctored in [
        // Another address under the same version.
        [person(1, 1, "0xa"), person(2, 1, "0xb")],
        // A version that is no entry about persons.
        [person(1, 1, "0xa"), person(2, 2, "0xb")],
        // A version from before.
        [person(3, 3, "0xb"), person(4, 1, "0xa")],
        // One that was read before it was there.
        [person(1, 1, "0xa"), person(2, 3, "0xb")],
    ] {
        let check = persons_follow_entries(&doctored, &feed);
        assert!(!check.is_good(), "{doctored:?}");
    }
}

#[test]
fn a_decision_that_changes_is_seen() {
    let done = |node, id, seq| decision(node, id, 201, json!({ "state": "done", "seq": seq }));
    let refused = |code| decision(1, 1, 422, json!({ "state": "refused", "seq": 4, "code": code }));
    let waiting = decision(0, 1, 202, json!({ "state": "waiting" }));
    assert!(decided_once(&[waiting, done(0, 1, 4), done(1, 1, 4), done(0, 2, 5)]).is_good());
    for doctored in [
        [done(0, 1, 4), done(1, 1, 5)],
        [done(0, 1, 4), refused("stale")],
        [refused("stale"), refused("not_payee")],
        [done(0, 1, 4), done(0, 2, 4)],
    ] {
        assert!(!decided_once(&doctored).is_good(), "{doctored:?}");
    }
}

#[test]
fn a_decision_that_is_no_entry_is_seen() {
    let mut feed = feed();
    feed[3].id = Some(DemandId(Uuid::from_u128(1)));
    let done = |id, seq| [decision(0, id, 201, json!({ "state": "done", "seq": seq }))];
    assert!(decisions_are_entries(&done(1, 4), &feed).is_good());
    assert!(!decisions_are_entries(&done(1, 3), &feed).is_good());
    assert!(!decisions_are_entries(&done(2, 4), &feed).is_good());
    assert!(!decisions_are_entries(&done(1, 9), &feed).is_good());
    feed[3].code = Some("stale".into());
    assert!(!decisions_are_entries(&done(1, 4), &feed).is_good());
}

#[test]
fn a_receipt_that_proves_nothing_is_seen() {
    let charter = ContractRef { chain_id: 1, address: alloy_primitives::Address::ZERO };
    let origin = Origin::new(charter, sluice_core::ids::StreamId(0));
    let key = LogKey::new(&origin, &[7; 32]);
    let forged = json!({ "receipt": { "kind": "receipt", "format": 1, "seq": 1, "entry": "", "path": [], "note": "" } });
    let check = receipts_prove(&[decision(0, 1, 201, forged)], &feed(), &key.verifier());
    assert!(!check.is_good() && !check.wrong.is_empty(), "{check:?}");
}

#[test]
fn feeds_that_differ_are_seen() {
    assert!(feeds_agree(&feed(), &feed()).is_good());
    let mut other = feed();
    other[2].leaf = Some("another".into());
    assert!(!feeds_agree(&feed(), &other).is_good());
    let gap: Vec<Change> = feed().into_iter().skip(1).collect();
    assert!(!feeds_agree(&gap, &gap).is_good());
}
