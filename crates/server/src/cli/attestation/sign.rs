//! `sluice attestation sign`: an office that has no program of its own signs here, in the form of Sign Protocol.

use std::process::ExitCode;

use alloy_primitives::{Address, Bytes};
use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};
use sluice_gate::attestation::{
    Attestation, SignIndex, SignOffchain, SignRecipients, Statement, Submission, read,
};

use crate::cli::reach::KeyArgs;
use crate::cli::words;

/// Sign an attestation as Sign Protocol's programs do, off chain, and print the line that `submit` takes.
#[derive(Debug, Args)]
pub(super) struct Sign {
    /// Whom it is about.
    #[arg(value_parser = words::address)]
    recipient: Address,
    /// What it says: a JSON object with the schema's fields, numbers as text.
    #[arg(value_parser = object)]
    data: Map<String, Value>,
    /// The schema's id, "SPS_…".
    #[arg(long, value_name = "ID")]
    schema: String,
    /// Last second at which it counts, Unix seconds; 0 for no end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    valid_until: u32,
    #[command(flatten)]
    keys: KeyArgs,
}

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let issuer = self.keys.open_one().context("an attestation has one issuer")?;
        let sign = SignOffchain {
            schema_id: self.schema,
            linked_attestation_id: String::new(),
            data: Value::Object(self.data).to_string(),
            valid_until: self.valid_until,
            recipients: SignRecipients::Addresses(vec![self.recipient]),
            indexing_value: SignIndex::Address(self.recipient),
        };
        let statement = Statement::SignOffchain(sign.clone());
        let mut signed = Attestation { issuer: issuer.address(), statement, signature: Bytes::new() };
        let digest = signed.digest().context("this form has a digest that its issuer signs")?;
        signed.signature = issuer.sign_digest(digest)?;
        let line = posted(&sign, &signed).to_string();
        // What is printed is what a node reads: that is asked here, before somebody hands it on.
        let again = read(&line)?;
        anyhow::ensure!(again == Submission::Signed(Box::new(signed)), "it would be read as something else");
        println!("{line}");
        Ok(ExitCode::SUCCESS)
    }
}

/// The body that Sign Protocol's SDK posts.
fn posted(sign: &SignOffchain, signed: &Attestation) -> Value {
    let recipients = match &sign.recipients {
        SignRecipients::Addresses(addresses) => json!(addresses),
        SignRecipients::Texts(texts) => json!(texts),
    };
    let index = match &sign.indexing_value {
        SignIndex::Address(address) => json!(address),
        SignIndex::Text(text) => json!(text),
    };
    let members: Vec<Value> =
        sign.fields().into_iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    json!({
        "signType": "evm-eip712",
        "publicKey": signed.issuer,
        "signature": signed.signature,
        "message": {
            "domain": { "name": "sign.global", "version": "1" },
            "primaryType": "Data",
            "types": { "Data": members },
            "message": {
                "schemaId": sign.schema_id,
                "linkedAttestationId": sign.linked_attestation_id,
                "data": sign.data,
                "validUntil": sign.valid_until,
                "recipients": recipients,
                "indexingValue": index,
            },
        },
    })
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("not a JSON object as '{{\"country\":\"DE\"}}': {error}"))
}
