//! The follower: State fed by committed entries. Every node runs one, the leader too; all reads are answered from it,
//! and nobody ever sees State above the committed position.

mod dumps;
mod marks;
mod replay;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use alloy_primitives::bytes::Bytes;
use sluice_core::ids::{Epoch, IntakeKey, Seq, StreamId};
use sluice_core::limits::FOLLOW_ROWS_MAX;
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::merkle::{Appended, Frontier, Hash, leaf_hash};
use sluice_core::log::note::{LogKey, TreeHead};
use sluice_core::log::receipt::Receipt;
use sluice_core::sequencer::Decider;
use sluice_core::state::State;
use sluice_store::Store;
use tokio::sync::{oneshot, watch};

use crate::error::EngineError;
use crate::recent::Recent;
use crate::waiting_room::WaitingRoom;
use dumps::Freeze;
use marks::{Compared, Marks};

/// What a demand became, with the proof of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The entry.
    pub entry: Entry,
    /// Its receipt against the tree head of its group.
    pub receipt: Receipt,
}

/// State at the committed position, shared by everything that reads.
#[derive(Clone, Debug)]
pub struct Follower {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    view: RwLock<View>,
    seq: watch::Sender<Seq>,
    /// Requests that wait for the decision of a row.
    waiting: Mutex<Waiting>,
    room: Arc<WaitingRoom>,
    recent: Recent,
    log_key: LogKey,
    /// The log keys that the chain named when this node started.
    registered: Vec<B256>,
    compared: Mutex<Compared>,
}

type Waiting = HashMap<IntakeKey, Vec<oneshot::Sender<Outcome>>>;

#[derive(Debug)]
struct View {
    state: State,
    tree: Frontier,
    marks: Marks,
    /// When State last moved.
    moved: Instant,
    /// Who waits for a State to dump.
    freeze: Vec<Freeze>,
    /// The position of the last dump that this State was read from or written to.
    dumped: Seq,
}

/// A committed row of the log.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The decoded entry.
    pub entry: Entry,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A committed row that is hashed.
#[derive(Debug)]
struct Row {
    entry: Entry,
    leaf: Hash,
    bytes: Bytes,
}

/// A committed group of this node's own leader, with what its decider made of it on top of the committed log.
#[derive(Debug)]
pub(crate) struct OwnGroup {
    rows: Vec<Row>,
    paths: Vec<Vec<Hash>>,
    tree: Frontier,
}

impl OwnGroup {
    /// Of the parts of a decided group, whose commit is certain.
    pub(crate) fn new(
        entries: Vec<Entry>,
        encoded: Vec<Vec<u8>>,
        leaves: Vec<Hash>,
        paths: Vec<Vec<Hash>>,
        tree: Frontier,
    ) -> Self {
        let row = |((entry, bytes), leaf): ((_, Vec<u8>), _)| Row { entry, leaf, bytes: bytes.into() };
        Self { rows: entries.into_iter().zip(encoded).zip(leaves).map(row).collect(), paths, tree }
    }
}

impl From<Committed> for Row {
    fn from(row: Committed) -> Self {
        Self { leaf: leaf_hash(&row.bytes), entry: row.entry, bytes: row.bytes.into() }
    }
}

impl Follower {
    /// A follower before the first entry.
    pub fn new(stream: StreamId, log_key: LogKey) -> Self {
        Self::knowing(stream, log_key, Vec::new())
    }

    /// The same that knows log keys from elsewhere than the log.
    fn knowing(stream: StreamId, log_key: LogKey, registered: Vec<B256>) -> Self {
        let view = View {
            state: State::new(stream),
            tree: Frontier::default(),
            marks: Marks::default(),
            moved: Instant::now(),
            freeze: Vec::new(),
            dumped: 0,
        };
        let shared = Shared {
            view: RwLock::new(view),
            seq: watch::Sender::new(0),
            waiting: Mutex::new(HashMap::new()),
            room: Arc::default(),
            recent: Recent::default(),
            log_key,
            registered,
            compared: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Reads State. The closure must not block: appends wait for it.
    pub fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.shared.view.read().expect("no reader panics while holding State").state)
    }

    /// The committed position this node has reached.
    pub fn seq(&self) -> Seq {
        *self.shared.seq.borrow()
    }

    /// Follows the position.
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.shared.seq.subscribe()
    }

    /// Waits until this node has reached a position; says whether it did in time.
    pub async fn reached(&self, seq: Seq, within: Duration) -> bool {
        let mut watch = self.watch();
        tokio::time::timeout(within, watch.wait_for(|at| *at >= seq)).await.is_ok_and(|r| r.is_ok())
    }

    /// A clone to decide upon, at the committed position.
    pub fn decider(&self, epoch: Epoch) -> Decider {
        let view = self.shared.view.read().expect("no reader panics while holding State");
        Decider::new(view.state.clone(), view.tree.clone(), epoch)
    }

    /// The state hash and the position it belongs to.
    pub fn state_hash(&self) -> (Seq, [u8; 32]) {
        let mut view = self.shared.view.write().expect("no reader panics while holding State");
        let hash = view.state.hash();
        (view.state.seq, hash)
    }

    /// The tree here.
    pub fn tree(&self) -> Frontier {
        self.shared.view.read().expect("no reader panics while holding State").tree.clone()
    }

    /// Demands this node accepted that are not decided.
    pub fn room(&self) -> &Arc<WaitingRoom> {
        &self.shared.room
    }

    /// Attestations handed in here lately, which every erasure in the log forgets.
    pub(crate) fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    /// The key this node signs heads with.
    pub fn log_key(&self) -> &LogKey {
        &self.shared.log_key
    }

    /// Asks for the outcome of a row; `None` when it is answered already and stands in the log.
    pub fn expect(&self, key: IntakeKey) -> Option<oneshot::Receiver<Outcome>> {
        self.expect_all(std::iter::once(key)).pop().flatten()
    }

    /// Asks for the outcomes of rows, in their order, each as [`Self::expect`] does.
    pub fn expect_all(
        &self,
        keys: impl Iterator<Item = IntakeKey>,
    ) -> Vec<Option<oneshot::Receiver<Outcome>>> {
        // Under the read lock no entry is applied: either the row is answered now, or its entry finds the waiter.
        let view = self.shared.view.read().expect("no reader panics while holding State");
        let mut waiting = self.shared.waiting.lock().expect("no panic inside");
        keys.map(|key| {
            (!view.state.is_answered(key)).then(|| {
                let (sender, receiver) = oneshot::channel();
                waiting.entry(key).or_default().push(sender);
                receiver
            })
        })
        .collect()
    }

    /// Forgets the requests for a row that no longer wait.
    pub fn forget(&self, key: IntakeKey) {
        let mut waiting = self.shared.waiting.lock().expect("no panic inside");
        if let Some(senders) = waiting.get_mut(&key) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.remove(&key);
            }
        }
    }

    /// How many requests wait for decisions.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> usize {
        self.shared.waiting.lock().expect("no panic inside").values().map(Vec::len).sum()
    }

    /// Applies committed entries; those applied before are passed over, so that the leader's own groups and the rows
    /// read back may come in any overlap.
    ///
    /// # Errors
    /// When an entry cannot follow from State: the node must stop.
    pub fn advance(&self, committed: Vec<Committed>) -> Result<(), EngineError> {
        let after = self.seq();
        self.advance_rows(committed.into_iter().filter(|c| c.entry.seq > after).map(Row::from).collect())
    }

    /// Applies a group that this node's own leader decided, after its commit. What the decider hashed on top of this very
    /// tree is taken from it: leaves, paths and the tree with the group.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub(crate) fn advance_group(&self, group: OwnGroup) -> Result<(), EngineError> {
        let OwnGroup { rows, paths, tree } = group;
        if rows.is_empty() {
            return Ok(());
        }
        let mut view = self.shared.view.write().expect("no reader panics while holding State");
        let joins = rows.first().is_some_and(|row| row.entry.seq == view.state.seq + 1)
            && view.tree.size() + rows.len() as u64 == tree.size();
        let turn = marks::last_turn(&view.state, &rows);
        if !joins || turn.is_some_and(|at| at > 0) {
            // Read back from the log before it was handed over, or the log's second turns inside of it.
            drop(view);
            return self.advance_rows(rows);
        }
        if turn.is_some() {
            view.mark();
        }
        self.apply_to_state(&mut view, &rows)?;
        let (size, root) = (tree.size(), tree.root());
        view.tree = tree;
        let waiting = self.shared.waiting.lock().expect("no panic inside");
        if !waiting.is_empty() {
            self.answer(waiting, rows, Appended { size, root, paths, tiles: Vec::new() });
        }
        self.moved(view);
        Ok(())
    }

    fn advance_rows(&self, mut rows: Vec<Row>) -> Result<(), EngineError> {
        let mut view = self.shared.view.write().expect("no reader panics while holding State");
        let after = view.state.seq;
        rows.retain(|row| row.entry.seq > after);
        if let Some(at) = marks::last_turn(&view.state, &rows) {
            let rest = rows.split_off(at);
            self.apply(&mut view, rows)?;
            view.mark();
            rows = rest;
        }
        self.apply(&mut view, rows)?;
        self.moved(view);
        Ok(())
    }

    fn moved(&self, view: RwLockWriteGuard<'_, View>) {
        let seq = view.state.seq;
        drop(view);
        self.shared.seq.send_replace(seq);
    }

    fn apply(&self, view: &mut View, rows: Vec<Row>) -> Result<(), EngineError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.apply_to_state(view, &rows)?;
        // Nobody begins to wait while State is held for writing, so nobody is missed.
        let waiting = self.shared.waiting.lock().expect("no panic inside");
        if waiting.is_empty() {
            // Paths are three quarters of the tree's work, and a log that is replayed has nobody to hand them to.
            for row in &rows {
                view.tree.push(row.leaf);
            }
            return Ok(());
        }
        let leaves: Vec<_> = rows.iter().map(|row| row.leaf).collect();
        let appended = view.tree.extend_with_paths(&leaves);
        self.answer(waiting, rows, appended);
        Ok(())
    }

    fn apply_to_state(&self, view: &mut View, rows: &[Row]) -> Result<(), EngineError> {
        for row in rows {
            view.state.apply(&row.entry)?;
        }
        if rows.iter().any(|row| matches!(row.entry.body, Body::Erased(_))) {
            self.shared.recent.forget();
        }
        self.shared.room.leave_all(rows.iter().filter_map(|row| row.entry.body.intake()));
        view.moved = Instant::now();
        Ok(())
    }

    /// Hands each waiting request its outcome, all under one signature.
    fn answer(&self, mut waiting: MutexGuard<'_, Waiting>, rows: Vec<Row>, appended: Appended) {
        let mut note = None;
        for (row, path) in rows.into_iter().zip(appended.paths) {
            let Some(mut waiters) = row.entry.body.intake().and_then(|key| waiting.remove(&key)) else {
                continue;
            };
            let note = note.get_or_insert_with(|| {
                let origin = self.shared.log_key.origin().clone();
                let (size, root) = (appended.size, appended.root);
                self.shared.log_key.sign(&TreeHead { origin, size, root, state_hash: None })
            });
            let Some(last) = waiters.pop() else { continue };
            let receipt = Receipt { entry: row.bytes.into(), seq: row.entry.seq, path, note: note.clone() };
            let outcome = Outcome { entry: row.entry, receipt };
            for waiter in waiters {
                // A request that gave up waiting asks again by its id.
                let _ = waiter.send(outcome.clone());
            }
            let _ = last.send(outcome);
        }
    }

    /// One step of following: reads rows above this position. Says whether there may be more.
    ///
    /// # Errors
    /// When rows cannot be read, decoded or applied.
    pub async fn catch_up(&self, store: &Store) -> Result<bool, EngineError> {
        let stream = self.read(|s| s.stream);
        let rows = store.read_log(stream, self.seq(), FOLLOW_ROWS_MAX).await?;
        let full = rows.len() as i64 == FOLLOW_ROWS_MAX;
        let mut committed = Vec::with_capacity(rows.len());
        for row in rows {
            // Checks leaf, position and epoch against the row: an edited row stops the node.
            committed.push(Committed { entry: row.decode()?, bytes: row.entry });
        }
        self.advance(committed)?;
        self.compare(store).await?;
        Ok(full)
    }
}
