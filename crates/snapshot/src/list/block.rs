//! Parsing one block of rows into records.

use super::address::{self, Checksums};
use super::feed::Block;
use super::header::Header;
use super::rows::{fields, row_ends, without_return};
use super::{AddressError, BadRows, Dropped, ListError, ReadOptions, Reason, RowError, ZeroAddress, shown};
use crate::limits::ERRORS_LISTED_MAX;
use crate::order::{Place, Record};
use memchr::memchr;
use sluice_core::amount::Amount;

/// Characters of an address with its 0x.
const ADDRESS_TEXT: usize = 42;

/// What a block held beside its records. Lines are counted from the block's first row, which has 0.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub number: usize,
    /// The records' persons, where the list names them.
    pub persons: Vec<[u8; 32]>,
    pub lines: u64,
    pub has_rows: bool,
    pub bad: BadRows,
    /// Blank lines with no row behind them in this block: bad if a later block has rows.
    pub trailing_blanks: BadRows,
    pub dropped: Dropped,
}

/// Parses the rows of a block; good ones go to `records`, which is emptied first. Fails where the list is longer than
/// places can tell.
pub(super) fn parse(
    block: &Block,
    header: &Header,
    options: &ReadOptions,
    records: &mut Vec<Record>,
) -> Result<Parsed, ListError> {
    let bytes = &block.bytes[block.rows.clone()];
    records.clear();
    let mut parser = Parser::new(block.number, header, options, records);
    parser.quoted = block.quoted;
    parser.plain = !block.quoted && header.is_plain();
    let mut begin = 0;
    for end in row_ends(bytes, block.quoted) {
        parser.row(without_return(&bytes[begin..end]));
        let inner = if block.quoted { memchr::memchr_iter(b'\n', &bytes[begin..end]).count() } else { 0 };
        parser.parsed.lines += 1 + inner as u64;
        begin = end + 1;
    }
    if begin < bytes.len() {
        let row = &bytes[begin..];
        parser.row(without_return(row));
        if !options.open_end {
            parser.bad("", row, Reason::CutShort);
        }
        parser.parsed.lines += 1;
    }
    parser.finish()
}

/// Parses rows that are split already, each into address, amount and person (empty where the list names none).
#[cfg(feature = "parquet")]
pub(super) fn parse_split<'a>(
    number: usize,
    rows: impl Iterator<Item = [&'a [u8]; 3]>,
    header: &Header,
    options: &ReadOptions,
    records: &mut Vec<Record>,
) -> Result<Parsed, ListError> {
    records.clear();
    let mut parser = Parser::new(number, header, options, records);
    for [address, amount, person] in rows {
        parser.parsed.has_rows = true;
        parser.entitlement(address, amount, person);
        parser.parsed.lines += 1;
    }
    parser.finish()
}

struct Parser<'a> {
    header: &'a Header,
    options: &'a ReadOptions,
    quoted: bool,
    /// Whether rows are an address, a comma and an amount, and no more.
    plain: bool,
    checksums: Checksums,
    /// Good rows so far; their persons are numbered by it.
    ordinals: u32,
    /// Whether a row's place could not be told.
    too_long: bool,
    records: &'a mut Vec<Record>,
    parsed: Parsed,
}

impl<'a> Parser<'a> {
    fn new(
        number: usize,
        header: &'a Header,
        options: &'a ReadOptions,
        records: &'a mut Vec<Record>,
    ) -> Self {
        let parsed = Parsed { number, ..Parsed::default() };
        let (checksums, ordinals) = (Checksums::default(), 0);
        let (quoted, plain, too_long) = (false, false, false);
        Self { header, options, quoted, plain, checksums, ordinals, too_long, records, parsed }
    }

    fn bad(&mut self, column: &str, value: &[u8], reason: Reason) {
        let value = if value.is_empty() { String::new() } else { shown(value) };
        let row = self.parsed.lines;
        self.parsed.bad.add(RowError { row, column: column.to_owned(), value, reason });
    }

    fn row(&mut self, row: &[u8]) {
        if row.is_empty() {
            let (row, column, value) = (self.parsed.lines, String::new(), String::new());
            self.parsed.trailing_blanks.add(RowError { row, column, value, reason: Reason::Blank });
            return;
        }
        self.parsed.has_rows = true;
        if self.parsed.trailing_blanks.count > 0 {
            let blanks = std::mem::take(&mut self.parsed.trailing_blanks);
            self.parsed.bad.merge(blanks);
        }
        if self.plain && self.quick(row) {
            return;
        }
        if memchr(0, row).is_some() {
            return self.bad("", row, Reason::Nul);
        }
        let (mut place, mut address, mut amount, mut person) = (0, &[][..], &[][..], &[][..]);
        let header = self.header;
        let split = fields(row, self.quoted, |field| {
            match place {
                at if at == header.address => address = field.raw(),
                at if at == header.amount => amount = field.raw(),
                at if Some(at) == header.person => person = field.raw(),
                _ => {}
            }
            place += 1;
        });
        if let Err(reason) = split {
            return self.bad("", row, reason);
        }
        if place != header.fields {
            return self.bad("", row, Reason::ColumnCount { found: place, expected: header.fields });
        }
        self.entitlement(address, amount, person);
    }

    /// Reads a row of a plain list if it is good; else it is read once more, for its reason.
    fn quick(&mut self, row: &[u8]) -> bool {
        let Some((address, [b',', amount @ ..])) = row.split_at_checked(ADDRESS_TEXT) else { return false };
        let Ok(parsed) = address::parse(address) else { return false };
        let Ok(value) = self.options.unit.parse(amount, self.options.decimals) else { return false };
        if value.is_zero() || parsed.bytes == [0; 20] {
            return false;
        }
        self.good(&parsed, address, value);
        true
    }

    /// Reads one row's fields; the first bad one is reported.
    fn entitlement(&mut self, address: &[u8], amount: &[u8], person: &[u8]) {
        let options = self.options;
        let parsed = match address::parse(address) {
            Ok(parsed) => parsed,
            Err(error) => return self.bad(&options.columns.address, address, error.into()),
        };
        let value = match options.unit.parse(amount, options.decimals) {
            Ok(Amount::ZERO) => return self.bad(&options.columns.amount, amount, Reason::ZeroAmount),
            Ok(value) => value,
            Err(error) => return self.bad(&options.columns.amount, amount, error.into()),
        };
        if parsed.bytes == [0; 20] {
            match options.zero_address {
                ZeroAddress::Keep => {}
                ZeroAddress::Refuse => {
                    return self.bad(&options.columns.address, address, Reason::ZeroAddress);
                }
                ZeroAddress::Drop => return self.parsed.dropped.add(self.parsed.lines, value),
            }
        }
        if self.header.person.is_some() {
            match address::parse_person(person) {
                Some(person) => self.parsed.persons.push(person),
                None => return self.bad(&self.header.person_name, person, Reason::Person),
            }
        }
        self.good(&parsed, address, value);
    }

    fn good(&mut self, parsed: &address::Parsed, text: &[u8], amount: Amount) {
        if parsed.mixed {
            self.checksums.add(self.ordinals, text);
        }
        let Some(place) = Place::new(self.parsed.number, self.parsed.lines, self.ordinals) else {
            self.too_long = true;
            return;
        };
        self.records.push(Record::new(&parsed.bytes, amount, place));
        self.ordinals += 1;
    }

    fn finish(mut self) -> Result<Parsed, ListError> {
        if self.too_long {
            return Err(ListError::TooLong);
        }
        let wrong = self.checksums.wrong();
        for (ordinal, spelled) in &wrong {
            // Ordinals are places among the records, as none has been taken out yet.
            let row = self.records[*ordinal as usize].place.line();
            let column = self.options.columns.address.clone();
            let reason = AddressError::Checksum.into();
            self.parsed.bad.add(RowError { row, column, value: shown(spelled.as_bytes()), reason });
        }
        if !wrong.is_empty() {
            // Each bad row is counted once, so it does not take part in the search for duplicates.
            let ordinal = |record: &Record| record.place.ordinal() as u64;
            self.records.retain(|record| {
                wrong.binary_search_by_key(&ordinal(record), |(wrong, _)| u64::from(*wrong)).is_err()
            });
        }
        Ok(self.parsed)
    }
}

impl Dropped {
    pub(crate) fn add(&mut self, row: u64, amount: Amount) {
        self.count += 1;
        self.total = self.total.checked_add(amount).expect("fewer than 2^32 amounts");
        if self.listed.len() < ERRORS_LISTED_MAX {
            self.listed.push((row, amount));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BLOCKS_MAX;
    use crate::list::{Columns, Unit};

    #[test]
    fn a_block_behind_the_last_is_refused() {
        let columns = Columns::default();
        let header = Header::parse(b"address,amount", &columns).unwrap();
        let zero_address = ZeroAddress::Refuse;
        let options = ReadOptions { columns, unit: Unit::Base, decimals: 0, zero_address, open_end: false };
        let bytes = format!("0x{},7\n", "17".repeat(20)).into_bytes();
        let mut records = Vec::new();
        let mut block = |number| {
            let rows = 0..bytes.len();
            parse(
                &Block { number, bytes: bytes.clone(), rows, quoted: false },
                &header,
                &options,
                &mut records,
            )
        };
        assert!(block(BLOCKS_MAX - 1).is_ok_and(|parsed| parsed.lines == 1 && parsed.bad.count == 0));
        assert!(matches!(block(BLOCKS_MAX), Err(ListError::TooLong)));
    }
}
