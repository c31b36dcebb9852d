//! Checkpoints, made and compared. Nodes can compare State only where all of them took its hash, so the log's own clock
//! says where: at the last entry of each of its seconds, and at the head once nothing has moved for a second. The leader
//! signs and stores what it has there; every other node compares its own (LOG.md §1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sluice_core::ids::Seq;
use sluice_core::log::note::TreeHead;
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
/// Checkpoints one comparison reads.
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

/// How far this node's State was compared.
#[derive(Debug, Default)]
pub(super) struct Compared {
    asked: Option<Instant>,
    upto: Seq,
}

impl Marks {
    /// Only this one.
    pub(super) fn of(mark: Mark) -> Self {
        Self(VecDeque::from([mark]))
    }
}

impl Compared {
    /// State was compared at this position.
    pub(super) fn at(upto: Seq) -> Self {
        Self { asked: None, upto }
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

    /// Compares this node's tree and State with the checkpoints stored since the last time, by one query a second.
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
        let found = store.checkpoints_within(stream, above, upto, CHECKPOINTS_READ_MAX).await?;
        for checkpoint in found.iter().rev() {
            if let Some(mine) = self.mark_at(checkpoint.size) {
                self.agree(checkpoint, mine)?;
                self.shared.compared.lock().expect("no panic inside").upto = checkpoint.size;
            }
        }
        Ok(())
    }

    /// What this node had at this position, if it marked it or stands there.
    fn mark_at(&self, size: Seq) -> Option<Mark> {
        let mut view = self.shared.view.write().expect("no reader panics while holding State");
        if view.tree.size() == size {
            view.mark();
        }
        view.marks.0.iter().find(|mark| mark.size == size).copied()
    }

    fn agree(&self, checkpoint: &Checkpoint, mine: Mark) -> Result<(), EngineError> {
        let text = checkpoint.note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
        let signed = text.and_then(|text| text.parse::<TreeHead>().ok());
        if signed == Some(self.head(mine)) && checkpoint.state_hash == mine.state_hash {
            return Ok(());
        }
        tracing::error!(
            size = mine.size,
            state_hash = %alloy_primitives::B256::from(mine.state_hash),
            stored = %alloy_primitives::B256::from(checkpoint.state_hash),
            "this node's log or state is not that of the checkpoint; it stops"
        );
        Err(EngineError::Incident(format!(
            "the checkpoint of {} entries has another root or state hash than this node; compare both with a replay              of the log before either goes on",
            mine.size
        )))
    }
}
