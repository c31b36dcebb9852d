//! Where a log is read from, page by page, so that memory stays bounded however long it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use sluice_core::ids::{IntakeKey, Millis, Seq, StreamId};
use sluice_core::log::entry::Kind;
use sluice_core::log::merkle::Hash;
use sluice_store::{Checkpoint, KeptFacts, Store, WholeRow};

use super::EvidenceError;
use super::export::ExportReader;

/// Rows of a page: with the largest facts 64 MiB, and usually far less.
pub const PAGE_ROWS: u16 = 1_000;

/// A log to read.
#[derive(Clone, Debug)]
pub enum LogSource {
    /// A database, read only. Facts are opened if the store has the seal key.
    Database {
        /// The database.
        store: Store,
        /// Which log of it.
        stream: StreamId,
    },
    /// An exported file.
    Export(PathBuf),
    /// Either of them, telling how far each reading of it is.
    Watched(Box<Self>, Watcher),
}

/// Is told the last position of every page that was read. Reading a long log takes minutes.
#[derive(Clone)]
pub struct Watcher(Arc<dyn Fn(Seq) + Send + Sync>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// A row of the log as it was read, unchecked.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Row {
    /// Its position.
    pub seq: Seq,
    /// The epoch it was appended under.
    pub epoch: u64,
    /// The kind number.
    pub kind: Kind,
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// The leaf hash, as stored.
    pub leaf: Hash,
    /// The intake row it answers, as stored.
    pub intake: Option<IntakeKey>,
}

/// A checkpoint as it was read, unchecked.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CheckpointRow {
    /// Entries it covers.
    pub size: Seq,
    /// The signed note.
    pub note: String,
    /// The state hash, as stored.
    pub state_hash: Hash,
    /// When it was stored.
    pub made_at: Millis,
}

/// Facts that lie beside an entry and were not erased.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Kept {
    /// What they say, behind their salt.
    Open(Vec<u8>),
    /// Whoever read or exported them had no key.
    Sealed,
    /// They do not open: they were changed.
    Broken,
}

impl From<KeptFacts> for Kept {
    fn from(kept: KeptFacts) -> Self {
        match kept {
            KeptFacts::Open(bytes) => Self::Open(bytes),
            KeptFacts::Sealed => Self::Sealed,
            KeptFacts::Broken => Self::Broken,
        }
    }
}

/// Neighbouring rows with what lies beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Page {
    /// Ascending.
    pub rows: Vec<Row>,
    /// Facts by position.
    pub facts: BTreeMap<Seq, Kept>,
    /// Checkpoints above the last page's last row and up to this page's; after the last row, one beyond it if there is.
    pub checkpoints: Vec<CheckpointRow>,
}

impl Page {
    /// The last position in it.
    pub fn last(&self) -> Option<Seq> {
        self.rows.last().map(|row| row.seq)
    }
}

impl From<WholeRow> for Row {
    fn from(row: WholeRow) -> Self {
        Self {
            seq: row.seq,
            epoch: row.epoch,
            kind: row.kind,
            entry: row.entry,
            leaf: row.leaf,
            intake: row.intake,
        }
    }
}

impl From<Checkpoint> for CheckpointRow {
    fn from(c: Checkpoint) -> Self {
        Self { size: c.size, note: c.note, state_hash: c.state_hash, made_at: c.made_at }
    }
}

impl LogSource {
    /// The same log, telling how far each reading of it is.
    pub fn watched(self, told: impl Fn(Seq) + Send + Sync + 'static) -> Self {
        Self::Watched(Box::new(self), Watcher(Arc::new(told)))
    }

    /// Its pages from the first entry on.
    ///
    /// # Errors
    /// When a file cannot be opened or is no export.
    pub fn pages(&self) -> Result<Pages, EvidenceError> {
        let of = match self {
            Self::Database { store, stream } => {
                Inner::Database { store: store.clone(), stream: *stream, after: 0 }
            }
            Self::Export(path) => Inner::Export(ExportReader::open(path)?),
            Self::Watched(source, watcher) => {
                return Ok(Pages { watcher: Some(watcher.clone()), ..source.pages()? });
            }
        };
        Ok(Pages { of, watcher: None })
    }
}

/// A reading of a log.
#[derive(Debug)]
pub struct Pages {
    of: Inner,
    watcher: Option<Watcher>,
}

#[derive(Debug)]
enum Inner {
    Database { store: Store, stream: StreamId, after: Seq },
    Export(ExportReader),
}

impl Pages {
    /// The next page; `None` at the end. From a database it can be asked again later.
    ///
    /// # Errors
    /// When the database or the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Page>, EvidenceError> {
        let page = match &mut self.of {
            Inner::Database { store, stream, after } => {
                let page = read_page(store, *stream, *after).await?;
                if let Some(last) = page.last() {
                    *after = last;
                }
                (!page.rows.is_empty()).then_some(page)
            }
            Inner::Export(reader) => reader.next_page()?,
        };
        if let (Some(Watcher(told)), Some(last)) = (&self.watcher, page.as_ref().and_then(Page::last)) {
            told(last);
        }
        Ok(page)
    }

    /// The first checkpoint that covers more than the rows read, of those that are there: rows were cut off.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn beyond(&self) -> Result<Option<CheckpointRow>, EvidenceError> {
        match &self.of {
            Inner::Database { store, stream, after } => {
                Ok(store.checkpoint_from(*stream, after + 1).await?.map(CheckpointRow::from))
            }
            Inner::Export(reader) => Ok(reader.beyond()),
        }
    }
}

/// One page of a database's log.
pub(super) async fn read_page(store: &Store, stream: StreamId, after: Seq) -> Result<Page, EvidenceError> {
    let rows: Vec<Row> =
        store.whole_rows(stream, after, PAGE_ROWS.into()).await?.into_iter().map(Row::from).collect();
    let Some(last) = rows.last().map(|row| row.seq) else { return Ok(Page::default()) };
    let facts = store.facts_within(stream, after, last).await?;
    let facts = facts.into_iter().map(|(seq, kept)| (seq, kept.into())).collect();
    // Newest first, and no two of one size. Where positions are missing there may be more of them than rows; the gap
    // itself is then what is found.
    let mut found = store.checkpoints_within(stream, after, last, u16::MAX).await?;
    found.reverse();
    Ok(Page { rows, facts, checkpoints: found.into_iter().map(CheckpointRow::from).collect() })
}
