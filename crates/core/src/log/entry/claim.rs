//! What became of a claim.

use alloy_primitives::{Address, B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use super::Evidence;
use crate::amount::Amount;
use crate::ids::{DemandId, EntitlementId, IntakeKey, Millis};
use crate::refusal::Code;

/// A decided claim.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClaimDecided {
    /// The row it answers.
    pub intake: IntakeKey,
    /// The claim's id.
    pub id: DemandId,
    /// What will be paid.
    pub entitlement: EntitlementId,
    /// The listed address.
    pub recipient: Address,
    /// How much, base units.
    pub amount: Amount,
    /// Where to, if not to the listed address; the signature then pays on chain, too.
    pub redirect: Option<Redirect>,
    /// SHA-256 of the signed demand.
    pub body_hash: B256,
    /// The database's clock at its intake row, which "before closing" compares.
    pub accepted_at: Millis,
    /// How the signature was found good.
    pub signed_by: SignedBy,
    /// What else it rested on.
    pub evidence: Evidence,
}

/// What `settleTo` needs of a redirected claim.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Redirect {
    /// The signed destination.
    pub to: Address,
    /// The signed deadline, Unix seconds.
    pub deadline: u64,
    /// The recipient's signature.
    pub signature: Bytes,
}

/// How a recipient's signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SignedBy {
    /// ECDSA recovery gave the recipient.
    Key = 1,
    /// The recipient's contract accepted it (ERC-1271).
    Contract = 2,
}

/// A refused claim.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClaimRefused {
    /// The row it answers.
    pub intake: IntakeKey,
    /// The claim's id.
    pub id: DemandId,
    /// Which entitlement was meant.
    pub entitlement: EntitlementId,
    /// SHA-256 of the signed demand: a receipt of a refusal says what was refused.
    pub body_hash: B256,
    /// The database's clock at its intake row, which "before closing" compares.
    pub accepted_at: Millis,
    /// Why.
    pub code: Code,
    /// What the refusal rested on, as far as it was looked up.
    pub evidence: Evidence,
}
