//! Claims: handing one in, and what became of it.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_core::amount::Amount;
use sluice_core::command::{ClaimDemand, Visibility};
use sluice_core::ids::{CampaignId, DemandId, EntitlementId, RoundNo, Seq};
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::receipt::{Receipt, Ticket};
use sluice_core::refusal::Code;
use sluice_core::state::status::ClaimState;
use sluice_engine::intake::SubmitError;
use sluice_engine::node::DemandStatus;
use utoipa::ToSchema;

use super::Api;
use super::address::Typed;
use super::auth::Caller;
use super::client::Network;
use super::extract::{Json, Path};
use super::hidden::Hidden;
use super::money::Money;
use super::problem::{self, Problem};
use super::read::{self, AsOf};
use super::reader::Reader;
use super::sealed;
use super::standing::{self, Condition, StandingView, unseen};
use super::states::StateView;

/// A claim as a recipient hands it in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimBody {
    /// The client's own id of this claim: the same id and body always get the same answer.
    #[schema(value_type = uuid::Uuid)]
    id: DemandId,
    /// The round.
    round: RoundNo,
    /// The listed address.
    #[schema(value_type = String, example = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")]
    recipient: Typed,
    /// The signed amount in base units; looked up in the list when left out.
    #[schema(value_type = Option<String>)]
    amount: Option<Amount>,
    /// The signed index; looked up when left out, which needs an address that is listed once.
    index: Option<u64>,
    /// The signed destination; the recipient when left out.
    #[schema(value_type = Option<String>)]
    to: Option<Typed>,
    /// The signed deadline, Unix seconds.
    deadline: u64,
    /// The signature over `Claim(round, index, recipient, to, amount, deadline)` in the Distributor's EIP-712 domain.
    #[schema(value_type = String)]
    signature: Bytes,
}

/// What became of a claim.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClaimView {
    /// The claim's id.
    #[schema(value_type = uuid::Uuid)]
    id: DemandId,
    /// Its campaign.
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    #[serde(flatten)]
    state: StateView,
    #[serde(flatten)]
    standing: StandingView,
    /// Of a claim that rules refused: which condition it failed, in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    /// What it failed, where the rules mask that for claimants; only for those who may read it.
    #[serde(skip_serializing_if = "unseen")]
    #[schema(value_type = Option<Condition>)]
    cause: Option<Hidden<Condition>>,
    /// The position of its decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlement: Option<Claimed>,
    /// The proof of its decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    receipt: Option<Receipt>,
    /// The promise of a decision, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    ticket: Option<Ticket>,
}

/// The entitlement of a claim.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Claimed {
    /// The round.
    round: RoundNo,
    /// The index in the round's list.
    index: u64,
    /// The listed address; of a refused claim only the entitlement is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    recipient: Option<Address>,
    /// Where the money goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    to: Option<Address>,
    /// How much.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
}

/// Hand in a claim.
///
/// 201: decided, with receipt. 202: accepted and waiting, with a ticket. 422 with `receipt`: decided, refused, recorded
/// in the log. 4xx without: refused before anything was recorded. 409: the id was used for another demand. 429, 503:
/// nothing was done; come back after `Retry-After` with the same id.
#[utoipa::path(post, path = "/v1/campaigns/{campaign}/claims", operation_id = "handInClaim", tag = "claims",
    params(("campaign" = uuid::Uuid, Path)), request_body = ClaimBody,
    responses((status = 201, body = ClaimView), (status = 202, body = ClaimView), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn hand_in(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    network: Network,
    Path(campaign): Path<CampaignId>,
    Json(body): Json<ClaimBody>,
) -> Result<Response, Problem> {
    let terms = api.node.follower().read(|state| {
        let (campaign, round) = read::round(state, campaign, body.round)?;
        let private = campaign.terms.visibility == Visibility::Private;
        Ok::<_, Code>((campaign.terms.project, round.terms.list_hash, private))
    });
    let (project, list_hash, private) = terms?;
    caller.may_see(project)?;
    let id = body.id;
    let claim = match (body.index, body.amount) {
        // What is signed is given in full: the list is looked at when the signature is.
        (Some(index), Some(amount)) => demand(body, index, amount),
        // Filling them in would tell who is listed.
        _ if private => {
            let problem = Problem::from(problem::MALFORMED_BODY).field("index");
            return Err(problem.detail("this list is private: name index and amount, as you were shown them"));
        }
        _ => complete(&api, body, list_hash).await?,
    };
    let submitted = api.node.submit_claim_from(network.into(), campaign, id, claim).await;
    let submitted =
        submitted.map_err(|error| if private { without_list(error) } else { from_submit(error) })?;
    match api.outcome(submitted).await? {
        Ok(outcome) => decided(&api, &reader, campaign, id, &outcome.entry, outcome.receipt).await,
        Err(ticket) => Ok(waiting(campaign, id, ticket, StatusCode::ACCEPTED)),
    }
}

fn demand(body: ClaimBody, index: u64, amount: Amount) -> ClaimDemand {
    let recipient = body.recipient.0;
    ClaimDemand {
        round: body.round,
        index,
        recipient,
        to: body.to.map_or(recipient, |to| to.0),
        amount,
        deadline: body.deadline,
        signature: body.signature,
    }
}

/// Why a claim on a private list was not accepted, without telling whether the list or the signature is against it.
fn without_list(error: SubmitError) -> Problem {
    match error {
        SubmitError::Refused(
            Code::NotListed | Code::WrongEntitlement | Code::BadSignature | Code::BadRedirect,
        ) => Problem::from(problem::PRIVATE_LIST).detail(
            "this is no entitlement of the list, its recipient did not sign this claim, or nobody can be paid at `to`",
        ),
        other => from_submit(other),
    }
}

/// Fills in index and amount from the list.
async fn complete(api: &Api, body: ClaimBody, list_hash: B256) -> Result<ClaimDemand, Problem> {
    let snapshot = api.snapshot(list_hash).await?;
    let read = move || {
        let listed = snapshot.find(body.recipient.0);
        let index = match body.index {
            Some(index) => index,
            None if listed.is_empty() => {
                let problem = Problem::from(Code::NotListed).field("recipient");
                return Err(
                    problem.detail("the entitlement's address of the API proves that it is not in the list")
                );
            }
            None if listed.end - listed.start > 1 => {
                let indexes: Vec<u64> = listed.take(super::entitlements::PAGE).collect();
                return Err(Problem::from(problem::INDEX_NEEDED).field("index").with("indexes", &indexes));
            }
            None => listed.start,
        };
        // An index behind the end has no amount; it is refused by name further on.
        let amount =
            body.amount.or_else(|| snapshot.entitlement(index).map(|e| e.amount)).unwrap_or_default();
        Ok(demand(body, index, amount))
    };
    api.mapped.read(read).await?
}

/// See what became of a claim.
#[utoipa::path(get, path = "/v1/campaigns/{campaign}/claims/{id}", operation_id = "showClaim", tag = "claims",
    params(("campaign" = uuid::Uuid, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, body = ClaimView), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    Path((campaign, id)): Path<(CampaignId, DemandId)>,
) -> Result<Response, Problem> {
    match find(&api, caller, campaign, id).await? {
        DemandStatus::Waiting(ticket) => Ok(waiting(campaign, id, *ticket, StatusCode::OK)),
        DemandStatus::Decided { entry, .. } => {
            Ok(view(&api, &reader, campaign, id, &entry, None).await?.answer())
        }
    }
}

/// Get the receipt of a decided claim.
///
/// Where its evidence says something about a person (whose it is, what attestations and rules said), others than those
/// who may read that get it sealed: the entry's leaf stands in place of its bytes. Its claimant gets the whole one by
/// handing the same claim in again.
#[utoipa::path(get, path = "/v1/campaigns/{campaign}/claims/{id}/receipt", operation_id = "claimReceipt", tag = "claims",
    params(("campaign" = uuid::Uuid, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(crate) async fn receipt(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    Path((campaign, id)): Path<(CampaignId, DemandId)>,
) -> Result<Response, Problem> {
    match find(&api, caller, campaign, id).await? {
        DemandStatus::Waiting(ticket) => Err(not_decided(&ticket)),
        DemandStatus::Decided { entry, .. } => sealed::answer(&api, &reader, entry.seq).await,
    }
}

/// A receipt was asked for before there was a decision.
pub(crate) fn not_decided(ticket: &Ticket) -> Problem {
    let problem = Problem::from(problem::NOT_DECIDED).with("ticket", ticket);
    problem.retry_after(Duration::from_millis(ticket.promise.estimate_ms))
}

async fn find(
    api: &Api,
    caller: Caller,
    campaign: CampaignId,
    id: DemandId,
) -> Result<DemandStatus, Problem> {
    let project = api.node.follower().read(|s| read::campaign(s, campaign).map(|c| c.terms.project))?;
    caller.may_see(project)?;
    let found = api.node.demand(campaign, id).await.map_err(super::from_engine)?;
    // A command's id is no claim's.
    let found = found.filter(|status| match status {
        DemandStatus::Waiting(_) => true,
        DemandStatus::Decided { entry, .. } => {
            matches!(entry.body, Body::ClaimDecided(_) | Body::ClaimRefused(_))
        }
    });
    found.ok_or_else(|| problem::UNKNOWN_DEMAND.into())
}

fn waiting(campaign: CampaignId, id: DemandId, ticket: Ticket, status: StatusCode) -> Response {
    let after = Duration::from_millis(ticket.promise.estimate_ms).max(Duration::from_secs(1));
    let view = ClaimView {
        id,
        campaign,
        state: (&ClaimState::Waiting).into(),
        standing: StandingView::default(),
        condition: None,
        cause: None,
        seq: None,
        entitlement: None,
        receipt: None,
        ticket: Some(ticket),
    };
    (status, [(RETRY_AFTER, problem::seconds(after))], axum::Json(view)).into_response()
}

async fn decided(
    api: &Api,
    reader: &Reader,
    campaign: CampaignId,
    id: DemandId,
    entry: &Entry,
    receipt: Receipt,
) -> Result<Response, Problem> {
    if let Body::ClaimRefused(refused) = &entry.body {
        let problem = Problem::from(refused.code).with("id", &id).with("campaign", &campaign);
        let failed = standing::condition(api, entry.seq, refused).await?;
        let problem = match &failed {
            Some(failed) => problem.with("condition", &failed.condition),
            None => problem,
        };
        let problem = problem.with("state", &"refused").with("seq", &entry.seq).with("receipt", &receipt);
        return Ok(problem.into_response());
    }
    let AsOf { seq, value } = view(api, reader, campaign, id, entry, Some(receipt)).await?;
    Ok(read::marked((StatusCode::CREATED, axum::Json(value)).into_response(), seq))
}

/// A decided claim as it stands now.
async fn view(
    api: &Api,
    reader: &Reader,
    campaign: CampaignId,
    id: DemandId,
    entry: &Entry,
    receipt: Option<Receipt>,
) -> Result<AsOf<ClaimView>, Problem> {
    let (asked, person, refused) = match &entry.body {
        Body::ClaimDecided(claim) => (claim.entitlement, claim.evidence.person, None),
        Body::ClaimRefused(claim) => (claim.entitlement, claim.evidence.person, Some(claim)),
        _ => return Err(problem::UNKNOWN_DEMAND.into()),
    };
    let failed = match refused {
        Some(refused) => standing::condition(api, entry.seq, refused).await?,
        None => None,
    };
    let person = (!person.is_zero()).then_some(person);
    let read = read::read(api.node.follower(), |state| {
        let campaign = read::campaign(state, campaign)?;
        let sight = reader.at(state);
        // Whoever knows a claim's id handed it in, or was given it by who did: nobody else is told it anywhere.
        let standing = StandingView::new(state, campaign, asked, (person, true), &sight);
        Ok::<_, Code>((campaign.terms.decimals, campaign.status(asked), standing, sight))
    });
    Ok(read.transpose()?.map(|(decimals, status, standing, sight)| {
        // The entry is applied before it is answered, so a decided claim has a state.
        let refused = refused.map(|claim| ClaimState::Refused(claim.code));
        let status = refused.or(status).unwrap_or(ClaimState::Decided);
        ClaimView {
            id,
            campaign,
            state: (&status).into(),
            standing,
            condition: failed.as_ref().map(|failed| failed.condition.clone()),
            cause: failed
                .filter(standing::Failed::is_masked)
                .map(|failed| Hidden::new(&sight, sealed::entitlement(campaign, asked), failed.cause)),
            seq: Some(entry.seq),
            entitlement: Some(Claimed::new(asked, &entry.body, decimals)),
            receipt,
            ticket: None,
        }
    }))
}

impl Claimed {
    fn new(EntitlementId { round, index }: EntitlementId, entry: &Body, decimals: u8) -> Self {
        let Body::ClaimDecided(claim) = entry else {
            return Self { round, index, recipient: None, to: None, amount: None };
        };
        let to = claim.redirect.as_ref().map_or(claim.recipient, |redirect| redirect.to);
        let amount = Money::of(claim.amount, decimals);
        Self { round, index, recipient: Some(claim.recipient), to: Some(to), amount: Some(amount) }
    }
}

/// Why a demand got no row, as a problem.
pub(crate) fn from_submit(error: SubmitError) -> Problem {
    match error {
        SubmitError::Refused(code) => code.into(),
        SubmitError::Conflict => Problem::from(problem::CONFLICT).field("id"),
        SubmitError::Busy { retry_after } => {
            Problem::from(problem::WAITING_ROOM_FULL).retry_after(retry_after)
        }
        SubmitError::Unavailable { retry_after } => {
            Problem::from(problem::UNAVAILABLE).retry_after(retry_after)
        }
        SubmitError::Malformed(detail) => Problem::from(problem::MALFORMED_BODY).detail(detail),
        SubmitError::Internal(error) => super::from_engine(error),
    }
}
