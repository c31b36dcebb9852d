//! What a node answers, as far as this program reads it. Fields it does not know are passed over, so that an older
//! command line goes on working with a newer node.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_core::amount::Total;
use sluice_core::command::{RoundMode, RoundTerms};
use sluice_core::entitlement::Word;
use sluice_core::ids::{CampaignId, ChainId, DemandId, ProjectId, RoundNo, Seq, StreamId};

/// A sum, exact and for people.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Money {
    /// Base units; may be negative.
    pub base: String,
    /// Tokens.
    pub tokens: String,
}

impl Money {
    /// Base units.
    pub fn base_units(&self) -> i128 {
        self.base.parse().unwrap_or(i128::MIN)
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StatusInfo {
    /// Its number.
    pub node: u32,
    /// Its log.
    pub stream: StreamId,
    /// `leader` or `follower`.
    pub role: String,
    /// The epoch of the last entry.
    pub epoch: u64,
    /// The position it has reached.
    pub seq: Seq,
    /// Demands that wait there.
    pub waiting: usize,
    /// Why it is not ready.
    #[serde(default)]
    pub not_ready: Vec<String>,
    /// What is wrong although it serves.
    #[serde(default)]
    pub degraded: Vec<String>,
    /// How far each chain was read.
    #[serde(default)]
    pub chains: BTreeMap<String, Value>,
    /// Its settlement accounts, while it leads.
    #[serde(default)]
    pub lanes: Vec<Value>,
    /// What its receipts and tickets are verified with.
    #[serde(default)]
    pub log_key: String,
}

/// The founding Charter.
#[derive(Clone, Debug, Deserialize)]
pub struct CharterInfo {
    /// Its chain.
    pub chain_id: ChainId,
    /// Its address.
    pub address: Address,
    /// Raised with each change of institutions.
    pub set_version: u64,
    /// Institutions needed to publish, void or withdraw.
    pub threshold: u16,
    /// The institutions.
    pub institutions: Vec<InstitutionInfo>,
}

/// An institution.
#[derive(Clone, Debug, Deserialize)]
pub struct InstitutionInfo {
    /// Its id.
    pub id: B256,
    /// Its keys.
    pub signers: Vec<Bytes>,
}

impl CharterInfo {
    /// The institution an account speaks for.
    pub fn institution_of(&self, account: Address) -> Option<B256> {
        let speaks = |i: &&InstitutionInfo| i.signers.iter().any(|s| s.as_ref() == account.as_slice());
        self.institutions.iter().find(speaks).map(|i| i.id)
    }
}

/// A page of campaigns.
#[derive(Clone, Debug, Deserialize)]
pub struct CampaignPage {
    /// In the order of their ids.
    pub campaigns: Vec<CampaignHead>,
    /// Where the next page begins.
    pub next: Option<CampaignId>,
}

/// A campaign in a list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CampaignHead {
    /// Its id.
    pub campaign: CampaignId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// The chain it pays on.
    pub chain_id: ChainId,
    /// The contract that holds its tokens and pays.
    pub distributor: Address,
    /// The ERC-20 it pays.
    pub token: Address,
    /// The token's decimals.
    pub decimals: u8,
    /// `public` or `private`.
    pub visibility: String,
    /// What a command must have seen.
    pub version: Seq,
    /// Why nothing is decided now.
    pub paused: Option<String>,
}

/// A campaign.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CampaignInfo {
    /// As in a list.
    #[serde(flatten)]
    pub head: CampaignHead,
    /// Balances: funded = free + reserved + paid + voided + swept.
    pub funds: BTreeMap<String, Money>,
    /// Its rounds, by number.
    pub rounds: Vec<RoundInfo>,
    /// Batches that are not final.
    pub batches: Vec<Value>,
}

impl CampaignInfo {
    /// A balance, base units.
    pub fn balance(&self, account: &str) -> i128 {
        self.funds.get(account).map_or(0, Money::base_units)
    }

    /// A round.
    pub fn round(&self, number: RoundNo) -> Option<&RoundInfo> {
        self.rounds.iter().find(|round| round.round == number)
    }
}

/// A round in a list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RoundInfo {
    /// Its number.
    pub round: RoundNo,
    /// `announced`, `published`, `open`, `closed` or `cancelled`.
    pub phase: String,
    /// Who is paid without asking.
    pub mode: RoundMode,
    /// Unix seconds.
    pub opens_at: u64,
    /// Unix seconds.
    pub closes_at: u64,
    /// What a command must have seen.
    pub version: Seq,
    /// The snapshot's root.
    pub root: B256,
    /// Entitlements.
    pub count: u64,
    /// Their sum.
    pub total: Money,
    /// The round it corrects.
    pub supersedes: Option<RoundNo>,
}

/// A round.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RoundDetail {
    /// As in a list.
    #[serde(flatten)]
    pub head: RoundInfo,
    /// Depth of the tree.
    pub depth: u8,
    /// Where the list is.
    pub list_uri: String,
    /// SHA-256 of the snapshot file.
    pub list_hash: B256,
    /// How many entitlements stand where.
    pub entitlements: BTreeMap<String, u64>,
}

impl RoundDetail {
    /// The terms as they were announced, for the Distributor. `None` when the total cannot be read.
    pub fn terms(&self, campaign: CampaignId) -> Option<RoundTerms> {
        let head = &self.head;
        Some(RoundTerms {
            campaign,
            round: head.round,
            root: head.root,
            depth: self.depth,
            count: head.count,
            total: Total::parse_base(&head.total.base).ok()?,
            rules_hash: B256::ZERO,
            opens_at: head.opens_at,
            closes_at: head.closes_at,
            mode: head.mode,
            gate: 0,
            supersedes: head.supersedes.unwrap_or(0),
            list_uri: self.list_uri.clone(),
            list_hash: self.list_hash,
        })
    }
}

/// Entitlements with their proofs.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedInfo {
    /// The root that proofs lead to.
    pub root: B256,
    /// Levels of the tree.
    pub depth: u8,
    /// Usually one.
    pub entitlements: Vec<EntitlementInfo>,
}

/// An entitlement.
#[derive(Clone, Debug, Deserialize)]
pub struct EntitlementInfo {
    /// Its index.
    pub index: u64,
    /// The listed address.
    pub recipient: Address,
    /// How much.
    pub amount: Money,
    /// Where it stands; `None` while nobody claimed or pushed it.
    pub state: Option<String>,
    /// Whether a claim would be taken now.
    pub claimable: bool,
    /// Why not, as a code.
    pub why_not: Option<String>,
    /// Why not, in words.
    pub why_not_sentence: Option<String>,
    /// The proof.
    pub proof: ProofInfo,
}

/// A proof.
#[derive(Clone, Debug, Deserialize)]
pub struct ProofInfo {
    /// The four words of the bucket.
    pub bucket: [Word; 4],
    /// Sibling hashes, from the bucket upwards.
    pub path: Vec<B256>,
}

/// What became of a claim.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ClaimInfo {
    /// Its id.
    pub id: DemandId,
    /// Its state.
    pub state: String,
    /// The state in words.
    pub sentence: String,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The transaction that pays it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<B256>,
    /// The position of its decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// The proof of its decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Value>,
    /// The promise of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Value>,
}

/// What became of a command.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CommandInfo {
    /// Its id.
    pub id: DemandId,
    /// `waiting`, `done` or `refused`.
    pub state: String,
    /// The position of its decision.
    pub seq: Option<Seq>,
    /// Why it was refused.
    pub code: Option<String>,
    /// Of a stale command: where its subject changed.
    pub changed_at: Option<Seq>,
    /// Entitlements it decided or annulled.
    pub entitlements: Option<u64>,
    /// The proof of its decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Value>,
}

/// An API key just made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MadeKey {
    /// Names the key without being it.
    pub id: String,
    /// The key, shown only now.
    pub key: String,
}
