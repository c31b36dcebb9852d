//! Signed tree heads with the state hash.

use sluice_core::ids::{Millis, Seq, StreamId};

use crate::Store;
use crate::columns::{from_bigint, from_bytea, to_bigint, to_integer};
use crate::error::{Error, Result};

/// A checkpoint of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many entries it covers; the position of the last.
    pub size: Seq,
    /// The signed note (C2SP).
    pub note: String,
    /// The hash of State after that many entries.
    pub state_hash: [u8; 32],
    /// When it was stored, on the database's clock.
    pub made_at: Millis,
}

type Columns = (i64, String, Vec<u8>, i64);

fn checkpoint((size, note, state_hash, made_at): Columns) -> Result<Checkpoint> {
    Ok(Checkpoint {
        size: from_bigint("checkpoint.size", size)?,
        note,
        state_hash: from_bytea("checkpoint.state_hash", &state_hash)?,
        made_at: from_bigint("checkpoint.made_at", made_at)?,
    })
}

impl Store {
    /// Stores a checkpoint, or returns the one of this size that stood there before and stays: who made it, and whether it
    /// says the same, is for the caller to find out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn add_checkpoint(
        &self,
        stream: StreamId,
        size: Seq,
        note: &str,
        state_hash: &[u8; 32],
    ) -> Result<Option<Checkpoint>> {
        let sql = "INSERT INTO checkpoint (stream, size, note, state_hash) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (stream, size) DO NOTHING";
        let query = sqlx::query(sql)
            .bind(to_integer("stream", stream.0)?)
            .bind(to_bigint("size", size)?)
            .bind(note)
            .bind(state_hash.as_slice());
        if self.execute("store a checkpoint", query).await? == 1 {
            return Ok(None);
        }
        match self.checkpoint_from(stream, size).await? {
            Some(found) if found.size == size => Ok(Some(found)),
            // Rows go only by the hand of who may do anything; the next try finds its place free.
            _ => Err(Error::Unavailable { action: "store a checkpoint", source: sqlx::Error::RowNotFound }),
        }
    }

    /// The latest checkpoint.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn latest_checkpoint(&self, stream: StreamId) -> Result<Option<Checkpoint>> {
        let sql = "SELECT size, note, state_hash, millis(made_at) FROM checkpoint
                   WHERE stream = $1 ORDER BY size DESC LIMIT 1";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?);
        self.fetch_optional("read the latest checkpoint", query).await?.map(checkpoint).transpose()
    }

    /// The newest checkpoints above one size and up to another, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn checkpoints_within(
        &self,
        stream: StreamId,
        above: Seq,
        upto: Seq,
        limit: u16,
    ) -> Result<Vec<Checkpoint>> {
        let sql = "SELECT size, note, state_hash, millis(made_at) FROM checkpoint
                   WHERE stream = $1 AND size > $2 AND size <= $3 ORDER BY size DESC LIMIT $4";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", stream.0)?)
            .bind(to_bigint("size", above)?)
            .bind(to_bigint("size", upto)?)
            .bind(i64::from(limit));
        self.fetch_all("read checkpoints", query).await?.into_iter().map(checkpoint).collect()
    }

    /// The checkpoints of these sizes, ascending.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn checkpoints_at(&self, stream: StreamId, sizes: &[Seq]) -> Result<Vec<Checkpoint>> {
        let sizes = sizes.iter().map(|size| to_bigint("size", *size)).collect::<Result<Vec<_>>>()?;
        let sql = "SELECT size, note, state_hash, millis(made_at) FROM checkpoint
                   WHERE stream = $1 AND size = ANY($2) ORDER BY size";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?).bind(sizes);
        self.fetch_all("read checkpoints", query).await?.into_iter().map(checkpoint).collect()
    }

    /// The first checkpoint that covers at least `size` entries.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn checkpoint_from(&self, stream: StreamId, size: Seq) -> Result<Option<Checkpoint>> {
        let sql = "SELECT size, note, state_hash, millis(made_at) FROM checkpoint
                   WHERE stream = $1 AND size >= $2 ORDER BY size LIMIT 1";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?).bind(to_bigint("size", size)?);
        self.fetch_optional("read a checkpoint", query).await?.map(checkpoint).transpose()
    }
}
