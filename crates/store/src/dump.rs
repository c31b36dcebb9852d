//! State dumps to start from, so that a node need not replay the whole log.
//!
//! No node writes or starts from one yet: until logs are long enough that replaying them delays a start, the log alone is
//! the simpler truth.

use sluice_core::ids::{Seq, StreamId};

use crate::Store;
use crate::columns::{from_bigint, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::limits::{DUMP_PAGE_BYTES, DUMPS_KEPT};

/// State after some entry, as bytes. Whoever starts from it compares its hash with a checkpoint's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// The position of the last entry in it.
    pub seq: Seq,
    /// The bytes, as they were given.
    pub bytes: Vec<u8>,
}

impl Store {
    /// Stores a dump, whole or not at all, and deletes all but the newest two. Stored once, it stays.
    ///
    /// # Errors
    /// [`Error::Refused`] when `bytes` is empty or `seq` is 0.
    pub async fn add_dump(&self, stream: StreamId, seq: Seq, bytes: &[u8]) -> Result<()> {
        let sql = "INSERT INTO state_page (stream, seq, page, pages, bytes)
                   SELECT $1, $2, p.ord - 1, $4, p.bytes FROM unnest($3::bytea[]) WITH ORDINALITY AS p(bytes, ord)
                   ON CONFLICT DO NOTHING";
        let (stream, seq) = (to_integer("stream", stream.0)?, to_bigint("position", seq)?);
        let pages: Vec<&[u8]> =
            if bytes.is_empty() { vec![bytes] } else { bytes.chunks(DUMP_PAGE_BYTES).collect() };
        let count = i32::try_from(pages.len()).map_err(|_| Error::TooMuch {
            what: "bytes of State",
            given: bytes.len(),
            max: DUMP_PAGE_BYTES.saturating_mul(i32::MAX.unsigned_abs() as usize),
        })?;
        let query = sqlx::query(sql).bind(stream).bind(seq).bind(pages).bind(count);
        self.execute("store a state dump", query).await?;
        let sql = "DELETE FROM state_page WHERE stream = $1 AND seq < (
                       SELECT min(seq) FROM (SELECT DISTINCT seq FROM state_page WHERE stream = $1
                                             ORDER BY seq DESC LIMIT $2) kept)";
        self.execute("delete old state dumps", sqlx::query(sql).bind(stream).bind(DUMPS_KEPT)).await?;
        Ok(())
    }

    /// The newest complete dump at or before a position.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn latest_dump(&self, stream: StreamId, at_most: Seq) -> Result<Option<Dump>> {
        let sql = "SELECT seq, bytes FROM state_page WHERE stream = $1 AND seq = (
                       SELECT seq FROM state_page WHERE stream = $1 AND seq <= $2
                       GROUP BY seq HAVING count(*) = max(pages) ORDER BY seq DESC LIMIT 1)
                   ORDER BY page";
        let query =
            sqlx::query_as(sql).bind(to_integer("stream", stream.0)?).bind(to_bigint("position", at_most)?);
        let rows: Vec<(i64, Vec<u8>)> = self.fetch_all("read a state dump", query).await?;
        let Some((seq, _)) = rows.first() else { return Ok(None) };
        let seq = from_bigint("state_page.seq", *seq)?;
        Ok(Some(Dump { seq, bytes: rows.into_iter().flat_map(|(_, bytes)| bytes).collect() }))
    }
}
