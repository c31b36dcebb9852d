//! Entitlements and claims.

use std::time::Duration;

use alloy_primitives::Address;
use serde_json::{Value, json};
use sluice_core::command::ClaimDemand;
use sluice_snapshot::{Absence, Proof};
use uuid::Uuid;

use crate::ask::Answer;
use crate::commands::verified;
use crate::ground::{Ground, WALLETS};

/// A claim under an id.
fn body(id: Uuid, claim: &ClaimDemand) -> Value {
    let mut body = serde_json::to_value(claim).unwrap();
    body["id"] = json!(id);
    body
}

async fn hand_in(ground: &Ground, body: &Value) -> Answer {
    ground.leader.client.demand(&ground.path("/claims"), body).await
}

pub(crate) async fn entitlements_come_with_proofs(ground: &Ground) {
    let client = &ground.leader.client;
    let round = client.get(&ground.path("/rounds/1")).await.is(200);
    assert_eq!(
        (round["phase"].as_str(), round["count"].as_u64()),
        (Some("open"), Some(ground.snapshot.count()))
    );
    let root = serde_json::from_value(round["root"].clone()).unwrap();
    let depth = u8::try_from(round["depth"].as_u64().unwrap()).unwrap();

    let recipient = Ground::wallet(0).address();
    let listed = client.get(&ground.path(&format!("/rounds/1/entitlements/{recipient}"))).await.is(200);
    let [entitlement] = &listed["entitlements"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!(entitlement["amount"], json!({ "base": "1500000000000000000", "tokens": "1.5" }));
    assert_eq!((&entitlement["claimable"], entitlement.get("state")), (&json!(true), None));
    let mut proof = entitlement["proof"].clone();
    proof["index"] = entitlement["index"].clone();
    let proof: Proof = serde_json::from_value(proof).unwrap();
    assert_eq!(proof.verify(root, depth).unwrap().recipient, recipient);
    let index = entitlement["index"].as_u64().unwrap();
    let same = client.get(&ground.path(&format!("/rounds/1/indexes/{index}"))).await.is(200);
    assert_eq!(same["entitlements"], listed["entitlements"]);

    // Pushed by the commands' test before.
    let pushed = Ground::wallet(8).address();
    let listed = client.get(&ground.path(&format!("/rounds/1/entitlements/{pushed}"))).await.is(200);
    assert_eq!(listed["entitlements"][0]["claimable"], json!(false));
    assert!(listed["entitlements"][0]["why_not_sentence"].is_string());

    let agent = Ground::wallet(WALLETS).address();
    let both = client.get(&ground.path(&format!("/rounds/1/entitlements/{agent}"))).await.is(200);
    assert_eq!(both["entitlements"].as_array().unwrap().len(), 2);

    let stranger = Address::repeat_byte(0x77);
    let absent = client.get(&ground.path(&format!("/rounds/1/entitlements/{stranger}"))).await;
    let absent = absent.refused(404, "not_listed");
    let absence: Absence = serde_json::from_value(absent["absence"].clone()).unwrap();
    absence.verify(root, depth, ground.snapshot.count()).unwrap();

    let path = |rest: &str| ground.path(rest);
    client.get(&path(&format!("/rounds/2/entitlements/{recipient}"))).await.refused(404, "unknown_round");
    client.get(&path("/rounds/1/indexes/4000")).await.refused(404, "not_listed");
    client.get(&path("/rounds/one")).await.refused(400, "malformed_parameter");
    let mistyped = recipient.to_checksum(None).replacen('a', "A", 1).replacen('b', "B", 1);
    if mistyped != recipient.to_checksum(None) {
        let said = client.get(&path(&format!("/rounds/1/entitlements/{mistyped}"))).await;
        said.refused(400, "malformed_parameter");
    }
    client.get(&format!("/v1/campaigns/{}", Uuid::now_v7())).await.refused(404, "unknown_campaign");
}

pub(crate) async fn what_is_wrong_with_a_claim_is_said_before_it_is_recorded(ground: &Ground) {
    let good = ground.claim(1).await;
    let refused = async |change: &dyn Fn(&mut ClaimDemand), status: u16, code: &str| {
        let mut claim = good.clone();
        change(&mut claim);
        let claim = ground.signed(1, claim);
        let id = Uuid::now_v7();
        let said = hand_in(ground, &body(id, &claim)).await.refused(status, code);
        assert!(said.get("receipt").is_none(), "nothing was recorded: {said}");
        let path = ground.path(&format!("/claims/{id}"));
        ground.leader.client.get(&path).await.refused(404, "unknown_id");
    };
    refused(&|c| c.round = 2, 404, "unknown_round").await;
    refused(&|c| c.index = 4_000, 422, "not_listed").await;
    refused(&|c| c.index = (c.index + 1) % u64::from(WALLETS), 422, "wrong_entitlement").await;
    refused(&|c| c.amount = sluice_core::amount::Amount::new(7).unwrap(), 422, "wrong_entitlement").await;
    refused(&|c| c.deadline -= 7 * 86_400, 422, "deadline_too_soon").await;
    refused(&|c| c.to = Address::ZERO, 422, "bad_redirect").await;

    let client = &ground.leader.client;
    let mut forged = good.clone();
    forged.signature = ground.claim(2).await.signature;
    hand_in(ground, &body(Uuid::now_v7(), &forged)).await.refused(422, "bad_signature");
    let elsewhere = format!("/v1/campaigns/{}/claims", Uuid::now_v7());
    client.post(&elsewhere, &body(Uuid::now_v7(), &good)).await.refused(404, "unknown_campaign");

    let mut wrong = body(Uuid::now_v7(), &good);
    wrong["amount"] = json!(1.5);
    assert_eq!(hand_in(ground, &wrong).await.refused(400, "malformed_body")["field"], "amount");
    let mut wrong = body(Uuid::now_v7(), &good);
    wrong["recipient"] = json!("0x12");
    assert_eq!(hand_in(ground, &wrong).await.refused(400, "malformed_body")["field"], "recipient");
    let mut wrong = body(Uuid::now_v7(), &good);
    wrong["nonsense"] = json!(true);
    hand_in(ground, &wrong).await.refused(400, "malformed_body");
    let mut large = body(Uuid::now_v7(), &good);
    large["signature"] = json!(format!("0x{}", "00".repeat(8 * 1024)));
    hand_in(ground, &large).await.refused(413, "body_too_large");

    // An agent must say for which person.
    let mut agents = body(Uuid::now_v7(), &ground.claim(WALLETS).await);
    let index = agents.as_object_mut().unwrap().remove("index").unwrap();
    let said = hand_in(ground, &agents).await.refused(422, "index_needed");
    assert_eq!(said["indexes"][0], index);
    let mut strangers = body(Uuid::now_v7(), &good);
    strangers["recipient"] = json!(Address::repeat_byte(0x77));
    strangers.as_object_mut().unwrap().remove("index");
    hand_in(ground, &strangers).await.refused(422, "not_listed");
}

pub(crate) async fn a_claim_is_decided_once_proved_and_paid(ground: &Ground) {
    let client = &ground.leader.client;
    // The wallet gives what it signed and need not know its index.
    let claim = ground.claim(3).await;
    let id = Uuid::now_v7();
    let mut short = body(id, &claim);
    for field in ["index", "amount", "to"] {
        short.as_object_mut().unwrap().remove(field);
    }
    let decided = hand_in(ground, &short).await;
    assert!(decided.seq() > 0);
    let decided = decided.is(201);
    let seq = decided["seq"].as_u64().unwrap();
    assert_eq!(decided["entitlement"]["amount"]["tokens"], "4.5");
    verified(ground, &decided["receipt"], seq).await;

    // The same demand, spelled out: the same answer. Another under the same id: a conflict.
    assert_eq!(hand_in(ground, &body(id, &claim)).await.is(201)["seq"].as_u64(), Some(seq));
    let mut other = claim.clone();
    other.deadline += 1;
    hand_in(ground, &body(id, &ground.signed(3, other))).await.refused(409, "id_conflict");
    let second = hand_in(ground, &body(Uuid::now_v7(), &claim)).await;
    assert_eq!(second.status, 422, "{second:?}");

    let path = ground.path(&format!("/claims/{id}"));
    // It says whose the entitlement is: its claimant has the whole receipt by handing the claim in again.
    verified(ground, &hand_in(ground, &short).await.is(201)["receipt"], seq).await;
    assert_eq!(client.get(&format!("{path}/receipt")).await.is(200)["kind"], "sealed_receipt");
    let paid = async {
        let mut last = 0;
        loop {
            let seen = client.get(&path).await;
            assert!(seen.seq() >= last, "positions never go back");
            last = seen.seq();
            let seen = seen.is(200);
            if seen["state"] == "final" {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), paid).await.expect("the claim is paid");
    let recipient = Ground::wallet(3).address();
    let listed = client.get(&ground.path(&format!("/rounds/1/entitlements/{recipient}"))).await.is(200);
    assert_eq!(listed["entitlements"][0]["why_not"], "already_paid");

    let campaign = client.get(&ground.path("")).await.is(200);
    let base = |account: &str| campaign["funds"][account]["base"].as_str().unwrap().parse::<i128>().unwrap();
    let parts: i128 = ["free", "reserved", "paid", "voided", "swept"].into_iter().map(base).sum();
    assert_eq!(base("funded"), parts, "{campaign:#}");
    assert!(base("paid") >= 4_500_000_000_000_000_000);
}

pub(crate) async fn a_race_is_decided_once_and_the_loser_has_a_receipt(ground: &Ground) {
    let claim = ground.claim(4).await;
    let ids: Vec<_> = (0..16).map(|_| Uuid::now_v7()).collect();
    let bodies: Vec<_> = ids.iter().map(|id| body(*id, &claim)).collect();
    let answers = futures::future::join_all(bodies.iter().map(|body| hand_in(ground, body))).await;
    let mut won = 0;
    for (id, answer) in ids.iter().zip(answers) {
        match answer.status.as_u16() {
            201 => won += 1,
            _ => lost(ground, *id, &answer.is(422)).await,
        }
    }
    assert_eq!(won, 1);
}

/// Before the row while another claim is open, or in the log, with the proof of it.
async fn lost(ground: &Ground, id: Uuid, refused: &Value) {
    let code = refused["code"].as_str().unwrap();
    assert!(["claim_open", "already_decided"].contains(&code), "{refused}");
    let path = ground.path(&format!("/claims/{id}"));
    let seen = ground.leader.client.get(&path).await;
    match refused.get("receipt") {
        Some(receipt) => {
            verified(ground, receipt, refused["seq"].as_u64().unwrap()).await;
            let seen = seen.is(200);
            assert_eq!((&seen["state"], &seen["code"]), (&json!("refused"), &json!(code)));
        }
        None => drop(seen.refused(404, "unknown_id")),
    }
}
