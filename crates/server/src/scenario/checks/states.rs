//! No state goes back, and none goes forth, without an entry that says so.

use std::collections::BTreeMap;

use sluice_core::ids::{EntitlementId, Seq};

use super::Check;
use crate::scenario::audit::Planned;
use crate::scenario::record::{Asked, Change, Heard};

/// How far a payment is. What is further goes back only by the entries named in [`may_go_back`].
fn rank(state: Option<&str>) -> u8 {
    match state {
        None | Some("waiting") => 0,
        Some("decided" | "held") => 1,
        Some("batched") => 2,
        Some("sent") => 3,
        Some("paid" | "skipped") => 4,
        _ => 5,
    }
}

/// Whether an entry can bring a payment into this state.
fn can_cause(entry: &Change, state: &str) -> bool {
    let (kind, action) = (entry.kind.as_str(), entry.action());
    let by_chain = kind == "events_mined" || kind == "events_final" || kind == "events_unmined";
    match state {
        "decided" => {
            matches!(kind, "claim_decided" | "pushed" | "batch_replanned" | "due")
                || matches!(action, "release" | "answer_appeal")
                || by_chain
        }
        "held" => {
            matches!(kind, "claim_decided" | "pushed" | "batch_replanned" | "round_published")
                || action == "hold"
                || by_chain
        }
        "batched" => kind == "batch_planned",
        "sent" => matches!(kind, "attempt_signed" | "batch_unmined"),
        "paid" => matches!(kind, "batch_mined" | "events_mined"),
        "skipped" => kind == "batch_mined",
        "final" => matches!(kind, "batch_final" | "events_final"),
        "voided" => matches!(kind, "voided" | "batch_final" | "events_final"),
        _ => false,
    }
}

/// Whether an entry can take a payment back from this state.
fn may_go_back(entry: &Change, from: &str) -> bool {
    match from {
        "batched" | "sent" => matches!(entry.kind.as_str(), "batch_replanned" | "voided"),
        "paid" => matches!(entry.kind.as_str(), "batch_unmined" | "events_unmined"),
        "skipped" => matches!(entry.kind.as_str(), "due" | "batch_unmined" | "batch_planned"),
        _ => false,
    }
}

/// The entitlement that a reading's path names.
fn subject(path: &str) -> Option<EntitlementId> {
    let mut parts = path.rsplit('/');
    let (index, indexes, round) = (parts.next()?, parts.next()?, parts.next()?);
    (indexes == "indexes").then_some(())?;
    Some(EntitlementId { round: round.parse().ok()?, index: index.parse().ok()? })
}

/// Whether an entry can be about an entitlement. One that names an index or a round is about no other; one about a batch
/// is about those whom the batch named when it was planned last, which the auditor read in the log. Numbers of batches
/// serve again.
fn concerns(entry: &Change, id: EntitlementId, feed: &[Change], planned: &Planned) -> bool {
    if let Some(batch) = entry.batch {
        let rows = feed.iter().take_while(|row| row.seq <= entry.seq);
        let plan = rows.filter(|row| row.kind == "batch_planned" && row.batch == Some(batch)).last();
        let named = planned.get(&id).map_or(&[][..], Vec::as_slice);
        return plan.is_some_and(|plan| named.contains(&(plan.seq, batch)));
    }
    entry.round.is_none_or(|round| round == id.round) && entry.index.is_none_or(|index| index == id.index)
}

/// What was seen of one payment, by position.
type Seen = BTreeMap<Seq, Option<String>>;

/// Every payment's states in the order of the positions they were read at: each change has an entry between the two
/// readings that is about it and can have brought it about, and none goes back but by one that takes it back.
pub(in crate::scenario) fn states_follow_entries(
    heard: &[Heard],
    feed: &[Change],
    planned: &Planned,
) -> Check {
    let mut check = Check::new("no state changes, and none goes back, without an entry that says so");
    let mut payments: BTreeMap<&str, Seen> = BTreeMap::new();
    let reads =
        heard.iter().filter(|h| h.asked == Asked::State && h.is_good() && h.path.contains("/indexes/"));
    for read in reads {
        let state = read.body["entitlements"][0]["state"].as_str().map(str::to_owned);
        payments.entry(&read.path).or_default().entry(read.as_of).or_insert(state);
    }
    for (path, seen) in payments {
        let Some(id) = subject(path) else {
            check.that(false, || format!("{path} names no entitlement"));
            continue;
        };
        let steps = seen.iter().zip(seen.iter().skip(1));
        for ((before, from), (after, to)) in steps.filter(|((_, from), (_, to))| from != to) {
            let between = entries(feed, *before, *after);
            let between: Vec<_> = between.iter().filter(|e| concerns(e, id, feed, planned)).collect();
            let caused = to.as_deref().is_some_and(|to| between.iter().any(|e| can_cause(e, to)));
            check.that(caused, || format!("{path}: {from:?} at {before}, {to:?} at {after}, by no entry"));
            if rank(to.as_deref()) < rank(from.as_deref()) {
                let taken = from.as_deref().is_some_and(|from| between.iter().any(|e| may_go_back(e, from)));
                check.that(taken, || format!("{path} goes back: {from:?} at {before}, {to:?} at {after}"));
            }
        }
    }
    check
}

/// The entries behind a position, up to another.
fn entries(feed: &[Change], after: Seq, upto: Seq) -> &[Change] {
    let place = |seq: Seq| usize::try_from(seq).unwrap_or(usize::MAX).min(feed.len());
    &feed[place(after)..place(upto).max(place(after))]
}

/// Where persons are paid changes by an entry about it, which is the version from then on.
pub(in crate::scenario) fn persons_follow_entries(heard: &[Heard], feed: &[Change]) -> Check {
    let mut check = Check::new("where a person is paid changes only by the entry that is its version");
    let mut persons: BTreeMap<&str, BTreeMap<Seq, (Seq, String)>> = BTreeMap::new();
    let reads =
        heard.iter().filter(|h| h.asked == Asked::State && h.is_good() && h.path.starts_with("/v1/persons/"));
    for read in reads {
        let version = read.body["version"].as_u64().unwrap_or_default();
        // Only offices are told where a person is paid.
        let Some(payee) = read.body["payee"].as_str().map(str::to_owned) else { continue };
        check.that(version <= read.as_of, || {
            format!("{}: version {version} and payee {payee:?} at {}", read.path, read.as_of)
        });
        persons.entry(&read.path).or_default().entry(read.as_of).or_insert((version, payee));
    }
    for (path, seen) in persons {
        for (version, _) in seen.values() {
            let entry = usize::try_from(*version).ok().and_then(|seq| feed.get(seq.wrapping_sub(1)));
            let said = entry.is_some_and(|e| matches!(e.action(), "bind_person" | "change_payee"));
            check.that(said, || format!("{path}: version {version} is the entry {entry:?}"));
        }
        for ((before, one), (after, other)) in seen.iter().zip(seen.iter().skip(1)) {
            let right = if one.0 == other.0 { one == other } else { one.0 < other.0 && other.0 > *before };
            check.that(right, || format!("{path}: {one:?} at {before} and {other:?} at {after}"));
        }
    }
    check
}
