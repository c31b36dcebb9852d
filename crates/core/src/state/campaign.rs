//! A campaign: its rounds, funds, batches in flight, and chain events that are not final.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};

use super::ahead::Ahead;
use super::batch::Batch;
use super::funds::Funds;
use super::round::Round;
use crate::command::CampaignTerms;
use crate::ids::{BatchNo, BlockRef, EntitlementId, RoundNo, Seq};
use crate::log::entry::ChainEvent;
use crate::refusal::Code;

/// A campaign as the log knows it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Campaign {
    /// As created.
    pub terms: CampaignTerms,
    /// The position at which it last changed by anything but claims and payments.
    pub version: Seq,
    /// Whether its contracts were read from their deployment on; before that none of its events becomes final.
    pub watched: bool,
    /// Why nothing is decided now, if so.
    pub paused: Option<Code>,
    /// Rounds by number, from 1.
    pub rounds: BTreeMap<RoundNo, Round>,
    /// Where the tokens stand.
    pub funds: Funds,
    /// The number the next planned batch takes.
    pub next_batch: BatchNo,
    /// Batches not yet final.
    pub batches: BTreeMap<BatchNo, Batch>,
    /// Redirected claims that are decided and not final, with the positions of their decisions.
    pub redirected: BTreeMap<EntitlementId, Seq>,
    /// Events in blocks that are not final, by block number.
    pub unfinal: BTreeMap<u64, UnfinalBlock>,
    /// The highest block whose events are final: nothing at or below it is recorded again.
    pub final_block: u64,
    /// Final events of rounds that the log has not announced; they are told to the round when it is.
    pub ahead: BTreeMap<RoundNo, Ahead>,
}

/// A block with events of ours that is not final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct UnfinalBlock {
    /// The block.
    pub block: BlockRef,
    /// In their order there.
    pub events: Vec<ChainEvent>,
}

impl Campaign {
    /// A campaign just created.
    pub fn new(terms: CampaignTerms, version: Seq) -> Self {
        Self {
            terms,
            version,
            watched: false,
            paused: None,
            rounds: BTreeMap::new(),
            funds: Funds::default(),
            next_batch: 1,
            batches: BTreeMap::new(),
            redirected: BTreeMap::new(),
            unfinal: BTreeMap::new(),
            final_block: 0,
            ahead: BTreeMap::new(),
        }
    }

    /// A round.
    pub fn round(&self, number: RoundNo) -> Option<&Round> {
        self.rounds.get(&number)
    }

    /// The number the next round must have.
    pub fn next_round(&self) -> RoundNo {
        self.rounds.len() as RoundNo + 1
    }

    /// Batches whose content stands: planned and not final.
    pub fn in_flight(&self) -> usize {
        self.batches.values().filter(|b| !b.given_up).count()
    }

    /// The round of an entitlement, if it lies in a round that the log knows.
    pub fn round_of(&self, id: EntitlementId) -> Option<&Round> {
        self.round(id.round).filter(|round| id.index < round.terms.count)
    }

    /// The batch in flight that holds this entitlement.
    pub fn batch_of(&self, id: EntitlementId) -> Option<&Batch> {
        self.batches.values().find(|b| b.contains(id))
    }

    /// A payment by another way than our batches, seen in a block that is not final.
    pub fn paid_elsewhere(&self, id: EntitlementId) -> bool {
        self.seen_elsewhere(id).is_some()
    }

    /// The block and transaction of such a payment.
    pub fn seen_elsewhere(&self, id: EntitlementId) -> Option<(BlockRef, B256)> {
        self.unfinal.values().find_map(|b| {
            let payments = b.events.iter().filter_map(ChainEvent::payment);
            payments.into_iter().find_map(|(paid, tx)| (paid == id).then_some((b.block, tx)))
        })
    }
}
