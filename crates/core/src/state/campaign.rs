//! A campaign: its rounds, funds, batches in flight, and chain events that are not final.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use super::ahead::Ahead;
use super::batch::Batch;
use super::funds::Funds;
use super::hold::{Decided, Pause};
use super::round::Round;
use super::rules::{Approved, Gate};
use crate::command::{CampaignTerms, RoundMode};
use crate::ids::{BatchNo, BlockRef, EntitlementId, Millis, RoundNo, Seq};
use crate::log::entry::ChainEvent;
use crate::refusal::Code;

/// A gate's word is not planned so shortly before it expires: a batch must still be signed, sent and mined. Ten minutes
/// is longer than a batch takes while fees rise; gates' words last for days.
const GATE_WORD_MARGIN: Duration = Duration::from_secs(600);

/// A campaign as the log knows it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Campaign {
    /// As created.
    pub terms: CampaignTerms,
    /// The position at which it last changed by anything but claims and payments.
    pub version: Seq,
    /// Whether its contracts were read from their deployment on; before that none of its events becomes final.
    pub watched: bool,
    /// Why nothing is decided now, if so.
    pub paused: Option<Code>,
    /// Rounds by number, from 1.
    pub rounds: BTreeMap<RoundNo, Round>,
    /// Where the tokens stand.
    pub funds: Funds,
    /// The number the next planned batch takes.
    pub next_batch: BatchNo,
    /// Batches not yet final.
    pub batches: BTreeMap<BatchNo, Batch>,
    /// Redirected claims that are decided and not final, with the positions of their decisions.
    pub redirected: BTreeMap<EntitlementId, Seq>,
    /// Events in blocks that are not final, by block number.
    pub unfinal: BTreeMap<u64, UnfinalBlock>,
    /// The highest block whose events are final: nothing at or below it is recorded again.
    pub final_block: u64,
    /// Final events of rounds that the log has not announced; they are told to the round when it is.
    pub ahead: BTreeMap<RoundNo, Ahead>,
    /// What was decided in all, and the limit set for it.
    pub decided: Decided,
    /// An institution's pause.
    pub pause: Option<Pause>,
    /// How long each institution alone has paused it, in all (milliseconds).
    pub paused_alone: BTreeMap<B256, Millis>,
    /// Unix seconds until which the Distributor itself pays nothing, finally.
    pub paused_on_chain: u64,
    /// Unix seconds until which the Distributor holds everything, finally; 0 once a `Due` entry said that it is over.
    pub held_until_on_chain: u64,
    /// Holds on the whole campaign, by their positions.
    pub campaign_holds: BTreeSet<Seq>,
    /// Held entitlements with the positions of the holds that cover them.
    pub held: BTreeMap<EntitlementId, BTreeSet<Seq>>,
    /// Who held which entitlement alone, ever: nobody does so twice.
    pub held_alone: BTreeSet<(B256, EntitlementId)>,
    /// Entitlements held on chain, finally, by word.
    pub held_on_chain: BTreeMap<(RoundNo, u64), [u64; 4]>,
    /// Gate versions that the log defined.
    pub gates: BTreeMap<u16, Gate>,
    /// Gate versions that the Distributor knows, finally, with their keys.
    pub gate_keys: BTreeMap<u16, Bytes>,
    /// Unix seconds until which gate versions do not count on chain, finally.
    pub gates_off: BTreeMap<u16, u64>,
    /// What gates have signed, by word.
    pub approved: BTreeMap<(RoundNo, u64), Approved>,
}

/// A block with events of ours that is not final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct UnfinalBlock {
    /// The block.
    pub block: BlockRef,
    /// In their order there.
    pub events: Vec<ChainEvent>,
}

impl Campaign {
    /// A campaign just created.
    pub fn new(terms: CampaignTerms, version: Seq) -> Self {
        Self {
            terms,
            version,
            watched: false,
            paused: None,
            rounds: BTreeMap::new(),
            funds: Funds::default(),
            next_batch: 1,
            batches: BTreeMap::new(),
            redirected: BTreeMap::new(),
            unfinal: BTreeMap::new(),
            final_block: 0,
            ahead: BTreeMap::new(),
            decided: Decided::default(),
            pause: None,
            paused_alone: BTreeMap::new(),
            paused_on_chain: 0,
            held_until_on_chain: 0,
            campaign_holds: BTreeSet::new(),
            held: BTreeMap::new(),
            held_alone: BTreeSet::new(),
            held_on_chain: BTreeMap::new(),
            gates: BTreeMap::new(),
            gate_keys: BTreeMap::new(),
            gates_off: BTreeMap::new(),
            approved: BTreeMap::new(),
        }
    }

    /// A round.
    pub fn round(&self, number: RoundNo) -> Option<&Round> {
        self.rounds.get(&number)
    }

    /// The number the next round must have.
    pub fn next_round(&self) -> RoundNo {
        self.rounds.len() as RoundNo + 1
    }

    /// Batches whose content stands: planned and not final.
    pub fn in_flight(&self) -> usize {
        self.batches.values().filter(|b| !b.given_up).count()
    }

    /// Batches that are planned and not mined.
    pub fn open_batches(&self) -> usize {
        self.batches.values().filter(|b| b.is_open()).count()
    }

    /// The round of an entitlement, if it lies in a round that the log knows.
    pub fn round_of(&self, id: EntitlementId) -> Option<&Round> {
        self.round(id.round).filter(|round| id.index < round.terms.count)
    }

    /// The batch in flight that holds this entitlement.
    pub fn batch_of(&self, id: EntitlementId) -> Option<&Batch> {
        self.batches.values().find(|b| b.contains(id))
    }

    /// A payment by another way than our batches, seen in a block that is not final.
    pub fn paid_elsewhere(&self, id: EntitlementId) -> bool {
        self.seen_elsewhere(id).is_some()
    }

    /// The block and transaction of such a payment.
    pub fn seen_elsewhere(&self, id: EntitlementId) -> Option<(BlockRef, B256)> {
        self.unfinal.values().find_map(|b| {
            let payments = b.events.iter().filter_map(ChainEvent::payment);
            payments.into_iter().find_map(|(paid, tx)| (paid == id).then_some((b.block, tx)))
        })
    }

    /// Why nothing is decided now, if so: a hold on the campaign, a pause, or missing money.
    pub fn stopped(&self) -> Option<Code> {
        match self.paused {
            Some(code) => Some(code),
            None if self.pause.is_some() => Some(Code::Paused),
            None => None,
        }
    }

    /// How long an institution alone has paused the campaign in all, without what is left of its pause at `now`.
    pub fn paused_alone_by(&self, by: B256, now: Millis) -> Millis {
        let used = self.paused_alone.get(&by).copied().unwrap_or_default();
        let left = self.pause.filter(|p| p.alone && p.by == by).map_or(0, |p| p.until.saturating_sub(now));
        used.saturating_sub(left)
    }

    /// A pause ends before its time: what was left of it does not count against its institution.
    pub(super) fn pause_ended_early(&mut self, now: Millis) {
        if let Some(pause) = self.pause.filter(|p| p.alone) {
            let used = self.paused_alone_by(pause.by, now);
            self.paused_alone.insert(pause.by, used);
        }
        self.pause = None;
    }

    /// Whether batches may be planned: neither paused nor held as a whole.
    pub fn may_plan(&self) -> bool {
        self.pause.is_none() && !self.is_held()
    }

    /// Whether the campaign is held as a whole, by an entry or on chain.
    pub fn is_held(&self) -> bool {
        !self.campaign_holds.is_empty() || self.held_until_on_chain > 0
    }

    /// Whether an entitlement is held on chain, finally.
    pub fn is_held_on_chain(&self, id: EntitlementId) -> bool {
        let words = self.held_on_chain.get(&(id.round, id.index / 256));
        words.is_some_and(|w| w[(id.index % 256 / 64) as usize] >> (id.index % 64) & 1 == 1)
    }

    /// Whether what its Distributor pays depends on the time: on a pause there, or on gates' words, which expire.
    pub fn asks_the_time(&self) -> bool {
        self.paused_on_chain > 0 || !self.approved.is_empty()
    }

    /// Whether a gated word that is approved is paid on chain at this time (Unix seconds): its gate counts, with the key
    /// that signed, and the gate's word does not expire before it can be mined. True for words of other rounds.
    pub fn gate_counts(&self, round: &Round, word: u64, now: u64) -> bool {
        if round.terms.mode != RoundMode::Gated {
            return true;
        }
        let Some(approved) = self.approved.get(&(round.terms.round, word)) else { return false };
        let lasts = approved.expiry > now.saturating_add(GATE_WORD_MARGIN.as_secs());
        let is_on = self.gates_off.get(&approved.gate).is_none_or(|until| *until <= now);
        let defined = self.gates.get(&approved.gate).map(|gate| &gate.terms.signer);
        let other_key = self.gate_keys.get(&approved.gate).is_some_and(|key| Some(key) != defined);
        lasts && is_on && !other_key
    }

    /// The bits of a word that may be planned: payable, not held on chain, and, in a gated round, approved by its gate.
    pub fn plannable(&self, round: &Round, word: u64) -> [u64; 4] {
        let Some((shard, place)) = round.shard_at(word * 256) else { return [0; 4] };
        let mut bits = shard.payable(place / 256);
        if let Some(held) = self.held_on_chain.get(&(round.terms.round, word)) {
            bits = std::array::from_fn(|i| bits[i] & !held[i]);
        }
        if round.terms.mode == RoundMode::Gated {
            let approved = self.approved.get(&(round.terms.round, word));
            bits = std::array::from_fn(|i| bits[i] & approved.map_or(0, |a| a.mask[i]));
        }
        bits
    }
}
