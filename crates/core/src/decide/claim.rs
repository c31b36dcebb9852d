//! A claim at its position.

use super::{ClaimVerdict, Decision, VerifiedClaim};
use crate::command::{ClaimDemand, RoundMode};
use crate::ids::{EntitlementId, Millis};
use crate::log::entry::{Body, ClaimDecided, ClaimRefused, Redirect};
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
            evidence: state.evidence(verdict.looked_at),
        })),
        Ok(None) => Decision::Again,
        Err(code) => Decision::entry(Body::ClaimRefused(ClaimRefused {
            intake: input.key,
            id: input.id,
            entitlement,
            body_hash: input.body_hash.into(),
            accepted_at: input.accepted_at,
            code,
            evidence: state.evidence(input.verdict.as_ref().ok().and_then(|verdict| verdict.looked_at)),
        })),
    }
}

/// The checks in their fixed order; `None` asks for a new verification.
fn examine<'a>(
    state: &State,
    input: &'a VerifiedClaim,
    now: Millis,
) -> Result<Option<&'a ClaimVerdict>, Code> {
    let campaign = state.campaign(input.key.campaign).ok_or(Code::UnknownCampaign)?;
    campaign.round(input.claim.round).ok_or(Code::UnknownRound)?;
    let verdict = input.verdict.as_ref().map_err(|code| *code)?;
    campaign.admits(&input.claim, input.accepted_at)?;
    if input.claim.deadline.saturating_mul(1_000) <= now {
        return Err(Code::DeadlineTooSoon);
    }
    if !campaign.funds.covers(input.claim.amount.into()) {
        return Err(Code::InsufficientFunds);
    }
    Ok((now < verdict.valid_until).then_some(verdict))
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
        if let Some(code) = self.paused {
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
    match round.terms.mode {
        RoundMode::Gated => Err(Code::GateMissing),
        RoundMode::Push | RoundMode::Pull => Ok(()),
    }
}
