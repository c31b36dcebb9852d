//! The log as its readers see it.

use sluice_core::ids::{Epoch, IntakeKey, Millis, Seq, StreamId};
use sluice_core::log::entry::{Entry, Kind};
use sluice_core::log::merkle::{Hash, TILE_WIDTH, Tile, TileId, leaf_hash};

use crate::Store;
use crate::columns::{from_bigint, from_bytea, from_integer, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::limits::{LIST_MAX, READ_BYTES_MAX};

/// An entry as it is appended: its bytes, and what the row says beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// The kind number.
    pub kind: Kind,
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// The Merkle tree's leaf hash of these bytes.
    pub leaf: Hash,
    /// The intake row it answers.
    pub intake: Option<IntakeKey>,
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its position.
    pub seq: Seq,
    /// The epoch it was appended under.
    pub epoch: Epoch,
    /// Its bytes.
    pub entry: Vec<u8>,
    /// Its leaf hash, as stored.
    pub leaf: Hash,
}

impl StoredEntry {
    /// The entry, decoded and checked against its row: a follower never applies what the Merkle tree does not cover.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when bytes, leaf, position or epoch disagree, or the format is newer than this binary.
    pub fn decode(&self) -> Result<Entry> {
        checked(self.seq, self.epoch, &self.entry, &self.leaf)
    }
}

/// The entry of a row, decoded and compared with what the row says beside it.
pub(crate) fn checked(seq: Seq, epoch: Epoch, bytes: &[u8], leaf: &Hash) -> Result<Entry> {
    let corrupt = |reason: String| Error::Corrupt { what: "log.entry", reason };
    if leaf_hash(bytes) != *leaf {
        return Err(corrupt(format!("the entry at {seq} does not hash to its leaf")));
    }
    let entry = Entry::decode(bytes).map_err(|error| corrupt(format!("at {seq}: {error}")))?;
    if (entry.seq, entry.epoch) != (seq, epoch) {
        return Err(corrupt(format!(
            "the row at {seq} of epoch {epoch} holds the entry of {} of epoch {}",
            entry.seq, entry.epoch
        )));
    }
    Ok(entry)
}

/// Who may append, and how far the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The epoch in force.
    pub epoch: Epoch,
    /// Who took it.
    pub holder: String,
    /// Until when its holder is not disturbed.
    pub lease_until: Millis,
    /// The last position; 0 for an empty log.
    pub seq: Seq,
    /// The database's clock.
    pub now: Millis,
}

/// A row of the log as it is read.
type Columns = (i64, i64, Vec<u8>, Vec<u8>);
/// The same with its stream before it.
type AnswerColumns = (i32, i64, i64, Vec<u8>, Vec<u8>);

fn stored((seq, epoch, entry, leaf): Columns) -> Result<StoredEntry> {
    Ok(StoredEntry {
        seq: from_bigint("log.seq", seq)?,
        epoch: from_bigint("log.epoch", epoch)?,
        entry,
        leaf: from_bytea("log.leaf", &leaf)?,
    })
}

/// The entries after a position, at most so many and so many bytes of them, but at least one. Lengths are known
/// without reading the entries, so the bound is kept before they are fetched.
pub(crate) const READ_LOG: &str = "
    SELECT seq, epoch, entry, leaf FROM (
        SELECT seq, epoch, entry, leaf, row_number() OVER w AS place, sum(octet_length(entry)) OVER w AS bytes
        FROM (SELECT * FROM log WHERE stream = $1 AND seq > $2 ORDER BY seq LIMIT $3) next
        WINDOW w AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)) counted
    WHERE bytes <= $4 OR place = 1 ORDER BY seq";

impl Store {
    /// The entries after a position, ascending and without a gap; at most `limit`, and fewer when they are large.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn read_log(&self, stream: StreamId, after: Seq, limit: i64) -> Result<Vec<StoredEntry>> {
        let query = sqlx::query_as(READ_LOG)
            .bind(to_integer("stream", stream.0)?)
            .bind(to_bigint("position", after)?)
            .bind(limit)
            .bind(READ_BYTES_MAX);
        self.fetch_all("read the log", query).await?.into_iter().map(stored).collect()
    }

    /// The entries at these positions, ascending. For entries that are known to be small, and a page of them: their lengths
    /// are not looked at before they are read.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn entries_at(&self, stream: StreamId, positions: &[Seq]) -> Result<Vec<StoredEntry>> {
        let positions =
            positions.iter().map(|seq| to_bigint("position", *seq)).collect::<Result<Vec<_>>>()?;
        let sql = "SELECT seq, epoch, entry, leaf FROM log WHERE stream = $1 AND seq = ANY($2) ORDER BY seq";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?).bind(positions);
        self.fetch_all("read entries of the log", query).await?.into_iter().map(stored).collect()
    }

    /// Who may append, and how far the log goes; `None` before the first epoch.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn head(&self, stream: StreamId) -> Result<Option<Head>> {
        let sql = "SELECT h.epoch, h.holder, millis(h.lease_until), millis(clock_timestamp()),
                          coalesce((SELECT seq FROM log WHERE stream = $1 ORDER BY seq DESC LIMIT 1), 0)
                   FROM head h WHERE h.stream = $1";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?);
        let row: Option<(i64, String, i64, i64, i64)> = self.fetch_optional("read the head", query).await?;
        row.map(|(epoch, holder, lease_until, now, seq)| {
            Ok(Head {
                epoch: from_bigint("head.epoch", epoch)?,
                holder,
                lease_until: from_bigint("head.lease_until", lease_until)?,
                seq: from_bigint("log.seq", seq)?,
                now: from_bigint("clock", now)?,
            })
        })
        .transpose()
    }

    /// Leaf hashes of the positions from `from` up to but without `to`, as far as they exist. At most 100,000.
    ///
    /// # Errors
    /// [`Error::TooMuch`] for a longer range.
    pub async fn leaf_hashes(&self, stream: StreamId, from: Seq, to: Seq) -> Result<Vec<Hash>> {
        let wanted = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let max = usize::try_from(LIST_MAX).unwrap_or(usize::MAX);
        if wanted > max {
            return Err(Error::TooMuch { what: "leaf hashes", given: wanted, max });
        }
        let sql = "SELECT leaf FROM log WHERE stream = $1 AND seq >= $2 AND seq < $3 ORDER BY seq";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", stream.0)?)
            .bind(to_bigint("position", from)?)
            .bind(to_bigint("position", to)?);
        let rows: Vec<(Vec<u8>,)> = self.fetch_all("read leaf hashes", query).await?;
        rows.into_iter().map(|(leaf,)| from_bytea("log.leaf", &leaf)).collect()
    }

    /// A tile of the Merkle log. Level 0 comes from the rows, full or not; above, only full ones are stored.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn tile(&self, stream: StreamId, id: TileId) -> Result<Option<Tile>> {
        let width = TILE_WIDTH as u64;
        if id.level == 0 {
            let first = id.n.saturating_mul(width).saturating_add(1);
            let hashes = self.leaf_hashes(stream, first, first.saturating_add(width)).await?;
            return Ok((!hashes.is_empty()).then_some(Tile { level: 0, n: id.n, hashes }));
        }
        let sql = "SELECT hashes FROM tile WHERE stream = $1 AND level = $2 AND n = $3";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", stream.0)?)
            .bind(i16::from(id.level))
            .bind(to_bigint("tile number", id.n)?);
        let row: Option<(Vec<u8>,)> = self.fetch_optional("read a tile", query).await?;
        row.map(|(bytes,)| {
            let hashes =
                bytes.chunks(32).map(|hash| from_bytea("tile.hashes", hash)).collect::<Result<_>>()?;
            Ok(Tile { level: id.level, n: id.n, hashes })
        })
        .transpose()
    }

    /// The full tiles of a level from number `from` on, ascending, at most `limit`: what a starting node needs of the
    /// open tile above them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn tiles(&self, stream: StreamId, level: u8, from: u64, limit: i64) -> Result<Vec<Tile>> {
        let sql =
            "SELECT n, hashes FROM tile WHERE stream = $1 AND level = $2 AND n >= $3 ORDER BY n LIMIT $4";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", stream.0)?)
            .bind(i16::from(level))
            .bind(to_bigint("tile number", from)?)
            .bind(limit);
        let rows: Vec<(i64, Vec<u8>)> = self.fetch_all("read tiles", query).await?;
        rows.into_iter()
            .map(|(n, bytes)| {
                let hashes =
                    bytes.chunks(32).map(|hash| from_bytea("tile.hashes", hash)).collect::<Result<_>>()?;
                Ok(Tile { level, n: from_bigint("tile.n", n)?, hashes })
            })
            .collect()
    }

    /// The entry that answered an intake row, with its stream.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Corrupt`] if two entries did.
    pub async fn entry_of_intake(&self, key: IntakeKey) -> Result<Option<(StreamId, StoredEntry)>> {
        let sql =
            "SELECT stream, seq, epoch, entry, leaf FROM log WHERE campaign = $1 AND node = $2 AND n = $3
                   ORDER BY seq LIMIT 2";
        let query = sqlx::query_as(sql)
            .bind(key.campaign.0)
            .bind(to_integer("node", key.node)?)
            .bind(to_bigint("intake number", key.n)?);
        let rows: Vec<AnswerColumns> = self.fetch_all("find the entry of a demand", query).await?;
        let mut answers = rows.into_iter().map(|(stream, seq, epoch, entry, leaf)| {
            Ok::<_, Error>((
                StreamId(from_integer("log.stream", stream)?),
                stored((seq, epoch, entry, leaf))?,
            ))
        });
        let (first, second) = (answers.next().transpose()?, answers.next().transpose()?);
        if let (Some((_, first)), Some((_, second))) = (&first, &second) {
            let reason = format!("{key:?} is answered at {} and again at {}", first.seq, second.seq);
            return Err(Error::Corrupt { what: "log", reason });
        }
        Ok(first)
    }
}
