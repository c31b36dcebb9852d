//! Snapshot files that are in storage.

use alloy_primitives::B256;

use crate::Store;
use crate::columns::{from_bigint, to_bigint};
use crate::error::{Error, Result};

/// Where a snapshot file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// SHA-256 of the file.
    pub list_hash: B256,
    /// Where it is.
    pub uri: String,
    /// Its bytes.
    pub size: u64,
}

impl Store {
    /// Notes that a file is in storage. Noting the same again is no error.
    ///
    /// # Errors
    /// [`Error::Exists`] when this hash was noted with another place or size.
    pub async fn add_snapshot(&self, snapshot: &StoredSnapshot) -> Result<()> {
        let sql = "INSERT INTO snapshot (list_hash, uri, size) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql)
            .bind(snapshot.list_hash.to_vec())
            .bind(snapshot.uri.as_str())
            .bind(to_bigint("snapshot size", snapshot.size)?);
        self.execute("note a snapshot", query).await?;
        match self.snapshot(snapshot.list_hash).await? {
            Some(stored) if stored == *snapshot => Ok(()),
            _ => Err(Error::Exists { what: "a snapshot with this hash", differs: "place or size" }),
        }
    }

    /// Where the file with this hash is.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn snapshot(&self, list_hash: B256) -> Result<Option<StoredSnapshot>> {
        let sql = "SELECT uri, size FROM snapshot WHERE list_hash = $1";
        let row: Option<(String, i64)> =
            self.fetch_optional("find a snapshot", sqlx::query_as(sql).bind(list_hash.to_vec())).await?;
        row.map(|(uri, size)| {
            Ok(StoredSnapshot { list_hash, uri, size: from_bigint("snapshot.size", size)? })
        })
        .transpose()
    }
}
