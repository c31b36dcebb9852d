//! The first line: which columns there are.

use super::rows::fields;
use super::{Columns, shown};
use crate::limits::COLUMNS_MAX;

/// Why the first line does not name the columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No bytes at all.
    #[error("the list is empty; it needs a header such as `address,amount` and rows")]
    Empty,
    /// UTF-16, as some spreadsheets export.
    #[error("the list is UTF-16; save it as UTF-8")]
    Utf16,
    /// The line is no row of CSV.
    #[error("the first line is not a CSV header: it {0}")]
    NotCsv(super::Reason),
    /// A column that is needed is not there.
    #[error(
        "the header has no column {wanted:?}; it has {found}. {}",
        if *separated { "Fields are separated by commas here" } else { "Name columns with --columns address=…,amount=…" }
    )]
    Missing {
        /// The column looked for.
        wanted: String,
        /// The columns there are.
        found: String,
        /// Whether there is one only, with a semicolon or tab in it: the separators of other programs.
        separated: bool,
    },
    /// A column that is needed is there twice.
    #[error("the header names the column {0:?} twice")]
    Twice(String),
    /// More columns than any list needs.
    #[error("the header has {0} columns, more than {COLUMNS_MAX}")]
    TooMany(usize),
}

/// Where the columns that are read stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Fields in every row.
    pub fields: usize,
    pub address: usize,
    pub amount: usize,
    pub person: Option<usize>,
    /// The person column's name, for errors.
    pub person_name: String,
}

impl Header {
    /// Whether every row is an address and an amount, in this order.
    pub(crate) fn is_plain(&self) -> bool {
        self.fields == 2 && self.address == 0 && self.person.is_none()
    }

    /// Reads a header line that has no line end and no byte order mark any more.
    pub(crate) fn parse(line: &[u8], columns: &Columns) -> Result<Self, HeaderError> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        fields(line, line.contains(&b'"'), |field| names.push(field.text())).map_err(HeaderError::NotCsv)?;
        if line.contains(&0) {
            return Err(HeaderError::NotCsv(super::Reason::Nul));
        }
        if names.len() > COLUMNS_MAX {
            return Err(HeaderError::TooMany(names.len()));
        }
        let find = |wanted: &str| {
            let mut places =
                names.iter().enumerate().filter(|(_, name)| name.as_slice() == wanted.as_bytes());
            match (places.next(), places.next()) {
                (Some((place, _)), None) => Ok(Some(place)),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(HeaderError::Twice(wanted.to_owned())),
            }
        };
        let need = |wanted: &str| {
            find(wanted)?.ok_or_else(|| {
                let found: Vec<String> = names.iter().map(|name| shown(name)).collect();
                let separated = matches!(&names[..], [only] if only.iter().any(|byte| b";\t".contains(byte)));
                HeaderError::Missing { wanted: wanted.to_owned(), found: found.join(", "), separated }
            })
        };
        let person = match &columns.person {
            Some(name) => Some(need(name)?),
            None => find("person")?,
        };
        Ok(Self {
            fields: names.len(),
            address: need(&columns.address)?,
            amount: need(&columns.amount)?,
            person,
            person_name: columns.person.clone().unwrap_or_else(|| "person".to_owned()),
        })
    }
}
