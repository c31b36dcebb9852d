//! Commands about rule sets: proposed by their owner, approved by M of N without the proposer, activated.

use alloy_primitives::B256;

use super::Refusal;
use crate::command::Action;
use crate::ids::Millis;
use crate::limits::{NAME_BYTES_MAX, RULES_BYTES_MAX};
use crate::log::entry::Outcome;
use crate::refusal::Code;
use crate::state::State;
use crate::state::rules::RulesPhase;

pub(super) fn decide(state: &State, action: &Action, by: B256, now: Millis) -> Result<Outcome, Refusal> {
    let set_version = state.home_charter().map_or(0, |c| c.view.set_version);
    match action {
        Action::ProposeRules(terms) => {
            if terms.owner != by {
                return Err(Code::NotAuthorized.into());
            }
            if terms.text.is_empty() || terms.text.len() > RULES_BYTES_MAX || terms.lineage.len() > NAME_BYTES_MAX {
                return Err(Code::BadRules.into());
            }
            if state.rule_sets.contains_key(&terms.hash()) {
                return Err(Code::RulesExist.into());
            }
            Ok(Outcome::Done)
        }
        Action::ApproveRules { rules } => {
            let set = state.rule_sets.get(rules).ok_or(Code::UnknownRules)?;
            let RulesPhase::Proposed { approvals, set_version: counted } = &set.phase else {
                return Err(Code::RulesPhase.into());
            };
            let before = *counted == set_version && approvals.contains(&by);
            if set.proposer == by || before {
                return Err(Code::SelfApproval.into());
            }
            Ok(Outcome::Done)
        }
        Action::ActivateRules { rules, at } => {
            let set = state.rule_sets.get(rules).ok_or(Code::UnknownRules)?;
            let threshold = state.home_charter().map_or(1, |c| c.view.threshold.max(1));
            let RulesPhase::Proposed { approvals, set_version: counted } = &set.phase else {
                return Err(Code::RulesPhase.into());
            };
            // The proposer's own word counts once: M of N means M institutions with it.
            let count = if *counted == set_version { approvals.len() } else { 0 };
            if count + 1 < usize::from(threshold) || (count == 0 && threshold > 1) {
                return Err(Code::QuorumMissing.into());
            }
            Ok(if *at > now { Outcome::Scheduled } else { Outcome::Done })
        }
        Action::RetireRules { rules } => {
            let set = state.rule_sets.get(rules).ok_or(Code::UnknownRules)?;
            match set.phase {
                RulesPhase::Scheduled { .. } | RulesPhase::InForce => Ok(Outcome::Done),
                RulesPhase::Proposed { .. } | RulesPhase::Retired => Err(Code::RulesPhase.into()),
            }
        }
        _ => Err(Code::NotAuthorized.into()),
    }
}
