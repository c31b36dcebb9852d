//! `sluice serve`: runs a node. Every node runs this; the lease decides who leads.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use sluice_engine::node::{Node, NodeConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::keys::bearer::{self, Purpose};
use crate::{config, dev, http, telemetry};

/// Run a node: the API, the follower and, when it is its turn, the leader.
#[derive(Debug, Args)]
#[command(override_usage = "sluice serve --config <FILE> [OPTIONS]\n       sluice serve --dev [OPTIONS]")]
pub struct Serve {
    /// The configuration; deploy/sluice.example.toml describes it.
    #[arg(long, value_name = "FILE", required_unless_present = "dev", conflicts_with = "dev")]
    config: Option<PathBuf>,
    /// Run a development node: a private PostgreSQL, a private chain, keys that the whole world knows.
    #[arg(long)]
    dev: bool,
    /// Where to listen, instead of where the configuration says.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// With --dev: the folder for the servers' data, kept from one start to the next.
    #[arg(long, value_name = "DIR", default_value = ".sluice/dev", requires = "dev")]
    dir: PathBuf,
    /// With --dev: this PostgreSQL database instead of a private one.
    #[arg(long, value_name = "URL", env = "DATABASE_URL")]
    database_url: Option<String>,
    /// With --dev: this anvil instead of a private one.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    rpc: Option<String>,
    /// With --dev: which of the development Charter's sequencers this node is.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    sequencer: u32,
}

impl Serve {
    /// Runs the node until it is told to stop or must.
    ///
    /// # Errors
    /// When it cannot start, or must exit: another node leads, or its state contradicts the log.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        super::block_on(async {
            match self.config.clone() {
                Some(path) => self.configured(path).await?,
                None => self.development().await?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    async fn configured(self, path: PathBuf) -> anyhow::Result<()> {
        let config = config::load(&path, |name| std::env::var(name).ok())?;
        let listen = self.listen.unwrap_or(config.http.listen);
        let mut names = config.http.names.clone();
        if names.is_empty() && !listen.ip().is_loopback() {
            names.push(listen.to_string());
        }
        let options = http::Options {
            names,
            trusted_proxies: config.http.trusted_proxies.clone(),
            operator_key: config.http.operator_key_sha256,
        };
        let node = config::open(&config).await.with_context(|| path.display().to_string())?;
        serve(node, listen, options, told_to_stop()?).await
    }

    async fn development(self) -> anyhow::Result<()> {
        let mut options = dev::Options::new(self.dir);
        options.database_url = self.database_url;
        options.rpc = self.rpc;
        let stop = told_to_stop()?;
        let prepared = dev::prepare(&options).await?;
        let node = prepared.node(self.sequencer, &format!("dev-{}", uuid::Uuid::now_v7()))?;
        let listen = self.listen.unwrap_or(config::Http::default().listen);
        let (key, hash) = bearer::new(Purpose::Operator)?;
        println!("Charter {} on {}, test token {}", prepared.charter, prepared.rpc, prepared.token);
        println!("database {}", prepared.database_url);
        println!("operator key, until this process ends: {key}");
        let listener = bind(listen).await?;
        let env = write_environment(&prepared, listener.local_addr()?, &key)?;
        println!("where commands find all this: . {}", env.display());
        let options = http::Options { operator_key: Some(hash), ..http::Options::default() };
        let served = serve_at(node, listener, options, stop).await;
        prepared.stop().await;
        served
    }
}

/// Writes what a shell's commands need to find a development deployment, and the operator's key beside it.
fn write_environment(prepared: &dev::Prepared, address: SocketAddr, key: &str) -> anyhow::Result<PathBuf> {
    let write = |name: &str, text: &str| {
        let path = prepared.dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    let key_file = write("operator-key", key)?;
    let home = prepared.home();
    let variables = [
        ("SLUICE_NODE", format!("http://{address}")),
        ("SLUICE_API_KEY_FILE", key_file.display().to_string()),
        ("SLUICE_SNAPSHOTS", prepared.snapshots().display().to_string()),
        ("SLUICE_RPC", prepared.rpc.clone()),
        ("SLUICE_CHARTER", format!("{}/{}", home.chain_id, home.address)),
        ("SLUICE_TOKEN", prepared.token.to_string()),
        ("DATABASE_URL", prepared.database_url.clone()),
    ];
    let line = |(name, value): (&str, String)| format!("export {name}='{}'\n", value.replace('\'', r"'\''"));
    let text: String = variables.map(line).concat();
    write("env", &format!("# Where `sluice serve --dev` is. For other terminals than its own.\n{text}"))
}

/// Starts a node with its API and runs both until `stop` resolves or the node must exit.
///
/// # Errors
/// When it cannot listen or start, or must exit.
pub async fn serve(
    config: NodeConfig,
    listen: SocketAddr,
    options: http::Options,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    serve_at(config, bind(listen).await?, options, stop).await
}

/// The port first: a node that cannot be reached should not take the lease.
async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (--listen)"))
}

async fn serve_at(
    config: NodeConfig,
    listener: TcpListener,
    options: http::Options,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listener has no address")?;
    let figures = telemetry::figures()?;
    let node = Node::start(config).await.context("the node cannot start")?;
    let status = node.status();
    tracing::info!(%address, node = status.node, seq = status.seq, "serving");
    let (end, ended) = oneshot::channel::<()>();
    let app = http::app(node.clone(), options, figures);
    let server = tokio::spawn(http::serve_apart(listener, app, async {
        // Whether it was sent or dropped, it is the end.
        let _ = ended.await;
    }));
    tokio::select! {
        () = stop => {}
        // Nothing is finished first: another node may lead already, and answers of this one might be wrong.
        error = node.failed() => return Err(anyhow::Error::new(error).context("the node must exit")),
    }
    tracing::info!("stopping: no more connections; requests under way are finished");
    drop(end);
    server.await.context("the listener failed")?.context("the listener has no threads")?;
    node.stop().await;
    Ok(())
}

/// Resolves at SIGTERM or SIGINT from now on, also between two polls: who makes it anew at each step is deaf in between. Must
/// be called within a tokio runtime.
pub(crate) fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
