//! Cumulative masks: what was confirmed of each word, what this key signed of it, and what is due to be signed. Pure, and
//! without a clock of its own.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, Bytes};
use sluice_core::ids::{CampaignId, ContractRef, EntitlementId, Millis, RoundNo};
use sluice_core::limits::GATE_WORDS_MAX;
use sluice_core::log::entry::{GateMask, WordMask};
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;
use sluice_core::state::round::Round;

/// A word outlives closing and grace by this much (seconds): pauses and time outside ACTIVE extend both on chain, and an exit
/// pays exactly what was approved, however late it comes. What must not be paid is annulled or held, not left to expire.
const OUTAGES: u64 = 2 * 365 * 86_400;

/// A word of a campaign's round.
type Place = (CampaignId, RoundNo, u64);

/// What is known of a word here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Word {
    /// Claims that were verified again and hold.
    confirmed: [u64; 4],
    /// What this key signed, now or before.
    signed: [u64; 4],
    /// When it did so last, by the database's clock.
    signed_at: Option<Millis>,
}

/// All words with claims of this gate.
#[derive(Clone, Debug, Default)]
pub(super) struct Masks {
    words: BTreeMap<Place, Word>,
    /// Words that may need another signature.
    open: BTreeSet<Place>,
    expiries: BTreeMap<(CampaignId, RoundNo), u64>,
}

/// A round that pays with this key's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OurRound {
    pub(super) campaign: CampaignId,
    pub(super) round: RoundNo,
    pub(super) closes_at: u64,
    pub(super) distributor: ContractRef,
}

/// Words to sign for one gate version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) campaign: CampaignId,
    pub(super) version: u16,
    pub(super) distributor: ContractRef,
    /// What each round was published with.
    pub(super) rules_hash: BTreeMap<RoundNo, B256>,
    /// Ascending, at most [`GATE_WORDS_MAX`], each with its expiry in Unix seconds.
    pub(super) words: Vec<(WordMask, u64)>,
}

/// Rounds with a gate of this key that are not swept.
pub(super) fn rounds_of(state: &State, signer: &Bytes) -> Vec<OurRound> {
    let rounds = state.campaigns.iter().flat_map(|(id, campaign)| {
        let ours = campaign.rounds.values().filter(|r| version_of(campaign, r, signer).is_some());
        ours.map(|round| OurRound {
            campaign: *id,
            round: round.terms.round,
            closes_at: round.closes_at,
            distributor: campaign.terms.distributor,
        })
    });
    rounds.collect()
}

/// The gate version of a round, if its key is this one and the round still pays.
fn version_of(campaign: &Campaign, round: &Round, signer: &Bytes) -> Option<u16> {
    let version = u16::try_from(round.terms.gate).ok()?;
    let ours = !round.swept && campaign.gates.get(&version)?.terms.signer == *signer;
    ours.then_some(version)
}

impl Masks {
    /// A claim was verified again and holds.
    pub(super) fn confirm(&mut self, campaign: CampaignId, id: EntitlementId) {
        let (place, part, bit) = bit_of(campaign, id);
        self.words.entry(place).or_default().confirmed[part] |= bit;
        self.open.insert(place);
    }

    /// Whether it was, in this life or, by its signature, in one before.
    pub(super) fn has(&self, campaign: CampaignId, id: EntitlementId) -> bool {
        let (place, part, bit) = bit_of(campaign, id);
        self.words.get(&place).is_some_and(|word| word.confirmed[part] & bit != 0)
    }

    /// What this key signed in a life before this one was confirmed then.
    pub(super) fn take_back(&mut self, campaign: CampaignId, masks: Vec<GateMask>) {
        for mask in masks {
            let word = self.words.entry((campaign, mask.round, mask.word)).or_default();
            word.confirmed = or(word.confirmed, mask.mask);
        }
    }

    /// The log took note of what this key signed.
    pub(super) fn take(&mut self, campaign: CampaignId, masks: Vec<GateMask>, at: Millis) {
        self.take_back(campaign, masks.clone());
        self.signed(campaign, &masks, at);
    }

    /// This key signed.
    pub(super) fn signed(&mut self, campaign: CampaignId, masks: &[GateMask], at: Millis) {
        for mask in masks {
            let place = (campaign, mask.round, mask.word);
            let word = self.words.entry(place).or_default();
            word.signed = or(word.signed, mask.mask);
            word.signed_at = word.signed_at.max(Some(at));
            self.open.insert(place);
        }
    }

    /// When a round closes: what was signed of it must outlive that.
    pub(super) fn closes(&mut self, round: &OurRound, grace: u64) {
        let OurRound { campaign, round, closes_at, .. } = *round;
        let expiry = closes_at.saturating_add(grace).saturating_add(OUTAGES);
        if self.expiries.insert((campaign, round), expiry) != Some(expiry) {
            let words = self.words.range((campaign, round, 0)..=(campaign, round, u64::MAX));
            self.open.extend(words.map(|(place, _)| *place));
        }
    }

    /// What is due: words that have more to approve, or not for long enough, and were not signed within the interval. Gates
    /// in `waiting` have masks on their way and take their turn later.
    pub(super) fn due(
        &mut self,
        state: &State,
        signer: &Bytes,
        now: Millis,
        interval: Millis,
        waiting: &BTreeSet<(CampaignId, u16)>,
    ) -> Vec<Due> {
        let mut due: BTreeMap<(CampaignId, u16), Due> = BTreeMap::new();
        let mut done = Vec::new();
        for place @ (id, number, at) in &self.open {
            let word = self.words.get(place).copied().unwrap_or_default();
            let Some(campaign) = state.campaign(*id) else { continue };
            let Some(round) = campaign.round(*number) else { continue };
            let Some(version) = version_of(campaign, round, signer) else {
                done.push(*place);
                continue;
            };
            let Some(expiry) = self.expiries.get(&(*id, *number)) else { continue };
            let (mask, settled) = match next(campaign, round, *at, &word, *expiry) {
                Next::Nothing => {
                    done.push(*place);
                    continue;
                }
                Next::Wait => continue,
                Next::Sign(mask) => (mask, word.signed_at.is_none_or(|at| at + interval <= now)),
            };
            if !settled || waiting.contains(&(*id, version)) {
                continue;
            }
            let due = due.entry((*id, version)).or_insert_with(|| Due {
                campaign: *id,
                version,
                distributor: campaign.terms.distributor,
                rules_hash: BTreeMap::new(),
                words: Vec::new(),
            });
            if due.words.len() < GATE_WORDS_MAX {
                due.rules_hash.insert(*number, round.terms.rules_hash);
                due.words.push((WordMask { round: *number, word: *at, mask }, *expiry));
            }
        }
        for place in done {
            self.open.remove(&place);
        }
        due.into_values().collect()
    }
}

/// What becomes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Sign this mask.
    Sign([u64; 4]),
    /// What is confirmed is held: a release may come.
    Wait,
    /// All that can be approved is.
    Nothing,
}

/// A mask only grows: what the log knows, and of what was confirmed whatever is decided, not annulled and not held now.
fn next(campaign: &Campaign, round: &Round, at: u64, word: &Word, expiry: u64) -> Next {
    let Some((shard, place)) = round.shard_at(at * 256) else { return Next::Nothing };
    let approved = campaign.approved.get(&(round.terms.round, at));
    let before = approved.map_or([0; 4], |approved| approved.mask);
    if any(without(before, word.signed)) {
        // The log says of this word what this key never said: nothing that grows from it is ours to sign.
        return Next::Nothing;
    }
    let place = place / 256;
    let decided = and(shard.decided.word256(place), word.confirmed);
    let wanted = without(without(decided, shard.void.word256(place)), before);
    let held_on_chain = campaign.held_on_chain.get(&(round.terms.round, at)).copied().unwrap_or_default();
    let held = or(shard.held.word256(place), held_on_chain);
    let free = if campaign.campaign_holds.is_empty() { without(wanted, held) } else { [0; 4] };
    let lasts = approved.is_none_or(|approved| approved.expiry >= expiry);
    match (any(free), any(wanted)) {
        (false, _) if !lasts => Next::Sign(before),
        (true, _) => Next::Sign(or(before, free)),
        (false, true) => Next::Wait,
        (false, false) => Next::Nothing,
    }
}

fn bit_of(campaign: CampaignId, id: EntitlementId) -> (Place, usize, u64) {
    let part = usize::try_from(id.index % 256 / 64).expect("below 4");
    ((campaign, id.round, id.index / 256), part, 1 << (id.index % 64))
}

fn or(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|i| a[i] | b[i])
}

fn and(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|i| a[i] & b[i])
}

fn without(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|i| a[i] & !b[i])
}

fn any(mask: [u64; 4]) -> bool {
    mask != [0; 4]
}

#[cfg(test)]
mod tests;
