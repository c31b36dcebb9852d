//! Evidence on the command line: exporting and verifying the log, tracing a payment, auditing decisions, witnessing.

pub mod audit;
pub mod log;
mod time;
pub mod trace;
pub mod witness;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use sluice_chain::{At, Chain, ChainConfig};
use sluice_core::ids::{ContractRef, StreamId};
use sluice_core::log::note::{LogVerifier, Origin};
use sluice_engine::evidence::LogSource;
use sluice_store::Store;

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
}

impl SourceArgs {
    async fn open(&self) -> anyhow::Result<LogSource> {
        if let Some(path) = &self.export {
            return Ok(LogSource::Export(path.clone()));
        }
        let url = self.database_url.as_ref().context("name the log: --export FILE or --database-url URL")?;
        let store = Store::connect(url, sluice_store::Options { connections: 2 }).await?;
        Ok(LogSource::Database { store, stream: StreamId(self.stream) })
    }
}

/// Whose signatures count. They come from the caller, never from the log itself.
#[derive(Clone, Debug, Args)]
pub struct PinArgs {
    /// The log's verifier key, <name>+<id>+<key>. May be repeated: each sequencer has its own.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<LogVerifier>,
    /// Take the log's keys from this Charter: <chain id>/<address>.
    #[arg(long, value_name = "CHARTER", requires = "rpc")]
    charter: Option<String>,
    /// The Charter's chain.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    rpc: Option<String>,
}

impl PinArgs {
    async fn verifiers(&self, stream: u32) -> anyhow::Result<Vec<LogVerifier>> {
        let mut keys = self.keys.clone();
        if let (Some(charter), Some(rpc)) = (&self.charter, &self.rpc) {
            let (chain_id, address) = charter.split_once('/').context("--charter is <chain id>/<address>")?;
            let chain_id = chain_id.parse().context("--charter begins with a chain id")?;
            let address = address.parse().context("--charter ends with an address")?;
            let chain = Chain::connect(ChainConfig::new(chain_id, rpc.clone())).await?;
            let constitution = chain.constitution(address, At::Latest).await?;
            let origin = Origin::new(ContractRef { chain_id, address }, StreamId(stream));
            // Those that were revoked signed the log's earlier checkpoints.
            for key in constitution.log_keys {
                keys.push(LogVerifier::of_log(&origin, &key.key.0)?);
            }
        }
        ensure!(!keys.is_empty(), "pin the log's keys: --key KEY, or --charter and --rpc");
        Ok(keys)
    }
}
