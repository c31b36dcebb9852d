//! Look-ups at the door. Whoever signs badly causes one, so they take none of those that accepted demands wait for, and
//! nobody waits for one: who finds no room comes back, and keeps nobody else's place meanwhile. Of the room one crowd has
//! half of what others leave, and whoever caused many in vain has none until that is forgotten; what a key signed needs no
//! look-up, and passes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;
use std::time::Instant;

use sluice_chain::{Chain, ChainError};
use sluice_core::ids::{BlockRef, ChainId};
use sluice_core::limits::{
    DOOR_LOOKUPS_MAX, LIMITER_KEYS_MAX, ORDER_LOOKUPS_MAX, PRIVATE_LOOKUPS_MAX, VAIN_LOOKUP_FORGOTTEN,
    VAIN_LOOKUPS_AT_ONCE,
};
use tokio::sync::SemaphorePermit;

use super::Verifier;
use crate::error::EngineError;

/// Those who hand demands in from one network, as the front door tells networks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Crowd(pub u64);

/// For whom something is verified.
#[derive(Clone, Copy, Debug)]
pub enum LookUpFor {
    /// Whoever decides: the demand is accepted, and waits until it is found out.
    Decision,
    /// Whoever hands it in; none is somebody inside this process.
    Door(Option<Crowd>),
}

/// What is looked up at the door.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A claim's signature.
    Claim,
    /// The same on a private list, whoever is listed.
    PrivateClaim,
    /// What offices and gates sign.
    Order,
}

/// Look-ups under way at the door: each kind has room of its own.
#[derive(Debug)]
pub(super) struct Door {
    claims: Room,
    private: Room,
    orders: Room,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            claims: Room::new(DOOR_LOOKUPS_MAX),
            private: Room::new(PRIVATE_LOOKUPS_MAX),
            orders: Room::new(ORDER_LOOKUPS_MAX),
        }
    }
}

impl Verifier {
    /// Asks a chain whether a signature is good. What was accepted waits for its turn, what is at the door finds room or does
    /// not.
    ///
    /// # Errors
    /// When the chain does not answer; [`EngineError::LookUpsFull`] at the door.
    pub(super) async fn look_up<F>(
        &self,
        asker: LookUpFor,
        kind: Kind,
        chain: ChainId,
        ask: impl FnOnce(Chain) -> F,
    ) -> Result<(bool, BlockRef), EngineError>
    where
        F: Future<Output = Result<(bool, BlockRef), ChainError>>,
    {
        let asked = self.chain(chain)?;
        let LookUpFor::Door(by) = asker else {
            let _permit = self.look_up_permit(chain).await?;
            return Ok(ask(asked.clone()).await?);
        };
        let (room, asked) = match kind {
            Kind::Claim => (&self.door.claims, asked.at_door()),
            Kind::PrivateClaim => (&self.door.private, asked.at_door()),
            Kind::Order => (&self.door.orders, asked.for_orders()),
        };
        let begun = room.begin(by)?;
        let answer = ask(asked).await;
        // A chain that does not answer is nobody's fault at the door.
        if !matches!(answer, Ok((false, _))) {
            begun.was_good();
        }
        Ok(answer?)
    }

    /// The turn of an accepted demand to ask a chain.
    pub(super) async fn look_up_permit(&self, chain: ChainId) -> Result<SemaphorePermit<'_>, EngineError> {
        let lookups = self.lookups.get(&chain).ok_or_else(|| super::not_configured(chain))?;
        lookups.acquire().await.map_err(|_| EngineError::Stopping)
    }
}

/// Room for look-ups of a kind.
#[derive(Debug)]
struct Room {
    most: usize,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    under_way: usize,
    /// By each crowd that has any.
    by: HashMap<Crowd, usize>,
    /// Who caused look-ups in vain, and when the last of them is forgotten.
    vain: HashMap<Crowd, Instant>,
}

/// A look-up under way. It was in vain unless it is said to have been good: also when nobody waited for its end.
#[derive(Debug)]
struct Begun<'a> {
    books: &'a Mutex<Books>,
    by: Option<Crowd>,
}

impl Room {
    /// For at most so many at once.
    fn new(most: usize) -> Self {
        Self { most, books: Mutex::default() }
    }

    /// Begins a look-up.
    ///
    /// # Errors
    /// [`EngineError::LookUpsFull`]: come back.
    fn begin(&self, by: Option<Crowd>) -> Result<Begun<'_>, EngineError> {
        let mut books = self.books.lock().expect("no panic inside");
        let left = self.most.saturating_sub(books.under_way);
        let room = match by {
            None => left > 0,
            Some(by) => books.by.get(&by).copied().unwrap_or(0) < left && books.charge(by, Instant::now()),
        };
        if !room {
            return Err(EngineError::LookUpsFull);
        }
        books.under_way += 1;
        if let Some(by) = by {
            *books.by.entry(by).or_default() += 1;
        }
        drop(books);
        Ok(Begun { books: &self.books, by })
    }
}

impl Begun<'_> {
    /// It was not in vain, or that was no fault of who caused it.
    fn was_good(self) {
        let mut books = self.books.lock().expect("no panic inside");
        if let Some(until) = self.by.and_then(|by| books.vain.get_mut(&by)) {
            *until = until.checked_sub(VAIN_LOOKUP_FORGOTTEN).unwrap_or(*until);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut books = self.books.lock().expect("no panic inside");
        books.under_way -= 1;
        let Some(by) = self.by else { return };
        if let Entry::Occupied(mut own) = books.by.entry(by) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

impl Books {
    /// Counts a look-up as one in vain, unless there are too many of this crowd; says whether it may begin.
    fn charge(&mut self, by: Crowd, now: Instant) -> bool {
        if self.vain.len() >= LIMITER_KEYS_MAX && !self.vain.contains_key(&by) {
            self.vain.retain(|_, until| *until > now);
            if self.vain.len() >= LIMITER_KEYS_MAX {
                return false;
            }
        }
        let until = self.vain.get(&by).map_or(now, |until| (*until).max(now));
        let many = VAIN_LOOKUP_FORGOTTEN * (VAIN_LOOKUPS_AT_ONCE - 1);
        if until.saturating_duration_since(now) > many {
            return false;
        }
        self.vain.insert(by, until + VAIN_LOOKUP_FORGOTTEN);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<Crowd> = Some(Crowd(1));
    const THERE: Option<Crowd> = Some(Crowd(2));

    #[test]
    fn one_crowd_leaves_look_ups_to_others_and_all_come_back() {
        let door = Room::new(16);
        let all = |by| std::iter::from_fn(|| door.begin(by).ok()).collect::<Vec<_>>();
        let here = all(HERE);
        assert_eq!(here.len(), 8);
        let there = all(THERE);
        assert_eq!(there.len(), 4, "half of what the first one left");
        assert_eq!(all(None).len(), 4, "whoever is no crowd may have the rest");
        here.into_iter().chain(there).for_each(Begun::was_good);
        let books = door.books.lock().unwrap();
        assert_eq!((books.under_way, books.by.len()), (0, 0));
    }

    #[test]
    fn who_caused_many_in_vain_has_none_until_that_is_forgotten() {
        let door = Room::new(16);
        for _ in 0..1_000 {
            door.begin(HERE).unwrap().was_good();
        }
        // Also when nobody waits for what comes of it.
        for n in 0..VAIN_LOOKUPS_AT_ONCE {
            assert!(door.begin(HERE).is_ok(), "{n} before it");
        }
        assert!(matches!(door.begin(HERE), Err(EngineError::LookUpsFull)));
        assert!(door.begin(THERE).is_ok(), "somebody else");
        let mut books = door.books.lock().unwrap();
        let later = Instant::now() + VAIN_LOOKUP_FORGOTTEN * VAIN_LOOKUPS_AT_ONCE;
        assert!((0..VAIN_LOOKUPS_AT_ONCE).all(|_| books.charge(Crowd(1), later)), "all of it");
        assert!(!books.charge(Crowd(1), later));
    }

    #[test]
    fn memory_is_bounded_however_many_crowds_come() {
        let mut books = Books::default();
        let now = Instant::now();
        let most = u64::try_from(LIMITER_KEYS_MAX).unwrap();
        assert!((0..most).all(|n| books.charge(Crowd(n), now)));
        assert!(!books.charge(Crowd(most), now), "nothing is known of it");
        assert!(books.charge(Crowd(0), now), "who is remembered has an account");
        assert!(books.charge(Crowd(most), now + VAIN_LOOKUP_FORGOTTEN * 3), "the others are forgotten");
        assert_eq!(books.vain.len(), 1);
    }
}
