//! State dumps to start from, so that a node need not replay the whole log. They are a cache of it: whoever starts from one
//! compares its hash with a checkpoint's, and can do without.

use sluice_core::ids::{Seq, StreamId};
use sqlx::Connection;
use tokio::sync::mpsc;

use crate::Store;
use crate::columns::{from_bigint, from_integer, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::limits::{ANSWER_TIMEOUT, DUMP_PAGE_BYTES, DUMP_PAGES_MAX, DUMPS_KEPT};
use crate::store::within;

/// A stored dump, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpAt {
    /// The position of the last entry in it.
    pub seq: Seq,
    /// How many pages it has.
    pub pages: u32,
}

/// One page; the last of a dump with the deletion of old ones is the same transaction.
const PAGE: &str = "INSERT INTO state_page (stream, seq, page, pages, bytes) VALUES ($1, $2, $3, $4, $5)";
const OLD: &str = "DELETE FROM state_page WHERE stream = $1 AND seq < (
                       SELECT min(seq) FROM (SELECT DISTINCT seq FROM state_page WHERE stream = $1
                                             ORDER BY seq DESC LIMIT $2) kept)";

impl Store {
    /// Stores a dump of `size` bytes as its pages come in, each of [`DUMP_PAGE_BYTES`] but the last, and deletes all but the
    /// newest two: in one transaction, so that a dump is there whole or not at all wherever its writer is cut. `false` when
    /// the pages ended before the size was reached; nothing is stored then.
    ///
    /// # Errors
    /// [`Error::TooMuch`] above [`DUMP_PAGES_MAX`] pages, [`Error::Refused`] when the size or `seq` is 0.
    pub async fn add_dump(
        &self,
        stream: StreamId,
        seq: Seq,
        size: u64,
        mut pages: mpsc::Receiver<Vec<u8>>,
    ) -> Result<bool> {
        let action = "store a state dump";
        let (stream, seq) = (to_integer("stream", stream.0)?, to_bigint("position", seq)?);
        let wanted = size.div_ceil(DUMP_PAGE_BYTES as u64);
        let count = i32::try_from(wanted).ok().filter(|count| count.unsigned_abs() <= DUMP_PAGES_MAX);
        let count = count.ok_or(Error::TooMuch {
            what: "pages of State",
            given: usize::try_from(wanted).unwrap_or(usize::MAX),
            max: DUMP_PAGES_MAX as usize,
        })?;
        let mut session = self.checkout().await.map_err(Error::reading(action))?;
        let work = async {
            let mut part = within(ANSWER_TIMEOUT, session.get().begin()).await?;
            // Written again, it replaces what was found bad there.
            let same =
                sqlx::query("DELETE FROM state_page WHERE stream = $1 AND seq = $2").bind(stream).bind(seq);
            within(ANSWER_TIMEOUT, same.execute(&mut *part)).await?;
            let mut written = 0;
            for page in 0..count.max(1) {
                let Some(bytes) = pages.recv().await else { return Ok(false) };
                written += bytes.len() as u64;
                let insert = sqlx::query(PAGE).bind(stream).bind(seq);
                let insert = insert.bind(page).bind(count).bind(bytes);
                within(ANSWER_TIMEOUT, insert.execute(&mut *part)).await?;
            }
            if written != size {
                return Ok(false);
            }
            within(ANSWER_TIMEOUT, sqlx::query(OLD).bind(stream).bind(DUMPS_KEPT).execute(&mut *part))
                .await?;
            within(ANSWER_TIMEOUT, part.commit()).await.map(|()| true)
        };
        let answer = work.await;
        session.settle(answer).map_err(Error::writing(action))
    }

    /// The stored dumps, the newest first. One that lacks a page is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn dumps(&self, stream: StreamId) -> Result<Vec<DumpAt>> {
        let sql = "SELECT seq, max(pages) FROM state_page WHERE stream = $1
                   GROUP BY seq HAVING count(*) = max(pages) AND min(pages) = max(pages) ORDER BY seq DESC LIMIT $2";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?).bind(DUMPS_KEPT);
        let rows: Vec<(i64, i32)> = self.fetch_all("list the state dumps", query).await?;
        rows.into_iter()
            .map(|(seq, pages)| {
                let pages = from_integer("state_page.pages", pages)?;
                Ok(DumpAt { seq: from_bigint("state_page.seq", seq)?, pages })
            })
            .collect()
    }

    /// The bytes of a dump, read page by page; `None` when it was deleted meanwhile, or has more pages than are ever written.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn dump(&self, stream: StreamId, dump: DumpAt) -> Result<Option<Vec<u8>>> {
        if dump.pages > DUMP_PAGES_MAX {
            return Ok(None);
        }
        let (stream, seq) = (to_integer("stream", stream.0)?, to_bigint("position", dump.seq)?);
        let mut bytes = Vec::with_capacity(dump.pages as usize * DUMP_PAGE_BYTES);
        for page in 0..dump.pages {
            let sql = "SELECT bytes FROM state_page WHERE stream = $1 AND seq = $2 AND page = $3";
            let query = sqlx::query_as(sql).bind(stream).bind(seq).bind(to_integer("page", page)?);
            let found: Option<(Vec<u8>,)> = self.fetch_optional("read a page of a state dump", query).await?;
            let Some((page,)) = found else { return Ok(None) };
            bytes.extend(page);
        }
        Ok(Some(bytes))
    }
}
