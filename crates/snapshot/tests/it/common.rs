//! Lists, random numbers that are the same on every run, and snapshots in folders of their own.

use alloy_primitives::Address;
use sluice_snapshot::list::{BadRows, Input};
use sluice_snapshot::{BuildError, BuildOptions, Report, Snapshot, build};
use std::path::PathBuf;
use tempfile::TempDir;

/// SplitMix64: small, seeded, good enough to make lists.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn address(&mut self) -> Address {
        let mut bytes = [0; 20];
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.next().to_be_bytes()[..part.len()]));
        bytes.into()
    }

    /// Rows with distinct addresses and amounts from 1 up.
    pub(crate) fn rows(&mut self, count: usize) -> Vec<(Address, u128)> {
        let mut rows: Vec<(Address, u128)> =
            (0..count).map(|_| (self.address(), 1 + u128::from(self.next()) * 7)).collect();
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.0);
        assert_eq!(rows.len(), count, "64-bit collisions do not happen");
        self.shuffle(&mut rows);
        rows
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = usize::try_from(self.below(i as u64 + 1)).unwrap();
            items.swap(i, j);
        }
    }
}

/// A list in base units.
pub(crate) fn list(rows: &[(Address, u128)]) -> String {
    let mut text = "address,amount\n".to_owned();
    for (address, amount) in rows {
        text += &format!("{address:#x},{amount}\n");
    }
    text
}

pub(crate) fn base_units() -> BuildOptions {
    BuildOptions { unit: sluice_snapshot::list::Unit::Base, ..BuildOptions::default() }
}

/// A snapshot that lives as long as this does.
#[derive(Debug)]
pub(crate) struct Built {
    pub report: Report,
    pub snapshot: Snapshot,
    pub path: PathBuf,
    /// The file's bytes, for tests that outlive the folder.
    pub file: Vec<u8>,
    _folder: TempDir,
}

/// Builds from bytes that lie in a file named `list.csv`.
pub(crate) fn build_from(list: impl AsRef<[u8]>, options: &BuildOptions) -> Result<Built, BuildError> {
    build_named("list.csv", list, options)
}

pub(crate) fn build_named(
    name: &str,
    list: impl AsRef<[u8]>,
    options: &BuildOptions,
) -> Result<Built, BuildError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, list).unwrap();
    let path = folder.path().join("out.snapshot");
    let report = build(options, &Input::File(file), &path, &|_| ());
    if report.is_err() {
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "a failed build leaves only the list behind");
    }
    let report = report?;
    let snapshot = Snapshot::open(&path).unwrap();
    assert_eq!((report.root, report.count), (snapshot.root(), snapshot.count()));
    assert_eq!((report.total, report.depth), (snapshot.total(), snapshot.depth()));
    let bytes = std::fs::read(&path).unwrap();
    Ok(Built { report, snapshot, path, file: bytes, _folder: folder })
}

pub(crate) fn bad_rows(list: impl AsRef<[u8]>, options: &BuildOptions) -> BadRows {
    match build_from(list, options) {
        Err(BuildError::BadRows(bad)) => bad,
        other => panic!("bad rows were expected, there is {other:?}"),
    }
}
