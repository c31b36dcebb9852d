//! Attestations: handing them in, one or many, and what is kept of one.

mod bulk;

use alloy_primitives::{Address, B256, Bytes};
use axum::body::to_bytes;
use axum::extract::{Extension, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use sluice_core::ids::{CampaignId, Millis, Seq};
use sluice_core::state::State as Log;
use sluice_engine::attestations::{AttestationError, Kept};
use sluice_gate::attestation::{Accepts, Attestation, AttestationCode};
use sluice_gate::mandate::{ActionKind, Subject};
use utoipa::ToSchema;

use super::Api;
use super::auth::Caller;
use super::claimant::Claimant;
use super::client::Network;
use super::extract::Path;
use super::problem::{self, Problem};
use super::read;
use super::reader::Reader;

pub(crate) use bulk::Bulks;

/// A submission is refused above this by its own rules, so nothing longer is read.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// What became of an attestation.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct KeptView {
    /// What tells it apart: a hash of its kind, chain, contract, issuer and uid.
    #[schema(value_type = String)]
    id: B256,
    /// Its uid, as its system names it.
    #[schema(value_type = String)]
    uid: B256,
    /// Whether it was there before.
    known: bool,
}

impl From<Kept> for KeptView {
    fn from(kept: Kept) -> Self {
        Self { id: kept.id, uid: kept.uid, known: kept.known }
    }
}

/// An attestation, for whom it is about, and for offices with a mandate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttestationView {
    /// What tells it apart.
    #[schema(value_type = String)]
    id: B256,
    /// Its uid.
    #[schema(value_type = String)]
    uid: B256,
    /// `eas_offchain`, `eas_onchain` or `sign_offchain`.
    kind: &'static str,
    /// Its schema.
    schema: String,
    /// Who issued it.
    #[schema(value_type = String)]
    issuer: Address,
    /// Milliseconds; when it came.
    received_at: Millis,
    /// The position at which the log revoked it. The issuer's own registry is asked when a claim needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Seq>,
    /// Its canonical bytes.
    #[schema(value_type = String)]
    body: Bytes,
    /// The same in EAS' own JSON, if it is of that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    eas: Option<Value>,
}

/// Hand in attestations: one, or many as NDJSON.
///
/// One, in any form that gates know (EAS' files and share packages, a reference to EAS on chain, Sign Protocol): 201
/// kept, 200 known before, 422 with the code of what is wrong. Many (`application/x-ndjson`, one a line): 200 and one
/// line of answer for each line, in order; the same again is `known`, so a delivery that was cut is sent again.
#[utoipa::path(post, path = "/v1/attestations", operation_id = "handInAttestations", tag = "attestations",
    request_body(content((Object = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, body = KeptView), (status = 201, body = KeptView), (status = 422, body = Problem),
        (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn hand_in(
    State(api): State<Api>,
    caller: Caller,
    network: Option<Extension<Network>>,
    request: Request,
) -> Result<Response, Problem> {
    if is_bulk(request.headers()) {
        // A key pays for its requests, not for what is refused in them.
        let charged = network.filter(|_| !caller.has_key()).map(|Extension(network)| network);
        return bulk::answer(&api, charged, request.into_body()).await;
    }
    match essence(request.headers()).as_str() {
        "application/json" | "text/plain" => one(&api, request).await,
        _ => Err(Problem::from(problem::UNSUPPORTED_MEDIA_TYPE)
            .field("Content-Type")
            .detail("send application/json for one attestation, application/x-ndjson for many")),
    }
}

/// Whether a body brings many, one a line.
pub(crate) fn is_bulk(headers: &HeaderMap) -> bool {
    ["application/x-ndjson", "application/jsonl"].contains(&essence(headers).as_str())
}

/// The type of a body, without its parameters.
fn essence(headers: &HeaderMap) -> String {
    let named = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn one(api: &Api, request: Request) -> Result<Response, Problem> {
    let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|error| Problem::from(problem::BODY_TOO_LARGE).detail(error.to_string()))?;
    let text = String::from_utf8(bytes.into()).map_err(|_| Problem::from(AttestationCode::Malformed))?;
    let kept = api.node.attestations().submit(text).await.map_err(|error| refused(&error))?;
    let status = if kept.known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(KeptView::from(kept))).into_response())
}

/// Why an attestation was not kept, as a problem.
fn refused(error: &AttestationError) -> Problem {
    match error {
        AttestationError::Busy { retry_after } => {
            Problem::from(problem::ATTESTATIONS_FULL).retry_after(*retry_after)
        }
        AttestationError::Refused(refused) => Problem::from(refused.code).detail(refused.detail.clone()),
        AttestationError::Unavailable(error) => {
            tracing::warn!(%error, "an attestation could not be checked or kept now");
            Problem::from(problem::UNAVAILABLE).retry_after(super::bounds::COME_BACK)
        }
    }
}

/// See an attestation, as the one it is about or as an office.
///
/// Whom it is about signs the `Claimant` header, for a campaign with a gate that accepts it. An office's mandate lets it read
/// what is private, or audit, everywhere, in such a campaign, or of the person it is about. Everybody else gets the 404 of an
/// attestation that is not there, with the same bytes.
#[utoipa::path(get, path = "/v1/attestations/{id}", operation_id = "showAttestation", tag = "attestations",
    params(("id" = String, Path)),
    responses((status = 200, body = AttestationView), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    reader: Reader,
    claimant: Claimant,
    Path(id): Path<B256>,
) -> Result<Response, Problem> {
    // Who shows nothing is answered before anything is looked for: it takes as long for what is there as for what is not.
    if reader.is_nobody() && claimant.proved().is_none() {
        return Err(problem::UNKNOWN_ATTESTATION.into());
    }
    let stored = api.node.store().attestation(id.0).await.map_err(super::from_store)?;
    let stored = stored.ok_or(problem::UNKNOWN_ATTESTATION)?;
    let subjects = api.node.store().attestation_subjects(id.0).await.map_err(super::from_store)?;
    let attestation = Attestation::decode(&stored.body).map_err(Problem::internal)?;
    let read = read::read(api.node.follower(), |log| {
        let accepting = accepted_by(log, &attestation);
        let own = claimant.proved().is_some_and(|(campaign, account)| {
            accepting.contains(&campaign) && is_about(log, &subjects, account)
        });
        let view = AttestationView {
            id,
            uid: attestation.uid(),
            kind: kind(&attestation),
            schema: attestation.schema(),
            issuer: attestation.issuer,
            received_at: stored.received_at,
            revoked_at: log.revoked.get(&id).copied(),
            body: stored.body.clone().into(),
            eas: attestation.eas_json(),
        };
        (own, reader.at(log), about(&accepting, &subjects), view)
    });
    let (own, sight, about, _) = &read.value;
    if !*own && !sight.may(ActionKind::ReadPrivate, about) && !sight.may(ActionKind::Audit, about) {
        return Err(problem::UNKNOWN_ATTESTATION.into());
    }
    Ok(read.map(|(.., view)| view).answer())
}

const fn kind(attestation: &Attestation) -> &'static str {
    use sluice_gate::attestation::Statement;
    match &attestation.statement {
        Statement::EasOffchain(_) => "eas_offchain",
        Statement::EasOnchain(_) => "eas_onchain",
        Statement::SignOffchain(_) => "sign_offchain",
    }
}

/// The campaigns with a gate that accepts an attestation.
fn accepted_by(log: &Log, attestation: &Attestation) -> Vec<CampaignId> {
    let gates = log.campaigns.iter().flat_map(|(id, c)| c.gates.values().map(move |gate| (*id, gate)));
    let accepting = gates.filter(|(_, gate)| {
        let kinds = gate.terms.attestations.iter();
        let mut accepts = kinds.filter_map(|kind| borsh::from_slice::<Accepts>(&kind.accepts).ok());
        accepts.any(|accepts| {
            let mut issuers = accepts.issuers.iter().chain(&accepts.contract_issuers);
            accepts.source.schema() == attestation.schema()
                && issuers.any(|known| *known == attestation.issuer)
        })
    });
    let mut campaigns: Vec<_> = accepting.map(|(campaign, _)| campaign).collect();
    campaigns.dedup();
    campaigns
}

/// What an attestation is about, as mandates know it: everything, the campaigns that accept it, and its persons.
fn about(accepting: &[CampaignId], subjects: &[Vec<u8>]) -> Vec<Subject> {
    let campaigns = accepting.iter().map(|campaign| Subject::Campaign { campaign: *campaign });
    let persons = subjects.iter().filter_map(|subject| B256::try_from(subject.as_slice()).ok());
    let persons = persons.map(|person| Subject::Person { person });
    [Subject::Stream].into_iter().chain(campaigns).chain(persons).collect()
}

/// Whether an attestation is about this account: it is named, or a person that it belongs to.
fn is_about(log: &Log, subjects: &[Vec<u8>], account: Address) -> bool {
    subjects.iter().any(|subject| {
        let person = B256::try_from(subject.as_slice()).ok().and_then(|person| log.persons.get(&person));
        subject.as_slice() == account.as_slice()
            || person.is_some_and(|person| person.payee == account || person.vouched.contains(&account))
    })
}
