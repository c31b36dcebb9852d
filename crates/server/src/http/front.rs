//! The front door: what happens to every request before and after its handler.
//!
//! From the outside in: the request is counted; a panic becomes a problem; it ends within a bound; its sender is
//! known and within limits; `Min-Seq` is waited for. Every answer carries `As-Of-Seq`.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use sluice_core::ids::Seq;
use sluice_core::limits::BODY_BYTES_MAX;
use sluice_engine::follower::Follower;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{self, CorsLayer};
use tower_http::timeout::RequestBodyTimeoutLayer;
use uuid::Uuid;

use super::auth::{self, Caller, Keys};
use super::bounds;
use super::claimant::CLAIMANT;
use super::client::{self, Network, Peer};
use super::limits::{Charged, Limits};
use super::problem::{self, Problem};
use super::reading::OFFICE;

/// The position an answer was read at.
pub(crate) const AS_OF_SEQ: HeaderName = HeaderName::from_static("as-of-seq");
/// The position an answer must at least be read at.
pub(crate) const MIN_SEQ: HeaderName = HeaderName::from_static("min-seq");

/// What the front door needs.
#[derive(Debug)]
pub(crate) struct Front {
    pub follower: Follower,
    pub keys: Keys,
    pub limits: Limits,
    pub trusted_proxies: Vec<IpNet>,
}

/// Puts the front door before the API's routes, and before what is not there.
pub(crate) fn before(routes: Router, front: &Arc<Front>) -> Router {
    routes
        .fallback(async || Problem::from(problem::NOT_FOUND))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(front), min_seq))
        .layer(from_fn_with_state(Arc::clone(front), admit))
        .layer(from_fn_with_state(Arc::clone(front), as_of_seq))
        .layer(from_fn(kept_by_nobody))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Puts what every answer of this process goes through around all routes.
pub(crate) fn around(routes: Router) -> Router {
    routes
        .layer(RequestBodyTimeoutLayer::new(bounds::BODY_PAUSE_MAX))
        .layer(from_fn(in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(any_page())
        .layer(from_fn(counted))
}

/// Claim pages are static and lie anywhere, so any page may read and hand in claims: nothing here rests on who shows
/// the page. They look private lists up for their wallet, with `Claimant`. Keys and `Office` are left out, so that no
/// page can use what a browser was given, nor show an office's statement: offices read with programs.
fn any_page() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([CONTENT_TYPE, MIN_SEQ, HeaderName::from_static(CLAIMANT)])
        .expose_headers([AS_OF_SEQ, RETRY_AFTER])
}

/// The answer of an address that does not take a method.
pub(crate) async fn wrong_method() -> Problem {
    problem::METHOD_NOT_ALLOWED.into()
}

/// Bounds how many requests of a kind are under way; the others wait a moment and are then sent away.
pub(crate) fn in_turn(routes: Router, at_once: usize) -> Router {
    routes.layer(from_fn_with_state(Arc::new(Semaphore::new(at_once)), turn))
}

async fn turn(State(turns): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(bounds::TURN_WAIT, turns.acquire()).await {
        Ok(Ok(_turn)) => next.run(request).await,
        _ => Problem::from(problem::BUSY).retry_after(bounds::COME_BACK).into_response(),
    }
}

/// Lets a request in, or says when to come back; charges its network when it was refused.
async fn admit(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    // Only requests made inside this process come from nowhere.
    let peer =
        request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let network = Network::from(client::address(peer, request.headers(), &front.trusted_proxies));
    let what = charged(request.uri().path());
    let caller = match identify(&front, what, network, request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => {
            if problem.code() == problem::UNAUTHORIZED.code {
                front.limits.charge(what, network);
            }
            return problem.into_response();
        }
    };
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(network);
    let response = next.run(request).await;
    if caller == Caller::Anyone && is_refusal(response.status()) {
        front.limits.charge(what, network);
    }
    response
}

/// Which account of a network a request to this path is charged to.
fn charged(path: &str) -> Charged {
    if path.starts_with("/v1/attestations") { Charged::Attestations } else { Charged::Requests }
}

/// A network that used up its refusals is let in only with a key that this node knows already.
async fn identify(
    front: &Front,
    what: Charged,
    network: Network,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let too_many = |wait| Problem::from(problem::TOO_MANY_REQUESTS).retry_after(wait);
    let admitted = front.limits.admit(what, network).map_err(too_many);
    let Some(key) = auth::shown(headers).map_err(|problem| admitted.clone().err().unwrap_or(problem))? else {
        return admitted.map(|()| Caller::Anyone);
    };
    let caller = match front.keys.known(key) {
        Some(caller) => caller,
        None => {
            admitted?;
            front.keys.look_up(key).await?
        }
    };
    let (name, _) = key.hash.split_at(16);
    let name = Uuid::from_slice(name).expect("16 bytes");
    front.limits.admit_key(name).map_err(too_many)?;
    Ok(caller)
}

/// Whether an answer says that the request was not a good one. Being sent away is no fault of the sender.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

/// Says at which position an answer was read. Handlers that read State say so themselves; any other answer is true at
/// the position this node had reached when it began, or later.
async fn as_of_seq(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let at_least = front.follower.seq();
    let mut response = next.run(request).await;
    response.headers_mut().entry(AS_OF_SEQ).or_insert(HeaderValue::from(at_least));
    response
}

/// What proves who asks; answers depend on it.
const PROOFS: [HeaderName; 3] =
    [AUTHORIZATION, HeaderName::from_static(OFFICE), HeaderName::from_static(CLAIMANT)];

/// What was answered to somebody who proved who they are is kept by no cache, and every cache is told that answers differ.
async fn kept_by_nobody(request: Request, next: Next) -> Response {
    let proved = PROOFS.iter().any(|proof| request.headers().contains_key(proof));
    let mut response = next.run(request).await;
    for proof in PROOFS {
        response.headers_mut().append(VARY, proof.into());
    }
    if proved {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Waits, within a bound, until this node has reached the position that the client has seen elsewhere.
async fn min_seq(State(front): State<Arc<Front>>, request: Request, next: Next) -> Result<Response, Problem> {
    if let Some(seq) = wanted_seq(request.headers())?
        && !front.follower.reached(seq, bounds::MIN_SEQ_WAIT).await
    {
        let detail = format!("this node is at {}, {seq} was asked for", front.follower.seq());
        return Err(Problem::from(problem::BEHIND).detail(detail).retry_after(bounds::COME_BACK));
    }
    Ok(next.run(request).await)
}

fn wanted_seq(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(value) = headers.get(MIN_SEQ) else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Problem::from(problem::MALFORMED_HEADER).field("Min-Seq").detail("send a position: a whole number")
    })?;
    Ok(Some(seq))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(bounds::REQUEST_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::from(problem::TIMED_OUT).into_response(),
    }
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(anyhow::anyhow!("a handler panicked: {}", text.unwrap_or("without words")))
        .into_response()
}

/// Figures and, at `debug`, a line per request. The path is its pattern: a path itself may name a person's address.
async fn counted(request: Request, next: Next) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = matched.unwrap_or_else(|| "none".into());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::debug!(%method, route, status, ms = begun.elapsed().as_millis(), "answered");
    let labels = [("method", method.to_string()), ("route", route), ("status", status.to_string())];
    metrics::counter!("sluice_http_requests_total", &labels).increment(1);
    metrics::histogram!("sluice_http_request_duration_seconds", &labels[..2]).record(begun.elapsed());
    response
}

#[cfg(test)]
mod tests;
