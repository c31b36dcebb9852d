//! Signed transactions. They are written by the append that carries their entries, before a byte of them leaves.

use alloy_primitives::{Address, B256};
use sluice_core::ids::{BatchNo, CampaignId, ChainId, Seq};
use uuid::Uuid;

use crate::Store;
use crate::columns::{from_bigint, from_bytea, to_bigint};
use crate::error::Result;

/// A signed transaction that carries a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The position of its `AttemptSigned` entry.
    pub seq: Seq,
    /// The campaign.
    pub campaign: CampaignId,
    /// The batch.
    pub batch: BatchNo,
    /// The chain.
    pub chain: ChainId,
    /// The settlement account.
    pub lane: Address,
    /// Its nonce.
    pub nonce: u64,
    /// The transaction's hash.
    pub hash: B256,
    /// The bytes that are broadcast, again and again the same.
    pub raw: Vec<u8>,
}

type Columns = (i64, Uuid, i64, i64, Vec<u8>, i64, Vec<u8>, Vec<u8>);

fn attempt((seq, campaign, batch, chain, lane, nonce, hash, raw): Columns) -> Result<Attempt> {
    Ok(Attempt {
        seq: from_bigint("attempt.seq", seq)?,
        campaign: CampaignId(campaign),
        batch: from_bigint("attempt.batch", batch)?,
        chain: from_bigint("attempt.chain", chain)?,
        lane: Address::from(from_bytea::<20>("attempt.lane", &lane)?),
        nonce: from_bigint("attempt.nonce", nonce)?,
        hash: B256::from(from_bytea::<32>("attempt.hash", &hash)?),
        raw,
    })
}

impl Store {
    /// What was last signed at a nonce of a settlement account.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn last_attempt_at(
        &self,
        chain: ChainId,
        lane: Address,
        nonce: u64,
    ) -> Result<Option<Attempt>> {
        let sql = "SELECT seq, campaign, batch, chain, lane, nonce, hash, raw FROM attempt
                   WHERE chain = $1 AND lane = $2 AND nonce = $3 ORDER BY seq DESC LIMIT 1";
        let query = sqlx::query_as(sql)
            .bind(to_bigint("chain id", chain)?)
            .bind(lane.as_slice())
            .bind(to_bigint("nonce", nonce)?);
        self.fetch_optional("read the attempt at a nonce", query).await?.map(attempt).transpose()
    }

    /// The attempt with this transaction hash.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn attempt_by_hash(&self, hash: B256) -> Result<Option<Attempt>> {
        let sql = "SELECT seq, campaign, batch, chain, lane, nonce, hash, raw FROM attempt WHERE hash = $1";
        let query = sqlx::query_as(sql).bind(hash.to_vec());
        self.fetch_optional("find an attempt", query).await?.map(attempt).transpose()
    }

    /// The bytes to broadcast for a transaction hash.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn raw_of(&self, hash: B256) -> Result<Option<Vec<u8>>> {
        let query = sqlx::query_as("SELECT raw FROM attempt WHERE hash = $1").bind(hash.to_vec());
        let row: Option<(Vec<u8>,)> = self.fetch_optional("read an attempt's bytes", query).await?;
        Ok(row.map(|(raw,)| raw))
    }
}
