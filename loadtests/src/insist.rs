//! Claimants who come again: claims at a rate far above what a node takes, where whoever is sent away with 429 or 503 takes
//! their place behind the others, as people do. An open loop, as [`crate::claims::offer`]; what is refused is counted, not
//! kept, so that minutes of it fit into memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use hyper::Method;
use sluice_core::ids::CampaignId;
use tokio::task::JoinSet;

use crate::claims::client::{Connection, Target};
use crate::claims::offer::{self, Outcome, Prepared, Seen};
use crate::claims::stats::whole;
use crate::machine;

/// Microseconds; the longest a latency may be told, and the digits of it that count.
const LONGEST: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// A crowd, and whom it asks.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) target: Target,
    pub(crate) campaign: CampaignId,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Connections; a ticket is waited for on one, so there are more than tickets given meanwhile.
    pub(crate) connections: usize,
    pub(crate) at_most: Duration,
    /// The core the crowd is kept to.
    pub(crate) core: Option<usize>,
    /// Ends it early.
    pub(crate) stop: Arc<AtomicBool>,
}

/// What became of a crowd.
#[derive(Debug)]
pub(crate) struct Told {
    /// Claims that were accepted, or not answered.
    pub(crate) seen: Vec<Seen>,
    /// Requests sent away or refused, by status and code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// How long an answer of 429 or 503 took, microseconds.
    pub(crate) sent_away: Histogram<u64>,
    /// Requests made, and those that were due and not made, as all connections were busy.
    pub(crate) requests: u64,
    pub(crate) unsent: u64,
    /// From the first request's time until no more were due, and until the last answer.
    pub(crate) lasted: Duration,
    pub(crate) took: Duration,
    /// Those who have not been accepted.
    pub(crate) left: Vec<Prepared>,
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    waiting: Mutex<VecDeque<Prepared>>,
    next: AtomicU64,
    start: Instant,
    /// Microseconds behind the start at which it ends: earlier than time is up where somebody ends it, or nobody waits.
    ends: AtomicU64,
}

impl Shared {
    fn end_now(&self) {
        let now = self.start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        self.ends.fetch_min(now, Ordering::Relaxed);
    }
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Part {
    seen: Vec<Seen>,
    refused: BTreeMap<String, u64>,
    sent_away: Vec<Duration>,
}

impl Crowd {
    /// Lets the crowd come until time is up or everybody has been accepted, from a thread of its own.
    pub(crate) async fn come(self, claims: Vec<Prepared>) -> anyhow::Result<Told> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("crowd".into()).spawn(move || {
            let come = || {
                if let Some(core) = self.core {
                    machine::keep_to_core(core)?;
                }
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.context("no runtime for the crowd")?.block_on(self.ask(claims))
            };
            // Nobody waits for a crowd that was interrupted.
            let _ = answer.send(come());
        })?;
        answered.await.context("the crowd panicked")?
    }

    async fn ask(self, claims: Vec<Prepared>) -> anyhow::Result<Told> {
        let mut open = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            open.push(self.target.connect().await?);
        }
        let path: Arc<str> = format!("/v1/campaigns/{}/claims", self.campaign).into();
        let start = Instant::now() + Duration::from_millis(100);
        let shared = Arc::new(Shared {
            waiting: Mutex::new(claims.into()),
            next: AtomicU64::new(0),
            start,
            ends: AtomicU64::new(self.at_most.as_micros().try_into().unwrap_or(u64::MAX)),
        });
        let mut workers = JoinSet::new();
        for connection in open {
            workers.spawn(work(self.clone(), connection, Arc::clone(&path), Arc::clone(&shared)));
        }
        let mut told = Told {
            seen: Vec::new(),
            refused: BTreeMap::new(),
            sent_away: Histogram::new_with_bounds(1, LONGEST, DIGITS).context("no histogram")?,
            requests: 0,
            unsent: 0,
            lasted: Duration::ZERO,
            took: Duration::ZERO,
            left: Vec::new(),
        };
        while let Some(worker) = workers.join_next().await {
            let part = worker.context("a connection's task panicked")?;
            told.requests += part.seen.len() as u64 + part.refused.values().sum::<u64>();
            told.seen.extend(part.seen);
            for (code, count) in part.refused {
                *told.refused.entry(code).or_default() += count;
            }
            for took in part.sent_away {
                told.sent_away.saturating_record(took.as_micros().try_into().unwrap_or(LONGEST));
            }
        }
        told.took = start.elapsed();
        told.lasted = Duration::from_micros(shared.ends.load(Ordering::Relaxed));
        told.unsent = whole((told.lasted.as_secs_f64() * self.rate).ceil()).saturating_sub(told.requests);
        told.left = shared.waiting.lock().expect("no panic inside").drain(..).collect();
        Ok(told)
    }
}

/// One connection: at each time that is due it asks for whoever stands first.
async fn work(crowd: Crowd, mut connection: Connection, path: Arc<str>, shared: Arc<Shared>) -> Part {
    let mut part = Part::default();
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let due = Duration::from_secs_f64(number as f64 / crowd.rate);
        if crowd.stop.load(Ordering::Relaxed) {
            shared.end_now();
        }
        if due >= crowd.at_most || crowd.stop.load(Ordering::Relaxed) {
            return part;
        }
        let due = shared.start + due;
        tokio::time::sleep_until(due.into()).await;
        // Whoever would be asked for after the end, because all connections were busy, is counted as not sent.
        if shared.start.elapsed() >= crowd.at_most {
            return part;
        }
        let Some(first) = shared.waiting.lock().expect("no panic inside").pop_front() else {
            shared.end_now();
            return part;
        };
        let asked = connection.ask(Method::POST, &path, "application/json", offer::body(&first)).await;
        let outcome = match asked {
            Ok(answer) => offer::outcome(answer.status, &answer.body),
            Err(error) => Outcome::Unknown(format!("{error:#}")),
        };
        let (latency, due) = (due.elapsed(), due.saturating_duration_since(shared.start));
        if let Outcome::Refused(status, code) = outcome {
            *part.refused.entry(format!("{status} {code}")).or_default() += 1;
            if matches!(status, 429 | 503) {
                part.sent_away.push(latency);
                shared.waiting.lock().expect("no panic inside").push_back(first);
            }
            continue;
        }
        let index = first.claim.index;
        part.seen.push(Seen { id: first.id, index, outcome, due, latency });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::offer::tests::{claims, slow_server};

    #[tokio::test]
    async fn requests_that_were_due_and_not_made_are_told() {
        let crowd = Crowd {
            target: slow_server(Duration::from_millis(300)).await,
            campaign: CampaignId::default(),
            rate: 1_000.0,
            connections: 1,
            at_most: Duration::from_millis(200),
            core: None,
            stop: Arc::default(),
        };
        let told = crowd.come(claims(250)).await.unwrap();
        assert_eq!((told.requests, told.unsent, told.left.len()), (1, 199, 249));
        assert_eq!(told.lasted, Duration::from_millis(200));
    }
}
