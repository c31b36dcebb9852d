//! A node: the door, the follower and, when it is its turn, the leader, started together and stopped together.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use sluice_chain::{At, Chain};
use sluice_core::command::{ClaimDemand, Demand};
use sluice_core::ids::{CampaignId, ChainId, ContractRef, DemandId, Epoch, Millis, NodeId, Seq, StreamId};
use sluice_core::log::entry::CharterRead;
use sluice_core::log::note::{LogKey, Origin};
use sluice_core::sequencer::fair::Weights;
use sluice_core::state::ChainSeen;
use sluice_store::{IntakeWriter, SealKey, Store};
use tokio::sync::watch;
use tokio::time::timeout;

mod answers;
mod heartbeat;
mod tasks;

use crate::arrivals::Arrivals;
use crate::attestations::Attestations;
use crate::clock::DatabaseClock;
use crate::error::EngineError;
use crate::follower::Follower;
use crate::intake::{Intake, SubmitError, Submitted};
use crate::settlement::{LaneStatus, paused};
use crate::snapshots::Snapshots;
use crate::standby::{ChainSettings, Standby};
use crate::verify::Verifier;
use crate::verify::door::Crowd;
use crate::verify::workers::Workers;
pub use answers::DemandStatus;
use heartbeat::heartbeats;
use tasks::{Part, Tasks, endless};

/// How long a start waits for the home chain to name the log's keys. A chain that answers does so in a fraction of it;
/// without an answer the node starts from dumps of its own or replays the log, which it can do without any chain.
const LOG_KEYS_WITHIN: Duration = Duration::from_secs(3);
/// Connections of those parts of a node that must go on whatever is asked of it, each of which uses one at a time: the intake
/// writer, the feed, the look-ups for gates and for mandates, the reader of the log, checkpoints, dumps, erasures and
/// heartbeats. The settlement of each chain has one more.
const OWN_CONNECTIONS: u32 = 9;
/// How long a stopping node waits for rows under way.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What a node is started with.
#[derive(Clone)]
pub struct NodeConfig {
    /// Which log.
    pub stream: StreamId,
    /// Where Postgres is.
    pub database_url: String,
    /// Names this process in the database; nobody else may ever use the same name.
    pub holder: String,
    /// The folder in which snapshots lie.
    pub snapshots: PathBuf,
    /// The chains, by id.
    pub chains: BTreeMap<ChainId, ChainSettings>,
    /// The chain whose Charter founds the stream.
    pub home: ChainId,
    /// Signs heads, receipts and tickets; registered in the Charter.
    pub log_secret: [u8; 32],
    /// Seals what is personal in the database; every node of the stream has the same.
    pub seal_secret: [u8; 32],
    /// This node's sequencer id in the Charter.
    pub sequencer: u64,
    /// Demands that this node decides a second while it leads; as many as it can where nothing is said.
    pub decisions_per_second: Option<NonZeroU32>,
    /// How campaigns take turns at this node.
    pub weights: Weights,
}

impl std::fmt::Debug for NodeConfig {
    /// Without the log key, the seal key and the database's password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stream, holder, snapshots, chains, home, sequencer, .. } = self;
        f.debug_struct("NodeConfig")
            .field("stream", stream)
            .field("holder", holder)
            .field("snapshots", snapshots)
            .field("chains", &chains.keys())
            .field("home", home)
            .field("sequencer", sequencer)
            .finish_non_exhaustive()
    }
}

/// A running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: NodeConfig,
    id: NodeId,
    /// For whoever asks.
    store: Store,
    /// For what goes on whoever asks.
    own: Store,
    follower: Follower,
    snapshots: Snapshots,
    intake: Intake,
    attestations: Attestations,
    workers: Arc<Workers>,
    clock: Arc<DatabaseClock>,
    lanes: Arc<Mutex<Vec<LaneStatus>>>,
    leading: Arc<AtomicU64>,
    failed: watch::Receiver<Option<Arc<EngineError>>>,
    tasks: tokio::sync::Mutex<Option<Tasks>>,
}

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Its number.
    pub node: NodeId,
    /// The epoch it leads under, if it leads.
    pub leading: Option<Epoch>,
    /// The epoch of the last entry.
    pub epoch: Epoch,
    /// The committed position it has reached.
    pub seq: Seq,
    /// Demands that wait at this node.
    pub waiting: usize,
    /// Settlement accounts, as far as this node leads.
    pub lanes: Vec<LaneStatus>,
    /// How far each chain was read, as the log says; up to `CURSOR_BLOCKS_MAX` blocks behind where nothing happens.
    pub chains: BTreeMap<ChainId, ChainSeen>,
    /// Chains on which blocks have stopped becoming final, with the length of the un-final stretch: settlement is paused
    /// there.
    pub paused: BTreeMap<ChainId, u64>,
    /// Rounds whose snapshot is missing here: while there are any the node is not ready.
    pub missing_snapshots: usize,
}

impl Node {
    /// Connects, migrates, replays the log from the newest good state dump on, and starts.
    ///
    /// # Errors
    /// When the database or the home chain cannot be reached, or the log cannot be replayed.
    pub async fn start(config: NodeConfig) -> Result<Self, EngineError> {
        let seal_key = SealKey::new(&config.seal_secret);
        let store = Store::connect(&config.database_url, sluice_store::Options::default()).await?;
        let store = store.with_seal_key(seal_key.clone());
        // Readers wait for each other, first come, first served; one slow answer must end nobody's term.
        let connections = OWN_CONNECTIONS + u32::try_from(config.chains.len()).unwrap_or(u32::MAX);
        let own = Store::connect(&config.database_url, sluice_store::Options { connections }).await?;
        let own = own.with_seal_key(seal_key.clone());
        store.migrate().await?;
        store.check_seal_key(config.stream).await?;
        let home = config
            .chains
            .get(&config.home)
            .ok_or_else(|| EngineError::Config(format!("home: chain {} is not configured", config.home)))?;
        let charter = ContractRef { chain_id: config.home, address: home.charter };
        let log_key = LogKey::new(&Origin::new(charter, config.stream), &config.log_secret);
        let registered = registered_log_keys(home).await;
        let follower = Follower::start(config.stream, log_key, &registered, &store).await?;
        let known = follower.read(|s| s.home);
        if known.is_some_and(|known| known != charter) {
            return Err(EngineError::Config(format!(
                "charter: the log was founded by {:?}, the configuration names {}",
                known.map(|k| k.address),
                charter.address
            )));
        }
        follower.room().weigh(config.weights.clone());
        let clock = Arc::new(DatabaseClock::new(store.database_now().await?));
        let id = store.register_node(&config.holder).await?;
        let snapshots = Snapshots::new(&config.snapshots);
        // Whoever signs badly makes the verifier ask a contract: it has a share of the chains' requests and no more.
        let look_ups = config.chains.iter().map(|(id, c)| (*id, c.chain.for_look_ups()));
        let chains: Arc<BTreeMap<ChainId, Chain>> = Arc::new(look_ups.collect());
        let verifier = Verifier::new(
            follower.clone(),
            snapshots.clone(),
            own.clone(),
            Arc::clone(&chains),
            Arc::clone(&clock),
        );
        let aside = Store::connect(&config.database_url, sluice_store::Options { connections: 2 }).await?;
        let aside = aside.with_seal_key(seal_key);
        let at_door = Arc::new(chains.iter().map(|(id, chain)| (*id, chain.at_door())).collect());
        let (attestations, checking, keeping, asking) = Attestations::new(
            follower.clone(),
            aside,
            (at_door, config.chains.values().map(|c| c.chain.clone()).collect()),
            Arc::clone(&clock),
            verifier.gate_books(),
        );
        let arrivals = Arc::new(Arrivals::default());
        let writer = IntakeWriter::new(own.clone(), id);
        let (intake, writer) = Intake::new(
            follower.clone(),
            verifier.clone(),
            store.clone(),
            Arc::clone(&clock),
            writer,
            Arc::clone(&arrivals),
        );
        let workers = Arc::clone(verifier.workers());
        workers.weigh(config.weights.clone());
        let lanes = Arc::new(Mutex::new(Vec::new()));
        let leading = Arc::new(AtomicU64::new(0));
        let standby = Standby {
            stream: config.stream,
            node: id,
            holder: config.holder.clone(),
            sequencer: config.sequencer,
            decisions_per_second: config.decisions_per_second,
            home: config.home,
            store: own.clone(),
            follower: follower.clone(),
            verifier,
            snapshots: snapshots.clone(),
            clock: Arc::clone(&clock),
            arrivals,
            chains: Arc::new(config.chains.clone()),
            lanes: Arc::clone(&lanes),
            leading: Arc::clone(&leading),
        };
        standby.check_charters().await?;
        let heartbeats = heartbeats(own.clone(), id, Arc::clone(&clock), Arc::clone(&leading));
        let tasks = Tasks::start([
            ("intake writer", endless(writer.run())),
            ("attestations' checks", endless(checking)),
            ("attestations' writer", endless(keeping)),
            ("attestations' look ahead", endless(asking)),
            ("standby", Box::pin(async { Some(standby.run().await) }) as Part),
            ("heartbeat", endless(heartbeats)),
        ]);
        let failed = tasks.failed();
        let tasks = tokio::sync::Mutex::new(Some(tasks));
        let inner = Inner {
            config,
            id,
            store,
            own,
            follower,
            snapshots,
            intake,
            attestations,
            workers,
            clock,
            lanes,
            leading,
            failed,
            tasks,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Resolves when the process must exit: fenced, its state contradicts the log, or one of its parts ended or panicked.
    pub async fn failed(&self) -> Arc<EngineError> {
        let mut failed = self.inner.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(|| Arc::new(EngineError::Stopping)),
            Err(_) => Arc::new(EngineError::Stopping),
        }
    }

    /// Stops: lets demands under way be written, for a bounded time, then ends the term. The caller stops listening first.
    pub async fn stop(&self) {
        let waiting = async {
            // Nobody announces an empty queue; the wait is bounded below.
            while !self.inner.intake.is_quiet() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(STOP_WITHIN, waiting).await.is_err() {
            tracing::warn!("demands under way were left to their clients, who ask again by id");
        }
        if let Some(tasks) = self.inner.tasks.lock().await.take() {
            tasks.stop().await;
        }
        tokio::join!(self.inner.store.close(), self.inner.own.close());
    }

    /// State as this node knows it.
    pub fn follower(&self) -> &Follower {
        &self.inner.follower
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Snapshots of published rounds.
    pub fn snapshots(&self) -> &Snapshots {
        &self.inner.snapshots
    }

    /// Those who verify demands; there may be more or fewer of them at any moment.
    pub fn verify_workers(&self) -> &Workers {
        &self.inner.workers
    }

    /// Where attestations are handed in.
    pub fn attestations(&self) -> &Attestations {
        &self.inner.attestations
    }

    /// The database's clock as this node knows it.
    pub fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    /// A chain.
    pub fn chain(&self, id: ChainId) -> Option<&Chain> {
        self.inner.config.chains.get(&id).map(|c| &c.chain)
    }

    /// The Charter of a chain.
    pub fn charter(&self, id: ChainId) -> Option<Address> {
        self.inner.config.chains.get(&id).map(|c| c.charter)
    }

    /// The founding Charter as last read.
    pub fn home_charter(&self) -> Option<CharterRead> {
        self.inner.follower.read(|s| s.home_charter().cloned())
    }

    /// Takes a command and waits a short time for its decision.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, id: DemandId, demand: Demand) -> Result<Submitted, SubmitError> {
        self.inner.intake.submit(id, demand, None).await
    }

    /// The same from somebody outside, of whom this is known.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit_from(
        &self,
        by: Crowd,
        id: DemandId,
        demand: Demand,
    ) -> Result<Submitted, SubmitError> {
        self.inner.intake.submit(id, demand, Some(by)).await
    }

    /// Whether a demand of this campaign could be decided in time. Whoever is sent away without costs no work.
    pub fn has_room(&self, campaign: CampaignId) -> bool {
        self.inner.intake.room().estimate(campaign).is_some()
    }

    /// Takes a claim and waits a short time for its decision.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit_claim(
        &self,
        campaign: CampaignId,
        id: DemandId,
        claim: ClaimDemand,
    ) -> Result<Submitted, SubmitError> {
        self.inner.intake.submit_claim(campaign, id, claim, None).await
    }

    /// The same from somebody outside, of whom this is known.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit_claim_from(
        &self,
        by: Crowd,
        campaign: CampaignId,
        id: DemandId,
        claim: ClaimDemand,
    ) -> Result<Submitted, SubmitError> {
        self.inner.intake.submit_claim(campaign, id, claim, Some(by)).await
    }

    /// What this node says of itself.
    pub fn status(&self) -> NodeStatus {
        let inner = &self.inner;
        let leading = inner.leading.load(Ordering::SeqCst);
        let missing_snapshots = inner.snapshots.missing(&inner.follower).len();
        inner.follower.read(|state| NodeStatus {
            node: inner.id,
            leading: (leading > 0).then_some(leading),
            epoch: state.epoch,
            seq: state.seq,
            waiting: inner.intake.room().len(),
            lanes: inner.lanes.lock().expect("no panic inside").clone(),
            chains: state.chains.clone(),
            paused: state.chains.iter().filter_map(|(id, c)| Some((*id, paused(c)?))).collect(),
            missing_snapshots,
        })
    }
}

/// The log keys in force that the home Charter registers, asked of its contract: whoever writes to the database has no say
/// in them. None when the chain does not answer.
async fn registered_log_keys(home: &ChainSettings) -> Vec<B256> {
    let problem = match timeout(LOG_KEYS_WITHIN, home.chain.constitution(home.charter, At::Latest)).await {
        // Before its founding its word is nobody's (decision 0106).
        Ok(Ok(read)) if read.view.set_version == 0 => return Vec::new(),
        Ok(Ok(read)) => return read.view.log_keys,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {LOG_KEYS_WITHIN:?}"),
    };
    tracing::warn!(
        problem,
        "the Charter's log keys could not be read; only this node's own dumps are started from"
    );
    Vec::new()
}
