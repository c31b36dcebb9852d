//! Voids at every moment of a batch: before it, before its first signature, after it was sent, after it was mined.

use sluice_core::command::RoundMode;
use sluice_core::ids::EntitlementId;
use sluice_core::log::entry::{BatchFinal, Body, ChainEvent};
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;

use crate::world::{World, amount, campaign, indexes, refusal, sum};

#[test]
fn a_void_before_the_batch_keeps_it_out() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 10);
    world.void(vec![3]);
    assert_eq!(world.status(3), Some(ClaimState::Voided));
    assert!(!world.settle().contains(&3));
    assert_eq!((world.balance(Account::Voided), world.balance(Account::Reserved)), (amount(3).get(), 0));
}

#[test]
fn a_void_before_the_first_signature_gives_the_batch_up() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([2, 3, 4]);
    let plan = world.plan().unwrap();
    world.void(vec![3]);
    let signed = world.attempt(1);
    assert!(!world.takes(Body::AttemptSigned(signed)), "nothing of it leaves any more");
    assert_eq!(world.status(2), Some(ClaimState::Decided));
    let anew = world.plan().unwrap();
    assert_eq!((plan.batch, indexes(&plan.words)), (1, vec![2, 3, 4]));
    assert_eq!((anew.batch, indexes(&anew.words)), (1, vec![2, 4]));
    world.sign(1);
    let block = world.mine(&anew, &[]);
    world.finalize(1, block);
    assert_eq!(
        (world.balance(Account::Voided), world.balance(Account::Paid)),
        (amount(3).get(), sum([2, 4]).get())
    );
    world.balanced();
}

#[test]
fn a_void_after_the_batch_was_sent_may_be_too_late_and_the_books_say_so() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 10);
    let plan = world.plan().unwrap();
    world.sign(1);
    world.void(vec![3, 4]);
    assert_eq!(world.balance(Account::Voided), sum([3, 4]).get());
    let block = world.mine(&plan, &[]);
    assert!(matches!(world.status(3), Some(ClaimState::Paid(..))));
    let unnamed = BatchFinal { campaign: campaign(1), batch: 1, block, void_paid: Vec::new() };
    assert!(!world.takes(Body::BatchFinal(unnamed)), "the amounts of what was void must be named");
    world.finalize(1, block);
    assert_eq!(world.status(3), Some(ClaimState::Final), "paid although void");
    assert_eq!((world.balance(Account::Voided), world.balance(Account::Paid)), (0, sum(0..10).get()));
    world.balanced();
}

#[test]
fn a_void_that_reached_the_chain_first_stops_the_payment() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 10);
    let plan = world.plan().unwrap();
    world.sign(1);
    world.void(vec![3]);
    let on_chain = ChainEvent::Voided { items: vec![(EntitlementId { round: 1, index: 3 }, amount(3))] };
    let void_block = world.events_mined(campaign(1), vec![on_chain]);
    // The Distributor pays the others and says nothing of what is void.
    let mut mined = world.mined(&plan, &[3]);
    mined.skipped.clear();
    let block = mined.block;
    world.see([Body::BatchMined(mined)]);
    world.events_final(campaign(1), void_block);
    world.finalize(1, block);
    assert_eq!(world.status(3), Some(ClaimState::Voided));
    assert_eq!((world.balance(Account::Voided), world.balance(Account::Reserved)), (amount(3).get(), 0));
    assert_eq!(world.plan(), None);
    world.balanced();
}

#[test]
fn a_void_after_mining_counts_as_paid_and_after_final_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 4);
    let plan = world.plan().unwrap();
    let block = world.mine(&plan, &[]);
    world.void(vec![3]);
    assert!(matches!(world.status(3), Some(ClaimState::Paid(..))));
    world.unmine(1, block);
    let block = world.mine(&plan, &[]);
    world.finalize(1, block);
    assert_eq!(refusal(&world.void(vec![3])), Some(Code::AlreadyPaid));
    assert_eq!(world.balance(Account::Paid), sum(0..4).get());
    world.balanced();
}
