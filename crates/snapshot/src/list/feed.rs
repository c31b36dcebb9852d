//! Blocks of whole rows, handed to whoever parses next.
//!
//! A plain file is read by all parsers at once, each its own ranges; a row belongs to the range that its first byte
//! lies in. What only goes forward (compressed lists, pipes) is cut by one thread ahead of them, and so are lists with
//! quotes, where no range can tell by itself whether a line end stands inside a field.

use super::rows::last_row_end;
use super::source::Source;
use super::{ListError, SourceError};
use crate::limits::{BLOCK_BYTES, ROW_BYTES_MAX};
use memchr::memchr;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

/// Whole rows of a list.
#[derive(Debug)]
pub(super) struct Block {
    /// Its place in the list, from 0.
    pub number: usize,
    pub bytes: Vec<u8>,
    /// Where the rows lie: behind the header in block 0.
    pub rows: Range<usize>,
    /// Whether a quote occurs anywhere.
    pub quoted: bool,
}

/// What the cutting thread sends.
pub(super) type Cut = Result<Block, SourceError>;

/// Why reading stops.
#[derive(Debug)]
pub(super) enum Stop {
    List(ListError),
    /// The list cannot be read in ranges; it must be read from its beginning.
    Forward,
}

impl<E: Into<ListError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::List(error.into())
    }
}

/// Where blocks come from.
#[derive(Debug)]
pub(super) enum Feed {
    Ranges(Ranges),
    Forward(Mutex<Receiver<Cut>>),
}

impl Feed {
    /// The next block, if there is one. `buffer` is one that is no longer needed.
    pub(super) fn next(&self, buffer: Vec<u8>) -> Result<Option<Block>, Stop> {
        match self {
            Self::Ranges(ranges) => ranges.next(buffer),
            Self::Forward(receiver) => {
                let cut = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                Ok(cut.ok().transpose()?)
            }
        }
    }
}

/// A plain file, cut at multiples of a length.
#[derive(Debug)]
pub(super) struct Ranges {
    file: File,
    name: String,
    length: u64,
    step: u64,
    next: AtomicU64,
}

/// Read behind a range at first, to find the end of its last row.
const BEHIND: u64 = 4_096;

impl Ranges {
    pub(super) fn new(file: File, name: String, length: u64, step: usize) -> Self {
        Self { file, name, length, step: step as u64, next: AtomicU64::new(0) }
    }

    fn next(&self, mut bytes: Vec<u8>) -> Result<Option<Block>, Stop> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let begin = number * self.step;
        if begin >= self.length {
            return Ok(None);
        }
        // From the byte before, which tells whether a row begins with the range.
        let from = begin.saturating_sub(1);
        let last = place(begin + self.step - 1 - from);
        let mut until = begin + self.step + BEHIND;
        bytes.clear();
        let end = loop {
            let read = bytes.len();
            let whole = until >= self.length;
            bytes.resize(place(until.min(self.length) - from), 0);
            self.read(&mut bytes[read..], from + read as u64)?;
            match bytes.get(last.max(read)..).and_then(|rest| memchr(b'\n', rest)) {
                Some(at) => break last.max(read) + at + 1,
                None if whole => break bytes.len(),
                None if bytes.len() > place(self.step) + ROW_BYTES_MAX => return Err(Stop::Forward),
                None => until += bytes.len() as u64,
            }
        };
        let start = match number {
            0 => 0,
            _ => memchr(b'\n', &bytes[..end]).map_or(end, |at| at + 1),
        };
        if memchr(b'"', &bytes[start..end]).is_some() {
            return Err(Stop::Forward);
        }
        let number = usize::try_from(number).expect("a file's ranges are counted in usize");
        Ok(Some(Block { number, bytes, rows: start..end, quoted: false }))
    }

    fn read(&self, bytes: &mut [u8], from: u64) -> Result<(), Stop> {
        self.file
            .read_exact_at(bytes, from)
            .map_err(|source| Stop::from(SourceError::Io { name: self.name.clone(), source }))
    }
}

/// An offset within a block.
fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a block is a few megabytes")
}

/// Cuts the source into blocks of whole rows.
pub(super) fn cut(source: &mut Source, blocks: &SyncSender<Cut>) -> Result<(), SourceError> {
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
                if !bytes.is_empty() {
                    let rows = 0..bytes.len();
                    let _ = blocks.send(Ok(Block { number, bytes, rows, quoted }));
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
        if blocks.send(Ok(Block { number, bytes, rows: 0..end, quoted })).is_err() {
            return Ok(());
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Wherever the cuts fall, the ranges are the file, each row in one of them.
    #[test]
    fn ranges_share_out_the_rows() {
        for text in [
            "a,b\n12,3\n\n4567890,1\nlast\n",
            "no end",
            "\n",
            "a\nb",
            "a\n\n\nb\n\n",
            "0123456789012345678\nx\n",
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            for step in 1..=text.len() + 1 {
                let ranges = Ranges::new(file.try_clone().unwrap(), String::new(), text.len() as u64, step);
                let mut found = String::new();
                while let Some(block) = ranges.next(Vec::new()).unwrap() {
                    let rows = std::str::from_utf8(&block.bytes[block.rows]).unwrap();
                    assert!(
                        rows.is_empty() || found.is_empty() || found.ends_with('\n'),
                        "{text:?} by {step}"
                    );
                    found += rows;
                }
                assert_eq!(found, text, "by {step}");
            }
        }
    }

    #[test]
    fn quotes_and_endless_rows_are_read_forward() {
        for text in ["a,b\n\"1\n2\",3\n".to_owned(), "x".repeat(3 << 20)] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let ranges = Ranges::new(file, String::new(), text.len() as u64, 1 << 10);
            assert!(matches!(ranges.next(Vec::new()), Err(Stop::Forward)));
        }
    }
}
