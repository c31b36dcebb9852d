//! Commands about a campaign as a whole: gates, pauses, limits.

use super::Refusal;
use crate::command::Action;
use crate::ids::Millis;
use crate::limits::{GATE_ACCEPT_BYTES_MAX, GATE_ACCEPTS_MAX, GATE_RULE_SETS_MAX, PAUSE_MAX};
use crate::log::entry::Outcome;
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply_offices::millis;

pub(super) fn decide(state: &State, action: &Action, now: Millis) -> Result<Outcome, Refusal> {
    let campaign = state.campaign(action.queue()).ok_or(Code::UnknownCampaign)?;
    match action {
        Action::DefineGate(terms) => {
            let defined = campaign.gates.contains_key(&terms.version) || terms.version == 0;
            // The key in the Distributor is the one that pays; a definition with another would approve nobody.
            let other_key = campaign.gate_keys.get(&terms.version).is_some_and(|key| *key != terms.signer);
            if defined || other_key || terms.signer.is_empty() {
                return Err(Code::GateMismatch.into());
            }
            let long = terms.attestations.iter().any(|a| a.accepts.len() > GATE_ACCEPT_BYTES_MAX);
            if terms.rule_sets.len() > GATE_RULE_SETS_MAX || terms.attestations.len() > GATE_ACCEPTS_MAX || long {
                return Err(Code::TooMany.into());
            }
        }
        Action::Pause { until, .. } => {
            if *until <= now || until.saturating_sub(now) > millis(PAUSE_MAX) {
                return Err(Code::PauseTooLong.into());
            }
        }
        Action::Resume { .. } => {
            if campaign.pause.is_none() {
                return Err(Code::Stale.into());
            }
        }
        Action::SetLimit { .. } => {}
        _ => return Err(Code::NotAuthorized.into()),
    }
    Ok(Outcome::Done)
}
