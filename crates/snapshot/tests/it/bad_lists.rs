//! Every way in which a list's rows are bad, and what is accepted although it looks odd.

use crate::common::{bad_rows, base_units, build_from};
use sluice_core::amount::{AmountError, Total};
use sluice_snapshot::list::{AddressError, HeaderError, ListError, Reason};
use sluice_snapshot::{BuildError, BuildOptions};

const A: &str = "0x1111111111111111111111111111111111111111";
const B: &str = "0x2222222222222222222222222222222222222222";

/// The error's text for one bad row between two good ones.
fn row(row: &str, options: &BuildOptions) -> (Reason, String) {
    let list = format!("address,amount\n{A},1\n{row}\n{B},2\n");
    let bad = bad_rows(&list, options);
    assert_eq!((bad.count, bad.listed.len()), (1, 1), "{bad}");
    assert_eq!(bad.listed[0].row, 3, "{bad}");
    (bad.listed[0].reason.clone(), bad.listed[0].to_string())
}

fn bad(text: &str) -> Reason {
    row(text, &BuildOptions::default()).0
}

fn bad_amount(amount: &str) -> Reason {
    bad(&format!("0x3333333333333333333333333333333333333333,{amount}"))
}

#[test]
fn wrong_column_count() {
    let expected = |found| Reason::ColumnCount { found, expected: 2 };
    assert_eq!(bad("0x3333333333333333333333333333333333333333"), expected(1));
    assert_eq!(bad("0x3333333333333333333333333333333333333333,1,2"), expected(3));
}

#[test]
fn bad_addresses() {
    assert_eq!(bad("0x333333333333333333333333333333333333333g,1"), AddressError::BadDigit(b'g').into());
    assert_eq!(bad("0x333333333333333333333333333333333333333,1"), AddressError::Length(39).into());
    assert_eq!(bad("0x33333333333333333333333333333333333333333,1"), AddressError::Length(41).into());
    assert_eq!(bad("3333333333333333333333333333333333333333,1"), AddressError::NoPrefix.into());
    assert_eq!(bad(",1"), AddressError::Empty.into());
    assert_eq!(bad("0x0000000000000000000000000000000000000000,1"), Reason::ZeroAddress);
}

#[test]
fn wrong_checksum() {
    let right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    assert_eq!(bad("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD,1"), AddressError::Checksum.into());
    for good in [right.to_owned(), right.to_lowercase(), format!("0x{}", right[2..].to_uppercase())] {
        build_from(format!("address,amount\n{good},1\n"), &BuildOptions::default()).unwrap();
    }
}

#[test]
fn bad_amounts() {
    assert_eq!(bad_amount(""), AmountError::Empty.into());
    assert_eq!(bad_amount("-1"), AmountError::Negative.into());
    assert_eq!(bad_amount("0"), Reason::ZeroAmount);
    assert_eq!(bad_amount("0.000"), Reason::ZeroAmount);
    assert_eq!(bad_amount("NaN"), AmountError::NotANumber(b'N').into());
    assert_eq!(bad_amount("1e18"), AmountError::Exponent.into());
    assert_eq!(bad_amount("1_000"), AmountError::Underscore.into());
    assert_eq!(bad_amount("\"1,000\""), AmountError::Separator(',').into());
    assert_eq!(
        bad_amount("1.0000000000000000001"),
        AmountError::TooManyDecimals { found: 19, allowed: 18 }.into()
    );
    assert_eq!(bad_amount("79228162514.264337593543950336"), AmountError::AboveLimit.into());
    assert_eq!(bad_amount("0x10"), AmountError::Hexadecimal.into());
    // A thousands separator without quotes is one column too many.
    assert_eq!(bad_amount("1,000"), Reason::ColumnCount { found: 3, expected: 2 });
}

#[test]
fn bytes_that_do_not_belong() {
    assert_eq!(bad("0x3333333333333333333333333333333333333333,1\0"), Reason::Nul);
    assert_eq!(bad("0x3333333333333333333333333333333333333333,1\"2\""), Reason::StrayQuote);
    assert_eq!(bad(""), Reason::Blank);
}

#[test]
fn an_error_names_row_column_value_and_reason() {
    let (_, text) = row(&format!("{A},1_0"), &BuildOptions::default());
    assert_eq!(text, "row 3, column amount: \"1_0\" has an underscore; write digits alone");
    let (_, text) = row(&format!("{A},1,\u{1b}[31m{}", "x".repeat(200)), &BuildOptions::default());
    assert!(text.contains(r"\u{1b}[31m") && text.contains('…') && text.len() < 200, "{text}");
    // The list's own column names are used.
    let mut options = BuildOptions::default();
    options.columns.amount = "tokens".to_owned();
    let bad = bad_rows(format!("address,tokens\n{A},x\n"), &options);
    assert_eq!(bad.listed[0].column, "tokens");
}

#[test]
fn duplicates_also_in_other_letter_case() {
    let mixed = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let list = format!("address,amount\n{mixed},1\n{A},1\n{},2\n{mixed},3\n", mixed.to_lowercase());
    let bad = bad_rows(list, &BuildOptions::default());
    let found: Vec<(u64, Reason)> = bad.listed.into_iter().map(|error| (error.row, error.reason)).collect();
    assert_eq!(found, [(4, Reason::Duplicate { first: 2 }), (5, Reason::Duplicate { first: 2 })]);
}

#[test]
fn headers_that_name_no_columns() {
    let header = |list: &str| match build_from(list, &BuildOptions::default()) {
        Err(BuildError::List(ListError::Header(error))) => error,
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(header(&format!("{A},1\n{B},2\n")), HeaderError::Missing { wanted, .. } if wanted == "address")
    );
    assert!(matches!(header("Address,amount\n"), HeaderError::Missing { .. }));
    for other in ["address;amount\n", "address\tamount\n"] {
        let said = header(other).to_string();
        assert!(said.contains("separated by commas") && !said.contains("--columns"), "{said}");
    }
    assert!(header("wallet,amount\n").to_string().contains("--columns address=…"));
    assert_eq!(header("address,amount,amount\n"), HeaderError::Twice("amount".to_owned()));
    assert_eq!(header(""), HeaderError::Empty);
    assert_eq!(header("\n"), HeaderError::Empty);
    assert!(matches!(header("\"address,amount\n"), HeaderError::NotCsv(Reason::OpenQuote)));
    assert!(header("a,b\n").to_string().contains(r#"it has "a", "b""#));
}

#[test]
fn a_header_alone() {
    for list in ["address,amount", "address,amount\n", "address,amount\r\n\r\n\n"] {
        let error = build_from(list, &BuildOptions::default()).unwrap_err();
        assert!(matches!(error, BuildError::List(ListError::NoRows)), "{list:?}: {error}");
    }
}

#[test]
fn utf_16_is_named() {
    let list: Vec<u8> = [0xff, 0xfe].into_iter().chain("address".bytes().flat_map(|b| [b, 0])).collect();
    let error = build_from(list, &BuildOptions::default()).unwrap_err();
    assert!(matches!(error, BuildError::List(ListError::Header(HeaderError::Utf16))));
}

#[test]
fn odd_but_unmistakable_lists_are_accepted() {
    let plain = build_from(format!("address,amount\n{A},1\n{B},2\n"), &BuildOptions::default()).unwrap();
    let same = [
        format!("address,amount\r\n{A},1\r\n{B},2\r\n"),
        format!("\u{feff}address,amount\n{A},1\n{B},2\n"),
        format!("\"address\",\"amount\"\n\"{A}\",\"1\"\n{B},\"2\"\n"),
        format!("address,amount\n{A},1\n{B},2\n\n\r\n\n"),
        format!("name,amount,address,note\n\"O'Hara, \"\"Jo\"\"\",1,{A},\"two\nlines\"\n\u{e9},2,{B},\n"),
        format!("address,amount\n{B},2.0\n{A},1.000000000000000000\n"),
    ];
    for list in same {
        assert_eq!(
            build_from(&list, &BuildOptions::default()).unwrap().report.root,
            plain.report.root,
            "{list}"
        );
    }
}

#[test]
fn lines_are_counted_through_quoted_line_ends() {
    let list = format!("address,amount,note\n{A},1,\"two\nlines\"\n{B},x,\n");
    assert_eq!(bad_rows(list, &BuildOptions::default()).listed[0].row, 4);
}

#[test]
fn a_list_cut_short() {
    // In an amount: only a control total can tell. In an address or before the amount: the row itself is bad too.
    let list = format!("address,amount\n{A},1\n{B},250");
    let bad = bad_rows(&list, &BuildOptions::default());
    assert_eq!((bad.listed[0].row, &bad.listed[0].reason), (3, &Reason::CutShort));
    let expect_total = Some(Total(251 * 10u128.pow(18)));
    build_from(&list, &BuildOptions { expect_total, ..BuildOptions::default() }).unwrap();
    let cut = &list[..list.len() - 1];
    let error = build_from(cut, &BuildOptions { expect_total, ..BuildOptions::default() }).unwrap_err();
    assert!(matches!(error, BuildError::Expectation { .. }), "{error}");
    let cut = &list[..list.len() - 10];
    let reasons: Vec<Reason> =
        bad_rows(cut, &BuildOptions::default()).listed.into_iter().map(|error| error.reason).collect();
    assert!(reasons.contains(&Reason::ColumnCount { found: 1, expected: 2 }), "{reasons:?}");
}

#[test]
fn a_hundred_are_listed_and_all_are_counted() {
    let mut list = "address,amount\n".to_owned();
    for i in 0..70_000u32 {
        let amount = if i % 2 == 0 { "x" } else { "1" };
        list += &format!("0x{:040x},{amount}\n", i + 1);
    }
    let bad = bad_rows(&list, &base_units());
    assert_eq!((bad.count, bad.listed.len()), (35_000, 100));
    let rows: Vec<u64> = bad.listed.iter().map(|error| error.row).collect();
    assert_eq!(rows, (0..100).map(|i| 2 + 2 * i).collect::<Vec<u64>>());
    assert!(bad.to_string().starts_with("35000 bad rows, nothing was written; the first 100:"));
}

#[test]
fn units() {
    let root = |amount: &str, options: &BuildOptions| {
        build_from(format!("address,amount\n{A},{amount}\n"), options).unwrap().report.root
    };
    let hex = BuildOptions { unit: sluice_snapshot::list::Unit::Hex, ..BuildOptions::default() };
    let tokens = BuildOptions { decimals: 2, ..BuildOptions::default() };
    // Uniswap's map form reads "100" as 256: only where hexadecimal was asked for.
    assert_eq!(root("100", &hex), root("256", &base_units()));
    assert_eq!(root("0x100", &hex), root("2.56", &tokens));
    assert_eq!(row(&format!("{A},1.5"), &base_units()).0, Reason::Amount(AmountError::Fraction));
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let mut random = crate::common::Random(51);
    let list = crate::common::list(&random.rows(20)).into_bytes();
    let strange = b"\n\r\",.-0x9fF\0\xff ";
    for _ in 0..600 {
        let mut altered = list.clone();
        for _ in 0..1 + random.below(6) {
            let at = usize::try_from(random.below(altered.len() as u64)).unwrap();
            let byte = strange[usize::try_from(random.below(strange.len() as u64)).unwrap()];
            match random.below(3) {
                0 => altered[at] = byte,
                1 => altered.insert(at, byte),
                _ => altered.truncate(at + 1),
            }
        }
        // Whatever still is a list gives a snapshot that holds.
        if let Ok(built) = build_from(&altered, &base_units()) {
            built.snapshot.verify(None, &|_| ()).unwrap();
        }
    }
}

#[test]
fn control_totals() {
    let list = format!("address,amount\n{A},1\n{B},2\n");
    let check =
        |options: BuildOptions| build_from(&list, &BuildOptions { unit: base_units().unit, ..options });
    let right =
        BuildOptions { expect_count: Some(2), expect_total: Some(Total(3)), ..BuildOptions::default() };
    let root = check(right).unwrap().report.root;
    check(BuildOptions { expect_root: Some(root), ..BuildOptions::default() }).unwrap();
    let wrong = [
        BuildOptions { expect_count: Some(3), ..BuildOptions::default() },
        BuildOptions { expect_total: Some(Total(4)), ..BuildOptions::default() },
        BuildOptions { expect_root: Some(alloy_primitives::B256::ZERO), ..BuildOptions::default() },
    ];
    for options in wrong {
        assert!(matches!(check(options).unwrap_err(), BuildError::Expectation { .. }));
    }
}

#[test]
fn addresses_that_must_not_be_paid() {
    let refused = vec![B.parse().unwrap(), "0x4444444444444444444444444444444444444444".parse().unwrap()];
    let options = BuildOptions { refused, ..BuildOptions::default() };
    let bad = bad_rows(format!("address,amount\n{A},1\n{B},2\n"), &options);
    assert_eq!((bad.count, bad.listed[0].row, &bad.listed[0].reason), (1, 3, &Reason::RefusedAddress));
}
