//! A small JSON-RPC proxy before the chain: it counts requests and refuses transactions, as nodes and providers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{U256, hex};
use serde_json::{Value, json};
use sluice_chain::{Chain, ChainConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::World;

/// An answer in place of the node's; `None` lets the request through.
type Script = dyn Fn(&Value) -> Option<Value> + Send + Sync;

/// Requests that are held back: they were sent, and nobody answers until they are let go.
pub struct Hold {
    held: Box<dyn Fn(&Value) -> bool + Send + Sync>,
    waiting: AtomicUsize,
    closed: watch::Sender<bool>,
}

impl Hold {
    /// Holds requests of this kind back, from the start if `closed`.
    pub fn new(closed: bool, held: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Arc<Self> {
        let (held, waiting, closed) = (Box::new(held), AtomicUsize::new(0), watch::channel(closed).0);
        Arc::new(Self { held, waiting, closed })
    }

    /// From now on they are held back, or let go.
    pub fn close(&self, closed: bool) {
        self.closed.send_replace(closed);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    async fn wait(&self, request: &Value) {
        if (self.held)(request) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let _ = self.closed.subscribe().wait_for(|closed| !closed).await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

pub struct Proxy {
    pub url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn start(
        upstream: String,
        script: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        Self::holding(upstream, Hold::new(false, |_| false), script).await
    }

    /// One that also holds requests back.
    pub async fn holding(
        upstream: String,
        hold: Arc<Hold>,
        script: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let script: Arc<Script> = Arc::new(script);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, upstream.clone(), Arc::clone(&hold), Arc::clone(&script)));
            }
        });
        Self { url, task }
    }
}

impl World {
    /// The chain as seen through a proxy.
    pub async fn through(&self, proxy: &Proxy) -> Chain {
        let config = ChainConfig { rpc: vec![proxy.url.clone()], ..self.chain.config().clone() };
        Chain::connect(config).await.expect("the chain behind the proxy")
    }
}

/// The refusal of a node, as it says it.
pub fn refusal(request: &Value, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": -32000, "message": message } })
}

/// What a transaction that is about to be sent may cost, wei; `None` for every other request.
pub fn cost_of(request: &Value) -> Option<u128> {
    let [_, _, max_fee, gas] = transaction(request)?;
    Some(max_fee * gas)
}

/// Nonce, tip, fee and gas limit of an EIP-1559 transaction that is about to be sent.
pub fn transaction(request: &Value) -> Option<[u128; 4]> {
    let raw = request["params"][0].as_str().filter(|_| request["method"] == "eth_sendRawTransaction")?;
    let raw = hex::decode(raw).expect("hex");
    assert_eq!(raw[0], 2, "EIP-1559");
    // RLP: the list's head, then chain id, nonce, tip, fee, gas limit as the shortest big-endian numbers.
    let mut at = match raw[1] {
        long @ 0xf8.. => 2 + usize::from(long - 0xf7),
        _ => 2,
    };
    let mut numbers = Vec::new();
    for _ in 0..5 {
        let (bytes, next) = match raw[at] {
            small @ 0..0x80 => (vec![small], at + 1),
            head => {
                let end = at + 1 + usize::from(head - 0x80);
                (raw[at + 1..end].to_vec(), end)
            }
        };
        numbers.push(U256::from_be_slice(&bytes).to::<u128>());
        at = next;
    }
    numbers[1..].try_into().ok()
}

async fn serve(mut stream: TcpStream, upstream: String, hold: Arc<Hold>, script: Arc<Script>) {
    let client = reqwest::Client::new();
    let mut buffer = Vec::new();
    while let Some(body) = next_body(&mut stream, &mut buffer).await {
        let request: Value = serde_json::from_slice(&body).expect("JSON");
        hold.wait(&request).await;
        let answer = match script(&request) {
            Some(answer) => answer,
            None => {
                let sent = client.post(&upstream).json(&request).send().await;
                let Ok(answer) = sent else { return };
                let Ok(answer) = answer.json().await else { return };
                answer
            }
        };
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
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).expect("a length");
            let (start, length) = (end + 4, length.trim().parse::<usize>().expect("a number"));
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
