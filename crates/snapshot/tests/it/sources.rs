//! Where lists come from: compressed files, broken files, no files.

use crate::common::{Random, base_units, build_from, build_named, list};
use sluice_snapshot::list::{HeaderError, Input, ListError, SourceError};
use sluice_snapshot::{BuildError, BuildOptions, build};
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn compressed(bytes: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    [("list.csv.gz", gzip(bytes)), ("list.csv.xz", xz(bytes)), ("list.csv.zst", zstd(bytes))]
}

fn source_error(result: Result<crate::common::Built, BuildError>) -> SourceError {
    match result {
        Err(BuildError::List(ListError::Source(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn compressed_lists_are_read() {
    let text = list(&Random(1).rows(3_000));
    let plain = build_from(&text, &base_units()).unwrap();
    for (name, bytes) in compressed(text.as_bytes()) {
        assert_eq!(build_named(name, &bytes, &base_units()).unwrap().report, plain.report, "{name}");
        // Several files one after another are one, as the compressors' own tools have it.
        let (head, tail) = text.split_at(text.len() / 2);
        let halves = [head, tail]
            .map(|half| compressed(half.as_bytes()).into_iter().find(|(other, _)| *other == name).unwrap().1);
        assert_eq!(build_named(name, halves.concat(), &base_units()).unwrap().report, plain.report, "{name}");
        // The bytes decide, not the name.
        assert_eq!(build_named("list", &bytes, &base_units()).unwrap().report, plain.report, "{name}");
    }
}

#[test]
fn compressed_lists_cut_short_or_damaged() {
    let text = list(&Random(2).rows(3_000));
    for (name, bytes) in compressed(text.as_bytes()) {
        for length in [3, bytes.len() / 2, bytes.len() - 1] {
            let error = source_error(build_named(name, &bytes[..length], &base_units()));
            assert!(matches!(error, SourceError::CutShort { .. }), "{name} of {length}: {error:?}");
        }
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 64].fill(0x55);
        let error = build_named(name, &damaged, &base_units()).unwrap_err();
        assert!(matches!(error, BuildError::List(_) | BuildError::BadRows(_)), "{name}: {error:?}");
        let named = source_error(build_named(name, &text, &base_units()));
        assert!(matches!(named, SourceError::NotCompressed { .. }), "{name}: {named:?}");
    }
}

#[test]
fn empty_files_and_no_files() {
    let error = build_from("", &base_units()).unwrap_err();
    assert!(matches!(error, BuildError::List(ListError::Header(HeaderError::Empty))), "{error}");
    for (name, bytes) in compressed(b"") {
        let error = build_named(name, &bytes, &base_units()).unwrap_err();
        assert!(matches!(error, BuildError::List(ListError::Header(HeaderError::Empty))), "{name}: {error}");
        let error = source_error(build_named(name, "", &base_units()));
        assert!(matches!(error, SourceError::CutShort { .. }), "{name}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let from = |input: &std::path::Path| {
        let out = folder.path().join("out");
        match build(&BuildOptions::default(), &Input::File(input.to_owned()), &out, &|_| ()) {
            Err(BuildError::List(ListError::Source(error))) => error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(from(folder.path()), SourceError::Directory(_)));
    assert!(matches!(from(&folder.path().join("absent.csv")), SourceError::Io { .. }));
}

#[test]
fn rows_longer_than_a_block() {
    // A note of half a megabyte stays within bounds and crosses block borders; one without end does not.
    let mut text = "address,amount,note\n".to_owned();
    let rows = Random(3).rows(8);
    for (address, amount) in &rows {
        text += &format!("{address:#x},{amount},\"{}\n\"\n", "n".repeat(500_000));
    }
    let plain = build_from(list(&rows), &base_units()).unwrap();
    assert_eq!(build_from(&text, &base_units()).unwrap().report.root, plain.report.root);
    let endless = format!("{text}0x1111111111111111111111111111111111111111,1,{}\n", "n".repeat(3 << 20));
    let error = source_error(build_from(endless, &base_units()));
    assert!(matches!(error, SourceError::RowTooLong { line: 18 }), "{error:?}");
}

#[test]
fn the_result_depends_on_the_rows_alone() {
    let mut random = Random(4);
    let mut rows = random.rows(100_000);
    let mut files = Vec::new();
    for threads in [1, 2, 5] {
        random.shuffle(&mut rows);
        let threads = std::num::NonZeroUsize::new(threads);
        let built = build_from(list(&rows), &BuildOptions { threads, ..base_units() }).unwrap();
        built.snapshot.verify(None, &|_| ()).unwrap();
        files.push(built.file);
    }
    assert!(files[0] == files[1] && files[1] == files[2], "the files differ");
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.csv");
    std::fs::write(&file, list(&Random(5).rows(10))).unwrap();
    let input = Input::File(file);
    for out in ["absent/out.snapshot", "list.csv/out.snapshot", ".."] {
        let error = build(&base_units(), &input, &folder.path().join(out), &|_| ()).unwrap_err();
        assert!(matches!(error, BuildError::Write { .. }), "{out}: {error:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_quote_far_into_a_list_changes_nothing() {
    let rows = Random(6).rows(60_000);
    let plain = list(&rows);
    let (address, amount) = rows[55_000];
    let quoted = plain.replace(&format!("{address:#x},{amount}\n"), &format!("{address:#x},\"{amount}\"\n"));
    assert_eq!(quoted.len(), plain.len() + 2, "one row is quoted");
    let [plain, quoted] = [plain, quoted].map(|list| build_from(list, &base_units()).unwrap().file);
    assert!(plain == quoted, "the files differ");
}

/// All in one partition and one bucket of the sort.
#[test]
fn addresses_that_share_their_first_bytes() {
    let mut random = Random(7);
    let mut rows = random.rows(80_000);
    rows.iter_mut().for_each(|(address, _)| address.0[..10].fill(0x77));
    let files = [1, 3].map(|threads| {
        random.shuffle(&mut rows);
        let threads = std::num::NonZeroUsize::new(threads);
        let built = build_from(list(&rows), &BuildOptions { threads, ..base_units() }).unwrap();
        built.snapshot.verify(None, &|_| ()).unwrap();
        let (address, amount) = rows[777];
        let found = built.snapshot.find(address);
        assert_eq!(built.snapshot.entitlement(found.start).unwrap().amount.get(), amount);
        built.file
    });
    assert!(files[0] == files[1], "the files differ");
}

/// A file's length is what it says it is; only its bytes take memory.
#[test]
fn a_file_of_holes_asks_for_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holes.csv");
    std::fs::write(&path, list(&Random(8).rows(10))).unwrap();
    // The longest that ext4 allows, or what there is.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = (34..=43).rev().map(|bits| 1u64 << bits).find(|&length| file.set_len(length).is_ok());
    assert!(length.is_some(), "a file system without holes");
    match build(&base_units(), &Input::File(path), &folder.path().join("out"), &|_| ()) {
        Err(BuildError::List(ListError::Source(SourceError::RowTooLong { line: 12 }))) => {}
        other => panic!("{other:?}"),
    }
}

/// Builds without a feature say which one is missing.
#[test]
fn what_this_build_cannot_read() {
    #[cfg(not(feature = "parquet"))]
    {
        let error = source_error(build_named("list.parquet", b"PAR1 and so on", &base_units()));
        assert!(matches!(error, SourceError::Parquet(_)), "{error:?}");
    }
    let urls =
        [("s3", cfg!(feature = "s3")), ("gs", cfg!(feature = "gcs")), ("https", cfg!(feature = "http"))];
    for (scheme, _) in urls.into_iter().filter(|(_, built_in)| !built_in) {
        let input = Input::parse(format!("{scheme}://bucket.example/list.csv").as_ref()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        match build(&base_units(), &input, &folder.path().join("out"), &|_| ()) {
            Err(BuildError::List(ListError::Source(SourceError::NoStore { scheme: said, .. }))) => {
                assert_eq!(said, scheme);
            }
            other => panic!("{other:?}"),
        }
    }
}
