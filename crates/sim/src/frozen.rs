//! A leader that is stopped where it stands, and goes on when another leads: the fence, seen from outside.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use sluice_core::limits::FOLLOW_ROWS_MAX;
use sluice_store::{Options, Store};

use crate::fleet::{Common, Fleet};
use crate::ground::{LANES, Servers};
use crate::postgres_proxy::{self, PostgresProxy};
use crate::rpc_proxy::{self, RpcProxy};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What became of the log.
#[derive(Clone, Copy, Debug)]
pub struct Fenced {
    /// The epoch of the leader that was stopped.
    pub old: u64,
    /// The epoch of its successor, which leads when the old one goes on.
    pub new: u64,
    /// Entries after the successor's first one.
    pub entries_after: usize,
    /// Of them, under the old epoch.
    pub of_the_old: usize,
}

/// Stops the leader of two nodes (processes of `program`, which is `sluice-sim`) by SIGSTOP until the other leads, lets it
/// go on, and waits until it has exited or follows.
///
/// # Errors
/// When servers or nodes cannot be started, or one of these conditions does not come.
pub async fn stopped_leader(program: &Path, dir: &Path) -> anyhow::Result<Fenced> {
    let servers = Servers::start(dir).await?;
    let prepared = &servers.prepared;
    let statements = postgres_proxy::Orders::new();
    let requests = std::sync::Arc::new(rpc_proxy::Orders::default());
    let mut proxies = Vec::new();
    for _ in 0..2 {
        let postgres = PostgresProxy::before(&prepared.database_url, statements.clone())?;
        proxies.push((postgres, RpcProxy::before(prepared.rpc.clone(), requests.clone()).await?));
    }
    let common = Common {
        program: program.to_owned(),
        charter: prepared.charter,
        lanes: LANES,
        snapshots: prepared.snapshots(),
        logs: prepared.dir.clone(),
    };
    let proxies = <[_; 2]>::try_from(proxies).ok().context("two proxies")?;
    let fleet = Fleet::start(&common, proxies)?;
    let leader = fleet.wait_for_leader(WITHIN).await?;
    let old = until("the leader's first entry", || async {
        fleet.status(leader).await.map(|status| status.epoch).filter(|epoch| *epoch > 0)
    })
    .await?;
    fleet.stop_and_hold(leader).await?;
    let new = until("the other leads", || async {
        let status = fleet.status(1 - leader).await?;
        (status.role == "leader" && status.epoch > old).then_some(status.epoch)
    })
    .await?;
    let (starts, _) = fleet.figures().await;
    fleet.go_on(leader).await?;
    // Either the process ended, and another was started in its place, or it answers as a follower of the new epoch.
    until("the old leader exits or follows", || async {
        let exited = fleet.figures().await.0 > starts;
        let follows = fleet.status(leader).await.is_some_and(|s| s.role == "follower" && s.epoch >= new);
        (exited || follows).then_some(())
    })
    .await?;
    let seq = fleet.status(1 - leader).await.context("the new leader answers")?.seq;
    until("the new leader goes on", || async {
        fleet
            .status(1 - leader)
            .await
            .filter(|status| status.seq > seq && status.role == "leader")
            .map(|_| ())
    })
    .await?;
    fleet.stop().await?;
    let found = read(&servers, old, new).await?;
    servers.drop_database().await?;
    servers.stop().await?;
    Ok(found)
}

async fn read(servers: &Servers, old: u64, new: u64) -> anyhow::Result<Fenced> {
    let store = Store::connect(&servers.prepared.database_url, Options::default()).await?;
    let rows = store.read_log(sluice_core::ids::StreamId(0), 0, FOLLOW_ROWS_MAX).await?;
    store.close().await;
    let entries = rows.iter().map(|row| row.decode()).collect::<Result<Vec<_>, _>>()?;
    ensure!(entries.iter().any(|entry| entry.epoch == old), "epoch {old} stands in the log");
    let after: Vec<_> = entries.iter().skip_while(|entry| entry.epoch < new).collect();
    let of_the_old = after.iter().filter(|entry| entry.epoch < new).count();
    Ok(Fenced { old, new, entries_after: after.len(), of_the_old })
}

async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(WITHIN, asking).await.with_context(|| format!("waited {WITHIN:?} in vain: {what}"))
}
