//! Every race, explained by positions alone: which two entries met, who was first, why the other could not be, and that the
//! money went where the positions say. Nothing here depends on who wins.

mod payees;
mod payments;
mod rules;

use std::collections::BTreeMap;

use serde::Serialize;
use sluice_core::ids::{EntitlementId, RoundNo, Seq};

pub(super) use rules::asked_again;

use super::audit::Audited;
use super::checks::Check;
use super::ground::Scene;
use super::races::{Answered, Happened};
use super::record::{Change, Verdict};
use crate::dev::DECIMALS;

/// A race with its outcome.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// Which kind.
    pub(super) race: &'static str,
    /// Whom it was about.
    pub(super) about: String,
    /// The earlier position.
    pub(super) first: String,
    /// The later one.
    pub(super) second: String,
    /// Who won.
    pub(super) won: String,
    /// Why, in a sentence.
    pub(super) why: String,
    /// What became of the money.
    pub(super) money: String,
    /// Whether the table shows it: of many of a kind, those next to each other.
    #[serde(skip)]
    pub(super) shown: bool,
}

/// What rows are made from.
pub(super) struct Facts<'a> {
    pub(super) scene: &'a Scene,
    pub(super) feed: &'a [Change],
    pub(super) audited: &'a Audited,
    /// Holds that compliance ended, with the position of the release.
    pub(super) released: &'a BTreeMap<Seq, Seq>,
    pub(super) order: Check,
    pub(super) money: Check,
}

/// Explains everything that happened.
pub(super) fn explain(facts: &mut Facts<'_>, happened: &Happened) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(happened.moved.iter().map(|moved| payees::moved(facts, moved)));
    rows.extend(happened.lapsed.iter().map(|lapsed| payees::lapsed(facts, lapsed)));
    rows.extend(happened.claims.iter().map(|claim| payments::claim(facts, happened, claim)));
    rows.extend(happened.holds.iter().map(|hold| payments::hold(facts, happened, hold)));
    if let Some(rotation) = &happened.rotation {
        rows.extend(payments::keys(facts, rotation, &happened.pushing));
    }
    if let Some(activation) = &happened.activation {
        rows.push(rules::approvals(facts, activation));
        rows.extend(rules::claims(facts, activation, &happened.gated));
    }
    rows.extend(happened.auditor.iter().map(|answered| rules::auditor(facts, answered)));
    rows
}

/// A position, for people.
fn at(seq: Seq, what: &str) -> String {
    format!("{seq}: {what}")
}

/// What an answer was, for people.
fn said(answered: &Answered, what: &str) -> String {
    match &answered.verdict {
        Verdict::Done { seq } => at(*seq, what),
        Verdict::Refused { seq, code, .. } => at(*seq, &format!("{what}, refused ({code})")),
        Verdict::Turned { as_of, code } => format!("by {as_of}: {what}, turned away ({code})"),
    }
}

impl Facts<'_> {
    fn index(&self, round: RoundNo, person: usize) -> EntitlementId {
        EntitlementId { round, index: self.scene.index(round, &self.scene.people[person]) }
    }

    fn amount(&self, id: EntitlementId) -> u128 {
        self.scene.list(id.round).entitlement(id.index).map_or(0, |listed| listed.amount.get())
    }

    /// Base units as tokens.
    fn tokens(amount: u128) -> String {
        sluice_core::amount::Total(amount).to_decimal_string(DECIMALS)
    }

    fn is_paid(&self, id: EntitlementId) -> bool {
        self.audited.paid.contains(&id)
    }

    /// The holds that stop an entitlement in the end.
    fn held(&self, id: EntitlementId) -> &[Seq] {
        self.audited.held.get(&id).map_or(&[], Vec::as_slice)
    }

    /// What became of something that was decided: it is paid, unless a hold stands.
    fn paid_or_held(&mut self, id: EntitlementId) -> String {
        let (paid, held) = (self.is_paid(id), self.held(id).to_vec());
        self.money.that(paid || !held.is_empty(), || format!("{id:?} is decided, not held, and not paid"));
        match (paid, held.first()) {
            (true, _) => format!("{} paid", Self::tokens(self.amount(id))),
            (false, Some(hold)) => format!("held since {hold}"),
            (false, None) => "not paid".to_owned(),
        }
    }

    fn entry(&self, seq: Seq) -> Option<&Change> {
        self.feed.get(usize::try_from(seq).ok()?.checked_sub(1)?)
    }

    /// The first batch row behind a position.
    fn next_batch_row(&self, after: Seq) -> Option<Seq> {
        let behind = self.feed.iter().filter(|entry| entry.seq > after);
        behind.into_iter().find(|entry| entry.kind == "batch_planned").map(|entry| entry.seq)
    }

    /// Of two who wanted the same at once, the one who was done; the other must have been refused for that reason alone,
    /// and behind it.
    fn first_of<'r>(
        &mut self,
        about: &str,
        one: (&'static str, &'r Answered),
        other: (&'static str, &'r Answered),
        lost: &[&str],
    ) -> [(&'static str, &'r Answered); 2] {
        let done =
            usize::from(one.1.verdict.done().is_some()) + usize::from(other.1.verdict.done().is_some());
        self.order.that(done == 1, || format!("{about}: {done} of two were done: {one:?}, {other:?}"));
        let (winner, loser) = if one.1.verdict.done().is_some() { (one, other) } else { (other, one) };
        let first = winner.1.verdict.position();
        let later = match &loser.1.verdict {
            Verdict::Done { seq } | Verdict::Refused { seq, .. } => *seq > first,
            Verdict::Turned { as_of, .. } => *as_of >= first,
        };
        self.order.that(later, || format!("{about}: {loser:?} was refused before {first}"));
        let code = loser.1.verdict.code();
        self.order
            .that(lost.contains(&code), || format!("{about}: refused with {code}, not for being second"));
        if let Verdict::Refused { code, changed_at, .. } = &loser.1.verdict
            && code == "stale"
        {
            let named = *changed_at == Some(first);
            self.order.that(named, || format!("{about}: changed at {changed_at:?}, and not at {first}"));
            let told = loser.1.body["changed"].as_array().and_then(|all| all.last()).cloned();
            let told = told.and_then(|last| last["seq"].as_u64());
            self.order.that(told == Some(first), || format!("{about}: what changed is told as {told:?}"));
        }
        [winner, loser]
    }
}
