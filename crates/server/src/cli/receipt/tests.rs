use std::io::Write;

use alloy_primitives::{Address, B256};
use clap::Parser;
use sluice_core::ids::{CampaignId, ContractRef, DemandId, IntakeKey, StreamId};
use sluice_core::log::entry::{Body, CommandRefused, Entry};
use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::log::note::{LogKey, Origin, TreeHead};
use sluice_core::log::receipt::{Promise, Receipt, Ticket};
use sluice_core::refusal::Code;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    receipt: ReceiptArgs,
}

fn key() -> LogKey {
    let charter = ContractRef { chain_id: 31_337, address: Address::repeat_byte(0xAB) };
    LogKey::new(&Origin::new(charter, StreamId(1)), &[9; 32])
}

fn intake() -> IntakeKey {
    IntakeKey { campaign: CampaignId::default(), node: 3, n: 12 }
}

fn id() -> DemandId {
    "01900000-0000-7000-8000-0000000000a1".parse().unwrap()
}

fn receipt() -> Receipt {
    let refused = CommandRefused {
        intake: intake(),
        id: id(),
        body_hash: B256::repeat_byte(1),
        code: Code::Stale,
        changed_at: Some(41),
        authority: B256::ZERO,
        policies: Vec::new(),
    };
    let body = Body::CommandRefused(refused);
    let entry =
        Entry { stream: StreamId(1), seq: 2, epoch: 4, recorded_at: 1_763_710_060_500, body }.encode();
    let appended = Frontier::default().extend_with_paths(&[leaf_hash(b"before"), leaf_hash(&entry)]);
    let head = TreeHead {
        origin: key().origin().clone(),
        size: appended.size,
        root: appended.root,
        state_hash: None,
    };
    Receipt { entry, seq: 2, path: appended.paths[1].clone(), note: key().sign(&head) }
}

fn ticket() -> Ticket {
    let promise = Promise {
        intake: intake(),
        id: id(),
        body_hash: B256::repeat_byte(2),
        accepted_at: 1_763_710_000_500,
        place: 7,
        estimate_ms: 900,
        decide_by: 1_763_710_060_500,
    };
    Ticket::give(3, vec![promise], &key()).remove(0)
}

fn run(text: &str, more: &[&str]) -> anyhow::Result<ExitCode> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    run_file(file.path().to_str().unwrap(), more)
}

fn run_file(file: &str, more: &[&str]) -> anyhow::Result<ExitCode> {
    let key = key().verifier().to_string();
    let line = ["sluice receipt", "verify", file, "--key", &key];
    Line::try_parse_from(line.iter().chain(more)).unwrap().receipt.run()
}

#[test]
fn a_receipt_is_told_in_plain_words() {
    let text = serde_json::to_string(&receipt()).unwrap();
    let proven = prove(&text, &[key().verifier()]).unwrap();
    let origin = "sluice/31337/0xabababababababababababababababababababab/1";
    assert_eq!(
        proven.sentences(),
        [
            format!("Verified: this is the entry at position 2 of the log {origin}."),
            "It was recorded at 2025-11-21 07:27:40.500 UTC in epoch 4.".to_owned(),
            "It says: command 01900000-0000-7000-8000-0000000000a1 is refused (stale): The subject changed since this \
             command was signed. It changed at position 41."
                .to_owned(),
            format!("The head that contains it covers 2 entries and is signed by {origin}."),
            "The log can neither change nor lose this entry without contradicting its own signature.".to_owned(),
        ]
    );
    let json = proven.json();
    assert_eq!(
        (&json["verified"], &json["kind"], &json["seq"]),
        (&json!(true), &json!("receipt"), &json!(2))
    );
}

#[test]
fn a_ticket_says_who_promised_and_until_when() {
    let text = serde_json::to_string(&ticket()).unwrap();
    let proven = prove(&text, &[key().verifier()]).unwrap();
    let said = proven.sentences().join("\n");
    for part in
        ["node 3 promised", "as number 12", "7 stood before it", "decided by 2025-11-21 07:27:40.500 UTC"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(proven.json()["decide_by"], json!(1_763_710_060_500u64));
}

#[test]
fn the_exit_code_says_whether_it_is_proved() {
    let good = serde_json::to_string(&receipt()).unwrap();
    assert_eq!(run(&good, &[]).unwrap(), ExitCode::SUCCESS);
    assert_eq!(run(&good, &["--json"]).unwrap(), ExitCode::SUCCESS);
    assert_eq!(run(&serde_json::to_string(&ticket()).unwrap(), &[]).unwrap(), ExitCode::SUCCESS);

    let forged = serde_json::to_string(&Receipt { seq: 1, ..receipt() }).unwrap();
    let said = format!("{:#}", run(&forged, &[]).unwrap_err());
    assert!(said.contains("proves nothing: what it shows is not in the signed tree: "), "{said}");
    assert_eq!(run(&forged, &["--json"]).unwrap(), ExitCode::FAILURE);
}

#[test]
fn files_that_are_neither_say_what_is_wrong() {
    let cases = [
        ("", "not the JSON of a receipt or a ticket"),
        ("{}", "missing field `kind`"),
        (r#"{"kind":"voucher"}"#, "unknown variant `voucher`, expected `receipt` or `ticket`"),
        (r#"{"kind":"receipt","format":2}"#, "format 2 is unknown; this version reads format 1"),
    ];
    for (text, reason) in cases {
        let said = format!("{:#}", run(text, &[]).unwrap_err());
        assert!(said.contains(reason), "{text}: {said}");
    }
    let said = format!("{:#}", run(&" ".repeat(2 * BODY_BYTES_MAX + 1), &[]).unwrap_err());
    assert!(said.contains("no receipt or ticket does"), "{said}");
    let said = format!("{:#}", run_file("/nowhere/at/all.json", &[]).unwrap_err());
    assert!(said.contains("/nowhere/at/all.json proves nothing: it cannot be opened"), "{said}");
}

#[test]
fn a_key_that_is_no_key_is_refused_on_the_command_line() {
    let line = |keys: &[&str]| {
        let mut line = vec!["sluice receipt", "verify", "f.json"];
        line.extend(keys);
        Line::try_parse_from(line).map(|_| ()).map_err(|error| error.to_string())
    };
    let wrong_id = key().verifier().to_string().replace("/1+", "/2+");
    assert!(line(&["--key", &wrong_id]).unwrap_err().contains("copied whole"));
    assert!(line(&[]).unwrap_err().contains("--key"));
}
