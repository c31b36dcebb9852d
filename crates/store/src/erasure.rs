//! Erasures: who is to be erased and why, what that takes, and what became of it. Facts and attestations go, each with its key,
//! in the append of the entry that says so ([`crate::Append::destroys`]): no log says of anything that it is gone which is
//! there, and nothing goes without the log saying so.

use alloy_primitives::{Address, B256};
use sluice_core::decide::About;
use sluice_core::ids::{Millis, Seq, StreamId};
use sluice_core::limits::{ERASED_ATTESTATIONS_MAX, ERASED_FACTS_MAX};

use crate::Store;
use crate::columns::{from_bigint, from_bytea, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::limits::ERASED_BYTES_MAX;

/// Whom an erasure is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whom {
    /// Under whom facts are filed.
    pub about: About,
    /// By whom attestations are found: whom it is about, and the addresses that are theirs.
    pub subjects: Vec<Vec<u8>>,
}

impl Whom {
    /// Somebody of whom no other address is known.
    pub fn alone(about: About) -> Self {
        Self { about, subjects: vec![about.as_bytes().to_vec()] }
    }
}

/// Who is to be erased, and why. The operator says so, and answers for it.
#[derive(Clone, Copy, Debug)]
pub struct ErasureOrder<'a> {
    /// Under whom facts are filed.
    pub about: About,
    /// Why, in 1 to 500 characters.
    pub reason: &'a str,
    /// Also while decided payments of theirs wait for their gate's word, which then may never come.
    pub although_unpaid: bool,
}

impl<'a> ErasureOrder<'a> {
    /// One that waits for payments.
    pub fn new(about: About, reason: &'a str) -> Self {
        Self { about, reason, although_unpaid: false }
    }
}

/// An erasure that was ordered and is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenErasure {
    /// Its number, from 1.
    pub order: u64,
    /// Whom it is about.
    pub about: About,
    /// Whether attestations went for it already.
    pub begun: bool,
    /// Whether it waits for no payment.
    pub although_unpaid: bool,
}

/// What an entry that erases destroys: named one by one, so that nothing goes which it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroys {
    /// The entry's position.
    pub seq: Seq,
    /// The order it carries out.
    pub order: u64,
    /// The positions of facts, ascending.
    pub facts: Vec<Seq>,
    /// The ids of attestations.
    pub attestations: Vec<[u8; 32]>,
    /// How many of these are about somebody else, too: they can be handed in again.
    pub shared: u64,
    /// Whether nothing else was found for the order. Whether the entry is the order's last, the append itself decides: not
    /// while facts about them stand before it that were on their way when somebody looked.
    pub last: bool,
}

/// What became of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Facts, with their keys.
    pub facts: u64,
    /// Attestations about them, with their keys.
    pub attestations: u64,
    /// How many of these were about somebody else, too: they can be handed in again.
    pub shared: u64,
    /// The position of the entry that says so, the last of them if there are several.
    pub seq: Seq,
    /// When, on the database's clock.
    pub at: Millis,
}

impl Store {
    /// Everybody whom attestations about these are about: themselves, and who would lose an attestation with them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attested_with(&self, subjects: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let sql = "
            SELECT DISTINCT o.subject FROM attestation_subject s JOIN attestation_subject o USING (attestation)
            WHERE s.subject = ANY($1)";
        let query = sqlx::query_as(sql).bind(slices(subjects));
        let rows: Vec<(Vec<u8>,)> = self.fetch_all("find whom attestations are about", query).await?;
        Ok(rows.into_iter().map(|(subject,)| subject).collect())
    }

    /// Orders an erasure: the leader carries it out. Returns its number. Ordering it again is no error.
    ///
    /// # Errors
    /// [`Error::Unknown`]: call again; [`Error::Refused`] for a reason that is empty or longer than 500 characters.
    pub async fn order_erasure(&self, stream: StreamId, order: &ErasureOrder<'_>) -> Result<u64> {
        let sql = "
            WITH ordered AS (
                INSERT INTO erasure (stream, about, reason, although_unpaid)
                VALUES ($1, $2, $3, $4) RETURNING id, stream)
            INSERT INTO erasure_open (erasure, stream) SELECT id, stream FROM ordered RETURNING erasure";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", stream.0)?)
            .bind(order.about.as_bytes())
            .bind(order.reason)
            .bind(order.although_unpaid);
        let rows: Vec<(i64,)> = self.write_all("order an erasure", query).await?;
        from_bigint("erasure.id", rows.first().map_or(-1, |row| row.0))
    }

    /// Erasures that were ordered and are not done, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn open_erasures(&self, stream: StreamId, limit: i64) -> Result<Vec<OpenErasure>> {
        let sql = "
            SELECT o.erasure, e.about,
                EXISTS (SELECT FROM erased d WHERE d.erasure = o.erasure AND d.attestations > 0), e.although_unpaid
            FROM erasure_open o JOIN erasure e ON e.id = o.erasure
            WHERE o.stream = $1 ORDER BY o.erasure LIMIT $2";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?).bind(limit);
        let rows: Vec<(i64, Vec<u8>, bool, bool)> =
            self.fetch_all("look for ordered erasures", query).await?;
        rows.into_iter()
            .map(|(order, about, begun, although_unpaid)| {
                let order = from_bigint("erasure.id", order)?;
                Ok(OpenErasure { order, about: about_of(&about)?, begun, although_unpaid })
            })
            .collect()
    }

    /// What an order takes now, at most [`ERASED_FACTS_MAX`] facts and [`ERASED_ATTESTATIONS_MAX`] attestations at once, and of
    /// both as many as have [`ERASED_BYTES_MAX`]. Attestations go first: an entry without any says that none is left. `seq` is
    /// left open.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn erasable(&self, stream: StreamId, order: u64, whom: &Whom) -> Result<Destroys> {
        let most = |max: usize| i64::try_from(max).unwrap_or(i64::MAX);
        // The lengths of bodies stand in their rows; what lies beside these is not read.
        let sql = "
            SELECT t.attestation, octet_length(a.body), EXISTS (
                SELECT FROM attestation_subject o WHERE o.attestation = t.attestation
                AND o.subject <> ALL($1) AND o.subject <> decode(repeat('00', 20), 'hex'))
            FROM (SELECT DISTINCT attestation FROM attestation_subject WHERE subject = ANY($1) LIMIT $2) t
            JOIN attestation a ON a.id = t.attestation";
        let query = sqlx::query_as(sql).bind(slices(&whom.subjects)).bind(most(ERASED_ATTESTATIONS_MAX));
        let found: Vec<(Vec<u8>, i32, bool)> =
            self.fetch_all("look what is kept about somebody", query).await?;
        let sql = "
            SELECT seq, octet_length(body) FROM fact WHERE about = $1 AND stream = $2 ORDER BY seq LIMIT $3";
        let query = sqlx::query_as(sql)
            .bind(whom.about.as_bytes())
            .bind(to_integer("stream", stream.0)?)
            .bind(most(ERASED_FACTS_MAX));
        let facts: Vec<(i64, i32)> = self.fetch_all("look what is kept about somebody", query).await?;

        let sizes = found.iter().map(|(_, bytes, _)| *bytes).chain(facts.iter().map(|(_, bytes)| *bytes));
        let rows = rows_that_fit(sizes);
        let (found_all, facts_all) = (found.len(), facts.len());
        let found = &found[..rows.min(found_all)];
        let facts = &facts[..rows - found.len()];
        let is_whole = rows == found_all + facts_all;
        let last = is_whole && facts_all < ERASED_FACTS_MAX && found_all < ERASED_ATTESTATIONS_MAX;
        let shared = found.iter().filter(|(.., shared)| *shared).count() as u64;
        let facts = facts.iter().map(|(seq, _)| from_bigint("fact.seq", *seq)).collect::<Result<Vec<_>>>()?;
        let attestations =
            found.iter().map(|(id, ..)| from_bytea("attestation", id)).collect::<Result<Vec<[u8; 32]>>>()?;
        Ok(Destroys { seq: 0, order, facts, attestations, shared, last })
    }

    /// What became of an order; `None` while it is open.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn erasure(&self, order: u64) -> Result<Option<Erased>> {
        let sql = "
            SELECT sum(facts)::bigint, sum(attestations)::bigint, sum(shared)::bigint, max(seq), millis(max(at))
            FROM erased WHERE erasure = $1 HAVING bool_or(last)";
        let query = sqlx::query_as(sql).bind(to_bigint("erasure", order)?);
        let row: Option<(i64, i64, i64, i64, i64)> =
            self.fetch_optional("look what became of an erasure", query).await?;
        let Some((facts, attestations, shared, seq, at)) = row else { return Ok(None) };
        Ok(Some(Erased {
            facts: from_bigint("erased.facts", facts)?,
            attestations: from_bigint("erased.attestations", attestations)?,
            shared: from_bigint("erased.shared", shared)?,
            seq: from_bigint("erased.seq", seq)?,
            at: from_bigint("erased.at", at)?,
        }))
    }
}

/// How many of these rows one entry takes by their bytes: at least one.
fn rows_that_fit(sizes: impl Iterator<Item = i32>) -> usize {
    let mut bytes = 0_usize;
    let fits = |(at, size): &(usize, i32)| {
        bytes = bytes.saturating_add(usize::try_from(*size).unwrap_or(usize::MAX));
        *at == 0 || bytes <= ERASED_BYTES_MAX
    };
    sizes.enumerate().take_while(fits).count()
}

fn slices(all: &[Vec<u8>]) -> Vec<&[u8]> {
    all.iter().map(Vec::as_slice).collect()
}

fn about_of(bytes: &[u8]) -> Result<About> {
    match bytes.len() {
        20 => Ok(About::Recipient(Address::from_slice(bytes))),
        32 => Ok(About::Person(B256::from_slice(bytes))),
        length => {
            let reason = format!("it has {length} bytes, a person has 32 and an address 20");
            Err(Error::Corrupt { what: "erasure.about", reason })
        }
    }
}
