//! `apply`, the part of institutions: keys, mandates, rule sets, holds, persons, appeals, pauses, gates.

use alloy_primitives::B256;

use crate::command::{Action, Command, HoldTarget, Subject};
use crate::ids::{CampaignId, DemandId, EntitlementId, Millis, Seq};
use crate::limits::VOUCHED_MAX;
use crate::log::entry::{Commanded, Covered, Due, Evidence, GateSigned, HoldPlaced, Outcome, Used, WordMask};

use crate::refusal::Code;

use super::State;
use super::apply::Wrong;
use super::authority::{Delegation, Mandate, Spent};
use super::hold::{Appeal, Hold, Pause, Person};
use super::pages::{BitKind, PageId};
use super::rules::{Approved, Gate, RuleSet, RulesPhase};

impl State {
    pub(super) fn ordered(&mut self, ordered: &Commanded<Outcome>) -> Result<(), Wrong> {
        let command = &ordered.command;
        self.check_fresh(command).map_err(|(code, _)| code.sentence())?;
        self.check_order(command).map_err(Code::sentence)?;
        self.check_outcome(ordered)?;
        match (&command.action, &ordered.outcome) {
            (Action::Hold { target }, Outcome::Held(placed)) => self.hold_placed(command, target, placed),
            (Action::ConfirmHold { hold }, Outcome::HoldExtended { until }) => {
                let by = proposer(command);
                self.hold_extended(*hold, Some(by), *until)
            }
            (Action::RenewHold { hold }, Outcome::HoldExtended { until }) => {
                self.hold_extended(*hold, None, *until)
            }
            (Action::Release { hold }, Outcome::Done) => self.hold_ended(*hold),
            (Action::ActivateRules { rules, at }, Outcome::Scheduled) => self.rules_scheduled(*rules, *at),
            (Action::ActivateRules { rules, .. }, Outcome::Done) => self.rules_started(*rules),
            (Action::FileAppeal { about }, Outcome::Appealed(filed)) => {
                let appeal = Appeal {
                    about: *about,
                    against: filed.against,
                    filed: ordered.id,
                    answer_by: filed.answer_by,
                    version: self.seq,
                };
                self.schedule(filed.answer_by, Due::AppealLapses { appeal: self.seq });
                self.pages.touch(PageId::Appeal(self.seq));
                self.appealed.insert(*about, self.seq);
                self.appeals.insert(self.seq, appeal);
                Ok(())
            }
            (Action::AnswerAppeal { appeal, .. }, Outcome::Answered { released }) => {
                self.appeal_ended(*appeal)?;
                released.map_or(Ok(()), |hold| self.hold_ended(hold))
            }
            (action, Outcome::Done) => self.done(action, command, ordered.id),
            _ => Err("the command cannot have this outcome"),
        }
    }

    /// What was spent of the mandate and the delegation a command names.
    pub(super) fn spend(&mut self, evidence: &Evidence, used: Used) -> Result<(), Wrong> {
        if evidence.mandate != B256::ZERO {
            let mandate = self.mandates.get_mut(&evidence.mandate).filter(|m| !m.ended);
            let mandate = mandate.ok_or("there is no such mandate in force")?;
            // Its limits are in its policies, which only a verifier reads.
            mandate.spent = mandate.spent.plus(used, &Default::default()).ok_or("the sum overflows")?;
            self.pages.touch(PageId::Mandate(evidence.mandate));
        }
        if evidence.delegation != B256::ZERO {
            let delegation = self.delegations.get_mut(&evidence.delegation).filter(|d| !d.ended);
            let delegation = delegation.ok_or("there is no such delegation in force")?;
            let spent = delegation.spent.plus(used, &delegation.limits());
            delegation.spent = spent.ok_or("the delegation's limits are used up")?;
            self.pages.touch(PageId::Delegation(evidence.delegation));
        }
        Ok(())
    }

    /// Commands that do what they say.
    fn done(&mut self, action: &Action, command: &Command, id: DemandId) -> Result<(), Wrong> {
        let seq = self.seq;
        match action {
            Action::RegisterAuthority(terms) => {
                let authority = self.authority_mut(terms.authority);
                authority.name.clone_from(&terms.name);
                authority.keys.extend(terms.signers.iter().cloned());
            }
            Action::ChangeKeys { authority, add, revoke } => {
                let authority = self.authority_mut(*authority);
                authority.keys.extend(add.iter().cloned());
                for key in revoke {
                    authority.keys.remove(key);
                    authority.revoked.insert(key.clone(), seq);
                }
            }
            Action::GrantMandate(terms) => {
                let mandate =
                    Mandate { terms: terms.clone(), version: seq, ended: false, spent: Spent::default() };
                let name = terms.id(id);
                self.mandates.insert(name, mandate);
                self.pages.touch(PageId::Mandate(name));
            }
            Action::RevokeMandate { mandate } => {
                let found = self.mandates.get_mut(mandate).ok_or("there is no such mandate")?;
                (found.ended, found.version) = (true, seq);
                self.pages.touch(PageId::Mandate(*mandate));
            }
            Action::Delegate(terms) => {
                let delegation =
                    Delegation { terms: terms.clone(), version: seq, ended: false, spent: Spent::default() };
                let name = terms.id(id);
                self.delegations.insert(name, delegation);
                self.pages.touch(PageId::Delegation(name));
            }
            Action::RevokeDelegation { delegation } => {
                let found = self.delegations.get_mut(delegation).ok_or("there is no such delegation")?;
                (found.ended, found.version) = (true, seq);
                self.pages.touch(PageId::Delegation(*delegation));
            }
            Action::BindPerson { person, payee, jurisdiction } => {
                self.bind(*person, *payee, Some((proposer(command), jurisdiction)));
            }
            Action::ChangePayee { person, payee } => self.bind(*person, *payee, None),
            Action::RevokeAttestation { uid } => {
                self.revoked.insert(*uid, seq);
                self.pages.touch(PageId::Revoked(*uid));
            }
            Action::ProposeRules(_) | Action::ApproveRules { .. } | Action::RetireRules { .. } => {
                return self.rules_done(action, command);
            }
            Action::DefineGate(_)
            | Action::Pause { .. }
            | Action::Resume { .. }
            | Action::SetLimit { .. } => {
                return self.campaign_done(action, command);
            }
            _ => return Err("the command cannot have this outcome"),
        }
        Ok(())
    }

    fn authority_mut(&mut self, id: B256) -> &mut super::authority::Authority {
        self.pages.touch(PageId::Authority(id));
        let authority = self.authorities.entry(id).or_default();
        authority.version = self.seq;
        authority
    }

    /// `registered` is who registers and in which jurisdiction; `None` where the person alone moves.
    fn bind(&mut self, person: B256, payee: alloy_primitives::Address, registered: Option<(B256, &String)>) {
        let seq = self.seq;
        self.pages.touch(PageId::Person(person));
        let bound = self.persons.entry(person).or_insert_with(|| Person {
            payee,
            vouched: Default::default(),
            registrar: B256::ZERO,
            jurisdiction: String::new(),
            belongs_since: seq,
            version: seq,
        });
        if let Some((registrar, jurisdiction)) = registered {
            bound.registrar = registrar;
            if bound.jurisdiction != *jurisdiction {
                bound.jurisdiction.clone_from(jurisdiction);
                bound.belongs_since = seq;
            }
            bound.vouched.insert(payee);
            if bound.vouched.len() > VOUCHED_MAX {
                let lowest = bound.vouched.iter().find(|address| **address != payee).copied();
                lowest.map(|address| bound.vouched.remove(&address));
            }
        }
        (bound.payee, bound.version) = (payee, seq);
    }

    fn rules_done(&mut self, action: &Action, command: &Command) -> Result<(), Wrong> {
        let (seq, by) = (self.seq, proposer(command));
        let (set_version, approvers) = (self.set_version(), self.chartered(command));
        let Subject::Rules(name) = (match action {
            Action::ProposeRules(terms) => Subject::Rules(terms.hash()),
            other => other.subject(),
        }) else {
            return Err("the command is not about a rule set");
        };
        self.pages.touch(PageId::Rules(name));
        match action {
            Action::ProposeRules(terms) => {
                let phase = RulesPhase::Proposed { approvals: Default::default(), set_version };
                let set = RuleSet { terms: terms.clone(), proposer: by, version: seq, phase };
                if let Some(oldest) = self.forgotten_for(name) {
                    self.rule_sets.remove(&oldest);
                    self.pages.touch(PageId::Rules(oldest));
                }
                self.rule_sets.insert(name, set);
            }
            Action::ApproveRules { .. } => {
                let set = self.rule_sets.get_mut(&name).ok_or("there is no such rule set")?;
                let RulesPhase::Proposed { approvals, set_version: counted } = &mut set.phase else {
                    return Err("the rule set is not waiting for approvals");
                };
                if *counted != set_version {
                    // The institutions changed: what was approved before lapses.
                    approvals.clear();
                    *counted = set_version;
                }
                approvals.extend(approvers);
                set.version = seq;
            }
            _ => {
                let set = self.rule_sets.get_mut(&name).ok_or("there is no such rule set")?;
                (set.phase, set.version) = (RulesPhase::Retired, seq);
                let lineage = set.terms.lineage_id();
                if self.lineages.get(&lineage) == Some(&name) {
                    self.lineages.remove(&lineage);
                    self.pages.touch(PageId::Lineage(lineage));
                }
                self.unschedule(&Due::RulesStart { rules: name });
            }
        }
        Ok(())
    }

    fn rules_scheduled(&mut self, rules: B256, at: Millis) -> Result<(), Wrong> {
        let seq = self.seq;
        let set = self.rule_sets.get_mut(&rules).ok_or("there is no such rule set")?;
        (set.phase, set.version) = (RulesPhase::Scheduled { at }, seq);
        self.pages.touch(PageId::Rules(rules));
        self.schedule(at, Due::RulesStart { rules });
        Ok(())
    }

    /// A rule set comes into force in place of its lineage's last.
    pub(super) fn rules_started(&mut self, rules: B256) -> Result<(), Wrong> {
        let seq = self.seq;
        let set = self.rule_sets.get_mut(&rules).ok_or("there is no such rule set")?;
        (set.phase, set.version) = (RulesPhase::InForce, seq);
        let lineage = set.terms.lineage_id();
        self.pages.touch(PageId::Rules(rules));
        self.pages.touch(PageId::Lineage(lineage));
        if let Some(last) = self.lineages.insert(lineage, rules).filter(|last| *last != rules) {
            let last_set = self.rule_sets.get_mut(&last).ok_or("the rule set in force is unknown")?;
            (last_set.phase, last_set.version) = (RulesPhase::Retired, seq);
            self.pages.touch(PageId::Rules(last));
        }
        Ok(())
    }

    fn campaign_done(&mut self, action: &Action, command: &Command) -> Result<(), Wrong> {
        let (seq, by, now, alone) = (self.seq, proposer(command), self.recorded_at, self.is_alone(command));
        let id = action.queue();
        self.pages.touch(PageId::Campaign(id));
        self.pages.touch(PageId::Offices(id));
        let campaign = self.campaign_mut(id)?;
        campaign.version = seq;
        match action {
            Action::DefineGate(terms) => {
                campaign.gates.insert(terms.version, Gate { terms: terms.clone(), version: seq });
            }
            Action::Pause { until, .. } => {
                campaign.pause_ended_early(now);
                if alone {
                    let used = campaign.paused_alone.entry(by).or_default();
                    *used = used.saturating_add(until.saturating_sub(now));
                }
                campaign.pause = Some(Pause { by, alone, until: *until });
                self.schedule(*until, Due::PauseEnds { campaign: id });
            }
            Action::Resume { .. } => {
                campaign.pause_ended_early(now);
                self.unschedule(&Due::PauseEnds { campaign: id });
            }
            Action::SetLimit { limit, .. } => campaign.decided.limit = *limit,
            _ => return Err("the command is not about a campaign"),
        }
        Ok(())
    }

    pub(super) fn pause_ended(&mut self, campaign: CampaignId) -> Result<(), Wrong> {
        let seq = self.seq;
        self.pages.touch(PageId::Campaign(campaign));
        self.pages.touch(PageId::Offices(campaign));
        let campaign = self.campaign_mut(campaign)?;
        (campaign.pause, campaign.version) = (None, seq);
        Ok(())
    }

    fn hold_placed(
        &mut self,
        command: &Command,
        target: &HoldTarget,
        placed: &HoldPlaced,
    ) -> Result<(), Wrong> {
        let (seq, by) = (self.seq, proposer(command));
        let confirmed_by = confirmer(self, command);
        if let HoldTarget::Campaign { campaign } = target {
            self.campaign_mut(*campaign)?.campaign_holds.insert(seq);
            self.pages.touch(PageId::Offices(*campaign));
        }
        if let HoldTarget::Person { .. } = target {
            self.persons_held_at = seq;
        }
        let alone = self.is_alone(command);
        for covered in &placed.covers {
            self.cover(seq, covered)?;
            if alone {
                let (id, entitlement) = (covered.campaign, covered.entitlement);
                self.campaign_mut(id)?.held_alone.insert((by, entitlement));
                self.pages.touch(PageId::HeldAlone(id, by, entitlement));
            }
        }
        self.hold_use.insert(by, placed.alone);
        self.pages.touch(PageId::HoldUse(by));
        self.pages.touch(PageId::Hold(seq));
        self.schedule(placed.until, Due::HoldEnds { hold: seq });
        let hold = Hold {
            target: target.clone(),
            placed_by: by,
            confirmed_by,
            until: placed.until,
            version: seq,
            covers: placed.covers.clone(),
        };
        self.holds.insert(seq, hold);
        Ok(())
    }

    /// Brings an entitlement under a hold.
    fn cover(&mut self, hold: Seq, covered: &Covered) -> Result<(), Wrong> {
        let (campaign, id) = (covered.campaign, covered.entitlement);
        let (shard, at) = self.round_mut(campaign, id)?.shard_mut(id.index);
        shard.held.set(at);
        self.pages.touch_bit(campaign, id, BitKind::Held);
        self.pages.touch(PageId::Held(campaign, id));
        self.campaign_mut(campaign)?.held.entry(id).or_default().insert(hold);
        Ok(())
    }

    /// Brings entitlements of a round just announced under the holds on their persons.
    pub(super) fn cover_announced(
        &mut self,
        campaign: CampaignId,
        round: u64,
        held: &[(Seq, u64, crate::amount::Amount)],
    ) -> Result<(), Wrong> {
        for (hold, index, amount) in held {
            let entitlement = EntitlementId { round, index: *index };
            let covered = Covered { campaign, entitlement, amount: *amount };
            self.holds.get_mut(hold).ok_or("there is no such hold")?.covers.push(covered);
            self.pages.touch(PageId::Hold(*hold));
            self.cover(*hold, &covered)?;
        }
        Ok(())
    }

    fn hold_extended(&mut self, at: Seq, confirmed_by: Option<B256>, until: Millis) -> Result<(), Wrong> {
        let seq = self.seq;
        let hold = self.holds.get_mut(&at).ok_or("there is no such hold")?;
        hold.confirmed_by = confirmed_by.or(hold.confirmed_by);
        (hold.until, hold.version) = (until, seq);
        self.pages.touch(PageId::Hold(at));
        self.schedule(until, Due::HoldEnds { hold: at });
        Ok(())
    }

    /// A hold ends: by release, by its time, or with an appeal.
    pub(super) fn hold_ended(&mut self, at: Seq) -> Result<(), Wrong> {
        let hold = self.holds.remove(&at).ok_or("there is no such hold")?;
        self.pages.touch(PageId::Hold(at));
        self.unschedule(&Due::HoldEnds { hold: at });
        match hold.target {
            HoldTarget::Campaign { campaign } => {
                self.campaign_mut(campaign)?.campaign_holds.remove(&at);
                self.pages.touch(PageId::Offices(campaign));
            }
            HoldTarget::Person { .. } => self.persons_held_at = self.seq,
            HoldTarget::Entitlements { .. } => {}
        }
        for covered in hold.covers {
            self.uncover(at, &covered)?;
        }
        Ok(())
    }

    fn uncover(&mut self, hold: Seq, covered: &Covered) -> Result<(), Wrong> {
        let (id, entitlement) = (covered.campaign, covered.entitlement);
        self.pages.touch(PageId::Held(id, entitlement));
        let campaign = self.campaign_mut(id)?;
        let holds = campaign.held.get_mut(&entitlement).ok_or("the entitlement is not held")?;
        holds.remove(&hold);
        if !holds.is_empty() {
            return Ok(());
        }
        campaign.held.remove(&entitlement);
        let (shard, at) = self.round_mut(id, entitlement)?.shard_mut(entitlement.index);
        shard.held.clear(at);
        self.pages.touch_bit(id, entitlement, BitKind::Held);
        Ok(())
    }

    pub(super) fn appeal_ended(&mut self, at: Seq) -> Result<(), Wrong> {
        let ended = self.appeals.remove(&at).ok_or("there is no such appeal")?;
        self.appealed.remove(&ended.about);
        self.pages.touch(PageId::Appeal(at));
        self.unschedule(&Due::AppealLapses { appeal: at });
        Ok(())
    }

    pub(super) fn gate_signed(&mut self, signed: &GateSigned) -> Result<(), Wrong> {
        self.check_gate_signed(signed)?;
        for word in &signed.words {
            self.pages.touch(PageId::Approved(signed.campaign, word.round, word.word));
            let approved = Approved {
                gate: signed.version,
                mask: word.mask,
                as_of: word.as_of,
                expiry: word.expiry,
                signature: word.signature.clone(),
            };
            self.campaign_mut(signed.campaign)?.approved.insert((word.round, word.word), approved);
        }
        Ok(())
    }

    /// Everything in a campaign is held on chain, until a `Due` entry says that this is over: that comes at once for a
    /// time that has passed.
    pub(super) fn campaign_held_on_chain(&mut self, id: CampaignId, until: u64) -> Result<(), Wrong> {
        self.pages.touch(PageId::Offices(id));
        self.campaign_mut(id)?.held_until_on_chain = until;
        self.schedule(until.saturating_mul(1_000), Due::ChainHoldEnds { campaign: id });
        Ok(())
    }

    pub(super) fn chain_hold_ended(&mut self, id: CampaignId) -> Result<(), Wrong> {
        self.pages.touch(PageId::Offices(id));
        self.campaign_mut(id)?.held_until_on_chain = 0;
        Ok(())
    }

    /// Holds, pauses and gates as the Distributor finally knows them.
    pub(super) fn held_on_chain(&mut self, id: CampaignId, mask: &WordMask, held: bool) -> Result<(), Wrong> {
        let key = (mask.round, mask.word);
        self.pages.touch(PageId::HeldOnChain(id, mask.round, mask.word));
        let words = &mut self.campaign_mut(id)?.held_on_chain;
        let now = words.entry(key).or_default();
        for (now, change) in now.iter_mut().zip(mask.mask) {
            *now = if held { *now | change } else { *now & !change };
        }
        if *now == [0; 4] {
            words.remove(&key);
        }
        Ok(())
    }
}

/// Whose command it is: the first signer's institution, or, for a person's own command, nobody's.
pub(crate) fn proposer(command: &Command) -> B256 {
    command.approvals.first().map_or(B256::ZERO, |a| a.authority)
}

/// The institution that confirms a hold by signing it beside its placer.
pub(crate) fn confirmer(state: &State, command: &Command) -> Option<B256> {
    let by = proposer(command);
    state.chartered(command).into_iter().find(|id| *id != by)
}

pub(crate) fn millis(duration: std::time::Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
