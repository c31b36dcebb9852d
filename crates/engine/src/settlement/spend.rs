//! The spend limit: what a campaign's transactions may cost in any stretch of a length. It is counted in the database,
//! so that restarts and take-overs change nothing: first what a transaction may cost at most, before it is signed; then,
//! in its place, what its transaction receipt says. Over the limit nothing new is planned or signed for the campaign;
//! what is under way is still raised at its nonce, because other campaigns' transactions wait behind it.

use sluice_core::fees::SpendLimit;
use sluice_core::ids::CampaignId;
use sluice_core::state::batch::Batch;
use sluice_store::Spending;

use super::Settlement;
use crate::error::EngineError;

/// A campaign whose settlement waits, because its limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitsForSpend {
    /// The campaign.
    pub campaign: CampaignId,
    /// Wei spent, or under way, in the last period.
    pub spent: u128,
    /// Wei that the next transaction may cost.
    pub wanted: u128,
    /// The limit.
    pub limit: SpendLimit,
}

impl Settlement {
    /// Whether a campaign may spend this much more now; says so once when it may not, and once when it may again.
    pub(super) async fn may_spend(
        &mut self,
        campaign: CampaignId,
        wanted: u128,
    ) -> Result<bool, EngineError> {
        let Some(limit) = self.terms.of(campaign).spend else { return Ok(true) };
        let spent = self.store.spent(self.chain.id(), campaign, limit.period).await?;
        let may = spent.saturating_add(wanted) <= limit.wei;
        if may {
            if self.over.remove(&campaign).is_some() {
                tracing::info!(%campaign, spent, "settlement goes on below its spend limit");
            }
        } else if self.over.insert(campaign, WaitsForSpend { campaign, spent, wanted, limit }).is_none() {
            tracing::warn!(%campaign, spent, wanted, limit = limit.wei, period = ?limit.period,
                "a campaign's spend limit is reached; its settlement waits, claims go on");
        }
        Ok(may)
    }

    /// Notes what a transaction may cost, before it is signed.
    pub(super) async fn note_may_cost(
        &self,
        campaign: CampaignId,
        lane: alloy_primitives::Address,
        nonce: u64,
        wei: u128,
    ) -> Result<(), EngineError> {
        if self.terms.of(campaign).spend.is_none() {
            return Ok(());
        }
        let spending = Spending { chain: self.chain.id(), campaign, lane, nonce, wei };
        Ok(self.store.may_spend(spending).await?)
    }

    /// Notes what mined transactions of limited campaigns cost, each once in this term.
    pub(super) async fn note_costs(&mut self) -> Result<(), EngineError> {
        let here = self.chain.id();
        let mined: Vec<_> = self.follower.read(|state| {
            let campaigns = state.campaigns.values().filter(|c| c.terms.distributor.chain_id == here);
            let limited = campaigns.filter(|c| self.terms.of(c.terms.campaign).spend.is_some());
            limited
                .flat_map(|c| {
                    c.batches.values().filter_map(|b| mined_attempt(b).map(|m| (c.terms.campaign, m)))
                })
                .collect()
        });
        self.noted.retain(|hash| mined.iter().any(|(_, (tx, ..))| tx == hash));
        for (campaign, (tx, lane, nonce)) in mined {
            if self.noted.contains(&tx) {
                continue;
            }
            let Some(receipt) = self.chain.receipt(tx).await? else { continue };
            let gas = receipt.gas_price.saturating_mul(receipt.gas_used.into());
            let wei = gas.saturating_add(receipt.data_fee);
            self.store.has_spent(Spending { chain: here, campaign, lane, nonce, wei }).await?;
            self.noted.insert(tx);
        }
        Ok(())
    }
}

/// The attempt by which a batch was mined.
fn mined_attempt(batch: &Batch) -> Option<(alloy_primitives::B256, alloy_primitives::Address, u64)> {
    let tx = batch.mined.as_ref()?.tx_hash;
    batch.attempts.iter().find(|a| a.tx_hash == tx).map(|a| (tx, a.lane, a.nonce))
}
