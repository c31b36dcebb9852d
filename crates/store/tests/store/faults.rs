//! Cut anywhere (LOG.md §4): what a lost answer means is found out, and only then said.

use std::time::Duration;

use sluice_core::ids::Seq;
use sluice_store::{AppendError, Class, IntakeOutcome, IntakeWriter, LeaderSession, Options, Store};

use crate::intake::assert_contiguous;
use crate::proxy::{Cut, Proxy};
use crate::support::{Db, LONG, SHORT, STREAM, campaign, database, group, id, log_row, new_intake, until};

/// A store that reaches the database through the proxy.
async fn through(proxy: &Proxy) -> Store {
    Store::connect(&proxy.url(), Options { connections: 2 }).await.unwrap()
}

/// A leader behind the proxy that has appended positions 1 to 3, so that its statement is prepared.
async fn leader_through(proxy: &Proxy, lease: Duration) -> LeaderSession {
    let mut session = LeaderSession::open(&through(proxy).await, STREAM).await.unwrap();
    session.take_epoch("the leader", lease, 0).await.unwrap().unwrap();
    session.append(&group("before", 1, 3)).await.unwrap();
    session
}

/// Whether the doubtful append wrote this position.
async fn written(db: &Db, seq: Seq) -> bool {
    let rows = db.store.read_log(STREAM, seq - 1, 1).await.unwrap();
    rows.first().is_some_and(|row| (row.seq, row.leaf) == (seq, log_row("doubtful", seq).leaf))
}

#[tokio::test]
async fn an_append_cut_anywhere_is_resolved_by_the_next_epoch() {
    for cut in [Cut::BeforeExecute, Cut::BeforeCommit, Cut::AfterCommit, Cut::Blindly] {
        let db = database().await;
        let proxy = Proxy::before(&db.database);
        let mut session = leader_through(&proxy, LONG).await;
        proxy.cut_next(cut);
        let error = session.append(&group("doubtful", 4, 5)).await.unwrap_err();
        assert!(proxy.has_cut());
        assert!(matches!(error, AppendError::Unknown(_)), "{cut:?}: {error}");
        assert_eq!(error.class(), Class::Unknown);
        // The session says nothing more, however often it is asked.
        let error = session.append(&group("doubtful", 4, 5)).await.unwrap_err();
        assert!(matches!(error, AppendError::Failed(sluice_store::Error::SessionEnded)), "{cut:?}: {error}");

        let (mut after, taken) = db.leader("the leader", LONG).await;
        let (first, last) = (written(&db, 4).await, written(&db, 8).await);
        assert_eq!(first, last, "{cut:?}: a group is written whole or not at all");
        match cut {
            Cut::BeforeExecute | Cut::BeforeCommit => assert!(!first, "{cut:?}"),
            Cut::AfterCommit => assert!(first),
            // Cut without looking, either is right.
            _ => {}
        }
        assert_eq!(taken.seq, if first { 8 } else { 3 }, "{cut:?}");
        // What was found out stays true when the log goes on.
        after.append(&group("after", taken.seq + 1, 5)).await.unwrap();
        assert_eq!(written(&db, 4).await, first, "{cut:?}");
        let rows = db.store.read_log(STREAM, 0, 100).await.unwrap();
        assert!(rows.iter().zip(1..).all(|(row, seq)| row.seq == seq));
    }
}

#[tokio::test]
async fn a_leader_stopped_between_execution_and_commit_is_replaced_and_writes_nothing() {
    let db = database().await;
    let proxy = Proxy::before(&db.database);
    let mut session = leader_through(&proxy, SHORT).await;
    proxy.cut_next(Cut::HoldCommit);
    let stopped = tokio::spawn(async move { session.append(&group("doubtful", 4, 5)).await });
    proxy.held().await;
    // The rows are inserted, the head's lock is held, and the commit does not come.
    let mut new = LeaderSession::open(&db.store, STREAM).await.unwrap();
    let mut taken = None;
    until("the takeover", async || {
        taken = new.take_epoch("another", LONG, 0).await.unwrap_or_default();
        taken.is_some()
    })
    .await;
    assert_eq!(taken.unwrap().seq, 3);
    proxy.resume();
    let error = stopped.await.unwrap().unwrap_err();
    assert!(matches!(error, AppendError::Unknown(_) | AppendError::Fenced { .. }), "{error}");
    assert!(!written(&db, 4).await);
    new.append(&group("after", 4, 1)).await.unwrap();
}

#[tokio::test]
async fn an_intake_group_cut_anywhere_is_done_once() {
    for cut in [Cut::BeforeExecute, Cut::BeforeCommit, Cut::AfterCommit, Cut::Blindly] {
        let db = database().await;
        let proxy = Proxy::before(&db.database);
        let node = db.store.register_node("a test").await.unwrap();
        let mut writer = IntakeWriter::new(through(&proxy).await, node);
        let demand = |n| new_intake(campaign(1), id(n), b"body");
        writer.append((0..3).map(demand).collect()).await.unwrap();

        proxy.cut_next(cut);
        let outcomes = writer.append((2..9).map(demand).collect()).await.unwrap();
        assert!(proxy.has_cut());
        assert!(matches!(&outcomes[0], IntakeOutcome::Existing(row) if row.key.n == 3), "{cut:?}");
        for (outcome, n) in outcomes[1..].iter().zip(4..) {
            let IntakeOutcome::Accepted(row) = outcome else { panic!("{cut:?}: {outcome:?}") };
            assert_eq!(row.key.n, n, "{cut:?}");
            assert_eq!(
                db.store.intake_by_id(campaign(1), row.id).await.unwrap().as_ref(),
                Some(row),
                "{cut:?}"
            );
        }
        writer.append((9..12).map(demand).collect()).await.unwrap();
        assert_eq!(assert_contiguous(&db, campaign(1)).await[&node], 12, "{cut:?}");
    }
}

#[tokio::test]
async fn doubt_that_cannot_be_removed_is_said_and_the_ids_tell_later() {
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let db = database().await;
        let proxy = Proxy::before(&db.database);
        let node = db.store.register_node("a test").await.unwrap();
        let mut writer = IntakeWriter::new(through(&proxy).await, node);
        let demand = |n| new_intake(campaign(1), id(n), b"body");
        writer.append((0..3).map(demand).collect()).await.unwrap();

        proxy.cut_next(cut);
        proxy.refuse(true);
        let error = writer.append((3..6).map(demand).collect()).await.unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "{cut:?}: {error}");
        proxy.refuse(false);
        let durable = db.store.intake_by_id(campaign(1), id(4)).await.unwrap().is_some();
        assert_eq!(durable, cut == Cut::AfterCommit);
        // Others come first, then the client repeats its id.
        writer.append((6..8).map(demand).collect()).await.unwrap();
        let again = writer.append((3..6).map(demand).collect()).await.unwrap();
        for outcome in &again {
            assert_eq!(matches!(outcome, IntakeOutcome::Existing(_)), durable, "{cut:?}: {outcome:?}");
        }
        assert_eq!(assert_contiguous(&db, campaign(1)).await[&node], 8, "{cut:?}");
    }
}

#[tokio::test]
async fn a_group_given_up_for_lost_that_commits_later_leaves_no_gap() {
    let db = database().await;
    let proxy = Proxy::before(&db.database);
    let node = db.store.register_node("a test").await.unwrap();
    let mut writer = IntakeWriter::new(through(&proxy).await, node);
    let demand = |n| new_intake(campaign(1), id(n), b"body");
    writer.append((0..3).map(demand).collect()).await.unwrap();

    // The call is abandoned with its rows inserted and its commit still to come.
    proxy.cut_next(Cut::HoldCommit);
    tokio::select! {
        outcome = writer.append((3..6).map(demand).collect()) => panic!("{outcome:?}"),
        () = proxy.held() => {}
    }
    // What the proxy passed on is not yet done: only then has the group its numbers.
    let mut raw = db.raw().await;
    let inserted = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND backend_xid IS NOT NULL AND wait_event = 'ClientRead'";
    until("the group's rows", async || {
        sqlx::query_scalar::<_, i64>(inserted).fetch_one(&mut raw).await.unwrap() > 0
    })
    .await;
    // The next group takes the same numbers, and so has to wait for it.
    let next = tokio::spawn(async move { writer.append((6..8).map(demand).collect()).await });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
                   AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
    until("the next group to wait", async || {
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut raw).await.unwrap() > 0
    })
    .await;
    proxy.resume();
    let outcomes = next.await.unwrap().unwrap();
    let numbers: Vec<_> = outcomes
        .iter()
        .map(|outcome| if let IntakeOutcome::Accepted(row) = outcome { row.key.n } else { 0 })
        .collect();
    assert_eq!(numbers, [7, 8], "after the group that came late");
    assert_eq!(assert_contiguous(&db, campaign(1)).await[&node], 8);
}

#[tokio::test]
async fn reads_fail_as_worth_another_try() {
    let db = database().await;
    let proxy = Proxy::before(&db.database);
    let store = through(&proxy).await;
    store.database_now().await.unwrap();
    proxy.cut_next(Cut::AfterCommit);
    let error = store.database_now().await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error}");
    store.database_now().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_reason() {
    // Nothing listens where a listener just was.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = Store::connect(&format!("postgres://nobody@{gone}/x"), Options::default()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&format!("PostgreSQL at {gone}: Connection refused")), "{said}");
    assert_eq!(error.class(), Class::Retry);
}
