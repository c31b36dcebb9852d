//! Whether a contract consented to a digest, asked as the contracts of this system ask it, with the block as evidence.

use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::SolCall;
use serde_json::json;
use sluice_core::ids::BlockRef;

use crate::bindings::{IERC1271, IERC7913SignatureVerifier};
use crate::error::ChainError;
use crate::limits::SIGNATURE_CHECK_GAS;
use crate::rpc::{At, Chain};

impl Chain {
    /// Whether the contract at `account` consents to a digest (ERC-1271), with the block that was looked at. An address
    /// without code consents to nothing here: its key's signature is checked before, and elsewhere. The contract gets
    /// the gas it would get on chain.
    ///
    /// # Errors
    /// No answer. A contract that reverts said no.
    pub async fn is_valid_signature(
        &self,
        account: Address,
        digest: B256,
        signature: &[u8],
    ) -> Result<(bool, BlockRef), ChainError> {
        let call =
            IERC1271::isValidSignatureCall { hash: digest, signature: Bytes::copy_from_slice(signature) };
        self.ask_contract(account, call.abi_encode(), IERC1271::isValidSignatureCall::SELECTOR).await
    }

    /// Whether an ERC-7913 signer consents to a digest: 20 bytes are a contract asked by ERC-1271, more are a verifier's
    /// address and the key it is asked about. With the block that was looked at.
    ///
    /// # Errors
    /// No answer. A verifier that reverts, or is not there, said no.
    pub async fn is_valid_signer_signature(
        &self,
        signer: &[u8],
        digest: B256,
        signature: &[u8],
    ) -> Result<(bool, BlockRef), ChainError> {
        let Some((account, key)) = signer.split_at_checked(20) else {
            return Ok((false, self.latest().await?));
        };
        let account = Address::from_slice(account);
        if key.is_empty() {
            return self.is_valid_signature(account, digest, signature).await;
        }
        let call = IERC7913SignatureVerifier::verifyCall {
            key: Bytes::copy_from_slice(key),
            hash: digest,
            signature: Bytes::copy_from_slice(signature),
        };
        self.ask_contract(account, call.abi_encode(), IERC7913SignatureVerifier::verifyCall::SELECTOR).await
    }

    async fn ask_contract(
        &self,
        contract: Address,
        data: Vec<u8>,
        yes: [u8; 4],
    ) -> Result<(bool, BlockRef), ChainError> {
        let block = self.latest().await?;
        let gas = U64::from(intrinsic_gas(&data) + SIGNATURE_CHECK_GAS);
        let tx = json!({ "to": contract, "data": Bytes::from(data), "gas": gas });
        match self.call("signature check", tx, At::Block(block)).await {
            Ok(answer) => Ok((is_yes(&answer, yes), block)),
            Err(ChainError::Reverted { .. }) => Ok((false, block)),
            Err(error) if is_out_of_gas(&error) => Ok((false, block)),
            Err(error) => Err(error),
        }
    }
}

/// What a transaction costs before its first instruction (EIP-2028).
fn intrinsic_gas(data: &[u8]) -> u64 {
    21_000 + data.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum::<u64>()
}

/// A contract that burned its gas did not consent.
fn is_out_of_gas(error: &ChainError) -> bool {
    error.response().is_some_and(|payload| {
        let message = payload.message.to_lowercase();
        message.contains("out of gas") || message.contains("outofgas") || message.contains("evm error")
    })
}

/// An answer word as a left-aligned selector: what ERC-1271 and ERC-7913 return for yes.
fn is_yes(answer: &Bytes, yes: [u8; 4]) -> bool {
    answer.get(..32).is_some_and(|word| word[..4] == yes && B256::from_slice(word)[4..] == [0; 28])
}
