//! What others do on chain: payments by wallet, rounds, deposits, sweeps; with reorganisations.

use sluice_core::amount::Total;
use sluice_core::command::RoundMode;
use sluice_core::decide::Input;
use sluice_core::ids::{BlockRef, EntitlementId};
use sluice_core::log::entry::{Body, ChainEvent, EventsAt, EventsFinal, EventsMined};
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account;
use sluice_core::state::round::RoundPhase;
use sluice_core::state::status::ClaimState;

use crate::world::{World, amount, campaign, hash, refusal, sum};

fn unmine(world: &mut World, block: BlockRef) {
    assert!(world.takes(Body::EventsUnmined(EventsAt { campaign: campaign(1), block })));
}

fn seen(world: &mut World, index: u64) -> BlockRef {
    let paid = world.paid_event(1, index);
    world.events_mined(campaign(1), vec![paid])
}

#[test]
fn a_wallet_that_paid_itself_before_any_decision_is_final_from_free_money() {
    let mut world = World::open(10, RoundMode::Pull);
    let block = seen(&mut world, 3);
    assert!(matches!(world.status(3), Some(ClaimState::Paid(..))));
    world.events_final(campaign(1), block);
    assert_eq!(world.status(3), Some(ClaimState::Final));
    assert_eq!(world.balance(Account::Paid), amount(3).get());
    assert_eq!(world.balance(Account::Free), sum(0..10).get() - amount(3).get());
    assert_eq!(world.plan(), None);
}

#[test]
fn a_wallet_that_paid_itself_after_the_decision_takes_the_reserved_money() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([3]);
    let block = seen(&mut world, 3);
    assert_eq!(world.plan(), None, "it is not planned while its own payment may become final");
    world.events_final(campaign(1), block);
    assert_eq!((world.balance(Account::Paid), world.balance(Account::Reserved)), (amount(3).get(), 0));
    assert_eq!(world.plan(), None);
}

#[test]
fn a_payment_by_wallet_that_vanished_lets_the_claim_be_decided_and_planned() {
    let mut world = World::open(10, RoundMode::Pull);
    let block = seen(&mut world, 3);
    let claim = world.claim(3);
    assert_eq!(refusal(&world.submit(vec![Input::Claim(claim)])[0]), Some(Code::PaymentSeen));
    unmine(&mut world, block);
    world.decide([3]);
    assert_eq!(world.settle(), [3]);
}

#[test]
fn a_push_decides_what_a_wallet_is_paying_and_counts_it_once() {
    let mut world = World::open(10, RoundMode::Push);
    let (three, four) = (seen(&mut world, 3), seen(&mut world, 4));
    world.push(0, 10);
    assert_eq!(world.balance(Account::Reserved), sum(0..10).get());
    unmine(&mut world, four);
    world.events_final(campaign(1), three);
    let mut paid = world.settle();
    paid.sort_unstable();
    assert_eq!(paid, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!(world.balance(Account::Paid), sum(0..10).get());
}

#[test]
fn a_wallet_quicker_than_the_batch_is_paid_once() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([3, 4]);
    let plan = world.plan().unwrap();
    world.sign(1);
    let own = seen(&mut world, 3);
    // The Distributor passes over what is paid already.
    let mut mined = world.mined(&plan, &[3]);
    mined.skipped.clear();
    let block = mined.block;
    world.see([Body::BatchMined(mined)]);
    let mut batch_first = world.clone();
    world.events_final(campaign(1), own);
    world.finalize(1, block);
    batch_first.finalize(1, block);
    assert_eq!(batch_first.plan(), None, "not planned again while the wallet's payment may become final");
    batch_first.events_final(campaign(1), own);
    for world in [world, batch_first] {
        assert_eq!(world.status(3), Some(ClaimState::Final));
        assert_eq!((world.balance(Account::Paid), world.balance(Account::Reserved)), (sum([3, 4]).get(), 0));
        world.balanced();
    }
}

#[test]
fn a_transfer_that_failed_and_was_then_claimed_by_wallet_is_not_retried() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([3, 4]);
    let plan = world.plan().unwrap();
    let block = world.mine(&plan, &[3]);
    let own = seen(&mut world, 3);
    world.events_final(campaign(1), own);
    world.finalize(1, block);
    assert_eq!(world.status(3), Some(ClaimState::Final));
    assert!(world.known().round(1).unwrap().skips.is_empty());
    world.now += 10_000_000;
    assert!(world.submit(Vec::new()).is_empty(), "no retry is due");
}

#[test]
fn a_wallet_paid_although_void_takes_the_annulled_money() {
    let mut world = World::open(10, RoundMode::Push);
    let block = seen(&mut world, 3);
    world.void(vec![3]);
    assert_eq!(world.balance(Account::Voided), amount(3).get());
    world.events_final(campaign(1), block);
    assert_eq!((world.balance(Account::Voided), world.balance(Account::Paid)), (0, amount(3).get()));
    assert_eq!(world.status(3), Some(ClaimState::Final));
    assert_eq!(refusal(&world.void(vec![3])), Some(Code::AlreadyPaid));
    world.push(0, 10);
    assert_eq!(world.balance(Account::Reserved), sum((0..10).filter(|i| *i != 3)).get());
}

#[test]
fn a_void_on_chain_alone_frees_what_was_decided() {
    let mut world = World::open(10, RoundMode::Push);
    world.decide([3]);
    let items = [3, 4].map(|i| (EntitlementId { round: 1, index: i }, amount(i))).to_vec();
    world.events(campaign(1), vec![ChainEvent::Voided { items }]);
    assert_eq!((world.balance(Account::Voided), world.balance(Account::Reserved)), (sum([3, 4]).get(), 0));
    assert_eq!(refusal(&world.void(vec![3, 4])), Some(Code::Voided));
}

#[test]
fn a_block_is_recorded_once_and_never_after_it_was_final() {
    let mut world = World::open(10, RoundMode::Pull);
    world.block += 1;
    let block = world.at(world.block);
    let funded = vec![ChainEvent::Funded { amount: Total(5) }];
    let body = Body::EventsMined(EventsMined { campaign: campaign(1), block, events: funded });
    assert!(world.takes(body.clone()));
    assert!(!world.takes(body.clone()));
    world.events_final(campaign(1), block);
    assert!(!world.takes(body), "read again after a restart, it counts once");
    assert_eq!(world.balance(Account::Free), sum(0..10).get() + 5);
}

#[test]
fn blocks_become_final_in_order_and_only_as_they_were_mined() {
    let mut world = World::open(10, RoundMode::Pull);
    let (one, two) = (seen(&mut world, 1), seen(&mut world, 2));
    let at = |block| EventsAt { campaign: campaign(1), block };
    let finals = |block| Body::EventsFinal(EventsFinal { campaign: campaign(1), block, late: Vec::new() });
    assert!(!world.takes(finals(two)));
    let other = BlockRef { hash: hash(99_999), ..one };
    assert!(!world.takes(finals(other)));
    assert!(!world.takes(Body::EventsUnmined(at(other))));
    assert!(world.takes(finals(one)));
    assert!(!world.takes(Body::EventsUnmined(at(one))), "final is final");
    assert!(world.takes(finals(two)));
}

fn announced(count: u64) -> World {
    let mut world = World::new();
    world.create(campaign(1));
    world.publish(campaign(1), count, RoundMode::Push);
    world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..count) }]);
    world
}

#[test]
fn a_round_published_with_other_terms_never_opens() {
    for change in 0..3 {
        let mut world = announced(10);
        let mut terms = world.terms(campaign(1), 1, 10, RoundMode::Push);
        match change {
            0 => terms.root = hash(5),
            1 => terms.mode = RoundMode::Pull,
            _ => terms.closes_at += 1,
        }
        world.events(campaign(1), vec![ChainEvent::Published { terms: Box::new(terms) }]);
        world.events(campaign(1), vec![ChainEvent::Opened { round: 1 }]);
        world.events(campaign(1), vec![ChainEvent::ClosingExtended { round: 1, closes_at: u64::MAX }]);
        assert_eq!(world.known().round(1).unwrap().phase, RoundPhase::Cancelled);
        assert_eq!(refusal(&world.push(0, 10)), Some(Code::UnknownRound));
        // Somebody may still be paid from it on chain: our indexes do not apply, the money does.
        let outside = ChainEvent::Paid {
            entitlement: EntitlementId { round: 1, index: 500 },
            amount: amount(500),
            to: crate::world::recipient(500),
            tx_hash: hash(1),
        };
        world.events(campaign(1), vec![outside]);
        assert_eq!(world.balance(Account::Paid), amount(500).get());
    }
}

#[test]
fn a_round_is_not_opened_by_an_opening_alone() {
    let mut world = announced(10);
    world.events(campaign(1), vec![ChainEvent::Opened { round: 1 }]);
    assert_eq!(world.known().round(1).unwrap().phase, RoundPhase::Announced);
    assert_eq!(refusal(&world.push(0, 10)), Some(Code::NotOpen));
}

#[test]
fn a_cancelled_round_stays_cancelled_and_the_next_one_follows() {
    let mut world = announced(10);
    world.events(campaign(1), vec![ChainEvent::Cancelled { round: 1 }]);
    world.open_round(campaign(1), 1);
    assert_eq!(refusal(&world.push(0, 10)), Some(Code::UnknownRound));
    assert_eq!(world.publish(campaign(1), 10, RoundMode::Push), 2);
}

#[test]
fn a_swept_round_pays_no_more_and_its_money_is_gone() {
    let mut world = World::open(10, RoundMode::Push);
    world.push(0, 6);
    world.void(vec![7]);
    world.now = crate::world::CLOSES * 1_000;
    world.submit(Vec::new());
    // Free first, then annulled, then what was decided and never paid.
    let all = sum(0..10);
    world.events(campaign(1), vec![ChainEvent::Swept { round: 1, amount: all }]);
    assert_eq!(world.balance(Account::Swept), all.get());
    assert_eq!((world.balance(Account::Reserved), world.balance(Account::Voided)), (0, 0));
    assert_eq!(world.plan(), None);
    let mut late = world.claim(8);
    late.accepted_at = 1;
    assert_eq!(refusal(&world.submit(vec![Input::Claim(late)])[0]), Some(Code::Closed));
    world.balanced();
}

#[test]
fn a_withdrawal_takes_free_money_and_deposits_add_up() {
    let mut world = announced(10);
    world.events(
        campaign(1),
        vec![ChainEvent::Withdrawn { amount: Total(400) }, ChainEvent::Funded { amount: Total(900) }],
    );
    assert_eq!(world.balance(Account::Free), sum(0..10).get() + 500);
    assert_eq!(world.balance(Account::Swept), 400);
    world.balanced();
}
