//! The attestation intake when it is full. What is not taken is told when to come back, and is taken then.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;

use alloy_primitives::Address;

use crate::ask::{Client, answer};
use crate::ground::Ground;
use crate::institutions::stated;

/// Deliveries at once (the API's bound), each with more lines than a delivery may have under way (256): together they fill
/// the queue behind (4,096).
const DELIVERIES: usize = 16;
const LINES: usize = 300;
/// Single ones besides, all of which may be under way at once: what the stages behind the queue hold is far less.
const SINGLES: usize = 1_000;
/// How often those come: on a slow machine all of them may come after what filled the queue was given up.
const WAVES: usize = 10;

/// Hands one attestation in until it is put off; gives that answer.
async fn put_off(client: &Client, one: &Arc<Value>) -> crate::ask::Answer {
    for _ in 0..WAVES {
        if let Some(answer) = put_off_among_many(client, one).await {
            return answer;
        }
    }
    panic!("the intake took everything: it is not full");
}

async fn put_off_among_many(client: &Client, one: &Arc<Value>) -> Option<crate::ask::Answer> {
    let mut asking = JoinSet::new();
    for _ in 0..SINGLES {
        let (client, one) = (client.clone(), Arc::clone(one));
        asking.spawn(async move { client.post("/v1/attestations", &one).await });
    }
    while let Some(answer) = asking.join_next().await {
        let answer = answer.unwrap();
        // What the stage behind gives up is put off, too, under another code.
        if answer.body["code"] == "attestations_full" {
            return Some(answer);
        }
    }
    None
}

pub(crate) async fn a_full_attestation_intake_says_when_to_come_back(ground: &Ground) {
    let client = &ground.leader.client;
    let one = Arc::new(stated(Address::repeat_byte(0x71), 1));
    // Nothing is kept while the table is locked, so what comes in waits.
    let mut database = PgConnection::connect(&ground.prepared.database_url).await.unwrap();
    database.execute("BEGIN; LOCK TABLE attestation IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let lines = vec![one.to_string(); LINES].join("\n");
    let mut deliveries = JoinSet::new();
    for _ in 0..DELIVERIES {
        let request = client.request(Method::POST, "/v1/attestations");
        let request = request.header(CONTENT_TYPE, "application/x-ndjson").body(lines.clone());
        deliveries.spawn(async move { request.send().await.unwrap().text().await.unwrap() });
    }
    let refused = put_off(client, &one).await;
    let after: u64 = refused.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!(after >= 1, "a time to come back, in seconds");
    refused.refused(503, "attestations_full");
    // Claims are another queue: they are answered all the same.
    client.get(&ground.path("")).await.is(200);
    database.execute("ROLLBACK").await.unwrap();
    while let Some(told) = deliveries.join_next().await {
        let told = told.unwrap();
        let statuses =
            told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].clone());
        let statuses: Vec<_> = statuses.collect();
        assert!(statuses.iter().all(|s| [200, 201, 503].iter().any(|known| s == known)), "{statuses:?}");
    }
    // Whoever comes back is served.
    let taken = crate::evidence::until("the intake has room again", async || {
        let request = client.request(Method::POST, "/v1/attestations").json(&*one);
        let answer = answer(request).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert!([200, 201].contains(&taken.status.as_u16()), "{taken:?}");
}
