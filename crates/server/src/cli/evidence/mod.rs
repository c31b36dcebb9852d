//! Evidence on the command line: exporting and verifying the log, tracing a payment, auditing decisions, witnessing.

pub mod audit;
pub mod log;
pub mod trace;
pub mod witness;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use sluice_chain::{At, Chain, ChainConfig};
use sluice_core::ids::{ContractRef, StreamId};
use sluice_core::log::note::{LogVerifier, Origin};
use sluice_engine::evidence::LogSource;
use sluice_store::{SealKey, Store};

use super::progress::Steps;
use crate::keys::{Password, open_seal_key};

/// Which log: a database, or a file that `sluice log export` wrote.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// The database; it is only read.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// An export of the log, in place of a database.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Which log of the database.
    #[arg(long, default_value_t = 0)]
    stream: u32,
    #[command(flatten)]
    seal: SealArgs,
}

/// What opens the facts that lie sealed in a database.
#[derive(Clone, Debug, Args)]
pub struct SealArgs {
    /// The nodes' seal key. Without it facts stay sealed: hashes are compared, and nothing personal is read.
    #[arg(long, value_name = "FILE", requires = "seal_password_file")]
    seal_key: Option<PathBuf>,
    /// A file whose first line is its password.
    #[arg(long, value_name = "FILE")]
    seal_password_file: Option<PathBuf>,
}

impl SealArgs {
    /// The database, with the key if one was named.
    fn on(&self, store: Store) -> anyhow::Result<Store> {
        let (Some(file), Some(password)) = (&self.seal_key, &self.seal_password_file) else {
            return Ok(store);
        };
        let secret = open_seal_key(file, &Password::read(password)?).context("--seal-key")?;
        Ok(store.with_seal_key(SealKey::new(&secret)))
    }
}

impl SourceArgs {
    /// The log, and how far it is read.
    async fn open(&self) -> anyhow::Result<(LogSource, Arc<Steps>)> {
        let source = match (&self.export, &self.database_url) {
            (Some(path), _) => LogSource::Export(path.clone()),
            (None, Some(url)) => {
                let store = self.seal.on(open_store(url).await?)?;
                LogSource::Database { store, stream: StreamId(self.stream) }
            }
            (None, None) => bail!("name the log: --export FILE or --database-url URL"),
        };
        Ok(watched(source))
    }
}

/// A log whose readings are shown on stderr while they last.
fn watched(source: LogSource) -> (LogSource, Arc<Steps>) {
    let steps = Arc::new(Steps::new("entries read", None));
    let told = Arc::clone(&steps);
    (source.watched(move |seq| told.at(seq)), steps)
}

async fn open_store(url: &str) -> anyhow::Result<Store> {
    let store = Store::connect(url, sluice_store::Options { connections: 2 }).await;
    store.context("--database-url: the log's database cannot be opened")
}

/// Whose signatures count. They come from the caller, never from the log itself.
#[derive(Clone, Debug, Args)]
pub struct PinArgs {
    /// The log's verifier key, <name>+<id>+<key>. May be repeated: each sequencer has its own.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<LogVerifier>,
    /// Take the log's keys from this Charter, beside those of --key: <chain id>/<address>. Needs --rpc.
    #[arg(long, value_name = "CHARTER", env = "SLUICE_CHARTER", value_parser = contract)]
    charter: Option<ContractRef>,
    /// The Charter's chain.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    rpc: Option<String>,
}

impl PinArgs {
    async fn verifiers(&self, stream: u32) -> anyhow::Result<Vec<LogVerifier>> {
        let mut keys = self.keys.clone();
        if let Some(charter) = self.charter.filter(|_| self.rpc.is_some() || keys.is_empty()) {
            let rpc = self.rpc.clone().context("--charter needs --rpc URL")?;
            let chain = Chain::connect(ChainConfig::new(charter.chain_id, rpc)).await.context("--rpc")?;
            let constitution = chain.constitution(charter.address, At::Latest).await;
            let constitution = constitution.with_context(|| format!("--charter {}", charter.address))?;
            let origin = Origin::new(charter, StreamId(stream));
            // Those that were revoked signed the log's earlier checkpoints.
            for key in constitution.log_keys {
                keys.push(LogVerifier::of_log(&origin, &key.key.0)?);
            }
        }
        ensure!(!keys.is_empty(), "pin the log's keys: --key KEY, or --charter and --rpc");
        Ok(keys)
    }
}

fn contract(text: &str) -> Result<ContractRef, String> {
    let parsed = text.split_once('/').and_then(|(chain_id, address)| {
        Some(ContractRef { chain_id: chain_id.parse().ok()?, address: address.parse().ok()? })
    });
    parsed.ok_or_else(|| format!("{text:?} is not <chain id>/<address>, as in 8453/0x…"))
}
