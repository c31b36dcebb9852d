//! The seal key is changed batch after batch, may be cut anywhere, and no node starts before it is done.

use alloy_primitives::B256;
use sluice_core::decide::About;
use sluice_core::ids::Seq;
use sluice_core::sequencer::Facts;
use sluice_store::{
    Append, Error, KeptFacts, NewAttestation, Options, REWRAPPED_ROWS, RewrapAt, Rewrapped, SealKey, Store,
};

use crate::support::{Db, LONG, SEAL_SECRET, STREAM, database, group};

const NEXT_SECRET: [u8; 32] = [0x6f; 32];

fn former() -> SealKey {
    SealKey::new(&SEAL_SECRET)
}

fn next() -> SealKey {
    SealKey::new(&NEXT_SECRET)
}

async fn with(db: &Db, key: SealKey) -> Store {
    Store::connect(db.database.url(), Options { connections: 2 }).await.unwrap().with_seal_key(key)
}

fn about(seq: Seq) -> About {
    About::Person(B256::left_padding_from(&seq.to_be_bytes()))
}

fn attestation(n: u8) -> NewAttestation {
    NewAttestation {
        id: [n; 32],
        uid: [n; 32],
        issuer: [7; 20],
        schema: [8; 32],
        subjects: vec![vec![n; 20]],
        signed_by_key: n.is_multiple_of(2),
        body: format!("attestation {n}").into_bytes(),
    }
}

/// Facts at every position up to one, and a few attestations.
async fn kept(db: &Db, facts: u64) {
    let (mut session, _) = db.leader("leader", LONG).await;
    let mut first = 1;
    while first <= facts {
        let count = 200.min(facts - first + 1);
        let one =
            |seq: Seq| Facts { seq, about: about(seq), bytes: format!("fact {seq}").into_bytes().into() };
        let rows = (first..first + count).map(one).collect();
        session.append(&Append { facts: rows, ..group("x", first, count) }).await.unwrap();
        first += count;
    }
    db.store.add_attestations(&[1, 2, 3].map(attestation)).await.unwrap();
}

/// Carries a change on for so many batches at most; says what was found and whether it came to its end.
async fn go_on(db: &Db, batches: usize) -> (Rewrapped, bool) {
    let (mut at, mut all) = (RewrapAt::START, Rewrapped::default());
    for _ in 0..batches {
        let (then, found) = db.store.rewrap(&at, &former(), &next()).await.unwrap();
        all += found;
        at = then;
        if at == RewrapAt::Done {
            return (all, true);
        }
    }
    (all, false)
}

async fn all_open(store: &Store, facts: u64) {
    let found = store.facts_within(STREAM, 0, facts).await.unwrap();
    assert_eq!(found.len() as u64, facts);
    for (seq, kept) in found {
        assert_eq!(kept, KeptFacts::Open(format!("fact {seq}").into_bytes()));
    }
    for n in 1..=3 {
        let found = store.attestation([n; 32]).await.unwrap().unwrap();
        assert_eq!(found.body, format!("attestation {n}").into_bytes());
    }
}

#[tokio::test]
async fn a_change_that_was_cut_lets_no_node_start_and_goes_on_where_it_was() {
    let db = database().await;
    let facts = u64::try_from(REWRAPPED_ROWS).unwrap() + 7;
    kept(&db, facts).await;
    let (old, new) = (with(&db, former()).await, with(&db, next()).await);
    old.check_seal_key(STREAM).await.unwrap();
    let refused = async |store: &Store| {
        matches!(store.check_seal_key(STREAM).await, Err(Error::SealedOtherwise { .. }))
    };
    assert!(refused(&new).await);

    // Cut within the facts, behind them, and within the attestations' turn: each time it begins anew.
    let first = u64::try_from(REWRAPPED_ROWS).unwrap();
    let (found, done) = go_on(&db, 1).await;
    assert_eq!((found.rewrapped, found.already, done), (first, 0, false));
    assert!(refused(&old).await && refused(&new).await, "half of it is under either key");
    let (found, done) = go_on(&db, 3).await;
    assert_eq!((found.rewrapped, found.already, done), (7, first, false));
    assert!(refused(&old).await && refused(&new).await, "the attestations are under the former one");
    let (found, done) = go_on(&db, 5).await;
    assert_eq!((found, done), (Rewrapped { rewrapped: 3, already: facts, broken: 0 }, true));
    new.check_seal_key(STREAM).await.unwrap();
    assert!(refused(&old).await);
    all_open(&new, facts).await;
    let (found, done) = go_on(&db, 9).await;
    assert_eq!((found, done), (Rewrapped { rewrapped: 0, already: facts + 3, broken: 0 }, true));
}

#[tokio::test]
async fn what_is_erased_meanwhile_stays_erased_and_what_was_changed_stays_unreadable() {
    let db = database().await;
    kept(&db, 4).await;
    assert!(db.store.erase_facts(STREAM, 2).await.unwrap());
    let mut raw = db.raw().await;
    let spoil = "SET session_replication_role = replica;
        UPDATE fact SET wrapped = (SELECT wrapped FROM fact WHERE seq = 1) WHERE seq = 4";
    sqlx::raw_sql(spoil).execute(&mut raw).await.unwrap();
    let (found, done) = go_on(&db, 9).await;
    assert_eq!((found, done), (Rewrapped { rewrapped: 6, already: 0, broken: 1 }, true));
    let new = with(&db, next()).await;
    new.check_seal_key(STREAM).await.unwrap();
    let open = |seq: Seq| KeptFacts::Open(format!("fact {seq}").into_bytes());
    let found = new.facts_within(STREAM, 0, 4).await.unwrap();
    assert_eq!(found, [(1, open(1)), (3, open(3)), (4, KeptFacts::Broken)]);
}

#[tokio::test]
async fn a_row_under_a_third_key_stops_the_change_and_who_leads_is_told() {
    let db = database().await;
    assert_eq!(db.store.led_by().await.unwrap(), None);
    kept(&db, 1).await;
    assert_eq!(db.store.led_by().await.unwrap().as_deref(), Some("leader"));
    let third = SealKey::new(&[1; 32]);
    let refused = db.store.rewrap(&RewrapAt::START, &third, &next()).await.unwrap_err();
    assert!(matches!(refused, Error::SealedOtherwise { .. }), "{refused}");
    db.store.check_seal_key(STREAM).await.expect("nothing was changed");
}

/// A data key changes its seal key, and nothing else is changed of it.
#[tokio::test]
async fn the_schema_lets_nothing_but_the_seal_key_change() {
    let db = database().await;
    kept(&db, 2).await;
    let mut raw = db.raw().await;
    for change in [
        "UPDATE fact SET wrapped = wrapped",
        "UPDATE fact SET seal_key = seal_key",
        "UPDATE fact SET body = body, seal_key = '\\x0000000000000000'",
        "UPDATE fact SET about = about, seal_key = '\\x0000000000000000'",
        "UPDATE fact SET seq = 9, seal_key = '\\x0000000000000000' WHERE seq = 1",
        "UPDATE fact SET stream = 9, seal_key = '\\x0000000000000000'",
        "UPDATE attestation SET wrapped = wrapped",
        "UPDATE attestation SET body = body, seal_key = '\\x0000000000000000'",
        "UPDATE attestation SET signed_by_key = signed_by_key, seal_key = '\\x0000000000000000'",
        "UPDATE attestation SET id = id, seal_key = '\\x0000000000000000'",
    ] {
        let error = sqlx::raw_sql(change).execute(&mut raw).await.unwrap_err();
        assert!(error.to_string().contains("never changed"), "{change}: {error}");
    }
    all_open(&db.store, 2).await;
}
