//! Commands: quorum, freshness, set version, and pushes whose sums equal brute force.

use std::collections::BTreeSet;

use sluice_core::amount::Total;
use sluice_core::command::{Action, RoundMode};
use sluice_core::decide::{Input, Listed, VerifiedCommand};
use sluice_core::limits::SHARD;
use sluice_core::log::entry::{Body, ChainEvent};
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account;

use crate::world::{CLOSES, World, amount, campaign, refusal, sum};

fn signed(world: &mut World, action: Action) -> VerifiedCommand {
    world.signed(action)
}

fn code(world: &mut World, command: VerifiedCommand) -> Option<Code> {
    let bodies = world.submit(vec![Input::Command(command)]);
    assert_eq!(bodies.len(), 1);
    refusal(&bodies[0])
}

fn push(from: u64, to: u64) -> Action {
    Action::Push { campaign: campaign(1), round: 1, from, to }
}

fn void(indexes: &[u64]) -> Action {
    Action::Void { campaign: campaign(1), round: 1, indexes: indexes.to_vec() }
}

#[test]
fn a_void_and_a_publication_need_the_threshold_and_a_push_one_institution() {
    let mut world = World::open(10, RoundMode::Push);
    assert_eq!(world.refused(&[1], void(&[1])), Some(Code::QuorumMissing));
    let terms = world.terms(campaign(1), 2, 10, RoundMode::Push);
    assert_eq!(world.refused(&[1], Action::Publish(terms)), Some(Code::QuorumMissing));
    assert_eq!(world.refused(&[], push(0, 1)), Some(Code::QuorumMissing));
    assert_eq!(world.refused(&[1], push(0, 1)), None);
}

#[test]
fn what_verification_found_is_said_and_binds_the_command() {
    let mut world = World::open(10, RoundMode::Push);
    for found in [Code::NotAuthorized, Code::BadSignature, Code::NotRegistered, Code::SnapshotMissing] {
        let mut command = signed(&mut world, push(0, 1));
        command.verdict = Err(found);
        let demand = sluice_core::command::Demand::Command(command.command.clone());
        let Body::CommandRefused(entry) = &world.submit(vec![Input::Command(command)])[0] else { panic!() };
        assert_eq!((entry.code, entry.body_hash.0), (found, demand.body_hash()));
    }
}

#[test]
fn a_command_on_a_subject_that_changed_is_refused_with_the_position_of_the_change() {
    let mut world = World::open(10, RoundMode::Push);
    let stale = signed(&mut world, push(5, 6));
    world.void(vec![9]);
    let changed = world.state().seq;
    let Body::CommandRefused(entry) = &world.submit(vec![Input::Command(stale)])[0] else { panic!() };
    assert_eq!((entry.code, entry.changed_at), (Code::Stale, Some(changed)));
    let fresh = signed(&mut world, push(5, 6));
    assert_eq!(code(&mut world, fresh), None);
}

#[test]
fn claims_do_not_make_a_command_stale() {
    let mut world = World::open(10, RoundMode::Push);
    let command = signed(&mut world, push(5, 6));
    world.decide([1, 2]);
    assert_eq!(code(&mut world, command), None);
}

#[test]
fn nobody_signs_for_a_version_that_the_log_has_not_reached() {
    let mut world = World::open(10, RoundMode::Push);
    let mut blank = signed(&mut world, push(0, 1));
    blank.command.subject_version = u64::MAX;
    assert_eq!(code(&mut world, blank), Some(Code::Stale));
}

#[test]
fn a_command_past_its_deadline_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    let mut late = signed(&mut world, push(0, 1));
    late.command.deadline = world.now;
    assert_eq!(code(&mut world, late), Some(Code::Expired));
}

#[test]
fn signatures_checked_under_another_set_version_are_checked_again() {
    let mut world = World::open(10, RoundMode::Push);
    let old = signed(&mut world, push(0, 1));
    let read = world.charter(2);
    world.see([read]);
    let (bodies, again) = world.submit_all(vec![Input::Command(old.clone())]);
    assert_eq!((bodies.len(), again), (0, 1));
    let mut anew = old;
    anew.verdict.as_mut().unwrap().set_version = 2;
    assert_eq!(code(&mut world, anew), None);
}

#[test]
fn an_older_reading_of_the_charter_does_not_replace_a_newer_one() {
    let mut world = World::open(10, RoundMode::Push);
    let old = world.charter(1);
    world.block += 1;
    let new = world.charter(2);
    assert!(world.takes(new));
    assert!(!world.takes(old));
}

#[test]
fn a_campaign_and_a_round_exist_once() {
    let mut world = World::open(10, RoundMode::Push);
    let terms = world.known().terms.clone();
    let same = signed(&mut world, Action::CreateCampaign(terms.clone()));
    assert_eq!(code(&mut world, same), Some(Code::CampaignExists));
    // The queue of its orders is no campaign.
    let mut orders = terms.clone();
    (orders.campaign, orders.distributor.address) =
        (campaign(2).orders(), alloy_primitives::Address::repeat_byte(0x77));
    let orders = signed(&mut world, Action::CreateCampaign(orders));
    assert_eq!(code(&mut world, orders), Some(Code::CampaignExists));
    let mut other_id = terms;
    other_id.campaign = campaign(2);
    let same_distributor = signed(&mut world, Action::CreateCampaign(other_id));
    assert_eq!(code(&mut world, same_distributor), Some(Code::CampaignExists));
    for round in [1, 3] {
        let terms = world.terms(campaign(1), round, 10, RoundMode::Push);
        let wrong = signed(&mut world, Action::Publish(terms));
        assert_eq!(code(&mut world, wrong), Some(Code::RoundExists));
    }
}

#[test]
fn a_round_whose_shards_do_not_sum_up_is_not_announced() {
    let mut world = World::open(10, RoundMode::Push);
    let mut terms = world.terms(campaign(1), 2, 10, RoundMode::Push);
    terms.total = sum(0..11);
    let wrong = signed(&mut world, Action::Publish(terms));
    assert_eq!(code(&mut world, wrong), Some(Code::SnapshotMissing));
    let terms = world.terms(campaign(1), 2, 10, RoundMode::Push);
    let mut wrong = signed(&mut world, Action::Publish(terms));
    wrong.verdict.as_mut().unwrap().listed = Listed::Round {
        shard_totals: vec![sum(0..9), sum([9])],
        ahead: Vec::new(),
        held: Vec::new(),
        as_of: world.state().seq,
        corrects: Vec::new(),
    };
    assert_eq!(code(&mut world, wrong), Some(Code::SnapshotMissing));
}

#[test]
fn a_push_says_why_it_cannot_be() {
    let mut world = World::open(10, RoundMode::Push);
    for (from, to) in [(0, 11), (5, 5), (6, 5), (10, 11)] {
        let wrong = signed(&mut world, push(from, to));
        assert_eq!(code(&mut world, wrong), Some(Code::BadRange), "{from}..{to}");
    }
    world.push(0, 10);
    assert_eq!(refusal(&world.push(2, 5)), Some(Code::AlreadyDecided));
    let unknown = signed(&mut world, Action::Push { campaign: campaign(1), round: 2, from: 0, to: 1 });
    assert_eq!(code(&mut world, unknown), Some(Code::UnknownRound));
    let unknown = signed(&mut world, Action::Push { campaign: campaign(2), round: 1, from: 0, to: 1 });
    assert_eq!(code(&mut world, unknown), Some(Code::UnknownCampaign));

    let mut pull = World::open(10, RoundMode::Pull);
    assert_eq!(refusal(&pull.push(0, 1)), Some(Code::WrongMode));
    let mut closed = World::open(10, RoundMode::Push);
    closed.now = CLOSES * 1_000;
    let input = closed.push_input(0, 1);
    assert_eq!(refusal(closed.submit(vec![input]).last().unwrap()), Some(Code::Closed));
    let mut early = World::new();
    early.create(campaign(1));
    early.publish(campaign(1), 10, RoundMode::Push);
    assert_eq!(refusal(&early.push(0, 1)), Some(Code::NotOpen));
    early.events(campaign(1), vec![ChainEvent::Cancelled { round: 1 }]);
    assert_eq!(refusal(&early.push(0, 1)), Some(Code::UnknownRound));
}

#[test]
fn a_push_that_the_money_does_not_cover_is_refused_whole() {
    let mut world = World::new();
    world.create(campaign(1));
    world.publish(campaign(1), 10, RoundMode::Push);
    world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..5) }]);
    world.open_round(campaign(1), 1);
    assert_eq!(refusal(&world.push(0, 10)), Some(Code::InsufficientFunds));
    assert_eq!(world.balance(Account::Reserved), 0);
    assert!(matches!(world.push(0, 5), Body::Pushed(_)), "a smaller push is still possible");
}

#[test]
fn a_push_over_shard_edges_sums_like_brute_force() {
    let count = 3 * SHARD - 1_000;
    let mut world = World::open(count, RoundMode::Push);
    let mut taken: BTreeSet<u64> = [0, 63, 64, SHARD - 1, SHARD, SHARD + 77, 2 * SHARD + 5, count - 1].into();
    let void: Vec<u64> = taken.iter().copied().filter(|i| i % 2 == 1).collect();
    world.decide(taken.iter().copied().filter(|i| i % 2 == 0).collect::<Vec<_>>());
    world.void(void);
    let ranges = [
        (1, 2),
        (SHARD - 3, SHARD + 3),
        (62, 66),
        (SHARD, 2 * SHARD),
        (2 * SHARD - 1, 2 * SHARD + 1),
        (2 * SHARD, count),
        (100, count),
        (0, count),
    ];
    for (from, to) in ranges {
        let before = world.balance(Account::Reserved);
        let Body::Pushed(pushed) = world.push(from, to) else { panic!("{from}..{to}") };
        let newly: Vec<u64> = (from..to).filter(|i| taken.insert(*i)).collect();
        let brute: Vec<(u32, u32, Total)> = (0..3u64)
            .map(|s| (s as u32, newly.iter().copied().filter(|i| i / SHARD == s).collect::<Vec<_>>()))
            .filter(|(_, newly)| !newly.is_empty())
            .map(|(shard, newly)| (shard, newly.len() as u32, sum(newly)))
            .collect();
        assert_eq!(pushed.decided, brute, "{from}..{to}");
        assert_eq!(world.balance(Account::Reserved) - before, sum(newly).get());
    }
    assert_eq!(taken.len() as u64, count);
    assert_eq!(world.balance(Account::Free), 0, "all of it is decided or void");
}

#[test]
fn a_push_without_the_amounts_of_its_edges_is_verified_again() {
    let mut world = World::open(10, RoundMode::Push);
    let mut blind = signed(&mut world, push(2, 5));
    blind.verdict.as_mut().unwrap().listed = Listed::Edges(Vec::new());
    assert_eq!(world.submit_all(vec![Input::Command(blind)]).1, 1);
    let mut whole = signed(&mut world, push(0, 10));
    whole.verdict.as_mut().unwrap().listed = Listed::Edges(Vec::new());
    assert_eq!(code(&mut world, whole), None, "a whole shard is summed from State");
}

#[test]
fn a_void_names_entitlements_ascending_inside_the_round_and_not_paid() {
    let mut world = World::open(10, RoundMode::Push);
    for wrong in [&[2, 1][..], &[1, 1], &[10], &[]] {
        let command = signed(&mut world, void(wrong));
        assert_eq!(code(&mut world, command), Some(Code::BadRange), "{wrong:?}");
    }
    world.void(vec![1, 2]);
    let Body::Voided(entry) = world.void(vec![2, 3]) else { panic!() };
    assert_eq!(entry.items, [(3, amount(3))], "those already void are left out");
    assert_eq!(refusal(&world.void(vec![2, 3])), Some(Code::Voided));
    world.decide([4]);
    world.settle();
    assert_eq!(refusal(&world.void(vec![4, 5])), Some(Code::AlreadyPaid));
    assert_eq!(world.balance(Account::Voided), sum([1, 2, 3]).get());
    world.balanced();
}

#[test]
fn a_correction_is_paid_from_what_was_annulled() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 10);
    world.void(vec![3]);
    assert_eq!((world.balance(Account::Free), world.balance(Account::Voided)), (0, amount(3).get()));
    world.void_on_chain([3]);
    world.publish(campaign(1), 1, RoundMode::Push);
    world.open_round(campaign(1), 2);
    let correction = signed(&mut world, Action::Push { campaign: campaign(1), round: 2, from: 0, to: 1 });
    assert_eq!(code(&mut world, correction), None);
    assert_eq!(world.balance(Account::Voided), amount(3).get() - amount(0).get());
    assert_eq!(world.balance(Account::Reserved), sum((0..10).filter(|i| *i != 3)).get() + amount(0).get());
    world.balanced();
}

#[test]
fn a_correction_waits_until_the_void_is_final_on_chain() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([3]);
    let plan = world.plan().unwrap();
    world.sign(1);
    world.push(0, 10);
    world.void(vec![3]);
    world.publish(campaign(1), 1, RoundMode::Push);
    world.open_round(campaign(1), 2);
    let second = Action::Push { campaign: campaign(1), round: 2, from: 0, to: 1 };
    let early = signed(&mut world, second.clone());
    assert_eq!(code(&mut world, early), Some(Code::InsufficientFunds), "the original may still be paid");
    let mut lost = world.clone();
    let block = lost.mine(&plan, &[]);
    lost.finalize(1, block);
    assert_eq!((lost.balance(Account::Voided), lost.balance(Account::Paid)), (0, amount(3).get()));
    let never = signed(&mut lost, second.clone());
    assert_eq!(code(&mut lost, never), Some(Code::InsufficientFunds), "the void lost the race");
    lost.balanced();
    world.void_on_chain([3]);
    let now = signed(&mut world, second);
    assert_eq!(code(&mut world, now), None);
    assert_eq!(world.balance(Account::Voided), amount(3).get() - amount(0).get());
    world.balanced();
}
