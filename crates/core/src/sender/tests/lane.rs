//! A lane and a chain, seeded: transactions are dropped, delayed, mined, reverted and reorganised away; the process
//! restarts and other epochs take over. Every batch ends mined, in order, exactly once.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Copy, Debug)]
struct Tx {
    campaign: u128,
    batch: BatchNo,
    epoch: Epoch,
    nonce: u64,
    fees: Fees,
    tx: u64,
}

/// What a block can change.
#[derive(Clone, Debug, Default)]
struct Ledger {
    nonce: u64,
    epoch: Epoch,
    settled: BTreeMap<u128, BatchNo>,
    /// Every transaction mined, with whether it settled its batch.
    mined: Vec<(Tx, bool)>,
}

struct World {
    draw: Draw,
    /// Campaigns that the Distributor has paused: nothing of theirs can be simulated.
    paused: BTreeSet<u128>,
    /// Campaigns whose simulation failed in this turn.
    blocked: BTreeSet<u128>,
    epoch: Epoch,
    batches: BTreeMap<(u128, BatchNo), Batch>,
    signed: BTreeMap<u64, Tx>,
    sent_at: BTreeMap<B256, u64>,
    lost: BTreeSet<B256>,
    height: u64,
    base_fee: u128,
    /// The ledger after each block that may still vanish; the last is the present.
    ledgers: Vec<Ledger>,
    mempool: BTreeMap<u64, Tx>,
}

impl World {
    fn new(seed: u64) -> Self {
        let batches = [1u128, 2].into_iter().flat_map(|c| (1..=6).map(move |n| (c, n)));
        let mut world = Self {
            draw: Draw(seed),
            paused: BTreeSet::new(),
            blocked: BTreeSet::new(),
            epoch: 1,
            batches: BTreeMap::new(),
            signed: BTreeMap::new(),
            sent_at: BTreeMap::new(),
            lost: BTreeSet::new(),
            height: 10,
            base_fee: 100,
            ledgers: vec![Ledger { epoch: 1, ..Ledger::default() }],
            mempool: BTreeMap::new(),
        };
        for (c, n) in batches {
            let mut batch = batch(n, vec![]);
            batch.plan.campaign = campaign(c);
            world.batches.insert((c, n), batch);
        }
        world
    }

    fn ledger(&self) -> &Ledger {
        self.ledgers.last().unwrap()
    }

    fn facts(&self) -> LaneFacts {
        LaneFacts {
            nonce: self.ledger().nonce,
            market: Market { base_fee: self.base_fee, priority_fee: 8 },
            sent_at: self.sent_at.iter().map(|(hash, at)| (*hash, *at)).collect(),
            height: self.height,
            lost: self.lost.iter().copied().collect(),
            blocked: self.blocked.iter().map(|c| campaign(*c)).collect(),
            ..facts(0)
        }
    }

    /// One look of the sender, carried out as the engine does: what cannot be simulated blocks its campaign only.
    fn send(&mut self) {
        self.blocked.clear();
        while !self.carry_out() {}
    }

    fn carry_out(&mut self) -> bool {
        let facts = self.facts();
        let batches: Vec<_> = self.batches.values().map(|b| (b.plan.campaign, b)).collect();
        let found = step(self.epoch, &facts, &policy(), &batches, |_| GAS);
        for step in found {
            let goes_on = match step {
                Step::Sign { campaign, batch, nonce, fees } => self.sign(campaign, batch, nonce, fees, None),
                Step::Replace { campaign, batch, previous, fees } => {
                    let nonce = self.signed.values().find(|t| hash(t.tx) == previous).unwrap().nonce;
                    assert_eq!(nonce, facts.nonce, "only the lowest un-mined nonce is raised");
                    self.sign(campaign, batch, nonce, fees, Some(previous))
                }
                Step::Send { tx_hash } => {
                    let tx = *self.signed.values().find(|t| hash(t.tx) == tx_hash).unwrap();
                    self.broadcast(tx);
                    true
                }
                Step::Fill { nonce } => {
                    let last = self.signed.values().rfind(|t| t.nonce == nonce).copied();
                    self.broadcast(last.expect("a nonce below a live one was signed once"));
                    true
                }
                Step::AskReceipts { hashes, .. } => {
                    let settled =
                        self.ledger().mined.iter().any(|(t, ok)| *ok && hashes.contains(&hash(t.tx)));
                    if !settled {
                        self.lost.extend(hashes);
                    }
                    true
                }
                Step::WaitsForFees { .. } => true,
                Step::NeedsFunds { .. } => panic!("the account is rich"),
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    fn key(campaign: CampaignId, batch: BatchNo) -> (u128, BatchNo) {
        (campaign.0.as_u128(), batch)
    }

    fn sign(
        &mut self,
        campaign: CampaignId,
        batch: BatchNo,
        nonce: u64,
        fees: Fees,
        previous: Option<B256>,
    ) -> bool {
        let key = Self::key(campaign, batch);
        // A replacement is signed even if it cannot be simulated: it holds a nonce that others wait for.
        if previous.is_none() && !self.simulates(key, nonce) {
            self.blocked.insert(key.0);
            return false;
        }
        let tx =
            Tx { campaign: key.0, batch, epoch: self.epoch, nonce, fees, tx: self.signed.len() as u64 + 1 };
        let known = &self.batches[&key];
        let live = |a: &&Attempt| {
            a.epoch == self.epoch && a.nonce >= self.ledger().nonce && !self.lost.contains(&a.tx_hash)
        };
        assert!(
            known.attempts.iter().filter(live).all(|a| a.nonce == nonce),
            "two live nonces for one batch"
        );
        if let Some(old) = previous.and_then(|hash| known.attempts.iter().find(|a| a.tx_hash == hash)) {
            assert!(fees.max_fee * 8 >= old.max_fee * 9 && fees.priority_fee * 8 >= old.priority_fee * 9);
        }
        assert!(fees.max_fee <= policy().max_fee_cap);
        let signed = Attempt {
            epoch: self.epoch,
            max_fee: fees.max_fee,
            priority_fee: fees.priority_fee,
            ..attempt(nonce, tx.tx, 0)
        };
        self.batches.get_mut(&key).unwrap().attempts.push(signed);
        self.signed.insert(tx.tx, tx);
        self.broadcast(tx);
        true
    }

    /// Whether the batch would settle behind what is pending below its nonce.
    fn simulates(&self, (campaign, batch): (u128, BatchNo), nonce: u64) -> bool {
        let mut settled = self.ledger().settled.get(&campaign).copied().unwrap_or_default();
        for tx in self.mempool.range(self.ledger().nonce..nonce).map(|(_, tx)| tx) {
            settled +=
                u64::from(tx.campaign == campaign && tx.batch == settled + 1 && tx.epoch == self.epoch);
        }
        self.ledger().epoch == self.epoch && batch == settled + 1 && !self.paused.contains(&campaign)
    }

    fn broadcast(&mut self, tx: Tx) {
        let underpriced = self.mempool.get(&tx.nonce).is_some_and(|there| {
            there.tx != tx.tx
                && (tx.fees.max_fee * 10 < there.fees.max_fee * 11
                    || tx.fees.priority_fee * 10 < there.fees.priority_fee * 11)
        });
        let at = if underpriced { 0 } else { self.height };
        self.sent_at.insert(hash(tx.tx), at);
        // An answer says little: what was accepted may be dropped at once.
        if tx.nonce >= self.ledger().nonce && !underpriced && !self.draw.once_in(5) {
            self.mempool.insert(tx.nonce, tx);
        }
    }

    /// The chain takes what the next nonce offers, if it pays the base fee.
    fn mine(&mut self) {
        self.height += 1;
        let mut ledger = self.ledger().clone();
        while let Some(tx) =
            self.mempool.get(&ledger.nonce).copied().filter(|t| t.fees.max_fee >= self.base_fee)
        {
            self.mempool.remove(&ledger.nonce);
            ledger.nonce += 1;
            let next = ledger.settled.entry(tx.campaign).or_default();
            // A revert out of nowhere, sometimes: a token that runs out of gas.
            let open = tx.epoch == ledger.epoch && !self.paused.contains(&tx.campaign);
            let settles = open && tx.batch == *next + 1 && !self.draw.once_in(10);
            *next += u64::from(settles);
            ledger.mined.push((tx, settles));
            if self.draw.once_in(3) {
                break;
            }
        }
        self.ledgers.push(ledger);
        if self.ledgers.len() > 8 {
            self.ledgers.remove(0);
        }
    }

    fn reorganise(&mut self) {
        let depth = usize::try_from(1 + self.draw.below(4)).unwrap();
        let before = self.ledger().mined.clone();
        let kept = self.ledgers.len().saturating_sub(depth).max(1);
        self.ledgers.truncate(kept);
        for (tx, _) in before.into_iter().skip(self.ledger().mined.len()) {
            if !self.draw.once_in(3) {
                self.mempool.insert(tx.nonce, tx);
            }
        }
    }

    /// The log learns what the chain says, sometimes later.
    fn watch(&mut self) {
        let mined: BTreeMap<_, _> = self
            .ledger()
            .mined
            .iter()
            .filter(|(_, ok)| *ok)
            .map(|(t, _)| ((t.campaign, t.batch), t.tx))
            .collect();
        for (key, batch) in &mut self.batches {
            let says = mined.get(key).map(|tx| BatchMined {
                campaign: batch.plan.campaign,
                batch: key.1,
                block: BlockRef { number: 1, hash: hash(*tx) },
                tx_hash: hash(*tx),
                paid: Vec::new(),
                paid_total: Total::ZERO,
                skipped: Vec::new(),
            });
            if let Some(mined) = &says {
                assert!(
                    batch.attempts.iter().any(|a| a.tx_hash == mined.tx_hash),
                    "only what was signed is mined"
                );
            }
            batch.mined = says;
        }
    }

    /// The process starts anew, perhaps as another epoch; what was in memory is gone.
    fn restart(&mut self) {
        self.sent_at.clear();
        self.lost.clear();
        if self.draw.once_in(2) {
            self.epoch += 1;
            let epoch = self.epoch;
            self.ledgers.iter_mut().for_each(|l| l.epoch = epoch);
        }
    }

    fn turn(&mut self, faults: bool) {
        self.send();
        match self.draw.below(if faults { 12 } else { 4 }) {
            0..=3 => self.mine(),
            4 | 5 => self.watch(),
            6 => self.reorganise(),
            7 => self.restart(),
            8 if self.draw.once_in(2) => self.paused = BTreeSet::from([1 + u128::from(self.draw.below(2))]),
            8 => self.base_fee = 20 + u128::from(self.draw.below(900)),
            9 => self.mempool.retain(|_, _| self.draw.once_in(2)),
            _ => self.height += 1,
        }
        if !faults {
            self.watch();
        }
    }

    fn is_done(&self) -> bool {
        self.batches.iter().all(|((campaign, _), b)| b.mined.is_some() || self.paused.contains(campaign))
    }
}

impl World {
    fn finish(&mut self, seed: u64) {
        let mut turns = 0;
        while !self.is_done() {
            self.turn(false);
            turns += 1;
            assert!(turns < 2_000, "seed {seed} does not come to an end: {:?}", self.ledger().settled);
        }
    }
}

#[test]
fn every_batch_of_a_lane_is_mined_in_order_and_once_whatever_happens() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.turn(true);
        }
        // What was offered once is enough from here on.
        world.base_fee = 20;
        world.watch();
        // First while a campaign is paused: the other one is not held up.
        world.finish(seed);
        world.paused.clear();
        world.finish(seed);
        for campaign in [1, 2] {
            let mined = world.ledger().mined.iter().filter(|(t, ok)| *ok && t.campaign == campaign);
            let settled: Vec<BatchNo> = mined.map(|(t, _)| t.batch).collect();
            assert_eq!(settled, [1, 2, 3, 4, 5, 6], "seed {seed}");
        }
    }
}
