//! Checkpoints, made and compared. Nodes can compare State only where all of them took its hash, so the log's own clock
//! says where: at the last entry of each of its seconds, and at the head once nothing has moved for a second. The leader
//! signs and stores what it has there; every other node compares its own (LOG.md §1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sluice_core::ids::{Seq, StreamId};
use sluice_core::log::note::{LogVerifier, TreeHead, open};
use sluice_core::state::State;
use sluice_store::{Checkpoint, Store};

use super::{Follower, Row, View};
use crate::error::EngineError;

/// How many of its marks a node remembers: more than it passes between two comparisons, in a database that answers late.
const MARKS_MAX: usize = 64;
/// Checkpoints are made once a second; asking more often finds nothing new.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// A head that has not moved for so long is marked, too, so that the last entry before a silence is covered.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Among so many of the last rows one is looked for that a log key signed.
const CHECKPOINTS_READ_MAX: u16 = 64;

/// What this node had at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) size: Seq,
    pub(super) root: [u8; 32],
    pub(super) state_hash: [u8; 32],
}

/// The last marks, oldest first.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<Mark>);

/// How far this node's State was compared, with what, and since when its own checkpoints find their places taken.
#[derive(Debug, Default)]
pub(super) struct Compared {
    asked: Option<Instant>,
    /// The last checkpoint that a log key signed and that was compared.
    upto: Seq,
    /// The last row that no log key signed: each is told once.
    told: Seq,
    displaced: Option<Instant>,
    /// The newest note that a log key signed and that says what this node has: no row that is written later hides it.
    newest: Option<Vouched>,
}

/// A checkpoint that this node compared with its own State, or signed and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// How many entries it covers.
    pub size: Seq,
    /// The signed note (C2SP).
    pub note: String,
}

impl Marks {
    /// Only this one.
    pub(super) fn of(mark: Mark) -> Self {
        Self(VecDeque::from([mark]))
    }
}

impl Compared {
    /// State was compared at this position, with the checkpoint of this note.
    pub(super) fn at(upto: Seq, note: String) -> Self {
        Self { upto, newest: Some(Vouched { size: upto, note }), ..Self::default() }
    }

    fn remember(&mut self, size: Seq, note: &str) {
        if self.newest.as_ref().is_none_or(|newest| newest.size < size) {
            self.newest = Some(Vouched { size, note: note.to_owned() });
        }
    }
}

/// The first of the rows before which State is marked: that with which the log's clock came to another second. Of
/// several the last, so that a node that catches up hashes once a read.
pub(super) fn last_turn(state: &State, rows: &[Row]) -> Option<usize> {
    let second = |millis: u64| millis / 1_000;
    (0..rows.len()).rev().find(|at| {
        let before = at.checked_sub(1).map_or(state.recorded_at, |before| rows[before].entry.recorded_at);
        let is_first = *at == 0 && state.seq == 0;
        !is_first && second(rows[*at].entry.recorded_at) != second(before)
    })
}

impl View {
    /// Takes tree head and state hash here.
    pub(super) fn mark(&mut self) {
        let size = self.tree.size();
        if size == 0 || self.marks.0.back().is_some_and(|mark| mark.size == size) {
            return;
        }
        if self.marks.0.len() == MARKS_MAX {
            self.marks.0.pop_front();
        }
        let mark = Mark { size, root: self.tree.root(), state_hash: self.state.hash() };
        self.marks.0.push_back(mark);
        self.freeze_at(mark);
    }
}

impl Follower {
    /// The last position at which State was marked, as a signed tree head with the state hash: a checkpoint. Its size is
    /// 0 before there is any.
    pub fn checkpoint(&self) -> (TreeHead, String) {
        let mut view = self.shared.view.write().expect("no reader panics while holding State");
        if view.moved.elapsed() >= SETTLED_AFTER {
            view.mark();
        }
        let mark = view.marks.0.back().copied();
        drop(view);
        let mark = mark.unwrap_or(Mark { size: 0, root: [0; 32], state_hash: [0; 32] });
        let head = self.head(mark);
        let note = self.shared.log_key.sign(&head);
        (head, note)
    }

    pub(super) fn head(&self, mark: Mark) -> TreeHead {
        TreeHead {
            origin: self.shared.log_key.origin().clone(),
            size: mark.size,
            root: mark.root,
            state_hash: Some(mark.state_hash),
        }
    }

    /// Compares this node's tree and State with the checkpoints stored since the last time, by one query a second. A row that
    /// no log key signed is told and passed over: it says who may write to the database, and nothing about State. Only rows
    /// are read at whose sizes this node knows what it had, so however many others there are, none hides one that counts.
    ///
    /// # Errors
    /// [`EngineError::Incident`] when they differ: this node or the one that signed is wrong, and this one stops.
    pub(crate) async fn compare(&self, store: &Store) -> Result<(), EngineError> {
        let above = {
            let mut compared = self.shared.compared.lock().expect("no panic inside");
            if compared.asked.is_some_and(|asked| asked.elapsed() < COMPARE_EVERY) {
                return Ok(());
            }
            compared.asked = Some(Instant::now());
            compared.upto
        };
        let (stream, upto) = self.read(|state| (state.stream, state.seq));
        if upto == above {
            return Ok(());
        }
        let found = store.checkpoints_at(stream, &self.comparable(above)).await?;
        for checkpoint in &found {
            if let Some(mine) = self.mark_at(checkpoint.size) {
                let mine = self.head(mine);
                // A key that was revoked since, or nobody's: it says nothing else, so whose it is does not matter.
                if says(checkpoint, &mine) || self.agree(checkpoint, &mine)? {
                    let signed = self.signed(checkpoint).is_ok();
                    let mut compared = self.shared.compared.lock().expect("no panic inside");
                    compared.upto = checkpoint.size;
                    if signed {
                        compared.remember(checkpoint.size, &checkpoint.note);
                    }
                }
            }
        }
        Ok(())
    }

    /// The sizes above this one at which this node knows what it had.
    fn comparable(&self, above: Seq) -> Vec<Seq> {
        let view = self.shared.view.read().expect("no writer panics while holding State");
        let marked = view.marks.0.iter().map(|mark| mark.size).chain([view.tree.size()]);
        marked.filter(|size| *size > above).collect()
    }

    /// For how long this node's own checkpoints have found their places taken by rows that no log key signed; `None` when the
    /// last one was stored.
    pub fn displaced_for(&self) -> Option<Duration> {
        let compared = self.shared.compared.lock().expect("no panic inside");
        compared.displaced.map(|since| since.elapsed())
    }

    /// Forgets that checkpoints found their places taken: another node stores them now, or this one begins to.
    pub(crate) fn not_displaced(&self) {
        self.shared.compared.lock().expect("no panic inside").displaced = None;
    }

    /// Stores the signed checkpoint of a head. `false` when its place is taken by a row that no log key signed.
    ///
    /// # Errors
    /// [`EngineError::Incident`] when a log key signed another State there; what storing fails with.
    pub async fn keep_checkpoint(
        &self,
        store: &Store,
        stream: StreamId,
        head: &TreeHead,
        note: &str,
    ) -> Result<bool, EngineError> {
        let Some(state_hash) = head.state_hash else { return Ok(false) };
        let stands = match store.add_checkpoint(stream, head.size, note, &state_hash).await? {
            None => true,
            Some(before) => self.agree(&before, head)?,
        };
        let mut compared = self.shared.compared.lock().expect("no panic inside");
        if stands {
            compared.displaced = None;
            compared.remember(head.size, note);
        } else {
            compared.displaced.get_or_insert_with(Instant::now);
        }
        Ok(stands)
    }

    /// The newest checkpoint up to this node's position that a log key signed: of the last [`CHECKPOINTS_READ_MAX`] rows, or
    /// where forged rows fill these, the newest that this node compared or stored itself.
    ///
    /// # Errors
    /// When none can be read.
    pub async fn newest_checkpoint(&self, store: &Store) -> Result<Option<Vouched>, EngineError> {
        let (stream, upto) = self.read(|state| (state.stream, state.seq));
        let known = self.shared.compared.lock().expect("no panic inside").newest.clone();
        let above = known.as_ref().map_or(0, |known| known.size);
        // Nearly always the first one is.
        for limit in [1, CHECKPOINTS_READ_MAX] {
            let found = store.checkpoints_within(stream, above, upto, limit).await?;
            if found.is_empty() {
                break;
            }
            if let Some(row) = found.into_iter().find(|row| self.signed(row).is_ok()) {
                return Ok(Some(Vouched { size: row.size, note: row.note }));
            }
        }
        // Its key may have been revoked since.
        Ok(known.filter(|known| open(&known.note, &self.counting()).is_ok()))
    }

    /// What this node had at this position, if it marked it or stands there.
    fn mark_at(&self, size: Seq) -> Option<Mark> {
        let mut view = self.shared.view.write().expect("no reader panics while holding State");
        if view.tree.size() == size {
            view.mark();
        }
        view.marks.0.iter().find(|mark| mark.size == size).copied()
    }

    /// The keys whose word about State counts: this node's own, and those that the home Charter registers, as State has it,
    /// or before it was read, as the chain said when this node started.
    fn counting(&self) -> Vec<LogVerifier> {
        let read = self.read(|state| state.home_charter().map(|charter| charter.view.log_keys.clone()));
        self.verifiers(read.as_deref().unwrap_or(&self.shared.registered))
    }

    /// What a log key signed of this row; else why the row is nobody's word.
    fn signed(&self, row: &Checkpoint) -> Result<TreeHead, String> {
        let head = open(&row.note, &self.counting()).map_err(|error| error.to_string())?.head;
        // Any signed head can be put into any row, and those of groups, which every receipt carries, name no State.
        if head.origin != *self.shared.log_key.origin() || head.size != row.size {
            return Err(format!("its note is of {} entries of {}", head.size, head.origin));
        }
        if head.state_hash.is_none() {
            return Err("its note is the head of a group, and no checkpoint".into());
        }
        if head.state_hash != Some(row.state_hash) {
            return Err("the state hash beside its note is another than the one that was signed".into());
        }
        Ok(head)
    }

    /// Whether a log key signed the same at this size; `false` when no log key signed the row, which is told.
    fn agree(&self, row: &Checkpoint, mine: &TreeHead) -> Result<bool, EngineError> {
        match self.signed(row) {
            Ok(signed) if signed == *mine => return Ok(true),
            Ok(_) => {}
            Err(why) => {
                let mut compared = self.shared.compared.lock().expect("no panic inside");
                if row.size > compared.told {
                    compared.told = row.size;
                    tracing::error!(
                        size = row.size,
                        why,
                        "a checkpoint row was signed by no log key and is passed over: somebody else writes to the database"
                    );
                }
                return Ok(false);
            }
        }
        let state_hash = mine.state_hash.map(alloy_primitives::B256::from);
        tracing::error!(
            size = mine.size,
            ?state_hash,
            stored = %alloy_primitives::B256::from(row.state_hash),
            "this node's log or state is not that of the checkpoint; it stops"
        );
        Err(EngineError::Incident(format!(
            "the checkpoint of {} entries has another root or state hash than this node; compare both with a replay of the log \
             before either goes on",
            mine.size
        )))
    }
}

/// Whether a row says just this, whoever wrote it.
fn says(row: &Checkpoint, mine: &TreeHead) -> bool {
    let text = row.note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
    let head = text.and_then(|text| text.parse::<TreeHead>().ok());
    head.as_ref() == Some(mine) && mine.state_hash == Some(row.state_hash)
}
