//! Numbers and hashes between Rust and columns. PostgreSQL has no unsigned integers; what does not fit is an error
//! that names the number, in both directions.

use std::time::Duration;

use crate::error::{Error, Result};

/// An unsigned number for a bigint column.
pub(crate) fn to_bigint(what: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::OutOfRange { what, value: value.into(), max: i64::MAX as u128 })
}

/// An unsigned number for an integer column.
pub(crate) fn to_integer(what: &'static str, value: u32) -> Result<i32> {
    i32::try_from(value).map_err(|_| Error::OutOfRange { what, value: value.into(), max: i32::MAX as u128 })
}

/// A duration in whole milliseconds for a bigint.
pub(crate) fn to_millis(what: &'static str, value: Duration) -> Result<i64> {
    i64::try_from(value.as_millis()).map_err(|_| Error::OutOfRange {
        what,
        value: value.as_millis(),
        max: i64::MAX as u128,
    })
}

/// An unsigned number out of a bigint column.
pub(crate) fn from_bigint(what: &'static str, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::Corrupt { what, reason: format!("{value} is negative") })
}

/// An unsigned number out of an integer column.
pub(crate) fn from_integer(what: &'static str, value: i32) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::Corrupt { what, reason: format!("{value} is negative") })
}

/// Exactly N bytes out of a bytea column.
pub(crate) fn from_bytea<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| Error::Corrupt { what, reason: format!("{} bytes instead of {N}", bytes.len()) })
}
