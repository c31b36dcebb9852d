//! `sluice gate`: what a campaign's gate asks for, in the log, and its key in the Distributor.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use sluice_core::command::Action;
use sluice_core::ids::CampaignId;

use super::block_on;
use super::order::{OnChainArgs, Order, OrderArgs, distributor};
use super::reach::{OperatorArgs, answer};
use super::sign::papers::Deed;
use crate::api_client::ApiClient;

pub mod terms;

use terms::GateFile;

/// How often the node is asked whether it has read an installation.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a final block is waited for: on Ethereum it takes a quarter of an hour.
const FINAL_WITHIN: Duration = Duration::from_secs(1_800);

/// Define gates in the log and install them in Distributors.
#[derive(Debug, Args)]
pub struct Gate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say in the log what a gate version asks for. Takes M institutions.
    Define(Define),
    /// Install a gate version in the Distributor, for good. Takes M institutions. Installing it before a round is
    /// published with it is what makes the round payable; it waits until the node has read that it is.
    Install(Install),
    /// Show what a gate's file says and the rules hash that rounds carry.
    Show(Show),
}

#[derive(Debug, Args)]
struct Define {
    /// The campaign.
    campaign: CampaignId,
    /// The gate's file, TOML: version, signer, [[rule_sets]] with owner and lineage, [[attestations]] with name and
    /// [attestations.accepts].
    file: PathBuf,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Install {
    /// The campaign.
    campaign: CampaignId,
    /// The gate's file, the same as for `define`.
    file: PathBuf,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Show {
    /// The campaign.
    campaign: CampaignId,
    /// The gate's file.
    file: PathBuf,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Gate {
    /// Does it.
    ///
    /// # Errors
    /// When the file is wrong, or node or chain refuse, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Define(define) => define.run(),
            What::Install(install) => install.run(),
            What::Show(show) => show.run(),
        }
    }
}

impl Define {
    fn run(self) -> anyhow::Result<ExitCode> {
        let terms = GateFile::read(&self.file)?.terms(self.campaign)?;
        let (version, hash) = (terms.version, terms.hash());
        let purpose = format!("define gate version {version} of campaign {}", self.campaign);
        let order = Order::to_log(purpose, Action::DefineGate(terms));
        let more = |_: &_| vec![("gate", version.to_string()), ("rules hash", hash.to_string())];
        block_on(self.order.give(order, more))
    }
}

impl Install {
    fn run(self) -> anyhow::Result<ExitCode> {
        let terms = GateFile::read(&self.file)?.terms(self.campaign)?;
        block_on(async {
            let (chain, distributor) = distributor(&self.order.node, self.campaign).await?;
            let (version, rules_hash, signer) = (terms.version, terms.hash(), terms.signer);
            let deed = Deed::InstallGate { distributor, version, signer, rules_hash };
            let order = Order {
                purpose: format!("install gate version {version} of campaign {}", self.campaign),
                action: None,
                deeds: vec![deed],
                chain: Some(chain),
            };
            let done = self.order.give_with(order, &OnChainArgs::only(self.operator), |_| Vec::new()).await?;
            // Signatures may be missing still.
            if done == ExitCode::SUCCESS {
                until_known(&self.order.node.client()?, self.campaign, version).await?;
            }
            Ok(done)
        })
    }
}

/// Waits until the log has read the installation, if it knows the version: a round published before would be refused.
async fn until_known(api: &ApiClient, campaign: CampaignId, version: u16) -> anyhow::Result<()> {
    let known = async {
        loop {
            let gates = api.gates(campaign).await?;
            if gates.iter().find(|gate| gate.gate == version).is_none_or(|gate| gate.installed) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(FINAL_WITHIN, known).await;
    waited.with_context(|| {
        format!("it is installed, and the node did not read it within {FINAL_WITHIN:?}; publish rounds when it has")
    })?
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let terms = GateFile::read(&self.file)?.terms(self.campaign)?;
        let hash = terms.hash();
        let names: Vec<&str> = terms.attestations.iter().map(|a| a.name.as_str()).collect();
        let value = serde_json::json!({
            "gate": terms.version, "signer": terms.signer, "rules_hash": hash, "rule_sets": terms.rule_sets,
            "attestations": names,
        });
        let lineages: Vec<String> = terms.rule_sets.iter().map(ToString::to_string).collect();
        let facts = [
            ("gate", terms.version.to_string()),
            ("key", terms.signer.to_string()),
            ("rules hash", hash.to_string()),
            ("rule sets", lineages.join(", ")),
            ("attestations", names.join(", ")),
        ];
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}
