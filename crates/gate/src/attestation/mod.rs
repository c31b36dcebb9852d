//! Attestations: signed statements by an issuer about a subject. [`read()`] takes what was submitted (EAS off-chain
//! versions 0, 1 and 2 as JSON, share package or URL; a reference to an EAS on-chain attestation; Sign Protocol off-chain)
//! and yields one canonical form, [`Attestation`]. [`check()`] judges it against an allow-list, in a fixed order: form and
//! uid → signature → signer → schema and issuer allowed → subject → not before → not expired, not too old → not revoked →
//! chain and contract → data fit the schema. The first failing check gives the refusal its code.
//!
//! Nothing here asks a network or a clock: what has to be looked up comes back as [`Need`]s, and is handed in as
//! [`Answers`]. All times are in seconds, as the formats have them.
//!
//! Peers' verifiers stop at the signature. The traps known from them: `isAttestationValid` of EAS only says that a uid
//! exists; the SDK's verification checks neither expiry, revocation, schema nor issuer; an event's emitter has to be
//! compared with the registry; a uid names neither issuer nor chain (use [`Attestation::id`] to tell attestations apart).

mod accepts;
mod check;
mod code;
mod compact;
mod eas;
mod eas_json;
mod fields;
mod json;
pub mod limits;
mod on_chain;
mod read;
mod recover;
mod sign;
mod sign_json;
mod values;

pub use accepts::{Accepts, AcceptsError, AllowList, EasSchema, Source, SubjectIn};
pub use check::{Answers, ForClaim, Need, Passed, Registry, Verdict, check};
pub use code::{AttestationCode, Refused};
pub use eas::{EasDomain, EasOffchain, EasVersion, schema_uid};
pub use fields::{Field, Fields, FieldsError};
pub use on_chain::{EasOnchain, EasRecord};
pub use read::{Submission, read};
pub use recover::signer_of;
pub use sign::{SignIndex, SignOffchain, SignRecipients};
pub use values::{Value, Values};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sluice_core::ids::{ChainId, ContractRef};
use sluice_core::limits::SIGNATURE_BYTES_MAX;

/// The format byte of [`Attestation::encode`].
const FORMAT: u8 = 1;

/// Which system an attestation is of.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Kind {
    /// EAS, signed off chain.
    EasOffchain = 0,
    /// EAS, in the registry on chain.
    EasOnchain = 1,
    /// Sign Protocol, signed off chain.
    SignOffchain = 2,
}

impl Kind {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EasOffchain => "eas_offchain",
            Self::EasOnchain => "eas_onchain",
            Self::SignOffchain => "sign_offchain",
        }
    }
}

/// What an issuer stated.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Statement {
    /// EAS, signed off chain.
    EasOffchain(EasOffchain),
    /// EAS, read from the registry on chain.
    EasOnchain(EasOnchain),
    /// Sign Protocol, signed off chain.
    SignOffchain(SignOffchain),
}

/// An attestation in canonical form. Its borsh bytes ([`Self::encode`]) are what is stored; uid, digest and times follow
/// from the statement and cannot disagree with it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Attestation {
    /// Who is said to have issued it. Only [`check()`] says whether that is true.
    pub issuer: Address,
    /// What was stated.
    pub statement: Statement,
    /// r, s, v for a key; what its contract wants for a contract; empty for an on-chain attestation.
    pub signature: Bytes,
}

impl Attestation {
    /// Takes what the registry at `contract` answered to `getAttestation(uid)`. The caller asks only registries that
    /// the allow-list names ([`AllowList::names_registry`]).
    ///
    /// # Errors
    /// The registry knows no such uid, the answer's fields do not hash to it, or a part is too large.
    pub fn on_chain(contract: ContractRef, uid: B256, record: &EasRecord) -> Result<Self, Refused> {
        let statement = Statement::EasOnchain(EasOnchain::from_record(contract, uid, record)?);
        let attestation = Self { issuer: record.attester, statement, signature: Bytes::new() };
        attestation.check_form()?;
        Ok(attestation)
    }

    /// Which system it is of.
    pub const fn kind(&self) -> Kind {
        match self.statement {
            Statement::EasOffchain(_) => Kind::EasOffchain,
            Statement::EasOnchain(_) => Kind::EasOnchain,
            Statement::SignOffchain(_) => Kind::SignOffchain,
        }
    }

    /// The uid: EAS' own, or for Sign Protocol the digest. Off-chain uids of EAS hold neither issuer nor chain; anybody
    /// can sign the same content and so make an attestation of the same uid.
    pub fn uid(&self) -> B256 {
        match &self.statement {
            Statement::EasOffchain(eas) => eas.uid(),
            Statement::EasOnchain(eas) => eas.uid,
            Statement::SignOffchain(sign) => sign.digest(),
        }
    }

    /// What tells attestations apart: a hash of kind, contract, issuer and uid. Duplicates and our own revocations go by
    /// it; another's copy of the content, or a second signature over it, is no other attestation of this issuer.
    pub fn id(&self) -> B256 {
        let contract = self.contract().map_or((0, Address::ZERO), |c| (c.chain_id, c.address));
        let named = (self.kind(), contract, self.issuer, self.uid());
        keccak256(borsh::to_vec(&named).expect("writing to memory cannot fail"))
    }

    /// The digest the issuer signed; none for an on-chain attestation.
    pub fn digest(&self) -> Option<B256> {
        match &self.statement {
            Statement::EasOffchain(eas) => Some(eas.digest()),
            Statement::EasOnchain(_) => None,
            Statement::SignOffchain(sign) => Some(sign.digest()),
        }
    }

    /// What has to be asked of its registry to know whether it stands; nothing of Sign Protocol's, whose revocations stand in
    /// the service's database only, under an id that nobody signed.
    pub fn revocation(&self) -> Option<Need> {
        match &self.statement {
            Statement::EasOffchain(eas) => Some(Need::Revocation {
                contract: eas.contract(),
                issuer: self.issuer,
                uids: eas.revocable_uids(),
            }),
            Statement::EasOnchain(eas) => Some(Need::OnChain { contract: eas.contract, uid: eas.uid }),
            Statement::SignOffchain(_) => None,
        }
    }

    /// The contract it was made for; Sign Protocol's domain names none.
    pub const fn contract(&self) -> Option<ContractRef> {
        match &self.statement {
            Statement::EasOffchain(eas) => {
                Some(ContractRef { chain_id: eas.domain.chain_id, address: eas.domain.contract })
            }
            Statement::EasOnchain(eas) => Some(eas.contract),
            Statement::SignOffchain(_) => None,
        }
    }

    /// The chain it was made for, if it names one.
    pub fn chain_id(&self) -> Option<ChainId> {
        self.contract().map(|contract| contract.chain_id)
    }

    /// The schema as text: EAS' uid in hexadecimal, or Sign Protocol's id.
    pub fn schema(&self) -> String {
        match &self.statement {
            Statement::EasOffchain(eas) => eas.schema.to_string(),
            Statement::EasOnchain(eas) => eas.schema.to_string(),
            Statement::SignOffchain(sign) => sign.schema_id.clone(),
        }
    }

    /// The first second it is valid in, where that is part of the statement.
    pub const fn issued_at(&self) -> Option<u64> {
        match &self.statement {
            Statement::EasOffchain(eas) => Some(eas.time),
            Statement::EasOnchain(eas) => Some(eas.time),
            Statement::SignOffchain(_) => None,
        }
    }

    /// The first second it is no longer valid in, or none. EAS' expiry is that second; Sign Protocol's `validUntil` is
    /// the last one before it.
    pub fn expires_at(&self) -> Option<u64> {
        let (second, extra) = match &self.statement {
            Statement::EasOffchain(eas) => (eas.expiration_time, 0),
            Statement::EasOnchain(eas) => (eas.expiration_time, 0),
            Statement::SignOffchain(sign) => (sign.valid_until.into(), 1),
        };
        (second != 0).then_some(second + extra)
    }

    /// Whether its issuer kept the right to revoke it; unknown for Sign Protocol, whose schemas say so.
    pub const fn revocable(&self) -> Option<bool> {
        match &self.statement {
            Statement::EasOffchain(eas) => Some(eas.revocable),
            Statement::EasOnchain(eas) => Some(eas.revocable),
            Statement::SignOffchain(_) => None,
        }
    }

    /// The bytes to store: a format byte and borsh.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        BorshSerialize::serialize(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// Bytes of another format, cut or extended.
    pub fn decode(bytes: &[u8]) -> std::io::Result<Self> {
        match bytes {
            [FORMAT, rest @ ..] => borsh::from_slice(rest),
            _ => {
                Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "unknown format of an attestation"))
            }
        }
    }

    /// EAS' own JSON of an off-chain attestation, as `{sig, signer}`: the share package that its SDK and explorer read.
    /// `None` for other kinds.
    pub fn eas_json(&self) -> Option<serde_json::Value> {
        match &self.statement {
            Statement::EasOffchain(eas) => Some(eas_json::write(eas, self.issuer, &self.signature)),
            _ => None,
        }
    }

    /// Checks what an attestation is by itself: the sizes, and the uid where it is not computed. Everything that
    /// [`read()`] and [`Self::on_chain`] return has passed.
    ///
    /// # Errors
    /// A part is too large, or the uid is not the content's.
    pub fn check_form(&self) -> Result<(), Refused> {
        limits::within("signature", self.signature.len(), SIGNATURE_BYTES_MAX)?;
        match &self.statement {
            Statement::EasOffchain(eas) => eas.check_sizes(),
            Statement::EasOnchain(eas) => {
                eas.check_sizes()?;
                eas.check_uid(self.issuer)
            }
            Statement::SignOffchain(sign) => sign.check_sizes(),
        }
    }
}
