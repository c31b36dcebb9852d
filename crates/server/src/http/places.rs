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
        one_less(&mut taken.by, self.by);
    }
}

/// Places, shared by crowds of which each consists of others that share its part: a campaign's claimants come from many
/// networks.
#[derive(Debug)]
pub(crate) struct Parted<K: Copy + Eq + Hash, P: Copy + Eq + Hash> {
    most: usize,
    taken: Mutex<TakenParts<K, P>>,
}

#[derive(Debug)]
struct TakenParts<K, P> {
    all: usize,
    by: HashMap<K, usize>,
    parts: HashMap<(K, P), usize>,
}

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct PartPlace<K: Copy + Eq + Hash, P: Copy + Eq + Hash> {
    places: Arc<Parted<K, P>>,
    by: K,
    part: P,
}

impl<K: Copy + Eq + Hash, P: Copy + Eq + Hash> Parted<K, P> {
    /// So many.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let taken = TakenParts { all: 0, by: HashMap::new(), parts: HashMap::new() };
        Arc::new(Self { most, taken: Mutex::new(taken) })
    }

    /// A place for one of a part of a crowd. The crowd may take half of those that others leave, and of these each of its
    /// parts half of those that its other parts leave.
    pub(crate) fn take(self: &Arc<Self>, by: K, part: P) -> Option<PartPlace<K, P>> {
        let mut taken = self.taken.lock().expect("no panic inside");
        let crowd = taken.by.get(&by).copied().unwrap_or(0);
        let own = taken.parts.get(&(by, part)).copied().unwrap_or(0);
        let share = self.most.saturating_sub(taken.all - crowd) / 2;
        if own >= share.saturating_sub(crowd) {
            return None;
        }
        taken.all += 1;
        taken.by.insert(by, crowd + 1);
        taken.parts.insert((by, part), own + 1);
        Some(PartPlace { places: Arc::clone(self), by, part })
    }
}

impl<K: Copy + Eq + Hash, P: Copy + Eq + Hash> Drop for PartPlace<K, P> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().expect("no panic inside");
        taken.all -= 1;
        one_less(&mut taken.by, self.by);
        one_less(&mut taken.parts, (self.by, self.part));
    }
}

/// Forgets who has none.
fn one_less<K: Eq + Hash>(taken: &mut HashMap<K, usize>, by: K) {
    if let Entry::Occupied(mut own) = taken.entry(by) {
        *own.get_mut() -= 1;
        if *own.get() == 0 {
            own.remove();
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
    #[test]
    fn a_network_leaves_places_of_its_campaign_to_others_and_a_campaign_to_other_campaigns() {
        let places = Parted::new(64);
        let take_all =
            |campaign, network: u8| std::iter::from_fn(|| places.take(campaign, network)).collect::<Vec<_>>();
        let (one, other) = (campaign(1), campaign(2));
        let crowd = take_all(one, 1);
        assert_eq!(crowd.len(), 16, "half of the campaign's half");
        let neighbours = take_all(one, 2);
        assert_eq!(neighbours.len(), 8, "half of what the first one left");
        // Another campaign's claimants behind the same network have places, too.
        assert_eq!(take_all(other, 1).len(), 10, "half of half of what the first campaign left");
        let many: Vec<_> = (3..=255).flat_map(|network| places.take(one, network)).collect();
        assert_eq!(crowd.len() + neighbours.len() + many.len(), 32, "many networks have the campaign's half");
        assert!(places.take(one, 1).is_none() && places.take(other, 1).is_some());
        drop((crowd, neighbours, many));
        let taken = places.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by.len(), taken.parts.len()), (0, 0, 0));
    }
}
