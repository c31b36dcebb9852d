//! `sluice campaign`: from a contract to an open round.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use sluice_core::ids::CampaignId;

use super::block_on;
use super::reach::{NodeArgs, answer};
use super::sign::papers::Papers;
use crate::api_client::ApiClient;

pub mod create;
pub mod create2;
pub mod fund;
mod pages;
pub mod publish;

/// Create campaigns, publish rounds, fund and open them.
#[derive(Debug, Args)]
pub struct Campaign {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Create(create::Create),
    Publish(publish::Publish),
    Fund(fund::Fund),
    Open(fund::Open),
    Status(Status),
    Report(super::report::Report),
}

/// Show a campaign: rounds, money, batches in flight.
#[derive(Debug, Args)]
struct Status {
    /// The campaign.
    campaign: CampaignId,
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Campaign {
    /// Does it.
    ///
    /// # Errors
    /// When a node or chain refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::Create(create) => create.run().await,
                What::Publish(publish) => publish.run().await,
                What::Fund(fund) => fund.run().await,
                What::Open(open) => open.run().await,
                What::Status(status) => status.run().await,
                What::Report(report) => report.run().await,
            }
        })
    }
}

impl Status {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let info = self.node.client()?.campaign(self.campaign).await?;
        let head = &info.head;
        let mut facts = vec![
            ("campaign", format!("{} ({})", head.name, head.campaign)),
            ("distributor", format!("{} on chain {}", head.distributor, head.chain_id)),
            ("token", head.token.to_string()),
        ];
        if let Some(paused) = &head.paused {
            facts.push(("paused", paused.clone()));
        }
        for account in ["funded", "free", "reserved", "paid", "voided", "swept"] {
            facts.push((account, info.funds.get(account).map_or_else(String::new, |m| m.tokens.clone())));
        }
        for round in &info.rounds {
            let text = format!(
                "{}: {}, {} entitlements, {}",
                round.round, round.phase, round.count, round.total.tokens
            );
            facts.push(("round", text));
        }
        facts.push(("batches", format!("{} in flight", info.batches.len())));
        answer(self.json, &info, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Hands the papers' command in, if they have one. `before` is the refusal that means it was done before.
///
/// # Errors
/// When the log refuses it.
pub async fn hand_in(api: &ApiClient, papers: &Papers, before: &str) -> anyhow::Result<Option<u64>> {
    let Some(paper) = &papers.command else { return Ok(None) };
    match api.command(paper.id, &paper.command).await {
        Ok(done) => Ok(done.seq),
        Err(error) if error.code() == Some(before) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
