//! An attestation's data as named, typed values for rules: strict decoding of ABI data and of Sign Protocol's JSON.

use std::collections::BTreeMap;
use std::fmt;

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{Address, Bytes, I256, U256};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::code::{AttestationCode, Refused};
use super::fields::{Field, Fields};

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// `bool`.
    Bool(bool),
    /// `uint8` to `uint256`.
    Uint(U256),
    /// `int8` to `int256`.
    Int(I256),
    /// `address`.
    Address(Address),
    /// `bytes` and `bytes1` to `bytes32`.
    Bytes(Bytes),
    /// `string`.
    Text(String),
    /// An array.
    List(Vec<Self>),
}

/// The values of an attestation's data, by field name.
pub type Values = BTreeMap<String, Value>;

fn mismatch(detail: impl Into<String>) -> Refused {
    Refused::new(AttestationCode::DataMismatch, detail)
}

impl Fields {
    /// Decodes ABI data. Only the one canonical encoding of the values is taken: no other offsets, padding, gaps or
    /// trailing bytes, no value outside its type.
    ///
    /// # Errors
    /// [`AttestationCode::DataMismatch`].
    pub fn decode_abi(&self, data: &[u8]) -> Result<Values, Refused> {
        match self.read_plainly(data) {
            Some(values) => Ok(values),
            None => self.decode_any_abi(data),
        }
    }

    /// The values of a schema without arrays, if this is their canonical encoding: one word for each field, and behind them,
    /// in their order and without gaps, length and bytes of each string. Most schemas are such, and claims wait for it.
    fn read_plainly(&self, data: &[u8]) -> Option<Values> {
        let (heads, mut tail) = data.split_at_checked(self.0.len().checked_mul(32)?)?;
        let mut values = Values::new();
        for (field, head) in self.0.iter().zip(heads.as_chunks::<32>().0) {
            let value = match &field.kind {
                DynSolType::Bytes | DynSolType::String => {
                    if small(head)? != data.len() - tail.len() {
                        return None;
                    }
                    let (length, rest) = tail.split_first_chunk::<32>()?;
                    let length = small(length)?;
                    let (padded, rest) = rest.split_at_checked(length.checked_next_multiple_of(32)?)?;
                    let (bytes, padding) = padded.split_at(length);
                    if padding.iter().any(|byte| *byte != 0) {
                        return None;
                    }
                    tail = rest;
                    match field.kind {
                        DynSolType::Bytes => Value::Bytes(Bytes::copy_from_slice(bytes)),
                        _ => Value::Text(str::from_utf8(bytes).ok()?.to_owned()),
                    }
                }
                kind => one_word(kind, head)?,
            };
            values.insert(field.name.clone(), value);
        }
        tail.is_empty().then_some(values)
    }

    /// The same of any schema.
    fn decode_any_abi(&self, data: &[u8]) -> Result<Values, Refused> {
        let types: Vec<DynSolType> = self.0.iter().map(|field| field.kind.clone()).collect();
        if types.is_empty() {
            let empty = data.is_empty().then(Values::new);
            return empty.ok_or_else(|| mismatch("the schema has no fields, so there are no data"));
        }
        let decoded = DynSolType::Tuple(types)
            .abi_decode_sequence(data)
            .map_err(|error| mismatch(format!("not the ABI encoding of the schema's fields: {error}")))?;
        if decoded.abi_encode_sequence().as_deref() != Some(data) {
            return Err(mismatch("not the canonical ABI encoding of the values"));
        }
        let DynSolValue::Tuple(values) = decoded else { return Err(mismatch("not a sequence")) };
        self.0
            .iter()
            .zip(values)
            .map(|(field, value)| Ok((field.name.clone(), from_abi(field, value)?)))
            .collect()
    }

    /// Decodes Sign Protocol's data: a JSON object of exactly the schema's fields. Integers may be JSON integers or
    /// decimal text, bytes and addresses are hexadecimal with 0x.
    ///
    /// # Errors
    /// [`AttestationCode::DataMismatch`].
    pub fn decode_json(&self, text: &str) -> Result<Values, Refused> {
        let Object(members) = serde_json::from_str(text)
            .map_err(|error| mismatch(format!("data are not a JSON object of distinct fields: {error}")))?;
        if let Some(extra) = members.keys().find(|name| self.get(name).is_none()) {
            return Err(mismatch(format!("{extra}: the schema has no such field")));
        }
        self.0
            .iter()
            .map(|field| {
                let json =
                    members.get(&field.name).ok_or_else(|| mismatch(format!("{}: missing", field.name)))?;
                let value = from_json(&field.kind, json)
                    .ok_or_else(|| mismatch(format!("{}: not a {}", field.name, field.kind)))?;
                Ok((field.name.clone(), value))
            })
            .collect()
    }
}

/// A value that fills one word, if it lies in its type.
fn one_word(kind: &DynSolType, word: &[u8; 32]) -> Option<Value> {
    match kind {
        DynSolType::Bool => match small(word)? {
            0 => Some(Value::Bool(false)),
            1 => Some(Value::Bool(true)),
            _ => None,
        },
        DynSolType::Uint(bits) => {
            let value = U256::from_be_bytes(*word);
            (value.bit_len() <= *bits).then_some(Value::Uint(value))
        }
        DynSolType::Int(bits) => {
            let value = I256::from_raw(U256::from_be_bytes(*word));
            (value.bits() as usize <= *bits).then_some(Value::Int(value))
        }
        DynSolType::Address => {
            let (empty, address) = word.split_at(12);
            empty.iter().all(|byte| *byte == 0).then(|| Value::Address(Address::from_slice(address)))
        }
        DynSolType::FixedBytes(size) => {
            let (bytes, empty) = word.split_at_checked(*size)?;
            empty.iter().all(|byte| *byte == 0).then(|| Value::Bytes(Bytes::copy_from_slice(bytes)))
        }
        _ => None,
    }
}

/// A word that counts bytes of data.
fn small(word: &[u8; 32]) -> Option<usize> {
    let (high, low) = word.split_last_chunk::<8>()?;
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    usize::try_from(u64::from_be_bytes(*low)).ok()
}

/// A decoded value, which has to lie in its type: the decoder takes any word for a small integer or few bytes.
fn from_abi(field: &Field, value: DynSolValue) -> Result<Value, Refused> {
    let outside = || mismatch(format!("{}: outside its type {}", field.name, field.kind));
    Ok(match value {
        DynSolValue::Bool(value) => Value::Bool(value),
        DynSolValue::Uint(value, bits) if value.bit_len() <= bits => Value::Uint(value),
        DynSolValue::Int(value, bits) if value.bits() as usize <= bits => Value::Int(value),
        DynSolValue::FixedBytes(word, size) if word[size..].iter().all(|byte| *byte == 0) => {
            Value::Bytes(Bytes::copy_from_slice(&word[..size]))
        }
        DynSolValue::Address(value) => Value::Address(value),
        DynSolValue::Bytes(value) => Value::Bytes(value.into()),
        DynSolValue::String(value) => Value::Text(value),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => {
            Value::List(values.into_iter().map(|value| from_abi(field, value)).collect::<Result<_, _>>()?)
        }
        _ => return Err(outside()),
    })
}

fn from_json(kind: &DynSolType, json: &Json) -> Option<Value> {
    Some(match (kind, json) {
        (DynSolType::Bool, Json::Bool(value)) => Value::Bool(*value),
        (DynSolType::String, Json::String(text)) => Value::Text(text.clone()),
        (DynSolType::Address, Json::String(text)) => Value::Address(prefixed(text)?.parse().ok()?),
        (DynSolType::Bytes, Json::String(text)) => Value::Bytes(prefixed(text)?.parse().ok()?),
        (DynSolType::FixedBytes(size), Json::String(text)) => {
            Value::Bytes(prefixed(text)?.parse().ok().filter(|bytes: &Bytes| bytes.len() == *size)?)
        }
        (DynSolType::Uint(bits), _) => {
            let value = U256::from_str_radix(&digits(json)?, 10).ok()?;
            Value::Uint((value.bit_len() <= *bits).then_some(value)?)
        }
        (DynSolType::Int(bits), _) => {
            let value = I256::from_dec_str(&digits(json)?).ok()?;
            Value::Int((value.bits() as usize <= *bits).then_some(value)?)
        }
        (DynSolType::Array(of), Json::Array(items)) => {
            Value::List(items.iter().map(|item| from_json(of, item)).collect::<Option<_>>()?)
        }
        (DynSolType::FixedArray(of, size), Json::Array(items)) if items.len() == *size => {
            Value::List(items.iter().map(|item| from_json(of, item)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn prefixed(text: &str) -> Option<&str> {
    text.starts_with("0x").then_some(text)
}

/// An integer's decimal digits: no leading zeros, no plus, no fraction, no exponent.
fn digits(json: &Json) -> Option<String> {
    let text = match json {
        Json::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
        Json::String(text) => text.clone(),
        _ => return None,
    };
    let plain = text.strip_prefix('-').unwrap_or(&text);
    let decimal = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
    let minimal = text == "0" || !plain.starts_with('0');
    (decimal && minimal).then_some(text)
}

/// A JSON object whose names are distinct; a plain map would silently keep the last of two.
struct Object(BTreeMap<String, Json>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if members.contains_key(&name) {
                        return Err(serde::de::Error::custom(format!("{name} occurs twice")));
                    }
                    members.insert(name, value);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests;
