//! What institutions and persons ordered, and by what right: keys in force, rule sets in force, versions that were seen,
//! holds that name what they stop.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use sluice_core::command::{Action, Command, HoldTarget};
use sluice_core::ids::{EntitlementId, RoundNo, Seq};
use sluice_core::log::entry::{Body, Commanded, Entry, Evidence, HoldPlaced, Outcome, RoundPublished};
use sluice_core::signing::address_signer;

use super::{Bound, Fold, Hold};
use crate::evidence::is_of_gate;

impl Fold<'_> {
    /// What an entry says it rests on must have been so at its position.
    pub(super) fn evidence(&mut self, entry: &Entry) {
        let seq = entry.seq;
        let (evidence, claim) = match &entry.body {
            Body::ClaimDecided(claim) if claim.intake.campaign == self.campaign => {
                (&claim.evidence, Some((claim.entitlement.round, true)))
            }
            Body::ClaimRefused(claim) if claim.intake.campaign == self.campaign => {
                // What State alone refused was not decided by rules, whichever were asked before.
                let by_gate = is_of_gate(claim.code);
                (&claim.evidence, by_gate.then_some((claim.entitlement.round, false)))
            }
            body => match body.command_evidence() {
                Some(evidence) => (evidence, None),
                None => return,
            },
        };
        let (said, known) = (evidence.set_version, self.set_version);
        self.check(said == known, || format!("entry {seq} counts by set {said}, the Charter has {known}"));
        if let Some((round, decided)) = claim {
            self.gate(seq, round, decided, evidence);
        }
    }

    /// A claim of a gated round was decided by the rule sets in force at its own position, and by no revoked attestation.
    fn gate(&mut self, seq: Seq, round: RoundNo, decided: bool, evidence: &Evidence) {
        let gate = self.rules.gate_of.get(&round).copied().filter(|gate| *gate != 0);
        let in_force = gate.and_then(|gate| self.rules.gates.get(&gate)).map(|lineages| {
            lineages
                .iter()
                .map(|id| self.rules.in_force.get(id).copied().unwrap_or_default())
                .collect::<Vec<_>>()
        });
        let same = in_force.unwrap_or_default() == evidence.rule_sets;
        self.check(same, || format!("the claim at {seq} was not decided by the rule sets in force there"));
        if decided {
            let gone = evidence.attestations.iter().find_map(|id| self.revoked_attestations.get(id).copied());
            self.check(gone.is_none(), || {
                format!("the claim at {seq} rests on an attestation revoked at {gone:?}")
            });
        }
    }

    pub(super) fn published(&mut self, published: &RoundPublished) {
        let round = published.terms.round;
        self.rules.gate_of.insert(round, published.terms.gate);
        for (hold, index, _) in &published.held {
            let placed = self.holds.get_mut(hold).and_then(|hold| hold.stops.as_mut());
            if let Some(stops) = placed {
                stops.insert(EntitlementId { round, index: *index });
            } else {
                self.check(false, || {
                    format!("round {round} is held by {hold}, which is no hold on a person")
                });
            }
        }
    }

    pub(super) fn ordered(&mut self, seq: Seq, ordered: &Commanded<Outcome>) {
        let command = &ordered.command;
        for approval in &command.approvals {
            let gone = self.revoked_keys.get(&approval.signer).copied();
            self.check(gone.is_none(), || format!("a key revoked at {gone:?} speaks at {seq}"));
        }
        let by = command.approvals.first().map_or(B256::ZERO, |approval| approval.authority);
        match (&command.action, &ordered.outcome) {
            (Action::Hold { target }, Outcome::Held(placed)) => self.held(seq, by, command, target, placed),
            (Action::Release { hold }, _) => self.ended(*hold, seq),
            (_, Outcome::Answered { released: Some(hold) }) => self.ended(*hold, seq),
            (Action::Pause { campaign, .. }, _) if *campaign == self.campaign => self.paused = true,
            (Action::Resume { campaign }, _) if *campaign == self.campaign => self.paused = false,
            (Action::ChangeKeys { revoke, .. }, _) => {
                self.revoked_keys.extend(revoke.iter().map(|key| (key.clone(), seq)));
            }
            (Action::BindPerson { person, payee, .. }, _) => self.bound(seq, command, *person, *payee),
            (Action::ChangePayee { person, payee }, _) => {
                let known = self.persons.get(person).map(|bound| bound.payee);
                let signer = command.approvals.first().and_then(|approval| address_signer(&approval.signer));
                let own = by != B256::ZERO || (signer.is_some() && signer == known);
                self.check(own, || format!("somebody else moves a person's payments at {seq}"));
                self.bound(seq, command, *person, *payee);
            }
            (Action::RevokeAttestation { uid }, _) => {
                self.revoked_attestations.insert(*uid, seq);
            }
            _ => self.rules_ordered(seq, command, &ordered.outcome),
        }
    }

    fn rules_ordered(&mut self, seq: Seq, command: &Command, outcome: &Outcome) {
        let name = match &command.action {
            Action::ProposeRules(terms) => {
                self.rules.lineage_of.insert(terms.hash(), terms.lineage_id());
                self.rules.changed.insert(terms.hash(), seq);
                return;
            }
            Action::DefineGate(terms) if terms.campaign == self.campaign => {
                self.rules.gates.insert(terms.version.into(), terms.rule_sets.clone());
                return;
            }
            Action::ApproveRules { rules }
            | Action::ActivateRules { rules, .. }
            | Action::RetireRules { rules } => *rules,
            _ => return,
        };
        self.seen(seq, command, self.rules.changed.get(&name).copied());
        self.rules.changed.insert(name, seq);
        match &command.action {
            Action::ActivateRules { .. } if *outcome == Outcome::Done => self.activated(name, seq),
            Action::RetireRules { .. } => self.rules.in_force.retain(|_, in_force| *in_force != name),
            _ => {}
        }
    }

    pub(super) fn activated(&mut self, name: B256, seq: Seq) {
        let lineage = self.rules.lineage_of.get(&name).copied();
        self.check(lineage.is_some(), || format!("a rule set nobody proposed comes into force at {seq}"));
        self.rules.in_force.insert(lineage.unwrap_or_default(), name);
        self.rules.changed.insert(name, seq);
        self.rules.activations.push((seq, name));
    }

    fn bound(&mut self, seq: Seq, command: &Command, person: B256, payee: Address) {
        self.seen(seq, command, self.persons.get(&person).map(|bound| bound.since));
        self.persons.insert(person, Bound { payee, since: seq });
    }

    /// Nothing is done on what its authors saw no more.
    fn seen(&mut self, seq: Seq, command: &Command, changed: Option<Seq>) {
        let saw = command.subject_version;
        let fresh = changed.is_none_or(|changed| changed <= saw) && saw < seq;
        self.check(fresh, || {
            format!("what was done at {seq} had changed at {changed:?}, and its authors saw {saw}")
        });
    }

    fn held(&mut self, seq: Seq, by: B256, command: &Command, target: &HoldTarget, placed: &HoldPlaced) {
        let own = placed.covers.iter().filter(|covered| covered.campaign == self.campaign);
        let covers: BTreeSet<EntitlementId> = own.map(|covered| covered.entitlement).collect();
        let alone = self.state.is_alone(command);
        let meant = self.meant(target);
        if let Some(meant) = &meant {
            let more = covers.difference(meant).next();
            self.check(more.is_none(), || {
                format!("the hold at {seq} covers {more:?}, which it does not name")
            });
            for id in meant.difference(&covers).copied().collect::<Vec<_>>() {
                let over = self.payments.paid.contains_key(&id) || self.payments.void.contains_key(&id);
                let again = alone && self.held_alone.contains(&(by, id));
                self.check(over || again, || format!("the hold at {seq} leaves out {id:?}, which is owed"));
            }
        }
        for (id, campaign, batch) in &placed.in_flight {
            let carried = *campaign != self.campaign
                || self.payments.batches.get(batch).is_some_and(|named| named.contains(id));
            self.check(carried, || format!("the hold at {seq} says batch {batch} carries {id:?}"));
        }
        if alone {
            self.held_alone.extend(covers.iter().map(|id| (by, *id)));
        }
        let whole = matches!(target, HoldTarget::Campaign { campaign } if *campaign == self.campaign);
        self.holds.insert(seq, Hold { placed_by: by, stops: (!whole).then_some(covers) });
    }

    /// The entitlements a target means by the published lists; `None` for the whole campaign.
    fn meant(&self, target: &HoldTarget) -> Option<BTreeSet<EntitlementId>> {
        match target {
            HoldTarget::Campaign { .. } => None,
            HoldTarget::Entitlements { campaign, .. } if *campaign != self.campaign => Some(BTreeSet::new()),
            HoldTarget::Entitlements { round, indexes, .. } => {
                Some(indexes.iter().map(|index| EntitlementId { round: *round, index: *index }).collect())
            }
            HoldTarget::Person { person } => {
                // Rounds that were published by now; later ones name what is held when they are.
                let published = self.lists.iter().filter(|(round, _)| self.rules.gate_of.contains_key(round));
                let of = |(round, list): (&RoundNo, &&sluice_snapshot::Snapshot)| {
                    let (round, list) = (*round, *list);
                    let own = move |index: &u64| list.person(*index) == Some(*person);
                    (0..list.count())
                        .filter(own)
                        .map(move |index| EntitlementId { round, index })
                        .collect::<Vec<_>>()
                };
                Some(published.flat_map(of).collect())
            }
        }
    }

    pub(super) fn ended(&mut self, hold: Seq, seq: Seq) {
        let known = self.holds.remove(&hold);
        self.check(known.is_some(), || format!("the hold of {hold} ends at {seq} and does not stand"));
    }

    /// Who placed a hold that is in force.
    pub fn placed_by(&self, hold: Seq) -> Option<B256> {
        self.holds.get(&hold).map(|hold| hold.placed_by)
    }
}
