//! What gates sign: the masks under which entitlements of gated rounds are paid. Their signatures are the authority, so no
//! API key is asked for.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_core::command::Demand;
use sluice_core::ids::{CampaignId, DemandId, Seq};
use sluice_core::limits::GATE_WORDS_MAX;
use sluice_core::log::entry::{Body, GateMask, GateSigned};
use sluice_core::log::receipt::{Receipt, Ticket};
use sluice_engine::gate_signer::gate_words_id;
use utoipa::ToSchema;

use super::Api;
use super::claims::from_submit;
use super::client::Network;
use super::extract::Json;
use super::problem::{self, Problem};

/// Masks as they are handed in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateWordsBody {
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    /// The gate version whose key signed.
    version: u16,
    /// Ascending by (round, word), at most 1,024: each `round`, `word`, `mask` (four 64-bit numbers, the lowest first),
    /// `as_of`, `expiry`, `signature`.
    #[schema(value_type = Vec<Object>)]
    words: Vec<GateMask>,
}

/// What became of masks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GateWordsView {
    /// Derived from campaign, version and the position that was read to: the same masks are the same demand.
    #[schema(value_type = uuid::Uuid)]
    id: DemandId,
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    /// `waiting` or `done`.
    state: &'static str,
    /// The position from which on they pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    /// The proof of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    receipt: Option<Receipt>,
    /// The promise of a decision, while they wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    ticket: Option<Ticket>,
}

/// Hand in what a gate signed.
///
/// Answers as for commands: 201 done, 202 waiting, 422 refused, 409, 429, 503. The same masks always get the same answer.
#[utoipa::path(post, path = "/v1/gate-words", operation_id = "handInGateWords", tag = "commands",
    request_body = GateWordsBody,
    responses((status = 201, body = GateWordsView), (status = 202, body = GateWordsView),
        (status = 409, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn hand_in(
    State(api): State<Api>,
    network: Network,
    Json(body): Json<GateWordsBody>,
) -> Result<Response, Problem> {
    let GateWordsBody { campaign, version, words } = body;
    if words.is_empty() || words.len() > GATE_WORDS_MAX {
        let detail = format!("between 1 and {GATE_WORDS_MAX}, not {}", words.len());
        return Err(Problem::from(problem::MALFORMED_BODY).field("words").detail(detail));
    }
    let signed = GateSigned { campaign, version, words };
    let id = gate_words_id(&signed);
    let view = GateWordsView { id, campaign, state: "waiting", seq: None, receipt: None, ticket: None };
    let submitted = api.node.submit_from(network.into(), id, Demand::Gate(signed)).await;
    let submitted = submitted.map_err(from_submit)?;
    let outcome = match api.outcome(submitted).await? {
        Ok(outcome) => outcome,
        Err(ticket) => {
            let after = Duration::from_millis(ticket.promise.estimate_ms).max(Duration::from_secs(1));
            let view = GateWordsView { ticket: Some(ticket), ..view };
            let headers = [(RETRY_AFTER, problem::seconds(after))];
            return Ok((StatusCode::ACCEPTED, headers, axum::Json(view)).into_response());
        }
    };
    let (seq, receipt) = (outcome.entry.seq, outcome.receipt);
    if let Body::CommandRefused(refused) = &outcome.entry.body {
        let problem = Problem::from(refused.code).with("id", &id).with("campaign", &campaign);
        return Err(problem.with("state", &"refused").with("seq", &seq).with("receipt", &receipt));
    }
    let view = GateWordsView { state: "done", seq: Some(seq), receipt: Some(receipt), ..view };
    Ok((StatusCode::CREATED, axum::Json(view)).into_response())
}
