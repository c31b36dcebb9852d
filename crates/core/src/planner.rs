//! The planner: which decided entitlements the next batch pays, and by which call, so that all that is payable costs
//! least. Pure; the paid set equals the decided set bit for bit, because a dense call is planned only where every other
//! entry of its range is paid already.

mod cost;
mod mix;
mod range;
#[cfg(test)]
mod tests;

use crate::command::RoundMode;
use crate::ids::{EntitlementId, RoundNo};
use crate::limits::{BATCH_REDIRECTS_MAX, BATCHES_IN_FLIGHT_MAX, BATCHES_OPEN_MAX, PLAN_WORDS_MAX, SHARD};
use crate::log::entry::{BatchForm, WordMask};
use crate::state::batch::Batch;
use crate::state::campaign::Campaign;
use crate::state::round::Round;

pub use cost::{Cost, GasModel};
use mix::{Piece, Room};

/// The content of a batch to be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// By which call.
    pub form: BatchForm,
    /// Who is to be paid, ascending.
    pub words: Vec<WordMask>,
    /// Whether waiting for more would not make it cheaper: it is as large as a call gets.
    pub full: bool,
}

/// The content of the campaign's next batch; `None` while nothing is payable or enough is in flight. `now` is its chain's
/// clock (Unix seconds; see [`Campaign::asks_the_time`]): what would revert there by a pause, or because a gate is off or
/// its word expires, is held back. State compares no times, so it would take such a batch; planning it would only stall.
pub fn plan(campaign: &Campaign, gas: &GasModel, now: u64) -> Option<Content> {
    if !has_room(campaign) || campaign.paused_on_chain > now {
        return None;
    }
    if !campaign.may_plan() {
        return filler(campaign);
    }
    contents(campaign, gas, now).next().or_else(|| filler(campaign))
}

/// The same while what is not full waits for company: the first whose call is as large as calls get.
pub fn plan_full(campaign: &Campaign, gas: &GasModel, now: u64) -> Option<Content> {
    let content = plan(campaign, gas, now)?;
    if content.full || !campaign.may_plan() {
        return content.full.then_some(content);
    }
    contents(campaign, gas, now).skip(1).find(|content| content.full)
}

/// What each kind would pay next, whose turn it is first.
fn contents(campaign: &Campaign, gas: &GasModel, now: u64) -> impl Iterator<Item = Content> {
    let last = campaign.batches.values().next_back().map(|b| Turn::of(campaign, b));
    let first = last.map_or(0, |last| (last as usize + 1) % TURNS.len());
    (0..TURNS.len()).filter_map(move |at| match TURNS[(first + at) % TURNS.len()] {
        Turn::Redirected => redirected(campaign, gas, now),
        turn => listed(campaign, gas, turn, now),
    })
}

/// Whether another batch of the campaign may be planned before one of those under way is mined, or final. A number that was
/// given up is planned anew in any case: the chain takes no other before it, so those above it, of which a reorganisation
/// may have un-mined more than the bound, would wait for it and it for them.
pub fn has_room(campaign: &Campaign) -> bool {
    let open = campaign.open_batches() < BATCHES_OPEN_MAX && campaign.in_flight() < BATCHES_IN_FLIGHT_MAX;
    open || campaign.batches.values().any(|batch| batch.given_up)
}

/// What takes turns, so that none starves. Redirected claims and gated rounds travel in calls of their own. Of the others,
/// rounds that are only claimed share calls with rounds that may be pushed where one call takes all of both; else they
/// have every second call, and nobody who claims waits until a push of millions is settled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Redirected = 0,
    Claimed = 1,
    Gated = 2,
    Pushed = 3,
}

const TURNS: [Turn; 4] = [Turn::Redirected, Turn::Claimed, Turn::Gated, Turn::Pushed];

impl Turn {
    fn of(campaign: &Campaign, batch: &Batch) -> Self {
        let first = batch.plan.words.first().and_then(|word| campaign.round(word.round));
        match (&batch.plan.form, first.map(|round| round.terms.mode)) {
            (BatchForm::Redirected { .. }, _) => Self::Redirected,
            (BatchForm::Gated, _) => Self::Gated,
            (BatchForm::Dense { .. } | BatchForm::Sparse, Some(RoundMode::Pull)) => Self::Claimed,
            (BatchForm::Dense { .. } | BatchForm::Sparse, _) => Self::Pushed,
        }
    }

    fn is_of(self, round: &Round) -> bool {
        match round.terms.mode {
            RoundMode::Pull => self == Self::Claimed,
            RoundMode::Push => self == Self::Pushed,
            RoundMode::Gated => self == Self::Gated,
        }
    }

    /// What it may share a call with.
    fn other(self) -> Option<Self> {
        match self {
            Self::Claimed => Some(Self::Pushed),
            Self::Pushed => Some(Self::Claimed),
            Self::Redirected | Self::Gated => None,
        }
    }
}

/// A call that settles nothing, for a number given up whose content cannot be replaced now: the Distributor takes
/// batches in the order of their numbers, and those above it would wait for ever.
fn filler(campaign: &Campaign) -> Option<Content> {
    let number = campaign.batches.iter().find(|(_, b)| b.given_up).map(|(number, _)| *number)?;
    let later = campaign.batches.range(number + 1..).any(|(_, b)| !b.given_up);
    later.then_some(Content { form: BatchForm::Sparse, words: Vec::new(), full: true })
}

/// The number the next planned batch takes: one given up, or a new one.
pub fn next_number(campaign: &Campaign) -> u64 {
    let given_up = campaign.batches.iter().find(|(_, b)| b.given_up);
    given_up.map_or(campaign.next_batch, |(number, _)| *number)
}

fn redirected(campaign: &Campaign, gas: &GasModel, now: u64) -> Option<Content> {
    let mut room = Room::of(gas, &BatchForm::Redirected { claims: Vec::new() });
    let (mut claims, mut words, mut full) = (Vec::new(), Vec::new(), false);
    for (id, seq) in campaign.redirected.iter().filter(|(id, _)| is_payable(campaign, **id, now)) {
        let depth = campaign.round(id.round).map_or(0, |round| round.terms.depth);
        full = claims.len() == BATCH_REDIRECTS_MAX || !room.take(gas.redirect(depth));
        if full {
            break;
        }
        claims.push((*id, *seq));
        add_bit(&mut words, *id);
    }
    (!claims.is_empty()).then_some(Content { form: BatchForm::Redirected { claims }, words, full })
}

fn add_bit(words: &mut Vec<WordMask>, id: EntitlementId) {
    let (word, bit) = (id.index / 256, id.index % 256);
    if words.last().is_none_or(|w| (w.round, w.word) != (id.round, word)) {
        words.push(WordMask { round: id.round, word, mask: [0; 4] });
    }
    if let Some(last) = words.last_mut() {
        last.mask[usize::try_from(bit / 64).expect("below 4")] |= 1 << (bit % 64);
    }
}

fn is_payable(campaign: &Campaign, id: EntitlementId, now: u64) -> bool {
    campaign.round(id.round).is_some_and(|round| {
        round.is_paying() && campaign.gate_counts(round, id.index / 256, now) && {
            let payable = payable_word(campaign, round, id.index / 256, Redirects::Keep);
            payable[usize::try_from(id.index % 256 / 64).expect("below 4")] >> (id.index % 64) & 1 == 1
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Redirects {
    Keep,
    LeaveOut,
}

/// The payable bits of a 256-bit word of a round.
fn payable_word(campaign: &Campaign, round: &Round, word: u64, redirects: Redirects) -> [u64; 4] {
    let mut mask = campaign.plannable(round, word);
    if redirects == Redirects::LeaveOut && mask != [0; 4] {
        let id = |index| EntitlementId { round: round.terms.round, index };
        for redirect in campaign.redirected.range(id(word * 256)..id(word * 256 + 256)).map(|(id, _)| id) {
            mask[usize::try_from(redirect.index % 256 / 64).expect("below 4")] &=
                !(1 << (redirect.index % 64));
        }
    }
    mask
}

/// The next call that pays listed addresses. Words take turns: each call begins with the first payable one behind the
/// last call's first, so that none waits for ever; it begins anew with the lowest where one call takes everything.
fn listed(campaign: &Campaign, gas: &GasModel, turn: Turn, now: u64) -> Option<Content> {
    let gated = turn == Turn::Gated;
    let form = if gated { BatchForm::Gated } else { BatchForm::Sparse };
    let piece = |word: WordMask| {
        let round = campaign.round(word.round)?;
        let counts = campaign.gate_counts(round, word.word, now);
        counts.then(|| Piece { word, cost: gas.word(&word.mask, round.terms.depth, gated) })
    };
    let before = campaign.batches.values().rev().filter(|b| Turn::of(campaign, b) == turn);
    let begun = before.filter_map(|b| b.plan.words.first()).next().map(|w| (w.round, w.word));
    let pieces = |turn, from, part| -> Vec<Piece> {
        payable_words(campaign, turn, from, part).filter_map(piece).take(PLAN_WORDS_MAX).collect()
    };
    let mut behind = pieces(turn, begun, Part::Behind);
    let earlier = if behind.len() < PLAN_WORDS_MAX { pieces(turn, begun, Part::UpTo) } else { Vec::new() };
    let mut all: Vec<Piece> = earlier.iter().chain(&behind).copied().collect();
    if all.is_empty() {
        return None;
    }
    if behind.is_empty() || mix::fits_one(gas, &form, &all) {
        let own = all.len();
        all.extend(turn.other().iter().flat_map(|other| pieces(*other, None, Part::Behind)));
        if !mix::fits_one(gas, &form, &all) {
            all.truncate(own);
        }
        behind = all;
    }
    match gated {
        false => mix::next(campaign, gas, &behind),
        true => mix::sparse(campaign, gas, &behind, form),
    }
}

/// The first `most` entitlements of a word.
fn cut(word: WordMask, most: u64) -> Option<WordMask> {
    let mut cut = WordMask { mask: [0; 4], ..word };
    for index in word.indexes().take(usize::try_from(most).ok()?) {
        cut.mask[usize::try_from(index % 256 / 64).ok()?] |= 1 << (index % 64);
    }
    (cut.count() > 0).then_some(cut)
}

/// Which words, as seen from one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Behind,
    UpTo,
}

/// Payable words of the rounds whose turn it is, ascending; redirected claims are left to their own call. Without a word from
/// which to see them, all are behind it.
fn payable_words(
    campaign: &Campaign,
    turn: Turn,
    seen_from: Option<(RoundNo, u64)>,
    part: Part,
) -> impl Iterator<Item = WordMask> {
    let wanted = move |number: RoundNo, word: u64| match seen_from {
        Some(from) => ((number, word) > from) == (part == Part::Behind),
        None => part == Part::Behind,
    };
    let takes = move |round: &&Round| round.is_paying() && turn.is_of(round);
    campaign.rounds.values().filter(takes).flat_map(move |round| {
        let number = round.terms.round;
        let shards = round.shards.iter().enumerate().filter(|(_, shard)| shard.decided.words().is_some());
        let firsts = shards.map(|(at, _)| at as u64 * (SHARD / 256));
        let words = firsts.flat_map(|first| first..first + SHARD / 256);
        words.filter(move |word| wanted(number, *word)).filter_map(move |word| {
            let mask = payable_word(campaign, round, word, Redirects::LeaveOut);
            (mask != [0; 4]).then_some(WordMask { round: number, word, mask })
        })
    })
}
