//! What entitlements went through: decided once, planned only when nothing stops it, paid at most once.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use sluice_core::command::Action;
use sluice_core::ids::{BatchNo, EntitlementId, Seq};
use sluice_core::log::entry::{Body, Pushed, Voided, WordMask};

use super::Fold;

/// Entitlements and batches.
#[derive(Debug, Default)]
pub(super) struct Payments {
    /// Finally paid, by the position that decided it.
    pub(super) paid: BTreeMap<EntitlementId, Seq>,
    pub(super) decided: BTreeMap<EntitlementId, Seq>,
    pub(super) claimed_to: BTreeMap<EntitlementId, Address>,
    pub(super) void: BTreeMap<EntitlementId, Seq>,
    pub(super) planned: BTreeMap<EntitlementId, Vec<(Seq, BatchNo)>>,
    /// Batches in flight.
    pub(super) batches: BTreeMap<BatchNo, Vec<EntitlementId>>,
    mined: BTreeMap<BatchNo, Vec<EntitlementId>>,
    /// Batches whose present content was signed.
    signed: BTreeSet<BatchNo>,
}

fn named(words: &[WordMask]) -> Vec<EntitlementId> {
    let of = |word: &WordMask| {
        let round = word.round;
        word.indexes().map(move |index| EntitlementId { round, index }).collect::<Vec<_>>()
    };
    words.iter().flat_map(of).collect()
}

impl Fold<'_> {
    pub(super) fn decide(&mut self, id: EntitlementId, seq: Seq, claimed_to: Option<Address>) {
        let void = self.payments.void.get(&id).copied();
        self.check(void.is_none(), || format!("{id:?} was annulled at {void:?} and is decided at {seq}"));
        let first = *self.payments.decided.entry(id).or_insert(seq);
        self.check(first == seq, || format!("{id:?} is decided at {first} and again at {seq}"));
        if let Some(to) = claimed_to {
            self.payments.claimed_to.insert(id, to);
        }
    }

    /// A push decides what nobody decided before.
    pub(super) fn pushed(&mut self, seq: Seq, pushed: &Pushed) {
        let Action::Push { campaign, round, from, to } = pushed.command.command.action else {
            return self.check(false, || format!("the push at {seq} orders something else"));
        };
        if campaign != self.campaign {
            return;
        }
        let mut news = 0;
        for id in (from..to).map(|index| EntitlementId { round, index }) {
            if !self.payments.decided.contains_key(&id) && !self.payments.void.contains_key(&id) {
                self.decide(id, seq, None);
                news += 1;
            }
        }
        let said: u64 = pushed.decided.iter().map(|(_, count, _)| u64::from(*count)).sum();
        self.check(said == news, || format!("the push at {seq} says {said} are new, and {news} are"));
    }

    pub(super) fn voided(&mut self, seq: Seq, voided: &Voided) {
        let Action::Void { campaign, round, .. } = voided.command.command.action else {
            return self.check(false, || format!("the annulment at {seq} orders something else"));
        };
        if campaign != self.campaign {
            return;
        }
        let payments = &mut self.payments;
        payments
            .void
            .extend(voided.items.iter().map(|(index, _)| (EntitlementId { round, index: *index }, seq)));
        // What was planned, names something annulled and was never signed is given up.
        let (signed, void) = (&payments.signed, &payments.void);
        payments
            .batches
            .retain(|batch, named| signed.contains(batch) || !named.iter().any(|id| void.contains_key(id)));
    }

    /// An entry about a batch; any other is passed over.
    pub(super) fn batch(&mut self, seq: Seq, body: &Body) {
        match body {
            Body::BatchPlanned(plan) if plan.campaign == self.campaign => {
                let named = named(&plan.words);
                let all = self.holds.values().any(|hold| hold.stops.is_none());
                let stopped = self.paused || all;
                self.check(named.is_empty() || !stopped, || format!("planned at {seq} in a pause or a hold"));
                for id in &named {
                    self.plan(*id, seq, plan.batch);
                }
                self.payments.signed.remove(&plan.batch);
                self.payments.batches.insert(plan.batch, named);
            }
            Body::AttemptSigned(attempt) if attempt.campaign == self.campaign => {
                self.payments.signed.insert(attempt.batch);
            }
            Body::BatchMined(mined) if mined.campaign == self.campaign => {
                let paid = named(&mined.paid);
                let whole = self.payments.batches.get(&mined.batch);
                let inside = whole.is_some_and(|whole| paid.iter().all(|id| whole.contains(id)));
                self.check(inside, || format!("batch {} paid what it does not name at {seq}", mined.batch));
                self.payments.mined.insert(mined.batch, paid);
            }
            Body::BatchUnmined(at) if at.campaign == self.campaign => {
                self.payments.mined.remove(&at.batch);
            }
            Body::BatchReplanned(at) if at.campaign == self.campaign => {
                self.payments.batches.remove(&at.batch);
            }
            Body::BatchFinal(at) if at.campaign == self.campaign => {
                self.payments.batches.remove(&at.batch);
                let paid = self.payments.mined.remove(&at.batch);
                self.check(paid.is_some(), || format!("batch {} is final at {seq} unmined", at.batch));
                for id in paid.into_iter().flatten() {
                    let by = self.payments.decided.get(&id).copied();
                    self.check(by.is_some(), || format!("{id:?} is paid at {seq} and was never decided"));
                    let before = self.payments.paid.insert(id, by.unwrap_or(seq));
                    self.check(before.is_none(), || format!("{id:?} is paid twice, again at {seq}"));
                }
            }
            _ => {}
        }
    }

    fn plan(&mut self, id: EntitlementId, seq: Seq, batch: BatchNo) {
        let holds = self.held_by(id);
        self.check(holds.is_empty(), || format!("{id:?} is planned at {seq} while held at {holds:?}"));
        let decided = self.payments.decided.contains_key(&id);
        self.check(decided, || format!("{id:?} is planned at {seq} undecided"));
        let void = self.payments.void.contains_key(&id);
        self.check(!void, || format!("{id:?} is planned at {seq} though annulled"));
        self.payments.planned.entry(id).or_default().push((seq, batch));
    }
}
