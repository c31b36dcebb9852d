//! The EIP-712 structs that people sign. Off-chain commands live in the Charter's domain, claims in the
//! Distributor's; no off-chain struct has an on-chain struct's type.

use alloy_primitives::{Address, B256, FixedBytes, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};

use crate::command::{Action, ClaimDemand, Command};
use crate::ids::{ContractRef, DemandId};

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

    /// Takes a Distributor into the log. Every term is signed: the block from which it is read decides which deposits and
    /// payments the log comes to know, and the chain may be another than the domain's, which is the stream's home.
    #[derive(Debug)]
    struct CreateCampaignCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        bytes16 project;
        string name;
        uint256 distributorChain;
        address distributor;
        address token;
        uint8 decimals;
        uint64 deployedAt;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Announces a round.
    #[derive(Debug)]
    struct PublishCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        bytes32 root;
        uint64 count;
        uint128 total;
        bytes32 termsHash;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Decides a range of a round.
    #[derive(Debug)]
    struct PushCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        uint64 fromIndex;
        uint64 toIndex;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Annuls entitlements.
    #[derive(Debug)]
    struct VoidCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        uint64[] indexes;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
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

/// The digest one institution signs for this command under the stream's home Charter.
pub fn command_digest(command: &Command, id: DemandId, authority: B256, charter: ContractRef) -> B256 {
    let id = FixedBytes(id.0.into_bytes());
    let (subject_version, reason) = (command.subject_version, command.reason.clone());
    let (valid_at, deadline) = (command.valid_at, command.deadline);
    let domain = domain(charter);
    match &command.action {
        Action::CreateCampaign(terms) => CreateCampaignCommand {
            authority,
            id,
            campaign: FixedBytes(terms.campaign.0.into_bytes()),
            project: FixedBytes(terms.project.0.into_bytes()),
            name: terms.name.clone(),
            distributorChain: U256::from(terms.distributor.chain_id),
            distributor: terms.distributor.address,
            token: terms.token,
            decimals: terms.decimals,
            deployedAt: terms.deployed_at,
            subjectVersion: subject_version,
            reason,
            validAt: valid_at,
            deadline,
        }
        .eip712_signing_hash(&domain),
        Action::Publish(terms) => PublishCommand {
            authority,
            id,
            campaign: FixedBytes(terms.campaign.0.into_bytes()),
            round: U256::from(terms.round),
            root: terms.root,
            count: terms.count,
            total: terms.total.get(),
            // The rest of the terms; the on-chain `Publish` struct shows each field to the same people.
            termsHash: keccak256(borsh::to_vec(terms).expect("writing to memory cannot fail")),
            subjectVersion: subject_version,
            reason,
            validAt: valid_at,
            deadline,
        }
        .eip712_signing_hash(&domain),
        Action::Push { campaign, round, from, to } => PushCommand {
            authority,
            id,
            campaign: FixedBytes(campaign.0.into_bytes()),
            round: U256::from(*round),
            fromIndex: *from,
            toIndex: *to,
            subjectVersion: subject_version,
            reason,
            validAt: valid_at,
            deadline,
        }
        .eip712_signing_hash(&domain),
        Action::Void { campaign, round, indexes } => VoidCommand {
            authority,
            id,
            campaign: FixedBytes(campaign.0.into_bytes()),
            round: U256::from(*round),
            indexes: indexes.clone(),
            subjectVersion: subject_version,
            reason,
            validAt: valid_at,
            deadline,
        }
        .eip712_signing_hash(&domain),
    }
}

/// The address behind a 20-byte ERC-7913 signer, or `None` for a verifier with a key.
pub fn address_signer(signer: &[u8]) -> Option<Address> {
    (signer.len() == 20).then(|| Address::from_slice(signer))
}
