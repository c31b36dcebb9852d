//! What a rule may look at: the facts of one claim, with bytes and a hash of their own, so that an auditor can
//! evaluate again, years later, and compare.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_core::amount::Amount;
use sluice_core::ids::{CampaignId, Millis, RoundNo};

use super::Hash;
use crate::attestation;

/// The first byte of [`ClaimFacts::encode`]. Other semantics are another number.
pub(super) const FORMAT: u8 = 1;

/// Everything a rule set is evaluated on. There is no clock: time is what the intake row says.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimFacts {
    /// The campaign.
    pub campaign: CampaignId,
    /// The round.
    pub round: RoundNo,
    /// The entitlement's index in the round's snapshot.
    pub index: u64,
    /// The listed address.
    pub recipient: Address,
    /// Where the money goes.
    pub to: Address,
    /// What would be paid, base units.
    pub amount: Amount,
    /// The token's decimals, which turn base units into the token units that rules are written in.
    pub decimals: u8,
    /// The registrar's opaque id of the person, where the list names persons.
    #[serde(default)]
    pub person: Option<B256>,
    /// The database's clock at the intake row, milliseconds since the Unix epoch.
    pub accepted_at: Millis,
    /// The verified attestations, under the names that the gate gives their schemas.
    #[serde(default)]
    pub attestations: BTreeMap<String, AttestationFacts>,
}

/// A verified attestation, as rules see it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationFacts {
    /// The schema's id: 0x and 64 lower-case digits for EAS, Sign Protocol's own ids as they are.
    pub schema: String,
    /// Who attested: an address, 0x and 40 lower-case digits.
    pub issuer: String,
    /// The decoded data, by the schema's field names.
    #[serde(default)]
    pub data: BTreeMap<String, Value>,
}

impl AttestationFacts {
    /// A verified attestation: its schema's id, its issuer, its decoded data. Numbers beyond an i128 become text, and
    /// arrays of anything but plain values are left out; a rule set that declares such a field as a number, or names a
    /// field that is left out, refuses the claim.
    pub fn of(schema: impl Into<String>, issuer: Address, values: &attestation::Values) -> Self {
        let data =
            values.iter().filter_map(|(name, value)| Some((name.clone(), Value::of(value)?))).collect();
        Self { schema: schema.into(), issuer: format!("0x{}", hex::encode(issuer)), data }
    }
}

impl Value {
    fn of(value: &attestation::Value) -> Option<Self> {
        use attestation::Value as Given;
        Some(match value {
            Given::Bool(value) => Self::Bool(*value),
            Given::Uint(value) => match i128::try_from(*value) {
                Ok(value) => Self::Integer(value),
                Err(_) => Self::Text(value.to_string()),
            },
            Given::Int(value) => match i128::try_from(*value) {
                Ok(value) => Self::Integer(value),
                Err(_) => Self::Text(value.to_string()),
            },
            Given::Address(value) => Self::Text(format!("0x{}", hex::encode(value))),
            Given::Bytes(value) => Self::Text(format!("0x{}", hex::encode(value))),
            Given::Text(value) => Self::Text(value.clone()),
            Given::List(values) => Self::Texts(
                values
                    .iter()
                    .map(|value| match Self::of(value)? {
                        Self::Text(value) => Some(value),
                        Self::Integer(value) => Some(value.to_string()),
                        Self::Bool(_) | Self::Decimal { .. } | Self::Texts(_) => None,
                    })
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

/// One field of an attestation's data.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
#[borsh(use_discriminant = true)]
#[serde(untagged)]
#[repr(u8)]
pub enum Value {
    /// True or false.
    Bool(bool) = 1,
    /// A whole number. Beyond an i64 it cannot enter a rule, and the claim is refused.
    Integer(i128) = 2,
    /// Text; addresses and hashes as 0x and lower-case digits.
    Text(String) = 3,
    /// A number with at most four digits after the point; in JSON `{"decimal": "12.5"}`.
    Decimal {
        /// The number.
        decimal: Fixed4,
    } = 4,
    /// Several texts; rules see them as a set.
    Texts(Vec<String>) = 5,
}

// Written out: serde's untagged enums cannot read an i128.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> serde::de::Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, a whole number, a text, a list of texts, or {\"decimal\": \"12.5\"}")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, items: A) -> Result<Value, A::Error> {
        <Vec<String> as Deserialize>::deserialize(serde::de::value::SeqAccessDeserializer::new(items))
            .map(Value::Texts)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, fields: A) -> Result<Value, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wrapped {
            decimal: Fixed4,
        }
        let wrapped = Wrapped::deserialize(serde::de::value::MapAccessDeserializer::new(fields))?;
        Ok(Value::Decimal { decimal: wrapped.decimal })
    }
}

/// A number with four digits after the point, in ten-thousandths: exactly what Cedar's `decimal` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Fixed4(pub i64);

/// A text that is no [`Fixed4`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number with at most four digits after the point within ±922337203685477.5807")]
pub struct Fixed4Error(String);

impl FromStr for Fixed4 {
    type Err = Fixed4Error;

    /// Digits, a sign before them if need be, and a point with one to four digits if need be; nothing is rounded.
    fn from_str(text: &str) -> Result<Self, Fixed4Error> {
        let bad = || Fixed4Error(text.to_owned());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, fraction)) if fraction.is_empty() || fraction.len() > 4 => return Err(bad()),
            Some(parts) => parts,
            None => (digits, ""),
        };
        if whole.is_empty() || whole.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(bad());
        }
        let scaled: i128 = format!("{whole}{fraction:0<4}").parse().map_err(|_| bad())?;
        i64::try_from(if negative { -scaled } else { scaled }).map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for Fixed4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:04}", size / 10_000, size % 10_000)
    }
}

impl Serialize for Fixed4 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fixed4 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl ClaimFacts {
    /// The canonical bytes: one format byte, then borsh (maps in the order of their keys).
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        BorshSerialize::serialize(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    /// Reads what [`Self::encode`] wrote; any other bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, borsh::io::Error> {
        let invalid = |message: String| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, message);
        let (format, body) = bytes.split_first().ok_or_else(|| invalid("no facts".into()))?;
        if *format != FORMAT {
            return Err(invalid(format!("facts of format {format}; this program reads format {FORMAT}")));
        }
        let facts: Self = borsh::from_slice(body)?;
        if facts.encode() != bytes {
            return Err(invalid("facts are not in their canonical form".into()));
        }
        Ok(facts)
    }

    /// SHA-256 of [`Self::encode`]: the `inputs_hash` of the evidence.
    pub fn inputs_hash(&self) -> Hash {
        Hash(Sha256::digest(self.encode()).into())
    }

    /// Whether the payment goes elsewhere than to the listed address.
    pub fn is_redirected(&self) -> bool {
        self.to != self.recipient
    }

    /// The amount in token units, rounded down and up to four digits; `None` above what a Cedar `decimal` holds.
    pub fn amount_bounds(&self) -> Option<(Fixed4, Fixed4)> {
        bounds(self.amount.get(), self.decimals)
    }
}

/// Base units in token units, rounded down and up to four digits; `None` above what a Cedar `decimal` holds.
pub(crate) fn bounds(base_units: u128, decimals: u8) -> Option<(Fixed4, Fixed4)> {
    let (down, up) = match decimals {
        decimals @ 0..=4 => {
            let exact = base_units.checked_mul(10_u128.pow(u32::from(4 - decimals)))?;
            (exact, exact)
        }
        decimals => {
            // Above 42 decimals the divisor leaves u128; every amount is then below a ten-thousandth.
            let unit = 10_u128.checked_pow(u32::from(decimals - 4)).unwrap_or(u128::MAX);
            (base_units / unit, base_units.div_ceil(unit))
        }
    };
    Some((Fixed4(i64::try_from(down).ok()?), Fixed4(i64::try_from(up).ok()?)))
}
