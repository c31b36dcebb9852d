//! What clients keep of what they were told. The auditor believes nothing else about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use alloy_primitives::Address;
use sluice_core::ids::{CampaignId, DemandId, Seq};
use sluice_core::log::receipt::{Receipt, Ticket};

/// A claim that was handed in.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) campaign: CampaignId,
    pub(crate) index: u64,
    pub(crate) id: DemandId,
    /// Where it was signed to.
    pub(crate) to: Address,
    pub(crate) redirected: bool,
    /// Whether any node said 201 or 202, or 422 with a receipt.
    pub(crate) acknowledged: bool,
    pub(crate) verdict: Verdict,
}

/// What a client was told in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It will be paid, by the entry at this position.
    Decided(Seq),
    /// An entry at this position refused it.
    Refused(Seq, String),
    /// Refused before anything was recorded.
    Declined(String),
    /// Its id had been used for another body.
    Conflict,
    /// No node answered while the test ran.
    Nothing,
}

/// A state that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) campaign: CampaignId,
    pub(crate) index: u64,
    pub(crate) id: DemandId,
    /// The position it was read at.
    pub(crate) as_of: Seq,
    pub(crate) state: String,
}

/// A range whose push was answered: done, or refused because everything in it had been decided before.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) campaign: CampaignId,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) handed: Mutex<Vec<Handed>>,
    pub(crate) told: Mutex<Vec<Told>>,
    pub(crate) receipts: Mutex<Vec<(DemandId, Receipt)>>,
    pub(crate) tickets: Mutex<Vec<(DemandId, Ticket)>>,
    pub(crate) pushed: Mutex<Vec<Pushed>>,
    /// Entitlements whose wallets sent a transaction of their own.
    pub(crate) self_paid: Mutex<BTreeSet<(CampaignId, u64)>>,
    /// Entitlements that authorities ordered to annul, before they did.
    pub(crate) void_ordered: Mutex<BTreeSet<(CampaignId, u64)>>,
    /// Voids that were refused because the payment was final.
    pub(crate) voids_late: Mutex<u32>,
    /// Entitlements whose recipients were let in again after a transfer had failed, with a block not before the one
    /// in which that was final.
    pub(crate) let_in: Mutex<BTreeMap<(CampaignId, u64), u64>>,
    /// What a client saw that must never be seen.
    pub(crate) wrongs: Mutex<Vec<String>>,
}

impl Records {
    pub(crate) fn wrong(&self, what: String) {
        self.wrongs.lock().expect("no panic inside").push(what);
    }
}
