//! Places shared by those who come in crowds: claims under way by campaigns, bodies on their way by networks. However many
//! come to one campaign or from one network, the others find a place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

/// Places, shared by crowds.
#[derive(Debug)]
pub(crate) struct Places<K: Copy + Eq + Hash> {
    most: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    /// By each crowd that has any.
    by: HashMap<K, usize>,
}

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Copy + Eq + Hash> {
    places: Arc<Places<K>>,
    by: K,
}

impl<K: Copy + Eq + Hash> Places<K> {
    /// So many.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::new(Taken { all: 0, by: HashMap::new() }) })
    }

    /// A place for one of a crowd. A crowd may take half of those that others leave; who finds none is sent away at
    /// once, because waiting here would be one more queue in which some stand before others.
    pub(crate) fn take(self: &Arc<Self>, by: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().expect("no panic inside");
        let own = taken.by.get(&by).copied().unwrap_or(0);
        if own >= self.most.saturating_sub(taken.all) {
            return None;
        }
        taken.all += 1;
        taken.by.insert(by, own + 1);
        Some(Place { places: Arc::clone(self), by })
    }
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().expect("no panic inside");
        taken.all -= 1;
        if let Entry::Occupied(mut own) = taken.by.entry(self.by) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_core::ids::CampaignId;
    use uuid::Uuid;

    fn campaign(n: u128) -> CampaignId {
        CampaignId(Uuid::from_u128(n))
    }

    fn take_all(places: &Arc<Places<CampaignId>>, campaign: CampaignId) -> Vec<Place<CampaignId>> {
        std::iter::from_fn(|| places.take(campaign)).collect()
    }

    #[test]
    fn a_crowd_leaves_places_to_others_and_all_come_back() {
        let places = Places::new(64);
        let crowd = take_all(&places, campaign(1));
        assert_eq!(crowd.len(), 32);
        let second = take_all(&places, campaign(2));
        assert_eq!(second.len(), 16, "half of what the first one left");
        assert!(places.take(campaign(3)).is_some(), "somebody else");
        assert!(places.take(campaign(1)).is_none());
        drop((crowd, second));
        let taken = places.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by.len()), (0, 0));
    }
}
