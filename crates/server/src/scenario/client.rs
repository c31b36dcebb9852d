//! A client of both nodes, in somebody's name. Every answer it gets goes into the record.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use anyhow::{Context, bail};
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use sluice_chain::signer::Account;
use sluice_core::command::{Action, Approval, ClaimDemand, Command, ListPlace, list_tree};
use sluice_core::ids::{CampaignId, ContractRef, DemandId, Seq};
use sluice_core::signing::{command_digest, command_hash, list_digest};

use super::record::{Asked, Change, Heard, Record, Verdict};
use crate::cli::reach::{client_now, new_demand};
use crate::http::reading::{OFFICE, OfficeKey};

/// Attempts at a demand that waits or was put off: a node says a second or two each time, and a failover takes a few.
const ATTEMPTS: u32 = 40;
/// The longest wait between two of them.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// One request with its answer; a node answers a demand within 1.5 s.
const REQUEST_WITHIN: Duration = Duration::from_secs(20);
/// How long a statement that one is an office is good, seconds: longer than the story, and less than nodes allow.
const READS_FOR: u64 = 300;
/// Lines of the change feed in one answer.
const FEED_PAGE: u64 = 1_000;

/// Somebody's client.
#[derive(Clone)]
pub(super) struct Client {
    who: String,
    http: reqwest::Client,
    nodes: Arc<[String; 2]>,
    key: String,
    /// What proves to each node that an office reads under its mandate.
    office: Option<Arc<[String; 2]>>,
    record: Arc<Record>,
}

/// Who signs, for which institution; zero for a person's own affair.
pub(super) type By<'a> = (B256, &'a Account);

/// A command that somebody is about to sign.
pub(super) struct Draft<'a> {
    pub(super) action: Action,
    /// The position at which its authors saw the subject.
    pub(super) seen: Seq,
    pub(super) by: &'a [By<'a>],
    pub(super) mandate: B256,
    pub(super) reason: &'a str,
}

/// A signed command with its id.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) id: DemandId,
    pub(super) command: Command,
}

/// Under which Charter commands are signed, and until when they are good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    pub(super) charter: ContractRef,
    /// Milliseconds.
    pub(super) now: u64,
    /// Milliseconds.
    pub(super) deadline: u64,
}

impl Draft<'_> {
    fn command(&self, law: Law) -> Command {
        Command {
            action: self.action.clone(),
            subject_version: self.seen,
            reason: self.reason.to_owned(),
            valid_at: law.now,
            deadline: law.deadline,
            mandate: self.mandate,
            delegation: B256::ZERO,
            listed_at: None,
            approvals: Vec::new(),
        }
    }

    /// Signed by everybody it names.
    pub(super) fn sign(&self, law: Law) -> anyhow::Result<Signed> {
        let (id, mut command) = (new_demand(), self.command(law));
        let approval = |(authority, key): &By<'_>| {
            let digest = command_digest(&command, id, *authority, law.charter).context("signed alone")?;
            let signature = key.sign_digest(digest)?;
            Ok(Approval { authority: *authority, signer: key.signer_bytes(), signature })
        };
        let approvals = self.by.iter().map(approval).collect::<anyhow::Result<Vec<_>>>()?;
        command.approvals = approvals;
        Ok(Signed { id, command })
    }
}

/// Many commands under one signature: every one takes its own position and answer.
pub(super) fn sign_list(law: Law, by: By<'_>, drafts: &[Draft<'_>]) -> anyhow::Result<Vec<Signed>> {
    let (authority, key) = by;
    let mut items: Vec<Signed> =
        drafts.iter().map(|draft| Signed { id: new_demand(), command: draft.command(law) }).collect();
    let hashes: Vec<B256> =
        items.iter().map(|item| command_hash(&item.command, item.id, authority)).collect();
    let (root, paths) = list_tree(&hashes);
    let (list, count) = (new_demand(), u32::try_from(items.len())?);
    let digest = list_digest(root, count, list, law.deadline, authority, law.charter);
    let (signer, signature) = (key.signer_bytes(), key.sign_digest(digest)?);
    for ((at, item), path) in (0..).zip(&mut items).zip(paths) {
        item.command.listed_at = Some(ListPlace { list, count, at, path });
        item.command.approvals =
            vec![Approval { authority, signer: signer.clone(), signature: signature.clone() }];
    }
    Ok(items)
}

impl Client {
    pub(super) fn new(
        who: &str,
        nodes: Arc<[String; 2]>,
        key: String,
        record: Arc<Record>,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_WITHIN).build()?;
        Ok(Self { who: who.to_owned(), http, nodes, key, office: None, record })
    }

    /// The same client, reading as an office under its mandate.
    pub(super) fn reading(&self, office: &OfficeKey) -> anyhow::Result<Self> {
        let until = (client_now() + READS_FOR) * 1_000;
        let statement = |url: &String| {
            let host = url.rsplit('/').next().unwrap_or_default();
            anyhow::Ok(office.sign(host, until)?.encode())
        };
        let statements = [statement(&self.nodes[0])?, statement(&self.nodes[1])?];
        Ok(Self { office: Some(Arc::new(statements)), ..self.clone() })
    }

    /// A reading of State at one node, at this position or later.
    pub(super) async fn state(&self, node: usize, path: &str, min: Option<Seq>) -> anyhow::Result<Heard> {
        self.ask(node, Asked::State, Method::GET, path, None, min).await
    }

    /// What became of a demand.
    pub(super) async fn standing(&self, node: usize, path: &str) -> anyhow::Result<Heard> {
        self.ask(node, Asked::Demand, Method::GET, path, None, None).await
    }

    /// Anything else.
    pub(super) async fn get(&self, node: usize, path: &str) -> anyhow::Result<Heard> {
        self.ask(node, Asked::Other, Method::GET, path, None, None).await
    }

    /// Hands something in that is no demand.
    pub(super) async fn post(&self, node: usize, path: &str, body: &Value) -> anyhow::Result<Heard> {
        self.ask(node, Asked::Other, Method::POST, path, Some(body), None).await
    }

    /// Hands a signed command in at a node and asks with the same id until it is decided.
    pub(super) async fn order(&self, node: usize, signed: &Signed) -> anyhow::Result<(Verdict, Value)> {
        let body = json!({ "id": signed.id, "command": signed.command });
        self.demand(node, "/v1/commands", &body).await
    }

    /// The same, for what must not be refused.
    pub(super) async fn done(&self, node: usize, signed: &Signed) -> anyhow::Result<(Seq, Value)> {
        let (verdict, body) = self.order(node, signed).await?;
        match verdict {
            Verdict::Done { seq } => Ok((seq, body)),
            other => bail!("{} of the {} was refused: {other:?}", signed.command.action.name(), self.who),
        }
    }

    /// Hands a claim in.
    pub(super) async fn claim(
        &self,
        node: usize,
        campaign: CampaignId,
        id: DemandId,
        claim: &ClaimDemand,
    ) -> anyhow::Result<(Verdict, Value)> {
        let mut body = serde_json::to_value(claim)?;
        body["id"] = json!(id);
        self.demand(node, &format!("/v1/campaigns/{campaign}/claims"), &body).await
    }

    async fn demand(&self, node: usize, path: &str, body: &Value) -> anyhow::Result<(Verdict, Value)> {
        for _ in 0..ATTEMPTS {
            let heard = self.ask(node, Asked::Demand, Method::POST, path, Some(body), None).await?;
            match verdict(&heard) {
                Some(Verdict::Turned { code, .. }) => {
                    // What was turned away was looked at no later than what this node says next.
                    let as_of = self.get(node, "/v1/status").await?.as_of;
                    return Ok((Verdict::Turned { as_of, code }, heard.body));
                }
                Some(verdict) => return Ok((verdict, heard.body)),
                None => {}
            }
            tokio::time::sleep(WAIT_MAX / 4).await;
        }
        bail!("{path} at node {}: a demand of the {} was not decided", node + 1, self.who)
    }

    /// The whole change feed of a node.
    pub(super) async fn feed(&self, node: usize) -> anyhow::Result<Vec<Change>> {
        let mut all: Vec<Change> = Vec::new();
        loop {
            let after = all.last().map_or(0, |change| change.seq);
            let heard = self.get(node, &format!("/v1/changes?after={after}&limit={FEED_PAGE}")).await?;
            let page: Vec<Change> = serde_json::from_value(heard.body["changes"].clone())
                .with_context(|| format!("the change feed of node {} behind {after}", node + 1))?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    async fn ask(
        &self,
        node: usize,
        asked: Asked,
        method: Method,
        path: &str,
        body: Option<&Value>,
        min_seq: Option<Seq>,
    ) -> anyhow::Result<Heard> {
        for _ in 0..ATTEMPTS {
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.nodes[node]));
            request = request.bearer_auth(&self.key);
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(seq) = min_seq {
                request = request.header("Min-Seq", seq);
            }
            if let Some(statements) = self.office.as_ref().filter(|_| method == Method::GET) {
                request = request.header(OFFICE, &statements[node]);
            }
            let named = || format!("the {} asks node {} for {path}", self.who, node + 1);
            let answer = request.send().await.with_context(named)?;
            let status = answer.status().as_u16();
            let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()?.parse().ok());
            let as_of: Option<Seq> = header("As-Of-Seq");
            let after: Option<u64> = header(RETRY_AFTER.as_str());
            let text = answer.text().await.with_context(named)?;
            if matches!(status, 429 | 503) {
                tokio::time::sleep(Duration::from_secs(after.unwrap_or(1)).min(WAIT_MAX)).await;
                continue;
            }
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let as_of = as_of.with_context(|| format!("{path} was answered without a position: {body}"))?;
            let (who, as_office) = (self.who.clone(), self.office.is_some());
            let heard =
                Heard { who, as_office, node, asked, path: path.to_owned(), min_seq, status, as_of, body };
            self.record.keep(heard.clone());
            return Ok(heard);
        }
        bail!("node {} put {path} off {ATTEMPTS} times", node + 1)
    }
}

/// What an answer to a demand says became of it; `None` while it waits.
pub(super) fn verdict(heard: &Heard) -> Option<Verdict> {
    let body = &heard.body;
    let seq = body["seq"].as_u64();
    let code = || body["code"].as_str().unwrap_or("?").to_owned();
    let refused = body["state"] == "refused";
    match (heard.status, seq) {
        (202, _) | (200, None) => None,
        (_, Some(seq)) if refused => {
            Some(Verdict::Refused { seq, code: code(), changed_at: body["changed_at"].as_u64() })
        }
        (_, Some(seq)) => Some(Verdict::Done { seq }),
        (_, None) => Some(Verdict::Turned { as_of: heard.as_of, code: code() }),
    }
}
