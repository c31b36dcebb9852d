//! Holds: what they stop, what comes too late, who confirms, renews and ends them, and how much one institution may hold.

use sluice_core::command::{Action, HoldTarget, RoundMode};
use sluice_core::decide::{Input, Listed};
use sluice_core::ids::{EntitlementId, Seq};
use sluice_core::limits::{GROUP_BYTES_MAX, HOLD_ALONE, HOLD_CONFIRMED, HOLD_ITEMS_MAX, HOLDS_ALONE_MAX};
use sluice_core::log::entry::{Body, Due, HoldPlaced, Outcome};
use sluice_core::refusal::Code;
use sluice_core::state::status::ClaimState;

use crate::institutions::{hold_of, hold_person, institution, person};
use crate::world::{World, campaign, words};

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

fn place(world: &mut World, by: &[u8], action: Action) -> (Seq, HoldPlaced) {
    match world.order(by, action) {
        (at, Outcome::Held(placed)) => (at, placed),
        other => panic!("{other:?}"),
    }
}

fn held(world: &World) -> Vec<u64> {
    world.known().held.keys().map(|id| id.index).collect()
}

fn until(world: &World, hold: Seq) -> u64 {
    world.state().holds[&hold].until
}

#[test]
fn a_hold_before_the_batch_stops_the_payment_and_one_after_names_the_batch() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([1, 2]);
    let (_, early) = place(&mut world, &[1], hold_of(&[1]));
    assert!(early.in_flight.is_empty());
    let plan = world.plan().unwrap();
    assert_eq!(plan.words, words(1, [2]), "what is held is not planned");
    assert_eq!(world.status(1), Some(ClaimState::Held));
    let (_, late) = place(&mut world, &[2], hold_of(&[2, 3]));
    assert_eq!(late.in_flight, [(EntitlementId { round: 1, index: 2 }, campaign(1), plan.batch)]);
    world.sign(plan.batch);
    let block = world.mine(&plan, &[]);
    world.finalize(plan.batch, block);
    assert_eq!(world.status(2), Some(ClaimState::Final), "it came too late for this one");
    world.decide([3]);
    assert_eq!(world.status(3), Some(ClaimState::Held), "a claim on what is held is decided");
    assert_eq!(world.plan(), None);
}

#[test]
fn a_hold_on_the_whole_campaign_names_the_batches_that_may_still_pay() {
    let mut world = World::open(10, RoundMode::Pull);
    let whole = || Action::Hold { target: HoldTarget::Campaign { campaign: campaign(1) } };
    let (hold, none) = place(&mut world, &[1, 2], whole());
    assert_eq!(none.batches, []);
    world.order(&[1, 2], Action::Release { hold });
    world.decide([1, 2]);
    let first = world.plan().unwrap();
    world.sign(first.batch);
    let block = world.mine(&first, &[]);
    world.decide([3]);
    let second = world.plan().unwrap();
    let (_, placed) = place(&mut world, &[1, 2], whole());
    assert_eq!(
        placed.batches,
        [(first.batch, 2), (second.batch, 1)],
        "a mined block may still be reorganised"
    );
    assert_eq!(placed.in_flight, []);
    world.finalize(first.batch, block);
    let (_, later) = place(&mut world, &[1, 2], whole());
    assert_eq!(later.batches, [(second.batch, 1)]);
}

#[test]
fn hold_and_plan_in_one_group_are_ordered_by_position() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1]);
    let planned = Body::BatchPlanned(world.clone().plan().unwrap());
    let hold = world.by(&[1], hold_of(&[1]));
    let mut hold_first = world.clone();
    let bodies = hold_first.submit(vec![Input::Command(hold.clone()), Input::Observed(planned.clone())]);
    assert!(matches!(bodies[..], [Body::Ordered(_)]), "the plan was overtaken: {bodies:?}");
    let bodies = world.submit(vec![Input::Observed(planned), Input::Command(hold)]);
    let Body::Ordered(ordered) = &bodies[1] else { panic!() };
    assert!(matches!(&ordered.outcome, Outcome::Held(placed) if placed.in_flight.len() == 1));
}

#[test]
fn a_batch_given_up_is_planned_again_without_what_was_held_meanwhile() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2]);
    let plan = world.plan().unwrap();
    world.order(&[1], hold_of(&[1]));
    world.see([Body::BatchReplanned(sluice_core::log::entry::BatchReplanned {
        campaign: campaign(1),
        batch: plan.batch,
        because: sluice_core::log::entry::ReplanGround::NeverSigned,
        poison: Vec::new(),
    })]);
    assert_eq!(world.plan().unwrap().words, words(1, [2]));
}

#[test]
fn an_entitlement_under_two_holds_is_released_when_both_end() {
    let mut world = World::open(60, RoundMode::Push);
    world.decide([3]);
    let (first, _) = place(&mut world, &[1], hold_of(&[3]));
    let (second, placed) = place(&mut world, &[2], hold_person(3));
    assert_eq!(placed.covers.iter().map(|c| c.entitlement.index).collect::<Vec<_>>(), [3, 53]);
    world.order(&[1], Action::Release { hold: first });
    assert_eq!(held(&world), [3, 53]);
    assert_eq!(world.plan(), None);
    world.order(&[2], Action::Release { hold: second });
    assert!(held(&world).is_empty());
    assert_eq!(world.settle(), [3]);
}

#[test]
fn both_orders_of_a_hold_on_a_person_and_a_publication_cover_the_same() {
    let of = |hold_first: bool| {
        let mut world = World::open(60, RoundMode::Push);
        let terms = world.terms(campaign(1), 2, 60, RoundMode::Push);
        let hold = world.by(&[1], hold_person(3));
        let publish = world.by(&[1, 2], Action::Publish(terms));
        let mut both = [hold, publish];
        if !hold_first {
            both.reverse();
        }
        let (bodies, again) = world.submit_all(both.iter().cloned().map(Input::Command).collect());
        assert_eq!((bodies.len(), again), (1, 1), "the second looks again");
        world.reverify(&mut both[1]);
        world.submit(vec![Input::Command(both[1].clone())]);
        world.known().held.keys().copied().collect::<Vec<_>>()
    };
    let id = |round, index| EntitlementId { round, index };
    let both = [id(1, 3), id(1, 53), id(2, 3), id(2, 53)];
    assert_eq!((of(true), of(false)), (both.to_vec(), both.to_vec()));
}

#[test]
fn a_hold_that_ended_covers_no_round_announced_with_it_in_mind() {
    let mut world = World::open(60, RoundMode::Push);
    let (hold, _) = place(&mut world, &[1], hold_person(3));
    let terms = world.terms(campaign(1), 2, 60, RoundMode::Push);
    let mut publish = world.by(&[1, 2], Action::Publish(terms));
    world.order(&[1], Action::Release { hold });
    let (bodies, again) = world.submit_all(vec![Input::Command(publish.clone())]);
    assert_eq!((bodies.len(), again), (0, 1));
    world.reverify(&mut publish);
    assert!(
        matches!(&world.submit(vec![Input::Command(publish)])[..], [Body::RoundPublished(p)] if p.held.is_empty())
    );
}

#[test]
fn what_the_engine_names_twice_is_held_once_and_released_whole() {
    let mut world = World::open(60, RoundMode::Push);
    let mut hold = world.by(&[1], hold_person(3));
    let Listed::Covered { items, .. } = &mut hold.verdict.as_mut().unwrap().listed else { panic!() };
    items.reverse();
    items.extend(items.clone());
    let (at, outcome) = world.done(hold);
    assert!(matches!(outcome, Outcome::Held(placed) if placed.covers.len() == 2));
    let terms = world.terms(campaign(1), 2, 60, RoundMode::Push);
    let mut publish = world.by(&[1, 2], Action::Publish(terms));
    let Listed::Round { held: listed, .. } = &mut publish.verdict.as_mut().unwrap().listed else { panic!() };
    listed.extend(listed.clone());
    assert!(
        matches!(&world.submit(vec![Input::Command(publish)])[..], [Body::RoundPublished(p)] if p.held.len() == 2)
    );
    world.order(&[1], Action::Release { hold: at });
    assert!(held(&world).is_empty());
}

#[test]
fn one_institution_holds_so_many_in_72_hours_and_more_takes_the_threshold() {
    let mut world = World::open(1_000, RoundMode::Pull);
    let range = |from: u64, n: u64| hold_of(&(from..from + n).collect::<Vec<_>>());
    place(&mut world, &[1], range(0, HOLDS_ALONE_MAX - 1));
    assert_eq!(world.refused(&[1], range(300, 2)), Some(Code::HoldLimit));
    let (two, one) = (world.by(&[1], range(300, 1)), world.by(&[1], range(302, 1)));
    let bodies = world.submit(vec![Input::Command(two), Input::Command(one)]);
    assert!(matches!(bodies[0], Body::Ordered(_)));
    assert_eq!(
        crate::world::refusal(&bodies[1]),
        Some(Code::HoldLimit),
        "they are counted one after another"
    );
    place(&mut world, &[2], range(400, 10));
    place(&mut world, &[1, 2], range(500, 300));
    assert_eq!(world.state().hold_use[&institution(1)].held, HOLDS_ALONE_MAX, "what M hold is not counted");
    let mandate = world.mandate(1);
    let by_mandate = world.under(mandate, 1, range(900, 1));
    assert_eq!(world.code(by_mandate), Some(Code::HoldLimit), "a mandate does not make it many");
    world.now += millis(HOLD_ALONE) - 1;
    world.submit(Vec::new());
    assert_eq!(world.refused(&[1], range(901, 1)), Some(Code::HoldLimit), "it has not rested long enough");
    world.now += 1;
    world.submit(Vec::new());
    assert_eq!(world.refused(&[1], range(0, 10)), Some(Code::HoldLimit), "it held these alone before");
    place(&mut world, &[1], range(901, 10));
    assert_eq!(world.state().hold_use[&institution(1)].held, 10, "it rested");
}

#[test]
fn a_hold_ends_by_itself_unless_another_institution_confirms_it() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([1]);
    let (hold, placed) = place(&mut world, &[1], hold_of(&[1]));
    assert_eq!(placed.until, world.now + millis(HOLD_ALONE));
    let confirm = Action::ConfirmHold { hold };
    assert_eq!(world.refused(&[1], confirm.clone()), Some(Code::SameAuthority));
    let mut alone = world.clone();
    alone.now = placed.until - 1;
    assert!(alone.submit(Vec::new()).is_empty());
    alone.now = placed.until;
    assert_eq!(alone.submit(Vec::new()), [Body::Due(Due::HoldEnds { hold })]);
    assert_eq!(alone.refused(&[2], confirm.clone()), Some(Code::UnknownHold));
    assert_eq!(alone.settle(), [1]);

    world.now += 1_000;
    world.order(&[2], confirm.clone());
    let confirmed = world.now + millis(HOLD_CONFIRMED);
    assert_eq!(until(&world, hold), confirmed);
    assert_eq!(world.refused(&[3], confirm), Some(Code::SameAuthority), "it is confirmed once");
    world.now = placed.until;
    assert!(world.submit(Vec::new()).is_empty());
    world.now += 1;
    let renew = Action::RenewHold { hold };
    assert_eq!(
        world.refused(&[1, 2], renew.clone()),
        Some(Code::QuorumMissing),
        "renewal takes three quarters"
    );
    world.order(&[1, 2, 3], renew);
    assert_eq!(until(&world, hold), world.now + millis(HOLD_CONFIRMED));
}

#[test]
fn who_signs_beside_the_placer_has_confirmed_it() {
    let mut world = World::open(10, RoundMode::Push);
    let (hold, placed) = place(&mut world, &[1, 2], hold_of(&[1]));
    assert_eq!(placed.until, world.now + millis(HOLD_CONFIRMED));
    assert_eq!(world.state().holds[&hold].confirmed_by, Some(institution(2)));
    assert_eq!(world.refused(&[3], Action::ConfirmHold { hold }), Some(Code::SameAuthority));
}

#[test]
fn nobody_confirms_in_the_name_of_an_office_without_a_mandate() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let (hold, _) = place(&mut world, &[1], hold_of(&[1]));
    assert_eq!(world.refused(&[8, 1], Action::ConfirmHold { hold }), Some(Code::MandateMissing));
    let mandate = world.mandate(8);
    let confirm = world.under(mandate, 8, Action::ConfirmHold { hold });
    assert_eq!(world.code(confirm), None);
}

#[test]
fn its_placer_or_three_quarters_release_a_hold() {
    let mut world = World::open(10, RoundMode::Push);
    let (hold, _) = place(&mut world, &[1], hold_of(&[1]));
    for by in [&[2][..], &[2, 3]] {
        assert_eq!(world.refused(by, Action::Release { hold }), Some(Code::NotPlacer), "{by:?}");
    }
    let mut by_three = world.clone();
    by_three.order(&[2, 3, 1], Action::Release { hold });
    world.order(&[1], Action::Release { hold });
    assert_eq!(world.refused(&[1], Action::Release { hold }), Some(Code::UnknownHold));
}

#[test]
fn a_release_signed_before_a_confirmation_is_stale() {
    let mut world = World::open(10, RoundMode::Push);
    let (hold, _) = place(&mut world, &[1], hold_of(&[1]));
    let release = world.by(&[1], Action::Release { hold });
    let by_three = world.by(&[1, 2, 3], Action::Release { hold });
    let (changed, _) = world.order(&[2], Action::ConfirmHold { hold });
    let Body::CommandRefused(refused) = &world.submit(vec![Input::Command(by_three)])[0] else { panic!() };
    assert_eq!((refused.code, refused.changed_at), (Code::Stale, Some(changed)));
    assert_eq!(world.code(release), Some(Code::NotPlacer), "what a second one confirmed no single one ends");
}

#[test]
fn a_hold_on_a_campaign_stops_planning_and_not_deciding_and_one_alone_does_not_end_it() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([1]);
    let target = HoldTarget::Campaign { campaign: campaign(1) };
    let (hold, _) = place(&mut world, &[1, 2], Action::Hold { target });
    assert_eq!(world.status(1), Some(ClaimState::Held));
    world.decide([2]);
    assert!(matches!(world.push(3, 5), Body::Pushed(_)));
    assert_eq!(world.plan(), None);
    assert_eq!(world.refused(&[1], Action::Release { hold }), Some(Code::NotPlacer));
    world.order(&[2, 3], Action::Release { hold });
    assert_eq!(world.settle(), [1, 2, 3, 4]);
}

#[test]
fn a_hold_names_what_exists_and_is_owed() {
    let mut world = World::open(10, RoundMode::Push);
    for wrong in [&[2, 1][..], &[1, 1], &[10], &[]] {
        assert_eq!(world.refused(&[1], hold_of(wrong)), Some(Code::BadRange), "{wrong:?}");
    }
    world.decide([1]);
    world.settle();
    world.void(vec![2]);
    assert_eq!(world.refused(&[1], hold_of(&[1, 2])), Some(Code::AlreadyPaid));
    let (_, placed) = place(&mut world, &[1], hold_of(&[1, 2, 3]));
    assert_eq!(placed.covers.len(), 1);
    let mut elsewhere = world.by(&[1], hold_of(&[4]));
    let Listed::Covered { items, .. } = &mut elsewhere.verdict.as_mut().unwrap().listed else { panic!() };
    items[0].entitlement.index = 5;
    assert_eq!(world.submit_all(vec![Input::Command(elsewhere)]).1, 1, "not what the command names");
    let mut ahead = world.by(&[1], hold_person(5));
    let seq = world.state().seq;
    let Listed::Covered { as_of, .. } = &mut ahead.verdict.as_mut().unwrap().listed else { panic!() };
    *as_of = seq + 1;
    assert_eq!(world.submit_all(vec![Input::Command(ahead)]).1, 1, "a position that was not reached");
    assert_eq!(
        world.state().holds.values().filter(|h| h.target == HoldTarget::Person { person: person(5) }).count(),
        0
    );
}

#[test]
fn a_group_takes_no_more_demands_than_an_append_can_carry_and_hands_back_the_others_in_their_order() {
    let count = HOLD_ITEMS_MAX as u64;
    let mut world = World::open(count, RoundMode::Push);
    let target = |world: &World| HoldTarget::Entitlements {
        campaign: world.known().terms.campaign,
        round: 1,
        indexes: (0..count).collect(),
    };
    let mut inputs = Vec::new();
    for _ in 0..40 {
        let target = target(&world);
        inputs.push(world.command(Action::Hold { target }));
    }
    let wanted: Vec<_> = inputs.iter().map(|input| input.intake().unwrap()).collect();
    let (mut answered, mut groups) = (Vec::new(), 0);
    while !inputs.is_empty() {
        let group = world.decider.group(inputs, world.now).unwrap();
        let bytes: usize = group.encoded.iter().map(Vec::len).sum();
        let last = group.encoded.last().map_or(0, Vec::len);
        assert!(bytes - last < GROUP_BYTES_MAX, "{bytes} bytes");
        assert_eq!(group.again.len(), 0);
        assert!(group.entries.iter().all(|entry| matches!(entry.body, Body::Ordered(_))));
        answered.extend(group.entries.iter().filter_map(|entry| entry.body.intake()));
        (inputs, groups) = (group.rest, groups + 1);
    }
    assert_eq!(answered, wanted);
    assert!(groups > 1);
}
