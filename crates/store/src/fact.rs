//! What the policies of a gate saw, beside the log: written and sealed in the append of the entry that names its hash, and
//! erased by deleting its row, with ciphertext and key, without touching the log.

use sluice_core::ids::{Seq, StreamId};

use crate::Store;
use crate::columns::{from_bigint, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::seal::{SealKey, Sealed};

/// Facts that lie beside an entry and were not erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptFacts {
    /// What they say.
    Open(Vec<u8>),
    /// This reader has no key to them.
    Sealed,
    /// Somebody changed them, or what they are filed under: they do not open with the key that is theirs.
    Broken,
}

/// What a fact's seal is bound to, so that rows cannot be exchanged, nor a key be filed under somebody else.
pub(crate) fn bound_to(stream: StreamId, seq: Seq, about: &[u8]) -> Vec<u8> {
    [b"fact".as_slice(), &stream.0.to_be_bytes(), &seq.to_be_bytes(), about].concat()
}

/// Position, body, whose it is, the seal key's name, the wrapped key.
type Row = (i64, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

const COLUMNS: &str = "SELECT seq, body, about, seal_key, wrapped FROM fact";

fn opened(key: Option<&SealKey>, stream: StreamId, row: Row) -> Result<(Seq, KeptFacts)> {
    let (seq, body, about, name, wrapped) = row;
    let seq = from_bigint("fact.seq", seq)?;
    let Some(key) = key else { return Ok((seq, KeptFacts::Sealed)) };
    let row = bound_to(stream, seq, &about);
    let opened = key.open("facts beside the log", &row, &name, &Sealed { wrapped, body });
    let kept = match opened {
        Ok(bytes) => KeptFacts::Open(bytes),
        Err(Error::Corrupt { .. }) => KeptFacts::Broken,
        Err(other) => return Err(other),
    };
    Ok((seq, kept))
}

impl Store {
    /// The facts behind an entry; `None` where there were none, or they were erased.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::SealedOtherwise`] when this store's seal key is not theirs.
    pub async fn facts_of(&self, stream: StreamId, seq: Seq) -> Result<Option<KeptFacts>> {
        let sql = format!("{COLUMNS} WHERE stream = $1 AND seq = $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(to_integer("stream", stream.0)?)
            .bind(to_bigint("position", seq)?);
        let row: Option<Row> = self.fetch_optional("read facts", query).await?;
        Ok(row.map(|row| opened(self.seal_key(), stream, row)).transpose()?.map(|(_, facts)| facts))
    }

    /// The facts kept beside the entries above one position and up to another, ascending, without those that were erased.
    ///
    /// # Errors
    /// As [`Self::facts_of`].
    pub async fn facts_within(
        &self,
        stream: StreamId,
        above: Seq,
        upto: Seq,
    ) -> Result<Vec<(Seq, KeptFacts)>> {
        let sql = format!("{COLUMNS} WHERE stream = $1 AND seq > $2 AND seq <= $3 ORDER BY seq");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(to_integer("stream", stream.0)?)
            .bind(to_bigint("position", above)?)
            .bind(to_bigint("position", upto)?);
        let rows: Vec<Row> = self.fetch_all("read facts", query).await?;
        rows.into_iter().map(|row| opened(self.seal_key(), stream, row)).collect()
    }

    /// Erases the facts behind one entry, with their key; the entry keeps their hash. Says whether there were any. No entry says
    /// so: `log verify` tells such facts apart.
    ///
    /// # Errors
    /// [`Error::Unknown`]: call again.
    pub async fn erase_facts(&self, stream: StreamId, seq: Seq) -> Result<bool> {
        let sql = "DELETE FROM fact WHERE stream = $1 AND seq = $2";
        let query = sqlx::query(sql).bind(to_integer("stream", stream.0)?).bind(to_bigint("position", seq)?);
        Ok(self.execute("erase facts", query).await? == 1)
    }

    /// Compares this store's seal key with what facts and attestations are sealed under: the first and the last of each, so that
    /// a change of the key that was cut is seen (`crates/store/src/rewrap.rs`), and the newest attestation.
    ///
    /// # Errors
    /// [`Error::NoSealKey`] without a key, [`Error::SealedOtherwise`] with another one.
    pub async fn check_seal_key(&self, stream: StreamId) -> Result<()> {
        let what = "facts and attestations";
        let key = self.seal_key().ok_or(Error::NoSealKey { what })?;
        let sql = "
            (SELECT seal_key FROM fact WHERE stream = $1 ORDER BY seq DESC LIMIT 1)
            UNION ALL
            (SELECT seal_key FROM fact WHERE stream = $1 ORDER BY seq LIMIT 1)
            UNION ALL
            (SELECT seal_key FROM attestation ORDER BY id LIMIT 1)
            UNION ALL
            (SELECT seal_key FROM attestation ORDER BY id DESC LIMIT 1)
            UNION ALL
            (SELECT seal_key FROM attestation ORDER BY received_at DESC LIMIT 1)";
        let query = sqlx::query_as(sql).bind(to_integer("stream", stream.0)?);
        let newest: Vec<(Vec<u8>,)> = self.fetch_all("look under which key facts are sealed", query).await?;
        match newest.iter().find(|(name,)| *name != key.name()) {
            Some((name,)) => Err(key.otherwise(what, name)),
            None => Ok(()),
        }
    }
}
