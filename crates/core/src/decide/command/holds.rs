//! Holds: placed, confirmed, renewed, released. A hold stops what no batch carries yet; what one carries already is
//! named in the entry.

use alloy_primitives::B256;

use super::{Examined, Refusal};
use crate::command::{Action, HoldTarget};
use crate::decide::{CommandFacts, Listed, VerifiedCommand};
use crate::ids::Millis;
use crate::limits::{HOLD_ALONE, HOLD_CONFIRMED, HOLD_ITEMS_MAX};
use crate::log::entry::{Covered, HoldPlaced, Outcome};
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply_offices::{millis, proposer};
use crate::state::hold::HoldUse;

pub(super) fn place(
    state: &State,
    input: &VerifiedCommand,
    facts: &CommandFacts,
    target: &HoldTarget,
    now: Millis,
) -> Examined<Outcome> {
    let covers = match (target, &facts.listed) {
        (HoldTarget::Campaign { campaign }, _) => {
            state.campaign(*campaign).ok_or(Code::UnknownCampaign)?;
            Vec::new()
        }
        // Rounds announced after the engine looked may owe the person something, too.
        (HoldTarget::Person { .. }, Listed::Covered { as_of, .. }) if *as_of < state.published_at => return Ok(None),
        (_, Listed::Covered { items, .. }) => items.clone(),
        _ => return Ok(None),
    };
    if covers.len() > HOLD_ITEMS_MAX {
        return Err(Code::TooMany.into());
    }
    let covers: Vec<Covered> = covers.into_iter().filter(|c| is_owed(state, c)).collect();
    if covers.is_empty() && matches!(target, HoldTarget::Entitlements { .. }) {
        return Err(Code::AlreadyPaid.into());
    }
    let in_flight = covers.iter().filter_map(|c| {
        let batch = state.campaign(c.campaign)?.batch_of(c.entitlement)?;
        Some((c.entitlement, c.campaign, batch.plan.batch))
    });
    let in_flight = in_flight.collect();
    let mut alone = used(state, proposer(&input.command), now);
    if input.command.approvals.len() == 1 {
        alone.held += covers.len() as u64;
    }
    let until = now + millis(if input.command.approvals.len() > 1 { HOLD_CONFIRMED } else { HOLD_ALONE });
    Ok(Some(Outcome::Held(HoldPlaced { until, covers, alone, in_flight })))
}

/// Whether there is still something to stop: neither paid nor annulled.
fn is_owed(state: &State, covered: &Covered) -> bool {
    state.campaign(covered.campaign).and_then(|c| c.round_of(covered.entitlement)).is_some_and(|round| {
        let (shard, at) = round.shard(covered.entitlement.index);
        !shard.paid.get(at) && !shard.void.get(at)
    })
}

/// What an institution held alone in the present window.
pub(super) fn used(state: &State, by: B256, now: Millis) -> HoldUse {
    match state.hold_use.get(&by) {
        Some(used) if now.saturating_sub(used.since) < millis(HOLD_ALONE) => *used,
        _ => HoldUse { since: now, held: 0 },
    }
}

pub(super) fn change(state: &State, action: &Action, by: B256, now: Millis) -> Result<Outcome, Refusal> {
    match action {
        Action::ConfirmHold { hold } => {
            let hold = state.holds.get(hold).ok_or(Code::UnknownHold)?;
            if hold.placed_by == by || hold.confirmed_by.is_some() {
                return Err(Code::SameAuthority.into());
            }
            Ok(Outcome::HoldExtended { until: now + millis(HOLD_CONFIRMED) })
        }
        Action::RenewHold { hold } => {
            state.holds.get(hold).ok_or(Code::UnknownHold)?;
            Ok(Outcome::HoldExtended { until: now + millis(HOLD_CONFIRMED) })
        }
        Action::Release { hold } => {
            state.holds.get(hold).ok_or(Code::UnknownHold)?;
            Ok(Outcome::Done)
        }
        _ => Err(Code::NotAuthorized.into()),
    }
}
