//! Holds, persons and appeals.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::Total;
use crate::command::{AppealAbout, HoldTarget};
use crate::ids::{DemandId, Millis, Seq};
use crate::log::entry::Covered;

/// A hold in force. Ended ones are gone from State; the log keeps them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hold {
    /// What it stops.
    pub target: HoldTarget,
    /// Who placed it.
    pub placed_by: B256,
    /// Who confirmed it.
    pub confirmed_by: Option<B256>,
    /// It ends by itself then.
    pub until: Millis,
    /// The position at which it last changed.
    pub version: Seq,
    /// What it covers; grows with rounds published later, for a person.
    pub covers: Vec<Covered>,
}

/// What an office counts against its own limit: entitlements it held alone in the present window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HoldUse {
    /// When it last placed one.
    pub last: Millis,
    /// What it held alone without a pause as long as such a hold lasts: entitlements, or 1 for a hold that covers none yet.
    pub held: u64,
}

impl HoldUse {
    /// After one more hold at this time.
    pub fn plus(self, covers: &[Covered], at: Millis) -> Self {
        // A hold on a person who is owed nothing yet covers what is announced later.
        Self { last: at, held: self.held.saturating_add((covers.len() as u64).max(1)) }
    }
}

/// A person whom a registrar made known.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Person {
    /// Where the person is paid.
    pub payee: Address,
    /// Addresses that a registrar bound, at most [`crate::limits::VOUCHED_MAX`]: attestations about them are the person's. One
    /// that the person alone named is not among them, because nobody asked whose it is.
    pub vouched: BTreeSet<Address>,
    /// The registrar.
    pub registrar: B256,
    /// The jurisdiction the person belongs to, as the registrar named it; empty for none.
    pub jurisdiction: String,
    /// The position since which the person belongs to it: what a mandate said of the person before then it said of another
    /// place.
    pub belongs_since: Seq,
    /// The position at which the binding last changed.
    pub version: Seq,
}

/// An appeal that waits for its answer. Answered and lapsed ones are gone from State; the log keeps them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Appeal {
    /// What it is against.
    pub about: AppealAbout,
    /// Whose decision that was.
    pub against: B256,
    /// The command that filed it.
    pub filed: DemandId,
    /// It lapses then.
    pub answer_by: Millis,
    /// The position at which it last changed.
    pub version: Seq,
}

/// A pause of a campaign by an institution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pause {
    /// Who paused it.
    pub by: B256,
    /// Whether fewer institutions than the Charter's threshold stood behind it.
    pub alone: bool,
    /// It ends by itself then.
    pub until: Millis,
}

/// How much a campaign decides in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decided {
    /// Base units decided so far, by claims and pushes.
    pub total: Total,
    /// No more than this, until somebody sets another limit.
    pub limit: Option<Total>,
}

impl Decided {
    /// Whether this much more may be decided.
    pub fn leaves_room(&self, amount: Total) -> bool {
        self.limit
            .is_none_or(|limit| self.total.checked_add_total(amount).is_some_and(|total| total <= limit))
    }
}
