//! EAS on-chain attestations: a struct that the caller read from the registry, checked against its own uid
//! (eas-contracts, `EAS.sol`: `getAttestation`, `_getUID`).
//!
//! A caller that finds uids in transaction logs has to check that the log's *emitter* is the expected EAS contract: any
//! contract may emit an event of the same name, and `isAttestationValid` says no more than that a uid exists.

use alloy_primitives::{Address, B256, Bytes, Keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sluice_core::ids::ContractRef;

use super::code::{AttestationCode, Refused};
use super::limits::{BUMPS_MAX, DATA_BYTES_MAX, within};

/// An attestation as `getAttestation(uid)` returns it. One that does not exist comes back with everything zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EasRecord {
    /// Its uid.
    pub uid: B256,
    /// The schema's uid.
    pub schema: B256,
    /// The block time of issue, in seconds.
    pub time: u64,
    /// From when on it is no longer valid, in seconds; 0 is never.
    pub expiration_time: u64,
    /// When it was revoked, in seconds; 0 is not.
    pub revocation_time: u64,
    /// Another attestation it refers to, or zero.
    pub ref_uid: B256,
    /// The address it is about; zero where the data name the subject.
    pub recipient: Address,
    /// Who issued it: the contract saw the transaction or checked a delegated signature.
    pub attester: Address,
    /// Whether it can be revoked.
    pub revocable: bool,
    /// The ABI-encoded values of the schema's fields.
    pub data: Bytes,
}

/// What an issuer stated on chain with EAS. Whether it was revoked since is asked at every claim and not kept here.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EasOnchain {
    /// The registry it was read from.
    pub contract: ContractRef,
    /// Its uid.
    pub uid: B256,
    /// The schema's uid.
    pub schema: B256,
    /// The address it is about; zero where the data name the subject.
    pub recipient: Address,
    /// The block time of issue, in seconds.
    pub time: u64,
    /// From when on it is no longer valid, in seconds; 0 is never.
    pub expiration_time: u64,
    /// Whether it can be revoked.
    pub revocable: bool,
    /// Another attestation it refers to, or zero.
    pub ref_uid: B256,
    /// The ABI-encoded values of the schema's fields.
    pub data: Bytes,
}

impl EasOnchain {
    /// Takes what the registry answered for a uid.
    ///
    /// # Errors
    /// The registry knows no such uid, answered for another one, or its fields do not hash to it.
    pub(super) fn from_record(contract: ContractRef, uid: B256, record: &EasRecord) -> Result<Self, Refused> {
        if record.uid.is_zero() {
            return Err(Refused::new(
                AttestationCode::NotFound,
                format!("uid {uid} at {}", contract.address),
            ));
        }
        if record.uid != uid {
            return Err(Refused::new(AttestationCode::UidMismatch, "the registry answered for another uid"));
        }
        Ok(Self {
            contract,
            uid,
            schema: record.schema,
            recipient: record.recipient,
            time: record.time,
            expiration_time: record.expiration_time,
            revocable: record.revocable,
            ref_uid: record.ref_uid,
            data: record.data.clone(),
        })
    }

    /// Checks that the fields hash to the uid under one of the bumps EAS may have taken.
    pub(super) fn check_uid(&self, attester: Address) -> Result<(), Refused> {
        if (0..BUMPS_MAX).any(|bump| self.uid_bumped(attester, bump) == self.uid) {
            return Ok(());
        }
        Err(Refused::new(AttestationCode::UidMismatch, "uid is not the hash of the attestation's fields"))
    }

    /// The uid that EAS gives after `bump` collisions.
    pub fn uid_bumped(&self, attester: Address, bump: u32) -> B256 {
        let mut hash = Keccak256::new();
        hash.update(self.schema);
        hash.update(self.recipient);
        hash.update(attester);
        hash.update(self.time.to_be_bytes());
        hash.update(self.expiration_time.to_be_bytes());
        hash.update([u8::from(self.revocable)]);
        hash.update(self.ref_uid);
        hash.update(&self.data);
        hash.update(bump.to_be_bytes());
        hash.finalize()
    }

    pub(super) fn check_sizes(&self) -> Result<(), Refused> {
        within("data", self.data.len(), DATA_BYTES_MAX)
    }
}
