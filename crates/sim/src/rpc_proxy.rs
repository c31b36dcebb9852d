//! A JSON-RPC proxy that loses requests and answers, refuses, or takes its time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::schedule::Broadcast;

/// How late a late answer is.
const LATE: Duration = Duration::from_millis(250);

/// How requests are served now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// As they come.
    #[default]
    Good,
    /// With an error.
    Errors,
    /// Late.
    Slow,
}

/// What is ordered and what was done, shared by the proxies of both nodes.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    service: Mutex<Service>,
    broadcast: Mutex<Option<Broadcast>>,
    made: Mutex<BTreeMap<Broadcast, u32>>,
}

impl Orders {
    pub(crate) fn serve(&self, service: Service) {
        *self.service.lock().expect("no panic inside") = service;
    }

    pub(crate) fn cut_next(&self, how: Broadcast) {
        *self.broadcast.lock().expect("no panic inside") = Some(how);
    }

    pub(crate) fn has_cut(&self) -> bool {
        self.broadcast.lock().expect("no panic inside").is_none()
    }

    pub(crate) fn clear(&self) {
        *self.broadcast.lock().expect("no panic inside") = None;
    }

    pub(crate) fn made(&self) -> BTreeMap<Broadcast, u32> {
        self.made.lock().expect("no panic inside").clone()
    }

    fn take(&self, request: &Value) -> Option<Broadcast> {
        if request["method"] != "eth_sendRawTransaction" {
            return None;
        }
        let how = self.broadcast.lock().expect("no panic inside").take()?;
        *self.made.lock().expect("no panic inside").entry(how).or_default() += 1;
        Some(how)
    }
}

/// A proxy before a chain's node.
#[derive(Debug)]
pub(crate) struct RpcProxy {
    url: String,
    accepting: JoinHandle<()>,
}

impl RpcProxy {
    pub(crate) async fn before(upstream: String, orders: Arc<Orders>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the proxy's port")?;
        let url = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, orders) = (upstream.clone(), Arc::clone(&orders));
                // A connection that fails is closed, which is all its client may expect here.
                tokio::spawn(async move { serve(stream, &upstream, &orders).await });
            }
        });
        Ok(Self { url, accepting })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for RpcProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, upstream: &str, orders: &Orders) -> Option<()> {
    let client = Client::new();
    let mut buffer = Vec::new();
    loop {
        let body = next_body(&mut stream, &mut buffer).await?;
        let request: Value = serde_json::from_slice(&body).ok()?;
        let cut = orders.take(&request);
        let service = *orders.service.lock().expect("no panic inside");
        let forward =
            !matches!(cut, Some(Broadcast::LostBefore | Broadcast::Refused)) && service != Service::Errors;
        let answer: Value = match forward {
            true => client.post(upstream).json(&request).send().await.ok()?.json().await.ok()?,
            false => refusal(&request),
        };
        match cut {
            Some(Broadcast::LostBefore | Broadcast::LostAfter) => return None,
            Some(Broadcast::RefusedAfter) => write(&mut stream, &refusal(&request)).await?,
            _ => {
                if service == Service::Slow {
                    tokio::time::sleep(LATE).await;
                }
                write(&mut stream, &answer).await?;
            }
        }
    }
}

/// What an overloaded provider says.
fn refusal(request: &Value) -> Value {
    let one = |request: &Value| json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": -32603, "message": "internal error" } });
    match request {
        Value::Array(all) => all.iter().map(one).collect(),
        single => one(single),
    }
}

async fn write(stream: &mut TcpStream, answer: &Value) -> Option<()> {
    let text = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
    let response = format!("{head} {}\r\n\r\n{text}", text.len());
    stream.write_all(response.as_bytes()).await.ok()
}

/// One HTTP request's body; `None` when the client has gone.
async fn next_body(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:"))?;
            let (start, length) = (end + 4, length.trim().parse::<usize>().ok()?);
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
