//! State dumps: a node that starts from one is the node that replayed the log, and a bad one is passed over.
#![allow(dead_code, clippy::expect_used, reason = "tests say what they expect by panicking")]

mod support;

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use sluice_core::decide::Input;
use sluice_core::ids::{EntitlementId, Seq};
use sluice_core::log::entry::{Body, Entry, EpochBegan};
use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::log::note::{LogKey, TreeHead};
use sluice_core::sequencer::Decider;
use sluice_core::state::State;
use sluice_core::state::dump::DUMP_FORMAT;
use sluice_embedded::testing::TestDatabase;
use sluice_engine::error::EngineError;
use sluice_engine::follower::{Committed, Follower};
use sluice_store::{Append, DUMP_PAGE_BYTES, LeaderSession, LogRow, Options, Store};
use sqlx::{Connection, PgConnection};
use support::{STREAM, World, decided, eventually, log_key, wallet};
use tokio::sync::mpsc;
use uuid::Uuid;

const START: u64 = 1_800_000_000_000;

/// The recorded log of the first format, which holds every kind of entry.
fn recorded() -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden/format1.log");
    let file = std::fs::read(path).expect("the recorded log");
    let mut rest = file.as_slice();
    let mut entries = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (entry, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry.to_vec());
        rest = tail;
    }
    entries
}

struct Ground {
    database: TestDatabase,
    store: Store,
    raw: PgConnection,
}

impl Ground {
    async fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let database = TestDatabase::new(&root.join("migrations")).await.expect("a database");
        let store = Store::connect(database.url(), Options::default()).await.expect("a store");
        let raw = PgConnection::connect(database.url()).await.expect("a connection");
        Self { database, store, raw }
    }

    /// Rows as their leader wrote them.
    async fn write(&mut self, entries: &[Vec<u8>]) {
        for bytes in entries {
            let entry = Entry::decode(bytes).expect("an entry");
            let key = entry.body.intake();
            sqlx::query("INSERT INTO log VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                .bind(i32::try_from(entry.stream.0).expect("small"))
                .bind(i64::try_from(entry.seq).expect("small"))
                .bind(i64::try_from(entry.epoch).expect("small"))
                .bind(entry.body.kind())
                .bind(bytes)
                .bind(leaf_hash(bytes).to_vec())
                .bind(key.map(|key| key.campaign.0))
                .bind(key.map(|key| i32::try_from(key.node).expect("small")))
                .bind(key.map(|key| i64::try_from(key.n).expect("small")))
                .execute(&mut self.raw)
                .await
                .expect("a row");
        }
    }

    /// Does what the schema forbids everybody who has not every right in the database.
    async fn tamper(&mut self, statement: &str) {
        let all = ["log", "log_0000000000", "state_page", "checkpoint"];
        let switch = |to: &str| all.map(|table| format!("ALTER TABLE {table} {to} TRIGGER ALL;")).concat();
        let whole = format!("{}{statement};{}", switch("DISABLE"), switch("ENABLE"));
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(whole)).execute(&mut self.raw).await.expect("allowed");
        assert!(done.rows_affected() > 0, "{statement} changed nothing");
    }

    /// Writes dumps at the first marks from these positions on; returns where they are, the newest first.
    async fn dump_from(&self, positions: &[Seq]) -> Vec<Seq> {
        let (follower, mut dumped) = (new(), Vec::new());
        for from in positions {
            let mut frozen = pin!(follower.frozen(*from));
            let frozen = loop {
                tokio::select! {
                    biased;
                    frozen = &mut frozen => break frozen.expect("a mark"),
                    () = async {} => {}
                }
                let rows = self.store.read_log(STREAM, follower.seq(), 3).await.expect("the log");
                assert!(!rows.is_empty(), "there is no mark from {from} on");
                let row = |row: sluice_store::StoredEntry| Committed {
                    entry: row.decode().expect("an entry"),
                    bytes: row.entry,
                };
                follower.advance(rows.into_iter().map(row).collect()).expect("applied");
            };
            follower.write_dump(&self.store, frozen).await.expect("stored");
            dumped.insert(0, self.store.dumps(STREAM).await.expect("dumps")[0].seq);
        }
        dumped
    }

    /// Stores what somebody who may INSERT stores: a State of their making, and a checkpoint of it signed by their key.
    async fn forge(&self, mut state: State, tree: &Frontier, key: &LogKey) {
        let state_hash = state.hash_anew();
        let (origin, size, root) = (key.origin().clone(), tree.size(), tree.root());
        let note = key.sign(&TreeHead { origin, size, root, state_hash: Some(state_hash) });
        let stored = self.store.add_checkpoint(STREAM, size, &note, &state_hash).await.expect("stored");
        assert_eq!(stored, None, "a true checkpoint has this size");
        let mut bytes = Vec::new();
        state.dump(tree, &mut bytes).expect("written");
        let (pages, received) = mpsc::channel(bytes.len().div_ceil(DUMP_PAGE_BYTES));
        for page in bytes.chunks(DUMP_PAGE_BYTES) {
            pages.try_send(page.to_vec()).expect("there is room for all pages");
        }
        drop(pages);
        let stored = self.store.add_dump(STREAM, size, bytes.len() as u64, received).await.expect("stored");
        assert!(stored, "the dump is whole");
    }

    async fn start(&self) -> Follower {
        self.start_knowing(&[]).await
    }

    /// A start to which the chain has named these log keys.
    async fn start_knowing(&self, registered: &[B256]) -> Follower {
        let own = log_key(Address::ZERO, 0);
        Follower::start(STREAM, own, registered, &self.store).await.expect("starts")
    }

    /// A follower that never sees a dump.
    async fn replayed(&self) -> Follower {
        let follower = new();
        follower.to_head(&self.store).await.expect("the log");
        follower
    }
}

fn new() -> Follower {
    Follower::new(STREAM, log_key(Address::ZERO, 0))
}

fn same(one: &Follower, other: &Follower) {
    assert_eq!(one.state_hash(), other.state_hash());
    assert_eq!(one.tree(), other.tree());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_from_a_dump_decides_as_one_that_replayed_the_log() {
    let mut ground = Ground::new().await;
    let entries = recorded();
    let (first, later) = entries.split_at(entries.len() * 2 / 3);
    ground.write(first).await;
    let dumps = ground.dump_from(&[60, 120]).await;
    let replayed = ground.replayed().await;
    // What came before the older dump is no longer there: only a dump leads to State.
    ground.tamper(&format!("DELETE FROM log WHERE seq < {}", dumps[1])).await;
    let started = ground.start().await;
    assert_eq!(started.seq(), first.len() as u64);
    same(&started, &replayed);

    // Later decisions: what falls due over the years, and answers to demands that come again and to new ones.
    let observed = |node| Input::Observed(Body::EpochBegan(EpochBegan { node, sequencer: 1 }));
    let inputs = || (1..=50).map(observed).collect::<Vec<_>>();
    let epoch = replayed.read(|state| state.epoch) + 1;
    let (mut a, mut b) = (started.decider(epoch), replayed.decider(epoch));
    let decide = |decider: &mut Decider| {
        let at = decider.state().recorded_at;
        let groups = (0..8).map(|i| decider.group(inputs(), at + i * 40_000_000).expect("decided"));
        groups.map(|group| (group.encoded, group.postings, group.appended)).collect::<Vec<_>>()
    };
    let decisions = decide(&mut a);
    assert_eq!(decisions, decide(&mut b));
    assert!(
        decisions.iter().flat_map(|(encoded, ..)| encoded).count() > 400,
        "the inputs, and what fell due"
    );

    // And what was decided after it: every payment, hold and order of the recorded log.
    ground.write(later).await;
    started.to_head(&ground.store).await.expect("follows");
    replayed.to_head(&ground.store).await.expect("follows");
    assert_eq!(started.seq(), entries.len() as u64);
    same(&started, &replayed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_dump_is_passed_over_for_an_older_one_or_the_log() {
    let flipped =
        "UPDATE state_page SET bytes = set_byte(bytes, 3000, get_byte(bytes, 3000) # 1) WHERE seq = $";
    let other_format =
        format!("UPDATE state_page SET bytes = set_byte(bytes, 0, {}) WHERE seq = $", DUMP_FORMAT + 1);
    let cut = "UPDATE state_page SET bytes = substr(bytes, 1, 1000) WHERE seq = $";
    let lost = "DELETE FROM state_page WHERE seq = $";
    let moved = "UPDATE state_page SET seq = seq + 1 WHERE seq = $";
    let unnamed = "DELETE FROM checkpoint WHERE size = $";
    let other_hash = "UPDATE checkpoint SET state_hash = set_byte(state_hash, 7, 0) WHERE size = $";
    let unsigned =
        "UPDATE checkpoint SET note = substr(note, 1, length(note) - 20) || 'AAAAAAAAAAAAAAAAAAA' || chr(10)
                    WHERE size = $";
    for damage in [flipped, &other_format, cut, lost, moved, unnamed, other_hash, unsigned] {
        let mut ground = Ground::new().await;
        ground.write(&recorded()).await;
        let dumps = ground.dump_from(&[60, 120]).await;
        let replayed = ground.replayed().await;
        ground.tamper(&damage.replace('$', &dumps[0].to_string())).await;
        if damage == flipped {
            // Both bad: the log alone.
            ground.tamper(&damage.replace('$', &dumps[1].to_string())).await;
            same(&ground.start().await, &replayed);
            ground.tamper(&damage.replace('$', &dumps[1].to_string())).await;
        }
        // The older one: without the log before it there is no other way.
        ground.tamper(&format!("DELETE FROM log WHERE seq < {}", dumps[1])).await;
        same(&ground.start().await, &replayed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_names_its_own_signer_is_refused() {
    let mut ground = Ground::new().await;
    let entries = recorded();
    ground.write(&entries).await;
    let older = ground.dump_from(&[60]).await[0];
    let replayed = ground.replayed().await;
    let (forger, another) = (log_key(Address::ZERO, 1), log_key(Address::ZERO, 2));

    // Inside a second of the log's clock no node ever has a checkpoint of its own to compare.
    let decoded: Vec<_> = entries.iter().map(|bytes| Entry::decode(bytes).expect("an entry")).collect();
    let second = |at: usize| decoded[at].recorded_at / 1_000;
    let size = (1..entries.len()).rev().find(|next| second(*next) == second(next - 1)).expect("such a place");
    let before = new();
    let rows = decoded.into_iter().zip(entries).take(size);
    before.advance(rows.map(|(entry, bytes)| Committed { entry, bytes }).collect()).expect("applied");
    // The true tree, epoch and time of that row, and a State whose Charter lists the forger.
    let (mut forged, tree) = (before.read(State::clone), before.tree());
    let home = forged.home.expect("the log is founded").chain_id;
    let charter = forged.charters.get_mut(&home).expect("its Charter was read");
    charter.view.log_keys = vec![forger.public().into()];
    ground.forge(forged, &tree, &forger).await;
    let dumps = ground.store.dumps(STREAM).await.expect("dumps");
    assert!(dumps[0].seq == tree.size() && tree.size() > older, "it is tried first: {dumps:?}");

    same(&ground.start().await, &replayed);
    let registered = another.public().into();
    same(&ground.start_knowing(&[registered]).await, &replayed);
    // The older one, signed by this node's key: without the log before it there is no other way.
    ground.tamper(&format!("DELETE FROM log WHERE seq < {older}")).await;
    same(&ground.start_knowing(&[registered]).await, &replayed);
    // Nothing else was wrong with it: were the forger's key the log's, it would be State.
    let believing = ground.start_knowing(&[registered, forger.public().into()]).await;
    assert_eq!(believing.seq(), replayed.seq());
    assert_eq!(believing.tree(), replayed.tree());
    assert_ne!(believing.state_hash(), replayed.state_hash());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dumps_are_written_while_the_log_grows_and_two_are_kept() {
    let ground = Ground::new().await;
    let mut session = LeaderSession::open(&ground.store, STREAM).await.expect("a session");
    let taken = session.take_epoch("a test", Duration::from_secs(600), 0).await.expect("an answer");
    let leader = new();
    let mut decider = leader.decider(taken.expect("an epoch").epoch);
    let keeping = {
        let (leader, store) = (leader.clone(), ground.store.clone());
        tokio::spawn(async move { leader.keep_dumps(&store, 25).await })
    };
    let mut rounds = 0;
    // Until dumps have come and gone: three are more than are kept.
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 5 {
        let body = Body::EpochBegan(EpochBegan { node: 1, sequencer: 1 });
        let group = decider.group(vec![Input::Observed(body); 3], START + rounds * 400).expect("decided");
        let row = |((entry, bytes), leaf): ((&Entry, &Vec<u8>), &[u8; 32])| LogRow {
            kind: entry.body.kind(),
            entry: bytes.clone(),
            leaf: *leaf,
            intake: None,
        };
        let rows = group.entries.iter().zip(&group.encoded).zip(&group.leaves).map(row).collect();
        let append = Append { first: rounds * 3 + 1, rows, ..Append::default() };
        session.append(&append).await.expect("appended");
        let rows = group.entries.into_iter().zip(group.encoded);
        leader.advance(rows.map(|(entry, bytes)| Committed { entry, bytes }).collect()).expect("applied");
        let dumps = ground.store.dumps(STREAM).await.expect("dumps");
        assert!(dumps.len() <= 2, "{dumps:?}");
        seen.extend(dumps.iter().map(|dump| dump.seq));
        rounds += 1;
        assert!(rounds < 5_000, "no dumps are written: {seen:?}");
    }
    let far = seen.iter().zip(seen.iter().skip(1)).all(|(one, next)| next - one >= 25);
    assert!(far, "{seen:?}");
    keeping.abort();
    // Aborted: what it wrote is there or not.
    let _ = keeping.await;
    same(&ground.start().await, &ground.replayed().await);
    same(&ground.start().await, &leader);
}

/// A log that is longer than a follower reads at once, in seconds of its own clock.
async fn long_log(store: &Store, count: u64) {
    let mut session = LeaderSession::open(store, STREAM).await.expect("a session");
    let taken = session.take_epoch("a test", Duration::from_secs(600), 0).await.expect("an answer");
    let mut decider = new().decider(taken.expect("an epoch").epoch);
    let mut first = 1;
    while first <= count {
        let body = Body::EpochBegan(EpochBegan { node: 1, sequencer: 1 });
        let group = decider.group(vec![Input::Observed(body); 256], START + first).expect("decided");
        let rows = group.entries.iter().zip(group.encoded).zip(group.leaves).map(|((entry, bytes), leaf)| {
            LogRow { kind: entry.body.kind(), entry: bytes, leaf, intake: None }
        });
        let append = Append { first, rows: rows.collect(), ..Append::default() };
        first += append.rows.len() as u64;
        session.append(&append).await.expect("appended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_is_replayed_as_it_is_followed_and_an_edited_row_stops_it() {
    let mut ground = Ground::new().await;
    long_log(&ground.store, 31_000).await;
    let followed = new();
    while followed.catch_up(&ground.store).await.expect("follows") {}
    let replayed = ground.replayed().await;
    assert!(replayed.seq() >= 31_000);
    same(&replayed, &followed);
    ground.tamper("UPDATE log SET entry = entry || '\\x00' WHERE seq = 27123").await;
    let error = new().to_head(&ground.store).await.expect_err("the edited row stops it");
    assert!(matches!(error, EngineError::Store(sluice_store::Error::Corrupt { .. })), "{error:?}");
    ground.tamper("DELETE FROM log WHERE seq = 27123").await;
    let error = new().to_head(&ground.store).await.expect_err("the missing row stops it");
    assert!(matches!(error, EngineError::Corrupt(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_goes_on_from_the_dump_when_the_log_before_it_is_gone() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..6);
    world.open_round(&node, &terms).await;
    let claim = async |node: &sluice_engine::node::Node, i: u32| {
        let key = wallet(i);
        let claim = world.claim(&snapshot, 1, &key, key.address());
        let id = sluice_core::ids::DemandId(Uuid::now_v7());
        let submitted = node.submit_claim(world.campaign, id, claim).await.ok()?;
        Some(decided(node, submitted).await.entry.body)
    };
    assert!(matches!(claim(&node, 0).await, Some(Body::ClaimDecided(_))));
    let frozen = node.follower().frozen(node.follower().seq()).await.expect("the head rests and is marked");
    node.follower().write_dump(node.store(), frozen).await.expect("stored");
    let dump = node.store().dumps(STREAM).await.expect("dumps")[0].seq;
    let id = EntitlementId { round: 1, index: snapshot.find(wallet(0).address()).start };
    world.final_at(&node, id).await;
    node.stop().await;
    let mut raw = PgConnection::connect(world.database.url()).await.expect("a connection");
    let gone = format!(
        "ALTER TABLE log_0000000000 DISABLE TRIGGER ALL; DELETE FROM log_0000000000 WHERE seq < {dump}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(gone)).execute(&mut raw).await.expect("allowed");

    // Node 0's key signed the dump: that it is the log's is read from the Charter on chain.
    let node = world.node(1).await;
    eventually("the node leads", || async { node.status().leading }).await;
    assert!(claim(&node, 0).await.is_none(), "it was decided, and stays so");
    assert!(matches!(claim(&node, 1).await, Some(Body::ClaimDecided(_))));
    let id = EntitlementId { round: 1, index: snapshot.find(wallet(1).address()).start };
    world.final_at(&node, id).await;
    node.stop().await;
}
