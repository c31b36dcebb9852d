//! `sluice demo`: the whole path on this machine, for real. A private PostgreSQL, a private anvil, one node with its
//! HTTP API; a list becomes a snapshot, a round, claims and a push, batches on chain, final payments. At the end
//! chain and database are compared, entitlement by entitlement and balance by balance.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use sluice_core::command::{Action, RoundMode};
use sluice_core::ids::{CampaignId, ContractRef, RoundNo, StreamId};
use sluice_embedded::Mining;
use sluice_engine::node::Node;
use sluice_snapshot::Snapshot;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::api_client::ApiClient;
use crate::cli::campaign::{create, create2, fund, hand_in, publish};
use crate::cli::reach::project_id;
use crate::cli::serve::told_to_stop;
use crate::cli::sign::papers::Papers;
use crate::cli::sign::signed_by;
use crate::dev::{self, Prepared};
use crate::{http, telemetry};

mod check;
mod claims;
mod list;
mod table;

use claims::{Ground, Plan};
use table::Stages;

/// Up to so many recipients a list is small: anvil hashes its whole state for each block.
const SMALL: u64 = 20_000;
/// Time between blocks with a small list.
const BLOCK_SMALL: Duration = Duration::from_millis(250);
/// Time between blocks with a large one: its many batches make blocks enough.
const BLOCK_LARGE: Duration = Duration::from_secs(2);
/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often progress is printed.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// A demonstration in which nothing at all happened for so long has failed.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// How long the round stays open, seconds.
const OPEN_FOR: u64 = 30 * 86_400;
/// How long the requests of the demonstration's own clients may still run at the end.
const SERVER_END: Duration = Duration::from_secs(15);

/// Run the whole path on this machine: list, snapshot, contracts, claims, settlement; then compare chain and database.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// The list; by default sample-data/small.csv.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Make a list of so many wallets instead.
    #[arg(long, value_name = "N", conflicts_with = "list")]
    recipients: Option<u32>,
    /// How the list writes amounts.
    #[arg(long, value_enum, default_value_t = UnitName::Token)]
    unit: UnitName,
    /// What becomes of rows that name the zero address.
    #[arg(long, value_enum, default_value_t = ZeroName::Refuse)]
    zero_address: ZeroName,
    /// What is pushed: the rest after the claims, all (no claims), or nothing.
    #[arg(long, value_enum, default_value_t = PushName::Rest)]
    push: PushName,
    /// Claims by wallets whose keys are derivable (sample lists only); 120 by default.
    #[arg(long, value_name = "N")]
    claims: Option<usize>,
    /// Milliseconds between blocks; every transaction makes one besides. 250, or 2,000 for large lists.
    #[arg(long, value_name = "MS")]
    block_ms: Option<u64>,
    /// The folder for the servers' data.
    #[arg(long, value_name = "DIR", default_value = ".sluice/demo")]
    dir: PathBuf,
    /// This empty PostgreSQL database instead of a private one.
    #[arg(long, value_name = "URL", env = "DATABASE_URL")]
    database_url: Option<String>,
    /// This anvil instead of a private one; it must make blocks by itself, as with --block-time 1 --mixed-mining
    /// --slots-in-an-epoch 1, because nothing becomes final without them.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    rpc: Option<String>,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnitName {
    /// Decimal numbers of tokens.
    Token,
    /// Whole decimal numbers of base units.
    Base,
    /// Hexadecimal numbers of base units.
    Hex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ZeroName {
    Refuse,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PushName {
    /// What nobody claimed.
    Rest,
    /// Everything; there are no claims.
    All,
    /// Nothing: only claims are paid.
    None,
}

/// A node that serves, for as long as the demonstration runs.
struct Serving {
    node: Node,
    api: ApiClient,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
}

/// The round that is paid.
struct Ready {
    campaign: CampaignId,
    round: RoundNo,
    distributor: ContractRef,
    deployed_at: u64,
    snapshot: Arc<Snapshot>,
}

impl Demo {
    /// Does it. The exit code is 0 only if chain, database and list agree.
    ///
    /// # Errors
    /// When a stage fails, or on Ctrl-C; the servers are stopped either way.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        crate::cli::block_on(async {
            let mut stop = pin!(told_to_stop()?);
            if let (PushName::All, Some(claims)) = (self.push, self.claims) {
                bail!("--claims {claims} contradicts --push all; use --push rest");
            }
            let mut stages = Stages::default();
            let file = self.snapshot(&mut stages).await?;
            tell("starting a private PostgreSQL and a private anvil");
            let (began, options) = (Instant::now(), self.options(Snapshot::open(&file)?.count()));
            let prepared = tokio::select! {
                prepared = dev::prepare(&options) => prepared?,
                () = &mut stop => bail!("interrupted"),
            };
            stages.0.push(("servers", began.elapsed()));
            let done = tokio::select! {
                done = self.course(&prepared, &mut stages, &file) => done,
                () = &mut stop => Err(anyhow::anyhow!("interrupted; nothing of this demonstration stays")),
            };
            if let Err(error) = prepared.drop_database().await {
                tracing::warn!(error = format!("{error:#}"), "the demonstration's database was not dropped");
            }
            prepared.stop().await;
            done
        })
    }

    /// The list and its snapshot; they need neither database nor chain.
    async fn snapshot(&self, stages: &mut Stages) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot create {}", self.dir.display()))?;
        let list = list::choose(self, &self.dir)?;
        tell(&format!("building the snapshot of {}", list.display()));
        stage(stages, "snapshot", list::snapshot(self, &list, &self.dir)).await
    }

    fn options(&self, recipients: u64) -> dev::Options {
        let block = match self.block_ms {
            Some(millis) => Duration::from_millis(millis),
            None if recipients <= SMALL => BLOCK_SMALL,
            None => BLOCK_LARGE,
        };
        dev::Options {
            mining: Mining::Mixed(block),
            // Each demonstration tells its story from the first block.
            keep_chain: false,
            database_url: self.database_url.clone(),
            rpc: self.rpc.clone(),
            ..dev::Options::new(&self.dir)
        }
    }

    async fn course(
        &self,
        prepared: &Prepared,
        stages: &mut Stages,
        file: &Path,
    ) -> anyhow::Result<ExitCode> {
        let serving = stage(stages, "node", serve(prepared)).await?;
        let failed = serving.node.clone();
        let done = tokio::select! {
            done = self.pay(prepared, &serving, stages, file) => done,
            error = failed.failed() => Err(anyhow::anyhow!(error).context("the node stopped")),
        };
        let _ = serving.stop.send(());
        if tokio::time::timeout(SERVER_END, serving.server).await.is_err() {
            tracing::warn!("the HTTP server did not end in time");
        }
        serving.node.stop().await;
        done
    }

    async fn pay(
        &self,
        prepared: &Prepared,
        serving: &Serving,
        stages: &mut Stages,
        file: &Path,
    ) -> anyhow::Result<ExitCode> {
        let plan = self.plan(&Arc::new(Snapshot::open(file)?))?;
        plan.place_contracts(&prepared.rpc).await?;
        let ready = self.set_up(prepared, serving, stages, file).await?;
        let ground = Ground {
            api: &serving.api,
            operator: &prepared.operator,
            campaign: ready.campaign,
            round: ready.round,
            distributor: ready.distributor,
            snapshot: &ready.snapshot,
        };
        tell(&format!(
            "claims: {} signed over HTTP, {} redirected, {} by contracts, {} self-paid, {} raced",
            plan.plain.len(),
            plan.redirected.len(),
            plan.contracts.len(),
            plan.self_paid.len(),
            plan.raced.len()
        ));
        stage(stages, "claims", ground.claim(&plan)).await?;
        if self.push != PushName::None {
            tell("pushing what nobody claimed");
            stage(stages, "push", push(prepared, serving, &ready)).await?;
        }
        let claimed: std::collections::HashSet<u64> = plan.indexes().collect();
        let everyone = self.push != PushName::None;
        let expected = move |index: u64| everyone || claimed.contains(&index);
        stage(stages, "settlement", settle(serving, &ready, &expected)).await?;
        tell("comparing chain, database and list");
        let subject = check::Subject {
            chain: &prepared.chain,
            rpc: &prepared.rpc,
            store: serving.node.store(),
            stream: StreamId(0),
            campaign: ready.campaign,
            distributor: ready.distributor.address,
            deployed_at: ready.deployed_at,
            token: prepared.token,
            round: ready.round,
            snapshot: &ready.snapshot,
        };
        let found = stage(stages, "check", check::check(&subject, &expected)).await?;
        table::print(&found, &ready.snapshot, stages);
        if self.json {
            println!("{}", table::json(&found, &ready.snapshot, stages));
        }
        Ok(if found.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Contracts, campaign, publication, money, opening.
    async fn set_up(
        &self,
        prepared: &Prepared,
        serving: &Serving,
        stages: &mut Stages,
        file: &Path,
    ) -> anyhow::Result<Ready> {
        let (api, operator) = (&serving.api, &prepared.operator);
        tell("deploying and registering the Distributor, creating the campaign");
        let (new, campaign) =
            stage(stages, "contracts", campaign(prepared, api, "demo", "Demonstration")).await?;
        tell("publishing the round, with 2 of 3 institutions");
        let round = stage(stages, "publish", async {
            let (snapshot, hash) = publish::store(file, &prepared.snapshots()).await?;
            let now = operator.chain.timestamp().await?;
            let wanted = publish::NewRound {
                campaign,
                mode: RoundMode::Push,
                opens_at: now,
                closes_at: now + OPEN_FOR,
                supersedes: 0,
                list_uri: String::new(),
                again: false,
            };
            let info = api.campaign(campaign).await?;
            let terms = publish::terms(api, &info, &wanted, &snapshot, hash).await?;
            let papers = publish::papers(api, operator, &api.charter().await?, &info, &terms).await?;
            publish::publish(api, operator, &info, &signed(prepared, papers)?).await?;
            Ok(Ready {
                campaign,
                round: terms.round,
                distributor: ContractRef { chain_id: prepared.chain.id(), address: new.distributor },
                deployed_at: new.deployed_at,
                snapshot,
            })
        })
        .await?;
        tell("funding and opening the round");
        stage(stages, "fund and open", async {
            let amount = fund::lacking(&operator.chain, new.distributor, prepared.token).await?;
            operator.mint(prepared.token, new.distributor, amount).await?;
            fund::open(operator, new.distributor, round.round).await?;
            fund::wait_open(api, campaign, round.round).await
        })
        .await?;
        Ok(round)
    }

    fn plan(&self, snapshot: &Arc<Snapshot>) -> anyhow::Result<Plan> {
        let wanted = match (self.push, self.claims) {
            (PushName::All, None) => 0,
            (PushName::All, Some(claims)) => {
                bail!("--claims {claims} contradicts --push all; use --push rest")
            }
            (_, Some(claims)) => claims,
            (_, None) => usize::try_from(snapshot.count())?.min(120),
        };
        Plan::new(list::wallets(snapshot, wanted)?)
    }
}

/// Starts a node and its HTTP server on a free port, and waits until it serves.
async fn serve(prepared: &Prepared) -> anyhow::Result<Serving> {
    let node = Node::start(prepared.node(1, &format!("demo-{}", uuid::Uuid::now_v7()))?).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = http::app(node.clone(), http::Options::default(), telemetry::figures()?);
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(http::serve(listener, app, async {
        // A dropped sender stops it, too.
        let _ = stopped.await;
    }));
    let api = ApiClient::new(&url, None)?;
    tell(&format!("the API answers at {url}"));
    let ready = async {
        while api.ready().await.is_err() || api.charter().await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(STUCK_AFTER, ready).await.context("the node did not become ready")?;
    Ok(Serving { node, api, stop, server })
}

/// A Distributor, registered, and its campaign in this project.
pub(crate) async fn campaign(
    prepared: &Prepared,
    api: &ApiClient,
    project: &str,
    name: &str,
) -> anyhow::Result<(create::NewCampaign, CampaignId)> {
    let operator = &prepared.operator;
    let project = project_id(project);
    let terms = sluice_chain::deploy::NewDistributor {
        token: prepared.token,
        charter: prepared.charter,
        refund: operator.account.address(),
        exit_only: false,
        grace: dev::GRACE,
        opening_delay: dev::OPENING_DELAY,
        transfer_gas: 200_000,
    };
    let (distributor, deployed_at) = create2::deploy(operator, &terms, create::salt(project, name)).await?;
    let new = create::NewCampaign {
        project,
        name: name.to_owned(),
        distributor,
        deployed_at,
        visibility: Default::default(),
        jurisdiction: String::new(),
    };
    let papers = create::papers(api, operator, &api.charter().await?, &new).await?;
    let campaign = create::create(api, operator, &signed(prepared, papers)?, &new).await?;
    Ok((new, campaign))
}

/// Papers signed by as many institutions as it takes, and no more.
pub(crate) fn signed(prepared: &Prepared, papers: Papers) -> anyhow::Result<Papers> {
    let needed = usize::from(papers.needed);
    signed_by(papers, &prepared.authorities[..needed])
}

async fn push(prepared: &Prepared, serving: &Serving, ready: &Ready) -> anyhow::Result<()> {
    let api = &serving.api;
    let round = api.campaign(ready.campaign).await?;
    let round = round.round(ready.round).context("the round is gone")?.clone();
    let action = Action::Push { campaign: ready.campaign, round: ready.round, from: 0, to: round.count };
    let now = prepared.chain.timestamp().await?;
    let command = Some((action, round.version, "demonstration".to_owned()));
    let papers = Papers::new("push", &api.charter().await?, 1, now, command, vec![]);
    hand_in(api, &signed(prepared, papers)?, "already_decided").await?;
    Ok(())
}

/// Waits until everything expected is final, telling how far it is.
async fn settle(
    serving: &Serving,
    ready: &Ready,
    expected: &(dyn Fn(u64) -> bool + Sync),
) -> anyhow::Result<()> {
    let wanted = (0..ready.snapshot.count()).filter(|index| expected(*index)).count() as u64;
    let (mut moved, mut told) = (Instant::now(), Instant::now());
    let mut last = 0;
    loop {
        let round = serving.api.round(ready.campaign, ready.round).await?;
        let paid = round.entitlements.get("paid").copied().unwrap_or(0);
        let status = serving.api.status().await?;
        if status.seq != last {
            (moved, last) = (Instant::now(), status.seq);
        }
        if paid >= wanted {
            let campaign = serving.api.campaign(ready.campaign).await?;
            if campaign.batches.is_empty() {
                return Ok(());
            }
        }
        if moved.elapsed() > STUCK_AFTER {
            bail!("nothing moved for {STUCK_AFTER:?}: {paid} of {wanted} final; {:?}", status.not_ready);
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(&format!("final: {paid} of {wanted}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Runs a stage and notes how long it took.
async fn stage<T>(
    stages: &mut Stages,
    name: &'static str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    let done = work.await.with_context(|| format!("stage {name}"));
    stages.0.push((name, began.elapsed()));
    done
}

/// A progress line. On stderr, so that the result stands alone on stdout.
fn tell(what: &str) {
    eprintln!("demo: {what}");
}

impl Plan {
    /// The entitlements that are claimed.
    fn indexes(&self) -> impl Iterator<Item = u64> + '_ {
        let signed_to = self.redirected.iter().chain(&self.contracts).map(|(wallet, _)| wallet);
        let all = self.plain.iter().chain(signed_to).chain(&self.self_paid).chain(&self.raced);
        all.map(|wallet| wallet.entitlement.index)
    }
}
