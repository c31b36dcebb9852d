//! A client: hands a claim in until some node answers, keeps every answer, and asks until the claim is final.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{CampaignId, DemandId, Seq};
use tokio::time::Instant;

use crate::records::{Records, Told, Verdict};

/// One request.
const REQUEST_WITHIN: Duration = Duration::from_secs(6);
/// Between two attempts to hand something in.
const AGAIN_AFTER: Duration = Duration::from_millis(150);
/// Between two looks at a claim.
const LOOK_EVERY: Duration = Duration::from_millis(600);

/// Speaks to both nodes, and keeps what they say.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    nodes: [String; 2],
    records: Arc<Records>,
    /// Nobody asks longer than until then.
    end: Instant,
}

/// A claim on its way.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) campaign: CampaignId,
    pub(crate) id: DemandId,
    pub(crate) demand: ClaimDemand,
}

/// An answer as it came.
struct Answer {
    status: StatusCode,
    as_of: Seq,
    body: Value,
}

impl Client {
    pub(crate) fn new(nodes: [String; 2], records: Arc<Records>, end: Instant) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_WITHIN).build()?;
        Ok(Self { http, nodes, records, end })
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// Hands a claim in until a node gives an answer that is one, first at `slot`, then at the other, and so on; then
    /// asks until it is decided. Says whether it was acknowledged, and what it became.
    pub(crate) async fn hand_in(&self, claim: &Claim, mut slot: usize) -> anyhow::Result<(bool, Verdict)> {
        let mut body = serde_json::to_value(&claim.demand)?;
        body["id"] = json!(claim.id);
        let path = format!("/v1/campaigns/{}/claims", claim.campaign);
        while Instant::now() < self.end {
            let request = self.http.post(format!("{}{path}", self.nodes[slot])).json(&body);
            if let Some(answer) = send(request).await {
                match self.read(claim, &answer)? {
                    Reading::Verdict(verdict) => {
                        let acknowledged = matches!(verdict, Verdict::Decided(_) | Verdict::Refused(..));
                        return Ok((acknowledged, verdict));
                    }
                    Reading::Waits => return Ok((true, self.ask(claim, slot).await?)),
                    Reading::Again => {}
                }
            }
            slot = 1 - slot;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        Ok((false, Verdict::Nothing))
    }

    /// What an answer to a claim means for its client.
    fn read(&self, claim: &Claim, answer: &Answer) -> anyhow::Result<Reading> {
        let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
        let seq = answer.body["seq"].as_u64();
        self.keep_proofs(claim, &answer.body)?;
        Ok(match answer.status {
            StatusCode::CREATED => {
                self.keep_state(claim, answer);
                Reading::Verdict(Verdict::Decided(seq.context("a 201 without position")?))
            }
            StatusCode::ACCEPTED => {
                self.keep_state(claim, answer);
                Reading::Waits
            }
            StatusCode::CONFLICT => Reading::Verdict(Verdict::Conflict),
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => match seq {
                Some(seq) => Reading::Verdict(Verdict::Refused(seq, code)),
                // Another claim on it waits; what becomes of it decides.
                None if code == "claim_open" => Reading::Again,
                None => Reading::Verdict(Verdict::Declined(code)),
            },
            _ => Reading::Again,
        })
    }

    /// Asks until an acknowledged claim is decided. That it is unknown anywhere would be a broken promise.
    async fn ask(&self, claim: &Claim, mut slot: usize) -> anyhow::Result<Verdict> {
        while Instant::now() < self.end {
            if let Some(answer) = self.look(claim, slot).await? {
                let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
                match (answer.body["state"].as_str(), answer.body["seq"].as_u64()) {
                    (Some("refused"), Some(seq)) => return Ok(Verdict::Refused(seq, code)),
                    (Some("waiting"), _) => {}
                    (Some(_), Some(seq)) => return Ok(Verdict::Decided(seq)),
                    _ => {}
                }
            }
            slot = 1 - slot;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Verdict::Nothing)
    }

    /// Follows a decided claim until one of these states is told; says which.
    pub(crate) async fn follow(
        &self,
        claim: &Claim,
        mut slot: usize,
        ends: &[&str],
    ) -> anyhow::Result<Option<String>> {
        while Instant::now() < self.end {
            if let Some(answer) = self.look(claim, slot).await?
                && let Some(state) = answer.body["state"].as_str()
                && ends.contains(&state)
            {
                return Ok(Some(state.to_owned()));
            }
            slot = 1 - slot;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(None)
    }

    /// Fetches the receipt of a claim that got a ticket first.
    pub(crate) async fn fetch_receipt(&self, claim: &Claim, mut slot: usize) -> anyhow::Result<()> {
        let path = format!("/v1/campaigns/{}/claims/{}/receipt", claim.campaign, claim.id);
        while Instant::now() < self.end {
            let answer = send(self.http.get(format!("{}{path}", self.nodes[slot]))).await;
            if let Some(answer) = answer.filter(|a| a.status == StatusCode::OK) {
                return self.keep_proofs(claim, &json!({ "receipt": answer.body }));
            }
            slot = 1 - slot;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        anyhow::bail!("claim {} never got its receipt", claim.id)
    }

    /// One look at an acknowledged claim; `None` while the node does not answer.
    async fn look(&self, claim: &Claim, slot: usize) -> anyhow::Result<Option<Answer>> {
        let path = format!("/v1/campaigns/{}/claims/{}", claim.campaign, claim.id);
        let Some(answer) = send(self.http.get(format!("{}{path}", self.nodes[slot]))).await else {
            return Ok(None);
        };
        match answer.status {
            StatusCode::OK => {
                self.keep_state(claim, &answer);
                self.keep_proofs(claim, &answer.body)?;
                Ok(Some(answer))
            }
            StatusCode::NOT_FOUND => {
                let at = answer.as_of;
                self.records.wrong(format!("claim {} was acknowledged, and unknown as of {at}", claim.id));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn keep_state(&self, claim: &Claim, answer: &Answer) {
        let Some(state) = answer.body["state"].as_str() else { return };
        let told = Told {
            campaign: claim.campaign,
            index: claim.demand.index,
            id: claim.id,
            as_of: answer.as_of,
            state: state.to_owned(),
        };
        self.records.told.lock().expect("no panic inside").push(told);
    }

    fn keep_proofs(&self, claim: &Claim, body: &Value) -> anyhow::Result<()> {
        if let Some(receipt) = body.get("receipt").filter(|r| !r.is_null()) {
            let receipt = serde_json::from_value(receipt.clone()).context("a receipt that cannot be read")?;
            self.records.receipts.lock().expect("no panic inside").push((claim.id, receipt));
        }
        if let Some(ticket) = body.get("ticket").filter(|t| !t.is_null()) {
            let ticket = serde_json::from_value(ticket.clone()).context("a ticket that cannot be read")?;
            self.records.tickets.lock().expect("no panic inside").push((claim.id, ticket));
        }
        Ok(())
    }
}

enum Reading {
    Verdict(Verdict),
    Waits,
    Again,
}

/// One request; `None` when there was no answer, or none that anybody could read.
async fn send(request: reqwest::RequestBuilder) -> Option<Answer> {
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let as_of = answer.headers().get("as-of-seq").and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0);
    Some(Answer { status, as_of, body: answer.json().await.ok()? })
}
