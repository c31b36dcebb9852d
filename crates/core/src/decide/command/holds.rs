//! Holds at their position. A hold stops what no batch carries yet; what one carries already is named in the entry.

use alloy_primitives::B256;

use super::Examined;
use crate::command::{Command, HoldTarget};
use crate::decide::{CommandFacts, Listed};
use crate::ids::{EntitlementId, Millis};
use crate::limits::{HOLD_ALONE, HOLD_CONFIRMED, HOLD_ITEMS_MAX, HOLDS_ALONE_MAX};
use crate::log::entry::{Covered, HoldPlaced, Outcome};
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply_offices::{confirmer, millis, proposer};
use crate::state::hold::HoldUse;

pub(super) fn place(
    state: &State,
    command: &Command,
    facts: &CommandFacts,
    target: &HoldTarget,
    now: Millis,
) -> Examined<Outcome> {
    let Some(mut covers) = listed(state, facts, target) else { return Ok(None) };
    if covers.len() > HOLD_ITEMS_MAX {
        return Err(Code::TooMany.into());
    }
    covers.retain(|covered| state.is_owed(covered));
    if covers.is_empty() && matches!(target, HoldTarget::Entitlements { .. }) {
        return Err(Code::AlreadyPaid.into());
    }
    let mut alone = used(state, proposer(command), now);
    if state.is_alone(command) {
        alone.held = alone.held.saturating_add(covers.len() as u64);
        if alone.held > HOLDS_ALONE_MAX {
            return Err(Code::HoldLimit.into());
        }
    }
    let confirmed = confirmer(state, command).is_some();
    let until = now + millis(if confirmed { HOLD_CONFIRMED } else { HOLD_ALONE });
    let in_flight = state.in_flight_of(&covers);
    Ok(Some(Outcome::Held(HoldPlaced { until, covers, alone, in_flight })))
}

/// What a hold names, each entitlement once, ascending; `None` if it has to be looked up again.
fn listed(state: &State, facts: &CommandFacts, target: &HoldTarget) -> Option<Vec<Covered>> {
    if matches!(target, HoldTarget::Campaign { .. }) {
        return Some(Vec::new());
    }
    let Listed::Covered { items, as_of } = &facts.listed else { return None };
    let mut items = items.clone();
    items.sort_by_key(|c| (c.campaign, c.entitlement));
    items.dedup_by_key(|c| (c.campaign, c.entitlement));
    let whole = match target {
        HoldTarget::Entitlements { campaign, round, indexes } => {
            let meant =
                indexes.iter().map(|index| (*campaign, EntitlementId { round: *round, index: *index }));
            items.iter().map(|c| (c.campaign, c.entitlement)).eq(meant)
        }
        // Rounds announced after the engine looked may owe the person something, too.
        HoldTarget::Person { .. } => (state.published_at..=state.seq).contains(as_of),
        HoldTarget::Campaign { .. } => true,
    };
    whole.then_some(items)
}

/// What an institution held alone in the present window.
fn used(state: &State, by: B256, now: Millis) -> HoldUse {
    match state.hold_use.get(&by) {
        Some(used) if now.saturating_sub(used.since) < millis(HOLD_ALONE) => *used,
        _ => HoldUse { since: now, held: 0 },
    }
}

/// A hold that was confirmed or renewed lasts another while from now on.
pub(super) fn extended(now: Millis) -> Outcome {
    Outcome::HoldExtended { until: now + millis(HOLD_CONFIRMED) }
}
