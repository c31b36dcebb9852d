//! What strangers are not told together: which payments, orders and holds are one person's.

use alloy_primitives::{Address, B256, Bytes};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sluice_core::command::{Action, HoldTarget};
use sluice_core::ids::ContractRef;
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::receipt::Receipt;
use sluice_server::http::claimant::{CLAIMANT, Looking};
use uuid::Uuid;

use crate::ask::{Client, answer, in_seconds};
use crate::evidence::until;
use crate::ground::Ground;

/// Whose payment is held here.
const HELD: u32 = 2;

/// The header by which a wallet proves itself.
fn statement(ground: &Ground, number: u32) -> String {
    let mut looking = Looking {
        campaign: ground.campaign,
        account: Ground::wallet(number).address(),
        host: ground.leader.client.host().to_owned(),
        expires_at: in_seconds(60),
        signature: Bytes::new(),
    };
    let charter = ContractRef { chain_id: ground.distributor.chain_id, address: ground.prepared.charter };
    looking.signature = Ground::wallet(number).sign_digest(looking.digest(charter)).unwrap();
    looking.encode()
}

async fn change(client: &Client, seq: u64) -> Value {
    let page = client.get(&format!("/v1/changes?after={}&limit=1", seq - 1)).await.is(200);
    page["changes"][0].clone()
}

pub(crate) async fn holds_on_a_person_join_nothing_for_strangers(ground: &Ground) {
    let client = &ground.leader.client;
    let (own, _) = ground.keyed().await;
    let claim = ground.claim(HELD).await;
    let person = ground.snapshot.person(claim.index).unwrap();
    let inside = format!("resource == Person::\"{person}\"");
    let registrar = client.reading(&ground.office("keeps one person", "read_private", &inside).await);

    // Nobody holds the same entitlement alone twice.
    let hold = async |by: std::ops::Range<usize>| {
        let target = HoldTarget::Person { person };
        ground.order(by, Action::Hold { target }, 0).await.is(201)["seq"].as_u64().unwrap()
    };
    let first = hold(0..1).await;
    ground.order(0..1, Action::Release { hold: first }, first).await.is(201);
    let placed = hold(1..2).await;
    let path = ground.path(&format!("/rounds/1/entitlements/{}", claim.recipient));
    for asking in [client, &own] {
        let seen = asking.get(&path).await.is(200);
        assert!(seen["entitlements"][0].get("held_by").is_none(), "{seen:#}");
        let seen = asking.get(&format!("/v1/persons/{person}")).await;
        assert!(seen.body.get("holds").is_none(), "{seen:?}");
    }
    let seen = registrar.get(&path).await.is(200);
    assert_eq!(seen["entitlements"][0]["held_by"][0]["hold"], json!(placed), "{seen:#}");
    // Whose it is needs the hold's name for an appeal; another wallet's signature does not show it.
    for (number, shown) in [(HELD, json!(placed)), (HELD + 1, Value::Null)] {
        let asked = client.request(Method::GET, &path).header(CLAIMANT, statement(ground, number));
        assert_eq!(answer(asked).await.is(200)["entitlements"][0]["held_by"][0]["hold"], shown);
    }

    // The feed tells that somebody is held, not how many payments are theirs.
    let (hidden, open) = (change(client, placed).await, change(&registrar, placed).await);
    assert_eq!((hidden.get("entitlements"), &open["entitlements"]), (None, &json!(1)));
    orders_are_told_apart(ground).await;

    let id = Uuid::now_v7();
    let mut body = serde_json::to_value(&claim).unwrap();
    body["id"] = json!(id);
    let decided = client.demand(&ground.path("/claims"), &body).await.is(201);
    assert_eq!((&decided["state"], &decided["held_by"][0]["hold"]), (&json!("held"), &json!(placed)));
    let released = ground.order(1..2, Action::Release { hold: placed }, placed).await.is(201);
    let path = ground.path(&format!("/claims/{id}"));
    until("the claim is paid", async || (client.get(&path).await.is(200)["state"] == "final").then_some(()))
        .await;
    let steps = [("hold", placed), ("release", released["seq"].as_u64().unwrap())];
    stories_leave_it_out(client, &registrar, id, steps).await;
}

/// The feed names the person of an order by a hash that is another one for each order, and is proved by its entry later.
async fn orders_are_told_apart(ground: &Ground) {
    let client = &ground.leader.client;
    let person = B256::repeat_byte(0x55);
    let inside = format!("resource == Person::\"{person}\"");
    let registrar = client.reading(&ground.office("keeps another", "read_private", &inside).await);
    let bind = async |to: u8, seen: u64| {
        let payee = Address::repeat_byte(to);
        let bind = Action::BindPerson { person, payee, jurisdiction: String::new() };
        ground.order(0..2, bind, seen).await.is(201)["seq"].as_u64().unwrap()
    };
    let first = bind(0x56, 0).await;
    let mut hashes = Vec::new();
    for seq in [first, bind(0x57, first).await] {
        let (hidden, open) = (change(client, seq).await, change(&registrar, seq).await);
        assert_eq!(open["command"]["subject"]["id"], json!(person));
        let receipt = registrar.get(&format!("/v1/log/entries/{seq}")).await.is(200);
        let receipt: Receipt = serde_json::from_value(receipt).unwrap();
        let Body::Ordered(ordered) = Entry::decode(&receipt.entry).unwrap().body else { panic!("an order") };
        let proof = B256::from_slice(&Sha256::digest(borsh::to_vec(&ordered.command).unwrap()));
        assert_eq!(hidden["command"]["subject"], json!({ "kind": "person", "id": { "sha256": proof } }));
        hashes.push(proof);
    }
    assert_ne!(hashes[0], hashes[1]);
}

/// Neither the hold nor its end stands in a story told to strangers; to who may read the person both do.
async fn stories_leave_it_out(client: &Client, registrar: &Client, claim: Uuid, hidden: [(&str, u64); 2]) {
    let path = format!("/v1/trace/{claim}");
    let kinds = |story: &Value| -> Vec<(String, u64)> {
        let steps = story["steps"].as_array().unwrap().iter();
        steps.map(|s| (s["kind"].as_str().unwrap().to_owned(), s["seq"].as_u64().unwrap())).collect()
    };
    let told = client.get(&path).await.is(200);
    let open = registrar.get(&path).await.is(200);
    let (told_kinds, open_kinds) = (kinds(&told), kinds(&open));
    assert!(told_kinds.iter().any(|(kind, _)| kind == "batch_final"), "{told:#}");
    for (kind, seq) in hidden {
        assert!(told_kinds.iter().all(|(_, other)| *other != seq), "{kind}: {told:#}");
        assert!(open_kinds.contains(&(kind.into(), seq)), "{kind}: {open:#}");
    }
}
