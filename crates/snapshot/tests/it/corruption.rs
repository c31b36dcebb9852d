//! Damaged files: whatever byte changes, opening or verifying says so, and no proof is made from it.

use crate::common::{Built, Random, base_units, build_from, list};
use alloy_primitives::keccak256;
use sluice_snapshot::{BuildOptions, Format, OpenError, Snapshot};
use std::path::Path;

fn persons_list(count: usize) -> String {
    let mut random = Random(21);
    let mut text = "address,amount,person\n".to_owned();
    for (address, amount) in random.rows(count) {
        text += &format!("{address:#x},{amount},0x{:064x}\n", random.next());
    }
    text
}

fn snapshots() -> [Built; 3] {
    let foreign = |format| BuildOptions { format, ..base_units() };
    [
        build_from(persons_list(700), &base_units()).unwrap(),
        build_from(list(&Random(22).rows(300)), &foreign(Format::OpenZeppelin)).unwrap(),
        build_from(list(&Random(23).rows(300)), &foreign(Format::Uniswap)).unwrap(),
    ]
}

/// Whether the file opens and verifies, and, if it opens, that the proofs it gives hold for the root.
fn holds(path: &Path, root: alloy_primitives::B256) -> bool {
    let Ok(snapshot) = Snapshot::open(path) else { return false };
    for index in (0..snapshot.count()).step_by(13) {
        match snapshot.format() {
            Format::Native => {
                if let Ok(proof) = snapshot.proof(index) {
                    proof.verify(root, snapshot.depth()).expect("a proof that was given holds");
                }
            }
            _ => {
                if let Ok(proof) = snapshot.foreign_proof(index) {
                    assert!(proof.verify(root), "a proof that was given holds");
                }
            }
        }
    }
    snapshot.verify(Some(root), &|_| ()).is_ok()
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut random = Random(24);
    for built in snapshots() {
        let (root, bytes) = (built.report.root, &built.file);
        assert!(holds(&built.path, root));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        for _ in 0..150 {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << random.below(8);
            std::fs::write(&path, damaged).unwrap();
            assert!(!holds(&path, root), "{:?}: byte {at}", built.report.format);
        }
    }
}

#[test]
fn files_cut_short_or_prolonged_are_refused() {
    for built in snapshots() {
        let bytes = &built.file;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        for length in [0, 7, 511, 512, 4_096, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = Snapshot::open(&path).unwrap_err();
            assert!(matches!(error, OpenError::NotASnapshot { .. } | OpenError::Damaged { .. }), "{error}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        std::fs::write(&path, longer).unwrap();
        assert!(matches!(Snapshot::open(&path).unwrap_err(), OpenError::Damaged { .. }));
    }
}

#[test]
fn things_that_are_no_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    std::fs::write(&path, list(&Random(25).rows(100))).unwrap();
    assert!(matches!(Snapshot::open(&path).unwrap_err(), OpenError::NotASnapshot { .. }));
    assert!(matches!(Snapshot::open(folder.path()).unwrap_err(), OpenError::Io { .. }));
    assert!(matches!(Snapshot::open(folder.path().join("absent")).unwrap_err(), OpenError::Io { .. }));
}

#[test]
fn a_swapped_order_with_a_matching_root_does_not_verify() {
    // Two entitlements exchanged and everything recomputed: only the check of the order can notice.
    use sluice_core::entitlement::Word;
    let Built { snapshot, file, .. } = build_from(list(&Random(26).rows(4)), &base_units()).unwrap();
    let mut words: Vec<Word> = snapshot.words(0..4).to_vec();
    words.swap(1, 2);
    let root = sluice_snapshot::tree::subtree_root(&words, 0);
    let mut bytes = file;
    let flat: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
    // FORMAT.md: words at 4,096, totals at 8,192, nodes at 12,288 (here the root alone); root at 40 in the header,
    // the nodes' checksum at 72 + 2 · 48 + 16, the header's own in its last 32 bytes.
    bytes[4_096..4_096 + 128].copy_from_slice(&flat);
    bytes[12_288..12_320].copy_from_slice(&root.0);
    bytes[40..72].copy_from_slice(&root.0);
    let nodes = keccak256(keccak256(root));
    bytes[184..216].copy_from_slice(&nodes.0);
    let header = keccak256(&bytes[..480]);
    bytes[480..512].copy_from_slice(&header.0);
    let folder = tempfile::tempdir().unwrap();
    let forged = folder.path().join("forged");
    std::fs::write(&forged, bytes).unwrap();
    let snapshot = Snapshot::open(&forged).unwrap();
    let error = snapshot.verify(Some(root), &|_| ()).unwrap_err().to_string();
    assert!(error.contains("is not behind the one before it"), "{error}");
}
