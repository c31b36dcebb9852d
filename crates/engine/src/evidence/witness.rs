//! A witness: an outside body that replays a log as it grows and says of a checkpoint only what it has computed itself.

use std::sync::Arc;

use sluice_core::ids::{Seq, StreamId};
use sluice_core::log::merkle::{Hash, verify_consistency};
use sluice_core::log::note::{LogVerifier, SignedHead, open};
use sluice_store::Store;

use super::source::{Page, read_page};
use super::{EvidenceError, Place, Replay};

/// What a witness last put its name to. Kept across restarts: it is what a rollback is seen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// Entries covered.
    pub size: Seq,
    /// Their root.
    pub root: Hash,
}

/// A witness with a database to read: it replays every entry.
#[derive(Debug)]
pub struct Witness {
    store: Store,
    stream: StreamId,
    replay: Replay,
    last: Option<LastSeen>,
    keys: Arc<[LogVerifier]>,
}

impl Witness {
    /// A witness of a log whose checkpoints these keys sign. `last` is what it saw before it was started again.
    pub fn new(store: Store, stream: StreamId, keys: Vec<LogVerifier>, last: Option<LastSeen>) -> Self {
        Self { store, stream, replay: Replay::new(keys.clone()), last, keys: keys.into() }
    }

    /// How far it has replayed.
    pub fn seq(&self) -> Seq {
        self.replay.seq()
    }

    /// Replays what is new, compares every checkpoint on the way, and returns the newest that it may put its name to, if
    /// there is a newer one than before.
    ///
    /// # Errors
    /// [`EvidenceError::Changed`] at a fork, a rollback or a difference: it must not sign again.
    pub async fn tick(&mut self) -> Result<Option<(SignedHead, String)>, EvidenceError> {
        let before = self.last_compared();
        loop {
            let page = read_page(&self.store, self.stream, self.replay.seq()).await?;
            if page.rows.is_empty() {
                break;
            }
            for part in self.at_last_seen(page) {
                self.replay.take(&part, |_, _, _| true)?;
                self.compare_with_last()?;
            }
        }
        self.look_back().await?;
        self.late_checkpoint().await?;
        let newest = self.replay.last_head().filter(|(head, _)| head.head.size > before).cloned();
        if let Some((head, _)) = &newest {
            self.last = Some(LastSeen { size: head.head.size, root: head.head.root });
        }
        Ok(newest)
    }

    fn last_compared(&self) -> Seq {
        let last = self.last.as_ref().map_or(0, |last| last.size);
        last.max(self.replay.last_head().map_or(0, |(head, _)| head.head.size))
    }

    /// Cuts a page after the position that was seen last, so that the root is compared there.
    fn at_last_seen(&self, mut page: Page) -> Vec<Page> {
        let Some(size) = self.last.as_ref().map(|last| last.size) else { return vec![page] };
        let rows = page.rows.partition_point(|row| row.seq <= size);
        if rows == 0 || rows == page.rows.len() {
            return vec![page];
        }
        let checkpoints = page.checkpoints.partition_point(|c| c.size <= size);
        let later = Page {
            rows: page.rows.split_off(rows),
            facts: page.facts.split_off(&(size + 1)),
            checkpoints: page.checkpoints.split_off(checkpoints),
        };
        vec![page, later]
    }

    fn compare_with_last(&self) -> Result<(), EvidenceError> {
        let Some(last) = self.last.as_ref().filter(|last| last.size == self.replay.seq()) else {
            return Ok(());
        };
        if last.root == self.replay.root() {
            return Ok(());
        }
        let place = Place { from: 1, to: last.size };
        let why = format!("a fork: this witness signed another history of {} entries", last.size);
        Err(EvidenceError::changed(place, why))
    }

    /// A log never ends before what was read or signed.
    async fn look_back(&self) -> Result<(), EvidenceError> {
        let seen = self.replay.seq().max(self.last.as_ref().map_or(0, |last| last.size));
        let head = self.store.head(self.stream).await?.map_or(0, |head| head.seq);
        if head >= seen {
            return Ok(());
        }
        let place = Place { from: head + 1, to: seen };
        Err(EvidenceError::changed(
            place,
            format!("a rollback: {seen} entries were seen, and {head} are there"),
        ))
    }

    /// The checkpoint of the head is stored after its entries were read: it is compared once it is there. One that signs
    /// other entries than those already replayed is a fork.
    async fn late_checkpoint(&mut self) -> Result<(), EvidenceError> {
        let size = self.replay.seq();
        let above = self.replay.last_head().map_or(0, |(head, _)| head.head.size);
        let Some(found) = self.store.checkpoints_within(self.stream, above, size, 1).await?.pop() else {
            return Ok(());
        };
        if found.size == size {
            return self.replay.checkpoint(&found.into());
        }
        // State has passed it; its signature is checked, and the next checkpoint covers what it covers.
        open(&found.note, &self.keys).map_err(|source| EvidenceError::Note { size: found.size, source })?;
        Ok(())
    }
}

/// What a witness without a database can say: that a node's newest checkpoint continues the one it signed last.
///
/// # Errors
/// [`EvidenceError::Note`] for a note that nobody known signed; [`EvidenceError::Changed`] for a rollback, a fork, or a
/// proof that proves nothing.
pub fn continues(
    last: Option<&LastSeen>,
    note: &str,
    proof: &[Hash],
    keys: &[LogVerifier],
) -> Result<SignedHead, EvidenceError> {
    let head = open(note, keys).map_err(|source| EvidenceError::Note { size: 0, source })?;
    let Some(last) = last else { return Ok(head) };
    let size = head.head.size;
    if size < last.size {
        let place = Place { from: size + 1, to: last.size };
        let why = format!("a rollback: this witness signed {} entries, the node shows {size}", last.size);
        return Err(EvidenceError::changed(place, why));
    }
    verify_consistency(last.size, &last.root, size, &head.head.root, proof).map_err(|error| {
        let place = Place { from: 1, to: last.size };
        EvidenceError::changed(place, format!("a fork: {error}"))
    })?;
    Ok(head)
}
