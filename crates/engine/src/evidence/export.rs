//! A log as a file: its first line, then pages, each behind its length. A page is whole or not there, so an export that
//! was cut is resumed after the last whole page, and one that ended is continued when the log has grown.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use sluice_core::ids::{Seq, StreamId};
use sluice_core::log::entry::{Body, Entry};
use sluice_store::Store;

use super::EvidenceError;
use super::source::{CheckpointRow, Page, read_page};

/// The first line: what it is, and the format's number.
const FIRST_LINE: &str = "sluice log export 2\n";
/// The most bytes of a page: a read's bytes of entries, a page's facts, and its checkpoints.
const PAGE_BYTES_MAX: u32 = 256 << 20;

/// What a file holds, one after another.
#[derive(BorshSerialize, BorshDeserialize)]
enum Part {
    /// Rows.
    Page(Page),
    /// The end of what there was; the log's keys as its last reading of the Charter names them.
    End { log_keys: Vec<B256>, beyond: Option<CheckpointRow> },
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The first position that this run wrote.
    pub from: Seq,
    /// The last position in the file.
    pub to: Seq,
    /// The log's keys by the Charter as the log read it. Whoever verifies pins keys from elsewhere, not from here.
    pub log_keys: Vec<B256>,
}

/// Copies a log into a file, or goes on where an earlier run ended. Facts go along opened if the store has the seal key;
/// else the file says that they are sealed, and holds nothing of them.
///
/// # Errors
/// When database or file fail, or the file is something else.
pub async fn export(store: &Store, stream: StreamId, path: &Path) -> Result<Exported, EvidenceError> {
    export_told(store, stream, path, |_| {}).await
}

/// As [`export`], telling the last position of every page that was written.
///
/// # Errors
/// As [`export`].
pub async fn export_told(
    store: &Store,
    stream: StreamId,
    path: &Path,
    told: impl Fn(Seq),
) -> Result<Exported, EvidenceError> {
    let (begun, keep) = begun(path)?;
    let failed = |action| move |source| EvidenceError::Io { action, path: path.to_owned(), source };
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(false).open(path).map_err(failed("write"))?;
    file.set_len(keep).map_err(failed("write"))?;
    file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
    let mut out = BufWriter::new(file);
    if keep == 0 {
        out.write_all(FIRST_LINE.as_bytes()).map_err(failed("write"))?;
    }
    let mut exported = begun;
    exported.from = exported.to + 1;
    loop {
        let page = read_page(store, stream, exported.to).await?;
        let Some(last) = page.last() else { break };
        note_keys(&page, &mut exported.log_keys);
        write(&mut out, &Part::Page(page)).map_err(failed("write"))?;
        // Each page is in the system's hands before the next is read: what is cut off is at most a page.
        out.flush().map_err(failed("write"))?;
        exported.to = last;
        told(last);
    }
    let beyond = store.checkpoint_from(stream, exported.to + 1).await?;
    // A checkpoint of entries that came meanwhile is no sign of a cut: the log is asked once more.
    let beyond = match store.whole_rows(stream, exported.to, 1).await?.is_empty() {
        true => beyond.map(CheckpointRow::from),
        false => None,
    };
    let end = Part::End { log_keys: exported.log_keys.clone(), beyond };
    write(&mut out, &end).and_then(|()| out.flush()).map_err(failed("write"))?;
    let file = out.into_inner().map_err(|error| failed("write")(error.into_error()))?;
    file.sync_all().map_err(failed("sync"))?;
    Ok(exported)
}

/// What an earlier run left, and up to which byte.
fn begun(path: &Path) -> Result<(Exported, u64), EvidenceError> {
    let mut begun = Exported { from: 1, to: 0, log_keys: Vec::new() };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((begun, 0)),
        Ok(found) if found.len() == 0 => return Ok((begun, 0)),
        _ => {}
    }
    let mut reader = ExportReader::open(path)?;
    let mut keep = FIRST_LINE.len() as u64;
    while let Some((part, bytes)) = reader.part()? {
        let Part::Page(page) = part else { break };
        note_keys(&page, &mut begun.log_keys);
        begun.to = page.last().unwrap_or(begun.to);
        keep += bytes;
    }
    Ok((begun, keep))
}

fn note_keys(page: &Page, keys: &mut Vec<B256>) {
    // CharterRead is kind 1. What a row says of itself is checked by who verifies.
    for row in page.rows.iter().filter(|row| row.kind == 1) {
        if let Ok(Entry { body: Body::CharterRead(read), .. }) = Entry::decode(&row.entry) {
            keys.clone_from(&read.view.log_keys);
        }
    }
}

fn write(out: &mut impl Write, part: &Part) -> std::io::Result<()> {
    let bytes = borsh::to_vec(part)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= PAGE_BYTES_MAX);
    let length =
        length.ok_or_else(|| std::io::Error::other("a page of the log is larger than an export holds"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&bytes)
}

/// An export, read page by page.
#[derive(Debug)]
pub struct ExportReader {
    path: PathBuf,
    file: BufReader<File>,
    ended: bool,
    beyond: Option<CheckpointRow>,
}

impl ExportReader {
    /// Opens a file and reads its first line.
    ///
    /// # Errors
    /// When it cannot be read, or is no export of this format.
    pub fn open(path: &Path) -> Result<Self, EvidenceError> {
        let failed = |source| EvidenceError::Io { action: "read", path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        file.by_ref().take(64).read_until(b'\n', &mut line).map_err(failed)?;
        if line != FIRST_LINE.as_bytes() {
            let why = format!("its first line is not {:?}", FIRST_LINE.trim_end());
            return Err(EvidenceError::Malformed { path: path.to_owned(), why });
        }
        Ok(Self { path: path.to_owned(), file, ended: false, beyond: None })
    }

    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or ends before its end: it was cut, and `export` resumes it.
    pub fn next_page(&mut self) -> Result<Option<Page>, EvidenceError> {
        if self.ended {
            return Ok(None);
        }
        match self.part()? {
            Some((Part::Page(page), _)) => Ok(Some(page)),
            Some((Part::End { beyond, .. }, _)) => {
                (self.ended, self.beyond) = (true, beyond);
                let mut more = [0];
                match self.file.read(&mut more) {
                    Ok(0) => Ok(None),
                    _ => Err(self.malformed("something follows its end")),
                }
            }
            None => Err(self.malformed("it ends in the middle; run the export again to complete it")),
        }
    }

    /// The checkpoint that covered more than the rows there were, if any.
    pub(super) fn beyond(&self) -> Option<CheckpointRow> {
        self.beyond.clone()
    }

    /// The next part and its length in the file; `None` where the file ends, also in the middle of a part.
    fn part(&mut self) -> Result<Option<(Part, u64)>, EvidenceError> {
        let mut length = [0; 4];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length);
        if length > PAGE_BYTES_MAX {
            return Err(self.malformed("a page is longer than any"));
        }
        let mut bytes = Vec::new();
        let failed =
            |path: &Path, source| EvidenceError::Io { action: "read", path: path.to_owned(), source };
        let read = self.file.by_ref().take(length.into()).read_to_end(&mut bytes);
        if read.map_err(|error| failed(&self.path, error))? < length as usize {
            return Ok(None);
        }
        let part = borsh::from_slice(&bytes).map_err(|_| self.malformed("a page cannot be read"))?;
        Ok(Some((part, u64::from(length) + 4)))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool, EvidenceError> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(source) => Err(EvidenceError::Io { action: "read", path: self.path.clone(), source }),
        }
    }

    fn malformed(&self, why: &str) -> EvidenceError {
        EvidenceError::Malformed { path: self.path.clone(), why: why.to_owned() }
    }
}
