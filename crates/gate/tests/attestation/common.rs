//! Issuers with keys, statements to sign, and an allow-list that takes them.

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};
use sluice_gate::attestation::{
    Accepts, AllowList, Answers, Attestation, AttestationCode, EasDomain, EasOffchain, EasSchema, EasVersion,
    ForClaim, Passed, Registry, Source, Statement, SubjectIn, Submission, Verdict, check, read, schema_uid,
};

pub(crate) const SCHEMA_TEXT: &str = "bool like";
pub(crate) const CONTRACT: Address = address!("6f2E42BB4176e9A7352a8bF8886255Be9F3D2d13");
pub(crate) const RECIPIENT: Address = address!("00000000000000000000000000000000000000c1");
pub(crate) const CHAIN: u64 = 31_337;
pub(crate) const NOW: u64 = 1_790_000_000;

/// A key, made of one byte.
pub(crate) struct Key(SecretKey);

impl Key {
    pub(crate) fn new(n: u8) -> Self {
        Self(SecretKey::from_secret_bytes([n; 32]).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let public = PublicKey::from_secret_key(&self.0).serialize_uncompressed();
        Address::from_slice(&keccak256(&public[1..])[12..])
    }

    pub(crate) fn sign(&self, digest: B256) -> Bytes {
        let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.0);
        let (id, rs) = signature.serialize_compact();
        [&rs[..], &[27 + id.to_u8()]].concat().into()
    }

    pub(crate) fn attest(&self, statement: Statement) -> Attestation {
        let unsigned = Attestation { issuer: self.address(), statement, signature: Bytes::new() };
        let signature = self.sign(unsigned.digest().unwrap());
        Attestation { signature, ..unsigned }
    }
}

pub(crate) fn versions() -> [EasVersion; 4] {
    let v2 = EasVersion::V2 { salt: B256::with_last_byte(9) };
    [EasVersion::LegacyAttest, EasVersion::LegacyAttestation, EasVersion::V1, v2]
}

/// "like" is true, said about [`RECIPIENT`], valid around [`NOW`].
pub(crate) fn eas(version: EasVersion) -> EasOffchain {
    EasOffchain {
        domain: EasDomain { version: "1.3.0".into(), chain_id: CHAIN, contract: CONTRACT },
        version,
        schema: schema_uid(SCHEMA_TEXT, Address::ZERO, true),
        recipient: RECIPIENT,
        time: NOW - 100,
        expiration_time: NOW + 100,
        revocable: true,
        ref_uid: B256::with_last_byte(7),
        data: B256::from(U256::from(1)).as_slice().to_vec().into(),
    }
}

pub(crate) fn eas_schema(text: &str) -> EasSchema {
    EasSchema {
        chain_id: CHAIN,
        contract: CONTRACT,
        schema: schema_uid(text, Address::ZERO, true),
        resolver: Address::ZERO,
        revocable: true,
    }
}

pub(crate) fn accepts(issuer: Address) -> Accepts {
    Accepts {
        source: Source::EasOffchain(eas_schema(SCHEMA_TEXT)),
        schema_text: SCHEMA_TEXT.into(),
        issuers: vec![issuer],
        contract_issuers: vec![],
        max_age_secs: None,
        subject: SubjectIn::Recipient,
    }
}

pub(crate) fn list(entry: Accepts) -> AllowList {
    AllowList::new(vec![entry]).unwrap()
}

pub(crate) fn claim() -> ForClaim<'static> {
    ForClaim { recipient: RECIPIENT, person: None, addresses: &[], now: NOW, revoked: false }
}

pub(crate) fn standing() -> Answers {
    Answers { signature: None, registry: Some(Registry::Standing) }
}

/// The judgement where nothing has to be looked up any more.
pub(crate) fn judged(
    attestation: &Attestation,
    list: &AllowList,
    claim: &ForClaim<'_>,
) -> Result<Passed, AttestationCode> {
    match check(attestation, list, Some(claim), &standing()) {
        Ok(Verdict::Passed(passed)) => Ok(passed),
        Ok(Verdict::Needs(needs, _)) => panic!("unexpected look-ups: {needs:?}"),
        Err(refused) => Err(refused.code),
    }
}

pub(crate) fn signed(text: &str) -> Result<Attestation, AttestationCode> {
    match read(text) {
        Ok(Submission::Signed(attestation)) => Ok(*attestation),
        Ok(other) => panic!("not a signed attestation: {other:?}"),
        Err(refused) => Err(refused.code),
    }
}
