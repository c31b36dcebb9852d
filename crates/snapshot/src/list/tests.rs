use super::address::{Checksums, parse, parse_person, spell};
use super::rows::{fields, last_row_end, row_ends};
use super::*;
use proptest::prelude::*;

/// The spellings of EIP-55's own test list.
const EIP55: [&str; 8] = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
];

#[test]
fn eip_55_spellings() {
    for text in EIP55 {
        let parsed = parse(text.as_bytes()).unwrap();
        assert_eq!(spell(&[parsed.bytes])[0], text.as_bytes()[2..]);
        let mut checksums = Checksums::default();
        checksums.add(7, text.as_bytes());
        assert!(checksums.wrong().is_empty());
        // Every single letter in the other case is noticed.
        for at in (2..42).filter(|&at| text.as_bytes()[at].is_ascii_alphabetic()) {
            let mut changed = text.as_bytes().to_vec();
            changed[at] ^= 0x20;
            checksums.add(8, &changed);
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(checksums.wrong(), [(8, changed)], "{text} at {at}");
            checksums = Checksums::default();
        }
    }
}

#[test]
fn addresses_that_are_none() {
    let digits = "52908400098527886e0f7030069857d2e4169ee7";
    let cases = [
        (String::new(), AddressError::Empty),
        (digits.to_owned(), AddressError::NoPrefix),
        (format!("0X{digits}"), AddressError::NoPrefix),
        (format!(" 0x{digits}"), AddressError::NoPrefix),
        (format!("0x{digits}0"), AddressError::Length(41)),
        (format!("0x{}", &digits[1..]), AddressError::Length(39)),
        ("0x".to_owned(), AddressError::Length(0)),
        (format!("0x{}g", &digits[1..]), AddressError::BadDigit(b'g')),
        (format!("0x{digits} "), AddressError::BadDigit(b' ')),
        ("vitalik.eth".to_owned(), AddressError::NoPrefix),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text.as_bytes()).err(), Some(error), "{text}");
    }
}

#[test]
fn persons() {
    let id = "0x".to_owned() + &"a5".repeat(32);
    assert_eq!(parse_person(id.as_bytes()), Some([0xa5; 32]));
    let zero = "0x".to_owned() + &"0".repeat(64);
    for text in ["", "0x", &id[2..], &id[..65], &(id.clone() + "0"), &zero] {
        assert_eq!(parse_person(text.as_bytes()), None, "{text}");
    }
}

fn split(row: &str) -> Result<Vec<String>, Reason> {
    let mut found = Vec::new();
    fields(row.as_bytes(), row.contains('"'), |field| found.push(String::from_utf8(field.text()).unwrap()))?;
    Ok(found)
}

#[test]
fn quotes_must_embrace_a_field() {
    assert_eq!(split(r#"a,"b,""c""",d"#), Ok(vec!["a".into(), "b,\"c\"".into(), "d".into()]));
    assert_eq!(split(r#""","#), Ok(vec!["".into(), "".into()]));
    assert_eq!(split(",,"), Ok(vec!["".into(); 3]));
    for stray in [r#"a"b,c"#, r#""a"b,c"#, r#"a,b""#] {
        assert_eq!(split(stray), Err(Reason::StrayQuote), "{stray}");
    }
    assert_eq!(split(r#"a,"b"#), Err(Reason::OpenQuote));
}

#[test]
fn a_stray_quote_spoils_its_own_row_alone() {
    let rows = b"a,b\"c\nd,\"e\nf\"\ng,h\n";
    assert_eq!(row_ends(rows, true).collect::<Vec<_>>(), [5, 13, 17]);
    assert_eq!(last_row_end(rows, true), Some(17));
    assert_eq!(last_row_end(b"a,\"b\n", true), None);
}

proptest! {
    /// On well-formed rows the split is the csv crate's.
    #[test]
    fn splits_as_the_csv_crate_does(
        rows in prop::collection::vec(prop::collection::vec("[a-c\",\n\r ]{0,6}", 2..4), 1..6)
    ) {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let text = writer.into_inner().unwrap();
        let mut begin = 0;
        let mut found = Vec::new();
        for end in row_ends(&text, true) {
            let row = std::str::from_utf8(&text[begin..end]).unwrap();
            found.push(split(row).unwrap());
            begin = end + 1;
        }
        prop_assert_eq!(begin, text.len());
        prop_assert_eq!(found, rows);
    }
}
