//! Sign Protocol's off-chain attestations, in the body its SDK posts.

use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_gate::attestation::{
    Accepts, AllowList, Answers, Attestation, AttestationCode as Code, SignIndex, SignOffchain,
    SignRecipients, Source, Statement, SubjectIn, Verdict, check,
};

use crate::alter::{altered, leaves};
use crate::common::*;

const TEXT: &str = "bool like, uint16 n";

fn statement() -> SignOffchain {
    SignOffchain {
        schema_id: "SPS_cKmgkXVeojP-CdiH7kK7K".into(),
        linked_attestation_id: String::new(),
        data: r#"{"like":true,"n":"7"}"#.into(),
        valid_until: u32::try_from(NOW).unwrap() + 9,
        recipients: SignRecipients::Addresses(vec![Address::with_last_byte(3), RECIPIENT]),
        indexing_value: SignIndex::Text(B256::repeat_byte(0x55).to_string()),
    }
}

fn body(attestation: &Attestation) -> Value {
    let Statement::SignOffchain(sign) = &attestation.statement else { unreachable!() };
    let members: Vec<_> =
        sign.fields().into_iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    let (recipients, index) = (
        match &sign.recipients {
            SignRecipients::Addresses(addresses) => json!(addresses),
            SignRecipients::Texts(texts) => json!(texts),
        },
        match &sign.indexing_value {
            SignIndex::Address(address) => json!(address),
            SignIndex::Text(text) => json!(text),
        },
    );
    let message = json!({
        "schemaId": sign.schema_id,
        "linkedAttestationId": sign.linked_attestation_id,
        "validUntil": sign.valid_until,
        "recipients": recipients,
        "indexingValue": index,
        "dataLocation": "arweave",
        "data": sign.data,
    });
    let typed = json!({
        "domain": { "name": "sign.global", "version": "1" },
        "message": message,
        "primaryType": "Data",
        "types": {
            "EIP712Domain": [{ "name": "name", "type": "string" }, { "name": "version", "type": "string" }],
            "AttestationData": [{ "name": "like", "type": "bool" }],
            "Data": members,
        },
    });
    json!({
        "signType": "evm-eip712",
        "publicKey": attestation.issuer,
        "signature": attestation.signature,
        "message": typed,
        "attestation": message.to_string(),
    })
}

fn entry(subject: SubjectIn) -> Accepts {
    let source = Source::SignOffchain { chain_id: CHAIN, schema: statement().schema_id };
    Accepts { source, schema_text: TEXT.into(), subject, ..accepts(Key::new(1).address()) }
}

fn outcome(body: &Value) -> Option<Code> {
    let judged = signed(&body.to_string())
        .and_then(|read| judged(&read, &list(entry(SubjectIn::Recipient)), &claim()));
    judged.err()
}

#[test]
fn every_type_form_reads_back_and_is_accepted() {
    let texts = SignRecipients::Texts(vec!["someone".into(), RECIPIENT.to_checksum(None)]);
    for recipients in [statement().recipients, texts] {
        for indexing_value in [statement().indexing_value, SignIndex::Address(RECIPIENT)] {
            let statement = SignOffchain { recipients: recipients.clone(), indexing_value, ..statement() };
            let attestation = Key::new(1).attest(Statement::SignOffchain(statement));
            let mut body = body(&attestation);
            assert_eq!(signed(&body.to_string()).unwrap(), attestation);
            assert_eq!(outcome(&body), None);
            // The SDK sends the message as text.
            body["message"] = json!(body["message"].to_string());
            assert_eq!(signed(&body.to_string()).unwrap(), attestation);
            assert_eq!(Attestation::decode(&attestation.encode()).unwrap(), attestation);
            let json = serde_json::to_string(&attestation).unwrap();
            assert_eq!(serde_json::from_str::<Attestation>(&json).unwrap(), attestation);
        }
    }
}

#[test]
fn every_field_is_protected() {
    let good = body(&Key::new(1).attest(Statement::SignOffchain(statement())));
    let mut places = Vec::new();
    leaves(&good, "", &mut places);
    for place in places {
        // Not signed and without meaning: where the service stores the data, and the schema's own type.
        if place.contains("/types/AttestationData/") {
            continue;
        }
        let mut changed = good.clone();
        if place != "/attestation" {
            // The unsigned copy would give most alterations away.
            changed.as_object_mut().unwrap().remove("attestation");
        }
        let leaf = changed.pointer_mut(&place).unwrap();
        *leaf = altered(leaf);
        let code = outcome(&changed);
        let expected: &[Code] = match place.as_str() {
            "/message/message/dataLocation" => {
                assert_eq!(code, None);
                continue;
            }
            "/attestation" => &[Code::Malformed],
            "/signType" | "/message/primaryType" => &[Code::WrongTypes],
            "/signature" => &[Code::WrongSigner, Code::BadSignature],
            "/publicKey" => &[Code::WrongSigner],
            _ if place.starts_with("/message/domain/") || place.starts_with("/message/types/") => {
                &[Code::WrongTypes]
            }
            _ => &[Code::WrongSigner],
        };
        assert!(code.is_some_and(|code| expected.contains(&code)), "{place}: {code:?}");
    }
    for place in ["", "/message", "/message/domain", "/message/message", "/message/types"] {
        let mut extra = good.clone();
        extra.pointer_mut(place).unwrap()["more"] = json!([]);
        assert!([Some(Code::Malformed), Some(Code::WrongTypes)].contains(&outcome(&extra)), "{place}");
    }
}

#[test]
fn text_and_address_are_different_signatures() {
    let attestation = Key::new(1).attest(Statement::SignOffchain(statement()));
    let mut body = body(&attestation);
    body["message"]["types"]["Data"][4]["type"] = json!("string[]");
    assert_eq!(outcome(&body), Some(Code::WrongSigner));
    body["message"]["types"]["Data"][4]["type"] = json!("bytes[]");
    assert_eq!(outcome(&body), Some(Code::WrongTypes));
}

#[test]
fn it_is_valid_through_its_last_second() {
    let attestation = Key::new(1).attest(Statement::SignOffchain(statement()));
    let list = list(entry(SubjectIn::Recipient));
    let mut claim = claim();
    assert_eq!(judged(&attestation, &list, &claim).unwrap().valid_until, Some(NOW + 10));
    claim.now = NOW + 9;
    judged(&attestation, &list, &claim).unwrap();
    claim.now = NOW + 10;
    assert_eq!(judged(&attestation, &list, &claim), Err(Code::Expired));
    let for_ever = SignOffchain { valid_until: 0, ..statement() };
    let attestation = Key::new(1).attest(Statement::SignOffchain(for_ever));
    assert_eq!(judged(&attestation, &list, &claim).unwrap().valid_until, None);
}

#[test]
fn the_indexing_value_may_name_the_person() {
    let attestation = Key::new(1).attest(Statement::SignOffchain(statement()));
    let list = list(entry(SubjectIn::IndexingValue));
    let mut claim = claim();
    assert_eq!(judged(&attestation, &list, &claim), Err(Code::WrongSubject));
    claim.person = Some(B256::repeat_byte(0x55));
    judged(&attestation, &list, &claim).unwrap();
}

/// The signed struct has no time of issue and no registry: a greatest age cannot be asked for, our own revocations work.
#[test]
fn what_it_does_not_say_is_not_assumed() {
    let mut aged = entry(SubjectIn::Recipient);
    aged.max_age_secs = Some(1);
    assert!(AllowList::new(vec![aged]).unwrap_err().to_string().contains("max_age_secs"));
    let attestation = Key::new(1).attest(Statement::SignOffchain(statement()));
    let list = list(entry(SubjectIn::Recipient));
    let mut claim = claim();
    assert!(matches!(check(&attestation, &list, Some(&claim), &Answers::default()), Ok(Verdict::Passed(_))));
    claim.revoked = true;
    assert_eq!(judged(&attestation, &list, &claim), Err(Code::Revoked));
}

#[test]
fn its_bounds_hold() {
    let too_large = [
        SignOffchain { recipients: SignRecipients::Addresses(vec![RECIPIENT; 65]), ..statement() },
        SignOffchain { recipients: SignRecipients::Texts(vec!["x".repeat(257)]), ..statement() },
        SignOffchain { data: " ".repeat((16 << 10) + 1), ..statement() },
        SignOffchain { schema_id: "S".repeat(257), ..statement() },
        SignOffchain { indexing_value: SignIndex::Text("x".repeat(257)), ..statement() },
    ];
    for statement in too_large {
        let body = body(&Key::new(1).attest(Statement::SignOffchain(statement)));
        assert_eq!(outcome(&body), Some(Code::TooLarge));
    }
    assert_eq!(signed(&" ".repeat(70_000)), Err(Code::TooLarge));
}

proptest! {
    /// Any bit of the stored content belongs to what was signed.
    #[test]
    fn any_flipped_bit_is_found(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = Key::new(1).attest(Statement::SignOffchain(statement())).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Attestation::decode(&bytes) {
            let refused = judged(&changed, &list(entry(SubjectIn::Recipient)), &claim()).unwrap_err();
            prop_assert!(refused <= Code::WrongSigner, "{} at byte {}", refused, at);
        }
    }
}
