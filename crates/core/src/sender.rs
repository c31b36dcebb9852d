//! The sender: which transaction of a lane is signed, sent again or replaced next. A pure step from what the log and
//! the chain say to what is to be done; the engine does it and asks again.
//!
//! Rules: nothing leaves before its attempt is committed; a nonce is replaced, never given up; only the lowest un-mined
//! nonce is raised; a send error never means that nothing was sent.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};

use crate::fees::{FeePolicy, Fees, Market};
use crate::ids::{BatchNo, CampaignId, Epoch};
use crate::limits::{ATTEMPTS_PER_NONCE_MAX, LANE_IN_FLIGHT_MAX};
use crate::state::State;
use crate::state::batch::{Attempt, Batch};

#[cfg(test)]
mod tests;

/// What the chain says about a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneFacts {
    /// The settlement account.
    pub account: Address,
    /// The next nonce by the latest block.
    pub nonce: u64,
    /// The account's balance, wei.
    pub balance: u128,
    /// What the chain asks.
    pub market: Market,
    /// The height at which each un-mined attempt was first sent, as far as this process knows.
    pub sent_at: Vec<(B256, u64)>,
    /// The present height.
    pub height: u64,
    /// What became of attempts whose nonce is used up: reverted, or not ours.
    pub lost: Vec<B256>,
    /// Campaigns whose next batch was found to revert now: nothing new is signed for them, and nobody waits for them.
    pub blocked: Vec<CampaignId>,
    /// Nodes were seen to refuse transactions that may cost more than this, wei: nobody holds such an attempt.
    pub node_cap: Option<u128>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sign a first attempt for a batch (simulate it before).
    Sign {
        /// The campaign.
        campaign: CampaignId,
        /// The batch.
        batch: BatchNo,
        /// The nonce it takes.
        nonce: u64,
        /// What it offers.
        fees: Fees,
    },
    /// Sign a replacement at the same nonce, with the same content.
    Replace {
        /// The campaign.
        campaign: CampaignId,
        /// The batch.
        batch: BatchNo,
        /// The attempt it replaces.
        previous: B256,
        /// What it offers.
        fees: Fees,
    },
    /// Send bytes that were committed before.
    Send {
        /// The attempt.
        tx_hash: B256,
    },
    /// Send what was last signed at this nonce, whatever it is: those behind it wait for the nonce.
    Fill {
        /// The nonce.
        nonce: u64,
    },
    /// The nonce is used up: ask for the transaction receipts of these attempts.
    AskReceipts {
        /// The campaign.
        campaign: CampaignId,
        /// The batch.
        batch: BatchNo,
        /// All attempts of that nonce.
        hashes: Vec<B256>,
    },
    /// The chain asks more than a transaction may offer: it waits until fees fall, and so do those behind it.
    WaitsForFees {
        /// What the chain asks, wei per gas.
        asked: u128,
        /// The most that the transaction may offer, wei per gas.
        most: u128,
    },
    /// The account cannot pay for the next transaction.
    NeedsFunds {
        /// Wei it lacks.
        missing: u128,
    },
}

/// The steps a lane takes now: first what is under way, then nonces that hold it up, then what is new, each in the
/// order of the batches; last what is missing. `batches` are the lane's, in order of planning.
pub fn step(
    epoch: Epoch,
    facts: &LaneFacts,
    policy: &FeePolicy,
    batches: &[(CampaignId, &Batch)],
    gas_of: impl Fn(&Batch) -> u64,
) -> Vec<Step> {
    let mut lane = Lane::new(epoch, facts, policy, batches);
    let live: Vec<_> =
        batches.iter().filter(|(_, b)| b.is_open()).map(|(c, b)| (*c, *b, lane.live(b))).collect();
    lane.taken = live.iter().filter_map(|(.., live)| live.nonce()).collect();
    // What is under way is paid for before anything new.
    lane.budget = live.iter().fold(facts.balance, |left, (.., live)| left.saturating_sub(live.cost()));
    for (at, (campaign, batch, found)) in live.iter().enumerate() {
        match found {
            Live::None => {
                // A later batch of the campaign would revert at its nonce now: that nonce is better used for this one.
                let later = live[at + 1..].iter().filter(|(c, ..)| c == campaign);
                let useless = later.filter_map(|(.., live)| live.nonce()).collect();
                lane.sign(*campaign, batch, &useless, gas_of(batch));
            }
            Live::Outbid => lane.order(*campaign).broken = true,
            Live::Used(hashes) => {
                let (batch, hashes) = (batch.plan.batch, hashes.clone());
                lane.steps.push(Step::AskReceipts { campaign: *campaign, batch, hashes });
            }
            Live::Waiting(attempts) => lane.wait(*campaign, batch, attempts),
        }
    }
    lane.into_steps()
}

/// A lane while its steps are found.
struct Lane<'a> {
    epoch: Epoch,
    facts: &'a LaneFacts,
    policy: FeePolicy,
    batches: &'a [(CampaignId, &'a Batch)],
    /// The lowest nonce that may be free.
    first: u64,
    /// Nonces under way before this step.
    taken: BTreeSet<u64>,
    /// Nonces given to a batch in this step; whoever held one before is outbid.
    given: BTreeSet<u64>,
    orders: BTreeMap<CampaignId, Order>,
    /// Once a batch cannot be signed, none behind it is: their numbers come later on chain.
    may_sign: bool,
    /// Campaigns whose next batch may not offer what is asked: nothing behind it is signed either.
    dear: BTreeSet<CampaignId>,
    /// Wei that nothing under way may still cost.
    budget: u128,
    /// Wei that the first thing it cannot pay lacks.
    missing: u128,
    /// What is asked of the first transaction that may not offer it, and the most it may.
    waits: Option<(u128, u128)>,
    /// For what is under way.
    steps: Vec<Step>,
    /// For what is new, by nonce.
    new: BTreeMap<u64, Step>,
}

/// A campaign's batches while a lane's steps are found.
struct Order {
    /// The lowest nonce that the next batch may take: the Distributor wants them in order.
    from: u64,
    /// Whether an earlier batch is not under way: those behind it would revert, and cannot be simulated.
    broken: bool,
}

/// What became of the wish to sign a first attempt.
enum Offer {
    Made,
    TooDear,
    NoMoney,
}

/// Whether a batch has a transaction of this lane and epoch that may still be mined.
enum Live<'a> {
    /// No: sign one.
    None,
    /// Yes, but an earlier batch offers more at the same nonce: what becomes of the nonce tells.
    Outbid,
    /// Its nonce is used up, and by what is not known yet.
    Used(Vec<B256>),
    /// Yes: all attempts at that nonce, oldest first.
    Waiting(Vec<&'a Attempt>),
}

impl Live<'_> {
    fn nonce(&self) -> Option<u64> {
        match self {
            Self::Waiting(attempts) => attempts.last().map(|a| a.nonce),
            Self::None | Self::Outbid | Self::Used(_) => None,
        }
    }

    /// What the last attempt may still cost, wei.
    fn cost(&self) -> u128 {
        match self {
            Self::Waiting(attempts) => {
                attempts.last().map_or(0, |a| a.max_fee.saturating_mul(u128::from(a.gas_limit)))
            }
            Self::None | Self::Outbid | Self::Used(_) => 0,
        }
    }
}

impl<'a> Lane<'a> {
    fn new(
        epoch: Epoch,
        facts: &'a LaneFacts,
        policy: &FeePolicy,
        batches: &'a [(CampaignId, &'a Batch)],
    ) -> Self {
        Self {
            epoch,
            facts,
            policy: FeePolicy {
                max_transaction_fee: policy.max_transaction_fee.min(facts.node_cap.unwrap_or(u128::MAX)),
                ..*policy
            },
            batches,
            first: first_nonce(facts, batches),
            taken: BTreeSet::new(),
            given: BTreeSet::new(),
            orders: BTreeMap::new(),
            may_sign: true,
            dear: BTreeSet::new(),
            budget: 0,
            missing: 0,
            waits: None,
            steps: Vec::new(),
            new: BTreeMap::new(),
        }
    }

    fn order(&mut self, campaign: CampaignId) -> &mut Order {
        self.orders.entry(campaign).or_insert(Order { from: self.first, broken: false })
    }

    fn live(&self, batch: &'a Batch) -> Live<'a> {
        let facts = self.facts;
        // A nonce that a reorganisation gave back may still be taken by what was lost there.
        let is_lost = |a: &Attempt| a.nonce < facts.nonce && facts.lost.contains(&a.tx_hash);
        let mine = |a: &&Attempt| a.lane == facts.account && a.epoch == self.epoch && !is_lost(a);
        let Some(last) = batch.alive().iter().rfind(mine) else { return Live::None };
        let others = self.batches.iter().filter(|(_, b)| b.is_open() && !std::ptr::eq(*b, batch));
        let rivals = others.flat_map(|(_, b)| b.alive()).filter(|a| !self.is_refused(a));
        let outbid = rivals.filter(mine).any(|a| a.nonce == last.nonce && a.max_fee > last.max_fee);
        let same: Vec<_> = batch.alive().iter().filter(mine).filter(|a| a.nonce == last.nonce).collect();
        if last.nonce < facts.nonce {
            return Live::Used(same.iter().map(|a| a.tx_hash).collect());
        }
        if outbid { Live::Outbid } else { Live::Waiting(same) }
    }

    /// The highest offer ever signed at a nonce by an attempt that is known: of an older epoch, or of content given up,
    /// it may still sit in a mempool.
    fn dead_at(&self, nonce: u64) -> Option<Fees> {
        let attempts = self.batches.iter().flat_map(|(_, b)| &b.attempts);
        let there = attempts.filter(|a| a.lane == self.facts.account && a.nonce == nonce);
        there.filter(|a| !self.is_refused(a)).map(fees_of).reduce(|a, b| Fees {
            max_fee: a.max_fee.max(b.max_fee),
            priority_fee: a.priority_fee.max(b.priority_fee),
        })
    }

    /// Whether no node holds an attempt, because it may cost more than nodes pass on.
    fn is_refused(&self, attempt: &Attempt) -> bool {
        let cost = attempt.max_fee.saturating_mul(u128::from(attempt.gas_limit));
        self.facts.node_cap.is_some_and(|cap| cost > cap)
    }

    /// Notes that a transaction may not offer what is asked.
    fn too_dear(&mut self, gas: u64) {
        let (asked, most) = (self.policy.lowest(self.facts.market), self.policy.cap(gas));
        if asked > most {
            self.waits = self.waits.or(Some((asked, most)));
        }
    }

    /// The fees of something new at a nonce, above all that may be there; `None` when it may not offer them.
    fn fees_at(&self, nonce: u64, gas: u64) -> Option<Fees> {
        match self.dead_at(nonce) {
            Some(dead) => self.policy.replacement(dead, self.facts.market, gas),
            None => self.policy.first(self.facts.market, gas),
        }
    }

    /// A first attempt for a batch, at the lowest nonce that is free or useless to the batch that holds it.
    fn sign(&mut self, campaign: CampaignId, batch: &Batch, useless: &BTreeSet<u64>, gas: u64) {
        if self.facts.blocked.contains(&campaign) {
            self.order(campaign).broken = true;
            return;
        }
        let from = self.order(campaign).from;
        let usable = |n: &u64| !self.given.contains(n) && (!self.taken.contains(n) || useless.contains(n));
        let last = self.facts.nonce + LANE_IN_FLIGHT_MAX as u64;
        let may_sign = self.may_sign && !self.dear.contains(&campaign);
        let nonce = (from..last).find(usable).filter(|_| may_sign);
        let offer = nonce.map_or(Offer::NoMoney, |nonce| self.offer(campaign, batch, nonce, gas));
        match (offer, nonce) {
            (Offer::Made, Some(nonce)) => {
                self.given.insert(nonce);
                self.order(campaign).from = nonce + 1;
                return;
            }
            // A smaller batch of another campaign may offer more for each gas.
            (Offer::TooDear, _) => {
                self.dear.insert(campaign);
            }
            _ if self.dear.contains(&campaign) => {}
            _ => self.may_sign = false,
        }
        self.order(campaign).broken = true;
    }

    /// A first attempt at a nonce, outbidding what is dead there; says whether it can be signed. What it cannot
    /// outbid, because that offers the cap, is sent again: mined, it settles nothing, and the nonce is out of the way.
    fn offer(&mut self, campaign: CampaignId, batch: &Batch, nonce: u64, gas: u64) -> Offer {
        let Some(fees) = self.fees_at(nonce, gas) else {
            self.too_dear(gas);
            self.new.extend(self.dead_at(nonce).map(|_| (nonce, Step::Fill { nonce })));
            return Offer::TooDear;
        };
        if !self.spend(fees.max_fee.saturating_mul(u128::from(gas))) {
            return Offer::NoMoney;
        }
        self.new.insert(nonce, Step::Sign { campaign, batch: batch.plan.batch, nonce, fees });
        Offer::Made
    }

    /// Takes wei from the budget, or notes what is missing.
    fn spend(&mut self, cost: u128) -> bool {
        match self.budget.checked_sub(cost) {
            Some(left) => {
                self.budget = left;
                true
            }
            None => {
                self.missing = if self.missing == 0 { cost - self.budget } else { self.missing };
                false
            }
        }
    }

    /// What an attempt that is not mined needs: to be sent, sent again, or, as the lowest of its lane, replaced.
    fn wait(&mut self, campaign: CampaignId, batch: &Batch, attempts: &[&Attempt]) {
        let Some(newest) = attempts.last() else { return };
        let outbid = self.given.contains(&newest.nonce);
        let order = self.order(campaign);
        order.broken |= outbid || newest.nonce < order.from;
        order.from = order.from.max(newest.nonce + 1);
        let broken = order.broken;
        let Some(last) = attempts.iter().rfind(|a| !self.is_refused(a)) else {
            let may_sign = !broken && attempts.len() < ATTEMPTS_PER_NONCE_MAX;
            return if may_sign {
                self.cheaper(campaign, batch, newest)
            };
        };
        let again = Step::Send { tx_hash: last.tx_hash };
        let Some((_, sent_at)) = self.facts.sent_at.iter().find(|(hash, _)| *hash == last.tx_hash) else {
            return self.steps.push(again);
        };
        if self.facts.height.saturating_sub(*sent_at) < self.policy.bump_after_blocks {
            return;
        }
        let may_rise = !broken && last.nonce == self.facts.nonce && attempts.len() < ATTEMPTS_PER_NONCE_MAX;
        if may_rise && self.policy.lowest(self.facts.market) > last.max_fee {
            self.too_dear(last.gas_limit);
        }
        let market = self.facts.market;
        let replacement = self.policy.replacement(fees_of(last), market, last.gas_limit).filter(|_| may_rise);
        // At the cap, behind another, bound to revert, or without the money: the same bytes again, in case the mempool dropped them.
        let Some(fees) = replacement else { return self.steps.push(again) };
        let more = (fees.max_fee - last.max_fee).saturating_mul(u128::from(last.gas_limit));
        let rises = self.spend(more);
        self.steps.push(match rises {
            true => Step::Replace { campaign, batch: batch.plan.batch, previous: last.tx_hash, fees },
            false => again,
        });
    }

    /// No node passes on what was signed for this nonce: the same content at the same nonce for less. Nothing has to be
    /// raised, because nobody holds it.
    fn cheaper(&mut self, campaign: CampaignId, batch: &Batch, refused: &Attempt) {
        match self.fees_at(refused.nonce, refused.gas_limit) {
            Some(fees) => {
                let (batch, previous) = (batch.plan.batch, refused.tx_hash);
                self.steps.push(Step::Replace { campaign, batch, previous, fees });
            }
            None => self.too_dear(refused.gas_limit),
        }
    }

    /// First what is under way, then nonces that hold it up, then what is new by nonce; last what is missing.
    fn into_steps(mut self) -> Vec<Step> {
        // A free nonce below a live one would hold the others up for ever. Something new may be given it, too; but
        // whether that can be signed is not known here, and what was signed there before can always be sent.
        let end = self.taken.last().copied().unwrap_or(self.first);
        let gaps = (self.first..end).filter(|n| !self.taken.contains(n));
        self.steps.extend(gaps.map(|nonce| Step::Fill { nonce }));
        self.steps.extend(self.new.into_values());
        if let Some((asked, most)) = self.waits {
            self.steps.push(Step::WaitsForFees { asked, most });
        }
        if self.missing > 0 {
            self.steps.push(Step::NeedsFunds { missing: self.missing });
        }
        self.steps
    }
}

/// The lowest nonce that may be free. The log may know of a mined transaction that the node asked has not seen.
fn first_nonce(facts: &LaneFacts, batches: &[(CampaignId, &Batch)]) -> u64 {
    let mined = batches.iter().filter_map(|(_, batch)| {
        let mined = batch.mined.as_ref()?;
        let by = batch.attempts.iter().find(|a| a.tx_hash == mined.tx_hash)?;
        (by.lane == facts.account).then_some(by.nonce + 1)
    });
    mined.fold(facts.nonce, u64::max)
}

fn fees_of(attempt: &Attempt) -> Fees {
    Fees { max_fee: attempt.max_fee, priority_fee: attempt.priority_fee }
}

/// The lane of a campaign among a sequencer's accounts. Its id chooses, so that every term chooses alike; but it keeps
/// the account that signed for it until none of its attempts is un-final, whatever became of the number of lanes: only
/// that account can replace them, and knows which of its nonces they hold. An account that is not among these cannot
/// be waited for: another sequencer's, or one taken out. What it signed is of an older epoch, and the chain refuses
/// it. `None` without lanes.
pub fn lane_of(state: &State, campaign: CampaignId, lanes: &[Address]) -> Option<usize> {
    let batches = state.campaign(campaign).into_iter().flat_map(|c| c.batches.values());
    // Batches leave State when they are final.
    let unfinal = batches.flat_map(|batch| &batch.attempts).filter_map(|attempt| {
        let lane = lanes.iter().position(|lane| *lane == attempt.lane)?;
        Some((attempt.epoch, lane))
    });
    let kept = unfinal.max_by_key(|(epoch, _)| *epoch).map(|(_, lane)| lane);
    kept.or_else(|| usize::try_from(campaign.0.as_u128().checked_rem(lanes.len() as u128)?).ok())
}

/// What a transaction that stands alone needs next, by the rules of a lane's lowest nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// Sign it at its nonce with these fees.
    Sign(Fees),
    /// Send what was signed last again, in case nodes dropped it.
    Again,
    /// Wait: it was sent a moment ago.
    Wait,
    /// Wait until fees fall.
    WaitsForFees {
        /// What the chain asks, wei per gas.
        asked: u128,
        /// The most that it may offer, wei per gas.
        most: u128,
    },
}

/// The next step of one transaction at one nonce. `offers` are those that nodes may hold, of `signed` in all; `waited`
/// is how many blocks the last one has waited, `None` if it was never sent.
pub fn alone(
    policy: &FeePolicy,
    market: Market,
    gas: u64,
    offers: &[Fees],
    signed: usize,
    waited: Option<u64>,
) -> Alone {
    let may_sign = signed < ATTEMPTS_PER_NONCE_MAX;
    let waits = || Alone::WaitsForFees { asked: policy.lowest(market), most: policy.cap(gas) };
    let Some(last) = offers.last() else {
        return policy.first(market, gas).filter(|_| may_sign).map_or_else(waits, Alone::Sign);
    };
    match waited {
        None => return Alone::Again,
        Some(blocks) if blocks < policy.bump_after_blocks => return Alone::Wait,
        Some(_) => {}
    }
    policy.replacement(*last, market, gas).filter(|_| may_sign).map_or(Alone::Again, Alone::Sign)
}
