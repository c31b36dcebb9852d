//! What is personal: unreadable in the database, gone with its key, and nothing of the log with it.

use alloy_primitives::{Address, B256};
use sluice_core::decide::About;
use sluice_core::ids::{Seq, StreamId};
use sluice_core::limits::{ERASED_ATTESTATIONS_MAX, ERASED_FACTS_MAX};
use sluice_core::sequencer::Facts;
use sluice_store::{
    AboutWhom, Append, AppendError, Class, Destroys, ERASED_BYTES_MAX, Erased, ErasureOrder, Error,
    FACT_BYTES_MAX, KeptFacts, LeaderSession, NewAttestation, OpenErasure, Options, SealKey, Store, Whom,
};

use crate::support::{Db, LONG, SEAL_SECRET, STREAM, database, group};

const ANNA: About = About::Person(B256::repeat_byte(0xa1));
const BRUNO: About = About::Recipient(Address::repeat_byte(0xb2));

fn facts(seq: Seq, about: About, bytes: &[u8]) -> Facts {
    Facts { seq, about, bytes: bytes.to_vec().into() }
}

fn open(text: &[u8]) -> Option<KeptFacts> {
    Some(KeptFacts::Open(text.to_vec()))
}

fn attestation(n: u8, subjects: &[&[u8]], body: &[u8]) -> NewAttestation {
    NewAttestation {
        id: [n; 32],
        uid: [n; 32],
        issuer: [7; 20],
        schema: [8; 32],
        subjects: subjects.iter().map(|subject| subject.to_vec()).collect(),
        signed_by_key: n.is_multiple_of(2),
        body: body.to_vec(),
    }
}

/// Orders an erasure and carries it out as the leader does: in the append of the entry that says so.
async fn erase(db: &Db, session: &mut LeaderSession, whom: &Whom, reason: &str) -> Erased {
    let order = db.store.order_erasure(STREAM, &ErasureOrder::new(whom.about, reason)).await.unwrap();
    assert_eq!(db.store.erasure(order).await.unwrap(), None);
    let destroys = db.store.erasable(STREAM, order, whom).await.unwrap();
    let seq = db.store.head(STREAM).await.unwrap().map_or(0, |head| head.seq) + 1;
    let append = Append { destroys: vec![Destroys { seq, ..destroys }], ..group("erased", seq, 1) };
    session.append(&append).await.unwrap();
    db.store.erasure(order).await.unwrap().expect("it is done")
}

#[tokio::test]
async fn facts_are_written_with_their_entries_and_erased_without_them() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let largest = vec![7; FACT_BYTES_MAX];
    let kept = vec![facts(1, ANNA, b"born in 1990"), facts(3, BRUNO, &largest)];
    session.append(&Append { facts: kept, ..group("x", 1, 3) }).await.unwrap();
    assert_eq!(db.store.facts_of(STREAM, 1).await.unwrap(), open(b"born in 1990"));
    assert_eq!(db.store.facts_of(STREAM, 2).await.unwrap(), None);
    assert_eq!(db.store.facts_of(STREAM, 3).await.unwrap(), open(&largest));
    assert_eq!(db.store.facts_of(StreamId(1), 1).await.unwrap(), None);

    let twice = vec![facts(4, ANNA, b"a"); 2];
    for bad in [vec![facts(4, ANNA, b"")], vec![facts(4, ANNA, &vec![7; FACT_BYTES_MAX + 1])], twice] {
        let error = session.append(&Append { facts: bad, ..group("x", 4, 1) }).await.unwrap_err();
        assert!(!matches!(error, AppendError::Unknown { .. }), "{error}");
        assert_eq!(db.store.head(STREAM).await.unwrap().unwrap().seq, 3, "the entry went with its facts");
    }
    assert!(matches!(
        session.append(&Append { facts: vec![facts(9, ANNA, b"a")], ..group("x", 9, 1) }).await,
        Err(AppendError::Gap { .. })
    ));
    assert_eq!(db.store.facts_of(STREAM, 9).await.unwrap(), None, "nor are there facts without their entry");

    let mut raw = db.raw().await;
    // What may be changed of a data key, `rotated` says.
    for change in [
        "UPDATE fact SET body = body",
        "UPDATE attestation SET body = body",
        "UPDATE attestation_subject SET subject = subject",
        "TRUNCATE fact CASCADE",
        "TRUNCATE attestation CASCADE",
    ] {
        let error = sqlx::raw_sql(change).execute(&mut raw).await.unwrap_err();
        assert!(error.to_string().contains("never changed"), "{change}: {error}");
    }
    assert!(db.store.erase_facts(STREAM, 1).await.unwrap());
    assert!(!db.store.erase_facts(STREAM, 1).await.unwrap());
    assert_eq!(db.store.facts_of(STREAM, 1).await.unwrap(), None);
    assert_eq!(db.store.read_log(STREAM, 0, 10).await.unwrap().len(), 3, "the log stands");
}

#[tokio::test]
async fn who_is_erased_is_erased_whole_and_alone_and_may_come_back() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let kept = vec![facts(1, ANNA, b"one"), facts(2, BRUNO, b"two"), facts(3, ANNA, b"three")];
    session.append(&Append { facts: kept, ..group("x", 1, 4) }).await.unwrap();
    let of_anna = attestation(1, &[ANNA.as_bytes(), &[0xc3; 20]], b"anna lives here");
    let of_bruno = attestation(2, &[BRUNO.as_bytes()], b"bruno lives there");
    db.store.add_attestations(&[of_anna.clone(), of_bruno]).await.unwrap();
    let whom = |who: About, schema| AboutWhom {
        subjects: vec![who.as_bytes().to_vec()],
        schemas: vec![schema],
        until: None,
    };
    let about = async |who: About| {
        let ids = db.store.attestations_about(&[whom(who, [8; 32])]).await.unwrap();
        db.store.attestations(&ids[0]).await.unwrap()
    };
    assert_eq!(about(ANNA).await[0].body, b"anna lives here");
    let both = AboutWhom {
        subjects: vec![vec![0xc3; 20], BRUNO.as_bytes().to_vec()],
        schemas: vec![[8; 32]; 2],
        until: None,
    };
    let asked = [whom(BRUNO, [8; 32]), whom(ANNA, [9; 32]), both, whom(ANNA, [8; 32])];
    let found = db.store.attestations_about(&asked).await.unwrap();
    let ids = |n: usize| found[n].iter().map(|id| id[0]).collect::<std::collections::BTreeSet<_>>();
    assert_eq!([ids(0), ids(1), ids(2), ids(3)], [[2].into(), [].into(), [1, 2].into(), [1].into()]);

    let erased = erase(&db, &mut session, &Whom::alone(ANNA), "asked for it on 2026-11-20").await;
    assert_eq!((erased.facts, erased.attestations, erased.shared, erased.seq), (2, 1, 1, 5));
    let left = db.store.facts_within(STREAM, 0, 5).await.unwrap();
    assert_eq!(left, [(2, KeptFacts::Open(b"two".to_vec()))]);
    assert_eq!(db.store.attestation([1; 32]).await.unwrap(), None);
    assert_eq!((about(ANNA).await.len(), about(BRUNO).await.len()), (0, 1));
    assert_eq!(db.store.read_log(STREAM, 0, 10).await.unwrap().len(), 5, "the log stands");
    let mut raw = db.raw().await;
    let left: Vec<i64> = sqlx::query_scalar("SELECT seq FROM fact").fetch_all(&mut raw).await.unwrap();
    assert_eq!(left, [2], "keys and ciphertexts are gone");
    for table in ["erasure", "erased"] {
        let delete =
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut raw).await;
        assert!(delete.is_err(), "that it was done stands");
    }
    let again = erase(&db, &mut session, &Whom::alone(ANNA), "once more").await;
    assert_eq!((again.facts, again.attestations, again.seq), (0, 0, 6));
    for bad in ["", &"x".repeat(501)] {
        let refused = db.store.order_erasure(STREAM, &ErasureOrder::new(ANNA, bad)).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "a reason is given");
    }
    assert_eq!(db.store.open_erasures(STREAM, 10).await.unwrap(), [], "and what is refused is not ordered");

    let back = vec![facts(7, ANNA, b"five")];
    session.append(&Append { facts: back, ..group("x", 7, 1) }).await.unwrap();
    assert_eq!(db.store.add_attestations(&[of_anna]).await.unwrap(), [[1; 32]], "it is new again");
    assert_eq!(db.store.facts_of(STREAM, 7).await.unwrap(), open(b"five"));
    assert_eq!(about(ANNA).await[0].body, b"anna lives here");
}

#[tokio::test]
async fn another_node_reads_and_one_with_another_key_says_which_it_needs() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let store = async || Store::connect(db.database.url(), Options { connections: 2 }).await.unwrap();
    let (keyless, wrong) = (store().await, store().await.with_seal_key(SealKey::new(&[9; 32])));
    wrong.check_seal_key(STREAM).await.expect("nothing is sealed yet");
    assert!(matches!(keyless.check_seal_key(STREAM).await, Err(Error::NoSealKey { .. })));
    session.append(&Append { facts: vec![facts(1, ANNA, b"one")], ..group("x", 1, 1) }).await.unwrap();
    db.store.add_attestations(&[attestation(1, &[&[1; 20]], b"body")]).await.unwrap();

    let other = store().await.with_seal_key(SealKey::new(&SEAL_SECRET));
    other.check_seal_key(STREAM).await.unwrap();
    assert_eq!(other.facts_of(STREAM, 1).await.unwrap(), open(b"one"));
    assert_eq!(other.attestation([1; 32]).await.unwrap().unwrap().body, b"body");

    assert_eq!(keyless.facts_of(STREAM, 1).await.unwrap(), Some(KeptFacts::Sealed));
    assert!(matches!(keyless.attestation([1; 32]).await, Err(Error::NoSealKey { .. })));
    let refused = keyless.add_attestations(&[attestation(2, &[], b"body")]).await;
    assert!(matches!(refused, Err(Error::NoSealKey { .. })), "nothing personal is written in clear");
    let names =
        [&SEAL_SECRET, &[9; 32]].map(|secret| alloy_primitives::hex::encode(SealKey::new(secret).name()));
    for error in [
        wrong.check_seal_key(STREAM).await.unwrap_err(),
        wrong.facts_of(STREAM, 1).await.unwrap_err(),
        wrong.attestation([1; 32]).await.unwrap_err(),
    ] {
        let said = error.to_string();
        assert!(names.iter().all(|name| said.contains(name)), "{said}");
        assert_eq!(error.class(), Class::Final);
    }
    drop(session);
    let mut session = LeaderSession::open(&keyless, STREAM).await.unwrap();
    session.take_epoch("leader", LONG, 0).await.unwrap().unwrap();
    let refused = session.append(&Append { facts: vec![facts(2, ANNA, b"two")], ..group("x", 2, 1) }).await;
    assert!(refused.unwrap_err().to_string().contains("no seal key"));
}

/// A row moved to another position or person does not open.
#[tokio::test]
async fn a_row_that_was_moved_does_not_open() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    session.append(&Append { facts: vec![facts(1, ANNA, b"one")], ..group("x", 1, 2) }).await.unwrap();
    let mut raw = db.raw().await;
    let moved = "SET session_replication_role = replica; UPDATE fact SET seq = 2";
    sqlx::raw_sql(moved).execute(&mut raw).await.unwrap();
    assert_eq!(db.store.facts_of(STREAM, 2).await.unwrap(), Some(KeptFacts::Broken));
    let renamed = "UPDATE fact SET seq = 1, about = decode(repeat('77', 20), 'hex')";
    sqlx::raw_sql(renamed).execute(&mut raw).await.unwrap();
    assert_eq!(db.store.facts_of(STREAM, 1).await.unwrap(), Some(KeptFacts::Broken));
}

/// Counts the files of tables and of the write-ahead log that hold some bytes.
async fn files_with(db: &Db, since: &str, bytes: &[u8]) -> (i64, i64) {
    let mut raw = db.raw().await;
    sqlx::raw_sql("CHECKPOINT").execute(&mut raw).await.unwrap();
    let tables = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'i', 't') AND relnamespace <> 'pg_catalog'::regnamespace
        AND position($1 IN pg_read_binary_file(pg_relation_filepath(oid))) > 0";
    let wal = "SELECT count(*) FROM pg_ls_waldir()
        WHERE name BETWEEN pg_walfile_name($2::pg_lsn) AND pg_walfile_name(pg_current_wal_lsn())
          AND position($1 IN pg_read_binary_file('pg_wal/' || name)) > 0";
    let tables = sqlx::query_scalar(tables).bind(bytes).fetch_one(&mut raw).await.unwrap();
    let wal = sqlx::query_scalar(wal).bind(bytes).bind(since).fetch_one(&mut raw).await.unwrap();
    (tables, wal)
}

#[tokio::test]
async fn neither_tables_nor_the_write_ahead_log_hold_a_known_plaintext() {
    let db = database().await;
    let mut raw = db.raw().await;
    let since: String =
        sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(&mut raw).await.unwrap();
    let (mut session, _) = db.leader("leader", LONG).await;
    let known = |what: &str| format!("{what} {} of {}", "resident", db.database.name()).into_bytes();
    let (fact, body, control) = (known("fact"), known("attestation"), known("control"));
    let kept = (1..=40).map(|seq| facts(seq, ANNA, &fact)).collect();
    session.append(&Append { facts: kept, ..group("x", 1, 40) }).await.unwrap();
    let many: Vec<_> = (0..40).map(|n| attestation(n, &[&[n; 20]], &body)).collect();
    db.store.add_attestations(&many).await.unwrap();
    // The search finds what is there.
    sqlx::raw_sql("CREATE TABLE control (body bytea)").execute(&mut raw).await.unwrap();
    for _ in 0..40 {
        sqlx::query("INSERT INTO control VALUES ($1)").bind(&control).execute(&mut raw).await.unwrap();
    }
    let (tables, wal) = files_with(&db, &since, &control).await;
    assert!(tables == 1 && wal >= 1, "{tables} tables and {wal} files of the write-ahead log");
    assert_eq!(files_with(&db, &since, &fact).await, (0, 0));
    assert_eq!(files_with(&db, &since, &body).await, (0, 0));
    assert_eq!(db.store.facts_of(STREAM, 40).await.unwrap(), open(&fact));
}

#[tokio::test]
async fn a_person_is_erased_by_every_spelling_and_others_are_told_of() {
    let db = database().await;
    let (own, shared) = ([0xd1; 20], [0xd2; 20]);
    let group = [
        attestation(1, &[ANNA.as_bytes()], b"by id"),
        attestation(2, &[&own], b"by address"),
        attestation(3, &[&own, &shared], b"of a couple"),
        attestation(4, &[&shared], b"the other's"),
        attestation(5, &[&own, &[0; 20]], b"without a recipient"),
    ];
    db.store.add_attestations(&group).await.unwrap();
    let whom = Whom { about: ANNA, subjects: vec![ANNA.as_bytes().to_vec(), own.to_vec()] };
    let mut with = db.store.attested_with(&whom.subjects).await.unwrap();
    with.sort();
    assert_eq!(with, [vec![0; 20], ANNA.as_bytes().to_vec(), own.to_vec(), shared.to_vec()]);
    let (mut session, _) = db.leader("leader", LONG).await;
    let erased = erase(&db, &mut session, &whom, "a test").await;
    assert_eq!((erased.attestations, erased.shared), (4, 1));
    assert!(db.store.attestation([4; 32]).await.unwrap().is_some());
}

#[tokio::test]
async fn an_attestation_that_does_not_open_is_left_out_and_a_wrong_key_is_found_by_it() {
    let db = database().await;
    let subject = [1; 20];
    db.store.add_attestations(&[attestation(1, &[&subject], b"one")]).await.unwrap();
    let wrong = Store::connect(db.database.url(), Options { connections: 2 }).await.unwrap();
    let wrong = wrong.with_seal_key(SealKey::new(&[9; 32]));
    assert!(matches!(wrong.check_seal_key(STREAM).await, Err(Error::SealedOtherwise { .. })));
    wrong.add_attestations(&[attestation(2, &[&subject], b"two")]).await.unwrap();
    db.store.add_attestations(&[attestation(3, &[&subject], b"three")]).await.unwrap();
    let mut raw = db.raw().await;
    let moved = "SET session_replication_role = replica;
        UPDATE attestation SET wrapped = (SELECT wrapped FROM attestation WHERE id = decode(repeat('01', 32), 'hex'))
        WHERE id = decode(repeat('03', 32), 'hex')";
    sqlx::raw_sql(moved).execute(&mut raw).await.unwrap();
    // Nor does one whose signature somebody says was looked at, and it was not.
    db.store.add_attestations(&[attestation(5, &[&subject], b"five")]).await.unwrap();
    let vouched =
        "UPDATE attestation SET signed_by_key = NOT signed_by_key WHERE id = decode(repeat('05', 32), 'hex')";
    sqlx::raw_sql(vouched).execute(&mut raw).await.unwrap();
    let whom = AboutWhom { subjects: vec![subject.to_vec()], schemas: vec![[8; 32]], until: None };
    let ids = db.store.attestations_about(std::slice::from_ref(&whom)).await.unwrap().remove(0);
    let found = db.store.attestations(&ids).await.unwrap();
    assert_eq!(ids.len(), 4, "they are there");
    assert_eq!(found.iter().map(|a| a.id[0]).collect::<Vec<_>>(), [1]);
    let named = db.store.attestations_named(&[[3; 32], [1; 32], [2; 32], [5; 32]], &whom).await.unwrap();
    assert_eq!(named.iter().map(|a| a.id[0]).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn who_is_crowded_is_found_by_time_and_by_name() {
    let db = database().await;
    let (crowded, other) = ([1; 20], [2; 20]);
    db.store.add_attestations(&[attestation(0, &[&crowded], b"genuine")]).await.unwrap();
    let genuine = db.store.attestation([0; 32]).await.unwrap().expect("kept");
    let now = db.store.database_now().await.unwrap();
    while db.store.database_now().await.unwrap() == now {}
    let crowd: Vec<_> = (1..=100).map(|n| attestation(n, &[&crowded, &other], b"crowd")).collect();
    db.store.add_attestations(&crowd).await.unwrap();
    let about =
        |until| AboutWhom { subjects: vec![crowded.to_vec(), other.to_vec()], schemas: vec![[8; 32]], until };
    let asked = [about(None), about(Some(genuine.received_at)), about(Some(genuine.received_at - 1))];
    let found = db.store.attestations_about(&asked).await.unwrap();
    let counts: Vec<usize> = found.iter().map(Vec::len).collect();
    assert_eq!(counts, [32, 1, 0], "the newest, and what was there by then");
    let newest: Vec<u8> = found[0].iter().map(|id| id[0]).collect();
    assert!(newest.is_sorted_by(|one, next| one > next), "newest first, and each once: {newest:?}");
    assert_eq!(db.store.attestations(&found[1]).await.unwrap(), std::slice::from_ref(&genuine));
    assert_eq!(db.store.attestations_named(&[[0; 32]], &about(None)).await.unwrap(), [genuine]);
    let nobodys = AboutWhom { subjects: vec![vec![3; 20]], ..about(None) };
    assert_eq!(db.store.attestations_named(&[[0; 32]], &nobodys).await.unwrap(), []);
    // However many there are, each subject's newest are read from the end of an index.
    let mut raw = db.raw().await;
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT attestation FROM attestation_subject WHERE subject = '\\x01' AND schema = '\\x02' AND received_at <= 'infinity'
         ORDER BY received_at DESC, attestation DESC LIMIT 32",
    )
    .fetch_all(&mut raw)
    .await
    .unwrap();
    assert!(plan.iter().any(|line| line.contains("Backward using attestation_subject_pkey")), "{plan:?}");
}

/// What an order takes goes with the entry that names it, or stays: whoever was overtaken destroys nothing.
#[tokio::test]
async fn nothing_is_destroyed_without_its_entry_and_an_order_stays_open_until_nothing_is_left() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let kept = vec![facts(1, ANNA, b"one"), facts(2, BRUNO, b"two"), facts(3, ANNA, b"three")];
    session.append(&Append { facts: kept, ..group("x", 1, 3) }).await.unwrap();
    db.store.add_attestations(&[attestation(1, &[ANNA.as_bytes()], b"body")]).await.unwrap();
    let order = db.store.order_erasure(STREAM, &ErasureOrder::new(ANNA, "asked for it")).await.unwrap();
    let elsewhere =
        db.store.order_erasure(StreamId(1), &ErasureOrder::new(BRUNO, "of another log")).await.unwrap();
    let open = async |stream| db.store.open_erasures(stream, 10).await.unwrap();
    assert_eq!(
        open(STREAM).await,
        [OpenErasure { order, about: ANNA, begun: false, although_unpaid: false }]
    );
    assert_eq!(
        open(StreamId(1)).await,
        [OpenErasure { order: elsewhere, about: BRUNO, begun: false, although_unpaid: false }]
    );

    let whole = db.store.erasable(STREAM, order, &Whom::alone(ANNA)).await.unwrap();
    assert_eq!(
        (whole.facts.as_slice(), whole.attestations.as_slice()),
        ([1, 3].as_slice(), [[1; 32]].as_slice())
    );
    assert_eq!((whole.order, whole.shared, whole.last), (order, 0, true));
    let at = |seq| Append { destroys: vec![Destroys { seq, ..whole.clone() }], ..group("erased", seq, 1) };
    let left = async || db.store.facts_within(STREAM, 0, 10).await.unwrap().len();
    assert!(matches!(session.append(&at(9)).await, Err(AppendError::Gap { .. })));
    // The same process begins anew: its former session is overtaken.
    let mut next = LeaderSession::open(&db.store, STREAM).await.unwrap();
    next.take_epoch("leader", LONG, 0).await.unwrap().expect("it held the lease itself");
    assert!(matches!(session.append(&at(4)).await, Err(AppendError::Fenced { .. })));
    assert_eq!((left().await, db.store.erasure(order).await.unwrap()), (3, None));
    assert!(db.store.attestation([1; 32]).await.unwrap().is_some());

    let part = Destroys { seq: 4, facts: vec![1], attestations: Vec::new(), last: false, ..whole.clone() };
    next.append(&Append { destroys: vec![part], ..group("erased", 4, 1) }).await.unwrap();
    assert_eq!((left().await, db.store.erasure(order).await.unwrap()), (2, None));
    assert_eq!(open(STREAM).await.len(), 1);
    let rest = db.store.erasable(STREAM, order, &Whom::alone(ANNA)).await.unwrap();
    assert_eq!(rest.facts, [3]);
    next.append(&Append { destroys: vec![Destroys { seq: 5, ..rest }], ..group("erased", 5, 1) })
        .await
        .unwrap();
    let erased = db.store.erasure(order).await.unwrap().expect("nothing is left");
    assert_eq!((erased.facts, erased.attestations, erased.seq, left().await), (2, 1, 5, 1));
    assert_eq!((open(STREAM).await.len(), open(StreamId(1)).await.len()), (0, 1));
    assert_eq!(db.store.attestation([1; 32]).await.unwrap(), None);
}

/// Whoever looks sees what is committed; a claim may be in the group on its way, or in that of the entry itself.
#[tokio::test]
async fn an_order_stays_open_while_facts_that_were_on_their_way_stand_before_its_entry() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let order = db.store.order_erasure(STREAM, &ErasureOrder::new(ANNA, "asked for it")).await.unwrap();
    let look = async || db.store.erasable(STREAM, order, &Whom::alone(ANNA)).await.unwrap();
    let about_anna = async || {
        let sql = "SELECT seq FROM fact WHERE about = $1 ORDER BY seq";
        let query = sqlx::query_scalar::<_, i64>(sql).bind(ANNA.as_bytes());
        query.fetch_all(&mut db.raw().await).await.unwrap()
    };
    let nothing_yet = look().await;
    assert!(nothing_yet.facts.is_empty() && nothing_yet.last);
    session.append(&Append { facts: vec![facts(1, ANNA, b"one")], ..group("x", 1, 1) }).await.unwrap();
    let empty = Destroys { seq: 2, ..nothing_yet };
    session.append(&Append { destroys: vec![empty], ..group("erased", 2, 1) }).await.unwrap();
    assert_eq!((about_anna().await, db.store.erasure(order).await.unwrap()), (vec![1], None));

    // The group of the entry has one before it, and somebody else's.
    let one = Destroys { seq: 5, ..look().await };
    assert_eq!((one.facts.as_slice(), one.last), ([1].as_slice(), true));
    let beside = vec![facts(3, ANNA, b"three"), facts(4, BRUNO, b"four")];
    session.append(&Append { facts: beside, destroys: vec![one], ..group("x", 3, 3) }).await.unwrap();
    assert_eq!((about_anna().await, db.store.erasure(order).await.unwrap()), (vec![3], None));
    let open = db.store.open_erasures(STREAM, 10).await.unwrap();
    assert_eq!(open, [OpenErasure { order, about: ANNA, begun: false, although_unpaid: false }]);

    // What comes after the entry is kept later, and is no part of the order.
    let three = Destroys { seq: 6, ..look().await };
    let later = vec![facts(7, ANNA, b"seven")];
    session.append(&Append { facts: later, destroys: vec![three], ..group("x", 6, 2) }).await.unwrap();
    let erased = db.store.erasure(order).await.unwrap().expect("nothing is left before the entry");
    assert_eq!((erased.facts, erased.seq, about_anna().await), (2, 6, vec![7]));
    assert_eq!(db.store.open_erasures(STREAM, 10).await.unwrap(), []);
    assert_eq!(db.store.facts_of(STREAM, 4).await.unwrap(), Some(KeptFacts::Open(b"four".to_vec())));
}

/// However much is kept, no append destroys more than surely fits its two seconds.
#[tokio::test]
async fn who_has_much_is_erased_in_several_entries() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let rows = ERASED_FACTS_MAX as u64 + 1;
    for first in (1..=rows).step_by(500) {
        let count = 500.min(rows - first + 1);
        let kept = (first..first + count).map(|seq| facts(seq, ANNA, b"one")).collect();
        session.append(&Append { facts: kept, ..group("x", first, count) }).await.unwrap();
    }
    let many = ERASED_ATTESTATIONS_MAX * 2 + 1;
    let attestations: Vec<_> = (0..many)
        .map(|n| {
            let mut id = [1; 32];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            NewAttestation { id, ..attestation(1, &[ANNA.as_bytes()], b"body") }
        })
        .collect();
    for some in attestations.chunks(100) {
        db.store.add_attestations(some).await.unwrap();
    }
    let order = db.store.order_erasure(STREAM, &ErasureOrder::new(ANNA, "asked for it")).await.unwrap();
    let (most_facts, most) = (ERASED_FACTS_MAX, ERASED_ATTESTATIONS_MAX);
    for (entry, taken) in [(most_facts, most, false), (1, most, false), (0, 1, true)].into_iter().enumerate()
    {
        let seq = rows + 1 + entry as u64;
        let part = db.store.erasable(STREAM, order, &Whom::alone(ANNA)).await.unwrap();
        assert_eq!((part.facts.len(), part.attestations.len(), part.last), taken);
        assert_eq!(db.store.erasure(order).await.unwrap(), None);
        let destroys = vec![Destroys { seq, ..part }];
        let begun = db.store.open_erasures(STREAM, 10).await.unwrap()[0].begun;
        assert_eq!(begun, entry > 0, "attestations went");
        session.append(&Append { destroys, ..group("erased", seq, 1) }).await.unwrap();
    }
    let erased = db.store.erasure(order).await.unwrap().expect("nothing is left");
    assert_eq!((erased.facts, erased.attestations, erased.seq), (rows, many as u64, rows + 3));
}

/// Large bodies lie in many pages, which are read from the disk to be deleted.
#[tokio::test]
async fn who_has_large_facts_is_erased_in_entries_of_so_many_bytes() {
    let db = database().await;
    let (mut session, _) = db.leader("leader", LONG).await;
    let sealed = FACT_BYTES_MAX + 16;
    let fit = ERASED_BYTES_MAX / sealed;
    let (rows, large) = (fit as u64, vec![7; FACT_BYTES_MAX]);
    let kept = (1..=rows).map(|seq| facts(seq, ANNA, &large)).collect();
    session.append(&Append { facts: kept, ..group("x", 1, rows) }).await.unwrap();
    let two = [3, 4].map(|n| attestation(n, &[ANNA.as_bytes()], &large));
    db.store.add_attestations(&two).await.unwrap();
    let order = db.store.order_erasure(STREAM, &ErasureOrder::new(ANNA, "asked for it")).await.unwrap();
    for (entry, taken) in [(fit - 2, 2, false), (2, 0, true)].into_iter().enumerate() {
        let part = db.store.erasable(STREAM, order, &Whom::alone(ANNA)).await.unwrap();
        assert_eq!((part.facts.len(), part.attestations.len(), part.last), taken);
        let seq = rows + 1 + entry as u64;
        let destroys = vec![Destroys { seq, ..part }];
        session.append(&Append { destroys, ..group("erased", seq, 1) }).await.unwrap();
    }
    let erased = db.store.erasure(order).await.unwrap().expect("nothing is left");
    assert_eq!((erased.facts, erased.attestations, erased.seq), (rows, 2, rows + 2));
}
