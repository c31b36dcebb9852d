//! Commands about persons, their attestations and their appeals.

use alloy_primitives::B256;

use super::Refusal;
use crate::command::{Action, AppealAbout};
use crate::ids::{Millis, Seq};
use crate::limits::APPEAL_WITHIN;
use crate::log::entry::{Appealed, Outcome};
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply_offices::{appealed_entitlement, millis};

pub(super) fn decide(state: &State, action: &Action) -> Result<Outcome, Refusal> {
    match action {
        Action::BindPerson { person, payee } | Action::ChangePayee { person, payee } => {
            if person.is_zero() || payee.is_zero() {
                return Err(Code::UnknownPerson.into());
            }
            let known = state.persons.contains_key(person);
            if matches!(action, Action::ChangePayee { .. }) && !known {
                return Err(Code::UnknownPerson.into());
            }
            Ok(Outcome::Done)
        }
        Action::RevokeAttestation { uid } if state.revoked.contains_key(uid) => Err(Code::AlreadyRevoked.into()),
        Action::RevokeAttestation { .. } => Ok(Outcome::Done),
        _ => Err(Code::NotAuthorized.into()),
    }
}

pub(super) fn appeal(state: &State, about: &AppealAbout, now: Millis) -> Result<Outcome, Refusal> {
    if state.appeals.values().any(|open| open.about == *about) {
        return Err(Code::NothingToAppeal.into());
    }
    let against = match about {
        AppealAbout::Hold { hold } => state.holds.get(hold).ok_or(Code::NothingToAppeal)?.placed_by,
        AppealAbout::Void { campaign, entitlement } => {
            let round = state.campaign(*campaign).and_then(|c| c.round_of(*entitlement));
            let (shard, at) = round.ok_or(Code::UnknownRound)?.shard(entitlement.index);
            if !shard.void.get(at) {
                return Err(Code::NothingToAppeal.into());
            }
            // A void takes M of N: whoever answers is named with them in the log.
            B256::ZERO
        }
        AppealAbout::Refusal { .. } => {
            let (campaign, entitlement) = appealed_entitlement(about).ok_or(Code::NothingToAppeal)?;
            let round = state.campaign(campaign).and_then(|c| c.round_of(entitlement));
            let (shard, at) = round.ok_or(Code::UnknownRound)?.shard(entitlement.index);
            if shard.decided.get(at) || shard.void.get(at) {
                return Err(Code::NothingToAppeal.into());
            }
            B256::ZERO
        }
    };
    Ok(Outcome::Appealed(Appealed { against, answer_by: now + millis(APPEAL_WITHIN) }))
}

/// An appeal is answered by another authority than the one it is against. One that is upheld against a hold ends it;
/// one against an annulment or a refusal obliges to a correction, which is a round of its own.
pub(super) fn answer(state: &State, at: Seq, upheld: bool, by: B256) -> Result<Outcome, Refusal> {
    let appeal = state.appeals.get(&at).ok_or(Code::UnknownAppeal)?;
    if appeal.against == by {
        return Err(Code::SameAuthority.into());
    }
    let released = match appeal.about {
        AppealAbout::Hold { hold } if upheld => state.holds.contains_key(&hold).then_some(hold),
        _ => None,
    };
    Ok(Outcome::Answered { released })
}
