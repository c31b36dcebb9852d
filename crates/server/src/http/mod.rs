//! The HTTP API under `/v1`: words from outside become demands and questions, answers become JSON.
//!
//! A request goes through [`front`], then to the handler of its address; each handler's file holds its bodies too.
//! `docs/API.md` is the contract in words, `/openapi.json` for machines.

mod about;
mod address;
mod appeals;
mod attestations;
mod auth;
mod bodies;
mod bounds;
mod campaigns;
mod changes;
pub mod claimant;
mod claims;
mod client;
mod commands;
mod entitlements;
mod erasures;
mod extract;
mod front;
mod gate_words;
mod hidden;
mod holds;
mod limits;
mod listen;
mod mapped;
mod money;
mod node;
mod offices;
mod openapi;
mod outcome;
mod page;
mod places;
mod problem;
mod projects;
mod read;
mod reader;
pub mod reading;
mod ready;
mod rule_sets;
mod sealed;
mod standing;
mod statement;
mod states;
mod trace;
mod turns;

use std::ops::Deref;
use std::sync::Arc;

use alloy_primitives::B256;
use axum::Router;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_core::log::receipt::Ticket;
use sluice_engine::error::{Class, EngineError};
use sluice_engine::follower::Outcome;
use sluice_engine::intake::Submitted;
use sluice_engine::node::Node;
use sluice_snapshot::Snapshot;

pub use listen::{serve, serve_apart};

use front::Front;
use problem::Problem;

/// What may be chosen about the API.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What this service is called where clients reach it, with the port where it is not the scheme's own: signed
    /// statements are for one of these. None is the loopback interface.
    pub names: Vec<String>,
    /// SHA-256 of the operator's key; without it nobody can create projects over HTTP.
    pub operator_key: Option<B256>,
}

/// What handlers are given. One count to a clone: each request makes several.
#[derive(Clone, Debug)]
struct Api(Arc<Shared>);

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

#[derive(Debug)]
struct Shared {
    node: Node,
    front: Arc<Front>,
    ready: ready::Ready,
    bulks: attestations::Bulks,
    mandates: reader::Mandates,
    names: statement::Names,
    mapped: mapped::Mapped,
    /// Requests for single rows. Those that also do something else take a turn for the row alone.
    rows: Arc<turns::Turns>,
    /// The same for many rows at once, which hold their connections for longer.
    pages: turns::Turns,
}

/// The API of a node, and the task that keeps its limiters small; the task ends with the last clone of the API.
///
/// Must be called within a tokio runtime.
pub fn app(node: Node, options: Options, figures: PrometheusHandle) -> Router {
    let front = Arc::new(Front {
        follower: node.follower().clone(),
        keys: auth::Keys::new(node.store().clone(), options.operator_key),
        limits: limits::Limits::new(),
        trusted_proxies: options.trusted_proxies,
        large: places::Places::new(bounds::LARGE_ANSWERS_MAX),
    });
    tokio::spawn(keep_house(Arc::downgrade(&front), figures.clone()));
    let api = Api(Arc::new(Shared {
        ready: ready::Ready::new(node.clone()),
        node,
        front: Arc::clone(&front),
        bulks: attestations::Bulks::default(),
        mandates: reader::Mandates::default(),
        names: options.names.into(),
        mapped: mapped::Mapped::default(),
        rows: Arc::new(turns::Turns::new(bounds::DATABASE_REQUESTS_MAX)),
        pages: turns::Turns::new(bounds::PAGES_MAX),
    }));
    let (limited, description) = openapi::routes(&api);
    let open = node::probes(api, figures);
    let described = openapi::serve(description);
    front::before(limited.merge(described), &front).merge(front::beside(open))
}

impl Api {
    /// The outcome of a submission. One that was decided before is read again, in a turn: who sends the same again costs no
    /// more than who asks for it.
    async fn outcome(&self, submitted: Submitted) -> Result<Result<Outcome, Ticket>, Problem> {
        let turn = match submitted {
            Submitted::Before(_) => Some(self.rows.turn().await.ok_or_else(busy)?),
            Submitted::Decided(_) | Submitted::Waiting(_) => None,
        };
        let outcome = self.node.outcome(submitted).await.map_err(from_engine)?;
        if let Some(turn) = turn {
            turn.answered();
        }
        Ok(outcome)
    }

    /// A round's snapshot. Mapping one for the first time checks its upper tree, so it is done off the async threads.
    async fn snapshot(&self, list_hash: B256) -> Result<Arc<Snapshot>, Problem> {
        let snapshots = self.node.snapshots().clone();
        if let Some(open) = snapshots.opened(list_hash) {
            return Ok(open);
        }
        blocking(move || snapshots.get(list_hash)).await?.map_err(|error| {
            tracing::error!(%list_hash, error = format!("{:#}", anyhow::Error::new(error)), "a snapshot cannot be used");
            Problem::from(problem::UNAVAILABLE).retry_after(bounds::COME_BACK)
        })
    }
}

/// What whoever found no turn is told.
fn busy() -> Problem {
    Problem::from(problem::BUSY).retry_after(bounds::COME_BACK)
}

/// Runs what reads a mapped file, which may wait for a disk, off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)
}

/// Forgets in limiters and histograms what is no longer needed, as long as anybody uses them.
async fn keep_house(front: std::sync::Weak<Front>, figures: PrometheusHandle) {
    loop {
        tokio::time::sleep(bounds::HOUSEKEEPING_EVERY).await;
        let Some(front) = front.upgrade() else { return };
        front.limits.forget_recovered();
        figures.run_upkeep();
    }
}

/// What a client is told when the database fails.
fn from_store(error: sluice_store::Error) -> Problem {
    from_engine(error.into())
}

/// What a client is told when the engine fails.
fn from_engine(error: EngineError) -> Problem {
    match error.class() {
        Class::Retry => {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "a request could not be answered now"
            );
            Problem::from(problem::UNAVAILABLE).retry_after(bounds::COME_BACK)
        }
        Class::Exit | Class::Bug => Problem::internal(error),
    }
}
