//! The front door over routes of the tests' own, a real follower and a real database.

use std::path::Path;

use alloy_primitives::Address;
use axum::body::{Bytes, to_bytes};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Builder;
use axum::response::Json;
use axum::routing::{get, post};
use futures::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::Value;
use sluice_core::ids::{ContractRef, ProjectId, StreamId};
use sluice_core::log::note::{LogKey, Origin};
use sluice_embedded::testing::TestDatabase;
use sluice_store::{Options, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::*;
use crate::http::extract;
use crate::keys::bearer::{self, Purpose};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    amount: u64,
}

struct House {
    app: Router,
    front: Arc<Front>,
    store: Store,
    operator: String,
    _database: TestDatabase,
}

async fn house() -> House {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let database = TestDatabase::new(&migrations).await.unwrap();
    let store = Store::connect(database.url(), Options::default()).await.unwrap();
    let charter = ContractRef { chain_id: 1, address: Address::repeat_byte(1) };
    let key = LogKey::new(&Origin::new(charter, StreamId(1)), &[7; 32]);
    let (operator, hash) = bearer::new(Purpose::Operator).unwrap();
    let front = Arc::new(Front {
        follower: Follower::new(StreamId(1), key),
        keys: Keys::new(store.clone(), Some(hash)),
        limits: Limits::new(),
        trusted_proxies: vec!["0.0.0.0/32".parse().unwrap()],
        large: Places::new(2),
    });
    let routes = Router::new()
        .route("/good", get(async || "good"))
        .route("/who", get(async |caller: Caller| format!("{caller:?}")))
        .route("/bad", get(async || Problem::from(problem::MALFORMED_PARAMETER)))
        .route("/panic", get(panics))
        .route("/sum", post(sum))
        .route("/slow", post(slow))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/rounds/{round}", get(async |extract::Path(round): extract::Path<u64>| round.to_string()));
    let app = before(routes, &front);
    House { app, front, store, operator, _database: database }
}

/// More than the system holds for a connection.
const LARGE: usize = 64 << 20;

async fn panics() -> &'static str {
    panic!("on purpose")
}

/// Reads its body and never answers.
async fn slow(_: extract::Json<Payload>) -> &'static str {
    std::future::pending().await
}

async fn sum(extract::Json(payload): extract::Json<Payload>) -> Json<u64> {
    Json(payload.items.iter().map(|item| item.amount).sum())
}

impl House {
    async fn ask(&self, request: Builder, body: &str) -> (StatusCode, HeaderMap, String) {
        let response =
            self.app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.ask(Request::get(path), "").await
    }

    /// Asks and expects a problem; gives its status, code and field.
    async fn problem(&self, request: Builder, body: &str) -> (u16, String, String) {
        let (status, headers, body) = self.ask(request, body).await;
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json", "{body}");
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["status"], status.as_u16());
        let code = json["code"].as_str().unwrap().to_owned();
        assert_eq!(json["type"], format!("/v1/problems/{code}"));
        assert!(json["title"].is_string());
        (status.as_u16(), code, json["field"].as_str().unwrap_or_default().to_owned())
    }
}

fn expected(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.to_owned(), field.to_owned())
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem_with_a_code() {
    let house = house().await;
    assert_eq!(house.problem(Request::get("/nowhere"), "").await, expected(404, "not_found", ""));
    assert_eq!(house.problem(Request::post("/good"), "").await, expected(405, "method_not_allowed", ""));
    assert_eq!(house.problem(Request::get("/rounds/x"), "").await.1, "malformed_parameter");
    assert_eq!(house.problem(Request::get("/panic"), "").await, expected(500, "internal", ""));
    let (_, _, said) = house.get("/panic").await;
    assert!(!said.contains("on purpose"), "what failed inside is logged, not told: {said}");

    let json = || Request::post("/sum").header(CONTENT_TYPE, "application/json; charset=utf-8");
    let (status, _, body) = house.ask(json(), r#"{"items": [{"amount": 1}, {"amount": 2}]}"#).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "3"));
    let wrong = house.problem(json(), r#"{"items": [{"amount": 1}, {"amount": "2"}]}"#).await;
    assert_eq!(wrong, expected(400, "malformed_body", "items[1].amount"));
    assert_eq!(house.problem(json(), r#"{"items": [], "more": 1}"#).await.0, 400);
    assert_eq!(house.problem(json(), "{").await, expected(400, "malformed_body", ""));
    assert_eq!(house.problem(json(), r#"{"items": []} trailing"#).await.1, "malformed_body");
    let unsaid = house.problem(Request::post("/sum"), "{}").await;
    assert_eq!(unsaid, expected(415, "unsupported_media_type", "Content-Type"));
    let large = format!(r#"{{"items": [{}]}}"#, " ".repeat(BODY_BYTES_MAX));
    assert_eq!(house.problem(json(), &large).await, expected(413, "body_too_large", ""));
}

#[tokio::test]
async fn every_answer_says_its_position_and_min_seq_is_kept() {
    let house = house().await;
    for path in ["/good", "/bad", "/rounds/x", "/nowhere"] {
        assert_eq!(house.get(path).await.1[AS_OF_SEQ], "0", "{path}");
    }
    let (status, _, _) = house.ask(Request::get("/good").header(MIN_SEQ, "0"), "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, headers, body) = house.ask(Request::get("/good").header(MIN_SEQ, "1"), "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers.contains_key(RETRY_AFTER) && headers[AS_OF_SEQ] == "0");
    assert!(body.contains("\"behind\""), "{body}");
    let junk = house.problem(Request::get("/good").header(MIN_SEQ, "-1"), "").await;
    assert_eq!(junk, expected(400, "malformed_header", "Min-Seq"));
}

#[tokio::test]
async fn a_network_pays_for_refusals_alone_and_a_known_key_passes() {
    let house = house().await;
    let from = |network: &str, path: &str| Request::get(path).header("X-Forwarded-For", network);
    let key = |request: Builder, key: &str| request.header(AUTHORIZATION, format!("Bearer {key}"));
    let (home, neighbour, elsewhere) = ("203.0.113.9", "203.0.113.10", "198.51.100.1");
    for _ in 0..2 * bounds::REFUSALS_BURST.get() {
        assert_eq!(house.ask(from(home, "/good"), "").await.0, StatusCode::OK);
    }
    let mut refusals = 0;
    while house.ask(from(home, "/bad"), "").await.0 == StatusCode::BAD_REQUEST {
        refusals += 1;
        assert!(refusals < 100_000, "nothing limits refusals");
    }
    assert!(refusals >= bounds::REFUSALS_BURST.get(), "{refusals}");
    // Until a cell recovers; asking again and again uses up what does.
    let barred = loop {
        house.front.limits.charge(Charged::Requests, Network::from(home.parse::<IpAddr>().unwrap()));
        let (status, headers, _) = house.ask(from(neighbour, "/good"), "").await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            break headers;
        }
    };
    assert!(barred.contains_key(RETRY_AFTER) && barred.contains_key(AS_OF_SEQ));
    assert_eq!(house.ask(from(elsewhere, "/good"), "").await.0, StatusCode::OK);
    let (status, _, who) = house.ask(key(from(home, "/who"), &house.operator), "").await;
    assert_eq!((status, who.as_str()), (StatusCode::OK, "Operator"));
}

#[tokio::test]
async fn a_page_from_anywhere_may_claim_and_may_not_use_a_key() {
    let house = house().await;
    let preflight = |header: &str| {
        let request =
            Request::builder().method("OPTIONS").uri("/sum").header("Origin", "https://claim.example");
        let request = request.header("Access-Control-Request-Method", "POST");
        request.header("Access-Control-Request-Headers", header)
    };
    let (status, headers, _) = house.ask(preflight("content-type"), "").await;
    assert_eq!(
        (status, &headers["access-control-allow-origin"]),
        (StatusCode::OK, &HeaderValue::from_static("*"))
    );
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("content-type") && allowed.contains("claimant"), "{allowed}");
    assert!(!["authorization", "office", "*"].iter().any(|name| allowed.contains(name)), "{allowed}");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let (_, headers, _) =
        house.ask(Request::get("/good").header("Origin", "https://claim.example"), "").await;
    assert!(headers["access-control-expose-headers"].to_str().unwrap().contains("as-of-seq"));
}

#[tokio::test]
async fn what_is_told_to_somebody_is_kept_by_no_cache() {
    let house = house().await;
    let (_, open, _) = house.ask(Request::get("/good"), "").await;
    assert!(!open.contains_key("cache-control"));
    for name in ["office", "claimant", "authorization"] {
        let varies = |headers: &HeaderMap| headers.get_all("vary").iter().any(|value| value == name);
        let (_, told, _) = house.ask(Request::get("/good").header(name, "x"), "").await;
        assert_eq!(told["cache-control"], "no-store", "{name}");
        assert!(varies(&told) && varies(&open), "{name}: {open:?}");
    }
}

#[tokio::test]
async fn a_key_says_who_asks_until_it_is_revoked() {
    let house = house().await;
    let project = house.store.add_project(ProjectId(Uuid::from_u128(7)), "seven").await.unwrap().id;
    let (key, hash) = bearer::new(Purpose::Project).unwrap();
    let id = house.store.add_api_key(project, &hash, "test").await.unwrap();
    let who = |text: &str| Request::get("/who").header(AUTHORIZATION, text);
    assert_eq!(house.get("/who").await.2, "Anyone");
    let bearer = format!("bearer {key}");
    assert_eq!(house.ask(who(&bearer), "").await.2, format!("{:?}", Caller::Project(project)));

    assert!(house.store.revoke_api_key(project, id).await.unwrap());
    house.front.keys.forget();
    let unknown = expected(401, "unauthorized", "Authorization");
    assert_eq!(house.problem(who(&bearer), "").await, unknown);
    let (other_operator, _) = bearer::new(Purpose::Operator).unwrap();
    for text in ["Basic dTpw", "Bearer", "Bearer sluice_project_00", &format!("Bearer {other_operator}")] {
        assert_eq!(house.problem(who(text), "").await, unknown, "{text}");
    }
    let (_, headers, _) = house.ask(who("Basic dTpw"), "").await;
    assert_eq!(headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_charged_to_its_network() {
    let house = house().await;
    let home = "203.0.113.9";
    let unfinished = || {
        let first = futures::stream::once(async { Ok::<_, std::io::Error>("{") });
        let body = Body::from_stream(first.chain(futures::stream::pending()));
        let request = Request::post("/sum").header(CONTENT_TYPE, "application/json");
        house.app.clone().oneshot(request.header("X-Forwarded-For", home).body(body).unwrap())
    };
    let barred =
        || house.front.limits.admit(Charged::Requests, home.parse::<IpAddr>().unwrap().into()).is_err();
    let mut cut = 0;
    while !barred() {
        assert!(futures::poll!(Box::pin(unfinished())).is_pending(), "it waits for the rest");
        cut += 1;
        assert!(cut < 100_000, "nothing limits bodies that do not come");
    }
    assert!(cut >= bounds::REFUSALS_BURST.get(), "{cut}");
}

#[tokio::test]
async fn a_request_that_is_cut_while_it_waits_for_us_is_charged_to_nobody() {
    let house = house().await;
    let network = Network::from(IpAddr::V4([203, 0, 113, 9].into()));
    for _ in 0..2 * bounds::REFUSALS_BURST.get() {
        let request = Request::post("/slow").header("X-Forwarded-For", "203.0.113.9");
        let request = request.header(CONTENT_TYPE, "application/json").body(Body::from("{\"items\": []}"));
        let asked = house.app.clone().oneshot(request.unwrap());
        assert!(futures::poll!(Box::pin(asked)).is_pending());
    }
    assert!(house.front.limits.admit(Charged::Requests, network).is_ok());
}

#[tokio::test]
async fn what_is_refused_says_nothing_of_how_long_answers_take() {
    let turns = Arc::new(Turns::new(4));
    let routes = Router::new()
        .route("/good", get(async || "good"))
        .route("/bad", get(async || Problem::from(problem::UNAUTHORIZED)));
    let app = in_quick_turn(routes, &turns);
    let ask = |path: &str| app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
    assert_eq!(ask("/bad").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(!turns.has_counted());
    assert_eq!(ask("/good").await.unwrap().status(), StatusCode::OK);
    assert!(turns.has_counted());
}

#[tokio::test]
async fn what_is_not_its_turn_is_sent_away() {
    let (enter, entered) = tokio::sync::oneshot::channel::<()>();
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let once = std::sync::Mutex::new(Some((enter, left)));
    let slow = move || {
        let (enter, left) = once.lock().unwrap().take().expect("one request gets in");
        async move {
            enter.send(()).unwrap();
            left.await.unwrap();
            "done"
        }
    };
    let slow = Arc::new(slow);
    let app = in_turn(Router::new().route("/slow", get(move || slow())), 1);
    let ask = || app.clone().oneshot(Request::get("/slow").body(Body::empty()).unwrap());
    let first = tokio::spawn(ask());
    entered.await.unwrap();
    let second = ask().await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.headers().contains_key(RETRY_AFTER));
    leave.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
}

/// A request whose body does not come.
fn unfinished(network: IpAddr) -> Request {
    let first = futures::stream::once(async { Ok::<_, std::io::Error>("{") });
    let body = Body::from_stream(first.chain(futures::stream::pending()));
    let request = Request::post("/sum").header(CONTENT_TYPE, "application/json");
    request.extension(Network::from(network)).body(body).unwrap()
}

fn finished(network: IpAddr) -> Request {
    let request = Request::post("/sum").header(CONTENT_TYPE, "application/json");
    request.extension(Network::from(network)).body(Body::from(r#"{"items": [{"amount": 1}]}"#)).unwrap()
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

#[tokio::test]
async fn a_body_that_does_not_come_keeps_no_turn() {
    let app = in_turn(Router::new().route("/sum", post(sum)), 1);
    let app = bodies_first(app, Bodies::new(8));
    let mut slow: Vec<_> = (0..4).map(|_| Box::pin(app.clone().oneshot(unfinished(HERE)))).collect();
    for slow in &mut slow {
        assert!(futures::poll!(slow).is_pending());
    }
    let more = app.clone().oneshot(unfinished(HERE)).await.unwrap();
    assert_eq!(more.status(), StatusCode::SERVICE_UNAVAILABLE, "half of the room is what one network has");
    assert_eq!(app.clone().oneshot(finished(THERE)).await.unwrap().status(), StatusCode::OK);
    drop(slow);
    assert_eq!(app.oneshot(finished(HERE)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn one_attestation_keeps_no_turn_before_it_came_and_many_are_read_line_by_line() {
    let sum = async |body: Bytes| body.len().to_string();
    let app = in_turn(Router::new().route("/sum", post(sum)), 1);
    let app = single_bodies_first(app, Bodies::new(8), 64);
    let mut one = Box::pin(app.clone().oneshot(unfinished(HERE)));
    assert!(futures::poll!(&mut one).is_pending());
    assert_eq!(app.clone().oneshot(finished(THERE)).await.unwrap().status(), StatusCode::OK);
    let large =
        |kind| Request::post("/sum").header(CONTENT_TYPE, kind).body(Body::from(vec![b' '; 65])).unwrap();
    let refused = app.clone().oneshot(large("application/json")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    drop(one);
    // The handler has it while it is still coming, and its turn with it.
    let mut many = unfinished(HERE);
    many.headers_mut().insert(CONTENT_TYPE, "application/x-ndjson; charset=utf-8".parse().unwrap());
    let mut many = Box::pin(app.clone().oneshot(many));
    assert!(futures::poll!(&mut many).is_pending());
    let mut waits = Box::pin(app.oneshot(finished(THERE)));
    assert!(futures::poll!(&mut waits).is_pending());
}

#[tokio::test]
async fn few_bodies_come_slowly_and_the_others_soon_or_not_at_all() {
    let bodies = Bodies::with(1_000, 4, std::time::Duration::from_millis(1));
    let app = bodies_first(Router::new().route("/sum", post(sum)), bodies);
    let mut slow = FuturesUnordered::new();
    // Of four places one network gets half, and the next half of what is left.
    for (network, kept) in [(HERE, 2), (THERE, 1)] {
        slow.extend((0..5).map(|_| app.clone().oneshot(unfinished(network))));
        for _ in kept..5 {
            let answer = slow.next().await.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key(RETRY_AFTER));
            assert!(!is_refusal(answer.status()), "it is charged to nobody");
        }
        assert!(futures::poll!(slow.next()).is_pending());
    }
    assert_eq!(app.oneshot(finished(HERE)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_campaign_is_the_same_however_its_letters_are_written() {
    let named = async |named: RawPathParams| campaign_of(&named).unwrap_or_default().to_string();
    let app = Router::new().route("/v1/campaigns/{campaign}/claims", get(named));
    let name = "0192d3c4-0000-7000-8000-000000000001";
    let encoded: String = name.bytes().map(|letter| format!("%{letter:02x}")).collect();
    for written in [name, &encoded, &name.to_uppercase(), &format!("%30{}", &name[1..])] {
        let request = Request::get(format!("/v1/campaigns/{written}/claims")).body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(to_bytes(answer.into_body(), 100).await.unwrap(), name, "{written}");
    }
}

#[tokio::test]
async fn a_large_answer_keeps_its_place_until_it_is_read() {
    let house = house().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(crate::http::serve(listener, house.app.clone(), std::future::pending()));
    let ask = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        (String::from_utf8(status.to_vec()).unwrap(), stream)
    };
    let (status, mut unread) = ask().await;
    assert_eq!(status, "HTTP/1.1 200");
    let (status, _) = ask().await;
    assert_eq!(status, "HTTP/1.1 503", "of two places one network has one");
    assert_eq!(house.get("/good").await.0, StatusCode::OK, "small answers need none");
    let mut read = Vec::new();
    unread.read_to_end(&mut read).await.unwrap();
    assert!(read.len() > LARGE && read.ends_with(b"xxx"));
    assert!(String::from_utf8_lossy(&read[..1_000]).contains(&format!("content-length: {LARGE}")));
    // Its place is free when the server knows that everything was taken.
    while ask().await.0 != "HTTP/1.1 200" {
        tokio::task::yield_now().await;
    }
    server.abort();
}
