//! The feed stepped by hand: whose rows are read, and what dead nodes cost.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_core::command::Demand;
use sluice_core::decide::Input;
use sluice_core::ids::DemandId;
use sluice_core::limits::DECIDE_WITHIN;
use sluice_engine::feed::Feed;
use sluice_engine::intake::Intake;
use sluice_engine::snapshots::Snapshots;
use sluice_engine::verify::Verifier;
use sluice_store::{IntakeWriter, NewIntake};
use sqlx::{Connection, PgConnection};
use support::{World, wallet};
use tokio::sync::mpsc;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_nodes_cost_nothing_and_what_they_accepted_is_decided() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    node.stop().await;
    let term = world.term().await;
    // A thousand nodes that ended long ago; the last of them accepted two claims that nobody has read.
    let mut raw = PgConnection::connect(world.database.url()).await.unwrap();
    let dead = "INSERT INTO node (holder, started_at, last_seen)
                SELECT 'dead ' || i, clock_millis() - interval '2 hours', clock_millis() - interval '1 hour'
                FROM generate_series(1, 1000) i RETURNING id";
    let ids: Vec<(i32,)> = sqlx::query_as(dead).fetch_all(&mut raw).await.unwrap();
    let last = u32::try_from(ids.last().unwrap().0).unwrap();
    let claims = [1, 2].map(|i| world.claim(&snapshot, 1, &wallet(i), wallet(i).address()));
    let rows = claims.each_ref().map(|claim| {
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
    });
    IntakeWriter::new(term.store.clone(), last).append(rows.to_vec()).await.unwrap();

    let chains = BTreeMap::from([(31_337, world.chain.clone())]);
    let snapshots = Snapshots::new(world.folder.path());
    let (store, follower) = (term.store.clone(), term.follower.clone());
    let verifier =
        Verifier::new(follower.clone(), snapshots, store.clone(), Arc::new(chains), Arc::clone(&term.clock));
    let (verified, mut read) = mpsc::channel(16);
    let (_again, again) = mpsc::unbounded_channel();
    let mut feed = Feed::new(store, follower, verifier, verified, again, Arc::default());
    let mut taken = 0;
    for _ in 0..3 {
        taken += feed.tick().await.unwrap();
    }
    assert_eq!(taken, 2);
    let mut found = Vec::new();
    for _ in 0..2 {
        match read.recv().await.unwrap() {
            (campaign, Input::Claim(claim)) => found.push((campaign, claim.key.node, claim.claim.index)),
            other => panic!("not a claim: {other:?}"),
        }
    }
    found.sort_unstable();
    let mut wanted = claims.map(|claim| (world.campaign, last, claim.index));
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    // The node that stopped a moment ago, and the test's own, in the queues of the stream, of one campaign and of its orders.
    let queues = feed.queues();
    assert!(queues.len() <= 6, "{} queues are read at each look", queues.len());
    assert!(queues.iter().all(|queue| queue.node < u32::try_from(ids[0].0).unwrap()), "{queues:?}");
}

/// A stop waits until nothing is on its way: also while a group is being written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demand_is_on_its_way_until_its_row_is_written() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    node.stop().await;
    let term = world.term().await;
    let mut raw = PgConnection::connect(world.database.url()).await.unwrap();
    let (own,): (i32,) = sqlx::query_as("SELECT max(id) FROM node").fetch_one(&mut raw).await.unwrap();
    let (store, follower, clock) = (term.store.clone(), term.follower.clone(), Arc::clone(&term.clock));
    let chains = BTreeMap::from([(31_337, world.chain.clone())]);
    let snapshots = Snapshots::new(world.folder.path());
    let verifier =
        Verifier::new(follower.clone(), snapshots, store.clone(), Arc::new(chains), Arc::clone(&clock));
    let writer = IntakeWriter::new(store.clone(), u32::try_from(own).unwrap());
    let (intake, mut writer) = Intake::new(follower, verifier, store, clock, writer, Arc::default());
    let writing = tokio::spawn(async move { writer.tick().await });
    assert!(intake.is_quiet());

    let mut lock = raw.begin().await.unwrap();
    sqlx::query("LOCK TABLE intake IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let claim = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    let (door, campaign) = (intake.clone(), world.campaign);
    let asked =
        tokio::spawn(async move { door.submit_claim(campaign, DemandId(Uuid::now_v7()), claim, None).await });
    let mut other = PgConnection::connect(world.database.url()).await.unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'intake'::regclass";
    loop {
        let (waiting,): (i64,) = sqlx::query_as(waits).fetch_one(&mut other).await.unwrap();
        if waiting > 0 {
            break;
        }
        assert!(!asked.is_finished(), "{:?}", asked.await);
    }
    assert!(!intake.is_quiet(), "a group is being written");
    lock.rollback().await.unwrap();
    assert!(writing.await.unwrap());
    assert!(intake.is_quiet(), "all of it is written and told");
    asked.abort();
}
