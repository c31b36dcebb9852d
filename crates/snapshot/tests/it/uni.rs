//! The list of the UNI airdrop, as published: 252,803 recipients, the zero address among them. The data lies beside the
//! repository and not in it; without it these tests say so and check nothing.

use crate::common::base_units;
use alloy_primitives::{Address, B256};
use sluice_snapshot::list::{Input, Reason};
use sluice_snapshot::{BuildError, BuildOptions, Format, Snapshot, build};
use std::path::PathBuf;

fn data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.is_file() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn uniswap_root_and_sample_proofs() {
    let (Some(list), Some(expected)) = (data("uni-airdrop.csv.xz"), data("uni-airdrop.expected.json")) else {
        return;
    };
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("uni.snapshot");
    let options = BuildOptions { format: Format::Uniswap, ..base_units() };
    let report = build(&options, &Input::File(list), &out, &|_| ()).unwrap();
    assert_eq!(report.root.to_string(), expected["merkleRoot"].as_str().unwrap());
    assert_eq!(report.count, expected["recipients"].as_u64().unwrap());
    let snapshot = Snapshot::open(&out).unwrap();
    snapshot.verify(Some(report.root), &|_| ()).unwrap();
    let samples = expected["samples"].as_object().unwrap();
    assert!(samples.len() > 5);
    for (address, sample) in samples {
        let index = snapshot.find(address.parse::<Address>().unwrap()).start;
        assert_eq!(index, sample["index"].as_u64().unwrap(), "{address}");
        let proof = snapshot.foreign_proof(index).unwrap();
        assert!(proof.verify(report.root));
        let amount = u128::from_str_radix(&sample["amount"].as_str().unwrap()[2..], 16).unwrap();
        assert_eq!(proof.entitlement.amount.get(), amount, "{address}");
        let path: Vec<B256> = serde_json::from_value(sample["proof"].clone()).unwrap();
        assert_eq!(proof.path, path, "{address}");
    }
}

#[test]
fn native_refuses_the_zero_address_unless_it_is_dropped() {
    let Some(list) = data("uni-airdrop.csv.xz") else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("uni.snapshot");
    let input = Input::File(list);
    match build(&base_units(), &input, &out, &|_| ()) {
        Err(BuildError::BadRows(bad)) => {
            assert_eq!((bad.count, bad.listed[0].row, &bad.listed[0].reason), (1, 2, &Reason::ZeroAddress));
        }
        other => panic!("{other:?}"),
    }
    assert!(!out.exists());
    let options = BuildOptions { drop_zero_address: true, ..base_units() };
    let report = build(&options, &input, &out, &|_| ()).unwrap();
    assert_eq!((report.count, report.dropped.count), (252_802, 1));
    assert_eq!(report.dropped.listed[0].1.get(), 400 * 10u128.pow(18));
    let snapshot = Snapshot::open(&out).unwrap();
    snapshot.verify(Some(report.root), &|_| ()).unwrap();
    let absence = snapshot.absence(Address::ZERO).unwrap();
    absence.verify(report.root, report.depth, report.count).unwrap();
}
