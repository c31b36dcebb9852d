//! Institutions over HTTP: attestations, holds, rules, persons, and the change feed.

use alloy_primitives::{Address, B256, Bytes};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};
use sluice_chain::signer::Account;
use sluice_core::command::{AcceptedAttestation, Action, GateTerms, HoldTarget, RulesTerms};
use sluice_core::ids::ContractRef;
use sluice_gate::attestation::{
    Accepts, Attestation, SignIndex, SignOffchain, SignRecipients, Source, Statement, SubjectIn,
};
use sluice_gate::rules::{PolicySource, RuleSet, Sources};
use sluice_server::api_client::ApiClient;
use sluice_server::cli::sign::papers::Papers;
use sluice_server::cli::sign::signed_by;
use sluice_server::http::claimant::{CLAIMANT, Looking};

use crate::ask::{Answer, Client, answer, in_seconds};
use crate::ground::{Ground, WALLETS};

const SCHEMA: &str = "SPS_cKmgkXVeojP-CdiH7kK7K";
const LIKE: &str = "bool like, uint16 n";

impl Ground {
    /// Hands in a command that the institutions of this range sign.
    pub(crate) async fn order(&self, by: std::ops::Range<usize>, action: Action, seen: u64) -> Answer {
        let api = ApiClient::new(&self.leader.client.base, None).unwrap();
        let now = self.prepared.chain.timestamp().await.unwrap();
        let command = Some((action, seen, "an institution's reason".to_owned()));
        let papers = Papers::new("a test", &api.charter().await.unwrap(), 1, now, command, vec![]);
        let papers = signed_by(papers, &self.prepared.authorities[by]).unwrap();
        let command = papers.command.unwrap();
        let body = json!({ "id": command.id, "command": command.command });
        self.leader.client.demand("/v1/commands", &body).await
    }

    /// A client with the key of the campaign's project, and one with another project's.
    pub(crate) async fn keyed(&self) -> (Client, Client) {
        let operator = self.leader.client.with_key(&self.operator_key);
        let mut clients = Vec::new();
        for id in [self.project.0, uuid::Uuid::now_v7()] {
            let name = format!("project {id}");
            let created = operator.post("/v1/projects", &json!({ "id": id, "name": name })).await;
            assert!(created.status.is_success() || created.status == 409, "{created:?}");
            let made = operator.post(&format!("/v1/projects/{id}/keys"), &json!({ "label": "test" })).await;
            clients.push(self.leader.client.with_key(made.is(201)["key"].as_str().unwrap()));
        }
        let other = clients.pop().unwrap();
        (clients.pop().unwrap(), other)
    }
}

pub(crate) fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().unwrap()
}

pub(crate) async fn hold_release_and_are_told_what_changed(ground: &Ground) {
    let client = &ground.leader.client;
    let (own, other) = ground.keyed().await;
    let recipient = Ground::wallet(7).address();
    let index = ground.snapshot.find(recipient).start;
    let target =
        HoldTarget::Entitlements { campaign: ground.campaign, round: ground.round, indexes: vec![index] };
    let placed = ground.order(0..1, Action::Hold { target }, 0).await.is(201);
    let hold = placed["seq"].as_u64().unwrap();
    let outcome = &placed["outcome"];
    assert_eq!((&outcome["covered"], outcome["until"].is_u64()), (&json!(1), true), "{placed:#}");
    let on_chain = json!({ "recorded": hold, "effective": false, "open": 1 });
    assert_eq!(outcome["on_chain"], on_chain, "nothing is held on chain yet: the wallet may still claim");

    let page = client.get("/v1/holds").await;
    assert!(page.seq() >= hold);
    let page = page.is(200);
    let listed = items(&page).iter().find(|h| h["hold"] == hold).unwrap();
    assert_eq!(listed["entitlements"], json!([{ "campaign": ground.campaign, "round": 1, "index": index }]));
    assert!(items(&own.get("/v1/holds").await.is(200)).iter().any(|h| h["hold"] == hold));
    assert_eq!(items(&other.get("/v1/holds").await.is(200)).len(), 0, "a project sees its own");

    let path = ground.path(&format!("/rounds/1/entitlements/{recipient}"));
    let seen = client.get(&path).await.is(200);
    let entitlement = &seen["entitlements"][0];
    assert_eq!(entitlement["held_by"][0]["hold"], hold, "{entitlement:#}");
    assert!(entitlement.get("person").is_none(), "a stranger is told no person, not even by a hash");
    let seen = own.get(&path).await.is(200);
    assert!(seen["entitlements"][0].get("person").is_none(), "a key opens no personal data");

    // Another institution cannot end it; who saw it before is told what changed.
    ground.order(1..2, Action::Release { hold }, hold).await.refused(422, "not_placer");
    let confirmed = ground.order(1..2, Action::ConfirmHold { hold }, hold).await.is(201);
    assert!(confirmed["outcome"]["until"].as_u64() > outcome["until"].as_u64());
    let now = confirmed["seq"].as_u64().unwrap();
    // What a second one confirmed is no longer its placer's alone to end.
    ground.order(0..1, Action::Release { hold }, now).await.refused(422, "not_placer");
    let stale = ground.order(0..3, Action::Release { hold }, hold).await.refused(422, "stale");
    assert_eq!(stale["changed_at"], confirmed["seq"]);
    let changed = stale["changed"].as_array().unwrap();
    assert_eq!(changed.last().unwrap()["command"]["action"], "confirm_hold", "{stale:#}");
    assert_eq!(changed.last().unwrap()["seq"], confirmed["seq"]);
    assert!(changed.last().unwrap()["command"]["reason"]["sha256"].is_string());
    let path = format!("/v1/commands/{}/{}", uuid::Uuid::nil(), stale["id"].as_str().unwrap());
    assert_eq!(
        client.get(&path).await.is(200)["changed"],
        stale["changed"],
        "found again, with the same answer"
    );
    ground.order(0..3, Action::Release { hold }, now).await.is(201);
    assert!(!items(&client.get("/v1/holds").await.is(200)).iter().any(|h| h["hold"] == hold));
}

pub(crate) async fn bind_persons_whom_strangers_do_not_see(ground: &Ground) {
    let client = &ground.leader.client;
    let (own, _) = ground.keyed().await;
    let (person, payee) = (B256::repeat_byte(0x51), Address::repeat_byte(0x52));
    let path = format!("/v1/persons/{person}");
    client.get(&path).await.refused(404, "unknown_person");
    let bound = ground
        .order(0..2, Action::BindPerson { person, payee, jurisdiction: String::new() }, 0)
        .await
        .is(201);
    let known = client.get(&path).await.is(200);
    assert_eq!(known["version"], bound["seq"]);
    assert!(known.get("payee").is_none() && known.get("vouched").is_none(), "{known}");
    let keyed = own.get(&path).await.is(200);
    assert!(keyed.get("payee").is_none(), "a key opens money and states, no personal data: {keyed}");
    let held = ground.order(0..1, Action::Hold { target: HoldTarget::Person { person } }, 0).await.is(201);
    let holds = client.get("/v1/holds").await.is(200);
    let listed = items(&holds).iter().find(|h| h["hold"] == held["seq"]).unwrap();
    assert_eq!(listed["kind"], "person");
    for hidden in ["person", "covered", "entitlements"] {
        assert!(listed.get(hidden).is_none(), "{hidden}: {listed}");
    }
    assert!(client.get(&path).await.is(200).get("holds").is_none(), "which holds are one person's");
    let seq = held["seq"].as_u64().unwrap();
    ground.order(0..1, Action::Release { hold: seq }, seq).await.is(201);
    client.get("/v1/persons/0x12").await.refused(400, "malformed_parameter");
}

pub(crate) async fn are_listed_with_what_they_may(ground: &Ground) {
    let client = &ground.leader.client;
    let all = client.get("/v1/authorities").await.is(200);
    assert_eq!(items(&all).len(), 3);
    assert!(items(&all).iter().all(|a| a["chartered"] == true && a["version"] == 0), "{all:#}");
    let first = client.get("/v1/authorities?limit=1").await.is(200);
    let next = first["next"].as_str().unwrap();
    let rest = client.get(&format!("/v1/authorities?after={next}")).await.is(200);
    assert_eq!((items(&first).len(), items(&rest).len(), rest.get("next")), (1, 2, None));
    for list in ["mandates", "delegations", "appeals"] {
        assert_eq!(items(&client.get(&format!("/v1/{list}")).await.is(200)).len(), 0, "{list}");
    }
    client.get("/v1/mandates?nonsense=1").await.refused(400, "malformed_parameter");
}

/// A rule set of the first institution: who has a vote is paid, up to a hundred tokens. Claimants are not told of the bound.
fn rules(owner: B256) -> RuleSet {
    let manifest = format!(
        "owner = \"{owner}\"\nlineage = \"cap\"\nversion = \"1\"\n[attestations.vote]\nschema = \"{SCHEMA}\"\nrequired = true\n\
         fields = {{ n = \"long\" }}\n[reasons.too_much]\nmessage = \"Too much.\"\nclaimant = \"under_review\"\n\
         [reasons.no_vote]\nmessage = \"Somebody must vote for you.\""
    );
    let policies = "@id(\"voted\") @reason(\"no_vote\") permit(principal, action == Action::\"pay\", resource) \
                    when { context.attestations.vote.n >= 1 };\n@id(\"cap\") @reason(\"too_much\") \
                    forbid(principal, action == Action::\"pay\", resource) when { context.amount_up.greaterThan(decimal(\"100.0\")) };";
    let sources = Sources { manifest: &manifest, policies: PolicySource::Cedar(policies), never: "" };
    RuleSet::build(&sources).unwrap().0
}

pub(crate) async fn make_rules_and_a_gate(ground: &Ground) {
    let client = &ground.leader.client;
    let (own, other) = ground.keyed().await;
    let auditor = client.reading(&ground.office("auditor", "audit", "").await);
    let charter = client.get("/v1/charter").await.is(200);
    let key = ground.prepared.authorities[0].signer_bytes();
    let institutions = charter["institutions"].as_array().unwrap();
    let owner = institutions.iter().find(|i| i["signers"].as_array().unwrap().contains(&json!(key))).unwrap();
    let owner: B256 = serde_json::from_value(owner["id"].clone()).unwrap();
    let text: Bytes = rules(owner).encode().into();
    let terms = RulesTerms { owner, lineage: "cap".into(), text: text.clone() };
    let (name, lineage) = (terms.hash(), terms.lineage_id());
    let proposed = ground.order(0..1, Action::ProposeRules(terms), 0).await.is(201);
    assert_eq!(proposed["outcome"], json!({ "rule_set": name, "phase": "proposed" }));

    let find = async |client: &Client, query: &str| -> Value {
        let page = client.get(&format!("/v1/rule-sets{query}")).await.is(200);
        items(&page).iter().find(|set| set["rule_set"] == json!(name)).unwrap().clone()
    };
    let stranger = find(client, "?text=true&explain=true").await;
    assert!(stranger.get("text").is_none() && stranger.get("rules").is_none(), "{stranger}");
    assert!(find(&own, "?text=true").await.get("text").is_none(), "a key opens no rule set's text");
    let seen = find(&auditor, "?text=true&explain=true").await;
    assert_eq!(seen["text"], json!(text));
    assert!(seen["rules"][1]["sentence"].as_str().unwrap().contains("100"), "{seen:#}");
    ground.order(0..1, Action::ApproveRules { rules: name }, proposed["seq"].as_u64().unwrap()).await.is(422);
    let mut version = proposed["seq"].as_u64().unwrap();
    for by in [1..2, 2..3] {
        let approved = ground.order(by, Action::ApproveRules { rules: name }, version).await.is(201);
        version = approved["seq"].as_u64().unwrap();
    }
    assert_eq!(find(client, "").await["approvals"].as_array().unwrap().len(), 2);
    let active = ground.order(0..1, Action::ActivateRules { rules: name, at: 0 }, version).await.is(201);
    assert_eq!(active["outcome"]["phase"], "in_force");

    let source = Source::SignOffchain { chain_id: ground.prepared.chain.id(), schema: SCHEMA.into() };
    let accepts = Accepts {
        source,
        schema_text: LIKE.into(),
        issuers: vec![issuer().address()],
        contract_issuers: Vec::new(),
        max_age_secs: None,
        subject: SubjectIn::Recipient,
    };
    let accepts = Bytes::from(borsh::to_vec(&accepts).unwrap());
    let gate = GateTerms {
        campaign: ground.campaign,
        version: 1,
        rule_sets: vec![lineage],
        attestations: vec![AcceptedAttestation { name: "vote".into(), accepts }],
        signer: gate_key().signer_bytes(),
    };
    let hash = gate.hash();
    let seen = client.get(&ground.path("")).await.is(200)["version"].as_u64().unwrap();
    ground.order(0..2, Action::DefineGate(gate), seen).await.is(201);
    let gates = own.get(&ground.path("/gates")).await.is(200);
    assert_eq!(gates[0]["hash"], json!(hash));
    assert_eq!(gates[0]["rule_sets"][0], json!({ "lineage_id": lineage, "in_force": name }));
    assert_eq!(gates[0]["attestations"][0]["accepts"]["issuers"], json!([issuer().address()]));
    other.get(&ground.path("/gates")).await.refused(403, "forbidden");
}

/// The gate's key.
pub(crate) fn gate_key() -> Account {
    Account::from_bytes(&B256::repeat_byte(0x12)).unwrap()
}

pub(crate) fn issuer() -> Account {
    Account::from_bytes(&B256::repeat_byte(0x11)).unwrap()
}

/// A signed statement about a recipient, in the body that Sign Protocol's SDK posts.
pub(crate) fn stated(recipient: Address, n: u32) -> Value {
    let sign = SignOffchain {
        schema_id: SCHEMA.into(),
        linked_attestation_id: String::new(),
        data: format!("{{\"like\":true,\"n\":\"{n}\"}}"),
        valid_until: 0,
        recipients: SignRecipients::Addresses(vec![recipient]),
        indexing_value: SignIndex::Address(recipient),
    };
    let members: Vec<_> =
        sign.fields().into_iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    let statement = Statement::SignOffchain(sign.clone());
    let unsigned = Attestation { issuer: issuer().address(), statement, signature: Bytes::new() };
    let signature = issuer().sign_digest(unsigned.digest().unwrap()).unwrap();
    let message = json!({
        "schemaId": sign.schema_id, "linkedAttestationId": "", "validUntil": 0, "recipients": [recipient],
        "indexingValue": recipient, "data": sign.data,
    });
    json!({
        "signType": "evm-eip712",
        "publicKey": issuer().address(),
        "signature": signature,
        "message": {
            "domain": { "name": "sign.global", "version": "1" },
            "message": message,
            "primaryType": "Data",
            "types": { "Data": members },
        },
    })
}

pub(crate) async fn attestations_are_kept_once(ground: &Ground) {
    let client = &ground.leader.client;
    let recipient = Ground::wallet(WALLETS).address();
    let good = stated(recipient, 7);
    let kept = client.post("/v1/attestations", &good).await.is(201);
    assert_eq!(kept["known"], false);
    let known = client.post("/v1/attestations", &good).await.is(200);
    assert_eq!((&known["known"], &known["id"]), (&json!(true), &kept["id"]));
    let mut altered = good.clone();
    altered["message"]["message"]["data"] = json!("{\"like\":true,\"n\":\"8\"}");
    let said = client.post("/v1/attestations", &altered).await.refused(422, "attestation_wrong_signer");
    assert!(said["title"].as_str().unwrap().contains("altered") && said["detail"].is_string(), "{said}");
    client.post("/v1/attestations", &json!({})).await.refused(422, "attestation_malformed");
    let typed = client.request(Method::POST, "/v1/attestations").header(CONTENT_TYPE, "image/png").body("x");
    answer(typed).await.refused(415, "unsupported_media_type");

    attestations_are_shown_to_their_subjects_and_offices(ground, kept["id"].as_str().unwrap(), recipient)
        .await;
}

async fn attestations_are_shown_to_their_subjects_and_offices(ground: &Ground, id: &str, recipient: Address) {
    let client = &ground.leader.client;
    let (own, other) = ground.keyed().await;
    let (path, nowhere) = (format!("/v1/attestations/{id}"), format!("/v1/attestations/{}", B256::ZERO));
    // Strangers, keys and offices without the mandate are told the same of what is there and of what is not.
    let unlike = |answer: Answer| (answer.status.as_u16(), names(&answer.headers), answer.body);
    let elsewhere = format!("resource in Campaign::\"{}\"", uuid::Uuid::nil());
    let elsewhere = client.reading(&ground.office("elsewhere", "read_private", &elsewhere).await);
    let operator = client.with_key(&ground.operator_key);
    for asking in [client, &own, &other, &operator, &elsewhere] {
        let told = unlike(asking.get(&path).await);
        assert_eq!((told.0, told.2["code"].as_str()), (404, Some("unknown_attestation")));
        assert_eq!(told, unlike(asking.get(&nowhere).await));
    }
    // Who may read what is private in a campaign may read what its gates accept; so may who may audit it.
    let inside = format!("resource in Campaign::\"{}\"", ground.campaign);
    for (name, action) in [("agency", "read_private"), ("audit office", "audit")] {
        let office = client.reading(&ground.office(name, action, &inside).await);
        let seen = office.get(&path).await.is(200);
        let body: Bytes = serde_json::from_value(seen["body"].clone()).unwrap();
        assert_eq!(Attestation::decode(&body).unwrap().issuer, issuer().address());
        assert_eq!((&seen["schema"], &seen["issuer"]), (&json!(SCHEMA), &json!(issuer().address())));
        office.get(&nowhere).await.refused(404, "unknown_attestation");
    }
    // So does whom it is about, by signature, for a campaign that accepts it; nobody else's signature opens it.
    let charter = ContractRef { chain_id: ground.distributor.chain_id, address: ground.prepared.charter };
    let ask = async |number: u32, campaign| {
        let mut looking = Looking {
            campaign,
            account: Ground::wallet(number).address(),
            host: client.host().to_owned(),
            expires_at: in_seconds(60),
            signature: Bytes::new(),
        };
        looking.signature = Ground::wallet(number).sign_digest(looking.digest(charter)).unwrap();
        answer(client.request(Method::GET, &path).header(CLAIMANT, looking.encode())).await
    };
    let seen = ask(WALLETS, ground.campaign).await.is(200);
    assert!(seen["body"].as_str().unwrap().contains(&hex::encode(recipient)), "{seen}");
    ask(WALLETS - 1, ground.campaign).await.refused(404, "unknown_attestation");
    ask(WALLETS, Default::default()).await.refused(404, "unknown_attestation");
}

/// Which headers an answer has, but for the one that says that the request carried a statement.
fn names(headers: &HeaderMap) -> Vec<String> {
    let names = headers.keys().map(ToString::to_string).filter(|name| name != "cache-control");
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

pub(crate) async fn attestations_come_in_bulk(ground: &Ground) {
    let client = &ground.leader.client;
    let mut lines: Vec<String> =
        (0..600).map(|n| stated(Address::with_last_byte((n % 200) as u8 + 1), n).to_string()).collect();
    lines.insert(5, "{\"not\":\"one\"}".into());
    lines.insert(9, format!("\"{}\"", "x".repeat(70_000)));
    let send = async || {
        let request = client.request(Method::POST, "/v1/attestations");
        let request = request.header(CONTENT_TYPE, "application/x-ndjson").body(lines.join("\n"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let text = response.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let (first, again) = (send().await, send().await);
    assert_eq!((first.len(), again.len()), (lines.len(), lines.len()));
    for (at, (first, again)) in first.iter().zip(&again).enumerate() {
        assert_eq!(first["line"], at + 1, "answers stand in the order of their lines");
        let code = match at {
            5 => Some("attestation_malformed"),
            9 => Some("attestation_too_large"),
            _ => None,
        };
        assert_eq!(first["code"].as_str(), code, "{first}");
        if code.is_none() {
            assert_eq!((&first["status"], &again["status"]), (&json!(201), &json!(200)), "{first} {again}");
            assert_eq!((&first["id"], &again["known"]), (&again["id"], &json!(true)));
        }
    }
}

pub(crate) async fn changes_are_followed(ground: &Ground) {
    let client = &ground.leader.client;
    let (own, other) = ground.keyed().await;
    let mut after = 0;
    let mut all = Vec::new();
    loop {
        let page = client.get(&format!("/v1/changes?after={after}&limit=50")).await.is(200);
        let changes = page["changes"].as_array().unwrap().clone();
        for change in &changes {
            after += 1;
            assert_eq!(change["seq"], after, "no gap and no repetition");
        }
        assert_eq!(page["next"], after);
        if changes.is_empty() {
            break;
        }
        all.extend(changes);
    }
    assert!(all.iter().any(|c| c["kind"] == "charter_read"));
    let bound = all.iter().find(|c| c["command"]["action"] == "bind_person").unwrap();
    assert!(bound["command"]["subject"]["id"]["sha256"].is_string(), "{bound}");
    assert!(bound["command"]["reason"]["sha256"].is_string(), "{bound}");
    let at = bound["seq"].as_u64().unwrap() - 1;
    let shown = own.get(&format!("/v1/changes?after={at}&limit=1")).await.is(200);
    assert_eq!(&shown["changes"][0], bound, "a key opens no personal data");
    let push = all.iter().find(|c| c["kind"] == "pushed").unwrap();
    let at = push["seq"].as_u64().unwrap() - 1;
    let hidden = other.get(&format!("/v1/changes?after={at}&limit=1")).await.is(200);
    let hidden = &hidden["changes"][0];
    assert_eq!((&hidden["hidden"], &hidden["leaf"]), (&json!(true), &push["leaf"]));
    assert!(hidden.get("command").is_none() && hidden.get("campaign").is_none(), "{hidden}");

    // Whoever waits is told as soon as something happens.
    let waiting = format!("/v1/changes?after={after}&wait=20");
    let (client, follower) = (client.clone(), ground.follower.client.clone());
    let asking = tokio::spawn(async move { follower.get(&waiting).await.is(200) });
    let (person, payee) = (B256::repeat_byte(0x61), Address::repeat_byte(0x62));
    ground.order(0..2, Action::BindPerson { person, payee, jurisdiction: String::new() }, 0).await.is(201);
    let told = asking.await.unwrap();
    assert_eq!(told["changes"][0]["seq"], after + 1, "{told}");
    client.get("/v1/changes?after=-1").await.refused(400, "malformed_parameter");
}
