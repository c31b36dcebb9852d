//! A random life of a log with two campaigns and a chain that mines, forgets and finalises. Every draw comes from the
//! operations' numbers, so that a failing life shrinks.

mod offices;

use std::collections::BTreeSet;

use sluice_core::command::{Action, ClaimDemand, Demand, RoundMode};
use sluice_core::decide::{Input, VerifiedGate};
use sluice_core::ids::{BlockRef, CampaignId, DemandId, EntitlementId};
use sluice_core::log::entry::{
    AttemptSigned, BatchAt, BatchFinal, BatchMined, BatchPlanned, BatchReplanned, Body, ChainEvent,
    EpochOnChain, EventsAt, EventsMined, GateSigned, ReplanGround, WordMask,
};
use sluice_core::planner::{GasModel, next_number, plan};
use sluice_core::refusal::Code;

use crate::auditor::Auditor;
use crate::world::{CHAIN, CLOSES, LANE, World, amount, campaign, hash, recipient, skipped, sum};

pub(crate) use offices::{DELEGATION_MAX, MANDATE_MAX};

const CAMPAIGNS: [u128; 3] = [1, 2, 3];
/// How many kinds of operations there are.
pub(crate) const OPERATIONS: u8 = 38;

/// A draw.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// The next number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The calls of a token whose transfers cost more: every item scaled by `percent`.
fn scaled(percent: u64) -> GasModel {
    let gas = GasModel::default();
    let scale = |gas: u64| gas * percent / 100;
    GasModel { item: scale(gas.item), redirect_item: scale(gas.redirect_item), ..gas }
}

/// What a block did, for the chain's own memory.
#[derive(Clone)]
struct Block {
    at: BlockRef,
    campaign: CampaignId,
    paid: Vec<EntitlementId>,
    void: Vec<EntitlementId>,
    batch: Option<u64>,
    events: bool,
}

#[derive(Clone)]
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) auditor: Auditor,
    gas: GasModel,
    read: usize,
    waiting: Vec<Input>,
    /// Blocks that are not final, oldest first.
    blocks: Vec<Block>,
    paid: BTreeSet<(CampaignId, EntitlementId)>,
    void: BTreeSet<(CampaignId, EntitlementId)>,
    settled: [u64; 4],
    hash: u64,
    epoch_on_chain: u64,
}

impl Simulation {
    pub(crate) fn new(counts: [u64; 2], gas_percent: u64) -> Self {
        let gas = scaled(gas_percent);
        let mut sim = Self {
            world: World::new(),
            auditor: Auditor::with_gas(gas),
            gas,
            read: 0,
            waiting: Vec::new(),
            blocks: Vec::new(),
            paid: BTreeSet::new(),
            void: BTreeSet::new(),
            settled: [0; 4],
            hash: 1_000_000,
            epoch_on_chain: 0,
        };
        for n in 1..=2 {
            sim.world.create(campaign(n));
        }
        sim.found_offices();
        sim.new_round(campaign(1), counts[0], RoundMode::Push);
        sim.new_round(campaign(2), counts[1], RoundMode::Pull);
        sim.new_round(campaign(3), counts[1], RoundMode::Gated);
        sim
    }

    fn new_round(&mut self, id: CampaignId, count: u64, mode: RoundMode) {
        self.flush();
        let round = self.world.state().campaign(id).unwrap().next_round();
        let mut terms = self.world.terms(id, round, count, mode);
        if let Some(gate) = self.world.state().campaign(id).unwrap().gates.get(&1) {
            (terms.gate, terms.rules_hash) = (1, gate.terms.hash());
        }
        let publish = self.world.command(Action::Publish(terms));
        let bodies = self.world.submit(vec![publish]);
        assert!(matches!(bodies.last(), Some(Body::RoundPublished(_))), "{bodies:?}");
        let terms = Box::new(self.world.state().campaign(id).unwrap().round(round).unwrap().terms.clone());
        let funded = ChainEvent::Funded { amount: sum(0..count) };
        self.mine_events(id, vec![funded, ChainEvent::Published { terms }, ChainEvent::Opened { round }]);
        self.settle_down();
    }

    /// Decides what waits, and has the auditor read it.
    pub(crate) fn flush(&mut self) -> usize {
        let waiting = std::mem::take(&mut self.waiting);
        self.world.submit_all(waiting);
        let new = self.world.log.len() - self.read;
        for entry in &self.world.log[self.read..] {
            self.auditor.read(entry);
        }
        self.read = self.world.log.len();
        self.auditor.compare(self.world.state());
        new
    }

    /// Whether one observation, alone in its group, becomes an entry.
    fn takes(&mut self, body: Body) -> bool {
        self.flush();
        self.waiting.push(Input::Observed(body));
        self.flush() > 0
    }

    /// Whether the log takes note of what a gate signed.
    fn signs(&mut self, signed: GateSigned) -> bool {
        self.flush();
        let (key, id) = (self.world.key(signed.campaign), DemandId::default());
        let body_hash = Demand::Gate(signed.clone()).body_hash();
        self.waiting.push(Input::Gate(VerifiedGate { key, id, signed, body_hash, verdict: Ok(()) }));
        self.flush();
        matches!(self.world.log.last().map(|entry| &entry.body), Some(Body::GateSigned(_)))
    }

    pub(crate) fn act(&mut self, operation: u8, number: u64) {
        let mut draw = Draw(number);
        let id = campaign(1 + u128::from(draw.below(3)));
        match operation {
            0..=3 => self.claims(id, &mut draw),
            4 => self.push(&mut draw),
            5 => self.void(id, &mut draw),
            6..=8 => self.plan(id),
            9..=10 => self.sign(id),
            11..=13 => self.settle(id, &mut draw, true),
            14 => self.pay_by_wallet(id, &mut draw),
            15 => self.void_on_chain(id, &mut draw),
            16 | 23 => self.reorganise(&mut draw),
            17..=18 => self.finalise(1 + draw.below(4)),
            19 => self.replan(id, &mut draw),
            20 => self.world.now += draw.below(60_000),
            21 => self.repeat(&mut draw),
            22 => self.other(id, &mut draw),
            26..OPERATIONS => self.order_some(operation, id, &mut draw),
            _ => {
                self.flush();
            }
        }
    }

    fn entitlement(&self, id: CampaignId, draw: &mut Draw) -> (EntitlementId, u64) {
        let rounds = &self.world.state().campaign(id).unwrap().rounds;
        let round = 1 + draw.below(rounds.len() as u64);
        let count = rounds[&round].terms.count;
        // Half of all draws meet on few entitlements.
        let index = if draw.once_in(2) { draw.below(count.min(12)) } else { draw.below(count) };
        (EntitlementId { round, index }, count)
    }

    fn claims(&mut self, id: CampaignId, draw: &mut Draw) {
        for _ in 0..=draw.below(20) {
            let (entitlement, count) = self.entitlement(id, draw);
            let EntitlementId { round, index } = entitlement;
            let index = if draw.once_in(40) { count + draw.below(5) } else { index };
            let to = if draw.once_in(5) { LANE } else { recipient(index) };
            let (recipient, amount) = (recipient(index), amount(index));
            let signature = vec![1; 65].into();
            let deadline = CLOSES * 10;
            let demand = ClaimDemand { round, index, recipient, to, amount, deadline, signature };
            let mut claim = self.world.claim_of(id, demand);
            self.looked_up(&mut claim, draw);
            match draw.below(30) {
                0 => claim.verdict = Err(Code::BadSignature.into()),
                1 => claim.accepted_at = CLOSES * 2_000,
                2 => claim.verdict.as_mut().unwrap().valid_until = 0,
                _ => {}
            }
            self.waiting.push(Input::Claim(claim.clone()));
            if draw.once_in(10) {
                self.waiting.push(Input::Claim(claim));
            }
        }
    }

    fn push(&mut self, draw: &mut Draw) {
        let (EntitlementId { round, index }, count) = self.entitlement(campaign(1), draw);
        let to = if draw.once_in(2) { count } else { (index + draw.below(700)).min(count) };
        let from = if draw.once_in(3) { 0 } else { index };
        self.order(Action::Push { campaign: campaign(1), round, from, to }, draw);
    }

    fn void(&mut self, id: CampaignId, draw: &mut Draw) {
        let (EntitlementId { round, .. }, count) = self.entitlement(id, draw);
        let indexes: BTreeSet<u64> = (0..=draw.below(4)).map(|_| draw.below(count.min(40))).collect();
        let indexes = indexes.into_iter().collect();
        self.order(Action::Void { campaign: id, round, indexes }, draw);
    }

    fn order(&mut self, action: Action, draw: &mut Draw) {
        let by: &[u8] = if draw.once_in(8) { &[1] } else { &[1, 2] };
        let command = self.world.by(by, action);
        self.waiting.push(Input::Command(command));
    }

    fn plan(&mut self, id: CampaignId) {
        self.flush();
        let known = self.world.state().campaign(id).unwrap();
        let payable = self.auditor.payable(id);
        let Some(content) = plan(known, &self.gas, 0) else {
            assert!(payable == 0 || known.in_flight() > 0, "{payable} could be paid, and nothing is planned");
            return;
        };
        let indexes = content.words.iter().flat_map(|w| w.indexes().collect::<Vec<_>>());
        let (total, batch) = (sum(indexes), next_number(known));
        let plan = BatchPlanned { campaign: id, batch, form: content.form, words: content.words, total };
        assert!(self.takes(Body::BatchPlanned(plan)), "the planner's batch is accepted");
    }

    fn sign(&mut self, id: CampaignId) {
        self.flush();
        let open = self.world.state().campaign(id).unwrap().batches.values().filter(|b| b.is_open());
        let Some(batch) = open.map(|b| b.plan.batch).next() else { return };
        let attempt = AttemptSigned { campaign: id, ..self.world.attempt(batch) };
        assert!(self.takes(Body::AttemptSigned(attempt)));
    }

    fn block(&mut self, id: CampaignId) -> Block {
        self.world.block += 1;
        self.hash += 1;
        let at = BlockRef { number: self.world.block, hash: hash(self.hash) };
        Block { at, campaign: id, paid: Vec::new(), void: Vec::new(), batch: None, events: false }
    }

    fn stand(&mut self, block: Block, body: Body) {
        let id = block.campaign;
        self.paid.extend(block.paid.iter().map(|e| (id, *e)));
        self.void.extend(block.void.iter().map(|e| (id, *e)));
        if block.batch.is_some() {
            self.settled[id.0.as_u128() as usize] += 1;
        }
        self.blocks.push(block);
        assert!(self.takes(body));
    }

    /// The Distributor settles the next batch, as far as what it names is neither paid nor void there.
    fn settle(&mut self, id: CampaignId, draw: &mut Draw, faults: bool) {
        self.flush();
        let next = self.settled[id.0.as_u128() as usize] + 1;
        let known = self.world.state().campaign(id).unwrap();
        let Some(batch) = known.batches.get(&next).filter(|b| b.is_open() && !b.alive().is_empty()) else {
            return;
        };
        let (words, tx_hash) = (batch.plan.words.clone(), batch.alive().last().unwrap().tx_hash);
        let mut block = self.block(id);
        let (mut paid, mut failed) = (Vec::<WordMask>::new(), Vec::new());
        for word in words {
            let mut kept = WordMask { mask: [0; 4], ..word };
            for index in word.indexes() {
                let entitlement = EntitlementId { round: word.round, index };
                if self.paid.contains(&(id, entitlement)) || self.void.contains(&(id, entitlement)) {
                    continue;
                }
                if faults && draw.once_in(12) {
                    failed.push(skipped(word.round, index));
                } else {
                    kept.mask[(index % 256 / 64) as usize] |= 1 << (index % 64);
                    block.paid.push(entitlement);
                }
            }
            paid.extend((kept.count() > 0).then_some(kept));
        }
        if paid.is_empty() && !failed.is_empty() {
            // It reverts as a whole; its number stays open.
            return;
        }
        block.batch = Some(next);
        let paid_total = sum(block.paid.iter().map(|e| e.index));
        let at = block.at;
        let mined =
            BatchMined { campaign: id, batch: next, block: at, tx_hash, paid, paid_total, skipped: failed };
        self.stand(block, Body::BatchMined(mined));
    }

    fn mine_events(&mut self, id: CampaignId, events: Vec<ChainEvent>) {
        let mut block = self.block(id);
        block.events = true;
        for event in &events {
            match event {
                ChainEvent::Paid { entitlement, .. } => block.paid.push(*entitlement),
                ChainEvent::Voided { items } => block.void.extend(items.iter().map(|(e, _)| *e)),
                _ => {}
            }
        }
        let body = Body::EventsMined(EventsMined { campaign: id, block: block.at, events });
        self.stand(block, body);
    }

    fn untouched(&self, id: CampaignId, draw: &mut Draw) -> BTreeSet<EntitlementId> {
        let drawn = (0..=draw.below(5)).map(|_| self.entitlement(id, draw).0).collect::<Vec<_>>();
        let free = |e: &EntitlementId| !self.paid.contains(&(id, *e)) && !self.void.contains(&(id, *e));
        drawn.into_iter().filter(free).collect()
    }

    fn pay_by_wallet(&mut self, id: CampaignId, draw: &mut Draw) {
        let events: Vec<_> = self
            .untouched(id, draw)
            .into_iter()
            .map(|entitlement| ChainEvent::Paid {
                entitlement,
                amount: amount(entitlement.index),
                to: recipient(entitlement.index),
                tx_hash: hash(draw.below(u64::MAX)),
            })
            .collect();
        if !events.is_empty() {
            self.mine_events(id, events);
        }
    }

    fn void_on_chain(&mut self, id: CampaignId, draw: &mut Draw) {
        let items: Vec<_> = self.untouched(id, draw).into_iter().map(|e| (e, amount(e.index))).collect();
        if !items.is_empty() {
            self.mine_events(id, vec![ChainEvent::Voided { items }]);
        }
    }

    /// The youngest blocks vanish; their heights are used again.
    fn reorganise(&mut self, draw: &mut Draw) {
        for _ in 0..=draw.below(4) {
            let Some(block) = self.blocks.pop() else { return };
            let campaign = block.campaign;
            for entitlement in &block.paid {
                self.paid.remove(&(campaign, *entitlement));
            }
            for entitlement in &block.void {
                self.void.remove(&(campaign, *entitlement));
            }
            self.world.block = block.at.number - 1;
            let at = block.at;
            if let Some(batch) = block.batch {
                self.settled[campaign.0.as_u128() as usize] -= 1;
                assert!(self.takes(Body::BatchUnmined(BatchAt { campaign, batch, block: at })));
            }
            if block.events {
                assert!(self.takes(Body::EventsUnmined(EventsAt { campaign, block: at })));
            }
        }
    }

    fn finalise(&mut self, blocks: u64) {
        self.flush();
        for _ in 0..blocks {
            if self.blocks.is_empty() {
                return;
            }
            let Block { at: block, campaign, batch, events, .. } = self.blocks.remove(0);
            if let Some(batch) = batch {
                let void = self.world.state().void_paid(campaign, batch).unwrap();
                let void_paid = void.into_iter().map(|id| (id, amount(id.index))).collect();
                assert!(self.takes(Body::BatchFinal(BatchFinal { campaign, batch, block, void_paid })));
            }
            if events {
                let body = self.world.events_final_of(campaign, block);
                assert!(self.takes(body));
            }
        }
    }

    fn replan(&mut self, id: CampaignId, draw: &mut Draw) {
        self.flush();
        let known = self.world.state().campaign(id).unwrap();
        let open: Vec<_> = known.batches.values().filter(|b| b.is_open()).collect();
        if open.is_empty() {
            return;
        }
        let batch = open[draw.below(open.len() as u64) as usize];
        let (number, signed) = (batch.plan.batch, !batch.attempts.is_empty());
        let items: Vec<_> = batch.plan.words.iter().flat_map(|w| w.indexes().map(|i| (w.round, i))).collect();
        let share = [1, 2, 50][draw.below(3) as usize];
        let poison = items.iter().filter(|_| draw.once_in(share)).map(|(r, i)| skipped(*r, *i)).collect();
        // The model's chain mines only what State holds open, so that a consumed nonce needs no model of its own.
        let because = if signed {
            self.world.block += 1;
            let cursor = self.world.cursor(Vec::new());
            assert!(self.takes(cursor));
            ReplanGround::NoncesConsumed(self.world.at(self.world.block))
        } else {
            ReplanGround::NeverSigned
        };
        let body = BatchReplanned { campaign: id, batch: number, because, poison };
        assert!(self.takes(Body::BatchReplanned(body)));
    }

    /// What the log said before and says no more is dropped.
    fn repeat(&mut self, draw: &mut Draw) {
        self.flush();
        let at = draw.below(self.world.log.len() as u64) as usize;
        let body = self.world.log[at].body.clone();
        let stale = match &body {
            Body::EventsMined(m) => {
                let known = self.world.state().campaign(m.campaign).unwrap();
                m.block.number <= known.final_block || known.unfinal.contains_key(&m.block.number)
            }
            Body::AttemptSigned(_) | Body::BatchFinal(_) | Body::EventsFinal(_) => true,
            Body::ClaimDecided(_) | Body::Pushed(_) | Body::Voided(_) | Body::RoundPublished(_) => true,
            _ => false,
        };
        if stale {
            assert!(!self.takes(body));
        }
    }

    fn other(&mut self, id: CampaignId, draw: &mut Draw) {
        match draw.below(4) {
            0 => {
                let version = self.world.state().home_charter().unwrap().view.set_version + 1;
                let read = self.world.charter(version);
                self.takes(read);
            }
            1 => {
                self.epoch_on_chain += 1;
                let (epoch, block) = (self.epoch_on_chain, self.world.at(self.world.block));
                assert!(self.takes(Body::EpochOnChain(EpochOnChain { chain_id: CHAIN, epoch, block })));
            }
            2 if self.world.state().campaign(id).unwrap().rounds.len() < 3 => {
                let mode = self.world.state().campaign(id).unwrap().rounds[&1].terms.mode;
                let count = 1 + draw.below(60);
                self.new_round(id, count, mode);
            }
            _ => {
                let cursor = self.world.cursor(Vec::new());
                self.takes(cursor);
            }
        }
    }

    /// Everything mined becomes final.
    pub(crate) fn settle_down(&mut self) {
        self.finalise(u64::MAX);
    }

    /// From here on nothing fails: whatever was decided and can be paid is paid.
    pub(crate) fn finish(&mut self) {
        self.release_all();
        for _ in 0..2_000 {
            self.world.now += 600_000;
            self.flush();
            for id in CAMPAIGNS.map(campaign) {
                self.plan(id);
                for _ in 0..4 {
                    self.sign(id);
                    self.settle(id, &mut Draw(0), false);
                }
            }
            self.settle_down();
            let idle = CAMPAIGNS.map(campaign).iter().all(|id| {
                self.auditor.payable(*id) == 0 && self.world.state().campaign(*id).unwrap().in_flight() == 0
            });
            if idle && self.auditor.nothing_waits() {
                return;
            }
        }
        panic!("it does not come to an end");
    }
}
