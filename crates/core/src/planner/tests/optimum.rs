//! How far the planner is from the cheapest way to pay everything: never more than a hundredth, by comparing with every
//! way there is to share quarters of words out to calls. And how far its model is from transaction receipts.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::limits::{BATCH_BYTES_MAX, BATCH_WORDS_MAX};

/// What is drawn of a quarter of a word.
#[derive(Clone, Copy, Debug)]
enum Quarter {
    Open,
    Paid,
    /// Payable, every so many-th entry; the others open, or paid.
    Payable(u64, bool),
}

fn quarter() -> impl Strategy<Value = Quarter> {
    prop_oneof![
        1 => Just(Quarter::Open),
        2 => Just(Quarter::Paid),
        5 => Just(Quarter::Payable(1, true)),
        2 => (2u64..40, any::<bool>()).prop_map(|(step, rest_paid)| Quarter::Payable(step, rest_paid)),
    ]
}

fn drawn(rounds: &[(bool, Vec<Quarter>)]) -> Campaign {
    let sizes: Vec<_> = rounds
        .iter()
        .map(|(push, quarters)| {
            (quarters.len() as u64 * 64, if *push { RoundMode::Push } else { RoundMode::Pull })
        })
        .collect();
    let mut campaign = campaign(&sizes);
    for (number, (_, quarters)) in (1..).zip(rounds) {
        let round = campaign.rounds.get_mut(&number).unwrap();
        for (at, quarter) in quarters.iter().enumerate() {
            for index in at as u64 * 64..at as u64 * 64 + 64 {
                let (shard, place) = round.shard_mut(index);
                let (decided, paid) = match quarter {
                    Quarter::Open => (false, false),
                    Quarter::Paid => (true, true),
                    Quarter::Payable(step, rest_paid) => {
                        let payable = index % step == 0;
                        (payable || *rest_paid, !payable && *rest_paid)
                    }
                };
                if decided {
                    shard.decided.set(place);
                }
                if paid {
                    shard.paid.set(place);
                }
            }
        }
    }
    campaign
}

/// Every payable quarter.
fn units(campaign: &Campaign) -> Vec<WordMask> {
    let mut units = Vec::new();
    for round in campaign.rounds.values() {
        for word in 0..round.terms.count.div_ceil(256) {
            let payable = campaign.plannable(round, word);
            for part in (0..4).filter(|part| payable[*part] != 0) {
                let mut mask = [0; 4];
                mask[part] = payable[part];
                units.push(WordMask { round: round.terms.round, word, mask });
            }
        }
    }
    units
}

fn merged(units: &[WordMask], subset: usize) -> Vec<WordMask> {
    let mut words: Vec<WordMask> = Vec::new();
    for unit in units.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1).map(|(_, unit)| unit) {
        match words.last_mut().filter(|w| (w.round, w.word) == (unit.round, unit.word)) {
            Some(last) => last.mask = std::array::from_fn(|i| last.mask[i] | unit.mask[i]),
            None => words.push(*unit),
        }
    }
    words
}

/// The cheapest single call that pays exactly these, if there is one.
fn one_call(campaign: &Campaign, gas: &GasModel, words: &[WordMask]) -> Option<u64> {
    let mut forms = vec![BatchForm::Sparse];
    let number = words[0].round;
    let round = campaign.round(number).unwrap();
    if round.terms.mode == RoundMode::Push && words.iter().all(|w| w.round == number) {
        for levels in 0..=round.terms.depth.min(7) {
            let size = 4u64 << levels;
            let start = words[0].indexes().next().unwrap() / size * size;
            let all = (start..(start + size).min(round.terms.count)).all(|index| {
                let (shard, at) = round.shard(index);
                shard.paid.get(at) || words.iter().any(|w| w.contains(number, index))
            });
            if all && words.iter().all(|w| w.indexes().all(|i| (start..start + size).contains(&i))) {
                forms.push(BatchForm::Dense { round: number, start, levels });
            }
        }
    }
    let costs = forms.iter().map(|form| gas.cost(campaign, form, words));
    let fits = |cost: &Cost| cost.gas <= gas.budget() && cost.bytes <= BATCH_BYTES_MAX as u64;
    costs.filter(fits).map(|cost| gas.worth(cost)).min().filter(|_| words.len() <= BATCH_WORDS_MAX)
}

/// The cheapest of all ways to share the units out to calls.
fn optimum(campaign: &Campaign, gas: &GasModel) -> u64 {
    let units = units(campaign);
    let all = (1usize << units.len()) - 1;
    let call: Vec<Option<u64>> =
        (0..=all).map(|s| (s != 0).then(|| one_call(campaign, gas, &merged(&units, s))).flatten()).collect();
    let mut best = vec![u64::MAX; all + 1];
    best[0] = 0;
    for set in 1..=all {
        // The call that pays the lowest unit of the set.
        let rest = set & (set - 1);
        let mut others = rest;
        loop {
            let with = others | (set & !rest);
            if let Some(cost) = call[with] {
                best[set] = best[set].min(best[set & !with].saturating_add(cost));
            }
            if others == 0 {
                break;
            }
            others = (others - 1) & rest;
        }
    }
    best[all]
}

/// What it costs to pay everything by the planner's batches, one after another.
fn by_the_planner(mut campaign: Campaign, gas: &GasModel) -> u64 {
    let mut worth = 0;
    while let Some(content) = plan(&campaign, gas, 0) {
        let cost = gas.cost(&campaign, &content.form, &content.words);
        assert!(cost.gas <= gas.budget(), "{cost:?}");
        worth += gas.worth(cost);
        for word in &content.words {
            for index in word.indexes() {
                let (shard, at) = campaign.rounds.get_mut(&word.round).unwrap().shard_mut(index);
                assert!(shard.busy.set(at), "planned once");
            }
        }
    }
    assert_eq!(units(&campaign), []);
    worth
}

fn drawn_alike(cases: u32) -> ProptestConfig {
    let given = ProptestConfig::default();
    let rng_seed = match given.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed => fixed,
    };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { given.cases } else { cases };
    ProptestConfig { rng_seed, cases, ..given }
}

/// How far above the optimum the planner is, in ten-thousandths of it; `None` for what is too much to search.
fn above(rounds: &[(bool, Vec<Quarter>)], most: u64, byte: u64) -> Option<u64> {
    let campaign = drawn(rounds);
    if !(1..=11).contains(&units(&campaign).len()) {
        return None;
    }
    let gas = GasModel { most, byte, ..GasModel::default() };
    let (best, planned) = (optimum(&campaign, &gas), by_the_planner(campaign, &gas));
    // It may be below: the planner cuts words that no call takes where it likes, the search at quarters alone.
    Some(planned.saturating_sub(best) * 10_000 / best)
}

fn any_rounds() -> impl Strategy<Value = Vec<(bool, Vec<Quarter>)>> {
    prop::collection::vec((prop::bool::weighted(0.8), prop::collection::vec(quarter(), 1..=8)), 1..=3)
}

proptest! {
    // One seed, so that a red run is red again; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` draw others.
    #![proptest_config(drawn_alike(400))]
    #[test]
    fn what_is_planned_costs_at_most_a_hundredth_more_than_the_optimum(
        rounds in any_rounds(),
        most in prop::sample::select(vec![9_000_000, BATCH_GAS_MAX]),
        byte in prop::sample::select(vec![0, 16, 400]),
    ) {
        let above = above(&rounds, most, byte);
        prop_assume!(above.is_some());
        prop_assert!(above <= Some(100), "{above:?} ten-thousandths above");
    }

    // A token twice as costly, or a chain of small blocks: where a word is cut is then chosen for one call, not for all.
    #[test]
    fn where_a_call_holds_less_than_a_word_it_is_at_most_three_hundredths(
        rounds in any_rounds(),
        byte in prop::sample::select(vec![0, 16, 400]),
    ) {
        let above = above(&rounds, 6_000_000, byte);
        prop_assume!(above.is_some());
        prop_assert!(above <= Some(300), "{above:?} ten-thousandths above");
    }
}

#[test]
fn the_model_is_above_every_receipt_and_not_by_much() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/gas-snapshot.json");
    let receipts: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut deep = campaign(&[(512, RoundMode::Push)]);
    deep.rounds.get_mut(&1).unwrap().terms.depth = 20;
    let gas = GasModel::default();
    let whole = |word| WordMask { round: 1, word, mask: [u64::MAX; 4] };
    let low = |bits: u32| WordMask { round: 1, word: 0, mask: [(1 << bits) - 1, 0, 0, 0] };
    let half = WordMask { round: 1, word: 0, mask: [u64::MAX, u64::MAX, 0, 0] };
    let dense = |levels| BatchForm::Dense { round: 1, start: 0, levels };
    let isolated = |word| WordMask { round: 1, word, mask: [1, 0, 0, 0] };
    for (name, form, words, warm_words) in [
        ("settle 512 fresh", dense(7), vec![whole(0), whole(1)], 0),
        ("settle 256 fresh", dense(6), vec![whole(0)], 0),
        ("settle 128 fresh", dense(5), vec![half], 0),
        ("settle 16 fresh", dense(2), vec![low(16)], 0),
        ("sparse 512 full words fresh", BatchForm::Sparse, vec![whole(0), whole(1)], 0),
        ("isolated 1 fresh", BatchForm::Sparse, vec![isolated(0)], 1),
        ("isolated 16 in 16 words fresh", BatchForm::Sparse, (0..16).map(isolated).collect(), 16),
    ] {
        // Of words that were paid from before, 17,100 gas less: a stored zero is not replaced.
        let model = gas.of(&deep, &form, &words) - warm_words * 17_100;
        let receipt = receipts[name]["gas"].as_u64().unwrap();
        assert!(model >= receipt && model * 100 <= receipt * 105, "{name}: {model}, measured {receipt}");
    }
}
