//! What an institution's or a person's command must satisfy to follow from the state, apart from who may give it and from
//! times. `decide` refuses with these codes; `apply` refuses an entry with the same: neither can be laxer.

use std::collections::BTreeSet;

use alloy_primitives::B256;

use super::State;
use super::apply::Wrong;
use super::apply_offices::proposer;
use super::batch::Batch;
use super::hold::HoldUse;
use super::round::{Round, RoundPhase};
use super::rules::{RuleSet, RulesPhase};
use crate::command::{
    Action, ActionKind, AppealAbout, AuthorityTerms, Command, DelegationTerms, GateTerms, HoldTarget,
    RoundMode, RoundTerms, RulesTerms, Subject, is_jurisdiction,
};
use crate::ids::{BatchNo, CampaignId, EntitlementId, Seq};
use crate::limits::{
    CORRECTS_MAX, GATE_ACCEPT_BYTES_MAX, GATE_ACCEPTS_MAX, GATE_RULE_SETS_MAX, HOLD_ITEMS_MAX, KEYS_MAX,
    NAME_BYTES_MAX, RULE_SETS_MAX, RULES_BYTES_MAX, RULES_PROPOSED_MAX,
};
use crate::log::entry::{ClaimDecided, Commanded, Covered, HoldPlaced, Outcome, RoundPublished};
use crate::refusal::Code;

impl State {
    /// Whether a command's authors saw the subject as it is. A version that the log has not reached cannot have been seen:
    /// it would be a signature for whatever comes.
    ///
    /// # Errors
    /// With the position at which the subject changed.
    pub(crate) fn check_fresh(&self, command: &Command) -> Result<(), (Code, Option<Seq>)> {
        let subject = command.action.subject();
        let unknown = match &subject {
            Subject::Round(campaign, _) if self.campaign(*campaign).is_none() => Code::UnknownCampaign,
            other => other.unknown(),
        };
        let changed_at = self.version_of(&subject).ok_or((unknown, None))?;
        if changed_at <= command.subject_version && command.subject_version <= self.seq {
            return Ok(());
        }
        Err((Code::Stale, Some(changed_at)))
    }

    /// Whether the command can be done now.
    pub(crate) fn check_order(&self, command: &Command) -> Result<(), Code> {
        let by = proposer(command);
        match &command.action {
            Action::CreateCampaign(terms) => {
                given(is_jurisdiction(&terms.jurisdiction), Code::BadJurisdiction)
            }
            Action::Publish(_) | Action::Push { .. } | Action::Void { .. } => Ok(()),
            Action::RegisterAuthority(terms) => self.check_registration(terms),
            Action::ChangeKeys { authority, add, revoke } => self.check_keys(*authority, add, revoke),
            Action::GrantMandate(terms) => {
                let known = self.authorities.contains_key(&terms.holder) || self.is_chartered(terms.holder);
                let fits = terms.text.len() <= RULES_BYTES_MAX;
                given(known, Code::UnknownAuthority)?;
                given(fits, Code::BadRules)
            }
            Action::RevokeMandate { mandate } => {
                given(self.mandates.get(mandate).is_some_and(|m| !m.ended), Code::AlreadyRevoked)
            }
            Action::Delegate(terms) => self.check_delegation(terms),
            Action::RevokeDelegation { delegation } => {
                given(self.delegations.get(delegation).is_some_and(|d| !d.ended), Code::AlreadyRevoked)
            }
            Action::ProposeRules(_)
            | Action::ApproveRules { .. }
            | Action::ActivateRules { .. }
            | Action::RetireRules { .. } => self.check_rules(command),
            Action::DefineGate(terms) => self.check_gate(terms),
            Action::Pause { .. } | Action::Resume { .. } | Action::SetLimit { .. } => {
                self.check_campaign(command)
            }
            Action::Hold { target } => self.check_target(target),
            Action::ConfirmHold { hold } => {
                let hold = self.holds.get(hold).ok_or(Code::UnknownHold)?;
                given(hold.placed_by != by && hold.confirmed_by.is_none(), Code::SameAuthority)
            }
            Action::RenewHold { hold } | Action::Release { hold } => {
                given(self.holds.contains_key(hold), Code::UnknownHold)
            }
            Action::BindPerson { person, payee, jurisdiction } => {
                given(is_jurisdiction(jurisdiction), Code::BadJurisdiction)?;
                given(!person.is_zero() && !payee.is_zero(), Code::UnknownPerson)
            }
            Action::ChangePayee { person, payee } => {
                given(self.persons.contains_key(person) && !payee.is_zero(), Code::UnknownPerson)
            }
            Action::RevokeAttestation { uid } => given(!self.revoked.contains_key(uid), Code::AlreadyRevoked),
            Action::FileAppeal { about } => self.appeal_against(about).map(|_| ()),
            Action::AnswerAppeal { appeal, .. } => {
                let appeal = self.appeals.get(appeal).ok_or(Code::UnknownAppeal)?;
                let itself = command.approvals.iter().any(|a| a.authority == appeal.against);
                given(!itself, Code::SameAuthority)
            }
        }
    }

    fn check_registration(&self, terms: &AuthorityTerms) -> Result<(), Code> {
        let known = self.authorities.contains_key(&terms.authority) || self.is_chartered(terms.authority);
        let used = terms.signers.iter().any(|key| self.is_used(key));
        given(!known && !terms.authority.is_zero() && !used, Code::AuthorityExists)?;
        let named = terms.name.len() <= NAME_BYTES_MAX;
        given(named && (1..=KEYS_MAX).contains(&terms.signers.len()), Code::TooMany)
    }

    fn check_keys(
        &self,
        authority: B256,
        add: &[alloy_primitives::Bytes],
        revoke: &[alloy_primitives::Bytes],
    ) -> Result<(), Code> {
        let known = self.authorities.get(&authority);
        given(known.is_some() || self.is_chartered(authority), Code::UnknownAuthority)?;
        // A key that was revoked never speaks again, for nobody.
        given(!add.iter().any(|key| self.is_used(key)), Code::AuthorityExists)?;
        let own = |key: &alloy_primitives::Bytes| self.authority_of(key) == Some(authority);
        given(revoke.iter().all(own), Code::AlreadyRevoked)?;
        given(known.map_or(0, |a| a.keys.len()) + add.len() <= KEYS_MAX, Code::TooMany)
    }

    /// Whether a key speaks, or ever spoke, for an institution: one key is one institution's.
    pub(crate) fn is_used(&self, key: &[u8]) -> bool {
        self.authority_of(key).is_some()
            || self.authorities.values().any(|a| a.keys.contains(key) || a.revoked.contains_key(key))
    }

    fn check_delegation(&self, terms: &DelegationTerms) -> Result<(), Code> {
        let holds_it = terms.mandate.is_zero()
            || self
                .mandates
                .get(&terms.mandate)
                .is_some_and(|m| !m.ended && m.terms.holder == terms.authority);
        given(holds_it, Code::MandateMissing)?;
        let lent = |kind: ActionKind| kind.is_command() && kind.is_delegable();
        let name = |name: &String| name.parse().is_ok_and(lent);
        let named =
            (1..=Action::NAMES.len()).contains(&terms.actions.len()) && terms.actions.iter().all(name);
        // In the signed struct the nil campaign stands for all of them, and the greatest numbers for no limit.
        let signable = terms.campaign != Some(CampaignId::default())
            && terms.amount_max.is_none_or(|most| most.get() != u128::MAX)
            && terms.count_max != Some(u64::MAX);
        given(!self.is_used(&terms.vendor) && named && signable, Code::DelegationDenies)
    }

    fn check_rules(&self, command: &Command) -> Result<(), Code> {
        let by = proposer(command);
        let known = |rules: &B256| self.rule_sets.get(rules).ok_or(Code::UnknownRules);
        match &command.action {
            Action::ProposeRules(terms) => {
                given(terms.owner == by, Code::NotAuthorized)?;
                let fits = (1..=RULES_BYTES_MAX).contains(&terms.text.len());
                given(fits && terms.lineage.len() <= NAME_BYTES_MAX, Code::BadRules)?;
                self.check_room(terms)
            }
            Action::ApproveRules { rules } => {
                let set = known(rules)?;
                let before = self.approved_by(set).ok_or(Code::RulesPhase)?;
                let approvers = self.chartered(command);
                let news = approvers.iter().any(|id| !before.contains(id));
                given(news && !approvers.contains(&set.proposer), Code::SelfApproval)
            }
            Action::ActivateRules { rules, .. } => {
                let set = known(rules)?;
                let approvals = self.approved_by(set).ok_or(Code::RulesPhase)?;
                // The proposer's own word counts once, if the Charter knows it: M of N means M institutions with it.
                let others = approvals.len();
                let count = others + usize::from(self.is_chartered(set.proposer));
                let enough = count >= usize::from(self.threshold()) && (others > 0 || self.threshold() == 1);
                given(enough, Code::QuorumMissing)
            }
            // One that waits is withdrawn.
            Action::RetireRules { rules } => {
                given(known(rules)?.phase != RulesPhase::Retired, Code::RulesPhase)
            }
            _ => Err(Code::NotAuthorized),
        }
    }

    /// Whether a rule set can be proposed: it does not stand already, and there is room. One that was retired comes back as
    /// if it were new: by as many approvals.
    fn check_room(&self, terms: &RulesTerms) -> Result<(), Code> {
        let stands = |set: &RuleSet| set.phase != RulesPhase::Retired;
        given(!self.rule_sets.get(&terms.hash()).is_some_and(stands), Code::RulesExist)?;
        let waits = |set: &&RuleSet| {
            set.terms.owner == terms.owner && matches!(set.phase, RulesPhase::Proposed { .. })
        };
        let waiting = self.rule_sets.values().filter(waits).count();
        let standing = self.rule_sets.values().filter(|set| stands(set)).count();
        given(waiting < RULES_PROPOSED_MAX && standing < RULE_SETS_MAX, Code::TooManyRules)
    }

    /// The retired rule set that makes room for another: the one retired longest ago, if State is full.
    pub(crate) fn forgotten_for(&self, rules: B256) -> Option<B256> {
        if self.rule_sets.len() < RULE_SETS_MAX || self.rule_sets.contains_key(&rules) {
            return None;
        }
        let retired = self.rule_sets.iter().filter(|(_, set)| set.phase == RulesPhase::Retired);
        retired.min_by_key(|(_, set)| set.version).map(|(name, _)| *name)
    }

    /// Who approved a proposed rule set, as far as the institutions are still those of then.
    pub(crate) fn approved_by(&self, set: &RuleSet) -> Option<BTreeSet<B256>> {
        let RulesPhase::Proposed { approvals, set_version } = &set.phase else { return None };
        Some(if *set_version == self.set_version() { approvals.clone() } else { BTreeSet::new() })
    }

    fn check_gate(&self, terms: &GateTerms) -> Result<(), Code> {
        let campaign = self.campaign(terms.campaign).ok_or(Code::UnknownCampaign)?;
        let defined = campaign.gates.contains_key(&terms.version) || terms.version == 0;
        // The key in the Distributor is the one that pays; a definition with another would approve nobody.
        let other_key = campaign.gate_keys.get(&terms.version).is_some_and(|key| *key != terms.signer);
        given(!defined && !other_key && !terms.signer.is_empty(), Code::GateMismatch)?;
        let long = terms.attestations.iter().any(|a| a.accepts.len() > GATE_ACCEPT_BYTES_MAX);
        let many = terms.rule_sets.len() > GATE_RULE_SETS_MAX || terms.attestations.len() > GATE_ACCEPTS_MAX;
        given(!long && !many, Code::TooMany)
    }

    fn check_campaign(&self, command: &Command) -> Result<(), Code> {
        let campaign = self.campaign(command.action.queue()).ok_or(Code::UnknownCampaign)?;
        match (&command.action, campaign.pause) {
            // What M institutions paused is not in the hands of one.
            (Action::Pause { .. }, Some(pause)) if self.is_alone(command) => given(pause.alone, Code::Paused),
            (Action::Resume { .. }, None) => Err(Code::Stale),
            _ => Ok(()),
        }
    }

    fn check_target(&self, target: &HoldTarget) -> Result<(), Code> {
        match target {
            HoldTarget::Entitlements { campaign, round, indexes } => {
                let campaign = self.campaign(*campaign).ok_or(Code::UnknownCampaign)?;
                let round = campaign.round(*round).ok_or(Code::UnknownRound)?;
                let inside = indexes.last().is_some_and(|last| *last < round.terms.count);
                given(indexes.len() <= HOLD_ITEMS_MAX, Code::TooMany)?;
                given(inside && indexes.windows(2).all(|w| w[0] < w[1]), Code::BadRange)
            }
            HoldTarget::Person { person } => given(!person.is_zero(), Code::UnknownPerson),
            HoldTarget::Campaign { campaign } => {
                given(self.campaign(*campaign).is_some(), Code::UnknownCampaign)
            }
        }
    }

    /// Whose decision an appeal is against; zero where it is not one institution's.
    pub(crate) fn appeal_against(&self, about: &AppealAbout) -> Result<B256, Code> {
        given(!self.appealed.contains_key(about), Code::NothingToAppeal)?;
        let round_of = |campaign: CampaignId, id: EntitlementId| {
            self.campaign(campaign).and_then(|c| c.round_of(id)).ok_or(Code::UnknownRound)
        };
        match about {
            AppealAbout::Hold { hold } => Ok(self.holds.get(hold).ok_or(Code::NothingToAppeal)?.placed_by),
            // A void takes M of N: whoever answers is named with them in the log.
            AppealAbout::Void { campaign, entitlement } => {
                let (shard, at) = round_of(*campaign, *entitlement)?.shard(entitlement.index);
                given(shard.void.get(at), Code::NothingToAppeal).map(|()| B256::ZERO)
            }
            AppealAbout::Refusal { campaign, entitlement } => {
                let (shard, at) = round_of(*campaign, *entitlement)?.shard(entitlement.index);
                let open = !shard.decided.get(at) && !shard.void.get(at);
                given(open, Code::NothingToAppeal).map(|()| B256::ZERO)
            }
        }
    }

    /// Whether an institution held this alone before: once per entitlement, or it would hold for ever what nobody
    /// else wants held (CONTRACTS.md: expires unless a second confirms).
    pub(crate) fn held_before(&self, by: B256, covered: &Covered) -> bool {
        let campaign = self.campaign(covered.campaign);
        campaign.is_some_and(|campaign| campaign.held_alone.contains(&(by, covered.entitlement)))
    }

    /// The hold that ends with an appeal's answer.
    pub(crate) fn released_by(&self, appeal: Seq, upheld: bool) -> Option<Seq> {
        match self.appeals.get(&appeal)?.about {
            AppealAbout::Hold { hold } if upheld && self.holds.contains_key(&hold) => Some(hold),
            _ => None,
        }
    }

    /// Whether there is still something to stop: neither paid nor annulled.
    pub(crate) fn is_owed(&self, covered: &Covered) -> bool {
        self.campaign(covered.campaign).and_then(|c| c.round_of(covered.entitlement)).is_some_and(|round| {
            let (shard, at) = round.shard(covered.entitlement.index);
            !shard.paid.get(at) && !shard.void.get(at)
        })
    }

    /// Of what a hold covers, what a batch already carries.
    pub(crate) fn in_flight_of(&self, covers: &[Covered]) -> Vec<(EntitlementId, CampaignId, BatchNo)> {
        let batch = |c: &Covered| {
            let batch = self.campaign(c.campaign)?.batch_of(c.entitlement)?;
            Some((c.entitlement, c.campaign, batch.plan.batch))
        };
        covers.iter().filter_map(batch).collect()
    }

    /// The batches of a campaign that is held as a whole; none for any other target.
    pub(crate) fn under_way_in(&self, target: &HoldTarget) -> Vec<(BatchNo, u64)> {
        let HoldTarget::Campaign { campaign } = target else { return Vec::new() };
        let batches = self.campaign(*campaign).map(|c| c.batches.values()).into_iter().flatten();
        let carries = |b: &Batch| b.plan.words.iter().map(|word| u64::from(word.count())).sum();
        batches.filter(|b| !b.given_up).map(|b| (b.plan.batch, carries(b))).collect()
    }

    /// Whether the outcome is what the command does here.
    pub(crate) fn check_outcome(&self, ordered: &Commanded<Outcome>) -> Result<(), Wrong> {
        let command = &ordered.command;
        match (&command.action, &ordered.outcome) {
            (Action::Hold { target }, Outcome::Held(placed)) => self.check_held(command, target, placed),
            (Action::FileAppeal { about }, Outcome::Appealed(filed)) => {
                let against = self.appeal_against(about).map_err(Code::sentence)?;
                given(filed.against == against, "the appeal is against another's decision")
            }
            (Action::AnswerAppeal { appeal, upheld }, Outcome::Answered { released }) => {
                let same = *released == self.released_by(*appeal, *upheld);
                given(same, "the answer releases another hold than the one appealed against")
            }
            (Action::ConfirmHold { .. } | Action::RenewHold { .. }, Outcome::HoldExtended { .. })
            | (Action::ActivateRules { .. }, Outcome::Scheduled | Outcome::Done) => Ok(()),
            (
                Action::Hold { .. }
                | Action::FileAppeal { .. }
                | Action::AnswerAppeal { .. }
                | Action::ConfirmHold { .. }
                | Action::RenewHold { .. },
                _,
            ) => Err("the command cannot have this outcome"),
            (_, Outcome::Done) => Ok(()),
            _ => Err("the command cannot have this outcome"),
        }
    }

    fn check_held(&self, command: &Command, target: &HoldTarget, placed: &HoldPlaced) -> Result<(), Wrong> {
        let ids: Vec<_> = placed.covers.iter().map(|c| (c.campaign, c.entitlement)).collect();
        let meant = match target {
            HoldTarget::Entitlements { campaign, round, indexes } => ids.iter().all(|(c, id)| {
                c == campaign && id.round == *round && indexes.binary_search(&id.index).is_ok()
            }),
            HoldTarget::Person { .. } => true,
            HoldTarget::Campaign { .. } => ids.is_empty(),
        };
        let ascending = ids.windows(2).all(|w| w[0] < w[1]);
        if !meant
            || !ascending
            || ids.len() > HOLD_ITEMS_MAX
            || !placed.covers.iter().all(|c| self.is_owed(c))
        {
            return Err("the hold covers what it does not name, or what is not owed");
        }
        let named = placed.in_flight == self.in_flight_of(&placed.covers)
            && placed.batches == self.under_way_in(target);
        given(named, "the hold names other batches")?;
        let before = self.hold_use.get(&proposer(command)).copied().unwrap_or_default();
        let counted = match self.is_alone(command) {
            true => {
                let again = placed.covers.iter().any(|c| self.held_before(proposer(command), c));
                given(!again, "its placer held it alone before")?;
                let at = self.recorded_at;
                [before, HoldUse::default()].into_iter().any(|b| placed.alone == b.plus(&placed.covers, at))
            }
            false => placed.alone == before,
        };
        given(counted, "the hold is not counted against its placer")
    }

    /// Whether a claim's decision follows from what its campaign allows and its gate asks.
    pub(crate) fn check_decided(&self, claim: &ClaimDecided) -> Result<(), Wrong> {
        let campaign = self.campaign(claim.intake.campaign).ok_or("there is no such campaign")?;
        given(campaign.stopped().is_none(), "the campaign is paused")?;
        let round = campaign.round(claim.entitlement.round).ok_or("there is no such round")?;
        if round.terms.mode != RoundMode::Gated {
            return Ok(());
        }
        let version = u16::try_from(round.terms.gate).map_err(|_| "there is no such gate")?;
        let gate = campaign.gates.get(&version).ok_or("there is no such gate")?;
        let in_force = gate.terms.rule_sets.iter().map(|id| self.rules_in_force(*id).unwrap_or_default());
        given(in_force.eq(claim.evidence.rule_sets.iter().copied()), "its rule sets are not those in force")?;
        self.gate_permits(round, &claim.evidence.rule_sets, &claim.evidence.attestations)
            .map_err(Code::sentence)
    }

    /// Whether rule sets and attestations can permit a payment of a gated round at all.
    pub(crate) fn gate_permits(
        &self,
        round: &Round,
        rules: &[B256],
        attestations: &[B256],
    ) -> Result<(), Code> {
        given(round.terms.mode == RoundMode::Gated, Code::WrongMode)?;
        given(!rules.contains(&B256::ZERO), Code::RulesNotInForce)?;
        given(attestations.iter().all(|uid| !self.revoked.contains_key(uid)), Code::AttestationRefused)
    }

    /// Whether a round may be announced with these terms and these facts of its list.
    pub(crate) fn check_published(&self, published: &RoundPublished) -> Result<(), Code> {
        let terms = &published.terms;
        self.check_mode(terms)?;
        self.check_corrects(terms, &published.corrects)?;
        given(published.held.len() <= HOLD_ITEMS_MAX, Code::TooMany)?;
        let person =
            |hold: &Seq| self.holds.get(hold).is_some_and(|h| matches!(h.target, HoldTarget::Person { .. }));
        let inside = published.held.iter().all(|(hold, index, _)| person(hold) && *index < terms.count);
        let ascending = published.held.windows(2).all(|w| (w[0].0, w[0].1) < (w[1].0, w[1].1));
        given(inside && ascending, Code::UnknownHold)
    }

    /// A gated round names a gate version that the log defined, and its hash; other rounds name none.
    fn check_mode(&self, terms: &RoundTerms) -> Result<(), Code> {
        let campaign = self.campaign(terms.campaign).ok_or(Code::UnknownCampaign)?;
        let version = u16::try_from(terms.gate).map_err(|_| Code::UnknownGate)?;
        match terms.mode {
            RoundMode::Gated => {
                let gate = campaign.gates.get(&version).ok_or(Code::UnknownGate)?;
                given(gate.terms.hash() == terms.rules_hash, Code::GateMismatch)
            }
            RoundMode::Push | RoundMode::Pull => given(version == 0, Code::GateMismatch),
        }
    }

    /// CONTRACTS.md, "Corrections": never both payable. What a correction repeats of the round before was finally annulled
    /// there, or can be paid there no more, and was not paid.
    fn check_corrects(&self, terms: &RoundTerms, corrects: &[EntitlementId]) -> Result<(), Code> {
        if terms.supersedes == 0 {
            return given(corrects.is_empty(), Code::BadRange);
        }
        let campaign = self.campaign(terms.campaign).ok_or(Code::UnknownCampaign)?;
        let old = campaign.round(terms.supersedes).filter(|old| old.terms.round < terms.round);
        let old = old.ok_or(Code::UnknownRound)?;
        given(corrects.len() <= CORRECTS_MAX, Code::TooMany)?;
        let ascending = corrects.windows(2).all(|w| w[0] < w[1]);
        let inside = corrects.iter().all(|id| id.round == terms.supersedes && id.index < old.terms.count);
        given(ascending && inside, Code::BadRange)?;
        let over = old.swept || old.phase == RoundPhase::Cancelled;
        let free = |id: &EntitlementId| {
            let (shard, at) = old.shard(id.index);
            !shard.paid.get(at) && (over || shard.annulled.get(at))
        };
        given(corrects.iter().all(free), Code::CorrectionEarly)
    }
}

fn given<E>(stands: bool, otherwise: E) -> Result<(), E> {
    if stands { Ok(()) } else { Err(otherwise) }
}
