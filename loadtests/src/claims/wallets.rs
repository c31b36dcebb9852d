//! Listed wallets whose keys everybody can derive, and what they sign. Signing is done before anything is measured, with
//! libsecp256k1 on all cores: a wallet's own signature is not the engine's work.

use std::io::{BufWriter, Write};
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use anyhow::Context;
use rayon::prelude::*;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{ContractRef, RoundNo};
use sluice_core::sample::wallet_key;
use sluice_core::signing::claim_digest;
use sluice_snapshot::Snapshot;

use super::ground::FAR;

/// A key with its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wallet {
    secret: SecretKey,
    pub(crate) address: Address,
}

impl Wallet {
    /// The wallet of a secret.
    ///
    /// # Errors
    /// One in 2^128 hashes is no key.
    pub(crate) fn new(secret: B256) -> anyhow::Result<Self> {
        let secret = SecretKey::from_secret_bytes(secret.0).context("a hash that is no key")?;
        let public = secret.public_key().serialize_uncompressed();
        Ok(Self { secret, address: Address::from_slice(&keccak256(&public[1..])[12..]) })
    }

    /// A wallet whose address is known.
    pub(crate) fn known(secret: SecretKey, address: Address) -> Self {
        Self { secret, address }
    }

    /// Signs as OpenZeppelin's ECDSA takes it: r, s, v with v 27 or 28.
    pub(crate) fn sign(&self, digest: B256) -> Bytes {
        let signature =
            RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret);
        let (parity, compact) = signature.serialize_compact();
        let mut bytes = compact.to_vec();
        bytes.push(27 + parity.to_u8());
        bytes.into()
    }
}

/// Sample wallets 0 to `count`.
pub(crate) fn wallets(count: u32) -> anyhow::Result<Vec<Wallet>> {
    (0..count).into_par_iter().map(|i| Wallet::new(wallet_key(i))).collect()
}

/// Writes the list of these wallets: amounts differ, all below the 500 tokens that the sample rules let through.
pub(crate) fn write_list(wallets: &[Wallet], path: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path).with_context(|| path.display().to_string())?);
    writeln!(out, "address,amount")?;
    for (i, wallet) in wallets.iter().enumerate() {
        writeln!(out, "{},{}.{:06}", wallet.address, 1 + i % 400, i % 1_000_000)?;
    }
    out.flush().context("the list could not be written")
}

/// The wallets' claims of a round to themselves, signed, in the wallets' order.
pub(crate) fn signed(
    wallets: &[Wallet],
    snapshot: &Snapshot,
    round: RoundNo,
    distributor: ContractRef,
) -> anyhow::Result<Vec<ClaimDemand>> {
    let claim = |wallet: &Wallet| {
        let index = snapshot.find(wallet.address).start;
        let listed = snapshot.entitlement(index).filter(|e| e.recipient == wallet.address);
        let mut claim = ClaimDemand {
            round,
            index,
            recipient: wallet.address,
            to: wallet.address,
            amount: listed.with_context(|| format!("{} is not in the list", wallet.address))?.amount,
            deadline: FAR,
            signature: Bytes::new(),
        };
        claim.signature = wallet.sign(claim_digest(&claim, distributor));
        Ok(claim)
    };
    wallets.par_iter().map(claim).collect()
}
