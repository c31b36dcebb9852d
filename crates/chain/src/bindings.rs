//! The contracts as Rust types: the only place with `sol!`. Building needs no Node: the interfaces are written out here
//! and compared with the committed ABI by the tests; creation code is read from it. Nothing of this module leaves the
//! crate.

#![allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::too_many_arguments)]

use alloy_sol_types::sol;

pub mod actions;
pub mod artifacts;
mod contracts;
#[cfg(test)]
mod tests;

pub use contracts::*;

sol! {
    /// What is used of an ERC-20, and the test token's `mint`.
    #[derive(Debug)]
    interface TestToken {
        constructor(string name, string symbol, uint8 decimals);
        event Transfer(address indexed from, address indexed to, uint256 value);
        function decimals() external view returns (uint8);
        function symbol() external view returns (string memory);
        function balanceOf(address account) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function mint(address to, uint256 amount) external;
    }

    /// How the contracts are constructed.
    #[derive(Debug)]
    interface CharterCreation {
        constructor(bytes32 founding);
    }

    #[derive(Debug)]
    interface DistributorCreation {
        constructor(DistributorTerms t);
    }
}

sol! {
    /// ERC-1271: whether a contract consents to a digest (<https://eips.ethereum.org/EIPS/eip-1271>).
    #[derive(Debug)]
    interface IERC1271 {
        function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4);
    }

    /// ERC-7913: a verifier for keys that are no accounts (<https://eips.ethereum.org/EIPS/eip-7913>).
    #[derive(Debug)]
    interface IERC7913SignatureVerifier {
        function verify(bytes calldata key, bytes32 hash, bytes calldata signature) external view returns (bytes4);
    }

    /// The Ethereum Attestation Service, as far as it is asked (<https://github.com/ethereum-attestation-service>).
    #[derive(Debug)]
    struct EasAttestationData {
        bytes32 uid;
        bytes32 schema;
        uint64 time;
        uint64 expirationTime;
        uint64 revocationTime;
        bytes32 refUID;
        address recipient;
        address attester;
        bool revocable;
        bytes data;
    }

    #[derive(Debug)]
    interface IEAS {
        function getAttestation(bytes32 uid) external view returns (EasAttestationData memory);
        function getRevokeOffchain(address revoker, bytes32 data) external view returns (uint64);
        event RevokedOffchain(address indexed revoker, bytes32 indexed data, uint64 indexed timestamp);
        event Revoked(address indexed recipient, address indexed attester, bytes32 uid, bytes32 indexed schemaUID);
    }

    /// What chains of Optimism's kind charge for calldata, as far as it is asked.
    #[derive(Debug)]
    interface GasPriceOracle {
        function getL1Fee(bytes memory data) external view returns (uint256);
    }

    /// What nodes of Arbitrum's kind say about gas, as far as it is asked.
    #[derive(Debug)]
    interface NodeInterface {
        function gasEstimateL1Component(address to, bool contractCreation, bytes calldata data)
            external view
            returns (uint64 gasEstimateForL1, uint256 baseFee, uint256 l1BaseFeeEstimate);
    }

    /// Reverts of OpenZeppelin's ERC-20 (ERC-6093), so that a failed transfer is shown by name.
    #[derive(Debug)]
    interface IERC20Errors {
        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
        error ERC20InvalidSender(address sender);
        error ERC20InvalidReceiver(address receiver);
        error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
        error ERC20InvalidApprover(address approver);
        error ERC20InvalidSpender(address spender);
    }
}
