//! What the engine looks up in a snapshot before a command is decided.

use sluice_core::command::{Action, RoundTerms};
use sluice_core::decide::{Edge, Listed};
use sluice_core::limits::SHARD;
use sluice_core::log::entry::AheadShare;
use sluice_core::state::State;

use crate::world::{amount, sum};

/// What the snapshot says of a command, as the engine would look it up.
pub(crate) fn listed(state: &State, action: &Action) -> Listed {
    let shard_sum = |shard: u64, count: u64| sum(shard * SHARD..((shard + 1) * SHARD).min(count));
    match action {
        Action::CreateCampaign(_) => Listed::Nothing,
        Action::Publish(terms) => Listed::Round {
            shard_totals: (0..terms.count.div_ceil(SHARD))
                .map(|shard| shard_sum(shard, terms.count))
                .collect(),
            ahead: ahead(state, terms),
        },
        Action::Push { campaign, round, from, to } => {
            let count = state.campaign(*campaign).and_then(|c| c.round(*round)).map_or(0, |r| r.terms.count);
            Listed::Edges(edges(count, *from, *to))
        }
        Action::Void { indexes, .. } => Listed::Amounts(indexes.iter().map(|i| amount(*i)).collect()),
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
