//! The stage as the measurement sees it: a child that ends when its standard input does.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{Millis, Seq, StreamId};
use sluice_core::log::entry::Entry;
use sluice_snapshot::Snapshot;
use sluice_store::{Options, Store};

use super::{Plan, ROUND, Set};
use crate::claims::client::Target;
use crate::claims::ground::eventually;
use crate::claims::wallets::{self, Wallet};
use crate::steady::{Payer, connect};

/// The stream of every deployment here.
const STREAM: StreamId = StreamId(0);
/// Rows of the log read at once.
const ROWS: i64 = 10_000;
/// How long a stage may take to end: its node finishes what is under way, and PostgreSQL writes a checkpoint.
const END_WITHIN: Duration = Duration::from_secs(60);

/// A running stage. Dropping it ends it, and waits until it has.
#[derive(Debug)]
pub(crate) struct Stage {
    child: Running,
    pub(crate) set: Set,
    pub(crate) snapshot: Snapshot,
    store: Store,
}

impl Stage {
    /// Starts a stage and waits until it is set.
    ///
    /// # Errors
    /// When it cannot be set; what was wrong it says itself, on standard error.
    pub(crate) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file")?;
        let child = Command::new(program)
            .arg("stage")
            .arg(serde_json::to_string(plan)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A terminal's Ctrl-C goes to us, and we end it in order.
            .process_group(0)
            .spawn()
            .context("the stage's process could not be started")?;
        let mut child = Running(Some(child));
        let out = child.0.as_mut().and_then(|child| child.stdout.take()).context("it has an output")?;
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        let line = line.await?.context("the stage says nothing")?;
        if line.is_empty() {
            bail!("the stage ended before it was set");
        }
        let set: Set = serde_json::from_str(&line).with_context(|| format!("the stage said {line:?}"))?;
        let snapshot = Snapshot::open(&set.snapshot).context("the stage's snapshot")?;
        let store = Store::connect(&set.database, Options { connections: 2 }).await?;
        Ok(Self { child, set, snapshot, store })
    }

    /// Where its node listens.
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        Target::new(&self.set.url)
    }

    /// What pays so many rounds of its first campaign.
    pub(crate) async fn payer(&self, rounds: u64) -> anyhow::Result<Payer<'_>> {
        Ok(Payer {
            chain: connect(&self.set.rpc).await?,
            distributor: self.set.campaigns[0].1.address,
            token: self.set.token,
            funded: self.snapshot.total().0 * u128::from(rounds),
            rounds: ROUND..ROUND + rounds,
            snapshot: &self.snapshot,
        })
    }

    /// The node's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Claims of these wallets in the first round of the stage's campaign of this number, signed.
    pub(crate) fn signed(&self, wallets: &[Wallet], campaign: usize) -> anyhow::Result<Vec<ClaimDemand>> {
        self.signed_in(wallets, campaign, ROUND)
    }

    /// The same in another round.
    pub(crate) fn signed_in(
        &self,
        wallets: &[Wallet],
        campaign: usize,
        round: u64,
    ) -> anyhow::Result<Vec<ClaimDemand>> {
        let (_, distributor) = self.set.campaigns.get(campaign).context("the stage has this campaign")?;
        wallets::signed(wallets, &self.snapshot, round, *distributor)
    }

    /// Entries of the log behind a position, through `each`; says how far it went.
    pub(crate) async fn read_log(&self, mut after: Seq, mut each: impl FnMut(&Entry)) -> anyhow::Result<Seq> {
        loop {
            let rows = self.store.read_log(STREAM, after, ROWS).await?;
            let Some(last) = rows.last() else { return Ok(after) };
            after = last.seq;
            for row in &rows {
                each(&row.decode()?);
            }
        }
    }

    /// Waits until nobody waits at the node any more.
    ///
    /// # Errors
    /// When somebody still does after some minutes.
    pub(crate) async fn all_decided(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        let url = format!("{}/v1/status", self.set.url);
        eventually("every accepted claim is decided", || async {
            let status: serde_json::Value = client.get(&url).send().await?.json().await?;
            let waiting = status["waiting"].as_u64().context("a status says how many wait")?;
            Ok((waiting == 0).then_some(()))
        })
        .await
    }

    /// The database's clock.
    pub(crate) async fn now(&self) -> anyhow::Result<Millis> {
        let now = || async { Ok(Some(self.store.database_now().await?)) };
        eventually("the database tells its time", now).await
    }

    /// The log's bytes on disk and all others of the database.
    pub(crate) async fn database_bytes(&self) -> anyhow::Result<u64> {
        use sqlx::Connection;
        let mut session = sqlx::PgConnection::connect(&self.set.database).await?;
        let bytes: i64 =
            sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut session).await?;
        session.close().await?;
        Ok(u64::try_from(bytes)?)
    }
}

/// The stage's process; it ends when this is dropped.
#[derive(Debug)]
struct Running(Option<Child>);

impl Running {
    fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// Closes the stage's input and waits until it has ended; one that does not in time is killed, and its servers with it.
    fn end(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        drop(child.stdin.take());
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (waited, ended) = mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let _ = child.wait();
            let _ = waited.send(());
        });
        if ended.recv_timeout(END_WITHIN).is_err() {
            eprintln!("the stage did not end within {END_WITHIN:?} and is killed");
            if let Some(pid) = pid {
                // It is not waited for yet, so the number is still its own.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // It has ended one way or the other.
        let _ = waiting.join();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
