//! Many attestations in one request: lines are read as they come and answered in order, with a bound on how many are
//! under way, so that a delivery of millions needs the memory of a few.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use sluice_engine::attestations::AttestationError;
use sluice_gate::attestation::AttestationCode;
use tokio::sync::{Semaphore, mpsc};

use super::{BODY_BYTES_MAX, KeptView, refused};
use crate::http::Api;
use crate::http::bounds::{
    BULK_FOR, BULK_IN_FLIGHT_MAX, BULK_LINES_MAX, BULK_TRIES_MAX, BULKS_MAX, COME_BACK, TURN_WAIT,
};
use crate::http::client::Network;
use crate::http::limits::Charged;
use crate::http::problem::{self, Problem};

/// Places for bulk deliveries. A delivery keeps its place until its last answer.
#[derive(Clone, Debug)]
pub(crate) struct Bulks(Arc<Semaphore>);

impl Default for Bulks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BULKS_MAX)))
    }
}

/// The answer to one line.
#[derive(Debug, Serialize)]
struct Answer {
    /// The line, from 1.
    line: u64,
    /// As a request of its own would be answered.
    status: u16,
    #[serde(flatten)]
    kept: Option<KeptView>,
    #[serde(flatten)]
    problem: Option<Problem>,
}

/// A line, or why there is none.
enum Line {
    Text(String),
    TooLong,
    NotText,
    /// The body ended in the middle, or the delivery has as many lines as one may have: nothing after it was read.
    Cut(Problem),
}

/// Takes the lines of a body and answers each. The work goes on in a task of its own, which ends in time whether
/// anybody reads the answers or not.
pub(super) async fn answer(api: &Api, charged: Option<Network>, body: Body) -> Result<Response, Problem> {
    let busy = || Problem::from(problem::BUSY).retry_after(COME_BACK);
    let place = tokio::time::timeout(TURN_WAIT, Arc::clone(&api.bulks.0).acquire_owned()).await;
    let place = place.map_err(|_| busy())?.map_err(|_| busy())?;
    let (send, receive) = mpsc::channel::<Bytes>(BULK_IN_FLIGHT_MAX);
    let api = api.clone();
    tokio::spawn(async move {
        let work = async {
            let lines = lines(body).enumerate();
            let mut answers = std::pin::pin!(
                lines.map(|(at, line)| one(&api, charged, at as u64 + 1, line)).buffered(BULK_IN_FLIGHT_MAX)
            );
            while let Some(answer) = answers.next().await {
                if send.send(answer).await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(BULK_FOR, work).await.is_err() {
            tracing::debug!("a bulk delivery took too long and is sent again from its last answer");
        }
        drop(place);
    });
    let answers = stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|line| (Ok::<_, std::convert::Infallible>(line), receive))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(answers)).into_response())
}

async fn one(api: &Api, charged: Option<Network>, line: u64, text: Line) -> Bytes {
    let said = match text {
        Line::Text(text) => submit(api, charged, text).await,
        Line::TooLong => Err(Problem::from(AttestationCode::TooLarge)),
        Line::NotText => Err(Problem::from(AttestationCode::Malformed).detail("the line is not UTF-8")),
        Line::Cut(problem) => Err(problem),
    };
    let answer = match said {
        Ok(kept) => {
            Answer { line, status: if kept.known { 200 } else { 201 }, kept: Some(kept), problem: None }
        }
        Err(problem) => {
            if let Some(network) = charged.filter(|_| problem.status() == 422) {
                api.front.limits.charge(Charged::Attestations, network);
            }
            Answer { line, status: problem.status(), kept: None, problem: Some(problem) }
        }
    };
    let mut bytes = serde_json::to_vec(&answer).expect("an answer is strings and numbers");
    bytes.push(b'\n');
    bytes.into()
}

/// Waits for room a few times: a delivery goes as fast as the queue does.
async fn submit(api: &Api, charged: Option<Network>, text: String) -> Result<KeptView, Problem> {
    let mut tries = 0;
    loop {
        let barred = charged.map_or(Ok(()), |n| api.front.limits.admit(Charged::Attestations, n));
        let wait: (Duration, Problem) = match barred {
            Err(wait) => (wait, problem::TOO_MANY_REQUESTS.into()),
            Ok(()) => match api.node.attestations().submit(text.clone()).await {
                Ok(kept) => return Ok(kept.into()),
                Err(error @ AttestationError::Busy { retry_after }) => (retry_after, refused(&error)),
                Err(error) => return Err(refused(&error)),
            },
        };
        tries += 1;
        if tries > BULK_TRIES_MAX {
            return Err(wait.1);
        }
        tokio::time::sleep(wait.0.min(COME_BACK)).await;
    }
}

/// What was read of a body and not yet split.
struct Reading<S> {
    body: S,
    rest: Vec<u8>,
    /// Up to where `rest` is known to hold no end of a line.
    looked: usize,
    /// Passing over the rest of a line that is too long.
    skipping: bool,
    lines: u64,
    ended: bool,
}

/// The lines of a body; empty ones are passed over and not counted.
fn lines(body: Body) -> impl Stream<Item = Line> {
    let body = body.into_data_stream();
    let reading = Reading { body, rest: Vec::new(), looked: 0, skipping: false, lines: 0, ended: false };
    stream::unfold(reading, |mut reading| async { reading.next().await.map(|line| (line, reading)) })
}

impl<S: Stream<Item = Result<Bytes, axum::Error>> + Unpin> Reading<S> {
    async fn next(&mut self) -> Option<Line> {
        let line = self.line().await?;
        self.lines += 1;
        if self.lines > BULK_LINES_MAX {
            self.ended = true;
            self.rest.clear();
            let detail = format!("a delivery has at most {BULK_LINES_MAX} lines; send the rest in another");
            return Some(Line::Cut(Problem::from(problem::BODY_TOO_LARGE).detail(detail)));
        }
        Some(line)
    }

    async fn line(&mut self) -> Option<Line> {
        loop {
            if let Some(end) = self.rest[self.looked..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=self.looked + end).collect();
                self.looked = 0;
                if std::mem::take(&mut self.skipping) {
                    continue;
                }
                match read(&line) {
                    Some(line) => return Some(line),
                    None => continue,
                }
            }
            self.looked = self.rest.len();
            if self.skipping {
                (self.rest, self.looked) = (Vec::new(), 0);
            } else if self.rest.len() > BODY_BYTES_MAX {
                (self.rest, self.looked, self.skipping) = (Vec::new(), 0, true);
                return Some(Line::TooLong);
            }
            if self.ended {
                let last = std::mem::take(&mut self.rest);
                self.looked = 0;
                return read(&last);
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.rest.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    self.ended = true;
                    self.rest.clear();
                    self.looked = 0;
                    let detail = format!("the body broke off here: {error}");
                    return Some(Line::Cut(Problem::from(problem::MALFORMED_BODY).detail(detail)));
                }
                None => self.ended = true,
            }
        }
    }
}

/// A line without its end; `None` for an empty one.
fn read(line: &[u8]) -> Option<Line> {
    if line.len() > BODY_BYTES_MAX + 1 {
        return Some(Line::TooLong);
    }
    match std::str::from_utf8(line) {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(Line::Text(text.trim().to_owned())),
        Err(_) => Some(Line::NotText),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn split(chunks: Vec<&'static [u8]>) -> Vec<String> {
        let body = Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::convert::Infallible>)));
        let said = lines(body).map(|line| match line {
            Line::Text(text) => text,
            Line::TooLong => "too long".into(),
            Line::NotText => "not text".into(),
            Line::Cut(problem) => problem.code().into(),
        });
        said.collect().await
    }

    #[tokio::test]
    async fn lines_are_split_wherever_chunks_end() {
        assert_eq!(split(vec![b"{\"a\"", b":1}\r\n\n{}", b"\n[", b"]"]).await, ["{\"a\":1}", "{}", "[]"]);
        assert_eq!(split(vec![b"\xff\n{}\n"]).await, ["not text", "{}"]);
        assert_eq!(split(vec![]).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_one_answer_and_the_next_is_read() {
        static LONG: [u8; BODY_BYTES_MAX] = [b'a'; BODY_BYTES_MAX];
        assert_eq!(split(vec![b"1\n", &LONG, b"aa", &LONG, b"\n2\n"]).await, ["1", "too long", "2"]);
        assert_eq!(split(vec![&LONG, b"a"]).await, ["too long"]);
    }
}
