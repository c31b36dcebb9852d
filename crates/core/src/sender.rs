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
    let open: Vec<_> =
        batches.iter().filter(|(_, b)| b.mined.is_none() && !b.plan.words.is_empty()).collect();
    let live: Vec<_> = open.iter().map(|(_, batch)| live(epoch, facts, batch)).collect();
    let taken: BTreeSet<u64> = live.iter().filter_map(Live::nonce).collect();
    let mut free = (facts.nonce..).filter(|nonce| !taken.contains(nonce));
    let mut budget = facts.balance;
    let mut steps = Vec::new();
    let mut highest = taken.last().copied();
    for ((campaign, batch), live) in open.into_iter().zip(&live) {
        match live {
            Live::None => {
                let Some(nonce) = free.next().filter(|n| is_near(facts.nonce, *n)) else { break };
                let Some(fees) = fees_at(facts, policy, batches, nonce) else { break };
                let cost = fees.max_fee.saturating_mul(u128::from(gas_of(batch)));
                if cost > budget {
                    steps.push(Step::NeedsFunds { missing: cost - budget });
                    break;
                }
                budget -= cost;
                highest = highest.max(Some(nonce));
                steps.push(Step::Sign { campaign: *campaign, batch: batch.plan.batch, nonce, fees });
            }
            Live::Used(hashes) => {
                let (campaign, batch, hashes) = (*campaign, batch.plan.batch, hashes.clone());
                steps.push(Step::AskReceipts { campaign, batch, hashes });
            }
            Live::Waiting(attempts) => {
                let lowest = attempts.last().is_some_and(|a| a.nonce == facts.nonce);
                steps.extend(wait(facts, policy, *campaign, batch, attempts, lowest));
                let last = attempts.last().map_or(0, |a| a.max_fee.saturating_mul(u128::from(a.gas_limit)));
                budget = budget.saturating_sub(last);
            }
        }
    }
    // A nonce below a live one that nobody needs any more would hold the others up for ever.
    steps.extend(free.take_while(|nonce| Some(*nonce) < highest).map(|nonce| Step::Fill { nonce }));
    steps
}

fn is_near(first: u64, nonce: u64) -> bool {
    usize::try_from(nonce - first).is_ok_and(|ahead| ahead < LANE_IN_FLIGHT_MAX)
}

/// Fees of a first attempt at a nonce. Where dead attempts (of an older epoch or a content given up) may still sit in
/// the mempool at that nonce, the new one must outbid them.
fn fees_at(
    facts: &LaneFacts,
    policy: &FeePolicy,
    batches: &[(CampaignId, &Batch)],
    nonce: u64,
) -> Option<Fees> {
    let dead = batches
        .iter()
        .flat_map(|(_, b)| &b.attempts)
        .filter(|a| a.lane == facts.account && a.nonce == nonce)
        .map(|a| Fees { max_fee: a.max_fee, priority_fee: a.priority_fee })
        .reduce(|a, b| Fees {
            max_fee: a.max_fee.max(b.max_fee),
            priority_fee: a.priority_fee.max(b.priority_fee),
        });
    match dead {
        Some(dead) => policy.replacement(dead, facts.market),
        None => policy.first(facts.market),
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
}

fn live<'a>(epoch: Epoch, facts: &LaneFacts, batch: &'a Batch) -> Live<'a> {
    let mine = |a: &&Attempt| a.lane == facts.account && a.epoch == epoch && !facts.lost.contains(&a.tx_hash);
    let Some(last) = batch.attempts.iter().rfind(mine) else { return Live::None };
    let same: Vec<_> = batch.attempts.iter().filter(mine).filter(|a| a.nonce == last.nonce).collect();
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
) -> Option<Step> {
    let last = *attempts.last()?;
    let Some((_, sent_at)) = facts.sent_at.iter().find(|(hash, _)| *hash == last.tx_hash) else {
        return Some(Step::Send { tx_hash: last.tx_hash });
    };
    let waited = facts.height.saturating_sub(*sent_at);
    if waited < policy.bump_after_blocks {
        return None;
    }
    let fees = Fees { max_fee: last.max_fee, priority_fee: last.priority_fee };
    let replacement =
        policy.replacement(fees, facts.market).filter(|_| lowest && attempts.len() < ATTEMPTS_PER_NONCE_MAX);
    Some(match replacement {
        Some(fees) => Step::Replace { campaign, batch: batch.plan.batch, previous: last.tx_hash, fees },
        // At the cap, or behind another: the same bytes again, in case the mempool dropped them.
        None => Step::Send { tx_hash: last.tx_hash },
    })
}

impl State {
    /// Whether a campaign may change its lane: none of its attempts is un-final.
    pub fn may_change_lane(&self, campaign: CampaignId) -> bool {
        self.campaign(campaign).is_none_or(|c| c.batches.values().all(|b| b.attempts.is_empty()))
    }
}
