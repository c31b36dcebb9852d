//! Intake: a demand is checked as far as this node can, becomes durable, and is answered: decided, waiting with a
//! ticket, or refused before any row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use sluice_core::command::{Accepted, ClaimDemand, Demand};
use sluice_core::ids::{CampaignId, DemandId, EntitlementId, IntakeKey};
use sluice_core::limits::{
    ASKED_AGAIN_MAX, ASKED_AGAIN_WAIT, BODY_BYTES_MAX, DEADLINE_MARGIN, DECIDE_WITHIN, DECISION_WAIT,
    GROUP_EVERY, INTAKE_GROUP_MAX, INTAKE_QUEUE_MAX, INTAKE_QUEUE_WAIT,
};
use sluice_core::log::receipt::{Promise, Ticket};
use sluice_core::refusal::Code;
use sluice_core::sequencer::fair::Fair;
use sluice_store::{IntakeOutcome, IntakeRow, IntakeWriter, NewIntake, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::arrivals::Arrivals;
use crate::clock::DatabaseClock;
use crate::error::EngineError;
use crate::follower::{Follower, Outcome};
use crate::verify::door::{Crowd, LookUpFor};
use crate::verify::{ClaimCheck, Verifier};
use crate::waiting_room::{Estimate, WaitingRoom};

/// What a demand got.
#[derive(Debug)]
pub enum Submitted {
    /// Decided while the request waited.
    Decided(Box<Outcome>),
    /// Durable; the ticket promises a decision.
    Waiting(Box<Ticket>),
    /// The same demand was decided before; its outcome stands in the log.
    Before(IntakeRow),
}

/// Why a demand got no row.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It cannot be paid; nothing was recorded.
    #[error("{}", .0.sentence())]
    Refused(Code),
    /// The id was used for another demand.
    #[error("this id was used for another demand")]
    Conflict,
    /// The waiting room is full.
    #[error("too many demands wait")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The database or a chain cannot be reached now; whether the row was written is found out by asking for the id.
    #[error("the service cannot take demands at the moment")]
    Unavailable {
        /// When to come back.
        retry_after: Duration,
    },
    /// Not a demand.
    #[error("{0}")]
    Malformed(String),
    /// A failure of ours.
    #[error(transparent)]
    Internal(#[from] EngineError),
}

const COME_BACK: Duration = Duration::from_secs(2);
/// How often the writer looks how many have arrived while a group fills.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The door of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Arriving>,
    places: Arc<Semaphore>,
    /// Turns of those who may have asked before.
    asked_again: Arc<Semaphore>,
    follower: Follower,
    verifier: Verifier,
    store: Store,
    room: Arc<WaitingRoom>,
    clock: Arc<DatabaseClock>,
}

/// A demand on its way to its row.
#[derive(Debug)]
struct Arriving {
    row: NewIntake,
    demand: Demand,
    /// When it came.
    since: Instant,
    answer: Answer,
    /// Its place among those on their way.
    place: OwnedSemaphorePermit,
}

/// Who is told what became of a demand's row. It is on its way until they are.
#[derive(Debug)]
struct Asker {
    demand: Demand,
    answer: Answer,
    _place: OwnedSemaphorePermit,
}

type Answer = oneshot::Sender<Result<Written, SubmitError>>;

/// What became of a demand's row, and where its decision will be told; nowhere if it is in the log already.
type Written = (IntakeOutcome, Option<Expected>);

/// A decision that somebody waits for. Whoever goes away is forgotten, or those who ask for one row again and again would be
/// remembered until it is decided.
#[derive(Debug)]
struct Expected {
    follower: Follower,
    key: IntakeKey,
    outcome: Option<oneshot::Receiver<Outcome>>,
}

impl Expected {
    /// The decision, if it comes in time.
    async fn within(mut self, wait: Duration) -> Option<Outcome> {
        let outcome = tokio::time::timeout(wait, self.outcome.as_mut()?).await.ok()?.ok();
        if outcome.is_some() {
            self.outcome = None;
        }
        outcome
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if self.outcome.take().is_some() {
            self.follower.forget(self.key);
        }
    }
}

impl Intake {
    /// A door and the writer behind it; the writer is to be run by [`Writer::run`]. `store` answers whoever is sent away, so
    /// it is not the writer's.
    pub fn new(
        follower: Follower,
        verifier: Verifier,
        store: Store,
        clock: Arc<DatabaseClock>,
        writer: IntakeWriter,
        arrivals: Arc<Arrivals>,
    ) -> (Self, Writer) {
        let (queue, arriving) = mpsc::channel(INTAKE_QUEUE_MAX);
        let places = Arc::new(Semaphore::new(INTAKE_QUEUE_MAX));
        let room = Arc::clone(follower.room());
        let intake = Self {
            queue,
            places,
            asked_again: Arc::new(Semaphore::new(ASKED_AGAIN_MAX)),
            follower: follower.clone(),
            verifier,
            store,
            room: Arc::clone(&room),
            clock,
        };
        let turns = Fair::weighted(room.weights());
        (intake, Writer { arriving, turns, writer, room, follower, arrivals, begun: None })
    }

    /// Whether no demand is on its way to a row.
    pub fn is_quiet(&self) -> bool {
        self.places.available_permits() == INTAKE_QUEUE_MAX
    }

    /// Who waits at this node.
    pub fn room(&self) -> &Arc<WaitingRoom> {
        &self.room
    }

    /// Takes a demand and waits a short time for its decision.
    ///
    /// # Errors
    /// When it gets no row; see [`SubmitError`].
    pub async fn submit(
        &self,
        id: DemandId,
        demand: Demand,
        by: Option<Crowd>,
    ) -> Result<Submitted, SubmitError> {
        let campaign = match &demand {
            Demand::Claim(_) => return Err(SubmitError::Malformed("a claim names its campaign".into())),
            Demand::Command(command) => command.action.queue(),
            Demand::Gate(signed) => signed.campaign,
        };
        // Not in the queue of the claims: of those a crowd may wait, before and after the row.
        self.submit_to(campaign.orders(), id, demand, by).await
    }

    /// Takes a claim.
    ///
    /// # Errors
    /// When it gets no row; see [`SubmitError`].
    pub async fn submit_claim(
        &self,
        campaign: CampaignId,
        id: DemandId,
        claim: ClaimDemand,
        by: Option<Crowd>,
    ) -> Result<Submitted, SubmitError> {
        if campaign.is_orders() {
            return Err(SubmitError::Refused(Code::UnknownCampaign));
        }
        self.submit_to(campaign, id, Demand::Claim(claim), by).await
    }

    async fn submit_to(
        &self,
        queue: CampaignId,
        id: DemandId,
        demand: Demand,
        by: Option<Crowd>,
    ) -> Result<Submitted, SubmitError> {
        let body = demand.encode();
        if body.len() > BODY_BYTES_MAX {
            return Err(SubmitError::Malformed(format!("a demand has at most {BODY_BYTES_MAX} bytes")));
        }
        // First of all: whoever cannot be served in time costs no work.
        let estimate = self.room.estimate(queue).ok_or(SubmitError::Busy { retry_after: COME_BACK })?;
        let body_hash = Sha256::digest(&body).into();
        if let Err(refused) = self.examine(queue, id, &demand, by).await {
            // As little as of whoever finds the waiting room full.
            if matches!(refused, SubmitError::Busy { .. }) {
                return Err(refused);
            }
            // Whoever asks again under the same id is told what became of it, not that it came too late.
            return match self.asked_before(queue, id).await? {
                Some(row) if row.body_hash == body_hash => Ok(Submitted::Before(row)),
                Some(_) => Err(SubmitError::Conflict),
                None => Err(refused),
            };
        }
        let row = new_row(queue, id, body, body_hash, estimate);
        match self.enqueue(row, demand).await? {
            (IntakeOutcome::Conflict, _) => Err(SubmitError::Conflict),
            (IntakeOutcome::Accepted(row) | IntakeOutcome::Existing(row), outcome) => {
                Ok(self.await_decision(row, outcome).await)
            }
        }
    }

    /// The row of an earlier demand under this id. Anybody can make a node look for one, so few look at once.
    async fn asked_before(&self, queue: CampaignId, id: DemandId) -> Result<Option<IntakeRow>, SubmitError> {
        let turn = tokio::time::timeout(ASKED_AGAIN_WAIT, self.asked_again.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(SubmitError::Unavailable { retry_after: COME_BACK });
        };
        self.store.intake_by_id(queue, id).await.map_err(unavailable)
    }

    async fn enqueue(&self, row: NewIntake, demand: Demand) -> Result<Written, SubmitError> {
        let full = || SubmitError::Unavailable { retry_after: COME_BACK };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| full())?;
        let (answer, answered) = oneshot::channel();
        let arriving = Arriving { row, demand, since: Instant::now(), answer, place };
        self.queue.try_send(arriving).map_err(|_| full())?;
        answered.await.map_err(|_| full())?
    }

    /// Waits a short time; afterwards the ticket is the answer.
    async fn await_decision(&self, row: IntakeRow, decision: Option<Expected>) -> Submitted {
        let Some(decision) = decision else { return Submitted::Before(row) };
        match decision.within(DECISION_WAIT).await {
            Some(outcome) => Submitted::Decided(Box::new(outcome)),
            None => Submitted::Waiting(Box::new(self.ticket(&row))),
        }
    }

    /// The ticket of a row: the same for the same row, whenever it is made.
    pub fn ticket(&self, row: &IntakeRow) -> Ticket {
        let promise = Promise {
            intake: row.key,
            id: row.id,
            body_hash: row.body_hash.into(),
            accepted_at: row.accepted_at,
            place: row.place,
            estimate_ms: row.estimate_ms,
            decide_by: row.decide_by,
        };
        let mut tickets = Ticket::give(row.key.node, vec![promise], self.follower.log_key());
        tickets.pop().expect("one promise, one ticket")
    }

    /// Everything that can be said before the row, so that garbage never becomes durable.
    async fn examine(
        &self,
        queue: CampaignId,
        id: DemandId,
        demand: &Demand,
        by: Option<Crowd>,
    ) -> Result<(), SubmitError> {
        match demand {
            Demand::Claim(claim) => self.examine_claim(queue, claim, by).await,
            Demand::Gate(signed) => match self.verifier.gate_words(signed, LookUpFor::Door(by)).await {
                Ok(checked) => checked.map_err(SubmitError::Refused),
                Err(EngineError::LookUpsFull) => Err(SubmitError::Busy { retry_after: COME_BACK }),
                Err(error) => {
                    tracing::warn!(%queue, %id, error = %error, "a gate's masks could not be verified now");
                    Err(SubmitError::Unavailable { retry_after: COME_BACK })
                }
            },
            Demand::Command(command) => {
                crate::verify::check_shape(command).map_err(SubmitError::Malformed)?;
                // A row in the queue of a campaign that does not exist would never be read.
                let campaign = command.action.queue();
                if campaign != CampaignId::default() && self.follower.read(|s| s.campaign(campaign).is_none())
                {
                    return Err(SubmitError::Refused(Code::UnknownCampaign));
                }
                match self.verifier.approvals(id, command, LookUpFor::Door(by)).await {
                    Ok(signed) => signed.map(|_| ()).map_err(SubmitError::Refused),
                    Err(EngineError::LookUpsFull) => Err(SubmitError::Busy { retry_after: COME_BACK }),
                    Err(error) => {
                        tracing::warn!(%queue, %id, error = %error, "a command could not be verified now");
                        Err(SubmitError::Unavailable { retry_after: COME_BACK })
                    }
                }
            }
        }
    }

    async fn examine_claim(
        &self,
        campaign: CampaignId,
        claim: &ClaimDemand,
        by: Option<Crowd>,
    ) -> Result<(), SubmitError> {
        let now = self.clock.now();
        let id = EntitlementId { round: claim.round, index: claim.index };
        self.follower.read(|state| pre_check(state, campaign, claim, now)).map_err(SubmitError::Refused)?;
        if self.room.asks_for(campaign, id) {
            return Err(SubmitError::Refused(Code::ClaimOpen));
        }
        match self.verifier.check_at_door(campaign, claim, by).await {
            Ok(ClaimCheck::Good(_)) => Ok(()),
            Ok(ClaimCheck::Refused(code)) => Err(SubmitError::Refused(code)),
            Err(EngineError::LookUpsFull) => Err(SubmitError::Busy { retry_after: COME_BACK }),
            Err(error) => {
                tracing::warn!(%campaign, error = %error, "a claim could not be verified now");
                Err(SubmitError::Unavailable { retry_after: COME_BACK })
            }
        }
    }
}

/// What can be said against a claim before its row. The decision at its position says the last word.
fn pre_check(
    state: &sluice_core::state::State,
    campaign: CampaignId,
    claim: &ClaimDemand,
    now: u64,
) -> Result<(), Code> {
    state.campaign(campaign).ok_or(Code::UnknownCampaign)?.admits(claim, now)?;
    let earliest = now + millis(DECIDE_WITHIN) + millis(DEADLINE_MARGIN);
    if claim.deadline.saturating_mul(1_000) < earliest { Err(Code::DeadlineTooSoon) } else { Ok(()) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn new_row(queue: CampaignId, id: DemandId, body: Vec<u8>, body_hash: [u8; 32], at: Estimate) -> NewIntake {
    NewIntake {
        campaign: queue,
        id,
        body_hash,
        body,
        place: at.place,
        estimate_ms: at.wait_ms,
        decide_within: DECIDE_WITHIN,
    }
}

fn unavailable(error: sluice_store::Error) -> SubmitError {
    tracing::warn!(error = %error, "the database did not answer");
    SubmitError::Unavailable { retry_after: COME_BACK }
}

/// Writes intake rows in groups: one commit for all that arrived meanwhile.
#[derive(Debug)]
pub struct Writer {
    arriving: mpsc::Receiver<Arriving>,
    /// Those that arrived: when more do than fit a group, campaigns take turns.
    turns: Fair<Arriving>,
    writer: IntakeWriter,
    room: Arc<WaitingRoom>,
    follower: Follower,
    arrivals: Arc<Arrivals>,
    /// When the last group was begun.
    begun: Option<Instant>,
}

impl Writer {
    /// Writes until every [`Intake`] is gone.
    pub async fn run(mut self) {
        while self.tick().await {}
    }

    /// Writes one group; says whether more may come.
    pub async fn tick(&mut self) -> bool {
        let Some(group) = self.gather().await else { return false };
        let (mut rows, mut askers) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for Arriving { row, demand, since, answer, place } in group {
            if since.elapsed() > INTAKE_QUEUE_WAIT {
                let _ = answer.send(Err(SubmitError::Unavailable { retry_after: COME_BACK }));
                continue;
            }
            rows.push(row);
            askers.push(Asker { demand, answer, _place: place });
        }
        match self.writer.append(rows).await {
            Ok(outcomes) => self.accepted(askers, outcomes),
            Err(error) => {
                // Never answered as accepted: whether the rows exist is found out by asking for their ids.
                tracing::warn!(rows = askers.len(), error = %error, "intake rows were not certainly written");
                for Asker { answer, .. } in askers {
                    let _ = answer.send(Err(SubmitError::Unavailable { retry_after: COME_BACK }));
                }
            }
        }
        true
    }

    /// The next group: full, or some time after the one before. `None` when none can come any more.
    async fn gather(&mut self) -> Option<Vec<Arriving>> {
        if self.turns.is_empty() {
            let first = self.arriving.recv().await?;
            self.turns.push(first.row.campaign, first);
        }
        let until = self.begun.map(|begun| begun + GROUP_EVERY);
        while until.is_some_and(|until| Instant::now() < until)
            && self.turns.len() + self.arriving.len() < INTAKE_GROUP_MAX
        {
            // Being woken for each that arrives would cost more than writing it.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        while let Ok(more) = self.arriving.try_recv() {
            self.turns.push(more.row.campaign, more);
        }
        self.begun = Some(Instant::now());
        Some(std::iter::from_fn(|| self.turns.pop()).take(INTAKE_GROUP_MAX).collect())
    }

    /// Lets durable demands wait for their decisions, hands them to the feed, and answers.
    fn accepted(&self, askers: Vec<Asker>, outcomes: Vec<IntakeOutcome>) {
        let key = |outcome: &IntakeOutcome| match outcome {
            IntakeOutcome::Accepted(row) | IntakeOutcome::Existing(row) => Some(row.key),
            IntakeOutcome::Conflict => None,
        };
        for (asker, outcome) in askers.iter().zip(&outcomes) {
            if let IntakeOutcome::Accepted(row) = outcome {
                self.room.enter(row.key, entitlement(&asker.demand));
            }
        }
        // Only now, so that whoever is decided later is in the room to leave it.
        let mut decisions = self.follower.expect_all(outcomes.iter().filter_map(key)).into_iter();
        let (mut handed, mut answers) = (Vec::with_capacity(askers.len()), Vec::with_capacity(askers.len()));
        for (Asker { demand, answer, _place: place }, outcome) in askers.into_iter().zip(outcomes) {
            let decision = key(&outcome).and_then(|key| {
                let outcome = Some(decisions.next().flatten()?);
                Some(Expected { follower: self.follower.clone(), key, outcome })
            });
            match &outcome {
                IntakeOutcome::Accepted(row) if decision.is_none() => self.room.leave(row.key),
                IntakeOutcome::Accepted(row) => {
                    let (key, id, accepted_at) = (row.key, row.id, row.accepted_at);
                    handed.push(Accepted { key, id, accepted_at, demand });
                }
                IntakeOutcome::Existing(_) | IntakeOutcome::Conflict => {}
            }
            answers.push((answer, (outcome, decision), place));
        }
        self.arrivals.hand_over(handed);
        for (answer, written, _place) in answers {
            // A client that went away asks again by its id; what was expected for it is forgotten with it.
            let _ = answer.send(Ok(written));
        }
    }
}

/// What a claim asks for.
fn entitlement(demand: &Demand) -> Option<EntitlementId> {
    match demand {
        Demand::Claim(claim) => Some(EntitlementId { round: claim.round, index: claim.index }),
        Demand::Command(_) | Demand::Gate(_) => None,
    }
}

#[cfg(test)]
mod tests;
