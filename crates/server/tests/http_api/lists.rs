//! Orders in lists, appeals, pauses, and what strangers get for signing orders.

use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};
use sluice_chain::signer::Account;
use sluice_core::command::{Action, AppealAbout, Approval, Command, HoldTarget, ListPlace, list_tree};
use sluice_core::ids::{ContractRef, DemandId};
use sluice_core::signing::{command_digest, command_hash, list_digest};
use uuid::Uuid;

use crate::ask::{Client, in_seconds};
use crate::commands::verified;
use crate::evidence::until;
use crate::ground::Ground;
use crate::institutions::items;

/// An order that nobody has signed.
fn unsigned(action: Action, seen: u64, reason: &str) -> Command {
    Command {
        action,
        subject_version: seen,
        reason: reason.to_owned(),
        valid_at: 0,
        deadline: in_seconds(7 * 86_400),
        mandate: B256::ZERO,
        delegation: B256::ZERO,
        listed_at: None,
        approvals: Vec::new(),
    }
}

fn body(id: DemandId, command: &Command) -> Value {
    json!({ "id": id, "command": command })
}

impl Ground {
    fn charter(&self) -> ContractRef {
        ContractRef { chain_id: self.prepared.chain.id(), address: self.prepared.charter }
    }

    /// The institution of the Charter that this account speaks for.
    async fn institution(&self, account: &Account) -> B256 {
        let charter = self.leader.client.get("/v1/charter").await.is(200);
        let institutions = charter["institutions"].as_array().unwrap();
        let signer = json!(account.signer_bytes());
        let own = institutions.iter().find(|i| i["signers"].as_array().unwrap().contains(&signer)).unwrap();
        serde_json::from_value(own["id"].clone()).unwrap()
    }

    fn index_of(&self, wallet: u32) -> u64 {
        self.snapshot.find(Self::wallet(wallet).address()).start
    }

    fn held(&self, wallet: u32) -> Action {
        let indexes = vec![self.index_of(wallet)];
        Action::Hold {
            target: HoldTarget::Entitlements { campaign: self.campaign, round: self.round, indexes },
        }
    }

    async fn is_held(&self, hold: u64) -> bool {
        let page = self.leader.client.get("/v1/holds").await.is(200);
        items(&page).iter().any(|listed| listed["hold"] == hold)
    }
}

fn signed(
    mut command: Command,
    id: DemandId,
    authority: B256,
    by: &Account,
    charter: ContractRef,
) -> Command {
    let digest = command_digest(&command, id, authority, charter).unwrap();
    let signature = by.sign_digest(digest).unwrap();
    command.approvals = vec![Approval { authority, signer: by.signer_bytes(), signature }];
    command
}

pub(crate) async fn many_orders_stand_under_one_signature(ground: &Ground) {
    let (client, key) = (&ground.leader.client, &ground.prepared.authorities[0]);
    let authority = ground.institution(key).await;
    let (list, deadline) = (DemandId(Uuid::now_v7()), in_seconds(7 * 86_400));
    let order = |wallet| {
        let order = unsigned(ground.held(wallet), 0, "one of a list");
        (DemandId(Uuid::now_v7()), Command { deadline, ..order })
    };
    let mut items: Vec<(DemandId, Command)> = [0, 2].into_iter().map(order).collect();
    let hashes: Vec<B256> = items.iter().map(|(id, command)| command_hash(command, *id, authority)).collect();
    let (root, paths) = list_tree(&hashes);
    let digest = list_digest(root, 2, list, deadline, authority, ground.charter());
    let signature = key.sign_digest(digest).unwrap();
    for ((at, (_, command)), path) in (0..).zip(&mut items).zip(paths) {
        command.listed_at = Some(ListPlace { list, count: 2, at, path });
        command.approvals =
            vec![Approval { authority, signer: key.signer_bytes(), signature: signature.clone() }];
    }
    // An item that was not in the list when it was signed.
    let (_, mut smuggled) = items[0].clone();
    smuggled.action = ground.held(1);
    let said = client.post("/v1/commands", &body(DemandId(Uuid::now_v7()), &smuggled)).await;
    assert!(said.refused(422, "bad_signature").get("receipt").is_none());
    let mut seqs = Vec::new();
    for (id, command) in &items {
        let done = client.demand("/v1/commands", &body(*id, command)).await.is(201);
        let seq = done["seq"].as_u64().unwrap();
        verified(ground, &done["receipt"], seq).await;
        assert!(ground.is_held(seq).await, "each is a hold of its own");
        seqs.push(seq);
    }
    assert!(seqs[0] < seqs[1], "each has its own position");
    for hold in seqs {
        ground.order(0..1, Action::Release { hold }, hold).await.is(201);
    }
}

pub(crate) async fn an_upheld_appeal_ends_its_hold(ground: &Ground) {
    let client = &ground.leader.client;
    let placed = ground.order(0..1, ground.held(6), 0).await.is(201);
    let hold = placed["seq"].as_u64().unwrap();
    let mut claim = serde_json::to_value(ground.claim(6).await).unwrap();
    let claim_id = Uuid::now_v7();
    claim["id"] = json!(claim_id);
    client.demand(&ground.path("/claims"), &claim).await.is(201);
    let path = ground.path(&format!("/claims/{claim_id}"));
    assert_eq!(client.get(&path).await.is(200)["state"], "held");

    let (id, appeal) = (
        DemandId(Uuid::now_v7()),
        unsigned(Action::FileAppeal { about: AppealAbout::Hold { hold } }, 0, "I moved house, nothing else"),
    );
    // Somebody who is not affected is refused.
    let charter = ground.charter();
    let stranger = signed(appeal.clone(), id, B256::ZERO, &Account::random(), charter);
    let said = client.demand("/v1/commands", &body(id, &stranger)).await;
    assert_eq!(said.status, 422, "{said:?}");
    let id = DemandId(Uuid::now_v7());
    let appeal = signed(appeal, id, B256::ZERO, &Ground::wallet(6), charter);
    let filed = client.demand("/v1/commands", &body(id, &appeal)).await.is(201);
    let appeal = filed["seq"].as_u64().unwrap();
    assert!(filed["outcome"]["answer_by"].is_u64(), "{filed:#}");
    let path_of_appeal = format!("/v1/commands/{}/{id}", filed["campaign"].as_str().unwrap());
    let seen = client.get(&path_of_appeal).await.is(200);
    assert!(seen["reason"]["sha256"].is_string(), "an appeal's text is for offices: {seen:#}");
    let ombudsman = client.reading(&ground.office("ombudsman", "read_private", "").await);
    assert_eq!(ombudsman.get(&path_of_appeal).await.is(200)["reason"], "I moved house, nothing else");
    let found = async |client: &Client, asked: &str| {
        let waiting = client.get(&format!("/v1/appeals{asked}")).await.is(200);
        items(&waiting).iter().find(|a| a["appeal"] == appeal).unwrap().clone()
    };
    let listed = async |client: &Client| found(client, "").await;
    // For who can see no text, none is read.
    let shown = found(client, "?text=true").await;
    assert!(shown.get("text").is_none(), "{shown}");
    assert_eq!(found(&ombudsman, "?text=true").await["text"], "I moved house, nothing else");
    let shown = listed(client).await;
    assert_eq!((&shown["kind"], &shown["against"]), (&json!("hold"), &filed["outcome"]["against"]));
    // Whose affair it is, is nobody else's.
    assert!(shown.get("about").is_none() && shown.get("filed").is_none(), "{shown}");
    let shown = listed(&ombudsman).await;
    assert_eq!((&shown["filed"], &shown["about"]["hold"]), (&filed["id"], &json!(hold)), "{shown}");

    // Whoever held it does not answer; others do, as many as it takes to end a hold.
    let answer = Action::AnswerAppeal { appeal, upheld: true };
    let own = ground.order(0..2, answer.clone(), appeal).await;
    assert_eq!(own.status, 422, "{own:?}");
    let upheld = ground.order(1..3, answer, appeal).await.is(201);
    assert_eq!(upheld["outcome"]["released"], json!(hold), "{upheld:#}");
    assert!(!ground.is_held(hold).await);
    until("the payment goes on", async || {
        (client.get(&path).await.is(200)["state"] == "final").then_some(())
    })
    .await;
}

pub(crate) async fn a_pause_is_told(ground: &Ground) {
    let client = &ground.leader.client;
    let seen = client.get(&ground.path("")).await.is(200);
    assert!(seen.get("paused").is_none() && seen.get("pause").is_none(), "{seen:#}");
    let until = in_seconds(3_600);
    let pause = Action::Pause { campaign: ground.campaign, until };
    let paused = ground.order(0..1, pause, seen["version"].as_u64().unwrap()).await.is(201);
    let seen = client.get(&ground.path("")).await.is(200);
    let by = ground.institution(&ground.prepared.authorities[0]).await;
    assert_eq!((&seen["paused"], &seen["pause"]), (&json!("paused"), &json!({ "by": by, "until": until })));
    let list = client.get("/v1/campaigns").await.is(200);
    assert_eq!(list["campaigns"][0]["paused"], "paused");
    let claim = ground.snapshot.find(Ground::wallet(0).address()).start;
    let listed = client.get(&ground.path(&format!("/rounds/1/indexes/{claim}"))).await.is(200);
    assert_eq!(listed["entitlements"][0]["why_not"], "paused");
    let resume = Action::Resume { campaign: ground.campaign };
    ground.order(0..1, resume, paused["seq"].as_u64().unwrap()).await.is(201);
    let seen = client.get(&ground.path("")).await.is(200);
    assert!(seen.get("paused").is_none() && seen.get("pause").is_none(), "{seen:#}");
}

pub(crate) async fn strangers_are_turned_away_at_the_door(ground: &Ground) {
    let client = &ground.leader.client;
    let (charter, stranger) = (ground.charter(), Account::random());
    let institution = ground.institution(&ground.prepared.authorities[0]).await;
    let turned_away = async |command: Command, id: DemandId, code: &str| {
        let said = client.post("/v1/commands", &body(id, &command)).await.refused(422, code);
        assert!(said.get("receipt").is_none() && said.get("seq").is_none(), "nothing was recorded: {said}");
        let path = format!("/v1/commands/{}/{id}", command.action.queue());
        client.get(&path).await.refused(404, "unknown_id");
    };
    let seq = client.get("/v1/status").await.seq();
    let id = DemandId(Uuid::now_v7());
    let order = unsigned(ground.held(0), 0, "a stranger's");
    // In an institution's name, in a name of their own, in nobody's.
    for authority in [institution, B256::repeat_byte(0x99), B256::ZERO] {
        turned_away(signed(order.clone(), id, authority, &stranger, charter), id, "not_authorized").await;
    }
    // With an institution's key, which they do not have.
    let mut forged = signed(order.clone(), id, institution, &stranger, charter);
    forged.approvals[0].signer = ground.prepared.authorities[0].signer_bytes();
    turned_away(forged.clone(), id, "bad_signature").await;
    forged.approvals[0].signature = Bytes::from(vec![0; 65]);
    turned_away(forged, id, "bad_signature").await;
    // What an institution signed under another Charter, or for another command.
    let elsewhere = ContractRef { chain_id: 1, ..charter };
    let key = &ground.prepared.authorities[0];
    turned_away(signed(order.clone(), id, institution, key, elsewhere), id, "bad_signature").await;
    let other = signed(order, DemandId(Uuid::now_v7()), institution, key, charter);
    turned_away(other, id, "bad_signature").await;
    let changes = client.get(&format!("/v1/changes?after={seq}")).await.is(200);
    let commands = changes["changes"].as_array().unwrap().iter().filter(|c| c["kind"] == "command_refused");
    assert_eq!(commands.count(), 0, "{changes}");
}
