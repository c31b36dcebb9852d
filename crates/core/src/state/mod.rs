//! State: what the committed entries add up to. Every node replays the same entries into the same State; reads are
//! answered from it, the leader decides on a clone of it.

pub mod ahead;
pub mod apply;
mod apply_chain;
mod apply_events;
pub(crate) mod apply_offices;
pub mod authority;
pub mod batch;
pub mod bits;
pub mod campaign;
mod check;
mod check_offices;
pub mod cursor;
pub mod due;
pub mod dump;
pub mod funds;
pub mod hold;
pub mod pages;
pub mod round;
pub mod rules;
pub mod status;

use std::collections::BTreeMap;

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::command::{AppealAbout, Subject};
use crate::ids::{BlockRef, CampaignId, ChainId, ContractRef, Epoch, Millis, NodeId, Seq, StreamId};
use crate::log::entry::{CharterRead, Due};
use authority::{Authority, Delegation, Mandate};
use campaign::Campaign;
use cursor::Cursor;
use due::DueTimes;
use hold::{Appeal, Hold, HoldUse, Person};
use pages::Pages;
use rules::RuleSet;

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
    /// Institutions whose keys or names stand in the log.
    pub authorities: BTreeMap<B256, Authority>,
    /// Mandates, ended ones too.
    pub mandates: BTreeMap<B256, Mandate>,
    /// Delegations, ended ones too.
    pub delegations: BTreeMap<B256, Delegation>,
    /// Rule sets by name.
    pub rule_sets: BTreeMap<B256, RuleSet>,
    /// The rule set in force of each lineage.
    pub lineages: BTreeMap<B256, B256>,
    /// Persons whom registrars made known.
    pub persons: BTreeMap<B256, Person>,
    /// Holds in force, by the positions at which they were placed.
    pub holds: BTreeMap<Seq, Hold>,
    /// What institutions held alone of late.
    pub hold_use: BTreeMap<B256, HoldUse>,
    /// The position at which a hold on a person was last placed or ended.
    pub persons_held_at: Seq,
    /// The position at which a round was last announced.
    pub published_at: Seq,
    /// Attestations that count no more, with the positions of their revocations.
    pub revoked: BTreeMap<B256, Seq>,
    /// Appeals that wait for an answer, by the positions at which they were filed.
    pub appeals: BTreeMap<Seq, Appeal>,
    /// The same, by what they are about: each decision has one open appeal at most.
    pub appealed: BTreeMap<AppealAbout, Seq>,
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
            authorities: BTreeMap::new(),
            mandates: BTreeMap::new(),
            delegations: BTreeMap::new(),
            rule_sets: BTreeMap::new(),
            lineages: BTreeMap::new(),
            persons: BTreeMap::new(),
            holds: BTreeMap::new(),
            hold_use: BTreeMap::new(),
            persons_held_at: 0,
            published_at: 0,
            revoked: BTreeMap::new(),
            appeals: BTreeMap::new(),
            appealed: BTreeMap::new(),
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

    /// The position at which a subject last changed; 0 for one that never did, `None` where there is no such subject.
    pub fn version_of(&self, subject: &Subject) -> Option<Seq> {
        match subject {
            Subject::New => Some(0),
            // An institution of the Charter exists without having changed here.
            Subject::Authority(id) if self.is_chartered(*id) => Some(self.key_version(*id)),
            Subject::Authority(id) => self.authorities.get(id).map(|a| a.version),
            Subject::Mandate(id) => self.mandates.get(id).map(|m| m.version),
            Subject::Delegation(id) => self.delegations.get(id).map(|d| d.version),
            Subject::Rules(name) => self.rule_sets.get(name).map(|r| r.version),
            Subject::Campaign(id) => self.campaign(*id).map(|c| c.version),
            Subject::Round(id, round) => self.campaign(*id)?.round(*round).map(|r| r.version),
            Subject::Person(id) => Some(self.persons.get(id).map_or(0, |p| p.version)),
            Subject::Hold(at) => self.holds.get(at).map(|h| h.version),
            Subject::Appeal(at) => self.appeals.get(at).map(|a| a.version),
            Subject::Attestation(uid) => Some(self.revoked.get(uid).copied().unwrap_or(0)),
        }
    }
}
