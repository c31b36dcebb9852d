//! Evidence over HTTP: a payment's story, the newest checkpoint, the proof that an entry stands in the log, and the proof
//! that one checkpoint continues another.

mod told;

use std::collections::BTreeMap;

use alloy_primitives::B256;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_core::ids::Seq;
use sluice_core::log::merkle::{consistency_proof, consistency_tiles};
use sluice_engine::evidence::trace::{Target, trace};
use sluice_engine::evidence::{EvidenceError, LogSource};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query};
use super::problem::{self, Problem};
use super::reader::Reader;
use super::{Api, from_engine, from_store, read, sealed};

/// Entries of a log that is traced over HTTP: every story reads it all, some seconds for so many. Longer ones are traced by
/// `sluice trace` from the database or an export.
const TRACED_ENTRIES_MAX: Seq = 1_000_000;

/// Between which sizes.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Sizes {
    /// The earlier size.
    from: Seq,
    /// The later size.
    to: Seq,
}

/// A consistency proof (RFC 6962).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProofBody {
    /// The earlier size.
    from: Seq,
    /// The later size.
    to: Seq,
    /// The hashes, from the leaves upwards.
    #[schema(value_type = Vec<String>)]
    proof: Vec<B256>,
}

/// See why a payment was right, by its transaction or its claim's id.
///
/// Under a mandate to audit its campaign all of it, with the facts that rules saw. Else what is about people stands there as
/// hashes or is left out.
#[utoipa::path(get, path = "/v1/trace/{id}", operation_id = "trace", tag = "evidence", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let target = match id.parse::<Target>() {
        Ok(target @ (Target::Transaction(_) | Target::Claim(_))) => target,
        Ok(Target::Entitlement(..)) | Err(_) => {
            let detail = "id is a transaction hash (0x and 64 digits) or a claim's id (UUID)";
            return Err(Problem::from(problem::MALFORMED_PARAMETER).field("id").detail(detail));
        }
    };
    let (stream, seq) = api.node.follower().read(|state| (state.stream, state.seq));
    if seq > TRACED_ENTRIES_MAX {
        let detail = "this log is too long to be traced here; use `sluice trace` with an export of it";
        return Err(Problem::from(problem::UNAVAILABLE).detail(detail));
    }
    let source = LogSource::Database { store: api.node.store().clone(), stream };
    let story = trace(&source, target).await.map_err(from_evidence)?;
    let as_of = story.as_of;
    // Asked last: a mandate that ended while the log was read opens nothing.
    let sight = api.node.follower().read(|log| reader.at(log));
    Ok(read::marked(axum::Json(told::told(&api, &sight, story).await?).into_response(), as_of))
}

/// See the newest signed checkpoint, a C2SP signed note.
#[utoipa::path(get, path = "/v1/checkpoint", operation_id = "checkpoint", tag = "evidence",
    responses((status = 200, body = String, content_type = "text/plain"), (status = 503, body = Problem)))]
pub(crate) async fn checkpoint(State(api): State<Api>) -> Result<Response, Problem> {
    let found = api.node.follower().newest_checkpoint(api.node.store()).await.map_err(from_engine)?;
    let found =
        found.ok_or_else(|| Problem::from(problem::NOT_READY).detail("there is no checkpoint yet"))?;
    let answer = ([(CONTENT_TYPE, "text/plain; charset=utf-8")], found.note).into_response();
    Ok(read::marked(answer, found.size))
}

/// Prove that an entry stands at its position: a receipt of any entry.
///
/// Sealed (the entry's leaf stands in place of its bytes) where the entry says something about people, for others than
/// those who may read it. What was hidden elsewhere is proved by it later.
#[utoipa::path(get, path = "/v1/log/entries/{seq}", operation_id = "inclusion", tag = "evidence",
    params(("seq" = u64, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(crate) async fn entry(
    State(api): State<Api>,
    reader: Reader,
    Path(seq): Path<Seq>,
) -> Result<Response, Problem> {
    if seq == 0 || seq > api.node.follower().seq() {
        let detail = format!("positions are 1 to {}", api.node.follower().seq());
        return Err(Problem::from(problem::NOT_FOUND).field("seq").detail(detail));
    }
    sealed::answer(&api, &reader, seq).await
}

/// Prove that the log of one size begins with the log of another.
#[utoipa::path(get, path = "/v1/log/proof", operation_id = "consistency", tag = "evidence", params(Sizes),
    responses((status = 200, body = ProofBody), (status = 422, body = Problem)))]
pub(crate) async fn proof(State(api): State<Api>, Query(sizes): Query<Sizes>) -> Result<Response, Problem> {
    let Sizes { from, to } = sizes;
    let stream = api.node.follower().read(|state| state.stream);
    let tree = api.node.follower().tree();
    let refused = |detail: String| Problem::from(problem::MALFORMED_PARAMETER).field("to").detail(detail);
    if to > tree.size() {
        return Err(refused(format!("this node has {} entries", tree.size())));
    }
    let mut tiles = BTreeMap::new();
    for id in consistency_tiles(from, to).map_err(|error| refused(error.to_string()))? {
        if let Some(tile) = api.node.store().tile(stream, id).await.map_err(from_store)? {
            tiles.insert(id, tile.hashes);
        } else if let Some(open) = tree.open_tile(id.level).filter(|tile| tile.n == id.n) {
            tiles.insert(id, open.hashes);
        }
    }
    let proof = consistency_proof(from, to, |id| tiles.get(&id).map(Vec::as_slice));
    let proof = proof.map_err(|error| Problem::internal(anyhow::Error::new(error)))?;
    let body = ProofBody { from, to, proof: proof.into_iter().map(B256::from).collect() };
    Ok(read::marked(axum::Json(body).into_response(), tree.size()))
}

fn from_evidence(error: EvidenceError) -> Problem {
    match error {
        EvidenceError::NotFound(why) => Problem::from(problem::NOT_FOUND).detail(why),
        EvidenceError::Store(error) => from_store(error),
        other => Problem::internal(anyhow::Error::new(other)),
    }
}
