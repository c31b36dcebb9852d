//! The EIP-712 structs that people sign. Off-chain commands live in the Charter's domain, claims in the
//! Distributor's; no off-chain struct has an on-chain struct's type.

mod commands;
mod structs;

use alloy_primitives::{Address, B256, FixedBytes, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};

use crate::command::{ClaimDemand, Command};
use crate::ids::{ContractRef, DemandId};

pub use commands::command_hash;

sol! {
    /// What a recipient signs (CONTRACTS.md; the Distributor checks the same struct).
    #[derive(Debug)]
    struct Claim {
        uint256 round;
        uint256 index;
        address recipient;
        address to;
        uint96 amount;
        uint64 deadline;
    }

    /// Several commands under one signature; every item is its command's own struct.
    #[derive(Debug)]
    struct CommandList {
        bytes32 authority;
        bytes16 id;
        bytes32 root;
        uint32 count;
        uint64 deadline;
    }
}

/// The domain of a Distributor's or a Charter's messages: name "Sluice", version "1".
pub fn domain(contract: ContractRef) -> Eip712Domain {
    eip712_domain! {
        name: "Sluice",
        version: "1",
        chain_id: contract.chain_id,
        verifying_contract: contract.address,
    }
}

/// The digest a recipient signs for this claim at this Distributor.
pub fn claim_digest(claim: &ClaimDemand, distributor: ContractRef) -> B256 {
    Claim {
        round: U256::from(claim.round),
        index: U256::from(claim.index),
        recipient: claim.recipient,
        to: claim.to,
        amount: alloy_primitives::Uint::from(claim.amount.get()),
        deadline: claim.deadline,
    }
    .eip712_signing_hash(&domain(distributor))
}

/// The digest one institution signs for this command under the stream's home Charter: the command's own struct, or the
/// list's in which it stands. `None` if its place in the list cannot be.
pub fn command_digest(
    command: &Command,
    id: DemandId,
    authority: B256,
    charter: ContractRef,
) -> Option<B256> {
    let hash = match &command.listed_at {
        None => command_hash(command, id, authority),
        Some(place) => CommandList {
            authority,
            id: FixedBytes(place.list.0.into_bytes()),
            root: place.root(command_hash(command, id, authority))?,
            count: place.count,
            deadline: command.deadline,
        }
        .eip712_hash_struct(),
    };
    Some(digest(hash, charter))
}

/// The digest of a list of commands: what is signed once for all of them.
pub fn list_digest(
    root: B256,
    count: u32,
    list: DemandId,
    deadline: u64,
    authority: B256,
    charter: ContractRef,
) -> B256 {
    let id = FixedBytes(list.0.into_bytes());
    digest(CommandList { authority, id, root, count, deadline }.eip712_hash_struct(), charter)
}

fn digest(hash: B256, charter: ContractRef) -> B256 {
    let mut bytes = [0; 66];
    bytes[..2].copy_from_slice(&[0x19, 0x01]);
    bytes[2..34].copy_from_slice(domain(charter).separator().as_slice());
    bytes[34..].copy_from_slice(hash.as_slice());
    keccak256(bytes)
}

/// The address behind a 20-byte ERC-7913 signer, or `None` for a verifier with a key.
pub fn address_signer(signer: &[u8]) -> Option<Address> {
    (signer.len() == 20).then(|| Address::from_slice(signer))
}
