//! The feed: intake rows of all nodes into verification and on to the sequencer. One campaign's backlog never stands
//! before another's rows, and a slow look-up never before other claims.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_core::command::{Accepted, Demand};
use sluice_core::decide::Input;
use sluice_core::ids::{CampaignId, NodeId};
use sluice_core::limits::{CURSOR_WINDOW_MAX, INTAKE_READ_MAX, VERIFY_QUEUE_MAX};
use sluice_store::{Cursor, Store};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::Verified;
use crate::verify::Verifier;

/// How often rows of other nodes are looked for; this node's own are announced.
const POLL: Duration = Duration::from_millis(20);
/// How often the list of nodes is read again.
const NODES_EVERY: Duration = Duration::from_secs(1);
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
    nodes: Vec<NodeId>,
    nodes_read: Option<tokio::time::Instant>,
    under_way: Arc<Semaphore>,
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
            under_way: Arc::new(Semaphore::new(VERIFY_QUEUE_MAX)),
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
        while let Ok(input) = self.again.try_recv() {
            self.take_up(back(input)).await?;
        }
        self.read_nodes().await?;
        let rows = self.store.read_intake(&self.queues(), INTAKE_READ_MAX).await?;
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

    async fn read_nodes(&mut self) -> Result<(), EngineError> {
        if self.nodes_read.is_none_or(|at| at.elapsed() >= NODES_EVERY) {
            self.nodes = self.store.nodes().await?.into_iter().map(|node| node.id).collect();
            self.nodes_read = Some(tokio::time::Instant::now());
        }
        Ok(())
    }

    /// Every queue with the row after which to read, but those with too many rows overtaken.
    fn queues(&self) -> Vec<Cursor> {
        self.follower.read(|state| {
            let campaigns = std::iter::once(CampaignId::default()).chain(state.campaigns.keys().copied());
            let pairs = campaigns.flat_map(|campaign| self.nodes.iter().map(move |node| (campaign, *node)));
            pairs
                .filter_map(|(campaign, node)| {
                    let cursor = state.cursors.get(&(campaign, node));
                    let low = cursor.map_or(0, sluice_core::state::cursor::Cursor::low);
                    let read = self.read.get(&(campaign, node)).copied().unwrap_or(0).max(low);
                    let ahead = usize::try_from(read - low).unwrap_or(usize::MAX);
                    (ahead < CURSOR_WINDOW_MAX).then_some(Cursor { campaign, node, after: read })
                })
                .collect()
        })
    }

    /// Verifies one demand in the pool and hands it on.
    async fn take_up(&self, row: Accepted) -> Result<(), EngineError> {
        let permit = Arc::clone(&self.under_way).acquire_owned().await.map_err(|_| EngineError::Stopping)?;
        let (verifier, verified) = (self.verifier.clone(), self.verified.clone());
        let under_way = Arc::clone(&self.under_way);
        tokio::spawn(async move {
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

/// The demand of an input that must be verified again.
fn back(input: Input) -> Accepted {
    match input {
        Input::Claim(c) => {
            Accepted { key: c.key, id: c.id, accepted_at: c.accepted_at, demand: Demand::Claim(c.claim) }
        }
        Input::Command(c) => {
            // A command's acceptance time decides nothing; its deadline is compared with the time of its position.
            Accepted { key: c.key, id: c.id, accepted_at: 0, demand: Demand::Command(c.command) }
        }
        Input::Observed(_) => unreachable!("only demands are verified"),
    }
}
