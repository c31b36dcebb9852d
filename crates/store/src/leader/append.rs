//! The append: one statement that fences, inserts everything a group yields, and is its own transaction.

use std::time::Instant;

use sluice_core::ids::{Millis, Seq, StreamId};
use sluice_core::limits::PARTITION_ROWS;
use sluice_core::log::merkle::Tile;
use sluice_core::sequencer::Facts;
use sluice_core::state::funds::Posting;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;

use super::{LeaderSession, Term};
use crate::attempt::Attempt;
use crate::columns::{from_bigint, to_bigint, to_integer, to_millis};
use crate::erasure::Destroys;
use crate::error::{AppendError, Error, Result};
use crate::fact::bound_to;
use crate::limits::{APPEND_BYTES_MAX, APPEND_ROWS_MAX};
use crate::log::LogRow;
use crate::seal::{SealKey, Sealed};

/// What one group adds to the log.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// The position of the first row; the others follow.
    pub first: Seq,
    /// The entries, in order; at least one, at most [`APPEND_ROWS_MAX`].
    pub rows: Vec<LogRow>,
    /// What the entries moved: one sum per campaign and account, stored at the group's last position. The table's key
    /// refuses two, its trigger sums that are not zero per campaign.
    pub postings: Vec<Posting>,
    /// The transactions of the group's `AttemptSigned` entries.
    pub attempts: Vec<Attempt>,
    /// The Merkle tiles of level 1 and above that the group filled.
    pub tiles: Vec<Tile>,
    /// What gates' policies saw of the group's claims, by position; each 1 to [`crate::FACT_BYTES_MAX`] bytes. They are sealed
    /// with the key of the store that opened this session.
    pub facts: Vec<Facts>,
    /// What the group's `Erased` entries destroy, in this very append.
    pub destroys: Vec<Destroys>,
}

/// A committed append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The database's clock.
    pub now: Millis,
}

/// Everything depends on `tail`, and `tail` on the locked row of `h`: without the epoch there is no `tail`, and nothing
/// is inserted. `h` locks without changing, so that no dead rows pile up behind a long reader; `renewed` changes the row
/// only when its parameter says so. That the last position is there keeps the log without gaps even when an append fails
/// whose successor is already on its way.
pub(super) const APPEND: &str = "
    WITH h AS MATERIALIZED (
        SELECT epoch FROM head WHERE stream = $1 AND epoch = $2 FOR NO KEY UPDATE),
    tail AS MATERIALIZED (
        SELECT $3 = 1 OR EXISTS (SELECT FROM log WHERE stream = $1 AND seq = $3 - 1) AS joins FROM h),
    entries AS (
        INSERT INTO log (stream, seq, epoch, kind, entry, leaf, campaign, node, n)
        SELECT $1, $3 + r.ord - 1, $2, r.kind, r.entry, r.leaf, r.campaign, r.node, r.n
        FROM tail, unnest($4::smallint[], $5::bytea[], $6::bytea[], $7::uuid[], $8::int[], $9::bigint[])
            WITH ORDINALITY AS r(kind, entry, leaf, campaign, node, n, ord)
        WHERE tail.joins),
    postings AS (
        INSERT INTO posting (stream, seq, campaign, kind, amount)
        SELECT $1, $10, r.campaign, r.kind, r.amount
        FROM tail, unnest($11::uuid[], $12::smallint[], $13::text[]::numeric[]) AS r(campaign, kind, amount)
        WHERE tail.joins),
    attempts AS (
        INSERT INTO attempt (stream, seq, campaign, batch, chain, lane, nonce, hash, raw)
        SELECT $1, r.seq, r.campaign, r.batch, r.chain, r.lane, r.nonce, r.hash, r.raw
        FROM tail, unnest($14::bigint[], $15::uuid[], $16::bigint[], $17::bigint[], $18::bytea[], $19::bigint[],
                          $20::bytea[], $21::bytea[]) AS r(seq, campaign, batch, chain, lane, nonce, hash, raw)
        WHERE tail.joins),
    tiles AS (
        INSERT INTO tile (stream, level, n, hashes)
        SELECT $1, r.level, r.n, r.hashes
        FROM tail, unnest($22::smallint[], $23::bigint[], $24::bytea[]) AS r(level, n, hashes)
        WHERE tail.joins),
    facts AS (
        INSERT INTO fact (stream, seq, about, body, seal_key, wrapped)
        SELECT $1, r.seq, r.about, r.body, $30, r.wrapped
        FROM tail, unnest($26::bigint[], $27::bytea[], $28::bytea[], $29::bytea[]) AS r(seq, body, about, wrapped)
        WHERE tail.joins),
    renewed AS (
        UPDATE head SET lease_until = clock_millis() + $25 * interval '1 millisecond'
        FROM tail WHERE tail.joins AND head.stream = $1 AND head.epoch = $2 AND $25 IS NOT NULL)
    SELECT joins, millis(clock_timestamp()) FROM tail";

/// The same with what `Erased` entries destroy: a statement of its own, because few appends have any. Somebody else may have
/// deleted facts meanwhile, so how many go is not asked.
///
/// An entry is its order's last only if no fact about them is left before it. Whoever looked for them did not see what was
/// on its way to the log; this statement does: earlier groups are committed before it begins, and its own stand in its
/// parameters.
fn appending_and_destroying() -> String {
    let destroying = "
    erased_facts AS (
        DELETE FROM fact f USING tail WHERE tail.joins AND f.stream = $1 AND f.seq = ANY($31::bigint[])),
    attestations AS (
        DELETE FROM attestation a USING tail WHERE tail.joins AND a.id = ANY($32::bytea[])),
    parts AS MATERIALIZED (
        SELECT r.seq, r.erasure, r.facts, r.attestations, r.shared, r.last
            AND NOT EXISTS (
                SELECT FROM fact k WHERE k.about = e.about AND k.stream = $1 AND k.seq < r.seq
                AND k.seq NOT IN (SELECT unnest($31::bigint[])))
            AND NOT EXISTS (
                SELECT FROM unnest($26::bigint[], $28::bytea[]) AS f(seq, about)
                WHERE f.about = e.about AND f.seq < r.seq) AS last
        FROM tail
        CROSS JOIN unnest($33::bigint[], $34::bigint[], $35::bigint[], $36::bigint[], $37::bigint[], $38::boolean[])
            AS r(seq, erasure, facts, attestations, shared, last)
        LEFT JOIN erasure e ON e.id = r.erasure
        WHERE tail.joins),
    destroyed AS (
        INSERT INTO erased (stream, seq, erasure, facts, attestations, shared, last)
        SELECT $1, seq, erasure, facts, attestations, shared, last FROM parts),
    done AS (
        DELETE FROM erasure_open o USING parts WHERE parts.last AND o.erasure = parts.erasure),
    renewed AS (";
    APPEND.replacen("\n    renewed AS (", destroying, 1)
}

impl LeaderSession {
    /// Appends a group under this session's epoch, and extends the lease when it is time.
    ///
    /// # Errors
    /// [`AppendError::Unknown`] means that it may be in the log: the session has ended, nobody is answered, and the log
    /// itself tells after a new epoch was taken. After every other error it is not.
    pub async fn append(&mut self, append: &Append) -> Result<Appended, AppendError> {
        let mut term = self.term.ok_or(Error::NoEpoch)?;
        append.check_bounds()?;
        let renewal = Self::renewal_due(&term);
        let sent = Instant::now();
        let rows = Rows::of(append, self.stream, self.seal.as_deref())?;
        let query = rows.query(to_integer("stream", self.stream.0)?, &term, renewal)?;
        let answer: Vec<(bool, i64)> =
            self.send("append to the log", query).await.map_err(AppendError::of)?;
        let now = match answer.first() {
            None => return Err(AppendError::Fenced { stream: self.stream, epoch: term.epoch }),
            Some((false, _)) => return Err(AppendError::Gap { stream: self.stream, first: append.first }),
            Some((true, now)) => from_bigint("clock", *now)?,
        };
        if renewal {
            term.renewed = sent;
        }
        let half = PARTITION_ROWS.unsigned_abs() / 2;
        if append.last() + half > term.partitioned {
            // Half a partition is left, and each append tries again.
            match self.provide_partitions(append.last()).await {
                Ok(partitioned) => term.partitioned = partitioned,
                Err(error) => tracing::warn!(%error, "no further partition of the log yet"),
            }
        }
        self.term = Some(term);
        Ok(Appended { now })
    }
}

impl Append {
    /// The position of the last row.
    pub fn last(&self) -> Seq {
        self.first + (self.rows.len() as u64).saturating_sub(1)
    }

    fn check_bounds(&self) -> Result<()> {
        if self.rows.is_empty() || self.rows.len() > APPEND_ROWS_MAX {
            return Err(Error::TooMuch { what: "entries", given: self.rows.len(), max: APPEND_ROWS_MAX });
        }
        let entries: usize = self.rows.iter().map(|row| row.entry.len()).sum();
        let facts: usize = self.facts.iter().map(|facts| facts.bytes.len()).sum();
        let bytes = entries + facts + self.attempts.iter().map(|attempt| attempt.raw.len()).sum::<usize>();
        if bytes > APPEND_BYTES_MAX {
            return Err(Error::TooMuch { what: "bytes of entries", given: bytes, max: APPEND_BYTES_MAX });
        }
        Ok(())
    }
}

/// Facts, each under a key of its own.
fn sealed(facts: &[Facts], stream: StreamId, seal: Option<&SealKey>) -> Result<Vec<Sealed>> {
    if facts.is_empty() {
        return Ok(Vec::new());
    }
    let key = seal.ok_or(Error::NoSealKey { what: "facts beside the log" })?;
    let one = |facts: &Facts| {
        let row = bound_to(stream, facts.seq, facts.about.as_bytes());
        key.seal(&row, &facts.bytes)
    };
    Ok(facts.iter().map(one).collect())
}

/// An append as arrays, one per column.
struct Rows<'a> {
    append: &'a Append,
    first: i64,
    last: i64,
    intake_nodes: Vec<Option<i32>>,
    intake_numbers: Vec<Option<i64>>,
    attempts: AttemptNumbers,
    tile_numbers: Vec<i64>,
    tile_hashes: Vec<Vec<u8>>,
    fact_positions: Vec<i64>,
    facts: Vec<Sealed>,
    seal_key: Option<[u8; 8]>,
    destroys: Vec<DestroyNumbers>,
}

/// One entry's part of what is destroyed.
struct DestroyNumbers {
    seq: i64,
    order: i64,
    facts: Vec<i64>,
    counts: [i64; 3],
    last: bool,
}

impl DestroyNumbers {
    fn of(destroys: &Destroys) -> Result<Self> {
        let position = |seq: &Seq| to_bigint("position", *seq);
        let counts = [destroys.facts.len() as u64, destroys.attestations.len() as u64, destroys.shared];
        Ok(Self {
            seq: position(&destroys.seq)?,
            order: to_bigint("erasure", destroys.order)?,
            facts: destroys.facts.iter().map(position).collect::<Result<_>>()?,
            counts: [
                to_bigint("facts", counts[0])?,
                to_bigint("attestations", counts[1])?,
                to_bigint("shared", counts[2])?,
            ],
            last: destroys.last,
        })
    }
}

#[derive(Default)]
struct AttemptNumbers {
    seq: Vec<i64>,
    batch: Vec<i64>,
    chain: Vec<i64>,
    nonce: Vec<i64>,
}

impl<'a> Rows<'a> {
    fn of(append: &'a Append, stream: StreamId, seal: Option<&SealKey>) -> Result<Self> {
        let intake = |row: &LogRow| row.intake;
        let mut attempts = AttemptNumbers::default();
        for attempt in &append.attempts {
            attempts.seq.push(to_bigint("position", attempt.seq)?);
            attempts.batch.push(to_bigint("batch", attempt.batch)?);
            attempts.chain.push(to_bigint("chain id", attempt.chain)?);
            attempts.nonce.push(to_bigint("nonce", attempt.nonce)?);
        }
        Ok(Self {
            append,
            first: to_bigint("position", append.first)?,
            last: to_bigint("position", append.last())?,
            intake_nodes: (append.rows.iter().map(intake))
                .map(|key| key.map(|key| to_integer("node", key.node)).transpose())
                .collect::<Result<_>>()?,
            intake_numbers: (append.rows.iter().map(intake))
                .map(|key| key.map(|key| to_bigint("intake number", key.n)).transpose())
                .collect::<Result<_>>()?,
            attempts,
            tile_numbers: append
                .tiles
                .iter()
                .map(|tile| to_bigint("tile number", tile.n))
                .collect::<Result<_>>()?,
            tile_hashes: append.tiles.iter().map(|tile| tile.hashes.concat()).collect(),
            fact_positions: append
                .facts
                .iter()
                .map(|facts| to_bigint("position", facts.seq))
                .collect::<Result<_>>()?,
            facts: sealed(&append.facts, stream, seal)?,
            seal_key: seal.map(SealKey::name),
            destroys: append.destroys.iter().map(DestroyNumbers::of).collect::<Result<_>>()?,
        })
    }

    fn query(
        &self,
        stream: i32,
        term: &Term,
        renewal: bool,
    ) -> Result<QueryAs<'_, Postgres, (bool, i64), PgArguments>> {
        let rows = &self.append.rows;
        let (attempts, postings) = (&self.append.attempts, &self.append.postings);
        let lease = if renewal { Some(to_millis("lease", term.lease)?) } else { None };
        let query = match self.destroys.is_empty() {
            true => sqlx::query_as(APPEND),
            false => sqlx::query_as(sqlx::AssertSqlSafe(appending_and_destroying())),
        };
        let query = query
            .bind(stream)
            .bind(to_bigint("epoch", term.epoch)?)
            .bind(self.first)
            .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.entry.as_slice()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.leaf.as_slice()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.intake.map(|key| key.campaign.0)).collect::<Vec<_>>())
            .bind(&self.intake_nodes)
            .bind(&self.intake_numbers)
            .bind(self.last)
            .bind(postings.iter().map(|posting| posting.campaign.0).collect::<Vec<_>>())
            .bind(postings.iter().map(|posting| posting.account as i16).collect::<Vec<_>>())
            .bind(postings.iter().map(|posting| posting.delta.to_string()).collect::<Vec<_>>())
            .bind(&self.attempts.seq)
            .bind(attempts.iter().map(|attempt| attempt.campaign.0).collect::<Vec<_>>())
            .bind(&self.attempts.batch)
            .bind(&self.attempts.chain)
            .bind(attempts.iter().map(|attempt| attempt.lane.as_slice()).collect::<Vec<_>>())
            .bind(&self.attempts.nonce)
            .bind(attempts.iter().map(|attempt| attempt.hash.as_slice()).collect::<Vec<_>>())
            .bind(attempts.iter().map(|attempt| attempt.raw.as_slice()).collect::<Vec<_>>())
            .bind(self.append.tiles.iter().map(|tile| i16::from(tile.level)).collect::<Vec<_>>())
            .bind(&self.tile_numbers)
            .bind(self.tile_hashes.iter().map(Vec::as_slice).collect::<Vec<_>>())
            .bind(lease)
            .bind(&self.fact_positions)
            .bind(self.facts.iter().map(|facts| facts.body.as_slice()).collect::<Vec<_>>())
            .bind(self.append.facts.iter().map(|facts| facts.about.as_bytes()).collect::<Vec<_>>())
            .bind(self.facts.iter().map(|facts| facts.wrapped.as_slice()).collect::<Vec<_>>())
            .bind(self.seal_key.as_ref().map(<[u8; 8]>::as_slice));
        if self.destroys.is_empty() {
            return Ok(query);
        }
        let (all, ids) = (&self.destroys, self.append.destroys.iter().flat_map(|d| &d.attestations));
        Ok(query
            .bind(all.iter().flat_map(|d| d.facts.iter().copied()).collect::<Vec<_>>())
            .bind(ids.map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
            .bind(all.iter().map(|d| d.seq).collect::<Vec<_>>())
            .bind(all.iter().map(|d| d.order).collect::<Vec<_>>())
            .bind(all.iter().map(|d| d.counts[0]).collect::<Vec<_>>())
            .bind(all.iter().map(|d| d.counts[1]).collect::<Vec<_>>())
            .bind(all.iter().map(|d| d.counts[2]).collect::<Vec<_>>())
            .bind(all.iter().map(|d| d.last).collect::<Vec<_>>()))
    }
}
