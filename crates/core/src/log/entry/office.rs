//! The part of the format that institutions drive: what their commands did, beyond the commands' own words, and what
//! gates signed.

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::ids::{BatchNo, CampaignId, DemandId, EntitlementId, IntakeKey, Millis, RoundNo, Seq};
use crate::state::hold::HoldUse;

/// What a command did. Most do what they say; the rest carry what was looked up or computed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Outcome {
    /// What the command says: keys, grants, proposals, bindings.
    Done = 1,
    /// A hold was placed.
    Held(HoldPlaced) = 2,
    /// A hold lasts longer.
    HoldExtended {
        /// It ends by itself then.
        until: Millis,
    } = 3,
    /// A rule set will come into force by a `Due` entry.
    Scheduled = 4,
    /// An appeal was filed.
    Appealed(Appealed) = 5,
    /// An appeal was answered, and what followed from that.
    Answered {
        /// The hold that ended with it, if any.
        released: Option<Seq>,
    } = 6,
}

/// A hold as it was placed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HoldPlaced {
    /// It ends by itself then, unless confirmed or renewed.
    pub until: Millis,
    /// What it covers, with the listed amounts; empty for a whole campaign.
    pub covers: Vec<Covered>,
    /// What its placer has held alone, this hold included.
    pub alone: HoldUse,
    /// Of these, what a batch already carried: the hold comes too late for it, unless the batch is given up.
    pub in_flight: Vec<(EntitlementId, CampaignId, BatchNo)>,
    /// Of a hold on a whole campaign: the batches under way, each with how many entitlements it carries. They may still
    /// pay.
    pub batches: Vec<(BatchNo, u64)>,
}

/// An entitlement that a hold covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Covered {
    /// The campaign.
    pub campaign: CampaignId,
    /// The entitlement.
    pub entitlement: EntitlementId,
    /// Its listed amount.
    pub amount: Amount,
}

/// An appeal as it was filed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Appealed {
    /// Whose decision it is against; somebody else answers it. Zero for a refusal by rules alone.
    pub against: B256,
    /// It lapses then.
    pub answer_by: Millis,
}

/// Masks a gate signed: what its claims' decisions approve, cumulative per word.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct GateSigned {
    /// The campaign.
    pub campaign: CampaignId,
    /// The gate version whose key signed.
    pub version: u16,
    /// Ascending by (round, word).
    pub words: Vec<GateMask>,
}

/// What a gate signed, as the log took note of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GateAnswered {
    /// The row it answers.
    pub intake: IntakeKey,
    /// The demand's id.
    pub id: DemandId,
    /// What was signed; every signature was found good.
    pub signed: GateSigned,
}

/// One word's mask with the gate's signature over `Gate(round, gateVersion, word, mask, rulesHash, asOfSeq, expiry)`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct GateMask {
    /// The round.
    pub round: RoundNo,
    /// The word.
    pub word: u64,
    /// Everything approved in it so far.
    pub mask: [u64; 4],
    /// The position the gate had read to.
    pub as_of: Seq,
    /// Unix seconds.
    pub expiry: u64,
    /// The gate key's signature.
    pub signature: Bytes,
}
