//! The institutions' part of a random life: holds, pauses, limits, rules, gates, persons, keys, mandates, appeals. Some of
//! what they order is refused, or has to be verified again: every group mixes what was signed at different positions.

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::amount::Total;
use sluice_core::command::{
    Action, AppealAbout, GateTerms, HoldTarget, MandateTerms, RoundMode, RulesTerms, lineage_id,
};
use sluice_core::decide::{GateVerdict, Input, PersonSeen, VerifiedClaim};
use sluice_core::ids::{CampaignId, Seq};
use sluice_core::log::entry::{GateMask, GateSigned};
use sluice_core::state::authority::Limits;
use sluice_core::state::rules::RulesPhase;

use super::{Draw, Simulation};
use crate::institutions::{delegation, institution, person, person_of, signer};
use crate::world::{CLOSES, campaign, recipient};

/// What the office may hold and annul under one mandate.
pub(crate) const MANDATE_MAX: u128 = 20_000;
/// Commands that a vendor may give under one delegation.
pub(crate) const DELEGATION_MAX: u64 = 2;
/// The office outside the Charter.
const OFFICE: u8 = 8;

pub(super) fn lineage() -> B256 {
    lineage_id(institution(1), "adults")
}

fn rule_set(n: u64) -> RulesTerms {
    let text = Bytes::from(format!("version {n}").into_bytes());
    RulesTerms { owner: institution(1), lineage: "adults".into(), text }
}

fn uid(n: u64) -> B256 {
    person(1_000 + n)
}

impl Simulation {
    /// An office with a mandate, a rule set in force, and campaign 3 with its gate.
    pub(super) fn found_offices(&mut self) {
        self.world.register(OFFICE);
        self.world.mandate(OFFICE);
        self.world.in_force("version 0");
        self.world.create(campaign(3));
        let terms = GateTerms {
            campaign: campaign(3),
            version: 1,
            rule_sets: vec![lineage()],
            attestations: Vec::new(),
            signer: signer(0x6a),
        };
        self.world.order(&[1, 2], Action::DefineGate(terms));
    }

    pub(super) fn order_some(&mut self, operation: u8, id: CampaignId, draw: &mut Draw) {
        match operation {
            26 | 27 => self.hold(id, draw),
            28 => self.change_hold(draw),
            29 => self.pause(id, draw),
            30 => {
                let limit = [None, Some(Total(5_000_000)), Some(Total(60_000))][draw.below(3) as usize];
                self.order(Action::SetLimit { campaign: id, limit }, draw);
            }
            31 => self.rules(draw),
            32 => self.gate_signs(draw),
            33 => self.persons(draw),
            34 => self.order(Action::RevokeAttestation { uid: uid(draw.below(4)) }, draw),
            35 => self.appeal(id, draw),
            36 => self.keys(draw),
            _ => self.mandates(draw),
        }
    }

    fn institutions(draw: &mut Draw) -> Vec<u8> {
        let mut by: Vec<u8> = (1..=3).filter(|_| draw.once_in(2)).collect();
        if by.is_empty() {
            by.push(1 + draw.below(3) as u8);
        }
        if draw.once_in(2) {
            by.reverse();
        }
        by
    }

    /// By whoever comes: one, two or three institutions.
    fn order_by_some(&mut self, action: Action, draw: &mut Draw) {
        let by = Self::institutions(draw);
        let command = self.world.by(&by, action);
        self.waiting.push(Input::Command(command));
    }

    /// By the office, under its last mandate and within its limit.
    fn order_by_office(&mut self, action: Action) {
        let of = |m: &sluice_core::state::authority::Mandate| m.terms.holder == institution(OFFICE);
        let mandates = &self.world.state().mandates;
        let Some(mandate) = mandates.iter().filter(|(_, m)| of(m)).max_by_key(|(_, m)| m.version) else {
            return;
        };
        let mut command = self.world.under(*mandate.0, OFFICE, action);
        let seen = command.verdict.as_mut().unwrap().mandate.as_mut().unwrap();
        seen.limits = Limits { amount: Some(Total(MANDATE_MAX)), ..Limits::default() };
        let delegations = &self.world.state().delegations;
        let vendor = delegations.iter().rfind(|(_, d)| d.terms.mandate == command.command.mandate);
        if let Some((id, _)) = vendor {
            command.command.delegation = *id;
            command.command.approvals[0].signer = signer(0x7e);
        }
        self.waiting.push(Input::Command(command));
    }

    fn hold(&mut self, id: CampaignId, draw: &mut Draw) {
        let target = match draw.below(8) {
            0 => HoldTarget::Campaign { campaign: id },
            1..=3 => HoldTarget::Person { person: person(draw.below(6)) },
            _ => {
                let (entitlement, count) = self.entitlement(id, draw);
                let mut indexes: Vec<u64> = (0..=draw.below(3)).map(|_| draw.below(count.min(20))).collect();
                indexes.sort_unstable();
                indexes.dedup();
                HoldTarget::Entitlements { campaign: id, round: entitlement.round, indexes }
            }
        };
        match draw.once_in(3) {
            true => self.order_by_office(Action::Hold { target }),
            false => self.order_by_some(Action::Hold { target }, draw),
        }
    }

    fn some_hold(&self, draw: &mut Draw) -> Option<Seq> {
        let holds = &self.world.state().holds;
        holds.keys().nth(draw.below(holds.len() as u64) as usize).copied()
    }

    fn change_hold(&mut self, draw: &mut Draw) {
        let Some(hold) = self.some_hold(draw) else { return };
        let action = match draw.below(5) {
            0 => Action::ConfirmHold { hold },
            1 => Action::RenewHold { hold },
            _ => Action::Release { hold },
        };
        self.order_by_some(action, draw);
    }

    fn pause(&mut self, id: CampaignId, draw: &mut Draw) {
        let until = self.world.now + draw.below(30_000_000);
        let action = match draw.once_in(2) {
            true => Action::Pause { campaign: id, until },
            false => Action::Resume { campaign: id },
        };
        self.order_by_some(action, draw);
    }

    /// Proposes, approves, activates and retires versions of one lineage.
    fn rules(&mut self, draw: &mut Draw) {
        let count = self.world.state().rule_sets.len() as u64;
        let last = rule_set(count - 1).hash();
        let waits = matches!(self.world.state().rule_sets[&last].phase, RulesPhase::Proposed { .. });
        let at = if draw.once_in(3) { self.world.now + draw.below(100_000) } else { 0 };
        let action = match draw.below(8) {
            0 => Action::RetireRules { rules: last },
            1..=3 if waits => Action::ApproveRules { rules: last },
            _ if waits => Action::ActivateRules { rules: last, at },
            _ => Action::ProposeRules(rule_set(count)),
        };
        let command = match &action {
            Action::ApproveRules { .. } => self.world.by(&[2 + draw.below(2) as u8], action),
            _ => self.world.by(&[1], action),
        };
        self.waiting.push(Input::Command(command));
    }

    /// The gate signs what is decided of campaign 3, as it reads it now.
    pub(super) fn gate_signs(&mut self, draw: &mut Draw) {
        self.flush();
        let known = self.world.state().campaign(campaign(3)).unwrap();
        let mut words = Vec::new();
        for round in known.rounds.values() {
            for word in 0..round.terms.count.div_ceil(256) {
                let (shard, place) = round.shard(word * 256);
                let (decided, void) = (shard.decided.word256(place / 256), shard.void.word256(place / 256));
                let before = known.approved.get(&(round.terms.round, word)).map_or([0; 4], |a| a.mask);
                let mask = std::array::from_fn(|i| before[i] | (decided[i] & !void[i]));
                if mask != before {
                    let (round, as_of) = (round.terms.round, self.world.state().seq);
                    let signature = Bytes::from(vec![3; 65]);
                    words.push(GateMask { round, word, mask, as_of, expiry: CLOSES * 10, signature });
                }
            }
        }
        if words.is_empty() {
            return;
        }
        if draw.once_in(10) {
            // A gate that approves what nobody decided is not believed.
            let mut wrong = words.clone();
            wrong[0].mask[3] |= 1 << 63;
            let signed = GateSigned { campaign: campaign(3), version: 1, words: wrong };
            let last = self.world.state().campaign(campaign(3)).unwrap().rounds[&words[0].round]
                .shard(255)
                .0
                .decided
                .get(255);
            assert!(self.signs(signed) == last);
            return;
        }
        assert!(self.signs(GateSigned { campaign: campaign(3), version: 1, words }));
    }

    fn persons(&mut self, draw: &mut Draw) {
        let (id, payee) = (person(draw.below(6)), recipient(draw.below(3)));
        match (self.world.state().persons.get(&id).map(|p| p.payee), draw.once_in(2)) {
            (Some(now), true) => {
                let command = self.world.by_person(now, Action::ChangePayee { person: id, payee });
                self.waiting.push(Input::Command(command));
            }
            _ => self.order(Action::BindPerson { person: id, payee, jurisdiction: String::new() }, draw),
        }
    }

    fn appeal(&mut self, id: CampaignId, draw: &mut Draw) {
        let appeals = &self.world.state().appeals;
        if let Some(appeal) = appeals.keys().nth(draw.below(appeals.len() as u64) as usize).copied()
            && draw.once_in(2)
        {
            self.order_by_some(Action::AnswerAppeal { appeal, upheld: draw.once_in(2) }, draw);
            return;
        }
        let (entitlement, _) = self.entitlement(id, draw);
        let about = match (draw.below(3), self.some_hold(draw)) {
            (0, Some(hold)) => AppealAbout::Hold { hold },
            (1, _) => AppealAbout::Void { campaign: id, entitlement },
            _ => AppealAbout::Refusal { campaign: id, entitlement },
        };
        let by: Address = recipient(entitlement.index);
        let command = self.world.by_person(by, Action::FileAppeal { about });
        self.waiting.push(Input::Command(command));
    }

    /// An institution takes a new key and gives up an older one: whatever it signed before is looked at again.
    fn keys(&mut self, draw: &mut Draw) {
        let n = 1 + draw.below(3) as u8;
        let known = self.world.state().authorities.get(&institution(n));
        let (held, used) = known.map_or((Vec::new(), 0), |a| {
            (a.keys.iter().cloned().collect::<Vec<_>>(), a.keys.len() + a.revoked.len())
        });
        let add = vec![signer(0x40 + n * 40 + (used as u8).min(39))];
        let revoke = held.into_iter().take(draw.below(2) as usize).collect();
        let command = self.world.by(&[n], Action::ChangeKeys { authority: institution(n), add, revoke });
        self.waiting.push(Input::Command(command));
    }

    fn mandates(&mut self, draw: &mut Draw) {
        let state = self.world.state();
        let alive = state.mandates.iter().find(|(_, m)| !m.ended).map(|(id, _)| *id);
        let vendor = state.delegations.iter().find(|(_, d)| !d.ended).map(|(id, _)| *id);
        let action = match (draw.below(4), alive, vendor) {
            (0, Some(mandate), _) => Action::RevokeMandate { mandate },
            (1, Some(mandate), _) => {
                let mut terms = delegation(OFFICE, mandate);
                terms.count_max = Some(DELEGATION_MAX);
                let command = self.world.by(&[OFFICE], Action::Delegate(terms));
                return self.waiting.push(Input::Command(command));
            }
            (2, _, Some(delegation)) => Action::RevokeDelegation { delegation },
            _ => {
                let terms = MandateTerms { holder: institution(OFFICE), text: Bytes::from_static(b"permit") };
                Action::GrantMandate(terms)
            }
        };
        self.order(action, draw);
    }

    /// What a claim's verification would have found of its person and its gate.
    pub(super) fn looked_up(&mut self, claim: &mut VerifiedClaim, draw: &mut Draw) {
        let Ok(verdict) = &mut claim.verdict else { return };
        if draw.once_in(2) {
            let id = person_of(claim.claim.index);
            let version = self.world.state().persons.get(&id).map_or(0, |p| p.version);
            verdict.person = Some(PersonSeen { person: id, version });
        }
        let gated = self.world.state().campaign(claim.key.campaign).and_then(|c| c.round(claim.claim.round));
        if gated.is_some_and(|round| round.terms.mode == RoundMode::Gated) {
            verdict.gate = Some(GateVerdict {
                gate: 1,
                rule_sets: vec![self.world.state().rules_in_force(lineage()).unwrap_or_default()],
                policies: vec!["adults".into()],
                attestations: vec![uid(draw.below(40))],
                as_of: self.world.state().seq,
                facts: Bytes::from_static(b"facts"),
            });
        }
    }

    /// Nothing is held or paused any more, and the gate has signed.
    pub(super) fn release_all(&mut self) {
        self.flush();
        for hold in self.world.state().holds.keys().copied().collect::<Vec<_>>() {
            self.world.order(&[1, 2, 3], Action::Release { hold });
        }
        for n in 1..=3 {
            if self.world.state().campaign(campaign(n)).unwrap().pause.is_some() {
                self.world.order(&[1, 2], Action::Resume { campaign: campaign(n) });
            }
        }
        self.gate_signs(&mut Draw(1));
    }

    /// Orders whatever the draws may have left out, so that a recorded life holds one of each.
    pub(crate) fn order_everything(&mut self) {
        self.release_all();
        // Whatever one institution held alone lies in an earlier window.
        self.world.now += 300_000_000;
        self.flush();
        let name = self.world.in_force("last");
        self.world.order(&[1], Action::RetireRules { rules: name });
        let mandate = self.world.mandate(OFFICE);
        for upheld in [true, false] {
            let hold = Action::Hold { target: HoldTarget::Person { person: person(40) } };
            let (hold, _) = self.world.order(&[1], hold);
            self.world.order(&[2], Action::ConfirmHold { hold });
            self.world.order(&[1, 2, 3], Action::RenewHold { hold });
            let about = AppealAbout::Hold { hold };
            let file = self.world.under(mandate, OFFICE, Action::FileAppeal { about });
            let (appeal, _) = self.world.done(file);
            self.world.order(&[2, 3], Action::AnswerAppeal { appeal, upheld });
            if !upheld {
                self.world.order(&[1, 2, 3], Action::Release { hold });
            }
        }
        self.world.order(
            &[1, 2],
            Action::BindPerson { person: person(40), payee: recipient(1), jurisdiction: String::new() },
        );
        let change = Action::ChangePayee { person: person(40), payee: recipient(2) };
        let change = self.world.by_person(recipient(1), change);
        self.world.done(change);
        let until = self.world.now + 1_000;
        self.world.order(&[1, 2], Action::Pause { campaign: campaign(1), until });
        self.world.order(&[1, 2], Action::Resume { campaign: campaign(1) });
        self.world.order(&[1, 2], Action::SetLimit { campaign: campaign(1), limit: None });
        self.world.order(&[1, 2], Action::RevokeAttestation { uid: uid(1_000) });
        let (authority, add) = (institution(1), vec![signer(0xee)]);
        self.world.order(&[1], Action::ChangeKeys { authority, add, revoke: Vec::new() });
        let terms = delegation(OFFICE, mandate);
        let delegate = self.world.by(&[OFFICE], Action::Delegate(terms.clone()));
        let id = terms.id(delegate.id);
        self.world.done(delegate);
        self.world.order(&[OFFICE], Action::RevokeDelegation { delegation: id });
        self.world.order(&[OFFICE], Action::RevokeMandate { mandate });
        self.flush();
    }
}
