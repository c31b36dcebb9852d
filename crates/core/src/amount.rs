//! Amounts in base units.
//!
//! An [`Amount`] is what one entitlement pays: a whole number of base units that fits the 96 bits the entitlement's
//! EVM word has for it. Text becomes an amount by integer scaling only, under a strict grammar, because a general
//! decimal parser rounds what it cannot hold and accepts spellings (`1_000`, `1e18`) that two readers read
//! differently. [`rust_decimal::Decimal`] appears at the edges, where amounts are shown or compared with rules: its
//! mantissa has exactly these 96 bits, so the conversion loses nothing.

use borsh::{BorshDeserialize, BorshSerialize};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

mod parse;

pub use parse::AmountError;

/// What one entitlement pays, in base units; at most [`Amount::MAX`], the largest uint96.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Amount(u128);

impl Amount {
    /// The largest amount: 2^96 − 1 base units, about 79 billion tokens of 18 decimals.
    pub const MAX: Self = Self((1 << 96) - 1);
    /// No base units.
    pub const ZERO: Self = Self(0);

    /// The amount of `base_units`, or `None` above [`Amount::MAX`].
    pub const fn new(base_units: u128) -> Option<Self> {
        if base_units <= Self::MAX.0 { Some(Self(base_units)) } else { None }
    }

    /// The number of base units.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Whether this is zero base units.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum of two amounts, or `None` when it is above [`Amount::MAX`].
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        Self::new(self.0 + other.0)
    }

    /// Reads a decimal number of tokens (`12`, `0.5`) of a token with `decimals` decimals.
    ///
    /// The grammar is digits, then optionally a point and between one and `decimals` digits. There are no signs, no
    /// exponents, no separators and no white space. Zero is read; whether a list may hold it is the list's rule.
    pub fn parse_decimal(text: &str, decimals: u8) -> Result<Self, AmountError> {
        parse::decimal(text.as_bytes(), decimals).map(Self)
    }

    /// Reads a whole decimal number of base units.
    pub fn parse_base(text: &str) -> Result<Self, AmountError> {
        parse::base(text.as_bytes()).map(Self)
    }

    /// Reads a hexadecimal number of base units, with or without `0x`, in either letter case.
    pub fn parse_hex(text: &str) -> Result<Self, AmountError> {
        parse::hex(text.as_bytes()).map(Self)
    }

    /// [`Amount::parse_decimal`] on bytes that need not be UTF-8 (a list's field as read).
    pub fn parse_decimal_bytes(text: &[u8], decimals: u8) -> Result<Self, AmountError> {
        parse::decimal(text, decimals).map(Self)
    }

    /// [`Amount::parse_base`] on bytes that need not be UTF-8.
    pub fn parse_base_bytes(text: &[u8]) -> Result<Self, AmountError> {
        parse::base(text).map(Self)
    }

    /// [`Amount::parse_hex`] on bytes that need not be UTF-8.
    pub fn parse_hex_bytes(text: &[u8]) -> Result<Self, AmountError> {
        parse::hex(text).map(Self)
    }

    /// The amount in tokens, without superfluous zeros: `1500` of a token with 3 decimals is `1.5`.
    pub fn to_decimal_string(self, decimals: u8) -> String {
        Total(self.0).to_decimal_string(decimals)
    }

    /// The amount in tokens as a decimal number, exact; `None` when the token has more than the 28 decimals that
    /// [`Decimal`] can hold.
    pub fn to_decimal(self, decimals: u8) -> Option<Decimal> {
        let base_units = i128::try_from(self.0).expect("an amount has 96 bits");
        Decimal::try_from_i128_with_scale(base_units, u32::from(decimals)).ok()
    }

    /// The 12 bytes, most significant first, that an entitlement's word holds.
    pub fn to_be_bytes(self) -> [u8; 12] {
        let mut low = [0; 12];
        low.copy_from_slice(&self.0.to_be_bytes()[4..]);
        low
    }

    /// The amount of 12 bytes, most significant first. Every value of them is an amount.
    pub fn from_be_bytes(bytes: [u8; 12]) -> Self {
        let mut wide = [0; 16];
        wide[4..].copy_from_slice(&bytes);
        Self(u128::from_be_bytes(wide))
    }
}

/// A sum of amounts in base units: of a shard, a list, a round, a campaign.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Total(pub u128);

impl Total {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The number of base units.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// This sum with one more amount; `None` on overflow, which takes more than 2^32 amounts.
    pub const fn checked_add(self, amount: Amount) -> Option<Self> {
        match self.0.checked_add(amount.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The sum of two sums; `None` on overflow.
    pub const fn checked_add_total(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left of this sum without `other`; `None` when `other` is larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// Reads a decimal number of tokens under the grammar of [`Amount::parse_decimal`], up to 2^128 − 1 base units.
    pub fn parse_decimal(text: &str, decimals: u8) -> Result<Self, AmountError> {
        parse::decimal_u128(text.as_bytes(), decimals).map(Self)
    }

    /// Reads a whole decimal number of base units, up to 2^128 − 1.
    pub fn parse_base(text: &str) -> Result<Self, AmountError> {
        parse::decimal_u128(text.as_bytes(), 0).map(Self).map_err(AmountError::in_base_units)
    }

    /// The sum in tokens, without superfluous zeros.
    pub fn to_decimal_string(self, decimals: u8) -> String {
        let digits = format!("{:0>width$}", self.0, width = usize::from(decimals) + 1);
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }
}

impl From<Amount> for Total {
    fn from(amount: Amount) -> Self {
        Self(amount.0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::parse_base(text)
    }
}

impl FromStr for Total {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::parse_base(text)
    }
}

// Amounts travel through JSON as strings: a JSON number passes through doubles in most readers and loses digits.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Total {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl BorshDeserialize for Amount {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let base_units = u128::deserialize_reader(reader)?;
        Self::new(base_units).ok_or_else(|| {
            let message = format!("amount {base_units} is above 2^96 - 1");
            borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, message)
        })
    }
}

#[cfg(test)]
mod tests;
