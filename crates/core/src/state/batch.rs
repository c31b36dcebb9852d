//! Batches between planning and finality.

use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::ids::{EntitlementId, Epoch};
use crate::log::entry::{BatchMined, BatchPlanned, Skipped, WordMask};

/// A batch in flight.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Batch {
    /// Its content.
    pub plan: BatchPlanned,
    /// Every transaction ever signed for this number, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many of them, from the first, carry content that was given up: they cannot be mined any more, but may
    /// still sit in a mempool at their nonces.
    pub dead: u32,
    /// Where it was mined, while the chain says so.
    pub mined: Option<BatchMined>,
    /// Whether its content was given up: its number waits to be planned anew.
    pub given_up: bool,
}

/// A signed transaction carrying a batch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Attempt {
    /// The epoch in its calldata.
    pub epoch: Epoch,
    /// The settlement account that signed.
    pub lane: Address,
    /// Its nonce.
    pub nonce: u64,
    /// Its hash.
    pub tx_hash: B256,
    /// Wei per gas.
    pub max_fee: u128,
    /// Wei per gas.
    pub priority_fee: u128,
    /// Gas.
    pub gas_limit: u64,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStage {
    /// No transaction signed.
    Planned,
    /// Signed, perhaps sent.
    Sent,
    /// In a block that is not final.
    Mined,
}

impl Batch {
    /// How far it is.
    pub fn stage(&self) -> BatchStage {
        match (&self.mined, self.alive().is_empty()) {
            (Some(_), _) => BatchStage::Mined,
            (None, false) => BatchStage::Sent,
            (None, true) => BatchStage::Planned,
        }
    }

    /// The attempts that carry its present content.
    pub fn alive(&self) -> &[Attempt] {
        self.attempts.get(self.dead as usize..).unwrap_or_default()
    }

    /// Whether it still has to be mined.
    pub fn is_open(&self) -> bool {
        self.mined.is_none() && !self.given_up
    }

    /// Whether this entitlement is in it.
    pub fn contains(&self, id: EntitlementId) -> bool {
        let words = &self.plan.words;
        let at = words.partition_point(|w| (w.round, w.word) < (id.round, id.index / 256));
        words.get(at).is_some_and(|w| w.contains(id.round, id.index))
    }

    /// Whether every one of these bits is in it.
    pub fn names_all(&self, words: &[WordMask]) -> bool {
        words.iter().all(|w| w.indexes().all(|index| self.contains(EntitlementId { round: w.round, index })))
    }

    /// The failed transfer of this entitlement, if the chain reported one.
    pub fn skipped(&self, id: EntitlementId) -> Option<&Skipped> {
        self.mined.as_ref().and_then(|m| m.skipped.iter().find(|s| s.entitlement == id))
    }

    /// Whether the chain reported this entitlement as paid by this batch.
    pub fn paid(&self, id: EntitlementId) -> bool {
        self.mined.as_ref().is_some_and(|m| m.paid.iter().any(|w| w.contains(id.round, id.index)))
    }
}
