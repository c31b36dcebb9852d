//! What was erased beside the log stands in it.

use sluice_core::command::RoundMode;
use sluice_core::limits::ERASED_FACTS_MAX;
use sluice_core::log::entry::{Body, Entry, Erased};
use sluice_core::state::State;

use crate::world::World;

fn erased(order: u64, facts: impl IntoIterator<Item = u64>) -> Erased {
    Erased { order, facts: facts.into_iter().collect(), attestations: 1 }
}

/// Whether `apply` takes it as the next entry.
fn applies(state: &State, body: Erased) -> bool {
    let (stream, seq, epoch) = (state.stream, state.seq + 1, state.epoch);
    let entry = Entry { stream, seq, epoch, recorded_at: state.recorded_at, body: Body::Erased(body) };
    state.clone().apply(&entry).is_ok()
}

#[test]
fn an_erasure_names_what_came_before_it_each_once_and_so_much_at_most() {
    let mut world = World::open(10, RoundMode::Pull);
    assert!(world.takes(Body::Erased(erased(1, []))), "that nothing was kept is an answer");
    while world.state().seq < ERASED_FACTS_MAX as u64 + 5 {
        world.see((0..200).map(|n| Body::Erased(erased(n + 1, [1, 2]))));
    }
    let next = world.state().seq + 1;
    for (body, good) in [
        (erased(1, [1]), true),
        (erased(1, [1, 2, next - 1]), true),
        (erased(1, 1..=ERASED_FACTS_MAX as u64), true),
        (erased(0, [1]), false),
        (erased(1, [0, 1]), false),
        (erased(1, [2, 1]), false),
        (erased(1, [2, 2]), false),
        (erased(1, [1, next]), false),
        (erased(1, [next]), false),
        (erased(1, 1..=ERASED_FACTS_MAX as u64 + 1), false),
    ] {
        let (order, last) = (body.order, body.facts.last().copied());
        assert_eq!(applies(world.state(), body.clone()), good, "{order} {last:?}");
        assert_eq!(world.clone().takes(Body::Erased(body)), good, "{order} {last:?}");
    }
}
