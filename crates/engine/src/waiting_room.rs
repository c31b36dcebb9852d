//! Demands this node accepted that are not decided: bounded, one per entitlement, with place and estimate.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sluice_core::ids::{CampaignId, EntitlementId, IntakeKey};
use sluice_core::limits::{DECIDE_WITHIN, ORDERS_WAITING_MAX, WAITING_ROOM_MAX};
use sluice_core::sequencer::fair::Weights;

/// How long rates are measured over.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Who waits at this node.
#[derive(Debug, Default)]
pub struct WaitingRoom {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How campaigns take turns.
    weights: Weights,
    rows: HashMap<IntakeKey, Row>,
    /// How many of them are commands and masks.
    orders: usize,
    /// How many of a queue wait, of those of which any do.
    of_queues: HashMap<CampaignId, usize>,
    claims: HashSet<(CampaignId, EntitlementId)>,
    /// Demands that left lately, for the estimate.
    left: VecDeque<Left>,
    /// How many those are, and how long that took.
    left_lately: u64,
    busy_lately: Duration,
    /// When somebody last left.
    left_at: Option<Instant>,
}

/// A demand that waits.
#[derive(Debug)]
struct Row {
    claim: Option<(CampaignId, EntitlementId)>,
    entered: Instant,
}

/// Demands that left at once.
#[derive(Debug)]
struct Left {
    at: Instant,
    count: u64,
    /// How long one of them had waited since others left, and no longer than rates are measured over. Time in which none of
    /// them waited says nothing of how fast they could leave, whoever else waits for ever.
    after: Duration,
}

/// Where a new demand would stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Demands before it at this node.
    pub place: u64,
    /// Until it is decided, milliseconds.
    pub wait_ms: u64,
}

impl WaitingRoom {
    /// From now on campaigns have these turns.
    pub(crate) fn weigh(&self, weights: Weights) {
        self.inner.lock().expect("no panic inside").weights = weights;
    }

    /// How campaigns take turns here, and so in every queue of this node.
    pub(crate) fn weights(&self) -> Weights {
        self.inner.lock().expect("no panic inside").weights.clone()
    }

    /// Place and estimated wait of the next demand of a queue; `None` for a claim when the wait would break the promise of a
    /// ticket, and when its campaign has its share of the room: no work is begun for it.
    ///
    /// Queues are decided by turns, so of each other one no more stand before it than of its own, by weight. A queue may take half of the
    /// places that others leave: however many come to one, those who come to another find room. Commands and masks come in
    /// whatever their wait, and to places of their own: a hold is wanted all the more where many wait.
    pub fn estimate(&self, queue: CampaignId) -> Option<Estimate> {
        let mut inner = self.inner.lock().expect("no panic inside");
        inner.forget_old();
        let own = inner.of_queues.get(&queue).copied().unwrap_or(0);
        let turns = inner.of_queues.iter().filter(|(other, _)| **other != queue);
        let weight = |queue| inner.weights.of(queue) as usize;
        let before = |other| ((own + 1) * weight(other)).div_ceil(weight(queue));
        let place = own + turns.map(|(other, waiting)| (*waiting).min(before(*other))).sum::<usize>();
        let busy_ms = u64::try_from(inner.busy_lately.as_millis()).expect("seconds");
        // An idle room has no rate to go by; its first demands are decided within moments.
        let wait_ms = (place as u64 * busy_ms).checked_div(inner.left_lately).unwrap_or(place as u64 * 10);
        let bound = u64::try_from(DECIDE_WITHIN.as_millis()).expect("seconds") / 2;
        let (is_in_time, free) = if queue.is_orders() {
            (true, ORDERS_WAITING_MAX.saturating_sub(inner.orders))
        } else {
            (wait_ms <= bound, WAITING_ROOM_MAX.saturating_sub(inner.rows.len() - inner.orders))
        };
        (own < free && is_in_time).then_some(Estimate { place: place as u64, wait_ms })
    }

    /// Whether another open claim asks for this entitlement here.
    pub fn asks_for(&self, campaign: CampaignId, entitlement: EntitlementId) -> bool {
        self.inner.lock().expect("no panic inside").claims.contains(&(campaign, entitlement))
    }

    /// A row came in.
    pub fn enter(&self, key: IntakeKey, claim: Option<EntitlementId>) {
        let mut inner = self.inner.lock().expect("no panic inside");
        let claim = claim.map(|entitlement| (key.campaign, entitlement));
        inner.claims.extend(claim);
        if inner.rows.insert(key, Row { claim, entered: Instant::now() }).is_none() {
            *inner.of_queues.entry(key.campaign).or_default() += 1;
            inner.orders += usize::from(key.campaign.is_orders());
        }
    }

    /// A row was decided.
    pub fn leave(&self, key: IntakeKey) {
        self.leave_all(std::iter::once(key));
    }

    /// Rows were decided.
    pub fn leave_all(&self, keys: impl Iterator<Item = IntakeKey>) {
        let mut inner = self.inner.lock().expect("no panic inside");
        let (mut left, mut oldest) = (0, None);
        for key in keys {
            let Some(Row { claim, entered }) = inner.rows.remove(&key) else { continue };
            inner.one_less(key.campaign);
            if let Some(claim) = claim {
                inner.claims.remove(&claim);
            }
            left += 1;
            oldest = oldest.into_iter().chain([entered]).min();
        }
        if let Some(oldest) = oldest {
            inner.note(left, oldest);
            inner.forget_old();
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.inner.lock().expect("no panic inside").rows.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn one_less(&mut self, queue: CampaignId) {
        self.orders -= usize::from(queue.is_orders());
        if let Entry::Occupied(mut waiting) = self.of_queues.entry(queue) {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
    }

    fn note(&mut self, count: u64, oldest: Instant) {
        let at = Instant::now();
        let since = self.left_at.map_or(oldest, |left| left.max(oldest));
        let after = at.saturating_duration_since(since).min(RATE_WINDOW);
        self.left_at = Some(at);
        self.left.push_back(Left { at, count, after });
        self.left_lately += count;
        self.busy_lately += after;
    }

    fn forget_old(&mut self) {
        while let Some(old) = self.left.pop_front_if(|left| left.at.elapsed() > RATE_WINDOW) {
            self.left_lately -= old.count;
            self.busy_lately -= old.after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn key(campaign: u128, n: u64) -> IntakeKey {
        IntakeKey { campaign: CampaignId(Uuid::from_u128(campaign)), node: 1, n }
    }

    fn place(room: &WaitingRoom, campaign: u128) -> Option<u64> {
        room.estimate(key(campaign, 0).campaign).map(|estimate| estimate.place)
    }

    #[test]
    fn a_crowd_of_one_campaign_does_not_stand_before_another() {
        let room = WaitingRoom::default();
        (0..2_500).for_each(|n| room.enter(key(1, n), None));
        assert_eq!((place(&room, 1), place(&room, 2)), (Some(2_500), Some(1)));
        (0..10).for_each(|n| room.enter(key(2, n), None));
        assert_eq!((place(&room, 1), place(&room, 2)), (Some(2_510), Some(21)));
        room.leave_all((0..10).map(|n| key(2, n)));
        // As if ten had left in ten seconds: nobody of the crowd is decided in time, somebody of the other campaign is.
        room.inner.lock().unwrap().busy_lately = Duration::from_secs(10);
        assert_eq!((place(&room, 1), place(&room, 2)), (None, Some(1)));
        assert_eq!(room.len(), 2_500);
    }

    #[test]
    fn who_weighs_more_stands_behind_fewer_of_the_others() {
        let room = WaitingRoom::default();
        room.weigh(Weights::new([(key(1, 0).campaign, 4)]));
        (0..100).for_each(|n| room.enter(key(1, n), None));
        (0..100).for_each(|n| room.enter(key(2, n), None));
        // Four of the first for one of the second: 101 give way to 26, and one of a third stands behind four and one.
        assert_eq!((place(&room, 1), place(&room, 2), place(&room, 3)), (Some(126), Some(200), Some(5)));
    }

    #[test]
    fn a_crowd_of_claims_shuts_no_command_out() {
        let room = WaitingRoom::default();
        let orders = key(1, 0).campaign.orders();
        (0..WAITING_ROOM_MAX as u64).for_each(|n| room.enter(key(1, n), None));
        // As if ten had left in ten seconds.
        room.inner.lock().unwrap().left_lately = 10;
        room.inner.lock().unwrap().busy_lately = Duration::from_secs(10);
        assert_eq!((place(&room, 1), place(&room, 2)), (None, None));
        assert_eq!(room.estimate(orders), Some(Estimate { place: 1, wait_ms: 1_000 }));
        // Places of their own, of which one queue has half and claims none.
        let order = |n| IntakeKey { campaign: orders, ..key(0, n) };
        (0..ORDERS_WAITING_MAX as u64 / 2).for_each(|n| room.enter(order(n), None));
        assert_eq!(room.estimate(orders), None);
        assert!(room.estimate(CampaignId::default()).is_some());
        (0..ORDERS_WAITING_MAX as u64 / 2).for_each(|n| room.leave(order(n)));
        assert!(room.estimate(orders).is_some());
        assert_eq!(room.inner.lock().unwrap().orders, 0);
    }

    #[test]
    fn time_in_which_nobody_waits_slows_nobody_down() {
        let room = WaitingRoom::default();
        for n in 0..3 {
            room.enter(key(1, n), None);
            room.leave(key(1, n));
        }
        // They waited for microseconds, so a thousand wait no longer than a moment.
        (3..1_003).for_each(|n| room.enter(key(1, n), None));
        let estimate = room.estimate(key(1, 0).campaign).unwrap();
        assert_eq!(estimate.place, 1_000);
        assert!(estimate.wait_ms < 10_000, "{estimate:?}");
    }

    #[test]
    fn who_waits_for_ever_slows_nobody_down_nor_does_a_long_pause() {
        let room = WaitingRoom::default();
        room.enter(key(1, 0), None);
        let long_ago = Instant::now() - 6 * RATE_WINDOW;
        room.inner.lock().unwrap().left_at = Some(long_ago);
        room.enter(key(2, 1), None);
        room.leave(key(2, 1));
        let estimate = room.estimate(key(2, 0).campaign).unwrap();
        assert_eq!(estimate.place, 1, "the one that waits for ever");
        assert!(estimate.wait_ms < 1_000, "{estimate:?}");
        // One that was decided after an hour says no more than that the room was slow for as long as rates are measured.
        room.inner.lock().unwrap().rows.get_mut(&key(1, 0)).unwrap().entered = long_ago;
        room.inner.lock().unwrap().left_at = Some(long_ago);
        room.leave(key(1, 0));
        assert!(room.inner.lock().unwrap().busy_lately <= RATE_WINDOW + Duration::from_secs(1));
    }

    #[test]
    fn one_campaign_takes_no_more_than_half_of_what_others_leave() {
        let room = WaitingRoom::default();
        let half = WAITING_ROOM_MAX as u64 / 2;
        (0..half).for_each(|n| room.enter(key(1, n), None));
        // Many have left lately, so time is not what ends it.
        room.inner.lock().unwrap().left_lately = 10_000_000;
        assert_eq!(place(&room, 1), None);
        assert_eq!(place(&room, 2), Some(1));
        room.leave(key(1, 0));
        assert_eq!(place(&room, 1), Some(half - 1));
    }
}
