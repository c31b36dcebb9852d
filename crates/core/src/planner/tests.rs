//! The planner alone: which call, how large, within which bounds. That State accepts whatever it plans, and that it
//! never names what may not be paid, is shown over random lives of a log (`tests/state_machine`).

mod optimum;

use alloy_primitives::Bytes;

use super::*;
use crate::amount::Total;
use crate::command::GateTerms;
use crate::ids::CampaignId;
use crate::limits::{BATCH_BYTES_MAX, BATCH_GAS_MAX, BATCH_WORDS_MAX};
use crate::log::entry::BatchPlanned;
use crate::sample::open_campaign as campaign;
use crate::state::batch::Batch;
use crate::state::round::RoundPhase;
use crate::state::rules::{Approved, Gate};

fn decide(campaign: &mut Campaign, round: u64, indexes: impl IntoIterator<Item = u64>) {
    for index in indexes {
        let (shard, at) = campaign.rounds.get_mut(&round).unwrap().shard_mut(index);
        shard.decided.set(at);
    }
}

fn indexes(content: &Content) -> Vec<u64> {
    content.words.iter().flat_map(|w| w.indexes().collect::<Vec<_>>()).collect()
}

fn planned(campaign: &Campaign) -> Content {
    let content = plan(campaign, &GasModel::default(), 0).unwrap();
    assert!(GasModel::default().of(campaign, &content.form, &content.words) <= BATCH_GAS_MAX);
    content
}

/// The calls of a token whose transfers cost more: every item scaled by `percent`.
fn scaled(percent: u64) -> GasModel {
    let gas = GasModel::default();
    let scale = |gas: u64| gas * percent / 100;
    GasModel { item: scale(gas.item), redirect_item: scale(gas.redirect_item), ..gas }
}

#[test]
fn a_pushed_round_is_paid_in_dense_calls_of_512() {
    let mut campaign = campaign(&[(2_000, RoundMode::Push)]);
    decide(&mut campaign, 1, 0..2_000);
    let content = planned(&campaign);
    assert_eq!(content.form, BatchForm::Dense { round: 1, start: 0, levels: 7 });
    assert_eq!(indexes(&content), (0..512).collect::<Vec<_>>());
}

#[test]
fn the_end_of_a_round_is_paid_without_its_padding() {
    let mut campaign = campaign(&[(700, RoundMode::Push)]);
    decide(&mut campaign, 1, 512..700);
    let content = planned(&campaign);
    assert_eq!(content.form, BatchForm::Sparse, "47 buckets instead of 64");
    assert_eq!(indexes(&content), (512..700).collect::<Vec<_>>());
}

#[test]
fn a_round_below_a_word_is_one_call_dense_where_it_fills_its_capacity() {
    for (count, levels) in [(1, None), (4, Some(0)), (5, None), (100, None), (128, Some(5)), (256, Some(6))] {
        let mut campaign = campaign(&[(count, RoundMode::Push)]);
        decide(&mut campaign, 1, 0..count);
        let content = planned(&campaign);
        if let Some(levels) = levels {
            assert_eq!(content.form, BatchForm::Dense { round: 1, start: 0, levels }, "{count}");
        }
        assert_eq!(indexes(&content), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn where_one_entry_of_a_range_is_open_the_call_is_sparse() {
    let mut campaign = campaign(&[(512, RoundMode::Push)]);
    decide(&mut campaign, 1, (0..512).filter(|i| *i != 300));
    let content = planned(&campaign);
    assert_eq!(content.form, BatchForm::Sparse);
    assert!(!indexes(&content).contains(&300));
}

#[test]
fn of_a_range_that_is_mostly_paid_only_the_end_is_paid_densely() {
    let mut campaign = campaign(&[(512, RoundMode::Push)]);
    decide(&mut campaign, 1, 0..512);
    let round = campaign.rounds.get_mut(&1).unwrap();
    (0..500).for_each(|at| {
        round.shards[0].paid.set(at);
    });
    let content = planned(&campaign);
    let end = BatchForm::Dense { round: 1, start: 496, levels: 2 };
    assert_eq!((content.form.clone(), indexes(&content)), (end, (500..512).collect()));
}

#[test]
fn a_costly_token_is_paid_in_smaller_calls() {
    let mut campaign = campaign(&[(2_000, RoundMode::Push)]);
    decide(&mut campaign, 1, 0..2_000);
    for (percent, least) in [(100, 512), (110, 256), (210, 240), (1_000, 50), (10_000, 5)] {
        let gas = scaled(percent);
        let content = plan(&campaign, &gas, 0).unwrap();
        assert!(gas.of(&campaign, &content.form, &content.words) <= BATCH_GAS_MAX);
        assert!(indexes(&content).len() >= least, "{percent} %: {}", indexes(&content).len());
    }
    let absurd = scaled(100_000);
    assert_eq!(plan(&campaign, &absurd, 0), None, "not even one payment fits");
}

#[test]
fn where_calldata_uses_up_gas_calls_are_as_much_smaller() {
    let mut campaign = campaign(&[(2_000, RoundMode::Push)]);
    decide(&mut campaign, 1, 0..2_000);
    for byte_gas in [0, 100, 400, 2_000] {
        let gas = GasModel { byte_gas, ..GasModel::default() };
        let content = plan(&campaign, &gas, 0).unwrap();
        let cost = gas.cost(&campaign, &content.form, &content.words);
        let alone = GasModel::default().of(&campaign, &content.form, &content.words);
        assert_eq!(cost.gas, alone + cost.bytes * byte_gas);
        assert!(cost.gas <= BATCH_GAS_MAX, "{byte_gas}: {}", cost.gas);
    }
}

#[test]
fn small_dense_ranges_begin_inside_a_word() {
    let mut campaign = campaign(&[(300, RoundMode::Push)]);
    decide(&mut campaign, 1, 64..96);
    let content = plan(&campaign, &scaled(1_000), 0).unwrap();
    assert_eq!(content.form, BatchForm::Dense { round: 1, start: 64, levels: 3 });
    assert_eq!(indexes(&content), (64..96).collect::<Vec<_>>());
}

#[test]
fn a_sparse_call_fills_its_gas_with_whole_words_and_cuts_only_the_first() {
    let mut campaign = campaign(&[(4_096, RoundMode::Pull)]);
    decide(&mut campaign, 1, 0..4_096);
    let content = planned(&campaign);
    assert_eq!(indexes(&content).len(), 512, "a third full word does not fit");
    let gas = scaled(400);
    let content = plan(&campaign, &gas, 0).unwrap();
    let first = indexes(&content);
    assert_eq!(first, (0..first.len() as u64).collect::<Vec<_>>());
    assert!(first.len() < 256 && gas.of(&campaign, &content.form, &content.words) <= BATCH_GAS_MAX);
}

#[test]
fn a_sparse_call_is_bounded_in_words_and_calldata() {
    let mut campaign = campaign(&[(SHARD * 2, RoundMode::Pull)]);
    decide(&mut campaign, 1, (0..SHARD * 2).step_by(256));
    let content = planned(&campaign);
    assert!(content.words.len() <= BATCH_WORDS_MAX);
    let bytes = GasModel::default().cost(&campaign, &content.form, &content.words).bytes;
    assert!(bytes <= BATCH_BYTES_MAX as u64, "{bytes}");
}

#[test]
fn a_sparse_call_goes_over_rounds_and_leaves_out_gated_unopened_and_swept_ones() {
    let modes = [RoundMode::Pull, RoundMode::Gated, RoundMode::Pull, RoundMode::Pull, RoundMode::Push];
    let mut campaign = campaign(&modes.map(|mode| (10, mode)));
    for round in 1..=5 {
        decide(&mut campaign, round, [round]);
    }
    campaign.rounds.get_mut(&3).unwrap().phase = RoundPhase::Published;
    campaign.rounds.get_mut(&4).unwrap().swept = true;
    let content = planned(&campaign);
    let named: Vec<_> = content.words.iter().map(|w| (w.round, w.indexes().collect::<Vec<_>>())).collect();
    assert_eq!(named, [(1, vec![1]), (5, vec![5])]);
}

#[test]
fn redirected_claims_are_planned_apart_and_bounded() {
    let mut campaign = campaign(&[(1_000, RoundMode::Push)]);
    decide(&mut campaign, 1, 0..1_000);
    let redirected = (0..100).map(|index| (EntitlementId { round: 1, index }, 1_000 + index));
    campaign.redirected.extend(redirected);
    let content = planned(&campaign);
    let BatchForm::Redirected { claims } = &content.form else { panic!() };
    assert_eq!((claims.len(), indexes(&content).len()), (BATCH_REDIRECTS_MAX, BATCH_REDIRECTS_MAX));
    assert_eq!(claims[0], (EntitlementId { round: 1, index: 0 }, 1_000));
    // After a redirected batch the others have their turn; a range with a redirected claim is not paid densely.
    let words = content.words.clone();
    let plan = BatchPlanned {
        campaign: CampaignId::default(),
        batch: 1,
        form: content.form.clone(),
        words,
        total: Total::ZERO,
    };
    let batch = Batch { plan, attempts: Vec::new(), dead: 0, mined: None, given_up: false };
    campaign.batches.insert(1, batch);
    let content = planned(&campaign);
    assert_eq!(content.form, BatchForm::Sparse);
    assert_eq!(indexes(&content)[0], 100, "redirected claims are left to their own call");
}

#[test]
fn while_fees_are_high_batches_are_smaller_and_never_nothing() {
    for (rounds, least) in [([(20_000, RoundMode::Push)], 4), ([(20_000, RoundMode::Pull)], 1)] {
        let mut campaign = campaign(&rounds);
        decide(&mut campaign, 1, 0..20_000);
        let mut before = u32::MAX;
        for most in [8_000_000, 3_000_000, 500_000] {
            let gas = GasModel { most, ..GasModel::default() };
            let content = plan(&campaign, &gas, 0).unwrap();
            assert!(gas.of(&campaign, &content.form, &content.words) <= most);
            let items = content.words.iter().map(WordMask::count).sum();
            assert!(items < before && items >= least, "{items} items in {most} gas");
            before = items;
        }
        let gas = GasModel { most: 0, ..GasModel::default() };
        let content = plan(&campaign, &gas, 0).expect("one item whatever it costs");
        assert!(gas.of(&campaign, &content.form, &content.words) < 200_000);
    }
}

/// A gated round whose entitlements 0 to 9 are decided and approved until `expiry`.
fn gated(expiry: u64) -> Campaign {
    let mut campaign = campaign(&[(300, RoundMode::Gated)]);
    decide(&mut campaign, 1, 0..10);
    let signer = Bytes::from(vec![0x6b; 20]);
    let terms = GateTerms {
        campaign: CampaignId::default(),
        version: 1,
        rule_sets: Vec::new(),
        attestations: Vec::new(),
        signer: signer.clone(),
    };
    campaign.gates.insert(1, Gate { terms, version: 1 });
    campaign.gate_keys.insert(1, signer);
    let approved = Approved { gate: 1, mask: [0x3ff, 0, 0, 0], as_of: 1, expiry, signature: Bytes::new() };
    campaign.approved.insert((1, 0), approved);
    campaign
}

#[test]
fn what_would_revert_on_chain_by_its_clock_is_held_back() {
    let gas = GasModel::default();
    let expiry = 10_000;
    let at = |campaign: &Campaign, now| plan(campaign, &gas, now).map(|content| indexes(&content));
    let all: Vec<u64> = (0..10).collect();
    let campaign = gated(expiry);
    assert_eq!(at(&campaign, 5_000), Some(all.clone()));
    assert_eq!(at(&campaign, expiry - 600), None, "it could not be mined in time");
    assert_eq!(at(&campaign, expiry), None);

    let mut off = gated(expiry);
    off.gates_off.insert(1, 5_000);
    assert_eq!((at(&off, 4_999), at(&off, 5_000)), (None, Some(all.clone())));
    off.gates_off = std::iter::once((2, 9_000)).collect();
    assert_eq!(at(&off, 5_000), Some(all.clone()), "another version");

    let mut paused = gated(expiry);
    paused.paused_on_chain = 5_000;
    assert_eq!((at(&paused, 4_999), at(&paused, 5_000)), (None, Some(all)));

    let mut other = gated(expiry);
    other.gate_keys.insert(1, Bytes::from(vec![0x6c; 20]));
    assert_eq!(at(&other, 5_000), None, "the chain knows another key");

    let mut redirected = gated(expiry);
    redirected.redirected.insert(EntitlementId { round: 1, index: 3 }, 7);
    let form = |now| plan(&redirected, &gas, now).map(|content| content.form);
    assert!(matches!(form(5_000), Some(BatchForm::Redirected { .. })));
    assert_eq!(form(expiry), None);
}

#[test]
fn a_gated_call_is_planned_with_what_its_words_cost_more() {
    let mut campaign = gated(u64::MAX);
    let words = [WordMask { round: 1, word: 0, mask: [0x3ff, 0, 0, 0] }];
    let gas = GasModel::default();
    // Measured when a word was a struct and not packed: 6,000 a call and 7,340 a word.
    let more = gas.of(&campaign, &BatchForm::Gated, &words) - gas.of(&campaign, &BatchForm::Sparse, &words);
    assert!(more >= 6_000 + 7_340, "{more}");
    let tight = GasModel { most: gas.of(&campaign, &BatchForm::Gated, &words) - 1, ..gas };
    let content = plan(&campaign, &tight, 0).unwrap();
    assert_eq!(indexes(&content), (0..8).collect::<Vec<_>>(), "nine would fit, and cut a bucket in two");
    assert!(tight.of(&campaign, &content.form, &content.words) <= tight.most);
    campaign.redirected = (0..10).map(|index| (EntitlementId { round: 1, index }, index)).collect();
    let one = GasModel { most: 1, ..gas };
    assert_eq!(indexes(&plan(&campaign, &one, 0).unwrap()), [0], "one item whatever it costs");
}

#[test]
fn small_rounds_and_the_ends_of_large_ones_share_calls() {
    let mut campaign = campaign(&[(10, RoundMode::Push), (600, RoundMode::Push), (10, RoundMode::Push)]);
    for (round, count) in [(1, 10), (2, 20), (3, 10)] {
        decide(&mut campaign, round, 0..count);
    }
    let content = planned(&campaign);
    assert_eq!((content.form.clone(), content.words.len(), content.full), (BatchForm::Sparse, 3, false));
}

#[test]
fn words_take_turns_however_much_arrives_before_them() {
    let mut campaign = campaign(&[(256 * 40, RoundMode::Pull)]);
    decide(&mut campaign, 1, [39 * 256]);
    let mut seen = Vec::new();
    for batch in 1..=60 {
        // The lowest words fill up again after each batch.
        let round = campaign.rounds.get_mut(&1).unwrap();
        for index in 0..256 * 8 {
            let (shard, at) = round.shard_mut(index);
            shard.decided.set(at);
            shard.busy.clear(at);
        }
        let content = planned(&campaign);
        seen.extend(content.words.iter().map(|w| w.word));
        let plan = BatchPlanned {
            campaign: CampaignId::default(),
            batch,
            form: content.form,
            words: content.words,
            total: Total::ZERO,
        };
        campaign.batches =
            [(batch, Batch { plan, attempts: Vec::new(), dead: 0, mined: None, given_up: false })].into();
    }
    assert!(seen.contains(&39), "{seen:?}");
}

#[test]
fn whoever_claims_does_not_wait_until_a_push_is_settled() {
    let mut campaign = campaign(&[(20_000, RoundMode::Push), (2_000, RoundMode::Pull)]);
    decide(&mut campaign, 1, 0..20_000);
    decide(&mut campaign, 2, [7, 1_900]);
    let mut rounds = Vec::new();
    for number in 1..=6 {
        let content = planned(&campaign);
        rounds.push(content.words.iter().map(|w| w.round).collect::<Vec<_>>());
        for index in indexes(&content) {
            let round = campaign.rounds.get_mut(&content.words[0].round).unwrap();
            let (shard, at) = round.shard_mut(index);
            shard.busy.set(at);
        }
        let mut batch = batch(number, false);
        (batch.plan.form, batch.plan.words) = (content.form, content.words);
        campaign.batches = [(number, batch)].into();
        // Another claim comes.
        decide(&mut campaign, 2, [number * 10]);
    }
    let claimed = rounds.iter().filter(|rounds| rounds.contains(&2)).count();
    assert_eq!(claimed, 3, "every second call: {rounds:?}");
}

#[test]
fn rounds_that_are_claimed_and_rounds_that_are_pushed_share_a_call_that_takes_all_of_both() {
    let mut campaign = campaign(&[(600, RoundMode::Push), (600, RoundMode::Pull)]);
    decide(&mut campaign, 1, 0..20);
    decide(&mut campaign, 2, [3, 500]);
    let content = planned(&campaign);
    assert_eq!(content.words.iter().map(|w| (w.round, w.word)).collect::<Vec<_>>(), [(1, 0), (2, 0), (2, 1)]);
}

#[test]
fn what_waits_for_company_holds_up_no_full_call_of_another_kind() {
    let mut campaign = campaign(&[(2_000, RoundMode::Push)]);
    decide(&mut campaign, 1, 0..2_000);
    campaign.redirected.insert(EntitlementId { round: 1, index: 1_999 }, 5);
    let first = planned(&campaign);
    assert!(matches!(first.form, BatchForm::Redirected { .. }) && !first.full);
    let full = plan_full(&campaign, &GasModel::default(), 0).unwrap();
    assert_eq!(
        (full.form.clone(), indexes(&full).len()),
        (BatchForm::Dense { round: 1, start: 0, levels: 7 }, 512)
    );
    // Nothing else is there that fills a call.
    campaign.rounds.get_mut(&1).unwrap().shards[0].decided = Default::default();
    decide(&mut campaign, 1, [5, 1_999]);
    assert_eq!(plan_full(&campaign, &GasModel::default(), 0), None);
}

fn batch(number: u64, given_up: bool) -> Batch {
    let plan = BatchPlanned {
        campaign: CampaignId::default(),
        batch: number,
        form: BatchForm::Sparse,
        words: Vec::new(),
        total: Total::ZERO,
    };
    Batch { plan, attempts: Vec::new(), dead: 0, mined: None, given_up }
}

#[test]
fn nothing_is_planned_for_a_campaign_that_is_held_or_has_enough_under_way() {
    let mut campaign = campaign(&[(100, RoundMode::Push)]);
    decide(&mut campaign, 1, 0..100);
    let gas = GasModel::default();
    campaign.held_until_on_chain = 1;
    assert_eq!(plan(&campaign, &gas, 0), None);
    campaign.held_until_on_chain = 0;
    campaign.batches.extend((1..BATCHES_OPEN_MAX as u64).map(|number| (number, batch(number, false))));
    assert!(plan(&campaign, &gas, 0).is_some(), "one more has room");
    let last = BATCHES_OPEN_MAX as u64;
    campaign.batches.insert(last, batch(last, false));
    assert_eq!(plan(&campaign, &gas, 0), None);
    // A number given up is planned anew however many wait behind it.
    campaign.batches.insert(1, batch(1, true));
    campaign.batches.insert(last + 1, batch(last + 1, false));
    assert!(plan(&campaign, &gas, 0).is_some());
}

#[test]
fn a_number_given_up_is_filled_with_nothing_only_below_others() {
    let mut campaign = campaign(&[(100, RoundMode::Push)]);
    campaign.batches.insert(1, batch(1, true));
    assert_eq!(plan(&campaign, &GasModel::default(), 0), None, "nobody waits for it");
    campaign.batches.insert(2, batch(2, true));
    assert_eq!(plan(&campaign, &GasModel::default(), 0), None, "nor does another that was given up");
    campaign.batches.insert(3, batch(3, false));
    let filler = Content { form: BatchForm::Sparse, words: Vec::new(), full: true };
    assert_eq!(plan(&campaign, &GasModel::default(), 0), Some(filler));
}

#[test]
fn redirected_claims_of_a_swept_round_are_not_planned() {
    let mut campaign = campaign(&[(100, RoundMode::Push)]);
    decide(&mut campaign, 1, [7]);
    campaign.redirected.insert(EntitlementId { round: 1, index: 7 }, 1_000);
    assert!(plan(&campaign, &GasModel::default(), 0).is_some());
    campaign.rounds.get_mut(&1).unwrap().swept = true;
    assert_eq!(plan(&campaign, &GasModel::default(), 0), None);
}
