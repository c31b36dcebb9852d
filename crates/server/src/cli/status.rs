//! `sluice status`: how a node is.

use std::process::ExitCode;

use clap::Args;

use super::block_on;
use super::reach::{NodeArgs, answer};

/// Show how a node is. The exit code is 0 only if it is ready.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Does it.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let status = self.node.client()?.status_now().await?;
            let mut facts = vec![
                ("node", format!("{}, {}", status.node, status.role)),
                ("position", format!("{} (epoch {})", status.seq, status.epoch)),
                ("waiting", format!("{} demands", status.waiting)),
                ("log key", status.log_key.clone()),
            ];
            for (id, chain) in &status.chains {
                let at = |what: &str| chain[what]["number"].as_u64().unwrap_or(0);
                facts.push(("chain", format!("{id}: seen {}, final {}", at("seen"), at("finalized"))));
            }
            for lane in &status.lanes {
                let needs =
                    lane["needs_funds"].as_str().map(|wei| format!(", NEEDS {wei} wei")).unwrap_or_default();
                let [account, balance] = ["account", "balance"].map(|of| lane[of].as_str().unwrap_or("?"));
                facts.push(("lane", format!("{account} holds {balance} wei{needs}")));
            }
            for why in &status.not_ready {
                facts.push(("not ready", why.clone()));
            }
            for what in &status.degraded {
                facts.push(("degraded", what.clone()));
            }
            answer(self.json, &status, &facts)?;
            Ok(if status.not_ready.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}
