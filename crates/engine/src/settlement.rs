//! Settlement: decided entitlements into batches, batches into transactions, lane by lane. Nothing leaves this process
//! before its attempt is committed; what the chain did with it is asked, never assumed.

mod attempt;
mod calldata;
mod poison;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use sluice_chain::deploy::Operator;
use sluice_chain::signer::Account;
use sluice_chain::{At, Chain};
use sluice_core::fees::{FeePolicy, Market};
use sluice_core::ids::{CampaignId, ChainId, Epoch};
use sluice_core::log::entry::{BatchPlanned, Body};
use sluice_core::planner::{GasModel, next_number, plan};
use sluice_core::sender::{LaneFacts, Step, step};
use sluice_core::state::State;
use sluice_core::state::batch::Batch;
use sluice_store::Store;

use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::Observations;
use crate::snapshots::Snapshots;

pub(crate) use calldata::total;

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
    gas: GasModel,
    /// Whether the chain was seen to know this epoch.
    has_epoch: bool,
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
        let lane = |signer| Lane { signer, sent_at: BTreeMap::new(), lost: BTreeSet::new() };
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
            gas: GasModel::default(),
            has_epoch: false,
            looked: None,
            status,
        }
    }

    /// One round of planning and sending; returns how many things were done.
    ///
    /// # Errors
    /// When the chain cannot be reached, or the term is over.
    pub async fn tick(&mut self) -> Result<usize, EngineError> {
        let mut done = self.plan().await?;
        if !self.has_epoch && !self.take_epoch().await? {
            return Ok(done);
        }
        let look = self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if look {
            self.looked = Some(Instant::now());
        }
        let mut market = None;
        for lane in 0..self.lanes.len() {
            if look || !self.is_idle(lane) {
                let now = match market {
                    Some(now) => now,
                    None => (self.chain.fees().await?, self.chain.latest().await?.number),
                };
                market = Some(now);
                done += self.send(lane, now.0, now.1).await?;
            }
        }
        Ok(done)
    }

    /// Whether a lane has nothing under way that is not mined.
    fn is_idle(&self, lane: usize) -> bool {
        self.follower.read(|state| self.batches(state, lane).iter().all(|(_, b)| !b.is_open()))
    }

    /// Whether the chain knows this epoch; takes it if it does not. Until then every transaction would revert.
    async fn take_epoch(&mut self) -> Result<bool, EngineError> {
        let on_chain = self.chain.epoch(self.charter, At::Latest).await?;
        if on_chain > self.epoch {
            return Err(EngineError::Fenced(self.epoch));
        }
        if on_chain < self.epoch {
            tracing::info!(chain = self.chain.id(), epoch = self.epoch, "taking the epoch on chain");
            Operator::new(self.chain.clone(), self.control.clone())
                .take_epoch(self.charter, self.epoch)
                .await?;
        }
        self.has_epoch = on_chain == self.epoch;
        Ok(self.has_epoch)
    }

    /// Plans batches until nothing is payable or enough is in flight.
    async fn plan(&mut self) -> Result<usize, EngineError> {
        let here = self.chain.id();
        let campaigns: Vec<CampaignId> = self.follower.read(|state| {
            let here = |c: &&sluice_core::state::campaign::Campaign| {
                c.terms.distributor.chain_id == here && c.watched
            };
            state.campaigns.values().filter(here).map(|c| c.terms.campaign).collect()
        });
        let mut planned = 0;
        for campaign in campaigns {
            while let Some(batch) = self.next_batch_or_skip(campaign)? {
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

    /// A campaign whose snapshot is missing here is passed over: the others go on.
    fn next_batch_or_skip(&self, campaign: CampaignId) -> Result<Option<BatchPlanned>, EngineError> {
        match self.next_batch(campaign) {
            Err(error @ EngineError::Snapshot { .. }) => {
                tracing::error!(%campaign, error = &error as &dyn std::error::Error, "a campaign cannot be planned here");
                Ok(None)
            }
            other => other,
        }
    }

    fn next_batch(&self, campaign: CampaignId) -> Result<Option<BatchPlanned>, EngineError> {
        self.follower.read(|state| {
            let Some(known) = state.campaign(campaign) else { return Ok(None) };
            let Some(content) = plan(known, &self.gas) else { return Ok(None) };
            let total = calldata::total(state, &self.snapshots, campaign, &content.words)?;
            let batch = next_number(known);
            Ok(Some(BatchPlanned { campaign, batch, form: content.form, words: content.words, total }))
        })
    }

    /// The campaigns of a lane keep it for good: a hash of the id chooses, so that every term of this sequencer
    /// chooses alike.
    fn lane_of(&self, campaign: CampaignId) -> usize {
        let lanes = self.lanes.len() as u128;
        usize::try_from(campaign.0.as_u128() % lanes).expect("below the number of lanes")
    }

    /// The lane's batches, in the order in which they were planned within each campaign.
    fn batches<'a>(&self, state: &'a State, lane: usize) -> Vec<(CampaignId, &'a Batch)> {
        let here = state.campaigns.values().filter(|c| c.terms.distributor.chain_id == self.chain.id());
        here.filter(|c| self.lane_of(c.terms.campaign) == lane)
            .flat_map(|c| c.batches.values().map(|b| (c.terms.campaign, b)))
            .collect()
    }

    async fn send(&mut self, lane: usize, market: Market, height: u64) -> Result<usize, EngineError> {
        let open: BTreeSet<B256> = self.follower.read(|state| {
            let batches = self.batches(state, lane);
            batches.iter().flat_map(|(_, b)| b.attempts.iter().map(|a| a.tx_hash)).collect()
        });
        self.lanes[lane].sent_at.retain(|hash, _| open.contains(hash));
        self.lanes[lane].lost.retain(|hash| open.contains(hash));
        let mut facts = self.facts(lane, market, height).await?;
        let mut done = 0;
        // A batch that cannot be signed now holds up those behind it in its campaign, but nobody else's: the lane is
        // looked at again without that campaign. Each round blocks one more, so there are no more than campaigns.
        loop {
            let (did, blocked) = self.steps(lane, &facts).await?;
            done += did;
            let Some(campaign) = blocked else { return Ok(done) };
            facts.blocked.push(campaign);
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
            step(self.epoch, facts, &self.policy, &batches, |b| self.gas_limit(self.gas_of(b)))
        });
        let missing = steps.iter().find_map(|s| match s {
            Step::NeedsFunds { missing } => Some(*missing),
            _ => None,
        });
        self.show(facts, missing);
        let mut done = 0;
        for step in steps {
            let signs = match &step {
                Step::Sign { campaign, .. } => Some(*campaign),
                _ => None,
            };
            if !self.carry_out(lane, facts, step).await? {
                return Ok((done, signs));
            }
            done += 1;
        }
        Ok((done, None))
    }

    fn show(&self, facts: &LaneFacts, missing: Option<u128>) {
        let chain_id = self.chain.id();
        let status = LaneStatus {
            chain_id,
            account: facts.account,
            nonce: facts.nonce,
            balance: facts.balance,
            missing,
        };
        let mut all = self.status.lock().expect("no panic inside");
        let known = all.iter_mut().find(|s| s.chain_id == chain_id && s.account == facts.account);
        if let Some(missing) = missing.filter(|_| known.as_ref().is_none_or(|k| k.missing.is_none())) {
            tracing::warn!(chain = chain_id, lane = %facts.account, missing_wei = %missing, "a lane needs funds");
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
                match self.store.last_attempt_at(self.chain.id(), facts.account, nonce).await? {
                    Some(attempt) => {
                        self.broadcast(lane, facts.height, attempt.hash, Some(attempt.raw)).await
                    }
                    None => Ok(true),
                }
            }
            Step::AskReceipts { campaign, batch, hashes } => {
                self.ask(lane, facts.height, campaign, batch, &hashes).await
            }
            Step::NeedsFunds { .. } => Ok(false),
        }
    }
}
