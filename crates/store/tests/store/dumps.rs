//! State dumps: whole or not at all, and two of them.

use sluice_store::{DUMP_PAGE_BYTES, DUMP_PAGES_MAX, DumpAt, Error};
use tokio::sync::mpsc;

use crate::support::LONG;
use crate::support::{Db, STREAM, database, group, until};

fn bytes(seq: u64) -> Vec<u8> {
    (0..400_000_u64).flat_map(|i| (i * seq).to_le_bytes()).collect()
}

/// Hands in all pages of some bytes.
async fn add(db: &Db, seq: u64, bytes: &[u8]) -> Result<bool, Error> {
    let (pages, received) = mpsc::channel(64);
    for page in bytes.chunks(DUMP_PAGE_BYTES) {
        pages.try_send(page.to_vec()).unwrap();
    }
    drop(pages);
    db.store.add_dump(STREAM, seq, bytes.len() as u64, received).await
}

async fn seqs(db: &Db) -> Vec<u64> {
    db.store.dumps(STREAM).await.unwrap().into_iter().map(|dump| dump.seq).collect()
}

async fn rows(db: &Db) -> i64 {
    let mut raw = db.raw().await;
    sqlx::query_scalar("SELECT count(*) FROM state_page").fetch_one(&mut raw).await.unwrap()
}

#[tokio::test]
async fn the_newest_two_whole_dumps_are_listed_and_read_and_older_ones_go() {
    let db = database().await;
    for seq in [100, 200, 300] {
        assert!(add(&db, seq, &bytes(seq)).await.unwrap());
    }
    let listed = db.store.dumps(STREAM).await.unwrap();
    assert_eq!(listed, [DumpAt { seq: 300, pages: 4 }, DumpAt { seq: 200, pages: 4 }]);
    assert_eq!(rows(&db).await, 8, "two are kept");
    for dump in listed {
        assert!(db.store.dump(STREAM, dump).await.unwrap().unwrap() == bytes(dump.seq));
    }
    let gone = DumpAt { seq: 100, pages: 4 };
    assert_eq!(db.store.dump(STREAM, gone).await.unwrap(), None);
    // One that lost a page does not count, and is replaced when it is written again.
    let mut raw = db.raw().await;
    sqlx::raw_sql("DELETE FROM state_page WHERE seq = 300 AND page = 1").execute(&mut raw).await.unwrap();
    assert_eq!(seqs(&db).await, [200]);
    assert!(add(&db, 300, &bytes(3)).await.unwrap());
    let again = db.store.dumps(STREAM).await.unwrap()[0];
    assert!(db.store.dump(STREAM, again).await.unwrap().unwrap() == bytes(3));
}

#[tokio::test]
async fn a_dump_of_nothing_or_of_too_much_or_cut_short_is_not_stored() {
    let db = database().await;
    assert!(!add(&db, 400, &[]).await.unwrap());
    assert!(add(&db, 0, &bytes(1)).await.is_err(), "there is no State after no entry");
    let (pages, received) = mpsc::channel(1);
    drop(pages);
    let too_much = (u64::from(DUMP_PAGES_MAX) + 1) * DUMP_PAGE_BYTES as u64;
    let error = db.store.add_dump(STREAM, 500, too_much, received).await.unwrap_err();
    assert!(matches!(error, Error::TooMuch { .. }), "{error}");
    let (pages, received) = mpsc::channel(4);
    pages.try_send(vec![1; DUMP_PAGE_BYTES]).unwrap();
    drop(pages);
    assert!(!db.store.add_dump(STREAM, 600, 2 * DUMP_PAGE_BYTES as u64, received).await.unwrap());
    assert_eq!((rows(&db).await, seqs(&db).await), (0, vec![]));
}

/// A writer that has stored two of its four pages and waits for the third.
async fn half_written(
    db: &Db,
    seq: u64,
) -> (mpsc::Sender<Vec<u8>>, tokio::task::JoinHandle<Result<bool, Error>>) {
    let (pages, received) = mpsc::channel(1);
    let store = db.store.clone();
    let writer = tokio::spawn(async move { store.add_dump(STREAM, seq, 4 << 20, received).await });
    for page in 0..2 {
        pages.send(vec![page; DUMP_PAGE_BYTES]).await.unwrap();
    }
    until("the second page is stored", async || {
        let sql = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()
                   AND state = 'idle in transaction' AND query LIKE 'INSERT INTO state_page%'";
        pages.capacity() == 1
            && sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut db.raw().await).await.unwrap()
    })
    .await;
    (pages, writer)
}

#[tokio::test]
async fn a_writer_cut_in_the_middle_leaves_nothing_half_and_the_older_dump() {
    let db = database().await;
    assert!(add(&db, 100, &bytes(100)).await.unwrap());
    // Its process ends: the connection goes with it.
    let (_pages, writer) = half_written(&db, 200).await;
    writer.abort();
    assert!(writer.await.unwrap_err().is_cancelled());
    // The server ends its connection.
    let (pages, writer) = half_written(&db, 300).await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE 'INSERT INTO state_page%' AND pid <> pg_backend_pid()";
    sqlx::query(sql).execute(&mut db.raw().await).await.unwrap();
    // Taken or not: the writer finds out when it stores it.
    let _ = pages.send(vec![2; DUMP_PAGE_BYTES]).await;
    writer.await.unwrap().unwrap_err();
    assert_eq!((rows(&db).await, seqs(&db).await), (4, vec![100]));
    assert!(add(&db, 300, &bytes(300)).await.unwrap(), "nothing stands in the way of the next one");
    assert_eq!(seqs(&db).await, [300, 100]);
}

#[tokio::test]
async fn appends_go_on_while_a_dump_is_half_written() {
    let db = database().await;
    let (mut session, _) = db.leader("a leader", LONG).await;
    let (pages, writer) = half_written(&db, 5).await;
    for first in [1, 11, 21] {
        session.append(&group("an entry", first, 10)).await.unwrap();
    }
    assert_eq!(db.store.read_log(STREAM, 0, 100).await.unwrap().len(), 30);
    for page in 2..4 {
        pages.send(vec![page; DUMP_PAGE_BYTES]).await.unwrap();
    }
    drop(pages);
    assert!(writer.await.unwrap().unwrap());
    assert_eq!(seqs(&db).await, [5]);
}

#[tokio::test]
async fn the_whole_log_is_poured_as_it_is_read_row_by_row() {
    let db = database().await;
    let (mut session, _) = db.leader("a leader", LONG).await;
    for first in (1..=12_001).step_by(4_000) {
        session.append(&group("an entry", first, 4_000)).await.unwrap();
    }
    let (into, mut parts) = mpsc::channel(64);
    db.store.pour_log(STREAM, 7, &into).await.unwrap();
    drop(into);
    let mut poured = Vec::new();
    while let Some(part) = parts.recv().await {
        poured.extend(part);
    }
    let mut read = db.store.read_log(STREAM, 7, 10_000).await.unwrap();
    read.extend(db.store.read_log(STREAM, 10_007, 10_000).await.unwrap());
    assert_eq!(poured.len(), 15_993);
    let same = poured.iter().zip(&read).all(|(p, r)| {
        (p.seq, p.epoch, p.entry.as_ref(), p.leaf) == (r.seq, r.epoch, r.entry.as_slice(), r.leaf)
    });
    assert!(same && read.len() == poured.len());
    // Nobody takes them: it ends. An empty rest is none.
    let (into, parts) = mpsc::channel(1);
    drop(parts);
    db.store.pour_log(STREAM, 0, &into).await.unwrap();
    let (into, mut parts) = mpsc::channel(1);
    db.store.pour_log(STREAM, 16_000, &into).await.unwrap();
    drop(into);
    assert!(parts.recv().await.is_none());
}
