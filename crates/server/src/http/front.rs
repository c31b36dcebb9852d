//! The front door: what happens to every request before and after its handler.
//!
//! From the outside in: any page may ask; the request is counted; a panic becomes a problem; it ends within a bound; its
//! sender is known and within limits; `Min-Seq` is waited for. Every answer carries `As-Of-Seq`.
//!
//! All of it is one layer: axum clones everything below a layer, boxed, once or twice for each request that passes it.

mod large;

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::stream::poll_fn;
use futures::{FutureExt, StreamExt};
use ipnet::IpNet;
use sluice_core::ids::{CampaignId, Seq};
use sluice_core::limits::BODY_BYTES_MAX;
use sluice_engine::follower::Follower;
use sluice_engine::node::Node;
use tokio::sync::Semaphore;
use tower_http::cors::{self, CorsLayer};
use tower_http::timeout::RequestBodyTimeoutLayer;
use uuid::Uuid;

use super::attestations;
use super::auth::{self, Caller, Keys};
use super::bodies::Bodies;
use super::bounds;
use super::claimant::CLAIMANT;
use super::client::{self, Network, Peer};
use super::limits::{Charged, Limits};
use super::places::{Parted, Places};
use super::problem::{self, Problem};
use super::reading::OFFICE;
use super::turns::Turns;

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
    /// Places of large answers until they are read.
    pub large: Arc<Places<Network>>,
}

/// The API's routes, and what is not there, behind the front door.
pub(crate) fn before(routes: Router, front: &Arc<Front>) -> Router {
    let routes =
        routes.fallback(async || Problem::from(problem::NOT_FOUND)).method_not_allowed_fallback(wrong_method);
    around(routes, Some(Arc::clone(front)))
}

/// Routes that everybody is let in to.
pub(crate) fn beside(routes: Router) -> Router {
    around(routes, None)
}

/// Puts what every answer of this process goes through around routes, and the front door where there is one.
fn around(routes: Router, front: Option<Arc<Front>>) -> Router {
    routes.layer((
        any_page(),
        from_fn_with_state(front, enter),
        DefaultBodyLimit::max(BODY_BYTES_MAX),
        RequestBodyTimeoutLayer::new(bounds::BODY_PAUSE_MAX),
    ))
}

/// The layer: figures and, at `debug`, a line per request. The path is its pattern: a path itself may name a person's
/// address.
async fn enter(State(front): State<Option<Arc<Front>>>, request: Request, next: Next) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = matched.unwrap_or_else(|| "none".into());
    let answer = async {
        match &front {
            Some(front) => admitted(front, request, next).await,
            None => next.run(request).await,
        }
    };
    let answer = tokio::time::timeout(bounds::REQUEST_MAX, AssertUnwindSafe(answer).catch_unwind());
    let response = match answer.await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => panicked(&*panic),
        Err(_) => Problem::from(problem::TIMED_OUT).into_response(),
    };
    let status = response.status().as_u16();
    tracing::debug!(%method, route, status, ms = begun.elapsed().as_millis(), "answered");
    let labels = [("method", method.to_string()), ("route", route), ("status", status.to_string())];
    metrics::counter!("sluice_http_requests_total", &labels).increment(1);
    metrics::histogram!("sluice_http_request_duration_seconds", &labels[..2]).record(begun.elapsed());
    response
}

/// Lets a request in, and marks its answer with the position it was read at and for whom it may be kept. Handlers that
/// read State say the position themselves; any other answer is true at the position this node had reached when it began,
/// or later.
async fn admitted(front: &Front, request: Request, next: Next) -> Response {
    let at_least = front.follower.seq();
    let proved = PROOFS.iter().any(|proof| request.headers().contains_key(proof));
    let mut response = admit(front, request, next).await;
    let headers = response.headers_mut();
    headers.entry(AS_OF_SEQ).or_insert(HeaderValue::from(at_least));
    // What was answered to somebody who proved who they are is kept by no cache, and every cache is told that answers
    // differ.
    for proof in PROOFS {
        headers.append(VARY, proof.into());
    }
    if proved {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
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

/// The same among networks, of which each may have half of what others leave: whoever finds no room is sent away at once.
pub(crate) fn in_place(routes: Router, at_once: usize) -> Router {
    routes.layer(from_fn_with_state(Places::new(at_once), placed))
}

async fn placed(State(places): State<Arc<Places<Network>>>, request: Request, next: Next) -> Response {
    let Some(_place) = places.take(Network::of(request.extensions())) else {
        return Problem::from(problem::BUSY).retry_after(bounds::COME_BACK).into_response();
    };
    next.run(request).await
}

/// The same for what the database answers to requests without bodies: as many at once as it answers without getting slow.
pub(crate) fn in_quick_turn(routes: Router, turns: &Arc<Turns>) -> Router {
    routes.layer(from_fn_with_state(Arc::clone(turns), quick_turn))
}

async fn quick_turn(State(turns): State<Arc<Turns>>, request: Request, next: Next) -> Response {
    let Some(turn) = turns.turn().await else {
        return Problem::from(problem::BUSY).retry_after(bounds::COME_BACK).into_response();
    };
    let response = next.run(request).await;
    if !response.status().is_client_error() {
        turn.answered();
    }
    response
}

/// Awaits bodies before anything that is inside: what others wait for is kept by nobody who sends slowly.
pub(crate) fn bodies_first(routes: Router, bodies: Bodies) -> Router {
    routes.layer(from_fn_with_state(Arc::new(bodies), whole_body))
}

async fn whole_body(State(bodies): State<Arc<Bodies>>, request: Request, next: Next) -> Response {
    match bodies.whole(request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The same for bodies of at most so many bytes. What comes line by line is read as it comes: it has a bound of its own, and
/// keeps its turn only until it is under that.
pub(crate) fn single_bodies_first(routes: Router, bodies: Bodies, body_max: usize) -> Router {
    routes.layer((DefaultBodyLimit::max(body_max), from_fn_with_state(Arc::new(bodies), whole_single_body)))
}

async fn whole_single_body(state: State<Arc<Bodies>>, request: Request, next: Next) -> Response {
    if attestations::is_bulk(request.headers()) {
        return next.run(request).await;
    }
    whole_body(state, request, next).await
}

/// Bounds how many claims are under way. Those that could not be decided in time, and those of a campaign that has its share
/// of the places, or of a network that has its share of the campaign's, are sent away before anything of them is read; the
/// others take their places when all of them was.
pub(crate) fn claims_in_place(routes: Router, node: Node, most: usize, body_max: usize) -> Router {
    let state: ClaimsDoor = (node, Parted::new(most), Arc::new(Bodies::new(bounds::CLAIM_BODIES_MAX)));
    routes.layer((DefaultBodyLimit::max(body_max), from_fn_with_state(state, claim_place)))
}

/// What the door for claims needs.
type ClaimsDoor = (Node, Arc<Parted<CampaignId, Network>>, Arc<Bodies>);

async fn claim_place(
    State((node, places, bodies)): State<ClaimsDoor>,
    named: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // Names of no campaign share their places.
    let named = named.ok().and_then(|named| campaign_of(&named));
    let campaign = named.filter(|name| node.follower().read(|state| state.campaign(*name).is_some()));
    let has_room = campaign.is_none_or(|campaign| node.has_room(campaign));
    let network = Network::of(request.extensions());
    let place = || places.take(campaign.unwrap_or_default(), network);
    let full = || Problem::from(problem::WAITING_ROOM_FULL).retry_after(bounds::COME_BACK).into_response();
    if !has_room || place().is_none() {
        return full();
    }
    let request = match bodies.whole(request).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let Some(_place) = place() else { return full() };
    next.run(request).await
}

/// The campaign that a path names, as handlers read it: however its letters are written.
fn campaign_of(named: &RawPathParams) -> Option<CampaignId> {
    named.iter().find_map(|(name, value)| value.parse().ok().filter(|_| name == "campaign"))
}

async fn turn(State(turns): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let _turn = match turns.try_acquire() {
        Ok(turn) => turn,
        Err(_) => match tokio::time::timeout(bounds::TURN_WAIT, turns.acquire()).await {
            Ok(Ok(turn)) => turn,
            _ => return Problem::from(problem::BUSY).retry_after(bounds::COME_BACK).into_response(),
        },
    };
    next.run(request).await
}

/// Lets a request in, or says when to come back; charges its network when it was refused.
async fn admit(front: &Front, mut request: Request, next: Next) -> Response {
    // Only requests made inside this process come from nowhere.
    let peer =
        request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let network = Network::from(client::address(peer, request.headers(), &front.trusted_proxies));
    let what = charged(request.uri().path());
    let caller = match identify(front, what, network, request.headers()).await {
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
    let awaited = Awaited::default();
    let request = if caller == Caller::Anyone { awaited.watch(request) } else { request };
    let mut unsent = Unsent { front, what, network, awaited };
    let response = match min_seq(front, request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    unsent.awaited = Awaited::default();
    if caller == Caller::Anyone && is_refusal(response.status()) {
        front.limits.charge(what, network);
    }
    large::placed(response, &front.large, network)
}

/// Whether a request waits for more of its body.
#[derive(Clone, Debug, Default)]
struct Awaited(Arc<AtomicBool>);

impl Awaited {
    /// The same request, whose body says when it is waited for.
    fn watch(&self, request: Request) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        let awaited = Arc::clone(&self.0);
        request.map(|body| {
            let mut body = body.into_data_stream();
            Body::from_stream(poll_fn(move |context| {
                let part = body.poll_next_unpin(context);
                awaited.store(part.is_pending(), Ordering::Relaxed);
                part
            }))
        })
    }
}

/// A request that has no answer yet. If it ends so while its body is waited for, its network is charged: a body that comes
/// too slowly to be answered keeps a place, however its time ends.
struct Unsent<'a> {
    front: &'a Front,
    what: Charged,
    network: Network,
    awaited: Awaited,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if self.awaited.0.load(Ordering::Relaxed) {
            self.front.limits.charge(self.what, self.network);
        }
    }
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

/// What proves who asks; answers depend on it.
const PROOFS: [HeaderName; 3] =
    [AUTHORIZATION, HeaderName::from_static(OFFICE), HeaderName::from_static(CLAIMANT)];

/// Waits, within a bound, until this node has reached the position that the client has seen elsewhere.
async fn min_seq(front: &Front, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(seq) = wanted_seq(headers)?
        && !front.follower.reached(seq, bounds::MIN_SEQ_WAIT).await
    {
        let detail = format!("this node is at {}, {seq} was asked for", front.follower.seq());
        return Err(Problem::from(problem::BEHIND).detail(detail).retry_after(bounds::COME_BACK));
    }
    Ok(())
}

fn wanted_seq(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(value) = headers.get(MIN_SEQ) else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Problem::from(problem::MALFORMED_HEADER).field("Min-Seq").detail("send a position: a whole number")
    })?;
    Ok(Some(seq))
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(anyhow::anyhow!("a handler panicked: {}", text.unwrap_or("without words")))
        .into_response()
}

#[cfg(test)]
mod tests;
