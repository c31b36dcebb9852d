//! Numbers without gaps, one row per id, the same answer for ever.

use std::collections::BTreeMap;

use sluice_core::ids::{CampaignId, IntakeKey, NodeId};
use sluice_store::{Class, Cursor, Error, IntakeOutcome, IntakeRow, IntakeWriter};

use crate::support::{Db, campaign, database, id, new_intake};

async fn writer(db: &Db) -> IntakeWriter {
    let node = db.store.register_node("a test").await.unwrap();
    IntakeWriter::new(db.store.clone(), node)
}

fn accepted(outcome: &IntakeOutcome) -> &IntakeRow {
    match outcome {
        IntakeOutcome::Accepted(row) => row,
        other => panic!("not accepted: {other:?}"),
    }
}

/// The numbers of each node, which must be 1, 2, 3 … in the order of acceptance.
pub(crate) async fn assert_contiguous(db: &Db, campaign: CampaignId) -> BTreeMap<NodeId, u64> {
    let mut counts = BTreeMap::new();
    for (_, node) in db.store.intake_sources(&[campaign]).await.unwrap() {
        let cursor = Cursor { campaign, node, after: 0 };
        let rows = db.store.read_intake(&[cursor], 1_000_000).await.unwrap();
        let numbers: Vec<u64> = rows.iter().map(|row| row.key.n).collect();
        assert_eq!(numbers, (1..=rows.len() as u64).collect::<Vec<_>>(), "node {node}");
        assert!(rows.is_sorted_by_key(|row| row.accepted_at), "node {node}'s time runs backwards");
        counts.insert(node, rows.len() as u64);
    }
    counts
}

#[tokio::test]
async fn a_group_is_numbered_in_its_order_per_campaign() {
    let db = database().await;
    let mut writer = writer(&db).await;
    let (a, b) = (campaign(1), campaign(2));
    // Ids descend, so that the order of insertion (by id) is not the order of numbers.
    let group = [(a, 9), (b, 8), (a, 7), (a, 6), (b, 5)];
    let group = group.map(|(campaign, n)| new_intake(campaign, id(n), b"body")).to_vec();
    let rows = writer.append(group.clone()).await.unwrap();
    let numbers: Vec<_> = rows.iter().map(|row| (accepted(row).key.campaign, accepted(row).key.n)).collect();
    assert_eq!(numbers, [(a, 1), (b, 1), (a, 2), (a, 3), (b, 2)]);
    let row = accepted(&rows[2]);
    assert_eq!((row.place, row.estimate_ms), (3, 250));
    assert_eq!(row.decide_by, row.accepted_at + 60_000);
    assert_eq!(db.store.intake_by_id(a, id(7)).await.unwrap().as_ref(), Some(row));
    assert_eq!(db.store.intake_by_id(b, id(7)).await.unwrap(), None);
    assert_eq!(accepted(&writer.append(vec![new_intake(b, id(1), b"body")]).await.unwrap()[0]).key.n, 3);
}

#[tokio::test]
async fn an_id_keeps_its_row_and_its_ticket() {
    let db = database().await;
    let mut writer = writer(&db).await;
    let first =
        accepted(&writer.append(vec![new_intake(campaign(1), id(1), b"pay")]).await.unwrap()[0]).clone();
    let mut again = new_intake(campaign(1), id(1), b"pay");
    (again.place, again.estimate_ms) = (77, 7_777);
    let group = vec![
        again,
        new_intake(campaign(1), id(1), b"pay somebody else"),
        new_intake(campaign(1), id(2), b"pay"),
        new_intake(campaign(1), id(2), b"pay"),
        new_intake(campaign(1), id(2), b"other"),
        new_intake(campaign(2), id(1), b"another campaign, another demand"),
    ];
    let outcomes = writer.append(group).await.unwrap();
    assert_eq!(outcomes[0], IntakeOutcome::Existing(first.clone()));
    assert_eq!(outcomes[1], IntakeOutcome::Conflict);
    let second = accepted(&outcomes[2]);
    assert_eq!(second.key, IntakeKey { n: 2, ..first.key });
    assert_eq!(outcomes[3], IntakeOutcome::Existing(second.clone()));
    assert_eq!(outcomes[4], IntakeOutcome::Conflict);
    assert_eq!(accepted(&outcomes[5]).key.campaign, campaign(2));
    assert_contiguous(&db, campaign(1)).await;
}

#[tokio::test]
async fn a_group_beyond_the_bound_and_an_empty_one_write_nothing() {
    let db = database().await;
    let mut writer = writer(&db).await;
    let group = (0..257).map(|n| new_intake(campaign(1), id(n), b"body")).collect();
    let error = writer.append(group).await.unwrap_err();
    assert!(matches!(error, Error::TooMuch { given: 257, max: 256, .. }), "{error}");
    assert_eq!(error.class(), Class::Final);
    assert_eq!(writer.append(Vec::new()).await.unwrap(), []);
    assert_eq!(db.store.intake_sources(&[campaign(1)]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_racing_for_the_same_ids_leave_one_row_each_and_no_gap() {
    const IDS: u128 = 600;
    let db = database().await;
    let mut tasks = Vec::new();
    for seed in [1_u128, 7, 13, 19] {
        let mut writer = writer(&db).await;
        tasks.push(tokio::spawn(async move {
            let mut accepted = Vec::new();
            // Each visits all ids in an order of its own, in groups of 40.
            let order: Vec<u128> = (0..IDS).map(|i| (i * seed + seed) % IDS).collect();
            for chunk in order.chunks(40) {
                let group = chunk.iter().map(|n| new_intake(campaign(1), id(*n), &n.to_be_bytes())).collect();
                for (n, outcome) in chunk.iter().zip(writer.append(group).await.unwrap()) {
                    match outcome {
                        IntakeOutcome::Accepted(row) => accepted.push(row),
                        IntakeOutcome::Existing(row) => assert_eq!(row.id, id(*n)),
                        IntakeOutcome::Conflict => panic!("the same body cannot conflict"),
                    }
                }
            }
            accepted
        }));
    }
    let mut rows = Vec::new();
    for task in tasks {
        rows.extend(task.await.unwrap());
    }
    let mut ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((rows.len(), ids.len()), (600, 600), "each id was accepted exactly once");
    let counts = assert_contiguous(&db, campaign(1)).await;
    assert_eq!(counts.values().sum::<u64>(), 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_with_the_same_ids_in_opposite_orders_do_not_block_each_other() {
    let db = database().await;
    let (mut one, mut two) = (writer(&db).await, writer(&db).await);
    for round in 0..40 {
        let ids: Vec<u128> = (0..256).map(|n| round * 256 + n).collect();
        let demand = |n: &u128| new_intake(campaign(1), id(*n), b"body");
        let (up, down) = (ids.iter().map(demand).collect(), ids.iter().rev().map(demand).collect());
        let (mut there, mut back) = (one, two);
        let there = tokio::spawn(async move { (there.append(up).await, there) });
        let back = tokio::spawn(async move { (back.append(down).await, back) });
        let (there, back) = (there.await.unwrap(), back.await.unwrap());
        // A deadlock would be resolved by the server, at the cost of one of the groups.
        let accepted = [there.0.unwrap(), back.0.unwrap()]
            .iter()
            .map(|outcomes| outcomes.iter().filter(|o| matches!(o, IntakeOutcome::Accepted(_))).count())
            .sum::<usize>();
        assert_eq!(accepted, 256);
        (one, two) = (there.1, back.1);
    }
    assert_contiguous(&db, campaign(1)).await;
}

#[tokio::test]
async fn rows_are_read_above_each_cursor_and_bounded_for_each() {
    let db = database().await;
    let (mut one, mut two) = (writer(&db).await, writer(&db).await);
    let fill =
        |from: u128| (from..from + 100).map(move |n| new_intake(campaign(1), id(n), b"body")).collect();
    let node_one = accepted(&one.append(fill(0)).await.unwrap()[0]).key.node;
    let node_two = accepted(&two.append(fill(1_000)).await.unwrap()[0]).key.node;
    one.append(vec![new_intake(campaign(2), id(1), b"body")]).await.unwrap();
    let sources = db.store.intake_sources(&[campaign(2), campaign(1), campaign(3)]).await.unwrap();
    assert_eq!(sources, [(campaign(1), node_one), (campaign(1), node_two), (campaign(2), node_one)]);

    let cursor = |campaign, node, after| Cursor { campaign, node, after };
    let cursors = [
        cursor(campaign(1), node_one, 95),
        cursor(campaign(1), node_two, 0),
        cursor(campaign(2), node_one, 1),
        cursor(campaign(3), node_one, 0),
    ];
    let rows = db.store.read_intake(&cursors, 10).await.unwrap();
    let read: Vec<_> = rows.iter().map(|row| (row.key.node, row.key.n)).collect();
    let wanted = (96..=100).map(|n| (node_one, n)).chain((1..=10).map(|n| (node_two, n)));
    assert_eq!(read, wanted.collect::<Vec<_>>());
    assert_eq!(db.store.read_intake(&[], 10).await.unwrap(), []);
}

#[tokio::test]
async fn every_start_takes_a_number_of_its_own() {
    let db = database().await;
    let first = db.store.register_node("host a").await.unwrap();
    let second = db.store.register_node("host b").await.unwrap();
    assert_ne!(first, second);
    let seen = db.store.heartbeat(first).await.unwrap();
    let nodes = db.store.nodes().await.unwrap();
    assert_eq!(
        nodes.iter().map(|node| (node.id, node.holder.as_str())).collect::<Vec<_>>(),
        [(first, "host a"), (second, "host b")]
    );
    assert!(nodes[0].last_seen >= nodes[0].started_at && nodes[0].last_seen <= seen);
    assert!(db.store.heartbeat(second + 1).await.is_err());
}
