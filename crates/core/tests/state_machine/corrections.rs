//! Corrections under every order of void, payment and finality, with exactly the money of the first round: whatever wins,
//! the accounts add up to what came in and none of them is shown below zero.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sluice_core::command::{Action, RoundMode};
use sluice_core::decide::Input;
use sluice_core::ids::{BlockRef, EntitlementId};
use sluice_core::log::entry::{BatchPlanned, Body, ChainEvent};
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;

use crate::simulation::Draw;
use crate::world::{World, amount, campaign, indexes, recipient, sum};

const COUNT: u64 = 12;

#[derive(Default)]
struct Life {
    /// Batches sent and not mined, oldest first; mined ones with their blocks.
    sent: Vec<BatchPlanned>,
    mined: Vec<(u64, BlockRef)>,
    /// What the chain paid and annulled of round 1.
    gone: BTreeSet<u64>,
    void_on_chain: BTreeSet<u64>,
    corrections: u64,
}

impl Life {
    fn act(&mut self, world: &mut World, operation: u8, draw: &mut Draw) {
        let index = draw.below(COUNT);
        match operation {
            0 => {
                let claim = world.claim(index);
                world.submit(vec![Input::Claim(claim)]);
            }
            1 => {
                world.void(vec![index]);
            }
            2 if world.known().in_flight() < 4 => {
                if let Some(plan) = world.plan() {
                    world.sign(plan.batch);
                    self.sent.push(plan);
                }
            }
            3 if !self.sent.is_empty() => self.mine(world),
            4 if !self.mined.is_empty() => {
                let (batch, block) = self.mined.remove(0);
                world.finalize(batch, block);
            }
            5 if self.gone.insert(index) => {
                let to = recipient(index);
                let entitlement = EntitlementId { round: 1, index };
                let (amount, tx_hash) = (amount(index), crate::world::hash(index));
                world.events(campaign(1), vec![ChainEvent::Paid { entitlement, amount, to, tx_hash }]);
            }
            6 if self.gone.insert(index) => {
                self.void_on_chain.insert(index);
                world.void_on_chain([index]);
            }
            7 => self.correct(world),
            _ => {}
        }
    }

    /// The Distributor pays what is neither paid nor void there.
    fn mine(&mut self, world: &mut World) {
        let plan = self.sent.remove(0);
        let first: Vec<_> = plan.words.iter().filter(|w| w.round == 1).copied().collect();
        let passed: Vec<u64> = indexes(&first).into_iter().filter(|i| self.gone.contains(i)).collect();
        let mut mined = world.mined(&plan, &passed);
        mined.skipped.clear();
        self.gone.extend(indexes(&first));
        self.mined.push((plan.batch, mined.block));
        assert!(world.takes(Body::BatchMined(mined)));
    }

    /// A correction round of one entitlement, pushed. The Distributor opens it once its balance covers every round: here,
    /// once as much was annulled there.
    fn correct(&mut self, world: &mut World) {
        let annulled = sum(self.void_on_chain.iter().copied()).get();
        if annulled < u128::from(self.corrections + 1) * amount(0).get() {
            return;
        }
        self.corrections += 1;
        let round = world.publish(campaign(1), 1, RoundMode::Push);
        world.open_round(campaign(1), round);
        let push = world.command(Action::Push { campaign: campaign(1), round, from: 0, to: 1 });
        let bodies = world.submit(vec![push]);
        assert!(matches!(bodies[..], [Body::Pushed(_)]), "what was annulled pays it: {bodies:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_void_payment_and_correction_spends_money_twice(
        operations in prop::collection::vec((0..8u8, any::<u64>()), 1..80),
    ) {
        let mut world = World::open(COUNT, RoundMode::Push);
        let mut life = Life::default();
        for (operation, number) in operations {
            life.act(&mut world, operation, &mut Draw(number));
            world.balanced();
            let funds = &world.known().funds;
            prop_assert!(funds.annulled() <= funds.there(Account::Voided));
        }
        // Everything the chain paid, and nothing else, left the accounts as paid.
        let ids = world.known().rounds.iter().flat_map(|(round, known)| {
            let round = *round;
            (0..known.terms.count).map(move |index| EntitlementId { round, index })
        });
        let is_final = |id: &EntitlementId| world.known().status(*id) == Some(ClaimState::Final);
        prop_assert_eq!(world.balance(Account::Paid), sum(ids.filter(is_final).map(|id| id.index)).get());
    }
}
