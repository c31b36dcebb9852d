//! A node's word that it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sluice_core::ids::NodeId;
use sluice_store::Store;

use crate::clock::DatabaseClock;

/// How often a node says that it lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// Says that the node lives, for those who list nodes, and keeps a follower's clock by the database's. Decides nothing.
pub(super) async fn heartbeats(
    store: Store,
    node: NodeId,
    clock: Arc<DatabaseClock>,
    leading: Arc<AtomicU64>,
) {
    loop {
        let asked = Instant::now();
        match store.heartbeat(node).await {
            // A leader hears the database's clock with every append, and resigns when it drifts.
            Ok(now) if leading.load(Ordering::SeqCst) == 0 => clock.reset(now, asked),
            Ok(_) => {}
            Err(error) => tracing::debug!(error = %error, "no heartbeat"),
        }
        tokio::time::sleep(HEARTBEAT_EVERY).await;
    }
}
