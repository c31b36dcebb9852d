//! Look-ups: which are asked for, when, and what their answers do; times and how long a verdict holds.

use alloy_primitives::{Address, B256, b256};
use sluice_core::ids::ContractRef;
use sluice_gate::attestation::{
    Accepts, AllowList, Answers, Attestation, AttestationCode as Code, EasRecord, EasVersion, Need, Refused,
    Registry, Source, Statement, SubjectIn, Verdict, check,
};

use crate::common::*;

fn contract() -> ContractRef {
    ContractRef { chain_id: CHAIN, address: CONTRACT }
}

fn code(verdict: Result<Verdict, Refused>) -> Code {
    verdict.unwrap_err().code
}

#[test]
fn a_key_s_attestation_asks_for_its_revocation_only_and_only_for_a_claim() {
    let key = Key::new(1);
    let attestation = key.attest(Statement::EasOffchain(eas(EasVersion::V1)));
    let list = list(accepts(key.address()));
    assert!(matches!(check(&attestation, &list, None, &Answers::default()), Ok(Verdict::Passed(_))));
    let Ok(Verdict::Needs(needs, _)) = check(&attestation, &list, Some(&claim()), &Answers::default()) else {
        panic!("a look-up is missing")
    };
    let [Need::Revocation { contract: registry, issuer, uids }] = &needs[..] else { panic!("{needs:?}") };
    assert_eq!((*registry, *issuer, uids[0]), (contract(), key.address(), attestation.uid()));
    let revoked = Answers { signature: None, registry: Some(Registry::Revoked(NOW - 1)) };
    assert_eq!(code(check(&attestation, &list, Some(&claim()), &revoked)), Code::Revoked);
    // A refusal costs no look-up.
    let mut late = claim();
    late.now = NOW + 100;
    assert_eq!(code(check(&attestation, &list, Some(&late), &Answers::default())), Code::Expired);
}

#[test]
fn what_waits_for_look_ups_alone_comes_to_what_was_said_if_they_find_nothing_wrong() {
    let key = Key::new(1);
    let signed = key.attest(Statement::EasOffchain(eas(EasVersion::V1)));
    let wallet = Address::with_last_byte(0x77);
    let mut entry = accepts(key.address());
    entry.contract_issuers = vec![wallet];
    let by_contract = Attestation { issuer: wallet, ..signed.clone() };
    let cases = [(signed, list(entry.clone())), (by_contract, list(entry)), on_chain()];
    let registries = [Registry::Standing, Registry::Revoked(NOW), Registry::Gone, Registry::Unusable];
    for (attestation, list) in cases {
        let asked = check(&attestation, &list, Some(&claim()), &Answers::default());
        let Ok(Verdict::Needs(needs, passed)) = asked else { panic!("a look-up is missing") };
        assert!(!Answers::default().are_good_for(&needs));
        // Only who asked a contract is told that it signed nothing.
        let asked = needs.iter().any(|need| matches!(need, Need::Erc1271 { .. }));
        let signatures =
            [None, Some(true), Some(false)].into_iter().filter(|said| asked || *said != Some(false));
        for (registry, signature) in signatures.flat_map(|s| registries.map(|registry| (registry, s))) {
            let answers = Answers { signature, registry: Some(registry) };
            match check(&attestation, &list, Some(&claim()), &answers) {
                Ok(Verdict::Passed(again)) => {
                    assert_eq!(again, passed);
                    assert!(answers.are_good_for(&needs), "{answers:?}");
                }
                _ => assert!(!answers.are_good_for(&needs), "{answers:?}"),
            }
        }
    }
}

#[test]
fn where_no_registry_stands_nothing_passes_and_whatever_else_is_wrong_is_told_first() {
    let key = Key::new(1);
    let attestation = key.attest(Statement::EasOffchain(eas(EasVersion::V1)));
    let list = list(accepts(key.address()));
    let unusable = Answers { signature: None, registry: Some(Registry::Unusable) };
    assert_eq!(code(check(&attestation, &list, Some(&claim()), &unusable)), Code::RegistryUnusable);
    let mut late = claim();
    late.now = NOW + 100;
    assert_eq!(code(check(&attestation, &list, Some(&late), &unusable)), Code::Expired);
}

#[test]
fn a_contract_s_signature_is_asked_for() {
    let wallet = Address::with_last_byte(0x77);
    let mut entry = accepts(Key::new(1).address());
    entry.contract_issuers = vec![wallet];
    let list = list(entry);
    let statement = Statement::EasOffchain(eas(EasVersion::V1));
    let attestation = Attestation { issuer: wallet, ..Key::new(2).attest(statement) };
    let Ok(Verdict::Needs(needs, _)) = check(&attestation, &list, None, &Answers::default()) else {
        panic!("a look-up is missing")
    };
    let asked = Need::Erc1271 {
        chain_id: CHAIN,
        account: wallet,
        digest: attestation.digest().unwrap(),
        signature: attestation.signature.clone(),
    };
    assert_eq!(needs, [asked]);
    let said = |yes| Answers { signature: Some(yes), registry: None };
    assert!(matches!(check(&attestation, &list, None, &said(true)), Ok(Verdict::Passed(_))));
    assert_eq!(code(check(&attestation, &list, None, &said(false))), Code::SignatureRefused);
    // In the name of a key, the same forgery is refused without asking anybody.
    let forged = Attestation { issuer: Key::new(1).address(), ..attestation.clone() };
    assert_eq!(code(check(&forged, &list, None, &Answers::default())), Code::WrongSigner);
    // Bytes that are no key's signature reach a contract through JSON and back.
    let odd = Attestation { signature: vec![7; 130].into(), ..attestation };
    assert_eq!(signed(&odd.eas_json().unwrap().to_string()).unwrap(), odd);
}

#[test]
fn nobody_signs_as_the_zero_address() {
    let statement = Statement::EasOffchain(eas(EasVersion::V1));
    let attestation = Attestation { issuer: Address::ZERO, ..Key::new(2).attest(statement) };
    let list = list(accepts(Key::new(2).address()));
    let answers = Answers { signature: Some(true), registry: None };
    assert_eq!(code(check(&attestation, &list, None, &answers)), Code::WrongSigner);
}

fn on_chain() -> (Attestation, AllowList) {
    let statement = eas(EasVersion::V1);
    let issuer = Key::new(1).address();
    let mut record = EasRecord {
        schema: statement.schema,
        time: statement.time,
        expiration_time: statement.expiration_time,
        recipient: RECIPIENT,
        attester: issuer,
        revocable: true,
        data: statement.data,
        ..EasRecord::default()
    };
    let hashed = [
        record.schema.as_slice(),
        RECIPIENT.as_slice(),
        issuer.as_slice(),
        &record.time.to_be_bytes(),
        &record.expiration_time.to_be_bytes(),
        &[1],
        B256::ZERO.as_slice(),
        &record.data,
        &[0; 4],
    ];
    record.uid = alloy_primitives::keccak256(hashed.concat());
    let mut entry = accepts(issuer);
    entry.source = Source::EasOnchain(eas_schema(SCHEMA_TEXT));
    (Attestation::on_chain(contract(), record.uid, &record).unwrap(), list(entry))
}

#[test]
fn an_on_chain_attestation_is_asked_for_again_at_the_claim() {
    let (attestation, list) = on_chain();
    assert!(matches!(check(&attestation, &list, None, &Answers::default()), Ok(Verdict::Passed(_))));
    let asked = check(&attestation, &list, Some(&claim()), &Answers::default());
    let Ok(Verdict::Needs(needs, _)) = asked else { panic!("a look-up is missing") };
    assert_eq!(needs, [Need::OnChain { contract: contract(), uid: attestation.uid() }]);
    let said = |registry| Answers { signature: None, registry: Some(registry) };
    let answered = |registry| check(&attestation, &list, Some(&claim()), &said(registry));
    assert!(matches!(answered(Registry::Standing), Ok(Verdict::Passed(_))));
    assert_eq!(code(answered(Registry::Revoked(NOW))), Code::Revoked);
    assert_eq!(code(answered(Registry::Gone)), Code::NotFound);
    assert_eq!(Attestation::decode(&attestation.encode()).unwrap(), attestation);
    let json = serde_json::to_string(&attestation).unwrap();
    assert_eq!(serde_json::from_str::<Attestation>(&json).unwrap(), attestation);
    // The kinds do not stand for each other.
    let off_chain = Key::new(1).attest(Statement::EasOffchain(eas(EasVersion::V1)));
    assert_eq!(code(check(&off_chain, &list, None, &Answers::default())), Code::SchemaNotAccepted);
}

#[test]
fn only_registries_of_the_list_are_asked() {
    let (_, list) = on_chain();
    let refusal = |chain_id, address| {
        list.names_registry(ContractRef { chain_id, address }).map_err(|refused| refused.code)
    };
    assert_eq!(refusal(CHAIN, CONTRACT), Ok(()));
    assert_eq!(refusal(CHAIN, RECIPIENT), Err(Code::WrongContract));
    assert_eq!(refusal(1, CONTRACT), Err(Code::WrongChain));
    let off_chain_only = crate::common::list(accepts(Key::new(1).address()));
    assert_eq!(off_chain_only.names_registry(contract()).unwrap_err().code, Code::WrongChain);
}

#[test]
fn a_verdict_holds_until_the_first_second_of_expiry_or_greatest_age() {
    let key = Key::new(1);
    let until = |max_age_secs, expiration_time| {
        let mut statement = eas(EasVersion::V1);
        statement.expiration_time = expiration_time;
        let attestation = key.attest(Statement::EasOffchain(statement));
        let list = list(Accepts { max_age_secs, ..accepts(key.address()) });
        let passed = judged(&attestation, &list, &claim()).unwrap();
        if let Some(until) = passed.valid_until {
            let mut claim = claim();
            claim.now = until - 1;
            judged(&attestation, &list, &claim).unwrap();
            claim.now = until;
            judged(&attestation, &list, &claim).unwrap_err();
        }
        passed.valid_until
    };
    assert_eq!(until(None, 0), None);
    assert_eq!(until(None, NOW + 100), Some(NOW + 100));
    assert_eq!(until(Some(150), 0), Some(NOW + 50));
    assert_eq!(until(Some(150), NOW + 100), Some(NOW + 50));
    assert_eq!(until(Some(300), NOW + 100), Some(NOW + 100));
    assert_eq!(until(Some(u64::MAX), 0), Some(u64::MAX));
}

#[test]
fn one_entry_that_accepts_is_enough() {
    let key = Key::new(1);
    let attestation = key.attest(Statement::EasOffchain(eas(EasVersion::V1)));
    let mut elsewhere = accepts(key.address());
    if let Source::EasOffchain(eas) = &mut elsewhere.source {
        eas.chain_id = 10;
    }
    let both = AllowList::new(vec![elsewhere.clone(), accepts(key.address())]).unwrap();
    assert_eq!(judged(&attestation, &both, &claim()).unwrap().entry, 1);
    assert_eq!(judged(&attestation, &list(elsewhere), &claim()), Err(Code::WrongChain));
}

#[test]
fn another_s_copy_of_the_content_has_the_uid_but_not_the_id() {
    let statement = || Statement::EasOffchain(eas(EasVersion::V1));
    let (one, other) = (Key::new(1).attest(statement()), Key::new(2).attest(statement()));
    assert_eq!(one.uid(), other.uid());
    assert_ne!(one.id(), other.id());
    let again = Attestation { signature: vec![1; 65].into(), ..one.clone() };
    assert_eq!(one.id(), again.id());
    let mut elsewhere = eas(EasVersion::V1);
    elsewhere.domain.chain_id = 10;
    assert_ne!(Key::new(1).attest(Statement::EasOffchain(elsewhere)).id(), one.id());
}

#[test]
fn allow_lists_are_checked_and_named_by_their_hash() {
    let good = accepts(Key::new(1).address());
    let hash = list(good.clone()).hash();
    let wrong = |alter: fn(&mut Accepts)| {
        let mut entry = accepts(Key::new(1).address());
        alter(&mut entry);
        match AllowList::new(vec![entry]) {
            Ok(list) => {
                assert_ne!(list.hash(), hash);
                String::new()
            }
            Err(error) => error.to_string(),
        }
    };
    assert!(wrong(|entry| entry.schema_text = "bool unlike".into()).contains("make the schema 0x"));
    assert!(wrong(|entry| entry.schema_text = "bool".into()).contains("schema_text"));
    assert!(wrong(|entry| entry.issuers.push(Address::ZERO)).contains("ascending"));
    assert!(wrong(|entry| entry.issuers.clear()).contains("issuers"));
    assert!(wrong(|entry| entry.contract_issuers = entry.issuers.clone()).contains("one of the two"));
    assert!(wrong(|entry| entry.subject = SubjectIn::Field("like".into())).contains("bool"));
    assert!(wrong(|entry| entry.subject = SubjectIn::IndexingValue).contains("Sign"));
    assert_eq!(wrong(|entry| entry.max_age_secs = Some(1)), "");
    assert_eq!(wrong(|entry| entry.contract_issuers = vec![Address::with_last_byte(1)]), "");
    let json = serde_json::to_string(&good).unwrap();
    let again: Accepts = serde_json::from_str(&json).unwrap();
    assert_eq!(list(again).hash(), hash);
    // The hash names allow-lists in stored entries: a changed layout would change every one of them.
    assert_eq!(hash, b256!("434128380bc4ce24e368c92337fe1f3db0ef18543054685fdf17fa4b42e8bb68"));
}
