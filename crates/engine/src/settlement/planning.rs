//! What is planned next: when a campaign's batch goes, how large it is at these fees, and what the chain charges for its
//! bytes.

use std::time::{Duration, Instant};

use alloy_primitives::{Bytes, keccak256};
use sluice_chain::ChainKind;
use sluice_core::fees::{DataCost, Market};
use sluice_core::ids::{BatchNo, CampaignId};
use sluice_core::log::entry::{BatchPlanned, Body};
use sluice_core::planner::{Content, Cost, GasModel, has_room, next_number, plan, plan_full};
use sluice_core::state::campaign::Campaign;

use super::{Settlement, calldata};
use crate::error::EngineError;

/// How often the price of calldata is asked, where it has one of its own.
const ASK_DATA_EVERY: Duration = Duration::from_secs(60);

/// A batch that may be planned.
struct Found {
    content: Content,
    batch: BatchNo,
    lists: calldata::Lists,
    /// What it costs, at most.
    needs: Cost,
}

/// What is planned next, or what is that fills a call.
type Planner = fn(&Campaign, &GasModel, u64) -> Option<Content>;

/// Calldata by which its price is asked: as long as a middling batch, and as hard to compress, since amounts, addresses
/// and hashes are.
fn sample() -> Bytes {
    let words = (0u32..256).flat_map(|i| keccak256(i.to_be_bytes()).0);
    words.collect::<Vec<u8>>().into()
}

impl Settlement {
    /// Plans batches until nothing is payable or enough is in flight.
    pub(super) async fn plan(&mut self, market: &mut Option<Market>) -> Result<usize, EngineError> {
        let here = self.chain.id();
        let campaigns: Vec<CampaignId> = self.follower.read(|state| {
            let here = |c: &&Campaign| c.terms.distributor.chain_id == here && c.watched;
            state.campaigns.values().filter(here).map(|c| c.terms.campaign).collect()
        });
        let now = self.chain_time(&campaigns).await?;
        let mut planned = 0;
        for campaign in campaigns {
            while let Some(batch) = self.next_batch_or_skip(campaign, market, now).await? {
                let appended = self.observations.append(vec![Body::BatchPlanned(batch)], Vec::new()).await?;
                if appended.is_empty() {
                    // The state moved on between planning and appending; the next tick plans from what is there.
                    break;
                }
                planned += 1;
            }
        }
        Ok(planned)
    }

    /// The clock by which the chain's contracts will judge; asked only where it makes a difference, else 0.
    async fn chain_time(&self, campaigns: &[CampaignId]) -> Result<u64, EngineError> {
        let asks = self
            .follower
            .read(|state| campaigns.iter().filter_map(|id| state.campaign(*id)).any(Campaign::asks_the_time));
        if asks { Ok(self.chain.timestamp().await?) } else { Ok(0) }
    }

    /// A campaign whose snapshot is missing here is passed over: the others go on.
    async fn next_batch_or_skip(
        &mut self,
        campaign: CampaignId,
        market: &mut Option<Market>,
        now: u64,
    ) -> Result<Option<BatchPlanned>, EngineError> {
        match self.next_batch(campaign, market, now).await {
            Err(error @ EngineError::Snapshot { .. }) => {
                tracing::error!(%campaign, error = &error as &dyn std::error::Error, "a campaign cannot be planned here");
                Ok(None)
            }
            other => other,
        }
    }

    async fn next_batch(
        &mut self,
        campaign: CampaignId,
        market: &mut Option<Market>,
        now: u64,
    ) -> Result<Option<BatchPlanned>, EngineError> {
        let Some(mut found) = self.content(campaign, plan, &self.gas, now) else {
            let (has_room, is_done) = self.follower.read(|state| {
                let known = state.campaign(campaign);
                (known.is_some_and(has_room), known.is_none_or(|c| c.batches.values().all(|b| !b.is_open())))
            });
            if has_room {
                self.waits.end(campaign);
            }
            if is_done {
                // Nothing waits for the spend limit any more.
                self.over.remove(&campaign);
            }
            return Ok(None);
        };
        // What waits for company holds up nothing of another kind that fills a call.
        let mut planner: Planner = plan;
        if !self.waits.is_over(campaign, found.content.full, self.terms.of(campaign).window) {
            planner = plan_full;
            let Some(other) = self.content(campaign, planner, &self.gas, now) else { return Ok(None) };
            found = other;
        }
        // What fits at these fees, and costs least at them; asked only when there is something to plan.
        let market = self.market(market).await?;
        let data = self.data_cost(campaign).await?;
        let (byte, byte_gas) = (data.worth_per_byte(market), data.gas_per_byte());
        let gas = GasModel { most: self.gas_that_fits(market), byte, byte_gas, ..self.gas };
        if found.needs.gas > gas.most || byte > 0 || byte_gas > 0 {
            let Some(other) = self.content(campaign, planner, &gas, now) else { return Ok(None) };
            found = other;
        }
        let gas_limit = self.gas_limit(found.needs.gas);
        let may_cost = self.policy.first(market, gas_limit).map(|fees| fees.max_fee * u128::from(gas_limit));
        if let Some(gas) = may_cost
            && let wanted = gas.saturating_add(data.of(found.needs.bytes).wei)
            && !self.may_spend(campaign, wanted, None).await?
        {
            return Ok(None);
        }
        let Found { content, batch, lists, .. } = found;
        // The snapshot is read without holding State: its pages may have to come from the disk.
        let total = lists.total(&self.snapshots, &content.words)?;
        Ok(Some(BatchPlanned { campaign, batch, form: content.form, words: content.words, total }))
    }

    /// What the planner would have a campaign pay next.
    fn content(&self, campaign: CampaignId, planner: Planner, gas: &GasModel, now: u64) -> Option<Found> {
        self.follower.read(|state| {
            let known = state.campaign(campaign)?;
            let content = planner(known, gas, now)?;
            let lists = calldata::Lists::of(state, campaign, &content.words);
            let needs = gas.cost(known, &content.form, &content.words);
            Some(Found { content, batch: next_number(known), lists, needs })
        })
    }

    /// What the chain charges for a sample of calldata beside its gas.
    async fn data_cost(&mut self, campaign: CampaignId) -> Result<DataCost, EngineError> {
        if self.chain.config().kind == ChainKind::Ethereum {
            return Ok(DataCost::default());
        }
        if let Some((_, cost)) = self.data.filter(|(at, _)| at.elapsed() < ASK_DATA_EVERY) {
            return Ok(cost);
        }
        let to = self.follower.read(|s| s.campaign(campaign).map(|c| c.terms.distributor.address));
        let cost = self.chain.data_cost(to.unwrap_or_default(), &sample()).await?;
        self.data = Some((Instant::now(), cost));
        Ok(cost)
    }
}
