//! The judgement: one fixed order of checks, and what has to be looked up.

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::ids::{ChainId, ContractRef};

use super::accepts::{AllowList, Entry, SubjectIn, expected};
use super::code::{AttestationCode as Code, Refused};
use super::recover::signer_of;
use super::values::{Value, Values};
use super::{Attestation, SignIndex, SignRecipients, Statement};

/// The claim an attestation is to support, at one moment. Without one, [`check()`] leaves out subject, times and
/// revocation: that is the check at intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForClaim<'a> {
    /// The recipient of the entitlement.
    pub recipient: Address,
    /// The person the registrar bound to the recipient, if any.
    pub person: Option<B256>,
    /// The addresses bound to that person, now or at the times that still count.
    pub addresses: &'a [Address],
    /// The moment, in seconds.
    pub now: u64,
    /// Whether an entry of the log revoked it ([`Attestation::id`]).
    pub revoked: bool,
}

/// What the registry on chain says of an attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// It stands.
    Standing,
    /// Its issuer revoked it, at this time in seconds.
    Revoked(u64),
    /// It is not there (any more): a block was reorganised.
    Gone,
    /// There is no such registry there: no contract, or one that answers otherwise than a registry. Asking again changes
    /// nothing.
    Unusable,
}

/// The answers to look-ups, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Whether the signature is the issuer's: what its contract answered to [`Need::Erc1271`], or `Some(true)` where
    /// this very attestation passed the check before (for a contract: recently, since its owners change).
    pub signature: Option<bool>,
    /// What the registry answered to [`Need::Revocation`] or [`Need::OnChain`].
    pub registry: Option<Registry>,
}

impl Answers {
    /// Whether these look-ups found nothing wrong: an attestation that waited for them alone is accepted.
    pub fn are_good_for(&self, needs: &[Need]) -> bool {
        needs.iter().all(|need| match need {
            Need::Erc1271 { .. } => self.signature == Some(true),
            Need::Revocation { .. } | Need::OnChain { .. } => self.registry == Some(Registry::Standing),
        })
    }
}

/// A look-up that the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Ask the issuer's contract: `isValidSignature(digest, signature)` on this chain.
    Erc1271 {
        /// The chain.
        chain_id: ChainId,
        /// The contract.
        account: Address,
        /// What was signed.
        digest: B256,
        /// The signature.
        signature: Bytes,
    },
    /// Ask the registry whether the issuer revoked an off-chain attestation: `getRevokeOffchain(issuer, uid)` for each
    /// uid; any that is not 0 is [`Registry::Revoked`].
    Revocation {
        /// The registry.
        contract: ContractRef,
        /// The issuer.
        issuer: Address,
        /// The spellings of its uid.
        uids: Vec<B256>,
    },
    /// Ask the registry for an on-chain attestation: `getAttestation(uid)`. A zero uid is [`Registry::Gone`], a
    /// `revocationTime` that is not 0 is [`Registry::Revoked`].
    OnChain {
        /// The registry.
        contract: ContractRef,
        /// The uid.
        uid: B256,
    },
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong so far; these look-ups are missing. If all are answered well ([`Answers::are_good_for`]), this is
    /// what it comes to.
    Needs(Vec<Need>, Passed),
    /// Accepted.
    Passed(Passed),
}

/// An accepted attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Which entry of the allow-list accepts it, from 0.
    pub entry: usize,
    /// The values of its data, for rules.
    pub values: Values,
    /// The first second in which it has to be judged again, or none: the least of its expiry and its greatest age. The
    /// life of look-ups is the caller's to add.
    pub valid_until: Option<u64>,
}

/// Judges an attestation by an allow-list: at intake without a claim, for a claim with one.
///
/// The order is fixed: form and uid → the registry knows it → signature → signer → schema allowed → issuer allowed →
/// subject → not before → not expired → not too old → not revoked → chain → contract → data. A subject inside the data
/// needs them decoded, so there their mismatch is found at the subject's place. Look-ups are named only when nothing
/// else is wrong, so that forgeries cost none. Where several entries list schema and issuer, one that accepts is
/// enough, and the first one's refusal is told.
///
/// # Errors
/// The first failing check's code.
pub fn check(
    attestation: &Attestation,
    allowed: &AllowList,
    claim: Option<&ForClaim<'_>>,
    answers: &Answers,
) -> Result<Verdict, Refused> {
    attestation.check_form()?;
    if answers.registry == Some(Registry::Gone) {
        return Err(Refused::new(Code::NotFound, "the registry no longer has it"));
    }
    let asked = signature(attestation, allowed, answers)?;
    let mut refusal = None;
    for (n, entry) in candidates(attestation, allowed)? {
        match by_entry(attestation, entry, claim, answers) {
            Ok((values, valid_until)) => {
                // The last check: whatever else is wrong says more.
                if answers.registry == Some(Registry::Unusable) {
                    let detail = "no registry that can be asked stands where this gate looks for one";
                    return Err(Refused::new(Code::RegistryUnusable, detail));
                }
                let needs = needs(attestation, entry, claim, answers, asked);
                let passed = Passed { entry: n, values, valid_until };
                return Ok(if needs.is_empty() {
                    Verdict::Passed(passed)
                } else {
                    Verdict::Needs(needs, passed)
                });
            }
            Err(refused) => refusal = refusal.or(Some(refused)),
        }
    }
    Err(refusal.expect("there is a candidate, and it either accepts or refuses"))
}

/// Whether the signature stands, as far as it can be said without asking: `true` says that the issuer's contract has to
/// be asked.
fn signature(attestation: &Attestation, allowed: &AllowList, answers: &Answers) -> Result<bool, Refused> {
    let issuer = attestation.issuer;
    if issuer.is_zero() {
        return Err(Refused::new(Code::WrongSigner, "the zero address signs nothing"));
    }
    if matches!(attestation.statement, Statement::EasOnchain(_)) || answers.signature == Some(true) {
        return Ok(false);
    }
    if answers.signature == Some(false) {
        return Err(Refused::new(Code::SignatureRefused, format!("contract {issuer} said no")));
    }
    // Only now: to hash what was signed takes longer than all other checks together.
    let Some(digest) = attestation.digest() else { return Ok(false) };
    let signer = signer_of(digest, &attestation.signature);
    if signer == Some(issuer) {
        return Ok(false);
    }
    let is_contract = allowed
        .iter()
        .any(|entry| entry.source.kind() == attestation.kind() && entry.contract_issuers.contains(&issuer));
    match signer {
        _ if is_contract => Ok(true),
        Some(other) => Err(Refused::new(Code::WrongSigner, format!("signed by {other}, stated is {issuer}"))),
        None => Err(Refused::new(
            Code::BadSignature,
            "r, s and v of a key are needed, with a low s and v 27 or 28",
        )),
    }
}

/// The entries that list the attestation's schema and issuer, with their places.
fn candidates<'a>(
    attestation: &Attestation,
    allowed: &'a AllowList,
) -> Result<Vec<(usize, &'a Entry)>, Refused> {
    let entries = allowed.entries().iter().enumerate();
    let of_schema: Vec<_> =
        entries.filter(|(_, entry)| entry.accepts.source.has_schema_of(attestation)).collect();
    if of_schema.is_empty() {
        let detail = format!("{} schema {}", attestation.kind().as_str(), attestation.schema());
        return Err(Refused::new(Code::SchemaNotAccepted, detail));
    }
    let of_issuer: Vec<_> =
        of_schema.into_iter().filter(|(_, entry)| entry.accepts.lists(attestation.issuer)).collect();
    if of_issuer.is_empty() {
        return Err(Refused::new(Code::IssuerNotAccepted, format!("issuer {}", attestation.issuer)));
    }
    Ok(of_issuer)
}

/// The checks behind the allow-list, by one of its entries; yields the data's values and until when it is valid.
fn by_entry(
    attestation: &Attestation,
    entry: &Entry,
    claim: Option<&ForClaim<'_>>,
    answers: &Answers,
) -> Result<(Values, Option<u64>), Refused> {
    let mut valid_until = None;
    if let Some(claim) = claim {
        subject(attestation, entry, claim)?;
        valid_until = times(attestation, entry, claim.now)?;
        revocation(claim, answers)?;
    }
    if let (Some(contract), Some(accepted)) = (attestation.contract(), entry.accepts.source.contract()) {
        expected(contract, std::iter::once(accepted))?;
    }
    Ok((values(attestation, entry)?, valid_until))
}

fn values(attestation: &Attestation, entry: &Entry) -> Result<Values, Refused> {
    match &attestation.statement {
        Statement::EasOffchain(eas) => entry.fields.decode_abi(&eas.data),
        Statement::EasOnchain(eas) => entry.fields.decode_abi(&eas.data),
        Statement::SignOffchain(sign) => entry.fields.decode_json(&sign.data),
    }
}

/// What an attestation may be about.
enum Subject {
    Address(Address),
    Person(B256),
}

impl Subject {
    /// An address (20 bytes) or a person (32 bytes) as hexadecimal text.
    fn from_text(text: &str) -> Option<Self> {
        if !text.starts_with("0x") {
            return None;
        }
        match text.len() {
            42 => text.parse().ok().map(Self::Address),
            66 => text.parse().ok().map(Self::Person),
            _ => None,
        }
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Address(address) => Some(Self::Address(*address)),
            Value::Bytes(bytes) => B256::try_from(bytes.as_ref()).ok().map(Self::Person),
            Value::Text(text) => Self::from_text(text),
            _ => None,
        }
    }

    /// The zero address and the zero person are nobody.
    fn is(&self, claim: &ForClaim<'_>) -> bool {
        match self {
            Self::Address(address) => {
                !address.is_zero() && (*address == claim.recipient || claim.addresses.contains(address))
            }
            Self::Person(person) => !person.is_zero() && claim.person == Some(*person),
        }
    }
}

/// It is about the recipient of the claim, or about the person bound to it.
fn subject(attestation: &Attestation, entry: &Entry, claim: &ForClaim<'_>) -> Result<(), Refused> {
    let subjects: Vec<Subject> = match (&entry.accepts.subject, &attestation.statement) {
        (SubjectIn::Field(name), _) => {
            values(attestation, entry)?.get(name).and_then(Subject::from_value).into_iter().collect()
        }
        (_, Statement::EasOffchain(eas)) => vec![Subject::Address(eas.recipient)],
        (_, Statement::EasOnchain(eas)) => vec![Subject::Address(eas.recipient)],
        (SubjectIn::IndexingValue, Statement::SignOffchain(sign)) => match &sign.indexing_value {
            SignIndex::Address(address) => vec![Subject::Address(*address)],
            SignIndex::Text(text) => Subject::from_text(text).into_iter().collect(),
        },
        (SubjectIn::Recipient, Statement::SignOffchain(sign)) => match &sign.recipients {
            SignRecipients::Addresses(addresses) => addresses.iter().copied().map(Subject::Address).collect(),
            SignRecipients::Texts(texts) => {
                texts.iter().filter_map(|text| Subject::from_text(text)).collect()
            }
        },
    };
    if subjects.iter().any(|subject| subject.is(claim)) {
        return Ok(());
    }
    let place = match &entry.accepts.subject {
        SubjectIn::Recipient => "its recipient",
        SubjectIn::Field(name) => name,
        SubjectIn::IndexingValue => "its indexing value",
    };
    // Whom it is about instead is not told: the submitter need not be the subject.
    let detail = format!("{place} is neither {} nor the person bound to it", claim.recipient);
    Err(Refused::new(Code::WrongSubject, detail))
}

/// Valid at `now`, and until when.
fn times(attestation: &Attestation, entry: &Entry, now: u64) -> Result<Option<u64>, Refused> {
    let issued_at = attestation.issued_at();
    if let Some(issued_at) = issued_at.filter(|issued_at| *issued_at > now) {
        return Err(Refused::new(Code::NotYetValid, format!("issued at {issued_at}, it is {now}")));
    }
    let expires_at = attestation.expires_at();
    if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at <= now) {
        return Err(Refused::new(Code::Expired, format!("valid before {expires_at}, it is {now}")));
    }
    let too_old_at = match (entry.accepts.max_age_secs, issued_at) {
        (None, _) => None,
        (Some(_), None) => return Err(Refused::new(Code::IssueTimeUnknown, "a greatest age is asked for")),
        (Some(max), Some(issued_at)) => Some(issued_at.saturating_add(max)),
    };
    if let Some(too_old_at) = too_old_at.filter(|too_old_at| *too_old_at <= now) {
        return Err(Refused::new(Code::TooOld, format!("young enough before {too_old_at}, it is {now}")));
    }
    Ok([expires_at, too_old_at].into_iter().flatten().min())
}

fn revocation(claim: &ForClaim<'_>, answers: &Answers) -> Result<(), Refused> {
    if claim.revoked {
        return Err(Refused::new(Code::Revoked, "by an entry of the log"));
    }
    match answers.registry {
        Some(Registry::Revoked(at)) => Err(Refused::new(Code::Revoked, format!("by its issuer, at {at}"))),
        _ => Ok(()),
    }
}

/// The look-ups that are missing before the verdict.
fn needs(
    attestation: &Attestation,
    entry: &Entry,
    claim: Option<&ForClaim<'_>>,
    answers: &Answers,
    ask_issuer: bool,
) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(digest) = ask_issuer.then(|| attestation.digest()).flatten() {
        needs.push(Need::Erc1271 {
            chain_id: entry.accepts.source.chain_id(),
            account: attestation.issuer,
            digest,
            signature: attestation.signature.clone(),
        });
    }
    if claim.is_some() && answers.registry.is_none() {
        needs.extend(attestation.revocation());
    }
    needs
}
