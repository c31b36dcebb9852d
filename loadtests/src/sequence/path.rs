//! The group-commit path without HTTP and signatures: the node's one intake writer, the leader's sequencer on its fenced
//! session, the follower that answers with receipts, each as a node runs it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use anyhow::{Context, bail, ensure};
use sluice_core::command::{ClaimDemand, Demand};
use sluice_core::decide::{ClaimVerdict, Input, VerifiedClaim};
use sluice_core::ids::{CampaignId, DemandId, EntitlementId, NodeId, StreamId};
use sluice_core::limits::{DECIDE_WITHIN, GROUP_INPUTS_MAX, INTAKE_GROUP_MAX, LEASE};
use sluice_core::log::entry::{Body, EpochBegan, SignedBy};
use sluice_core::log::note::{LogKey, Origin};
use sluice_engine::clock::DatabaseClock;
use sluice_engine::error::EngineError;
use sluice_engine::follower::{Follower, Outcome};
use sluice_engine::sequencer::{Observations, Sequencer, Verified};
use sluice_server::dev;
use sluice_snapshot::Snapshot;
use sluice_store::{IntakeOutcome, IntakeWriter, LeaderSession, NewIntake, Options, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::claims::ground::{FAR, Ground, Round};

/// Groups taken before the one that is written is durable, and durable before they are handed on.
const AHEAD: usize = 4;
/// Groups of answers on their way.
const ANSWERS: usize = 64;
/// Between two looks at who leads.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest a turn may stand still.
const STUCK: Duration = Duration::from_secs(30);

/// A term of leadership over a ground whose node has stopped.
pub(crate) struct GroupCommit {
    store: Store,
    follower: Follower,
    writer: IntakeWriter,
    node: NodeId,
    door: Door,
    verified: mpsc::Sender<Verified>,
    _observations: Observations,
    term: JoinHandle<EngineError>,
    /// Rows written so far.
    written: u64,
}

/// What takes claims and hands them on.
#[derive(Clone)]
struct Door {
    follower: Follower,
    campaign: CampaignId,
    round: u64,
    snapshot: Arc<Snapshot>,
}

/// Claims with their rows.
type Taken = (Vec<ClaimDemand>, Vec<NewIntake>);
/// Claims with what became of their rows.
type Durable = (Vec<ClaimDemand>, Vec<IntakeOutcome>);

/// Where the rows of a turn lie.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(super) campaign: CampaignId,
    pub(super) node: NodeId,
    /// Intake rows above the first number, up to the second.
    pub(super) intake: (u64, u64),
    /// Positions likewise.
    pub(super) log: (u64, u64),
}

/// A turn that is done.
pub(crate) struct Done {
    pub(crate) took: Duration,
    pub(crate) rows: Rows,
}

impl GroupCommit {
    /// Takes the epoch and leads.
    pub(crate) async fn lead(ground: &Ground, round: &Round) -> anyhow::Result<Self> {
        let store = Store::connect(&ground.prepared.database_url, Options::default()).await?;
        let stream = StreamId(0);
        let log_key = LogKey::new(&Origin::new(ground.prepared.home(), stream), &dev::log_secret());
        let follower = Follower::new(stream, log_key);
        while follower.catch_up(&store).await? {}
        let clock = Arc::new(DatabaseClock::new(store.database_now().await?));
        let node = store.register_node("sluice-load sequence").await?;
        let holder = format!("sluice-load {}", Uuid::now_v7());
        let mut session = LeaderSession::open(&store, stream).await?;
        // The node before has let go of it, or its lease lapses within seconds.
        let (taken, asked) = loop {
            let asked = Instant::now();
            match session.take_epoch(&holder, LEASE, 1).await? {
                Some(taken) => break (taken, asked),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        clock.reset(taken.now, asked);
        while follower.catch_up(&store).await? {}
        let (observations, submissions) = Observations::channel();
        let (verified, inputs) = mpsc::channel(GROUP_INPUTS_MAX * 4);
        let (again, mut back) = mpsc::unbounded_channel();
        let sequencer =
            Sequencer::new(session, follower.clone(), clock, taken.epoch, submissions, inputs, again);
        let term = tokio::spawn(async move {
            tokio::select! {
                ended = sequencer.run() => match ended {
                    Ok(never) => match never {},
                    Err(error) => error,
                },
                Some(_) = back.recv() => EngineError::Config("a claim was to be verified again".into()),
            }
        });
        let began = Body::EpochBegan(EpochBegan { node, sequencer: 1 });
        observations.append(vec![began], Vec::new()).await?;
        let door = Door {
            follower: follower.clone(),
            campaign: ground.campaign,
            round: round.number,
            snapshot: Arc::clone(&round.snapshot),
        };
        Ok(Self {
            writer: IntakeWriter::new(store.clone(), node),
            store,
            follower,
            node,
            door,
            verified,
            _observations: observations,
            term,
            written: 0,
        })
    }

    /// Decides the claims on these entitlements; done when the last one has its receipt. As in a node, claims are taken,
    /// written and handed on by tasks of their own.
    pub(crate) async fn decide(&mut self, share: Range<u64>) -> anyhow::Result<Done> {
        let count = share.end - share.start;
        let before = (self.written, self.follower.seq());
        let (answers, answered) = mpsc::channel(ANSWERS);
        let answered = tokio::spawn(count_decided(answered));
        let start = Instant::now();
        let (taken, mut groups) = mpsc::channel(AHEAD);
        let door = self.door.clone();
        let taking = tokio::task::spawn_blocking(move || door.take(share, &taken));
        let (durable, written) = mpsc::channel(AHEAD);
        let handing_on = tokio::spawn(self.door.clone().hand_on(written, self.verified.clone(), answers));
        while let Some((claims, rows)) = groups.recv().await {
            let outcomes = self.writer.append(rows).await?;
            if durable.send((claims, outcomes)).await.is_err() {
                break;
            }
        }
        drop(durable);
        taking.await??;
        if let Err(error) = handing_on.await? {
            if self.term.is_finished() {
                bail!("{error}: {}", (&mut self.term).await?);
            }
            return Err(error);
        }
        let decided = answered.await??;
        let took = start.elapsed();
        ensure!(decided == count, "{decided} of {count} claims were decided");
        self.written += count;
        let rows = Rows {
            campaign: self.door.campaign,
            node: self.node,
            intake: (before.0, self.written),
            log: (before.1, self.follower.seq()),
        };
        Ok(Done { took, rows })
    }

    /// Ends the term.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.term.abort();
        // Aborted, or ended by itself, which whoever waited for an answer has seen.
        let _ = self.term.await;
        self.store.close().await;
        Ok(())
    }
}

impl Door {
    /// Makes the claims on these entitlements and their rows, in groups.
    fn take(&self, indexes: Range<u64>, into: &mpsc::Sender<Taken>) -> anyhow::Result<()> {
        for first in indexes.clone().step_by(INTAKE_GROUP_MAX) {
            let group = first..indexes.end.min(first + INTAKE_GROUP_MAX as u64);
            let claims = group.map(|index| self.claim(index)).collect::<anyhow::Result<Vec<_>>>()?;
            let rows = claims.iter().map(|claim| self.row(claim)).collect();
            if into.blocking_send((claims, rows)).is_err() {
                // The turn failed, and says why.
                break;
            }
        }
        Ok(())
    }

    /// Lets durable claims wait for their decisions and hands them to the sequencer.
    async fn hand_on(
        self,
        mut written: mpsc::Receiver<Durable>,
        verified: mpsc::Sender<Verified>,
        answers: mpsc::Sender<Vec<oneshot::Receiver<Outcome>>>,
    ) -> anyhow::Result<()> {
        while let Some((claims, outcomes)) = written.recv().await {
            let mut rows = Vec::with_capacity(claims.len());
            for (claim, outcome) in claims.iter().zip(outcomes) {
                let IntakeOutcome::Accepted(row) = outcome else { bail!("a new id was found to exist") };
                let entitlement = EntitlementId { round: self.round, index: claim.index };
                self.follower.room().enter(row.key, Some(entitlement));
                rows.push(row);
            }
            let waiting = self.follower.expect_all(rows.iter().map(|row| row.key));
            let waiting: Option<Vec<_>> = waiting.into_iter().collect();
            for (claim, row) in claims.into_iter().zip(rows) {
                let input = Input::Claim(VerifiedClaim {
                    key: row.key,
                    id: row.id,
                    accepted_at: row.accepted_at,
                    claim,
                    body_hash: row.body_hash,
                    verdict: Ok(ClaimVerdict {
                        signed_by: SignedBy::Key,
                        looked_at: None,
                        valid_until: FAR * 1_000,
                        person: None,
                        gate: None,
                    }),
                });
                verified.send((self.campaign, input)).await.context("the term ended")?;
            }
            let waiting = waiting.context("a new row was answered already")?;
            answers.send(waiting).await.context("the answers are no longer counted")?;
        }
        Ok(())
    }

    fn claim(&self, index: u64) -> anyhow::Result<ClaimDemand> {
        let listed = self.snapshot.entitlement(index).context("an index of the list")?;
        let mut signature = [0; 65];
        // As incompressible as a signature.
        signature[..20].copy_from_slice(listed.recipient.as_slice());
        signature[32..40].copy_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Ok(ClaimDemand {
            round: self.round,
            index,
            recipient: listed.recipient,
            to: listed.recipient,
            amount: listed.amount,
            deadline: FAR,
            signature: Bytes::copy_from_slice(&signature),
        })
    }

    fn row(&self, claim: &ClaimDemand) -> NewIntake {
        let demand = Demand::Claim(claim.clone());
        NewIntake {
            campaign: self.campaign,
            id: DemandId(Uuid::now_v7()),
            body_hash: demand.body_hash(),
            body: demand.encode(),
            place: self.follower.room().len() as u64,
            estimate_ms: 0,
            decide_within: DECIDE_WITHIN,
        }
    }
}

/// Waits for every answer, in order, and counts decisions.
async fn count_decided(mut groups: mpsc::Receiver<Vec<oneshot::Receiver<Outcome>>>) -> anyhow::Result<u64> {
    let mut decided = 0;
    while let Some(group) = groups.recv().await {
        for answer in group {
            let outcome = tokio::time::timeout(STUCK, answer).await.context("a claim is not decided")?;
            match outcome.context("a claim was not answered")?.entry.body {
                Body::ClaimDecided(_) => decided += 1,
                other => bail!("a good claim was not decided: {other:?}"),
            }
        }
    }
    Ok(decided)
}
