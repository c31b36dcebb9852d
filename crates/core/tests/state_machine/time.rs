//! What falls due: closings, extensions, retries.

use sluice_core::command::RoundMode;
use sluice_core::decide::Input;
use sluice_core::ids::EntitlementId;
use sluice_core::limits::{GROUP_DUE_MAX, SKIP_RETRIES_MAX, SKIP_RETRY_AFTER};
use sluice_core::log::entry::{Body, ChainEvent, Due};
use sluice_core::refusal::Code;
use sluice_core::state::round::RoundPhase;
use sluice_core::state::status::ClaimState;

use crate::world::{CLOSES, World, campaign, refusal, sum};

const CLOSING: Due =
    Due::RoundCloses { campaign: sluice_core::ids::CampaignId(uuid::Uuid::from_u128(1)), round: 1 };

fn phase(world: &World) -> RoundPhase {
    world.known().round(1).unwrap().phase
}

#[test]
fn whatever_fell_due_stands_before_any_later_input() {
    let mut world = World::new();
    for n in 1..=300 {
        world.create(campaign(n));
        world.publish(campaign(n), 4, RoundMode::Push);
    }
    world.now = CLOSES * 1_000;
    let input = world.push_input(0, 1);
    let bodies = world.submit(vec![input]);
    assert_eq!(bodies.len(), 301, "however much fell due");
    assert!(bodies[..300].iter().all(|b| matches!(b, Body::Due(_))));
    assert!(matches!(bodies[300], Body::CommandRefused(_)));
}

#[test]
fn more_than_a_group_of_due_items_makes_demands_wait() {
    let mut world = World::open(1_536, RoundMode::Push);
    world.push(0, 1_536);
    let plans: Vec<_> = std::iter::from_fn(|| world.plan()).collect();
    for plan in &plans {
        let first = plan.words[0].word * 256;
        let block = world.mine(plan, &(first + 1..first + 512).collect::<Vec<_>>());
        world.finalize(plan.batch, block);
    }
    world.now += 60_000;
    let (claim, cursor) = (world.claim(0), world.cursor(Vec::new()));
    let demands = vec![Input::Observed(cursor), Input::Claim(claim)];
    let (bodies, again) = world.submit_all(demands.clone());
    assert_eq!(
        (bodies.len(), again),
        (GROUP_DUE_MAX, 1),
        "the demand comes back, the observation is made again"
    );
    let (bodies, again) = world.submit_all(demands);
    assert_eq!((bodies.len(), again), (3 * 511 - GROUP_DUE_MAX + 2, 0));
    assert!(matches!(bodies[bodies.len() - 2..], [Body::ChainCursor(_), Body::ClaimRefused(_)]));
}

#[test]
fn nothing_falls_due_early_and_nothing_twice() {
    let mut world = World::open(4, RoundMode::Push);
    assert!(!world.takes(Body::Due(CLOSING)), "an early Due is dropped");
    world.now = CLOSES * 1_000 - 1;
    assert!(world.submit(Vec::new()).is_empty());
    world.now += 1;
    assert_eq!(world.submit(Vec::new()), [Body::Due(CLOSING)]);
    assert_eq!(phase(&world), RoundPhase::Closed);
    assert!(world.submit(Vec::new()).is_empty());
}

#[test]
fn time_never_runs_backwards_in_the_log() {
    let mut world = World::open(4, RoundMode::Push);
    world.decide([1]);
    world.now -= 10_000;
    world.decide([2]);
    assert!(world.log.windows(2).all(|w| w[0].recorded_at <= w[1].recorded_at));
}

#[test]
fn closing_extended_before_it_fell_due_moves_it() {
    let mut world = World::open(4, RoundMode::Push);
    world.events(campaign(1), vec![ChainEvent::ClosingExtended { round: 1, closes_at: CLOSES + 60 }]);
    world.now = CLOSES * 1_000;
    assert!(world.submit(Vec::new()).is_empty());
    world.decide([1]);
    world.now += 60_000;
    assert_eq!(world.submit(Vec::new()), [Body::Due(CLOSING)]);
}

#[test]
fn closing_extended_after_it_fell_due_opens_the_round_again() {
    let mut world = World::open(4, RoundMode::Push);
    world.now = CLOSES * 1_000;
    world.submit(Vec::new());
    let late = world.claim(1);
    assert_eq!(refusal(&world.submit(vec![Input::Claim(late)])[0]), Some(Code::Closed));
    world.events(campaign(1), vec![ChainEvent::ClosingExtended { round: 1, closes_at: CLOSES + 60 }]);
    assert_eq!(phase(&world), RoundPhase::Open);
    world.decide([1]);
    assert!(matches!(world.push(0, 4), Body::Pushed(_)));
    world.now += 60_000;
    assert_eq!(world.submit(Vec::new()), [Body::Due(CLOSING)]);
}

#[test]
fn an_opening_that_becomes_final_after_closing_leaves_the_round_closed() {
    let mut world = World::new();
    world.create(campaign(1));
    world.publish(campaign(1), 4, RoundMode::Push);
    world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..4) }]);
    let mut early = world.claim(1);
    early.claim.deadline = CLOSES + 86_400;
    world.now = CLOSES * 1_000;
    assert_eq!(world.submit(Vec::new()), [Body::Due(CLOSING)]);
    world.open_round(campaign(1), 1);
    assert_eq!(phase(&world), RoundPhase::Closed);
    assert_eq!(refusal(&world.push(0, 4)), Some(Code::Closed));
    assert!(matches!(world.submit(vec![Input::Claim(early)])[0], Body::ClaimDecided(_)));
    assert_eq!(world.settle(), [1]);
}

#[test]
fn a_failed_transfer_is_retried_with_doubled_waits_then_kept_aside() {
    let mut world = World::open(4, RoundMode::Push);
    world.push(0, 4);
    let mut wait = u64::try_from(SKIP_RETRY_AFTER.as_millis()).unwrap();
    for attempt in 1..=SKIP_RETRIES_MAX {
        let plan = world.plan().unwrap();
        world.sign(plan.batch);
        let block = world.mine(&plan, &[2]);
        world.finalize(plan.batch, block);
        assert!(matches!(world.status(2), Some(ClaimState::Skipped { retry: true, .. })), "{attempt}");
        assert_eq!(world.plan(), None, "not before its time");
        world.now += wait - 1;
        assert!(world.submit(Vec::new()).is_empty());
        world.now += 1;
        let entitlement = EntitlementId { round: 1, index: 2 };
        let due = Due::SkipRetry { campaign: campaign(1), entitlement };
        assert_eq!(world.submit(Vec::new()), [Body::Due(due)]);
        wait *= 2;
    }
    let plan = world.plan().unwrap();
    world.sign(plan.batch);
    let block = world.mine(&plan, &[2]);
    world.finalize(plan.batch, block);
    assert!(matches!(world.status(2), Some(ClaimState::Skipped { retry: false, .. })));
    world.now += 100 * wait;
    assert!(world.submit(Vec::new()).is_empty(), "no more retries");
    assert_eq!(world.plan(), None);
    assert_eq!(world.balance(sluice_core::state::funds::Account::Reserved), sum([2]).get(), "still reserved");
}

#[test]
fn a_permanently_skipped_entitlement_may_still_be_claimed_by_wallet_or_annulled() {
    for by_wallet in [true, false] {
        let mut world = World::open(4, RoundMode::Push);
        world.push(0, 4);
        for _ in 0..=SKIP_RETRIES_MAX {
            let plan = world.plan().unwrap();
            world.sign(plan.batch);
            let block = world.mine(&plan, &[2]);
            world.finalize(plan.batch, block);
            world.now += 1_000_000;
            world.submit(Vec::new());
        }
        if by_wallet {
            let paid = world.paid_event(1, 2);
            let block = world.events_mined(campaign(1), vec![paid.clone()]);
            let at = sluice_core::log::entry::EventsAt { campaign: campaign(1), block };
            assert!(world.takes(Body::EventsUnmined(at)));
            assert_eq!(world.plan(), None, "a payment taken back does not bring it back into batches");
            world.events(campaign(1), vec![paid]);
            assert_eq!(world.status(2), Some(ClaimState::Final));
        } else {
            world.void(vec![2]);
            assert_eq!(world.status(2), Some(ClaimState::Voided));
        }
        assert_eq!(world.plan(), None);
        assert_eq!(world.balance(sluice_core::state::funds::Account::Reserved), 0);
        world.balanced();
    }
}
