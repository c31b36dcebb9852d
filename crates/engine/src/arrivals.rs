//! What this node accepted, on its way from the intake writer to the feed of the same process: whoever leads need not read
//! back what it has just written. Only rows whose commit is certain are handed over. Whatever does not fit, and whatever
//! comes while nobody takes it, is read from the database, as other nodes' rows are; so this is nothing but a short cut.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use sluice_core::command::Accepted;
use sluice_core::ids::CampaignId;
use sluice_core::limits::{HANDED_OVER_MAX, INTAKE_READ_MAX};
use tokio::sync::Notify;

/// Rows of this node by campaign, ascending by `n` in each.
pub(crate) type Rows = HashMap<CampaignId, VecDeque<Accepted>>;

/// Between one writer and one feed.
#[derive(Debug, Default)]
pub struct Arrivals {
    arrived: Notify,
    /// `None` while no feed takes them.
    handed: Mutex<Option<Handed>>,
}

#[derive(Debug, Default)]
struct Handed {
    rows: Rows,
    len: usize,
}

impl Arrivals {
    /// Hands over committed rows, in the order of their numbers.
    pub(crate) fn hand_over(&self, rows: impl IntoIterator<Item = Accepted>) {
        if let Some(handed) = self.handed.lock().expect("no panic inside").as_mut() {
            for row in rows {
                handed.push(row);
            }
        }
        self.arrived.notify_one();
    }

    /// Begins to take rows.
    pub(crate) fn open(&self) {
        *self.handed.lock().expect("no panic inside") = Some(Handed::default());
    }

    /// Takes no more; what was not taken lies in the database.
    pub(crate) fn close(&self) {
        *self.handed.lock().expect("no panic inside") = None;
    }

    /// All that came since the last time.
    pub(crate) fn take(&self) -> Rows {
        let mut handed = self.handed.lock().expect("no panic inside");
        handed.as_mut().map(std::mem::take).unwrap_or_default().rows
    }

    /// Waits until something may have come.
    pub(crate) async fn wait(&self) {
        self.arrived.notified().await;
    }
}

impl Handed {
    /// Takes a row if there is room for it: as much for each campaign as one reading of its queue yields, so that no backlog
    /// stands before others.
    fn push(&mut self, row: Accepted) {
        let queue = self.rows.entry(row.key.campaign).or_default();
        let fits = i64::try_from(queue.len()).is_ok_and(|len| len < INTAKE_READ_MAX);
        if fits && self.len < HANDED_OVER_MAX {
            queue.push_back(row);
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, Bytes};
    use sluice_core::amount::Amount;
    use sluice_core::command::{ClaimDemand, Demand};
    use sluice_core::ids::{DemandId, IntakeKey};
    use uuid::Uuid;

    fn row(campaign: u128, n: u64) -> Accepted {
        let claim = ClaimDemand {
            round: 1,
            index: n,
            recipient: Address::ZERO,
            to: Address::ZERO,
            amount: Amount::default(),
            deadline: 0,
            signature: Bytes::new(),
        };
        let key = IntakeKey { campaign: CampaignId(Uuid::from_u128(campaign)), node: 1, n };
        Accepted { key, id: DemandId(Uuid::nil()), accepted_at: 0, demand: Demand::Claim(claim) }
    }

    fn numbers(rows: &Rows, campaign: u128) -> Vec<u64> {
        let queue = rows.get(&CampaignId(Uuid::from_u128(campaign)));
        queue.into_iter().flatten().map(|row| row.key.n).collect()
    }

    #[test]
    fn rows_are_handed_over_only_while_they_are_taken() {
        let arrivals = Arrivals::default();
        arrivals.hand_over([row(1, 1)]);
        assert!(arrivals.take().is_empty());
        arrivals.open();
        arrivals.hand_over([row(1, 2), row(2, 1), row(1, 3)]);
        let taken = arrivals.take();
        assert_eq!((numbers(&taken, 1), numbers(&taken, 2)), (vec![2, 3], vec![1]));
        assert!(arrivals.take().is_empty());
        arrivals.hand_over([row(1, 4)]);
        arrivals.close();
        assert!(arrivals.take().is_empty());
    }

    #[test]
    fn a_backlog_is_left_to_the_database_from_its_first_row_that_does_not_fit() {
        let arrivals = Arrivals::default();
        arrivals.open();
        let fits = INTAKE_READ_MAX.unsigned_abs();
        arrivals.hand_over((1..=fits + 5).map(|n| row(1, n)));
        arrivals.hand_over([row(2, 1)]);
        let taken = arrivals.take();
        assert_eq!(numbers(&taken, 1), (1..=fits).collect::<Vec<_>>());
        assert_eq!(numbers(&taken, 2), [1]);
        arrivals.hand_over((0..20).flat_map(|campaign| (1..=fits).map(move |n| row(campaign, n))));
        assert_eq!(arrivals.take().values().map(VecDeque::len).sum::<usize>(), HANDED_OVER_MAX);
    }
}
