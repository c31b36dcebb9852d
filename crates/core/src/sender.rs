//! The sender: which transaction of a lane is signed, sent again or replaced next. A pure step from what the log and
//! the chain say to what is to be done; the engine does it and asks again.
//!
//! Rules: nothing leaves before its attempt is committed; a nonce is replaced, never given up; only the lowest un-mined
//! nonce is raised; a send error never means that nothing was sent.

use std::collections::BTreeSet;

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
    /// Sign a replacement at the same nonce, with the same calldata.
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

/// The steps a lane takes now, in the order of its batches. `batches` are the lane's, in order of planning.
pub fn step(
    epoch: Epoch,
    facts: &LaneFacts,
    policy: &FeePolicy,
    batches: &[(CampaignId, &Batch)],
    gas_of: impl Fn(&Batch) -> u64,
) -> Vec<Step> {
    let open: Vec<_> = batches.iter().filter(|(_, b)| b.is_open()).collect();
    let live: Vec<_> = open.iter().map(|(_, batch)| live(epoch, facts, batch)).collect();
    let taken: BTreeSet<u64> = live.iter().filter_map(Live::nonce).collect();
    let first = first_nonce(facts, batches);
    let mut free = (first..).filter(|nonce| !taken.contains(nonce));
    // What is under way is paid for before anything new.
    let mut budget = live.iter().fold(facts.balance, |left, live| left.saturating_sub(live.cost()));
    let mut steps = Vec::new();
    let mut highest = taken.last().copied();
    // Once a batch cannot be signed, none behind it is: their numbers come later on chain. Those under way go on.
    let mut may_sign = true;
    for ((campaign, batch), live) in open.into_iter().zip(&live) {
        let (campaign, number) = (*campaign, batch.plan.batch);
        match live {
            Live::None if !may_sign => {}
            Live::None => {
                let nonce = free.next().filter(|n| is_near(facts.nonce, *n));
                let Some(nonce) = nonce else {
                    may_sign = false;
                    continue;
                };
                match offer(facts, policy, batches, nonce, budget, gas_of(batch)) {
                    Offer::Fees(fees, cost) => {
                        budget -= cost;
                        highest = highest.max(Some(nonce));
                        steps.push(Step::Sign { campaign, batch: number, nonce, fees });
                    }
                    Offer::Not(step) => {
                        may_sign = false;
                        steps.extend(step);
                    }
                }
            }
            Live::Used(hashes) => {
                steps.push(Step::AskReceipts { campaign, batch: number, hashes: hashes.clone() });
            }
            Live::Waiting(attempts) => {
                let lowest = attempts.last().is_some_and(|a| a.nonce == facts.nonce);
                wait(facts, policy, campaign, batch, attempts, lowest, &mut budget, &mut steps);
            }
        }
    }
    // A nonce below a live one that nobody needs any more would hold the others up for ever.
    let signed: BTreeSet<u64> = steps.iter().filter_map(nonce_of_new).collect();
    let gaps = (first..).take_while(|nonce| Some(*nonce) < highest);
    let empty = gaps.filter(|nonce| !taken.contains(nonce) && !signed.contains(nonce));
    steps.extend(empty.map(|nonce| Step::Fill { nonce }).collect::<Vec<_>>());
    steps
}

fn nonce_of_new(step: &Step) -> Option<u64> {
    match step {
        Step::Sign { nonce, .. } | Step::Fill { nonce } => Some(*nonce),
        _ => None,
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

fn is_near(first: u64, nonce: u64) -> bool {
    usize::try_from(nonce - first).is_ok_and(|ahead| ahead < LANE_IN_FLIGHT_MAX)
}

/// What a first attempt can offer.
enum Offer {
    /// These fees, and what they may cost in all.
    Fees(Fees, u128),
    /// Nothing now; perhaps something else is to be done first.
    Not(Option<Step>),
}

/// Fees of a first attempt at a nonce. Where dead attempts (of an older epoch or a content given up) may still sit in
/// the mempool at that nonce, the new one must outbid them. Where it cannot, because they offer the cap, they are sent
/// again: mined, they settle nothing, and their nonce is out of the way.
fn offer(
    facts: &LaneFacts,
    policy: &FeePolicy,
    batches: &[(CampaignId, &Batch)],
    nonce: u64,
    budget: u128,
    gas: u64,
) -> Offer {
    let dead = batches
        .iter()
        .flat_map(|(_, b)| &b.attempts)
        .filter(|a| a.lane == facts.account && a.nonce == nonce)
        .map(|a| Fees { max_fee: a.max_fee, priority_fee: a.priority_fee })
        .reduce(|a, b| Fees {
            max_fee: a.max_fee.max(b.max_fee),
            priority_fee: a.priority_fee.max(b.priority_fee),
        });
    let fees = match dead {
        Some(dead) => policy.replacement(dead, facts.market),
        None => policy.first(facts.market),
    };
    let Some(fees) = fees else { return Offer::Not(dead.map(|_| Step::Fill { nonce })) };
    let cost = fees.max_fee.saturating_mul(u128::from(gas));
    match cost.checked_sub(budget) {
        Some(missing) if missing > 0 => Offer::Not(Some(Step::NeedsFunds { missing })),
        _ => Offer::Fees(fees, cost),
    }
}

/// Whether a batch has a transaction of this lane and epoch that may still be mined.
enum Live<'a> {
    /// No: sign one.
    None,
    /// Its nonce is used up, and by what is not known yet.
    Used(Vec<B256>),
    /// Yes: all attempts at that nonce, oldest first.
    Waiting(Vec<&'a Attempt>),
}

impl Live<'_> {
    fn nonce(&self) -> Option<u64> {
        match self {
            Self::Waiting(attempts) => attempts.last().map(|a| a.nonce),
            Self::None | Self::Used(_) => None,
        }
    }

    /// What the last attempt may still cost.
    fn cost(&self) -> u128 {
        match self {
            Self::Waiting(attempts) => attempts.last().map_or(0, |a| cost(a)),
            Self::None | Self::Used(_) => 0,
        }
    }
}

fn cost(attempt: &Attempt) -> u128 {
    attempt.max_fee.saturating_mul(u128::from(attempt.gas_limit))
}

fn live<'a>(epoch: Epoch, facts: &LaneFacts, batch: &'a Batch) -> Live<'a> {
    // A nonce that a reorganisation gave back may still be taken by what was lost there.
    let is_lost = |a: &Attempt| a.nonce < facts.nonce && facts.lost.contains(&a.tx_hash);
    let mine = |a: &&Attempt| a.lane == facts.account && a.epoch == epoch && !is_lost(a);
    let Some(last) = batch.alive().iter().rfind(mine) else { return Live::None };
    let same: Vec<_> = batch.alive().iter().filter(mine).filter(|a| a.nonce == last.nonce).collect();
    if last.nonce < facts.nonce {
        return Live::Used(same.iter().map(|a| a.tx_hash).collect());
    }
    Live::Waiting(same)
}

/// What an attempt that is not mined needs: to be sent, sent again, or, as the lowest of its lane, replaced.
fn wait(
    facts: &LaneFacts,
    policy: &FeePolicy,
    campaign: CampaignId,
    batch: &Batch,
    attempts: &[&Attempt],
    lowest: bool,
    budget: &mut u128,
    steps: &mut Vec<Step>,
) {
    let Some(last) = attempts.last() else { return };
    let again = Step::Send { tx_hash: last.tx_hash };
    let Some((_, sent_at)) = facts.sent_at.iter().find(|(hash, _)| *hash == last.tx_hash) else {
        return steps.push(again);
    };
    if facts.height.saturating_sub(*sent_at) < policy.bump_after_blocks {
        return;
    }
    let old = Fees { max_fee: last.max_fee, priority_fee: last.priority_fee };
    let replacement =
        policy.replacement(old, facts.market).filter(|_| lowest && attempts.len() < ATTEMPTS_PER_NONCE_MAX);
    // At the cap, or behind another: the same bytes again, in case the mempool dropped them.
    let Some(fees) = replacement else { return steps.push(again) };
    let more = (fees.max_fee - old.max_fee).saturating_mul(u128::from(last.gas_limit));
    if more > *budget {
        steps.push(again);
        return steps.push(Step::NeedsFunds { missing: more - *budget });
    }
    *budget -= more;
    steps.push(Step::Replace { campaign, batch: batch.plan.batch, previous: last.tx_hash, fees });
}

impl State {
    /// Whether a campaign may change its lane: none of its attempts is un-final.
    pub fn may_change_lane(&self, campaign: CampaignId) -> bool {
        self.campaign(campaign).is_none_or(|c| c.batches.values().all(|b| b.attempts.is_empty()))
    }
}
