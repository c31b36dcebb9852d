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
    policy: &'a FeePolicy,
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
    /// Wei that nothing under way may still cost.
    budget: u128,
    /// Wei that the first thing it cannot pay lacks.
    missing: u128,
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
        policy: &'a FeePolicy,
        batches: &'a [(CampaignId, &'a Batch)],
    ) -> Self {
        Self {
            epoch,
            facts,
            policy,
            batches,
            first: first_nonce(facts, batches),
            taken: BTreeSet::new(),
            given: BTreeSet::new(),
            orders: BTreeMap::new(),
            may_sign: true,
            budget: 0,
            missing: 0,
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
        let rivals = self.batches.iter().filter(|(_, b)| b.is_open()).flat_map(|(_, b)| b.alive());
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
        attempts.filter(|a| a.lane == self.facts.account && a.nonce == nonce).map(fees_of).reduce(|a, b| {
            Fees { max_fee: a.max_fee.max(b.max_fee), priority_fee: a.priority_fee.max(b.priority_fee) }
        })
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
        let nonce = (from..last).find(usable).filter(|_| self.may_sign);
        match nonce.filter(|nonce| self.offer(campaign, batch, *nonce, gas)) {
            Some(nonce) => {
                self.given.insert(nonce);
                self.order(campaign).from = nonce + 1;
            }
            None => {
                self.may_sign = false;
                self.order(campaign).broken = true;
            }
        }
    }

    /// A first attempt at a nonce, outbidding what is dead there; says whether it can be signed. What it cannot
    /// outbid, because that offers the cap, is sent again: mined, it settles nothing, and the nonce is out of the way.
    fn offer(&mut self, campaign: CampaignId, batch: &Batch, nonce: u64, gas: u64) -> bool {
        let (market, dead) = (self.facts.market, self.dead_at(nonce));
        let fees = match dead {
            Some(dead) => self.policy.replacement(dead, market),
            None => self.policy.first(market),
        };
        let Some(fees) = fees else {
            self.new.extend(dead.map(|_| (nonce, Step::Fill { nonce })));
            return false;
        };
        let affordable = self.spend(fees.max_fee.saturating_mul(u128::from(gas)));
        if affordable {
            self.new.insert(nonce, Step::Sign { campaign, batch: batch.plan.batch, nonce, fees });
        }
        affordable
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
        let Some(last) = attempts.last() else { return };
        let outbid = self.given.contains(&last.nonce);
        let order = self.order(campaign);
        order.broken |= outbid || last.nonce < order.from;
        order.from = order.from.max(last.nonce + 1);
        let broken = order.broken;
        let again = Step::Send { tx_hash: last.tx_hash };
        let Some((_, sent_at)) = self.facts.sent_at.iter().find(|(hash, _)| *hash == last.tx_hash) else {
            return self.steps.push(again);
        };
        if self.facts.height.saturating_sub(*sent_at) < self.policy.bump_after_blocks {
            return;
        }
        let may_rise = !broken && last.nonce == self.facts.nonce && attempts.len() < ATTEMPTS_PER_NONCE_MAX;
        let replacement = self.policy.replacement(fees_of(last), self.facts.market).filter(|_| may_rise);
        // At the cap, behind another, bound to revert, or without the money: the same bytes again, in case the mempool dropped them.
        let Some(fees) = replacement else { return self.steps.push(again) };
        let more = (fees.max_fee - last.max_fee).saturating_mul(u128::from(last.gas_limit));
        let rises = self.spend(more);
        self.steps.push(match rises {
            true => Step::Replace { campaign, batch: batch.plan.batch, previous: last.tx_hash, fees },
            false => again,
        });
    }

    /// First what is under way, then nonces that hold it up, then what is new by nonce; last what is missing.
    fn into_steps(mut self) -> Vec<Step> {
        // A free nonce below a live one would hold the others up for ever. Something new may be given it, too; but
        // whether that can be signed is not known here, and what was signed there before can always be sent.
        let end = self.taken.last().copied().unwrap_or(self.first);
        let gaps = (self.first..end).filter(|n| !self.taken.contains(n));
        self.steps.extend(gaps.map(|nonce| Step::Fill { nonce }));
        self.steps.extend(self.new.into_values());
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

impl State {
    /// Whether a campaign may change its lane: none of its attempts is un-final.
    pub fn may_change_lane(&self, campaign: CampaignId) -> bool {
        self.campaign(campaign).is_none_or(|c| c.batches.values().all(|b| b.attempts.is_empty()))
    }
}
