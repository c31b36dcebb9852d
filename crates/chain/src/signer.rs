//! Accounts: keys that sign transactions and EIP-712 digests without asking a node.
//!
//! A key comes from an encrypted keystore file (Web3 Secret Storage, as geth and cast write it), or, for development,
//! from memory. It is never shown: not by `Debug`, not in an error.

use std::fmt;
use std::path::{Path, PathBuf};

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::signers::SignerSync;
use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::{LocalSignerError, PrivateKeySigner};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use sluice_core::fees::Fees;
use sluice_core::ids::ChainId;

#[cfg(test)]
mod tests;

/// Why a key could not be read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The keystore file could not be opened with this password.
    #[error("the keystore {} cannot be opened; is it the right file and password?", path.display())]
    Keystore {
        /// The file.
        path: PathBuf,
        /// What the decryption said.
        #[source]
        source: LocalSignerError,
    },
    /// The keystore file could not be written.
    #[error("no keystore can be written to {}", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: LocalSignerError,
    },
    /// Not a private key.
    #[error("a private key is 32 bytes in hex, above zero and below the curve's order")]
    NotAKey,
    /// Signing failed.
    #[error("signing failed")]
    Sign(#[source] alloy::signers::Error),
}

/// A key that signs for one address.
#[derive(Clone)]
pub struct Account {
    signer: PrivateKeySigner,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.address())
    }
}

/// An EIP-1559 transaction to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxRequest {
    /// The chain it is for.
    pub chain_id: ChainId,
    /// The account's nonce.
    pub nonce: u64,
    /// The contract or account called; `None` deploys `data`.
    pub to: Option<Address>,
    /// Calldata.
    pub data: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
    /// What is offered, wei per gas.
    pub fees: Fees,
    /// Native coin sent along, wei.
    pub value: U256,
}

/// A signed transaction. The bytes are what is stored before they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// EIP-2718 bytes.
    pub raw: Bytes,
    /// The transaction's hash.
    pub hash: B256,
}

impl Account {
    /// Opens an encrypted keystore file. Takes about a second by design (scrypt).
    ///
    /// # Errors
    /// [`KeyError::Keystore`].
    pub fn from_keystore(path: &Path, password: &str) -> Result<Self, KeyError> {
        let opened = PrivateKeySigner::decrypt_keystore(path, password);
        let signer = opened.map_err(|source| KeyError::Keystore { path: path.to_owned(), source })?;
        Ok(Self { signer })
    }

    /// Writes this key into `dir` as an encrypted keystore file called `name`.
    ///
    /// # Errors
    /// [`KeyError::Write`].
    pub fn write_keystore(&self, dir: &Path, name: &str, password: &str) -> Result<PathBuf, KeyError> {
        let secret = self.signer.to_bytes();
        PrivateKeySigner::encrypt_keystore(dir, &mut OsRng, secret, password, Some(name))
            .map_err(|source| KeyError::Write { path: dir.to_owned(), source })?;
        Ok(dir.join(name))
    }

    /// A key from memory, hex with or without `0x`. For development chains, whose keys the world knows.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn from_private_key(hex: &str) -> Result<Self, KeyError> {
        let signer = hex.trim().parse().map_err(|_| KeyError::NotAKey)?;
        Ok(Self { signer })
    }

    /// A key from its 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn from_bytes(secret: &B256) -> Result<Self, KeyError> {
        Ok(Self { signer: PrivateKeySigner::from_bytes(secret).map_err(|_| KeyError::NotAKey)? })
    }

    /// A new key from the system's randomness.
    pub fn random() -> Self {
        Self { signer: PrivateKeySigner::random_with(&mut OsRng) }
    }

    /// The address it signs for.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The address as a 20-byte ERC-7913 signer.
    pub fn signer_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.address().as_slice())
    }

    /// Signs a digest as it stands: 65 bytes r ‖ s ‖ v, v being 27 or 28, as OpenZeppelin's ECDSA takes them.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign_digest(&self, digest: B256) -> Result<Bytes, KeyError> {
        let signature = self.signer.sign_hash_sync(&digest).map_err(KeyError::Sign)?;
        Ok(Bytes::copy_from_slice(&signature.as_bytes()))
    }

    /// Signs a transaction.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign(&self, request: &TxRequest) -> Result<Signed, KeyError> {
        let tx = TxEip1559 {
            chain_id: request.chain_id,
            nonce: request.nonce,
            gas_limit: request.gas_limit,
            max_fee_per_gas: request.fees.max_fee,
            max_priority_fee_per_gas: request.fees.priority_fee,
            to: request.to.map_or(TxKind::Create, TxKind::Call),
            value: request.value,
            access_list: Default::default(),
            input: request.data.clone(),
        };
        let signature = self.signer.sign_hash_sync(&tx.signature_hash()).map_err(KeyError::Sign)?;
        let envelope = TxEnvelope::from(tx.into_signed(signature));
        Ok(Signed { raw: envelope.encoded_2718().into(), hash: *envelope.tx_hash() })
    }
}
