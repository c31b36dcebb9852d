//! Places for claims under way, shared by campaigns: however many come to one, those who come to another find a place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use sluice_core::ids::CampaignId;

/// Places for claims.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of each campaign of which any are.
    of_campaigns: HashMap<CampaignId, usize>,
}

/// A claim's place; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    campaign: CampaignId,
}

impl Places {
    /// So many.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A place for a campaign's claim. A campaign may take half of those that others leave; who finds none is sent away at
    /// once, because waiting here would be one more queue in which some stand before others.
    pub(crate) fn take(self: &Arc<Self>, campaign: CampaignId) -> Option<Place> {
        let mut taken = self.taken.lock().expect("no panic inside");
        let own = taken.of_campaigns.get(&campaign).copied().unwrap_or(0);
        if own >= self.most.saturating_sub(taken.all) {
            return None;
        }
        taken.all += 1;
        taken.of_campaigns.insert(campaign, own + 1);
        Some(Place { places: Arc::clone(self), campaign })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().expect("no panic inside");
        taken.all -= 1;
        if let Entry::Occupied(mut own) = taken.of_campaigns.entry(self.campaign) {
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
    use uuid::Uuid;

    fn campaign(n: u128) -> CampaignId {
        CampaignId(Uuid::from_u128(n))
    }

    fn take_all(places: &Arc<Places>, campaign: CampaignId) -> Vec<Place> {
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
        assert_eq!((taken.all, taken.of_campaigns.len()), (0, 0));
    }
}
