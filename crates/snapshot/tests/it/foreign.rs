//! OpenZeppelin's and Uniswap's trees: vectors computed with the peers' own packages, and properties.

use crate::common::{Built, Random, base_units, build_from, list};
use alloy_primitives::{Address, B256, b256};
use sluice_snapshot::foreign::ForeignProof;
use sluice_snapshot::{BuildOptions, Format, SnapshotError};

fn build_as(format: Format, rows: &[(Address, u128)]) -> Built {
    build_from(list(rows), &BuildOptions { format, ..base_units() }).unwrap()
}

fn three() -> Vec<(Address, u128)> {
    (1..=3).map(|i| (Address::repeat_byte(0x11 * i), u128::from(i) * 10u128.pow(18))).collect()
}

fn proof(built: &Built, index: u64) -> ForeignProof {
    built.snapshot.foreign_proof(index).unwrap()
}

#[test]
fn openzeppelin_vectors() {
    let readme =
        [(Address::repeat_byte(0x11), 5 * 10u128.pow(18)), (Address::repeat_byte(0x22), 25 * 10u128.pow(17))];
    assert_eq!(
        build_as(Format::OpenZeppelin, &readme).report.root,
        b256!("0xd4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77")
    );
    let built = build_as(Format::OpenZeppelin, &three());
    assert_eq!(
        built.report.root,
        b256!("0x870b3c6c0d09371ff579a55e34429135614718fbcdfc55133e7245621f8820ec")
    );
    let leaves = [
        b256!("0xb38ec842db1cd54e5e5ce48491f1a404551e9726ebda349d0478e189e0996dd4"),
        b256!("0x1ab0fe69bbcd75aaadc701264fdf87402bfeeb190e9827298f18274cf7bc1135"),
        b256!("0x4fbeb3a61b1cff6e0c0ce5b1b39fea03ad430b57b7dc3d101170299a1656619b"),
    ];
    assert_eq!([0, 1, 2].map(|index| proof(&built, index).leaf()), leaves);
    assert_eq!(
        proof(&built, 0).path,
        [b256!("0x0fbac29aae9b6c292616b5ea2df7f51517332687f3faa16c489690e48b4957da")]
    );
    let mut dump = Vec::new();
    sluice_snapshot::export::export_peer(&built.snapshot, &mut dump).unwrap();
    let dump: serde_json::Value = serde_json::from_slice(&dump).unwrap();
    let places: Vec<u64> =
        dump["values"].as_array().unwrap().iter().map(|value| value["treeIndex"].as_u64().unwrap()).collect();
    assert_eq!(places, [2, 4, 3]);
    assert_eq!(dump["tree"][0], built.report.root.to_string());
    assert_eq!(dump["values"][0]["value"][1], "1000000000000000000");
}

#[test]
fn uniswap_vectors() {
    let built = build_as(Format::Uniswap, &three());
    assert_eq!(
        built.report.root,
        b256!("0xe5d905d0d2f010d9fea768c6cc5c79dbef97d00f3ec12357ef107d9039d9782b")
    );
    let leaf = |index| proof(&built, index).leaf().to_string();
    let (first, second, third) = (leaf(0), leaf(1), leaf(2));
    assert!(first.starts_with("0x4da60c0f") && first.ends_with("eab803"));
    assert!(second.starts_with("0xa0e083e0") && second.ends_with("839b8b"));
    assert!(third.starts_with("0xe1c82cab") && third.ends_with("6ae02f"));
    assert_eq!(proof(&built, 0).path, [proof(&built, 1).leaf(), proof(&built, 2).leaf()]);
    assert_eq!(
        proof(&built, 2).path,
        [b256!("0x63f4ba15b3fc61dd79b8294304417c4d447ac6565205a1640fab99657cc04bb2")]
    );
    let mut claims = Vec::new();
    sluice_snapshot::export::export_peer(&built.snapshot, &mut claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["merkleRoot"], built.report.root.to_string());
    assert_eq!(claims["tokenTotal"], "0x53444835ec580000");
    let claim = &claims["claims"]["0x1111111111111111111111111111111111111111"];
    assert_eq!((claim["index"].as_u64(), claim["amount"].as_str()), (Some(0), Some("0x0de0b6b3a7640000")));
    assert_eq!(claim["proof"].as_array().unwrap().len(), 2);
}

/// The string "100" in Uniswap's old map form: its script reads 256, its checked-in result says 100.
#[test]
fn uniswap_example_in_both_number_bases() {
    let list = "address,amount\n\
        0x016C8780e5ccB32E5CAA342a926794cE64d9C364,10\n\
        0x185a4dc360ce69bdccee33b3784b0282f7961aea,100\n";
    let root = |unit| {
        let options = BuildOptions { format: Format::Uniswap, unit, ..BuildOptions::default() };
        build_from(list, &options).unwrap().report.total
    };
    use sluice_snapshot::list::Unit;
    assert_eq!(root(Unit::Base).get(), 110);
    assert_eq!(root(Unit::Hex).get(), 272);
}

#[test]
fn uniswap_orders_by_spelling() {
    let rows = Random(31).rows(2_000);
    let built = build_as(Format::Uniswap, &rows);
    let spelled: Vec<String> =
        built.snapshot.words(0..u64::MAX).iter().map(|word| word.recipient().to_string()).collect();
    assert!(spelled.is_sorted());
    assert!(!built.snapshot.words(0..u64::MAX).is_sorted(), "spelling and bytes order differently");
    for (address, amount) in rows {
        let place = built.snapshot.find(address);
        assert_eq!(place.end - place.start, 1);
        assert_eq!(built.snapshot.entitlement(place.start).unwrap().amount.get(), amount);
    }
    let mut random = Random(32);
    assert!((0..100).all(|_| built.snapshot.find(random.address()).is_empty()));
}

#[test]
fn proofs_of_every_size_hold_and_altered_ones_do_not() {
    for format in [Format::OpenZeppelin, Format::Uniswap] {
        for count in (1..40).chain([127, 128, 129, 1_000]) {
            let built = build_as(format, &Random(33).rows(count));
            built.snapshot.verify(Some(built.report.root), &|_| ()).unwrap();
            for index in 0..count as u64 {
                let proof = proof(&built, index);
                assert!(proof.verify(built.report.root), "{format} {count}: {index}");
                let mut altered = proof.clone();
                altered.entitlement.recipient.0[0] ^= 1;
                assert!(!altered.verify(built.report.root));
                for at in 0..proof.path.len() {
                    let mut altered = proof.clone();
                    altered.path[at].0[0] ^= 1;
                    assert!(!altered.verify(built.report.root));
                }
                if format == Format::Uniswap {
                    let mut altered = proof.clone();
                    altered.entitlement.index += 1;
                    assert!(!altered.verify(built.report.root));
                }
                assert!(!proof.verify(B256::ZERO));
            }
        }
    }
}

#[test]
fn each_format_answers_its_own_questions() {
    let foreign = build_as(Format::OpenZeppelin, &three());
    assert!(matches!(foreign.snapshot.proof(0), Err(SnapshotError::Format { .. })));
    assert!(matches!(foreign.snapshot.absence(Address::ZERO), Err(SnapshotError::Format { .. })));
    assert!(matches!(foreign.snapshot.page(0), Err(SnapshotError::Format { .. })));
    let native = build_from(list(&three()), &base_units()).unwrap();
    assert!(matches!(native.snapshot.foreign_proof(0), Err(SnapshotError::Format { .. })));
    assert!(sluice_snapshot::export::export_peer(&native.snapshot, &mut Vec::new()).is_err());
}

/// Sections of more than one write, each of which ends in the middle of one.
#[test]
fn large_snapshots_are_written_whole() {
    let text = list(&Random(36).rows(150_001));
    let snapshots = [Format::Native, Format::OpenZeppelin, Format::Uniswap].map(|format| {
        let built = build_from(&text, &BuildOptions { format, ..base_units() }).unwrap();
        built.snapshot.verify(None, &|_| ()).unwrap();
        built
    });
    let total = snapshots[0].report.total;
    assert!(snapshots.iter().all(|built| (built.report.count, built.report.total) == (150_001, total)));
}
