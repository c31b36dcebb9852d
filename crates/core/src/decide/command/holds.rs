//! Holds at their position. A hold stops what no batch carries yet; what one carries already is named in the entry.

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
    let named = matches!(target, HoldTarget::Entitlements { .. });
    if covers.is_empty() && named {
        return Err(Code::AlreadyPaid.into());
    }
    if state.is_alone(command) {
        covers.retain(|covered| !state.held_before(proposer(command), covered));
        if covers.is_empty() && named {
            return Err(Code::HoldLimit.into());
        }
    }
    let mut alone = state.hold_use.get(&proposer(command)).copied().unwrap_or_default();
    if state.is_alone(command) {
        alone = used(alone, now).plus(&covers, now);
        if alone.held > HOLDS_ALONE_MAX {
            return Err(Code::HoldLimit.into());
        }
    }
    let confirmed = confirmer(state, command).is_some();
    let until = now + millis(if confirmed { HOLD_CONFIRMED } else { HOLD_ALONE });
    let (in_flight, batches) = (state.in_flight_of(&covers), state.under_way_in(target));
    Ok(Some(Outcome::Held(HoldPlaced { until, covers, alone, in_flight, batches })))
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

/// What still counts of what an institution held alone: everything, until it has placed nothing for as long as such a hold
/// lasts. A window counted from its first hold would let it place twice as many around the window's end.
fn used(before: HoldUse, now: Millis) -> HoldUse {
    if now.saturating_sub(before.last) < millis(HOLD_ALONE) { before } else { HoldUse::default() }
}

/// A hold that was confirmed or renewed lasts another while from now on.
pub(super) fn extended(now: Millis) -> Outcome {
    Outcome::HoldExtended { until: now + millis(HOLD_CONFIRMED) }
}
