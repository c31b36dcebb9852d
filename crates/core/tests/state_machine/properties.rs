//! Random lives of a log, and what holds in all of them. The world itself checks, in every group, that the postings of
//! each campaign add up to zero and that replay from bytes gives the decider's hash; the auditor, every entitlement.

use proptest::prelude::*;
use sluice_core::ids::StreamId;
use sluice_core::log::entry::Entry;
use sluice_core::state::State;

use crate::simulation::{OPERATIONS, Simulation};
use crate::world::World;

fn life() -> impl Strategy<Value = ([u64; 2], u64, Vec<(u8, u64)>)> {
    let counts = [1..1_400u64, 1..300u64];
    (
        counts,
        prop_oneof![Just(100u64), 30..400u64],
        prop::collection::vec((0..OPERATIONS, any::<u64>()), 1..160),
    )
}

/// The state of these bytes, from the first entry.
pub(crate) fn replay(encoded: &[Vec<u8>]) -> State {
    let mut state = State::new(StreamId(1));
    for bytes in encoded {
        state.apply(&Entry::decode(bytes).unwrap()).unwrap();
    }
    state
}

fn hashes_agree(world: &World) {
    let mut state = world.state().clone();
    let hash = state.hash();
    assert_eq!(state.clone().hash_anew(), hash, "only changed pages are hashed, and all of them");
    assert_eq!(replay(&world.encoded).hash(), hash, "the log alone gives the state");
    let mut dumped: State = borsh::from_slice(&borsh::to_vec(&state).unwrap()).unwrap();
    assert_eq!(dumped.hash_anew(), hash, "a dump gives the state");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entitlement_is_decided_once_paid_once_and_booked_once((counts, gas, operations) in life()) {
        let mut sim = Simulation::new(counts, gas);
        for (at, (operation, number)) in operations.into_iter().enumerate() {
            sim.act(operation, number);
            if at % 16 == 0 {
                sim.flush();
                hashes_agree(&sim.world);
                sim.auditor.compare_status(sim.world.state());
            }
        }
        sim.flush();
        sim.settle_down();
        sim.finish();
        sim.world.balanced();
        sim.auditor.compare_status(sim.world.state());
        hashes_agree(&sim.world);
    }
}
