//! Batches: planned, signed, mined, taken back, given up, final.

use sluice_core::amount::Total;
use sluice_core::command::RoundMode;
use sluice_core::decide::Input;
use sluice_core::ids::EntitlementId;
use sluice_core::limits::BATCHES_OPEN_MAX;
use sluice_core::log::entry::{
    BatchFinal, BatchForm, BatchPlanned, BatchReplanned, Body, ChainEvent, EpochOnChain, ReplanGround,
};
use sluice_core::state::batch::BatchStage;
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;

use crate::world::{CHAIN, World, amount, campaign, indexes, skipped, sum, words};

fn id(index: u64) -> EntitlementId {
    EntitlementId { round: 1, index }
}

fn sparse(batch: u64, named: &[u64]) -> BatchPlanned {
    BatchPlanned {
        campaign: campaign(1),
        batch,
        form: BatchForm::Sparse,
        words: words(1, named.iter().copied()),
        total: sum(named.iter().copied()),
    }
}

fn replanned(batch: u64, because: ReplanGround, poison: &[u64]) -> Body {
    Body::BatchReplanned(BatchReplanned {
        campaign: campaign(1),
        batch,
        because,
        poison: poison.iter().map(|i| skipped(1, *i)).collect(),
    })
}

#[test]
fn a_claim_walks_from_decided_to_final() {
    let mut world = World::open(10, RoundMode::Pull);
    assert_eq!(world.status(3), None);
    world.decide([3]);
    assert_eq!(world.status(3), Some(ClaimState::Decided));
    let plan = world.plan().unwrap();
    assert_eq!(world.status(3), Some(ClaimState::Batched(1)));
    let attempt = world.sign(1);
    assert_eq!(world.status(3), Some(ClaimState::Sent(1, attempt.tx_hash)));
    let block = world.mine(&plan, &[]);
    assert_eq!(world.status(3), Some(ClaimState::Paid(block, attempt.tx_hash)));
    assert_eq!(world.balance(Account::Reserved), amount(3).get(), "reserved until it is final");
    world.finalize(1, block);
    assert_eq!(world.status(3), Some(ClaimState::Final));
    assert_eq!((world.balance(Account::Reserved), world.balance(Account::Paid)), (0, amount(3).get()));
    assert!(world.known().batches.is_empty());
}

#[test]
fn a_batch_mined_then_unmined_then_mined_elsewhere_is_final_once() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([3]);
    let plan = world.plan().unwrap();
    let attempt = world.sign(1);
    let first = world.mine(&plan, &[]);
    world.unmine(1, first);
    assert_eq!(
        world.status(3),
        Some(ClaimState::Sent(1, attempt.tx_hash)),
        "back from paid by its own entry"
    );
    assert_eq!(world.plan(), None, "it is still in its batch");
    let second = world.mine(&plan, &[]);
    let gone = BatchFinal { campaign: campaign(1), batch: 1, block: first, void_paid: Vec::new() };
    assert!(!world.takes(Body::BatchFinal(gone)), "the first block never becomes final");
    world.finalize(1, second);
    assert_eq!(world.balance(Account::Paid), amount(3).get());
}

#[test]
fn batches_become_final_in_the_order_of_their_numbers() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1]);
    let first = world.plan().unwrap();
    world.decide([2]);
    let second = world.plan().unwrap();
    let (one, two) = (world.mine(&first, &[]), world.mine(&second, &[]));
    let early = world.final_of(2, two);
    assert!(!world.takes(early));
    world.finalize(1, one);
    world.finalize(2, two);
}

#[test]
fn a_number_is_planned_once_and_in_order() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    assert!(!world.takes(Body::BatchPlanned(sparse(2, &[1]))), "not the next number");
    let group = vec![
        Input::Observed(Body::BatchPlanned(sparse(1, &[1]))),
        Input::Observed(Body::BatchPlanned(sparse(1, &[2]))),
        Input::Observed(Body::BatchPlanned(sparse(2, &[1]))),
        Input::Observed(Body::BatchPlanned(sparse(2, &[2]))),
    ];
    assert_eq!(world.submit(group).len(), 2, "the number in use and the busy entitlement are dropped");
}

#[test]
fn no_more_than_the_bound_wait_for_their_block_and_those_mined_make_room() {
    let mut world = World::open(10, RoundMode::Pull);
    let mut plans = Vec::new();
    for index in 0..BATCHES_OPEN_MAX as u64 {
        world.decide([index]);
        plans.push(world.plan().unwrap());
    }
    world.decide([9]);
    assert_eq!(world.plan(), None);
    let next = BATCHES_OPEN_MAX as u64 + 1;
    assert!(!world.takes(Body::BatchPlanned(sparse(next, &[9]))));
    world.sign(1);
    world.mine(&plans[0], &[]);
    assert!(world.takes(Body::BatchPlanned(sparse(next, &[9]))), "one is mined, and not final");
}

#[test]
fn a_number_given_up_below_more_than_the_bound_is_planned_anew() {
    let mut world = World::open(20, RoundMode::Pull);
    let count = 2 * BATCHES_OPEN_MAX as u64;
    let mut mined = Vec::new();
    for index in 0..count {
        world.decide([index]);
        let plan = world.plan().unwrap();
        world.sign(plan.batch);
        mined.push((plan.batch, world.mine(&plan, &[])));
    }
    for (batch, block) in mined.into_iter().rev() {
        world.unmine(batch, block);
    }
    assert!(world.known().open_batches() > BATCHES_OPEN_MAX, "a reorganisation keeps to no bound");
    world.decide([count]);
    assert_eq!(world.plan(), None, "no new number");
    let cursor = world.cursor(Vec::new());
    world.see([cursor]);
    let because = ReplanGround::NoncesConsumed(world.at(world.block));
    assert!(world.takes(replanned(1, because, &[0])));
    assert_eq!(world.plan().map(|plan| plan.batch), Some(1), "the others wait for it on chain");
    assert_eq!(world.plan(), None);
}

#[test]
fn a_batch_never_names_what_may_not_be_paid_now() {
    let mut world = World::open(20, RoundMode::Push);
    world.decide([1, 2, 3]);
    world.void(vec![2]);
    let claim = world.redirected(4);
    world.submit(vec![Input::Claim(claim)]);
    let paid = world.paid_event(1, 3);
    world.events_mined(campaign(1), vec![paid]);
    for (why, wrong) in [
        ("nobody decided it", sparse(1, &[7])),
        ("it is void", sparse(1, &[1, 2])),
        ("its wallet is paying", sparse(1, &[3])),
        ("it is redirected", sparse(1, &[1, 4])),
        ("outside the round", sparse(1, &[20])),
        ("far outside the round", sparse(1, &[1 << 60])),
    ] {
        assert!(!world.takes(Body::BatchPlanned(wrong)), "{why}");
    }
    let mut twice = sparse(1, &[1]);
    twice.words.push(twice.words[0]);
    assert!(!world.takes(Body::BatchPlanned(twice)), "a word twice");
    let mut empty = sparse(1, &[1]);
    empty.words[0].mask = [0; 4];
    assert!(!world.takes(Body::BatchPlanned(empty)), "an empty word");
    assert!(!world.takes(Body::BatchPlanned(sparse(1, &[]))), "nothing at all");
    let mut other_round = sparse(1, &[1]);
    other_round.words[0].round = 2;
    assert!(!world.takes(Body::BatchPlanned(other_round)), "an unknown round");
    assert!(world.takes(Body::BatchPlanned(sparse(1, &[1]))));
}

#[test]
fn a_dense_call_stands_only_where_everything_else_in_its_range_is_paid() {
    let mut world = World::open(16, RoundMode::Push);
    let dense = |batch, start, levels, named: &[u64]| {
        let form = BatchForm::Dense { round: 1, start, levels };
        Body::BatchPlanned(BatchPlanned { form, ..sparse(batch, named) })
    };
    world.push(0, 7);
    assert!(!world.takes(dense(1, 0, 1, &[0, 1, 2, 3, 4, 5, 6])), "7 was not decided");
    assert!(!world.takes(dense(1, 0, 0, &[0, 1, 2])), "3 is decided and left out");
    assert!(!world.takes(dense(1, 0, 0, &[0, 1, 2, 3, 4])), "4 lies outside the range");
    assert!(!world.takes(dense(1, 2, 0, &[2, 3, 4, 5])), "not aligned");
    assert!(!world.takes(dense(1, 0, 3, &[0, 1, 2, 3, 4, 5, 6])), "above the tree");
    assert!(!world.takes(dense(1, 0, 200, &[0])), "far above the tree");
    assert!(!world.takes(dense(1, 16, 0, &[])), "padding");
    assert!(world.takes(dense(1, 0, 0, &[0, 1, 2, 3])));
    world.sign(1);
    let block = world.mine(&sparse(1, &[0, 1, 2, 3]), &[]);
    assert!(!world.takes(dense(2, 0, 1, &[4, 5, 6])), "paid, but not finally, and 7 is still open");
    world.finalize(1, block);
    world.decide([7]);
    assert!(world.takes(dense(2, 0, 1, &[4, 5, 6, 7])), "the rest of the range is finally paid");
}

#[test]
fn a_round_that_is_not_pushed_takes_no_dense_call() {
    let mut world = World::open(4, RoundMode::Pull);
    world.decide(0..4);
    let form = BatchForm::Dense { round: 1, start: 0, levels: 0 };
    assert!(!world.takes(Body::BatchPlanned(BatchPlanned { form, ..sparse(1, &[0, 1, 2, 3]) })));
    assert_eq!(world.plan().unwrap().form, BatchForm::Sparse);
}

#[test]
fn a_redirected_call_names_exactly_its_claims() {
    let mut world = World::open(10, RoundMode::Pull);
    let (a, b) = (world.redirected(3), world.redirected(5));
    world.submit(vec![Input::Claim(a), Input::Claim(b)]);
    let (last, first) = (world.state().seq, world.state().seq - 1);
    world.decide([6]);
    let to = |claims: &[(u64, u64)], named: &[u64]| {
        let claims = claims.iter().map(|(i, seq)| (id(*i), *seq)).collect();
        Body::BatchPlanned(BatchPlanned { form: BatchForm::Redirected { claims }, ..sparse(1, named) })
    };
    assert!(!world.takes(to(&[(3, first)], &[3, 5])), "a word without its claim");
    assert!(!world.takes(to(&[(3, first), (5, last)], &[3])), "a claim without its word");
    assert!(!world.takes(to(&[(3, first), (3, first)], &[3, 5])), "a claim twice");
    assert!(!world.takes(to(&[(3, last), (5, last)], &[3, 5])), "another position");
    assert!(!world.takes(to(&[(6, last + 1)], &[6])), "a claim that redirects nothing");
    assert!(world.takes(to(&[(5, last), (3, first)], &[3, 5])), "in any order");
}

#[test]
fn an_attempt_is_signed_for_an_open_batch_and_once() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([3]);
    let early = world.attempt(1);
    assert!(!world.takes(Body::AttemptSigned(early)), "no batch");
    let plan = world.plan().unwrap();
    let signed = world.sign(1);
    assert!(!world.takes(Body::AttemptSigned(signed)), "the same transaction");
    world.mine(&plan, &[]);
    let late = world.attempt(1);
    assert!(!world.takes(Body::AttemptSigned(late)), "mined");
}

#[test]
fn what_the_chain_says_of_a_batch_must_be_something_the_batch_could_do() {
    let mut world = World::open(20, RoundMode::Pull);
    world.decide([1, 2, 3, 4]);
    let plan = {
        assert!(world.takes(Body::BatchPlanned(sparse(1, &[1, 2, 3]))));
        sparse(1, &[1, 2, 3])
    };
    let good = world.mined(&plan, &[2]);
    let mut stranger = good.clone();
    stranger.paid = words(1, [1, 4]);
    let mut wrong_sum = world.mined(&plan, &[]);
    wrong_sum.paid_total = sum([1, 2]);
    let mut too_much = good.clone();
    too_much.paid_total = Total(plan.total.get() + 1);
    let mut both = good.clone();
    both.skipped.push(skipped(1, 1));
    let mut twice = good.clone();
    twice.skipped.push(skipped(1, 2));
    let mut unknown = good.clone();
    unknown.skipped.push(skipped(1, 9));
    for (why, wrong) in [
        ("a stranger is paid", stranger),
        ("a sum that is not the list's", wrong_sum),
        ("more than planned", too_much),
        ("paid and skipped", both),
        ("skipped twice", twice),
        ("a stranger is skipped", unknown),
    ] {
        // Never dropped: the node stops.
        let mut node = world.clone();
        let group = node.decider.group(vec![Input::Observed(Body::BatchMined(wrong))], node.now);
        assert!(group.is_err(), "{why}");
    }
    assert!(world.takes(Body::BatchMined(good)));
}

#[test]
fn a_batch_that_nobody_signed_is_planned_anew_without_its_poison() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2, 3]);
    world.plan().unwrap();
    assert!(world.takes(replanned(1, ReplanGround::NeverSigned, &[2])));
    assert!(matches!(world.status(2), Some(ClaimState::Skipped { retry: true, .. })));
    assert_eq!(world.status(1), Some(ClaimState::Decided));
    let plan = world.plan().unwrap();
    assert_eq!((plan.batch, indexes(&plan.words)), (1, vec![1, 3]), "the same number, new content");
    assert_eq!(world.known().next_batch, 2);
}

#[test]
fn content_is_given_up_only_when_no_attempt_can_be_mined_any_more() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    world.plan().unwrap();
    let at = world.at(world.block);
    let cursor = world.cursor(Vec::new());
    world.see([cursor]);
    let consumed = ReplanGround::NoncesConsumed(at);
    assert!(!world.takes(replanned(1, consumed.clone(), &[])), "no nonce was ever used");
    world.sign(1);
    assert!(!world.takes(replanned(1, ReplanGround::NeverSigned, &[])), "an attempt is signed");
    assert!(
        !world.takes(replanned(1, ReplanGround::EpochFinal(2), &[])),
        "the chain does not know that epoch"
    );
    let epoch = |epoch| Body::EpochOnChain(EpochOnChain { chain_id: CHAIN, epoch, block: at });
    world.see([epoch(1)]);
    assert!(!world.takes(replanned(1, ReplanGround::EpochFinal(1), &[])), "signed under that very epoch");
    world.block += 1;
    let ahead = ReplanGround::NoncesConsumed(world.at(world.block));
    assert!(!world.takes(replanned(1, ahead, &[])), "the watcher has not read that far");
    assert!(!world.takes(replanned(1, consumed.clone(), &[9])), "poison that the batch does not name");
    let mut by_epoch = world.clone();
    by_epoch.see([epoch(2)]);
    assert!(by_epoch.takes(replanned(1, ReplanGround::EpochFinal(2), &[])));
    assert!(world.takes(replanned(1, consumed.clone(), &[])));
    assert!(!world.takes(replanned(1, consumed, &[])), "once");
}

#[test]
fn attempts_of_content_given_up_are_dead_but_remembered() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    world.plan().unwrap();
    let dead = world.sign(1);
    let cursor = world.cursor(Vec::new());
    world.see([cursor]);
    let because = ReplanGround::NoncesConsumed(world.at(world.block));
    world.see([replanned(1, because, &[2])]);
    let late = world.attempt(1);
    assert!(!world.takes(Body::AttemptSigned(late)), "nothing is signed for a number without content");
    world.plan().unwrap();
    let batch = &world.known().batches[&1];
    assert_eq!((batch.stage(), batch.alive().len(), batch.attempts.len()), (BatchStage::Planned, 0, 1));
    assert_eq!(world.status(1), Some(ClaimState::Batched(1)), "not sent, although another content was");
    let alive = world.sign(1);
    assert_eq!(world.status(1), Some(ClaimState::Sent(1, alive.tx_hash)));
    let batch = &world.known().batches[&1];
    assert_eq!(batch.attempts[0].tx_hash, dead.tx_hash);
    assert_eq!(sluice_core::sender::lane_of(world.state(), campaign(1), &[alive.lane]), Some(0));
}

#[test]
fn a_number_without_content_is_settled_with_nothing_so_that_later_ones_go_on() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1]);
    world.plan().unwrap();
    world.decide([2]);
    let second = world.plan().unwrap();
    assert!(world.takes(replanned(1, ReplanGround::NeverSigned, &[1])));
    let filler = world.plan().expect("batch 2 can be settled only after a batch 1");
    assert_eq!((filler.batch, filler.words.len(), filler.total.get()), (1, 0, 0));
    world.sign(1);
    let block = world.mine(&filler, &[]);
    world.finalize(1, block);
    world.sign(2);
    let block = world.mine(&second, &[]);
    world.finalize(2, block);
    assert_eq!(world.status(2), Some(ClaimState::Final));
    world.now += 60_000;
    world.submit(Vec::new());
    assert_eq!(world.settle(), [1]);
}

#[test]
fn a_number_given_up_with_nothing_behind_it_waits_for_content() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1]);
    world.plan().unwrap();
    assert!(world.takes(replanned(1, ReplanGround::NeverSigned, &[1])));
    assert_eq!(world.plan(), None);
    let empty = sparse(1, &[]);
    assert!(!world.takes(Body::BatchPlanned(empty)));
    world.decide([5]);
    assert_eq!(world.plan().unwrap().batch, 1);
}

#[test]
fn poison_is_tried_a_bounded_number_of_times() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1]);
    let mut tries = 0;
    while world.plan().is_some() {
        tries += 1;
        assert!(tries < 20, "it is given up at some time");
        assert!(world.takes(replanned(1, ReplanGround::NeverSigned, &[1])));
        world.now += 10_000_000;
        world.submit(Vec::new());
    }
    assert_eq!(tries, sluice_core::limits::SKIP_RETRIES_MAX + 1);
    assert!(matches!(world.status(1), Some(ClaimState::Skipped { retry: false, .. })));
}

#[test]
fn what_a_batch_neither_paid_nor_skipped_is_tried_again_like_a_failed_transfer() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    let mut tries = 0;
    while let Some(plan) = world.plan() {
        tries += 1;
        assert!(tries < 20, "it is given up at some time");
        world.sign(plan.batch);
        // The Distributor passes over what is held there and says nothing.
        let mut mined = world.mined(&plan, &[2]);
        mined.skipped.clear();
        let block = mined.block;
        world.see([Body::BatchMined(mined)]);
        world.finalize(plan.batch, block);
        let waits = tries <= sluice_core::limits::SKIP_RETRIES_MAX;
        assert!(matches!(world.status(2), Some(ClaimState::Skipped { retry, .. }) if retry == waits));
        assert_eq!(world.plan(), None, "not before its time");
        world.now += 10_000_000;
        world.submit(Vec::new());
    }
    assert_eq!(tries, sluice_core::limits::SKIP_RETRIES_MAX + 1);
    assert_eq!(world.balance(Account::Reserved), amount(2).get(), "still reserved");
}

#[test]
fn redirected_and_plain_claims_take_turns() {
    let mut world = World::open(200, RoundMode::Pull);
    for index in 0..150 {
        let claim = world.redirected(index);
        world.submit(vec![Input::Claim(claim)]);
    }
    world.decide(150..160);
    let forms: Vec<bool> = std::iter::from_fn(|| world.plan())
        .map(|plan| matches!(plan.form, BatchForm::Redirected { .. }))
        .collect();
    assert_eq!(forms, [true, false, true, true]);
}

#[test]
fn nothing_of_a_swept_round_is_planned() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 6);
    assert!(world.clone().takes(Body::BatchPlanned(sparse(1, &[3]))), "before the sweep it is payable");
    world.events(campaign(1), vec![ChainEvent::Swept { round: 1, amount: sum(0..10) }]);
    assert!(!world.takes(Body::BatchPlanned(sparse(1, &[3]))));
}

#[test]
fn a_dense_call_pays_its_range_and_no_more_within_the_tree() {
    let dense = |levels, named: Vec<u64>| {
        let form = BatchForm::Dense { round: 1, start: 0, levels };
        Body::BatchPlanned(BatchPlanned { form, ..sparse(1, &named) })
    };
    let mut world = World::open(16, RoundMode::Push);
    world.push(0, 16);
    assert!(
        !world.takes(dense(3, (0..16).collect())),
        "twice the tree's capacity, though all of it is decided"
    );
    assert!(world.takes(dense(2, (0..16).collect())));
    let mut world = World::open(400, RoundMode::Push);
    world.push(0, 400);
    assert!(!world.takes(dense(0, vec![0, 1, 2, 3, 300])), "300 lies in another word");
    assert!(world.takes(dense(0, vec![0, 1, 2, 3])));
}

#[test]
fn a_word_far_outside_the_round_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 10);
    for word in [1, 256, u64::MAX / 256, u64::MAX] {
        let mut plan = sparse(1, &[0]);
        plan.words[0].word = word;
        assert!(!world.takes(Body::BatchPlanned(plan)), "{word}");
    }
}
