//! Schemas, and strict decoding of data into named values.

use alloy_primitives::{Address, Bytes, I256, U256, hex};
use sluice_gate::attestation::{AttestationCode as Code, Fields, FieldsError, Value, Values};

fn decode(schema: &str, words: &[&str]) -> Result<Values, Code> {
    let data = hex::decode(words.concat()).unwrap();
    Fields::parse(schema).unwrap().decode_abi(&data).map_err(|refused| refused.code)
}

fn word(end: &str) -> String {
    format!("{end:0>64}")
}

fn left(start: &str) -> String {
    format!("{start:0<64}")
}

#[test]
fn every_type_comes_out_by_name() {
    let schema = "bool like, uint256 n,string s,bytes32 b , address a, int8 i, bytes4 f, bytes x, uint16[] list, ipfsHash cid, uint8[2] pair";
    let address = "00000000000000000000000000000000000000c1";
    let words = [
        word("1"),
        word("ff"),
        word("180"),
        left("ab"),
        word(address),
        "f".repeat(63) + "e",
        left("01020304"),
        word("1c0"),
        word("200"),
        word("5"),
        word("1"),
        word("2"),
        word("3"),
        left("616263"),
        word("1"),
        left("dd"),
        word("2"),
        word("7"),
        word("8"),
    ];
    let values = decode(schema, &words.each_ref().map(String::as_str)).unwrap();
    let expected = [
        ("like", Value::Bool(true)),
        ("n", Value::Uint(U256::from(255))),
        ("s", Value::Text("abc".into())),
        ("b", Value::Bytes(hex::decode(left("ab")).unwrap().into())),
        ("a", Value::Address(address.parse::<Address>().unwrap())),
        ("i", Value::Int(I256::try_from(-2).unwrap())),
        ("f", Value::Bytes(Bytes::from_static(&[1, 2, 3, 4]))),
        ("x", Value::Bytes(Bytes::from_static(&[0xdd]))),
        ("list", Value::List(vec![Value::Uint(U256::from(7)), Value::Uint(U256::from(8))])),
        ("cid", Value::Bytes(U256::from(5).to_be_bytes::<32>().to_vec().into())),
        ("pair", Value::List(vec![Value::Uint(U256::from(1)), Value::Uint(U256::from(2))])),
    ];
    assert_eq!(values, expected.map(|(name, value)| (name.to_string(), value)).into());
}

#[test]
fn only_the_canonical_encoding_of_values_in_their_types_is_taken() {
    let cases: &[(&str, &[&str])] = &[
        ("bool like", &[]),
        ("bool like", &[&word("2")]),
        ("bool like", &[&word("1"), "00"]),
        ("bool like", &[&word("1"), &word("0")]),
        ("uint8 n", &[&word("100")]),
        ("int8 n", &[&word("80")]),
        ("bytes4 f", &[&left("0102030405")]),
        ("address a", &[&word("1000000000000000000000000000000000000000c1")]),
        // Text that is not UTF-8, padding that is not zero, an offset with a gap, lengths beyond the data.
        ("string s", &[&word("20"), &word("1"), &left("ff")]),
        ("string s", &[&word("20"), &word("1"), &left("6100ff")]),
        ("string s", &[&word("40"), &word("0"), &word("1"), &left("61")]),
        ("string s", &[&word("20"), &word("41"), &left("61")]),
        ("uint256[] list", &[&word("20"), &word("ffffffffffffffff")]),
        ("uint256[512][] list", &[&word("20"), &word("ffffffff"), &word("1")]),
        ("uint8[] list", &[&word("20"), &word("1"), &word("100")]),
        ("", &["00"]),
    ];
    for (schema, words) in cases {
        assert_eq!(decode(schema, words), Err(Code::DataMismatch), "{schema} {words:?}");
    }
    assert_eq!(decode("", &[]), Ok(Values::new()));
    assert_eq!(decode("int8 n", &[&word("7f")]).unwrap()["n"], Value::Int(I256::try_from(127).unwrap()));
    assert_eq!(decode("uint8 n", &[&word("ff")]).unwrap()["n"], Value::Uint(U256::from(255)));
}

#[test]
fn schemas_have_named_fields_of_elementary_types() {
    for text in
        ["uint256", "bool a b", "bool 1a", "(uint256 a) t", "bool like,", "bool,like x", "tuple(bool) t"]
    {
        assert!(matches!(Fields::parse(text), Err(FieldsError::NotAField(_))), "{text}");
    }
    for text in ["uint7 a", "bytes33 a", "float a", "function f", "uint256[0] a", "bool[][][][] a", "Bool a"]
    {
        assert!(matches!(Fields::parse(text), Err(FieldsError::BadType { .. })), "{text}");
    }
    assert_eq!(Fields::parse("bool a, uint8 a"), Err(FieldsError::Twice("a".into())));
    let many: Vec<String> = (0..65).map(|n| format!("bool f{n}")).collect();
    for text in
        [many.join(","), "uint256[1000000000] a".into(), "uint8[9999][9999][] a".into(), " ".repeat(5_000)]
    {
        assert!(matches!(Fields::parse(&text), Err(FieldsError::TooLarge { .. })), "{text:.40}");
    }
}

#[test]
fn json_data_have_exactly_the_schema_s_fields() {
    let fields =
        Fields::parse("bool like, uint16 n, int8 i, string s, bytes4 f, address a, uint8[] list").unwrap();
    let good = r#"{"like":true,"n":"65535","i":-128,"s":"x","f":"0x01020304","a":"0x00000000000000000000000000000000000000c1","list":[1,"2"]}"#;
    let values = fields.decode_json(good).unwrap();
    assert_eq!(values["n"], Value::Uint(U256::from(65_535)));
    assert_eq!(values["i"], Value::Int(I256::try_from(-128).unwrap()));
    assert_eq!(values["list"], Value::List(vec![Value::Uint(U256::from(1)), Value::Uint(U256::from(2))]));
    let changes = [
        ("true", "1"),
        ("\"65535\"", "65536"),
        ("\"65535\"", "1.0"),
        ("\"65535\"", "\"0x1\""),
        ("\"65535\"", "\"01\""),
        ("\"65535\"", "-1"),
        ("-128", "-129"),
        ("-128", "\"-0\""),
        ("\"x\"", "null"),
        ("0x01020304", "0x010203"),
        ("0x01020304", "01020304"),
        ("[1,\"2\"]", "[1,256]"),
        ("\"s\":", "\"t\":"),
        ("\"s\":\"x\"", "\"s\":\"x\",\"s\":\"y\""),
        ("\"s\":\"x\"", "\"s\":\"x\",\"t\":\"y\""),
        ("\"s\":\"x\",", ""),
        ("{", "[{"),
    ];
    for (from, to) in changes {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let refused = fields.decode_json(&text).unwrap_err();
        assert_eq!(refused.code, Code::DataMismatch, "{text}");
    }
}
