//! Fair order between campaigns: weighted deficit round robin (Shreedhar and Varghese 1995) with items of cost one,
//! first come, first served inside a campaign. Order is made once, here; the log keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::ids::CampaignId;
use crate::limits::WEIGHT_MAX;

/// How many items a campaign gives in its turn, where another gives one: a node's configuration. Order is what the log says and
/// is not derived again, so nodes may differ. Commands and masks have queues of their own, which weigh one.
#[derive(Clone, Debug, Default)]
pub struct Weights(Arc<BTreeMap<CampaignId, u32>>);

impl Weights {
    /// Those of some campaigns, each from 1 to [`WEIGHT_MAX`]; others weigh one.
    pub fn new(weights: impl IntoIterator<Item = (CampaignId, u32)>) -> Self {
        Self(Arc::new(weights.into_iter().map(|(id, weight)| (id, weight.clamp(1, WEIGHT_MAX))).collect()))
    }

    /// A queue's.
    pub fn of(&self, queue: CampaignId) -> u32 {
        self.0.get(&queue).copied().unwrap_or(1)
    }
}

/// Waiting items of all campaigns.
#[derive(Debug)]
pub struct Fair<T> {
    queues: BTreeMap<CampaignId, Queue<T>>,
    /// Campaigns with items, in the order of their turns.
    turns: VecDeque<CampaignId>,
    len: usize,
    weights: Weights,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    /// Items it may still give in this turn.
    credit: u32,
    weight: u32,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self::weighted(Weights::default())
    }
}

impl<T> Fair<T> {
    /// Nothing waits; each campaign gives as many items per turn as it weighs.
    pub fn weighted(weights: Weights) -> Self {
        Self { queues: BTreeMap::new(), turns: VecDeque::new(), len: 0, weights }
    }

    /// Items waiting.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Items of one campaign waiting.
    pub fn waiting(&self, campaign: CampaignId) -> usize {
        self.queues.get(&campaign).map_or(0, |q| q.items.len())
    }

    /// Adds an item behind its campaign's others.
    pub fn push(&mut self, campaign: CampaignId, item: T) {
        let queue = self.queue(campaign);
        queue.items.push_back(item);
        if queue.items.len() == 1 {
            queue.credit = queue.weight;
            self.turns.push_back(campaign);
        }
        self.len += 1;
    }

    /// Puts an item back that was taken: it is its campaign's next one. Of several, the last that was taken goes first.
    pub fn put_back(&mut self, campaign: CampaignId, item: T) {
        let queue = self.queue(campaign);
        queue.items.push_front(item);
        if queue.items.len() == 1 {
            queue.credit = queue.weight;
            self.turns.push_front(campaign);
        }
        self.len += 1;
    }

    /// The next item: the campaign whose turn it is gives up to its weight, then the next one has its turn.
    pub fn pop(&mut self) -> Option<T> {
        let campaign = *self.turns.front()?;
        let queue = self.queues.get_mut(&campaign)?;
        let item = queue.items.pop_front()?;
        queue.credit -= 1;
        self.len -= 1;
        if queue.items.is_empty() || queue.credit == 0 {
            queue.credit = queue.weight;
            self.turns.pop_front();
            if !queue.items.is_empty() {
                self.turns.push_back(campaign);
            }
        }
        Some(item)
    }

    fn queue(&mut self, campaign: CampaignId) -> &mut Queue<T> {
        let weight = self.weights.of(campaign);
        let empty = || Queue { items: VecDeque::new(), credit: weight, weight };
        self.queues.entry(campaign).or_insert_with(empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn campaign(n: u128) -> CampaignId {
        CampaignId(Uuid::from_u128(n))
    }

    #[test]
    fn a_backlog_of_one_campaign_does_not_stand_before_another() {
        let mut fair = Fair::default();
        for i in 0..100 {
            fair.push(campaign(1), (1, i));
        }
        fair.push(campaign(2), (2, 0));
        assert_eq!([fair.pop(), fair.pop(), fair.pop()], [Some((1, 0)), Some((2, 0)), Some((1, 1))]);
        assert_eq!((fair.len(), fair.waiting(campaign(1))), (98, 98));
    }

    #[test]
    fn weights_share_the_turns() {
        let mut fair = Fair::weighted(Weights::new([(campaign(1), 3), (campaign(3), 0)]));
        assert_eq!((fair.weights.of(campaign(3)), fair.weights.of(campaign(1).orders())), (1, 1));
        for i in 0..30 {
            fair.push(campaign(1), 1);
            fair.push(campaign(2), 2);
            let _ = i;
        }
        let taken: Vec<_> = std::iter::from_fn(|| fair.pop()).take(20).collect();
        assert_eq!(taken.iter().filter(|c| **c == 1).count(), 15);
    }

    #[test]
    fn what_is_put_back_comes_first_and_in_its_order() {
        let mut fair = Fair::default();
        for i in 0..4 {
            fair.push(campaign(1), (1, i));
        }
        fair.push(campaign(2), (2, 0));
        let taken: Vec<_> = std::iter::from_fn(|| fair.pop()).take(4).collect();
        assert_eq!(taken, [(1, 0), (2, 0), (1, 1), (1, 2)]);
        for (of, i) in taken.into_iter().skip(1).rev() {
            fair.put_back(campaign(of), (of, i));
        }
        assert_eq!((fair.len(), fair.waiting(campaign(2))), (4, 1));
        let rest: Vec<_> = std::iter::from_fn(|| fair.pop()).collect();
        assert_eq!(rest, [(2, 0), (1, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn inside_a_campaign_first_come_is_first_served() {
        let mut fair = Fair::default();
        for i in 0..10 {
            fair.push(campaign(7), i);
        }
        assert_eq!(std::iter::from_fn(|| fair.pop()).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert!(fair.is_empty());
    }
}
