//! Names of things, as types, so that a round is never passed where a batch is meant.

use std::fmt;

use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A position in the log. The first entry has 1; 0 is the state before any entry.
pub type Seq = u64;
/// Milliseconds since the Unix epoch, on the database's clock.
pub type Millis = u64;
/// A sequencer's fencing number, in Postgres and on chain.
pub type Epoch = u64;
/// An EVM chain id (EIP-155).
pub type ChainId = u64;
/// A round's number within its campaign, given by the Distributor, counted from 1.
pub type RoundNo = u64;
/// A batch's number within its Distributor, counted from 1.
pub type BatchNo = u64;
/// The number a node process takes from the database when it starts; never used again by another.
pub type NodeId = u32;

/// One ordered log, with one Charter per chain.
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
pub struct StreamId(pub u32);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize, Serialize,
            Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A tenant.
    ProjectId
);
uuid_id!(
    /// A distribution of one token on one chain. The nil id stands for the stream itself: commands that concern no
    /// existing campaign queue there.
    CampaignId
);
uuid_id!(
    /// The client's own id of a claim or a command; the idempotency key. Kept for the campaign's life.
    DemandId
);

/// Where a demand stands at its node: the n-th of its campaign there. Contiguous; commit order is n order.
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
pub struct IntakeKey {
    /// The campaign whose queue it stands in.
    pub campaign: CampaignId,
    /// The node that accepted it.
    pub node: NodeId,
    /// Its number there, from 1.
    pub n: u64,
}

/// A block of some chain, by number and hash.
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
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
}

/// A contract on a chain.
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
pub struct ContractRef {
    /// The chain.
    pub chain_id: ChainId,
    /// The contract's address there.
    pub address: Address,
}

/// One entitlement of one round: how pushed entitlements, which have no claim id, are addressed.
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
pub struct EntitlementId {
    /// The round.
    pub round: RoundNo,
    /// The index in the round's snapshot.
    pub index: u64,
}
