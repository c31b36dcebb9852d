//! A whole deployment on this machine, for development: a private PostgreSQL, a private anvil, a Charter with three
//! institutions, sequencers with lanes, a test token. `sluice serve --dev`, the demonstration, the tests and the chaos
//! harness start from it.
//!
//! **Every key here is derived from a public text.** Anyone can sign with them; nothing that is worth anything may
//! ever stand under such a Charter.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sluice_chain::deploy::{Founding, Operator};
use sluice_chain::reads::Timers;
use sluice_chain::signer::Account;
use sluice_chain::{At, Chain, ChainConfig};
use sluice_core::fees::{FeePolicy, SettlementPolicy};
use sluice_core::ids::{ChainId, ContractRef, StreamId};
use sluice_core::log::note::Origin;
use sluice_embedded::{Anvil, AnvilOptions, Mining, Postgres, PostgresOptions};
use sluice_engine::node::NodeConfig;
use sluice_engine::standby::ChainSettings;

use crate::keys::{self, Password};

pub mod wallets;

/// The chain id of a private anvil.
pub const CHAIN_ID: ChainId = 31_337;
/// Institutions of a development Charter.
pub const INSTITUTIONS: usize = 3;
/// How many of them it takes to publish, void or register.
pub const THRESHOLD: u8 = 2;
/// Decimals of the test token.
pub const DECIMALS: u8 = 18;
/// Seconds between a publication and the earliest opening; the least the Distributor takes.
pub const OPENING_DELAY: u64 = 1;
/// Seconds between closing and sweep: above w1 + w2 + finality of the Charter below.
pub const GRACE: u64 = 86_400;
/// Gas of a block: what Ethereum has now; a batch of 14 million fills less than half, so the base fee never climbs.
const BLOCK_GAS: u64 = 60_000_000;
/// States a chain that is thrown away remembers. Anvil copies the whole state for each block: without a bound a
/// quarter of a million paid accounts fill many gigabytes. Nobody looks back further than finality, two blocks.
const HISTORY_BLOCKS: u64 = 16;
/// What each settlement account, control key and operator is given.
const COIN_ETHER: u64 = 100;
/// A private anvil may be asked as often as it can answer.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");
/// The password of the key files, whose keys are public.
const PASSWORD: &str = "development only";
/// The first account of anvil's development mnemonic, which every anvil gives coin to.
const ANVIL_FIRST: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// What may be chosen about a development deployment.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder everything lies in.
    pub dir: PathBuf,
    /// Sequencers in the Charter, each for one node process.
    pub sequencers: u32,
    /// Settlement accounts of each.
    pub lanes: u32,
    /// When blocks are made.
    pub mining: Mining,
    /// Whether the chain is kept from one start to the next.
    pub keep_chain: bool,
    /// This database instead of a private PostgreSQL.
    pub database_url: Option<String>,
    /// This anvil instead of a private one.
    pub rpc: Option<String>,
}

impl Options {
    /// Two sequencers with two lanes each, a block every quarter second and one per transaction, everything kept.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            sequencers: 2,
            lanes: 2,
            mining: Mining::Mixed(Duration::from_millis(250)),
            keep_chain: true,
            database_url: None,
            rpc: None,
        }
    }
}

/// A running development deployment. Dropping it stops its servers.
#[derive(Debug)]
pub struct Prepared {
    /// The folder everything lies in.
    pub dir: PathBuf,
    /// Where Postgres is.
    pub database_url: String,
    /// Where anvil is.
    pub rpc: String,
    /// The chain.
    pub chain: Chain,
    /// The Charter.
    pub charter: Address,
    /// The test token; anyone may mint it.
    pub token: Address,
    /// The institutions' accounts, in the Charter's order.
    pub authorities: Vec<Account>,
    /// Deploys, funds, opens.
    pub operator: Operator,
    lanes: u32,
    database: String,
    postgres: Option<Postgres>,
    anvil: Option<Anvil>,
}

/// What is remembered from one start to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    /// How often a Charter was deployed here.
    run: u32,
    charter: Address,
    token: Address,
}

/// Starts the servers and, unless the chain has them already, deploys Charter and token.
///
/// # Errors
/// When a server cannot be started or the contracts cannot be deployed.
pub async fn prepare(options: &Options) -> anyhow::Result<Prepared> {
    std::fs::create_dir_all(options.dir.join("snapshots"))
        .with_context(|| format!("cannot create {}", options.dir.display()))?;
    let dir =
        options.dir.canonicalize().with_context(|| format!("cannot reach {}", options.dir.display()))?;
    // Postgres and anvil start side by side.
    let (postgres, anvil) = tokio::join!(start_postgres(options, &dir), start_anvil(options, &dir));
    let (postgres, anvil) = (postgres?, anvil?);
    let rpc = match (&anvil, &options.rpc) {
        (Some(anvil), _) => anvil.url(),
        (None, Some(url)) => url.clone(),
        (None, None) => bail!("neither a private anvil nor --rpc"),
    };
    let mut config = ChainConfig::new(CHAIN_ID, rpc.clone());
    config.requests_per_second = REQUESTS_PER_SECOND;
    let chain = Chain::connect(config).await.context("cannot reach the development chain")?;
    let operator = Operator::new(chain.clone(), Account::from_private_key(ANVIL_FIRST)?);
    let found = contracts(options, &operator, &dir).await?;
    // A log belongs to its Charter, so each Charter has a database of its own.
    let database = format!("dev_{}", found.run);
    let database_url = match (&postgres, &options.database_url) {
        (Some(postgres), _) => postgres.create_database(&database).await?,
        (None, Some(url)) => url.clone(),
        (None, None) => bail!("neither a private PostgreSQL nor DATABASE_URL"),
    };
    if options.keep_chain {
        write_keys(&dir.join("keys"), &operator.account)?;
    }
    tracing::warn!(charter = %found.charter, "development deployment: its keys are public, nothing here is worth money");
    Ok(Prepared {
        dir,
        database_url,
        rpc,
        chain,
        charter: found.charter,
        token: found.token,
        authorities: (0..INSTITUTIONS).map(authority).collect::<anyhow::Result<_>>()?,
        operator,
        lanes: options.lanes,
        database,
        postgres,
        anvil,
    })
}

async fn start_postgres(options: &Options, dir: &Path) -> anyhow::Result<Option<Postgres>> {
    if options.database_url.is_some() {
        return Ok(None);
    }
    Ok(Some(Postgres::start(&dir.join("postgres"), &PostgresOptions::default()).await?))
}

async fn start_anvil(options: &Options, dir: &Path) -> anyhow::Result<Option<Anvil>> {
    if options.rpc.is_some() {
        return Ok(None);
    }
    let anvil = AnvilOptions {
        chain_id: CHAIN_ID,
        mining: options.mining,
        balance_ether: 10_000_000,
        state: options.keep_chain.then(|| dir.join("chain")),
        state_interval: options.keep_chain.then_some(Duration::from_secs(5)),
        arguments: arguments(options),
        ..AnvilOptions::default()
    };
    Ok(Some(Anvil::start(&anvil).await?))
}

fn arguments(options: &Options) -> Vec<String> {
    let mut arguments = vec!["--gas-limit".to_owned(), BLOCK_GAS.to_string()];
    if !options.keep_chain {
        arguments.extend(["--prune-history".to_owned(), HISTORY_BLOCKS.to_string()]);
    }
    arguments
}

/// The Charter and token of this folder: those remembered, if the chain still has them, else new ones.
async fn contracts(options: &Options, operator: &Operator, dir: &Path) -> anyhow::Result<Remembered> {
    let path = dir.join("dev.json");
    let before: Remembered = match std::fs::read(&path) {
        Ok(text) => {
            serde_json::from_slice(&text).with_context(|| format!("{} is not ours", path.display()))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Remembered::default(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    // On a chain that is not kept, what was remembered belongs to another one, or to a log that is gone.
    if options.keep_chain
        && before.run > 0
        && !operator.chain.code(before.charter, At::Latest).await?.is_empty()
    {
        return Ok(before);
    }
    for sequencer in 1..=options.sequencers {
        give_coin(operator, control(sequencer)?.address()).await?;
        for lane in 0..options.lanes {
            give_coin(operator, self::lane(sequencer, lane)?.address()).await?;
        }
    }
    let token = operator.deploy_test_token("Sluice Test Token", "SLT", DECIMALS).await?.address;
    let charter = operator.deploy_charter(&founding(options, operator).await?).await?.address;
    let found = Remembered { run: before.run + 1, charter, token };
    let aside = path.with_extension("new");
    std::fs::write(&aside, serde_json::to_vec_pretty(&found)?)?;
    std::fs::rename(&aside, &path)?;
    Ok(found)
}

/// Gives an account coin for its transactions, unless it still has some from before.
async fn give_coin(operator: &Operator, account: Address) -> anyhow::Result<()> {
    let coin = U256::from(COIN_ETHER) * U256::from(10).pow(U256::from(18));
    if U256::from(operator.chain.balance(account, At::Latest).await?) * U256::from(2) < coin {
        operator.send_coin(account, coin).await?;
    }
    Ok(())
}

async fn founding(options: &Options, operator: &Operator) -> anyhow::Result<Founding> {
    let from = operator.account.address();
    let nonce = operator.chain.nonce(from, At::Pending).await?;
    // A log key's name in the Charter is the log's, which contains the Charter's address: known before it is deployed.
    let charter = ContractRef { chain_id: operator.chain.id(), address: from.create(nonce) };
    let name = Origin::new(charter, StreamId(0)).to_string();
    let institution = |number: usize| {
        Ok((format!("Development institution {}", number + 1), vec![authority(number)?.signer_bytes()]))
    };
    let sequencer = |id: u32| {
        let lanes = (0..options.lanes).map(|number| Ok(lane(id, number)?.address()));
        Ok((control(id)?.address(), lanes.collect::<anyhow::Result<_>>()?))
    };
    Ok(Founding {
        institutions: (0..INSTITUTIONS).map(institution).collect::<anyhow::Result<_>>()?,
        publish_threshold: THRESHOLD,
        sequencers: (1..=options.sequencers).map(sequencer).collect::<anyhow::Result<_>>()?,
        log_keys: vec![(keys::public_half(&log_secret()), name)],
        timers: Timers { w1: 3_600, w2: 3_600, finality: 60, beat_every: 0, take_epoch_every: 0 },
    })
}

/// Key files for the commands, each opened by the password beside them: as public as the keys.
fn write_keys(folder: &Path, operator: &Account) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    std::fs::write(folder.join("password"), PASSWORD).context("cannot write the keys' password")?;
    let authorities =
        (0..INSTITUTIONS).map(|number| anyhow::Ok((format!("authority-{}", number + 1), authority(number)?)));
    let all = authorities.chain([Ok(("operator".to_owned(), operator.clone()))]);
    for named in all {
        let (name, account) = named?;
        if !folder.join(&name).is_file() {
            account.write_keystore(folder, &name, PASSWORD)?;
        }
    }
    let seal = folder.join("seal");
    if !seal.is_file() {
        keys::write_seal_key(&seal, &Password::read(&folder.join("password"))?, &seal_secret())?;
    }
    Ok(())
}

impl Prepared {
    /// The home Charter.
    pub fn home(&self) -> ContractRef {
        ContractRef { chain_id: self.chain.id(), address: self.charter }
    }

    /// A node's configuration; `sequencer` counts from 1. `holder` names the process: no two may have the same.
    ///
    /// # Errors
    /// Only if the derivation of keys is broken.
    pub fn node(&self, sequencer: u32, holder: &str) -> anyhow::Result<NodeConfig> {
        let settings = ChainSettings {
            chain: self.chain.clone(),
            charter: self.charter,
            control: control(sequencer)?,
            lanes: (0..self.lanes).map(|number| lane(sequencer, number)).collect::<anyhow::Result<_>>()?,
            policy: FeePolicy::default(),
            terms: SettlementPolicy::default(),
            every: Duration::from_millis(50),
        };
        Ok(NodeConfig {
            stream: StreamId(0),
            database_url: self.database_url.clone(),
            holder: holder.to_owned(),
            snapshots: self.snapshots(),
            chains: BTreeMap::from([(self.chain.id(), settings)]),
            home: self.chain.id(),
            log_secret: log_secret(),
            seal_secret: seal_secret(),
            sequencer: u64::from(sequencer),
            decisions_per_second: None,
            weights: Default::default(),
        })
    }

    /// The folder in which snapshots lie.
    pub fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    /// Drops the database of this deployment: of a demonstration nothing stays.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn drop_database(&self) -> anyhow::Result<()> {
        let Some(postgres) = &self.postgres else { return Ok(()) };
        Ok(postgres.drop_database(&self.database).await?)
    }

    /// Stops the servers and waits for them.
    pub async fn stop(self) {
        if let Some(anvil) = self.anvil {
            anvil.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}

/// The key derived from a name.
fn secret(name: &str) -> B256 {
    keccak256(format!("sluice development key: {name}"))
}

/// The account of an institution, counted from 0.
///
/// # Errors
/// Only if the derivation is broken.
pub fn authority(number: usize) -> anyhow::Result<Account> {
    Ok(Account::from_bytes(&secret(&format!("authority {number}")))?)
}

/// The control key of a sequencer, counted from 1.
///
/// # Errors
/// Only if the derivation is broken.
pub fn control(sequencer: u32) -> anyhow::Result<Account> {
    Ok(Account::from_bytes(&secret(&format!("control {sequencer}")))?)
}

/// A settlement account of a sequencer.
///
/// # Errors
/// Only if the derivation is broken.
pub fn lane(sequencer: u32, number: u32) -> anyhow::Result<Account> {
    Ok(Account::from_bytes(&secret(&format!("lane {sequencer} {number}")))?)
}

/// The key that signs the log's heads, receipts and tickets.
pub fn log_secret() -> [u8; 32] {
    secret("log").0
}

/// Seals what is personal in these deployments' databases. Like all their keys it is derived and known to everybody.
pub fn seal_secret() -> [u8; 32] {
    keccak256("sluice dev seal key").0
}
