//! The log as auditors copy it: every column of its rows, what lies beside them, and nothing checked, so that what
//! somebody changed is seen by who looks for it.

use sluice_core::ids::{CampaignId, Epoch, IntakeKey, Seq, StreamId};
use sluice_core::log::entry::Kind;
use sluice_core::log::merkle::Hash;
use uuid::Uuid;

use crate::Store;
use crate::columns::{from_bigint, from_bytea, from_integer, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::limits::READ_BYTES_MAX;

/// A row of the log with all its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeRow {
    /// Its position.
    pub seq: Seq,
    /// The epoch it was appended under.
    pub epoch: Epoch,
    /// The kind number.
    pub kind: Kind,
    /// Its bytes.
    pub entry: Vec<u8>,
    /// Its leaf hash, as stored.
    pub leaf: Hash,
    /// The intake row it answers, as stored.
    pub intake: Option<IntakeKey>,
}

type Columns = (i64, i64, i16, Vec<u8>, Vec<u8>, Option<Uuid>, Option<i32>, Option<i64>);

fn whole((seq, epoch, kind, entry, leaf, campaign, node, n): Columns) -> Result<WholeRow> {
    let intake = match (campaign, node, n) {
        (Some(campaign), Some(node), Some(n)) => Some(IntakeKey {
            campaign: CampaignId(campaign),
            node: from_integer("log.node", node)?,
            n: from_bigint("log.n", n)?,
        }),
        (None, None, None) => None,
        _ => {
            let reason = format!("the row at {seq} names half an intake row");
            return Err(Error::Corrupt { what: "log.intake", reason });
        }
    };
    Ok(WholeRow {
        seq: from_bigint("log.seq", seq)?,
        epoch: from_bigint("log.epoch", epoch)?,
        kind,
        entry,
        leaf: from_bytea("log.leaf", &leaf)?,
        intake,
    })
}

impl Store {
    /// Whole rows after a position, ascending; at most `limit`, and fewer when they are large, but at least one.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Corrupt`] for columns that no row of ours has.
    pub async fn whole_rows(&self, stream: StreamId, after: Seq, limit: i64) -> Result<Vec<WholeRow>> {
        let sql = "
            SELECT seq, epoch, kind, entry, leaf, campaign, node, n FROM (
                SELECT *, row_number() OVER w AS place, sum(octet_length(entry)) OVER w AS bytes
                FROM (SELECT * FROM log WHERE stream = $1 AND seq > $2 ORDER BY seq LIMIT $3) next
                WINDOW w AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)) counted
            WHERE bytes <= $4 OR place = 1 ORDER BY seq";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", stream.0)?)
            .bind(to_bigint("position", after)?)
            .bind(limit)
            .bind(READ_BYTES_MAX);
        self.fetch_all("read whole rows of the log", query).await?.into_iter().map(whole).collect()
    }
}
