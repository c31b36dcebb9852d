//! Settlement: decided entitlements into batches, batches into transactions, lane by lane. Nothing leaves this process
//! before its attempt is committed; what the chain did with it is asked, never assumed.

mod attempt;
mod calldata;
mod doubts;
mod epoch;
mod node_cap;
mod planning;
mod poison;
mod spend;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use sluice_chain::signer::Account;
use sluice_chain::{At, Chain};
use sluice_core::fees::{DataCost, FeePolicy, Market, SettlementPolicy};
use sluice_core::ids::{CampaignId, ChainId, Epoch};
use sluice_core::limits::UNFINAL_BLOCKS_MAX;
use sluice_core::planner::GasModel;
use sluice_core::sender::{LaneFacts, Step, lane_of, step};
use sluice_core::state::batch::{Attempt, Batch};
use sluice_core::state::campaign::Campaign;
use sluice_core::state::{ChainSeen, State};
use sluice_store::Store;

use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::Observations;
use crate::snapshots::Snapshots;

use doubts::Doubts;
use epoch::Taking;
use node_cap::NodeCap;
use window::Waits;

pub(crate) use calldata::total;
pub use spend::WaitsForSpend;

/// How often the accounts of idle lanes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The most gas a Distributor gives one transfer (its constructor refuses more).
const TRANSFER_GAS_MAX: u64 = 2_000_000;

/// Settles the campaigns of one chain for one term of leadership.
#[derive(Debug)]
pub struct Settlement {
    chain: Chain,
    charter: Address,
    epoch: Epoch,
    control: Account,
    lanes: Vec<Lane>,
    follower: Follower,
    snapshots: Snapshots,
    store: Store,
    observations: Observations,
    policy: FeePolicy,
    terms: SettlementPolicy,
    gas: GasModel,
    /// What the chain charges for calldata, and when it was asked.
    data: Option<(Instant, DataCost)>,
    waits: Waits,
    /// Campaigns whose spend limit is reached.
    over: BTreeMap<CampaignId, WaitsForSpend>,
    /// Transactions whose cost was noted.
    noted: BTreeSet<B256>,
    /// Attempts of campaigns with a limit whose cost is not noted.
    unnoted: BTreeMap<B256, (CampaignId, Attempt)>,
    /// Whether the chain was seen to know this epoch.
    has_epoch: bool,
    /// What is under way to make it know.
    taking: Taking,
    /// What the chain's nodes take for a transaction in all.
    node_cap: NodeCap,
    /// Whether finality has stopped, so that nothing is planned or signed.
    paused: bool,
    /// When the accounts of idle lanes were last looked at.
    looked: Option<Instant>,
    status: Arc<std::sync::Mutex<Vec<LaneStatus>>>,
}

/// A settlement account and what this process remembers of its transactions. All of it can be lost.
#[derive(Debug)]
struct Lane {
    signer: Account,
    /// When each attempt was last sent, by block height.
    sent_at: BTreeMap<B256, u64>,
    /// Attempts whose nonce went to another transaction, or that reverted.
    lost: BTreeSet<B256>,
    /// Sends of which nobody knows what came of them.
    doubts: Doubts,
    /// The campaign that signed last: the next nonces go to those behind it first, so that all of them share the lane.
    last: Option<CampaignId>,
}

/// What is shown of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// Its chain.
    pub chain_id: ChainId,
    /// The account.
    pub account: Address,
    /// The next nonce.
    pub nonce: u64,
    /// Wei.
    pub balance: u128,
    /// Wei it lacks for the next transaction.
    pub missing: Option<u128>,
    /// The chain asks more than its next transaction may offer: it waits until fees fall.
    pub waits_for_fees: Option<WaitsForFees>,
    /// Campaigns it settles for whose spend limit is reached: they wait until time has passed.
    pub waits_for_spend: Vec<WaitsForSpend>,
}

/// What the next transaction of a lane waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitsForFees {
    /// What the chain asks, wei per gas.
    pub asked: u128,
    /// The most that the transaction may offer, wei per gas: a cap of the fee policy, or of the nodes.
    pub most: u128,
}

/// The length of a chain's un-final stretch, if it is so long that finality must have stopped: then nothing is planned
/// or signed there. What stands in it could still be taken back, all of it at once.
pub fn paused(chain: &ChainSeen) -> Option<u64> {
    let stretch = chain.seen.number.saturating_sub(chain.finalized.number);
    (stretch > UNFINAL_BLOCKS_MAX).then_some(stretch)
}

/// Campaigns, which come in the order of their ids, from the one behind that which signed last.
fn in_turn(mut campaigns: Vec<&Campaign>, last: Option<CampaignId>) -> Vec<&Campaign> {
    let before = campaigns.partition_point(|campaign| Some(campaign.terms.campaign) <= last);
    campaigns.rotate_left(before);
    campaigns
}

/// What a settlement needs besides its chain.
#[derive(Debug)]
pub struct Accounts {
    /// Takes the epoch on chain.
    pub control: Account,
    /// Settle.
    pub lanes: Vec<Account>,
}

impl Settlement {
    /// A settlement of this chain under this epoch.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different part; a struct of them would only be unpacked"
    )]
    pub fn new(
        chain: Chain,
        charter: Address,
        epoch: Epoch,
        accounts: Accounts,
        follower: Follower,
        snapshots: Snapshots,
        store: Store,
        observations: Observations,
        policy: FeePolicy,
        status: Arc<std::sync::Mutex<Vec<LaneStatus>>>,
    ) -> Self {
        let lane = |signer| Lane {
            signer,
            sent_at: BTreeMap::new(),
            lost: BTreeSet::new(),
            doubts: Doubts::default(),
            last: None,
        };
        Self {
            chain,
            charter,
            epoch,
            control: accounts.control,
            lanes: accounts.lanes.into_iter().map(lane).collect(),
            follower,
            snapshots,
            store,
            observations,
            policy,
            terms: SettlementPolicy::default(),
            gas: GasModel::default(),
            data: None,
            waits: Waits::default(),
            over: BTreeMap::new(),
            noted: BTreeSet::new(),
            unnoted: BTreeMap::new(),
            has_epoch: false,
            taking: Taking::default(),
            node_cap: NodeCap::default(),
            paused: false,
            looked: None,
            status,
        }
    }

    /// The same with its campaigns' own terms.
    pub fn under(self, terms: SettlementPolicy) -> Self {
        Self { terms, ..self }
    }

    /// One round of planning and sending; returns how many things were done.
    ///
    /// # Errors
    /// When the chain cannot be reached, or the term is over.
    pub async fn tick(&mut self) -> Result<usize, EngineError> {
        if self.is_paused() {
            return Ok(0);
        }
        let mut market = None;
        self.note_costs().await?;
        let mut done = self.plan(&mut market).await?;
        if !self.has_epoch && !self.take_epoch().await? {
            return Ok(done);
        }
        let look = self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if look {
            self.looked = Some(Instant::now());
        }
        let mut height = None;
        for lane in 0..self.lanes.len() {
            if look || !self.is_idle(lane) {
                let market = self.market(&mut market).await?;
                let now = match height {
                    Some(now) => now,
                    None => self.chain.latest().await?.number,
                };
                height = Some(now);
                done += self.send(lane, market, now).await?;
            }
        }
        Ok(done)
    }

    /// What the chain asks, read at most once in a tick.
    async fn market(&self, known: &mut Option<Market>) -> Result<Market, EngineError> {
        let market = match *known {
            Some(market) => market,
            None => self.chain.fees().await?,
        };
        *known = Some(market);
        Ok(market)
    }

    /// Whether finality has stopped; said once when it begins and when it ends.
    fn is_paused(&mut self) -> bool {
        let chain_id = self.chain.id();
        let stretch = self.follower.read(|state| state.chains.get(&chain_id).and_then(paused));
        if stretch.is_some() != self.paused {
            self.paused = stretch.is_some();
            match stretch {
                Some(blocks) => tracing::error!(
                    chain = chain_id,
                    blocks,
                    most = UNFINAL_BLOCKS_MAX,
                    "blocks have stopped becoming final; settlement is paused until they do"
                ),
                None => tracing::info!(chain = chain_id, "blocks become final again; settlement goes on"),
            }
        }
        self.paused
    }

    /// Whether a lane has nothing under way that is not mined.
    fn is_idle(&self, lane: usize) -> bool {
        self.follower.read(|state| self.batches(state, lane).iter().all(|(_, b)| !b.is_open()))
    }

    /// The lane that sends for a campaign now.
    fn lane_of(&self, state: &State, campaign: CampaignId) -> Option<usize> {
        let accounts: Vec<Address> = self.lanes.iter().map(|lane| lane.signer.address()).collect();
        lane_of(state, campaign, &accounts)
    }

    /// The lane's batches, in the order in which they were planned within each campaign; campaigns in turn.
    fn batches<'a>(&self, state: &'a State, lane: usize) -> Vec<(CampaignId, &'a Batch)> {
        let here = state.campaigns.values().filter(|c| c.terms.distributor.chain_id == self.chain.id());
        let mine = here.filter(|c| self.lane_of(state, c.terms.campaign) == Some(lane)).collect();
        let in_turn = in_turn(mine, self.lanes[lane].last);
        in_turn.into_iter().flat_map(|c| c.batches.values().map(|b| (c.terms.campaign, b))).collect()
    }

    async fn send(&mut self, lane: usize, market: Market, height: u64) -> Result<usize, EngineError> {
        let open: BTreeSet<B256> = self.follower.read(|state| {
            let batches = self.batches(state, lane);
            batches.iter().flat_map(|(_, b)| b.attempts.iter().map(|a| a.tx_hash)).collect()
        });
        self.lanes[lane].sent_at.retain(|hash, _| open.contains(hash));
        self.lanes[lane].lost.retain(|hash| open.contains(hash));
        self.lanes[lane].doubts.retain(&open);
        let mut facts = self.facts(lane, market, height).await?;
        let mut done = 0;
        // A batch that cannot be signed now holds up those behind it in its campaign, but nobody else's: the lane is
        // looked at again without that campaign. Each round blocks one more, so there are no more than campaigns.
        loop {
            let (did, blocked) = self.steps(lane, &facts).await?;
            done += did;
            let Some(campaign) = blocked else { return Ok(done) };
            facts.blocked.push(campaign);
            facts.node_cap = self.node_cap.wei();
            facts.sent_at = self.lanes[lane].sent_at.iter().map(|(hash, at)| (*hash, *at)).collect();
        }
    }

    /// The lane's steps; returns how many were done, and the campaign at which it stopped.
    async fn steps(
        &mut self,
        lane: usize,
        facts: &LaneFacts,
    ) -> Result<(usize, Option<CampaignId>), EngineError> {
        let steps = self.follower.read(|state| {
            let batches = self.batches(state, lane);
            step(self.epoch, facts, &self.policy, &batches, |b| self.gas_limit(self.gas_of(state, b)))
        });
        self.show(lane, facts, &steps);
        let mut done = 0;
        for step in steps {
            let signs = match &step {
                Step::Sign { campaign, .. } => Some(*campaign),
                _ => None,
            };
            // What is done at every look and helps with the next block only is no reason to look again at once.
            let is_news = !matches!(step, Step::Fill { .. } | Step::WaitsForFees { .. });
            if !self.carry_out(lane, facts, step).await? {
                return Ok((done, signs));
            }
            self.lanes[lane].last = signs.or(self.lanes[lane].last);
            done += usize::from(is_news);
        }
        Ok((done, None))
    }

    fn show(&self, lane: usize, facts: &LaneFacts, steps: &[Step]) {
        let missing = steps.iter().find_map(|s| match s {
            Step::NeedsFunds { missing } => Some(*missing),
            _ => None,
        });
        let waits_for_fees = steps.iter().find_map(|s| match *s {
            Step::WaitsForFees { asked, most } => Some(WaitsForFees { asked, most }),
            _ => None,
        });
        let chain_id = self.chain.id();
        let waits_for_spend = self.follower.read(|state| {
            let mine = |w: &&WaitsForSpend| self.lane_of(state, w.campaign) == Some(lane);
            self.over.values().filter(mine).copied().collect()
        });
        let status = LaneStatus {
            chain_id,
            account: facts.account,
            nonce: facts.nonce,
            balance: facts.balance,
            missing,
            waits_for_fees,
            waits_for_spend,
        };
        let mut all = self.status.lock().expect("no panic inside");
        let known = all.iter_mut().find(|s| s.chain_id == chain_id && s.account == facts.account);
        if let Some(missing) = missing.filter(|_| known.as_ref().is_none_or(|k| k.missing.is_none())) {
            tracing::warn!(chain = chain_id, lane = %facts.account, missing_wei = %missing, "a lane needs funds");
        }
        let is_news = known.as_ref().is_none_or(|k| k.waits_for_fees.is_none());
        if let Some(WaitsForFees { asked, most }) = waits_for_fees.filter(|_| is_news) {
            tracing::warn!(chain = chain_id, lane = %facts.account, asked, most, "a lane waits for fees to fall");
        }
        match known {
            Some(known) => *known = status,
            None => all.push(status),
        }
    }

    async fn facts(&self, lane: usize, market: Market, height: u64) -> Result<LaneFacts, EngineError> {
        let lane = &self.lanes[lane];
        let account = lane.signer.address();
        Ok(LaneFacts {
            account,
            nonce: self.chain.nonce(account, At::Latest).await?,
            balance: self.chain.balance(account, At::Latest).await?,
            market,
            sent_at: lane.sent_at.iter().map(|(hash, at)| (*hash, *at)).collect(),
            height,
            lost: lane.lost.iter().copied().collect(),
            blocked: Vec::new(),
            node_cap: self.node_cap.wei(),
        })
    }

    /// Does one step; says whether those behind it may go on.
    async fn carry_out(&mut self, lane: usize, facts: &LaneFacts, step: Step) -> Result<bool, EngineError> {
        match step {
            Step::Sign { campaign, batch, nonce, fees } => {
                self.sign(lane, facts, campaign, batch, nonce, fees, None).await
            }
            Step::Replace { campaign, batch, previous, fees } => {
                let previous = self.follower.read(|state| {
                    let batch = state.campaign(campaign)?.batches.get(&batch)?;
                    batch.attempts.iter().find(|a| a.tx_hash == previous).map(|a| (a.nonce, a.gas_limit))
                });
                match previous {
                    Some((nonce, gas)) => {
                        self.sign(lane, facts, campaign, batch, nonce, fees, Some(gas)).await
                    }
                    None => Ok(false),
                }
            }
            Step::Send { tx_hash } => {
                let raw = self.store.raw_of(tx_hash).await?;
                self.broadcast(lane, facts.height, tx_hash, raw).await
            }
            Step::Fill { nonce } => {
                // Whatever became of it: something new behind it may be given this nonce, and if no node wants these
                // bytes any more, nothing else fills it. They may be of a batch that is final, so no bound on sending
                // again is remembered for them.
                let there = self.store.last_attempt_at(self.chain.id(), facts.account, nonce).await?;
                if let Some(attempt) = there {
                    self.broadcast(lane, facts.height, attempt.hash, Some(attempt.raw)).await?;
                }
                Ok(true)
            }
            Step::AskReceipts { campaign, batch, hashes } => {
                self.ask(lane, facts.height, campaign, batch, &hashes).await
            }
            Step::WaitsForFees { .. } => Ok(true),
            Step::NeedsFunds { .. } => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_core::command::RoundMode;
    use sluice_core::sample::open_campaign;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_lane_s_nonces_go_to_the_campaigns_behind_the_one_that_signed_last() {
        let campaigns: Vec<Campaign> = (1..=3)
            .map(|id| {
                let mut campaign = open_campaign(&[(1, RoundMode::Push)]);
                campaign.terms.campaign = CampaignId(Uuid::from_u128(id));
                campaign
            })
            .collect();
        let turns = |last: Option<u128>| {
            let turns = in_turn(campaigns.iter().collect(), last.map(|id| CampaignId(Uuid::from_u128(id))));
            turns.iter().map(|campaign| campaign.terms.campaign.0.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(turns(None), [1, 2, 3]);
        assert_eq!(
            (turns(Some(1)), turns(Some(2)), turns(Some(3))),
            (vec![2, 3, 1], vec![3, 1, 2], vec![1, 2, 3])
        );
        // Of a campaign that has nothing under way any more.
        assert_eq!(turns(Some(0)), [1, 2, 3]);
    }
}
