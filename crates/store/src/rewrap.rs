//! Changing the seal key: every data key is unwrapped with the former one and wrapped with the next, batch after batch, and
//! what it seals stays as it is. Rows are taken in the order of their keys and facts before attestations, so a change that was
//! cut leaves the oldest rows under the next key and the newest under the former: [`Store::check_seal_key`] looks at both
//! ends and lets no node start with either, until the change is carried to its end.

use sluice_core::ids::StreamId;

use crate::Store;
use crate::attestation;
use crate::columns::{from_bytea, from_integer};
use crate::error::{Error, Result};
use crate::fact;
use crate::limits::REWRAPPED_ROWS;
use crate::seal::SealKey;

/// How far a change of the seal key is. It is kept nowhere: whoever begins anew passes by what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewrapAt {
    /// Keys of facts, behind this row.
    Facts {
        /// The stream.
        stream: i32,
        /// The position.
        seq: i64,
    },
    /// Keys of attestations, behind this id.
    Attestations {
        /// The id, 32 bytes; none before the first.
        id: Vec<u8>,
    },
    /// Everything was looked at.
    Done,
}

impl RewrapAt {
    /// Before the first row.
    pub const START: Self = Self::Facts { stream: -1, seq: 0 };
}

/// What one batch, or several, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Keys that are under the next seal key now.
    pub rewrapped: u64,
    /// Keys that were under it before.
    pub already: u64,
    /// Keys that no longer open, because somebody changed them. They are as unreadable as before, and count as rewrapped by
    /// name only, so that a node starts.
    pub broken: u64,
}

impl std::ops::AddAssign for Rewrapped {
    fn add_assign(&mut self, more: Self) {
        self.rewrapped += more.rewrapped;
        self.already += more.already;
        self.broken += more.broken;
    }
}

/// A data key as it lies in its table: what tells the row apart, what its seal is bound to, and the wrapped key.
struct KeyRow<I> {
    id: I,
    bound_to: Vec<u8>,
    name: Vec<u8>,
    wrapped: Vec<u8>,
}

/// Stream, position, whose it is, the seal key's name, the wrapped key.
type FactKey = (i32, i64, Vec<u8>, Vec<u8>, Vec<u8>);
/// Its id, what else the seal is bound to, the seal key's name, the wrapped key.
type AttestationKey = (Vec<u8>, bool, Vec<u8>, Vec<u8>);

/// Data keys to be written.
struct Changed<I> {
    ids: Vec<I>,
    were: Vec<Vec<u8>>,
    wrapped: Vec<Vec<u8>>,
    found: Rewrapped,
}

/// Wraps the keys of a batch anew.
fn rewrap<I>(rows: Vec<KeyRow<I>>, what: &'static str, from: &SealKey, to: &SealKey) -> Result<Changed<I>> {
    let (ids, were, wrapped) = (Vec::new(), Vec::new(), Vec::new());
    let mut changed = Changed { ids, were, wrapped, found: Rewrapped::default() };
    for row in rows {
        if row.name == to.name() {
            changed.found.already += 1;
            continue;
        }
        let next = match from.rewrapped(to, what, &row.bound_to, &row.name, &row.wrapped) {
            Ok(next) => next,
            Err(Error::Corrupt { .. }) => {
                changed.found.broken += 1;
                row.wrapped
            }
            Err(other) => return Err(other),
        };
        changed.found.rewrapped += 1;
        changed.ids.push(row.id);
        changed.were.push(row.name);
        changed.wrapped.push(next);
    }
    Ok(changed)
}

impl Store {
    /// Who leads one of this database's streams, if somebody does: until nobody does, the seal key cannot change, because a
    /// node that has not the next one would take what it cannot open for missing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn led_by(&self) -> Result<Option<String>> {
        let sql = "SELECT holder FROM head WHERE lease_until > clock_timestamp() ORDER BY stream LIMIT 1";
        let row: Option<(String,)> =
            self.fetch_optional("look whether somebody leads", sqlx::query_as(sql)).await?;
        Ok(row.map(|(holder,)| holder))
    }

    /// Puts the next batch of data keys under another seal key, one statement that is its own transaction. May be cut
    /// anywhere and begun anew; what was erased meanwhile stays erased.
    ///
    /// # Errors
    /// [`Error::SealedOtherwise`] for a row under neither key, [`Error::Unknown`]: call again.
    pub async fn rewrap(&self, at: &RewrapAt, from: &SealKey, to: &SealKey) -> Result<(RewrapAt, Rewrapped)> {
        match at {
            RewrapAt::Facts { stream, seq } => self.rewrap_facts(*stream, *seq, from, to).await,
            RewrapAt::Attestations { id } => self.rewrap_attestations(id, from, to).await,
            RewrapAt::Done => Ok((RewrapAt::Done, Rewrapped::default())),
        }
    }

    async fn rewrap_facts(
        &self,
        stream: i32,
        seq: i64,
        from: &SealKey,
        to: &SealKey,
    ) -> Result<(RewrapAt, Rewrapped)> {
        let sql = "
            SELECT stream, seq, about, seal_key, wrapped FROM fact
            WHERE (stream, seq) > ($1, $2) ORDER BY stream, seq LIMIT $3";
        let query = sqlx::query_as(sql).bind(stream).bind(seq).bind(REWRAPPED_ROWS);
        let rows: Vec<FactKey> = self.fetch_all("read keys of facts", query).await?;
        let next = match rows.last() {
            Some((stream, seq, ..)) => RewrapAt::Facts { stream: *stream, seq: *seq },
            None => RewrapAt::Attestations { id: Vec::new() },
        };
        let row = |(stream, seq, about, name, wrapped): FactKey| {
            let of = StreamId(from_integer("fact.stream", stream)?);
            let bound_to = fact::bound_to(of, seq.unsigned_abs(), &about);
            Ok(KeyRow { id: (stream, seq), bound_to, name, wrapped })
        };
        let rows = rows.into_iter().map(row).collect::<Result<Vec<_>>>()?;
        let changed = rewrap(rows, "keys of facts", from, to)?;
        let sql = "
            UPDATE fact f SET seal_key = $5, wrapped = r.wrapped
            FROM unnest($1::int[], $2::bigint[], $3::bytea[], $4::bytea[]) AS r(stream, seq, was, wrapped)
            WHERE f.stream = r.stream AND f.seq = r.seq AND f.seal_key = r.was";
        let query = sqlx::query(sql)
            .bind(changed.ids.iter().map(|(stream, _)| *stream).collect::<Vec<_>>())
            .bind(changed.ids.iter().map(|(_, seq)| *seq).collect::<Vec<_>>())
            .bind(changed.were)
            .bind(changed.wrapped)
            .bind(to.name().to_vec());
        self.execute("rewrap keys of facts", query).await?;
        Ok((next, changed.found))
    }

    async fn rewrap_attestations(
        &self,
        after: &[u8],
        from: &SealKey,
        to: &SealKey,
    ) -> Result<(RewrapAt, Rewrapped)> {
        let sql = "
            SELECT id, signed_by_key, seal_key, wrapped FROM attestation WHERE id > $1 ORDER BY id LIMIT $2";
        let query = sqlx::query_as(sql).bind(after).bind(REWRAPPED_ROWS);
        let rows: Vec<AttestationKey> = self.fetch_all("read keys of attestations", query).await?;
        let next = match rows.last() {
            Some((id, ..)) => RewrapAt::Attestations { id: id.clone() },
            None => RewrapAt::Done,
        };
        let row = |(id, signed_by_key, name, wrapped): AttestationKey| {
            let bound_to = attestation::bound_to(&from_bytea("attestation.id", &id)?, signed_by_key);
            Ok(KeyRow { id, bound_to, name, wrapped })
        };
        let rows = rows.into_iter().map(row).collect::<Result<Vec<_>>>()?;
        let changed = rewrap(rows, "keys of attestations", from, to)?;
        let sql = "
            UPDATE attestation a SET seal_key = $4, wrapped = r.wrapped
            FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS r(id, was, wrapped)
            WHERE a.id = r.id AND a.seal_key = r.was";
        let query = sqlx::query(sql)
            .bind(changed.ids)
            .bind(changed.were)
            .bind(changed.wrapped)
            .bind(to.name().to_vec());
        self.execute("rewrap keys of attestations", query).await?;
        Ok((next, changed.found))
    }
}
