//! Floods of attestations, from a thread of their own: deliveries of many lines as fast as the server reads them, or one a
//! request from a client that comes again at once whatever it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::keccak256;
use anyhow::Context;
use hyper::Method;
use hyper::body::Bytes;
use rayon::prelude::*;
use tokio::task::{JoinHandle, JoinSet};

use super::seconds_since;
use crate::claims::client::{Answer, Connection, Target};
use crate::claims::wallets::Wallet;
use crate::gated::offices;

/// Deliveries at once, of as many lines each.
const DELIVERIES: usize = 8;
const LINES: usize = 500;
/// Connections of those who do not listen to what they are told.
const DEAF: usize = 64;
/// Where attestations are handed in.
const PATH: &str = "/v1/attestations";

/// How a flood comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// NDJSON deliveries; who is told to come back later does.
    Bulk,
    /// One a request, and again at once when told to wait.
    Deaf,
}

/// What a flood came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Poured {
    /// Attestations kept that were not before, and those handed in again that were.
    pub(super) kept: u64,
    pub(super) known: u64,
    pub(super) seconds: f64,
}

impl Poured {
    /// Attestations kept a second.
    pub(super) fn rate(&self) -> f64 {
        self.kept as f64 / self.seconds
    }

    /// Notes an answer to one; whatever else it says, nothing was kept.
    fn note(&mut self, status: u16) {
        self.kept += u64::from(status == 201);
        self.known += u64::from(status == 200);
    }
}

/// The status of a delivery's line of answer.
#[derive(serde::Deserialize)]
struct Line {
    status: u16,
}

/// Attestations ready to be handed in, to a node.
#[derive(Clone)]
pub(super) struct Flood {
    target: Target,
    texts: Arc<Vec<String>>,
    next: Arc<AtomicUsize>,
}

/// Signs attestations about addresses that claim nothing.
pub(super) fn texts(count: u32) -> anyhow::Result<Vec<String>> {
    let issuer = offices::issuer()?;
    let about =
        |n: u32| Wallet::new(keccak256(format!("somebody attested {n}"))).map(|wallet| wallet.address);
    let texts = (0..count.div_ceil(2)).into_par_iter().map(|n| offices::attested(&issuer, about(n)?, 1));
    Ok(texts.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

impl Flood {
    pub(super) fn new(target: Target, texts: Vec<String>) -> Self {
        Self { target, texts: Arc::new(texts), next: Arc::default() }
    }

    /// Begins a flood that lasts until `stop`; its end says what was kept.
    pub(super) fn start(&self, kind: Kind, stop: Arc<AtomicBool>) -> JoinHandle<anyhow::Result<Poured>> {
        let flood = self.clone();
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let kept = runtime
                .context("no runtime for the flood")
                .and_then(|runtime| runtime.block_on(flood.pour(kind, stop)));
            // Nobody waits for a flood that was interrupted.
            let _ = answer.send(kept);
        });
        tokio::spawn(async { answered.await.context("the flood panicked")? })
    }

    async fn pour(self, kind: Kind, stop: Arc<AtomicBool>) -> anyhow::Result<Poured> {
        let start = Instant::now();
        let mut workers = JoinSet::new();
        let at_once = if kind == Kind::Bulk { DELIVERIES } else { DEAF };
        for _ in 0..at_once {
            let (flood, stop) = (self.clone(), Arc::clone(&stop));
            workers.spawn(async move {
                let mut connection = flood.target.connect().await?;
                let mut poured = Poured::default();
                while !stop.load(Ordering::Relaxed) {
                    match kind {
                        Kind::Bulk => flood.deliver(&mut connection, &mut poured).await?,
                        Kind::Deaf => flood.single(&mut connection, &mut poured).await?,
                    }
                }
                Ok::<_, anyhow::Error>(poured)
            });
        }
        let mut all = Poured::default();
        while let Some(worker) = workers.join_next().await {
            let poured = worker.context("a flood's task panicked")??;
            (all.kept, all.known) = (all.kept + poured.kept, all.known + poured.known);
        }
        all.seconds = seconds_since(start);
        Ok(all)
    }

    /// The next of the texts, round and round.
    fn take(&self, count: usize) -> impl Iterator<Item = &str> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        (first..first + count).map(|n| self.texts[n % self.texts.len()].as_str())
    }

    async fn deliver(&self, connection: &mut Connection, poured: &mut Poured) -> anyhow::Result<()> {
        let mut body = String::new();
        for text in self.take(LINES) {
            body.push_str(text);
            body.push('\n');
        }
        let answer = connection.ask(Method::POST, PATH, "application/x-ndjson", body.into()).await?;
        if let Some(wait) = put_off(&answer) {
            tokio::time::sleep(wait).await;
            return Ok(());
        }
        for line in answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            poured.note(status(line));
        }
        Ok(())
    }

    async fn single(&self, connection: &mut Connection, poured: &mut Poured) -> anyhow::Result<()> {
        let text = self.take(1).next().unwrap_or_default().to_owned();
        let answer = connection.ask(Method::POST, PATH, "application/json", Bytes::from(text)).await?;
        poured.note(answer.status);
        Ok(())
    }
}

/// How long to wait, if the node said so.
fn put_off(answer: &Answer) -> Option<Duration> {
    matches!(answer.status, 429 | 503).then(|| answer.retry_after.unwrap_or(Duration::from_secs(1)))
}

/// What a line of a delivery's answer says; 0 of a last line that was cut off.
fn status(line: &[u8]) -> u16 {
    serde_json::from_slice::<Line>(line).map_or(0, |line| line.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_ones_are_kept_and_waits_are() {
        let mut poured = Poured { seconds: 2.0, ..Poured::default() };
        let answers: [&[u8]; 5] = [
            br#"{"line":1,"status":201,"id":"0x"}"#,
            br#"{"line":2,"status":200,"id":"0x"}"#,
            br#"{"line":3,"status":503}"#,
            br#"{"line":4,"status":201,"id":"0x"}"#,
            br#"{"line":5,"sta"#,
        ];
        for line in answers {
            poured.note(status(line));
        }
        assert_eq!((poured.kept, poured.known, poured.rate()), (2, 1, 1.0));
        let answer = |status| Answer { status, retry_after: None, body: Bytes::new() };
        assert_eq!(put_off(&answer(429)), Some(Duration::from_secs(1)));
        assert_eq!(put_off(&answer(200)), None);
    }
}
