//! The planner: which decided entitlements the next batch pays, and by which call. Pure; the paid set equals the
//! decided set bit for bit, because a dense call is planned only where every other entry of its range is paid already.

use crate::command::RoundMode;
use crate::ids::{EntitlementId, RoundNo};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_GAS_MAX, BATCH_REDIRECTS_MAX, BATCH_WORDS_MAX, BATCHES_IN_FLIGHT_MAX, SHARD,
};
use crate::log::entry::{BatchForm, WordMask};
use crate::state::apply::range_mask;
use crate::state::campaign::Campaign;
use crate::state::round::{Round, shard_of};

#[cfg(test)]
mod tests;

/// Entitlements of the largest dense call: 512 fresh recipients use 13.1 M gas, 78 % of the transaction cap.
const DENSE_MAX: u64 = 512;
/// A dense call carries the words of its whole range; below this share of it a sparse call is cheaper.
const DENSE_SHARE_MIN_PERCENT: u64 = 50;

/// Calldata of one word's gate signature: nine words of fields and an ERC-7913 or ERC-1271 signature of middling size.
const GATE_WORD_BYTES: usize = 640;
/// What a call with gates' words costs more than one without, whatever their number: measured 6,000 gas.
const GATED_CALL: u64 = 8_000;

/// What calls cost in gas, at most. Measured by the contracts' gas bench for OpenZeppelin's ERC-20 at depth 20 with
/// fresh recipients, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasModel {
    /// A transaction with nothing in it.
    pub base: u64,
    /// One entitlement paid by a dense call.
    pub dense_item: u64,
    /// One entry of a dense call's range that is not paid.
    pub dense_rest: u64,
    /// One entitlement paid by a sparse call.
    pub sparse_item: u64,
    /// One 256-bit word of a sparse call: bitmap word, proof.
    pub sparse_word: u64,
    /// One redirected claim: bitmap word, proof, signature.
    pub redirect_item: u64,
    /// One word's gate signature: measured 7,340 gas for an ECDSA key; a contract's or a passkey's costs more.
    pub gate_word: u64,
    /// A batch is planned within this and [`BATCH_GAS_MAX`], whichever is less: while fees are high, what a
    /// transaction may cost in all allows less gas. One item is planned whatever it says.
    pub most: u64,
}

impl Default for GasModel {
    fn default() -> Self {
        Self {
            base: 80_000,
            dense_item: 26_500,
            dense_rest: 700,
            sparse_item: 29_500,
            sparse_word: 50_000,
            redirect_item: 105_000,
            gate_word: 15_000,
            most: BATCH_GAS_MAX,
        }
    }
}

impl GasModel {
    /// Gas a batch is planned within.
    fn budget(&self) -> u64 {
        let item = (self.sparse_word + self.sparse_item).max(self.redirect_item);
        let one = self.base + GATED_CALL + self.gate_word + item;
        self.most.max(one).min(BATCH_GAS_MAX)
    }

    /// Entitlements of the largest dense call that is sure to fit a batch; `None` where not even a bucket does.
    fn dense_range(&self) -> Option<u64> {
        let fits = |size: &u64| self.base + size * self.dense_item.max(self.dense_rest) <= self.budget();
        std::iter::successors(Some(DENSE_MAX), |size| Some(size / 2)).take_while(|size| *size >= 4).find(fits)
    }

    /// What a batch costs, at most.
    pub fn of(&self, form: &BatchForm, words: &[WordMask]) -> u64 {
        let items: u64 = words.iter().map(|w| u64::from(w.count())).sum();
        let gated_call = match form {
            BatchForm::Gated | BatchForm::Redirected { .. } => GATED_CALL,
            BatchForm::Dense { .. } | BatchForm::Sparse => 0,
        };
        self.base
            + gated_call
            + match form {
                // Of an entry that is paid already, or padding, only its word is read.
                BatchForm::Dense { levels, .. } => {
                    let rest = (4u64 << levels).saturating_sub(items);
                    items * self.dense_item + rest * self.dense_rest
                }
                BatchForm::Sparse => items * self.sparse_item + words.len() as u64 * self.sparse_word,
                BatchForm::Gated => {
                    items * self.sparse_item + words.len() as u64 * (self.sparse_word + self.gate_word)
                }
                // Each may stand in a word of its own, and need its gate's signature.
                BatchForm::Redirected { claims } => {
                    claims.len() as u64 * (self.redirect_item + self.gate_word)
                }
            }
    }
}

/// The content of a batch to be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// By which call.
    pub form: BatchForm,
    /// Who is to be paid, ascending.
    pub words: Vec<WordMask>,
}

/// The content of the campaign's next batch; `None` while nothing is payable or enough is in flight. `now` is its chain's
/// clock (Unix seconds; see [`Campaign::asks_the_time`]): what would revert there by a pause, or because a gate is off or
/// its word expires, is held back. State compares no times, so it would take such a batch; planning it would only stall.
pub fn plan(campaign: &Campaign, gas: &GasModel, now: u64) -> Option<Content> {
    if campaign.in_flight() >= BATCHES_IN_FLIGHT_MAX || campaign.paused_on_chain > now {
        return None;
    }
    if !campaign.may_plan() {
        return filler(campaign);
    }
    // Redirected claims and gated rounds travel in calls of their own; they take turns with the others, so that none
    // starves.
    let last = campaign.batches.values().next_back().map(|b| Turn::of(&b.plan.form));
    let first = last.map_or(0, |last| (last as usize + 1) % TURNS.len());
    let content = (0..TURNS.len()).find_map(|at| match TURNS[(first + at) % TURNS.len()] {
        Turn::Redirected => redirected(campaign, gas, now),
        Turn::Plain => dense(campaign, gas).or_else(|| sparse(campaign, gas, BatchForm::Sparse, now)),
        Turn::Gated => sparse(campaign, gas, BatchForm::Gated, now),
    });
    content.or_else(|| filler(campaign))
}

/// What travels in calls of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Redirected = 0,
    Plain = 1,
    Gated = 2,
}

const TURNS: [Turn; 3] = [Turn::Redirected, Turn::Plain, Turn::Gated];

impl Turn {
    fn of(form: &BatchForm) -> Self {
        match form {
            BatchForm::Redirected { .. } => Self::Redirected,
            BatchForm::Dense { .. } | BatchForm::Sparse => Self::Plain,
            BatchForm::Gated => Self::Gated,
        }
    }
}

/// A call that settles nothing, for a number given up whose content cannot be replaced now: the Distributor takes
/// batches in the order of their numbers, and those above it would wait for ever.
fn filler(campaign: &Campaign) -> Option<Content> {
    let number = campaign.batches.iter().find(|(_, b)| b.given_up).map(|(number, _)| *number)?;
    let later = campaign.batches.range(number + 1..).any(|(_, b)| !b.given_up);
    later.then_some(Content { form: BatchForm::Sparse, words: Vec::new() })
}

/// The number the next planned batch takes: one given up, or a new one.
pub fn next_number(campaign: &Campaign) -> u64 {
    let given_up = campaign.batches.iter().find(|(_, b)| b.given_up);
    given_up.map_or(campaign.next_batch, |(number, _)| *number)
}

fn redirected(campaign: &Campaign, gas: &GasModel, now: u64) -> Option<Content> {
    let item = gas.redirect_item + gas.gate_word;
    let left = gas.budget().saturating_sub(gas.base + GATED_CALL);
    let most = BATCH_REDIRECTS_MAX.min(usize::try_from(left / item).ok()?);
    let claims: Vec<_> = campaign
        .redirected
        .iter()
        .filter(|(id, _)| is_payable(campaign, **id, now))
        .take(most)
        .map(|(id, seq)| (*id, *seq))
        .collect();
    let mut words: Vec<WordMask> = Vec::new();
    for (id, _) in &claims {
        add_bit(&mut words, *id);
    }
    (!claims.is_empty()).then_some(Content { form: BatchForm::Redirected { claims }, words })
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

/// The first aligned range of a PUSH round that a dense call may pay.
fn dense(campaign: &Campaign, gas: &GasModel) -> Option<Content> {
    let largest = gas.dense_range()?;
    let rounds = campaign.rounds.values().filter(|r| r.is_paying() && r.terms.mode == RoundMode::Push);
    for round in rounds {
        let size = largest.min(4u64 << round.terms.depth);
        let levels = u8::try_from((size / 4).trailing_zeros()).expect("at most 7");
        for start in (0..round.terms.count).step_by(usize::try_from(size).expect("at most 512")) {
            if let Some(words) = dense_range(campaign, round, start, size) {
                return Some(Content {
                    form: BatchForm::Dense { round: round.terms.round, start, levels },
                    words,
                });
            }
        }
    }
    None
}

/// The payable words of a range in which every entry is payable here or paid already.
fn dense_range(campaign: &Campaign, round: &Round, start: u64, size: u64) -> Option<Vec<WordMask>> {
    let end = (start + size).min(round.terms.count);
    let (mut words, mut items) = (Vec::new(), 0);
    for word in start / 256..end.div_ceil(256) {
        let mut mask = payable_word(campaign, round, word, Redirects::LeaveOut);
        let place = usize::try_from(word % (SHARD / 256)).expect("below 256");
        let paid = round.shards[shard_of(word * 256)].paid.word256(place);
        for (part, (mask, paid)) in (0..4).zip(mask.iter_mut().zip(paid)) {
            let range = range_mask(word * 4 + part, start, end);
            *mask &= range;
            if *mask | (paid & range) != range {
                return None;
            }
        }
        let found = WordMask { round: round.terms.round, word, mask };
        if found.count() > 0 {
            items += u64::from(found.count());
            words.push(found);
        }
    }
    (items * 100 >= (end - start) * DENSE_SHARE_MIN_PERCENT).then_some(words)
}

/// Payable words of all rounds that take this form, until the gas is spent.
fn sparse(campaign: &Campaign, gas: &GasModel, form: BatchForm, now: u64) -> Option<Content> {
    let gated = form == BatchForm::Gated;
    let (call_gas, word_gas, word_bytes) = match gated {
        true => (GATED_CALL, gas.sparse_word + gas.gate_word, GATE_WORD_BYTES),
        false => (0, gas.sparse_word, 0),
    };
    let mut left = gas.budget().saturating_sub(gas.base + call_gas);
    let mut bytes_left = BATCH_BYTES_MAX;
    let mut words = Vec::new();
    let takes = |round: &Round| (round.terms.mode == RoundMode::Gated) == gated;
    for round in campaign.rounds.values().filter(|r| r.is_paying() && takes(r)) {
        for word in payable_words(campaign, round) {
            if !campaign.gate_counts(round, word.word, now) {
                continue;
            }
            let cost = word_gas + u64::from(word.count()) * gas.sparse_item;
            let bytes = calldata_bytes(&word, round.terms.depth) + word_bytes;
            if words.len() == BATCH_WORDS_MAX || cost > left || bytes > bytes_left {
                let fits = if words.is_empty() {
                    cut(word, left.saturating_sub(word_gas) / gas.sparse_item)
                } else {
                    None
                };
                words.extend(fits);
                return content(words, form);
            }
            left -= cost;
            bytes_left -= bytes;
            words.push(word);
        }
    }
    content(words, form)
}

/// Calldata of one word of a sparse call, at most: its ABI frame, 128 bytes for each bucket touched, and for each bucket
/// a sibling at every level inside the word, then one for every level above it.
fn calldata_bytes(word: &WordMask, depth: u8) -> usize {
    const FRAME: usize = 320;
    const LEVELS_INSIDE: usize = 6;
    let touched = |part: u64| (0..16).filter(|bucket| part >> (bucket * 4) & 0xf != 0).count();
    let buckets: usize = word.mask.iter().map(|part| touched(*part)).sum();
    let siblings = (buckets * LEVELS_INSIDE).min(64) + usize::from(depth).saturating_sub(LEVELS_INSIDE);
    FRAME + buckets * 128 + siblings * 32
}

fn content(words: Vec<WordMask>, form: BatchForm) -> Option<Content> {
    (!words.is_empty()).then_some(Content { form, words })
}

/// The first `most` entitlements of a word.
fn cut(word: WordMask, most: u64) -> Option<WordMask> {
    let mut cut = WordMask { mask: [0; 4], ..word };
    for index in word.indexes().take(usize::try_from(most).ok()?) {
        cut.mask[usize::try_from(index % 256 / 64).ok()?] |= 1 << (index % 64);
    }
    (cut.count() > 0).then_some(cut)
}

/// Payable words of a round, ascending; redirected claims are left to their own call.
fn payable_words<'a>(campaign: &'a Campaign, round: &'a Round) -> impl Iterator<Item = WordMask> + 'a {
    let number: RoundNo = round.terms.round;
    round.shards.iter().enumerate().filter(|(_, shard)| shard.decided.words().is_some()).flat_map(
        move |(at, _)| {
            let first = at as u64 * (SHARD / 256);
            (first..first + SHARD / 256).filter_map(move |word| {
                let mask = payable_word(campaign, round, word, Redirects::LeaveOut);
                (mask != [0; 4]).then_some(WordMask { round: number, word, mask })
            })
        },
    )
}
