//! Settlement: decided entitlements into batches, batches into transactions, lane by lane. Nothing leaves this process
//! before its attempt is committed; what the chain did with it is asked, never assumed.

mod calldata;
mod poison;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256};
use sluice_chain::calls::BatchHead;
use sluice_chain::deploy::Operator;
use sluice_chain::send::Outcome;
use sluice_chain::signer::{Account, TxRequest};
use sluice_chain::simulate::{SimCall, Simulated};
use sluice_chain::{At, Chain};
use sluice_core::fees::{FeePolicy, Fees, Market};
use sluice_core::ids::{BatchNo, CampaignId, ChainId, Epoch};
use sluice_core::log::entry::{AttemptSigned, BatchPlanned, Body};
use sluice_core::planner::{GasModel, next_number, plan};
use sluice_core::sender::{LaneFacts, Step, step};
use sluice_core::state::State;
use sluice_core::state::batch::Batch;
use sluice_store::Store;

use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::{Observations, RawAttempt};
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

    /// Simulates, signs, commits, sends: in this order. A replacement, with the gas limit of what it replaces, is signed
    /// even if it would revert now: mined, it frees the nonce and shows that this content is dead.
    async fn sign(
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
        let gas_limit = match (self.simulate(facts.account, campaign, batch, &call).await?, replaces) {
            (Some(Simulated::Succeeds { gas_used, .. }), _) => self.gas_limit(gas_used),
            (_, Some(gas_limit)) => gas_limit,
            (Some(Simulated::Reverts(revert)), None) => return self.reverted(campaign, batch, revert).await,
            (None, None) => return Ok(false),
        };
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

    fn gas_of(&self, batch: &Batch) -> u64 {
        self.gas.of(&batch.plan.form, &batch.plan.words)
    }

    /// A gas limit for a call that uses this much: the Distributor demands a whole transfer's gas in hand before each.
    fn gas_limit(&self, gas_used: u64) -> u64 {
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
            open.map(|(number, b)| (*number, self.gas_limit(self.gas_of(b)))).collect()
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
        let data =
            self.follower.read(|state| calldata::encode(state, &self.snapshots, &plan, &redirects, head))?;
        Ok(Some(calldata::Call { to: distributor, data }))
    }

    async fn broadcast(
        &mut self,
        lane: usize,
        height: u64,
        hash: B256,
        raw: Option<Vec<u8>>,
    ) -> Result<bool, EngineError> {
        let Some(raw) = raw else {
            return Err(EngineError::Incident(format!("the bytes of attempt {hash} are not stored")));
        };
        match self.chain.broadcast(&raw).await {
            Ok(_) => {
                self.lanes[lane].sent_at.insert(hash, height);
                Ok(true)
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
            Err(error) => {
                tracing::warn!(tx = %hash, error = %error, "a transaction was not accepted; it is sent again");
                Ok(false)
            }
        }
    }

    /// A nonce is used up: by one of ours, which the watcher is about to see or which reverted, or by another hand.
    async fn ask(
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

/// Whether the transaction needs higher fees before any node takes it.
fn is_outbid(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Underpriced | Outcome::ReplacementUnderpriced | Outcome::FeeCapTooLow)
}
