//! Attempts: a batch simulated, signed, committed and sent, in this order; and what became of those whose nonce is used.

use alloy_primitives::{Address, B256, U256};
use sluice_chain::At;
use sluice_chain::calls::BatchHead;
use sluice_chain::send::{Outcome, node_cap};
use sluice_chain::signer::TxRequest;
use sluice_chain::simulate::{SimCall, Simulated};
use sluice_core::fees::{FeePolicy, Fees, Market, calldata_reserve};
use sluice_core::ids::{BatchNo, CampaignId};
use sluice_core::limits::BATCH_GAS_MAX;
use sluice_core::log::entry::{AttemptSigned, Body};
use sluice_core::sender::LaneFacts;
use sluice_core::state::State;
use sluice_core::state::batch::{Attempt, Batch};

use super::{Settlement, TRANSFER_GAS_MAX, calldata};
use crate::error::EngineError;
use crate::sequencer::RawAttempt;

impl Settlement {
    /// Simulates, signs, commits, sends: in this order. A replacement keeps the gas limit of what it replaces while the call
    /// fits in it with its reserve: its fees were found for that, and where nodes take no more in all, a little more gas, of a
    /// log root with fewer zero bytes, would have it wait for ever; so there it also goes without the reserve. It is signed
    /// even if it would revert now: mined, it frees the nonce and shows that this content is dead.
    pub(super) async fn sign(
        &mut self,
        lane: usize,
        facts: &LaneFacts,
        campaign: CampaignId,
        batch: BatchNo,
        nonce: u64,
        fees: Fees,
        replaces: Option<u64>,
    ) -> Result<bool, EngineError> {
        let Some(call) = self.call(campaign, batch).await? else { return Ok(false) };
        let data = self.chain.data_cost(call.to, &call.data).await?;
        let gas_limit = match (self.simulate(facts.account, campaign, batch, &call).await?, replaces) {
            (Some(Simulated::Succeeds { gas_used, .. }), replaces) => {
                let anew = self.gas_limit(gas_used + data.gas + calldata_reserve(data.gas));
                if replaces.is_none() && anew < gas_used + data.gas + TRANSFER_GAS_MAX {
                    tracing::warn!(%campaign, batch, gas_used, data = data.gas,
                        "a batch and its calldata use more gas than a transaction may have; it waits until calldata costs less");
                    return Ok(false);
                }
                let fits = fees.max_fee <= self.policy_now().cap(anew);
                replaces.filter(|limit| keeps(*limit, gas_used, data.gas, fits)).unwrap_or(anew)
            }
            (_, Some(gas_limit)) => gas_limit,
            (Some(Simulated::Reverts(revert)), None) => return self.reverted(campaign, batch, revert).await,
            (None, None) => return Ok(false),
        };
        let fees = match self.fitting(facts, nonce, fees, gas_limit).await? {
            Some(fees) => fees,
            None => {
                tracing::warn!(%campaign, batch, gas_limit, "a batch uses more gas than fits what it may cost; it waits");
                return Ok(false);
            }
        };
        let may_cost = fees.max_fee.saturating_mul(gas_limit.into()).saturating_add(data.wei);
        let here = Some((facts.account, nonce));
        if replaces.is_none() && !self.may_spend(campaign, may_cost, here).await? {
            return Ok(false);
        }
        self.note_may_cost(campaign, facts.account, nonce, may_cost).await?;
        let signed = self.lanes[lane].signer.sign(&TxRequest {
            chain_id: self.chain.id(),
            nonce,
            to: Some(call.to),
            data: call.data,
            gas_limit,
            fees,
            value: U256::ZERO,
        })?;
        let body = Body::AttemptSigned(AttemptSigned {
            campaign,
            batch,
            lane: facts.account,
            nonce,
            tx_hash: signed.hash,
            max_fee: fees.max_fee,
            priority_fee: fees.priority_fee,
            gas_limit,
        });
        let raw = RawAttempt { chain_id: self.chain.id(), hash: signed.hash, raw: signed.raw.to_vec() };
        if self.observations.append(vec![body], vec![raw]).await?.is_empty() {
            return Ok(false);
        }
        tracing::info!(%campaign, batch, nonce, tx = %signed.hash, gas_limit, "attempt signed");
        self.broadcast(lane, facts.height, signed.hash, Some(signed.raw.to_vec())).await
    }

    /// The fee policy with what nodes take.
    fn policy_now(&self) -> FeePolicy {
        let cap = self.node_cap.wei().unwrap_or(u128::MAX);
        FeePolicy { max_transaction_fee: self.policy.max_transaction_fee.min(cap), ..self.policy }
    }

    /// Fees were found for the gas that was planned. A call that uses more may have to offer less for each; where it
    /// must outbid something at its nonce, it cannot.
    async fn fitting(
        &self,
        facts: &LaneFacts,
        nonce: u64,
        fees: Fees,
        gas_limit: u64,
    ) -> Result<Option<Fees>, EngineError> {
        let policy = self.policy_now();
        if fees.max_fee <= policy.cap(gas_limit) {
            return Ok(Some(fees));
        }
        let before = self.store.last_attempt_at(self.chain.id(), facts.account, nonce).await?;
        Ok(policy.first(facts.market, gas_limit).filter(|_| before.is_none()))
    }

    /// The gas that a batch may be planned with so that it can be paid for at these fees.
    pub(super) fn gas_that_fits(&self, market: Market) -> u64 {
        let limit = self.policy_now().gas_that_fits(market);
        // The inverse of `gas_limit`.
        (limit.saturating_sub(TRANSFER_GAS_MAX) / 21).saturating_mul(20).min(BATCH_GAS_MAX)
    }

    /// What a batch uses, at most.
    pub(super) fn gas_of(&self, state: &State, batch: &Batch) -> u64 {
        let campaign = state.campaign(batch.plan.campaign);
        campaign.map_or(0, |known| self.gas.of(known, &batch.plan.form, &batch.plan.words))
    }

    /// A gas limit for a call that uses this much: the Distributor demands a whole transfer's gas in hand before each.
    pub(super) fn gas_limit(&self, gas_used: u64) -> u64 {
        (gas_used + gas_used / 20 + TRANSFER_GAS_MAX).min(self.chain.config().transaction_gas_cap)
    }

    /// Tries the call on the latest state, after the batches of this campaign that are still under way; `None` when the
    /// node cannot tell while they are.
    async fn simulate(
        &self,
        from: Address,
        campaign: CampaignId,
        batch: BatchNo,
        call: &calldata::Call,
    ) -> Result<Option<Simulated>, EngineError> {
        let before: Vec<(BatchNo, u64)> = self.follower.read(|state| {
            let batches = state.campaign(campaign).map(|c| c.batches.range(..batch));
            let open = batches.into_iter().flatten().filter(|(_, b)| b.is_open());
            open.map(|(number, b)| (*number, self.gas_limit(self.gas_of(state, b)))).collect()
        });
        let mut calls = Vec::new();
        for (number, gas_limit) in &before {
            let Some(earlier) = self.call(campaign, *number).await? else { continue };
            calls.push(SimCall { from, to: earlier.to, data: earlier.data, gas_limit: *gas_limit });
        }
        let gas_limit = self.chain.config().transaction_gas_cap;
        calls.push(SimCall { from, to: call.to, data: call.data.clone(), gas_limit });
        match self.chain.simulate(&calls, At::Latest).await {
            Ok(mut results) => Ok(results.pop()),
            // Several large calls may not fit the block that a node simulates.
            Err(error) if !before.is_empty() => {
                tracing::debug!(%campaign, batch, error = %error, "a batch waits for those before it");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn call(
        &self,
        campaign: CampaignId,
        batch: BatchNo,
    ) -> Result<Option<calldata::Call>, EngineError> {
        let plan = self.follower.read(|state| {
            let campaign = state.campaign(campaign)?;
            let batch = campaign.batches.get(&batch).filter(|b| b.is_open())?;
            Some((batch.plan.clone(), campaign.terms.distributor.address))
        });
        let Some((plan, distributor)) = plan else { return Ok(None) };
        let redirects = calldata::redirects(&self.store, &self.follower, &plan).await?;
        let log_root = B256::from(self.follower.tree().root());
        let head = BatchHead { epoch: self.epoch, batch, log_root };
        let lists = self.follower.read(|state| calldata::Lists::of(state, campaign, &plan.words));
        let data = calldata::encode(&lists, &self.snapshots, &plan, &redirects, head)?;
        Ok(Some(calldata::Call { to: distributor, data }))
    }

    pub(super) async fn broadcast(
        &mut self,
        lane: usize,
        height: u64,
        hash: B256,
        raw: Option<Vec<u8>>,
    ) -> Result<bool, EngineError> {
        let Some(raw) = raw else {
            return Err(EngineError::Incident(format!("the bytes of attempt {hash} are not stored")));
        };
        let cost = self.cost_of(hash);
        match self.chain.broadcast(&raw).await {
            Ok(_) => {
                self.node_cap.took(cost.unwrap_or(0));
                self.lanes[lane].sent_at.insert(hash, height);
                Ok(true)
            }
            Err(error) if self.lanes[lane].doubts.again(hash, error.outcome) => {
                tracing::warn!(tx = %hash, error = %error, "nobody knows whether a transaction was taken; it is sent again");
                Ok(false)
            }
            Err(error) if error.outcome.may_be_accepted() => {
                // The bytes are there already, or nobody knows: either way the next look at the nonce tells.
                self.lanes[lane].sent_at.insert(hash, height);
                Ok(true)
            }
            Err(error) if is_outbid(error.outcome) => {
                // Counts as sent long ago, so that the next tick outbids what sits at this nonce.
                self.lanes[lane].sent_at.insert(hash, 0);
                tracing::info!(tx = %hash, error = %error, "outbid at its nonce; it will be replaced");
                Ok(true)
            }
            Err(error) if error.outcome == Outcome::FeeAboveNodeCap => {
                tracing::warn!(tx = %hash, error = %error, "nodes refuse what a transaction may cost; it is signed for less");
                if let Some(cost) = cost {
                    self.node_cap.refused(cost, node_cap(&error.message));
                }
                // The next look signs the same nonce again, if it can.
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(tx = %hash, error = %error, "a transaction was not accepted; it is sent again");
                Ok(false)
            }
        }
    }

    /// What an attempt may cost, wei.
    fn cost_of(&self, hash: B256) -> Option<u128> {
        let cost = |a: &Attempt| a.max_fee.saturating_mul(u128::from(a.gas_limit));
        self.follower.read(|state| {
            let batches = state.campaigns.values().flat_map(|c| c.batches.values());
            batches.flat_map(|b| &b.attempts).find(|a| a.tx_hash == hash).map(cost)
        })
    }

    /// A nonce is used up: by one of ours, which the watcher is about to see or which reverted, or by another hand.
    pub(super) async fn ask(
        &mut self,
        lane: usize,
        height: u64,
        campaign: CampaignId,
        batch: BatchNo,
        hashes: &[B256],
    ) -> Result<bool, EngineError> {
        let mut receipt = None;
        for hash in hashes {
            receipt = receipt.or(self.chain.receipt(*hash).await?);
        }
        let (is_open, read) = self.follower.read(|state| {
            let batch = state.campaign(campaign).and_then(|c| c.batches.get(&batch));
            let read = state.chains.get(&self.chain.id()).map_or(0, |c| c.seen.number);
            (batch.is_some_and(Batch::is_open), read)
        });
        let why = match &receipt {
            _ if !is_open => return Ok(true),
            Some(receipt) if !receipt.succeeded => "an attempt reverted",
            // Mined well, or by another hand: the watcher has read as far as the nonce was looked at, and saw no
            // settlement of this batch.
            Some(receipt) if receipt.block.number <= read => "an attempt succeeded outside of the batches",
            None if height <= read => "the nonce of a batch went to another transaction",
            // The watcher is about to tell.
            Some(_) | None => return Ok(true),
        };
        let tx = receipt.map(|r| r.tx_hash);
        tracing::warn!(%campaign, batch, tx = ?tx, "{why}");
        self.lanes[lane].lost.extend(hashes);
        Ok(true)
    }
}

/// Whether a replacement keeps the gas limit of what it replaces: while nothing of the call's reserve is used up, and to the
/// last transfer's gas if a limit made anew would not fit what the transaction may cost.
fn keeps(limit: u64, gas_used: u64, data: u64, anew_fits: bool) -> bool {
    let least = gas_used + data + TRANSFER_GAS_MAX;
    least + calldata_reserve(data) <= limit || (least <= limit && !anew_fits)
}

/// Whether the transaction needs higher fees before any node takes it.
pub(super) fn is_outbid(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Underpriced | Outcome::ReplacementUnderpriced | Outcome::FeeCapTooLow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_keeps_its_limit_without_a_reserve_only_where_no_other_fits() {
        // As signed first: 5 % and a fourth of the calldata's gas more.
        let (used, data) = (1_000_000, 400_000);
        let limit = (used + data + 100_000) * 21 / 20 + TRANSFER_GAS_MAX;
        assert!(keeps(limit, used, data, true) && keeps(limit, used + 12, data, true));
        // Calldata costs more now: there is room for that, but none for it to rise again.
        assert!(!keeps(limit, used, 500_000, true), "signed anew, with a reserve");
        assert!(keeps(limit, used, 500_000, false), "better than to wait");
        assert!(!keeps(limit, used, 600_000, false), "it would revert");
        // Where calldata is no gas, all that is needed is that the call fits.
        assert!(keeps(used + TRANSFER_GAS_MAX, used, 0, true));
        assert!(!keeps(used + TRANSFER_GAS_MAX, used + 1, 0, false));
    }
}
