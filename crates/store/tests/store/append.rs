//! One statement carries everything a group yields, or nothing.

use alloy_primitives::{Address, B256};
use sluice_core::ids::{IntakeKey, StreamId};
use sluice_core::log::entry::{Body, Due, Entry};
use sluice_core::log::merkle::{Frontier, Tile, TileId, leaf_hash};
use sluice_core::state::funds::{Account, Posting};
use sluice_store::{APPEND_ROWS_MAX, Append, AppendError, Attempt, Class, Error, LogRow};
use sqlx::AssertSqlSafe;

use crate::support::{LONG, STREAM, campaign, database, group, log_row};

fn entry(seq: u64, epoch: u64) -> Entry {
    let due = Due::RoundCloses { campaign: campaign(1), round: 1 };
    Entry { stream: STREAM, seq, epoch, recorded_at: 1_700_000_000_000, body: Body::Due(due) }
}

fn row_of(entry: &Entry) -> LogRow {
    let bytes = entry.encode();
    LogRow { kind: entry.body.kind(), leaf: leaf_hash(&bytes), entry: bytes, intake: entry.body.intake() }
}

fn attempt(seq: u64, nonce: u64, mark: u8) -> Attempt {
    Attempt {
        seq,
        campaign: campaign(1),
        batch: 0,
        chain: 31_337,
        lane: Address::repeat_byte(7),
        nonce,
        hash: B256::repeat_byte(mark),
        raw: vec![mark; 300],
    }
}

fn posting(account: Account, delta: i128) -> Posting {
    Posting { campaign: campaign(1), account, delta }
}

#[tokio::test]
async fn entries_come_back_as_they_were_written() {
    let db = database().await;
    let (mut session, taken) = db.leader("leader", LONG).await;
    let entries: Vec<Entry> = (1..=10).map(|seq| entry(seq, taken.epoch)).collect();
    let rows = entries.iter().map(row_of).collect();
    let appended = session.append(&Append { first: 1, rows, ..Append::default() }).await.unwrap();
    assert!(appended.now >= taken.now);
    let found = db.store.entries_at(STREAM, &[5, 2, 99]).await.unwrap();
    assert_eq!(found.iter().map(|row| row.seq).collect::<Vec<_>>(), [2, 5]);
    assert_eq!(found[1], db.store.read_log(STREAM, 4, 1).await.unwrap()[0]);
    let read = db.store.read_log(STREAM, 4, 3).await.unwrap();
    let decoded: Vec<_> = read.iter().map(|row| row.decode().unwrap()).collect();
    assert_eq!(decoded, entries[4..7]);
    assert_eq!(db.store.read_log(StreamId(1), 0, 10).await.unwrap(), []);
    let leaves: Vec<_> = entries[2..5].iter().map(|entry| row_of(entry).leaf).collect();
    assert_eq!(db.store.leaf_hashes(STREAM, 3, 6).await.unwrap(), leaves);
}

#[tokio::test]
async fn a_row_that_disagrees_with_its_entry_is_not_decoded() {
    let db = database().await;
    let (mut session, taken) = db.leader("leader", LONG).await;
    let mut rows = vec![row_of(&entry(1, taken.epoch)), row_of(&entry(9, taken.epoch)), log_row("junk", 3)];
    rows[0].leaf[0] ^= 1;
    session.append(&Append { first: 1, rows, ..Append::default() }).await.unwrap();
    for row in db.store.read_log(STREAM, 0, 10).await.unwrap() {
        let error = row.decode().unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "log.entry", .. }), "{error}");
        assert_eq!(error.class(), Class::Bug);
    }
}

#[tokio::test]
async fn an_append_that_does_not_follow_is_refused_and_so_is_its_successor() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    assert!(matches!(session.append(&group("x", 2, 1)).await, Err(AppendError::Gap { first: 2, .. })));
    session.append(&group("x", 1, 3)).await.unwrap();
    assert!(matches!(session.append(&group("x", 3, 2)).await, Err(AppendError::Conflict { .. })));
    // Two groups on their way, the first of which fails: the second must not leave a gap.
    let mut first = group("x", 4, 4);
    first.rows[2].entry.clear();
    let error = session.append(&first).await.unwrap_err();
    assert!(matches!(error, AppendError::Failed(Error::Refused { .. })), "{error}");
    assert_eq!(error.class(), Class::Bug);
    assert!(matches!(session.append(&group("x", 8, 4)).await, Err(AppendError::Gap { first: 8, .. })));
    session.append(&group("x", 4, 4)).await.unwrap();
    assert_eq!(db.store.head(STREAM).await.unwrap().unwrap().seq, 7);
}

#[tokio::test]
async fn a_group_carries_its_postings_attempts_and_tiles() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let tile = Tile { level: 1, n: 0, hashes: (0..=255).map(|n| [n; 32]).collect() };
    let append = Append {
        postings: vec![
            posting(Account::Funded, -1_000),
            posting(Account::Free, 1_000 - (1 << 120)),
            posting(Account::Reserved, 1 << 120),
        ],
        attempts: vec![attempt(2, 0, 0xaa), attempt(3, 0, 0xbb)],
        tiles: vec![tile.clone()],
        ..group("x", 1, 3)
    };
    session.append(&append).await.unwrap();

    let ledger = db.store.ledger(campaign(1)).await.unwrap();
    assert_eq!(ledger.values().sum::<i128>(), 0);
    assert_eq!(ledger[&Account::Free], 1_000 - (1 << 120));
    assert_eq!((ledger[&Account::Reserved], ledger[&Account::Paid]), (1 << 120, 0));
    assert!(db.store.ledger(campaign(2)).await.unwrap().values().all(|balance| *balance == 0));
    let mut raw = db.raw().await;
    let postings: Vec<(i64, i16)> =
        sqlx::query_as("SELECT seq, kind FROM posting ORDER BY kind").fetch_all(&mut raw).await.unwrap();
    assert_eq!(
        postings,
        [(3, 1), (3, 2), (3, 3)],
        "one row per account that moved, at the group's last position"
    );

    for attempt in &append.attempts {
        assert_eq!(db.store.attempt_by_hash(attempt.hash).await.unwrap().as_ref(), Some(attempt));
    }
    assert_eq!(db.store.raw_of(B256::repeat_byte(0xbb)).await.unwrap(), Some(vec![0xbb; 300]));
    assert_eq!(db.store.raw_of(B256::ZERO).await.unwrap(), None);
    assert_eq!(db.store.tile(STREAM, TileId { level: 1, n: 0 }).await.unwrap(), Some(tile.clone()));
    assert_eq!(db.store.tile(STREAM, TileId { level: 1, n: 1 }).await.unwrap(), None);
    assert_eq!(db.store.tiles(STREAM, 1, 0, 10).await.unwrap(), [tile]);
    let leaves: Vec<_> = append.rows.iter().map(|row| row.leaf).collect();
    assert_eq!(db.store.tile(STREAM, TileId { level: 0, n: 0 }).await.unwrap().unwrap().hashes, leaves);
}

#[tokio::test]
async fn nothing_of_a_group_is_written_when_a_part_is_refused() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    session.append(&Append { attempts: vec![attempt(1, 5, 1)], ..group("x", 1, 1) }).await.unwrap();

    let unbalanced = Append { postings: vec![posting(Account::Free, 1)], ..group("x", 2, 1) };
    let error = session.append(&unbalanced).await.unwrap_err();
    let AppendError::Failed(Error::Refused { constraint, .. }) = &error else { panic!("{error}") };
    assert_eq!(constraint, "posting_balances");

    let twice = [posting(Account::Free, 1), posting(Account::Free, 1), posting(Account::Funded, -2)];
    let unsummed = Append { postings: twice.to_vec(), ..group("x", 2, 1) };
    let error = session.append(&unsummed).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { .. }) && error.class() == Class::Bug, "{error}");

    let repeated = Append { attempts: vec![attempt(2, 5, 1)], ..group("x", 2, 1) };
    let error = session.append(&repeated).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { .. }) && error.class() == Class::Bug, "{error}");

    let short = Tile { level: 1, n: 0, hashes: vec![[0; 32]; 255] };
    let error = session.append(&Append { tiles: vec![short], ..group("x", 2, 1) }).await.unwrap_err();
    assert!(matches!(error, AppendError::Failed(Error::Refused { .. })), "{error}");

    assert_eq!(db.store.head(STREAM).await.unwrap().unwrap().seq, 1);
    let mut raw = db.raw().await;
    let attempts: i64 = sqlx::query_scalar("SELECT count(*) FROM attempt").fetch_one(&mut raw).await.unwrap();
    assert_eq!(attempts, 1);
    session.append(&group("x", 2, 1)).await.unwrap();
}

#[tokio::test]
async fn the_entry_of_a_demand_is_found_by_its_row() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let key = IntakeKey { campaign: campaign(1), node: 3, n: 8 };
    let mut append = group("x", 1, 3);
    append.rows[1].intake = Some(key);
    session.append(&append).await.unwrap();
    let (stream, found) = db.store.entry_of_intake(key).await.unwrap().unwrap();
    assert_eq!((stream, found.seq, &found.entry), (STREAM, 2, &append.rows[1].entry));
    assert_eq!(db.store.entry_of_intake(IntakeKey { n: 9, ..key }).await.unwrap(), None);

    append.first = 4;
    session.append(&append).await.unwrap();
    assert!(
        matches!(db.store.entry_of_intake(key).await, Err(Error::Corrupt { .. })),
        "answered twice is a bug"
    );
}

#[tokio::test]
async fn bounds_are_kept_before_anything_is_sent() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    for count in [0, APPEND_ROWS_MAX as u64 + 1] {
        let error = session.append(&group("x", 1, count)).await.unwrap_err();
        assert!(matches!(error, AppendError::Failed(Error::TooMuch { .. })), "{error}");
    }
    session.append(&group("x", 1, APPEND_ROWS_MAX as u64)).await.unwrap();
    assert!(matches!(db.store.leaf_hashes(STREAM, 1, 200_000).await, Err(Error::TooMuch { .. })));
}

#[tokio::test]
async fn a_read_is_bounded_by_bytes_but_never_empty() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let large = |seq| LogRow { entry: vec![seq; 12 << 20], ..log_row("large", 0) };
    for seq in 1..=4 {
        let rows = vec![large(seq)];
        session.append(&Append { first: seq.into(), rows, ..Append::default() }).await.unwrap();
    }
    let read = db.store.read_log(STREAM, 0, 100).await.unwrap();
    assert_eq!(
        read.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [1, 2],
        "32 MiB hold two entries of 12 MiB"
    );
    assert_eq!(db.store.read_log(STREAM, 2, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn partitions_are_ready_before_they_are_needed() {
    let db = database().await;
    let mut raw = db.raw().await;
    let count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'log'::regclass";
    let partitions = async |raw: &mut sqlx::PgConnection| -> i64 {
        sqlx::query_scalar(count).fetch_one(raw).await.unwrap()
    };
    assert_eq!(partitions(&mut raw).await, 1);
    let (mut session, _) = db.leader("leader", LONG).await;
    assert_eq!(partitions(&mut raw).await, 2, "a new leader provides the next partition");
    // Pretend that the log stands in the middle of the second partition: its last row is enough.
    let sql = format!(
        "INSERT INTO log (stream, seq, epoch, kind, entry, leaf) VALUES (0, {}, 1, 10, 'xx', sha256('x'))",
        16_000_000
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
    session.append(&group("x", 16_000_001, 2)).await.unwrap();
    assert_eq!(partitions(&mut raw).await, 3, "and so does an append in its second half");
    let again: i32 =
        sqlx::query_scalar("SELECT ensure_log_partitions(26000000)").fetch_one(&mut raw).await.unwrap();
    assert_eq!(again, 0);
    // A later one has every guard that the first has.
    let error = sqlx::raw_sql("DELETE FROM log_0000000002").execute(&mut raw).await.unwrap_err();
    assert!(error.to_string().contains("never changed"), "{error}");
}

#[tokio::test]
async fn a_log_over_several_groups_verifies_against_its_tiles() {
    // 66,000 entries fill one tile of level 1, in the append in which its last leaf stands.
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let (mut frontier, mut next) = (Frontier::default(), 1);
    while next <= 66_000 {
        let mut append = group("leaf", next, 4_000);
        let leaves: Vec<_> = append.rows.iter().map(|row| row.leaf).collect();
        append.tiles = frontier.extend_with_paths(&leaves).tiles;
        next = append.last() + 1;
        session.append(&append).await.unwrap();
    }
    let stored = db.store.tiles(STREAM, 1, 0, 10).await.unwrap();
    assert_eq!(stored.len(), 1);
    let mut again = Frontier::default();
    for from in (1..next).step_by(4_000) {
        again.extend_with_paths(&db.store.leaf_hashes(STREAM, from, from + 4_000).await.unwrap());
    }
    assert_eq!(again.root(), frontier.root());
}
