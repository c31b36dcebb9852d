//! The node itself: what it says of itself, the Charter it works under, probes and figures.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use sluice_core::ids::{BlockRef, ChainId, Epoch, NodeId, Seq, StreamId};
use sluice_core::log::entry::CharterRead;
use sluice_engine::node::NodeStatus;
use utoipa::ToSchema;

use super::extract::Path;
use super::problem::{self, Described, Problem};
use super::ready::degraded;
use super::states::BlockView;
use super::{Api, read};

/// What a node says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusView {
    /// Its number.
    node: NodeId,
    /// The log it works on.
    #[schema(value_type = u32)]
    stream: StreamId,
    /// `leader` or `follower`.
    role: &'static str,
    /// The epoch of the last entry.
    epoch: Epoch,
    /// The position it has reached.
    seq: Seq,
    /// Demands that wait at this node.
    waiting: usize,
    /// Why it is not ready; empty when it is.
    not_ready: Vec<String>,
    /// What is wrong although it serves as it should; empty when nothing is.
    degraded: Vec<String>,
    /// How far each chain was read.
    chains: BTreeMap<ChainId, ChainView>,
    /// Chains on which blocks have stopped becoming final, with the length of the stretch that is not: nothing is
    /// settled there until they do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    paused: BTreeMap<ChainId, u64>,
    /// Its settlement accounts, while it leads.
    lanes: Vec<LaneView>,
    /// What receipts and tickets of this log are verified with (C2SP verifier key).
    log_key: String,
    /// The program's version.
    version: &'static str,
}

/// How far a chain was read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChainView {
    /// Read up to here.
    #[schema(value_type = BlockView)]
    seen: BlockRef,
    /// Final up to here.
    #[schema(value_type = BlockView)]
    finalized: BlockRef,
    /// The epoch the chain has finalised.
    epoch: Epoch,
}

/// A settlement account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LaneView {
    /// Its chain.
    chain_id: ChainId,
    /// The account.
    #[schema(value_type = String)]
    account: Address,
    /// Its next nonce.
    nonce: u64,
    /// Wei, a decimal number.
    balance: String,
    /// Wei it lacks for the next transaction: it needs funds.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_funds: Option<String>,
    /// The chain asks more than the lane's next transaction may offer: it waits until fees fall.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for_fees: Option<FeesView>,
}

/// What a lane waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeesView {
    /// What the chain asks: wei per gas, a decimal number.
    asked: String,
    /// The most the transaction may offer, by the fee policy or the nodes: wei per gas.
    most: String,
}

/// The founding Charter as the log last read it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CharterBody {
    /// Its chain.
    chain_id: ChainId,
    /// Its address: the `verifyingContract` of commands.
    #[schema(value_type = String)]
    address: Address,
    /// The block it was read at.
    #[schema(value_type = BlockView)]
    block: BlockRef,
    /// Raised with each change of institutions; signatures collected before are void.
    set_version: u64,
    /// Institutions needed to publish, void or withdraw.
    threshold: u16,
    /// The institutions.
    institutions: Vec<InstitutionView>,
    /// Public Ed25519 keys that sign for the log.
    #[schema(value_type = Vec<String>)]
    log_keys: Vec<B256>,
}

/// An institution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstitutionView {
    /// Its id: the `authority` of approvals.
    #[schema(value_type = String)]
    id: B256,
    /// Its keys (ERC-7913 signer bytes).
    #[schema(value_type = Vec<String>)]
    signers: Vec<Bytes>,
}

/// See how this node is.
#[utoipa::path(get, path = "/v1/status", operation_id = "nodeStatus", tag = "node", responses((status = 200, body = StatusView)))]
pub(crate) async fn status(State(api): State<Api>) -> Response {
    let not_ready = api.ready.why_not().await;
    let status = api.node.status();
    let displaced = displaced_for(&api, &status);
    let chains = status.chains.into_iter().map(|(id, chain)| {
        (id, ChainView { seen: chain.seen, finalized: chain.finalized, epoch: chain.epoch })
    });
    let lanes = status.lanes.into_iter().map(|lane| LaneView {
        chain_id: lane.chain_id,
        account: lane.account,
        nonce: lane.nonce,
        balance: lane.balance.to_string(),
        needs_funds: lane.missing.map(|missing| missing.to_string()),
        waits_for_fees: lane
            .waits_for_fees
            .map(|fees| FeesView { asked: fees.asked.to_string(), most: fees.most.to_string() }),
    });
    let view = StatusView {
        node: status.node,
        stream: api.node.follower().read(|state| state.stream),
        role: if status.leading.is_some() { "leader" } else { "follower" },
        epoch: status.epoch,
        seq: status.seq,
        waiting: status.waiting,
        not_ready,
        degraded: degraded(displaced),
        chains: chains.collect(),
        paused: status.paused,
        lanes: lanes.collect(),
        log_key: api.node.follower().log_key().verifier().to_string(),
        version: env!("CARGO_PKG_VERSION"),
    };
    read::marked(axum::Json(view).into_response(), status.seq)
}

/// See the Charter this log was founded under.
#[utoipa::path(get, path = "/v1/charter", operation_id = "charter", tag = "node",
    responses((status = 200, body = CharterBody), (status = 503, body = Problem)))]
pub(crate) async fn charter(State(api): State<Api>) -> Result<Response, Problem> {
    let read = read::read(api.node.follower(), |state| state.home_charter().map(CharterBody::new));
    let founded = read.map(|charter| charter.ok_or(problem::NOT_READY)).transpose()?;
    Ok(founded.answer())
}

/// See what a problem's code means.
#[utoipa::path(get, path = "/v1/problems/{code}", operation_id = "describeProblem", tag = "node", params(("code" = String, Path)),
    responses((status = 200, body = Described), (status = 404, body = Problem)))]
pub(crate) async fn described(Path(code): Path<String>) -> Result<axum::Json<Described>, Problem> {
    problem::describe(&code).map(axum::Json).ok_or_else(|| problem::NOT_FOUND.into())
}

/// What load balancers and monitoring ask; nothing limits them.
pub(super) fn probes(api: Api, figures: PrometheusHandle) -> Router {
    Router::new()
        // The process answers: that is all a restart could mend.
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(move |State(api): State<Api>| rendered(api, figures)))
        .method_not_allowed_fallback(super::front::wrong_method)
        .with_state(api)
}

async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    let why_not = api.ready.why_not().await;
    if why_not.is_empty() {
        return Ok("ready\n");
    }
    Err(Problem::from(problem::NOT_READY).detail(why_not.join("; ")).retry_after(super::bounds::COME_BACK))
}

/// Figures in Prometheus's text form. What State knows is set when it is asked for.
async fn rendered(api: Api, figures: PrometheusHandle) -> Response {
    let status = api.node.status();
    gauge("sluice_log_seq", status.seq);
    gauge("sluice_log_epoch", status.epoch);
    gauge("sluice_leading", u64::from(status.leading.is_some()));
    gauge("sluice_waiting_demands", status.waiting as u64);
    gauge("sluice_snapshots_missing", status.missing_snapshots as u64);
    gauge("sluice_registry_answers_remembered", api.node.attestations().answers_remembered() as u64);
    for (id, chain) in &status.chains {
        let labels = [("chain_id", id.to_string())];
        metrics::gauge!("sluice_chain_seen_block", &labels).set(lossy(chain.seen.number.into()));
        metrics::gauge!("sluice_chain_finalized_block", &labels).set(lossy(chain.finalized.number.into()));
    }
    gauge(
        "sluice_checkpoints_displaced_seconds",
        displaced_for(&api, &status).map_or(0, |since| since.as_secs()),
    );
    gauge("sluice_chains_paused", status.paused.len() as u64);
    for lane in &status.lanes {
        let labels = [("chain_id", lane.chain_id.to_string()), ("account", lane.account.to_string())];
        metrics::gauge!("sluice_lane_balance_wei", &labels).set(lossy(lane.balance));
        metrics::gauge!("sluice_lane_missing_wei", &labels).set(lossy(lane.missing.unwrap_or(0)));
        let waits = u8::from(lane.waits_for_fees.is_some());
        metrics::gauge!("sluice_lane_waits_for_fees", &labels).set(f64::from(waits));
        let campaigns = lane.waits_for_spend.len() as u128;
        metrics::gauge!("sluice_lane_campaigns_at_spend_limit", &labels).set(lossy(campaigns));
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], figures.render()).into_response()
}

/// For how long checkpoints have found no place, as far as this node stores them: while it leads.
fn displaced_for(api: &Api, status: &NodeStatus) -> Option<Duration> {
    status.leading.and_then(|_| api.node.follower().displaced_for())
}

fn gauge(name: &'static str, value: u64) {
    metrics::gauge!(name).set(lossy(value.into()));
}

/// Prometheus knows nothing but doubles; no decision rests on what it shows.
fn lossy(value: u128) -> f64 {
    value as f64
}

impl CharterBody {
    fn new(read: &CharterRead) -> Self {
        let institution = |i: &sluice_core::log::entry::Institution| InstitutionView {
            id: i.id,
            signers: i.signers.clone(),
        };
        Self {
            chain_id: read.charter.chain_id,
            address: read.charter.address,
            block: read.block,
            set_version: read.view.set_version,
            threshold: read.view.threshold,
            institutions: read.view.institutions.iter().map(institution).collect(),
            log_keys: read.view.log_keys.clone(),
        }
    }
}
