//! What offices see under their mandates, what everybody else sees instead, and that nothing else is told anywhere.

use alloy_primitives::{Address, B256, Bytes};
use reqwest::Method;
use reqwest::header::HOST;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sluice_chain::signer::Account;
use sluice_core::command::{Action, AuthorityTerms, HoldTarget, MandateTerms};
use sluice_core::ids::{ContractRef, StreamId};
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::merkle::leaf_hash;
use sluice_core::log::receipt::Receipt;
use sluice_gate::mandate::Mandate;
use sluice_server::http::reading::{OFFICE, OfficeKey};
use sqlx::{Connection, PgConnection};

use crate::ask::{Client, answer, in_seconds};
use crate::ground::Ground;
use crate::institutions::items;

/// Bound by the tests of institutions before.
const PERSON: B256 = B256::repeat_byte(0x51);
const PAYEE: Address = Address::repeat_byte(0x52);
const REASON: &str = "an institution's reason";

impl Ground {
    /// Registers an institution of this name with a key of its own, and gives it a mandate for one kind of action, on what
    /// this Cedar condition names.
    pub(crate) async fn office(&self, name: &str, action: &str, resource: &str) -> OfficeKey {
        let authority = B256::from_slice(&Sha256::digest(name));
        let account = Account::from_bytes(&B256::from_slice(&Sha256::digest(authority))).unwrap();
        let signers = vec![account.signer_bytes()];
        let terms = AuthorityTerms { authority, name: name.to_owned(), signers };
        let known = self.order(0..2, Action::RegisterAuthority(terms), 0).await.is(201);
        let resource = if resource.is_empty() { "resource" } else { resource };
        let policies =
            format!("@id(\"reads\") permit(principal, action == Action::\"{action}\", {resource});");
        let mandate = self.grant(authority, &policies, known["seq"].as_u64().unwrap()).await;
        let charter = ContractRef { chain_id: self.prepared.chain.id(), address: self.prepared.charter };
        OfficeKey { account, authority, mandate, charter, stream: StreamId(0) }
    }

    /// Grants a mandate and gives its id.
    async fn grant(&self, holder: B256, policies: &str, seen: u64) -> B256 {
        let manifest = format!("holder = \"{holder}\"\nname = \"reader\"\nversion = \"1\"\n");
        let (mandate, _) = Mandate::build(&manifest, policies).unwrap();
        let terms = MandateTerms { holder, text: mandate.encode().into() };
        let granted = self.order(0..2, Action::GrantMandate(terms), seen).await.is(201);
        serde_json::from_value(granted["outcome"]["granted"].clone()).unwrap()
    }

    /// The version of a mandate or an authority.
    async fn version(&self, list: &str, name: &str, id: B256) -> u64 {
        let page = self.leader.client.get(&format!("/v1/{list}")).await.is(200);
        let found = items(&page).iter().find(|item| item[name] == json!(id)).unwrap();
        found["version"].as_u64().unwrap()
    }
}

fn sha256(bytes: &[u8]) -> Value {
    json!({ "sha256": B256::from_slice(&Sha256::digest(bytes)) })
}

/// An office's statement, which passes through the operator's hands whenever it reads, says nothing of an erasure.
async fn an_erasure_is_put_under_no_offices_name(ground: &Ground, office: &Client, key: &OfficeKey) {
    let whom = Address::repeat_byte(0xe7);
    let erasure = json!({ "recipient": whom, "reason": "asked for it" });
    office.post("/v1/erasures", &erasure).await.refused(401, "unauthorized");
    office.with_key(&ground.operator_key).post("/v1/erasures", &erasure).await.is(201);
    let mut database = PgConnection::connect(&ground.prepared.database_url).await.unwrap();
    let sql = "SELECT to_jsonb(e)::text FROM erasure e WHERE about = $1";
    let (kept,): (String,) =
        sqlx::query_as(sql).bind(whom.as_slice()).fetch_one(&mut database).await.unwrap();
    assert!(kept.contains("asked for it"), "{kept}");
    let parts = [&key.authority[..], &key.mandate[..], &key.account.signer_bytes()[..]];
    for office in parts.map(alloy_primitives::hex::encode) {
        assert!(!kept.contains(&office), "{office} in {kept}");
    }
}

pub(crate) async fn offices_see_what_their_mandates_say(ground: &Ground) {
    let client = &ground.leader.client;
    let (own, _) = ground.keyed().await;
    let key = ground.office("registrar", "read_private", "").await;
    let listed = client.get("/v1/authorities").await.is(200);
    let listed = items(&listed).iter().find(|a| a["authority"] == json!(key.authority)).unwrap();
    assert_eq!((&listed["chartered"], &listed["name"]), (&json!(false), &json!("registrar")));
    assert_eq!(listed["keys"], json!([key.account.signer_bytes()]));
    let registrar = client.reading(&key);
    let inside = format!("resource in Campaign::\"{}\"", ground.campaign);
    let payer = client.reading(&ground.office("payer", "read_private", &inside).await);

    an_erasure_is_put_under_no_offices_name(ground, &registrar, &key).await;

    let path = format!("/v1/persons/{PERSON}");
    assert_eq!(registrar.get(&path).await.is(200)["payee"], json!(PAYEE));
    assert_eq!(registrar.get(&path).await.is(200)["vouched"], json!([PAYEE]));
    for asking in [client, &own, &payer] {
        let seen = asking.get(&path).await.is(200);
        assert!(seen.get("payee").is_none() && seen.get("vouched").is_none(), "{seen}");
    }
    entitlements(ground, &registrar, &payer).await;
    held_persons(ground, &registrar, &[client, &own, &payer]).await;
    reasons(ground, &registrar, client).await;
}

/// Whose an entitlement is: for those who may read it, or everything.
async fn entitlements(ground: &Ground, registrar: &Client, payer: &Client) {
    let recipient = Ground::wallet(7).address();
    let person = ground.snapshot.person(ground.snapshot.find(recipient).start).unwrap();
    let path = ground.path(&format!("/rounds/1/entitlements/{recipient}"));
    for reading in [registrar, payer] {
        assert_eq!(reading.get(&path).await.is(200)["entitlements"][0]["person"], json!(person));
    }
    // No hash for others: two entitlements with the same one would be told to be one person's.
    let seen = ground.leader.client.get(&path).await.is(200);
    assert!(seen["entitlements"][0].get("person").is_none(), "{seen}");
}

async fn held_persons(ground: &Ground, registrar: &Client, others: &[&Client]) {
    let target = HoldTarget::Person { person: PERSON };
    let held = ground.order(0..1, Action::Hold { target }, 0).await.is(201);
    let hold = held["seq"].as_u64().unwrap();
    let seen = async |client: &Client| {
        let page = client.get("/v1/holds").await.is(200);
        items(&page).iter().find(|h| h["hold"] == hold).unwrap().clone()
    };
    let order = format!("/v1/commands/{}/{}", uuid::Uuid::nil(), held["id"].as_str().unwrap());
    let shown = seen(registrar).await;
    assert_eq!((&shown["person"], shown["entitlements"].is_array()), (&json!(PERSON), true), "{shown}");
    let shown = registrar.get(&order).await.is(200);
    assert!(shown["outcome"]["on_chain"].is_object(), "{shown}");
    for other in others {
        let hidden = seen(other).await;
        assert!(hidden.get("person").is_none() && hidden.get("entitlements").is_none(), "{hidden}");
        let hidden = other.get(&order).await.is(200);
        assert!(hidden["outcome"]["until"].is_u64(), "{hidden}");
        for what in ["on_chain", "in_flight", "covered"] {
            assert!(hidden["outcome"].get(what).is_none(), "{what}: {hidden}");
        }
    }
    ground.order(0..1, Action::Release { hold }, hold).await.is(201);
}

/// Why something was ordered: hidden behind a hash of what nobody can guess, and proved by it later.
async fn reasons(ground: &Ground, registrar: &Client, stranger: &Client) {
    let (person, payee) = (B256::repeat_byte(0x53), Address::repeat_byte(0x54));
    let bound = ground
        .order(0..2, Action::BindPerson { person, payee, jurisdiction: String::new() }, 0)
        .await
        .is(201);
    let path = format!("/v1/commands/{}/{}", uuid::Uuid::nil(), bound["id"].as_str().unwrap());
    assert_eq!(registrar.get(&path).await.is(200)["reason"], REASON);
    let hidden = stranger.get(&path).await.is(200)["reason"].clone();

    let open = registrar.get(&format!("{path}/receipt")).await.is(200);
    let open: Receipt = serde_json::from_value(open).unwrap();
    open.verify(&[ground.log_key().await]).unwrap();
    let Body::Ordered(ordered) = Entry::decode(&open.entry).unwrap().body else { panic!("an order") };
    assert_eq!(hidden, sha256(&borsh::to_vec(&ordered.command).unwrap()));
    let seq = bound["seq"].as_u64().unwrap();
    for path in [format!("{path}/receipt"), format!("/v1/log/entries/{seq}")] {
        let sealed = stranger.get(&path).await.is(200);
        assert_eq!(sealed["leaf"], json!(B256::from(leaf_hash(&open.entry))));
        assert_eq!((&sealed["kind"], sealed.get("entry")), (&json!("sealed_receipt"), None));
    }
}

pub(crate) async fn statements_prove_one_office_to_one_host_for_minutes(ground: &Ground) {
    let client = &ground.leader.client;
    let key = ground.office("watched", "read_private", "").await;
    let path = format!("/v1/persons/{PERSON}");
    let good = key.sign(client.host(), in_seconds(60)).unwrap();
    let send = async |text: String| answer(client.request(Method::GET, &path).header(OFFICE, text)).await;
    assert_eq!(send(good.encode()).await.is(200)["payee"], json!(PAYEE));
    let elsewhere = key.sign("elsewhere.example", in_seconds(60)).unwrap();
    for (wrong, why) in [
        (elsewhere.clone(), "host"),
        (key.sign(client.host(), in_seconds(0) - 1_000).unwrap(), "expired"),
        (key.sign(client.host(), in_seconds(3_600)).unwrap(), "within"),
    ] {
        let said = send(wrong.encode()).await.refused(401, "office_unproved");
        assert!(said["detail"].as_str().unwrap().contains(why), "{said}");
    }
    // Nor does it help to say in the request that this is the other service.
    let replayed = client.request(Method::GET, &path).header(OFFICE, elsewhere.encode());
    let said = answer(replayed.header(HOST, "elsewhere.example")).await.refused(401, "office_unproved");
    assert!(said["detail"].as_str().unwrap().contains("host"), "{said}");
    // Whatever is changed behind the signature proves nothing.
    let mut longer = good.clone();
    longer.expires_at += 1;
    send(longer.encode()).await.refused(401, "office_unproved");
    let mut borrowed = good.clone();
    borrowed.mandate = B256::repeat_byte(1);
    send(borrowed.encode()).await.refused(401, "office_unproved");
    let mut stranger = good.clone();
    stranger.signer = Account::random().signer_bytes();
    send(stranger.encode()).await.refused(401, "office_unproved");
    let mut contract = good.clone();
    contract.signer = Bytes::from(vec![1; 52]);
    send(contract.encode()).await.refused(401, "office_unproved");
    send("no statement".into()).await.refused(400, "malformed_header");
    // Another's mandate is no mandate.
    let other = ground.office("other", "read_private", "").await;
    let borrowed = OfficeKey { mandate: other.mandate, ..key.clone() };
    let said = client.reading(&borrowed).get(&path).await.refused(403, "forbidden");
    assert!(said["detail"].as_str().unwrap().contains("no such mandate"), "{said}");
    // A mandate whose readings would have to be counted permits none.
    let policies =
        "@id(\"few\") @limit_count(\"5\") permit(principal, action == Action::\"read_private\", resource);";
    let counted = ground.grant(
        key.authority,
        policies,
        ground.version("authorities", "authority", key.authority).await,
    );
    let counted = OfficeKey { mandate: counted.await, ..key };
    assert!(client.reading(&counted).get(&path).await.is(200).get("payee").is_none());
}

pub(crate) async fn what_is_revoked_opens_nothing(ground: &Ground) {
    let client = &ground.leader.client;
    let key = ground.office("leaving", "read_private", "").await;
    let leaving = client.reading(&key);
    let path = format!("/v1/persons/{PERSON}");
    assert_eq!(leaving.get(&path).await.is(200)["payee"], json!(PAYEE));
    // Whoever waited for the next entry under the mandate is not told why it was revoked.
    let at = client.get("/v1/status").await.seq();
    let (waiting, feed) = (leaving.clone(), format!("/v1/changes?after={at}&wait=20"));
    let waiting = tokio::spawn(async move { waiting.get(&feed).await });
    let version = ground.version("mandates", "mandate", key.mandate).await;
    ground.order(0..2, Action::RevokeMandate { mandate: key.mandate }, version).await.is(201);
    let told = waiting.await.unwrap();
    match told.status.as_u16() {
        200 => assert!(told.body["changes"][0]["command"]["reason"]["sha256"].is_string(), "{told:?}"),
        _ => drop(told.refused(403, "forbidden")),
    }
    let said = leaving.get(&path).await.refused(403, "forbidden");
    assert!(said["detail"].as_str().unwrap().contains("ended"), "{said}");

    let key = ground.office("robbed", "read_private", "").await;
    let robbed = client.reading(&key);
    assert_eq!(robbed.get(&path).await.is(200)["payee"], json!(PAYEE));
    let seen = ground.version("authorities", "authority", key.authority).await;
    let revoke = vec![key.account.signer_bytes()];
    let change =
        Action::ChangeKeys { authority: key.authority, add: vec![Account::random().signer_bytes()], revoke };
    ground.order(0..2, change, seen).await.is(201);
    robbed.get(&path).await.refused(401, "office_unproved");
}

/// Everything the feed says, in pages of some entries, each page going on where the one before ended.
async fn whole_feed(client: &Client) -> Vec<Value> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let page = client.get(&format!("/v1/changes?after={after}&limit=37")).await.is(200);
        let changes = page["changes"].as_array().unwrap().clone();
        if changes.is_empty() {
            return all;
        }
        after = page["next"].as_u64().unwrap();
        all.extend(changes);
    }
}

pub(crate) async fn nothing_hidden_stands_in_the_feed(ground: &Ground) {
    let client = &ground.leader.client;
    let (own, other) = ground.keyed().await;
    let all = client.reading(&ground.office("reads all", "read_private", "").await);
    let open = whole_feed(&all).await;
    let kinds: Vec<_> = open.iter().filter_map(|c| c["command"]["action"].as_str()).collect();
    for kind in ["hold", "bind_person", "file_appeal", "grant_mandate", "publish"] {
        assert!(kinds.contains(&kind), "the log has no {kind}: what is looked for is not there");
    }
    let mut secrets: Vec<String> = vec![REASON.to_owned(), hex::encode(PERSON), hex::encode(PAYEE)];
    // The same hash on two orders would tell that they are about one person.
    secrets.push(hex::encode(Sha256::digest(PERSON)));
    secrets.extend((0..ground.snapshot.count()).filter_map(|i| ground.snapshot.person(i)).map(hex::encode));
    let claims = open.iter().filter(|c| c["kind"].as_str().unwrap().starts_with("claim_"));
    secrets.extend(claims.map(|claim| claim["id"].as_str().unwrap().to_owned()));
    let shown = serde_json::to_string(&open).unwrap();
    assert!(shown.contains(REASON) && shown.contains(&hex::encode(PERSON)) && secrets.len() > 20);

    for asking in [client, &own, &other] {
        let seen = whole_feed(asking).await;
        let text = serde_json::to_string(&seen).unwrap();
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} stands in the feed");
        }
        // The same entries, with the same leaves: whoever may not read them can prove them later.
        for (seen, open) in seen.iter().zip(&open) {
            assert_eq!(
                (&seen["seq"], &seen["leaf"], &seen["kind"]),
                (&open["seq"], &open["leaf"], &open["kind"])
            );
        }
        assert!(seen.len() >= open.len());
    }
}
