//! A round: its terms and one set of bits per shard of its entitlements.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use borsh::{BorshDeserialize, BorshSerialize};

use super::bits::Bits;
use crate::amount::{Amount, Total};
use crate::command::RoundTerms;
use crate::ids::Seq;
use crate::limits::{SHARD, SKIP_RETRIES_MAX};

/// A round as the log knows it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Round {
    /// As published.
    pub terms: RoundTerms,
    /// Unix seconds; may be extended on chain.
    pub closes_at: u64,
    /// The position at which it last changed by anything but claims and payments.
    pub version: Seq,
    /// How far it is.
    pub phase: RoundPhase,
    /// Whether what it had left was swept: the Distributor pays nothing of it any more.
    pub swept: bool,
    /// The sum of each shard.
    pub shard_totals: Vec<Total>,
    /// Bits and sums of each shard.
    pub shards: Vec<Shard>,
    /// Entitlements whose transfer failed.
    pub skips: BTreeMap<u64, Skip>,
}

/// How far a round is. Only final chain events move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RoundPhase {
    /// Commanded; not final on chain.
    Announced = 1,
    /// Published on chain.
    Published = 2,
    /// Open: claims are decided.
    Open = 3,
    /// Its closing time has passed; what was accepted before is still decided and settled.
    Closed = 4,
    /// Cancelled or vetoed.
    Cancelled = 5,
}

impl RoundPhase {
    /// The word for reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Published => "published",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The bits of 65,536 entitlements.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Shard {
    /// A claim or a push decided it.
    pub decided: Bits,
    /// Annulled.
    pub void: Bits,
    /// Not payable now.
    pub held: Bits,
    /// Not to be planned: in a batch, waiting for a retry, or paid by another way that is not final.
    pub busy: Bits,
    /// Finally paid.
    pub paid: Bits,
    /// Annulled on chain, finally: never payable again.
    pub annulled: Bits,
    /// How many are decided or void: what a push of the whole shard leaves out.
    pub taken: u32,
    /// Their sum.
    pub taken_total: Total,
}

impl Shard {
    /// The 256 bits of word `at` within the shard that may be planned: decided, and neither annulled, held, busy
    /// nor paid.
    pub fn payable(&self, at: usize) -> [u64; 4] {
        let (void, held) = (self.void.word256(at), self.held.word256(at));
        let (busy, paid) = (self.busy.word256(at), self.paid.word256(at));
        let decided = self.decided.word256(at);
        std::array::from_fn(|i| decided[i] & !(void[i] | held[i] | busy[i] | paid[i]))
    }

    /// Marks one entitlement as decided or void for the sums; call before its bit is set.
    pub(super) fn take(&mut self, at: usize, amount: Amount) {
        if !self.decided.get(at) && !self.void.get(at) {
            self.taken += 1;
            self.taken_total =
                self.taken_total.checked_add(amount).expect("65,536 amounts of 96 bits fit 128 bits");
        }
    }
}

/// A failed transfer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Skip {
    /// How often it failed.
    pub times: u32,
    /// What the token said last.
    pub reason: Bytes,
    /// Whether it will be tried again by itself.
    pub retry: bool,
}

impl Skip {
    /// Whether it stays out of batches: until its retry, or, after the last one, until somebody acts.
    pub fn is_kept(&self) -> bool {
        self.retry || self.times > SKIP_RETRIES_MAX
    }
}

impl Round {
    /// A round just announced.
    pub fn new(terms: RoundTerms, shard_totals: Vec<Total>, version: Seq) -> Self {
        let shards = vec![Shard::default(); shard_totals.len()];
        let closes_at = terms.closes_at;
        Self {
            terms,
            closes_at,
            version,
            phase: RoundPhase::Announced,
            swept: false,
            shard_totals,
            shards,
            skips: BTreeMap::new(),
        }
    }

    /// Whether final chain events have opened it.
    pub fn was_opened(&self) -> bool {
        matches!(self.phase, RoundPhase::Open | RoundPhase::Closed)
    }

    /// Whether the Distributor settles it: opened, and not swept.
    pub fn is_paying(&self) -> bool {
        self.was_opened() && !self.swept
    }

    /// The shard of an index, and the index's place in it.
    pub fn shard(&self, index: u64) -> (&Shard, usize) {
        (&self.shards[shard_of(index)], place_of(index))
    }

    /// The same, or `None` outside the round.
    pub fn shard_at(&self, index: u64) -> Option<(&Shard, usize)> {
        Some((self.shards.get(shard_of(index))?, place_of(index)))
    }

    /// The shard of an index, and the index's place in it.
    pub fn shard_mut(&mut self, index: u64) -> (&mut Shard, usize) {
        (&mut self.shards[shard_of(index)], place_of(index))
    }

    /// How many entitlements shard `at` holds; the last may be short.
    pub fn shard_count(&self, at: usize) -> u64 {
        self.terms.count.saturating_sub(at as u64 * SHARD).min(SHARD)
    }
}

/// The number of an index's shard.
pub fn shard_of(index: u64) -> usize {
    (index / SHARD) as usize
}

/// An index's place in its shard.
pub fn place_of(index: u64) -> usize {
    (index % SHARD) as usize
}

/// Shards of a round of this many entitlements.
pub fn shards_of(count: u64) -> u64 {
    count.div_ceil(SHARD)
}
