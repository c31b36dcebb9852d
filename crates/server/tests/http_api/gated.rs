//! A gated claim, end to end: the attestation comes in, the claim is decided by rules, the gate's word comes in, the money
//! arrives; and one that rules refuse for a cause they mask.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sluice_chain::calls;
use sluice_core::command::{ClaimDemand, RoundMode};
use sluice_core::ids::StreamId;
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::receipt::Receipt;
use sluice_core::signing::claim_digest;
use sluice_engine::gate_signer::{GateSigner, GateSignerConfig};
use sluice_server::api_client::ApiClient;
use sluice_server::cli::campaign::{fund, publish};
use sluice_server::cli::sign::papers::{Deed, Papers};
use sluice_server::cli::sign::signed_by;
use sluice_server::dev;
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Snapshot, build};
use uuid::Uuid;

use crate::ask::{Answer, Client, in_seconds};
use crate::evidence::until;
use crate::ground::Ground;
use crate::institutions::{gate_key, stated};

/// The gate version that the institutions' tests defined.
const GATE: u16 = 1;
/// Is paid.
const PAID: u32 = 20;
/// Is owed more than the rules permit.
const RICH: u32 = 21;

/// Installs the gate's key in the Distributor and waits until the log has read it, finally.
async fn install(ground: &Ground) -> B256 {
    let client = &ground.leader.client;
    let gates = client.get(&ground.path("/gates")).await.is(200);
    let rules_hash: B256 = serde_json::from_value(gates[0]["hash"].clone()).unwrap();
    let api = ApiClient::new(&client.base, None).unwrap();
    let charter = api.charter().await.unwrap();
    let (distributor, signer) = (ground.distributor.address, gate_key().signer_bytes());
    let deed = Deed::InstallGate { distributor, version: GATE, signer: signer.clone(), rules_hash };
    let now = ground.prepared.chain.timestamp().await.unwrap();
    let papers = Papers::new("a gate", &charter, charter.threshold, now, None, vec![deed]);
    let papers = signed_by(papers, &ground.prepared.authorities[..2]).unwrap();
    let approvals = papers.approvals(|deed| matches!(deed, Deed::InstallGate { .. })).unwrap();
    let data = calls::install_gate(GATE.into(), signer, rules_hash, &approvals).unwrap();
    ground.prepared.operator.send("installGate", Some(distributor), data, U256::ZERO).await.unwrap();
    until("the gate is installed, finally", async || {
        let gates = client.get(&ground.path("/gates")).await.is(200);
        (gates[0]["installed"] == true).then_some(())
    })
    .await;
    rules_hash
}

/// A gated round of the two wallets, funded and open; its number and snapshot.
async fn round(ground: &Ground, rules_hash: B256) -> (u64, Snapshot) {
    let folder = tempfile::tempdir().unwrap();
    let (list, out) = (folder.path().join("gated.csv"), folder.path().join("gated.snapshot"));
    let row = |number: u32, amount: u32| {
        let (person, wallet) = (sluice_core::sample::person(number), Ground::wallet(number).address());
        format!("{person},{wallet},{amount}\n")
    };
    std::fs::write(&list, format!("person,address,amount\n{}{}", row(PAID, 50), row(RICH, 500))).unwrap();
    let options = BuildOptions { decimals: dev::DECIMALS, ..BuildOptions::default() };
    build(&options, &Input::File(list), &out, &|_| {}).unwrap();
    let (snapshot, hash) = publish::store(&out, &ground.prepared.snapshots()).await.unwrap();
    let (api, operator) =
        (ApiClient::new(&ground.leader.client.base, None).unwrap(), &ground.prepared.operator);
    let now = ground.prepared.chain.timestamp().await.unwrap();
    let wanted = publish::NewRound {
        campaign: ground.campaign,
        mode: RoundMode::Gated,
        opens_at: now,
        closes_at: now + 30 * 86_400,
        supersedes: 0,
        list_uri: String::new(),
        again: false,
    };
    let (info, charter) = (api.campaign(ground.campaign).await.unwrap(), api.charter().await.unwrap());
    let mut terms = publish::terms(&api, &info, &wanted, &snapshot, hash).await.unwrap();
    (terms.gate, terms.rules_hash) = (GATE.into(), rules_hash);
    let papers = publish::papers(&api, operator, &charter, &info, &terms).await.unwrap();
    let papers = signed_by(papers, &ground.prepared.authorities[..2]).unwrap();
    publish::publish(&api, operator, &info, &papers).await.unwrap();
    let (distributor, token) = (ground.distributor.address, ground.prepared.token);
    let amount = fund::lacking(&ground.prepared.chain, distributor, token).await.unwrap();
    operator.mint(token, distributor, amount).await.unwrap();
    fund::open(operator, distributor, terms.round).await.unwrap();
    fund::wait_open(&api, ground.campaign, terms.round).await.unwrap();
    (terms.round, Snapshot::open(&out).unwrap())
}

/// A wallet's claim in that round, as it is handed in.
fn claim(ground: &Ground, round: u64, snapshot: &Snapshot, number: u32) -> Value {
    let account = Ground::wallet(number);
    let recipient = account.address();
    let index = snapshot.find(recipient).start;
    let mut claim = ClaimDemand {
        round,
        index,
        recipient,
        to: recipient,
        amount: snapshot.entitlement(index).unwrap().amount,
        deadline: in_seconds(7 * 86_400) / 1_000,
        signature: Bytes::new(),
    };
    claim.signature = account.sign_digest(claim_digest(&claim, ground.distributor)).unwrap();
    let mut body = serde_json::to_value(&claim).unwrap();
    body["id"] = json!(Uuid::now_v7());
    body
}

async fn hand_in(ground: &Ground, body: &Value) -> Answer {
    ground.leader.client.demand(&ground.path("/claims"), body).await
}

/// A gate-signer with the gate's key, which only reads the database.
async fn gate_signer(ground: &Ground) -> GateSigner {
    let url = &ground.prepared.database_url;
    let and = if url.contains('?') { '&' } else { '?' };
    let chain = &ground.prepared.chain;
    let config = GateSignerConfig {
        stream: StreamId(0),
        database_url: format!("{url}{and}options[default_transaction_read_only]=on"),
        snapshots: ground.prepared.snapshots(),
        chains: BTreeMap::from([(chain.id(), (chain.clone(), ground.prepared.charter))]),
        home: chain.id(),
        key: gate_key(),
        interval: Duration::from_millis(1),
        seal_secret: dev::seal_secret(),
    };
    GateSigner::start(config).await.unwrap()
}

pub(crate) async fn a_gated_claim_is_paid_from_attestation_to_settlement(ground: &Ground) {
    let client = &ground.leader.client;
    let rules_hash = install(ground).await;
    let (round, snapshot) = round(ground, rules_hash).await;
    // Without an attestation the rules do not permit it, and say so.
    let lonely = hand_in(ground, &claim(ground, round, &snapshot, PAID)).await;
    assert_eq!(lonely.status, 422, "{lonely:?}");
    let mut attested = Vec::new();
    for number in [PAID, RICH] {
        let statement = stated(Ground::wallet(number).address(), number);
        let kept = client.post("/v1/attestations", &statement).await.is(201);
        attested.push(serde_json::from_value(kept["id"].clone()).unwrap());
    }
    masked(ground, round, &snapshot, &attested).await;

    let body = claim(ground, round, &snapshot, PAID);
    let decided = hand_in(ground, &body).await.is(201);
    let seq = decided["seq"].as_u64().unwrap();
    crate::commands::verified(ground, &decided["receipt"], seq).await;
    let path = ground.path(&format!("/claims/{}", body["id"].as_str().unwrap()));
    let waiting = client.get(&path).await.is(200);
    assert_eq!((&waiting["state"], &waiting["exit_cover"]), (&json!("decided"), &json!("pending")));
    // What rules and attestations said is its claimant's: others get the same receipt sealed.
    assert_eq!(client.get(&format!("{path}/receipt")).await.is(200)["kind"], "sealed_receipt");
    assert_eq!(hand_in(ground, &body).await.is(201)["receipt"]["kind"], "receipt");

    let mut signer = gate_signer(ground).await;
    let words = until("the gate signs", async || signer.tick().await.unwrap().pop()).await;
    assert_eq!(signer.incidents(), []);
    let words = serde_json::to_value(&words).unwrap();
    let mut empty = words.clone();
    empty["words"] = json!([]);
    assert_eq!(client.post("/v1/gate-words", &empty).await.refused(400, "malformed_body")["field"], "words");
    let mut forged = words.clone();
    forged["words"][0]["mask"][0] = json!(3);
    let said = client.post("/v1/gate-words", &forged).await;
    assert!(said.status == 422 && said.body.get("receipt").is_none(), "{said:?}");
    let taken = client.demand("/v1/gate-words", &words).await.is(201);
    crate::commands::verified(ground, &taken["receipt"], taken["seq"].as_u64().unwrap()).await;
    let again = client.demand("/v1/gate-words", &words).await.is(201);
    assert_eq!(
        (&again["id"], &again["seq"]),
        (&taken["id"], &taken["seq"]),
        "the same masks, the same answer"
    );

    let paid = until("the claim is paid", async || {
        let seen = client.get(&path).await.is(200);
        (seen["state"] == "final").then_some(seen)
    })
    .await;
    assert_eq!(paid["exit_cover"], "covered");
    let story = client.get(&format!("/v1/trace/{}", body["id"].as_str().unwrap())).await.is(200);
    let kinds: Vec<_> =
        story["steps"].as_array().unwrap().iter().map(|s| s["kind"].as_str().unwrap()).collect();
    for kind in ["gate_signed", "claim_decided", "activate_rules", "define_gate"] {
        assert!(kinds.contains(&kind), "the story has no {kind}: {kinds:?}");
    }
    let text = story.to_string();
    let person = snapshot.person(snapshot.find(Ground::wallet(PAID).address()).start).unwrap();
    assert!(
        !text.contains(&hex::encode(person)) && !text.contains("Somebody must vote for you"),
        "{story:#}"
    );
}

/// A refusal whose cause the rules mask: its claimant is told something else, an office the cause.
async fn masked(ground: &Ground, round: u64, snapshot: &Snapshot, attested: &[B256]) {
    let client = &ground.leader.client;
    let body = claim(ground, round, snapshot, RICH);
    let refused = hand_in(ground, &body).await.refused(422, "under_review");
    assert!(!refused.to_string().contains("too_much"), "{refused:#}");
    let path = ground.path(&format!("/claims/{}", body["id"].as_str().unwrap()));
    for asking in [client, &ground.keyed().await.0] {
        let seen = asking.get(&path).await.is(200);
        assert!(!seen.to_string().contains("too_much"), "{seen:#}");
    }
    let inside = format!("resource in Campaign::\"{}\"", ground.campaign);
    let case_worker = client.reading(&ground.office("case worker", "read_private", &inside).await);
    let seen = case_worker.get(&path).await.is(200);
    assert_eq!(seen["cause"]["code"], "too_much");
    assert!(seen["cause"]["sentence"].as_str().unwrap().starts_with("Too much."), "{seen:#}");
    masked_in_the_story(ground, &body, &case_worker, attested).await;
    let receipt = case_worker.get(&format!("{path}/receipt")).await.is(200);
    let receipt: Receipt = serde_json::from_value(receipt).unwrap();
    let Body::ClaimRefused(claim) = Entry::decode(&receipt.entry).unwrap().body else { panic!("a refusal") };
    assert!(!claim.evidence.person.is_zero());
    // It says whose the entitlement is: others prove that it was refused, and see no more.
    let sealed = client.get(&format!("{path}/receipt")).await.is(200);
    assert_eq!(sealed["leaf"], json!(B256::from(sluice_core::log::merkle::leaf_hash(&receipt.entry))));
}

/// The refusal's story: the cause and what stood behind it are told to offices, to nobody else, not even as hashes.
async fn masked_in_the_story(ground: &Ground, claim: &Value, case_worker: &Client, attested: &[B256]) {
    let client = &ground.leader.client;
    let path = format!("/v1/trace/{}", claim["id"].as_str().unwrap());
    let step = |story: &Value| {
        let mut steps = story["steps"].as_array().unwrap().iter();
        steps.find(|step| step["kind"] == "claim_refused").unwrap().clone()
    };
    let auditor = client.reading(&ground.office("auditor of gates", "audit", "").await);
    for office in [case_worker, &auditor] {
        let told = step(&office.get(&path).await.is(200));
        assert_eq!((&told["cause"]["code"], &told["demand"]), (&json!("too_much"), &claim["id"]));
        assert!(attested.iter().any(|id| told["attestations"] == json!([id])), "{told:#}");
    }
    let story = client.get(&path).await.is(200);
    let told = step(&story);
    for hidden in ["cause", "attestations", "policies", "person", "reason"] {
        assert!(told.get(hidden).is_none(), "{hidden}: {told:#}");
    }
    let text = story.to_string();
    assert!(!text.contains("too_much") && !text.contains("Too much."), "{story:#}");
    for id in attested {
        let hash = B256::from_slice(&Sha256::digest(id));
        assert!(!text.contains(&hex::encode(id)) && !text.contains(&hex::encode(hash)), "{story:#}");
    }
}
