//! How numbers and signatures are written in the attestations people send: a number may be a JSON number or, where it was
//! a JavaScript bigint, decimal text.

use alloy_primitives::{B256, Bytes};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A non-negative integer, as a JSON number or as decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a non-negative integer below 2^64, as a number or as decimal text")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                decimal(text).map(Number).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Decimal digits without sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// The SDK's form of a key's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rsv {
    pub(super) r: B256,
    pub(super) s: B256,
    pub(super) v: Number,
}

impl Rsv {
    /// r ‖ s ‖ v. A v that fits no byte is one that no signature has.
    pub(super) fn to_bytes(self) -> Bytes {
        let v = u8::try_from(self.v.0).unwrap_or(u8::MAX);
        [self.r.as_slice(), self.s.as_slice(), &[v]].concat().into()
    }
}

/// A signature: r, s and v of a key, or any bytes for a contract.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a signature is {r, s, v} with two 32-byte words, or hexadecimal bytes")]
pub(super) enum Signed {
    /// A key's.
    Rsv(Rsv),
    /// A contract's.
    Bytes(Bytes),
}

impl Signed {
    pub(super) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Rsv(rsv) => rsv.to_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// A member of a signed struct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// Whether the members are exactly these, in this order.
pub(super) fn are(members: &[Member], expected: &[(&str, &str)]) -> bool {
    members.iter().map(|m| (m.name.as_str(), m.kind.as_str())).eq(expected.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn numbers_are_integers_in_two_spellings() {
        for text in ["0", "7", "\"0\"", "\"7\"", "18446744073709551615", "\"18446744073709551615\""] {
            let number: Number = serde_json::from_str(text).unwrap();
            assert_eq!(number.0.to_string(), text.trim_matches('"'));
        }
        for text in
            ["-1", "1.0", "1e3", "\"\"", "\"07\"", "\"+7\"", "\"0x7\"", "18446744073709551616", "null"]
        {
            serde_json::from_str::<Number>(text).unwrap_err();
        }
    }
}
