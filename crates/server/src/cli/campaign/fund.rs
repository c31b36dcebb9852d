//! `sluice campaign fund` and `sluice campaign open`: money in, payments on.

use std::process::ExitCode;
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::{Context, bail};
use clap::Args;
use sluice_chain::deploy::Operator;
use sluice_chain::reads::RoundState;
use sluice_chain::{At, Chain};
use sluice_core::amount::Total;
use sluice_core::ids::{CampaignId, RoundNo};

use crate::api_client::ApiClient;
use crate::cli::reach::{NodeArgs, OperatorArgs, answer};

/// How long an opening waits for its time before it says when to come back, seconds.
const OPENING_WAIT: u64 = 600;
/// Longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a final event is waited for.
const FINAL_WITHIN: Duration = Duration::from_secs(1_800);

/// Send tokens to a campaign's Distributor. Without --amount: what its rounds still lack, so that a second run sends
/// nothing.
#[derive(Debug, Args)]
pub struct Fund {
    /// The campaign.
    campaign: CampaignId,
    /// Tokens to send, a decimal number.
    #[arg(long, value_name = "TOKENS")]
    amount: Option<String>,
    /// Mint them instead of sending one's own: test tokens only.
    #[arg(long)]
    mint: bool,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Fund {
    /// Does it.
    ///
    /// # Errors
    /// When the chain refuses.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let info = self.node.client()?.campaign(self.campaign).await?;
        let head = &info.head;
        let operator = self.operator.connect(head.chain_id).await?;
        let amount = match &self.amount {
            Some(text) => Total::parse_decimal(text, head.decimals)
                .map_err(|e| anyhow::anyhow!("--amount {text:?} {e}"))?,
            None => lacking(&operator.chain, head.distributor, head.token).await?,
        };
        let transaction = match (amount == Total::ZERO, self.mint) {
            (true, _) => "nothing lacks".to_owned(),
            (false, true) => operator.mint(head.token, head.distributor, amount).await?.tx_hash.to_string(),
            (false, false) => {
                operator.transfer(head.token, head.distributor, amount).await?.tx_hash.to_string()
            }
        };
        let value = serde_json::json!({ "amount": amount, "transaction": transaction });
        answer(
            self.json,
            &value,
            &[("sent", amount.to_decimal_string(head.decimals)), ("transaction", transaction)],
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a Distributor's published and open rounds may still pay, above what it holds.
///
/// # Errors
/// When the chain cannot be read.
pub async fn lacking(chain: &Chain, distributor: Address, token: Address) -> anyhow::Result<Total> {
    let mut owed = Total::ZERO;
    for number in 1..=chain.round_count(distributor, At::Latest).await? {
        let round = chain.round(distributor, number, At::Latest).await?;
        let live = round.filter(|r| matches!(r.state, RoundState::Published | RoundState::Open));
        let more = live.map_or(Total::ZERO, |r| r.remaining);
        owed = owed.checked_add_total(more).context("the rounds' totals overflow")?;
    }
    let held = chain.token_balance(token, distributor, At::Latest).await?;
    Ok(owed.checked_sub(held).unwrap_or(Total::ZERO))
}

/// Open a round whose time and money have come.
#[derive(Debug, Args)]
pub struct Open {
    /// The campaign.
    campaign: CampaignId,
    /// The round.
    round: RoundNo,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    /// Do not wait until the log has seen it.
    #[arg(long)]
    no_wait: bool,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Open {
    /// Does it.
    ///
    /// # Errors
    /// When the chain refuses.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.node.client()?;
        let head = api.campaign(self.campaign).await?.head;
        let operator = self.operator.connect(head.chain_id).await?;
        open(&operator, head.distributor, self.round).await?;
        if !self.no_wait {
            wait_open(&api, self.campaign, self.round).await?;
        }
        answer(
            self.json,
            &serde_json::json!({ "round": self.round, "state": "open" }),
            &[("open", self.round.to_string())],
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Opens a round on chain, waiting a bounded time for its hour.
///
/// # Errors
/// When it is too early by far, or the chain refuses.
pub async fn open(operator: &Operator, distributor: Address, number: RoundNo) -> anyhow::Result<()> {
    let chain = &operator.chain;
    let terms = chain.distributor_terms(distributor).await?;
    loop {
        let round = chain.round(distributor, number, At::Latest).await?;
        let round =
            round.with_context(|| format!("the Distributor has no round {number}; publish it first"))?;
        let earliest = round.opens_at.max(round.published_at + terms.opening_delay);
        let now = chain.timestamp().await?;
        if now >= earliest {
            break;
        }
        if earliest - now > OPENING_WAIT {
            bail!(
                "round {number} opens at {earliest} (Unix seconds), in {} seconds; come back then",
                earliest - now
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    operator.open(distributor, number).await?;
    Ok(())
}

/// Waits until the log has a round as open: until its opening is final.
///
/// # Errors
/// When it never is.
pub async fn wait_open(api: &ApiClient, campaign: CampaignId, round: RoundNo) -> anyhow::Result<()> {
    let waiting = async {
        loop {
            let info = api.campaign(campaign).await?;
            match info.round(round).map(|r| r.phase.as_str()) {
                Some("open") => return Ok(()),
                Some("announced" | "published") => tokio::time::sleep(LOOK_EVERY).await,
                Some(other) => bail!("round {round} is {other}"),
                None => bail!("the log has no round {round}; publish it first"),
            }
        }
    };
    let waited = tokio::time::timeout(FINAL_WITHIN, waiting).await;
    waited.with_context(|| format!("the opening of round {round} was not final within {FINAL_WITHIN:?}"))?
}
