//! `sluice seal rotate`: it waits for the nodes to stop, names who leads, and puts every key under the next seal key.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use alloy_primitives::B256;
use sluice_core::decide::About;
use sluice_core::ids::{Seq, StreamId};
use sluice_core::log::merkle::leaf_hash;
use sluice_core::sequencer::Facts;
use sluice_embedded::testing::TestDatabase;
use sluice_server::keys::{Password, write_seal_key};
use sluice_store::{Append, KeptFacts, LeaderSession, LogRow, Options, SealKey, Store};

const STREAM: StreamId = StreamId(0);
const FORMER: [u8; 32] = [1; 32];
const NEXT: [u8; 32] = [2; 32];

fn rotate(folder: &Path, url: &str, from: &str, to: &str) -> Output {
    let file = |name: &str| folder.join(name).display().to_string();
    Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["seal", "rotate", "--json", "--database-url", url])
        .args(["--from", &file(from), "--from-password-file", &file("password")])
        .args(["--to", &file(to), "--to-password-file", &file("password")])
        .output()
        .unwrap()
}

fn refused(output: &Output, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(part), "{said}");
}

async fn with(url: &str, secret: [u8; 32]) -> Store {
    Store::connect(url, Options { connections: 2 }).await.unwrap().with_seal_key(SealKey::new(&secret))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seal_key_changes_when_no_node_leads_and_the_next_opens_everything() {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let database = TestDatabase::new(&migrations).await.unwrap();
    let (url, folder) = (database.url(), tempfile::tempdir().unwrap());
    let password = folder.path().join("password");
    std::fs::write(&password, "correct horse\n").unwrap();
    for (name, secret) in [("former", FORMER), ("next", NEXT), ("third", [3; 32])] {
        write_seal_key(&folder.path().join(name), &Password::read(&password).unwrap(), &secret).unwrap();
    }
    let store = with(url, FORMER).await;
    let mut session = LeaderSession::open(&store, STREAM).await.unwrap();
    session.take_epoch("node 7 of a test", Duration::from_secs(600), 0).await.unwrap().unwrap();
    let row = |seq: Seq| {
        let entry = seq.to_be_bytes().to_vec();
        LogRow { kind: 1, leaf: leaf_hash(&entry), entry, intake: None }
    };
    let facts = |seq: Seq| Facts { seq, about: About::Person(B256::ZERO), bytes: vec![7; 40].into() };
    let rows = (1..=3).map(row).collect();
    let append = Append { first: 1, rows, facts: (1..=3).map(facts).collect(), ..Append::default() };
    session.append(&append).await.unwrap();

    let path = folder.path();
    refused(&rotate(path, url, "former", "next"), "node 7 of a test leads");
    assert!(with(url, FORMER).await.check_seal_key(STREAM).await.is_ok(), "nothing was changed");
    session.take_epoch("node 7 of a test", Duration::from_millis(1), 0).await.unwrap().unwrap();
    drop(session);
    while store.led_by().await.unwrap().is_some() {}

    refused(&rotate(path, url, "former", "former"), "the same key");
    refused(&rotate(path, url, "third", "next"), "sealed");
    for already in [0, 3] {
        let output = rotate(path, url, "former", "next");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let name = alloy_primitives::hex::encode(SealKey::new(&NEXT).name());
        let expected = serde_json::json!({ "seal_key": name, "rewrapped": 3 - already, "already": already, "broken": 0 });
        assert_eq!(told, expected);
    }
    let next = with(url, NEXT).await;
    next.check_seal_key(STREAM).await.unwrap();
    assert!(with(url, FORMER).await.check_seal_key(STREAM).await.is_err());
    assert_eq!(next.facts_of(STREAM, 2).await.unwrap(), Some(KeptFacts::Open(vec![7; 40])));
}
