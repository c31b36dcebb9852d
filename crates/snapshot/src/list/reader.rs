//! From a source to all its records: one thread cuts blocks, all cores parse them.

use super::block::{Block, Parsed, parse};
use super::header::Header;
use super::rows::{last_row_end, row_ends, without_return};
use super::source::Source;
use super::{BadRows, Dropped, HeaderError, Input, ListError, ReadOptions, SourceError};
use crate::limits::{BLOCK_BYTES, BLOCKS_AHEAD, ERRORS_LISTED_MAX, LINES_MAX, ROW_BYTES_MAX};
use memchr::memchr;
use rayon::prelude::*;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};

/// A list as read.
#[derive(Debug)]
pub(crate) struct List {
    /// The blocks in order, with their records' lines and ordinals counted over the whole list.
    pub blocks: Vec<Parsed>,
    /// Each record's person, by ordinal, where the list names persons.
    pub persons: Option<Vec<[u8; 32]>>,
    pub bad: BadRows,
    pub dropped: Dropped,
}

type Cut = Result<Block, SourceError>;

/// Reads a whole list. `progress` is told how many bytes of how many are done.
pub(crate) fn read(
    input: &Input,
    options: &ReadOptions,
    progress: &(dyn Fn(u64, Option<u64>) + Sync),
) -> Result<List, ListError> {
    let mut source = Source::open(input)?;
    let (length, consumed) = (source.length, source.consumed.clone());
    std::thread::scope(|scope| {
        // Made in here, so that an early return hangs up on the reader before the scope waits for it.
        let (sender, receiver) = sync_channel::<Cut>(BLOCKS_AHEAD);
        scope.spawn(move || {
            if let Err(error) = cut(&mut source, &sender) {
                // The receiver is gone only when it has failed already.
                let _ = sender.send(Err(error));
            }
        });
        let mut first = receiver.recv().map_err(|_| HeaderError::Empty)??;
        let header = take_header(&mut first, options)?;
        let header_lines = memchr::memchr_iter(b'\n', &first.bytes[..first.start]).count() as u64;
        let blocks = std::iter::once(Ok(first)).chain(receiver);
        let parsed: Result<Vec<Parsed>, ListError> = blocks
            .par_bridge()
            .map(|block| {
                let parsed = parse(&block?, &header, options);
                progress(consumed.load(Ordering::Relaxed), length);
                Ok(parsed)
            })
            .collect();
        join(parsed?, &header, header_lines)
    })
}

/// Cuts the source into blocks of whole rows.
fn cut(source: &mut Source, blocks: &SyncSender<Cut>) -> Result<(), SourceError> {
    let (mut carry, mut number, mut lines) = (Vec::new(), 0, 1);
    loop {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES + carry.len());
        bytes.append(&mut carry);
        let mut end = None;
        let mut quoted = false;
        while end.is_none() {
            if bytes.len() > ROW_BYTES_MAX + BLOCK_BYTES {
                return Err(SourceError::RowTooLong { line: lines });
            }
            if source.fill(&mut bytes, BLOCK_BYTES)? < BLOCK_BYTES {
                quoted = memchr(b'"', &bytes).is_some();
                let last = Block { number, bytes, start: 0, quoted };
                if !last.bytes.is_empty() {
                    let _ = blocks.send(Ok(last));
                }
                return Ok(());
            }
            quoted = memchr(b'"', &bytes).is_some();
            end = last_row_end(&bytes, quoted);
        }
        let end = end.expect("the loop ends with one") + 1;
        carry.extend_from_slice(&bytes[end..]);
        bytes.truncate(end);
        lines += memchr::memchr_iter(b'\n', &bytes).count() as u64;
        if blocks.send(Ok(Block { number, bytes, start: 0, quoted })).is_err() {
            return Ok(());
        }
        number += 1;
    }
}

fn take_header(first: &mut Block, options: &ReadOptions) -> Result<Header, HeaderError> {
    const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
    if first.bytes.starts_with(&[0xff, 0xfe]) || first.bytes.starts_with(&[0xfe, 0xff]) {
        return Err(HeaderError::Utf16);
    }
    let begin = if first.bytes.starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 };
    let bytes = &first.bytes[begin..];
    let end = row_ends(bytes, first.quoted).next();
    let line = without_return(&bytes[..end.unwrap_or(bytes.len())]);
    if line.is_empty() {
        return Err(HeaderError::Empty);
    }
    let header = Header::parse(line, &options.columns)?;
    first.start = end.map_or(first.bytes.len(), |end| begin + end + 1);
    Ok(header)
}

/// Puts the blocks in order and counts lines and ordinals through.
fn join(mut blocks: Vec<Parsed>, header: &Header, header_lines: u64) -> Result<List, ListError> {
    blocks.sort_unstable_by_key(|block| block.number);
    let (mut bad, mut dropped) = (BadRows::default(), Dropped::default());
    let mut blanks = BadRows::default();
    let (mut line, mut ordinal) = (header_lines + 1, 0u64);
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
        let after = line + block.lines;
        if after > LINES_MAX {
            return Err(ListError::TooLong);
        }
        (block.line_base, block.ordinal_base) = (narrow(line), narrow(ordinal));
        ordinal += block.ordinals;
        line = after;
    }
    if !any_rows {
        return Err(ListError::NoRows);
    }
    bad.shorten();
    let persons = header.person.map(|_| {
        let columns: Vec<Vec<[u8; 32]>> =
            blocks.iter_mut().map(|block| std::mem::take(&mut block.persons)).collect();
        columns.concat()
    });
    Ok(List { blocks, persons, bad, dropped })
}

/// Lines and ordinals are at most [`LINES_MAX`], which was checked.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("lines are bounded")
}

impl Dropped {
    fn merge(&mut self, other: Self, line: u64) {
        self.count += other.count;
        self.total = self.total.checked_add_total(other.total).expect("fewer than 2^32 amounts");
        let room = ERRORS_LISTED_MAX - self.listed.len().min(ERRORS_LISTED_MAX);
        self.listed.extend(other.listed.into_iter().take(room).map(|(row, amount)| (row + line, amount)));
    }
}
