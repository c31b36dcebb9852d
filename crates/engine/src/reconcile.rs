//! Reconciliation: the chain's paid bits against the log's, a few words at a time, for ever. The bitmap on chain is the
//! last guard; a difference means that money moved without an entry, or an entry without money.

use sluice_chain::{At, Chain};
use sluice_core::ids::{BlockRef, CampaignId, RoundNo};
use sluice_core::limits::SHARD;
use sluice_core::state::State;
use sluice_core::state::round::{place_of, shard_of};

use alloy_primitives::Address;

use crate::error::EngineError;
use crate::follower::Follower;

/// Words of 256 entitlements compared at a time: one bounded burst of small requests.
const WORDS: u64 = 32;

/// Where a comparison goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    campaign: CampaignId,
    round: RoundNo,
    word: u64,
}

/// What one look compares: the log's bits at a final block.
#[derive(Debug)]
struct Stretch {
    from: Place,
    distributor: Address,
    block: BlockRef,
    paid: Vec<[u64; 4]>,
}

/// Compares one chain with the log.
#[derive(Debug)]
pub struct Reconcile {
    chain: Chain,
    follower: Follower,
    next: Option<Place>,
}

impl Reconcile {
    /// A comparison that begins with the first round.
    pub fn new(chain: Chain, follower: Follower) -> Self {
        Self { chain, follower, next: None }
    }

    /// Compares the next stretch; returns how many words differed. Each is logged as an incident.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub async fn tick(&mut self) -> Result<usize, EngineError> {
        let chain = self.chain.id();
        let Some(stretch) = self.follower.read(|state| stretch(state, chain, self.next)) else {
            self.next = None;
            return Ok(0);
        };
        let Stretch { from, distributor, block, paid } = stretch;
        let words = from.word..from.word + paid.len() as u64;
        let on_chain = self.chain.paid_words(distributor, from.round, words, At::Block(block)).await?;
        let mut differences = 0;
        for (word, (ours, theirs)) in (from.word..).zip(paid.iter().zip(&on_chain)) {
            if ours != theirs {
                differences += 1;
                tracing::error!(campaign = %from.campaign, round = from.round, word, block = block.number,
                    log = ?ours, chain = ?theirs, "the chain's paid bits differ from the log's");
            }
        }
        self.next = Some(Place { word: from.word + paid.len() as u64, ..from });
        Ok(differences)
    }
}

/// The first stretch at or after a place, of a campaign all of whose final blocks have been applied.
fn stretch(state: &State, chain: u64, next: Option<Place>) -> Option<Stretch> {
    let block = state.chains.get(&chain)?.finalized;
    let settled = |c: &&sluice_core::state::campaign::Campaign| {
        c.terms.distributor.chain_id == chain
            && c.watched
            && c.unfinal.values().all(|b| b.block.number > block.number)
            && c.batches.values().all(|b| b.mined.as_ref().is_none_or(|m| m.block.number > block.number))
    };
    for campaign in state.campaigns.values().filter(settled) {
        for (number, round) in campaign.rounds.iter().filter(|(_, r)| r.was_opened()) {
            let first = Place { campaign: campaign.terms.campaign, round: *number, word: 0 };
            let words = round.terms.count.div_ceil(256);
            let from = match next {
                Some(next) if (next.campaign, next.round) > (first.campaign, first.round) => continue,
                Some(next) if (next.campaign, next.round) == (first.campaign, first.round) => next,
                _ => first,
            };
            if from.word < words {
                let bits = |word: u64| {
                    round.shards[shard_of(word * 256)].paid.word256(place_of(word * 256 % SHARD) / 256)
                };
                let paid = (from.word..words.min(from.word + WORDS)).map(bits).collect();
                return Some(Stretch { from, distributor: campaign.terms.distributor.address, block, paid });
            }
        }
    }
    None
}
