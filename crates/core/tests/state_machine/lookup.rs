//! What the engine looks up in a snapshot before a command is decided.

use alloy_primitives::Address;
use sluice_core::amount::Amount;
use sluice_core::command::{Action, AppealAbout, HoldTarget, RoundTerms};
use sluice_core::decide::{Edge, Listed};
use sluice_core::ids::{EntitlementId, Seq};
use sluice_core::limits::SHARD;
use sluice_core::log::entry::{AheadShare, Covered};
use sluice_core::state::State;

use crate::institutions::person_of;
use crate::world::{amount, recipient, sum};

/// What the snapshot says of a command, as the engine would look it up.
pub(crate) fn listed(state: &State, action: &Action) -> Listed {
    let shard_sum = |shard: u64, count: u64| sum(shard * SHARD..((shard + 1) * SHARD).min(count));
    match action {
        Action::Publish(terms) => Listed::Round {
            shard_totals: (0..terms.count.div_ceil(SHARD))
                .map(|shard| shard_sum(shard, terms.count))
                .collect(),
            ahead: ahead(state, terms),
            held: held(state, terms),
            as_of: state.seq,
            corrects: corrects(state, terms),
        },
        Action::Push { campaign, round, from, to } => {
            let count = state.campaign(*campaign).and_then(|c| c.round(*round)).map_or(0, |r| r.terms.count);
            Listed::Edges(edges(count, *from, *to))
        }
        Action::Void { indexes, .. } => Listed::Amounts(indexes.iter().map(|i| amount(*i)).collect()),
        Action::Hold { target } => Listed::Covered { items: covered(state, target), as_of: state.seq },
        Action::FileAppeal { about } => Listed::Recipients(recipients(state, about)),
        _ => Listed::Nothing,
    }
}

/// What a hold covers in all rounds announced so far.
fn covered(state: &State, target: &HoldTarget) -> Vec<Covered> {
    let of = |campaign, round, index| Covered {
        campaign,
        entitlement: EntitlementId { round, index },
        amount: amount(index),
    };
    match target {
        HoldTarget::Campaign { .. } => Vec::new(),
        HoldTarget::Entitlements { campaign, round, indexes } => {
            indexes.iter().map(|index| of(*campaign, *round, *index)).collect()
        }
        HoldTarget::Person { person } => {
            let rounds = state.campaigns.iter().flat_map(|(id, c)| c.rounds.values().map(move |r| (*id, r)));
            let owed = rounds.flat_map(|(id, r)| (0..r.terms.count).map(move |i| (id, r.terms.round, i)));
            owed.filter(|(_, _, i)| person_of(*i) == *person).map(|(id, r, i)| of(id, r, i)).collect()
        }
    }
}

/// Which entitlements of a new round holds on persons cover.
fn held(state: &State, terms: &RoundTerms) -> Vec<(Seq, u64, Amount)> {
    let holds = state.holds.iter().filter_map(|(at, hold)| match &hold.target {
        HoldTarget::Person { person } => Some((*at, *person)),
        _ => None,
    });
    let of = |(at, person)| {
        (0..terms.count).filter(move |i| person_of(*i) == person).map(move |i| (at, i, amount(i)))
    };
    holds.flat_map(of).collect()
}

/// In this world every list begins with the same recipients, so a correction repeats whatever both lists hold.
fn corrects(state: &State, terms: &RoundTerms) -> Vec<EntitlementId> {
    let old = state.campaign(terms.campaign).and_then(|c| c.round(terms.supersedes));
    let both = old.map_or(0, |old| old.terms.count.min(terms.count));
    (0..both).map(|index| EntitlementId { round: terms.supersedes, index }).collect()
}

fn recipients(state: &State, about: &AppealAbout) -> Vec<Address> {
    match about {
        AppealAbout::Hold { hold } => {
            let hold = state.holds.get(hold).map(|hold| hold.covers.as_slice()).unwrap_or_default();
            hold.iter().map(|c| recipient(c.entitlement.index)).collect()
        }
        AppealAbout::Void { entitlement, .. } | AppealAbout::Refusal { entitlement, .. } => {
            vec![recipient(entitlement.index)]
        }
    }
}

/// What the chain did of a round before it is announced, summed by shard.
fn ahead(state: &State, terms: &RoundTerms) -> Vec<AheadShare> {
    let known = state.campaign(terms.campaign).and_then(|c| c.ahead.get(&terms.round)).cloned();
    let known = known.unwrap_or_default();
    let (paid, void): (Vec<_>, Vec<_>) =
        (known.paid.below(terms.count).collect(), known.void.below(terms.count).collect());
    let part = |of: &[u64], shard: u64| of.iter().copied().filter(|i| i / SHARD == shard).collect::<Vec<_>>();
    let share = |shard: u64| {
        let (paid, void) = (part(&paid, shard), part(&void, shard));
        (!paid.is_empty() || !void.is_empty()).then(|| AheadShare {
            shard: shard as u32,
            paid: paid.len() as u32,
            paid_total: sum(paid),
            void: void.len() as u32,
            void_total: sum(void),
        })
    };
    (0..terms.count.div_ceil(SHARD)).filter_map(share).collect()
}

fn edges(count: u64, from: u64, to: u64) -> Vec<Edge> {
    if from >= to || to > count {
        return Vec::new();
    }
    let part = |shard: u64| {
        let (start, end) = (from.max(shard * SHARD), to.min((shard + 1) * SHARD));
        let whole = start == shard * SHARD && end == ((shard + 1) * SHARD).min(count);
        let amounts = (start..end).map(amount).collect();
        (!whole).then_some(Edge { shard: shard as u32, from: start, amounts })
    };
    let (first, last) = (from / SHARD, (to - 1) / SHARD);
    let mut edges: Vec<_> = part(first).into_iter().collect();
    if last != first {
        edges.extend(part(last));
    }
    edges
}
