//! Parsing one block of rows into records.

use super::address::{self, Checksums};
use super::header::Header;
use super::rows::{fields, row_ends, without_return};
use super::{AddressError, BadRows, Dropped, ReadOptions, Reason, RowError, ZeroAddress, shown};
use crate::limits::ERRORS_LISTED_MAX;
use crate::order::Record;
use memchr::memchr;
use sluice_core::amount::Amount;
use sluice_core::entitlement::Word;

/// Whole rows of a list, as cut by the reader.
#[derive(Debug)]
pub(super) struct Block {
    /// Its place in the list, from 0.
    pub number: usize,
    pub bytes: Vec<u8>,
    /// Where the first row begins: behind the header in block 0.
    pub start: usize,
    /// Whether a quote occurs anywhere.
    pub quoted: bool,
}

/// What a block held. Lines are counted from the block's first row, which has 0.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub number: usize,
    /// Lines and ordinals count from the block's first row until the bases are added.
    pub records: Vec<Record>,
    /// What [`Self::records`]' lines and ordinals lack to count over the whole list.
    pub line_base: u32,
    pub ordinal_base: u32,
    /// Ordinals given out in this block.
    pub ordinals: u64,
    /// The records' persons, where the list names them.
    pub persons: Vec<[u8; 32]>,
    pub lines: u64,
    pub has_rows: bool,
    pub bad: BadRows,
    /// Blank lines with no row behind them in this block: bad if a later block has rows.
    pub trailing_blanks: BadRows,
    pub dropped: Dropped,
}

pub(super) fn parse(block: &Block, header: &Header, options: &ReadOptions) -> Parsed {
    let bytes = &block.bytes[block.start..];
    let mut parser = Parser {
        header,
        options,
        quoted: block.quoted,
        nul: memchr(0, bytes).is_some(),
        checksums: Checksums::default(),
        parsed: Parsed { number: block.number, ..Parsed::default() },
    };
    // Rows of one list are alike, so the first tells how many there are.
    if let Some(first) = row_ends(bytes, block.quoted).next() {
        parser.parsed.records.reserve(bytes.len() / (first + 1) + 1);
    }
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

struct Parser<'a> {
    header: &'a Header,
    options: &'a ReadOptions,
    quoted: bool,
    nul: bool,
    checksums: Checksums,
    parsed: Parsed,
}

impl<'a> Parser<'a> {
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
        if self.nul && memchr(0, row).is_some() {
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
        let ordinal = self.number(self.parsed.records.len() as u64);
        if parsed.mixed {
            self.checksums.add(ordinal, address);
        }
        let word = Word::new(parsed.bytes.into(), value);
        let line = self.number(self.parsed.lines);
        self.parsed.records.push(Record::new(word, ordinal, line));
    }

    /// A count within the block, which has fewer rows than bytes.
    fn number(&self, count: u64) -> u32 {
        u32::try_from(count).expect("a block is a few megabytes")
    }

    fn finish(mut self) -> Parsed {
        self.parsed.ordinals = self.parsed.records.len() as u64;
        let wrong = self.checksums.wrong();
        for (ordinal, spelled) in &wrong {
            let record = self.parsed.records[*ordinal as usize];
            let value = shown(spelled.as_bytes());
            let column = self.options.columns.address.clone();
            let reason = AddressError::Checksum.into();
            self.parsed.bad.add(RowError { row: u64::from(record.line), column, value, reason });
        }
        if !wrong.is_empty() {
            // Each bad row is counted once, so it does not take part in the search for duplicates.
            self.parsed.records.retain(|record| {
                wrong.binary_search_by_key(&record.ordinal, |(ordinal, _)| *ordinal).is_err()
            });
        }
        self.parsed
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
