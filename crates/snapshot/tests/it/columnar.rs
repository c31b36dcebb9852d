//! Lists in Parquet files: the same snapshots as from CSV, and the same errors. The files are written here by the crate
//! that reads them; `made_by_duckdb` is DuckDB's.

use crate::common::{Built, Random, bad_rows, base_units, build_from, build_named, list};
use alloy_primitives::Address;
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use sluice_snapshot::list::{Columns, HeaderError, Input, ListError, Reason, SourceError, Unit};
use sluice_snapshot::{BuildError, BuildOptions, build};
use std::sync::Arc;

/// One column's values; `None` is a missing one.
enum Column {
    Texts(Vec<Option<String>>),
    Fixed(Vec<Option<Vec<u8>>>),
    Integers(Vec<Option<i64>>),
}

use Column::{Fixed, Integers, Texts};

/// A Parquet file of these columns, in row groups of `group` rows.
fn parquet(schema: &str, columns: &[Column], group: usize) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message list {{ {schema} }}")).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let rows = match &columns[0] {
        Texts(values) => values.len(),
        Fixed(values) => values.len(),
        Integers(values) => values.len(),
    };
    for begin in (0..rows).step_by(group) {
        let range = begin..rows.min(begin + group);
        let mut groups = writer.next_row_group().unwrap();
        for column in columns {
            let mut out = groups.next_column().unwrap().unwrap();
            // Levels of an optional column; a required one has none and ignores them.
            macro_rules! write {
                ($kind:ty, $values:expr, $make:expr) => {{
                    let values = &$values[range.clone()];
                    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                    let present: Vec<_> = values.iter().flatten().map($make).collect();
                    out.typed::<$kind>().write_batch(&present, Some(&levels), None).unwrap();
                }};
            }
            match column {
                Texts(values) => {
                    write!(ByteArrayType, values, |text: &String| ByteArray::from(text.as_str()))
                }
                Fixed(values) => write!(FixedLenByteArrayType, values, |bytes: &Vec<u8>| {
                    FixedLenByteArray::from(bytes.clone())
                }),
                Integers(values) => write!(Int64Type, values, |number: &i64| *number),
            }
            out.close().unwrap();
        }
        groups.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn addresses(rows: &[(Address, u128)]) -> Vec<Option<String>> {
    rows.iter().map(|(address, _)| Some(address.to_string())).collect()
}

fn build_parquet(file: Vec<u8>, options: &BuildOptions) -> Result<Built, BuildError> {
    build_named("list.parquet", file, options)
}

const TEXTS: &str = "required binary address (UTF8); optional binary amount (UTF8);";

#[test]
fn every_kind_of_column_makes_the_same_snapshot() {
    let rows: Vec<(Address, u128)> =
        Random(61).rows(40_000).into_iter().map(|(address, amount)| (address, amount >> 8)).collect();
    let expected = build_from(list(&rows), &base_units()).unwrap();
    let texts = || Texts(addresses(&rows));
    let raw = Fixed(rows.iter().map(|(address, _)| Some(address.to_vec())).collect());
    let amounts = Texts(rows.iter().map(|(_, amount)| Some(amount.to_string())).collect());
    let integers = Integers(rows.iter().map(|(_, amount)| Some(i64::try_from(*amount).unwrap())).collect());
    let decimals = Fixed(rows.iter().map(|(_, amount)| Some(amount.to_be_bytes().to_vec())).collect());
    let base = base_units();
    let files = [
        ("texts", parquet(TEXTS, &[texts(), amounts], 15_000)),
        ("bytes and integers", {
            let schema = "required fixed_len_byte_array(20) address; required int64 amount;";
            parquet(schema, &[raw, integers], 40_000)
        }),
        ("decimals", {
            let schema =
                "optional binary address (UTF8); optional fixed_len_byte_array(16) amount (DECIMAL(38,0));";
            parquet(schema, &[texts(), decimals], 1_000)
        }),
    ];
    for (what, file) in files {
        let threads = std::num::NonZeroUsize::new(3);
        let built = build_parquet(file, &BuildOptions { threads, ..base.clone() }).unwrap();
        assert!(built.file == expected.file, "{what}");
    }
}

#[test]
fn decimals_are_tokens() {
    let rows = Random(62).rows(50);
    let scaled =
        Fixed(rows.iter().map(|(_, amount)| Some((amount * 1_000).to_be_bytes().to_vec())).collect());
    let schema = "required binary address (UTF8); required fixed_len_byte_array(16) amount (DECIMAL(38,9));";
    let options = BuildOptions { decimals: 6, unit: Unit::Token, ..BuildOptions::default() };
    let found = build_parquet(parquet(schema, &[Texts(addresses(&rows)), scaled], 50), &options).unwrap();
    assert_eq!(found.report.root, build_from(list(&rows), &base_units()).unwrap().report.root);
}

#[test]
fn bad_rows_are_counted_from_one() {
    let rows = Random(63).rows(5);
    let mut texts = addresses(&rows);
    texts[1] = Some("vitalik.eth".to_owned());
    let amounts = ["7", "7", "-7", "", "0.5"].map(|amount| Some(amount.to_owned()));
    let mut amounts = amounts.to_vec();
    amounts[3] = None;
    let file = parquet(TEXTS, &[Texts(texts), Texts(amounts)], 2);
    let bad = match build_parquet(file, &base_units()) {
        Err(BuildError::BadRows(bad)) => bad,
        other => panic!("{other:?}"),
    };
    let found: Vec<_> = bad.listed.iter().map(|error| (error.row, error.column.as_str())).collect();
    assert_eq!(found, [(2, "address"), (3, "amount"), (4, "amount"), (5, "amount")]);
    assert!(matches!(bad.listed[0].reason, Reason::Address(_)));
}

#[test]
fn duplicates_name_their_rows() {
    let mut rows = Random(64).rows(20_000);
    rows[19_999].0 = rows[3].0;
    let amounts = Texts(rows.iter().map(|(_, amount)| Some(amount.to_string())).collect());
    let file = parquet(TEXTS, &[Texts(addresses(&rows)), amounts], 7_000);
    let Err(BuildError::BadRows(bad)) = build_parquet(file, &base_units()) else { panic!("a duplicate") };
    // A CSV's header is a line, so its rows are one further.
    let csv = bad_rows(list(&rows), &base_units());
    assert_eq!((bad.listed[0].row, csv.listed[0].row), (20_000, 20_001));
    assert_eq!(bad.listed[0].reason, Reason::Duplicate { first: 4 });
}

#[test]
fn columns_are_found_by_name() {
    let rows = Random(65).rows(10);
    let ids: Vec<Option<Vec<u8>>> = (1..=10).map(|id| Some([id; 32].to_vec())).collect();
    let schema =
        "required int64 amount; required fixed_len_byte_array(32) id; required binary wallet (UTF8);";
    let file = |schema| {
        let amounts = Integers((1..=10).map(Some).collect());
        parquet(schema, &[amounts, Fixed(ids.clone()), Texts(addresses(&rows))], 10)
    };
    let columns =
        Columns { address: "wallet".to_owned(), person: Some("id".to_owned()), ..Columns::default() };
    let options = BuildOptions { columns, ..base_units() };
    let built = build_parquet(file(schema), &options).unwrap();
    let index = built.snapshot.find(rows[4].0).start;
    assert_eq!(built.snapshot.person(index).unwrap().0, [5; 32]);
    match build_parquet(file(schema), &base_units()) {
        Err(BuildError::List(ListError::Header(HeaderError::Missing { wanted, .. }))) => {
            assert_eq!(wanted, "address")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn amounts_that_are_not_exact_are_refused() {
    let rows = Random(66).rows(3);
    for schema in [
        "required binary address (UTF8); required int64 amount (TIMESTAMP_MILLIS);",
        "required binary amount (UTF8); required int64 address;",
    ] {
        let columns = [Texts(addresses(&rows)), Integers(vec![Some(1); 3])];
        let error = build_parquet(parquet(schema, &columns, 3), &base_units()).unwrap_err();
        assert!(
            matches!(error, BuildError::List(ListError::Source(SourceError::ColumnType { .. }))),
            "{error:?}"
        );
    }
    let columns = [Texts(addresses(&rows)), Integers(vec![Some(1); 3])];
    let schema = "required binary address (UTF8); required int64 amount;";
    let hex = BuildOptions { unit: Unit::Hex, ..base_units() };
    let error = build_parquet(parquet(schema, &columns, 3), &hex).unwrap_err();
    assert!(
        matches!(error, BuildError::List(ListError::Source(SourceError::ColumnType { .. }))),
        "{error:?}"
    );
}

/// Whatever is cut off or overwritten, there is an error and no snapshot, or the very same snapshot.
#[test]
fn damaged_files() {
    let rows = Random(67).rows(2_000);
    let amounts = Texts(rows.iter().map(|(_, amount)| Some(amount.to_string())).collect());
    let whole = parquet(TEXTS, &[Texts(addresses(&rows)), amounts], 500);
    let expected = build_from(list(&rows), &base_units()).unwrap().report.root;
    for length in [4, 12, whole.len() / 2, whole.len() - 1] {
        let error = build_parquet(whole[..length].to_vec(), &base_units()).unwrap_err();
        assert!(
            matches!(error, BuildError::List(ListError::Source(SourceError::Damaged { .. }))),
            "{error:?}"
        );
    }
    for at in (whole.len() - 400..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        if let Ok(built) = build_parquet(damaged, &base_units()) {
            assert_eq!(built.report.root, expected, "a byte at {at} changed the list unnoticed");
        }
    }
}

/// `copy (select …) to 'duckdb.parquet'` of 300 rows, beside the same rows as DuckDB writes them as CSV.
#[test]
fn made_by_duckdb() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let out = tempfile::tempdir().unwrap();
    let [parquet, csv] = ["duckdb.parquet", "duckdb.csv"].map(|name| {
        let options = BuildOptions { decimals: 6, ..BuildOptions::default() };
        let out = out.path().join(name);
        build(&options, &Input::File(folder.join(name)), &out, &|_| ()).unwrap()
    });
    assert_eq!((parquet.count, parquet.root, parquet.total), (300, csv.root, csv.total));
}
