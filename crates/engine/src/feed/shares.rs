//! How queues share what is read and what is verified.

use std::collections::{HashMap, HashSet};

use sluice_core::ids::{CampaignId, NodeId};
use sluice_core::limits::VERIFY_QUEUE_MAX;
use sluice_core::sequencer::fair::Weights;
use sluice_store::Cursor;

/// The least share of a campaign: with hundreds of them, a few groups still hold some of each.
const SHARE_MIN: usize = 16;
/// A campaign's rows are read when so large a part of its share is free, and no more of them: what is read at once is verified
/// at once, and others' demands are beside it.
const PARTS: usize = 8;
/// Of the queues in which nothing was found when they were last looked at, so many are looked at each time, by turns: a look-up is
/// some microseconds of the database's time, and a thousand campaigns at three nodes have six thousand queues. Each of those is
/// looked at twice a second.
pub(super) const QUIET_AT_ONCE: usize = 256;

/// The queues that are looked at now: the busy ones, and of the quiet ones those whose turn it is.
pub(super) fn due_now(
    queues: Vec<Cursor>,
    busy: &HashSet<(CampaignId, NodeId)>,
    turns: &mut usize,
) -> Vec<Cursor> {
    let (mut due, quiet): (Vec<_>, Vec<_>) =
        queues.into_iter().partition(|queue| busy.contains(&(queue.campaign, queue.node)));
    let count = quiet.len().min(QUIET_AT_ONCE);
    let from = *turns % quiet.len().max(1);
    due.extend(quiet.iter().cycle().skip(from).take(count));
    *turns = from + count;
    due
}

/// How many rows of a queue may be under way that weighs so much, while rows of others are and all of them weigh so much: room for
/// one more is always left, so that a crowd of one neither takes all verifications nor stands before others in the queues behind
/// them.
pub(super) fn share(weight: usize, all: usize) -> usize {
    (VERIFY_QUEUE_MAX * weight / (all + 1)).max(SHARE_MIN)
}

/// The share of a queue, whether any of its rows are under way or not.
pub(super) fn share_of(
    queue: CampaignId,
    under_way: &HashMap<CampaignId, usize>,
    weights: &Weights,
) -> usize {
    let (weight, all) = (weights.of(queue) as usize, weight_of_all(under_way, weights));
    // One of which none are takes the room that is left for one more; what it weighs above that is counted with the others.
    let counted = if under_way.contains_key(&queue) { all } else { all + weight - 1 };
    share(weight, counted)
}

/// What all queues weigh of which rows are under way.
pub(super) fn weight_of_all(under_way: &HashMap<CampaignId, usize>, weights: &Weights) -> usize {
    under_way.keys().map(|queue| weights.of(*queue) as usize).sum()
}

/// How much of a share must be free before more of its campaign's rows are read, and how many of a queue are read then.
pub(super) fn part(share: usize) -> usize {
    (share / PARTS).max(1)
}

/// Whether queues of a campaign are read that has so many rows under way.
pub(super) fn is_read(share: usize, count: usize) -> bool {
    count + part(share) <= share
}

/// How many rows that this node hands over are taken up of such a campaign. They leave room for a reading, and for one more
/// after it: what lies at other nodes, holds above all, is read however many come to the door of the leader. What is not
/// taken up is read as theirs is.
pub(super) fn room_for_own(share: usize, count: usize) -> usize {
    share.saturating_sub(2 * part(share)).saturating_sub(count)
}
