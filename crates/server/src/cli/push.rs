//! `sluice push`: decides a range of a round without being asked. One institution orders it; what may be pushed was
//! published by M of N.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use sluice_core::command::Action;
use sluice_core::ids::{CampaignId, RoundNo};

use super::block_on;
use super::campaign::hand_in;
use super::reach::{NodeArgs, answer, client_now};
use super::sign::papers::Papers;
use super::sign::{Collected, Signing, waiting};

/// Pay a range of a round, or all of it, without being asked. What is decided already is left out.
#[derive(Debug, Args)]
pub struct Push {
    /// The campaign.
    campaign: CampaignId,
    /// The round; its mode must be push.
    round: RoundNo,
    /// First index.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One past the last index; by default the round's count.
    #[arg(long)]
    to: Option<u64>,
    /// Why, for the log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    signing: Signing,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Push {
    /// Does it.
    ///
    /// # Errors
    /// When the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let api = self.node.client()?;
            let draft = async {
                let info = api.campaign(self.campaign).await?;
                let round = info.round(self.round);
                let round = round.with_context(|| format!("the campaign has no round {}", self.round))?;
                let to = self.to.unwrap_or(round.count);
                ensure!(
                    self.from < to && to <= round.count,
                    "--from {} --to {to} is no range of the round's {} entitlements",
                    self.from,
                    round.count
                );
                let action = Action::Push { campaign: self.campaign, round: self.round, from: self.from, to };
                let purpose =
                    format!("push {}..{to} of round {} of {:?}", self.from, self.round, info.head.name);
                let command = Some((action, round.version, self.reason.clone()));
                Ok(Papers::new(purpose, &api.charter().await?, 1, client_now(), command, vec![]))
            };
            let papers = match self.signing.collect(draft).await? {
                Collected::Waiting(papers) => {
                    return waiting(&papers, self.signing.papers.as_deref(), self.json);
                }
                Collected::Ready(papers) => papers,
            };
            // All of it was decided before: the same push came earlier.
            let seq = hand_in(&api, &papers, "already_decided").await?;
            let at = seq.map_or_else(|| "before".to_owned(), |seq| seq.to_string());
            answer(self.json, &serde_json::json!({ "seq": seq }), &[("decided at", at)])?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
