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

/// What tells the queue of a campaign's orders from the queue of its claims: the bit behind the first of the variant. It is
/// clear in every UUID of RFC 9562, whose variant is `10`, and no campaign has an id in which it is set.
const ORDERS: u128 = 1 << 62;

impl CampaignId {
    /// The queue in which a campaign's commands and gate masks stand, beside that of its claims: however many of those wait,
    /// none stands before a hold. The stream itself has no claims, so its own queue is this one.
    #[must_use]
    pub fn orders(self) -> Self {
        if self == Self::default() { self } else { Self(Uuid::from_u128(self.0.as_u128() | ORDERS)) }
    }

    /// Whether this is a queue of commands and masks.
    pub fn is_orders(self) -> bool {
        self == Self::default() || self.0.as_u128() & ORDERS != 0
    }

    /// The campaign whose queue this is.
    #[must_use]
    pub fn of_queue(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128() & !ORDERS))
    }
}

/// Where a demand stands at its node: the n-th of its queue there. Contiguous; commit order is n order.
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
    /// The queue it stands in: for a claim its campaign, for commands and masks [`CampaignId::orders`] of it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_have_a_queue_that_is_no_campaigns_and_leads_back_to_theirs() {
        let campaign: CampaignId = "01994d2c-7a1e-7c3b-9f00-0123456789ab".parse().unwrap();
        let orders = campaign.orders();
        assert_eq!(orders.to_string(), "01994d2c-7a1e-7c3b-df00-0123456789ab");
        assert!(orders.is_orders() && !campaign.is_orders());
        assert_eq!((orders.of_queue(), campaign.of_queue(), orders.orders()), (campaign, campaign, orders));
        let stream = CampaignId::default();
        assert_eq!((stream.orders(), stream.of_queue(), stream.is_orders()), (stream, stream, true));
    }
}
