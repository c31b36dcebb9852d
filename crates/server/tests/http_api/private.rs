//! Private lists: who may look what up, and that nobody else learns who is listed.

use alloy_primitives::{Address, B256, Bytes};
use reqwest::Method;
use reqwest::header::HOST;
use serde_json::{Value, json};
use sluice_core::command::ClaimDemand;
use sluice_core::ids::ContractRef;
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::merkle::leaf_hash;
use sluice_core::log::receipt::Receipt;
use sluice_core::signing::claim_digest;
use sluice_server::http::claimant::{CLAIMANT, Looking};
use uuid::Uuid;

use crate::ask::{Answer, Client, answer, in_seconds};
use crate::ground::{Ground, Private};

/// Somebody whom no list names.
const STRANGER: u32 = 900;

struct Asking<'a> {
    client: &'a Client,
    charter: ContractRef,
    private: &'a Private,
}

impl Asking<'_> {
    fn statement(&self, number: u32) -> Looking {
        let looking = Looking {
            campaign: self.private.campaign,
            account: Ground::wallet(number).address(),
            host: self.client.host().to_owned(),
            expires_at: in_seconds(60),
            signature: Bytes::new(),
        };
        self.signed(number, looking)
    }

    fn signed(&self, number: u32, mut looking: Looking) -> Looking {
        looking.signature = Ground::wallet(number).sign_digest(looking.digest(self.charter)).unwrap();
        looking
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/campaigns/{}/rounds/{}/{rest}", self.private.campaign, self.private.round)
    }

    async fn with(&self, statement: &Looking, rest: &str) -> Answer {
        answer(self.client.request(Method::GET, &self.path(rest)).header(CLAIMANT, statement.encode())).await
    }
}

/// A problem as two people must get the same: all of it, but for nothing.
fn shape(refused: Answer) -> (u16, Vec<String>, Value) {
    // `no-store` says that the request carried a statement, which its sender knows.
    let headers = refused.headers.keys().filter(|name| *name != "cache-control");
    let mut headers: Vec<String> = headers.map(ToString::to_string).collect();
    headers.sort();
    (refused.status.as_u16(), headers, refused.body)
}

pub(crate) async fn lists_are_seen_by_their_claimants_alone(ground: &Ground) {
    let private = ground.private().await;
    let client = &ground.leader.client;
    let charter = ContractRef { chain_id: ground.distributor.chain_id, address: ground.prepared.charter };
    let asking = Asking { client, charter, private: &private };
    let shown = client.get(&format!("/v1/campaigns/{}", private.campaign)).await.is(200);
    assert_eq!(shown["visibility"], "private");
    let of = |number: u32| format!("entitlements/{}", Ground::wallet(number).address());

    // Nobody learns from a refusal whether somebody is listed; nor does who is listed about others.
    let listed = client.get(&asking.path(&of(3))).await;
    let unlisted = client.get(&asking.path(&of(STRANGER))).await;
    let listed = shape(listed);
    assert_eq!((listed.0, listed.2["code"].as_str()), (403, Some("private_list")));
    assert_eq!(listed, shape(unlisted));
    for index in ["indexes/0", "indexes/9999"] {
        assert_eq!(listed, shape(client.get(&asking.path(index)).await));
    }
    let own = asking.statement(3);
    assert_eq!(listed, shape(asking.with(&own, &of(4)).await));
    assert_eq!(listed, shape(asking.with(&own, &of(STRANGER)).await));
    let index_of = |number: u32| private.snapshot.find(Ground::wallet(number).address()).start;
    assert_eq!(listed, shape(asking.with(&own, &format!("indexes/{}", index_of(4))).await));
    assert_eq!(listed, shape(asking.with(&own, "indexes/9999").await));

    // One's own entry comes with its proof.
    let mine = asking.with(&own, &of(3)).await.is(200);
    assert_eq!(mine["entitlements"][0]["index"], json!(index_of(3)));
    assert_eq!(mine["entitlements"][0]["proof"]["bucket"].as_array().unwrap().len(), 4);
    asking.with(&own, &format!("indexes/{}", index_of(3))).await.is(200);
    // Who is not listed is told so, without the neighbours.
    let absent = asking.with(&asking.statement(STRANGER), &of(STRANGER)).await.refused(404, "not_listed");
    assert!(absent.get("absence").is_none(), "{absent}");

    statements_prove_one_account_to_one_host_for_minutes(&asking, &of(3)).await;

    // The operator and the project see their list; another project does not.
    let operator = client.with_key(&ground.operator_key);
    assert_eq!(operator.get(&asking.path(&of(3))).await.is(200), mine);
    let absent = operator.get(&asking.path(&of(STRANGER))).await.refused(404, "not_listed");
    assert!(absent["absence"].is_object());
    claims_tell_no_more(ground, &asking).await;
}

async fn statements_prove_one_account_to_one_host_for_minutes(asking: &Asking<'_>, own: &str) {
    let good = asking.statement(3);
    let changed = [
        asking.signed(3, Looking { host: "pay.example".into(), ..good.clone() }),
        asking.signed(3, Looking { expires_at: in_seconds(3_600), ..good.clone() }),
        asking.signed(3, Looking { expires_at: 1, ..good.clone() }),
        asking.signed(4, good.clone()),
        Looking { expires_at: good.expires_at + 1, ..good.clone() },
        Looking { account: Address::repeat_byte(7), ..good.clone() },
    ];
    for statement in changed {
        asking.with(&statement, own).await.refused(401, "claimant_unproved");
    }
    // Nor does it help to say in the request that this is the other service.
    let elsewhere = asking.signed(3, Looking { host: "pay.example".into(), ..good.clone() });
    let replayed = asking.client.request(Method::GET, &asking.path(own)).header(CLAIMANT, elsewhere.encode());
    answer(replayed.header(HOST, "pay.example")).await.refused(401, "claimant_unproved");
    // Good for another campaign it is good, and opens nothing here.
    let other = asking.signed(3, Looking { campaign: Default::default(), ..good });
    asking.with(&other, own).await.refused(403, "private_list");
    let malformed = asking.client.request(Method::GET, &asking.path(own)).header(CLAIMANT, "!");
    answer(malformed).await.refused(400, "malformed_header");
}

/// Claims on a private list: neither list nor signature can be tried out; who is listed is decided as ever.
async fn claims_tell_no_more(ground: &Ground, asking: &Asking<'_>) {
    let private = asking.private;
    let path = format!("/v1/campaigns/{}/claims", private.campaign);
    let deadline = ground.prepared.chain.timestamp().await.unwrap() + 7 * 86_400;
    let claim = |number: u32, index: u64, amount: sluice_core::amount::Amount| ClaimDemand {
        round: private.round,
        index,
        recipient: Ground::wallet(number).address(),
        to: Ground::wallet(number).address(),
        amount,
        deadline,
        signature: Bytes::new(),
    };
    let index = private.snapshot.find(Ground::wallet(5).address()).start;
    let amount = private.snapshot.entitlement(index).unwrap().amount;
    let body = |claim: &ClaimDemand| {
        json!({
            "id": Uuid::now_v7(), "round": claim.round, "index": claim.index, "recipient": claim.recipient,
            "amount": claim.amount.to_string(), "deadline": claim.deadline, "signature": claim.signature,
        })
    };
    let sign = |number: u32, mut claim: ClaimDemand| {
        let digest = claim_digest(&claim, private.distributor);
        claim.signature = Ground::wallet(number).sign_digest(digest).unwrap();
        claim
    };
    let right = claim(5, index, amount);
    let token = ground.prepared.token;
    let to_token = |number: u32| {
        let mut body = body(&sign(number, ClaimDemand { to: token, ..claim(number, index, amount) }));
        body["to"] = json!(token);
        body
    };
    // A destination that nobody can be paid at says nothing of the list: the first is listed, the other is not.
    let nowhere = [5, STRANGER].map(to_token);
    let mut probes = nowhere.to_vec();
    probes.extend(
        [
            // Listed, signed by somebody else; not listed, signed well; another's entry.
            sign(6, right.clone()),
            sign(STRANGER, claim(STRANGER, index, amount)),
            sign(6, claim(6, index, amount)),
        ]
        .map(|claim| body(&claim)),
    );
    let mut answers = Vec::new();
    for probe in &probes {
        answers.push(shape(asking.client.post(&path, probe).await));
    }
    assert_eq!((answers[0].0, answers[0].2["code"].as_str()), (403, Some("private_list")));
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:#?}");
    // Index and amount are not filled in from the list, for nobody.
    for number in [5, STRANGER] {
        let mut bare = body(&sign(number, claim(number, index, amount)));
        bare.as_object_mut().unwrap().retain(|name, _| name != "index" && name != "amount");
        asking.client.post(&path, &bare).await.refused(400, "malformed_body");
    }
    let good = body(&sign(5, right));
    let decided = asking.client.demand(&path, &good).await.is(201);
    assert_eq!(decided["entitlement"]["recipient"], json!(Ground::wallet(5).address()));
    assert!(decided["receipt"].is_object(), "one's own proof");
    the_log_names_nobody(ground, asking, &format!("{path}/{}", good["id"].as_str().unwrap()), &decided).await;
}

/// The log's entries, one after another: no claim of the list stands open to strangers, who may prove that it is there.
async fn the_log_names_nobody(ground: &Ground, asking: &Asking<'_>, claim: &str, decided: &Value) {
    let (client, campaign) = (asking.client, asking.private.campaign);
    let of_the_list = |shown: &Value| {
        let receipt = serde_json::from_value::<Receipt>(shown.clone()).ok()?;
        match Entry::decode(&receipt.entry).unwrap().body {
            Body::ClaimDecided(claim) if claim.intake.campaign == campaign => Some(claim.recipient),
            _ => None,
        }
    };
    let (key, _) = ground.keyed().await;
    let last = client.get("/v1/status").await.seq();
    for asking in [client, &key] {
        for seq in 1..=last {
            let shown = asking.get(&format!("/v1/log/entries/{seq}")).await.is(200);
            assert_eq!(of_the_list(&shown), None, "{shown:#}");
        }
    }
    let own: Receipt = serde_json::from_value(decided["receipt"].clone()).unwrap();
    let leaf = json!(B256::from(leaf_hash(&own.entry)));
    let entry = format!("/v1/log/entries/{}", decided["seq"]);
    for path in [&entry, &format!("{claim}/receipt")] {
        let sealed = client.get(path).await.is(200);
        assert_eq!((&sealed["kind"], &sealed["leaf"]), (&json!("sealed_receipt"), &leaf));
    }
    let inside = format!("resource in Campaign::\"{campaign}\"");
    let office = client.reading(&ground.office("keeper of lists", "read_private", &inside).await);
    let shown = office.get(&entry).await.is(200);
    assert_eq!(of_the_list(&shown), Some(Ground::wallet(5).address()));
}
