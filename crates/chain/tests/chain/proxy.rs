//! A small JSON-RPC proxy that lies, refuses or falls silent where a test says so.

use std::sync::Arc;

use alloy::transports::http::reqwest::Client;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of an answer.
pub(crate) enum Reply {
    /// It goes out, perhaps changed.
    Answer(Value),
    /// The connection is closed instead, after the node has acted.
    Silence,
}

type Script = dyn Fn(&Value, Value) -> Reply + Send + Sync;

pub(crate) struct Proxy {
    pub(crate) url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Forwards to `upstream`; the script sees each request and its answer.
    pub(crate) async fn start(
        upstream: String,
        script: impl Fn(&Value, Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script: Arc<Script> = Arc::new(script);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, upstream.clone(), script.clone()));
            }
        });
        Self { url, task }
    }
}

async fn serve(mut stream: TcpStream, upstream: String, script: Arc<Script>) {
    let client = Client::new();
    let mut buffer = Vec::new();
    while let Some(body) = next_body(&mut stream, &mut buffer).await {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let answer: Value = client.post(&upstream).json(&request).send().await.unwrap().json().await.unwrap();
        let Reply::Answer(answer) = script(&request, answer) else { return };
        let text = answer.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let response = format!("{head} {}\r\n\r\n{text}", text.len());
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One HTTP request's body; `None` when the client has gone.
async fn next_body(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).unwrap();
            let (start, length) = (end + 4, length.trim().parse::<usize>().unwrap());
            if buffer.len() >= start + length {
                let body = buffer[start..start + length].to_vec();
                buffer.drain(..start + length);
                return Some(body);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
