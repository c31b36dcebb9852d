//! State: what the committed entries add up to. Every node replays the same entries into the same State; reads are
//! answered from it, the leader decides on a clone of it.

pub mod ahead;
pub mod apply;
mod apply_chain;
mod apply_events;
pub mod batch;
pub mod bits;
pub mod campaign;
mod check;
pub mod cursor;
pub mod due;
pub mod funds;
pub mod pages;
pub mod round;
pub mod status;

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::ids::{BlockRef, CampaignId, ChainId, ContractRef, Epoch, Millis, NodeId, Seq, StreamId};
use crate::log::entry::{CharterRead, Due};
use campaign::Campaign;
use cursor::Cursor;
use due::DueTimes;
use pages::Pages;

/// Everything the log has said so far, as far as a later answer depends on it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct State {
    /// Which log.
    pub stream: StreamId,
    /// The position of the last entry applied.
    pub seq: Seq,
    /// The epoch of that entry.
    pub epoch: Epoch,
    /// When that entry was recorded; never runs backwards.
    pub recorded_at: Millis,
    /// The Charter that founds the stream: domain of off-chain commands.
    pub home: Option<ContractRef>,
    /// Charters as last read, one per chain.
    pub charters: BTreeMap<ChainId, CharterRead>,
    /// Campaigns.
    pub campaigns: BTreeMap<CampaignId, Campaign>,
    /// What of each node's intake is answered.
    pub cursors: BTreeMap<(CampaignId, NodeId), Cursor>,
    /// How far each chain was read.
    pub chains: BTreeMap<ChainId, ChainSeen>,
    /// What falls due.
    pub due: DueTimes,
    /// Hashes of the pages this State consists of.
    #[borsh(skip)]
    pages: Pages,
}

/// How far a chain was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChainSeen {
    /// Read up to here.
    pub seen: BlockRef,
    /// Final up to here.
    pub finalized: BlockRef,
    /// The epoch the chain has finalised; 0 before any.
    pub epoch: Epoch,
}

impl State {
    /// The state before the first entry.
    pub fn new(stream: StreamId) -> Self {
        Self {
            stream,
            seq: 0,
            epoch: 0,
            recorded_at: 0,
            home: None,
            charters: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            cursors: BTreeMap::new(),
            chains: BTreeMap::new(),
            due: DueTimes::default(),
            pages: Pages::default(),
        }
    }

    /// The founding Charter, as last read.
    pub fn home_charter(&self) -> Option<&CharterRead> {
        self.home.and_then(|home| self.charters.get(&home.chain_id))
    }

    /// A campaign.
    pub fn campaign(&self, id: CampaignId) -> Option<&Campaign> {
        self.campaigns.get(&id)
    }

    /// The first item due at `now`, if any.
    pub fn first_due(&self, now: Millis) -> Option<&Due> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, due)| due)
    }

    /// Whether this intake row has been answered.
    pub fn is_answered(&self, key: crate::ids::IntakeKey) -> bool {
        self.cursors.get(&(key.campaign, key.node)).is_some_and(|c| c.contains(key.n))
    }
}
