//! A round that the chain knew before the log: published, paid and annulled there before it was announced here. After
//! the announcement everything is as if it had been announced before.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sluice_core::amount::Total;
use sluice_core::command::{Action, RoundMode};
use sluice_core::decide::{Input, Listed};
use sluice_core::ids::{BlockRef, EntitlementId};
use sluice_core::log::entry::{Body, ChainEvent, EventsAt, EventsFinal};
use sluice_core::refusal::Code;
use sluice_core::state::funds::Account;
use sluice_core::state::round::RoundPhase;
use sluice_core::state::status::ClaimState;

use crate::simulation::Draw;
use crate::world::{World, amount, campaign, hash, indexes, recipient, refusal, sum, words};

fn id(index: u64) -> EntitlementId {
    EntitlementId { round: 1, index }
}

fn paid(index: u64) -> ChainEvent {
    ChainEvent::PaidUnannounced { entitlement: id(index), to: None, tx_hash: hash(index) }
}

fn void(of: impl IntoIterator<Item = u64>) -> Vec<ChainEvent> {
    words(1, of).into_iter().map(|word| ChainEvent::VoidedUnannounced { word }).collect()
}

/// A campaign with money whose round 1 is open on chain and not announced.
fn unannounced(count: u64) -> World {
    let mut world = World::new();
    world.create(campaign(1));
    let terms = Box::new(world.terms(campaign(1), 1, count, RoundMode::Push));
    let funded = ChainEvent::Funded { amount: sum(0..count) };
    world.events(campaign(1), vec![funded, ChainEvent::Published { terms }, ChainEvent::Opened { round: 1 }]);
    world
}

#[test]
fn what_the_chain_paid_before_is_booked_when_the_round_is_announced() {
    let mut world = unannounced(10);
    world.events(campaign(1), [vec![paid(3)], void([4])].concat());
    let unfinal = world.events_mined(campaign(1), vec![paid(5)]);
    assert_eq!((world.balance(Account::Paid), world.status(3)), (0, None), "nobody can say the amounts yet");
    world.publish(campaign(1), 10, RoundMode::Push);
    assert_eq!(world.status(3), Some(ClaimState::Final));
    assert_eq!(world.status(4), Some(ClaimState::Voided));
    assert!(matches!(world.status(5), Some(ClaimState::Paid(at, tx)) if at == unfinal && tx == hash(5)));
    assert_eq!(
        (world.balance(Account::Paid), world.balance(Account::Voided)),
        (amount(3).get(), amount(4).get())
    );
    let claim = world.claim(5);
    assert_eq!(refusal(&world.submit(vec![Input::Claim(claim)])[0]), Some(Code::PaymentSeen));
    let Body::Pushed(pushed) = world.push(0, 10) else { panic!() };
    assert_eq!(pushed.decided, [(0, 8, sum((0..10).filter(|i| ![3, 4].contains(i))))]);
    let plan = world.plan().unwrap();
    assert_eq!(indexes(&plan.words), [0, 1, 2, 6, 7, 8, 9]);
    world.events_final(campaign(1), unfinal);
    assert_eq!(world.status(5), Some(ClaimState::Final));
    let block = world.mine(&plan, &[]);
    world.finalize(1, block);
    assert_eq!(world.balance(Account::Paid), sum((0..10).filter(|i| *i != 4)).get());
    assert_eq!((world.balance(Account::Voided), world.balance(Account::Free)), (amount(4).get(), 0));
    world.balanced();
}

#[test]
fn sums_are_booked_to_the_shards_they_belong_to() {
    let count = 65_536 + 10;
    let mut world = unannounced(count);
    world.events(campaign(1), [vec![paid(1), paid(65_540)], void([65_541, 65_545])].concat());
    world.publish(campaign(1), count, RoundMode::Push);
    let Body::Pushed(pushed) = world.push(0, count) else { panic!() };
    let rest = |from: u64, to: u64| sum((from..to).filter(|i| ![1, 65_540, 65_541, 65_545].contains(i)));
    assert_eq!(pushed.decided, [(0, 65_535, rest(0, 65_536)), (1, 7, rest(65_536, count))]);
    world.balanced();
}

#[test]
fn an_announcement_whose_amounts_were_looked_up_too_early_is_verified_again() {
    let mut world = unannounced(10);
    world.events(campaign(1), vec![paid(3)]);
    let terms = world.terms(campaign(1), 1, 10, RoundMode::Push);
    let early = world.command(Action::Publish(terms));
    world.events(campaign(1), vec![paid(4)]);
    assert_eq!(world.submit_all(vec![early]), (vec![], 1));
    world.publish(campaign(1), 10, RoundMode::Push);
    assert_eq!(world.balance(Account::Paid), sum([3, 4]).get());
}

#[test]
fn a_round_that_the_chain_published_with_other_terms_is_not_announced() {
    let mut world = unannounced(10);
    let mut terms = world.terms(campaign(1), 1, 10, RoundMode::Push);
    terms.closes_at += 1;
    let command = world.command(Action::Publish(terms));
    assert_eq!(refusal(&world.submit(vec![command])[0]), Some(Code::WrongTerms));
    assert_eq!(world.publish(campaign(1), 10, RoundMode::Push), 1, "the terms of the chain are taken");
    assert_eq!(world.known().round(1).unwrap().phase, RoundPhase::Open);
}

#[test]
fn amounts_that_are_not_those_asked_for_are_refused() {
    let mut world = unannounced(10);
    let block = world.events_mined(campaign(1), vec![paid(3), ChainEvent::Opened { round: 1 }]);
    let finals = |late| Body::EventsFinal(EventsFinal { campaign: campaign(1), block, late });
    assert!(!world.takes(finals(vec![(id(3), amount(3))])), "of a round that nobody knows");
    world.publish(campaign(1), 10, RoundMode::Push);
    assert!(!world.takes(finals(Vec::new())));
    assert!(!world.takes(finals(vec![(id(4), amount(4))])));
    assert!(world.takes(finals(vec![(id(3), amount(3))])));
    assert_eq!(world.balance(Account::Paid), amount(3).get());
}

#[test]
fn an_announcement_must_name_exactly_what_the_chain_did() {
    let mut world = unannounced(10);
    world.events(campaign(1), vec![paid(3)]);
    let terms = world.terms(campaign(1), 1, 10, RoundMode::Push);
    let mut command = world.signed(Action::Publish(terms));
    let Listed::Round { ahead, .. } = &mut command.verdict.as_mut().unwrap().listed else { panic!() };
    ahead.clear();
    assert_eq!(world.submit_all(vec![Input::Command(command)]).1, 1);
    let mut entry = {
        let mut clone = world.clone();
        clone.publish(campaign(1), 10, RoundMode::Push);
        clone.log.pop().unwrap()
    };
    let Body::RoundPublished(published) = &mut entry.body else { panic!() };
    published.ahead[0].paid = 2;
    let error = world.state().clone().apply(&entry).unwrap_err();
    assert_eq!(error.why, "the shards' counts of what the chain did before differ");
}

#[test]
fn money_that_was_withdrawn_or_swept_before_the_announcement_is_not_set_aside_again() {
    for sweep in [false, true] {
        let mut world = unannounced(10);
        world.events(campaign(1), void([4, 5]));
        let amount = sum(0..10);
        let gone = match sweep {
            true => ChainEvent::Swept { round: 1, amount },
            false => ChainEvent::Withdrawn { amount },
        };
        world.events(campaign(1), vec![gone]);
        world.publish(campaign(1), 10, RoundMode::Push);
        assert_eq!((world.balance(Account::Free), world.balance(Account::Voided)), (0, 0));
        assert_eq!(world.balance(Account::Swept), amount.get());
        assert_eq!(world.status(4), Some(ClaimState::Voided));
        assert_eq!(world.known().round(1).unwrap().swept, sweep);
    }
}

/// What a block did.
#[derive(Clone, Debug)]
enum Done {
    Funded(u64),
    Paid(Vec<u64>),
    Void(Vec<u64>),
}

/// The same chain before two logs: one announced the round before anything happened, the other will.
struct Two {
    early: World,
    late: World,
    count: u64,
    blocks: Vec<(BlockRef, Done)>,
    touched: BTreeSet<u64>,
}

impl Two {
    fn new(count: u64) -> Self {
        let mut early = World::new();
        early.create(campaign(1));
        let late = early.clone();
        early.publish(campaign(1), count, RoundMode::Push);
        let mut two = Self { early, late, count, blocks: Vec::new(), touched: BTreeSet::new() };
        let terms = Box::new(two.early.terms(campaign(1), 1, count, RoundMode::Push));
        let opened = vec![
            ChainEvent::Funded { amount: sum(0..count) },
            ChainEvent::Published { terms },
            ChainEvent::Opened { round: 1 },
        ];
        let block = two.mine(opened.clone(), opened);
        two.blocks.push((block, Done::Funded(0)));
        two
    }

    fn mine(&mut self, early: Vec<ChainEvent>, late: Vec<ChainEvent>) -> BlockRef {
        let block = self.early.events_mined(campaign(1), early);
        assert_eq!(block, self.late.events_mined(campaign(1), late));
        block
    }

    /// One turn of the chain; `knows` says whether the late log knew the round when its watcher read the block.
    fn act(&mut self, operation: u8, draw: &mut Draw, knows: bool) {
        let drawn: BTreeSet<u64> = (0..=draw.below(5)).map(|_| draw.below(self.count)).collect();
        let free: Vec<u64> = drawn.difference(&self.touched).copied().collect();
        match operation {
            0..=2 if !free.is_empty() => self.block(Done::Paid(free), knows),
            3 if !free.is_empty() => self.block(Done::Void(free), knows),
            4 => self.block(Done::Funded(draw.below(1_000)), knows),
            5 if self.blocks.len() > 1 => self.reorganise(),
            6..=7 if !self.blocks.is_empty() => self.finalise(),
            _ => {}
        }
    }

    fn block(&mut self, done: Done, knows: bool) {
        let with_amounts: Vec<ChainEvent> = match &done {
            Done::Funded(more) => vec![ChainEvent::Funded { amount: Total(u128::from(*more)) }],
            Done::Paid(of) => of
                .iter()
                .map(|i| ChainEvent::Paid {
                    entitlement: id(*i),
                    amount: amount(*i),
                    to: recipient(*i),
                    tx_hash: hash(*i),
                })
                .collect(),
            Done::Void(of) => {
                vec![ChainEvent::Voided { items: of.iter().map(|i| (id(*i), amount(*i))).collect() }]
            }
        };
        let without = match &done {
            Done::Funded(_) => with_amounts.clone(),
            Done::Paid(of) => of.iter().map(|i| paid(*i)).collect(),
            Done::Void(of) => void(of.iter().copied()),
        };
        if let Done::Paid(of) | Done::Void(of) = &done {
            self.touched.extend(of);
        }
        let late = if knows { with_amounts.clone() } else { without };
        let block = self.mine(with_amounts, late);
        self.blocks.push((block, done));
    }

    fn reorganise(&mut self) {
        let (block, done) = self.blocks.pop().unwrap();
        if let Done::Paid(of) | Done::Void(of) = &done {
            self.touched.retain(|i| !of.contains(i));
        }
        for world in [&mut self.early, &mut self.late] {
            assert!(world.takes(Body::EventsUnmined(EventsAt { campaign: campaign(1), block })));
            world.block -= 1;
        }
    }

    fn finalise(&mut self) {
        let (block, _) = self.blocks.remove(0);
        self.early.events_final(campaign(1), block);
        self.late.events_final(campaign(1), block);
    }

    fn compare(&self) {
        let (early, late) = (self.early.known(), self.late.known());
        assert_eq!(early.funds, late.funds);
        let (one, other) = (early.round(1).unwrap(), late.round(1).unwrap());
        assert_eq!((one.phase, one.swept, one.closes_at), (other.phase, other.swept, other.closes_at));
        for (a, b) in one.shards.iter().zip(&other.shards) {
            assert_eq!((a.taken, a.taken_total), (b.taken, b.taken_total));
            for at in 0..self.count as usize {
                let bits = |s: &sluice_core::state::round::Shard| {
                    [&s.decided, &s.void, &s.held, &s.busy, &s.paid].map(|bits| bits.get(at))
                };
                assert_eq!(bits(a), bits(b), "{at}");
            }
        }
        for index in 0..self.count {
            assert_eq!(self.early.status(index), self.late.status(index), "{index}");
        }
        self.early.balanced();
        self.late.balanced();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_round_announced_late_is_as_if_it_had_been_announced_before(
        count in 1..300u64,
        operations in prop::collection::vec((0..8u8, any::<u64>()), 1..60),
        announced in 0..60usize,
        lag in 0..6usize,
    ) {
        let mut two = Two::new(count);
        let announced = announced.min(operations.len() - 1);
        for (at, (operation, number)) in operations.into_iter().enumerate() {
            if at == announced {
                two.late.publish(campaign(1), count, RoundMode::Push);
            }
            two.act(operation, &mut Draw(number), at >= announced + lag);
            if at >= announced {
                two.compare();
            }
        }
        while !two.blocks.is_empty() {
            two.finalise();
            two.compare();
        }
        let pushes = [&mut two.early, &mut two.late].map(|world| match world.push(0, count) {
            Body::Pushed(pushed) => Ok(pushed.decided),
            refused => Err(refusal(&refused)),
        });
        assert_eq!(pushes[0], pushes[1]);
        two.compare();
        assert_eq!(two.early.settle(), two.late.settle());
        two.compare();
    }
}
