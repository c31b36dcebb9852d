//! The allow-list, as data: which attestations a gate accepts, from whom, about whom, and how old. It is fixed by its hash.

use std::collections::BTreeSet;

use alloy_dyn_abi::DynSolType;
use alloy_primitives::{Address, B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sluice_core::ids::{ChainId, ContractRef};

use super::code::{AttestationCode, Refused};
use super::eas::schema_uid;
use super::fields::{Fields, FieldsError};
use super::limits::{ACCEPTS_MAX, ISSUERS_MAX, TEXT_BYTES_MAX};
use super::{Attestation, Kind, Statement};

/// Where attestations of an entry come from, and their schema.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// EAS, signed off chain.
    EasOffchain(EasSchema),
    /// EAS, in the registry on chain.
    EasOnchain(EasSchema),
    /// Sign Protocol, signed off chain.
    SignOffchain {
        /// Where contracts among the issuers are asked about signatures; the signed domain names no chain.
        chain_id: ChainId,
        /// The schema's id, as "SPS_…".
        schema: String,
    },
}

/// A schema registered with EAS. Text, resolver and revocability make its uid, so that an entry cannot name one schema
/// and describe another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EasSchema {
    /// The chain.
    pub chain_id: ChainId,
    /// The EAS contract.
    pub contract: Address,
    /// The schema's uid.
    pub schema: B256,
    /// The resolver it was registered with, or zero.
    pub resolver: Address,
    /// Whether it was registered as revocable.
    pub revocable: bool,
}

/// Where an attestation says whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectIn {
    /// Its recipient, or one of its recipients.
    Recipient,
    /// A field of its data: an address, a person (32 bytes), or either as hexadecimal text.
    Field(String),
    /// Sign Protocol's indexing value, of the same forms.
    IndexingValue,
}

/// One entry of the allow-list.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepts {
    /// System, chain, contract and schema.
    pub source: Source,
    /// The schema's fields as EAS writes them: "bool resident, uint16 born". For EAS the registered text itself.
    pub schema_text: String,
    /// Issuers that sign with a key, ascending.
    pub issuers: Vec<Address>,
    /// Issuers that are contracts (ERC-1271), ascending. Named apart, so that a forged signature in a key's name costs
    /// no look-up.
    #[serde(default)]
    pub contract_issuers: Vec<Address>,
    /// The greatest age, in seconds since it was issued.
    pub max_age_secs: Option<u64>,
    /// Whom it is about.
    pub subject: SubjectIn,
}

/// Why an allow-list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptsError {
    /// No entries, or too many.
    #[error("an allow-list has 1 to {ACCEPTS_MAX} entries, this one has {0}")]
    Entries(usize),
    /// An entry is wrong.
    #[error("entry {entry}, {field}: {problem}")]
    Entry {
        /// Which, from 0.
        entry: usize,
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A schema's text is wrong.
    #[error("entry {entry}, schema_text")]
    Schema {
        /// Which entry, from 0.
        entry: usize,
        /// Why.
        #[source]
        source: FieldsError,
    },
}

/// An allow-list whose entries were checked. An attestation is accepted by any one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    entries: Vec<Entry>,
}

/// A checked entry with its schema's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) accepts: Accepts,
    pub(super) fields: Fields,
}

impl Source {
    /// Which system.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::EasOffchain(_) => Kind::EasOffchain,
            Self::EasOnchain(_) => Kind::EasOnchain,
            Self::SignOffchain { .. } => Kind::SignOffchain,
        }
    }

    /// The chain: of the registry, or where contracts are asked.
    pub const fn chain_id(&self) -> ChainId {
        match self {
            Self::EasOffchain(eas) | Self::EasOnchain(eas) => eas.chain_id,
            Self::SignOffchain { chain_id, .. } => *chain_id,
        }
    }

    /// The schema as text, as [`Attestation::schema`] gives it.
    pub fn schema(&self) -> String {
        match self {
            Self::EasOffchain(eas) | Self::EasOnchain(eas) => eas.schema.to_string(),
            Self::SignOffchain { schema, .. } => schema.clone(),
        }
    }

    /// The registry, for EAS.
    pub fn contract(&self) -> Option<ContractRef> {
        match self {
            Self::EasOffchain(eas) | Self::EasOnchain(eas) => {
                Some(ContractRef { chain_id: eas.chain_id, address: eas.contract })
            }
            Self::SignOffchain { .. } => None,
        }
    }

    /// Whether an attestation is of this kind and schema.
    pub(super) fn has_schema_of(&self, attestation: &Attestation) -> bool {
        match (self, &attestation.statement) {
            (Self::EasOffchain(accepted), Statement::EasOffchain(eas)) => accepted.schema == eas.schema,
            (Self::EasOnchain(accepted), Statement::EasOnchain(eas)) => accepted.schema == eas.schema,
            (Self::SignOffchain { schema, .. }, Statement::SignOffchain(sign)) => *schema == sign.schema_id,
            _ => false,
        }
    }
}

impl Accepts {
    /// Checks an entry and reads its schema.
    fn checked(self, entry: usize) -> Result<Entry, AcceptsError> {
        let wrong = |field, problem: &str| AcceptsError::Entry { entry, field, problem: problem.into() };
        let fields =
            Fields::parse(&self.schema_text).map_err(|source| AcceptsError::Schema { entry, source })?;
        match &self.source {
            Source::EasOffchain(eas) | Source::EasOnchain(eas) => {
                let uid = schema_uid(&self.schema_text, eas.resolver, eas.revocable);
                if uid != eas.schema {
                    let problem = format!("text, resolver and revocable make the schema {uid}");
                    return Err(AcceptsError::Entry { entry, field: "schema", problem });
                }
                if eas.contract.is_zero() {
                    return Err(wrong("contract", "the zero address is no registry"));
                }
            }
            Source::SignOffchain { schema, .. } => {
                if !schema.starts_with("SPS_") || schema.len() > TEXT_BYTES_MAX {
                    return Err(wrong("schema", "an off-chain schema's id begins with SPS_"));
                }
                if self.max_age_secs.is_some() {
                    return Err(wrong("max_age_secs", "these attestations do not say when they were issued"));
                }
            }
        }
        if self.source.chain_id() == 0 {
            return Err(wrong("chain_id", "a chain has a number above 0"));
        }
        self.check_issuers(entry)?;
        self.check_subject(&fields, entry)?;
        Ok(Entry { accepts: self, fields })
    }

    fn check_issuers(&self, entry: usize) -> Result<(), AcceptsError> {
        let wrong = |field, problem: &str| AcceptsError::Entry { entry, field, problem: problem.into() };
        let count = self.issuers.len() + self.contract_issuers.len();
        if count == 0 || count > ISSUERS_MAX {
            let problem = format!("{count} issuers; 1 to {ISSUERS_MAX} are accepted");
            return Err(AcceptsError::Entry { entry, field: "issuers", problem });
        }
        for (field, list) in [("issuers", &self.issuers), ("contract_issuers", &self.contract_issuers)] {
            // One meaning, one hash.
            if !list.windows(2).all(|pair| pair[0] < pair[1]) {
                return Err(wrong(field, "addresses have to be ascending and distinct"));
            }
            if list.first().is_some_and(|first| first.is_zero()) {
                return Err(wrong(field, "the zero address issues nothing"));
            }
        }
        Ok(())
    }

    fn check_subject(&self, fields: &Fields, entry: usize) -> Result<(), AcceptsError> {
        let problem = match &self.subject {
            SubjectIn::Recipient => return Ok(()),
            SubjectIn::IndexingValue if self.source.kind() == Kind::SignOffchain => return Ok(()),
            SubjectIn::IndexingValue => "only Sign Protocol has an indexing value".into(),
            SubjectIn::Field(name) => match fields.get(name).map(|field| &field.kind) {
                Some(DynSolType::Address | DynSolType::FixedBytes(32) | DynSolType::String) => return Ok(()),
                Some(other) => format!("{name} is a {other}; a subject is an address, bytes32 or string"),
                None => format!("the schema has no field {name}"),
            },
        };
        Err(AcceptsError::Entry { entry, field: "subject", problem })
    }

    /// Whether it lists the issuer, as key or contract.
    pub(super) fn lists(&self, issuer: Address) -> bool {
        self.issuers.binary_search(&issuer).is_ok() || self.contract_issuers.binary_search(&issuer).is_ok()
    }
}

impl AllowList {
    /// Checks the entries.
    ///
    /// # Errors
    /// Names the entry, the field, and what would be right.
    pub fn new(entries: Vec<Accepts>) -> Result<Self, AcceptsError> {
        if entries.is_empty() || entries.len() > ACCEPTS_MAX {
            return Err(AcceptsError::Entries(entries.len()));
        }
        let keys: BTreeSet<Address> =
            entries.iter().flat_map(|entry| entry.issuers.iter().copied()).collect();
        for (entry, accepts) in entries.iter().enumerate() {
            if let Some(both) = accepts.contract_issuers.iter().find(|issuer| keys.contains(*issuer)) {
                let problem = format!("{both} is listed as a key too; an issuer is one of the two");
                return Err(AcceptsError::Entry { entry, field: "contract_issuers", problem });
            }
        }
        let entries = entries.into_iter().enumerate().map(|(n, entry)| entry.checked(n));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// The hash that fixes it: keccak-256 of the entries' borsh bytes.
    pub fn hash(&self) -> B256 {
        let entries: Vec<&Accepts> = self.iter().collect();
        keccak256(borsh::to_vec(&entries).expect("writing to memory cannot fail"))
    }

    /// The entries, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Accepts> {
        self.entries.iter().map(|entry| &entry.accepts)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether some entry takes on-chain attestations from this registry, so that it may be asked. Submitters name
    /// registries; asking any of theirs would let them direct our look-ups.
    ///
    /// # Errors
    /// [`AttestationCode::WrongChain`] or [`AttestationCode::WrongContract`].
    pub fn names_registry(&self, contract: ContractRef) -> Result<(), Refused> {
        let mut registries = self
            .iter()
            .filter(|entry| entry.source.kind() == Kind::EasOnchain)
            .filter_map(|entry| entry.source.contract());
        expected(contract, registries.by_ref())
    }
}

/// Refuses a contract that is none of the expected ones, telling a wrong chain from a wrong contract.
pub(super) fn expected(
    contract: ContractRef,
    expected: impl Iterator<Item = ContractRef>,
) -> Result<(), Refused> {
    let mut same_chain = false;
    for candidate in expected {
        if candidate == contract {
            return Ok(());
        }
        same_chain |= candidate.chain_id == contract.chain_id;
    }
    Err(if same_chain {
        let detail = format!("contract {} is not an accepted registry", contract.address);
        Refused::new(AttestationCode::WrongContract, detail)
    } else {
        let detail = format!("chain {} has no accepted registry", contract.chain_id);
        Refused::new(AttestationCode::WrongChain, detail)
    })
}
