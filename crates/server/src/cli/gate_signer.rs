//! `sluice gate-signer`: verifies the claims of a gate again and signs what it confirms. A process of its own, on a host
//! of its own; deploy/gate-signer.md is its runbook.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::StatusCode;
use sluice_core::log::entry::GateSigned;
use sluice_engine::error::{Class, EngineError};
use sluice_engine::gate_signer;

use super::serve::told_to_stop;
use crate::config::gate_signer as config;

/// How often the log is read.
const STEP_EVERY: Duration = Duration::from_secs(1);
/// After a step that failed.
const REST: Duration = Duration::from_secs(3);
/// One delivery to one node, answer included; a node answers within 1.5 s.
const DELIVERY_WITHIN: Duration = Duration::from_secs(10);

/// Run a gate-signer: follow the log, verify every claim of its gates again, sign what it confirms.
///
/// It reads the database and never writes to it, has the gate's key and no other, and hands its masks in to any node.
/// While it is away, gated payments wait and everything else goes on.
#[derive(Debug, Args)]
pub struct GateSigner {
    /// The configuration; deploy/gate-signer.example.toml describes it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl GateSigner {
    /// Runs until it is told to stop or must.
    ///
    /// # Errors
    /// When it cannot start, or the log contradicts itself.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        super::block_on(async {
            let path = self.config.display().to_string();
            let config = config::load(&self.config, |name| std::env::var(name).ok())?;
            let stop = told_to_stop()?;
            let nodes = Nodes::new(&config.gate_signer.nodes)?;
            let opened = config.open().await.with_context(|| path.clone())?;
            let address = opened.key.address();
            tokio::select! {
                () = stop => {}
                ended = run(opened, nodes) => return Err(ended.context("the gate-signer must exit")),
            }
            tracing::info!(%address, "stopping; what was signed and is not in the log will be signed again");
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Follows and signs until it must exit.
async fn run(config: gate_signer::GateSignerConfig, nodes: Nodes) -> anyhow::Error {
    let address = config.key.address();
    let mut signer = match gate_signer::GateSigner::start(config).await {
        Ok(signer) => signer,
        Err(error) => return error.into(),
    };
    tracing::info!(%address, "verifying and signing");
    loop {
        let wait = match signer.tick().await {
            Ok(due) => {
                for words in due {
                    nodes.hand_in(&words).await;
                }
                STEP_EVERY
            }
            Err(error) if error.class() == Class::Exit => return error.into(),
            Err(error) => {
                tell(error, signer.seq());
                REST
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Nothing was passed over: what could not be found out is tried again.
fn tell(error: EngineError, seq: u64) {
    let error = format!("{:#}", anyhow::Error::new(error));
    tracing::warn!(seq, error, "the log could not be followed or signed for now");
}

/// Where masks are handed in.
struct Nodes {
    http: reqwest::Client,
    urls: Vec<String>,
}

impl Nodes {
    fn new(urls: &[String]) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(DELIVERY_WITHIN).build()?;
        let urls = urls.iter().map(|url| format!("{}/v1/gate-words", url.trim_end_matches('/'))).collect();
        Ok(Self { http, urls })
    }

    /// To the first node that takes them. If none does, they are handed in again with the next step; whether they are in
    /// the log is read there.
    async fn hand_in(&self, words: &GateSigned) {
        let body = serde_json::to_vec(words).expect("masks are JSON");
        for url in &self.urls {
            let request = self.http.post(url).header("content-type", "application/json").body(body.clone());
            match request.send().await {
                // A conflict: other masks of the same position are on their way; the log will tell.
                Ok(answer) if answer.status().is_success() || answer.status() == StatusCode::CONFLICT => {
                    return;
                }
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let text = answer.text().await.unwrap_or_default();
                    tracing::warn!(url, status, text, "a node did not take the masks");
                }
                Err(error) => tracing::warn!(url, error = %error, "a node does not answer"),
            }
        }
    }
}
