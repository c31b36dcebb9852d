//! State's own checks with the outer guards off: entries that no decision made are refused by `apply`, and the same
//! thing as an input is refused by `decide`.

use sluice_core::amount::Total;
use sluice_core::command::RoundMode;
use sluice_core::decide::{Decision, Input, decide};
use sluice_core::ids::StreamId;
use sluice_core::limits::SHARD;
use sluice_core::log::entry::{BatchFinal, BatchPlanned, Body, ChainEvent, Due, Entry, EventsMined};
use sluice_core::refusal::Code;
use sluice_core::state::apply::ApplyError;

use crate::world::{World, amount, campaign, refusal, sum};

/// Puts a body at the next position, past `decide`.
fn force(world: &World, body: Body) -> Result<(), ApplyError> {
    let mut state = world.state().clone();
    let entry = Entry {
        stream: state.stream,
        seq: state.seq + 1,
        epoch: state.epoch,
        recorded_at: state.recorded_at,
        body,
    };
    state.apply(&entry).map(|_| ())
}

fn why(world: &World, body: Body) -> &'static str {
    force(world, body).unwrap_err().why
}

/// What `decide` makes of a claim, and the same claim as decided in a world where nothing stood against it.
fn decided_elsewhere(world: &World, index: u64) -> Body {
    let mut other = World::open(10, RoundMode::Push);
    let mut claim = other.claim(index);
    claim.key.n = 1_000_000 + world.state().seq;
    let Decision::Entry(body) = decide(other.state(), &Input::Claim(claim), other.now) else { panic!() };
    *body
}

#[test]
fn an_entitlement_decided_twice_is_refused_by_state_and_by_decide() {
    let mut world = World::open(10, RoundMode::Push);
    let second = decided_elsewhere(&world, 3);
    force(&world, second.clone()).unwrap();
    world.decide([3]);
    assert_eq!(why(&world, second), "the entitlement was decided before");
    let claim = world.claim(3);
    assert_eq!(refusal(&world.submit(vec![Input::Claim(claim)])[0]), Some(Code::AlreadyDecided));
}

#[test]
fn a_claim_on_a_void_or_paid_entitlement_is_refused_by_state() {
    let mut world = World::open(10, RoundMode::Push);
    world.void(vec![3]);
    assert_eq!(why(&world, decided_elsewhere(&world, 3)), "the entitlement is void");
    let paid = world.paid_event(1, 4);
    world.events(campaign(1), vec![paid]);
    assert_eq!(why(&world, decided_elsewhere(&world, 4)), "the entitlement is paid");
}

#[test]
fn an_intake_row_is_answered_once() {
    let mut world = World::open(10, RoundMode::Push);
    let claim = world.claim(3);
    let first = world.submit(vec![Input::Claim(claim)]).pop().unwrap();
    let Body::ClaimDecided(mut again) = first else { panic!() };
    again.entitlement.index = 4;
    assert_eq!(why(&world, Body::ClaimDecided(again)), "its intake row was answered before");
}

#[test]
fn a_push_whose_counts_are_not_the_states_is_refused() {
    let mut world = World::open(2 * SHARD, RoundMode::Push);
    let before = world.clone();
    let Body::Pushed(good) = world.push(10, SHARD + 10) else { panic!() };
    let mut fewer = good.clone();
    fewer.decided[0].1 -= 1;
    let mut missing = good.clone();
    missing.decided.pop();
    let mut twice = good.clone();
    twice.decided.push(twice.decided[1]);
    let mut outside = good.clone();
    outside.decided.push((7, 0, Total::ZERO));
    let mut turned = good.clone();
    turned.decided.reverse();
    for wrong in [fewer, missing, twice, outside, turned] {
        assert!(force(&before, Body::Pushed(wrong)).is_err());
    }
    force(&before, Body::Pushed(good.clone())).unwrap();
    assert!(force(&world, Body::Pushed(good)).is_err(), "a second time");
}

#[test]
fn a_batch_that_names_what_is_not_payable_is_refused_by_state() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([1, 2]);
    let plan = world.clone().plan().unwrap();
    let again = Body::BatchPlanned(BatchPlanned { batch: plan.batch + 1, ..plan.clone() });
    world.see([Body::BatchPlanned(plan.clone())]);
    assert_eq!(why(&world, again), "the batch names an entitlement that is not payable");
    assert_eq!(why(&world, Body::BatchPlanned(plan)), "the batch number is in use");
}

#[test]
fn a_batch_final_out_of_order_or_twice_is_refused_by_state() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([1]);
    let first = world.plan().unwrap();
    world.decide([2]);
    let second = world.plan().unwrap();
    let (one, two) = (world.mine(&first, &[]), world.mine(&second, &[]));
    let of = |batch, block| {
        Body::BatchFinal(BatchFinal { campaign: campaign(1), batch, block, void_paid: Vec::new() })
    };
    assert_eq!(why(&world, of(2, two)), "an earlier batch is not final");
    assert_eq!(why(&world, of(1, two)), "the batch was not mined there");
    world.finalize(1, one);
    assert!(force(&world, of(1, one)).is_err());
    world.void(vec![2]);
    assert_eq!(why(&world, of(2, two)), "the amount of a voided payment is missing");
}

#[test]
fn an_entitlement_paid_twice_on_chain_stops_the_node() {
    let mut world = World::open(10, RoundMode::Push);
    let paid = world.paid_event(1, 3);
    world.events(campaign(1), vec![paid.clone()]);
    let block = world.events_mined(campaign(1), vec![paid]);
    let body = world.events_final_of(campaign(1), block);
    assert_eq!(why(&world, body.clone()), "the entitlement is paid already");
    assert!(world.decider.group(vec![Input::Observed(body)], world.now).is_err());
}

#[test]
fn a_block_is_recorded_once_by_state() {
    let mut world = World::open(10, RoundMode::Push);
    let block = world.events_mined(campaign(1), vec![ChainEvent::Funded { amount: Total(1) }]);
    let again = Body::EventsMined(EventsMined { campaign: campaign(1), block, events: Vec::new() });
    assert_eq!(why(&world, again.clone()), "events of this height are recorded already");
    world.events_final(campaign(1), block);
    assert_eq!(why(&world, again), "events of this height are final already");
}

#[test]
fn an_entry_out_of_place_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([1]);
    let last = world.log.last().unwrap().clone();
    let next = Entry { seq: last.seq + 1, body: Body::ChainCursor(cursor(&world)), ..last };
    let mut epoch = next.clone();
    epoch.epoch = 0;
    let mut time = next.clone();
    time.recorded_at -= 1;
    let mut stream = next.clone();
    stream.stream = StreamId(2);
    let mut gap = next.clone();
    gap.seq += 1;
    let mut again = next.clone();
    again.seq -= 1;
    for wrong in [epoch, time, stream, gap, again] {
        assert!(world.state().clone().apply(&wrong).is_err());
    }
    world.state().clone().apply(&next).unwrap();
}

fn cursor(world: &World) -> sluice_core::log::entry::ChainCursor {
    let Body::ChainCursor(cursor) = world.cursor(Vec::new()) else { panic!() };
    cursor
}

#[test]
fn what_was_never_scheduled_does_not_fall_due() {
    let world = World::open(10, RoundMode::Push);
    assert_eq!(
        why(&world, Body::Due(Due::RoundCloses { campaign: campaign(1), round: 2 })),
        "nothing of the kind was due"
    );
}

#[test]
fn a_round_without_its_shards_is_refused_by_state() {
    let mut world = World::open(10, RoundMode::Push);
    let before = world.clone();
    world.publish(campaign(1), 10, RoundMode::Push);
    let Body::RoundPublished(mut round) = world.log.last().unwrap().body.clone() else { panic!() };
    round.shard_totals = vec![sum(0..5), amount(6).into()];
    assert_eq!(why(&before, Body::RoundPublished(round)), "the round's shards do not match its count");
}
