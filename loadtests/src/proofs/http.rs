//! Look-ups with proof over HTTP, at a node of this process: first from a cold page cache, then by turns with an answer of
//! the same server that never changes.

use crate::claims::client::{Connection, Target};
use crate::claims::embedded::Serving;
use crate::claims::ground::{Ground, Round, Servers};
use crate::claims::run;
use crate::claims::stats::median;
use crate::generate;
use crate::machine::{self, process_seconds};
use crate::report::{Figure, Goal, Report};
use crate::snapshot::{build_apart, short};
use anyhow::{Context, ensure};
use futures::future::try_join_all;
use hyper::Method;
use hyper::body::Bytes;
use sluice_engine::snapshots::{Snapshots, file_hash};
use sluice_server::dev;
use sluice_snapshot::Snapshot;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections that ask, each a request at a time: enough that the server never waits for one of them.
const CONNECTIONS: usize = 32;

/// Turns of each kind; the first of each does not count.
const TURNS: usize = 5;

/// Look-ups whose paths are made before anything is timed: more than a turn asks for, so that none is asked twice in it.
const PATHS: usize = 1 << 17;

/// An answer that is the same for everybody and at any time, behind the same limits and headers as a look-up.
const STATIC: &str = "/v1/problems/stale";

/// How fast one kind of request was answered.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    per_cpu_second: f64,
}

/// What was seen.
struct Seen {
    cold: Rate,
    /// Bytes that came from the disk during the cold turn.
    cold_read: u64,
    looked_up: Vec<Rate>,
    fixed: Vec<Rate>,
    /// Bytes of memory beyond mapped pages, after all of it.
    memory: u64,
}

/// Measures look-ups in a list of `rows` wallets, `seconds` for each kind of request.
pub(super) fn measure(rows: u64, seed: u64, seconds: u64, report: &mut Report) -> anyhow::Result<()> {
    let turn = Duration::from_millis(1_000 * seconds / TURNS as u64);
    let Seen { cold, cold_read, looked_up, fixed, memory } = run::to_the_end(turns(rows, seed, turn))?;
    let size = short(rows);
    let clock = |rates: &[Rate]| median(&rates.iter().map(|rate| rate.per_second).collect::<Vec<_>>());
    let cpu = |rates: &[Rate]| median(&rates.iter().map(|rate| rate.per_cpu_second).collect::<Vec<_>>());
    let note =
        format!("the first {:.1} s; {:.0} MB read from the disk", turn.as_secs_f64(), cold_read as f64 / 1e6);
    let name = format!("look-ups with proof over HTTP, {size}");
    report.add(Figure::new(format!("{name}, cold"), cold.per_second, "/s").note(note));
    report.add(Figure::new(name, clock(&looked_up), "/s"));
    report.add(Figure::new("a static answer by the same server", clock(&fixed), "/s").note(STATIC));
    let name = "look-ups over HTTP against a static answer";
    let note = "node and client on the same cores";
    let ratio = clock(&looked_up) / clock(&fixed);
    report.add(Figure::new(name, ratio, "×").goal(Goal::AtLeast(0.7)).note(note));
    let ratio = cpu(&looked_up) / cpu(&fixed);
    report.add(Figure::new(format!("{name}, by processor time"), ratio, "×").goal(Goal::AtLeast(0.7)));
    let figure =
        Figure::new(format!("memory of a node that serves the list, {size}"), memory as f64 / 1e6, "MB");
    let note = "beyond mapped pages, after these look-ups; the client is in the same process";
    report.add(figure.goal(Goal::AtMost(300.0)).note(note));
    Ok(())
}

async fn turns(rows: u64, seed: u64, turn: Duration) -> anyhow::Result<Seen> {
    let servers = Servers::start().await?;
    let ground = Arc::new(Ground::start(&servers, "proofs").await?);
    let (stored, path) = publishable(&ground, rows, seed).await?;
    let round = ground.open_round(1, stored, None).await?;
    let serving = Serving::start(ground).await?;
    let paths = paths(&serving, &round, &path)?;
    let (mut looked_up, mut fixed) = (Vec::new(), Vec::new());
    let look_up = |turn: usize| {
        let paths = &paths;
        move |connection: usize, done: usize| {
            &*paths[(turn * PATHS / 3 + done * CONNECTIONS + connection) % PATHS]
        }
    };

    super::leave_the_cache(&path)?;
    let read = machine::bytes_read();
    let cold = asked(&serving.target, turn, look_up(0)).await?;
    let cold_read = machine::bytes_read() - read;
    std::io::copy(&mut std::fs::File::open(&path)?, &mut std::io::sink())?;
    for number in 1..=TURNS {
        looked_up.push(asked(&serving.target, turn, look_up(number)).await?);
        fixed.push(asked(&serving.target, turn, |_, _| STATIC).await?);
    }
    drop(paths);
    let memory = machine::memory_now();
    serving.stop().await;
    servers.stop().await;
    let (looked_up, fixed) = (looked_up.split_off(1), fixed.split_off(1));
    Ok(Seen { cold, cold_read, looked_up, fixed, memory })
}

/// The list's snapshot where the node looks for it. It is built by another process, whose memory is not the node's.
async fn publishable(
    ground: &Ground,
    rows: u64,
    seed: u64,
) -> anyhow::Result<((Arc<Snapshot>, alloy_primitives::B256), PathBuf)> {
    let (list, folder) = (ground.prepared.dir.join("list.csv"), ground.prepared.snapshots());
    tokio::task::spawn_blocking(move || {
        let plan = generate::plan(seed, rows, dev::DECIMALS, u128::from(rows) * 80, false)?;
        generate::write(&plan, &list)?;
        let out = folder.join("new");
        build_apart(&list, &out, "native", dev::DECIMALS)?;
        std::fs::remove_file(&list)?;
        let hash = file_hash(&out)?;
        let stored = Snapshots::new(&folder).path(hash);
        std::fs::rename(&out, &stored)?;
        Ok(((Arc::new(Snapshot::open(&stored)?), hash), stored))
    })
    .await?
}

/// The paths of look-ups of wallets all over the list. They are read through a mapping that is gone afterwards, so that no
/// page stays in the cache for its sake.
fn paths(serving: &Serving, round: &Round, path: &Path) -> anyhow::Result<Vec<String>> {
    let snapshot = Snapshot::open(path)?;
    let begin = format!("/v1/campaigns/{}/rounds/{}/entitlements/", serving.ground.campaign, round.number);
    let one = |number: usize| {
        let index = generate::random(1, number as u64) % snapshot.count();
        let recipient = snapshot.entitlement(index).context("an index below the count")?.recipient;
        Ok(format!("{begin}{recipient}"))
    };
    (0..PATHS).map(one).collect()
}

/// Asks on all connections for a while.
async fn asked<'a>(
    target: &Target,
    turn: Duration,
    path: impl Fn(usize, usize) -> &'a str,
) -> anyhow::Result<Rate> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(target.connect().await?);
    }
    let (begin, cpu) = (Instant::now(), process_seconds());
    let asking = (0..).zip(connections).map(|(number, connection)| {
        let path = &path;
        ask(connection, begin + turn, move |done| path(number, done))
    });
    let done: u64 = try_join_all(asking).await?.into_iter().sum();
    Ok(Rate {
        per_second: done as f64 / begin.elapsed().as_secs_f64(),
        per_cpu_second: done as f64 / (process_seconds() - cpu),
    })
}

/// Asks on one connection until a moment, and counts the answers.
async fn ask<'a>(
    mut connection: Connection,
    until: Instant,
    path: impl Fn(usize) -> &'a str,
) -> anyhow::Result<u64> {
    let mut done = 0;
    while Instant::now() < until {
        let path = path(done);
        let answer = connection.ask(Method::GET, path, "application/json", Bytes::new()).await?;
        ensure!(answer.status == 200, "{path} was answered with {}", answer.status);
        done += 1;
    }
    Ok(done as u64)
}
