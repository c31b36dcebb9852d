//! One node as a process: what `sluice serve` runs, with the public development keys and whatever addresses the
//! crash test puts its proxies at.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::Context;
use clap::Args;
use sluice_chain::{Chain, ChainConfig};
use sluice_core::fees::{FeePolicy, SettlementPolicy};
use sluice_core::ids::StreamId;
use sluice_engine::node::NodeConfig;
use sluice_engine::standby::ChainSettings;
use sluice_server::cli::{block_on, serve::serve};
use sluice_server::telemetry::{self, LogOptions};
use sluice_server::{dev, http};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How often a chain whose blocks come every quarter second is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(80);

/// Run one node of the crash test.
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct NodeArgs {
    #[arg(long)]
    database_url: String,
    #[arg(long)]
    rpc: String,
    #[arg(long)]
    charter: Address,
    #[arg(long)]
    sequencer: u32,
    #[arg(long)]
    lanes: u32,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    snapshots: PathBuf,
    #[command(flatten)]
    log: LogOptions,
}

impl NodeArgs {
    /// Serves until SIGTERM, until whoever started it is gone, or until the node must exit.
    ///
    /// # Errors
    /// When it cannot start, or must exit.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        telemetry::start(&self.log, "info")?;
        block_on(async {
            let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
            let orphaned = orphaned();
            let config = self.config().await?;
            serve(config, self.listen, http::Options::default(), async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = orphaned => {}
                }
            })
            .await?;
            Ok(ExitCode::SUCCESS)
        })
    }

    async fn config(&self) -> anyhow::Result<NodeConfig> {
        let mut chain = ChainConfig::new(dev::CHAIN_ID, self.rpc.clone());
        chain.requests_per_second = NonZeroU32::new(100_000).expect("not zero");
        let lane = |number| dev::lane(self.sequencer, number);
        let settings = ChainSettings {
            chain: Chain::connect(chain).await.context("cannot reach the chain")?,
            charter: self.charter,
            control: dev::control(self.sequencer)?,
            lanes: (0..self.lanes).map(lane).collect::<anyhow::Result<_>>()?,
            policy: FeePolicy::default(),
            terms: SettlementPolicy::default(),
            every: LOOK_EVERY,
        };
        Ok(NodeConfig {
            stream: StreamId(0),
            database_url: self.database_url.clone(),
            holder: format!("chaos-{}-{}", self.sequencer, uuid::Uuid::now_v7()),
            snapshots: self.snapshots.clone(),
            chains: BTreeMap::from([(dev::CHAIN_ID, settings)]),
            home: dev::CHAIN_ID,
            log_secret: dev::log_secret(),
            seal_secret: dev::seal_secret(),
            sequencer: u64::from(self.sequencer),
            decisions_per_second: None,
            weights: Default::default(),
        })
    }
}

/// Resolves when the other end of standard input is gone, as it is when the crash test itself was killed.
fn orphaned() -> oneshot::Receiver<()> {
    let (gone, orphaned) = oneshot::channel();
    std::thread::spawn(move || {
        // However it ends, it has ended.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = gone.send(());
    });
    orphaned
}
