//! Rows whose chain is away: however many there are, they keep nobody else from being verified.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_core::command::{ClaimDemand, Demand};
use sluice_core::ids::DemandId;
use sluice_core::limits::{DECIDE_WITHIN, INTAKE_GROUP_MAX, LOOKUPS_MAX, VERIFY_QUEUE_MAX};
use sluice_core::log::entry::Body;
use sluice_engine::feed::Feed;
use sluice_engine::snapshots::Snapshots;
use sluice_engine::verify::Verifier;
use sluice_store::{IntakeOutcome, IntakeWriter, NewIntake};
use support::proxy::{Hold, Proxy};
use support::term::Term;
use support::{World, eventually, wallet};
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

fn row(world: &World, claim: &ClaimDemand) -> NewIntake {
    let demand = Demand::Claim(claim.clone());
    NewIntake {
        campaign: world.campaign,
        id: DemandId(Uuid::now_v7()),
        body_hash: demand.body_hash(),
        body: demand.encode(),
        place: 0,
        estimate_ms: 0,
        decide_within: DECIDE_WITHIN,
    }
}

/// Rows of a claim at a node of their own, as many groups of them.
async fn accepted(term: &Term, world: &World, claim: &ClaimDemand, groups: usize) -> usize {
    let number = term.store.register_node("a node").await.expect("a number");
    let mut writer = IntakeWriter::new(term.store.clone(), number);
    for _ in 0..groups {
        let group = (0..INTAKE_GROUP_MAX).map(|_| row(world, claim)).collect();
        writer.append(group).await.expect("written");
    }
    groups * INTAKE_GROUP_MAX
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_chain_is_silent_keep_no_other_from_being_verified() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    node.stop().await;
    let term = world.term().await;
    // Signed by another: whether the listed address is a contract that agrees, the chain must say.
    let mut asks = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    asks.signature = world.claim(&snapshot, 1, &wallet(2), wallet(2).address()).signature;
    let each = VERIFY_QUEUE_MAX / 2 / INTAKE_GROUP_MAX + 1;
    let rows = accepted(&term, &world, &asks, each).await + accepted(&term, &world, &asks, each).await;
    assert!(rows > VERIFY_QUEUE_MAX, "more than may be verified at once");

    let hold = Hold::new(false, |_| true);
    let proxy = Proxy::holding(world.anvil.url().to_owned(), Arc::clone(&hold), |_| None).await;
    let chains = BTreeMap::from([(31_337, world.through(&proxy).await)]);
    hold.close(true);
    // At first there is not even the list: every row fails at once, and so all of them are read.
    let folder = TempDir::new().expect("a folder");
    let snapshots = Snapshots::new(folder.path());
    let (store, follower) = (term.store.clone(), term.follower.clone());
    let verifier = Verifier::new(
        follower.clone(),
        snapshots.clone(),
        store.clone(),
        Arc::new(chains),
        Arc::clone(&term.clock),
    );
    let (_again, again) = mpsc::unbounded_channel();
    let mut feed = Feed::new(store, follower, verifier, term.verified.clone(), again, Arc::default());
    let mut read = 0;
    while read < rows {
        read += feed.tick().await.expect("rows are read");
    }
    let feeding = tokio::spawn(feed.run());
    let name = Snapshots::new(world.folder.path()).path(terms.list_hash);
    std::fs::hard_link(name, snapshots.path(terms.list_hash)).expect("the list is there");
    eventually("as many look-ups stand still as there may be", || async {
        (hold.waiting() >= LOOKUPS_MAX).then_some(())
    })
    .await;

    let number = term.store.register_node("another").await.expect("a number");
    let good = world.claim(&snapshot, 1, &wallet(3), wallet(3).address());
    let before = term.seq();
    let written = IntakeWriter::new(term.store.clone(), number).append(vec![row(&world, &good)]).await;
    let [IntakeOutcome::Accepted(row)] = &written.expect("written")[..] else { panic!("one row") };
    eventually("a claim that needs no chain is decided", || async {
        let log = term.log_after(before).await;
        let answer = log.into_iter().find(|entry| entry.body.intake() == Some(row.key))?;
        assert!(matches!(answer.body, Body::ClaimDecided(_)), "{:?}", answer.body);
        Some(())
    })
    .await;
    assert!(hold.waiting() >= LOOKUPS_MAX, "and they still stand");
    feeding.abort();
    hold.close(false);
}
