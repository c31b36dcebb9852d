//! Claims: every refusal code, duplicates, holds, and what a claim's entry carries.

use alloy_primitives::Address;
use sluice_core::command::RoundMode;
use sluice_core::decide::{Input, VerifiedClaim};
use sluice_core::log::entry::{Body, ChainEvent};
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;

use crate::institutions::hold_person;
use crate::world::{CLOSES, World, amount, campaign, refusal, sum};

fn code(world: &mut World, claim: VerifiedClaim) -> Option<Code> {
    let bodies = world.submit(vec![Input::Claim(claim)]);
    assert_eq!(bodies.len(), 1, "whatever has an intake row ends in an entry");
    refusal(&bodies[0])
}

#[test]
fn a_claim_reserves_its_amount_and_says_what_it_rests_on() {
    let mut world = World::open(10, RoundMode::Pull);
    let claim = world.claim(3);
    let Body::ClaimDecided(entry) = &world.submit(vec![Input::Claim(claim.clone())])[0] else { panic!() };
    assert_eq!((entry.intake, entry.id, entry.accepted_at), (claim.key, claim.id, claim.accepted_at));
    assert_eq!(
        (entry.amount, entry.body_hash.0, entry.evidence.set_version),
        (amount(3), claim.body_hash, 1)
    );
    assert_eq!(entry.redirect, None);
    assert_eq!(world.status(3), Some(ClaimState::Decided));
    assert_eq!(world.balance(Account::Reserved), amount(3).get());
    assert_eq!(world.balance(Account::Free), sum(0..10).get() - amount(3).get());
}

#[test]
fn a_refusal_binds_the_demand_it_refuses() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([3]);
    let claim = world.claim(3);
    let Body::ClaimRefused(entry) = &world.submit(vec![Input::Claim(claim.clone())])[0] else { panic!() };
    assert_eq!((entry.body_hash.0, entry.accepted_at), (claim.body_hash, claim.accepted_at));
    assert_eq!((entry.code, entry.evidence.set_version), (Code::AlreadyDecided, 1));
}

#[test]
fn each_refusal_is_reached() {
    let mut world = World::open(10, RoundMode::Pull);
    let mut claim = world.claim(1);
    claim.key.campaign = campaign(9);
    assert_eq!(code(&mut world, claim), Some(Code::UnknownCampaign));
    let mut claim = world.claim(1);
    claim.claim.round = 2;
    assert_eq!(code(&mut world, claim), Some(Code::UnknownRound));
    let claim = world.claim(10);
    assert_eq!(code(&mut world, claim), Some(Code::NotListed));
    for found in [Code::BadSignature, Code::WrongEntitlement, Code::BadRedirect] {
        let mut claim = world.claim(1);
        claim.verdict = Err(found.into());
        assert_eq!(code(&mut world, claim), Some(found), "what verification found is said");
    }
    let mut claim = world.claim(1);
    claim.claim.deadline = world.now / 1_000;
    assert_eq!(code(&mut world, claim), Some(Code::DeadlineTooSoon));

    world.decide([2]);
    let claim = world.claim(2);
    assert_eq!(code(&mut world, claim), Some(Code::AlreadyDecided));
    world.void(vec![3]);
    let claim = world.claim(3);
    assert_eq!(code(&mut world, claim), Some(Code::Voided));
    let paid = world.paid_event(1, 4);
    let block = world.events_mined(campaign(1), vec![paid]);
    let claim = world.claim(4);
    assert_eq!(code(&mut world, claim), Some(Code::PaymentSeen));
    world.events_final(campaign(1), block);
    let claim = world.claim(4);
    assert_eq!(code(&mut world, claim), Some(Code::AlreadyPaid));
    let mut claim = world.claim(5);
    claim.accepted_at = CLOSES * 1_000;
    assert_eq!(code(&mut world, claim), Some(Code::Closed));
}

#[test]
fn a_round_that_is_not_open_decides_nothing() {
    let mut world = World::new();
    world.create(campaign(1));
    world.publish(campaign(1), 10, RoundMode::Pull);
    world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..10) }]);
    let claim = world.claim(1);
    assert_eq!(code(&mut world, claim), Some(Code::NotOpen), "announced");
    let terms = Box::new(world.terms(campaign(1), 1, 10, RoundMode::Pull));
    world.events(campaign(1), vec![ChainEvent::Published { terms }]);
    let claim = world.claim(1);
    assert_eq!(code(&mut world, claim), Some(Code::NotOpen), "published");
    let block = world.events_mined(campaign(1), vec![ChainEvent::Opened { round: 1 }]);
    let claim = world.claim(1);
    assert_eq!(code(&mut world, claim), Some(Code::NotOpen), "its opening is not final");
    world.events_final(campaign(1), block);
    world.decide([1]);
}

#[test]
fn a_gated_round_takes_no_claim_without_its_gate() {
    let (mut world, _) = World::gated(10);
    let claim = world.claim(1);
    assert_eq!(code(&mut world, claim), Some(Code::GateMissing));
}

#[test]
fn missing_money_pauses_the_campaign_until_money_comes() {
    let mut world = World::new();
    world.create(campaign(1));
    world.publish(campaign(1), 10, RoundMode::Push);
    world.events(campaign(1), vec![ChainEvent::Funded { amount: amount(0).into() }]);
    world.open_round(campaign(1), 1);
    let claim = world.claim(1);
    assert_eq!(code(&mut world, claim), Some(Code::InsufficientFunds));
    let claim = world.claim(0);
    assert_eq!(
        code(&mut world, claim),
        Some(Code::InsufficientFunds),
        "paused, although this one is covered"
    );
    assert_eq!(refusal(&world.push(0, 1)), Some(Code::InsufficientFunds));
    world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..10) }]);
    world.decide([1]);
    world.balanced();
}

#[test]
fn of_two_claims_in_one_group_the_first_is_decided() {
    let mut world = World::open(10, RoundMode::Pull);
    let (first, second) = (world.claim(3), world.claim(3));
    let bodies = world.submit(vec![Input::Claim(first), Input::Claim(second)]);
    assert!(matches!(bodies[0], Body::ClaimDecided(_)));
    assert_eq!(refusal(&bodies[1]), Some(Code::AlreadyDecided));
    assert_eq!(world.balance(Account::Reserved), amount(3).get());
}

#[test]
fn a_claim_before_a_push_is_left_out_of_it_and_one_after_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    let (before, push, after) = (world.claim(3), world.push_input(2, 6), world.claim(4));
    let bodies = world.submit(vec![Input::Claim(before), push, Input::Claim(after)]);
    let Body::Pushed(pushed) = &bodies[1] else { panic!("{bodies:?}") };
    assert_eq!(pushed.decided, [(0, 3, sum([2, 4, 5]))]);
    assert_eq!(refusal(&bodies[2]), Some(Code::AlreadyDecided));
    assert_eq!(world.balance(Account::Reserved), sum(2..6).get());
}

#[test]
fn a_claim_after_a_void_in_one_group_is_refused_and_a_push_leaves_it_out() {
    let mut world = World::open(10, RoundMode::Push);
    let (void, claim) = (world.void_input(vec![3]), world.claim(3));
    let bodies = world.submit(vec![void, Input::Claim(claim)]);
    assert!(matches!(bodies[0], Body::Voided(_)));
    assert_eq!(refusal(&bodies[1]), Some(Code::Voided));
    let Body::Pushed(pushed) = world.push(0, 10) else { panic!() };
    assert_eq!(pushed.decided, [(0, 9, sum((0..10).filter(|i| *i != 3)))]);
    world.balanced();
}

#[test]
fn an_answered_row_needs_no_second_entry() {
    let mut world = World::open(10, RoundMode::Pull);
    let claim = world.claim(3);
    let twice = vec![Input::Claim(claim.clone()), Input::Claim(claim.clone())];
    assert_eq!(world.submit(twice).len(), 1);
    assert!(world.submit(vec![Input::Claim(claim)]).is_empty());
}

#[test]
fn an_outdated_verification_is_made_again_and_keeps_its_row() {
    let mut world = World::open(10, RoundMode::Pull);
    let mut claim = world.claim(3);
    claim.verdict.as_mut().unwrap().valid_until = world.now;
    let (bodies, again) = world.submit_all(vec![Input::Claim(claim.clone())]);
    assert_eq!((bodies.len(), again), (0, 1));
    claim.verdict.as_mut().unwrap().valid_until = world.now + 1;
    assert_eq!(code(&mut world, claim), None);
}

#[test]
fn closing_compares_when_a_claim_was_accepted_not_when_it_is_decided() {
    let mut world = World::open(10, RoundMode::Push);
    let mut claim = world.claim(3);
    claim.accepted_at = CLOSES * 1_000 - 1;
    claim.claim.deadline = CLOSES + 2 * 86_400;
    claim.verdict.as_mut().unwrap().valid_until = u64::MAX;
    world.now = CLOSES * 1_000 + 5_000;
    let bodies = world.submit(vec![Input::Claim(claim)]);
    assert!(matches!(bodies[..], [Body::Due(_), Body::ClaimDecided(_)]), "{bodies:?}");
    assert_eq!(refusal(&world.push(0, 2)), Some(Code::Closed));
    assert_eq!(world.settle(), [3], "what was accepted before closing is settled after it");
}

#[test]
fn a_held_entitlement_is_decided_and_not_planned() {
    let mut world = World::new();
    world.create(campaign(1));
    world.order(&[1], hold_person(2));
    world.publish(campaign(1), 10, RoundMode::Push);
    world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..10) }]);
    world.open_round(campaign(1), 1);
    world.decide([2]);
    world.push(0, 10);
    assert_eq!(world.status(2), Some(ClaimState::Held));
    assert_eq!(world.balance(Account::Reserved), sum(0..10).get(), "a push decides what is held, too");
    let mut paid = world.settle();
    paid.sort_unstable();
    assert_eq!(paid, [0, 1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(world.status(2), Some(ClaimState::Held));
}

#[test]
fn a_redirected_claim_keeps_its_signature_until_it_is_final() {
    let mut world = World::open(10, RoundMode::Pull);
    let claim = world.redirected(3);
    let Body::ClaimDecided(entry) = &world.submit(vec![Input::Claim(claim)])[0] else { panic!() };
    let redirect = entry.redirect.clone().unwrap();
    assert_eq!((redirect.to, redirect.deadline), (Address::repeat_byte(0xee), CLOSES + 86_400));
    assert_eq!(world.known().redirected.len(), 1);
    assert_eq!(world.settle(), [3]);
    assert!(world.known().redirected.is_empty());
}
