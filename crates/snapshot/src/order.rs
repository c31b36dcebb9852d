//! Sorting records, finding duplicates and settling them.

use crate::limits::{SORT_BUCKET, SORT_BUCKETS_MAX};
use crate::list::{BadRows, Columns, List, Reason, RowError};
use alloy_primitives::Address;
use rayon::prelude::*;
use sluice_core::amount::Total;
use sluice_core::entitlement::Word;
use std::cmp::Ordering;

mod scatter;

/// One row of a list: its word as four numbers that order as the bytes do, where it stood, and its number among the
/// good rows, by which its person is found. 40 bytes, whatever the list looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    key: [u64; 4],
    pub ordinal: u32,
    pub line: u32,
}

impl Record {
    pub(crate) fn new(word: Word, ordinal: u32, line: u32) -> Self {
        let mut key = [0; 4];
        for (part, bytes) in key.iter_mut().zip(word.0.as_chunks().0) {
            *part = u64::from_be_bytes(*bytes);
        }
        Self { key, ordinal, line }
    }

    pub(crate) fn word(&self) -> Word {
        let mut word = Word::PADDING;
        for (bytes, part) in word.0.as_chunks_mut().0.iter_mut().zip(self.key) {
            *bytes = part.to_be_bytes();
        }
        word
    }

    fn same_address(&self, other: &Self) -> bool {
        self.key[..2] == other.key[..2] && self.key[2] >> 32 == other.key[2] >> 32
    }

    /// By word; rows with equal words by their place in the list, so that errors name rows in order.
    fn order(&self, other: &Self) -> Ordering {
        let [a, b] = [self, other].map(|record| record.key);
        a[0].cmp(&b[0])
            .then_with(|| a[1].cmp(&b[1]))
            .then_with(|| a[2].cmp(&b[2]))
            .then_with(|| a[3].cmp(&b[3]))
            .then_with(|| self.line.cmp(&other.line))
    }
}

/// What becomes of several rows with one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// They are bad rows.
    Refuse,
    /// Their amounts are added up.
    Sum,
    /// Each stays an entitlement of its own; the list must name a person for each.
    Keep,
}

/// Records in order, with one record per entitlement.
#[derive(Debug)]
pub(crate) struct Sorted {
    pub records: Vec<Record>,
    pub persons: Option<Vec<[u8; 32]>>,
    /// Rows that were added to others.
    pub merged: u64,
}

impl Sorted {
    pub(crate) fn total(&self) -> Total {
        let sum = self.records.par_iter().map(|record| record.word().amount().get()).sum();
        Total(sum)
    }
}

/// Sorts a list's records and settles duplicates; what cannot be settled is added to `bad`.
pub(crate) fn sort(list: List, duplicates: Duplicates, columns: &Columns, bad: &mut BadRows) -> Sorted {
    let (mut records, begins) = scatter::scatter(list.blocks);
    scatter::buckets(&mut records, &begins).into_par_iter().for_each(|bucket| {
        // A list whose addresses share their first bytes ends up in few buckets.
        if bucket.len() > 8 * SORT_BUCKET {
            bucket.par_sort_unstable_by(Record::order);
        } else {
            bucket.sort_unstable_by(Record::order);
        }
    });
    let mut settle = Settle { persons: list.persons.as_deref(), column: &columns.address, bad };
    let repeated = records.par_windows(2).any(|pair| pair[0].same_address(&pair[1]));
    let before = records.len();
    if repeated {
        match duplicates {
            Duplicates::Refuse => settle.refuse(&records),
            Duplicates::Sum => settle.sum(&mut records),
            Duplicates::Keep => settle.keep(&mut records),
        }
    }
    Sorted { merged: (before - records.len()) as u64, persons: list.persons, records }
}

/// Adds a bad row for each record that names one of `refused`.
pub(crate) fn refuse(records: &[Record], refused: &[Address], columns: &Columns, bad: &mut BadRows) {
    for &address in refused {
        let begin = records.partition_point(|record| record.word().recipient() < address);
        for record in records[begin..].iter().take_while(|record| record.word().recipient() == address) {
            bad.add(row_error(record, &columns.address, Reason::RefusedAddress));
        }
    }
}

fn row_error(record: &Record, column: &str, reason: Reason) -> RowError {
    let value = crate::list::shown(record.word().recipient().to_string().as_bytes());
    RowError { row: u64::from(record.line), column: column.to_owned(), value, reason }
}

struct Settle<'a> {
    persons: Option<&'a [[u8; 32]]>,
    column: &'a str,
    bad: &'a mut BadRows,
}

impl Settle<'_> {
    fn person(&self, record: &Record) -> Option<&[u8; 32]> {
        self.persons.map(|persons| &persons[record.ordinal as usize])
    }

    fn bad(&mut self, record: &Record, reason: Reason) {
        self.bad.add(row_error(record, self.column, reason));
    }

    /// Every row but the first with its address is bad.
    fn refuse(&mut self, records: &[Record]) {
        for run in records.chunk_by(Record::same_address).filter(|run| run.len() > 1) {
            let mut rows: Vec<Record> = run.to_vec();
            rows.sort_unstable_by_key(|record| record.line);
            for later in &rows[1..] {
                self.bad(later, Reason::Duplicate { first: u64::from(rows[0].line) });
            }
        }
    }

    fn sum(&mut self, records: &mut Vec<Record>) {
        let mut kept = Vec::with_capacity(records.len());
        for run in records.chunk_by_mut(Record::same_address) {
            // In list order, so that the row reported does not depend on the amounts.
            run.sort_unstable_by_key(|record| record.line);
            let first = u64::from(run[0].line);
            let mut amount = run[0].word().amount();
            for later in &run[1..] {
                if self.person(later) != self.person(&run[0]) {
                    self.bad(later, Reason::OtherPerson { first });
                } else if let Some(sum) = amount.checked_add(later.word().amount()) {
                    amount = sum;
                } else {
                    self.bad(later, Reason::SumAboveLimit { first });
                }
            }
            let word = Word::new(run[0].word().recipient(), amount);
            kept.push(Record::new(word, run[0].ordinal, run[0].line));
        }
        *records = kept;
    }

    /// Orders the rows of one address by person, whose rows must differ.
    fn keep(&mut self, records: &mut [Record]) {
        for run in records.chunk_by_mut(Record::same_address).filter(|run| run.len() > 1) {
            run.sort_unstable_by(|a, b| self.person(a).cmp(&self.person(b)).then(a.line.cmp(&b.line)));
            let mut first = run[0];
            for &later in &run[1..] {
                if self.person(&later) == self.person(&first) {
                    self.bad(&later, Reason::DuplicatePerson { first: u64::from(first.line) });
                } else {
                    first = later;
                }
            }
        }
    }
}

/// Bits of the address that choose a bucket: as many as bring a bucket near [`SORT_BUCKET`].
fn bucket_bits(count: usize) -> u32 {
    (count / SORT_BUCKET).next_power_of_two().min(SORT_BUCKETS_MAX).trailing_zeros()
}

/// The bucket of a record: the leading bits of its address.
fn bucket_of(record: &Record, bits: u32) -> usize {
    let bucket = record.key[0].checked_shr(64 - bits).unwrap_or(0);
    usize::try_from(bucket).expect("a bucket has at most 14 bits")
}
