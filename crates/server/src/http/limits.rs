//! Limits on requests. A network is charged only for what was refused, because a country may sit behind one carrier
//! NAT and all of its good claims must pass; a project's API key is charged for every request.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, NotUntil, Quota, RateLimiter};
use sluice_core::limits::LIMITER_KEYS_MAX;
use uuid::Uuid;

use super::bounds;
use super::client::Network;

/// What a network is charged for. Each has its own account: bad attestations keep nobody from claiming, nor the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charged {
    /// Attestations.
    Attestations,
    /// Everything else.
    Requests,
}

/// The limiters of a node.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: Refusals,
    attestations: Refusals,
    keys: Keyed<Uuid>,
}

/// What networks may be refused.
#[derive(Debug)]
struct Refusals {
    charged: Keyed<Network>,
    barred: Mutex<Barred>,
}

/// Networks that used up what they may be refused, until when.
#[derive(Debug, Default)]
struct Barred {
    networks: HashMap<Network, Instant>,
    /// When networks that could not be remembered used up what they share.
    others: Option<Instant>,
}

impl Limits {
    /// Limits with the rates of [`bounds`].
    pub(crate) fn new() -> Self {
        let rate = |per_second, burst| Quota::per_second(per_second).allow_burst(burst);
        Self::with(
            rate(bounds::REFUSALS_PER_SECOND, bounds::REFUSALS_BURST),
            rate(bounds::KEY_REQUESTS_PER_SECOND, bounds::KEY_REQUESTS_BURST),
            LIMITER_KEYS_MAX,
        )
    }

    fn with(refusals: Quota, keys: Quota, remembered: usize) -> Self {
        Self {
            requests: Refusals::new(refusals, remembered),
            attestations: Refusals::new(refusals, remembered),
            keys: Keyed::new(keys, remembered),
        }
    }

    const fn refusals(&self, what: Charged) -> &Refusals {
        match what {
            Charged::Attestations => &self.attestations,
            Charged::Requests => &self.requests,
        }
    }

    /// Whether a request without a key may come in from this network; else when.
    pub(crate) fn admit(&self, what: Charged, network: Network) -> Result<(), Duration> {
        self.refusals(what).admit(network)
    }

    /// A request from this network was refused.
    pub(crate) fn charge(&self, what: Charged, network: Network) {
        self.refusals(what).charge(network);
    }

    /// Whether this API key may make one more request; else when.
    pub(crate) fn admit_key(&self, key: Uuid) -> Result<(), Duration> {
        self.keys.check(key).map_err(|exceeded| exceeded.wait)
    }

    /// Forgets what has recovered. To be called every [`bounds::HOUSEKEEPING_EVERY`].
    pub(crate) fn forget_recovered(&self) {
        self.requests.forget_recovered();
        self.attestations.forget_recovered();
        self.keys.forget_recovered();
    }
}

impl Refusals {
    fn new(quota: Quota, remembered: usize) -> Self {
        Self { charged: Keyed::new(quota, remembered), barred: Mutex::default() }
    }

    fn admit(&self, network: Network) -> Result<(), Duration> {
        let barred = self.barred.lock().expect("no panic inside");
        let (own, others) = (barred.networks.get(&network).copied(), barred.others);
        drop(barred);
        let wait = |until: Instant| until.saturating_duration_since(Instant::now());
        let wait = match (own.map(wait), others.map(wait)) {
            (Some(wait), _) => wait,
            // Whoever has an account of their own pays for nobody else.
            (None, Some(wait)) if !wait.is_zero() && !self.charged.remembers(&network) => wait,
            _ => Duration::ZERO,
        };
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    fn charge(&self, network: Network) {
        let (wait, shared) = match self.charged.check(network) {
            Ok(()) => return,
            Err(Exceeded { wait, shared }) => (wait, shared),
        };
        let until = Instant::now() + wait;
        let mut barred = self.barred.lock().expect("no panic inside");
        if shared {
            barred.others = Some(until);
        } else {
            // Only networks with accounts of their own come here: these are no more than those.
            barred.networks.insert(network, until);
        }
    }

    fn forget_recovered(&self) {
        self.charged.forget_recovered();
        let now = Instant::now();
        let mut barred = self.barred.lock().expect("no panic inside");
        barred.networks.retain(|_, until| *until > now);
        barred.others = barred.others.filter(|until| *until > now);
    }
}

/// An account for each key, as long as there are not too many keys; those that come then share one.
#[derive(Debug)]
struct Keyed<K: Hash + Eq> {
    /// When each key has all again: the theoretical arrival time of the generic cell rate algorithm
    /// (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>).
    accounts: Mutex<HashMap<K, Instant>>,
    /// After this time one more is allowed.
    period: Duration,
    /// What may be used before it comes back.
    at_once: u32,
    together: DefaultDirectRateLimiter,
    remembered: usize,
    clock: DefaultClock,
}

/// A limit is used up.
struct Exceeded {
    wait: Duration,
    /// Whether it is the one that all keys share that are not remembered.
    shared: bool,
}

impl<K: Hash + Eq> Keyed<K> {
    fn new(quota: Quota, remembered: usize) -> Self {
        let together = Quota::per_second(overflow(quota));
        Self {
            accounts: Mutex::default(),
            period: quota.replenish_interval(),
            at_once: quota.burst_size().get(),
            together: RateLimiter::direct(together),
            remembered,
            clock: DefaultClock::default(),
        }
    }

    fn check(&self, key: K) -> Result<(), Exceeded> {
        let mut accounts = self.accounts.lock().expect("no panic inside");
        let now = Instant::now();
        let full_at = match accounts.get(&key) {
            Some(full_at) => (*full_at).max(now),
            None if accounts.len() < self.remembered => now,
            None => {
                drop(accounts);
                let wait = |not_until: NotUntil<_>| not_until.wait_time_from(self.clock.now());
                return self.together.check().map_err(|n| Exceeded { wait: wait(n), shared: true });
            }
        };
        let used = full_at.saturating_duration_since(now);
        let wait = used.saturating_sub(self.period * (self.at_once - 1));
        if !wait.is_zero() {
            return Err(Exceeded { wait, shared: false });
        }
        accounts.insert(key, full_at + self.period);
        Ok(())
    }

    /// Whether a key has an account of its own.
    fn remembers(&self, key: &K) -> bool {
        self.accounts.lock().expect("no panic inside").contains_key(key)
    }

    /// Forgets keys that have all again.
    fn forget_recovered(&self) {
        let now = Instant::now();
        self.accounts.lock().expect("no panic inside").retain(|_, full_at| *full_at > now);
    }
}

/// What is shared is never less than what one key has.
fn overflow(quota: Quota) -> NonZeroU32 {
    quota.burst_size().max(bounds::OVERFLOW_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Network = Network::V4([203, 0, 113]);
    const ELSEWHERE: Network = Network::V4([198, 51, 100]);

    /// One refusal an hour, three at once: nothing recovers while a test runs.
    fn slow(remembered: usize) -> Limits {
        let quota = Quota::with_period(Duration::from_secs(3_600)).unwrap();
        let quota = quota.allow_burst(NonZeroU32::new(3).unwrap());
        Limits::with(quota, quota, remembered)
    }

    #[test]
    fn a_network_is_barred_by_its_refusals_alone() {
        let limits = slow(10);
        for _ in 0..1_000 {
            assert!(limits.admit(Charged::Requests, HOME).is_ok(), "what is not refused costs nothing");
        }
        for _ in 0..3 {
            limits.charge(Charged::Requests, HOME);
            assert!(limits.admit(Charged::Requests, HOME).is_ok());
        }
        limits.charge(Charged::Requests, HOME);
        let wait = limits.admit(Charged::Requests, HOME).unwrap_err();
        assert!(wait > Duration::from_secs(3_000), "{wait:?}");
        assert!(limits.admit(Charged::Requests, ELSEWHERE).is_ok());
        assert!(limits.admit(Charged::Attestations, HOME).is_ok(), "each has its own account");
        limits.forget_recovered();
        assert!(limits.admit(Charged::Requests, HOME).is_err(), "housekeeping forgives nothing");
    }

    #[test]
    fn a_network_is_let_in_again() {
        let quota = Quota::with_period(Duration::from_millis(1)).unwrap();
        let limits = Limits::with(quota, quota, 10);
        limits.charge(Charged::Requests, HOME);
        while limits.admit(Charged::Requests, HOME).is_ok() {
            limits.charge(Charged::Requests, HOME);
        }
        while limits.admit(Charged::Requests, HOME).is_err() {
            std::thread::yield_now();
        }
        limits.forget_recovered();
        assert!(limits.requests.barred.lock().unwrap().networks.is_empty());
    }

    #[test]
    fn a_key_pays_for_every_request() {
        let limits = slow(10);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..3 {
            assert!(limits.admit_key(one).is_ok());
        }
        assert!(limits.admit_key(one).is_err());
        assert!(limits.admit_key(other).is_ok());
    }

    #[test]
    fn memory_is_bounded_however_many_networks_and_keys_come() {
        // Three times what is remembered; a 51st million is forgotten like the 101st thousand.
        let limits = Limits::new();
        let many = u32::try_from(LIMITER_KEYS_MAX * 3).unwrap();
        for n in 0..many {
            let [_, a, b, c] = n.to_be_bytes();
            limits.charge(Charged::Requests, Network::V6([0x20, 1, 0xd, 0xb8, a, b, c]));
            let _ = limits.admit_key(Uuid::from_u128(n.into()));
        }
        assert_eq!(limits.requests.charged.accounts.lock().unwrap().len(), LIMITER_KEYS_MAX);
        assert_eq!(limits.keys.accounts.lock().unwrap().len(), LIMITER_KEYS_MAX);
        assert!(limits.requests.barred.lock().unwrap().networks.len() <= LIMITER_KEYS_MAX);
    }

    #[test]
    fn no_more_networks_are_remembered_than_may_be() {
        let limits = slow(10);
        for n in 0..=255 {
            limits.charge(Charged::Requests, Network::V4([10, 0, n]));
        }
        let remembered = || limits.requests.charged.accounts.lock().unwrap().len();
        assert_eq!(remembered(), 10);
        // What the others share runs out, too, and then bars those that are not remembered.
        while limits.admit(Charged::Requests, ELSEWHERE).is_ok() {
            limits.charge(Charged::Requests, ELSEWHERE);
        }
        assert_eq!(remembered(), 10);
        assert!(limits.requests.barred.lock().unwrap().networks.is_empty());
        // Those that are remembered have accounts of their own, to the end.
        let (known, other) = (Network::V4([10, 0, 3]), Network::V4([10, 0, 4]));
        for _ in 0..2 {
            limits.charge(Charged::Requests, known);
            assert!(limits.admit(Charged::Requests, known).is_ok(), "it was refused three times");
        }
        limits.charge(Charged::Requests, known);
        let wait = limits.admit(Charged::Requests, known).unwrap_err();
        assert!(wait > Duration::from_secs(3_000), "{wait:?}");
        assert!(limits.admit(Charged::Requests, other).is_ok());
    }

    #[test]
    fn who_is_remembered_takes_nothing_of_what_the_others_share() {
        let limits = slow(1);
        let shared = overflow(Quota::per_second(NonZeroU32::MIN)).get();
        for _ in 0..2 * shared {
            limits.charge(Charged::Requests, HOME);
        }
        limits.charge(Charged::Requests, ELSEWHERE);
        assert!(limits.admit(Charged::Requests, HOME).is_err());
        assert!(limits.admit(Charged::Requests, ELSEWHERE).is_ok());
    }
}
