//! Data read plainly are those that the general decoder takes, and no others.

use proptest::prelude::*;

use super::*;

const KINDS: [&str; 12] = [
    "bool", "uint8", "uint64", "uint256", "int8", "int128", "int256", "address", "bytes4", "bytes32",
    "bytes", "string",
];

/// A schema of these kinds.
fn schema(kinds: &[usize]) -> Fields {
    let fields: Vec<String> =
        kinds.iter().enumerate().map(|(n, kind)| format!("{} f{n}", KINDS[*kind])).collect();
    Fields::parse(&fields.join(",")).unwrap()
}

/// A value of a kind, its word or bytes made of the seed.
fn value(kind: &DynSolType, seed: &[u8; 32], length: usize) -> DynSolValue {
    let word = U256::from_be_bytes(*seed);
    let low = |bits: usize| if bits == 256 { word } else { word & ((U256::from(1) << bits) - U256::from(1)) };
    match kind {
        DynSolType::Bool => DynSolValue::Bool(seed[0].is_multiple_of(2)),
        DynSolType::Uint(bits) => DynSolValue::Uint(low(*bits), *bits),
        DynSolType::Int(bits) => {
            let shift = 256 - *bits;
            DynSolValue::Int(I256::from_raw(word << shift).asr(shift), *bits)
        }
        DynSolType::Address => DynSolValue::Address(Address::from_slice(&seed[12..])),
        DynSolType::FixedBytes(size) => {
            let mut bytes = [0; 32];
            bytes[..*size].copy_from_slice(&seed[..*size]);
            DynSolValue::FixedBytes(bytes.into(), *size)
        }
        DynSolType::Bytes => DynSolValue::Bytes(seed.repeat(3)[..length].to_vec()),
        DynSolType::String => DynSolValue::String("ä1".repeat(length / 3)),
        other => panic!("{other} is none of those"),
    }
}

proptest! {
    #[test]
    fn data_are_read_as_the_general_decoder_reads_them(
        parts in proptest::collection::vec((0..KINDS.len(), any::<[u8; 32]>(), 0_usize..70), 1..6),
        change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in proptest::option::weighted(0.2, 0_usize..64),
        more in proptest::option::weighted(0.2, 1_usize..40),
    ) {
        let fields = schema(&parts.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>());
        let values = fields.iter().zip(&parts).map(|(field, (_, seed, length))| value(&field.kind, seed, *length));
        let mut data = DynSolValue::Tuple(values.collect()).abi_encode_sequence().unwrap();
        let whole = change.is_none() && cut.is_none() && more.is_none();
        if let Some((at, byte)) = change {
            let at = at.index(data.len());
            data[at] = byte;
        }
        data.truncate(data.len() - cut.unwrap_or(0).min(data.len()));
        data.extend(vec![0; more.unwrap_or(0)]);
        let (plainly, generally) = (fields.read_plainly(&data), fields.decode_any_abi(&data).ok());
        prop_assert_eq!(&plainly, &generally);
        prop_assert!(plainly.is_some() || !whole, "what was not touched is read");
    }
}

#[test]
fn arrays_are_left_to_the_general_decoder() {
    let fields = Fields::parse("uint8[] n").unwrap();
    let data = DynSolValue::Tuple(vec![DynSolValue::Array(vec![DynSolValue::Uint(U256::from(1), 8)])]);
    let data = data.abi_encode_sequence().unwrap();
    assert!(fields.read_plainly(&data).is_none() && fields.decode_abi(&data).is_ok());
    let none = Fields::parse("").unwrap();
    assert_eq!(none.decode_abi(&[]), Ok(Values::new()));
    assert!(none.decode_abi(&[0; 32]).is_err());
}
