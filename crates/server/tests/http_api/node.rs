//! Probes, the description, positions, and the end of a node.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ask::answer;
use crate::ground::Ground;

pub(crate) async fn answers_probes_and_describes_itself(ground: &Ground) {
    let client = &ground.leader.client;
    assert_eq!(client.get("/healthz").await.is(200), "alive\n");
    assert_eq!(client.get("/readyz").await.is(200), "ready\n");
    let status = client.get("/v1/status").await.is(200);
    assert_eq!(status["role"], "leader");
    assert_eq!((&status["not_ready"], &status["degraded"]), (&json!([]), &json!([])));
    assert_eq!(ground.follower.client.get("/v1/status").await.is(200)["role"], "follower");
    let charter = client.get("/v1/charter").await.is(200);
    assert_eq!(charter["institutions"].as_array().unwrap().len(), 3);
    assert_eq!(charter["threshold"], 2);

    let figures = client.get("/metrics").await.is(200);
    let figures = figures.as_str().unwrap();
    for name in [
        "sluice_log_seq ",
        "sluice_checkpoints_displaced_seconds 0",
        "sluice_http_requests_total{",
        "sluice_lane_balance_wei{",
    ] {
        assert!(figures.contains(name), "no {name} in\n{figures}");
    }
    let status = client.get("/v1/problems/not_listed").await.is(200);
    assert_eq!(status["status"], 422);
    client.get("/v1/problems/nothing").await.refused(404, "not_found");
    let unknown = client.get("/v1/nothing").await;
    assert!(unknown.seq() > 0);
    unknown.refused(404, "not_found");
    assert_eq!(client.post("/healthz", &Value::Null).await.status, 405);

    let description = client.get("/openapi.json").await.is(200);
    assert_eq!(description["openapi"], "3.1.0");
    let mut ids = HashSet::new();
    let paths = description["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{method} {path}: {id} is used twice");
        }
    }
    routes_are_served_described_and_documented(ground, paths).await;
    assert!(references_resolve(&description, &description) > 20);
}

/// What the router serves, what the description says, and what docs/API.md lists are one.
async fn routes_are_served_described_and_documented(ground: &Ground, paths: &serde_json::Map<String, Value>) {
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| (method, path)))
        .map(|(method, path)| format!("{} {path}", method.to_uppercase()))
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/API.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, listed) = text.split_once("## Every address").unwrap();
    let rows = listed.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(route, _)| route.to_owned()).collect();
    assert_eq!(described, documented);

    let client = &ground.leader.client;
    for route in &described {
        let (method, path) = route.split_once(' ').unwrap();
        // Nothing has these ids; what is asked is whether the address is served and takes the method.
        let path: String = path
            .split('/')
            .map(
                |part| {
                    if part.starts_with('{') { if part == "{code}" { "behind" } else { "1" } } else { part }
                },
            )
            .collect::<Vec<_>>()
            .join("/");
        let said = answer(client.request(method.parse().unwrap(), &path)).await;
        let code = said.body["code"].as_str().unwrap_or_default();
        assert!(!["not_found", "method_not_allowed"].contains(&code), "{route}: {said:?}");
        // The other way about, a method that is not described is not taken.
        if method == "GET" && !described.contains(&format!("DELETE {}", route.split_once(' ').unwrap().1)) {
            client.delete(&path).await.refused(405, "method_not_allowed");
        }
    }
}

/// Counts the references of a description; each must point at something in it.
fn references_resolve(whole: &Value, part: &Value) -> usize {
    match part {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).map_or(0, |reference| {
                let pointer = reference.strip_prefix('#').expect("within the description");
                assert!(whole.pointer(pointer).is_some(), "{reference} points nowhere");
                1
            });
            own + members.values().map(|member| references_resolve(whole, member)).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(|item| references_resolve(whole, item)).sum(),
        _ => 0,
    }
}

pub(crate) async fn readers_of_the_feed_leave_connections_to_others(ground: &Ground) {
    let follower = &ground.follower;
    let mut looking = PgConnection::connect(ground.database_url()).await.unwrap();
    let mut locking = PgConnection::connect(ground.database_url()).await.unwrap();
    let mut lock = locking.begin().await.unwrap();
    sqlx::query("LOCK TABLE log IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..32 {
        let client = follower.client.clone();
        readers.spawn(async move { client.get("/v1/changes?limit=1").await });
    }
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%seq > $2%'";
    let mut seen = 0;
    while seen < 50 {
        let (waiting,): (i64,) = sqlx::query_as(waits).fetch_one(&mut looking).await.unwrap();
        // Each node follows the log, too.
        assert!(waiting <= 10, "{waiting} readers hold connections");
        seen += u32::from(waiting >= 8);
    }
    let read = tokio::time::timeout(Duration::from_secs(4), follower.node.store().projects()).await;
    assert!(read.expect("a connection is free").is_ok());
    lock.rollback().await.unwrap();
    while let Some(answer) = readers.join_next().await {
        let answer = answer.unwrap();
        assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
    }
}

pub(crate) async fn a_follower_answers_at_the_position_asked_for(ground: &Ground) {
    let claim = ground.claim(9).await;
    let mut body = serde_json::to_value(&claim).unwrap();
    let id = Uuid::now_v7();
    body["id"] = json!(id);
    let decided = ground.leader.client.demand(&ground.path("/claims"), &body).await;
    let seq = decided.seq();
    assert!(seq >= decided.is(201)["seq"].as_u64().unwrap());
    let read = ground.follower.client.request(Method::GET, &ground.path(&format!("/claims/{id}")));
    let read = answer(read.header("Min-Seq", seq)).await;
    assert!(read.seq() >= seq);
    assert_ne!(read.is(200)["state"], "waiting");
    let ahead = ground.follower.client.request(Method::GET, "/v1/campaigns").header("Min-Seq", u64::MAX);
    let ahead = answer(ahead).await;
    assert!(ahead.headers.contains_key("retry-after"));
    ahead.refused(503, "behind");

    // A follower takes claims, too: the leader decides them, and the answer is the same everywhere.
    let mut body = serde_json::to_value(ground.claim(10).await).unwrap();
    let id = Uuid::now_v7();
    body["id"] = json!(id);
    let taken = ground.follower.client.post(&ground.path("/claims"), &body).await;
    assert!([201, 202].contains(&taken.status.as_u16()), "{taken:?}");
    let seen = loop {
        let seen = ground.leader.client.get(&ground.path(&format!("/claims/{id}"))).await.is(200);
        if seen["state"] != "waiting" {
            break seen;
        }
        tokio::task::yield_now().await;
    };
    let again = ground.follower.client.request(Method::POST, &ground.path("/claims")).json(&body);
    let again = answer(again.header("Min-Seq", seen["seq"].as_u64().unwrap())).await.is(201);
    assert_eq!(again["seq"], seen["seq"]);
}

pub(crate) async fn a_stopping_node_finishes_what_it_began(ground: Ground) {
    let mut body = serde_json::to_value(ground.claim(11).await).unwrap();
    body["id"] = json!(Uuid::now_v7());
    let (client, path) = (ground.leader.client.clone(), ground.path("/claims"));
    let asking = tokio::spawn(async move { client.post(&path, &body).await });
    // Either the request was taken and is answered, or it never got a connection.
    ground.leader.stop.send(()).unwrap();
    ground.leader.server.await.unwrap();
    match asking.await {
        Ok(answer) => assert!([201, 202].contains(&answer.status.as_u16()), "{answer:?}"),
        Err(refused) => assert!(refused.is_panic()),
    }
    ground.leader.node.stop().await;
    ground.follower.stop.send(()).unwrap();
    ground.follower.server.await.unwrap();
    ground.follower.node.stop().await;
    ground.prepared.stop().await;
}
