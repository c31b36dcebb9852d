//! Who leads: every node follows; one that finds the lease lapsed or its holder gone takes the next epoch and leads
//! until something ends its term. First run and recovery are the same path.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluice_chain::signer::Account;
use sluice_chain::{At, Chain};
use sluice_core::fees::{FeePolicy, SettlementPolicy};
use sluice_core::ids::{ChainId, ContractRef, Epoch, NodeId, StreamId};
use sluice_core::limits::{DUMP_EVERY, GROUP_INPUTS_MAX, LEASE};
use sluice_core::log::entry::{Body, EpochBegan};
use sluice_store::{LeaderSession, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::arrivals::Arrivals;
use crate::clock::DatabaseClock;
use crate::erasure::Eraser;
use crate::error::{Class, EngineError};
use crate::feed::Feed;
use crate::follower::Follower;
use crate::reconcile::Reconcile;
use crate::sequencer::{Observations, Sequencer};
use crate::settlement::{Accounts, LaneStatus, Settlement};
use crate::snapshots::Snapshots;
use crate::verify::Verifier;
use crate::watcher::{Watcher, wrong_charter};

/// How often a follower reads the log and looks whether it should lead.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);
/// How often the head is looked at by those who do not lead.
const ELECT_EVERY: Duration = Duration::from_millis(300);
/// How often a checkpoint is signed when the head moved.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// How often a candidate reads the chains' epochs.
const CHAINS_EVERY: Duration = Duration::from_secs(5);
/// How often the leader looks for ordered erasures.
const ERASE_EVERY: Duration = Duration::from_millis(500);
/// How often a stretch of the chain's paid bits is compared with the log's.
const RECONCILE_EVERY: Duration = Duration::from_secs(5);
/// After a term that ended by a failure, before this node stands again.
const REST: Duration = Duration::from_millis(500);

/// One chain this node settles on.
#[derive(Clone, Debug)]
pub struct ChainSettings {
    /// The chain.
    pub chain: Chain,
    /// The stream's Charter there.
    pub charter: alloy_primitives::Address,
    /// Takes epochs there.
    pub control: Account,
    /// Settles there.
    pub lanes: Vec<Account>,
    /// What is paid for gas there.
    pub policy: FeePolicy,
    /// How long its campaigns' claims wait for company, and what their settlement may cost.
    pub terms: SettlementPolicy,
    /// How often it is looked at while nothing happens: about a quarter of its block time.
    pub every: Duration,
}

/// Everything a node needs to follow and to lead. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Standby {
    pub(crate) stream: StreamId,
    pub(crate) node: NodeId,
    pub(crate) holder: String,
    pub(crate) sequencer: u64,
    pub(crate) decisions_per_second: Option<NonZeroU32>,
    pub(crate) home: ChainId,
    pub(crate) store: Store,
    pub(crate) follower: Follower,
    pub(crate) verifier: Verifier,
    pub(crate) snapshots: Snapshots,
    pub(crate) clock: Arc<DatabaseClock>,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) chains: Arc<BTreeMap<ChainId, ChainSettings>>,
    pub(crate) lanes: Arc<Mutex<Vec<LaneStatus>>>,
    /// The epoch this node leads under; 0 while it follows.
    pub(crate) leading: Arc<AtomicU64>,
}

impl Standby {
    /// Follows and, when it is its turn, leads; returns only when the process must exit.
    pub async fn run(self) -> EngineError {
        loop {
            let error = match self.follow_until_elected().await {
                Ok((session, epoch)) => self.lead(session, epoch).await,
                Err(error) => error,
            };
            self.leading.store(0, Ordering::SeqCst);
            if let Some(wrong) = self.wrong_charter() {
                return wrong;
            }
            match error.class() {
                Class::Exit => return error,
                _ => tracing::warn!(
                    node = self.node,
                    error = &error as &dyn std::error::Error,
                    "the term ended"
                ),
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// A Charter in the configuration that contradicts the log: this node must not lead, and nobody but its operator can
    /// mend it.
    pub(crate) fn wrong_charter(&self) -> Option<EngineError> {
        self.follower.read(|state| {
            self.chains.iter().find_map(|(id, settings)| {
                wrong_charter(state, ContractRef { chain_id: *id, address: settings.charter })
            })
        })
    }

    /// Whether a Charter stands where the configuration says that the other chains have theirs. The home chain's is read
    /// before anything else; without one the log has no beginning.
    ///
    /// # Errors
    /// [`EngineError::Config`] with the chain and the field. A chain that cannot be reached now is looked at again when
    /// this node leads.
    pub(crate) async fn check_charters(&self) -> Result<(), EngineError> {
        if let Some(wrong) = self.wrong_charter() {
            return Err(wrong);
        }
        for (id, settings) in self.chains.iter().filter(|(id, _)| **id != self.home) {
            let Err(error) = settings.chain.constitution(settings.charter, At::Latest).await else {
                continue;
            };
            if matches!(error.class(), sluice_chain::Class::Final | sluice_chain::Class::Bug) {
                let address = settings.charter;
                return Err(EngineError::Config(format!(
                    "chains.{id}.charter: {address} is no Charter: {error}"
                )));
            }
            tracing::warn!(chain = id, error = %error, "the Charter could not be read");
        }
        Ok(())
    }

    /// Applies the log as it grows; stands for election now and then.
    async fn follow_until_elected(&self) -> Result<(LeaderSession, Epoch), EngineError> {
        let mut session = None;
        let mut looked: Option<tokio::time::Instant> = None;
        let mut above: Option<(tokio::time::Instant, Epoch)> = None;
        loop {
            self.follower.to_head(&self.store).await?;
            if let Some(wrong) = self.wrong_charter() {
                return Err(wrong);
            }
            if looked.is_none_or(|at| at.elapsed() >= ELECT_EVERY) {
                looked = Some(tokio::time::Instant::now());
                let at_least = match above.filter(|(at, _)| at.elapsed() < CHAINS_EVERY) {
                    Some((_, at_least)) => at_least,
                    None => self.above_the_chains().await,
                };
                above =
                    above.filter(|(at, _)| at.elapsed() < CHAINS_EVERY).or(looked.map(|at| (at, at_least)));
                if let Some(epoch) = self.stand(&mut session, at_least).await? {
                    return session.map(|s| (s, epoch)).ok_or(EngineError::Stopping);
                }
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }

    /// An epoch above every chain's: under a lower one nothing could be settled. If a chain went further meanwhile, the
    /// process exits when it settles there, and the next one reads again.
    async fn above_the_chains(&self) -> Epoch {
        let mut at_least = 1;
        for (id, settings) in self.chains.iter() {
            let known = match settings.chain.epoch(settings.charter, At::Latest).await {
                Ok(epoch) => epoch,
                // The other chains' claims are decided all the same; settling on this one finds out.
                Err(error) => {
                    tracing::warn!(chain = id, error = %error, "a chain's epoch could not be read");
                    self.follower.read(|state| state.chains.get(id).map_or(0, |c| c.epoch))
                }
            };
            at_least = at_least.max(known + 1);
        }
        at_least
    }

    /// Takes the epoch if nobody holds it.
    async fn stand(
        &self,
        session: &mut Option<LeaderSession>,
        at_least: Epoch,
    ) -> Result<Option<Epoch>, EngineError> {
        if !self.snapshots.missing(&self.follower).is_empty() {
            // It could decide, but not settle: somebody else leads.
            return Ok(None);
        }
        if session.is_none() {
            *session = Some(LeaderSession::open(&self.store, self.stream).await?);
        }
        let Some(open) = session.as_mut() else { return Ok(None) };
        let asked = Instant::now();
        let Some(taken) = open.take_epoch(&self.holder, LEASE, at_least).await? else { return Ok(None) };
        // The drift that counts is the one during a term.
        self.clock.reset(taken.now, asked);
        tracing::info!(node = self.node, epoch = taken.epoch, seq = taken.seq, "this node leads");
        Ok(Some(taken.epoch))
    }

    /// Leads until something ends the term; returns what.
    async fn lead(&self, session: LeaderSession, epoch: Epoch) -> EngineError {
        match self.begin(session, epoch).await {
            Ok(mut term) => {
                self.leading.store(epoch, Ordering::SeqCst);
                let error = cause(&mut term).await;
                // The other parts hold nothing that is not in the log or found again from it.
                term.shutdown().await;
                error
            }
            Err(error) => error,
        }
    }

    async fn begin(&self, session: LeaderSession, epoch: Epoch) -> Result<JoinSet<EngineError>, EngineError> {
        // Nothing of a lower epoch is appended any more: the log as it is now is all there is.
        self.follower.to_head(&self.store).await?;
        let (observations, submissions) = Observations::channel();
        let (verified_in, verified) = mpsc::channel(GROUP_INPUTS_MAX * 4);
        let (again, again_out) = mpsc::unbounded_channel();
        let (store, follower, clock) = (self.store.clone(), self.follower.clone(), Arc::clone(&self.clock));
        let sequencer = Sequencer::new(session, follower.clone(), clock, epoch, submissions, verified, again)
            .at_most(self.decisions_per_second);
        let arrivals = Arc::clone(&self.arrivals);
        let feed = Feed::new(store, follower, self.verifier.clone(), verified_in, again_out, arrivals);
        let mut term = JoinSet::new();
        term.spawn(async { ended(sequencer.run().await) });
        let began = Body::EpochBegan(EpochBegan { node: self.node, sequencer: self.sequencer });
        let first = observations.clone();
        term.spawn(async move {
            match first.append(vec![began], Vec::new()).await {
                Ok(_) => ended(feed.run().await),
                Err(error) => error,
            }
        });
        for settings in self.chains.values() {
            self.spawn_chain(&mut term, settings, epoch, &observations);
        }
        let standby = self.clone();
        term.spawn(async move { standby.checkpoints().await });
        let (follower, snapshots, store) =
            (self.follower.clone(), self.snapshots.clone(), self.store.clone());
        let eraser = Eraser::new(follower, snapshots, store, observations);
        term.spawn(erasures(eraser));
        let (store, follower) = (self.store.clone(), self.follower.clone());
        term.spawn(async move { follower.keep_dumps(&store, DUMP_EVERY).await });
        Ok(term)
    }

    fn spawn_chain(
        &self,
        term: &mut JoinSet<EngineError>,
        settings: &ChainSettings,
        epoch: Epoch,
        observations: &Observations,
    ) {
        let ChainSettings { chain, charter, control, lanes, policy, terms, every } = settings.clone();
        let (follower, snapshots) = (self.follower.clone(), self.snapshots.clone());
        let mut watcher = Watcher::new(
            chain.clone(),
            charter,
            follower.clone(),
            snapshots.clone(),
            observations.clone(),
            chain.id() == self.home,
        );
        term.spawn(async move {
            loop {
                if let Some(error) = pace("watcher", every, watcher.tick().await).await {
                    return error;
                }
            }
        });
        let mut reconcile = Reconcile::new(chain.clone(), follower.clone());
        term.spawn(async move {
            loop {
                tokio::time::sleep(RECONCILE_EVERY).await;
                if let Err(error) = reconcile.tick().await {
                    tracing::debug!(error = %error, "the chain's bits were not compared this time");
                }
            }
        });
        let accounts = Accounts { control, lanes };
        let (store, status) = (self.store.clone(), Arc::clone(&self.lanes));
        let observations = observations.clone();
        let mut settlement = Settlement::new(
            chain,
            charter,
            epoch,
            accounts,
            follower,
            snapshots,
            store,
            observations,
            policy,
            status,
        )
        .under(terms);
        term.spawn(async move {
            loop {
                if let Some(error) = pace("settlement", every, settlement.tick().await).await {
                    return error;
                }
            }
        });
    }

    /// Signs a checkpoint every second in which the head moved.
    async fn checkpoints(&self) -> EngineError {
        let mut signed = 0;
        self.follower.not_displaced();
        loop {
            tokio::time::sleep(CHECKPOINT_EVERY).await;
            let (head, note) = self.follower.checkpoint();
            if head.size == signed {
                continue;
            }
            match self.follower.keep_checkpoint(&self.store, self.stream, &head, &note).await {
                // Also where a row that nobody signed has its place: the next second has another, and the node's status says
                // so when it lasts.
                Ok(_) => signed = head.size,
                Err(error @ EngineError::Incident(_)) => return error,
                Err(error) => tracing::warn!(error = %error, size = head.size, "a checkpoint was not stored"),
            }
        }
    }
}

/// Carries out ordered erasures; what fails is tried again. Only the end of the term ends it.
async fn erasures(mut eraser: Eraser) -> EngineError {
    loop {
        match eraser.tick().await {
            Ok(_) => {}
            Err(EngineError::Stopping) => return EngineError::Stopping,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an erasure is tried again");
            }
        }
        tokio::time::sleep(ERASE_EVERY).await;
    }
}

/// What ended a term: the first end that is not merely another part's. A part that stops takes the channels of the
/// others along, and they may be noticed first.
async fn cause(term: &mut JoinSet<EngineError>) -> EngineError {
    loop {
        match term.join_next().await {
            Some(Ok(EngineError::Stopping)) => match tokio::time::timeout(REST, term.join_next()).await {
                Ok(Some(Ok(error))) if !matches!(error, EngineError::Stopping) => return error,
                Ok(Some(Err(panic))) => return panicked(&panic),
                Ok(Some(Ok(_))) => {}
                Ok(None) | Err(_) => return EngineError::Stopping,
            },
            Some(Ok(error)) => return error,
            Some(Err(panic)) => return panicked(&panic),
            None => return EngineError::Stopping,
        }
    }
}

fn panicked(panic: &tokio::task::JoinError) -> EngineError {
    EngineError::Incident(format!("a part of the term panicked: {panic}"))
}

fn ended(result: Result<std::convert::Infallible, EngineError>) -> EngineError {
    match result {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Waits before the next look when there was nothing to do, or the chain or the database gave no answer; any other failure
/// ends the term.
async fn pace(
    part: &'static str,
    every: Duration,
    result: Result<usize, EngineError>,
) -> Option<EngineError> {
    match result {
        Ok(0) => tokio::time::sleep(every).await,
        Ok(_) => tokio::task::yield_now().await,
        Err(error) if passes(&error) => {
            tracing::warn!(part, error = &error as &dyn std::error::Error, "this failed; it is tried again");
            tokio::time::sleep(REST).await;
        }
        Err(error) => return Some(error),
    }
    None
}

/// Whether a failure says nothing of the next time. Who leads is decided by the lease, not by one answer that was late.
fn passes(error: &EngineError) -> bool {
    let outside =
        matches!(error, EngineError::Chain(_) | EngineError::Snapshot { .. } | EngineError::Proof(_));
    outside || error.is_no_answer()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_store::Error as Store;
    use sqlx::Error as Sql;

    #[test]
    fn a_part_whose_question_the_database_did_not_answer_asks_again_and_whoever_may_have_written_stops() {
        let action = "read what was spent";
        assert!(passes(&Store::Unavailable { action, source: Sql::PoolTimedOut }.into()));
        for ends in [
            Store::Unknown { action, source: Sql::PoolTimedOut }.into(),
            Store::Corrupt { what: "spending", reason: "a test".into() }.into(),
            EngineError::Fenced(7),
            EngineError::Stopping,
            EngineError::Incident("a test".into()),
        ] {
            assert!(!passes(&ends), "{ends:?}");
        }
    }
}
