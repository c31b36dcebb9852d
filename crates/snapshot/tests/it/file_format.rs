//! File format 1 stays what it is: whoever changes a byte of it must give it a new number and keep reading this one.

use crate::common::{Built, base_units, build_from};
use alloy_primitives::{b256, keccak256};
use sluice_snapshot::build::Duplicates;
use sluice_snapshot::{BuildOptions, Format, OpenError, Snapshot};

const LIST: &str = "\
address,amount,person
0x3333333333333333333333333333333333333333,3000000000000000000,0x0303030303030303030303030303030303030303030303030303030303030303
0x1111111111111111111111111111111111111111,1000000000000000000,0x0909090909090909090909090909090909090909090909090909090909090909
0x2222222222222222222222222222222222222222,2000000000000000000,0x0101010101010101010101010101010101010101010101010101010101010101
0x1111111111111111111111111111111111111111,1000000000000000000,0x0101010101010101010101010101010101010101010101010101010101010101
";

fn built() -> Built {
    build_from(LIST, &BuildOptions { duplicates: Duplicates::Keep, ..base_units() }).unwrap()
}

#[test]
fn every_field_lies_where_format_md_says() {
    let Built { file, .. } = built();
    let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    assert_eq!(&file[..8], b"SLUICE\r\n");
    assert_eq!(file[8..16], [1, 0, 1, 18, 0, 1, 0, 0]);
    assert_eq!(u64_at(16), 4);
    assert_eq!(u128::from_le_bytes(file[24..40].try_into().unwrap()), 7 * 10u128.pow(18));
    let sections: Vec<(u64, u64)> = (0..6).map(|i| (u64_at(72 + 48 * i), u64_at(80 + 48 * i))).collect();
    let expected = [(4_096, 128), (8_192, 16), (12_288, 32), (0, 0), (16_384, 128), (20_480, 16)];
    assert_eq!(sections, expected);
    assert_eq!(file.len(), 20_496);
    assert_eq!(keccak256(&file[..480]).as_slice(), &file[480..512]);
    // One bucket: its hash is the root, and the only node.
    assert_eq!(keccak256(&file[4_096..4_224]).as_slice(), &file[40..72]);
    assert_eq!(file[12_288..12_320], file[40..72]);
    assert_eq!(file[4_096..4_116], [0x11; 20]);
    let index_by_person: Vec<u8> = file[20_480..].to_vec();
    assert_eq!(index_by_person, [0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn whole_files_are_golden() {
    let three_rows = LIST.lines().take(4).map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n");
    let three_rows: String = three_rows.collect();
    let foreign = |format| build_from(&three_rows, &BuildOptions { format, ..base_units() }).unwrap();
    let files = [built(), foreign(Format::OpenZeppelin), foreign(Format::Uniswap)];
    let golden = [
        b256!("0xfb0b893943983380159ca7caa40853dcebc35fec24ed642d2ee7f53601e019de"),
        b256!("0x8ddcf53b20874253c42c9c8e9ec5d3b3a1e2430220366860da1c92fb460fcb16"),
        b256!("0x6c88800b4aa4a3835f0c1b7c5f8939a668884d07b2ff8fa6c16bff597d4683d5"),
    ];
    assert_eq!(files.map(|built| keccak256(&built.file)), golden);
}

#[test]
fn a_file_of_format_1_written_earlier_is_read() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-1.snapshot");
    let snapshot = Snapshot::open(file).unwrap();
    snapshot.verify(Some(built().report.root), &|_| ()).unwrap();
    assert_eq!((snapshot.count(), snapshot.decimals(), snapshot.has_persons()), (4, 18, true));
}

#[test]
fn a_newer_format_is_named() {
    let Built { mut file, .. } = built();
    file[8] = 2;
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer");
    std::fs::write(&newer, file).unwrap();
    assert!(matches!(Snapshot::open(&newer).unwrap_err(), OpenError::Newer { found: 2, .. }));
}
