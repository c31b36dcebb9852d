//! The EIP-712 structs that people sign. Off-chain commands live in the Charter's domain, claims in the
//! Distributor's; no off-chain struct has an on-chain struct's type.

mod commands;
mod structs;

use std::sync::LazyLock;

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

const NAME: &str = "Sluice";
const VERSION: &str = "1";

/// The domain of a Distributor's or a Charter's messages: name "Sluice", version "1".
pub fn domain(contract: ContractRef) -> Eip712Domain {
    eip712_domain! {
        name: NAME,
        version: VERSION,
        chain_id: contract.chain_id,
        verifying_contract: contract.address,
    }
}

/// The digest a recipient signs for this claim at this Distributor: [`Claim`]'s in [`domain`], by EIP-712. Every claim's is
/// made at least once, so what is the same for all of them is hashed once and the words are written out.
pub fn claim_digest(claim: &ClaimDemand, distributor: ContractRef) -> B256 {
    static TYPE: LazyLock<B256> = LazyLock::new(|| keccak256(Claim::eip712_encode_type().as_bytes()));
    let words = [
        *TYPE,
        U256::from(claim.round).into(),
        U256::from(claim.index).into(),
        claim.recipient.into_word(),
        claim.to.into_word(),
        U256::from(claim.amount.get()).into(),
        U256::from(claim.deadline).into(),
    ];
    digest(keccak256(words.map(|word| word.0).as_flattened()), distributor)
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

fn digest(hash: B256, contract: ContractRef) -> B256 {
    let mut bytes = [0; 66];
    bytes[..2].copy_from_slice(&[0x19, 0x01]);
    bytes[2..34].copy_from_slice(separator(contract).as_slice());
    bytes[34..].copy_from_slice(hash.as_slice());
    keccak256(bytes)
}

/// The separator of [`domain`].
fn separator(contract: ContractRef) -> B256 {
    /// Type, name and version, which all domains share.
    static SHARED: LazyLock<[B256; 3]> = LazyLock::new(|| {
        let any = domain(ContractRef { chain_id: 1, address: Address::ZERO });
        [any.type_hash(), keccak256(NAME), keccak256(VERSION)]
    });
    let [of_type, name, version] = *SHARED;
    let words = [of_type, name, version, U256::from(contract.chain_id).into(), contract.address.into_word()];
    keccak256(words.map(|word| word.0).as_flattened())
}

/// The address behind a 20-byte ERC-7913 signer, or `None` for a verifier with a key.
pub fn address_signer(signer: &[u8]) -> Option<Address> {
    (signer.len() == 20).then(|| Address::from_slice(signer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Amount;
    use alloy_primitives::Bytes;

    #[test]
    fn the_digest_of_a_claim_is_that_of_its_struct_by_eip_712() {
        let distributor = ContractRef { chain_id: 11_155_111, address: Address::repeat_byte(0xd1) };
        let claim = ClaimDemand {
            round: 3,
            index: u64::MAX,
            recipient: Address::repeat_byte(1),
            to: Address::repeat_byte(2),
            amount: Amount::new((1 << 96) - 1).unwrap(),
            deadline: 1_900_000_000,
            signature: Bytes::new(),
        };
        let by_struct = Claim {
            round: U256::from(claim.round),
            index: U256::from(claim.index),
            recipient: claim.recipient,
            to: claim.to,
            amount: alloy_primitives::Uint::from(claim.amount.get()),
            deadline: claim.deadline,
        };
        assert_eq!(claim_digest(&claim, distributor), by_struct.eip712_signing_hash(&domain(distributor)));
        assert_eq!(separator(distributor), domain(distributor).separator());
    }
}
