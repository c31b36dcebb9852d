//! Commands of authorities: their signatures are the authority, so no API key is asked for.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_core::command::{Command, Demand, Subject};
use sluice_core::ids::{CampaignId, DemandId, Seq};
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::receipt::{Receipt, Ticket};
use sluice_core::refusal::Code;
use sluice_engine::node::DemandStatus;
use std::time::Duration;
use utoipa::ToSchema;

use super::Api;
use super::about::{self, Change};
use super::auth::Caller;
use super::changes;
use super::claims::{from_submit, not_decided};
use super::client::Network;
use super::extract::{Json, Path};
use super::hidden::Hidden;
use super::outcome::{self, OutcomeView};
use super::problem::{self, Problem};
use super::read;
use super::reader::{Reader, Sight};
use super::sealed;

/// A command as it is handed in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandBody {
    /// The client's own id of this command, which is signed: the same id and body always get the same answer.
    #[schema(value_type = uuid::Uuid)]
    id: DemandId,
    /// `action` (its name and its fields), `subject_version`, `reason`, `valid_at`, `deadline`, `mandate` and `delegation`
    /// where they are used, `listed_at` of one that was signed in a list, `approvals` (each `authority`, `signer`,
    /// `signature`).
    #[schema(value_type = Object)]
    command: Command,
}

/// What became of a command.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommandView {
    /// The command's id.
    #[schema(value_type = uuid::Uuid)]
    id: DemandId,
    /// The campaign in whose queue it stood; nil for the stream itself.
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    /// `waiting`, `done` or `refused`.
    state: &'static str,
    /// The position of its decision, which is the subject's version from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Of a stale command: the position at which its subject changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_at: Option<Seq>,
    /// Of a stale command: the latest entries about its subject since its authors saw it; the last is at `changed_at`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<Change>,
    /// Of a command that its mandate does not permit: the policies that forbade it, or whose conditions it lacked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<String>,
    /// What it did beyond its own words, and how far the chain has followed by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeView>,
    /// Why it was given: an order's grounds, an appeal's text. Others than its authors and those who may read it are shown
    /// the SHA-256 of the command's canonical bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    reason: Option<Hidden<String>>,
    /// Entitlements it decided or annulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlements: Option<u64>,
    /// The proof of its decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    receipt: Option<Receipt>,
    /// The promise of a decision, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    ticket: Option<Ticket>,
}

/// Hand in a command.
///
/// Answers as for claims: 201 done, 202 waiting, 422 refused (with `receipt`: recorded in the log), 409, 429, 503.
#[utoipa::path(post, path = "/v1/commands", operation_id = "handInCommand", tag = "commands", request_body = CommandBody,
    responses((status = 201, body = CommandView), (status = 202, body = CommandView), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn hand_in(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    network: Network,
    Json(body): Json<CommandBody>,
) -> Result<Response, Problem> {
    let CommandBody { id, command } = body;
    let (campaign, seen) = (command.action.queue(), Seen::by(&command));
    let submitted = api.node.submit_from(network.into(), id, Demand::Command(command)).await;
    let submitted = submitted.map_err(from_submit)?;
    match api.outcome(submitted).await? {
        Ok(outcome) => {
            let sight = api.node.follower().read(|log| reader.at(log));
            decided(&api, (caller, &sight), campaign, id, &outcome.entry, &seen, outcome.receipt).await
        }
        Err(ticket) => Ok(waiting(campaign, id, ticket, StatusCode::ACCEPTED)),
    }
}

/// See what became of a command. The campaign of one that concerns the stream itself is the nil UUID.
#[utoipa::path(get, path = "/v1/commands/{campaign}/{id}", operation_id = "showCommand", tag = "commands",
    params(("campaign" = uuid::Uuid, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, body = CommandView), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    Path((campaign, id)): Path<(CampaignId, DemandId)>,
) -> Result<Response, Problem> {
    match find(&api, campaign, id).await? {
        DemandStatus::Waiting(ticket) => Ok(waiting(campaign, id, *ticket, StatusCode::OK)),
        DemandStatus::Decided { entry, .. } => {
            let read = read::read(api.node.follower(), |log| (reader.at(log), outcome::of(log, &entry)));
            let (sight, outcome) = read.value;
            let mut view = CommandView::decided(campaign, id, &entry, None).ok_or(problem::UNKNOWN_DEMAND)?;
            let ordered = about::command(&entry.body);
            view.reason = ordered.map(|command| about::reason(&sight, command));
            let hides = view.reason.as_ref().is_some_and(Hidden::is_hidden)
                && ordered.is_some_and(|command| about::is_about_a_person(&command.action));
            view.outcome = if hides { outcome.map(OutcomeView::without_whom) } else { outcome };
            if view.changed_at.is_some() {
                let row =
                    api.node.store().intake_by_id(campaign.orders(), id).await.map_err(super::from_store)?;
                if let Some(Demand::Command(command)) = row.and_then(|row| Demand::decode(&row.body).ok()) {
                    view.changed = changed(&api, (caller, &sight), &Seen::by(&command), &entry).await?;
                }
            }
            Ok(read::marked(axum::Json(view).into_response(), read.seq))
        }
    }
}

/// Get the receipt of a decided command.
///
/// The whole one for its authors and for those who may read it, each proving it in `Office`; for others it is sealed: the
/// entry's leaf stands in place of its bytes. Handing the command in again gives the whole one, too.
#[utoipa::path(get, path = "/v1/commands/{campaign}/{id}/receipt", operation_id = "commandReceipt", tag = "commands",
    params(("campaign" = uuid::Uuid, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(crate) async fn receipt(
    State(api): State<Api>,
    reader: Reader,
    Path((campaign, id)): Path<(CampaignId, DemandId)>,
) -> Result<Response, Problem> {
    match find(&api, campaign, id).await? {
        DemandStatus::Waiting(ticket) => Err(not_decided(&ticket)),
        DemandStatus::Decided { entry, .. } => {
            CommandView::decided(campaign, id, &entry, None).ok_or(problem::UNKNOWN_DEMAND)?;
            sealed::answer(&api, &reader, entry.seq).await
        }
    }
}

async fn find(api: &Api, campaign: CampaignId, id: DemandId) -> Result<DemandStatus, Problem> {
    let found = api.node.order(campaign, id).await.map_err(super::from_engine)?;
    found.ok_or_else(|| problem::UNKNOWN_DEMAND.into())
}

fn waiting(campaign: CampaignId, id: DemandId, ticket: Ticket, status: StatusCode) -> Response {
    let after = Duration::from_millis(ticket.promise.estimate_ms).max(Duration::from_secs(1));
    let view = CommandView { ticket: Some(ticket), ..CommandView::new(campaign, id, "waiting") };
    (status, [(RETRY_AFTER, problem::seconds(after))], axum::Json(view)).into_response()
}

/// What a command's authors saw of its subject.
struct Seen {
    subject: Subject,
    version: Seq,
}

impl Seen {
    fn by(command: &Command) -> Self {
        Self { subject: command.action.subject(), version: command.subject_version }
    }
}

/// Of a stale command: what happened to its subject since.
async fn changed(
    api: &Api,
    caller: (Caller, &Sight),
    seen: &Seen,
    entry: &Entry,
) -> Result<Vec<Change>, Problem> {
    let Body::CommandRefused(refused) = &entry.body else { return Ok(Vec::new()) };
    let Some(changed_at) = refused.changed_at.filter(|_| refused.code == Code::Stale) else {
        return Ok(Vec::new());
    };
    changes::since(api, caller, &seen.subject, seen.version, changed_at).await
}

async fn decided(
    api: &Api,
    caller: (Caller, &Sight),
    campaign: CampaignId,
    id: DemandId,
    entry: &Entry,
    seen: &Seen,
    receipt: Receipt,
) -> Result<Response, Problem> {
    if let Body::CommandRefused(refused) = &entry.body {
        let mut problem = Problem::from(refused.code).with("id", &id).with("campaign", &campaign);
        if let Some(changed_at) = refused.changed_at {
            problem = problem.with("changed_at", &changed_at);
        }
        let changed = changed(api, caller, seen, entry).await?;
        if !changed.is_empty() {
            problem = problem.with("changed", &changed);
        }
        if !refused.policies.is_empty() {
            problem = problem.with("policies", &refused.policies);
        }
        return Err(problem.with("state", &"refused").with("seq", &entry.seq).with("receipt", &receipt));
    }
    let read = read::read(api.node.follower(), |state| outcome::of(state, entry));
    let mut view = CommandView::decided(campaign, id, entry, Some(receipt)).ok_or(problem::UNKNOWN_DEMAND)?;
    view.outcome = read.value;
    Ok(read::marked((StatusCode::CREATED, axum::Json(view)).into_response(), read.seq))
}

impl CommandView {
    const fn new(campaign: CampaignId, id: DemandId, state: &'static str) -> Self {
        Self {
            id,
            campaign,
            state,
            seq: None,
            code: None,
            changed_at: None,
            changed: Vec::new(),
            policies: Vec::new(),
            outcome: None,
            reason: None,
            entitlements: None,
            receipt: None,
            ticket: None,
        }
    }

    /// What an entry says of a command; `None` when it answers none.
    fn decided(campaign: CampaignId, id: DemandId, entry: &Entry, receipt: Option<Receipt>) -> Option<Self> {
        let mut view = Self::new(campaign, id, "done");
        match &entry.body {
            Body::CampaignCreated(_) | Body::RoundPublished(_) | Body::Ordered(_) => {}
            Body::Pushed(pushed) => {
                view.entitlements = Some(pushed.decided.iter().map(|(_, count, _)| u64::from(*count)).sum());
            }
            Body::Voided(voided) => view.entitlements = Some(voided.items.len() as u64),
            Body::CommandRefused(refused) => {
                view.state = "refused";
                view.code = Some(refused.code.as_str());
                view.changed_at = refused.changed_at;
                view.policies.clone_from(&refused.policies);
            }
            _ => return None,
        }
        view.seq = Some(entry.seq);
        view.receipt = receipt;
        Some(view)
    }
}
