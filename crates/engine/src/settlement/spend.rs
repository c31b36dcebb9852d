//! The spend limit: what a campaign's transactions may cost in any stretch of a length. It is counted in the database,
//! so that restarts and take-overs change nothing: first what a transaction may cost at most, before it is signed; then,
//! in its place, what its transaction receipt says. Over the limit nothing new is planned or signed for the campaign;
//! what is under way is still raised at its nonce, because other campaigns' transactions wait behind it.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use sluice_core::fees::SpendLimit;
use sluice_core::ids::CampaignId;
use sluice_core::limits::BATCH_BYTES_MAX;
use sluice_core::state::batch::{Attempt, Batch};
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
    /// Whether a campaign may spend this much more now; says so once when it may not, and once when it may again. What is
    /// noted already for the nonce that is about to be signed for, by an attempt that an epoch has made useless or that
    /// was cut off before it was signed, is not counted beside the new one: one of them is mined, the dearer at worst.
    pub(super) async fn may_spend(
        &mut self,
        campaign: CampaignId,
        wanted: u128,
        nonce: Option<(Address, u64)>,
    ) -> Result<bool, EngineError> {
        let Some(limit) = self.terms.of(campaign).spend else { return Ok(true) };
        let (spent, there) = self.store.spent_beside(self.chain.id(), campaign, limit.period, nonce).await?;
        let wanted = wanted.max(there);
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
        lane: Address,
        nonce: u64,
        wei: u128,
    ) -> Result<(), EngineError> {
        if self.terms.of(campaign).spend.is_none() {
            return Ok(());
        }
        let spending = Spending { chain: self.chain.id(), campaign, lane, nonce, wei };
        Ok(self.store.may_spend(spending).await?)
    }

    /// Notes what mined transactions of limited campaigns cost, each once in this term. A batch may be mined and final, and
    /// so gone from State, between two looks; what this term saw of it or signed for it is asked about then.
    pub(super) async fn note_costs(&mut self) -> Result<(), EngineError> {
        let here = self.chain.id();
        let (known, mut mined): (Vec<_>, Vec<_>) = self.follower.read(|state| {
            let campaigns = state.campaigns.values().filter(|c| c.terms.distributor.chain_id == here);
            let limited = campaigns.filter(|c| self.terms.of(c.terms.campaign).spend.is_some());
            let batches: Vec<_> =
                limited.flat_map(|c| c.batches.values().map(|b| (c.terms.campaign, b))).collect();
            let known = batches.iter().flat_map(|(c, b)| b.attempts.iter().map(|a| (*c, a.clone())));
            let mined = batches.iter().filter_map(|(c, b)| mined_attempt(b).map(|m| (*c, m)));
            (known.collect(), mined.collect())
        });
        self.noted.retain(|hash| mined.iter().any(|(_, attempt)| attempt.tx_hash == *hash));
        let there: BTreeSet<B256> = known.iter().map(|(_, attempt)| attempt.tx_hash).collect();
        mined.extend(self.unnoted.values().filter(|(_, a)| !there.contains(&a.tx_hash)).cloned());
        let unnoted = known.into_iter().filter(|(_, a)| !self.noted.contains(&a.tx_hash));
        self.unnoted.extend(unnoted.map(|(campaign, attempt)| (attempt.tx_hash, (campaign, attempt))));
        for (campaign, attempt) in mined {
            let tx = attempt.tx_hash;
            if self.noted.contains(&tx) {
                continue;
            }
            let Some(receipt) = self.chain.receipt(tx).await? else {
                // Of a batch that is final by another attempt, or not shown by this node yet.
                if !there.contains(&tx) {
                    self.unnoted.remove(&tx);
                }
                continue;
            };
            let said = [receipt.gas_price.saturating_mul(receipt.gas_used.into()), receipt.data_fee];
            let wei = believable(said, &attempt);
            if wei < said[0].saturating_add(said[1]) {
                tracing::warn!(%campaign, %tx, gas = said[0], data = said[1], booked = wei,
                    "a receipt says that a transaction cost more than it can have cost; the most is booked");
            }
            let (lane, nonce) = (attempt.lane, attempt.nonce);
            self.store.has_spent(Spending { chain: here, campaign, lane, nonce, wei }).await?;
            self.unnoted.remove(&tx);
            if there.contains(&tx) {
                self.noted.insert(tx);
            }
        }
        Ok(())
    }
}

/// What a chain takes for bringing one transaction's bytes to another chain, at most, wei: as much calldata as a batch
/// may have, each byte at its 16 gas (EIP-2028) and a thousand gwei for each gas. That is 1.92 coin, and only chains of
/// Optimism's kind say any.
const DATA_FEE_MAX: u128 = BATCH_BYTES_MAX as u128 * 16 * 1_000_000_000_000;

/// What is booked for a transaction whose receipt says that its gas and its data cost this, wei: a node that lies or errs
/// must not use up a limit with what was never spent.
fn believable([gas, data]: [u128; 2], attempt: &Attempt) -> u128 {
    let gas_max = attempt.max_fee.saturating_mul(attempt.gas_limit.into());
    gas.min(gas_max).saturating_add(data.min(DATA_FEE_MAX))
}

/// The attempt by which a batch was mined.
fn mined_attempt(batch: &Batch) -> Option<Attempt> {
    let tx = batch.mined.as_ref()?.tx_hash;
    batch.attempts.iter().find(|a| a.tx_hash == tx).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_receipt_costs_more_than_its_transaction_offered_and_its_bytes_can() {
        let attempt = Attempt {
            epoch: 1,
            lane: Address::ZERO,
            nonce: 5,
            tx_hash: Default::default(),
            max_fee: 100,
            priority_fee: 1,
            gas_limit: 1_000,
        };
        assert_eq!(believable([99_999, 7], &attempt), 100_006);
        assert_eq!(believable([100_001, 7], &attempt), 100_007);
        assert_eq!(believable([5, u128::MAX], &attempt), 5 + DATA_FEE_MAX);
        assert_eq!(believable([u128::MAX; 2], &attempt), 100_000 + DATA_FEE_MAX);
    }
}
