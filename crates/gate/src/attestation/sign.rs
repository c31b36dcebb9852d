//! Sign Protocol off-chain attestations: what is signed (sp-sdk 1.x, `OffChainClientBase.createAttestation`).
//!
//! The signed struct names no chain, no contract and no time of issue, and the id that the service gives is not signed.
//! The uid here is therefore the EIP-712 digest; revocation is by the log's own entries; and an allow-list entry with a
//! maximal age refuses this kind.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::Eip712Domain;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::code::Refused;
use super::eas::digest;
use super::limits::{DATA_BYTES_MAX, RECIPIENTS_MAX, TEXT_BYTES_MAX, within};

/// The name in the domain.
pub(super) const DOMAIN_NAME: &str = "sign.global";
/// The version in the domain.
pub(super) const DOMAIN_VERSION: &str = "1";

/// The recipients, in the type they were signed in.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignRecipients {
    /// `address[]`.
    Addresses(Vec<Address>),
    /// `string[]`.
    Texts(Vec<String>),
}

/// The value the service indexes by, in the type it was signed in.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIndex {
    /// `address`.
    Address(Address),
    /// `string`.
    Text(String),
}

/// What an issuer signed off chain with Sign Protocol.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SignOffchain {
    /// The schema's id, as "SPS_…".
    pub schema_id: String,
    /// Another attestation's id, or empty.
    pub linked_attestation_id: String,
    /// The data, as JSON text.
    pub data: String,
    /// The last second it is valid in; 0 is for ever.
    pub valid_until: u32,
    /// Whom it is about.
    pub recipients: SignRecipients,
    /// What it is indexed by; often the subject.
    pub indexing_value: SignIndex,
}

impl SignOffchain {
    /// The members of the signed struct, as (name, type), in their order.
    pub const fn fields(&self) -> [(&'static str, &'static str); 6] {
        members(
            matches!(self.recipients, SignRecipients::Texts(_)),
            matches!(self.indexing_value, SignIndex::Text(_)),
        )
    }

    /// The signed struct's type string, as EIP-712 hashes it.
    pub fn type_string(&self) -> String {
        format!("Data({})", self.fields().map(|(name, kind)| format!("{kind} {name}")).join(","))
    }

    /// The EIP-712 hash of the message.
    pub fn struct_hash(&self) -> B256 {
        let recipients: Vec<B256> = match &self.recipients {
            SignRecipients::Addresses(addresses) => addresses.iter().map(|a| a.into_word()).collect(),
            SignRecipients::Texts(texts) => texts.iter().map(keccak256).collect(),
        };
        let index = match &self.indexing_value {
            SignIndex::Address(address) => address.into_word(),
            SignIndex::Text(text) => keccak256(text),
        };
        let words = [
            keccak256(self.type_string()),
            keccak256(&self.schema_id),
            keccak256(&self.linked_attestation_id),
            keccak256(&self.data),
            B256::from(U256::from(self.valid_until)),
            keccak256(recipients.concat()),
            index,
        ];
        keccak256(words.concat())
    }

    /// The digest the issuer signed, which is the uid too.
    pub fn digest(&self) -> B256 {
        let domain =
            Eip712Domain::new(Some(DOMAIN_NAME.into()), Some(DOMAIN_VERSION.into()), None, None, None);
        digest(&domain, self.struct_hash())
    }

    pub(super) fn check_sizes(&self) -> Result<(), Refused> {
        within("schemaId", self.schema_id.len(), TEXT_BYTES_MAX)?;
        within("linkedAttestationId", self.linked_attestation_id.len(), TEXT_BYTES_MAX)?;
        within("data", self.data.len(), DATA_BYTES_MAX)?;
        if let SignIndex::Text(text) = &self.indexing_value {
            within("indexingValue", text.len(), TEXT_BYTES_MAX)?;
        }
        match &self.recipients {
            SignRecipients::Addresses(addresses) => within("recipients", addresses.len(), RECIPIENTS_MAX),
            SignRecipients::Texts(texts) => {
                within("recipients", texts.len(), RECIPIENTS_MAX)?;
                texts.iter().try_for_each(|text| within("a recipient", text.len(), TEXT_BYTES_MAX))
            }
        }
    }
}

/// The signed struct's members where the recipients, and the indexing value, are of type string or address.
pub(super) const fn members(text_recipients: bool, text_index: bool) -> [(&'static str, &'static str); 6] {
    [
        ("schemaId", "string"),
        ("linkedAttestationId", "string"),
        ("data", "string"),
        ("validUntil", "uint32"),
        ("recipients", if text_recipients { "string[]" } else { "address[]" }),
        ("indexingValue", if text_index { "string" } else { "address" }),
    ]
}
