//! A bare HTTP/1.1 client: a connection that is kept, a request at a time. It costs the generator a tenth of what a full
//! client does, and the generator shares the processor with what it measures.

use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest a request may take; a node answers a demand within a few seconds.
const WITHIN: Duration = Duration::from_secs(40);

/// Where a node listens.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    authority: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// When to come back, where the node says so.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

impl Target {
    /// A node at `http://host:port`.
    ///
    /// # Errors
    /// When it is no such URL: TLS is left to a proxy, whose work would be measured too.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("--target {url:?} is no URL"))?;
        if uri.scheme_str() != Some("http") {
            bail!("--target {url:?}: give http://host:port, past whatever ends TLS");
        }
        let authority = uri.authority().with_context(|| format!("--target {url:?} names no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { authority: format!("{}:{port}", authority.host()) })
    }

    /// The URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .with_context(|| format!("nobody listens at {}", self.authority))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Its end is seen by whoever sends next.
            let _ = connection.await;
        });
        Ok(Connection { target: self.clone(), sender })
    }
}

/// A connection; it is opened again when it has ended.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// One request and its answer.
    ///
    /// # Errors
    /// When there was no answer: what became of a demand is found out by its id.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        if self.sender.is_closed() {
            *self = self.target.connect().await?;
        }
        match tokio::time::timeout(WITHIN, self.once(method, path, kind, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                // What may still come must not be taken for the next answer.
                *self = self.target.connect().await?;
                bail!("no answer within {WITHIN:?}")
            }
        }
    }

    async fn once(
        &mut self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.target.authority)
            .header(CONTENT_TYPE, kind)
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Answer { status, retry_after: after.map(Duration::from_secs), body })
    }
}
