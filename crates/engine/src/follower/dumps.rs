//! State dumps, written and started from. The leader freezes State where it signs a checkpoint, and writes it aside while
//! the log goes on; a starting node takes the newest that such a checkpoint vouches for, and follows the rest.

use std::io::{Error, ErrorKind, Write};

use alloy_primitives::B256;
use sluice_core::ids::{Seq, StreamId};
use sluice_core::log::merkle::Frontier;
use sluice_core::log::note::{LogKey, LogVerifier, TreeHead, open};
use sluice_core::state::State;
use sluice_core::state::dump::DumpSize;
use sluice_store::{DUMP_PAGE_BYTES, DumpAt, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::marks::{Compared, Mark, Marks};
use super::{Follower, View};
use crate::error::EngineError;

/// Pages of a dump between the thread that makes them and the connection that stores them: neither waits for the other, and
/// a dump never lies in memory as a whole.
const PAGES_AHEAD: usize = 2;

/// After the first checkpoint that found its place taken the next dump is due sooner, by so many halvings; after each
/// further one by one halving less, until they are as far apart as ever.
const TAKEN_HALVINGS: u32 = 6;

/// Who waits for State at a mark at or above a position.
#[derive(Debug)]
pub(super) struct Freeze {
    from: Seq,
    to: oneshot::Sender<Frozen>,
}

/// State and tree where they were marked.
#[derive(Debug)]
pub struct Frozen {
    state: State,
    tree: Frontier,
    mark: Mark,
}

/// Why a dump is passed over.
type Refused = String;

impl View {
    /// Hands State out if somebody waits for it here.
    pub(super) fn freeze_at(&mut self, mark: Mark) {
        for Freeze { to, .. } in self.freeze.extract_if(.., |freeze| mark.size >= freeze.from) {
            if !to.is_closed() {
                // Whoever goes away at this moment waits for no dump.
                let _ = to.send(Frozen { state: self.state.freeze(), tree: self.tree.clone(), mark });
            }
        }
    }
}

impl Follower {
    /// A follower that starts from the newest good dump, or from nothing, and has followed the log to its end. Whose
    /// checkpoints vouch for a dump is said here, by whoever did not learn it from the database: this node's own log key
    /// does, and those that are registered, Ed25519, as the home Charter's contract names them now.
    ///
    /// # Errors
    /// As [`Self::catch_up`]. A dump that is bad is none.
    pub async fn start(
        stream: StreamId,
        log_key: LogKey,
        registered: &[B256],
        store: &Store,
    ) -> Result<Self, EngineError> {
        let follower = Self::knowing(stream, log_key, registered.to_vec());
        let keys = follower.verifiers(registered);
        for dump in store.dumps(stream).await? {
            match follower.restore(store, stream, dump, &keys).await? {
                Ok(()) => {
                    tracing::info!(seq = dump.seq, "started from a state dump");
                    break;
                }
                Err(why) => {
                    tracing::warn!(
                        seq = dump.seq,
                        why,
                        "a state dump is refused; an older one or the log is used"
                    );
                }
            }
        }
        follower.to_head(store).await?;
        Ok(follower)
    }

    /// Takes State from a dump, or says why not.
    async fn restore(
        &self,
        store: &Store,
        stream: StreamId,
        dump: DumpAt,
        keys: &[LogVerifier],
    ) -> Result<Result<(), Refused>, EngineError> {
        let Some(bytes) = store.dump(stream, dump).await? else {
            return Ok(Err("it was deleted, or has more pages than are written".into()));
        };
        let read = spawn_blocking(move || {
            let (mut state, tree) = State::from_dump(&bytes).map_err(|error| error.to_string())?;
            let state_hash = state.hash_anew();
            let mark = Mark { size: tree.size(), root: tree.root(), state_hash };
            Ok::<_, Refused>((state, tree, mark))
        });
        let (state, tree, mark) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(why)) => return Ok(Err(why)),
            Err(panic) => return Ok(Err(format!("reading it panicked: {panic}"))),
        };
        if (state.stream, mark.size) != (stream, dump.seq) {
            return Ok(Err("it is of another stream or position than its rows".into()));
        }
        let note = match self.vouched(store, &state, mark, keys).await? {
            Ok(note) => note,
            Err(why) => return Ok(Err(why)),
        };
        let mut view = self.shared.view.write().expect("no reader panics while holding State");
        (view.state, view.tree, view.marks, view.dumped) = (state, tree, Marks::of(mark), mark.size);
        *self.shared.compared.lock().expect("no panic inside") = Compared::at(mark.size, note);
        drop(view);
        self.shared.seq.send_replace(mark.size);
        Ok(Ok(()))
    }

    /// The note of the checkpoint, signed by one of these keys, that vouches for tree and State, if the log has the row. The
    /// keys are never the dump's own: a State that names who may vouch for it would be vouched for by whoever made it.
    async fn vouched(
        &self,
        store: &Store,
        state: &State,
        mark: Mark,
        keys: &[LogVerifier],
    ) -> Result<Result<String, Refused>, EngineError> {
        let found = store.checkpoint_from(state.stream, mark.size).await?;
        let Some(checkpoint) = found.filter(|checkpoint| checkpoint.size == mark.size) else {
            return Ok(Err("no checkpoint names it".into()));
        };
        let wanted: TreeHead = self.head(mark);
        match open(&checkpoint.note, keys) {
            Ok(signed) if signed.head == wanted && checkpoint.state_hash == mark.state_hash => {}
            Ok(_) => return Ok(Err("its checkpoint has another root or state hash".into())),
            Err(error) => return Ok(Err(format!("its checkpoint is not signed as it should be: {error}"))),
        }
        let row = store.read_log(state.stream, mark.size - 1, 1).await?.pop();
        let Some(row) = row.filter(|row| row.seq == mark.size) else {
            return Ok(Err("the log has no entry at its position".into()));
        };
        let entry = row.decode()?;
        if (entry.epoch, entry.recorded_at) != (state.epoch, state.recorded_at) {
            return Ok(Err("the entry at its position is another".into()));
        }
        Ok(Ok(checkpoint.note))
    }

    /// This node's key and the registered ones. What the Charter registers without its being a key signs nothing.
    pub(super) fn verifiers(&self, registered: &[B256]) -> Vec<LogVerifier> {
        let origin = self.shared.log_key.origin();
        let registered = registered.iter().filter_map(|key| LogVerifier::of_log(origin, &key.0).ok());
        std::iter::once(self.shared.log_key.verifier()).chain(registered).collect()
    }

    /// Writes a dump at the first checkpoint that lies `every` entries or more behind the last dump, again and again. Only a
    /// leader does: its checkpoints are stored, and one dump serves every node. A dump that fails is given up; the next one
    /// is due all the same. Where a checkpoint finds its place taken, nobody could start from its dump, and it is tried
    /// again soon; but each time twice as far ahead, since every try copies and hashes State.
    ///
    /// # Errors
    /// Only one ends it: another node had another State at the checkpoint.
    pub async fn keep_dumps(&self, store: &Store, every: u64) -> EngineError {
        let mut from = self.shared.view.read().expect("no reader panics while holding State").dumped;
        // Checkpoints in a row that found their places taken.
        let mut taken = 0;
        loop {
            from = from.saturating_add(due_in(every, taken));
            let Ok(frozen) = self.frozen(from).await else { return EngineError::Stopping };
            let seq = frozen.mark.size;
            from = seq;
            let written = match self.vouch(store, &frozen).await {
                Ok(true) => {
                    taken = 0;
                    self.write_pages(store, frozen).await
                }
                Ok(false) => {
                    taken = taken.saturating_add(1);
                    continue;
                }
                Err(error @ EngineError::Incident(_)) => return error,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(seq, error, "a state dump was not stored");
            }
        }
    }

    /// State at the next mark at or above a position.
    ///
    /// # Errors
    /// [`EngineError::Stopping`], which cannot be seen while this follower is there.
    pub async fn frozen(&self, from: Seq) -> Result<Frozen, EngineError> {
        let (to, frozen) = oneshot::channel();
        {
            let mut view = self.shared.view.write().expect("no reader panics while holding State");
            view.freeze.retain(|freeze| !freeze.to.is_closed());
            view.freeze.push(Freeze { from, to });
        }
        frozen.await.map_err(|_| EngineError::Stopping)
    }

    /// Stores the checkpoint of a frozen State, then its dump.
    ///
    /// # Errors
    /// When one of them cannot be stored, or the dump would be too large.
    pub async fn write_dump(&self, store: &Store, frozen: Frozen) -> Result<(), EngineError> {
        if !self.vouch(store, &frozen).await? {
            return Err(EngineError::Incident(format!(
                "the place of the checkpoint of {} entries is taken by a row that no log key signed",
                frozen.mark.size
            )));
        }
        self.write_pages(store, frozen).await
    }

    /// Stores the checkpoint that a start from this State's dump will ask for; says whether it stands.
    async fn vouch(&self, store: &Store, frozen: &Frozen) -> Result<bool, EngineError> {
        let head = self.head(frozen.mark);
        let note = self.shared.log_key.sign(&head);
        self.keep_checkpoint(store, frozen.state.stream, &head, &note).await
    }

    async fn write_pages(&self, store: &Store, frozen: Frozen) -> Result<(), EngineError> {
        let Frozen { state, tree, mark } = frozen;
        let (stream, started) = (state.stream, std::time::Instant::now());
        let (pages, received) = mpsc::channel(PAGES_AHEAD);
        let (told, size) = oneshot::channel();
        let making = spawn_blocking(move || {
            let mut size = DumpSize::default();
            state.dump(&tree, &mut size)?;
            // Nobody who listens: nobody who takes the pages either.
            let _ = told.send(size.0);
            let mut pages = Pages { part: Vec::new(), to: pages };
            state.dump(&tree, &mut pages)?;
            pages.last()
        });
        let size = size.await.map_err(|_| EngineError::Stopping)?;
        let stored = store.add_dump(stream, mark.size, size, received).await?;
        match making.await {
            Ok(Ok(())) if stored => {}
            made => return Err(EngineError::Incident(format!("a state dump ended early: {made:?}"))),
        }
        self.shared.view.write().expect("no reader panics while holding State").dumped = mark.size;
        tracing::info!(seq = mark.size, bytes = size, took = ?started.elapsed(), "wrote a state dump");
        Ok(())
    }
}

/// How many entries behind the last try a dump is due, after so many checkpoints that found their places taken.
fn due_in(every: u64, taken: u32) -> u64 {
    let halved = match taken {
        0 => 0,
        _ => TAKEN_HALVINGS.saturating_sub(taken - 1),
    };
    (every >> halved).max(1)
}

/// Cuts what is written into pages and hands them on.
struct Pages {
    part: Vec<u8>,
    to: mpsc::Sender<Vec<u8>>,
}

impl Pages {
    fn send(&self, page: Vec<u8>) -> std::io::Result<()> {
        let gone = |_| Error::new(ErrorKind::BrokenPipe, "nobody stores the pages");
        self.to.blocking_send(page).map_err(gone)
    }

    fn last(self) -> std::io::Result<()> {
        if self.part.is_empty() { Ok(()) } else { self.send(self.part.clone()) }
    }
}

impl Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(DUMP_PAGE_BYTES - self.part.len());
        self.part.extend(&bytes[..taken]);
        if self.part.len() == DUMP_PAGE_BYTES {
            let page = std::mem::take(&mut self.part);
            self.send(page)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_whose_place_is_taken_is_tried_soon_and_then_ever_later() {
        let due: Vec<_> = (0..9).map(|taken| due_in(6_400, taken)).collect();
        assert_eq!(due, [6_400, 100, 200, 400, 800, 1_600, 3_200, 6_400, 6_400]);
        assert_eq!((due_in(3, 1), due_in(3, u32::MAX)), (1, 3), "always further");
    }
}
