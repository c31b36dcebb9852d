//! What a registry of the Ethereum Attestation Service says (eas-contracts, `EAS.sol`). Callers ask only registries that
//! an allow-list names; a log's emitter is never believed.

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::ids::BlockRef;

use crate::bindings::IEAS;
use crate::error::ChainError;
use crate::rpc::{At, Chain};

/// An attestation as the registry keeps it; one it does not know has a zero uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EasAttestation {
    /// Its uid.
    pub uid: B256,
    /// The schema's uid.
    pub schema: B256,
    /// Unix seconds.
    pub time: u64,
    /// Unix seconds; 0 for never.
    pub expiration_time: u64,
    /// Unix seconds; 0 while it stands.
    pub revocation_time: u64,
    /// Another attestation it refers to, or zero.
    pub ref_uid: B256,
    /// The address it is about.
    pub recipient: Address,
    /// Who issued it.
    pub attester: Address,
    /// Whether it can be revoked.
    pub revocable: bool,
    /// ABI-encoded values.
    pub data: Bytes,
}

impl Chain {
    /// An attestation by its uid, with the block that was looked at.
    ///
    /// # Errors
    /// No answer, or something that is no registry.
    pub async fn eas_attestation(
        &self,
        registry: Address,
        uid: B256,
    ) -> Result<(EasAttestation, BlockRef), ChainError> {
        let block = self.latest().await?;
        let call = IEAS::getAttestationCall { uid };
        let answer = self.view(registry, call, At::Block(block)).await?;
        let found = EasAttestation {
            uid: answer.uid,
            schema: answer.schema,
            time: answer.time,
            expiration_time: answer.expirationTime,
            revocation_time: answer.revocationTime,
            ref_uid: answer.refUID,
            recipient: answer.recipient,
            attester: answer.attester,
            revocable: answer.revocable,
            data: answer.data,
        };
        Ok((found, block))
    }

    /// When an issuer revoked an off-chain attestation, under any of these spellings of its uid; `None` while it stands.
    /// With the block that was looked at.
    ///
    /// # Errors
    /// No answer, or something that is no registry.
    pub async fn eas_revoked_offchain(
        &self,
        registry: Address,
        issuer: Address,
        uids: &[B256],
    ) -> Result<(Option<u64>, BlockRef), ChainError> {
        let block = self.latest().await?;
        for uid in uids {
            let call = IEAS::getRevokeOffchainCall { revoker: issuer, data: *uid };
            let at = self.view(registry, call, At::Block(block)).await?;
            if at != 0 {
                return Ok((Some(at), block));
            }
        }
        Ok((None, block))
    }
}
