//! Altered attestations are refused, whichever field it is.

use alloy_primitives::{Address, B256, Bytes, U256};
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_core::ids::ContractRef;
use sluice_gate::attestation::{
    Attestation, AttestationCode as Code, EasDomain, EasOffchain, EasRecord, EasVersion, Statement,
};

use crate::common::*;

/// All places of scalars in a JSON value.
pub(crate) fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                leaves(item, &format!("{at}/{n}"), found);
            }
        }
        _ => found.push(at.into()),
    }
}

/// Another value of the same form.
pub(crate) fn altered(value: &Value) -> Value {
    match value {
        Value::Bool(yes) => json!(!yes),
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::String(text) if text == "0x" => json!("0x01"),
        Value::String(text) => {
            let mut text = text.clone();
            let last = match text.pop() {
                Some('0') => '1',
                Some(c) if c.is_ascii_hexdigit() => '0',
                _ => 'x',
            };
            text.push(last);
            json!(text)
        }
        other => panic!("not a scalar: {other}"),
    }
}

/// What reading and judging say of an attestation for its own recipient.
fn outcome(text: &str, issuer: Address) -> Option<Code> {
    let judged = signed(text).and_then(|read| judged(&read, &list(accepts(issuer)), &claim()));
    judged.err()
}

/// The code of an altered share package, by the place that was altered.
fn expected(place: &str) -> &'static [Code] {
    match place {
        "/sig/uid" => &[Code::UidMismatch],
        "/signer" => &[Code::WrongSigner],
        "/sig/domain/name" | "/sig/primaryType" | "/sig/version" | "/sig/message/version" => {
            &[Code::WrongTypes]
        }
        _ if place.starts_with("/sig/types/") => &[Code::WrongTypes],
        // Another point, or none; another v, or none.
        _ if place.starts_with("/sig/signature/") => &[Code::WrongSigner, Code::BadSignature],
        _ if place.starts_with("/sig/domain/") => &[Code::WrongSigner],
        _ if place.starts_with("/sig/message/") => &[Code::UidMismatch],
        other => panic!("{other}: a field without an expectation"),
    }
}

#[test]
fn every_field_of_every_version_is_protected() {
    let key = Key::new(1);
    for version in versions() {
        let package = key.attest(Statement::EasOffchain(eas(version))).eas_json().unwrap();
        assert_eq!(outcome(&package.to_string(), key.address()), None, "{package}");
        let mut places = Vec::new();
        leaves(&package, "", &mut places);
        assert!(places.len() > 30);
        for place in places {
            let mut changed = package.clone();
            let leaf = changed.pointer_mut(&place).unwrap();
            *leaf = altered(leaf);
            let code = outcome(&changed.to_string(), key.address());
            assert!(code.is_some_and(|code| expected(&place).contains(&code)), "{place}: {code:?}");
        }
    }
}

/// An alteration that keeps the uid right, as a forger would do it, is found by the signature.
#[test]
fn a_recomputed_uid_does_not_help() {
    let key = Key::new(1);
    let alterations: [fn(&mut EasOffchain); 9] = [
        |eas| eas.schema.0[31] ^= 1,
        |eas| eas.recipient = Address::with_last_byte(5),
        |eas| eas.time += 1,
        |eas| eas.expiration_time += 1,
        |eas| eas.revocable = false,
        |eas| eas.ref_uid = B256::ZERO,
        |eas| eas.data = Bytes::new(),
        |eas| eas.version = EasVersion::V2 { salt: B256::ZERO },
        |eas| eas.version = EasVersion::LegacyAttestation,
    ];
    for alter in alterations {
        let genuine = key.attest(Statement::EasOffchain(eas(EasVersion::V1)));
        let Statement::EasOffchain(mut statement) = genuine.statement.clone() else { unreachable!() };
        alter(&mut statement);
        let forged = Attestation { statement: Statement::EasOffchain(statement), ..genuine };
        let text = forged.eas_json().unwrap().to_string();
        assert_eq!(outcome(&text, key.address()), Some(Code::WrongSigner));
        // Without a stated signer the forgery has an issuer, whom nobody listed.
        let alone = forged.eas_json().unwrap()["sig"].to_string();
        let code = outcome(&alone, key.address()).unwrap();
        assert!(
            [Code::IssuerNotAccepted, Code::BadSignature, Code::SchemaNotAccepted].contains(&code),
            "{code}"
        );
    }
}

#[test]
fn unknown_missing_and_doubled_fields_are_refused() {
    let key = Key::new(1);
    let package = key.attest(Statement::EasOffchain(eas(EasVersion::V1))).eas_json().unwrap();
    for place in ["", "/sig", "/sig/domain", "/sig/message", "/sig/types/Attest/0"] {
        let mut extra = package.clone();
        extra.pointer_mut(place).unwrap()["nonce"] = json!(0);
        assert_eq!(outcome(&extra.to_string(), key.address()), Some(Code::Malformed), "{place}");
        let names: Vec<String> =
            package.pointer(place).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names.iter().filter(|name| **name != "version" || place == "/sig/message") {
            let mut missing = package.clone();
            missing.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(name);
            assert!(outcome(&missing.to_string(), key.address()).is_some(), "{place}/{name}");
        }
    }
    let mut two_types = package.clone();
    two_types["sig"]["types"]["Attestation"] = two_types["sig"]["types"]["Attest"].clone();
    assert_eq!(outcome(&two_types.to_string(), key.address()), Some(Code::WrongTypes));
    let doubled =
        package.to_string().replacen("\"revocable\":true", "\"revocable\":true,\"revocable\":true", 1);
    assert_eq!(outcome(&doubled, key.address()), Some(Code::Malformed));
}

/// The uid hashes the schema's text. Written in capitals, the same signature would get another uid, which nobody revoked.
#[test]
fn a_schema_in_capitals_is_refused_and_its_uid_is_asked_for() {
    let key = Key::new(1);
    let statement = eas(EasVersion::V1);
    let mut package = key.attest(Statement::EasOffchain(statement.clone())).eas_json().unwrap();
    let capitals = format!("0x{}", alloy_primitives::hex::encode_upper(statement.schema));
    let [lower, upper] = statement.revocable_uids()[..] else { panic!("two spellings") };
    package["sig"]["message"]["schema"] = json!(capitals);
    package["sig"]["uid"] = json!(upper);
    assert_eq!(outcome(&package.to_string(), key.address()), Some(Code::Malformed));
    assert_eq!(statement.uid(), lower);
    assert_ne!(lower, upper);
}

#[test]
fn a_high_s_is_refused() {
    let key = Key::new(1);
    let attestation = key.attest(Statement::EasOffchain(eas(EasVersion::V1)));
    let order = U256::from_be_slice(&secp256k1::constants::CURVE_ORDER);
    let s = order - U256::from_be_slice(&attestation.signature[32..64]);
    let v = if attestation.signature[64] == 27 { 28 } else { 27 };
    let other = [&attestation.signature[..32], &s.to_be_bytes::<32>(), &[v]].concat();
    let twin = Attestation { signature: other.into(), ..attestation };
    assert_eq!(judged(&twin, &list(accepts(key.address())), &claim()), Err(Code::BadSignature));
}

fn record() -> (EasRecord, ContractRef, B256) {
    let contract = ContractRef { chain_id: CHAIN, address: CONTRACT };
    let statement = eas(EasVersion::V1);
    let record = EasRecord {
        uid: B256::ZERO,
        schema: statement.schema,
        time: statement.time,
        expiration_time: statement.expiration_time,
        revocation_time: 0,
        ref_uid: statement.ref_uid,
        recipient: RECIPIENT,
        attester: Key::new(1).address(),
        revocable: true,
        data: statement.data,
    };
    let words = |bump: u32| {
        [
            record.schema.as_slice(),
            record.recipient.as_slice(),
            record.attester.as_slice(),
            &record.time.to_be_bytes(),
            &record.expiration_time.to_be_bytes(),
            &[1],
            record.ref_uid.as_slice(),
            &record.data,
            &bump.to_be_bytes(),
        ]
        .concat()
    };
    let uid = alloy_primitives::keccak256(words(3));
    (EasRecord { uid, ..record }, contract, uid)
}

#[test]
fn a_record_of_the_registry_hashes_to_its_uid() {
    let (record, contract, uid) = record();
    let attestation = Attestation::on_chain(contract, uid, &record).unwrap();
    assert_eq!((attestation.uid(), attestation.issuer), (uid, record.attester));
    let code = |record: &EasRecord, uid| Attestation::on_chain(contract, uid, record).unwrap_err().code;
    assert_eq!(code(&EasRecord::default(), uid), Code::NotFound);
    assert_eq!(code(&record, B256::ZERO), Code::UidMismatch);
    let alterations: [fn(&mut EasRecord); 8] = [
        |record| record.schema.0[0] ^= 1,
        |record| record.time += 1,
        |record| record.expiration_time += 1,
        |record| record.ref_uid.0[0] ^= 1,
        |record| record.recipient.0[0] ^= 1,
        |record| record.attester.0[0] ^= 1,
        |record| record.revocable = false,
        |record| record.data = Bytes::new(),
    ];
    for alter in alterations {
        let mut changed = record.clone();
        alter(&mut changed);
        assert_eq!(code(&changed, uid), Code::UidMismatch);
    }
    // Stored bytes that were altered are found too.
    let Statement::EasOnchain(mut eas) = attestation.statement.clone() else { unreachable!() };
    eas.recipient = Address::ZERO;
    let altered = Attestation { statement: Statement::EasOnchain(eas), ..attestation };
    assert_eq!(altered.check_form().unwrap_err().code, Code::UidMismatch);
}

prop_compose! {
    fn statements()(
        version in prop_oneof![
            Just(EasVersion::LegacyAttest),
            Just(EasVersion::LegacyAttestation),
            Just(EasVersion::V1),
            any::<[u8; 32]>().prop_map(|salt| EasVersion::V2 { salt: salt.into() }),
        ],
        domain in "[0-9]\\.[0-9]{1,2}(\\.[0-9])?",
        chain_id in any::<u64>(),
        contract in any::<[u8; 20]>(),
        schema in any::<[u8; 32]>(),
        recipient in any::<[u8; 20]>(),
        (time, expiration_time) in any::<(u64, u64)>(),
        revocable in any::<bool>(),
        ref_uid in any::<[u8; 32]>(),
        data in prop::collection::vec(any::<u8>(), 0..200),
    ) -> EasOffchain {
        EasOffchain {
            domain: EasDomain { version: domain, chain_id, contract: contract.into() },
            version,
            schema: schema.into(),
            recipient: recipient.into(),
            time,
            expiration_time,
            revocable,
            ref_uid: ref_uid.into(),
            data: data.into(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_reads_back(statement in statements(), key in 1_u8..50) {
        let attestation = Key::new(key).attest(Statement::EasOffchain(statement));
        prop_assert_eq!(&signed(&attestation.eas_json().unwrap().to_string()).unwrap(), &attestation);
        prop_assert_eq!(&signed(&attestation.eas_json().unwrap()["sig"].to_string()).unwrap(), &attestation);
        prop_assert_eq!(&Attestation::decode(&attestation.encode()).unwrap(), &attestation);
        let json = serde_json::to_string(&attestation).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Attestation>(&json).unwrap(), &attestation);
    }

    /// Any bit of the stored content belongs to what was signed.
    #[test]
    fn any_flipped_bit_is_found(statement in statements(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let key = Key::new(1);
        let attestation = key.attest(Statement::EasOffchain(statement));
        let mut bytes = attestation.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Attestation::decode(&bytes) {
            let refused = judged(&changed, &list(accepts(key.address())), &claim()).unwrap_err();
            prop_assert!(refused <= Code::WrongSigner, "{} at byte {}", refused, at);
        }
    }

    /// A changed character makes another text of the same attestation (a space, a hexadecimal digit's case), or a
    /// refusal; never another attestation that is accepted.
    #[test]
    fn no_edited_text_passes_as_something_else(
        version in 0_usize..4,
        at in any::<prop::sample::Index>(),
        edit in 0_u8..3,
        with in "[0-9a-fA-FxX\"\\\\{},:. n-]",
    ) {
        let key = Key::new(1);
        let attestation = key.attest(Statement::EasOffchain(eas(versions()[version].clone())));
        let mut text = attestation.eas_json().unwrap().to_string();
        let at = at.index(text.len());
        match edit {
            0 => text.insert_str(at, &with),
            1 => text.replace_range(at..=at, &with),
            _ => text.replace_range(at..=at, ""),
        }
        if let Ok(read) = signed(&text)
            && judged(&read, &list(accepts(key.address())), &claim()).is_ok()
        {
            prop_assert_eq!(read, attestation, "{}", text);
        }
    }

    /// Whatever is sent, reading answers.
    #[test]
    fn no_text_makes_reading_panic(text in ".*") {
        let _ = sluice_gate::attestation::read(&text);
        let _ = sluice_gate::attestation::read(&format!("https://easscan.org/offchain/url/#attestation={text}"));
    }
}
