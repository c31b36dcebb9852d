//! What institutions order beyond rounds: keys and mandates, rule sets and gates, holds, persons, appeals. The terms
//! that such commands carry, and the ids that follow from them.

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::amount::Total;
use crate::ids::{CampaignId, DemandId, EntitlementId, Millis, Seq};
use crate::refusal::Code;

/// An institution outside the Charter, with its keys. It counts in no quorum; it does what its mandates allow.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct AuthorityTerms {
    /// Its id.
    pub authority: B256,
    /// A name for people.
    pub name: String,
    /// Its keys, as ERC-7913 signer bytes.
    pub signers: Vec<Bytes>,
}

/// What an authority may do: Cedar policies, whose permits name the limits.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct MandateTerms {
    /// Whose it is.
    pub holder: B256,
    /// The mandate's canonical bytes; the gate crate reads them.
    pub text: Bytes,
}

impl MandateTerms {
    /// The id of a mandate granted by this command. The same words granted again are another mandate, with counters
    /// of its own.
    pub fn id(&self, command: DemandId) -> B256 {
        granted(self, command)
    }
}

/// What an authority lets a vendor's key do in its name.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct DelegationTerms {
    /// Who delegates.
    pub authority: B256,
    /// Under which of its mandates; zero for the power the Charter gives it.
    pub mandate: B256,
    /// The key that may act, as ERC-7913 signer bytes.
    pub vendor: Bytes,
    /// Names of the actions, as in [`super::Action::name`].
    pub actions: Vec<String>,
    /// Only in this campaign.
    pub campaign: Option<CampaignId>,
    /// In all, base units.
    pub amount_max: Option<Total>,
    /// Items in all: entitlements, or 1 for a command about anything else.
    pub count_max: Option<u64>,
    /// After this nothing is taken from the key.
    pub expires_at: Millis,
}

impl DelegationTerms {
    /// The id of a delegation made by this command.
    pub fn id(&self, command: DemandId) -> B256 {
        granted(self, command)
    }
}

/// A rule set as proposed. Its name is the SHA-256 of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct RulesTerms {
    /// The institution that owns it.
    pub owner: B256,
    /// The name under which its versions follow each other; a gate asks for the version in force.
    pub lineage: String,
    /// The rule set's canonical bytes; the gate crate reads them.
    pub text: Bytes,
}

impl RulesTerms {
    /// The rule set's name.
    pub fn hash(&self) -> B256 {
        B256::from_slice(&Sha256::digest(&self.text))
    }

    /// What gates name: owner and lineage.
    pub fn lineage_id(&self) -> B256 {
        lineage_id(self.owner, &self.lineage)
    }
}

/// The id of a lineage: SHA-256 over the owner and the name.
pub fn lineage_id(owner: B256, lineage: &str) -> B256 {
    let mut hash = Sha256::new();
    hash.update(owner);
    hash.update(lineage.as_bytes());
    B256::from_slice(&hash.finalize())
}

/// What a claim must satisfy in rounds that name this gate version.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct GateTerms {
    /// The campaign.
    pub campaign: CampaignId,
    /// The version installed in its Distributor, from 1.
    pub version: u16,
    /// Lineages of rule sets, each owned by an institution. All must permit.
    pub rule_sets: Vec<B256>,
    /// Which attestations count.
    pub attestations: Vec<AcceptedAttestation>,
    /// The gate's key, as ERC-7913 signer bytes.
    pub signer: Bytes,
}

/// A kind of attestation that a gate accepts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct AcceptedAttestation {
    /// Under which name rules see it.
    pub name: String,
    /// The canonical bytes of its allow-list entry; the gate crate reads them.
    pub accepts: Bytes,
}

impl GateTerms {
    /// What a round's `rulesHash` must be: SHA-256 of the canonical bytes. Which version of each rule set decided stands
    /// in the evidence; which lineages are asked is fixed with the round.
    pub fn hash(&self) -> B256 {
        B256::from_slice(&Sha256::digest(borsh::to_vec(self).expect("writing to memory cannot fail")))
    }
}

/// What a hold stops.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[repr(u8)]
pub enum HoldTarget {
    /// These entitlements of one round.
    Entitlements {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: u64,
        /// Ascending, each once.
        indexes: Vec<u64>,
    } = 1,
    /// Whatever a person is owed, in rounds published before or after.
    Person {
        /// The person.
        person: B256,
    } = 2,
    /// Everything in a campaign.
    Campaign {
        /// The campaign.
        campaign: CampaignId,
    } = 3,
}

/// What an appeal is against.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[repr(u8)]
pub enum AppealAbout {
    /// A hold, by its position.
    Hold {
        /// The position of the entry that placed it.
        hold: Seq,
    } = 1,
    /// An annulled entitlement.
    Void {
        /// The campaign.
        campaign: CampaignId,
        /// The entitlement.
        entitlement: EntitlementId,
    } = 2,
    /// A refused claim on an entitlement.
    Refusal {
        /// The campaign.
        campaign: CampaignId,
        /// The entitlement.
        entitlement: EntitlementId,
    } = 3,
}

/// What a command is about: its authors name the position at which this last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Nothing that existed before.
    New,
    /// An institution and its keys.
    Authority(B256),
    /// A mandate.
    Mandate(B256),
    /// A delegation.
    Delegation(B256),
    /// A rule set.
    Rules(B256),
    /// A campaign.
    Campaign(CampaignId),
    /// A round.
    Round(CampaignId, u64),
    /// A person.
    Person(B256),
    /// A hold.
    Hold(Seq),
    /// An appeal.
    Appeal(Seq),
    /// An attestation.
    Attestation(B256),
}

impl Subject {
    /// What is said where there is no such subject.
    pub const fn unknown(&self) -> Code {
        match self {
            Self::Authority(_) => Code::UnknownAuthority,
            Self::Mandate(_) => Code::MandateMissing,
            Self::Delegation(_) => Code::DelegationDenies,
            Self::Rules(_) => Code::UnknownRules,
            Self::Campaign(_) => Code::UnknownCampaign,
            Self::Round(..) => Code::UnknownRound,
            Self::Hold(_) => Code::UnknownHold,
            Self::Appeal(_) => Code::UnknownAppeal,
            Self::Person(_) => Code::UnknownPerson,
            Self::New | Self::Attestation(_) => Code::Stale,
        }
    }
}

fn granted<T: BorshSerialize>(terms: &T, command: DemandId) -> B256 {
    let mut hash = Sha256::new();
    hash.update(borsh::to_vec(terms).expect("writing to memory cannot fail"));
    hash.update(command.0.as_bytes());
    B256::from_slice(&hash.finalize())
}
