//! Institutions, citizens and claims in random interleavings, through two real nodes with a real PostgreSQL and a real
//! chain. What was answered is the log; the log is folded again by rules written anew here; every entry is decided again
//! from what it was decided from.
//!
//! `SLUICE_SEED=n` runs one seed; else [`SEEDS`].

#[allow(unreachable_pub, reason = "the parts of one test")]
mod interleavings {
    pub mod acts;
    pub mod audit;
    pub mod redecide;
}
mod support;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use interleavings::acts::{Actor, PEOPLE, finish, people};
use interleavings::{audit, redecide};
use sluice_core::ids::Seq;
use sluice_core::state::State;
use sluice_engine::node::Node;
use support::World;

const SEEDS: [u64; 2] = [1, 7];
/// What each of three actors does in one life.
const ACTS: u32 = 60;

fn seeds() -> Vec<u64> {
    match std::env::var("SLUICE_SEED") {
        Ok(text) => vec![text.parse().expect("SLUICE_SEED is a number")],
        Err(_) => SEEDS.to_vec(),
    }
}

/// Where everybody stands.
fn states(state: &State, world: &World) -> Vec<Option<&'static str>> {
    let round = |index| sluice_core::ids::EntitlementId { round: 1, index };
    let campaign = state.campaign(world.campaign);
    let state = |index| Some(campaign?.status(round(index))?.as_str());
    (0..u64::from(PEOPLE)).map(state).collect()
}

/// Reads two nodes until told to stop: at one position both say the same.
async fn read_both(nodes: &[Node; 2], world: &World, stop: &AtomicBool) -> usize {
    let mut seen: HashMap<Seq, Vec<Option<&'static str>>> = HashMap::new();
    let mut compared = 0;
    while !stop.load(Ordering::Relaxed) {
        for node in nodes {
            let (seq, now) = node.follower().read(|state| (state.seq, states(state, world)));
            compared += usize::from(seen.contains_key(&seq));
            assert_eq!(*seen.entry(seq).or_insert_with(|| now.clone()), now, "two reads at {seq}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    compared
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_acts_in_whatever_order_positions_explain_everything() {
    for seed in seeds() {
        eprintln!("seed {seed}");
        live(seed).await;
    }
}

async fn live(seed: u64) {
    let world = World::new().await;
    let nodes = [world.node(0).await, world.node(1).await];
    let (terms, snapshot) = people(&world);
    world.open_round(&nodes[0], &terms).await;
    let (told, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let actor = |number| Actor::new(seed, number, &world, &nodes, &snapshot, &told);
    let (mut first, mut second, mut third) = (actor(1), actor(2), actor(3));
    let acting = async {
        tokio::join!(first.act(ACTS), second.act(ACTS), third.act(ACTS));
        finish(&world, &nodes[0]).await;
        stop.store(true, Ordering::Relaxed);
    };
    let ((), compared) = tokio::join!(acting, read_both(&nodes, &world, &stop));
    assert!(compared > 0, "both nodes were read at the same positions");

    let log = world.log(&nodes[0]).await;
    let told = told.into_inner().expect("no panic inside");
    audit::answers(&log, &told);
    let folded = audit::fold(&world, &snapshot, &log);
    audit::changed_logs_are_seen(&world, &snapshot, &log);
    audit::chain(&world, &snapshot, &folded).await;
    let checkpoints = audit::checkpoints(&nodes[0], &log).await;
    let again = redecide::every_entry(&world, &nodes[0], &snapshot, &log).await;
    eprintln!(
        "seed {seed}: {} entries, {} answers, {} paid, {checkpoints} checkpoints, {} decided again, {} not; {:?}",
        log.len(),
        told.len(),
        folded.paid().len(),
        again.same,
        again.left,
        audit::kinds(&log),
    );
    assert!(again.same > again.left, "most entries are decided again");
    for node in nodes {
        node.stop().await;
    }
}
