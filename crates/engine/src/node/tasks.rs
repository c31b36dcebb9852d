//! The parts of a node that run until it stops. Each is watched: a node one of whose parts has ended or panicked would
//! go on taking demands that nobody writes, or follow nothing, so it fails as a whole.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::error::EngineError;

/// A part: it ends with the error that ended it, or without one, which is as wrong.
pub(super) type Part = Pin<Box<dyn Future<Output = Option<EngineError>> + Send>>;

/// A part that has no error of its own to end with.
pub(super) fn endless(part: impl Future<Output = ()> + Send + 'static) -> Part {
    Box::pin(async {
        part.await;
        None
    })
}

/// The running parts.
#[derive(Debug)]
pub(super) struct Tasks {
    stop: oneshot::Sender<()>,
    supervisor: tokio::task::JoinHandle<()>,
    failed: watch::Receiver<Option<Arc<EngineError>>>,
}

impl Tasks {
    /// Starts the parts.
    pub(super) fn start<const N: usize>(parts: [(&'static str, Part); N]) -> Self {
        let (fail, failed) = watch::channel(None);
        let (stop, mut stopped) = oneshot::channel();
        let supervisor = tokio::spawn(async move {
            let mut running = JoinSet::new();
            let names: HashMap<_, _> =
                parts.into_iter().map(|(name, part)| (running.spawn(part).id(), name)).collect();
            tokio::select! {
                ended = running.join_next_with_id() => {
                    fail.send_replace(ended.map(|ended| Arc::new(why(&names, ended))));
                    // What is left holds nothing that is not in the database; the process exits, or stops them.
                    let _ = (&mut stopped).await;
                }
                _ = &mut stopped => {}
            }
            running.shutdown().await;
        });
        Self { stop, supervisor, failed }
    }

    /// Told once when a part has ended.
    pub(super) fn failed(&self) -> watch::Receiver<Option<Arc<EngineError>>> {
        self.failed.clone()
    }

    /// Ends all parts and waits until they have.
    pub(super) async fn stop(self) {
        // A supervisor that is gone has nothing left to stop.
        let _ = self.stop.send(());
        let _ = self.supervisor.await;
    }
}

/// Why the node must exit when a part has ended.
fn why(
    names: &HashMap<Id, &'static str>,
    ended: Result<(Id, Option<EngineError>), JoinError>,
) -> EngineError {
    let name = |id: Id| names.get(&id).copied().unwrap_or("a part");
    match ended {
        Ok((_, Some(error))) => error,
        Ok((id, None)) => EngineError::Incident(format!("the {} of this node has ended", name(id))),
        Err(panic) => {
            EngineError::Incident(format!("the {} of this node panicked: {panic}", name(panic.id())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives() -> Part {
        Box::pin(std::future::pending())
    }

    async fn failure(part: Part) -> String {
        let tasks = Tasks::start([("door", lives()), ("intake writer", part)]);
        let mut failed = tasks.failed();
        let error = failed.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        tasks.stop().await;
        error.to_string()
    }

    #[tokio::test]
    async fn a_part_that_panics_or_ends_fails_the_node_by_its_name() {
        let panicked = failure(Box::pin(async { panic!("on purpose") })).await;
        assert!(panicked.contains("intake writer of this node panicked"), "{panicked}");
        let ended = failure(Box::pin(async { None })).await;
        assert_eq!(ended, "incident: the intake writer of this node has ended");
        let error = failure(Box::pin(async { Some(EngineError::Fenced(7)) })).await;
        assert_eq!(error, EngineError::Fenced(7).to_string());
    }

    #[tokio::test]
    async fn a_stop_ends_every_part_and_is_no_failure() {
        let (held, gone) = oneshot::channel::<()>();
        let part: Part = Box::pin(async {
            let _held = held;
            std::future::pending().await
        });
        let tasks = Tasks::start([("door", lives()), ("heartbeat", part)]);
        let failed = tasks.failed();
        tasks.stop().await;
        assert!(gone.await.is_err(), "what the part held is gone with it");
        assert!(failed.borrow().is_none());
    }
}
