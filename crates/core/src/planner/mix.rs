//! The cheapest mix of dense and sparse calls for what is payable.
//!
//! A sparse call shares its fixed cost among many words; a dense call has one of its own and saves the proof's inner
//! siblings and entries' frames. So a word is either in a sparse call as a whole or paid by a dense call: what a part of
//! it would save is less than what a second call costs. Which dense calls are worth it depends on how many sparse calls
//! they spare. The choices of each pair of words lie on a convex chain from all sparse to least sparse; taken over all
//! pairs in the order of what a unit of sparse gas costs to avoid, they are the chain of the whole, and its cheapest
//! point is the optimum but for what is left over in the last transactions: less than one call's fixed cost.

use std::array;

use crate::limits::{BATCH_BYTES_MAX, BATCH_WORDS_MAX};
use crate::log::entry::{BatchForm, WordMask};
use crate::state::campaign::Campaign;

use super::cost::{Cost, GasModel};
use super::range::{Dense, narrowest, over};
use super::{Content, cut};

/// With no more words than this, sparse calls are counted by filling them; above, by their sum.
const FILLED_MAX: usize = 48;

/// A payable word and what it costs in a sparse call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) word: WordMask,
    pub(super) cost: Cost,
}

/// The next call for these words, which are payable by plain calls, in the order of their turns. The first of them is
/// always in it.
pub(super) fn next(campaign: &Campaign, gas: &GasModel, pieces: &[Piece]) -> Option<Content> {
    let first = pieces.first()?;
    let room = Room::of(gas, &BatchForm::Sparse);
    if !room.takes(first.cost) {
        return dense_or_part(campaign, gas, first, pieces.len() == 1);
    }
    let pairs = pairs(campaign, gas, pieces);
    let chosen = cheapest(gas, &pairs, pieces, room);
    let dense: Vec<&Dense> =
        pairs.iter().zip(&chosen).flat_map(|(pair, at)| &pair.options[*at].dense).collect();
    let covers = |word: &WordMask| dense.iter().find(|d| d.words.iter().any(|w| same(w, word))).copied();
    if let Some(found) = covers(&first.word) {
        let content = found.content();
        // With more than one call takes, no company makes this one cheaper.
        let full = content.full || !fits_one(gas, &BatchForm::Sparse, pieces);
        return Some(Content { full, ..content });
    }
    let rest: Vec<Piece> = match dense.is_empty() {
        true => pieces.to_vec(),
        false => pieces.iter().filter(|p| covers(&p.word).is_none()).copied().collect(),
    };
    Some(fill(&rest, BatchForm::Sparse, room))
}

fn same(a: &WordMask, b: &WordMask) -> bool {
    (a.round, a.word) == (b.round, b.word)
}

/// A word that is too much for one call: as much of it as fits, by the call that is cheaper for each.
fn dense_or_part(campaign: &Campaign, gas: &GasModel, piece: &Piece, alone: bool) -> Option<Content> {
    let sparse = part(campaign, gas, piece, BatchForm::Sparse, alone);
    let first = piece.word.indexes().next()?;
    let Some(dense) = over(campaign, gas, piece.word.round, first) else { return sparse };
    let each = |content: &Content| {
        let items: u64 = content.words.iter().map(|w| u64::from(w.count())).sum();
        gas.worth(gas.cost(campaign, &content.form, &content.words)) / items.max(1)
    };
    let dense = Content { full: true, ..dense.content() };
    Some(sparse.filter(|sparse| each(sparse) < each(&dense)).unwrap_or(dense))
}

/// The next sparse call of this form, its first word always in it.
pub(super) fn sparse(
    campaign: &Campaign,
    gas: &GasModel,
    pieces: &[Piece],
    form: BatchForm,
) -> Option<Content> {
    let (first, room) = (pieces.first()?, Room::of(gas, &form));
    match room.takes(first.cost) {
        true => Some(fill(pieces, form, room)),
        false => part(campaign, gas, first, form, pieces.len() == 1),
    }
}

/// As much of a word as fits one call. Of one that is alone a little less, where that is cheaper: a cut inside a subtree shows
/// its siblings to both calls, and its rest takes calls of its own anyway; beside others it fills theirs.
fn part(campaign: &Campaign, gas: &GasModel, piece: &Piece, form: BatchForm, alone: bool) -> Option<Content> {
    let depth = campaign.round(piece.word.round)?.terms.depth;
    let (room, empty) = (Room::of(gas, &form), gas.worth(gas.empty(&form)));
    let cost = |word: &WordMask| gas.word(&word.mask, depth, form == BatchForm::Gated);
    let first = |items: u64| cut(piece.word, items).filter(|word| room.takes(cost(word)));
    // Every item costs at least its transfer, so few steps are needed.
    let most = (1..=room.gas / gas.item.max(1)).rev().find_map(first)?;
    let with_rest = |word: &WordMask| {
        let rest = WordMask { mask: array::from_fn(|i| piece.word.mask[i] & !word.mask[i]), ..*word };
        let left = cost(&rest);
        let calls = left.gas.div_ceil(room.gas).max(left.bytes.div_ceil(room.bytes));
        gas.worth(cost(word)) + gas.worth(left) + empty * calls
    };
    let whole_subtrees = [64, 16, 4].into_iter().filter(|_| alone).filter_map(|size| below(most, size));
    let word = std::iter::once(most).chain(whole_subtrees).min_by_key(with_rest)?;
    Some(Content { form, words: vec![word], full: true })
}

/// What of a word, which was cut behind its last entitlement, lies in whole subtrees of this size.
fn below(word: WordMask, size: u64) -> Option<WordMask> {
    let end = (word.indexes().last()? % 256 + 1) / size * size;
    cut(word, word.indexes().filter(|index| index % 256 < end).count() as u64)
}

/// What is left of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    gas: u64,
    bytes: u64,
    words: usize,
}

impl Room {
    /// An empty call of this form.
    pub(super) fn of(gas: &GasModel, form: &BatchForm) -> Self {
        let empty = gas.empty(form);
        Self {
            gas: gas.budget().saturating_sub(empty.gas),
            bytes: (BATCH_BYTES_MAX as u64).saturating_sub(empty.bytes),
            words: BATCH_WORDS_MAX,
        }
    }

    fn takes(&self, cost: Cost) -> bool {
        cost.gas <= self.gas && cost.bytes <= self.bytes && self.words > 0
    }

    pub(super) fn take(&mut self, cost: Cost) -> bool {
        let takes = self.takes(cost);
        if takes {
            self.gas -= cost.gas;
            self.bytes -= cost.bytes;
            self.words -= 1;
        }
        takes
    }
}

/// Whether one sparse call of this form takes all of these.
pub(super) fn fits_one(gas: &GasModel, form: &BatchForm, pieces: &[Piece]) -> bool {
    let mut room = Room::of(gas, form);
    pieces.iter().all(|piece| room.take(piece.cost))
}

/// One call with the first word, and of the others, largest first, those that still fit: so calls are filled well, and
/// no word waits for ever.
fn fill(pieces: &[Piece], form: BatchForm, mut room: Room) -> Content {
    let mut words = Vec::new();
    let mut full = false;
    if let Some((first, others)) = pieces.split_first() {
        room.take(first.cost);
        words.push(first.word);
        let mut others: Vec<&Piece> = others.iter().collect();
        others.sort_by_key(|p| std::cmp::Reverse(p.cost.gas));
        for piece in others {
            match room.take(piece.cost) {
                true => words.push(piece.word),
                false => full = true,
            }
        }
    }
    words.sort_unstable_by_key(|w| (w.round, w.word));
    Content { form, words, full }
}

/// Two words that one dense call may pay, and how.
struct Pair {
    options: Vec<Way>,
    /// The cheapest while sparse gas costs no more than itself.
    start: usize,
}

/// One way to pay a pair's words.
#[derive(Default)]
struct Way {
    dense: Vec<Dense>,
    /// What the dense calls are worth, with all that is theirs.
    dense_worth: u64,
    /// Numbers of the pieces left to sparse calls.
    sparse: Vec<usize>,
    sparse_worth: u64,
    sparse_gas: u64,
}

impl Way {
    fn worth(&self) -> u64 {
        self.dense_worth + self.sparse_worth
    }
}

/// The pairs in which a dense call is possible at all.
fn pairs(campaign: &Campaign, gas: &GasModel, pieces: &[Piece]) -> Vec<Pair> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_unstable_by_key(|at| (pieces[*at].word.round, pieces[*at].word.word));
    let groups = order.chunk_by(|a, b| {
        let (a, b) = (&pieces[*a].word, &pieces[*b].word);
        (a.round, a.word / 2) == (b.round, b.word / 2)
    });
    groups.map(|group| pair(campaign, gas, pieces, group)).filter(|pair| pair.options.len() > 1).collect()
}

fn pair(campaign: &Campaign, gas: &GasModel, pieces: &[Piece], group: &[usize]) -> Pair {
    let alone: Vec<Option<Dense>> =
        group.iter().map(|at| narrowest(campaign, gas, &[pieces[*at].word])).collect();
    let mut options = Vec::new();
    for choice in 0..1usize << group.len() {
        let mut way = Way::default();
        let possible = group.iter().enumerate().all(|(i, at)| match (choice >> i & 1, &alone[i]) {
            (0, _) => {
                way.sparse.push(*at);
                way.sparse_worth += gas.worth(pieces[*at].cost);
                way.sparse_gas += pieces[*at].cost.gas;
                true
            }
            (_, Some(dense)) => {
                way.dense_worth += dense.worth;
                way.dense.push(dense.clone());
                true
            }
            (_, None) => false,
        });
        if possible {
            options.push(way);
        }
    }
    if group.len() == 2 {
        let words: Vec<WordMask> = group.iter().map(|at| pieces[*at].word).collect();
        options.extend(narrowest(campaign, gas, &words).map(|dense| Way {
            dense_worth: dense.worth,
            dense: vec![dense],
            ..Way::default()
        }));
    }
    let start =
        (0..options.len()).min_by_key(|at| (options[*at].worth(), options[*at].sparse_gas)).unwrap_or(0);
    Pair { options, start }
}

/// A step of a pair's chain: to a way with less sparse gas.
struct Step {
    /// What it costs, for each 2^20 of sparse gas avoided.
    rate: u128,
    pair: usize,
    to: usize,
}

/// The steps of a pair: each to the way that avoids sparse gas most cheaply, so their rates rise.
fn steps(at: usize, pair: &Pair) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut now = pair.start;
    loop {
        let here = &pair.options[now];
        let less = (0..pair.options.len()).filter(|to| pair.options[*to].sparse_gas < here.sparse_gas);
        let rate = |to: &usize| {
            let there = &pair.options[*to];
            let more = u128::from(there.worth().saturating_sub(here.worth()));
            (more << 20) / u128::from(here.sparse_gas - there.sparse_gas)
        };
        let Some(to) = less.min_by_key(|to| (rate(to), pair.options[*to].sparse_gas)) else { return steps };
        steps.push(Step { rate: rate(&to), pair: at, to });
        now = to;
    }
}

/// The way of each pair that makes the whole cheapest.
fn cheapest(gas: &GasModel, pairs: &[Pair], pieces: &[Piece], room: Room) -> Vec<usize> {
    let mut ways: Vec<usize> = pairs.iter().map(|pair| pair.start).collect();
    let mut steps: Vec<Step> = pairs.iter().enumerate().flat_map(|(at, pair)| steps(at, pair)).collect();
    // Stable, so the steps of a pair stay in their order.
    steps.sort_by_key(|step| step.rate);
    let mut total = Total::of(gas, pairs, &ways, pieces);
    let empty = gas.worth(gas.empty(&BatchForm::Sparse));
    let mut best = (total.worth + empty * total.calls(pieces, room), 0);
    for (done, step) in steps.iter().enumerate() {
        let pair = &pairs[step.pair];
        total.replace(&pair.options[ways[step.pair]], &pair.options[step.to], pieces);
        ways[step.pair] = step.to;
        let worth = total.worth + empty * total.calls(pieces, room);
        if worth < best.0 {
            best = (worth, done + 1);
        }
    }
    let mut ways: Vec<usize> = pairs.iter().map(|pair| pair.start).collect();
    for step in &steps[..best.1] {
        ways[step.pair] = step.to;
    }
    ways
}

/// What all words cost without the fixed cost of sparse calls.
struct Total {
    worth: u64,
    /// Which pieces are left to sparse calls.
    sparse: Vec<bool>,
    gas: u64,
    bytes: u64,
    words: usize,
}

impl Total {
    fn of(gas: &GasModel, pairs: &[Pair], ways: &[usize], pieces: &[Piece]) -> Self {
        let mut total = Self { worth: 0, sparse: vec![true; pieces.len()], gas: 0, bytes: 0, words: 0 };
        for (pair, at) in pairs.iter().zip(ways) {
            total.worth += pair.options[*at].dense_worth;
            for other in pair.options.iter().flat_map(|way| &way.sparse) {
                total.sparse[*other] = pair.options[*at].sparse.contains(other);
            }
        }
        for piece in pieces.iter().zip(&total.sparse).filter(|(_, sparse)| **sparse).map(|(piece, _)| piece) {
            total.worth += gas.worth(piece.cost);
            total.gas += piece.cost.gas;
            total.bytes += piece.cost.bytes;
            total.words += 1;
        }
        total
    }

    fn replace(&mut self, from: &Way, to: &Way, pieces: &[Piece]) {
        self.worth = self.worth + to.worth() - from.worth();
        for at in &from.sparse {
            self.sparse[*at] = false;
            self.gas -= pieces[*at].cost.gas;
            self.bytes -= pieces[*at].cost.bytes;
            self.words -= 1;
        }
        for at in &to.sparse {
            self.sparse[*at] = true;
            self.gas += pieces[*at].cost.gas;
            self.bytes += pieces[*at].cost.bytes;
            self.words += 1;
        }
    }

    /// How many sparse calls it takes.
    fn calls(&self, pieces: &[Piece], room: Room) -> u64 {
        if self.words > FILLED_MAX {
            let words = (self.words as u64).div_ceil(room.words as u64);
            return words.max(self.gas.div_ceil(room.gas.max(1))).max(self.bytes.div_ceil(room.bytes.max(1)));
        }
        let mut left: Vec<Cost> =
            pieces.iter().zip(&self.sparse).filter(|(_, sparse)| **sparse).map(|(p, _)| p.cost).collect();
        left.sort_unstable_by_key(|cost| std::cmp::Reverse(cost.gas));
        let mut calls: Vec<Room> = Vec::new();
        for cost in left {
            if !calls.iter_mut().any(|call| call.take(cost)) {
                let mut call = room;
                call.take(cost);
                calls.push(call);
            }
        }
        calls.len() as u64
    }
}
