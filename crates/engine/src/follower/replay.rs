//! Replaying a long log: one connection tells it all, rows are decoded and hashed ahead, State follows. A start without a
//! dump, and a follower that fell far behind.

use std::collections::VecDeque;

use sluice_store::{Poured, Store};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{Follower, Row};
use crate::error::EngineError;

/// Parts read ahead of decoding: one under way, one waiting. A part is at most 10,000 rows or 4 MiB.
const READ_AHEAD: usize = 2;
/// Parts decoded ahead of State, on as many threads: enough that neither waits for the other. With what is read ahead,
/// about 50 MiB, whatever the length of the log.
const DECODED_AHEAD: usize = 3;

impl Follower {
    /// Follows until there is nothing more to read.
    ///
    /// # Errors
    /// As [`Self::catch_up`].
    pub async fn to_head(&self, store: &Store) -> Result<(), EngineError> {
        loop {
            let before = self.seq();
            if self.catch_up(store).await? {
                self.replay(store).await?;
            }
            // One look that finds nothing: a read may be short because its entries are long.
            if self.seq() == before {
                return Ok(());
            }
        }
    }

    /// Applies everything above this position as the log is now.
    async fn replay(&self, store: &Store) -> Result<(), EngineError> {
        let (stream, after) = self.read(|state| (state.stream, state.seq));
        let (into, mut parts) = mpsc::channel(READ_AHEAD);
        let from = store.clone();
        // It ends when nobody takes its parts any more.
        let reading = tokio::spawn(async move { from.pour_log(stream, after, &into).await });
        let mut ahead = VecDeque::new();
        loop {
            while ahead.len() < DECODED_AHEAD {
                let Some(part) = parts.recv().await else { break };
                ahead.push_back(spawn_blocking(move || decode(part)));
            }
            let Some(decoded) = ahead.pop_front() else { break };
            self.advance_rows(decoded.await.map_err(ended)??)?;
            self.compare(store).await?;
        }
        Ok(reading.await.map_err(ended)??)
    }
}

/// Checks leaf, position and epoch of each entry against its row: an edited row stops the node.
fn decode(part: Vec<Poured>) -> Result<Vec<Row>, sluice_store::Error> {
    let row = |poured: Poured| Ok(Row { entry: poured.decode()?, leaf: poured.leaf, bytes: poured.entry });
    part.into_iter().map(row).collect()
}

fn ended(error: tokio::task::JoinError) -> EngineError {
    EngineError::Incident(format!("replaying the log ended: {error}"))
}
