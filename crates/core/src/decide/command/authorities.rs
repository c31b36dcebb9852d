//! Commands about institutions: keys, mandates, delegations.

use super::Refusal;
use crate::command::Action;
use crate::ids::Millis;
use crate::limits::{KEYS_MAX, NAME_BYTES_MAX, RULES_BYTES_MAX};
use crate::log::entry::Outcome;
use crate::refusal::Code;
use crate::state::State;

pub(super) fn decide(state: &State, action: &Action, now: Millis) -> Result<Outcome, Refusal> {
    match action {
        Action::RegisterAuthority(terms) => {
            let known = state.authorities.contains_key(&terms.authority) || state.is_chartered(terms.authority);
            if known || terms.authority.is_zero() || terms.signers.iter().any(|key| is_used(state, key)) {
                return Err(Code::AuthorityExists.into());
            }
            if terms.signers.is_empty() || terms.signers.len() > KEYS_MAX || terms.name.len() > NAME_BYTES_MAX {
                return Err(Code::TooMany.into());
            }
        }
        Action::ChangeKeys { authority, add, revoke } => {
            let known = state.authorities.get(authority);
            if known.is_none() && !state.is_chartered(*authority) {
                return Err(Code::UnknownAuthority.into());
            }
            // A key that was revoked never speaks again, for nobody.
            if add.iter().any(|key| is_used(state, key)) {
                return Err(Code::AuthorityExists.into());
            }
            if revoke.iter().any(|key| state.authority_of(key) != Some(*authority)) {
                return Err(Code::AlreadyRevoked.into());
            }
            if known.map_or(0, |a| a.keys.len()) + add.len() > KEYS_MAX {
                return Err(Code::TooMany.into());
            }
        }
        Action::GrantMandate(terms) => {
            if !state.authorities.contains_key(&terms.holder) && !state.is_chartered(terms.holder) {
                return Err(Code::UnknownAuthority.into());
            }
            if terms.text.len() > RULES_BYTES_MAX {
                return Err(Code::BadRules.into());
            }
        }
        Action::RevokeMandate { mandate } => {
            if state.mandates.get(mandate).is_none_or(|m| m.ended) {
                return Err(Code::AlreadyRevoked.into());
            }
        }
        Action::Delegate(terms) => {
            let holds_it = terms.mandate.is_zero()
                || state.mandates.get(&terms.mandate).is_some_and(|m| !m.ended && m.terms.holder == terms.authority);
            if !holds_it {
                return Err(Code::MandateMissing.into());
            }
            if is_used(state, &terms.vendor) || terms.expires_at <= now {
                return Err(Code::DelegationDenies.into());
            }
        }
        Action::RevokeDelegation { delegation } => {
            if state.delegations.get(delegation).is_none_or(|d| d.ended) {
                return Err(Code::AlreadyRevoked.into());
            }
        }
        _ => return Err(Code::NotAuthorized.into()),
    }
    Ok(Outcome::Done)
}

/// Whether a key speaks, or ever spoke, for an institution: one key is one institution's.
fn is_used(state: &State, key: &[u8]) -> bool {
    state.authority_of(key).is_some() || state.authorities.values().any(|a| a.revoked.contains_key(key))
}
