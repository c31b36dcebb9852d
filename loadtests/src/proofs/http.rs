//! Look-ups with proof over HTTP, at a node of this process, by turns with an answer of the same server that never changes.

use crate::claims::client::{Connection, Target};
use crate::claims::embedded::Serving;
use crate::claims::ground::{Ground, Round, Servers};
use crate::claims::run;
use crate::claims::stats::median;
use crate::generate;
use crate::machine::process_seconds;
use crate::report::{Figure, Goal, Report};
use crate::snapshot::short;
use anyhow::{Context, ensure};
use futures::future::try_join_all;
use hyper::Method;
use hyper::body::Bytes;
use sluice_server::dev;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections that ask, each a request at a time: enough that the server never waits for one of them.
const CONNECTIONS: u64 = 32;

/// Turns of each kind; the first of each does not count.
const TURNS: u64 = 5;

/// An answer that is the same for everybody and at any time, behind the same limits and headers as a look-up.
const STATIC: &str = "/v1/problems/stale";

/// How fast one kind of request was answered.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    per_cpu_second: f64,
}

/// Measures look-ups in a list of `rows` wallets, `seconds` for each kind of request.
pub(super) fn measure(rows: u64, seed: u64, seconds: u64, report: &mut Report) -> anyhow::Result<()> {
    let turn = Duration::from_millis(1_000 * seconds / TURNS);
    let (looked_up, fixed) = run::to_the_end(turns(rows, seed, turn))?;
    let size = short(rows);
    let clock = |rates: &[Rate]| median(&rates.iter().map(|rate| rate.per_second).collect::<Vec<_>>());
    let cpu = |rates: &[Rate]| median(&rates.iter().map(|rate| rate.per_cpu_second).collect::<Vec<_>>());
    report.add(Figure::new(format!("look-ups with proof over HTTP, {size}"), clock(&looked_up), "/s"));
    report.add(Figure::new("a static answer by the same server", clock(&fixed), "/s").note(STATIC));
    let name = "look-ups over HTTP against a static answer";
    let note = "node and client on the same cores";
    let ratio = clock(&looked_up) / clock(&fixed);
    report.add(Figure::new(name, ratio, "×").goal(Goal::AtLeast(0.7)).note(note));
    let ratio = cpu(&looked_up) / cpu(&fixed);
    report.add(Figure::new(format!("{name}, by processor time"), ratio, "×").goal(Goal::AtLeast(0.7)));
    Ok(())
}

/// The rates of look-ups and of the static answer.
async fn turns(rows: u64, seed: u64, turn: Duration) -> anyhow::Result<(Vec<Rate>, Vec<Rate>)> {
    let servers = Servers::start().await?;
    let ground = Arc::new(Ground::start(&servers, "proofs").await?);
    let list = ground.prepared.dir.join("list.csv");
    let to = list.clone();
    tokio::task::spawn_blocking(move || {
        let plan = generate::plan(seed, rows, dev::DECIMALS, u128::from(rows) * 80, false)?;
        generate::write(&plan, &to)
    })
    .await??;
    let stored = ground.snapshot(&list).await?;
    let round = ground.open_round(1, stored, None).await?;
    let serving = Serving::start(ground).await?;
    let begin = format!("/v1/campaigns/{}/rounds/{}/entitlements/", serving.ground.campaign, round.number);
    let looked_up =
        |turn: u64, connection, done| wallet(&round, turn * CONNECTIONS + connection, done, &begin);
    let (mut lookups, mut fixed) = (Vec::new(), Vec::new());
    for number in 0..TURNS {
        let rate =
            asked(&serving.target, turn, |connection, done| looked_up(number, connection, done)).await?;
        lookups.push(rate);
        fixed.push(asked(&serving.target, turn, |_, _| Ok(STATIC.to_owned())).await?);
    }
    serving.stop().await;
    servers.stop().await;
    Ok((lookups.split_off(1), fixed.split_off(1)))
}

/// The path of the look-up of some wallet.
fn wallet(round: &Round, series: u64, done: u64, begin: &str) -> anyhow::Result<String> {
    let index = generate::random(series, done) % round.snapshot.count();
    let recipient = round.snapshot.entitlement(index).context("an index below the count")?.recipient;
    Ok(format!("{begin}{recipient}"))
}

/// Asks on all connections for a while.
async fn asked(
    target: &Target,
    turn: Duration,
    path: impl Fn(u64, u64) -> anyhow::Result<String>,
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
async fn ask(
    mut connection: Connection,
    until: Instant,
    path: impl Fn(u64) -> anyhow::Result<String>,
) -> anyhow::Result<u64> {
    let mut done = 0;
    while Instant::now() < until {
        let path = path(done)?;
        let answer = connection.ask(Method::GET, &path, "application/json", Bytes::new()).await?;
        ensure!(answer.status == 200, "{path} was answered with {}", answer.status);
        done += 1;
    }
    Ok(done)
}
