//! Erasing what is kept about somebody. The operator does it, who runs the database and answers for what lies in it.

use alloy_primitives::{Address, B256};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_core::decide::About;
use sluice_engine::erasure::{Erasure, erase as erase_now};
use sluice_store::ErasureOrder;
use utoipa::ToSchema;

use super::Api;
use super::auth::ByOperator;
use super::extract::Json;
use super::problem::{self, Problem};

/// Characters of a reason, as the schema has it.
const REASON_CHARS_MAX: usize = 500;

/// Whose data is to be erased, and why: a person's, or those of a recipient whom lists name without a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewErasure {
    /// A person, by the registrar's id.
    #[schema(value_type = Option<String>)]
    person: Option<B256>,
    /// A recipient. Exactly one of both is given.
    #[schema(value_type = Option<String>)]
    recipient: Option<Address>,
    /// Why, in a few words without personal data; it is kept.
    reason: String,
    /// Also while decided payments of theirs wait for their gate's word. It may never come then, and they are to be voided.
    #[serde(default)]
    although_unpaid: bool,
}

/// What was destroyed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErasureView {
    /// Facts that policies saw, with their keys. The entries keep their hashes.
    facts: u64,
    /// Attestations about them.
    attestations: u64,
    /// How many of these were about somebody else, too, who has to hand them in again.
    shared: u64,
    /// By whom attestations were found: whom it is about, and the addresses that are bound to a person.
    subjects: Vec<String>,
    /// The position of the entry that says what went. What is kept later has new keys.
    seq: u64,
    /// When, milliseconds since 1970 on the database's clock.
    at: u64,
}

/// Erase what is kept about somebody, with its keys. Takes the operator's key. An entry says what went; the log proves as before.
///
/// The operator alone answers for it, at whose instance soever it is done: an `Office` statement says nothing here.
#[utoipa::path(post, path = "/v1/erasures", operation_id = "erase", tag = "privacy", request_body = NewErasure, security(("key" = [])),
    responses((status = 201, body = ErasureView), (status = 400, body = Problem), (status = 401, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn erase(
    State(api): State<Api>,
    _: ByOperator,
    Json(new): Json<NewErasure>,
) -> Result<(StatusCode, axum::Json<ErasureView>), Problem> {
    let malformed =
        |field, detail: String| Problem::from(problem::MALFORMED_BODY).field(field).detail(detail);
    let about = match (new.person, new.recipient) {
        (Some(person), None) => About::Person(person),
        (None, Some(recipient)) => About::Recipient(recipient),
        _ => return Err(malformed("person", "name a person or a recipient, one of them".into())),
    };
    if !(1..=REASON_CHARS_MAX).contains(&new.reason.chars().count()) {
        return Err(malformed("reason", format!("it has 1 to {REASON_CHARS_MAX} characters")));
    }
    let (follower, snapshots, store) = (api.node.follower(), api.node.snapshots(), api.node.store());
    let order = ErasureOrder { about, reason: &new.reason, although_unpaid: new.although_unpaid };
    let outcome = erase_now(follower, snapshots, store, &order).await.map_err(super::from_engine)?;
    let (erased, subjects) = match outcome {
        Erasure::Done { erased, subjects } => (erased, subjects),
        Erasure::Waits(campaign, id) => {
            let what = format!(
                "entitlement {} of round {} of campaign {campaign} is decided and waits for its gate's word",
                id.index, id.round
            );
            return Err(Problem::from(problem::ERASURE_WAITS).detail(what));
        }
        Erasure::Ordered(order) => {
            let what = format!("erasure {order} is ordered, and is carried out when a node leads");
            return Err(Problem::from(problem::UNAVAILABLE).detail(what));
        }
    };
    // Whom it was about stands in the database alone.
    tracing::info!(facts = erased.facts, attestations = erased.attestations, seq = erased.seq, "erased");
    let view = ErasureView {
        facts: erased.facts,
        attestations: erased.attestations,
        shared: erased.shared,
        subjects: subjects
            .iter()
            .map(|subject| format!("0x{}", alloy_primitives::hex::encode(subject)))
            .collect(),
        seq: erased.seq,
        at: erased.at,
    };
    Ok((StatusCode::CREATED, axum::Json(view)))
}
