//! EAS' own packages against ours: the SDK signs and we judge, we write and the SDK verifies, the contracts attest and
//! revoke on a development chain.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use alloy_primitives::{Address, B256, U256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sluice_core::ids::ContractRef;
use sluice_embedded::{Anvil, AnvilOptions};
use sluice_gate::attestation::{
    Accepts, AllowList, Answers, Attestation, AttestationCode as Code, EasRecord, EasSchema, ForClaim,
    Registry, Source, SubjectIn, Value, Values, Verdict, check, schema_uid,
};

use crate::alter::{altered, leaves};
use crate::common::{NOW, judged, signed};

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    assert!(
        folder.join("node_modules/@ethereum-attestation-service/eas-sdk").is_dir(),
        "the SDK to compare with is not installed: run `npm ci` in {} (`make test` does)",
        folder.display()
    );
    folder
}

fn sdk(arguments: &[&str], input: &str) -> Json {
    let mut node = Command::new("node")
        .arg("sdk.mjs")
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    // Node reads all of its input before it writes.
    node.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the SDK failed at {arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    schema: String,
    schema_uid: B256,
    contract: Address,
    cases: Vec<Case>,
    sign_protocol: Json,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// What the SDK's own check said.
    verified: bool,
    issuer: Address,
    uid: B256,
    values: Vec<Json>,
    forms: Forms,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Forms {
    alone: String,
    numbers: String,
    shared: String,
    old: String,
    old_shared: String,
    url: String,
    packed: String,
}

/// An allow-list with one entry that takes the subject from the field `a`.
fn allow(source: Source, schema: &str, issuer: Address) -> AllowList {
    AllowList::new(vec![Accepts {
        source,
        schema_text: schema.into(),
        issuers: vec![issuer],
        contract_issuers: vec![],
        max_age_secs: Some(86_400),
        subject: SubjectIn::Field("a".into()),
    }])
    .unwrap()
}

fn eas_schema(schema: B256, chain_id: u64, contract: Address) -> EasSchema {
    EasSchema { chain_id, contract, schema, resolver: Address::ZERO, revocable: true }
}

/// Values as the script writes them: integers beyond 53 bits as decimal text, those of the list as numbers.
fn as_json(values: &Values) -> Json {
    fn one(value: &Value) -> Json {
        match value {
            Value::Bool(yes) => json!(yes),
            Value::Uint(n) => json!(n.to_string()),
            Value::Text(text) => json!(text),
            Value::Bytes(bytes) => json!(bytes),
            Value::Address(address) => json!(address.to_checksum(None)),
            Value::List(items) => {
                items.iter().map(|item| one(item).as_str().unwrap().parse::<u64>().unwrap()).collect()
            }
            other => panic!("{other:?}"),
        }
    }
    values.iter().map(|(name, value)| (name.clone(), one(value))).collect()
}

impl Case {
    fn claim(&self) -> ForClaim<'static> {
        let about = self.values.iter().find(|value| value["name"] == "a").unwrap();
        let recipient = about["value"].as_str().unwrap().parse().unwrap();
        ForClaim { recipient, person: None, addresses: &[], now: NOW + 100, revoked: false }
    }

    fn outcome(&self, text: &str, list: &AllowList) -> Result<Values, Code> {
        judged(&signed(text)?, list, &self.claim()).map(|passed| passed.values)
    }
}

#[test]
fn what_the_sdk_signs_is_accepted_in_every_form_and_altered_in_any_field_refused() {
    let made: Signed = serde_json::from_value(sdk(&["sign"], "")).unwrap();
    assert_eq!(schema_uid(&made.schema, Address::ZERO, true), made.schema_uid);
    assert_eq!(made.cases.len(), 20);
    let mut packages = Vec::new();
    for case in &made.cases {
        assert!(case.verified, "{}", case.name);
        let source = Source::EasOffchain(eas_schema(made.schema_uid, 31_337, made.contract));
        let list = allow(source, &made.schema, case.issuer);
        let forms = &case.forms;
        let expected: Json = case
            .values
            .iter()
            .map(|value| (value["name"].as_str().unwrap().to_string(), value["value"].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let attestation = signed(&forms.alone).unwrap();
        assert_eq!((attestation.uid(), attestation.issuer), (case.uid, case.issuer), "{}", case.name);
        let Forms { alone, numbers, shared, old, old_shared, url, packed } = forms;
        for form in [alone, numbers, shared, old, old_shared, url, packed] {
            assert_eq!(signed(form), Ok(attestation.clone()), "{}", case.name);
            assert_eq!(as_json(&case.outcome(form, &list).unwrap()), expected, "{}", case.name);
        }
        for form in [alone, shared, old] {
            let whole: Json = serde_json::from_str(form).unwrap();
            let mut places = Vec::new();
            leaves(&whole, "", &mut places);
            for place in places {
                let mut changed = whole.clone();
                let leaf = changed.pointer_mut(&place).unwrap();
                *leaf = altered(leaf);
                let refused = case.outcome(&changed.to_string(), &list);
                assert!(refused.is_err(), "{}: {place}", case.name);
            }
        }
        altered_arrays_are_refused(case, &list);
        packages.push(attestation.eas_json().unwrap());
    }
    // The other way round: what is written here, its SDK takes as its own.
    let verdicts = sdk(&["verify"], &json!(packages).to_string());
    assert_eq!(verdicts, json!(vec![true; packages.len()]));
}

/// The URL's array, each of its items changed.
fn altered_arrays_are_refused(case: &Case, list: &AllowList) {
    let mut unpacked = String::new();
    let packed = STANDARD.decode(&case.forms.packed).unwrap();
    flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_string(&mut unpacked).unwrap();
    let items: Vec<Json> = serde_json::from_str(&unpacked).unwrap();
    for at in 0..items.len() {
        if items[at].is_null() {
            continue;
        }
        let mut changed = items.clone();
        changed[at] = altered(&changed[at]);
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(json!(changed).to_string().as_bytes()).unwrap();
        let text = STANDARD.encode(packer.finish().unwrap());
        assert!(case.outcome(&text, list).is_err(), "{}: item {at}", case.name);
    }
}

#[test]
fn what_sign_protocol_s_sdk_has_signed_is_accepted() {
    let made: Signed = serde_json::from_value(sdk(&["sign"], "")).unwrap();
    let issuer: Address = made.sign_protocol["issuer"].as_str().unwrap().parse().unwrap();
    let recipient = made.sign_protocol["recipient"].as_str().unwrap().parse().unwrap();
    let source = Source::SignOffchain { chain_id: 1, schema: "SPS_cKmgkXVeojP-CdiH7kK7K".into() };
    let list = AllowList::new(vec![Accepts {
        source,
        schema_text: "bool like, uint16 n".into(),
        issuers: vec![issuer],
        contract_issuers: vec![],
        max_age_secs: None,
        subject: SubjectIn::Recipient,
    }])
    .unwrap();
    let claim = ForClaim { recipient, person: None, addresses: &[], now: NOW, revoked: false };
    let bodies = made.sign_protocol["bodies"].as_array().unwrap();
    assert_eq!(bodies.len(), 4);
    for body in bodies {
        let attestation = signed(body.as_str().unwrap()).unwrap();
        assert_eq!(attestation.issuer, issuer);
        let passed = judged(&attestation, &list, &claim).unwrap();
        assert_eq!(passed.values["n"], Value::Uint(U256::from(7)));
        assert_eq!(passed.valid_until, Some(NOW + 86_401));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnChain {
    schema: String,
    schema_uid: B256,
    registered: B256,
    address: Address,
    chain_id: u64,
    issuer: Address,
    records: Vec<Asked>,
    revoked_offchain: u64,
}

#[derive(Deserialize)]
struct Asked {
    asked: B256,
    record: EasRecord,
}

#[tokio::test]
async fn what_eas_has_on_chain_is_accepted_until_it_is_revoked() {
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let made: OnChain = serde_json::from_value(sdk(&["chain", &anvil.url()], "")).unwrap();
    assert_eq!((made.registered, made.records.len()), (made.schema_uid, 5));
    assert_ne!(made.revoked_offchain, 0);
    let contract = ContractRef { chain_id: made.chain_id, address: made.address };
    let schema = eas_schema(made.schema_uid, made.chain_id, made.address);
    let list = allow(Source::EasOnchain(schema), &made.schema, made.issuer);
    let code = |asked, record: &EasRecord| Attestation::on_chain(contract, asked, record).map_err(|e| e.code);
    // The registry's answer to an unknown uid.
    assert_eq!(code(made.records[4].asked, &made.records[4].record), Err(Code::NotFound));
    for (n, Asked { asked, record }) in made.records[..4].iter().enumerate() {
        // The first three say the same in one block; their uids differ by EAS' bump.
        let attestation = Attestation::on_chain(contract, *asked, record).unwrap();
        assert_eq!(attestation.issuer, made.issuer);
        let registry = match record.revocation_time {
            0 => Registry::Standing,
            at => Registry::Revoked(at),
        };
        let answers = Answers { signature: None, registry: Some(registry) };
        let values = match check(&attestation, &list, None, &answers) {
            Ok(Verdict::Passed(passed)) => passed.values,
            other => panic!("{other:?}"),
        };
        let Value::Address(recipient) = values["a"] else { panic!("{values:?}") };
        let claim = ForClaim { recipient, person: None, addresses: &[], now: record.time, revoked: false };
        let verdict = check(&attestation, &list, Some(&claim), &answers);
        match n {
            0 => assert_eq!(verdict.unwrap_err().code, Code::Revoked),
            _ => assert!(matches!(verdict, Ok(Verdict::Passed(_))), "{verdict:?}"),
        }
        let whole = serde_json::to_value(record).unwrap();
        for name in whole.as_object().unwrap().keys().filter(|name| *name != "revocation_time") {
            let mut changed = whole.clone();
            changed[name] = altered(&changed[name]);
            let changed: EasRecord = serde_json::from_value(changed).unwrap();
            assert_eq!(code(*asked, &changed), Err(Code::UidMismatch), "{name}");
        }
    }
}
