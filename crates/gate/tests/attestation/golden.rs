//! Vectors made with the original packages: EAS' SDK and contracts.

use alloy_primitives::{Address, B256, address, b256, hex};
use serde_json::{Value, json};
use sluice_gate::attestation::{Attestation, AttestationCode, EasVersion, Statement, schema_uid};

use crate::common::*;

const SCHEMA: B256 = b256!("33e9094830a5cba5554d1954310e4fbed2ef5f859ec1404619adea4207f391fd");

fn types(version: u64) -> Value {
    let mut members = vec![
        json!({ "name": "schema", "type": "bytes32" }),
        json!({ "name": "recipient", "type": "address" }),
        json!({ "name": "time", "type": "uint64" }),
        json!({ "name": "expirationTime", "type": "uint64" }),
        json!({ "name": "revocable", "type": "bool" }),
        json!({ "name": "refUID", "type": "bytes32" }),
        json!({ "name": "data", "type": "bytes" }),
    ];
    if version > 0 {
        members.insert(0, json!({ "name": "version", "type": "uint16" }));
    }
    if version > 1 {
        members.push(json!({ "name": "salt", "type": "bytes32" }));
    }
    json!({ "Attest": members })
}

fn message(version: u64) -> Value {
    let mut message = json!({
        "version": version,
        "schema": SCHEMA,
        "recipient": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "time": 1_690_299_812,
        "expirationTime": "1692891810",
        "revocable": true,
        "refUID": B256::ZERO,
        "data": "0x",
    });
    if version > 1 {
        message["salt"] = json!("0x0000000000000000000000000000000000000000000000000000000000000123");
    }
    message
}

fn file(version: u64, domain: &str, uid: B256, signature: Value) -> Value {
    json!({
        "version": version,
        "uid": uid,
        "domain": {
            "name": "EAS Attestation",
            "version": domain,
            "chainId": 31_337,
            "verifyingContract": "0x6f2E42BB4176e9A7352a8bF8886255Be9F3D2d13",
        },
        "primaryType": "Attest",
        "types": types(version),
        "message": message(version),
        "signature": signature,
    })
}

fn version_2() -> Value {
    file(
        2,
        "1.3.0",
        b256!("854d8e26b2bbdc3577fc78c6d2f512258fcc9b91a60858985a216c0ef526ee82"),
        json!({
            "v": 28,
            "r": "0x086528faabfc6eafc046c711577b603f0123e79383469abaedd9ff7ce38028fd",
            "s": "0x22c1f437874575bf74936a7d1a114c789f2a53e7d986c2c46fa60b6ed43d7351",
        }),
    )
}

fn version_1() -> Value {
    file(
        1,
        "1.0.0",
        b256!("35bcdfc396e713ace4513fb166b2ac2e5613f12e4aed5d5cdb637051750f6e0b"),
        json!({
            "v": 27,
            "r": "0x657d547ea6cd0833572aad8005d00e38f7ed179ab98f76af03209abc1b547445",
            "s": "0x39057cca4f279d3665882bb41087f281f4c82f8bc7289bd8692d1489516bbcfa",
        }),
    )
}

fn eas_of(attestation: &Attestation) -> sluice_gate::attestation::EasOffchain {
    match &attestation.statement {
        Statement::EasOffchain(eas) => eas.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn version_2_hashes_and_recovers() {
    let attestation = signed(&version_2().to_string()).unwrap();
    let eas = eas_of(&attestation);
    assert_eq!(attestation.issuer, address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
    assert_eq!(
        eas.eip712_domain().separator(),
        b256!("7c6395183983cfde2c947ede1f7f10d20f957521adcd84f531eb512199a79b83")
    );
    assert_eq!(eas.struct_hash(), b256!("755188317763077de321797824444374e5f2be8c4a9b2cf70cb77d540b0c1cf5"));
    assert_eq!(
        attestation.digest(),
        Some(b256!("8fdd1807a9e0005e695d876a8c7468f72128802e4d3215a464c4215e6d5ac5ec"))
    );
}

#[test]
fn version_1_hashes_and_recovers_in_the_old_form_too() {
    let attestation = signed(&version_1().to_string()).unwrap();
    assert_eq!(attestation.issuer, address!("8f80b8f45cA0F036da46fFA4D9e5e42D086fB302"));
    assert_eq!(
        attestation.digest(),
        Some(b256!("8ff141cb26a2eb5315f6ae5044c1f6c6cf8a21583a3f26b9917c4d0f8800e010"))
    );
    let mut old = version_1();
    let signature = old["signature"].take();
    let members = old.as_object_mut().unwrap();
    members.remove("signature");
    members.remove("version");
    members.extend(signature.as_object().unwrap().clone());
    assert_eq!(signed(&old.to_string()).unwrap(), attestation);
    let package = json!({ "sig": old, "signer": attestation.issuer });
    assert_eq!(signed(&package.to_string()).unwrap(), attestation);
}

/// The vectors' data are empty although their schema has a field: everything holds but the last check.
#[test]
fn the_vectors_pass_every_check_but_the_last() {
    for file in [version_2(), version_1()] {
        let attestation = signed(&file.to_string()).unwrap();
        let mut claim = claim();
        claim.recipient = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        claim.now = 1_690_299_812;
        let list = list(accepts(attestation.issuer));
        assert_eq!(judged(&attestation, &list, &claim), Err(AttestationCode::DataMismatch));
        claim.now = 1_692_891_810;
        assert_eq!(judged(&attestation, &list, &claim), Err(AttestationCode::Expired));
    }
}

#[test]
fn type_hashes_and_the_schema_uid() {
    let hashes = versions().map(|version| alloy_primitives::keccak256(version.type_string()));
    assert_eq!(
        hashes,
        [
            b256!("8cf0910035bff485b1e58fd279a4650d701acad722884336fd50f854aa2b0484"),
            b256!("2fcbc49c85ccde58f6986371b0828354351185c921aebbaace3e89e0e023b25d"),
            b256!("9a1ef129b3715afc513574bddcf4404e21b0296e3ca20fec532fe1ec8d0932ec"),
            b256!("258b757fc37a6699a984f4be01258122f834200374b34b4457b6db0dd0f71132"),
        ]
    );
    assert_eq!(schema_uid("bool like", Address::ZERO, true), SCHEMA);
}

/// Stored bytes stay readable: a changed layout needs a new format byte.
#[test]
fn stored_bytes_are_pinned() {
    let attestation = signed(&version_2().to_string()).unwrap();
    let bytes = attestation.encode();
    assert_eq!(Attestation::decode(&bytes).unwrap(), attestation);
    assert_eq!(
        hex::encode(&bytes),
        concat!(
            "01f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
            "0005000000312e332e30697a0000000000006f2e42bb4176e9a7352a8bf8886255be9f3d2d13",
            "030000000000000000000000000000000000000000000000000000000000000123",
            "33e9094830a5cba5554d1954310e4fbed2ef5f859ec1404619adea4207f391fd",
            "f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
            "a4edbf6400000000a27ae76400000000",
            "01",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "00000000",
            "41000000086528faabfc6eafc046c711577b603f0123e79383469abaedd9ff7ce38028fd",
            "22c1f437874575bf74936a7d1a114c789f2a53e7d986c2c46fa60b6ed43d73511c",
        )
    );
    let mut other = bytes.clone();
    other[0] = 2;
    Attestation::decode(&other).unwrap_err();
    Attestation::decode(&bytes[..bytes.len() - 1]).unwrap_err();
    assert!(matches!(eas_of(&attestation).version, EasVersion::V2 { .. }));
}
