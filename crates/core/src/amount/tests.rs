use super::*;

const MAX: &str = "79228162514264337593543950335";
const ABOVE: &str = "79228162514264337593543950336";

fn decimal(text: &str) -> Result<u128, AmountError> {
    Amount::parse_decimal(text, 18).map(Amount::get)
}

#[test]
fn tokens_scale_to_base_units() {
    assert_eq!(decimal("1"), Ok(10u128.pow(18)));
    assert_eq!(decimal("0.000000000000000001"), Ok(1));
    assert_eq!(decimal("12.50"), Ok(125 * 10u128.pow(17)));
    assert_eq!(decimal("0"), Ok(0));
    assert_eq!(decimal("00012"), Ok(12 * 10u128.pow(18)));
    assert_eq!(decimal("79228162514.264337593543950335"), Ok(Amount::MAX.get()));
    assert_eq!(Amount::parse_decimal("7", 0).map(Amount::get), Ok(7));
    assert_eq!(Amount::parse_decimal("0", 255).map(Amount::get), Ok(0));
}

#[test]
fn base_units_and_hex() {
    assert_eq!(Amount::parse_base(MAX), Ok(Amount::MAX));
    assert_eq!(Amount::parse_hex("0xffffffffffffffffffffffff"), Ok(Amount::MAX));
    // The same three characters are 256 only where hexadecimal was asked for.
    assert_eq!(Amount::parse_hex("100").map(Amount::get), Ok(256));
    assert_eq!(Amount::parse_base("100").map(Amount::get), Ok(100));
    assert_eq!(Amount::parse_hex("0x0000000000000000000000000000000001").map(Amount::get), Ok(1));
}

#[test]
fn refusals_name_the_cause() {
    use AmountError::*;
    let decimals = |found| TooManyDecimals { found, allowed: 18 };
    let cases = [
        ("", Empty),
        ("-1", Negative),
        ("+1", PlusSign),
        ("1e18", Exponent),
        ("1E3", Exponent),
        ("1_000", Underscore),
        ("1,000", Separator(',')),
        ("1'000", Separator('\'')),
        ("1.000.000", Separator('.')),
        (" 1", WhiteSpace),
        ("1 ", WhiteSpace),
        ("1 000", WhiteSpace),
        ("0x10", Hexadecimal),
        ("NaN", NotANumber(b'N')),
        ("inf", NotANumber(b'i')),
        ("e5", NotANumber(b'e')),
        ("12\0", NotANumber(0)),
        ("１", NotANumber(0xef)),
        (".5", MissingDigit),
        ("5.", MissingDigit),
        (".", MissingDigit),
        ("0.0000000000000000001", decimals(19)),
        ("1.0000000000000000000000", decimals(22)),
        ("79228162514.264337593543950336", AboveLimit),
        ("99999999999999999999999999999999999999999999999999", AboveLimit),
        ("99999999999999999999999999999999999999999999999999x", NotANumber(b'x')),
    ];
    for (text, expected) in cases {
        assert_eq!(decimal(text), Err(expected), "{text:?}");
    }
    assert_eq!(Amount::parse_base("1.5"), Err(Fraction));
    assert_eq!(Amount::parse_base(ABOVE), Err(AboveLimit));
    assert_eq!(Amount::parse_hex("0x1000000000000000000000000"), Err(AboveLimit));
    assert_eq!(Amount::parse_hex("0x"), Err(Empty));
    assert_eq!(Amount::parse_hex("-1"), Err(Negative));
    assert_eq!(Amount::parse_hex("xyz"), Err(NotANumber(b'x')));
    assert_eq!(Amount::parse_decimal("1", 77), Err(AboveLimit));
    assert!(AboveLimit.to_string().contains(MAX));
}

#[test]
fn no_text_panics() {
    // Every text of up to three of these bytes, read in every unit and at several scales.
    let alphabet = b"019.,-+_exX \0\xff";
    let mut texts: Vec<Vec<u8>> = vec![vec![]];
    for _ in 0..3 {
        let longer = texts.iter().flat_map(|t| alphabet.iter().map(move |&b| [t.as_slice(), &[b]].concat()));
        texts = texts.iter().cloned().chain(longer).collect();
    }
    for text in &texts {
        for decimals in [0, 1, 18, 255] {
            let _ = Amount::parse_decimal_bytes(text, decimals);
        }
        let _ = (Amount::parse_base_bytes(text), Amount::parse_hex_bytes(text));
    }
}

#[test]
fn shown_and_read_again() {
    for base_units in [0, 1, 10, 999, 10u128.pow(18), 15 * 10u128.pow(17), Amount::MAX.get()] {
        let amount = Amount::new(base_units).unwrap();
        assert_eq!(amount.to_string().parse(), Ok(amount));
        assert_eq!(Amount::from_be_bytes(amount.to_be_bytes()), amount);
        for decimals in [0, 6, 18, 28] {
            assert_eq!(Amount::parse_decimal(&amount.to_decimal_string(decimals), decimals), Ok(amount));
            let shown = amount.to_decimal(decimals).unwrap();
            assert_eq!(shown.mantissa(), i128::try_from(base_units).unwrap());
        }
        assert_eq!(amount.to_decimal(29), None);
    }
    assert_eq!(Amount::new(1500).unwrap().to_decimal_string(3), "1.5");
    assert_eq!(Amount::new(5).unwrap().to_decimal_string(3), "0.005");
    assert_eq!(Total(u128::MAX).to_string().parse(), Ok(Total(u128::MAX)));
    assert_eq!("340282366920938463463374607431768211456".parse::<Total>(), Err(AmountError::AboveTotalLimit));
}

#[test]
fn encodings_hold_the_limit() {
    let bytes = borsh::to_vec(&Amount::MAX).unwrap();
    assert_eq!(borsh::from_slice::<Amount>(&bytes).unwrap(), Amount::MAX);
    let above = borsh::to_vec(&(Amount::MAX.get() + 1)).unwrap();
    assert!(borsh::from_slice::<Amount>(&above).is_err());
    assert_eq!(Amount::new(Amount::MAX.get() + 1), None);
    assert_eq!(Amount::MAX.checked_add(Amount::new(1).unwrap()), None);
    assert_eq!(Total(u128::MAX).checked_add(Amount::new(1).unwrap()), None);
    assert_eq!(Total(2).checked_sub(Total(3)), None);
}

#[test]
fn every_byte_of_a_long_number_is_looked_at() {
    for length in [7, 8, 9, 16, 19, 20, 27, 28] {
        for at in 0..length {
            for byte in 0..=255u8 {
                let mut text = b"9081726354453627180918273645".to_vec();
                text.truncate(length);
                text[at] = byte;
                let read = Amount::parse_base_bytes(&text).ok().map(Amount::get);
                let digits = text.iter().all(u8::is_ascii_digit);
                let expected = digits.then(|| String::from_utf8(text.clone()).unwrap().parse().unwrap());
                assert_eq!(read, expected, "{text:?}");
            }
        }
    }
}
