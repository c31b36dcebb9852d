//! Evidence over HTTP: a payment's story, checkpoints, and proofs that a client verifies by itself.

use std::time::Duration;

use alloy_primitives::B256;
use serde_json::{Value, json};
use sluice_core::log::merkle::{Hash, verify_consistency, verify_inclusion};
use sluice_core::log::note::{SignedHead, open};
use uuid::Uuid;

use crate::ground::Ground;

/// Asks again until an answer shows what is waited for.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.unwrap_or_else(|_| panic!("never: {what}"))
}

pub(crate) async fn a_payment_is_traced(ground: &Ground) {
    let client = &ground.leader.client;
    let auditor = client.reading(&ground.office("court of audit", "audit", "").await);
    let claim = ground.claim(5).await;
    let id = Uuid::now_v7();
    let mut body = serde_json::to_value(&claim).unwrap();
    body["id"] = json!(id);
    client.demand(&ground.path("/claims"), &body).await.is(201);
    let path = ground.path(&format!("/claims/{id}"));
    let paid = until("the claim is paid", async || {
        let seen = client.get(&path).await.is(200);
        (seen["state"] == "final").then_some(seen)
    })
    .await;

    let story = auditor.get(&format!("/v1/trace/{id}")).await;
    assert!(story.seq() >= paid["seq"].as_u64().unwrap());
    let story = story.is(200);
    let step = |story: &Value, kind: &str| {
        let steps = story["steps"].as_array().unwrap();
        steps
            .iter()
            .find(|step| step["kind"] == kind)
            .unwrap_or_else(|| panic!("no {kind}: {story:#}"))
            .clone()
    };
    let order = ["batch_final", "batch_mined", "attempt_signed", "batch_planned", "claim_decided", "publish"];
    let positions = order.map(|kind| step(&story, kind)["seq"].as_u64().unwrap());
    assert!(positions.is_sorted_by(|a, b| a > b), "from the payment back to the intention: {positions:?}");
    let person = ground.snapshot.person(claim.index).unwrap();
    assert_eq!(step(&story, "claim_decided")["person"], json!(person));
    assert_eq!(step(&story, "claim_decided")["demand"], json!(id));
    let mined = step(&story, "batch_mined");
    let transaction = mined["transaction"].as_str().unwrap();
    assert_eq!(story["entitlements"][0]["paid_by"], json!([transaction]));
    assert_eq!(story["entitlements"][0]["recipient"], json!(claim.recipient));

    // A stranger hears when and by whom, and nothing about the person.
    let told = client.get(&format!("/v1/trace/{transaction}")).await.is(200);
    let text = told.to_string();
    assert!(!text.contains(&hex::encode(person)) && !text.contains(&id.to_string()), "{told:#}");
    // No hash of the person either: the same hash on two claims would tell that they are one person's.
    let claimed = step(&told, "claim_decided");
    assert!(claimed.get("person").is_none() && claimed["demand"]["sha256"].is_string(), "{told:#}");
    assert_eq!(step(&told, "batch_mined")["transaction"], json!(transaction));
    client.get("/v1/trace/nonsense").await.refused(400, "malformed_parameter");
    client.get(&format!("/v1/trace/{}", B256::repeat_byte(7))).await.refused(404, "not_found");
    client.get(&format!("/v1/trace/{}", Uuid::now_v7())).await.refused(404, "not_found");
}

/// The newest checkpoint, once it stands at this size or beyond: the text of a signed note.
async fn checkpoint(ground: &Ground, at_least: u64) -> SignedHead {
    let key = ground.log_key().await;
    until("a checkpoint of this size", async || {
        let note = ground.leader.client.get("/v1/checkpoint").await.is(200);
        let signed = open(note.as_str().unwrap(), std::slice::from_ref(&key)).unwrap();
        (signed.head.size >= at_least).then_some(signed)
    })
    .await
}

fn hashes(list: &Value) -> Vec<Hash> {
    let hashes: Vec<B256> = serde_json::from_value(list.clone()).unwrap();
    hashes.into_iter().map(Hash::from).collect()
}

pub(crate) async fn the_log_is_proved_to_whoever_asks(ground: &Ground) {
    let client = &ground.leader.client;
    let earlier = checkpoint(ground, 1).await.head;
    // Something happens, and is in a later checkpoint.
    let pushed = ground.snapshot.find(Ground::wallet(1).address()).start;
    let version = client.get(&ground.path("/rounds/1")).await.is(200)["version"].as_u64().unwrap();
    let command = ground.push(pushed, pushed + 1, version).await.command.unwrap();
    let body = json!({ "id": command.id, "command": command.command });
    let seq = client.demand("/v1/commands", &body).await.is(201)["seq"].as_u64().unwrap();
    let later = checkpoint(ground, seq).await.head;
    assert!(later.size > earlier.size && later.state_hash.is_some());

    let path = format!("/v1/log/proof?from={}&to={}", earlier.size, later.size);
    let proof = hashes(&client.get(&path).await.is(200)["proof"]);
    verify_consistency(earlier.size, &earlier.root, later.size, &later.root, &proof).unwrap();
    let mut forked = earlier.root;
    forked[0] ^= 1;
    verify_consistency(earlier.size, &forked, later.size, &later.root, &proof).unwrap_err();
    let mut short = proof.clone();
    short.pop();
    verify_consistency(earlier.size, &earlier.root, later.size, &later.root, &short).unwrap_err();
    client.get(&format!("/v1/log/proof?from=1&to={}", u32::MAX)).await.refused(400, "malformed_parameter");
    client.get("/v1/log/proof?from=2&to=1").await.refused(400, "malformed_parameter");

    // Inclusion: of an entry whose content this client may not see, by its leaf alone.
    let sealed = client.get(&format!("/v1/log/entries/{seq}")).await.is(200);
    let leaf: B256 = serde_json::from_value(sealed["leaf"].clone()).unwrap();
    let signed = open(sealed["note"].as_str().unwrap(), &[ground.log_key().await]).unwrap().head;
    let included = |leaf: B256, index| {
        verify_inclusion(&leaf.into(), index, signed.size, &hashes(&sealed["path"]), &signed.root)
    };
    included(leaf, seq - 1).unwrap();
    included(leaf, seq - 2).unwrap_err();
    included(B256::repeat_byte(1), seq - 1).unwrap_err();
    let feed = client.get(&format!("/v1/changes?after={}&limit=1", seq - 1)).await.is(200);
    assert_eq!(feed["changes"][0]["leaf"], sealed["leaf"], "the feed names the leaf that is proved");
    // What says nothing about people is open to all.
    let first = client.get("/v1/log/entries/1").await.is(200);
    crate::commands::verified(ground, &first, 1).await;
    client.get("/v1/log/entries/0").await.refused(404, "not_found");
    client.get(&format!("/v1/log/entries/{}", u32::MAX)).await.refused(404, "not_found");
}
