//! Whether a contract consented to a digest, asked as the contracts of this system ask it, with the block as evidence.

use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::{SolCall, SolValue};
use serde_json::{Value, json};
use sluice_core::ids::BlockRef;

use crate::bindings::{IERC1271, IERC7913SignatureVerifier, artifacts};
use crate::error::ChainError;
use crate::limits::{SIGNATURE_CHECK_GAS, WALLET_CREATION_GAS};
use crate::rpc::{At, Chain};

/// What a signature ends with that brings the making of its wallet along
/// (<https://eips.ethereum.org/EIPS/eip-6492>).
const WRAPPED: [u8; 32] = {
    let mut magic = [0x64; 32];
    let mut at = 1;
    while at < 32 {
        magic[at] = 0x92;
        at += 2;
    }
    magic
};

/// Whether a signature is for a wallet that may not exist yet (ERC-6492). A contract that is asked with such a signature
/// as it stands understands nothing.
pub fn is_wrapped(signature: &[u8]) -> bool {
    signature.ends_with(&WRAPPED)
}

/// How a wallet comes to be, and what it will understand.
struct Unborn {
    factory: Address,
    factory_data: Bytes,
    signature: Bytes,
}

impl Unborn {
    /// Reads a wrapped signature: `abi.encode(factory, factoryData, signature) ‖ magic`.
    fn read(signature: &[u8]) -> Option<Self> {
        let inner = signature.strip_suffix(&WRAPPED)?;
        let (factory, factory_data, signature) = <(Address, Bytes, Bytes)>::abi_decode_params(inner).ok()?;
        Some(Self { factory, factory_data, signature })
    }
}

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

    /// Whether a wallet consents to a digest: by ERC-1271 if it is there, and, if its signature says how it is made, by what
    /// it will say once it is made (ERC-6492). With the block that was looked at. Nothing is deployed; whether the payment
    /// needs the wallet to be there is the caller's to know.
    ///
    /// # Errors
    /// No answer. A wallet that cannot be made, or reverts, said no.
    pub async fn wallet_signed(
        &self,
        wallet: Address,
        digest: B256,
        signature: &[u8],
    ) -> Result<(bool, BlockRef), ChainError> {
        if !is_wrapped(signature) {
            return self.is_valid_signature(wallet, digest, signature).await;
        }
        let Some(unborn) = Unborn::read(signature) else { return Ok((false, self.latest().await?)) };
        let question = (wallet, digest, unborn.factory, unborn.factory_data, unborn.signature);
        let code = [artifacts::UNBORN_WALLET.as_ref(), &question.abi_encode_params()].concat();
        let gas = intrinsic_gas(&code) + WALLET_CREATION_GAS + SIGNATURE_CHECK_GAS;
        let tx = json!({ "data": Bytes::from(code), "gas": U64::from(gas) });
        let (answer, block) = self.asked(tx).await?;
        Ok((answer.is_some_and(|answer| answer.as_ref() == [1]), block))
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
        let gas = U64::from(intrinsic_gas(&data) + SIGNATURE_CHECK_GAS);
        let tx = json!({ "to": contract, "data": Bytes::from(data), "gas": gas });
        let (answer, block) = self.asked(tx).await?;
        Ok((answer.is_some_and(|answer| is_yes(&answer, yes)), block))
    }

    /// What a call says on the latest block; `None` if it reverts or burns its gas.
    async fn asked(&self, tx: Value) -> Result<(Option<Bytes>, BlockRef), ChainError> {
        let block = self.latest().await?;
        match self.call("signature check", tx, At::Block(block)).await {
            Ok(answer) => Ok((Some(answer), block)),
            Err(ChainError::Reverted { .. }) => Ok((None, block)),
            Err(error) if is_out_of_gas(&error) => Ok((None, block)),
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
