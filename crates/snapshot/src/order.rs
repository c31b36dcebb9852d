//! Sorting records, finding duplicates and settling them.

use crate::limits::{BLOCK_ROWS_MAX, BLOCKS_MAX};
use crate::list::{BadRows, Columns, List, Places, Reason, RowError};
use alloy_primitives::Address;
use rayon::prelude::*;
use sluice_core::amount::{Amount, Total};
use sluice_core::entitlement::Word;
use std::cmp::Ordering;
use std::ops::Range;

mod partition;
mod radix;

pub(crate) use partition::{Partitions, Sweep};

/// Where a row stood: its block, its line there, and its number among the block's good rows, by which its person is
/// found. Places order as the rows of the list do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

impl Place {
    /// Bits of a line and of an ordinal.
    const BITS: u32 = BLOCK_ROWS_MAX.trailing_zeros();
    const MASK: u64 = BLOCK_ROWS_MAX - 1;

    /// `None` where the list is longer than a place can tell.
    pub(crate) fn new(block: usize, line: u64, ordinal: u32) -> Option<Self> {
        let told = block < BLOCKS_MAX && line <= Self::MASK && u64::from(ordinal) <= Self::MASK;
        told.then_some(Self((block as u64) << (2 * Self::BITS) | line << Self::BITS | u64::from(ordinal)))
    }

    pub(crate) fn block(self) -> usize {
        usize::try_from(self.0 >> (2 * Self::BITS)).expect("20 bits")
    }

    /// Counted from the block's first row.
    pub(crate) fn line(self) -> u64 {
        self.0 >> Self::BITS & Self::MASK
    }

    pub(crate) fn ordinal(self) -> usize {
        usize::try_from(self.0 & Self::MASK).expect("22 bits")
    }
}

const _: () =
    assert!(BLOCK_ROWS_MAX.is_power_of_two() && (BLOCKS_MAX as u128) << (2 * Place::BITS) <= 1 << 64);

/// One row of a list: its word as four numbers that order as the bytes do, and where it stood. 40 bytes, whatever the
/// list looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    key: [u64; 4],
    pub place: Place,
}

impl Record {
    /// Fills room that is written later.
    const NONE: Self = Self { key: [0; 4], place: Place(0) };

    pub(crate) fn new(address: &[u8; 20], amount: Amount, place: Place) -> Self {
        let [first, second] =
            [0, 8].map(|at| u64::from_be_bytes(*address[at..].first_chunk().expect("8 bytes")));
        let third = u64::from(u32::from_be_bytes(*address.last_chunk().expect("4 bytes")));
        let amount = amount.get();
        #[expect(clippy::cast_possible_truncation, reason = "the halves of 96 bits")]
        let (high, low) = ((amount >> 64) as u64, amount as u64);
        Self { key: [first, second, third << 32 | high, low], place }
    }

    fn with_amount(&self, amount: Amount) -> Self {
        Self::new(&self.word().recipient().0.0, amount, self.place)
    }

    pub(crate) fn word(&self) -> Word {
        let mut word = Word::PADDING;
        for (bytes, part) in word.0.as_chunks_mut().0.iter_mut().zip(self.key) {
            *bytes = part.to_be_bytes();
        }
        word
    }

    fn amount(&self) -> u128 {
        u128::from(self.key[2] & 0xffff_ffff) << 64 | u128::from(self.key[3])
    }

    /// The `bits` bits of the address behind its first `shared`.
    fn bucket(&self, shared: u32, bits: u32) -> usize {
        let bucket = (self.key[0] << shared).checked_shr(64 - bits).unwrap_or(0);
        usize::try_from(bucket).expect("few bits")
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
            .then_with(|| self.place.cmp(&other.place))
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
    /// The bits of the address that name a part.
    bits: u32,
    parts: Vec<Vec<Record>>,
    /// The index of each part's first record, and of the one behind the last.
    begins: Vec<usize>,
    pub places: Places,
    pub total: Total,
    /// Rows that were added to others.
    pub merged: u64,
}

impl Sorted {
    pub(crate) fn count(&self) -> usize {
        self.begins[self.parts.len()]
    }

    /// Drops the records.
    pub(crate) fn into_places(self) -> Places {
        self.places
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.parts.iter().flatten()
    }

    /// The records of some indexes, in pieces.
    pub(crate) fn range(&self, range: Range<usize>) -> impl Iterator<Item = &[Record]> {
        let first = self.begins.partition_point(|&begin| begin <= range.start) - 1;
        let parts = self.parts[first..].iter().zip(&self.begins[first..]);
        parts.take_while(move |&(_, &begin)| begin < range.end).map(move |(part, &begin)| {
            let end = part.len().min(range.end - begin);
            &part[range.start.saturating_sub(begin).min(end)..end]
        })
    }
}

/// What one part is.
#[derive(Default)]
struct Fact {
    bad: BadRows,
    total: u128,
    merged: usize,
}

/// Sorts a list's records and settles duplicates; what cannot be settled is added to `bad`.
pub(crate) fn sort(list: List, duplicates: Duplicates, columns: &Columns, bad: &mut BadRows) -> Sorted {
    let (bits, mut parts) = list.records.into_parts();
    let places = list.places;
    let settle_part = |scratch: &mut Vec<Record>, part: &mut Vec<Record>| {
        radix::sort(part, bits, scratch);
        let mut fact = Fact::default();
        let before = part.len();
        if part.array_windows().any(|[a, b]| a.same_address(b)) {
            let mut settle = Settle { places: &places, column: &columns.address, bad: &mut fact.bad };
            match duplicates {
                Duplicates::Refuse => settle.refuse(part),
                Duplicates::Sum => settle.sum(part),
                Duplicates::Keep => settle.keep(part),
            }
        }
        fact.merged = before - part.len();
        fact.total = part.iter().map(Record::amount).sum();
        fact
    };
    let facts: Vec<Fact> = parts.par_iter_mut().map_init(Vec::new, settle_part).collect();
    let mut begins = vec![0];
    begins.extend(parts.iter().scan(0, |end, part| {
        *end += part.len();
        Some(*end)
    }));
    let mut sorted = Sorted { bits, parts, begins, places, total: Total::ZERO, merged: 0 };
    for fact in facts {
        bad.merge(fact.bad);
        sorted.total = Total(sorted.total.0 + fact.total);
        sorted.merged += fact.merged as u64;
    }
    sorted
}

/// Adds a bad row for each record that names one of `refused`.
pub(crate) fn refuse(sorted: &Sorted, refused: &[Address], columns: &Columns, bad: &mut BadRows) {
    for &address in refused {
        let part = &sorted.parts[Record::new(&address.0.0, Amount::ZERO, Place(0)).bucket(0, sorted.bits)];
        let begin = part.partition_point(|record| record.word().recipient() < address);
        for record in part[begin..].iter().take_while(|record| record.word().recipient() == address) {
            bad.add(row_error(record, &sorted.places, &columns.address, Reason::RefusedAddress));
        }
    }
}

fn row_error(record: &Record, places: &Places, column: &str, reason: Reason) -> RowError {
    let value = crate::list::shown(record.word().recipient().to_string().as_bytes());
    RowError { row: places.line(record.place), column: column.to_owned(), value, reason }
}

struct Settle<'a> {
    places: &'a Places,
    column: &'a str,
    bad: &'a mut BadRows,
}

impl Settle<'_> {
    fn person(&self, record: &Record) -> Option<&[u8; 32]> {
        self.places.person(record.place)
    }

    fn bad(&mut self, record: &Record, reason: Reason) {
        self.bad.add(row_error(record, self.places, self.column, reason));
    }

    /// Every row but the first with its address is bad.
    fn refuse(&mut self, records: &[Record]) {
        for run in records.chunk_by(Record::same_address).filter(|run| run.len() > 1) {
            let mut rows: Vec<Record> = run.to_vec();
            rows.sort_unstable_by_key(|record| record.place);
            let first = self.places.line(rows[0].place);
            for later in &rows[1..] {
                self.bad(later, Reason::Duplicate { first });
            }
        }
    }

    fn sum(&mut self, records: &mut Vec<Record>) {
        let mut kept = Vec::with_capacity(records.len());
        for run in records.chunk_by_mut(Record::same_address) {
            // In list order, so that the row reported does not depend on the amounts.
            run.sort_unstable_by_key(|record| record.place);
            let first = self.places.line(run[0].place);
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
            kept.push(run[0].with_amount(amount));
        }
        *records = kept;
    }

    /// Orders the rows of one address by person, whose rows must differ.
    fn keep(&mut self, records: &mut [Record]) {
        for run in records.chunk_by_mut(Record::same_address).filter(|run| run.len() > 1) {
            run.sort_unstable_by(|a, b| self.person(a).cmp(&self.person(b)).then(a.place.cmp(&b.place)));
            let mut first = run[0];
            for &later in &run[1..] {
                if self.person(&later) == self.person(&first) {
                    self.bad(&later, Reason::DuplicatePerson { first: self.places.line(first.place) });
                } else {
                    first = later;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_tells_its_parts_up_to_its_bounds() {
        let last = u32::try_from(BLOCK_ROWS_MAX - 1).unwrap();
        let place = Place::new(BLOCKS_MAX - 1, u64::from(last), last - 1).unwrap();
        assert_eq!(
            (place.block(), place.line(), place.ordinal()),
            (BLOCKS_MAX - 1, u64::from(last), last as usize - 1)
        );
        assert!(Place::new(1, 0, 0) > Place::new(0, u64::from(last), last), "places order as rows do");
        for (block, line, ordinal) in [(BLOCKS_MAX, 0, 0), (0, BLOCK_ROWS_MAX, 0), (0, 0, last + 1)] {
            assert_eq!(Place::new(block, line, ordinal), None);
        }
    }
}
