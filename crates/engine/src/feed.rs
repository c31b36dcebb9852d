//! The feed: intake rows of all nodes into verification and on to the sequencer. One campaign's backlog never stands
//! before another's rows, and a slow look-up never before other claims.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sluice_core::command::{Accepted, Demand};
use sluice_core::decide::Input;
use sluice_core::ids::{CampaignId, NodeId};
use sluice_core::limits::{CURSOR_WINDOW_MAX, INTAKE_READ_MAX, VERIFY_QUEUE_MAX};
use sluice_core::state::State;
use sluice_store::{Cursor, Store};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::Verified;
use crate::verify::Verifier;

/// How often rows of other nodes are looked for; this node's own are announced.
const POLL: Duration = Duration::from_millis(20);
/// How often the list of nodes is read again.
const NODES_EVERY: Duration = Duration::from_secs(1);
/// A node that was silent for this long, many of its heartbeats, has probably ended.
const SILENT_AFTER: Duration = Duration::from_secs(60);
/// How often the queues of silent nodes are looked at: what they accepted before they fell silent is read at the start
/// of a term, and a node may only have been slow.
const SILENT_EVERY: Duration = Duration::from_secs(10);
/// Before a demand whose look-up failed is verified again.
const LOOKUP_AGAIN: Duration = Duration::from_millis(500);

/// Reads and verifies rows for one term of leadership.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    follower: Follower,
    verifier: Verifier,
    verified: mpsc::Sender<Verified>,
    again: mpsc::UnboundedReceiver<Input>,
    arrived: Arc<Notify>,
    /// Rows read of each queue in this term.
    read: HashMap<(CampaignId, NodeId), u64>,
    /// Nodes that live: each of their queues is read at every look.
    nodes: Vec<NodeId>,
    nodes_read: Option<Instant>,
    /// Queues of silent nodes that may hold rows to be read.
    silent: BTreeSet<(CampaignId, NodeId)>,
    silent_read: Option<Instant>,
    under_way: Arc<Semaphore>,
    /// Verifications under way.
    verifying: JoinSet<()>,
}

impl Feed {
    /// A feed that starts from the cursors in State.
    pub fn new(
        store: Store,
        follower: Follower,
        verifier: Verifier,
        verified: mpsc::Sender<Verified>,
        again: mpsc::UnboundedReceiver<Input>,
        arrived: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            follower,
            verifier,
            verified,
            again,
            arrived,
            read: HashMap::new(),
            nodes: Vec::new(),
            nodes_read: None,
            silent: BTreeSet::new(),
            silent_read: None,
            under_way: Arc::new(Semaphore::new(VERIFY_QUEUE_MAX)),
            verifying: JoinSet::new(),
        }
    }

    /// Feeds until the sequencer of this term is gone.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn run(mut self) -> Result<std::convert::Infallible, EngineError> {
        loop {
            if self.tick().await? == 0 {
                tokio::select! {
                    () = self.arrived.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }

    /// One reading of all queues; returns how many rows were taken up.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn tick(&mut self) -> Result<usize, EngineError> {
        while let Some(ended) = self.verifying.try_join_next() {
            // Its row would wait for ever, and with it, one day, every row behind it.
            ended.map_err(|panic| EngineError::Incident(format!("a verification panicked: {panic}")))?;
        }
        while let Ok(input) = self.again.try_recv() {
            self.take_up(back(input)).await?;
        }
        self.read_nodes().await?;
        let queues = self.queues();
        let rows = self.store.read_intake(&queues, INTAKE_READ_MAX).await?;
        let found: HashSet<_> = rows.iter().map(|row| (row.key.campaign, row.key.node)).collect();
        // A queue that is overtaken by too many rows is not among those asked, and stays.
        for queue in queues.iter().map(|q| (q.campaign, q.node)).filter(|queue| !found.contains(queue)) {
            self.silent.remove(&queue);
        }
        let mut taken = 0;
        for row in rows {
            self.read.insert((row.key.campaign, row.key.node), row.key.n);
            if !self.follower.read(|s| s.is_answered(row.key)) {
                self.take_up(row.accepted()?).await?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Reads which nodes live and, more rarely, which queues the silent ones left.
    async fn read_nodes(&mut self) -> Result<(), EngineError> {
        let due = |at: Option<Instant>, every: Duration| at.is_none_or(|at| at.elapsed() >= every);
        if !due(self.nodes_read, NODES_EVERY) {
            return Ok(());
        }
        let nodes = self.store.nodes().await?;
        self.nodes_read = Some(Instant::now());
        // By the database's clock: this node reported a moment ago.
        let latest = nodes.iter().map(|node| node.last_seen).max().unwrap_or(0);
        let silent_after = u64::try_from(SILENT_AFTER.as_millis()).unwrap_or(u64::MAX);
        let lives = |seen: u64| latest.saturating_sub(seen) < silent_after;
        self.nodes = nodes.iter().filter(|node| lives(node.last_seen)).map(|node| node.id).collect();
        if due(self.silent_read, SILENT_EVERY) {
            let campaigns = self.follower.read(|state| campaigns(state).collect::<Vec<_>>());
            let sources = self.store.intake_sources(&campaigns).await?;
            let lives: HashSet<_> = self.nodes.iter().copied().collect();
            self.silent.extend(sources.into_iter().filter(|(_, node)| !lives.contains(node)));
            self.silent_read = Some(Instant::now());
        }
        Ok(())
    }

    /// The queues that are read now, each with the row after which to read: every one of a node that lives, and those of
    /// silent nodes that may hold rows. Those with too many rows overtaken are left out.
    pub fn queues(&self) -> Vec<Cursor> {
        self.follower.read(|state| {
            let living = campaigns(state).flat_map(|c| self.nodes.iter().map(move |node| (c, *node)));
            let silent = self.silent.iter().copied().filter(|(_, node)| !self.nodes.contains(node));
            let cursor = |(campaign, node)| {
                let cursor = state.cursors.get(&(campaign, node));
                let low = cursor.map_or(0, sluice_core::state::cursor::Cursor::low);
                let read = self.read.get(&(campaign, node)).copied().unwrap_or(0).max(low);
                let ahead = usize::try_from(read - low).unwrap_or(usize::MAX);
                (ahead < CURSOR_WINDOW_MAX).then_some(Cursor { campaign, node, after: read })
            };
            living.chain(silent).filter_map(cursor).collect()
        })
    }

    /// Verifies one demand in the pool and hands it on.
    async fn take_up(&mut self, row: Accepted) -> Result<(), EngineError> {
        let permit = Arc::clone(&self.under_way).acquire_owned().await.map_err(|_| EngineError::Stopping)?;
        let (verifier, verified) = (self.verifier.clone(), self.verified.clone());
        let under_way = Arc::clone(&self.under_way);
        self.verifying.spawn(async move {
            let mut permit = Some(permit);
            let input = loop {
                match verifier.verify(&row).await {
                    Ok(input) => break input,
                    Err(error) => {
                        tracing::warn!(campaign = %row.key.campaign, node = row.key.node, n = row.key.n, error = %error,
                            "a demand could not be verified now; it is tried again");
                        // Others are verified while this one waits for its chain.
                        drop(permit.take());
                        tokio::time::sleep(LOOKUP_AGAIN).await;
                    }
                }
                if verified.is_closed() {
                    return;
                }
                permit = Arc::clone(&under_way).acquire_owned().await.ok();
            };
            // When the term is over the next one reads the row again.
            let _ = verified.send((row.key.campaign, input)).await;
            drop(permit);
        });
        Ok(())
    }
}

/// The campaigns that have queues; commands have one of their own.
fn campaigns(state: &State) -> impl Iterator<Item = CampaignId> + '_ {
    std::iter::once(CampaignId::default()).chain(state.campaigns.keys().copied())
}

/// The demand of an input that must be verified again.
fn back(input: Input) -> Accepted {
    match input {
        Input::Claim(c) => {
            Accepted { key: c.key, id: c.id, accepted_at: c.accepted_at, demand: Demand::Claim(c.claim) }
        }
        Input::Command(c) => {
            Accepted { key: c.key, id: c.id, accepted_at: c.accepted_at, demand: Demand::Command(c.command) }
        }
        // When masks were accepted decides nothing.
        Input::Gate(g) => Accepted { key: g.key, id: g.id, accepted_at: 0, demand: Demand::Gate(g.signed) },
        Input::Observed(_) => unreachable!("only demands are verified"),
    }
}
