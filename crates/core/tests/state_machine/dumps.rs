//! State dumps of the recorded log, which holds every kind of entry.

use sluice_core::command::RoundMode;
use sluice_core::ids::StreamId;
use sluice_core::log::entry::Entry;
use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::state::State;
use sluice_core::state::dump::{DUMP_FORMAT, DumpError, DumpSize};

use crate::golden::recorded;
use crate::world::World;

/// State and tree after each entry.
fn lives() -> impl Iterator<Item = (State, Frontier)> {
    let mut state = State::new(StreamId(1));
    let mut tree = Frontier::default();
    recorded().into_iter().map(move |bytes| {
        state.apply(&Entry::decode(&bytes).unwrap()).unwrap();
        tree.push(leaf_hash(&bytes));
        (state.clone(), tree.clone())
    })
}

fn dump(state: &State, tree: &Frontier) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.dump(tree, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_dump_after_any_entry_gives_state_and_tree_again() {
    for (mut state, tree) in lives() {
        let frozen = state.freeze();
        let bytes = dump(&frozen, &tree);
        let (mut again, same) = State::from_dump(&bytes).unwrap();
        assert_eq!(same, tree);
        assert_eq!(again.hash_anew(), state.hash(), "after {}", state.seq);
        assert_eq!(dump(&again, &same), bytes);
        let mut size = DumpSize::default();
        state.dump(&tree, &mut size).unwrap();
        assert_eq!(size.0, bytes.len() as u64);
    }
}

#[test]
fn a_state_that_was_frozen_and_goes_on_leaves_the_frozen_one_as_it_was() {
    let entries = recorded();
    let (before, after) = entries.split_at(entries.len() / 2);
    let mut state = State::new(StreamId(1));
    for bytes in before {
        state.apply(&Entry::decode(bytes).unwrap()).unwrap();
    }
    let mut frozen = state.freeze();
    let hash = state.hash();
    for bytes in after {
        state.apply(&Entry::decode(bytes).unwrap()).unwrap();
    }
    assert_eq!(frozen.hash_anew(), hash);
    assert_ne!(state.hash(), hash);
}

#[test]
fn no_damage_to_a_byte_passes_for_the_same_state() {
    let (mut state, tree) = lives().nth(150).unwrap();
    let (hash, root) = (state.hash(), tree.root());
    let good = dump(&state, &tree);
    // Bitmaps are thousands of zeros: some of them stand for all.
    for at in (0..good.len()).filter(|at| at % 997 == 0 || (good[*at] != 0 && at % 7 == 0)) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok((mut damaged, tree)) = State::from_dump(&bytes) {
            assert!(damaged.hash_anew() != hash || tree.root() != root, "byte {at} is not covered");
        }
    }
    for cut in [1, good.len() / 2, good.len() - 1] {
        assert!(matches!(State::from_dump(&good[..cut]), Err(DumpError::Malformed(_))), "cut at {cut}");
    }
    assert!(matches!(State::from_dump(&[]), Err(DumpError::Empty)));
    let longer = [good.as_slice(), &[0]].concat();
    assert!(matches!(State::from_dump(&longer), Err(DumpError::Contradiction(_))));
}

#[test]
fn a_dump_of_another_format_is_refused_before_it_is_read() {
    let (state, tree) = lives().next().unwrap();
    for format in [0, DUMP_FORMAT + 1, u8::MAX] {
        let mut bytes = dump(&state, &tree);
        bytes[0] = format;
        assert!(matches!(State::from_dump(&bytes), Err(DumpError::Format(told)) if told == format));
    }
}

#[test]
fn an_open_tile_that_the_edge_is_not_made_of_is_no_tree() {
    let mut tree = Frontier::default();
    for n in 0..(1 << 16) + 3 * 256 + 5_u64 {
        tree.push(leaf_hash(&n.to_be_bytes()));
    }
    let good = borsh::to_vec(&tree).unwrap();
    assert_eq!(borsh::from_slice::<Frontier>(&good).unwrap(), tree);
    // The last hash of the highest open tile stands at the end.
    for back in [1, 33, 70] {
        let mut bytes = good.clone();
        let at = bytes.len() - back;
        bytes[at] ^= 1;
        assert!(borsh::from_slice::<Frontier>(&bytes).is_err(), "{back} from the end");
    }
}

#[test]
fn a_state_that_is_decided_upon_and_never_hashed_remembers_no_changes() {
    let world = World::open(300, RoundMode::Push);
    assert_eq!(world.state().pages_changed(), 0, "nobody would ever forget them");
    assert_eq!(
        world.state().clone().hash(),
        world.follower.clone().hash(),
        "made anew where it is asked for"
    );
}

#[test]
fn the_hash_of_a_replay_that_noted_nothing_is_made_anew() {
    let mut state = State::new(StreamId(1)).unhashed();
    for bytes in recorded() {
        state.apply(&Entry::decode(&bytes).unwrap()).unwrap();
        assert_eq!(state.pages_changed(), 0);
    }
    let hash = state.hash();
    assert_eq!(state.hash_anew(), hash);
}
