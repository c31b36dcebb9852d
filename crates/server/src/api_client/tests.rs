use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::ApiClient;

/// A node that starts: it puts off the first two requests.
async fn starting() -> (ApiClient, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let status = get(async move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "code": "not_ready" }))).into_response(),
        _ => {
            let shown =
                json!({ "node": 1, "stream": 0, "role": "leader", "epoch": 1, "seq": 7, "waiting": 0 });
            Json(shown).into_response()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().route("/v1/status", status)).await });
    (ApiClient::new(&node, None).unwrap(), asked)
}

#[tokio::test]
async fn commands_wait_for_a_node_that_starts() {
    let (api, asked) = starting().await;
    assert_eq!(api.status().await.unwrap().seq, 7);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn whether_a_node_is_there_is_asked_once() {
    let (api, asked) = starting().await;
    assert_eq!(api.status_now().await.unwrap_err().code(), Some("not_ready"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
