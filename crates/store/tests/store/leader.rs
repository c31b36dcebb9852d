//! Who may take the epoch, and that nothing of an old one is ever written.

use std::collections::BTreeMap;

use sluice_store::{AppendError, LeaderSession};
use sqlx::Connection;
use tokio::sync::watch;

use crate::support::{Db, LONG, SHORT, STREAM, database, group, until};

async fn candidate(db: &Db) -> LeaderSession {
    LeaderSession::open(&db.store, STREAM).await.unwrap()
}

#[tokio::test]
async fn a_living_leader_is_not_disturbed_and_a_dead_one_replaced_at_once() {
    let db = database().await;
    assert_eq!(db.store.head(STREAM).await.unwrap(), None);
    let (mut first, taken) = db.leader("first", LONG).await;
    assert_eq!((taken.epoch, taken.seq), (1, 0));
    first.append(&group("first", 1, 3)).await.unwrap();
    let mut second = candidate(&db).await;
    assert_eq!(second.take_epoch("second", LONG, 0).await.unwrap(), None);
    assert_eq!(second.epoch(), None);
    let head = db.store.head(STREAM).await.unwrap().unwrap();
    assert_eq!((head.epoch, head.holder.as_str(), head.seq), (1, "first", 3));
    assert!(head.lease_until > head.now);

    // Its session ends, as a killed process's does; the lease still runs for minutes.
    drop(first);
    let mut taken = None;
    while taken.is_none() {
        taken = second.take_epoch("second", LONG, 0).await.unwrap();
    }
    let taken = taken.unwrap();
    assert_eq!((taken.epoch, taken.seq), (2, 3));
    assert!(taken.now >= head.now);
    second.append(&group("second", 4, 1)).await.unwrap();
}

#[tokio::test]
async fn a_lapsed_lease_lets_another_take_over_while_the_old_session_lives() {
    let db = database().await;
    let (mut old, _) = db.leader("old", SHORT).await;
    old.append(&group("old", 1, 2)).await.unwrap();
    let mut new = candidate(&db).await;
    until("the lease to lapse", async || {
        db.store.head(STREAM).await.unwrap().unwrap().lease_until <= db.store.database_now().await.unwrap()
    })
    .await;
    let taken = new.take_epoch("new", LONG, 0).await.unwrap().expect("the lease has lapsed");
    assert_eq!((taken.epoch, taken.seq), (2, 2));
    // The old one finds out by itself, whatever it does next.
    let fenced = |error| matches!(error, AppendError::Fenced { epoch: 1, .. });
    assert!(fenced(old.append(&group("old", 3, 1)).await.unwrap_err()));
    assert!(fenced(old.renew().await.unwrap_err()));
    // The old session still holds its old lock; nobody takes that for a dead new leader.
    let mut third = candidate(&db).await;
    assert_eq!(third.take_epoch("third", LONG, 0).await.unwrap(), None);
    assert_eq!(db.store.read_log(STREAM, 0, 100).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_epoch_exceeds_every_chains() {
    let db = database().await;
    let mut session = candidate(&db).await;
    assert_eq!(session.take_epoch("a", LONG, 41).await.unwrap().unwrap().epoch, 41);
    assert_eq!(session.take_epoch("a", LONG, 7).await.unwrap().unwrap().epoch, 42);
    assert_eq!(session.take_epoch("a", LONG, 100).await.unwrap().unwrap().epoch, 100);
}

#[tokio::test]
async fn a_holder_that_comes_back_takes_over_from_itself() {
    let db = database().await;
    let (mut before, _) = db.leader("the same process", LONG).await;
    let (_after, taken) = db.leader("the same process", LONG).await;
    assert_eq!(taken.epoch, 2);
    assert!(matches!(before.append(&group("before", 1, 1)).await, Err(AppendError::Fenced { .. })));
}

#[tokio::test]
async fn a_session_without_an_epoch_cannot_append() {
    let db = database().await;
    let mut session = candidate(&db).await;
    assert!(matches!(session.append(&group("x", 1, 1)).await, Err(AppendError::Failed(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_that_race_get_one_epoch_each_at_most() {
    let db = database().await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let mut session = candidate(&db).await;
        tasks.push(tokio::spawn(async move {
            let taken = session.take_epoch(&format!("candidate {n}"), LONG, 0).await.unwrap();
            (session, taken)
        }));
    }
    let mut winners = Vec::new();
    for task in tasks {
        // Sessions are kept, so that no winner's lock is freed meanwhile.
        winners.push(task.await.unwrap());
    }
    assert_eq!(winners.iter().filter(|(_, taken)| taken.is_some()).count(), 1);
    assert_eq!(db.store.head(STREAM).await.unwrap().unwrap().epoch, 1);
}

/// A leader with a lease that lapses at once appends as fast as it can, until it is fenced.
fn append_until_fenced(
    mut session: LeaderSession,
    mut next: u64,
    done: watch::Sender<u64>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match session.append(&group("race", next, 4)).await {
                Ok(_) => next += 4,
                Err(AppendError::Fenced { .. }) => return,
                Err(other) => panic!("{other}"),
            }
            done.send_modify(|appends| *appends += 1);
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_takeovers_racing_appends_leave_no_row_of_an_old_epoch_behind_them() {
    let db = database().await;
    let mut takeovers = Vec::new();
    let mut appenders = Vec::new();
    for n in 0..40 {
        let mut session = candidate(&db).await;
        let taken = loop {
            if let Some(taken) = session.take_epoch(&format!("leader {n}"), SHORT, 0).await.unwrap() {
                break taken;
            }
        };
        takeovers.push(taken);
        let (done, mut appends) = watch::channel(0);
        appenders.push(append_until_fenced(session, taken.seq + 1, done));
        // The next one comes while this one is at it.
        appends.wait_for(|appends| *appends >= 5).await.unwrap();
    }
    let (_last, taken) = loop {
        let mut session = candidate(&db).await;
        if let Some(taken) = session.take_epoch("last", LONG, 0).await.unwrap() {
            break (session, taken);
        }
    };
    for appender in appenders {
        appender.await.unwrap();
    }
    let rows = db.store.read_log(STREAM, 0, 1_000_000).await.unwrap();
    assert_eq!(rows.last().unwrap().seq, taken.seq);
    assert!(rows.iter().zip(1..).all(|(row, seq)| row.seq == seq), "the log has a gap");
    assert!(rows.is_sorted_by_key(|row| row.epoch));
    let last_of: BTreeMap<u64, u64> = rows.iter().map(|row| (row.epoch, row.seq)).collect();
    assert_eq!(last_of.len(), 40);
    for pair in takeovers.windows(2) {
        assert_eq!(last_of[&pair[0].epoch], pair[1].seq, "a row of epoch {} came late", pair[0].epoch);
    }
}

#[tokio::test]
async fn a_leader_stopped_inside_a_transaction_does_not_block_its_successor() {
    let db = database().await;
    let (old, _) = db.leader("old", SHORT).await;
    // A session as a leader's, stopped between the lock and the commit.
    let mut stopped = db.raw().await;
    sqlx::raw_sql("SET idle_in_transaction_session_timeout = '500ms'; BEGIN")
        .execute(&mut stopped)
        .await
        .unwrap();
    sqlx::raw_sql("SELECT FROM head WHERE stream = 0 FOR NO KEY UPDATE").execute(&mut stopped).await.unwrap();
    let mut new = candidate(&db).await;
    until("the takeover", async || matches!(new.take_epoch("new", LONG, 0).await, Ok(Some(_)))).await;
    assert!(stopped.ping().await.is_err(), "the stopped session was ended");
    drop(old);
}

#[tokio::test]
async fn appends_leave_the_head_alone_but_for_the_lease() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let mut raw = db.raw().await;
    let start = std::time::Instant::now();
    let mut versions = std::collections::BTreeSet::new();
    for n in 0..100 {
        session.append(&group("x", n * 2 + 1, 2)).await.unwrap();
        let version: String =
            sqlx::query_scalar("SELECT xmin::text FROM head").fetch_one(&mut raw).await.unwrap();
        versions.insert(version);
    }
    // The lease is renewed once a second at most, however long the appends took.
    let elapsed = start.elapsed();
    assert!(
        versions.len() as u64 <= 2 + elapsed.as_secs(),
        "{} versions of head in {elapsed:?}",
        versions.len()
    );
}
