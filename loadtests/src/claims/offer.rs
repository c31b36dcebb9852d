//! Claims offered at their times, whether or not earlier ones were answered: an open loop. A claim's latency counts from
//! when it was due, not from when a connection was free for it, so a server that stalls is charged for everybody who
//! would have come meanwhile (no coordinated omission).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::hex;
use anyhow::Context;
use hyper::Method;
use hyper::body::Bytes;
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{CampaignId, DemandId};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::client::{Connection, Target};
use super::processor::thread_seconds;

/// A claim with the id it is made under.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) id: DemandId,
    pub(crate) claim: ClaimDemand,
}

/// What the client saw of a claim it sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: DemandId,
    pub(crate) index: u64,
    pub(crate) outcome: Outcome,
    /// When it was due, counted from the offering's start.
    pub(crate) due: Duration,
    /// From when it was due until the answer was read.
    pub(crate) latency: Duration,
}

/// A claim that was due and not begun: until the offering's end no connection was free for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsent {
    /// When it was due, counted from the offering's start.
    pub(crate) due: Duration,
    /// How long it had waited when the last answer was read; its own would have come later.
    pub(crate) waited: Duration,
}

/// How a claim was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 201: decided, at this position.
    Decided(u64),
    /// 202: accepted, with a ticket.
    Waiting,
    /// Refused, with status and code.
    Refused(u16, String),
    /// No answer; it may have been accepted.
    Unknown(String),
}

/// Everything one offering came to.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) seen: Vec<Seen>,
    /// Those that came in vain. They are told wherever latencies are: left out, a server that stalls would be spared whoever
    /// it kept waiting longest.
    pub(crate) unsent: Vec<Unsent>,
    /// From the first claim's time to the last answer.
    pub(crate) took: Duration,
    /// Processor seconds of the generator's thread.
    pub(crate) generator: f64,
}

impl Record {
    /// Its claims by the third of `time` in which they were due; each third takes as long, and the last until the end.
    pub(crate) fn into_thirds(self, time: Duration) -> Vec<Self> {
        let third = time / 3;
        let last = self.took.saturating_sub(third * 2).max(Duration::from_millis(1));
        let mut thirds: Vec<Self> = [third, third, last]
            .map(|took| Self { took, generator: self.generator / 3.0, ..Self::default() })
            .into();
        let of = |due: Duration| usize::from(due >= third) + usize::from(due >= third * 2);
        for seen in self.seen {
            thirds[of(seen.due)].seen.push(seen);
        }
        for unsent in self.unsent {
            thirds[of(unsent.due)].unsent.push(unsent);
        }
        thirds
    }
}

/// How claims come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many a second, come what may.
    PerSecond(f64),
    /// As soon as a connection is free: finds out what a server bears.
    AsTaken,
}

/// What is offered, to whom.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) target: Target,
    pub(crate) campaign: CampaignId,
    pub(crate) pace: Pace,
    /// Connections; with each of them busy an arrival waits, and its waiting counts.
    pub(crate) connections: usize,
    /// No claim is begun after this.
    pub(crate) at_most: Duration,
    /// Ends the offering early.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Offer {
    /// Offers claims until they run out or time does, from a thread of its own; says what came of them, and gives back
    /// those not offered.
    pub(crate) async fn make(self, claims: Vec<Prepared>) -> anyhow::Result<(Record, Vec<Prepared>)> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("generator".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let made = runtime
                .context("no runtime for the generator")
                .and_then(|runtime| runtime.block_on(self.offer(claims)));
            // Nobody waits for an offering that was interrupted.
            let _ = answer.send(made);
        })?;
        answered.await.context("the generator panicked")?
    }

    async fn offer(self, claims: Vec<Prepared>) -> anyhow::Result<(Record, Vec<Prepared>)> {
        let before = thread_seconds();
        let mut open = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            open.push(self.target.connect().await?);
        }
        let path: Arc<str> = format!("/v1/campaigns/{}/claims", self.campaign).into();
        let (claims, next) = (Arc::new(claims), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now() + Duration::from_millis(100);
        let mut workers = JoinSet::new();
        for connection in open {
            let (claims, next, path, offer) =
                (Arc::clone(&claims), Arc::clone(&next), Arc::clone(&path), self.clone());
            workers.spawn(work(offer, connection, path, claims, next, start));
        }
        let mut record = Record::default();
        while let Some(worker) = workers.join_next().await {
            record.seen.extend(worker.context("a connection's task panicked")?);
        }
        record.took = start.elapsed();
        record.generator = thread_seconds() - before;
        let begun = next.load(Ordering::Relaxed);
        record.unsent = self.unsent(begun..claims.len(), record.took);
        let left = claims.get(begun..).unwrap_or_default().to_vec();
        Ok((record, left))
    }

    /// Takes the number of the next claim that is due before the end, if there is one.
    fn take(&self, next: &AtomicUsize, count: usize) -> Option<usize> {
        let another = |n: usize| (n < count && self.due(n) < self.at_most).then_some(n + 1);
        next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok()
    }

    /// Those of the claims not begun that were due when the offering had lasted as long as it might, or was ended.
    fn unsent(&self, left: Range<usize>, took: Duration) -> Vec<Unsent> {
        let Pace::PerSecond(_) = self.pace else { return Vec::new() };
        let until = self.at_most.min(took);
        let due = left.map(|number| self.due(number)).take_while(|due| *due < until);
        due.map(|due| Unsent { due, waited: took.saturating_sub(due) }).collect()
    }

    /// When the claim of this number is due, counted from the start.
    fn due(&self, number: usize) -> Duration {
        match self.pace {
            Pace::PerSecond(rate) => Duration::from_secs_f64(number as f64 / rate),
            Pace::AsTaken => Duration::ZERO,
        }
    }
}

/// One connection: takes the next claim that is due, sends it, notes what came of it.
async fn work(
    offer: Offer,
    mut connection: Connection,
    path: Arc<str>,
    claims: Arc<Vec<Prepared>>,
    next: Arc<AtomicUsize>,
    start: Instant,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        if offer.stop.load(Ordering::Relaxed) || start.elapsed() >= offer.at_most {
            return seen;
        }
        let Some(number) = offer.take(&next, claims.len()) else { return seen };
        let prepared = &claims[number];
        let due = match offer.pace {
            Pace::PerSecond(_) => start + offer.due(number),
            Pace::AsTaken => Instant::now().max(start),
        };
        tokio::time::sleep_until(due.into()).await;
        let outcome = match connection.ask(Method::POST, &path, "application/json", body(prepared)).await {
            Ok(answer) => outcome(answer.status, &answer.body),
            Err(error) => Outcome::Unknown(format!("{error:#}")),
        };
        let index = prepared.claim.index;
        let (latency, due) = (due.elapsed(), due.saturating_duration_since(start));
        seen.push(Seen { id: prepared.id, index, outcome, due, latency });
    }
}

/// The request's body, in full, so that the server looks nothing up.
pub(crate) fn body(Prepared { id, claim }: &Prepared) -> Bytes {
    format!(
        r#"{{"id":"{id}","round":{},"index":{},"recipient":"{}","amount":"{}","deadline":{},"signature":"{}"}}"#,
        claim.round,
        claim.index,
        hex::encode_prefixed(claim.recipient),
        claim.amount.get(),
        claim.deadline,
        hex::encode_prefixed(&claim.signature)
    )
    .into()
}

/// What an answer says. The position is looked for in the text: reading a whole receipt would cost more than the claim.
pub(crate) fn outcome(status: u16, body: &[u8]) -> Outcome {
    let text = || std::str::from_utf8(body).unwrap_or_default();
    match status {
        201 => {
            let after = text().split_once(r#""seq":"#).map_or("", |(_, after)| after);
            let digits = after.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            Outcome::Decided(digits.parse().unwrap_or(0))
        }
        202 => Outcome::Waiting,
        _ => {
            let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            Outcome::Refused(status, problem["code"].as_str().unwrap_or("no code").to_owned())
        }
    }
}

/// Names each claim.
pub(crate) fn prepare(claims: impl IntoIterator<Item = ClaimDemand>) -> Vec<Prepared> {
    claims.into_iter().map(|claim| Prepared { id: DemandId(Uuid::now_v7()), claim }).collect()
}

#[cfg(test)]
pub(crate) mod tests;
