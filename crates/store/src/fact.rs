//! What the policies of a gate saw, beside the log: written in the append of the entry that names its hash, and erased
//! without touching the log.

use sluice_core::ids::{Seq, StreamId};

use crate::Store;
use crate::columns::{to_bigint, to_integer};
use crate::error::Result;

impl Store {
    /// The facts behind an entry; `None` where there were none, or they were erased.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn facts_of(&self, stream: StreamId, seq: Seq) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT body FROM fact WHERE stream = $1 AND seq = $2";
        let query =
            sqlx::query_as(sql).bind(to_integer("stream", stream.0)?).bind(to_bigint("position", seq)?);
        let row: Option<(Vec<u8>,)> = self.fetch_optional("read facts", query).await?;
        Ok(row.map(|(body,)| body))
    }

    /// Erases the facts behind an entry; the entry keeps their hash. Says whether there were any.
    ///
    /// # Errors
    /// [`crate::Error::Unknown`]: call again.
    pub async fn erase_facts(&self, stream: StreamId, seq: Seq) -> Result<bool> {
        let sql = "DELETE FROM fact WHERE stream = $1 AND seq = $2";
        let query = sqlx::query(sql).bind(to_integer("stream", stream.0)?).bind(to_bigint("position", seq)?);
        Ok(self.execute("erase facts", query).await? == 1)
    }
}
