//! How cheap and how fast the planner is: whole rounds planned to their end, by how many of their entitlements are
//! payable. `cargo bench -p sluice-core --bench planner`.
//!
//! Gas is by figures of its own, fitted to transaction receipts on anvil (contracts/gas-snapshot.json), not by the
//! planner's model, which is an upper bound. Beside it stands what no planner can go below: for each pair of words the
//! cheaper of a dense call and its share of a sparse one, and as many transactions as the gas needs if every one is full.

#![allow(clippy::float_arithmetic, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use sluice_core::command::RoundMode;
use sluice_core::ids::RoundNo;
use sluice_core::limits::BATCH_GAS_MAX;
use sluice_core::log::entry::{BatchForm, WordMask};
use sluice_core::planner::{Content, GasModel, plan};
use sluice_core::sample::open_campaign as campaign;
use sluice_core::state::campaign::Campaign;

/// Measured: a sparse call with nothing in it, a dense one.
const SPARSE_CALL: f64 = 53_855.0;
const DENSE_CALL: f64 = 51_122.0;
/// A word's bitmap, fresh.
const WORD: f64 = 29_722.0;
/// A sibling of a proof; a bucket of a sparse call, and a node above it inside the word; a bucket of a dense call.
const LEVEL: f64 = 612.0;
const BUCKET: f64 = 2_100.0;
const NODE: f64 = 520.0;
const DENSE_BUCKET: f64 = 2_130.0;
/// A fresh recipient; an entry of a dense call that was paid before.
const ITEM: f64 = 25_192.0;
const REST: f64 = 93.0;

fn main() {
    println!(
        "{:34} {:>9} {:>7} {:>12} {:>9} {:>11} {:>11}",
        "payable", "claims", "calls", "gas a claim", "× bound", "µs a call", "ns a claim"
    );
    let size = 131_072;
    for percent in [1, 5, 25, 50, 90, 99, 100] {
        let mut campaign = campaign(&[(size, RoundMode::Push)]);
        decide(&mut campaign, 1, |index| scatter(index) % 100 < percent);
        row(&format!("{percent} % of a round, scattered"), campaign);
    }
    let mut last = campaign(&[(size, RoundMode::Push)]);
    pay(&mut last, 1, |index| scatter(index) % 10 < 9);
    decide(&mut last, 1, |index| scatter(index) % 10 == 9);
    row("the last 10 %, the rest paid", last);
    let mut half = campaign(&[(size, RoundMode::Push)]);
    pay(&mut half, 1, |index| scatter(index).is_multiple_of(2));
    decide(&mut half, 1, |index| scatter(index) % 2 == 1);
    row("the other half, half paid", half);
    for (rounds, each) in [(200, 10), (40, 300), (20, 520)] {
        let mut small = campaign(&vec![(each, RoundMode::Push); rounds]);
        for round in 1..=rounds as u64 {
            decide(&mut small, round, |_| true);
        }
        row(&format!("{rounds} whole rounds of {each}"), small);
    }
    let mut pull = campaign(&[(size, RoundMode::Pull)]);
    decide(&mut pull, 1, |_| true);
    row("100 % of a PULL round", pull);
}

/// Plans to the end and prints a line.
fn row(name: &str, mut campaign: Campaign) {
    let (bound, claims) = (bound(&campaign), payable(&campaign));
    let depths: BTreeMap<RoundNo, u8> = campaign.rounds.iter().map(|(n, r)| (*n, r.terms.depth)).collect();
    let (mut gas, mut calls, mut took) = (0.0, 0u32, Duration::ZERO);
    loop {
        let start = Instant::now();
        let content = black_box(plan(&campaign, &GasModel::default(), 0));
        took += start.elapsed();
        let Some(content) = content else { break };
        gas += measured(&content, &depths);
        calls += 1;
        for word in &content.words {
            for index in word.indexes() {
                let (shard, at) = campaign.rounds.get_mut(&word.round).unwrap().shard_mut(index);
                shard.busy.set(at);
            }
        }
    }
    assert_eq!(payable(&campaign), 0, "everything is planned");
    let claims = claims as f64;
    println!(
        "{name:34} {claims:>9} {calls:>7} {:>12.0} {:>9.4} {:>11.1} {:>11.1}",
        gas / claims,
        gas / bound,
        took.as_secs_f64() * 1e6 / f64::from(calls),
        took.as_secs_f64() * 1e9 / claims,
    );
}

fn payable(campaign: &Campaign) -> u64 {
    let words = campaign.rounds.values().flat_map(|r| {
        (0..r.terms.count.div_ceil(256)).map(move |w| campaign.plannable(r, w)).collect::<Vec<_>>()
    });
    words.flatten().map(|part| u64::from(part.count_ones())).sum()
}

fn items(mask: &[u64; 4]) -> f64 {
    f64::from(mask.iter().map(|part| part.count_ones()).sum::<u32>())
}

/// A word of a sparse call.
fn sparse_word(mask: &[u64; 4], depth: u8) -> f64 {
    let bit = |at: usize| mask[at / 64] >> (at % 64) & 1 == 1;
    let mut nodes: Vec<bool> = (0..64).map(|bucket| (0..4).any(|i| bit(bucket * 4 + i))).collect();
    let buckets = nodes.iter().filter(|n| **n).count();
    let (mut inner, mut siblings, mut level) = (0, 0, 0);
    while level < depth.min(6) && nodes.iter().filter(|n| **n).count() > 1 {
        siblings += nodes.chunks(2).filter(|pair| pair[0] != pair[1]).count();
        nodes = nodes.chunks(2).map(|pair| pair[0] || pair[1]).collect();
        inner += nodes.iter().filter(|n| **n).count();
        level += 1;
    }
    let path = f64::from(depth - level) + siblings as f64;
    WORD + BUCKET * buckets as f64 + NODE * inner as f64 + LEVEL * path + ITEM * items(mask)
}

/// A whole dense call.
fn dense_call(levels: u8, depth: u8, items: f64) -> f64 {
    let buckets = f64::from(1u32 << levels);
    let words = (buckets / 64.0).max(1.0);
    let rest = REST * (buckets * 4.0 - items);
    DENSE_CALL
        + WORD * words
        + LEVEL * f64::from(depth - levels)
        + DENSE_BUCKET * buckets
        + ITEM * items
        + rest
}

fn measured(content: &Content, depths: &BTreeMap<RoundNo, u8>) -> f64 {
    match content.form {
        BatchForm::Dense { round, levels, .. } => {
            dense_call(levels, depths[&round], content.words.iter().map(|w| items(&w.mask)).sum())
        }
        _ => SPARSE_CALL + content.words.iter().map(|w| sparse_word(&w.mask, depths[&w.round])).sum::<f64>(),
    }
}

/// What no planner can go below.
fn bound(campaign: &Campaign) -> f64 {
    let share = 1.0 + SPARSE_CALL / (BATCH_GAS_MAX as f64 - SPARSE_CALL);
    let mut sum = 0.0;
    for round in campaign.rounds.values() {
        let (depth, count) = (round.terms.depth, round.terms.count);
        for pair in 0..count.div_ceil(512) {
            let words: Vec<_> = (0..2)
                .map(|i| pair * 2 + i)
                .filter(|w| w * 256 < count)
                .map(|word| WordMask {
                    round: round.terms.round,
                    word,
                    mask: campaign.plannable(round, word),
                })
                .filter(|w| w.mask != [0; 4])
                .collect();
            let sparse: f64 = words.iter().map(|w| sparse_word(&w.mask, depth) * share).sum();
            let payable: f64 = words.iter().map(|w| items(&w.mask)).sum();
            let fits = |index: u64| {
                let (shard, at) = round.shard(index);
                index >= count || shard.paid.get(at) || words.iter().any(|w| w.contains(w.round, index))
            };
            let levels = 7.min(depth);
            let dense = (pair * 512..pair * 512 + (4 << levels)).all(fits);
            sum += if dense { sparse.min(dense_call(levels, depth, payable)) } else { sparse };
        }
    }
    sum.max(SPARSE_CALL.min(DENSE_CALL))
}

fn scatter(index: u64) -> u64 {
    // The finaliser of SplitMix64.
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn decide(campaign: &mut Campaign, round: RoundNo, which: impl Fn(u64) -> bool) {
    let round = campaign.rounds.get_mut(&round).unwrap();
    for index in (0..round.terms.count).filter(|index| which(*index)) {
        let (shard, at) = round.shard_mut(index);
        shard.decided.set(at);
    }
}

fn pay(campaign: &mut Campaign, round: RoundNo, which: impl Fn(u64) -> bool) {
    decide(campaign, round, &which);
    let round = campaign.rounds.get_mut(&round).unwrap();
    for index in (0..round.terms.count).filter(|index| which(*index)) {
        let (shard, at) = round.shard_mut(index);
        shard.paid.set(at);
    }
}
