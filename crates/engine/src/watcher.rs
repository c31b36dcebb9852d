//! The watcher: what a chain says, as entries. The cursor moves in the same append as the entries it yields; a block
//! that vanished is taken back by the inverse entries; only the configured finality makes anything final.

mod cursor;
mod translate;

use std::collections::{BTreeMap, BTreeSet};

use sluice_chain::events::{BlockEvents, Watched};
use sluice_chain::{At, Chain};
use sluice_core::amount::Amount;
use sluice_core::ids::{BlockRef, CampaignId, ChainId, ContractRef, EntitlementId};
use sluice_core::limits::{CATCH_UP_BLOCKS_MAX, GROUP_OBSERVED_MAX, LOG_BLOCKS_MAX};
use sluice_core::log::entry::{
    BatchAt, BatchFinal, Body, ChainCursor, CharterRead, EpochOnChain, EventsAt, EventsFinal,
};
use sluice_core::state::campaign::Campaign;
use sluice_core::state::{ChainSeen, State};

use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::Observations;
use crate::snapshots::Snapshots;
use cursor::must_record;

pub(crate) use cursor::wrong_charter;

/// Watches one chain for one term of leadership.
#[derive(Debug)]
pub struct Watcher {
    chain: Chain,
    charter: alloy_primitives::Address,
    follower: Follower,
    snapshots: Snapshots,
    observations: Observations,
    /// The final block at which the Charter was last compared.
    charter_read_at: u64,
    /// Whether this chain's Charter founds the stream.
    home: bool,
    /// How far was read beyond the log's cursor.
    ahead: Option<Ahead>,
    /// The next block to read of campaigns that are new to the log.
    catching_up: BTreeMap<CampaignId, u64>,
}

/// Blocks read beyond the log's cursor in this term: they yielded nothing, so nothing was written. Lost, they are read
/// again and yield nothing again.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// The log's cursor from which they were read; beyond another one they mean nothing.
    from: BlockRef,
    seen: BlockRef,
    finalized: BlockRef,
}

/// A campaign on this chain, as far as the watcher needs it.
#[derive(Clone, Copy, Debug)]
struct OnChain {
    watched: Watched,
    deployed_at: u64,
    caught_up: bool,
}

impl Watcher {
    /// A watcher of this chain and Charter.
    pub fn new(
        chain: Chain,
        charter: alloy_primitives::Address,
        follower: Follower,
        snapshots: Snapshots,
        observations: Observations,
        home: bool,
    ) -> Self {
        Self {
            chain,
            charter,
            follower,
            snapshots,
            observations,
            charter_read_at: 0,
            home,
            ahead: None,
            catching_up: BTreeMap::new(),
        }
    }

    /// One look at the chain; returns how many entries it yielded.
    ///
    /// # Errors
    /// When the chain cannot be reached, or the term is over.
    pub async fn tick(&mut self) -> Result<usize, EngineError> {
        if !self.home && self.follower.read(|state| state.home.is_none()) {
            // The first Charter in the log founds the stream.
            return Ok(0);
        }
        let head = self.chain.head().await?;
        let Some(mut seen) = self.seen() else {
            return self.begin(head.finalized).await;
        };
        match self.chain.block_ref(seen.seen.number).await? {
            Some(block) if block == seen.seen => {}
            // Only another block at that height is a reorganisation.
            Some(_) => match self.step_back(seen).await? {
                Some(before) => seen = before,
                None => return self.rewind(seen).await,
            },
            // The node is behind: it will come. One that is further and lacks the block has a hole, which it must mend.
            None => {
                if head.latest.number > seen.seen.number {
                    tracing::warn!(
                        chain = self.id(),
                        block = seen.seen.number,
                        latest = head.latest.number,
                        "the node lacks a block below its latest one; nothing more is read until it has it"
                    );
                }
                return Ok(0);
            }
        }
        let mut yielded = self.catch_up_new_campaigns(seen).await?;
        yielded += self.read_on(seen, head.latest, head.finalized).await?;
        yielded += self.finalize().await?;
        let finalized = self.seen().map_or(seen.finalized, |s| s.finalized);
        yielded += self.read_charter(finalized).await?;
        Ok(yielded)
    }

    fn id(&self) -> ChainId {
        self.chain.id()
    }

    /// How far the chain was read: as the log says or, while blocks yield nothing, further.
    fn seen(&self) -> Option<ChainSeen> {
        let recorded = self.recorded()?;
        let ahead = self.ahead.filter(|ahead| ahead.from == recorded.seen);
        Some(ahead.map_or(recorded, |a| ChainSeen { seen: a.seen, finalized: a.finalized, ..recorded }))
    }

    /// How far the log says the chain was read.
    fn recorded(&self) -> Option<ChainSeen> {
        self.follower.read(|state| state.chains.get(&self.id()).copied())
    }

    /// Reading begins at a final block; campaigns are read from their deployment when they are created.
    async fn begin(&mut self, finalized: BlockRef) -> Result<usize, EngineError> {
        let charter = self.read_charter(finalized).await?;
        Ok(charter + self.append(vec![self.cursor(finalized, finalized, Vec::new())]).await?)
    }

    fn cursor(&self, seen: BlockRef, finalized: BlockRef, caught_up: Vec<CampaignId>) -> Body {
        Body::ChainCursor(ChainCursor { chain_id: self.id(), seen, finalized, caught_up })
    }

    fn campaigns(&self) -> Vec<OnChain> {
        let here = |c: &&Campaign| c.terms.distributor.chain_id == self.id();
        self.follower.read(|state| {
            let campaigns = state.campaigns.values().filter(here);
            campaigns
                .map(|c| OnChain {
                    watched: Watched {
                        campaign: c.terms.campaign,
                        distributor: c.terms.distributor.address,
                        token: c.terms.token,
                    },
                    deployed_at: c.terms.deployed_at,
                    caught_up: c.watched,
                })
                .collect()
        })
    }

    /// After a reorganisation of blocks that yielded nothing there is nothing to take back: reading goes on from the last
    /// final block or the log's cursor, whichever is later. `None` if the cursor itself, or a final block, vanished.
    async fn step_back(&mut self, seen: ChainSeen) -> Result<Option<ChainSeen>, EngineError> {
        let Some(recorded) = self.recorded().filter(|recorded| recorded.seen != seen.seen) else {
            return Ok(None);
        };
        let stands =
            if seen.finalized.number > recorded.seen.number { seen.finalized } else { recorded.seen };
        if self.chain.block_ref(stands.number).await? != Some(stands) {
            return Ok(None);
        }
        tracing::info!(
            chain = self.id(),
            from = seen.seen.number,
            to = stands.number,
            "empty blocks were reorganised"
        );
        self.ahead = Some(Ahead { from: recorded.seen, seen: stands, finalized: seen.finalized });
        Ok(Some(ChainSeen { seen: stands, ..seen }))
    }

    /// Takes back what stands in blocks that vanished, and goes back to the last final block: what is still there is
    /// read again and found recorded.
    async fn rewind(&mut self, seen: ChainSeen) -> Result<usize, EngineError> {
        if self.chain.block_ref(seen.finalized.number).await?.is_some_and(|block| block != seen.finalized) {
            return Err(EngineError::Incident(format!(
                "chain {}: block {} was final and has another hash now; set a deeper finality, or this is another chain",
                self.id(),
                seen.finalized.number
            )));
        }
        let mut bodies = Vec::new();
        for (block, body) in self.follower.read(|state| unfinal(state, self.id())) {
            if self.chain.block_ref(block.number).await? != Some(block) {
                bodies.push(body);
            }
        }
        tracing::warn!(
            chain = self.id(),
            from = seen.seen.number,
            to = seen.finalized.number,
            taken_back = bodies.len(),
            "the chain was reorganised"
        );
        let mut yielded = 0;
        // Inverses may be split over appends: each is complete in itself, and until the cursor moves this is done again.
        while bodies.len() > GROUP_OBSERVED_MAX - 1 {
            let rest = bodies.split_off(GROUP_OBSERVED_MAX - 1);
            yielded += self.append(std::mem::replace(&mut bodies, rest)).await?;
        }
        bodies.push(self.cursor(seen.finalized, seen.finalized, Vec::new()));
        Ok(yielded + self.append(bodies).await?)
    }

    /// Reads the contracts of campaigns that are new to the log from their deployment up to the cursor. Up to the last
    /// final block that may take many looks, so that an old Distributor holds up nobody else; what may still vanish is
    /// read in one, with the cursor it joins.
    async fn catch_up_new_campaigns(&mut self, seen: ChainSeen) -> Result<usize, EngineError> {
        let new: Vec<OnChain> = self.campaigns().into_iter().filter(|c| !c.caught_up).collect();
        self.catching_up.retain(|id, _| new.iter().any(|c| c.watched.campaign == *id));
        let (mut yielded, mut left) = (0, CATCH_UP_BLOCKS_MAX);
        for new in new {
            let campaign = new.watched.campaign;
            let mut from = self.catching_up.get(&campaign).copied().unwrap_or(new.deployed_at);
            while from <= seen.seen.number {
                let is_final = from <= seen.finalized.number;
                if is_final && left == 0 {
                    tracing::info!(chain = self.id(), %campaign, read = from - 1, of = seen.seen.number,
                        "a campaign's past is being read");
                    // There is more to do at once.
                    return Ok(yielded.max(1));
                }
                let end = if is_final { seen.finalized.number } else { seen.seen.number };
                let most = if is_final { left.min(LOG_BLOCKS_MAX) } else { LOG_BLOCKS_MAX };
                let to = (from + most - 1).min(end);
                let read = self.chain.events(from, to, &[new.watched], None).await?;
                for bodies in self.translate(&[new.watched], read.blocks)? {
                    yielded += self.append(bodies).await?;
                }
                if is_final {
                    left = left.saturating_sub(to + 1 - from);
                    self.catching_up.insert(campaign, to + 1);
                }
                from = to + 1;
            }
            let cursor = self.cursor(seen.seen, seen.finalized, vec![campaign]);
            yielded += self.append(vec![cursor]).await?;
        }
        Ok(yielded)
    }

    /// Reads the next stretch of blocks; its entries and the cursor stand in one append. Where there are none, the cursor
    /// is not written either, unless something waits for it.
    async fn read_on(
        &mut self,
        seen: ChainSeen,
        latest: BlockRef,
        finalized: BlockRef,
    ) -> Result<usize, EngineError> {
        let campaigns = self.campaigns().into_iter().filter(|c| c.caught_up);
        let watched: Vec<_> = campaigns.map(|c| c.watched).collect();
        let from = seen.seen.number + 1;
        let mut to = latest.number.min(seen.seen.number + LOG_BLOCKS_MAX);
        let mut appends = Vec::new();
        let mut reached = seen.seen;
        if from <= to {
            let read = self.chain.events(from, to, &watched, None).await?;
            if self.chain.block_ref(seen.seen.number).await? != Some(seen.seen) {
                // The chain moved while it was read: what was read may belong to another branch than the cursor.
                return Ok(0);
            }
            reached = read.upto;
            if self.follower.read(|state| contradicts(state, self.id(), &read.blocks)) {
                return self.rewind(seen).await;
            }
            appends = self.translate(&watched, read.blocks)?;
        }
        let mut bodies = Vec::new();
        let fits = appends.len();
        for (at, append) in appends.into_iter().enumerate() {
            // What does not fit this append is read again by the next: the cursor stops before it.
            if at > 0 && bodies.len() + append.len() >= GROUP_OBSERVED_MAX {
                to = block_of(&append).map_or(to, |block| block.number - 1);
                reached = self.chain.block_ref(to).await?.ok_or(sluice_chain::ChainError::NoBlock(to))?;
                tracing::debug!(chain = self.id(), taken = at, of = fits, "a full stretch of blocks");
                break;
            }
            bodies.extend(append);
        }
        let is_final = if finalized.number <= reached.number { finalized } else { reached };
        let is_final = if is_final.number < seen.finalized.number { seen.finalized } else { is_final };
        let Some(recorded) = self.recorded() else { return Ok(0) };
        if bodies.is_empty() {
            let moved = ChainSeen { seen: reached, finalized: is_final, ..recorded };
            if !self.follower.read(|state| must_record(state, self.id(), recorded, moved)) {
                self.ahead = Some(Ahead { from: recorded.seen, seen: reached, finalized: is_final });
                return Ok(0);
            }
        }
        bodies.push(self.cursor(reached, is_final, Vec::new()));
        self.append(bodies).await
    }

    /// Per block, the entries of its events, in order.
    fn translate(
        &self,
        campaigns: &[Watched],
        blocks: Vec<BlockEvents>,
    ) -> Result<Vec<Vec<Body>>, EngineError> {
        let mut appends = Vec::new();
        for block in blocks {
            let mut bodies = Vec::new();
            for campaign in campaigns {
                let found = self
                    .follower
                    .read(|state| translate::block(state, &self.snapshots, campaign.campaign, &block))?;
                bodies.extend(found);
            }
            if !bodies.is_empty() {
                appends.push(bodies);
            }
        }
        Ok(appends)
    }

    /// Makes final what stands in final blocks, oldest first.
    async fn finalize(&mut self) -> Result<usize, EngineError> {
        let mut yielded = 0;
        loop {
            let bodies = self.follower.read(|state| finals(state, &self.snapshots, self.id()))?;
            if bodies.is_empty() {
                return Ok(yielded);
            }
            if let Some(seen) = self.seen().filter(|_| yielded == 0) {
                for block in bodies.iter().filter_map(final_block).collect::<BTreeSet<_>>() {
                    // What is recorded there must be what became final.
                    match self.chain.block_ref(block.number).await? {
                        Some(there) if there == block => {}
                        Some(_) => return self.rewind(seen).await,
                        None => return Ok(yielded),
                    }
                }
            }
            let appended = self.append(bodies).await?;
            if appended == 0 {
                // The state moved on between reading and appending; the next tick looks again.
                return Ok(yielded);
            }
            yielded += appended;
        }
    }

    /// Compares the Charter and its epoch with what the log says, once per final block.
    async fn read_charter(&mut self, finalized: BlockRef) -> Result<usize, EngineError> {
        if finalized.number <= self.charter_read_at && self.charter_read_at > 0 {
            return Ok(0);
        }
        let charter = ContractRef { chain_id: self.id(), address: self.charter };
        if let Some(error) = self.follower.read(|state| wrong_charter(state, charter)) {
            return Err(error);
        }
        let read = self.chain.constitution(self.charter, At::Block(finalized)).await?;
        if read.view.set_version == 0 {
            // Its deployment is final and its founding not yet: what it says is nobody's word (decision 0106).
            tracing::warn!(chain = self.id(), charter = %self.charter, "the Charter is not founded as of the final block");
            self.charter_read_at = finalized.number;
            return Ok(0);
        }
        let epoch = self.chain.epoch(self.charter, At::Block(finalized)).await?;
        let (known_view, known_epoch) = self.follower.read(|s| {
            let view = s.charters.get(&self.id()).map(|c| c.view.clone());
            (view, s.chains.get(&self.id()).map_or(0, |c| c.epoch))
        });
        let mut bodies = Vec::new();
        if known_view.as_ref() != Some(&read.view) {
            bodies.push(Body::CharterRead(CharterRead { charter, block: finalized, view: read.view }));
        }
        if epoch > known_epoch {
            bodies.push(Body::EpochOnChain(EpochOnChain { chain_id: self.id(), epoch, block: finalized }));
        }
        let yielded = self.append(bodies).await?;
        self.charter_read_at = finalized.number;
        Ok(yielded)
    }

    async fn append(&self, bodies: Vec<Body>) -> Result<usize, EngineError> {
        if bodies.is_empty() {
            return Ok(0);
        }
        Ok(self.observations.append(bodies, Vec::new()).await?.len())
    }
}

fn block_of(bodies: &[Body]) -> Option<BlockRef> {
    bodies.iter().find_map(|body| match body {
        Body::BatchMined(m) => Some(m.block),
        Body::EventsMined(m) => Some(m.block),
        _ => None,
    })
}

fn final_block(body: &Body) -> Option<BlockRef> {
    match body {
        Body::EventsFinal(at) => Some(at.block),
        Body::BatchFinal(at) => Some(at.block),
        _ => None,
    }
}

/// Whether another block is recorded at the height of one that was just read.
fn contradicts(state: &State, chain: ChainId, read: &[BlockEvents]) -> bool {
    let recorded: Vec<BlockRef> = unfinal(state, chain).into_iter().map(|(block, _)| block).collect();
    read.iter().any(|r| recorded.iter().any(|known| known.number == r.block.number && *known != r.block))
}

/// Everything recorded in blocks that are not final, youngest first, with the entry that takes it back.
fn unfinal(state: &State, chain: ChainId) -> Vec<(BlockRef, Body)> {
    let mut found = Vec::new();
    for campaign in state.campaigns.values().filter(|c| c.terms.distributor.chain_id == chain) {
        let id = campaign.terms.campaign;
        for (number, batch) in &campaign.batches {
            if let Some(mined) = &batch.mined {
                let at = BatchAt { campaign: id, batch: *number, block: mined.block };
                found.push((mined.block, Body::BatchUnmined(at)));
            }
        }
        for block in campaign.unfinal.values() {
            let at = EventsAt { campaign: id, block: block.block };
            found.push((block.block, Body::EventsUnmined(at)));
        }
    }
    found.sort_by_key(|(block, _)| std::cmp::Reverse(block.number));
    found
}

/// The next things to become final: per campaign the oldest event block and the oldest batch, while they lie in final
/// blocks. At most one append.
fn finals(state: &State, snapshots: &Snapshots, chain: ChainId) -> Result<Vec<Body>, EngineError> {
    let Some(seen) = state.chains.get(&chain) else { return Ok(Vec::new()) };
    let is_final = |block: BlockRef| block.number <= seen.finalized.number;
    let here = state.campaigns.values().filter(|c| c.terms.distributor.chain_id == chain && c.watched);
    let mut bodies = Vec::new();
    for campaign in here {
        let id = campaign.terms.campaign;
        let first = bodies.len();
        for block in campaign.unfinal.values().map(|b| b.block).take_while(|b| is_final(*b)) {
            let late = amounts(state, snapshots, id, state.late(id, block.number))?;
            bodies.push(Body::EventsFinal(EventsFinal { campaign: id, block, late }));
        }
        for (number, batch) in &campaign.batches {
            let Some(block) = batch.mined.as_ref().map(|m| m.block).filter(|b| is_final(*b)) else { break };
            let void_paid = state.void_paid(id, *number).unwrap_or_default();
            let void_paid = amounts(state, snapshots, id, void_paid)?;
            bodies.push(Body::BatchFinal(BatchFinal { campaign: id, batch: *number, block, void_paid }));
        }
        // The log books what is final in the chain's order.
        bodies[first..].sort_by_key(|body| final_block(body).map(|block| block.number));
        if bodies.len() > GROUP_OBSERVED_MAX {
            bodies.truncate(GROUP_OBSERVED_MAX);
            break;
        }
    }
    Ok(bodies)
}

/// Entitlements with their listed amounts.
fn amounts(
    state: &State,
    snapshots: &Snapshots,
    campaign: CampaignId,
    ids: Vec<EntitlementId>,
) -> Result<Vec<(EntitlementId, Amount)>, EngineError> {
    ids.into_iter().map(|id| Ok((id, snapshots.amount(state, campaign, id)?))).collect()
}
