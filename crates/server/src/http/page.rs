//! Pages of what State keeps in order.

use std::collections::BTreeMap;
use std::ops::Bound;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use sluice_core::ids::Seq;
use sluice_core::limits::PAGE_ITEMS_MAX;
use utoipa::{IntoParams, ToSchema};

/// Which part of a list in the order of ids.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ById {
    /// Behind this one.
    #[param(value_type = Option<String>)]
    after: Option<B256>,
    /// At most so many; 1,000 if more or nothing is said.
    limit: Option<usize>,
}

/// Which part of a list in the order of positions.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ByPosition {
    /// Behind this one.
    after: Option<Seq>,
    /// At most so many; 1,000 if more or nothing is said.
    limit: Option<usize>,
}

impl From<ById> for Which<B256> {
    fn from(ById { after, limit }: ById) -> Self {
        Self { after, limit }
    }
}

impl From<ByPosition> for Which<Seq> {
    fn from(ByPosition { after, limit }: ByPosition) -> Self {
        Self { after, limit }
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which<K> {
    /// Behind this one.
    pub after: Option<K>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A part of a list, in the order of its ids.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// Ask for `after` this one for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<K>,
}

impl<K: Copy + Ord> Which<K> {
    /// This part of a list.
    pub(crate) fn of<V, T>(
        &self,
        list: &BTreeMap<K, V>,
        mut view: impl FnMut(K, &V) -> Option<T>,
    ) -> Page<T, K> {
        let limit = self.limit.unwrap_or(PAGE_ITEMS_MAX).clamp(1, PAGE_ITEMS_MAX);
        let behind = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = list.range((behind, Bound::Unbounded));
        let (mut items, mut last, mut next) = (Vec::new(), None, None);
        for (key, value) in found.by_ref() {
            let Some(item) = view(*key, value) else { continue };
            if items.len() == limit {
                next = last;
                break;
            }
            items.push(item);
            last = Some(*key);
        }
        Page { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_pass_over_what_is_not_shown() {
        let list: BTreeMap<u64, u64> = (1..=10).map(|n| (n, n)).collect();
        let even = |_, n: &u64| n.is_multiple_of(2).then_some(*n);
        let page = |after, limit| Which { after, limit: Some(limit) }.of(&list, even);
        let first = page(None, 3);
        assert_eq!((first.items, first.next), (vec![2, 4, 6], Some(6)));
        let last = page(Some(6), 3);
        assert_eq!((last.items, last.next), (vec![8, 10], None));
        assert_eq!(page(None, 5).next, None);
    }
}
