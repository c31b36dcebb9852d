//! `sluice pause`, `resume` and `limit`: a campaign's brakes.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use sluice_core::amount::Total;
use sluice_core::command::Action;
use sluice_core::ids::CampaignId;

use super::block_on;
use super::hold::with_deeds;
use super::order::{OnChainArgs, Order, OrderArgs, distributor, nonce};
use super::reach::client_now;
use super::sign::papers::Deed;

/// Decide and settle nothing in a campaign for a time. One institution alone pauses for 24 hours in any 30 days.
#[derive(Debug, Args)]
pub struct Pause {
    /// The campaign.
    campaign: CampaignId,
    /// For so many hours, from now.
    #[arg(long, default_value_t = 23, conflicts_with = "until")]
    hours: u64,
    /// Until then, Unix seconds.
    #[arg(long, value_name = "SECONDS")]
    until: Option<u64>,
    #[command(flatten)]
    on_chain: OnChainArgs,
    #[command(flatten)]
    order: OrderArgs,
}

impl Pause {
    /// Does it.
    ///
    /// # Errors
    /// When node or chain refuse, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let until = self.until.unwrap_or_else(|| client_now() + self.hours.saturating_mul(3_600));
        let campaign = self.campaign;
        let action = Action::Pause { campaign, until: until.saturating_mul(1_000) };
        let order = Order::to_log(format!("pause campaign {campaign} until {until}"), action);
        block_on(give(order, campaign, until, &self.on_chain, &self.order))
    }
}

/// End a pause. Who paused alone signs, or M institutions; on chain always M.
#[derive(Debug, Args)]
pub struct Resume {
    /// The campaign.
    campaign: CampaignId,
    #[command(flatten)]
    on_chain: OnChainArgs,
    #[command(flatten)]
    order: OrderArgs,
}

impl Resume {
    /// Does it.
    ///
    /// # Errors
    /// As [`Pause::run`].
    pub fn run(mut self) -> anyhow::Result<ExitCode> {
        let campaign = self.campaign;
        block_on(async {
            if self.on_chain.on_chain.is_some() && self.order.institutions.is_none() {
                self.order.institutions = Some(self.order.node.client()?.charter().await?.threshold);
            }
            let order = Order::to_log(format!("resume campaign {campaign}"), Action::Resume { campaign });
            // The contract ends a pause by one that is past; 0 is past for every chain.
            give(order, campaign, 0, &self.on_chain, &self.order).await
        })
    }
}

/// Decide no more than so much in a campaign, until somebody sets another limit.
#[derive(Debug, Args)]
pub struct Limit {
    /// The campaign.
    campaign: CampaignId,
    /// Tokens in all; `none` ends the limit.
    tokens: String,
    #[command(flatten)]
    order: OrderArgs,
}

impl Limit {
    /// Does it.
    ///
    /// # Errors
    /// When TOKENS is no amount, or the node refuses.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let campaign = self.campaign;
            let head = self.order.node.client()?.campaign(campaign).await?.head;
            let parsed = || {
                let parsed = Total::parse_decimal(&self.tokens, head.decimals);
                parsed.map_err(|error| {
                    anyhow::anyhow!("TOKENS {}: {error}, or `none` for no limit", self.tokens)
                })
            };
            let limit = if self.tokens == "none" { None } else { Some(parsed()?) };
            ensure!(limit != Some(Total(0)), "TOKENS 0 would pay nobody; pause the campaign instead");
            let purpose = format!("limit campaign {campaign} to {} tokens", self.tokens);
            let order = Order::to_log(purpose, Action::SetLimit { campaign, limit });
            self.order.give(order, |_| Vec::new()).await
        })
    }
}

async fn give(
    mut order: Order,
    campaign: CampaignId,
    until: u64,
    on_chain: &OnChainArgs,
    args: &OrderArgs,
) -> anyhow::Result<ExitCode> {
    if let Some(also) = on_chain.on_chain {
        let (chain, distributor) = distributor(&args.node, campaign).await.context("the campaign")?;
        let deed = Deed::Pause { distributor, until, nonce: nonce() };
        order = with_deeds(order, also, chain, vec![deed]);
    }
    let more = move |_: &_| match until {
        0 => Vec::new(),
        until => vec![("until", until.to_string())],
    };
    args.give_with(order, on_chain, more).await
}
