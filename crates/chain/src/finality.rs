//! The head of a chain, and which of its blocks will not be reorganised away.

use std::sync::PoisonError;

use alloy_primitives::U64;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_core::ids::BlockRef;

use crate::endpoint::Endpoint;
use crate::error::ChainError;
use crate::rpc::Chain;

/// When a block is final here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finality {
    /// The node's `finalized` tag: on Ethereum two epochs behind, on rollups once their data is final on L1.
    Finalized,
    /// The node's `safe` tag.
    Safe,
    /// So many blocks behind the latest one, for chains without the tags.
    Confirmations(u64),
}

/// How far a chain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The latest block.
    pub latest: BlockRef,
    /// The highest block that will not be reorganised away, by the configured rule.
    pub finalized: BlockRef,
}

impl Chain {
    /// How far the chain has come. With two RPCs, final means that both say so and agree on the hash; while one of
    /// them is away, what they agreed on last stands.
    ///
    /// # Errors
    /// [`ChainError::Disagree`], or no answer.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let latest = self.latest_header().await?.block();
        let [first, rest @ ..] = self.endpoints() else { return Err(ChainError::NoBlock(0)) };
        let finalized = match rest {
            [] => self.final_at(first).await?,
            [second, ..] => self.agreed_final(first, second).await?,
        };
        // A second RPC that is ahead may have answered for the first.
        let latest = if latest.number < finalized.number { finalized } else { latest };
        Ok(Head { latest, finalized })
    }

    async fn agreed_final(&self, first: &Endpoint, second: &Endpoint) -> Result<BlockRef, ChainError> {
        let last = *self.agreed().lock().unwrap_or_else(PoisonError::into_inner);
        let now = match self.witnessed_final(first, second).await {
            Ok(now) => now,
            Err(error @ ChainError::Disagree { .. }) => return Err(error),
            Err(error) => {
                let Some(last) = last else { return Err(error) };
                tracing::warn!(%error, chain = self.id(), "one RPC is away; finality stands at the last agreed block");
                return Ok(last);
            }
        };
        let kept = last.filter(|last| last.number > now.number).unwrap_or(now);
        *self.agreed().lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(kept)
    }

    /// The highest block that both call final, if both have the same one there.
    async fn witnessed_final(&self, first: &Endpoint, second: &Endpoint) -> Result<BlockRef, ChainError> {
        let (a, b) = tokio::try_join!(self.final_at(first), self.final_at(second))?;
        let number = a.number.min(b.number);
        let at = |endpoint, known: BlockRef| async move {
            match known.number == number {
                true => Ok(known),
                false => self.block_on(endpoint, number).await?.ok_or(ChainError::NoBlock(number)),
            }
        };
        let (a, b) = tokio::try_join!(at(first, a), at(second, b))?;
        match a == b {
            true => Ok(a),
            false => Err(ChainError::Disagree { number, first: a.hash, second: b.hash }),
        }
    }

    async fn final_at(&self, endpoint: &Endpoint) -> Result<BlockRef, ChainError> {
        let tag = match self.config().finality {
            Finality::Finalized => json!("finalized"),
            Finality::Safe => json!("safe"),
            Finality::Confirmations(depth) => {
                let latest: U64 = self.read_on(endpoint, "eth_blockNumber", json!([])).await?;
                json!(U64::from(latest.to::<u64>().saturating_sub(depth)))
            }
        };
        let header = self.header_on(endpoint, tag).await?;
        Ok(header.ok_or(ChainError::NoBlock(0))?.block())
    }
}
