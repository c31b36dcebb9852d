//! A node, asked over HTTP: what the commands, the demonstration and the load tools speak to it with.
//!
//! Every demand carries its own id, so a request whose answer was lost is repeated with the same body and gets the
//! same answer.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_core::command::{ClaimDemand, Command};
use sluice_core::ids::{CampaignId, DemandId, ProjectId, RoundNo};

mod offices;
#[cfg(test)]
mod tests;
mod views;

use crate::cli::reach::client_now;
use crate::http::claimant::{CLAIMANT, Looking};
use crate::http::reading::{OFFICE, OfficeKey};
use offices::Page;
pub use offices::{AuthorityInfo, DelegationInfo, GateInfo, MandateInfo, RuleInfo};
pub use views::{
    CampaignInfo, CampaignPage, CharterInfo, ClaimInfo, CommandInfo, EntitlementInfo, InstitutionInfo,
    ListedInfo, MadeKey, Money, RoundDetail, RoundInfo, StatusInfo,
};

/// One request, answer included. A node answers a demand within 1.5 s and a read at once.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// Attempts of a request whose answer was lost or that the node put off: with the waits below about a minute, longer
/// than a failover.
const ATTEMPTS: u32 = 30;
/// Before this attempt it is said that nobody answers: who waits knows why.
const SAID_AT: u32 = 4;
/// The wait before the second attempt; doubled up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two attempts, whatever `Retry-After` says.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// How long an office's statement is good, seconds. It is signed anew for each request.
const STATEMENT_FOR: u64 = 120;

/// Why a node gave no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer at all.
    #[error("{url} does not answer; is a node running there (--node)?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// A problem, as the node described it.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// An answer that is not the interface's.
    #[error("the answer of {url} is not what this program understands")]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A request that cannot be made.
    #[error("{0}")]
    Unsent(String),
}

/// A problem (RFC 9457) a node answered with.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// The whole problem: `title`, `detail`, `field`, and of a decided refusal its `seq` and `receipt`.
    pub problem: Value,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| self.problem.get(name).and_then(Value::as_str);
        write!(f, "{}", self.code)?;
        for part in [text("title"), text("detail")].into_iter().flatten() {
            write!(f, ": {part}")?;
        }
        match text("field") {
            Some(field) => write!(f, " (field {field})"),
            None => Ok(()),
        }
    }
}

impl ApiError {
    /// The problem's stable code, if the node answered with one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) => Some(&refused.code),
            _ => None,
        }
    }
}

/// A node. Cheap to clone.
#[derive(Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    node: String,
    key: Option<String>,
    claimant: Option<String>,
    office: Option<OfficeKey>,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiClient").field(&self.node).finish()
    }
}

impl ApiClient {
    /// A node at this URL; `key` is a project's or the operator's, where one is needed.
    ///
    /// # Errors
    /// When no HTTP client can be made on this machine.
    pub fn new(node: &str, key: Option<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_WITHIN).build()?;
        Ok(Self { http, node: node.trim_end_matches('/').to_owned(), key, claimant: None, office: None })
    }

    /// The same node, asked as a claimant who signed: private lists are looked up so.
    pub fn as_claimant(&self, looking: &Looking) -> Self {
        Self { claimant: Some(looking.encode()), ..self.clone() }
    }

    /// The same node, asked as an office, which proves itself with each request and is shown what its mandate lets it read.
    pub fn as_office(&self, office: OfficeKey) -> Self {
        Self { office: Some(office), ..self.clone() }
    }

    /// The host that signed statements are for: the node as its URL names it, with the port where it is not the scheme's own.
    ///
    /// # Errors
    /// When the URL names none.
    pub fn host(&self) -> anyhow::Result<String> {
        let url = reqwest::Url::parse(&self.node).with_context(|| format!("--node {:?}", self.node))?;
        let host = url.host_str().with_context(|| format!("--node {:?} names no host", self.node))?;
        Ok(url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")))
    }

    /// What the node answers at an address of its API, as it is.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn look_up(&self, path: &str) -> Result<Value, ApiError> {
        self.get(path).await
    }

    /// The node's URL.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What the node says of itself.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn status(&self) -> Result<StatusInfo, ApiError> {
        self.get("/v1/status").await
    }

    /// The same asked once, for whoever wants to know whether a node is there.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn status_now(&self) -> Result<StatusInfo, ApiError> {
        self.once(&Method::GET, "/v1/status", None).await.map_err(|(error, _)| error)
    }

    /// Whether the node serves; once, without waiting for it.
    ///
    /// # Errors
    /// When nobody answers, or why the node is not ready.
    pub async fn ready(&self) -> Result<(), ApiError> {
        let url = format!("{}/readyz", self.node);
        let answer = self.http.get(&url).send().await;
        let answer = answer.map_err(|source| ApiError::Unreachable { url: url.clone(), source })?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let text = answer.text().await.map_err(|source| ApiError::Unreachable { url, source })?;
        Err(refused(status, &text))
    }

    /// The founding Charter as the log last read it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn charter(&self) -> Result<CharterInfo, ApiError> {
        self.get("/v1/charter").await
    }

    /// Creates a project; the same one again is no error. Takes the operator's key.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create_project(&self, id: ProjectId, name: &str) -> Result<Value, ApiError> {
        self.post("/v1/projects", &json!({ "id": id, "name": name })).await
    }

    /// Erases what is kept about a person or a recipient. Takes the operator's key.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn erase(&self, whom: &Value) -> Result<Value, ApiError> {
        self.post("/v1/erasures", whom).await
    }

    /// All projects. Takes the operator's key.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn projects(&self) -> Result<Vec<Value>, ApiError> {
        self.get("/v1/projects").await
    }

    /// Makes an API key for a project.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create_key(&self, project: ProjectId, label: &str) -> Result<MadeKey, ApiError> {
        self.post(&format!("/v1/projects/{project}/keys"), &json!({ "label": label })).await
    }

    /// All campaigns.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn campaigns(&self) -> Result<Vec<views::CampaignHead>, ApiError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page: CampaignPage = self.get(&format!("/v1/campaigns{after}")).await?;
            all.extend(page.campaigns);
            let Some(next) = page.next else { return Ok(all) };
            after = format!("?after={next}");
        }
    }

    /// A campaign.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn campaign(&self, campaign: CampaignId) -> Result<CampaignInfo, ApiError> {
        self.get(&format!("/v1/campaigns/{campaign}")).await
    }

    /// A round.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn round(&self, campaign: CampaignId, round: RoundNo) -> Result<RoundDetail, ApiError> {
        self.get(&format!("/v1/campaigns/{campaign}/rounds/{round}")).await
    }

    /// The entitlements of an address, with their proofs.
    ///
    /// # Errors
    /// See [`ApiError`]; `not_listed` when it has none.
    pub async fn entitlements(
        &self,
        campaign: CampaignId,
        round: RoundNo,
        address: alloy_primitives::Address,
    ) -> Result<ListedInfo, ApiError> {
        self.get(&format!("/v1/campaigns/{campaign}/rounds/{round}/entitlements/{address}")).await
    }

    /// One entitlement by its index, with its proof.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn entitlement(
        &self,
        campaign: CampaignId,
        round: RoundNo,
        index: u64,
    ) -> Result<ListedInfo, ApiError> {
        self.get(&format!("/v1/campaigns/{campaign}/rounds/{round}/indexes/{index}")).await
    }

    /// All institutions: the Charter's, and those registered in the log.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn authorities(&self) -> Result<Vec<AuthorityInfo>, ApiError> {
        self.pages("/v1/authorities").await
    }

    /// All mandates, ended ones too.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn mandates(&self) -> Result<Vec<MandateInfo>, ApiError> {
        self.pages("/v1/mandates").await
    }

    /// All delegations, ended ones too.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delegations(&self) -> Result<Vec<DelegationInfo>, ApiError> {
        self.pages("/v1/delegations").await
    }

    /// The gates of a campaign.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn gates(&self, campaign: CampaignId) -> Result<Vec<GateInfo>, ApiError> {
        self.get(&format!("/v1/campaigns/{campaign}/gates")).await
    }

    /// Hands in a claim. A decided refusal is [`ApiError::Refused`], with its receipt in the problem.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn claim(
        &self,
        campaign: CampaignId,
        id: DemandId,
        claim: &ClaimDemand,
    ) -> Result<ClaimInfo, ApiError> {
        let mut body = serde_json::to_value(claim).expect("a claim is JSON");
        body["id"] = json!(id);
        self.post(&format!("/v1/campaigns/{campaign}/claims"), &body).await
    }

    /// What became of a claim.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn claim_status(&self, campaign: CampaignId, id: DemandId) -> Result<ClaimInfo, ApiError> {
        self.get(&format!("/v1/campaigns/{campaign}/claims/{id}")).await
    }

    /// A decided claim's receipt.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn claim_receipt(&self, campaign: CampaignId, id: DemandId) -> Result<Value, ApiError> {
        self.get(&format!("/v1/campaigns/{campaign}/claims/{id}/receipt")).await
    }

    /// Hands in a command and, if it is not decided at once, asks until it is.
    ///
    /// # Errors
    /// See [`ApiError`]; a refused command is [`ApiError::Refused`] with the log's code.
    pub async fn command(&self, id: DemandId, command: &Command) -> Result<CommandInfo, ApiError> {
        let body = json!({ "id": id, "command": command });
        let mut seen: CommandInfo = self.post("/v1/commands", &body).await?;
        for _ in 0..ATTEMPTS {
            if seen.state != "waiting" {
                break;
            }
            tokio::time::sleep(WAIT_MAX).await;
            seen = self.get(&format!("/v1/commands/{}/{id}", command.action.queue())).await?;
        }
        match (seen.state.as_str(), seen.code.clone()) {
            ("refused", Some(code)) => {
                let problem = json!({ "code": &code, "changed_at": seen.changed_at });
                Err(ApiError::Refused(Box::new(Refused { status: 422, code, problem })))
            }
            _ => Ok(seen),
        }
    }

    /// What became of a command; `queue` is its action's.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn command_status(&self, queue: CampaignId, id: DemandId) -> Result<CommandInfo, ApiError> {
        self.get(&format!("/v1/commands/{queue}/{id}")).await
    }

    /// Every item of a list that comes in pages.
    async fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page: Page<T> = self.get(&format!("{path}{after}")).await?;
            all.extend(page.items);
            let Some(next) = page.next else { return Ok(all) };
            after = format!("?after={next}");
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.send(Method::GET, path, None).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ApiError> {
        self.send(Method::POST, path, Some(serde_json::to_vec(body).expect("a body is JSON"))).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, ApiError> {
        let mut wait = WAIT_FIRST;
        let mut attempt = 1;
        loop {
            let (error, after) = match self.once(&method, path, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(put_off) => put_off,
            };
            let Some(after) = after.filter(|_| attempt < ATTEMPTS) else { return Err(error) };
            attempt += 1;
            if attempt == SAID_AT && matches!(error, ApiError::Unreachable { .. }) {
                tracing::warn!(%error, "it is asked again for about a minute");
            }
            tokio::time::sleep(after.max(wait).min(WAIT_MAX)).await;
            wait *= 2;
        }
    }

    /// One attempt; with an error, how long the node asks to be left alone, or `None` if asking again is no use.
    async fn once<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, (ApiError, Option<Duration>)> {
        let url = format!("{}{path}", self.node);
        let mut request = self.http.request(method.clone(), &url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(claimant) = &self.claimant {
            request = request.header(CLAIMANT, claimant);
        }
        if let Some(office) = &self.office {
            let unsent = |error: anyhow::Error| (ApiError::Unsent(format!("{error:#}")), None);
            let host = self.host().map_err(unsent)?;
            let reading = office.sign(&host, (client_now() + STATEMENT_FOR) * 1_000);
            request = request.header(OFFICE, reading.map_err(|error| unsent(error.into()))?.encode());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let lost = |source: reqwest::Error, url: &str| {
            (ApiError::Unreachable { url: url.to_owned(), source }, Some(Duration::ZERO))
        };
        let answer = request.send().await.map_err(|error| lost(error, &url))?;
        let status = answer.status();
        let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let after = Duration::from_secs(after.unwrap_or(0));
        let text = answer.text().await.map_err(|error| lost(error, &url))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|source| (ApiError::Malformed { url, source }, None));
        }
        let again = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Err((refused(status, &text), again.then_some(after)))
    }
}

fn refused(status: StatusCode, text: &str) -> ApiError {
    let problem: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({ "detail": text }));
    let code = problem.get("code").and_then(Value::as_str).map_or_else(|| status.to_string(), str::to_owned);
    ApiError::Refused(Box::new(Refused { status: status.as_u16(), code, problem }))
}
