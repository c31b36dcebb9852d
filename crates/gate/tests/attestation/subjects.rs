//! Whom an attestation is about: the recipient, or the person bound to it.

use alloy_primitives::{Address, B256, U256, hex};
use sluice_gate::attestation::{
    Accepts, AttestationCode as Code, EasVersion, ForClaim, Source, Statement, SubjectIn,
};

use crate::common::*;

const PERSON: B256 = B256::repeat_byte(0x55);
const OLD: Address = Address::repeat_byte(0x0d);

fn bound() -> ForClaim<'static> {
    ForClaim { person: Some(PERSON), addresses: &[OLD], ..claim() }
}

/// The refusal of an attestation about a recipient, in whose data `field` holds `data`.
fn refusal(
    recipient: Address,
    schema: &str,
    data: Vec<u8>,
    subject: SubjectIn,
    claim: &ForClaim<'_>,
) -> Option<Code> {
    let key = Key::new(1);
    let source = eas_schema(schema);
    let mut statement = eas(EasVersion::V2 { salt: B256::ZERO });
    (statement.schema, statement.recipient, statement.data) = (source.schema, recipient, data.into());
    let entry = Accepts {
        source: Source::EasOffchain(source),
        schema_text: schema.into(),
        subject,
        ..accepts(key.address())
    };
    judged(&key.attest(Statement::EasOffchain(statement)), &list(entry), claim).err()
}

#[test]
fn the_recipient_or_an_address_of_its_person() {
    let yes = B256::with_last_byte(1).to_vec();
    let said =
        |recipient, claim: &_| refusal(recipient, SCHEMA_TEXT, yes.clone(), SubjectIn::Recipient, claim);
    assert_eq!(said(RECIPIENT, &claim()), None);
    assert_eq!(said(RECIPIENT, &bound()), None);
    assert_eq!(said(OLD, &bound()), None);
    assert_eq!(said(OLD, &claim()), Some(Code::WrongSubject));
    assert_eq!(said(Address::repeat_byte(0xee), &bound()), Some(Code::WrongSubject));
    // The zero address is nobody, even where somebody is bound to it or claims for it.
    let nobody = ForClaim { recipient: Address::ZERO, addresses: &[Address::ZERO], ..bound() };
    assert_eq!(said(Address::ZERO, &nobody), Some(Code::WrongSubject));
}

#[test]
fn a_person_in_the_data() {
    let field = || SubjectIn::Field("who".into());
    let said =
        |recipient, data: B256, claim: &_| refusal(recipient, "bytes32 who", data.to_vec(), field(), claim);
    assert_eq!(said(Address::ZERO, PERSON, &bound()), None);
    assert_eq!(said(Address::ZERO, PERSON, &claim()), Some(Code::WrongSubject));
    // The field decides, not the recipient beside it.
    assert_eq!(said(RECIPIENT, B256::repeat_byte(0x66), &bound()), Some(Code::WrongSubject));
    // 32 bytes are a person, never an address; and nobody is the zero person.
    assert_eq!(said(RECIPIENT, RECIPIENT.into_word(), &bound()), Some(Code::WrongSubject));
    let nobody = ForClaim { person: Some(B256::ZERO), ..bound() };
    assert_eq!(said(RECIPIENT, B256::ZERO, &nobody), Some(Code::WrongSubject));
}

#[test]
fn an_address_or_text_in_the_data() {
    let field = || SubjectIn::Field("who".into());
    let address =
        |a: Address, claim: &_| refusal(Address::ZERO, "address who", a.into_word().to_vec(), field(), claim);
    assert_eq!(address(RECIPIENT, &claim()), None);
    assert_eq!(address(OLD, &bound()), None);
    assert_eq!(address(Address::ZERO, &bound()), Some(Code::WrongSubject));
    let text = |text: &str, claim: &_| {
        let mut data = [B256::with_last_byte(32), B256::from(U256::from(text.len()))].concat();
        data.extend_from_slice(text.as_bytes());
        data.resize(64 + text.len().next_multiple_of(32), 0);
        refusal(Address::ZERO, "string who", data, field(), claim)
    };
    assert_eq!(text(&RECIPIENT.to_string(), &claim()), None);
    assert_eq!(text(&PERSON.to_string(), &bound()), None);
    assert_eq!(text(&hex::encode(PERSON), &bound()), Some(Code::WrongSubject));
    assert_eq!(text("somebody", &bound()), Some(Code::WrongSubject));
    // Data that do not decode name nobody; that is what is said, at the subject's place.
    let code = refusal(RECIPIENT, "string who", vec![1], field(), &ForClaim { revoked: true, ..claim() });
    assert_eq!(code, Some(Code::DataMismatch));
}
