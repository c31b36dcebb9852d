//! `sluice push`: decides a range of a round without being asked. One institution orders it, or whoever has a mandate for
//! it; what may be pushed was published by M of N.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use sluice_core::command::Action;
use sluice_core::ids::{CampaignId, RoundNo};

use super::block_on;
use super::order::{Order, OrderArgs};

/// Pay a range of a round, or all of it, without being asked.
///
/// What is decided already is left out. One institution of the Charter signs, or another with --mandate, or a vendor with
/// --delegation.
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
    #[command(flatten)]
    order: OrderArgs,
}

impl Push {
    /// Does it.
    ///
    /// # Errors
    /// When the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let info = self.order.node.client()?.campaign(self.campaign).await?;
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
            let purpose = format!("push {}..{to} of round {} of {:?}", self.from, self.round, info.head.name);
            // All of it was decided before: the same push came earlier.
            self.order.give_unless_done(Order::to_log(purpose, action), "already_decided").await
        })
    }
}
