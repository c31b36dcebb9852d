//! From a source to all its records: all cores parse blocks, and each record goes to its partition at once.

use super::block::{Parsed, parse};
use super::feed::{Block, Feed, Ranges, Stop, cut};
use super::header::Header;
use super::rows::{row_ends, without_return};
use super::source::Source;
use super::{BadRows, Dropped, HeaderError, Input, ListError, ReadOptions};
use crate::limits::{BLOCK_BYTES, BLOCKS_AHEAD, ERRORS_LISTED_MAX, LINES_MAX};
use crate::order::{Partitions, Place, Sweep};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

/// A list as read.
#[derive(Debug)]
pub(crate) struct List {
    /// The good rows, shared out by address.
    pub records: Partitions,
    /// What the records' places mean.
    pub places: Places,
    pub bad: BadRows,
    pub dropped: Dropped,
}

/// What a record's place in the list leads to.
#[derive(Debug)]
pub(crate) struct Places {
    /// The line that each block's first row stands in.
    first_lines: Vec<u64>,
    /// By block, each record's person, where the list names persons.
    persons: Option<Vec<Vec<[u8; 32]>>>,
}

impl Places {
    /// The line of the file.
    pub(crate) fn line(&self, place: Place) -> u64 {
        self.first_lines[place.block()] + place.line()
    }

    pub(crate) fn has_persons(&self) -> bool {
        self.persons.is_some()
    }

    /// The person named there, if the list names persons.
    pub(crate) fn person(&self, place: Place) -> Option<&[u8; 32]> {
        self.persons.as_ref().map(|blocks| &blocks[place.block()][place.ordinal()])
    }
}

/// Bytes of the shortest rows there can be, of an address and an amount: bounds how many rows a file has.
const ROW_BYTES_MIN: u64 = 45;

pub(super) type OnBytes<'a> = &'a (dyn Fn(u64, Option<u64>) + Sync);

/// Reads a whole list. `progress` is told how many bytes of how many are done.
pub(crate) fn read(input: &Input, options: &ReadOptions, progress: OnBytes<'_>) -> Result<List, ListError> {
    let mut source = Source::open(input)?;
    if source.is_parquet {
        return read_parquet(source, input, options, progress);
    }
    if let Some((file, length)) = source.take_plain_file() {
        let ranges = Ranges::new(file, input.to_string(), length, BLOCK_BYTES);
        let done = AtomicU64::new(0);
        let on_block = |bytes| {
            progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, Some(length));
        };
        let partitions = Partitions::new(Some(length / ROW_BYTES_MIN));
        match gather(&Feed::Ranges(ranges), options, partitions, &on_block) {
            Ok(list) => return Ok(list),
            Err(Stop::List(error)) => return Err(error),
            Err(Stop::Forward) => {}
        }
    }
    let (length, consumed) = (source.length, source.consumed.clone());
    let on_block = |_| progress(consumed.load(Ordering::Relaxed), length);
    std::thread::scope(|scope| {
        // Made in here, so that an early return hangs up on the cutter before the scope waits for it.
        let (sender, receiver) = sync_channel(BLOCKS_AHEAD);
        scope.spawn(move || {
            if let Err(error) = cut(&mut source, &sender) {
                // The receiver is gone only when it has failed already.
                let _ = sender.send(Err(error));
            }
        });
        let feed = Feed::Forward(Mutex::new(receiver));
        match gather(&feed, options, Partitions::new(None), &on_block) {
            Ok(list) => Ok(list),
            Err(Stop::List(error)) => Err(error),
            Err(Stop::Forward) => unreachable!("a list read forward is read forward"),
        }
    })
}

#[cfg(feature = "parquet")]
fn read_parquet(
    source: Source,
    input: &Input,
    options: &ReadOptions,
    progress: OnBytes<'_>,
) -> Result<List, ListError> {
    super::columnar::read(source.into_file()?, &input.to_string(), options, progress)
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(_: Source, input: &Input, _: &ReadOptions, _: OnBytes<'_>) -> Result<List, ListError> {
    Err(super::SourceError::Parquet(input.to_string()).into())
}

/// Parses all blocks of a feed on all threads.
fn gather(
    feed: &Feed,
    options: &ReadOptions,
    records: Partitions,
    on_block: &(dyn Fn(u64) + Sync),
) -> Result<List, Stop> {
    let mut first = feed.next(Vec::new())?.ok_or(HeaderError::Empty)?;
    let header = take_header(&mut first, options)?;
    let header_lines = memchr::memchr_iter(b'\n', &first.bytes[..first.rows.start]).count() as u64;
    let first = Mutex::new(Some(first));
    let failed = AtomicBool::new(false);
    let next = |buffer| match first.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(first) => Ok(Some(first)),
        None => feed.next(buffer),
    };
    let work = || {
        let (mut found, mut sweep, mut buffer) = (Vec::new(), Sweep::default(), Vec::new());
        while !failed.load(Ordering::Relaxed) {
            let Some(block) = next(buffer)? else { break };
            found.push(parse(&block, &header, options, &mut sweep.records)?);
            records.take(&mut sweep, block.number);
            on_block(block.rows.len() as u64);
            buffer = block.bytes;
        }
        Ok(found)
    };
    let parsed = rayon::broadcast(|_| work().inspect_err(|_: &Stop| failed.store(true, Ordering::Relaxed)));
    let mut blocks = Vec::new();
    for found in parsed {
        blocks.append(&mut found?);
    }
    Ok(join(blocks, &header, header_lines, records)?)
}

fn take_header(first: &mut Block, options: &ReadOptions) -> Result<Header, HeaderError> {
    const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
    let whole = &first.bytes[..first.rows.end];
    if whole.starts_with(&[0xff, 0xfe]) || whole.starts_with(&[0xfe, 0xff]) {
        return Err(HeaderError::Utf16);
    }
    let begin = if whole.starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 };
    let bytes = &whole[begin..];
    let end = row_ends(bytes, first.quoted).next();
    let line = without_return(&bytes[..end.unwrap_or(bytes.len())]);
    if line.is_empty() {
        return Err(HeaderError::Empty);
    }
    let header = Header::parse(line, &options.columns)?;
    first.rows.start = end.map_or(whole.len(), |end| begin + end + 1);
    Ok(header)
}

/// Puts the blocks in order and counts lines through.
pub(super) fn join(
    mut blocks: Vec<Parsed>,
    header: &Header,
    header_lines: u64,
    records: Partitions,
) -> Result<List, ListError> {
    blocks.sort_unstable_by_key(|block| block.number);
    let (mut bad, mut dropped) = (BadRows::default(), Dropped::default());
    let mut blanks = BadRows::default();
    let mut first_lines = Vec::with_capacity(blocks.len());
    let mut line = header_lines + 1;
    let mut any_rows = false;
    for block in &mut blocks {
        let relative = |mut rows: BadRows| {
            rows.listed.iter_mut().for_each(|error| error.row += line);
            rows
        };
        if block.has_rows {
            any_rows = true;
            bad.merge(std::mem::take(&mut blanks));
        }
        bad.merge(relative(std::mem::take(&mut block.bad)));
        blanks.merge(relative(std::mem::take(&mut block.trailing_blanks)));
        dropped.merge(std::mem::take(&mut block.dropped), line);
        first_lines.push(line);
        line += block.lines;
        if line > LINES_MAX {
            return Err(ListError::TooLong);
        }
    }
    if !any_rows {
        return Err(ListError::NoRows);
    }
    bad.shorten();
    let persons = header.person.map(|_| blocks.into_iter().map(|block| block.persons).collect());
    Ok(List { records, places: Places { first_lines, persons }, bad, dropped })
}

impl Dropped {
    fn merge(&mut self, other: Self, line: u64) {
        self.count += other.count;
        self.total = self.total.checked_add_total(other.total).expect("fewer than 2^32 amounts");
        let room = ERRORS_LISTED_MAX - self.listed.len().min(ERRORS_LISTED_MAX);
        self.listed.extend(other.listed.into_iter().take(room).map(|(row, amount)| (row + line, amount)));
    }
}
