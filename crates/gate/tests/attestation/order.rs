//! The order of the checks: an attestation with several faults is refused with the first one's code.

use alloy_primitives::{Address, B256};
use sluice_gate::attestation::{
    Answers, Attestation, AttestationCode as Code, EasVersion, Registry, Source, Statement, check,
};

use crate::common::*;

/// Faults that can be made independently of each other, in the order of the checks.
const FAULTS: [Code; 14] = [
    Code::TooLarge,
    Code::NotFound,
    Code::BadSignature,
    Code::WrongSigner,
    Code::SchemaNotAccepted,
    Code::IssuerNotAccepted,
    Code::WrongSubject,
    Code::NotYetValid,
    Code::Expired,
    Code::TooOld,
    Code::Revoked,
    Code::WrongChain,
    Code::WrongContract,
    Code::DataMismatch,
];

/// The refusal of an attestation with exactly these faults.
fn refusal(has: impl Fn(Code) -> bool) -> Option<Code> {
    let (issuer, forger) = (Key::new(1), Key::new(2));
    let mut statement = eas(EasVersion::V2 { salt: B256::ZERO });
    let mut entry = accepts(issuer.address());
    let mut claim = claim();
    let mut answers = Answers { signature: None, registry: Some(Registry::Standing) };

    // Data of the wrong length, and of a length that is too large.
    if has(Code::DataMismatch) {
        statement.data = vec![0; 33].into();
    }
    if has(Code::TooLarge) {
        statement.data = vec![0; 20_000].into();
    }
    if has(Code::NotFound) {
        answers.registry = Some(Registry::Gone);
    }
    if has(Code::SchemaNotAccepted) {
        statement.schema = B256::ZERO;
    }
    if has(Code::IssuerNotAccepted) {
        entry.issuers = vec![Key::new(3).address()];
    }
    if has(Code::WrongSubject) {
        statement.recipient = Address::with_last_byte(1);
    }
    if has(Code::NotYetValid) {
        statement.time = NOW + 1;
    }
    if has(Code::Expired) {
        statement.expiration_time = NOW;
    }
    if has(Code::TooOld) {
        entry.max_age_secs = Some(0);
    }
    claim.revoked = has(Code::Revoked);
    if let Source::EasOffchain(eas) = &mut entry.source {
        eas.chain_id += u64::from(has(Code::WrongChain));
        if has(Code::WrongContract) {
            eas.contract = Address::with_last_byte(2);
        }
    }
    let statement = Statement::EasOffchain(statement);
    let signer = if has(Code::WrongSigner) { &forger } else { &issuer };
    let mut attestation = Attestation { issuer: issuer.address(), ..signer.attest(statement) };
    if has(Code::BadSignature) {
        attestation.signature = vec![0; 65].into();
    }
    check(&attestation, &list(entry), Some(&claim), &answers).err().map(|refused| refused.code)
}

#[test]
fn each_fault_alone_has_its_code_and_together_the_first_wins() {
    assert_eq!(refusal(|_| false), None);
    for (n, first) in FAULTS.into_iter().enumerate() {
        assert_eq!(refusal(|code| code == first), Some(first));
        for second in &FAULTS[n + 1..] {
            assert_eq!(refusal(|code| code == first || code == *second), Some(first), "with {second}");
        }
    }
    assert!(FAULTS.is_sorted());
}

#[test]
fn of_any_faults_the_first_is_told() {
    let masks = (1..1_u32 << FAULTS.len()).step_by(13);
    for mask in masks {
        let faults: Vec<Code> = FAULTS
            .into_iter()
            .enumerate()
            .filter(|(n, _)| mask >> n & 1 == 1)
            .map(|(_, code)| code)
            .collect();
        assert_eq!(refusal(|code| faults.contains(&code)), faults.first().copied(), "{faults:?}");
    }
}
