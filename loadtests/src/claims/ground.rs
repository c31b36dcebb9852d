//! What the measurements of decisions stand on: a private PostgreSQL with fsync, a private anvil, and on them any number
//! of deployments, each with a Charter, a database and a node of its own, so that two of them are compared in turns.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sluice_chain::actions::ChainAction;
use sluice_chain::deploy::NewDistributor;
use sluice_chain::signer::Account;
use sluice_core::command::{Action, Approval, CampaignTerms, Command, Demand, RoundMode, RoundTerms};
use sluice_core::ids::{CampaignId, ContractRef, DemandId, ProjectId, RoundNo, Seq};
use sluice_core::log::entry::{Body, CharterRead, Entry};
use sluice_core::refusal::Code;
use sluice_core::signing::command_digest;
use sluice_embedded::{Anvil, AnvilOptions, Mining, Postgres};
use sluice_engine::error::EngineError;
use sluice_engine::intake::{SubmitError, Submitted};
use sluice_engine::node::{DemandStatus, Node};
use sluice_engine::snapshots::{Snapshots, file_hash};
use sluice_server::dev::{self, Prepared};
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Snapshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::cluster;

/// Until when what is signed here is good, Unix seconds: far.
pub(crate) const FAR: u64 = 40_000_000_000;
/// How long anything of the set-up may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at something that nobody announces.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Before a database that had no connection free is asked again; the pool had waited before it said so.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Between blocks: about what a fast chain has; an idle chain then costs next to nothing.
const BLOCK_EVERY: Duration = Duration::from_secs(1);
/// A quarter of the time between blocks.
const CHAIN_EVERY: Duration = Duration::from_millis(250);
/// The chain remembers states of 16 blocks and transactions of 512: eight minutes, far more than a node looks back.
const CHAIN: [&str; 6] =
    ["--gas-limit", "60000000", "--prune-history", "16", "--transaction-block-keeper", "512"];

/// The servers that all deployments of a run share.
pub(crate) struct Servers {
    pub(crate) postgres: Postgres,
    anvil: Anvil,
    miner: JoinHandle<()>,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

impl Servers {
    /// Starts both, in a folder that goes when they do.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no folder for the servers")?;
        let options = AnvilOptions {
            chain_id: dev::CHAIN_ID,
            mining: Mining::Instant,
            balance_ether: 10_000_000,
            arguments: CHAIN.map(str::to_owned).to_vec(),
            ..AnvilOptions::default()
        };
        let cluster = folder.path().join("postgres");
        let (postgres, anvil) = tokio::join!(cluster::start(&cluster), Anvil::start(&options));
        let (postgres, anvil, http) = (postgres?, anvil?, reqwest::Client::new());
        let miner = tokio::spawn(mine(http.clone(), anvil.url(), BLOCK_EVERY));
        Ok(Self { postgres, anvil, miner, folder, http })
    }

    /// From now on there are blocks of so much gas every so often, and none in between.
    pub(crate) async fn mine_every(&mut self, every: Duration, gas: u64) -> anyhow::Result<()> {
        self.anvil("evm_setBlockGasLimit", json!([gas])).await?;
        self.anvil("evm_setAutomine", json!([false])).await?;
        self.miner.abort();
        self.miner = tokio::spawn(mine(self.http.clone(), self.rpc(), every));
        Ok(())
    }

    /// Asks the chain past everything.
    pub(crate) async fn anvil(&self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let answer: Value = self.http.post(self.anvil.url()).json(&body).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        Ok(answer["result"].clone())
    }

    /// The processes of database and chain.
    pub(crate) fn pids(&self) -> [u32; 2] {
        [self.postgres.pid(), self.anvil.pid()]
    }

    /// Where the chain is.
    pub(crate) fn rpc(&self) -> String {
        self.anvil.url()
    }

    /// The folder that goes when the servers do.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops them and waits.
    pub(crate) async fn stop(self) {
        self.miner.abort();
        self.anvil.stop().await;
        self.postgres.stop().await;
    }
}

/// Asks for a block every so often, for as long as there is a chain. Anvil can do so by itself, but then it keeps the states of
/// 1,500 blocks whatever `--prune-history` says (1.7.1, for blocks of two seconds and less), each a copy of all
/// balances: 22 GB after half an hour of 700 payments a second.
async fn mine(http: reqwest::Client, url: String, every: Duration) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": [] });
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        if http.post(&url).json(&body).send().await.is_err() {
            return;
        }
    }
}

/// A deployment with one node that leads and one campaign.
pub(crate) struct Ground {
    pub(crate) prepared: Prepared,
    pub(crate) node: Node,
    pub(crate) campaign: CampaignId,
    pub(crate) distributor: ContractRef,
}

async fn start_node(prepared: &Prepared, name: &str) -> anyhow::Result<Node> {
    let mut config = prepared.node(1, &format!("load {name} {}", Uuid::now_v7()))?;
    for chain in config.chains.values_mut() {
        chain.every = CHAIN_EVERY;
    }
    Ok(Node::start(config).await?)
}

/// A campaign on its ground.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) campaign: CampaignId,
    pub(crate) distributor: ContractRef,
}

/// An open round.
pub(crate) struct Round {
    pub(crate) number: RoundNo,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Ground {
    /// Deploys, starts the node and creates the campaign. Settlement accounts are left without coin: what is measured
    /// here ends with the decision, and a chain that executes transfers on the same cores would be measured with it.
    pub(crate) async fn start(servers: &Servers, name: &str) -> anyhow::Result<Self> {
        let options = dev::Options {
            keep_chain: false,
            sequencers: 1,
            lanes: 1,
            database_url: Some(servers.postgres.create_database(name).await?),
            rpc: Some(servers.anvil.url()),
            ..dev::Options::new(servers.folder.path().join(name))
        };
        let prepared = dev::prepare(&options).await?;
        servers.anvil("anvil_setBalance", json!([dev::lane(1, 0)?.address(), "0x0"])).await?;
        let node = start_node(&prepared, name).await?;
        let nowhere = ContractRef { chain_id: dev::CHAIN_ID, address: Address::ZERO };
        let mut ground = Self { prepared, node, campaign: CampaignId::default(), distributor: nowhere };
        let placed = ground.create_campaign(name).await?;
        (ground.campaign, ground.distributor) = (placed.campaign, placed.distributor);
        Ok(ground)
    }

    /// The same after its node stopped and another began: with nothing in memory but what the log says.
    pub(crate) async fn restarted(self, name: &str) -> anyhow::Result<Self> {
        self.node.stop().await;
        let node = start_node(&self.prepared, name).await?;
        eventually("the node leads", async || Ok(node.status().leading)).await?;
        Ok(Self { node, ..self })
    }

    /// Creates a campaign, beside the one that the ground began with.
    pub(crate) async fn create_campaign(&self, name: &str) -> anyhow::Result<Placed> {
        let prepared = &self.prepared;
        let terms = NewDistributor {
            token: prepared.token,
            charter: prepared.charter,
            refund: prepared.operator.account.address(),
            exit_only: false,
            grace: dev::GRACE,
            opening_delay: dev::OPENING_DELAY,
            transfer_gas: 200_000,
        };
        let deployed = prepared.operator.deploy_distributor(&terms).await?;
        let distributor = ContractRef { chain_id: dev::CHAIN_ID, address: deployed.address };
        let campaign = CampaignId(Uuid::now_v7());
        let register = ChainAction::RegisterDistributor { distributor: deployed.address };
        let approvals = self.approve(&register)?;
        prepared.operator.register_distributor(prepared.charter, deployed.address, &approvals).await?;
        let create = CampaignTerms {
            campaign,
            project: ProjectId(Uuid::now_v7()),
            name: name.to_owned(),
            distributor,
            token: prepared.token,
            decimals: dev::DECIMALS,
            deployed_at: deployed.receipt.block.number,
            visibility: Default::default(),
            jurisdiction: String::new(),
        };
        let entry = self.charter_command(Action::CreateCampaign(create), 1).await?;
        ensure!(
            matches!(entry.body, Body::CampaignCreated(_)),
            "the campaign was not created: {:?}",
            entry.body
        );
        Ok(Placed { campaign, distributor })
    }

    /// As many institutions sign as the Charter asks for.
    pub(crate) fn approve(&self, action: &ChainAction) -> anyhow::Result<sluice_chain::calls::Approvals> {
        let signers = &self.prepared.authorities[..usize::from(dev::THRESHOLD)];
        Ok(action.approve(self.prepared.home(), 1, FAR, signers)?)
    }

    /// A call of the Distributor, waited for.
    pub(crate) async fn act(&self, name: &'static str, data: alloy_primitives::Bytes) -> anyhow::Result<()> {
        self.prepared.operator.send(name, Some(self.distributor.address), data, U256::ZERO).await?;
        Ok(())
    }

    async fn charter(&self) -> anyhow::Result<CharterRead> {
        eventually("the Charter is read", || async { Ok(self.node.home_charter()) }).await
    }

    /// A command of the first institutions of the Charter, decided.
    pub(crate) async fn charter_command(&self, action: Action, signers: usize) -> anyhow::Result<Entry> {
        let charter = self.charter().await?;
        let institution = |key: &Account| {
            let id = charter.view.institution_of(&key.signer_bytes());
            Ok((id.context("an institution of the Charter")?, key.clone()))
        };
        let signers = self.prepared.authorities[..signers].iter().map(institution);
        let signers = signers.collect::<anyhow::Result<Vec<_>>>()?;
        self.command(action, B256::ZERO, &signers).await
    }

    /// A command signed by these, decided; signed again while its subject was changed by another one under way.
    pub(crate) async fn command(
        &self,
        action: Action,
        mandate: B256,
        signers: &[(B256, Account)],
    ) -> anyhow::Result<Entry> {
        let charter = self.charter().await?.charter;
        eventually("a command that is not overtaken", || async {
            let id = DemandId(Uuid::now_v7());
            let mut command = Command {
                action: action.clone(),
                subject_version: self.node.follower().seq(),
                reason: "set-up of a measurement".into(),
                valid_at: 0,
                deadline: FAR * 1_000,
                mandate,
                delegation: B256::ZERO,
                listed_at: None,
                approvals: Vec::new(),
            };
            for (authority, key) in signers {
                let digest = command_digest(&command, id, *authority, charter).context("signed alone")?;
                let (signer, signature) = (key.signer_bytes(), key.sign_digest(digest)?);
                command.approvals.push(Approval { authority: *authority, signer, signature });
            }
            let concerned = command.action.queue();
            match self.node.submit(id, Demand::Command(command)).await {
                Ok(submitted) => {
                    let entry = self.decided(concerned, id, submitted).await?;
                    Ok(match &entry.body {
                        Body::CommandRefused(refused) if refused.code == Code::Stale => None,
                        _ => Some(entry),
                    })
                }
                Err(SubmitError::Busy { .. } | SubmitError::Unavailable { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn decided(
        &self,
        concerned: CampaignId,
        id: DemandId,
        submitted: Submitted,
    ) -> anyhow::Result<Entry> {
        if let Submitted::Decided(outcome) = submitted {
            return Ok(outcome.entry);
        }
        eventually("a command is decided", || async {
            Ok(match self.node.order(concerned, id).await? {
                Some(DemandStatus::Decided { entry, .. }) => Some(*entry),
                _ => None,
            })
        })
        .await
    }

    /// Builds the list's snapshot where the node looks for it.
    pub(crate) async fn snapshot(&self, list: &Path) -> anyhow::Result<(Arc<Snapshot>, B256)> {
        let (list, folder) = (list.to_owned(), self.prepared.snapshots());
        tokio::task::spawn_blocking(move || {
            let out = folder.join("new");
            let options = BuildOptions { decimals: dev::DECIMALS, ..BuildOptions::default() };
            sluice_snapshot::build(&options, &Input::File(list), &out, &|_| ())?;
            let hash = file_hash(&out)?;
            let stored = Snapshots::new(&folder).path(hash);
            std::fs::rename(&out, &stored)?;
            Ok((Arc::new(Snapshot::open(&stored)?), hash))
        })
        .await?
    }

    /// Publishes, funds and opens a round: `gate` is version and hash of a gate, for a GATED one.
    pub(crate) async fn open_round(
        &self,
        number: RoundNo,
        stored: (Arc<Snapshot>, B256),
        gate: Option<(u16, B256)>,
    ) -> anyhow::Result<Round> {
        let placed = Placed { campaign: self.campaign, distributor: self.distributor };
        self.open_round_of(placed, number, stored, gate).await
    }

    /// The same of another campaign.
    pub(crate) async fn open_round_of(
        &self,
        Placed { campaign, distributor }: Placed,
        number: RoundNo,
        (snapshot, list_hash): (Arc<Snapshot>, B256),
        gate: Option<(u16, B256)>,
    ) -> anyhow::Result<Round> {
        let terms = RoundTerms {
            campaign,
            round: number,
            root: snapshot.root(),
            depth: snapshot.depth(),
            count: snapshot.count(),
            total: snapshot.total(),
            rules_hash: gate.map_or(B256::ZERO, |(_, hash)| hash),
            opens_at: 0,
            closes_at: FAR,
            mode: if gate.is_some() { RoundMode::Gated } else { RoundMode::Push },
            gate: gate.map_or(0, |(version, _)| version.into()),
            supersedes: 0,
            list_uri: "file:load".into(),
            list_hash,
        };
        let entry = self.charter_command(Action::Publish(terms.clone()), dev::THRESHOLD.into()).await?;
        ensure!(
            matches!(entry.body, Body::RoundPublished(_)),
            "the round was not published: {:?}",
            entry.body
        );
        let (operator, at) = (&self.prepared.operator, distributor.address);
        let action = ChainAction::Publish { distributor: at, terms: Box::new(terms.clone()) };
        operator.publish(at, &terms, &self.approve(&action)?).await?;
        operator.mint(self.prepared.token, at, terms.total).await?;
        eventually("the round may be opened", || async { Ok(operator.open(at, number).await.ok()) }).await?;
        eventually("the log knows that the round is open", || async {
            let open = |s: &sluice_core::state::State| {
                s.campaign(campaign)?.round(number)?.was_opened().then_some(())
            };
            Ok(self.node.follower().read(open))
        })
        .await?;
        Ok(Round { number, snapshot })
    }

    /// Everything in the log, in order, through `each`.
    pub(crate) async fn read_log(&self, each: impl FnMut(Entry)) -> anyhow::Result<()> {
        self.read_log_behind(0, each).await.map(drop)
    }

    /// Everything in it behind a position; says how far it went.
    pub(crate) async fn read_log_behind(
        &self,
        mut after: Seq,
        mut each: impl FnMut(Entry),
    ) -> anyhow::Result<Seq> {
        let stream = self.node.follower().read(|s| s.stream);
        loop {
            let rows = self.node.store().read_log(stream, after, 10_000).await?;
            let Some(last) = rows.last() else { return Ok(after) };
            after = last.seq;
            for row in &rows {
                each(row.decode()?);
            }
        }
    }

    /// Stops the node; the servers go on.
    pub(crate) async fn stop(self) {
        self.node.stop().await;
        self.prepared.stop().await;
    }
}

/// Asks until there is an answer. A database that has no connection free at the moment, or is not reached, is asked again as
/// long as anything is waited for; the first time it is said, and how often in the end.
///
/// # Errors
/// What asking failed with otherwise, or what was waited for in vain.
pub(crate) async fn eventually<T, Answer>(what: &str, ask: impl Fn() -> Answer) -> anyhow::Result<T>
where
    Answer: Future<Output = anyhow::Result<Option<T>>>,
{
    within(PATIENCE, what, ask).await
}

async fn within<T, Answer>(patience: Duration, what: &str, ask: impl Fn() -> Answer) -> anyhow::Result<T>
where
    Answer: Future<Output = anyhow::Result<Option<T>>>,
{
    let start = tokio::time::Instant::now();
    let mut failed = 0;
    loop {
        let asked = match ask().await {
            Err(error) if passes(&error) => Err(error),
            answer => Ok(answer?),
        };
        match asked {
            Ok(Some(answer)) => {
                if failed > 0 {
                    eprintln!("{what}: asked again {failed} times in {:.1?}", start.elapsed());
                }
                return Ok(answer);
            }
            Err(error) if start.elapsed() > patience => {
                return Err(error.context(format!("asked again {failed} times for {patience:?}: {what}")));
            }
            Ok(None) if start.elapsed() > patience => bail!("waited {patience:?} in vain: {what}"),
            Err(error) => {
                if failed == 0 {
                    eprintln!("{what}: {error:#}; it is asked again");
                }
                failed += 1;
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Whether a failure says that the database is busy or away, and nothing about what was asked for.
fn passes(error: &anyhow::Error) -> bool {
    let engine = error.downcast_ref::<EngineError>().is_some_and(
        |error| matches!(error, EngineError::Store(store) if store.class() == sluice_store::Class::Retry),
    );
    let store = error.downcast_ref::<sluice_store::Error>();
    engine || store.is_some_and(|store| store.class() == sluice_store::Class::Retry)
}

#[cfg(test)]
mod tests;
