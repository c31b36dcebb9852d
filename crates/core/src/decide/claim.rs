//! A claim at its position.

use super::{ClaimVerdict, Decision, GateVerdict, PersonSeen, VerifiedClaim};
use crate::command::{ClaimDemand, RoundMode, Subject};
use crate::ids::{EntitlementId, Millis};
use crate::log::entry::{Body, ClaimDecided, ClaimRefused, Evidence, Redirect};
use crate::refusal::Code;
use crate::state::State;
use crate::state::campaign::Campaign;
use crate::state::round::{Round, RoundPhase};

pub(super) fn decide(state: &State, input: &VerifiedClaim, now: Millis) -> Decision {
    let entitlement = EntitlementId { round: input.claim.round, index: input.claim.index };
    match examine(state, input, now) {
        Ok(Some(verdict)) => Decision::entry(Body::ClaimDecided(ClaimDecided {
            intake: input.key,
            id: input.id,
            entitlement,
            recipient: input.claim.recipient,
            amount: input.claim.amount,
            redirect: input.claim.is_redirected().then(|| Redirect {
                to: input.claim.to,
                deadline: input.claim.deadline,
                signature: input.claim.signature.clone(),
            }),
            body_hash: input.body_hash.into(),
            accepted_at: input.accepted_at,
            signed_by: verdict.signed_by,
            evidence: evidence(state, input),
        })),
        Ok(None) => Decision::Again,
        Err(code) => Decision::entry(Body::ClaimRefused(ClaimRefused {
            intake: input.key,
            id: input.id,
            entitlement,
            body_hash: input.body_hash.into(),
            accepted_at: input.accepted_at,
            code,
            evidence: evidence(state, input),
        })),
    }
}

/// What the decision rests on, whichever way it went.
fn evidence(state: &State, input: &VerifiedClaim) -> Evidence {
    let (looked_at, person, gate) = match &input.verdict {
        Ok(verdict) => (verdict.looked_at, verdict.person, verdict.gate.as_ref()),
        Err(fault) => (None, fault.person, fault.gate.as_ref()),
    };
    let mut evidence = state.evidence(looked_at);
    evidence.person = person.map(|seen| seen.person).unwrap_or_default();
    if let Some(gate) = gate {
        evidence.rule_sets.clone_from(&gate.rule_sets);
        evidence.inputs = gate.inputs();
        // What a refusal rests on may be nobody's to know but an office's: it stands beside the log, behind that hash.
        if input.verdict.is_ok() {
            evidence.policies.clone_from(&gate.policies);
            evidence.attestations.clone_from(&gate.attestations);
        }
    }
    evidence
}

/// The checks in their fixed order; `None` asks for a new verification.
fn examine<'a>(
    state: &State,
    input: &'a VerifiedClaim,
    now: Millis,
) -> Result<Option<&'a ClaimVerdict>, Code> {
    let campaign = state.campaign(input.key.campaign).ok_or(Code::UnknownCampaign)?;
    let round = campaign.round(input.claim.round).ok_or(Code::UnknownRound)?;
    let verdict = match &input.verdict {
        Ok(verdict) => verdict,
        Err(fault) => {
            // A refusal by rules that are no longer in force, or of somebody who has moved, is no refusal.
            let gated = fault.gate.iter().all(|gate| stands(state, campaign, round, gate));
            return if gated && is_bound(state, fault.person) { Err(fault.code) } else { Ok(None) };
        }
    };
    campaign.admits(&input.claim, input.accepted_at)?;
    if input.claim.deadline.saturating_mul(1_000) <= now {
        return Err(Code::DeadlineTooSoon);
    }
    if !campaign.decided.leaves_room(input.claim.amount.into()) {
        return Err(Code::LimitReached);
    }
    if !campaign.funds.covers(input.claim.amount.into()) {
        return Err(Code::InsufficientFunds);
    }
    let gated = match (round.terms.mode, &verdict.gate) {
        (RoundMode::Gated, Some(gate)) => {
            let stands = stands(state, campaign, round, gate);
            if stands {
                state.gate_permits(round, &gate.rule_sets, &gate.attestations)?;
            }
            stands
        }
        (RoundMode::Gated, None) => return Err(Code::GateMissing),
        (RoundMode::Push | RoundMode::Pull, _) => true,
    };
    Ok((gated && is_bound(state, verdict.person) && now < verdict.valid_until).then_some(verdict))
}

/// Whether a person receives where verification saw it.
fn is_bound(state: &State, person: Option<PersonSeen>) -> bool {
    person.is_none_or(|seen| state.version_of(&Subject::Person(seen.person)) == Some(seen.version))
}

/// Whether what a gate's answer rested on is as it was: its definition, every rule set, and no attestation revoked since.
fn stands(state: &State, campaign: &Campaign, round: &Round, verdict: &GateVerdict) -> bool {
    let Some(gate) = campaign.gates.get(&verdict.gate) else { return false };
    let lineages = &gate.terms.rule_sets;
    u64::from(verdict.gate) == round.terms.gate
        && lineages.len() == verdict.rule_sets.len()
        && lineages
            .iter()
            .zip(&verdict.rule_sets)
            .all(|(id, name)| state.rules_in_force(*id).unwrap_or_default() == *name)
        && verdict
            .attestations
            .iter()
            .all(|uid| state.revoked.get(uid).is_none_or(|revoked| *revoked <= verdict.as_of))
}

impl Campaign {
    /// What State alone says against a claim accepted at this time. The door asks it before the intake row, the decision
    /// asks it again at the claim's position. Only the decision asks for funds: that they are missing pauses the
    /// campaign, which takes an entry.
    ///
    /// # Errors
    /// With why the claim will not be paid.
    pub fn admits(&self, claim: &ClaimDemand, accepted_at: Millis) -> Result<(), Code> {
        let round = self.round(claim.round).ok_or(Code::UnknownRound)?;
        let id = EntitlementId { round: claim.round, index: claim.index };
        if id.index >= round.terms.count {
            return Err(Code::NotListed);
        }
        if let Some(code) = self.stopped() {
            return Err(if code == Code::InsufficientFunds { code } else { Code::Paused });
        }
        open(round, accepted_at)?;
        let (shard, at) = round.shard(id.index);
        if shard.paid.get(at) {
            return Err(Code::AlreadyPaid);
        }
        if shard.void.get(at) {
            return Err(Code::Voided);
        }
        if shard.decided.get(at) {
            return Err(Code::AlreadyDecided);
        }
        // Whatever another hand pays is busy; only then are the events looked through.
        if shard.busy.get(at) && self.paid_elsewhere(id) {
            return Err(Code::PaymentSeen);
        }
        Ok(())
    }
}

/// A round pays what was accepted between its final opening and its closing time.
fn open(round: &Round, accepted_at: Millis) -> Result<(), Code> {
    match round.phase {
        RoundPhase::Announced | RoundPhase::Published => return Err(Code::NotOpen),
        RoundPhase::Cancelled => return Err(Code::UnknownRound),
        RoundPhase::Open | RoundPhase::Closed => {}
    }
    if round.swept || accepted_at >= round.closes_at.saturating_mul(1_000) {
        return Err(Code::Closed);
    }
    Ok(())
}
