//! What changed from one snapshot to another: entitlements new, gone and with another amount. Indexes are left out of
//! the comparison; an entitlement is the same when address and person are.

use crate::file::Format;
use crate::snapshot::Snapshot;
use alloy_primitives::{Address, B256};
use serde::Serialize;
use sluice_core::amount::{Amount, Total};
use std::cmp::Ordering;

/// One difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The recipient.
    pub recipient: Address,
    /// The person, where the snapshots name them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<B256>,
    /// The amount in the first snapshot; `None` when it is new.
    pub before: Option<Amount>,
    /// The amount in the second snapshot; `None` when it is gone.
    pub after: Option<Amount>,
}

/// All differences, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiffSummary {
    /// Entitlements of the second snapshot only.
    pub added: u64,
    /// Entitlements of the first snapshot only.
    pub removed: u64,
    /// Entitlements with another amount.
    pub changed: u64,
    /// Entitlements alike in both.
    pub same: u64,
    /// Sum of the first snapshot.
    pub total_before: Total,
    /// Sum of the second snapshot.
    pub total_after: Total,
}

type Key = (Address, Option<B256>);

/// Hands every difference from `before` to `after` to `change`, by address and person. Stops at the first error of
/// `change`.
pub fn diff<E>(
    before: &Snapshot,
    after: &Snapshot,
    mut change: impl FnMut(Change) -> Result<(), E>,
) -> Result<DiffSummary, E> {
    let mut summary =
        DiffSummary { total_before: before.total(), total_after: after.total(), ..DiffSummary::default() };
    // Persons are compared only where both sides name them; else everything would differ.
    let persons = before.has_persons() && after.has_persons();
    let (mut old, mut new) = (entries(before, persons).peekable(), entries(after, persons).peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok(summary),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.0.cmp(&new.0),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        let amounts = (gone.map(|entry| entry.1), come.map(|entry| entry.1));
        match amounts {
            (Some(a), Some(b)) if a == b => {
                summary.same += 1;
                continue;
            }
            (Some(_), Some(_)) => summary.changed += 1,
            (Some(_), None) => summary.removed += 1,
            (None, _) => summary.added += 1,
        }
        let (recipient, person) = gone.or(come).map(|entry| entry.0).expect("one side was taken");
        change(Change { recipient, person, before: amounts.0, after: amounts.1 })?;
    }
}

/// The entitlements by address and person.
fn entries(snapshot: &Snapshot, persons: bool) -> Box<dyn Iterator<Item = (Key, Amount)> + '_> {
    let entry = move |(index, word): (u64, &sluice_core::entitlement::Word)| {
        let person = if persons { snapshot.person(index) } else { None };
        ((word.recipient(), person), word.amount())
    };
    let in_order = (0..).zip(snapshot.all_words()).map(entry);
    match snapshot.format() {
        Format::Native | Format::OpenZeppelin => Box::new(in_order),
        // Uniswap's order is that of the spellings.
        Format::Uniswap => {
            let mut entries: Vec<(Key, Amount)> = in_order.collect();
            entries.sort_unstable();
            Box::new(entries.into_iter())
        }
    }
}
