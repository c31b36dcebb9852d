//! A database for each test, and rows to put into it.

use std::path::Path;
use std::time::{Duration, Instant};

use sluice_core::ids::{CampaignId, DemandId, Seq, StreamId};
use sluice_core::log::merkle::leaf_hash;
use sluice_embedded::testing::TestDatabase;
use sluice_store::{Append, LeaderSession, LogRow, NewIntake, Options, SealKey, Store, Taken};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

pub(crate) const STREAM: StreamId = StreamId(0);
pub(crate) const SEAL_SECRET: [u8; 32] = [0x5e; 32];
/// Long enough that no test outlives it by accident.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// Lapses before anybody can ask.
pub(crate) const SHORT: Duration = Duration::from_millis(1);

pub(crate) struct Db {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
}

pub(crate) async fn database() -> Db {
    let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"));
    let database = TestDatabase::new(migrations).await.expect("the tests' PostgreSQL starts");
    let store = Store::connect(database.url(), Options { connections: 4 }).await.unwrap();
    let store = store.with_seal_key(SealKey::new(&SEAL_SECRET));
    Db { database, store }
}

impl Db {
    /// A plain connection beside the store.
    pub(crate) async fn raw(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    /// A session that leads.
    pub(crate) async fn leader(&self, holder: &str, lease: Duration) -> (LeaderSession, Taken) {
        let mut session = LeaderSession::open(&self.store, STREAM).await.unwrap();
        let taken = session.take_epoch(holder, lease, 0).await.unwrap().expect("nobody else leads");
        (session, taken)
    }
}

pub(crate) fn campaign(n: u128) -> CampaignId {
    CampaignId(Uuid::from_u128(0xca << 100 | n))
}

pub(crate) fn id(n: u128) -> DemandId {
    DemandId(Uuid::from_u128(0x1d << 100 | n))
}

/// A demand whose body is some bytes.
pub(crate) fn new_intake(campaign: CampaignId, id: DemandId, body: &[u8]) -> NewIntake {
    NewIntake {
        campaign,
        id,
        body_hash: leaf_hash(body),
        body: body.to_vec(),
        place: 3,
        estimate_ms: 250,
        decide_within: Duration::from_secs(60),
    }
}

/// A row of the log with some bytes.
pub(crate) fn log_row(word: &str, seq: Seq) -> LogRow {
    let entry = format!("{word} at {seq}").into_bytes();
    LogRow { kind: 10, leaf: leaf_hash(&entry), entry, intake: None }
}

/// `count` rows from `first` on.
pub(crate) fn group(word: &str, first: Seq, count: u64) -> Append {
    Append {
        first,
        rows: (first..first + count).map(|seq| log_row(word, seq)).collect(),
        ..Append::default()
    }
}

/// Waits for a condition that nobody announces; the bound is only there to end a test that fails.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
