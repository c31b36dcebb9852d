//! Pauses, limits and corrections.

use sluice_core::amount::Total;
use sluice_core::command::{Action, RoundMode};
use sluice_core::decide::{Input, Listed};
use sluice_core::ids::EntitlementId;
use sluice_core::limits::{PAUSE_ALONE, PAUSE_MAX};
use sluice_core::log::entry::{Body, ChainEvent, Due};
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account;

use crate::world::{World, amount, campaign, refusal, sum};

const HOUR: u64 = 3_600_000;

fn pause(until: u64) -> Action {
    Action::Pause { campaign: campaign(1), until }
}

fn resume() -> Action {
    Action::Resume { campaign: campaign(1) }
}

fn claimed(world: &mut World, index: u64) -> Option<Code> {
    let claim = world.claim(index);
    refusal(&world.submit(vec![Input::Claim(claim)])[0])
}

#[test]
fn a_pause_stops_deciding_and_planning_until_its_time_or_its_end() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([1]);
    let until = world.now + HOUR;
    world.order(&[1], pause(until));
    assert_eq!(
        (claimed(&mut world, 2), refusal(&world.push(3, 4))),
        (Some(Code::Paused), Some(Code::Paused))
    );
    assert_eq!(world.plan(), None);
    assert_eq!(world.refused(&[2], resume()), Some(Code::QuorumMissing));
    let mut resumed = world.clone();
    resumed.order(&[1], resume());
    assert_eq!(resumed.refused(&[1], resume()), Some(Code::QuorumMissing), "there is none of its own");
    assert_eq!(resumed.refused(&[1, 2], resume()), Some(Code::Stale));
    assert_eq!(resumed.settle(), [1]);
    world.now = until;
    assert_eq!(world.submit(Vec::new()), [Body::Due(Due::PauseEnds { campaign: campaign(1) })]);
    assert_eq!(claimed(&mut world, 2), None);
}

#[test]
fn one_institution_pauses_for_24_hours_in_all_and_m_for_longer() {
    let mut world = World::open(10, RoundMode::Push);
    let (day, most) = (PAUSE_ALONE.as_millis() as u64, PAUSE_MAX.as_millis() as u64);
    let now = world.now;
    assert_eq!(world.refused(&[1], pause(now + day + 1)), Some(Code::PauseTooLong));
    assert_eq!(world.refused(&[1], pause(now)), Some(Code::PauseTooLong), "it ends before it begins");
    assert_eq!(world.refused(&[1, 2], pause(now + most + 1)), Some(Code::PauseTooLong));
    world.order(&[1], pause(now + day));
    world.now += 20 * HOUR;
    world.order(&[1], resume());
    let now = world.now;
    assert_eq!(world.refused(&[1], pause(now + 4 * HOUR + 1)), Some(Code::PauseTooLong), "20 of 24 are used");
    world.order(&[1], pause(now + HOUR));
    assert_eq!(world.refused(&[1], pause(now + 4 * HOUR + 1)), Some(Code::PauseTooLong));
    world.order(&[1], pause(now + 4 * HOUR));
    world.now = now + 4 * HOUR;
    world.submit(Vec::new());
    assert_eq!(world.refused(&[1], pause(world.now + 1)), Some(Code::PauseTooLong), "all of it is used");
    world.order(&[2], pause(world.now + day));
    world.order(&[1, 2], pause(world.now + most));
}

#[test]
fn one_institution_cuts_no_other_s_pause_short_and_none_of_m() {
    let mut world = World::open(10, RoundMode::Push);
    let now = world.now;
    world.order(&[1], pause(now + 10 * HOUR));
    assert_eq!(world.refused(&[2], pause(now + HOUR)), Some(Code::Paused));
    assert_eq!(world.refused(&[1], pause(now + HOUR)), Some(Code::Paused), "it resumes instead");
    world.order(&[2], pause(now + 11 * HOUR));
    assert_eq!(world.refused(&[1], resume()), Some(Code::QuorumMissing));
    world.order(&[1, 2], pause(now + 100 * HOUR));
    assert_eq!(world.refused(&[1], pause(now + 12 * HOUR)), Some(Code::Paused));
    assert_eq!(world.refused(&[1], resume()), Some(Code::QuorumMissing), "what M paused M resume");
    world.order(&[3, 2], resume());
    assert_eq!(claimed(&mut world, 1), None);
    assert!(world.known().paused_alone.values().all(|used| *used == 0), "{:?}", world.known().paused_alone);
}

#[test]
fn claims_and_pushes_keep_within_the_campaign_s_limit() {
    let mut world = World::open(10, RoundMode::Push);
    let limit = |limit| Action::SetLimit { campaign: campaign(1), limit };
    world.order(&[1, 2], limit(Some(sum(0..3))));
    let claims = [0, 1, 2, 3].map(|index| Input::Claim(world.claim(index)));
    let bodies = world.submit(claims.into());
    let refused: Vec<_> = bodies.iter().map(refusal).collect();
    assert_eq!(refused, [None, None, None, Some(Code::LimitReached)], "in one group, too");
    assert_eq!(refusal(&world.push(0, 4)), Some(Code::LimitReached));
    world.void(vec![2]);
    assert_eq!(world.known().decided.total, sum(0..2), "what is annulled leaves room");
    world.order(&[1, 2], limit(Some(Total(0))));
    assert_eq!(claimed(&mut world, 4), Some(Code::LimitReached), "a lower one holds from then on");
    world.order(&[1, 2], limit(None));
    assert!(matches!(world.push(0, 10), Body::Pushed(_)));
    assert_eq!(world.known().decided.total, sum((0..10).filter(|i| *i != 2)));
}

#[test]
fn what_is_paid_although_annulled_counts_again() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    let plan = world.plan().unwrap();
    world.sign(plan.batch);
    world.void(vec![1, 2]);
    assert_eq!(world.known().decided.total, Total::ZERO);
    let block = world.mine(&plan, &[2]);
    world.finalize(plan.batch, block);
    assert_eq!(world.known().decided.total, sum([1]));
    let paid = world.paid_event(1, 2);
    world.events(campaign(1), vec![paid]);
    assert_eq!(world.known().decided.total, sum([1, 2]));
    let paid = world.paid_event(1, 3);
    world.events(campaign(1), vec![paid]);
    assert_eq!(world.known().decided.total, sum([1, 2]), "nobody here decided this one");
    world.balanced();
}

fn correction(world: &World, count: u64) -> Action {
    let round = world.known().next_round();
    let mut terms = world.terms(campaign(1), round, count, RoundMode::Push);
    terms.supersedes = 1;
    Action::Publish(terms)
}

fn void_on_chain(world: &mut World, index: u64) {
    let id = EntitlementId { round: 1, index };
    world.events(campaign(1), vec![ChainEvent::Voided { items: vec![(id, amount(index))] }]);
}

#[test]
fn a_correction_waits_until_all_it_repeats_is_finally_annulled_and_was_not_paid() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([0]);
    world.void(vec![0, 1]);
    let both = correction(&world, 2);
    assert_eq!(
        world.refused(&[1, 2], both.clone()),
        Some(Code::CorrectionEarly),
        "annulled in the log alone"
    );
    void_on_chain(&mut world, 0);
    assert_eq!(world.refused(&[1, 2], both.clone()), Some(Code::CorrectionEarly), "one is missing");
    let id = EntitlementId { round: 1, index: 1 };
    let mined = vec![ChainEvent::Voided { items: vec![(id, amount(1))] }];
    let block = world.events_mined(campaign(1), mined);
    assert_eq!(
        world.refused(&[1, 2], both.clone()),
        Some(Code::CorrectionEarly),
        "its void may be taken back"
    );
    world.events_final(campaign(1), block);
    let command = world.by(&[1, 2], both);
    let Body::RoundPublished(published) = &world.submit(vec![Input::Command(command)])[0] else { panic!() };
    assert_eq!(published.corrects.len(), 2, "the entry says what it repeats");
}

#[test]
fn what_was_paid_is_never_repeated() {
    let mut world = World::open(10, RoundMode::Push);
    let paid = world.paid_event(1, 0);
    world.events(campaign(1), vec![paid]);
    let repeat = correction(&world, 1);
    assert_eq!(world.refused(&[1, 2], repeat.clone()), Some(Code::CorrectionEarly));
    world.events(campaign(1), vec![ChainEvent::Swept { round: 1, amount: Total(1) }]);
    assert_eq!(world.refused(&[1, 2], repeat), Some(Code::CorrectionEarly));
}

#[test]
fn a_round_that_can_pay_no_more_is_corrected_without_annulments() {
    let mut world = World::open(10, RoundMode::Push);
    world.events(campaign(1), vec![ChainEvent::Swept { round: 1, amount: sum(0..10) }]);
    let repeat = correction(&world, 3);
    assert_eq!(world.refused(&[1, 2], repeat), None);
    let mut cancelled = World::new();
    cancelled.create(campaign(1));
    cancelled.publish(campaign(1), 10, RoundMode::Push);
    let repeat = correction(&cancelled, 3);
    assert_eq!(cancelled.refused(&[1, 2], repeat.clone()), Some(Code::CorrectionEarly));
    cancelled.events(campaign(1), vec![ChainEvent::Cancelled { round: 1 }]);
    assert_eq!(cancelled.refused(&[1, 2], repeat), None);
}

#[test]
fn a_correction_names_an_earlier_round_and_its_entitlements() {
    let mut world = World::open(10, RoundMode::Push);
    let mut terms = world.terms(campaign(1), 2, 10, RoundMode::Push);
    for round in [2, 3, 9] {
        terms.supersedes = round;
        let command = Action::Publish(terms.clone());
        assert_eq!(world.refused(&[1, 2], command), Some(Code::UnknownRound), "{round}");
    }
    for index in 0..2 {
        void_on_chain(&mut world, index);
    }
    let wrong = |supersedes: u64, ids: &[(u64, u64)]| {
        let mut world = world.clone();
        let mut terms = world.terms(campaign(1), 2, 10, RoundMode::Push);
        terms.supersedes = supersedes;
        let mut command = world.by(&[1, 2], Action::Publish(terms));
        let Listed::Round { corrects, .. } = &mut command.verdict.as_mut().unwrap().listed else { panic!() };
        *corrects = ids.iter().map(|(round, index)| EntitlementId { round: *round, index: *index }).collect();
        world.code(command)
    };
    assert_eq!(wrong(0, &[(1, 0)]), Some(Code::BadRange), "no correction repeats nothing");
    assert_eq!(wrong(1, &[(1, 1), (1, 0)]), Some(Code::BadRange));
    assert_eq!(wrong(1, &[(1, 0), (1, 0)]), Some(Code::BadRange));
    assert_eq!(wrong(1, &[(2, 0)]), Some(Code::BadRange));
    assert_eq!(wrong(1, &[(1, 10)]), Some(Code::BadRange));
    assert_eq!(wrong(1, &[(1, 0), (1, 1)]), None);
    assert_eq!(world.balance(Account::Voided), sum(0..2).get());
}

#[test]
fn what_the_chain_annulled_before_the_announcement_may_be_corrected() {
    let mut world = World::new();
    world.create(campaign(1));
    let word = crate::world::words(1, [0, 1])[0];
    world.events(campaign(1), vec![ChainEvent::VoidedUnannounced { word }]);
    world.publish(campaign(1), 10, RoundMode::Push);
    let (early, good) = (correction(&world, 3), correction(&world, 2));
    assert_eq!(world.refused(&[1, 2], early), Some(Code::CorrectionEarly));
    assert_eq!(world.refused(&[1, 2], good), None);
}
