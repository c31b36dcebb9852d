//! Demands this node accepted that are not decided: bounded, one per entitlement, with place and estimate.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sluice_core::ids::{CampaignId, EntitlementId, IntakeKey};
use sluice_core::limits::{DECIDE_WITHIN, WAITING_ROOM_MAX};

/// How long rates are measured over.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Who waits at this node.
#[derive(Debug, Default)]
pub struct WaitingRoom {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: HashMap<IntakeKey, Option<(CampaignId, EntitlementId)>>,
    claims: HashSet<(CampaignId, EntitlementId)>,
    /// When recent demands left, for the estimate.
    left: VecDeque<Instant>,
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
    /// Place and estimated wait of the next demand; `None` when the room is full or the wait would break the promise
    /// of a ticket: no work is begun for it.
    pub fn estimate(&self) -> Option<Estimate> {
        let mut inner = self.inner.lock().expect("no panic inside");
        inner.forget_old();
        let place = inner.rows.len();
        let per_second = inner.left.len() as u64 / RATE_WINDOW.as_secs();
        // An idle room has no rate to go by; its first demands are decided within moments.
        let wait_ms = (place as u64 * 1_000).checked_div(per_second).unwrap_or(place as u64 * 10);
        let bound = u64::try_from(DECIDE_WITHIN.as_millis()).expect("seconds") / 2;
        (place < WAITING_ROOM_MAX && wait_ms <= bound).then_some(Estimate { place: place as u64, wait_ms })
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
        inner.rows.insert(key, claim);
    }

    /// A row was decided.
    pub fn leave(&self, key: IntakeKey) {
        let mut inner = self.inner.lock().expect("no panic inside");
        if let Some(claim) = inner.rows.remove(&key) {
            if let Some(claim) = claim {
                inner.claims.remove(&claim);
            }
            inner.left.push_back(Instant::now());
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
    fn forget_old(&mut self) {
        while self.left.front().is_some_and(|at| at.elapsed() > RATE_WINDOW) {
            self.left.pop_front();
        }
    }
}
