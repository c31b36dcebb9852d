//! What readers cannot do: keep the leader from deciding and settling, or end its term.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_core::ids::{DemandId, EntitlementId};
use sluice_engine::feed::Feed;
use sluice_engine::intake::Submitted;
use sluice_engine::snapshots::Snapshots;
use sluice_engine::verify::Verifier;
use sluice_store::{Class, Options};
use sqlx::{Connection, PgConnection};
use support::{World, eventually, wallet};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Returns when so many statements wait for a table's lock.
async fn waiting_for(asking: &mut PgConnection, table: &str, wanted: i64) {
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass";
    loop {
        let waiting = sqlx::query_as(waits).bind(table).fetch_one(&mut *asking).await;
        let (waiting,): (i64,) = waiting.expect("an answer");
        if waiting == wanted {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_decides_and_settles_while_readers_hold_every_connection() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let epoch = node.status().leading;
    assert!(epoch.is_some());
    // All that readers ask for waits for this lock, and as many ask again as soon as they are told to come back.
    let mut raw = PgConnection::connect(world.database.url()).await.unwrap();
    let mut lock = raw.begin().await.unwrap();
    sqlx::query("LOCK TABLE project IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..64 {
        let store = node.store().clone();
        readers.spawn(async move {
            loop {
                let _ = store.projects().await;
            }
        });
    }
    let mut other = PgConnection::connect(world.database.url()).await.unwrap();
    waiting_for(&mut other, "project", Options::default().connections.into()).await;
    let full = node.store().database_now().await.expect_err("no connection is free");
    assert_eq!(full.class(), Class::Retry, "{full}");

    let claim = world.claim(&snapshot, 1, &wallet(3), wallet(3).address());
    let index = claim.index;
    let submitted = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
    let submitted = submitted.expect("its row is written");
    assert!(matches!(submitted, Submitted::Decided(_) | Submitted::Waiting(_)), "{submitted:?}");
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    assert_eq!(node.status().leading, epoch, "nobody lost the lead");
    readers.shutdown().await;
    lock.rollback().await.unwrap();
    node.stop().await;
}

/// Who leads is decided by the lease. A reading of rows that failed is done again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_gives_no_answer_once_does_not_end_the_feed() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, _) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    node.stop().await;
    let term = world.term().await;
    let chains = BTreeMap::from([(31_337, world.chain.clone())]);
    let snapshots = Snapshots::new(world.folder.path());
    let (store, follower) = (term.store.clone(), term.follower.clone());
    let verifier =
        Verifier::new(follower.clone(), snapshots, store.clone(), Arc::new(chains), Arc::clone(&term.clock));
    let (_again, again) = mpsc::unbounded_channel();
    let feed = Feed::new(store, follower, verifier, term.verified.clone(), again, Arc::default());

    let mut raw = PgConnection::connect(world.database.url()).await.unwrap();
    let mut other = PgConnection::connect(world.database.url()).await.unwrap();
    let mut lock = raw.begin().await.unwrap();
    sqlx::query("LOCK TABLE node IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let mut feeding = tokio::spawn(feed.run());
    // Its statement waits for the lock until the server ends it.
    waiting_for(&mut other, "node", 1).await;
    waiting_for(&mut other, "node", 0).await;
    lock.rollback().await.unwrap();
    // It reads again: the nodes, which it could not, and then every queue.
    let reads = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%FROM intake i WHERE%'";
    let read = eventually("rows are read again", || async {
        let mut asking = PgConnection::connect(world.database.url()).await.ok()?;
        let (reading,): (i64,) = sqlx::query_as(reads).fetch_one(&mut asking).await.ok()?;
        (reading > 0).then_some(())
    });
    tokio::select! {
        ended = &mut feeding => panic!("the feed has ended: {ended:?}"),
        () = read => feeding.abort(),
    }
}
