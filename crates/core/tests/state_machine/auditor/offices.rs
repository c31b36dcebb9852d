//! What the auditor holds true of institutions' orders: who is held, what is paused, which rules are in force.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, Bytes};
use sluice_core::command::{Action, Command, HoldTarget};
use sluice_core::ids::{CampaignId, EntitlementId, Seq};
use sluice_core::limits::HOLDS_ALONE_MAX;
use sluice_core::log::entry::{Body, ClaimDecided, Commanded, Due, Entry, Evidence, Outcome};
use sluice_core::state::State;

use crate::simulation::{DELEGATION_MAX, MANDATE_MAX};
use crate::world::amount;

type Key = (CampaignId, EntitlementId);

#[derive(Clone, Debug, Default)]
pub(crate) struct Offices {
    /// What each hold in force covers.
    holds: BTreeMap<Seq, BTreeSet<Key>>,
    stopped: BTreeMap<CampaignId, BTreeSet<Seq>>,
    paused: BTreeSet<CampaignId>,
    approved: BTreeSet<Key>,
    limits: BTreeMap<CampaignId, u128>,
    revoked_keys: BTreeSet<Bytes>,
    revoked: BTreeSet<B256>,
    proposed: BTreeMap<B256, B256>,
    in_force: BTreeMap<B256, B256>,
    ended: BTreeSet<B256>,
    spent: BTreeMap<B256, u128>,
    used: BTreeMap<B256, u64>,
    persons: BTreeMap<B256, Seq>,
}

impl Offices {
    pub(crate) fn is_held(&self, key: &Key) -> bool {
        self.holds.values().any(|covers| covers.contains(key))
    }

    pub(crate) fn is_approved(&self, key: &Key) -> bool {
        self.approved.contains(key)
    }

    /// Whether nothing may be planned.
    pub(crate) fn is_stopped(&self, id: CampaignId) -> bool {
        self.paused.contains(&id) || self.stopped.get(&id).is_some_and(|holds| !holds.is_empty())
    }

    pub(crate) fn limit(&self, id: CampaignId) -> u128 {
        self.limits.get(&id).copied().unwrap_or(u128::MAX)
    }

    /// Whoever signed was somebody then, and whatever they named was in force.
    fn signed(&mut self, command: &Command, evidence: &Evidence, amount: u128) {
        for approval in &command.approvals {
            assert!(
                !self.revoked_keys.contains(&approval.signer),
                "a revoked key ordered {:?}",
                command.action
            );
        }
        assert_eq!(evidence.mandate, command.mandate);
        if command.mandate != B256::ZERO {
            assert!(!self.ended.contains(&command.mandate), "a mandate that ended");
            let spent = self.spent.entry(command.mandate).or_default();
            *spent += amount;
            assert!(*spent <= MANDATE_MAX, "a mandate is overspent");
        }
        if command.delegation != B256::ZERO {
            assert!(!self.ended.contains(&command.delegation), "a delegation that ended");
            let used = self.used.entry(command.delegation).or_default();
            *used += 1;
            assert!(*used <= DELEGATION_MAX, "a delegation is overspent");
        }
    }

    pub(crate) fn read(&mut self, entry: &Entry) {
        match &entry.body {
            Body::RoundPublished(published) => {
                self.signed(&published.command.command, &published.command.evidence, 0);
                for (hold, index, listed) in &published.held {
                    assert_eq!(*listed, amount(*index));
                    let id = EntitlementId { round: published.terms.round, index: *index };
                    self.holds.get_mut(hold).unwrap().insert((published.terms.campaign, id));
                }
            }
            Body::Pushed(pushed) => {
                assert!(!self.paused.contains(&pushed.command.intake.campaign));
                let sum = pushed.decided.iter().map(|(.., sum)| sum.get()).sum();
                self.signed(&pushed.command.command, &pushed.command.evidence, sum);
            }
            Body::Voided(voided) => {
                let sum = voided.items.iter().map(|(_, amount)| amount.get()).sum();
                self.signed(&voided.command.command, &voided.command.evidence, sum);
            }
            Body::ClaimDecided(claim) => self.claim(claim),
            Body::Ordered(ordered) => self.ordered(entry.seq, ordered),
            Body::Due(Due::HoldEnds { hold }) => self.ends(*hold),
            Body::Due(Due::PauseEnds { campaign }) => assert!(self.paused.remove(campaign)),
            Body::Due(Due::RulesStart { rules }) => self.starts(*rules),
            Body::GateSigned(answered) => {
                let signed = &answered.signed;
                for word in &signed.words {
                    let named = sluice_core::log::entry::WordMask {
                        round: word.round,
                        word: word.word,
                        mask: word.mask,
                    };
                    let id = |index| (signed.campaign, EntitlementId { round: word.round, index });
                    self.approved.extend(named.indexes().map(id));
                }
            }
            _ => {}
        }
    }

    fn claim(&mut self, claim: &ClaimDecided) {
        assert!(!self.paused.contains(&claim.intake.campaign), "decided in a pause");
        for name in &claim.evidence.rule_sets {
            assert!(self.in_force.values().any(|now| now == name), "decided by rules not in force");
        }
        for uid in &claim.evidence.attestations {
            assert!(!self.revoked.contains(uid), "decided by a revoked attestation");
        }
    }

    fn starts(&mut self, rules: B256) {
        self.in_force.insert(self.proposed[&rules], rules);
    }

    fn ends(&mut self, hold: Seq) {
        self.holds.remove(&hold).expect("a hold ends once");
        self.stopped.values_mut().for_each(|holds| {
            holds.remove(&hold);
        });
    }

    fn ordered(&mut self, seq: Seq, ordered: &Commanded<Outcome>) {
        let command = &ordered.command;
        let held = match &ordered.outcome {
            Outcome::Held(placed) => placed.covers.iter().map(|c| c.amount.get()).sum(),
            _ => 0,
        };
        self.signed(command, &ordered.evidence, held);
        match (&command.action, &ordered.outcome) {
            (Action::Hold { target }, Outcome::Held(placed)) => {
                let covers = placed.covers.iter().map(|c| (c.campaign, c.entitlement)).collect();
                if let HoldTarget::Campaign { campaign } = target {
                    self.stopped.entry(*campaign).or_default().insert(seq);
                }
                self.holds.insert(seq, covers);
                let alone = command.approvals.len() == 1;
                assert!(!alone || placed.alone.held <= HOLDS_ALONE_MAX, "one held too many");
            }
            (Action::Release { hold }, _) => self.ends(*hold),
            (Action::AnswerAppeal { .. }, Outcome::Answered { released: Some(hold) }) => self.ends(*hold),
            (Action::Pause { campaign, .. }, _) => {
                self.paused.insert(*campaign);
            }
            (Action::Resume { campaign }, _) => assert!(self.paused.remove(campaign)),
            (Action::SetLimit { campaign, limit }, _) => {
                self.limits.insert(*campaign, limit.map_or(u128::MAX, |most| most.get()));
            }
            (Action::ChangeKeys { revoke, .. }, _) => self.revoked_keys.extend(revoke.iter().cloned()),
            (Action::RevokeMandate { mandate: id } | Action::RevokeDelegation { delegation: id }, _) => {
                assert!(self.ended.insert(*id));
            }
            (Action::RevokeAttestation { uid }, _) => assert!(self.revoked.insert(*uid)),
            (Action::BindPerson { person, .. } | Action::ChangePayee { person, .. }, _) => {
                self.persons.insert(*person, seq);
            }
            (Action::ProposeRules(terms), _) => {
                self.proposed.insert(terms.hash(), terms.lineage_id());
            }
            (Action::ActivateRules { rules, .. }, Outcome::Done) => self.starts(*rules),
            (Action::RetireRules { rules }, _) => self.in_force.retain(|_, now| now != rules),
            _ => {}
        }
    }

    /// Compares with what State says.
    pub(crate) fn compare(&self, state: &State) {
        let named: BTreeMap<Seq, BTreeSet<Key>> = (state.holds.iter())
            .map(|(at, hold)| (*at, hold.covers.iter().map(|c| (c.campaign, c.entitlement)).collect()))
            .collect();
        assert_eq!(named, self.holds);
        assert_eq!(state.lineages, self.in_force);
        let versions =
            state.persons.iter().map(|(id, person)| (*id, person.version)).collect::<BTreeMap<_, _>>();
        assert_eq!(versions, self.persons);
        for (id, campaign) in &state.campaigns {
            assert_eq!(campaign.pause.is_some(), self.paused.contains(id));
            assert_eq!(campaign.may_plan(), !self.is_stopped(*id));
            for (entitlement, holds) in &campaign.held {
                let key = (*id, *entitlement);
                let over = self.holds.iter().filter(|(_, covers)| covers.contains(&key)).map(|(at, _)| *at);
                assert_eq!(holds, &over.collect(), "{entitlement:?}");
            }
        }
    }
}
