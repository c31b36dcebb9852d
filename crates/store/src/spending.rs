//! What settlement costs, for campaigns with a spend limit. Rows are only added: what a transaction may cost, before it
//! is signed; what it did cost, when it is mined. The second stands for the first.

use std::time::Duration;

use alloy_primitives::Address;
use sluice_core::ids::{CampaignId, ChainId};

use crate::Store;
use crate::columns::to_bigint;
use crate::error::{Error, Result};

/// What a transaction of a campaign costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The chain.
    pub chain: ChainId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The settlement account.
    pub lane: Address,
    /// Its nonce: of all transactions signed for one, one is mined.
    pub nonce: u64,
    /// Wei.
    pub wei: u128,
}

impl Store {
    /// Notes what a transaction may cost at most.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn may_spend(&self, spending: Spending) -> Result<()> {
        self.add_spending(spending, false).await
    }

    /// Notes what a mined transaction cost.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_spent(&self, spending: Spending) -> Result<()> {
        self.add_spending(spending, true).await
    }

    async fn add_spending(&self, spending: Spending, mined: bool) -> Result<()> {
        let sql = "INSERT INTO spending (chain, campaign, lane, nonce, mined, wei)
                   VALUES ($1, $2, $3, $4, $5, $6::numeric) ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql)
            .bind(to_bigint("chain id", spending.chain)?)
            .bind(spending.campaign.0)
            .bind(spending.lane.to_vec())
            .bind(to_bigint("nonce", spending.nonce)?)
            .bind(mined)
            .bind(spending.wei.to_string());
        self.execute("note what a transaction costs", query).await?;
        Ok(())
    }

    /// Wei that a campaign's transactions of the last `period` have cost; those not known to be mined, at most. By the
    /// database's clock. No more than 128 bits hold is said.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn spent(&self, chain: ChainId, campaign: CampaignId, period: Duration) -> Result<u128> {
        Ok(self.spent_beside(chain, campaign, period, None).await?.0)
    }

    /// The same without what one account's nonce costs, and that by itself: what is signed next for this nonce stands
    /// for it, since one transaction of both is mined.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn spent_beside(
        &self,
        chain: ChainId,
        campaign: CampaignId,
        period: Duration,
        nonce: Option<(Address, u64)>,
    ) -> Result<(u128, u128)> {
        // A nonce counts once: by what was mined, else by the dearest. One absurd cost must not make the sum unreadable,
        // so it ends at 2^128 - 1: no limit is higher.
        let sql = "SELECT least(coalesce(sum(wei) FILTER (WHERE NOT here), 0),
                                340282366920938463463374607431768211455)::text,
                          least(coalesce(max(wei) FILTER (WHERE here), 0),
                                340282366920938463463374607431768211455)::text
                   FROM (
                       SELECT coalesce(lane = $4 AND nonce = $5, false) AS here,
                              coalesce(max(wei) FILTER (WHERE mined), max(wei)) AS wei
                       FROM spending
                       WHERE chain = $1 AND campaign = $2 AND at > now() - make_interval(secs => $3)
                       GROUP BY lane, nonce
                   ) AS nonces";
        let query = sqlx::query_as(sql)
            .bind(to_bigint("chain id", chain)?)
            .bind(campaign.0)
            .bind(period.as_secs_f64())
            .bind(nonce.map(|(lane, _)| lane.to_vec()))
            .bind(nonce.map(|(_, nonce)| to_bigint("nonce", nonce)).transpose()?);
        let (others, there): (String, String) = self.fetch_one("add up what a campaign spent", query).await?;
        Ok((wei(&others)?, wei(&there)?))
    }
}

fn wei(text: &str) -> Result<u128> {
    text.parse().map_err(|_| Error::Corrupt {
        what: "spending.wei",
        reason: "the sum is no number of 128 bits".into(),
    })
}
