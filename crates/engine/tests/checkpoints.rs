//! Every node compares its tree and State with the checkpoints of the leader; one that differs stops.

mod support;

use std::path::Path;
use std::time::Duration;

use alloy_primitives::Address;
use sluice_core::decide::Input;
use sluice_core::log::entry::{Body, EpochBegan};
use sluice_core::log::merkle::Frontier;
use sluice_core::log::note::TreeHead;
use sluice_core::sequencer::Decider;
use sluice_core::state::State;
use sluice_embedded::testing::TestDatabase;
use sluice_engine::error::{Class, EngineError};
use sluice_engine::follower::{Committed, Follower};
use sluice_store::{Append, LeaderSession, LogRow, Options, Store};
use sqlx::{Connection, PgConnection};
use support::{STREAM, eventually, log_key};

const START: u64 = 1_800_000_000_000;

/// A log of six entries, two in each of three seconds, in groups of one.
async fn log() -> (TestDatabase, Store) {
    log_of(6, 500).await
}

/// A log of so many entries, so many milliseconds apart.
async fn log_of(entries: u64, apart: u64) -> (TestDatabase, Store) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let database = TestDatabase::new(&root.join("migrations")).await.expect("a database");
    let store = Store::connect(database.url(), Options::default()).await.expect("a store");
    let mut session = LeaderSession::open(&store, STREAM).await.expect("a session");
    let lease = Duration::from_secs(60);
    let taken = session.take_epoch("a test", lease, 0).await.expect("an answer").expect("an epoch");
    let mut decider = Decider::new(State::new(STREAM), Frontier::default(), taken.epoch);
    for i in 0..entries {
        let body = Body::EpochBegan(EpochBegan { node: 1, sequencer: 1 });
        let group = decider.group(vec![Input::Observed(body)], START + i * apart).expect("decided");
        let row = LogRow {
            kind: group.entries[0].body.kind(),
            entry: group.encoded[0].clone(),
            leaf: group.leaves[0],
            intake: None,
        };
        let append = Append { first: i + 1, rows: vec![row], ..Append::default() };
        session.append(&append).await.expect("appended");
    }
    (database, store)
}

fn follower() -> Follower {
    Follower::new(STREAM, log_key(Address::ZERO, 0))
}

/// A follower at the head, and its checkpoint there, which it makes when the head has not moved for a second.
async fn leader(store: &Store) -> (Follower, TreeHead, String) {
    let leader = follower();
    while leader.catch_up(store).await.expect("follows") {}
    let (head, note) = eventually("the head is marked", || async {
        let made = leader.checkpoint();
        (made.0.size == 6).then_some(made)
    })
    .await;
    (leader, head, note)
}

/// A follower of the whole log that has compared nothing.
async fn leader_before(store: &Store) -> Follower {
    let rows = store.read_log(STREAM, 0, 100).await.expect("the log");
    let row = |row: sluice_store::StoredEntry| Committed {
        entry: row.decode().expect("an entry"),
        bytes: row.entry,
    };
    let leader = follower();
    leader.advance(rows.into_iter().map(row).collect()).expect("applied");
    leader
}

fn stops(result: Result<bool, EngineError>) {
    let error = result.expect_err("it must stop");
    assert!(matches!(error, EngineError::Incident(_)), "{error}");
    assert_eq!(error.class(), Class::Exit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_agrees_goes_on_and_one_that_does_not_stops() {
    let (_database, store) = log().await;
    let first = follower();
    first.catch_up(&store).await.expect("follows");
    let (turn, turn_note) = first.checkpoint();
    assert_eq!(turn.size, 4, "the last entry before the log's clock came to its last second");
    let hash = turn.state_hash.expect("a checkpoint");
    assert_eq!(store.add_checkpoint(STREAM, turn.size, &turn_note, &hash).await.expect("stored"), None);
    let (_, head, note) = leader(&store).await;
    let hash = head.state_hash.expect("a checkpoint");
    assert_eq!(store.add_checkpoint(STREAM, head.size, &note, &hash).await.expect("stored"), None);
    follower().catch_up(&store).await.expect("both checkpoints are this node's own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_with_another_state_hash_or_root_stops_a_follower() {
    for wrong_root in [false, true] {
        let (_database, store) = log().await;
        let (_, mut head, _) = leader(&store).await;
        let mut hash = head.state_hash.expect("a checkpoint");
        if wrong_root {
            head.root[0] ^= 1;
        } else {
            hash[0] ^= 1;
            head.state_hash = Some(hash);
        }
        let note = log_key(Address::ZERO, 0).sign(&head);
        store.add_checkpoint(STREAM, head.size, &note, &hash).await.expect("stored");
        stops(follower().catch_up(&store).await);
    }
}

/// What whoever may write to the database can put in the place of a checkpoint without having a log key, and why it is
/// nobody's word. `turn` and `head` are the true ones, signed.
fn forgeries(turn: &(TreeHead, String), head: &(TreeHead, String)) -> Vec<(&'static str, String, [u8; 32])> {
    let (true_hash, other_hash) = (head.0.state_hash.expect("a checkpoint"), [7; 32]);
    let other = TreeHead { state_hash: Some(other_hash), ..head.0.clone() };
    let of_group = TreeHead { state_hash: None, ..head.0.clone() };
    vec![
        ("no note at all", "a note".into(), other_hash),
        ("signed by a stranger", log_key(Address::ZERO, 1).sign(&other), other_hash),
        (
            "another text under a signature",
            other.to_string() + &head.1[head.0.to_string().len()..],
            other_hash,
        ),
        ("another hash beside a true note", head.1.clone(), other_hash),
        ("the true note of another size", turn.1.clone(), turn.0.state_hash.expect("a checkpoint")),
        ("the head of a group, from a receipt", log_key(Address::ZERO, 0).sign(&of_group), true_hash),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_no_log_key_signed_stops_nobody_and_one_after_it_is_compared() {
    let (_database, whole) = log().await;
    let at_turn = follower();
    at_turn.catch_up(&whole).await.expect("follows");
    let turn = at_turn.checkpoint();
    let (_, head, note) = leader(&whole).await;
    let head = (head, note);
    for (what, note, hash) in forgeries(&turn, &head) {
        let (_database, store) = log().await;
        let forged = store.add_checkpoint(STREAM, head.0.size, &note, &hash).await.expect("stored");
        assert_eq!(forged, None, "{what}");
        follower().catch_up(&store).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let leader = leader(&store).await.0;
        let kept = leader.keep_checkpoint(&store, STREAM, &head.0, &head.1).await;
        assert!(!kept.unwrap_or_else(|error| panic!("{what}: {error}")), "{what}: its place is taken");
        assert_eq!(leader.newest_checkpoint(&store).await.expect("read"), None, "{what}");
        store
            .add_checkpoint(STREAM, turn.0.size, &turn.1, &turn.0.state_hash.expect("one"))
            .await
            .expect("stored");
        let newest = leader.newest_checkpoint(&store).await.expect("read").expect("one is signed");
        assert_eq!((newest.size, &newest.note), (turn.0.size, &turn.1), "{what}");
    }
    // Behind a forged row, a log key's word is heard.
    let (_database, store) = log().await;
    store.add_checkpoint(STREAM, turn.0.size, "a note", &[7; 32]).await.expect("stored");
    let other = TreeHead { state_hash: Some([7; 32]), ..head.0.clone() };
    let note = log_key(Address::ZERO, 0).sign(&other);
    store.add_checkpoint(STREAM, other.size, &note, &[7; 32]).await.expect("stored");
    stops(follower().catch_up(&store).await);
    let leader = leader_before(&store).await;
    stops(leader.keep_checkpoint(&store, STREAM, &head.0, &head.1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_forged_rows_there_are_a_log_keys_word_is_heard() {
    // The clock comes to its second second with entry 101, and 99 more follow.
    let (_database, store) = log_of(200, 10).await;
    let first = follower();
    first.catch_up(&store).await.expect("follows");
    let (turn, _) = first.checkpoint();
    assert_eq!(turn.size, 100);
    for size in turn.size + 1..=200 {
        store.add_checkpoint(STREAM, size, "a note", &[7; 32]).await.expect("stored");
    }
    let other = TreeHead { state_hash: Some([7; 32]), ..turn };
    let note = log_key(Address::ZERO, 0).sign(&other);
    store.add_checkpoint(STREAM, other.size, &note, &[7; 32]).await.expect("stored");
    stops(follower().catch_up(&store).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_forged_rows_there_are_the_newest_checkpoint_is_told() {
    let (_database, store) = log_of(200, 10).await;
    let first = follower();
    first.catch_up(&store).await.expect("follows");
    let (turn, note) = first.checkpoint();
    assert_eq!(turn.size, 100);
    store.add_checkpoint(STREAM, turn.size, &note, &turn.state_hash.expect("one")).await.expect("stored");
    for size in turn.size + 1..=200 {
        store.add_checkpoint(STREAM, size, "a note", &[7; 32]).await.expect("stored");
    }
    // By who compared it, and by who stored it.
    let compared = follower();
    compared.catch_up(&store).await.expect("follows");
    assert!(first.keep_checkpoint(&store, STREAM, &turn, &note).await.expect("it does not stop"));
    for (who, node) in [("compared", compared), ("stored", first)] {
        let newest = node.newest_checkpoint(&store).await.expect("read").expect(who);
        assert_eq!((newest.size, &newest.note), (turn.size, &note), "{who}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_row_hides_no_checkpoint_that_is_stored_after_it() {
    let (_database, store) = log().await;
    let before = follower();
    before.catch_up(&store).await.expect("follows");
    let turn = TreeHead { state_hash: Some([7; 32]), ..before.checkpoint().0 };
    assert_eq!(turn.size, 4);
    store.add_checkpoint(STREAM, 6, "a note", &[7; 32]).await.expect("stored");
    let node = follower();
    node.catch_up(&store).await.expect("nobody's word");
    let note = log_key(Address::ZERO, 0).sign(&turn);
    store.add_checkpoint(STREAM, turn.size, &note, &[7; 32]).await.expect("stored");
    // It compares once a second.
    let stopped = eventually("it compares again", async || node.catch_up(&store).await.err()).await;
    stops(Err(stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_checkpoints_find_no_place_says_so() {
    let (_database, store) = log().await;
    let (leader, head, note) = leader(&store).await;
    let keep = async |head: &TreeHead, note: &str| {
        leader.keep_checkpoint(&store, STREAM, head, note).await.expect("it does not stop")
    };
    assert_eq!(leader.displaced_for(), None);
    let taken = TreeHead { size: 5, ..head.clone() };
    store.add_checkpoint(STREAM, taken.size, "a note", &[7; 32]).await.expect("stored");
    assert!(!keep(&taken, &log_key(Address::ZERO, 0).sign(&taken)).await);
    let since = leader.displaced_for().expect("its place is taken");
    assert!(!keep(&taken, &log_key(Address::ZERO, 0).sign(&taken)).await);
    assert!(leader.displaced_for().expect("as before") > since, "since the first");
    assert!(keep(&head, &note).await);
    assert_eq!(leader.displaced_for(), None, "this one was stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_the_chain_names_are_heard() {
    let (_database, store) = log().await;
    let (_, head, _) = leader(&store).await;
    let another = log_key(Address::ZERO, 1);
    let other = TreeHead { state_hash: Some([7; 32]), ..head };
    store.add_checkpoint(STREAM, other.size, &another.sign(&other), &[7; 32]).await.expect("stored");
    let own = || log_key(Address::ZERO, 0);
    Follower::start(STREAM, own(), &[], &store).await.expect("nobody's word");
    let known = [another.public().into()];
    stops(Follower::start(STREAM, own(), &known, &store).await.map(|_| true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_inside_what_a_follower_reads_is_compared_where_the_clock_turned() {
    let (_database, store) = log().await;
    let first = follower();
    first.catch_up(&store).await.expect("follows");
    let (mut turn, _) = first.checkpoint();
    let mut hash = turn.state_hash.expect("a checkpoint");
    hash[31] ^= 1;
    turn.state_hash = Some(hash);
    let note = log_key(Address::ZERO, 0).sign(&turn);
    store.add_checkpoint(STREAM, turn.size, &note, &hash).await.expect("stored");
    stops(follower().catch_up(&store).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_a_rewritten_log_stops_at_the_checkpoint() {
    let (database, store) = log().await;
    let (_, head, note) = leader(&store).await;
    let hash = head.state_hash.expect("a checkpoint");
    store.add_checkpoint(STREAM, head.size, &note, &hash).await.expect("stored");
    // Somebody with every right in the database changes an entry, and its leaf hash with it.
    let third = store.read_log(STREAM, 2, 1).await.expect("the log").remove(0);
    let mut entry = third.decode().expect("an entry");
    entry.body = Body::EpochBegan(EpochBegan { node: 666, sequencer: 1 });
    let bytes = entry.encode();
    let mut raw = PgConnection::connect(database.url()).await.expect("a connection");
    for statement in ["ALTER TABLE log DISABLE TRIGGER ALL", "ALTER TABLE log_0000000000 DISABLE TRIGGER ALL"]
    {
        sqlx::raw_sql(statement).execute(&mut raw).await.expect("allowed");
    }
    sqlx::query("UPDATE log SET entry = $1, leaf = $2 WHERE stream = $3 AND seq = 3")
        .bind(&bytes)
        .bind(sluice_core::log::merkle::leaf_hash(&bytes).to_vec())
        .bind(i32::try_from(STREAM.0).expect("small"))
        .execute(&mut raw)
        .await
        .expect("rewritten");
    stops(follower().catch_up(&store).await);
}
