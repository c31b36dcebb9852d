//! The payment job against claims, holds and its own key.

use sluice_core::ids::{BatchNo, EntitlementId, Seq};

use super::{Facts, Row, at, said};
use crate::scenario::ground::PUSHED;
use crate::scenario::races::{Happened, Hold, OwnClaim, Pushing, Rotation, Stopped, Try};
use crate::scenario::record::{Change, Verdict};

impl Pushing {
    /// The position at which the range was decided, with whichever key.
    fn done(&self) -> Option<Seq> {
        self.tries.iter().find_map(|order| order.answer.verdict.done())
    }
}

/// The order that covers an entitlement.
fn pushed(happened: &Happened, index: u64) -> Option<Seq> {
    let covers = |pushing: &&Pushing| (pushing.from..pushing.to).contains(&index);
    happened.pushing.iter().find(covers).and_then(Pushing::done)
}

/// The position that decided an entitlement of the pushed round: its claim's or the job's, whichever was first.
fn decided(happened: &Happened, index: u64) -> Option<Seq> {
    let claim = happened.claims.iter().find(|claim| claim.index == index);
    let claimed = claim.and_then(|claim| claim.answer.verdict.done());
    claimed.into_iter().chain(pushed(happened, index)).min()
}

pub(super) fn claim(facts: &mut Facts<'_>, happened: &Happened, claim: &OwnClaim) -> Row {
    let about = format!("person {}", claim.person);
    let id = EntitlementId { round: PUSHED, index: claim.index };
    let job = pushed(happened, claim.index);
    let mine = &claim.answer;
    let job_says = job.map_or_else(|| "nothing left to push".to_owned(), |seq| at(seq, "payment job"));
    let (first, second, won, why) = match (&mine.verdict, job) {
        (Verdict::Done { seq }, _) => {
            facts.order.that(job.is_none_or(|job| job > *seq), || {
                format!("{about}: claimed at {seq}, though pushed at {job:?}")
            });
            let why = format!("decided at {seq}; the job passed over it");
            (said(mine, "claim"), job_says, "citizen", why)
        }
        (verdict, Some(job)) => {
            let later = match verdict {
                Verdict::Turned { as_of, .. } => *as_of >= job,
                other => other.position() > job,
            };
            let taken = matches!(verdict.code(), "already_decided" | "already_paid" | "payment_seen");
            facts.order.that(later && taken, || format!("{about}: {verdict:?}, and pushed at {job}"));
            let why = format!("the job had decided it at {job}: the claim would have paid it twice");
            (job_says, said(mine, "claim"), "payment operator", why)
        }
        (verdict, None) => {
            facts.order.that(false, || format!("{about}: {verdict:?}, and nobody decided it"));
            (job_says, said(mine, "claim"), "nobody", "unexplained".to_owned())
        }
    };
    let money = facts.paid_or_held(id);
    let won = won.to_owned();
    Row { race: "claim / payment job", about, first, second, won, why, money, shown: true }
}

/// Whether what a batch was planned with at a position was planned anew afterwards.
fn given_up(feed: &[Change], planned: Seq, batch: BatchNo) -> bool {
    feed.iter().any(|e| e.seq > planned && e.kind == "batch_replanned" && e.batch == Some(batch))
}

pub(super) fn hold(facts: &mut Facts<'_>, happened: &Happened, hold: &Hold) -> Row {
    let id = EntitlementId { round: PUSHED, index: hold.index };
    let what = match hold.stopped {
        Stopped::Person => "hold on the person",
        Stopped::Entitlement => "hold on the entitlement",
    };
    let about = format!("index {}", hold.index);
    let race = "payment job / compliance hold";
    let decided_at = decided(happened, hold.index);
    let planned = facts.audited.planned.get(&id).cloned().unwrap_or_default();
    let Some(placed) = hold.answer.verdict.done() else {
        // There was nothing left to stop.
        let late = hold.answer.verdict.code() == "already_paid";
        let (refused, paid) = (hold.answer.verdict.position(), facts.is_paid(id));
        let before = planned.iter().any(|(row, _)| *row < refused);
        facts
            .order
            .that(late && before && paid, || format!("{about}: {:?}, paid {paid}", hold.answer.verdict));
        let first = planned.first().map_or_else(String::new, |(row, _)| at(*row, "batch row"));
        let why = "it was paid finally before: nothing was left to stop".to_owned();
        let (second, won) = (said(&hold.answer, what), "payment operator".to_owned());
        return Row { race, about, first, second, won, why, money: facts.paid_or_held(id), shown: true };
    };
    let released = facts.released.get(&placed).copied();
    let row_before = planned.iter().rev().find(|(row, _)| *row < placed).copied();
    let carried =
        hold.answer.body["outcome"]["in_flight"].as_array().is_some_and(|batches| !batches.is_empty());
    let end = released.unwrap_or(Seq::MAX);
    let planned_while_held = planned.iter().map(|(row, _)| *row).find(|row| *row > placed && *row < end);
    facts.order.that(planned_while_held.is_none(), || {
        format!("{about}: held at {placed}, and in a batch planned at {planned_while_held:?}")
    });
    match row_before {
        Some((row, batch)) => {
            let paid = facts.is_paid(id);
            facts.order.that(paid || given_up(facts.feed, row, batch), || {
                format!("{about}: in batch {batch} at {row}, before the hold at {placed}, and not paid")
            });
            let why = match carried {
                true => format!(
                    "a batch carried it since {row}; the hold's answer says so, and comes too late for it"
                ),
                false => format!(
                    "the batch of {row} was final before {placed}; the hold found nothing to stop here"
                ),
            };
            Row {
                race,
                about,
                first: at(row, "batch row"),
                second: said(&hold.answer, what),
                won: "payment operator".to_owned(),
                why,
                money: facts.paid_or_held(id),
                shown: true,
            }
        }
        None => {
            facts.order.that(!carried, || {
                format!("{about}: the hold of {placed} names a batch, and none was planned")
            });
            let passed = facts.next_batch_row(placed.max(decided_at.unwrap_or_default()));
            let then = match released {
                Some(release) => format!("; released at {release}, then paid"),
                None => String::new(),
            };
            let why = format!(
                "it stood before any batch row named the payment, and every row since passed over it{then}"
            );
            facts.order.that(released.is_some() || !facts.is_paid(id), || {
                format!("{about}: held at {placed}, not released, and paid")
            });
            let second =
                passed.map_or_else(|| "no batch row".to_owned(), |row| at(row, "batch row without it"));
            Row {
                race,
                about,
                first: said(&hold.answer, what),
                second,
                won: "compliance".to_owned(),
                why,
                money: if decided_at.is_some() { facts.paid_or_held(id) } else { "undecided".to_owned() },
                shown: true,
            }
        }
    }
}

/// Orders signed with a key that is revoked meanwhile.
pub(super) fn keys(facts: &mut Facts<'_>, rotation: &Rotation, pushing: &[Pushing]) -> Vec<Row> {
    let revoked = rotation.answer.verdict.done();
    facts.order.that(revoked.is_some(), || format!("the key was not changed: {:?}", rotation.answer.verdict));
    let revoked = revoked.unwrap_or_default();
    let mut rows: Vec<(Seq, Row)> = Vec::new();
    for pushing in pushing {
        let ordered = pushing.tries.last().map(|order| order.answer.verdict.code().to_owned());
        let taken = matches!(ordered.as_deref(), Some("done" | "already_decided"));
        facts.order.that(taken, || format!("indexes {} on were never ordered: {ordered:?}", pushing.from));
        for order in &pushing.tries {
            let (position, code) = (order.answer.verdict.position(), order.answer.verdict.code());
            if order.old_key {
                rows.push((position, key(facts, pushing, order, revoked, rotation)));
            } else {
                let later = matches!(order.answer.verdict, Verdict::Turned { .. }) || position > revoked;
                let spoke = later && code != "not_authorized";
                facts
                    .order
                    .that(spoke, || format!("the new key, in force since {revoked}, at {position}: {code}"));
            }
        }
    }
    rows.sort_by_key(|(position, _)| *position);
    // Those next to the rotation tell the story; the table counts the rest.
    let turn = rows.iter().position(|(position, _)| *position > revoked).unwrap_or(rows.len());
    for (at, (_, row)) in rows.iter_mut().enumerate() {
        row.shown = at + 2 >= turn && at < turn + 2;
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

fn key(facts: &mut Facts<'_>, pushing: &Pushing, order: &Try, revoked: Seq, rotation: &Rotation) -> Row {
    let about = format!("indexes {} to {}", pushing.from, pushing.to - 1);
    let (answer, position) = (&order.answer, order.answer.verdict.position());
    let (mine, turned) = (said(answer, "order with the old key"), said(&rotation.answer, "key changed"));
    let (first, second, won, why) = match (&answer.verdict, answer.verdict.code()) {
        (verdict, code @ ("done" | "already_decided" | "stale")) => {
            let before = matches!(verdict, Verdict::Turned { .. }) || position < revoked;
            facts
                .order
                .that(before, || format!("{about}: taken at {position}, the key was revoked at {revoked}"));
            let why = format!("the key spoke for the payment operator until {revoked}");
            let why = match code {
                "stale" => format!("{why}; what it ordered had changed, so it looked again"),
                _ => why,
            };
            (mine, turned, "the old key", why)
        }
        (verdict, "not_authorized") => {
            let later = match verdict {
                Verdict::Turned { as_of, .. } => *as_of >= revoked,
                other => other.position() > revoked,
            };
            facts.order.that(later, || format!("{about}: {verdict:?}, and the key was revoked at {revoked}"));
            let then =
                pushing.done().map_or_else(String::new, |seq| format!("; ordered with the new key at {seq}"));
            (turned, mine, "the rotation", format!("a revoked key speaks for nobody{then}"))
        }
        (verdict, _) => {
            facts.order.that(false, || format!("{about}: {verdict:?}"));
            (turned, mine, "nobody", "unexplained".to_owned())
        }
    };
    let outcomes: Vec<String> = (pushing.from..pushing.to)
        .map(|index| facts.paid_or_held(EntitlementId { round: PUSHED, index }))
        .collect();
    let held = outcomes.iter().filter(|outcome| outcome.starts_with("held")).count();
    let money = format!("{} of {} paid, {held} held", outcomes.len() - held, outcomes.len());
    let race = "orders in flight / key rotation";
    Row { race, about, first, second, won: won.to_owned(), why, money, shown: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_batch_excuses_what_was_not_paid() {
        let replanned = |seq, batch| Change {
            seq,
            kind: "batch_replanned".into(),
            batch: Some(batch),
            ..Change::default()
        };
        assert!(given_up(&[replanned(5, 3)], 4, 3));
        assert!(!given_up(&[replanned(5, 2)], 4, 3), "another batch");
        assert!(!given_up(&[replanned(5, 3)], 6, 3), "it was planned afterwards");
        assert!(!given_up(&[Change { kind: "batch_mined".into(), ..replanned(5, 3) }], 4, 3));
    }
}
