//! EAS off-chain attestations: what is signed and what the uid is (eas-sdk 2.x, `src/offchain/offchain.ts`).

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256, keccak256};
use alloy_sol_types::Eip712Domain;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sluice_core::ids::{ChainId, ContractRef};

use super::code::Refused;
use super::limits::{DATA_BYTES_MAX, DOMAIN_VERSION_BYTES_MAX, within};

/// The name in the domain of off-chain attestations (that of delegated ones is "EAS").
pub(super) const DOMAIN_NAME: &str = "EAS Attestation";

/// The domain an off-chain attestation is signed in.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EasDomain {
    /// The EAS contract's version, as "1.4.0". It differs between chains and is taken as it was signed.
    pub version: String,
    /// The chain.
    pub chain_id: ChainId,
    /// The EAS contract.
    pub contract: Address,
}

/// The version of an off-chain attestation, which decides the signed type and the uid.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "version", rename_all = "snake_case")]
pub enum EasVersion {
    /// Version 0, signed under the type name `Attest`.
    LegacyAttest,
    /// Version 0, signed under the type name `Attestation`.
    LegacyAttestation,
    /// Version 1.
    V1,
    /// Version 2.
    V2 {
        /// Makes equal statements different.
        salt: B256,
    },
}

impl EasVersion {
    /// The number in the message and in the uid.
    pub const fn number(&self) -> u16 {
        match self {
            Self::LegacyAttest | Self::LegacyAttestation => 0,
            Self::V1 => 1,
            Self::V2 { .. } => 2,
        }
    }

    /// The name of the signed struct.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::LegacyAttestation => "Attestation",
            _ => "Attest",
        }
    }

    /// The members of the signed struct, as (name, type), in their order.
    pub fn fields(&self) -> Vec<(&'static str, &'static str)> {
        let mut fields = Vec::with_capacity(9);
        if self.number() > 0 {
            fields.push(("version", "uint16"));
        }
        fields.extend([
            ("schema", "bytes32"),
            ("recipient", "address"),
            ("time", "uint64"),
            ("expirationTime", "uint64"),
            ("revocable", "bool"),
            ("refUID", "bytes32"),
            ("data", "bytes"),
        ]);
        if self.number() > 1 {
            fields.push(("salt", "bytes32"));
        }
        fields
    }

    /// The signed struct's type string, as EIP-712 hashes it.
    pub fn type_string(&self) -> String {
        let fields: Vec<_> = self.fields().iter().map(|(name, kind)| format!("{kind} {name}")).collect();
        format!("{}({})", self.type_name(), fields.join(","))
    }

    /// The hash of [`Self::type_string`], computed once: every claim before a gate comes by here.
    fn type_hash(&self) -> B256 {
        static LEGACY_ATTEST: LazyLock<B256> = LazyLock::new(|| hashed(&EasVersion::LegacyAttest));
        static LEGACY_ATTESTATION: LazyLock<B256> = LazyLock::new(|| hashed(&EasVersion::LegacyAttestation));
        static V1: LazyLock<B256> = LazyLock::new(|| hashed(&EasVersion::V1));
        static V2: LazyLock<B256> = LazyLock::new(|| hashed(&EasVersion::V2 { salt: B256::ZERO }));
        fn hashed(version: &EasVersion) -> B256 {
            keccak256(version.type_string())
        }
        match self {
            Self::LegacyAttest => *LEGACY_ATTEST,
            Self::LegacyAttestation => *LEGACY_ATTESTATION,
            Self::V1 => *V1,
            Self::V2 { .. } => *V2,
        }
    }
}

/// What an issuer signed off chain with EAS.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EasOffchain {
    /// Where it belongs.
    pub domain: EasDomain,
    /// Its version.
    #[serde(flatten)]
    pub version: EasVersion,
    /// The schema's uid.
    pub schema: B256,
    /// The address it is about; zero where the data name the subject.
    pub recipient: Address,
    /// When it was issued, in seconds, by the issuer's clock.
    pub time: u64,
    /// From when on it is no longer valid, in seconds; 0 is never.
    pub expiration_time: u64,
    /// Whether its issuer kept the right to revoke it. EAS lets an issuer revoke an off-chain uid in any case.
    pub revocable: bool,
    /// Another attestation it refers to, or zero.
    pub ref_uid: B256,
    /// The ABI-encoded values of the schema's fields.
    pub data: Bytes,
}

impl EasOffchain {
    /// The uid: it holds neither the issuer nor the chain nor the contract, so that alone it names nothing; see
    /// [`super::Attestation::id`].
    pub fn uid(&self) -> B256 {
        self.uid_spelled(&self.schema.to_string())
    }

    /// The uids that the registry may know it by. A uid hashes the schema's *text*, and nobody signs that text: a holder
    /// could write the same schema in other letters and escape a revocation. Attestations are therefore read in lower
    /// case only, and the registry is asked for the upper-case spelling too, in case the issuer revoked that one.
    pub fn revocable_uids(&self) -> Vec<B256> {
        let upper = format!("0x{}", hex::encode_upper(self.schema));
        let mut uids = vec![self.uid(), self.uid_spelled(&upper)];
        uids.dedup();
        uids
    }

    fn uid_spelled(&self, schema: &str) -> B256 {
        let mut hash = Keccak256::new();
        if self.version.number() > 0 {
            hash.update(self.version.number().to_be_bytes());
        }
        hash.update(schema);
        hash.update(self.recipient);
        hash.update(Address::ZERO);
        hash.update(self.time.to_be_bytes());
        hash.update(self.expiration_time.to_be_bytes());
        hash.update([u8::from(self.revocable)]);
        hash.update(self.ref_uid);
        hash.update(&self.data);
        if let EasVersion::V2 { salt } = self.version {
            hash.update(salt);
        }
        hash.update(0_u32.to_be_bytes());
        hash.finalize()
    }

    /// The EIP-712 domain.
    pub fn eip712_domain(&self) -> Eip712Domain {
        Eip712Domain::new(
            Some(DOMAIN_NAME.into()),
            Some(self.domain.version.clone().into()),
            Some(U256::from(self.domain.chain_id)),
            Some(self.domain.contract),
            None,
        )
    }

    /// The EIP-712 hash of the message.
    pub fn struct_hash(&self) -> B256 {
        let number = |n: u64| B256::from(U256::from(n));
        let mut words = vec![self.version.type_hash()];
        if self.version.number() > 0 {
            words.push(number(self.version.number().into()));
        }
        words.extend([
            self.schema,
            self.recipient.into_word(),
            number(self.time),
            number(self.expiration_time),
            number(self.revocable.into()),
            self.ref_uid,
            keccak256(&self.data),
        ]);
        if let EasVersion::V2 { salt } = self.version {
            words.push(salt);
        }
        keccak256(words.concat())
    }

    /// The digest the issuer signed.
    pub fn digest(&self) -> B256 {
        digest(&self.eip712_domain(), self.struct_hash())
    }

    /// The contract it was made for.
    pub fn contract(&self) -> ContractRef {
        ContractRef { chain_id: self.domain.chain_id, address: self.domain.contract }
    }

    pub(super) fn check_sizes(&self) -> Result<(), Refused> {
        within("domain.version", self.domain.version.len(), DOMAIN_VERSION_BYTES_MAX)?;
        within("message.data", self.data.len(), DATA_BYTES_MAX)
    }
}

/// The EIP-712 digest of a struct in a domain.
pub(super) fn digest(domain: &Eip712Domain, struct_hash: B256) -> B256 {
    keccak256([&[0x19, 0x01][..], domain.separator().as_slice(), struct_hash.as_slice()].concat())
}

/// The uid of a schema in EAS' registry: text, resolver and whether its attestations may be revoked.
pub fn schema_uid(text: &str, resolver: Address, revocable: bool) -> B256 {
    keccak256([text.as_bytes(), resolver.as_slice(), &[u8::from(revocable)]].concat())
}
