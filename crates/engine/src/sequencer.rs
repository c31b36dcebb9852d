//! The leader's loop: verified inputs into groups, groups into the log, answers only after a certain commit. While one
//! group is on its way to the disk the next is decided on top of it; it is sent when the one before it is certain.

mod observed;
mod pace;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use sluice_core::decide::Input;
use sluice_core::ids::{CampaignId, Epoch};
use sluice_core::limits::{GROUP_EVERY, GROUP_INPUTS_MAX, GROUP_WAIT, LEASE_RENEW_EVERY, VERIFY_QUEUE_MAX};
use sluice_core::log::entry::{Body, Entry, Erased};
use sluice_core::sequencer::fair::Fair;
use sluice_core::sequencer::{Decider, Facts, Group};
use sluice_store::{Append, AppendError, Appended, Attempt, Destroys, LeaderSession, LogRow};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use crate::clock::DatabaseClock;
use crate::error::EngineError;
use crate::follower::{Follower, OwnGroup};
use observed::Observed;
use pace::Pace;

/// How often the leader looks how many are verified while a group fills. Being woken for each would cost more than deciding
/// it does.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Observations that belong together: they stand in one group, or none does.
#[derive(Debug)]
pub struct Submission {
    /// What was observed or planned, in order; at most [`GROUP_INPUTS_MAX`].
    pub bodies: Vec<Body>,
    /// The raw bytes of `AttemptSigned` entries, by hash.
    pub raw: Vec<RawAttempt>,
    /// What the `Erased` entries destroy, by order.
    pub destroys: Vec<Destroys>,
    /// Told which of the bodies became entries, after the commit.
    pub done: oneshot::Sender<Vec<Entry>>,
}

/// A signed transaction to be stored with its entry.
#[derive(Clone, Debug)]
pub struct RawAttempt {
    /// The chain it is for.
    pub chain_id: u64,
    /// Its hash.
    pub hash: B256,
    /// What goes on the wire.
    pub raw: Vec<u8>,
}

/// Hands observations to the leader of this term. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Observations(mpsc::Sender<Submission>);

impl Observations {
    /// A channel to a sequencer.
    pub fn channel() -> (Self, mpsc::Receiver<Submission>) {
        let (sender, receiver) = mpsc::channel(GROUP_INPUTS_MAX);
        (Self(sender), receiver)
    }

    /// Appends observations and waits for the commit; returns those that became entries. What the state had overtaken
    /// did not.
    ///
    /// # Errors
    /// When this node stopped leading: whether they were committed is seen in the log.
    pub async fn append(&self, bodies: Vec<Body>, raw: Vec<RawAttempt>) -> Result<Vec<Entry>, EngineError> {
        self.submit(bodies, raw, Vec::new()).await
    }

    /// Appends the entry that says what is destroyed, and destroys it in the same append.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn destroy(&self, destroys: Destroys) -> Result<Vec<Entry>, EngineError> {
        let erased = Erased {
            order: destroys.order,
            facts: destroys.facts.clone(),
            attestations: destroys.attestations.len() as u64,
        };
        self.submit(vec![Body::Erased(erased)], Vec::new(), vec![destroys]).await
    }

    async fn submit(
        &self,
        bodies: Vec<Body>,
        raw: Vec<RawAttempt>,
        destroys: Vec<Destroys>,
    ) -> Result<Vec<Entry>, EngineError> {
        let (done, committed) = oneshot::channel();
        let submission = Submission { bodies, raw, destroys, done };
        self.0.send(submission).await.map_err(|_| EngineError::Stopping)?;
        committed.await.map_err(|_| EngineError::Stopping)
    }
}

/// A verified demand on its way to the sequencer, with the campaign in whose queue it stands.
pub type Verified = (CampaignId, Input);

/// Where demands that must be verified again go back to.
pub type Again = mpsc::UnboundedSender<Input>;

/// The way to the log.
#[derive(Debug)]
enum Log {
    /// Nothing is on its way.
    Free(Box<LeaderSession>),
    /// A group is. Its task has the session, and ends with this.
    Appending(JoinSet<Sent>, Box<Decided>),
    /// The last append is not certain: the term is over.
    Lost,
}

/// A session that sent a group, what became of it, and when it was sent.
type Sent = (Box<LeaderSession>, Result<Appended, AppendError>, Instant);

/// A group with the submissions that are in it.
#[derive(Debug)]
struct Decided {
    group: Group,
    submissions: Vec<Submission>,
}

/// One term of leadership.
#[derive(Debug)]
pub struct Sequencer {
    log: Log,
    follower: Follower,
    clock: Arc<DatabaseClock>,
    decider: Decider,
    epoch: Epoch,
    submissions: mpsc::Receiver<Submission>,
    verified: mpsc::Receiver<Verified>,
    again: Again,
    waiting: Fair<Input>,
    /// What the last group had no room for.
    over: Option<Submission>,
    pace: Pace,
    renewed: Instant,
    /// When the last group was sent.
    sent: Option<tokio::time::Instant>,
}

impl Sequencer {
    /// A term that begins with the follower at the head of the log.
    pub fn new(
        session: LeaderSession,
        follower: Follower,
        clock: Arc<DatabaseClock>,
        epoch: Epoch,
        submissions: mpsc::Receiver<Submission>,
        verified: mpsc::Receiver<Verified>,
        again: Again,
    ) -> Self {
        let decider = follower.decider(epoch);
        let (waiting, renewed) = (Fair::weighted(follower.room().weights()), Instant::now());
        let log = Log::Free(Box::new(session));
        let pace = Pace::new(None);
        Self {
            log,
            follower,
            clock,
            decider,
            epoch,
            submissions,
            verified,
            again,
            waiting,
            over: None,
            pace,
            renewed,
            sent: None,
        }
    }

    /// The same, deciding no more demands a second than this.
    pub fn at_most(self, per_second: Option<NonZeroU32>) -> Self {
        Self { pace: Pace::new(per_second), ..self }
    }

    /// Appends until something ends the term.
    ///
    /// # Errors
    /// Always: what ended it.
    pub async fn run(mut self) -> Result<std::convert::Infallible, EngineError> {
        loop {
            self.tick().await?;
        }
    }

    /// One group. Waits a moment for inputs; without any it only keeps the lease.
    async fn tick(&mut self) -> Result<(), EngineError> {
        let submissions = self.gather().await?;
        let mut inputs: Vec<Input> =
            submissions.iter().flat_map(|s| s.bodies.iter().cloned().map(Input::Observed)).collect();
        let room = self.pace.room().min(GROUP_INPUTS_MAX.saturating_sub(inputs.len()));
        let demands: Vec<Input> = std::iter::from_fn(|| self.waiting.pop()).take(room).collect();
        let demanded = demands.len();
        inputs.extend(demands);
        let mut group = self.decider.group(inputs, self.clock.now())?;
        let rest = std::mem::take(&mut group.rest);
        self.pace.take(demanded - rest.len());
        for input in rest.into_iter().rev() {
            let key = input.intake().expect("only demands are handed back");
            self.waiting.put_back(key.campaign, input);
        }
        let decided = Box::new(Decided { group, submissions });
        let (session, before) = self.appended().await?;
        if decided.group.entries.is_empty() {
            self.renew(session).await?;
            before.map_or(Ok(()), |before| self.finish(before))?;
            return self.finish(decided);
        }
        self.log = append(session, decided);
        self.sent = Some(tokio::time::Instant::now());
        before.map_or(Ok(()), |before| self.finish(before))
    }

    /// Waits until nothing is on its way to the log. Yields the session, and what was on its way.
    async fn appended(&mut self) -> Result<(Box<LeaderSession>, Option<Box<Decided>>), EngineError> {
        match std::mem::replace(&mut self.log, Log::Lost) {
            Log::Free(session) => Ok((session, None)),
            Log::Lost => Err(EngineError::Stopping),
            Log::Appending(mut task, decided) => {
                let sent = task.join_next().await.ok_or(EngineError::Stopping)?;
                Ok((self.certain(sent)?, Some(decided)))
            }
        }
    }

    /// A session that appended; every other end of an append is the end of the term.
    fn certain(&mut self, sent: Result<Sent, JoinError>) -> Result<Box<LeaderSession>, EngineError> {
        let (session, appended, asked) =
            sent.map_err(|panic| EngineError::Incident(format!("an append panicked: {panic}")))?;
        let appended = appended.map_err(|e| self.ended(e))?;
        // The append renews the lease along the way.
        self.renewed = Instant::now();
        self.set_clock(appended.now, asked)?;
        Ok(session)
    }

    /// Submissions for the next group, and verified demands into the waiting queues: until the group is full or, when
    /// nothing is on its way to the log, some time after the last one; without any, for a moment. What comes back from the
    /// log meanwhile is answered at once.
    async fn gather(&mut self) -> Result<Vec<Submission>, EngineError> {
        let mut observed = Observed::beginning_with(self.over.take());
        let deadline = tokio::time::Instant::now() + GROUP_WAIT;
        loop {
            // All that are verified take their campaigns' turns: none waits for others in front of them.
            while let Ok((campaign, input)) = self.verified.try_recv() {
                self.waiting.push(campaign, input);
                if self.waiting.len() >= VERIFY_QUEUE_MAX {
                    break;
                }
            }
            while observed.is_open()
                && let Ok(submission) = self.submissions.try_recv()
            {
                observed.take(submission);
            }
            let ready = self.waiting.len().min(self.pace.room());
            let full = ready + observed.count() >= GROUP_INPUTS_MAX;
            let any = ready > 0 || !observed.is_empty();
            let now = tokio::time::Instant::now();
            let late = now >= if any { self.sent.map_or(now, |sent| sent + GROUP_EVERY) } else { deadline };
            let on_its_way = match &mut self.log {
                Log::Appending(task, _) => Some(task),
                Log::Free(_) | Log::Lost => None,
            };
            if full || late && on_its_way.is_none() {
                let (submissions, over) = observed.end();
                self.over = over;
                return Ok(submissions);
            }
            let written = async {
                match on_its_way {
                    Some(task) => task.join_next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                sent = written => {
                    let session = self.certain(sent.ok_or(EngineError::Stopping)?)?;
                    if let Log::Appending(_, before) = std::mem::replace(&mut self.log, Log::Free(session)) {
                        self.finish(before)?;
                    }
                }
                () = tokio::time::sleep_until(if any { now + LOOK_EVERY } else { deadline }), if any || !late => {}
                Some((campaign, input)) = self.verified.recv(), if !any => self.waiting.push(campaign, input),
                Some(submission) = self.submissions.recv(), if observed.is_open() => observed.take(submission),
            }
        }
    }

    async fn renew(&mut self, mut session: Box<LeaderSession>) -> Result<(), EngineError> {
        if self.renewed.elapsed() >= LEASE_RENEW_EVERY {
            let asked = Instant::now();
            let now = session.renew().await.map_err(|e| self.ended(e))?;
            self.renewed = Instant::now();
            self.set_clock(now, asked)?;
        }
        self.log = Log::Free(session);
        Ok(())
    }

    fn set_clock(&self, now: u64, asked: Instant) -> Result<(), EngineError> {
        self.clock.set(now, asked).map_err(|drift| {
            EngineError::Config(format!(
                "the database's clock and this machine's went apart by {} ms",
                drift.by
            ))
        })
    }

    /// What a failed statement means for this term.
    fn ended(&self, error: AppendError) -> EngineError {
        match error {
            AppendError::Fenced { .. } => EngineError::Fenced(self.epoch),
            // An uncertain commit ends the term: the next one takes a higher epoch, which waits for this statement to
            // end, and reads from the log what became of it. One path for both.
            other => EngineError::Append(other),
        }
    }

    /// After the commit: the follower moves, waiting requests are answered, submitters are told.
    fn finish(&mut self, decided: Box<Decided>) -> Result<(), EngineError> {
        let Decided { group, submissions } = *decided;
        let Group { entries, encoded, leaves, appended, tree, again, .. } = group;
        for input in again {
            // The verifying half of the term outlives this one; if not, the row is read again in the next term.
            let _ = self.again.send(input);
        }
        let observed: Vec<Entry> = match submissions.is_empty() {
            true => Vec::new(),
            false => entries.iter().filter(|e| e.body.intake().is_none()).cloned().collect(),
        };
        self.follower.advance_group(OwnGroup::new(entries, encoded, leaves, appended.paths, tree))?;
        let mut observed = observed.into_iter().peekable();
        for submission in submissions {
            let mut mine = Vec::new();
            for body in &submission.bodies {
                // Due entries come first in a group and belong to nobody.
                while observed.next_if(|e| matches!(e.body, Body::Due(_)) && e.body != *body).is_some() {}
                mine.extend(observed.next_if(|e| e.body == *body));
            }
            // A submitter that was stopped reads the log when it starts again.
            let _ = submission.done.send(mine);
        }
        Ok(())
    }
}

/// Sends a group on its way to the log.
fn append(mut session: Box<LeaderSession>, decided: Box<Decided>) -> Log {
    let Decided { group, submissions } = &*decided;
    let append = Append {
        first: group.entries.first().map_or(0, |e| e.seq),
        rows: rows(group),
        postings: group.postings.clone(),
        attempts: attempts(group, submissions),
        tiles: group.appended.tiles.clone(),
        facts: facts(group),
        destroys: destroys(group, submissions),
    };
    let mut task = JoinSet::new();
    task.spawn(async move {
        let asked = Instant::now();
        let appended = session.append(&append).await;
        (session, appended, asked)
    });
    Log::Appending(task, decided)
}

fn rows(group: &Group) -> Vec<LogRow> {
    group
        .entries
        .iter()
        .zip(&group.encoded)
        .zip(&group.leaves)
        .map(|((entry, bytes), leaf)| LogRow {
            kind: entry.body.kind(),
            entry: bytes.clone(),
            leaf: *leaf,
            intake: entry.body.intake(),
        })
        .collect()
}

/// What is kept of the group's claims. Verification lets nothing through that could not be kept
/// ([`sluice_core::limits::FACT_BYTES_MAX`]); a gate that lacks a rule set looks at nothing.
fn facts(group: &Group) -> Vec<Facts> {
    group.facts.iter().filter(|facts| !facts.bytes.is_empty()).cloned().collect()
}

/// What the group's `Erased` entries destroy, at their positions.
fn destroys(group: &Group, submissions: &[Submission]) -> Vec<Destroys> {
    let submitted = |order: u64| submissions.iter().flat_map(|s| &s.destroys).find(|d| d.order == order);
    let erased = group.entries.iter().filter_map(|entry| match &entry.body {
        Body::Erased(erased) => Some((entry.seq, erased)),
        _ => None,
    });
    erased
        .map(|(seq, erased)| {
            let destroys = submitted(erased.order).expect("an erasure is submitted with what it destroys");
            Destroys { seq, ..destroys.clone() }
        })
        .collect()
}

fn attempts(group: &Group, submissions: &[Submission]) -> Vec<Attempt> {
    let raw: HashMap<B256, &RawAttempt> =
        submissions.iter().flat_map(|s| &s.raw).map(|raw| (raw.hash, raw)).collect();
    group
        .entries
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::AttemptSigned(signed) => {
                let raw = raw.get(&signed.tx_hash).expect("an attempt is submitted with its bytes");
                Some(Attempt {
                    seq: entry.seq,
                    campaign: signed.campaign,
                    batch: signed.batch,
                    chain: raw.chain_id,
                    lane: signed.lane,
                    nonce: signed.nonce,
                    hash: signed.tx_hash,
                    raw: raw.raw.clone(),
                })
            }
            _ => None,
        })
        .collect()
}
