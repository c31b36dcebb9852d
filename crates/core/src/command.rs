//! What may be demanded: a claim by its recipient, a command by an authority. Both are signed, both take an intake
//! row, both end in an entry.

mod action;
mod jurisdiction;
mod kind;
mod list;
mod office;

use alloy_primitives::{Address, B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::amount::{Amount, Total};
use crate::ids::{CampaignId, ContractRef, DemandId, Millis, ProjectId, RoundNo, Seq};
use crate::log::entry::GateSigned;

pub use action::Action;
pub use jurisdiction::{is_jurisdiction, jurisdictions_around};
pub use kind::{ActionKind, UnknownAction};
pub use list::{ListPlace, list_tree};
pub use office::{
    AcceptedAttestation, AppealAbout, AuthorityTerms, DelegationTerms, GateTerms, HoldTarget, MandateTerms,
    RulesTerms, Subject, lineage_id,
};

/// A demand as it was accepted; the body of an intake row.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
#[expect(
    clippy::large_enum_variant,
    reason = "a demand is decoded, used and dropped; most of them are claims"
)]
pub enum Demand {
    /// Pay one entitlement.
    Claim(ClaimDemand) = 1,
    /// Do what an authority orders.
    Command(Command) = 2,
    /// Take note of what a gate signed.
    Gate(GateSigned) = 3,
}

impl Demand {
    /// The canonical bytes: what the intake row stores.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, std::io::Error> {
        borsh::from_slice(bytes)
    }

    /// SHA-256 of the canonical bytes: same id and same hash is a repetition, same id and another hash a conflict.
    pub fn body_hash(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }
}

/// A claim: the recipient's signature over `Claim(round, index, recipient, to, amount, deadline)`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ClaimDemand {
    /// The round.
    pub round: RoundNo,
    /// The entitlement's index in the round's snapshot.
    pub index: u64,
    /// The listed address.
    pub recipient: Address,
    /// Where the money goes; the recipient, unless redirected.
    pub to: Address,
    /// The listed amount, base units.
    pub amount: Amount,
    /// Unix seconds; the signature is worthless on chain afterwards.
    pub deadline: u64,
    /// ECDSA (65 bytes, or 64 per ERC-2098), else what the recipient's contract accepts (ERC-1271).
    pub signature: Bytes,
}

impl ClaimDemand {
    /// Whether the payment goes elsewhere than to the listed address.
    pub fn is_redirected(&self) -> bool {
        self.to != self.recipient
    }
}

/// A command with its envelope (sequencer protocol §7): what, on which subject as its authors saw it, why, by whom.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Command {
    /// What is ordered.
    pub action: Action,
    /// The position at which the subject last changed, as the authors saw it; a later change makes it stale.
    pub subject_version: Seq,
    /// Why, in the authors' words.
    pub reason: String,
    /// When it is meant to hold in the real world.
    pub valid_at: Millis,
    /// After this it is refused.
    pub deadline: Millis,
    /// The mandate it is given under; zero where the Charter itself gives the power.
    #[serde(default)]
    pub mandate: B256,
    /// The delegation under which a vendor's key signed; zero where the authority signed itself.
    #[serde(default)]
    pub delegation: B256,
    /// Where it stands in a list signed at once; `None` if it was signed alone.
    #[serde(default)]
    pub listed_at: Option<ListPlace>,
    /// Who signed. The first is the proposer. Every institution signs for itself.
    pub approvals: Vec<Approval>,
}

/// One institution's signature under a command.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Approval {
    /// The institution's id in the Charter.
    pub authority: B256,
    /// Its key, as ERC-7913 signer bytes: an address, or a verifier's address followed by the key.
    pub signer: Bytes,
    /// The signature over the action's typed struct.
    pub signature: Bytes,
}

/// A campaign's facts. Those on chain were read from the Distributor.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct CampaignTerms {
    /// Its id.
    pub campaign: CampaignId,
    /// The tenant it belongs to.
    pub project: ProjectId,
    /// A name for people.
    pub name: String,
    /// The contract that holds its tokens.
    pub distributor: ContractRef,
    /// The ERC-20 it pays.
    pub token: Address,
    /// The token's decimals.
    pub decimals: u8,
    /// The block in which the Distributor was deployed; the watcher reads from here.
    pub deployed_at: u64,
    /// The jurisdiction it belongs to, as mandates name it (`DE`, `DE-BE`); empty for none.
    #[serde(default)]
    pub jurisdiction: String,
    /// Who may look its lists up.
    #[serde(default)]
    pub visibility: Visibility,
}

/// Who may look up a campaign's lists. Payments are on chain and seen by everybody either way.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Visibility {
    /// Everybody; proof pages are readable by all.
    #[default]
    Public = 0,
    /// Each claimant their own, by signature; offices by mandate. Proof pages are encrypted.
    Private = 1,
}

impl Visibility {
    /// As signers read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// What a round pays and when (the fields that the Distributor's `publish` binds).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct RoundTerms {
    /// The campaign.
    pub campaign: CampaignId,
    /// The next number of this campaign.
    pub round: RoundNo,
    /// The snapshot's root.
    pub root: B256,
    /// The tree's depth in levels of buckets.
    pub depth: u8,
    /// Entitlements.
    pub count: u64,
    /// Their sum, base units.
    pub total: Total,
    /// Rule sets it pays under; zero where none.
    pub rules_hash: B256,
    /// Unix seconds.
    pub opens_at: u64,
    /// Unix seconds.
    pub closes_at: u64,
    /// Who is paid without asking.
    pub mode: RoundMode,
    /// The gate version; 0 where none.
    pub gate: u64,
    /// The round this one corrects; 0 where none.
    pub supersedes: RoundNo,
    /// Where the list is.
    pub list_uri: String,
    /// SHA-256 of the snapshot file: its name in storage.
    pub list_hash: B256,
}

/// A round's mode, immutable (CONTRACTS.md).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum RoundMode {
    /// Whole ranges may be settled without asking.
    Push = 0,
    /// Only what was claimed.
    Pull = 1,
    /// Only with a gate signature.
    Gated = 2,
}

/// A demand with its id, as the intake row holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its place at its node.
    pub key: crate::ids::IntakeKey,
    /// The client's id.
    pub id: DemandId,
    /// The database's clock at the row.
    pub accepted_at: Millis,
    /// The demand.
    pub demand: Demand,
}
