//! `sample-data/` is what its README says: the lists are made here, and the error report is the one a build gives.
//!
//! `SLUICE_WRITE_SAMPLES=1 cargo test -p sluice-snapshot sample_data` writes them anew.

use crate::common::{Built, bad_rows, build_from};
use alloy_primitives::{Address, keccak256};
use secp256k1::{PublicKey, SecretKey};
use sluice_core::sample::{person, wallet_key};
use sluice_snapshot::BuildOptions;
use sluice_snapshot::build::Duplicates;
use std::path::PathBuf;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data").join(name)
}

fn is_committed(name: &str, expected: &str) {
    if std::env::var_os("SLUICE_WRITE_SAMPLES").is_some() {
        std::fs::write(file(name), expected).unwrap();
    }
    let committed = std::fs::read_to_string(file(name)).unwrap();
    assert!(committed == expected, "sample-data/{name} is not what is made here; see the head of this test");
}

fn wallet(i: u32) -> Address {
    let key = SecretKey::from_secret_bytes(wallet_key(i).0).unwrap();
    let public = PublicKey::from_secret_key(&key).serialize_uncompressed();
    Address::from_slice(&keccak256(&public[1..])[12..])
}

#[test]
fn small_csv() {
    let mut list = "address,amount\n".to_owned();
    for i in 0..1_000 {
        list += &format!("{},{}.{:03}\n", wallet(i), 1 + i % 50, i * 37 % 1_000);
    }
    is_committed("small.csv", &list);
    let Built { report, .. } = build_from(list, &BuildOptions::default()).unwrap();
    assert_eq!((report.count, report.total.to_decimal_string(18)), (1_000, "25999.5".to_owned()));
}

#[test]
fn benefits_csv() {
    let mut list = "person,address,amount\n".to_owned();
    for i in 0..120 {
        // A hundred persons come to five paying agents, twenty have wallets of their own.
        let address = if i < 100 { wallet(1_000 + i % 5) } else { wallet(1_005 + i - 100) };
        list += &format!("{},{address},{}.50\n", person(i), 40 + i % 4 * 15);
    }
    is_committed("benefits.csv", &list);
    let keep = BuildOptions { duplicates: Duplicates::Keep, decimals: 6, ..BuildOptions::default() };
    let Built { snapshot, .. } = build_from(&list, &keep).unwrap();
    assert_eq!((snapshot.count(), snapshot.has_persons()), (120, true));
    let agent = snapshot.find(wallet(1_000));
    assert_eq!(agent.end - agent.start, 20);
    assert_eq!(snapshot.indexes_of_person(person(119)).unwrap().len(), 1);
    // Without being told to keep them, the agents' rows are duplicates.
    assert_eq!(bad_rows(&list, &BuildOptions { decimals: 6, ..BuildOptions::default() }).count, 95);
}

#[test]
fn dirty_csv() {
    let dirty = std::fs::read(file("dirty.csv")).unwrap();
    let report = format!("{}\n", bad_rows(dirty, &BuildOptions::default()));
    is_committed("dirty.expected.txt", &report);
}
