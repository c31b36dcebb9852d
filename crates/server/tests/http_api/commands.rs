//! Commands of authorities.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::ground::{Ground, WALLETS};

pub(crate) async fn are_done_refused_and_found_again(ground: &Ground) {
    let client = &ground.leader.client;
    let version = client.get(&ground.path("/rounds/1")).await.is(200)["version"].as_u64().unwrap();
    let index = ground.snapshot.find(Ground::wallet(8).address()).start;
    let papers = ground.push(index, index + 1, version).await;
    let command = papers.command.unwrap();
    let body = json!({ "id": command.id, "command": command.command });
    let path = format!("/v1/commands/{}/{}", ground.campaign, command.id);

    client.get(&path).await.refused(404, "unknown_id");
    let done = client.demand("/v1/commands", &body).await.is(201);
    assert_eq!((done["state"].as_str(), done["entitlements"].as_u64()), (Some("done"), Some(1)));
    let again = client.demand("/v1/commands", &body).await.is(201);
    assert_eq!(again["seq"], done["seq"]);
    let found = client.get(&path).await.is(200);
    assert_eq!((&found["seq"], &found["state"]), (&done["seq"], &done["state"]));
    client.get(&ground.path(&format!("/claims/{}", command.id))).await.refused(404, "unknown_id");
    verified(ground, &again["receipt"], done["seq"].as_u64().unwrap()).await;
    let sealed = client.get(&format!("{path}/receipt")).await.is(200);
    assert_eq!((&sealed["kind"], &sealed["seq"]), (&json!("sealed_receipt"), &done["seq"]));

    let mut other = body.clone();
    other["command"]["reason"] = json!("another");
    let conflict = client.post("/v1/commands", &other).await;
    assert!([409, 422].contains(&conflict.status.as_u16()), "{conflict:?}");

    // Outside the round: understood, recorded, refused, with the proof of it.
    let papers = ground.push(0, u64::from(WALLETS) + 100, version).await;
    let command = papers.command.unwrap();
    let refused =
        client.demand("/v1/commands", &json!({ "id": command.id, "command": command.command })).await;
    let refused = refused.refused(422, "bad_range");
    if refused.get("receipt").is_some() {
        verified(ground, &refused["receipt"], refused["seq"].as_u64().unwrap()).await;
    }
    malformed(ground, &body).await;
}

async fn malformed(ground: &Ground, body: &Value) {
    let client = &ground.leader.client;
    let mut nameless = body.clone();
    nameless["command"]["action"]["action"] = json!("burn");
    nameless["id"] = json!(Uuid::now_v7());
    let said = client.post("/v1/commands", &nameless).await.refused(400, "malformed_body");
    assert!(said["field"].as_str().unwrap().starts_with("command.action"), "{said}");
    let mut unsigned = body.clone();
    unsigned["command"]["approvals"] = json!([]);
    unsigned["id"] = json!(Uuid::now_v7());
    let said = client.post("/v1/commands", &unsigned).await;
    assert!(said.status.is_client_error() && said.body.get("receipt").is_none(), "{said:?}");
}

/// The receipt verifies offline, with the log's key alone, at this position.
pub(crate) async fn verified(ground: &Ground, receipt: &Value, seq: u64) {
    let receipt: sluice_core::log::receipt::Receipt = serde_json::from_value(receipt.clone()).unwrap();
    let verified = receipt.verify(&[ground.log_key().await]).unwrap();
    assert_eq!(verified.entry.seq, seq);
}
