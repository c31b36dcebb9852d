//! Rules that change while claims run, and what a mandate does not permit.

use serde_json::Value;
use sluice_core::ids::Seq;
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::receipt::Receipt;

use super::{Facts, Row, at, said};
use crate::scenario::cast::{CAP_NEW, CAP_OLD};
use crate::scenario::ground::GATED;
use crate::scenario::races::{Activation, Answered, GatedClaim};
use crate::scenario::record::Verdict;

pub(super) fn approvals(facts: &mut Facts<'_>, activation: &Activation) -> Row {
    let about = "the new rules".to_owned();
    let [one, other] = &activation.approvals;
    let (one, other) = (("one institution", one), ("another institution", other));
    let [(winner, first), (_, second)] = facts.first_of(&about, one, other, &["stale"]);
    let position = first.verdict.position();
    let again = activation.again.as_ref().and_then(|again| again.verdict.done());
    facts.order.that(again.is_some_and(|again| again > position), || {
        format!("the lapsed approval was given again: {:?}", activation.again)
    });
    let active = activation.activated.verdict.done();
    facts.order.that(active > again && active.is_some(), || {
        format!("the new rules came into force: {:?}", activation.activated.verdict)
    });
    let given = again.map_or_else(String::new, |seq| format!("given again at {seq}, in force at {active:?}"));
    let given = given.replace("Some(", "").replace(')', "");
    Row {
        race: "approval / approval of the same rules",
        about,
        first: said(first, "approval"),
        second: said(second, "approval"),
        won: winner.to_owned(),
        why: format!("the second had seen the proposal as of before {position} and lapsed; {given}"),
        money: "see the claims behind the gate".to_owned(),
        shown: true,
    }
}

/// The entry in an answer's receipt.
fn entry(body: &Value) -> Option<Entry> {
    let receipt: Receipt = serde_json::from_value(body["receipt"].clone()).ok()?;
    Entry::decode(&receipt.entry).ok()
}

/// Claims behind the gate, against the rules that changed.
pub(super) fn claims(facts: &mut Facts<'_>, activation: &Activation, gated: &[GatedClaim]) -> Vec<Row> {
    let active = activation.activated.verdict.position();
    let mut rows: Vec<(Seq, bool, Row)> = gated.iter().map(|claim| one(facts, claim, active)).collect();
    rows.sort_by_key(|(position, ..)| *position);
    // Those whose outcome the change decides, next to it.
    let mut differing: Vec<&mut (Seq, bool, Row)> =
        rows.iter_mut().filter(|(_, differs, _)| *differs).collect();
    let turn = differing.iter().position(|(position, ..)| *position > active).unwrap_or(differing.len());
    for (at, (.., row)) in differing.iter_mut().enumerate() {
        row.shown = at + 2 >= turn && at < turn + 2;
    }
    rows.into_iter().map(|(.., row)| row).collect()
}

fn one(facts: &mut Facts<'_>, claim: &GatedClaim, active: Seq) -> (Seq, bool, Row) {
    let about = format!("person {}", claim.person);
    let income = facts.scene.people[claim.person].income;
    let position = claim.answer.verdict.position();
    let new = position > active;
    let cap = if new { CAP_NEW } else { CAP_OLD };
    let permitted = income <= cap;
    let right = match &claim.answer.verdict {
        Verdict::Done { .. } => permitted,
        Verdict::Refused { code, .. } => !permitted && code == "rule_refused",
        Verdict::Turned { .. } => false,
    };
    facts.order.that(right, || {
        format!("{about} earns {income}, the cap at {position} is {cap}: {:?}", claim.answer.verdict)
    });
    let entry = entry(&claim.answer.body);
    let asked = entry.as_ref().and_then(|entry| match &entry.body {
        Body::ClaimDecided(claim) => Some((claim.evidence.rule_sets.clone(), claim.accepted_at)),
        Body::ClaimRefused(claim) => Some((claim.evidence.rule_sets.clone(), claim.accepted_at)),
        _ => None,
    });
    let named = vec![facts.scene.rules[usize::from(new)]];
    facts.order.that(asked.as_ref().is_some_and(|(asked, _)| *asked == named), || {
        format!("{about}: decided at {position} by {asked:?}, in force was {named:?}")
    });
    let since = facts.entry(active).map_or(0, |entry| entry.recorded_at);
    let waited = new && asked.is_some_and(|(_, accepted)| accepted < since);
    let id = facts.index(GATED, claim.person);
    let money = match claim.answer.verdict.done() {
        Some(_) => facts.paid_or_held(id),
        None => {
            let paid = facts.is_paid(id);
            facts.money.that(!paid, || format!("{about}: refused, and paid behind the gate"));
            "not paid".to_owned()
        }
    };
    let version = if new { "new" } else { "old" };
    let outcome = if permitted { "permits" } else { "refuses" };
    let accepted = if waited { ", though the claim was accepted before they came into force" } else { "" };
    let (mine, theirs) = (said(&claim.answer, "claim"), at(active, "new rules in force"));
    let (first, second) = if new { (theirs, mine) } else { (mine, theirs) };
    let row = Row {
        race: "claim behind the gate / new rules",
        won: format!("the {version} rules"),
        why: format!("an income of {income}: the cap at {position} is {cap}, which {outcome} it{accepted}"),
        about,
        first,
        second,
        money,
        shown: false,
    };
    (position, income > CAP_NEW && income <= CAP_OLD, row)
}

/// How many claims were accepted under the old rules and decided under the new ones.
pub(in crate::scenario) fn asked_again(
    feed: &[crate::scenario::record::Change],
    activation: &Activation,
    gated: &[GatedClaim],
) -> usize {
    let active = activation.activated.verdict.position();
    let since = feed.iter().find(|entry| entry.seq == active).map_or(0, |entry| entry.recorded_at);
    let waited = |claim: &&GatedClaim| {
        let accepted = entry(&claim.answer.body).and_then(|entry| match entry.body {
            Body::ClaimDecided(claim) => Some(claim.accepted_at),
            Body::ClaimRefused(claim) => Some(claim.accepted_at),
            _ => None,
        });
        claim.answer.verdict.position() > active && accepted.is_some_and(|accepted| accepted < since)
    };
    gated.iter().filter(waited).count()
}

/// The auditor's mandate permits no holds.
pub(super) fn auditor(facts: &mut Facts<'_>, answered: &Answered) -> Row {
    let denied = answered.verdict.code() == "mandate_denies";
    facts.order.that(denied, || format!("the auditor's hold: {:?}", answered.verdict));
    Row {
        race: "auditor / its own mandate",
        about: "person 0".to_owned(),
        first: said(answered, "hold"),
        second: "–".to_owned(),
        won: "the mandate".to_owned(),
        why: "it permits to see everything, and to change nothing".to_owned(),
        money: "–".to_owned(),
        shown: true,
    }
}
