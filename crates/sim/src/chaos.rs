//! `sluice-sim chaos`: the run from the first server to the verdict.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use sluice_server::api_client::ApiClient;
use sluice_server::cli::block_on;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::audit;
use crate::client::Client;
use crate::clock;
use crate::fleet::{Common, Fleet};
use crate::ground::{Field, LANES, Servers};
use crate::postgres_proxy::{self, PostgresProxy};
use crate::records::Records;
use crate::report::Report;
use crate::rpc_proxy::{self, RpcProxy, Service};
use crate::schedule::{self, Fault, Round, Which};
use crate::seed::Seed;
use crate::workload::{self, Progress, Stage, Task};

/// How long the nodes may take to lead for the first time.
const FIRST_LEADER: Duration = Duration::from_secs(60);
/// How long an ordered cut may wait for its statement.
const CUT_WITHIN: Duration = Duration::from_secs(6);
/// How often a claim is called for while a cut waits.
const CALL_EVERY: Duration = Duration::from_millis(700);
/// How many faults a deferred one lets pass.
const DEFER_BY: usize = 3;
/// Faults that are deferred in a run: more would mean that something is wrong with the workload.
const DEFERRED_MAX: usize = 20;
/// After the last fault everything becomes final within this.
const FINAL_WITHIN: Duration = Duration::from_secs(150);
/// No fault takes longer than this, whatever it waits for.
const FAULT_MAX: Duration = Duration::from_secs(30);
/// How often conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// Campaigns; with two settlement accounts each sequencer may use both.
const CAMPAIGNS: u32 = 2;
/// Entitlements of each campaign in the short run; more rounds get more.
const WALLETS: u32 = 300;
/// Rounds of a long run, unless told.
const LONG: usize = 320;

/// Crash, freeze, cut and reorganise two nodes while claims arrive, then audit what everybody was told.
#[derive(Clone, Debug, Args)]
pub struct Chaos {
    /// The run of `make test`: every kind of fault once or more, 36 SIGKILLs.
    #[arg(long, conflicts_with = "rounds")]
    short: bool,
    /// How many faults.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// What faults and workload follow from; printed, and drawn when not given.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The folder for servers, lists and the nodes' logs.
    #[arg(long, value_name = "DIR", default_value = ".sluice/chaos")]
    dir: PathBuf,
    /// Print every fault as it comes.
    #[arg(long)]
    tell: bool,
}

/// Everything that is running.
struct World {
    servers: Arc<Servers>,
    fleet: Arc<Fleet>,
    statements: Arc<postgres_proxy::Orders>,
    requests: Arc<rpc_proxy::Orders>,
    tell: bool,
}

/// What a run leaves for the auditor.
struct Outcome {
    fields: Arc<Vec<Field>>,
    records: Arc<Records>,
    /// How often each kind of fault took place.
    faults: Vec<(String, u32)>,
    settled_in: Duration,
}

impl Chaos {
    /// Does it. The exit code is 0 only if the auditor finds nothing wrong.
    ///
    /// # Errors
    /// When a server or the set-up fails.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            tokio::select! {
                done = self.course() => done,
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            }
        })
    }

    async fn course(&self) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let seed = self.seed.unwrap_or_else(drawn_seed);
        let schedule = schedule::draw(
            &Seed::new(seed),
            if self.short { None } else { Some(self.rounds.unwrap_or(LONG)) },
        );
        println!(
            "chaos: seed {seed}, {} faults; the nodes' logs are in {}",
            schedule.len(),
            self.dir.display()
        );
        let world = self.world().await?;
        let outcome = self.trouble(&world, seed, &schedule).await;
        let World { servers, fleet, statements, requests, .. } = world;
        let Outcome { fields, records, faults, settled_in } = match outcome {
            Ok(done) => done,
            Err(error) => {
                println!("chaos: the run itself failed, seed {seed}");
                return Err(error);
            }
        };
        let mut report = Report::default();
        let (starts, exits) = fleet.figures().await;
        report.figure("seed", seed);
        report.figure("seconds from the last fault to all final", settled_in.as_secs());
        report.figure("node processes started", starts);
        report.figure("of them, ended by themselves", exits);
        report.figure("commits cut", statements.made().values().sum::<u32>());
        report.figure("broadcasts cut", requests.made().values().sum::<u32>());
        let missed = faults.iter().filter(|(_, count)| *count == 0).map(|(name, _)| format!("{name}: never"));
        report.check("every kind of fault found something to hit", faults.len(), missed.collect());
        for (name, count) in faults {
            report.figure(name, count);
        }
        let fleet = Arc::into_inner(fleet).context("somebody still holds the fleet")?;
        fleet.stop().await?;
        audit::audit(&servers, &fields, &records, &mut report).await?;
        report.figure("seconds", begun.elapsed().as_secs());
        report.print();
        if report.is_right() {
            servers.drop_database().await?;
            println!(
                "\nchaos: everything acknowledged is final exactly once, and nothing else is paid (seed {seed})"
            );
        } else {
            println!("\nchaos: WRONG; repeat it with --seed {seed}");
        }
        let servers = Arc::into_inner(servers).context("somebody still holds the servers")?;
        let code = if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        servers.stop().await?;
        Ok(code)
    }

    async fn world(&self) -> anyhow::Result<World> {
        std::fs::create_dir_all(&self.dir)?;
        for old in ["node-1.log", "node-2.log"] {
            match std::fs::remove_file(self.dir.join(old)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let servers = Servers::start(&self.dir).await.context("the servers")?;
        let prepared = &servers.prepared;
        let (statements, requests) = (postgres_proxy::Orders::new(), Arc::new(rpc_proxy::Orders::default()));
        let mut proxies = Vec::new();
        for _ in 0..2 {
            let postgres = PostgresProxy::before(&prepared.database_url, Arc::clone(&statements))?;
            proxies.push((postgres, RpcProxy::before(prepared.rpc.clone(), Arc::clone(&requests)).await?));
        }
        let common = Common {
            program: std::env::current_exe()?,
            charter: prepared.charter,
            lanes: LANES,
            snapshots: prepared.snapshots(),
            logs: prepared.dir.clone(),
        };
        let proxies = <[_; 2]>::try_from(proxies).ok().context("two proxies")?;
        let fleet = Arc::new(Fleet::start(&common, proxies)?);
        fleet.wait_for_leader(FIRST_LEADER).await?;
        Ok(World { servers: Arc::new(servers), fleet, statements, requests, tell: self.tell })
    }

    /// Campaigns, clients and faults, until everything is final.
    async fn trouble(&self, world: &World, seed: u64, schedule: &[Round]) -> anyhow::Result<Outcome> {
        let apis = [ApiClient::new(world.fleet.url(0), None)?, ApiClient::new(world.fleet.url(1), None)?];
        let wallets = WALLETS.max(u32::try_from(schedule.len())? * 4);
        let mut fields = Vec::new();
        for number in 0..CAMPAIGNS {
            fields.push(world.servers.campaign(&apis[0], number, wallets).await.context("a campaign")?);
        }
        let fields = Arc::new(fields);
        println!("chaos: {CAMPAIGNS} campaigns of {wallets} entitlements are open; faults begin");
        let records = Arc::new(Records::default());
        let (progress, seen) = watch::channel(Progress::default());
        let counts: Vec<u64> = fields.iter().map(Field::count).collect();
        let tasks = workload::draw(&Seed::new(seed), &counts, schedule.len());
        // Faults take a few seconds each at most; then there is the time to become final.
        let end = Instant::now() + FAULT_MAX * u32::try_from(schedule.len())? + FINAL_WITHIN;
        let nodes = [world.fleet.url(0).to_owned(), world.fleet.url(1).to_owned()];
        let client = Client::new(nodes, Arc::clone(&records), end)?;
        let stage = Stage { servers: Arc::clone(&world.servers), fields: Arc::clone(&fields), client, apis };
        let mut clients = spawn(&stage, tasks, &seen);
        drop(stage);
        let faults = world.faults(schedule, &progress).await?;
        println!("chaos: no more faults; everything must become final within {FINAL_WITHIN:?}");
        let quiet = Instant::now();
        progress.send_replace(Progress { round: schedule.len(), called: usize::MAX });
        let finishing = async {
            while let Some(done) = clients.join_next().await {
                done??;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(FINAL_WITHIN, finishing).await {
            Ok(done) => done?,
            Err(_) => bail!("{} clients were not done {FINAL_WITHIN:?} after the last fault", clients.len()),
        }
        world.settle(&fields, &records).await?;
        Ok(Outcome { fields, records, faults, settled_in: quiet.elapsed() })
    }
}

fn spawn(
    stage: &Stage,
    tasks: Vec<Task>,
    progress: &watch::Receiver<Progress>,
) -> JoinSet<anyhow::Result<()>> {
    let mut clients = JoinSet::new();
    for task in tasks {
        let (stage, progress) = (stage.clone(), progress.clone());
        clients.spawn(async move { stage.run(task, progress).await });
    }
    clients
}

fn drawn_seed() -> u64 {
    // The random half; printed, because it is all one needs to see the same again.
    uuid::Uuid::now_v7().as_u64_pair().1
}

impl World {
    /// All faults, one after the other; returns how often each kind took place.
    async fn faults(
        &self,
        schedule: &[Round],
        progress: &watch::Sender<Progress>,
    ) -> anyhow::Result<Vec<(String, u32)>> {
        let mut counts = std::collections::BTreeMap::<String, u32>::new();
        let mut waiting: VecDeque<Round> = schedule.iter().copied().collect();
        let mut deferred = 0;
        let mut number = 0;
        while let Some(Round { fault, pause }) = waiting.pop_front() {
            number += 1;
            progress.send_modify(|now| now.round = number - 1);
            let begun = Instant::now();
            let done = tokio::time::timeout(FAULT_MAX, self.fault(fault, progress)).await;
            let done = done.with_context(|| format!("fault {number}, {fault}, took too long"))??;
            if self.tell {
                let took = begun.elapsed().as_millis();
                println!(
                    "  {number:>4} {fault}{} ({took} ms)",
                    if done { "" } else { ": found nothing to hit" }
                );
            }
            *counts.entry(fault.name()).or_default() += u32::from(done);
            // What found no statement to cut has its turn again when other clients have come.
            if !done && deferred < DEFERRED_MAX {
                deferred += 1;
                let later = DEFER_BY.min(waiting.len());
                waiting.insert(later, Round { fault, pause });
            }
            tokio::time::sleep(pause).await;
        }
        Ok(counts.into_iter().collect())
    }

    /// One fault; says whether it found anything to hit.
    async fn fault(&self, fault: Fault, progress: &watch::Sender<Progress>) -> anyhow::Result<bool> {
        match fault {
            Fault::Kill { which, down } => self.kill(which, down).await,
            Fault::KillBoth { down } => {
                let (one, other) = tokio::join!(self.fleet.kill(0, down), self.fleet.kill(1, down));
                Ok(one? | other?)
            }
            Fault::Terminate { which, down } => self.fleet.terminate(self.slot(which).await, down).await,
            Fault::Freeze { length } => self.fleet.freeze(self.slot(Which::Leader).await, length).await,
            Fault::CutCommit { commit, cut } => {
                self.statements.cut_next(commit, cut);
                let done = wait(progress, || self.statements.has_cut()).await;
                self.statements.clear();
                Ok(done)
            }
            Fault::DatabaseAway { length } => {
                self.statements.away(true);
                tokio::time::sleep(length).await;
                self.statements.away(false);
                Ok(true)
            }
            Fault::CutBroadcast { how } => {
                self.requests.cut_next(how);
                let done = wait(progress, || self.requests.has_cut()).await;
                self.requests.clear();
                Ok(done)
            }
            Fault::ChainAway { length } => self.serve_badly(Service::Errors, length).await,
            Fault::ChainSlow { length } => self.serve_badly(Service::Slow, length).await,
            Fault::Reorganise { depth } => {
                self.servers.reorganise(depth).await?;
                Ok(true)
            }
            Fault::DropTransactions => self.drop_transactions().await,
            Fault::ClockForward { by } => {
                clock::forward(&self.servers.prepared.database_url, by).await?;
                Ok(true)
            }
            Fault::FeeSpike { gwei } => {
                let fee = format!("{:#x}", u128::from(gwei) * 1_000_000_000);
                self.servers.anvil("anvil_setNextBlockBaseFeePerGas", json!([fee])).await?;
                Ok(true)
            }
        }
    }

    /// Kills a node, once there is one: it may be down from the fault before.
    async fn kill(&self, which: Which, down: Duration) -> anyhow::Result<bool> {
        let end = Instant::now() + CUT_WITHIN;
        while Instant::now() < end {
            if self.fleet.kill(self.slot(which).await, down).await? {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(false)
    }

    async fn slot(&self, which: Which) -> usize {
        match which {
            Which::Slot(slot) => slot,
            // While nobody leads, either will do.
            Which::Leader => self.fleet.leader().await.unwrap_or(0),
        }
    }

    async fn serve_badly(&self, service: Service, length: Duration) -> anyhow::Result<bool> {
        self.requests.serve(service);
        tokio::time::sleep(length).await;
        self.requests.serve(Service::Good);
        Ok(true)
    }

    /// Makes the mempool forget, as soon as something waits in it. Blocks come every quarter second, so that a transaction
    /// is usually there for longer than one look takes.
    async fn drop_transactions(&self) -> anyhow::Result<bool> {
        let end = Instant::now() + CUT_WITHIN;
        while Instant::now() < end {
            let pool = self.servers.anvil("txpool_status", json!([])).await?;
            if pool["pending"] != "0x0" || pool["queued"] != "0x0" {
                self.servers.anvil("anvil_dropAllTransactions", json!([])).await?;
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY / 2).await;
        }
        Ok(false)
    }

    /// Waits until pushes are final, too, and the log stands still with a checkpoint at its head.
    async fn settle(&self, fields: &[Field], records: &Records) -> anyhow::Result<()> {
        let settling = audit::settled(&self.servers, &self.fleet, fields, records);
        tokio::time::timeout(FINAL_WITHIN, settling)
            .await
            .context("the pushes did not become final in time")?
    }
}

/// Waits for an ordered cut, and calls for a claim now and then, so that there is something to cut.
async fn wait(progress: &watch::Sender<Progress>, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + CUT_WITHIN;
    let mut call = Instant::now() + CALL_EVERY;
    while !done() {
        let now = Instant::now();
        if now >= end {
            return false;
        }
        if now >= call {
            call = now + CALL_EVERY;
            progress.send_modify(|progress| progress.called += 1);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
