//! What the contracts said, block by block, in the order of the log.
//!
//! An event counts only if its emitter is the contract it should come from: anyone may deploy a contract that emits the
//! same events. An answer counts only if it belongs to the chain as it stands: the node must have the last block asked
//! for, before and after, and every log's block must be canonical.

use std::collections::{BTreeMap, BTreeSet};

use alloy::rpc::types::Log;
use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::SolEvent;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use sluice_core::amount::Total;
use sluice_core::command::RoundTerms;
use sluice_core::ids::{BatchNo, BlockRef, CampaignId, EntitlementId, Epoch, RoundNo};
use sluice_core::log::entry::WordMask;

use crate::bindings::TestToken;
use crate::decode::total;
use crate::endpoint::Endpoint;
use crate::error::ChainError;
use crate::limits::{DEPOSIT_BITS_MAX, LOG_REQUESTS_MAX, LOGS_MAX, READS_IN_FLIGHT};
use crate::reads::Phase;
use crate::rpc::Chain;

mod decoded;
pub(crate) use decoded::distributor_event;
use decoded::{charter_event, is_hold, located, undecodable};

/// A campaign's contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The campaign.
    pub campaign: CampaignId,
    /// The contract that holds its tokens.
    pub distributor: Address,
    /// The token.
    pub token: Address,
}

/// A range as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsRead {
    /// The last block of the range: everything up to here was read, on the branch this block ends.
    pub upto: BlockRef,
    /// Blocks in which something happened, ascending.
    pub blocks: Vec<BlockEvents>,
}

/// A block's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEvents {
    /// The block.
    pub block: BlockRef,
    /// In the order of the log.
    pub events: Vec<Located>,
}

/// An event with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The transaction.
    pub tx_hash: B256,
    /// Its number in the block's log.
    pub log_index: u64,
    /// What was said.
    pub event: Event,
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A campaign's Distributor, or its token about it.
    Campaign {
        /// The campaign.
        campaign: CampaignId,
        /// What.
        event: CampaignEvent,
    },
    /// The Charter.
    Charter(CharterEvent),
}

/// What a Distributor and its token say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CampaignEvent {
    /// The token moved base units into the Distributor.
    Funded {
        /// From whom; zero for a mint.
        from: Address,
        /// Base units.
        amount: Total,
    },
    /// A round was published.
    RoundPublished {
        /// With these terms.
        terms: Box<RoundTerms>,
        /// The block's time, Unix seconds.
        published_at: u64,
    },
    /// A round is open.
    RoundOpened {
        /// The round.
        round: RoundNo,
        /// The Distributor's balance then, base units.
        balance: Total,
        /// What all open rounds owed then, base units.
        owed: Total,
    },
    /// A round will never open.
    RoundCancelled {
        /// The round.
        round: RoundNo,
        /// By veto.
        vetoed: bool,
    },
    /// A round closes later.
    ClosingExtended {
        /// The round.
        round: RoundNo,
        /// Unix seconds.
        closes_at: u64,
    },
    /// A batch begins: what the same transaction says after this is its result.
    BatchSettled {
        /// Its number.
        batch: BatchNo,
        /// The epoch it was settled under.
        epoch: Epoch,
        /// The checkpoint root it carried.
        log_root: B256,
    },
    /// Entitlements were paid to their recipients.
    Settled(WordMask),
    /// An entitlement could not be paid.
    ItemSkipped {
        /// Which.
        entitlement: EntitlementId,
        /// The token's return data, or the Distributor's error.
        reason: Bytes,
    },
    /// An entitlement was paid where its recipient signed, in a batch.
    Redirected {
        /// Which.
        entitlement: EntitlementId,
        /// Where to.
        to: Address,
    },
    /// An entitlement was paid by claim.
    Claimed {
        /// Which.
        entitlement: EntitlementId,
        /// Where to.
        to: Address,
    },
    /// Entitlements were annulled.
    Voided {
        /// Which.
        mask: WordMask,
        /// Their sum, base units.
        amount: Total,
    },
    /// A round is over; the rest went back.
    Swept {
        /// The round.
        round: RoundNo,
        /// Base units.
        amount: Total,
    },
    /// Tokens went back before the first opening.
    Withdrawn {
        /// Base units.
        amount: Total,
    },
    /// A foreign token went to the refund address.
    Rescued {
        /// The token.
        token: Address,
    },
    /// A gate version is installed, for good.
    GateInstalled {
        /// Which.
        version: u64,
        /// Its key, as ERC-7913 signer bytes.
        signer: Bytes,
        /// The rule sets it stands for.
        rules_hash: B256,
    },
    /// A gate version does not count for a time.
    GateDisabled {
        /// Which.
        version: u64,
        /// Unix seconds; the block's own time or before: it counts again.
        until: u64,
        /// Who signed: bit i is institution i of the Charter's set then. So below.
        institutions: u32,
    },
    /// Entitlements are held.
    HoldPlaced {
        /// The hold's id.
        hold: u64,
        /// What it really holds.
        mask: WordMask,
        /// When anyone may end it, Unix seconds.
        until: u64,
        /// Who signed.
        institutions: u32,
        /// Hash of the reason.
        reason: B256,
    },
    /// A hold lasts longer.
    HoldConfirmed {
        /// The hold's id.
        hold: u64,
        /// Unix seconds.
        until: u64,
        /// Who signed.
        institutions: u32,
    },
    /// A hold ended.
    HoldEnded {
        /// The hold's id.
        hold: u64,
        /// What it held.
        mask: WordMask,
        /// Who released it; 0 if it had expired.
        institutions: u32,
    },
    /// The whole campaign is held, the exit included.
    CampaignHeld {
        /// Unix seconds; the block's own time or before: no longer. So below.
        until: u64,
        /// Who signed.
        institutions: u32,
    },
    /// Payments are paused, except in EXIT.
    PauseSet {
        /// Unix seconds.
        until: u64,
        /// Who signed.
        institutions: u32,
    },
}

/// What a Charter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CharterEvent {
    /// The constitution changed: read it again.
    SetChanged {
        /// The new version.
        set_version: u64,
    },
    /// A sequencer took the epoch.
    EpochTaken {
        /// The epoch.
        epoch: Epoch,
        /// The sequencer.
        sequencer: u32,
        /// Its control key.
        control: Address,
    },
    /// Sequencers or their lanes changed (without a new set version, where one was removed).
    SequencersChanged {
        /// Which one.
        sequencer: u32,
    },
    /// A log key came into force or was revoked.
    LogKeysChanged {
        /// Which one.
        key: B256,
    },
    /// A Distributor belongs to this Charter.
    DistributorRegistered {
        /// Which one.
        distributor: Address,
    },
    /// The phase changed.
    PhaseChanged {
        /// The new phase.
        phase: Phase,
        /// How many changes there have been.
        phase_counter: u64,
    },
    /// A change was approved, cancelled or waits.
    ChangeScheduled {
        /// Its id.
        id: B256,
        /// When it may be applied, Unix seconds; `None` if it was cancelled.
        ready_at: Option<u64>,
    },
}

impl Chain {
    /// Every event of blocks `from..=to` that concerns these campaigns or this Charter.
    ///
    /// # Errors
    /// [`ChainError::NoBlock`] if the node is not there yet, [`ChainError::Reorganised`] if the chain moved meanwhile,
    /// both to be retried; a provider's refusal of even a single block.
    pub async fn events(
        &self,
        from: u64,
        to: u64,
        watched: &[Watched],
        charter: Option<Address>,
    ) -> Result<EventsRead, ChainError> {
        let mut last = ChainError::NoBlock(to);
        for endpoint in self.endpoints() {
            match self.events_on(endpoint, from, to, watched, charter).await {
                Err(error) if error.is_worth_another_attempt() => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn events_on(
        &self,
        endpoint: &Endpoint,
        from: u64,
        to: u64,
        watched: &[Watched],
        charter: Option<Address>,
    ) -> Result<EventsRead, ChainError> {
        // A node that is behind answers "no logs" for blocks it does not have.
        let upto = self.block_on(endpoint, to).await?.ok_or(ChainError::NoBlock(to))?;
        let sources = Sources::new(watched, charter);
        let mut logs = Vec::new();
        let mut budget = LOG_REQUESTS_MAX;
        for filter in sources.filters() {
            self.collect(endpoint, &filter, from, to, &mut budget, &mut logs).await?;
        }
        let blocks = sources.by_block(logs)?;
        self.require_canonical(endpoint, &blocks, upto).await?;
        Ok(EventsRead { upto, blocks })
    }

    /// Reads a range, halving it where the provider refuses.
    pub(crate) async fn collect(
        &self,
        endpoint: &Endpoint,
        filter: &Value,
        from: u64,
        to: u64,
        budget: &mut u32,
        found: &mut Vec<Log>,
    ) -> Result<(), ChainError> {
        let mut ranges = vec![(from, to)];
        while let Some((from, to)) = ranges.pop().filter(|(from, to)| from <= to) {
            *budget = budget.checked_sub(1).ok_or_else(|| too_many_requests(endpoint))?;
            let mut filter = filter.clone();
            filter["fromBlock"] = json!(U64::from(from));
            filter["toBlock"] = json!(U64::from(to));
            match self.logs_on(endpoint, filter).await {
                Ok(logs) if logs.len() <= LOGS_MAX || from == to => found.extend(logs),
                Err(error) if from == to || !is_refusal(&error) => return Err(error),
                // The upper half goes under the lower one, so that blocks are read in order.
                Ok(_) | Err(_) => {
                    let middle = from + (to - from) / 2;
                    ranges.push((middle + 1, to));
                    ranges.push((from, middle));
                }
            }
        }
        Ok(())
    }

    /// Every block named by a log must be the one at its height now, and the range's last block must still stand.
    async fn require_canonical(
        &self,
        endpoint: &Endpoint,
        blocks: &[BlockEvents],
        upto: BlockRef,
    ) -> Result<(), ChainError> {
        let seen: Vec<BlockRef> = blocks.iter().map(|b| b.block).collect();
        let check = |seen: BlockRef| async move {
            let number = seen.number;
            match self.block_on(endpoint, number).await? {
                Some(now) if now == seen => Ok(()),
                Some(now) => Err(ChainError::Reorganised { number, seen: seen.hash, now: now.hash }),
                None => Err(ChainError::NoBlock(number)),
            }
        };
        stream::iter(seen).map(check).buffer_unordered(READS_IN_FLIGHT).try_collect::<()>().await?;
        check(upto).await
    }
}

fn too_many_requests(endpoint: &Endpoint) -> ChainError {
    ChainError::TooMuch(format!(
        "{} answers only tiny ranges of logs: {LOG_REQUESTS_MAX} requests did not suffice; ask fewer blocks at once",
        endpoint.shown()
    ))
}

/// A refusal by the node, as against no answer. Providers word "too large" in too many ways to tell it from other
/// refusals; a wrong guess costs one more request and ends at a single block.
fn is_refusal(error: &ChainError) -> bool {
    let Some(payload) = error.response() else { return matches!(error, ChainError::TimedOut { .. }) };
    let message = payload.message.to_lowercase();
    let load = ["rate limit", "rate exceeded", "too many requests", "credits limited"];
    payload.code != 429 && !load.iter().any(|text| message.contains(text))
}

/// Whose events are wanted.
struct Sources {
    distributors: BTreeMap<Address, Watched>,
    tokens: BTreeSet<Address>,
    charter: Option<Address>,
}

impl Sources {
    fn new(watched: &[Watched], charter: Option<Address>) -> Self {
        Self {
            distributors: watched.iter().map(|w| (w.distributor, *w)).collect(),
            tokens: watched.iter().map(|w| w.token).collect(),
            charter,
        }
    }

    /// One filter for what our contracts say, one for transfers into them (a token's others may be millions).
    fn filters(&self) -> Vec<Value> {
        let mut filters = Vec::new();
        let ours: Vec<_> = self.distributors.keys().chain(&self.charter).collect();
        if !ours.is_empty() {
            filters.push(json!({ "address": ours }));
        }
        if !self.tokens.is_empty() {
            let into: Vec<B256> = self.distributors.keys().map(|d| d.into_word()).collect();
            let topics = json!([TestToken::Transfer::SIGNATURE_HASH, null, into]);
            filters.push(json!({ "address": self.tokens, "topics": topics }));
        }
        filters
    }

    fn by_block(&self, logs: Vec<Log>) -> Result<Vec<BlockEvents>, ChainError> {
        let mut blocks: BTreeMap<u64, BlockEvents> = BTreeMap::new();
        for log in logs {
            let Some(event) = self.event(&log)? else { continue };
            let (block, located) = located(&log, event)?;
            let events =
                blocks.entry(block.number).or_insert_with(|| BlockEvents { block, events: Vec::new() });
            if events.block != block {
                let (seen, now) = (events.block.hash, block.hash);
                return Err(ChainError::Reorganised { number: block.number, seen, now });
            }
            events.events.push(located);
        }
        let mut blocks: Vec<_> = blocks.into_values().collect();
        for block in &mut blocks {
            block.events.sort_by_key(|e| e.log_index);
            block.events.dedup_by_key(|e| e.log_index);
        }
        Ok(blocks)
    }

    /// What a log means to us; `None` if its emitter is not the one whose word counts.
    fn event(&self, log: &Log) -> Result<Option<Event>, ChainError> {
        let emitter = log.address();
        if Some(emitter) == self.charter {
            return charter_event(log).map(|event| Some(Event::Charter(event)));
        }
        if let Some(watched) = self.distributors.get(&emitter) {
            let campaign = watched.campaign;
            return match distributor_event(campaign, log) {
                // A word that no round has: nothing is held there, and it must not stop the watcher.
                Err(ChainError::Malformed { what, problem }) if is_hold(log) => {
                    tracing::error!(%campaign, what, problem, "a hold names an impossible word; it is passed over");
                    Ok(None)
                }
                told => told.map(|event| Some(Event::Campaign { campaign, event })),
            };
        }
        if log.topic0() != Some(&TestToken::Transfer::SIGNATURE_HASH) {
            return Ok(None);
        }
        let transfer =
            TestToken::Transfer::decode_log(&log.inner).map_err(|e| undecodable("Transfer", &e))?;
        match self.distributors.get(&transfer.to) {
            // A sum no list of uint96 amounts reaches: a token that says so must not stop the watcher.
            Some(watched) if watched.token == emitter && transfer.value.bit_len() > DEPOSIT_BITS_MAX => {
                tracing::error!(campaign = %watched.campaign, token = %emitter, value = %transfer.value,
                    "the token reports an impossible deposit; it is passed over");
                Ok(None)
            }
            Some(watched) if watched.token == emitter => {
                let event =
                    CampaignEvent::Funded { from: transfer.from, amount: total("amount", transfer.value)? };
                Ok(Some(Event::Campaign { campaign: watched.campaign, event }))
            }
            _ => Ok(None),
        }
    }
}
