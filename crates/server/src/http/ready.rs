//! Whether a node may serve: its database answers, it is near the head, the snapshots of open rounds are here, its
//! chains answer. Asked often, so an answer is kept for a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use sluice_core::ids::ChainId;
use sluice_engine::node::Node;
use tokio::sync::Mutex;

/// How long an answer is kept: probes of many balancers cost one look.
const KEPT: Duration = Duration::from_secs(2);
/// A dependency that does not answer within this time is not there.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Entries a node may be behind the head: fewer than are appended in half a second at the highest rate measured.
const BEHIND_MAX: u64 = 20_000;

/// A leader's checkpoints find their places taken for so long before its status says so: one or two rows may be anybody's
/// mistake, and a minute of them is somebody's intent.
const DISPLACED_MAX: Duration = Duration::from_secs(60);

/// What is wrong about a leader that serves as it should; empty when nothing is. Nobody is sent to another node for it: the
/// other one would find the same.
pub(crate) fn degraded(displaced: Option<Duration>) -> Vec<String> {
    let displaced = displaced.filter(|since| *since >= DISPLACED_MAX);
    let say = |since: Duration| {
        format!(
            "no checkpoint was stored for {} s: rows that no log key signed stand in their places, so somebody else writes to \
             the database, nobody compares State, and no dump is written",
            since.as_secs()
        )
    };
    displaced.map(say).into_iter().collect()
}

/// Whether a node may serve. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    node: Node,
    last: Arc<Mutex<Option<Looked>>>,
}

/// What a look found.
#[derive(Clone, Debug)]
struct Looked {
    at: Instant,
    why_not: Vec<String>,
}

impl Ready {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, last: Arc::default() }
    }

    /// Why it may not; empty when it may.
    pub(crate) async fn why_not(&self) -> Vec<String> {
        let mut last = self.last.lock().await;
        if let Some(looked) = last.as_ref().filter(|looked| looked.at.elapsed() < KEPT) {
            return looked.why_not.clone();
        }
        let why_not = self.look().await;
        *last = Some(Looked { at: Instant::now(), why_not: why_not.clone() });
        why_not
    }

    async fn look(&self) -> Vec<String> {
        let status = self.node.status();
        let (chains, home) =
            self.node.follower().read(|s| (s.chains.keys().copied().collect::<Vec<_>>(), s.home.is_some()));
        let (database, chains) =
            tokio::join!(self.database(), join_all(chains.into_iter().map(|id| self.chain(id))));
        let mut why: Vec<_> = database.into_iter().chain(chains.into_iter().flatten()).collect();
        if !home {
            why.push("the log is not founded yet: no leader has read the Charter".into());
        }
        if status.missing_snapshots > 0 {
            why.push(format!("the snapshots of {} open rounds are not here", status.missing_snapshots));
        }
        why
    }

    async fn database(&self) -> Option<String> {
        let stream = self.node.follower().read(|s| s.stream);
        let head = match tokio::time::timeout(ANSWER_WITHIN, self.node.store().head(stream)).await {
            Ok(Ok(head)) => head?,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the database does not answer");
                return Some("the database does not answer".into());
            }
            Err(_) => return Some("the database does not answer in time".into()),
        };
        let behind = head.seq.saturating_sub(self.node.follower().seq());
        (behind > BEHIND_MAX).then(|| format!("{behind} entries behind the head"))
    }

    async fn chain(&self, id: ChainId) -> Option<String> {
        let Some(chain) = self.node.chain(id) else {
            return Some(format!("chain {id} is in the log, but not in this node's configuration"));
        };
        match tokio::time::timeout(ANSWER_WITHIN, chain.head()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                tracing::debug!(chain_id = id, %error, "a chain does not answer");
                Some(format!("chain {id} does not answer"))
            }
            Err(_) => Some(format!("chain {id} does not answer in time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_that_find_no_place_are_told_when_it_lasts() {
        assert_eq!(degraded(None), Vec::<String>::new());
        assert_eq!(degraded(Some(DISPLACED_MAX / 2)), Vec::<String>::new());
        let [told] = &degraded(Some(DISPLACED_MAX * 2))[..] else { panic!("it is told") };
        assert!(told.contains("for 120 s"), "{told}");
    }
}
