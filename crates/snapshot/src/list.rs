//! Reading a list: streaming CSV with a header, under rules strict enough for money.
//!
//! The (decompressed) bytes are cut into blocks at row ends; blocks are parsed in parallel into fixed records without
//! allocating per row. The splitting is ours and not the `csv` crate's, because that one accepts a
//! quote in the middle of a field, an unterminated quote and blank lines in silence.
//!
//! Accepted without a word, because they mean one thing only: `\r\n`, a UTF-8 byte order mark, quoted fields, blank
//! lines at the end. Everything else that is not exactly `address,amount[,person]` is a bad row. All bad rows are
//! counted, the first hundred are listed.

use sluice_core::amount::{Amount, AmountError, Total};

pub(crate) mod address;
mod block;
#[cfg(feature = "parquet")]
mod columnar;
mod feed;
mod header;
mod input;
mod reader;
#[cfg(feature = "remote")]
mod remote;
mod rows;
mod source;

pub use address::AddressError;
pub use header::HeaderError;
pub use input::{Input, InputError};
pub(crate) use reader::{List, Places, read};
pub use source::SourceError;

use crate::limits::{ERRORS_LISTED_MAX, VALUE_SHOWN_MAX};

/// How the list writes its amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Decimal numbers of tokens, with at most the token's decimals.
    Token,
    /// Whole decimal numbers of base units.
    Base,
    /// Hexadecimal numbers of base units: only when asked for, because "100" is then 256.
    Hex,
}

impl Unit {
    fn parse(self, text: &[u8], decimals: u8) -> Result<Amount, AmountError> {
        match self {
            Self::Token => Amount::parse_decimal_bytes(text, decimals),
            Self::Base => Amount::parse_base_bytes(text),
            Self::Hex => Amount::parse_hex_bytes(text),
        }
    }
}

/// The names of the columns that are read; others are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The column of addresses.
    pub address: String,
    /// The column of amounts.
    pub amount: String,
    /// The column of persons. `None` reads a column named `person` where there is one.
    pub person: Option<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { address: "address".to_owned(), amount: "amount".to_owned(), person: None }
    }
}

/// What becomes of rows that name the zero address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroAddress {
    /// They are bad rows.
    Refuse,
    /// They are left out and reported.
    Drop,
    /// They are entitlements as any other (published foreign lists contain them).
    Keep,
}

/// How to read a list.
#[derive(Clone, Debug)]
pub(crate) struct ReadOptions {
    pub columns: Columns,
    pub unit: Unit,
    pub decimals: u8,
    pub zero_address: ZeroAddress,
    /// Whether the list's last row may lack its line end.
    pub open_end: bool,
}

/// A row that cannot be an entitlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Line of the file, the header's being 1.
    pub row: u64,
    /// The column's name in this list; empty when the whole row is meant.
    pub column: String,
    /// What stands there, shortened.
    pub value: String,
    /// What is wrong with it.
    pub reason: Reason,
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {}", self.row)?;
        if !self.column.is_empty() {
            write!(f, ", column {}", self.column)?;
        }
        f.write_str(": ")?;
        if !self.value.is_empty() {
            write!(f, "{} ", self.value)?;
        }
        self.reason.fmt(f)
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// More or fewer fields than the header.
    #[error("has {found} field{}, the header has {expected}", if *found == 1 { "" } else { "s" })]
    ColumnCount {
        /// Fields in the row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// Nothing between two rows.
    #[error("is blank; blank lines may stand only at the end")]
    Blank,
    /// A NUL byte.
    #[error("contains a NUL byte")]
    Nul,
    /// A quote that neither begins nor ends a field.
    #[error("has a quote in the middle of a field; quote the whole field and double quotes inside it")]
    StrayQuote,
    /// A quoted field that never ends.
    #[error("has a quote that is never closed")]
    OpenQuote,
    /// A last row without a line end.
    #[error(
        "has no line end, so the list may have been cut short in the middle of it; add a line end, or give the \
         list's total with --expect-total"
    )]
    CutShort,
    /// The address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The zero address.
    #[error("is the zero address, which nobody holds; leave such rows out with --zero-address drop")]
    ZeroAddress,
    /// An address that must not be paid.
    #[error("is an address that must not be paid (the token, the distributor or the charter)")]
    RefusedAddress,
    /// The amount.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// An amount of zero.
    #[error("is zero")]
    ZeroAmount,
    /// The person.
    #[error("is not a person: 0x and 64 hexadecimal digits, not all zero")]
    Person,
    /// The address stands in an earlier row already.
    #[error("already stands in row {first}; add up with --duplicates sum")]
    Duplicate {
        /// The earlier row.
        first: u64,
    },
    /// The same person and address stand in an earlier row already.
    #[error("already stands in row {first} with the same person")]
    DuplicatePerson {
        /// The earlier row.
        first: u64,
    },
    /// Rows to be added up name different persons.
    #[error("already stands in row {first} with another person; keep both with --duplicates keep")]
    OtherPerson {
        /// The earlier row.
        first: u64,
    },
    /// Rows added up exceed what an entitlement can hold.
    #[error(
        "adds up with row {first} to more than the limit of 79228162514264337593543950335 base units (2^96 - 1)"
    )]
    SumAboveLimit {
        /// The earlier row.
        first: u64,
    },
}

/// Bad rows: all counted, the first listed in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRows {
    /// The first [`ERRORS_LISTED_MAX`], by row.
    pub listed: Vec<RowError>,
    /// How many there are.
    pub count: u64,
}

impl BadRows {
    pub(crate) fn add(&mut self, error: RowError) {
        self.count += 1;
        self.listed.push(error);
        if self.listed.len() >= 2 * ERRORS_LISTED_MAX {
            self.shorten();
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        other.listed.into_iter().for_each(|error| self.add(error));
        self.count = count;
    }

    /// Keeps the first by row. The sort is stable, so reasons found first in a row stay first.
    pub(crate) fn shorten(&mut self) {
        self.listed.sort_by_key(|error| error.row);
        self.listed.truncate(ERRORS_LISTED_MAX);
    }
}

impl std::fmt::Display for BadRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = if self.count == 1 { "row" } else { "rows" };
        write!(f, "{} bad {rows}, nothing was written", self.count)?;
        if self.count > self.listed.len() as u64 {
            write!(f, "; the first {}", self.listed.len())?;
        }
        f.write_str(":")?;
        self.listed.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

/// Rows that were left out on request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Line and amount of the first [`ERRORS_LISTED_MAX`].
    pub listed: Vec<(u64, Amount)>,
    /// How many there are.
    pub count: u64,
    /// Their amounts' sum.
    pub total: Total,
}

/// Why a list cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The bytes cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The first line does not name the columns.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A header and nothing else.
    #[error("the list has a header and no rows")]
    NoRows,
    /// More lines or bytes than are read.
    #[error(
        "the list has more than {} lines or a tebibyte; split it into several snapshots",
        crate::limits::LINES_MAX
    )]
    TooLong,
}

/// A field as it is shown in an error: quoted, control characters escaped, shortened.
pub(crate) fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let mut short: String = text.chars().take(VALUE_SHOWN_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

#[cfg(test)]
mod tests;
