//! `sluice hold`, `confirm`, `renew` and `release`: stopping payments and letting them go on, in the log and on chain.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::{Address, B256};
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use sluice_core::command::{Action, HoldTarget};
use sluice_core::ids::{CampaignId, ChainId, RoundNo, Seq};
use sluice_core::limits::HOLD_ITEMS_MAX;

use super::block_on;
use super::order::{Given, OnChain, OnChainArgs, Order, OrderArgs, distributor, listed_actions, nonce};
use super::reach::client_now;
use super::sign::papers::Deed;
use super::words;

/// Entitlements of one word, which one hold on chain covers.
const WORD: u64 = 256;
/// How long M institutions hold a campaign on chain by default: 30 days (CONTRACTS.md).
const CAMPAIGN_SECONDS: u64 = 30 * 86_400;

/// Stop payments: of entitlements, to a person, of a whole campaign.
#[derive(Debug, Args)]
pub struct Hold {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hold entitlements of a round. One institution alone holds for 72 hours.
    Entitlements(Entitlements),
    /// Hold whatever a person is owed, in rounds published before or after.
    Person(Person),
    /// Hold everything in a campaign. Takes M institutions.
    Campaign(Campaign),
}

#[derive(Debug, Args)]
struct Entitlements {
    /// The campaign.
    campaign: CampaignId,
    /// The round.
    #[arg(required_unless_present = "list", requires = "indexes")]
    round: Option<RoundNo>,
    /// The entitlements' indexes.
    indexes: Vec<u64>,
    /// Place many holds under one signature, one for each row: a CSV file with the columns round and index.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["round", "on_chain"])]
    list: Option<PathBuf>,
    #[command(flatten)]
    on_chain: OnChainArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Person {
    /// The registrar's id of the person.
    #[arg(required_unless_present = "list", value_parser = words::id)]
    person: Option<B256>,
    /// Place many holds under one signature: a CSV file with the column person.
    #[arg(long, value_name = "FILE", conflicts_with = "person")]
    list: Option<PathBuf>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Campaign {
    /// The campaign.
    campaign: CampaignId,
    /// With --on-chain: until when, Unix seconds; 30 days from now by default. One that is past ends it.
    #[arg(long, value_name = "SECONDS", requires = "on_chain")]
    until: Option<u64>,
    #[command(flatten)]
    on_chain: OnChainArgs,
    #[command(flatten)]
    order: OrderArgs,
}

impl Hold {
    /// Does it.
    ///
    /// # Errors
    /// When node or chain refuse, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::Entitlements(entitlements) => entitlements.run().await,
                What::Person(person) => person.run().await,
                What::Campaign(campaign) => campaign.run().await,
            }
        })
    }
}

impl Entitlements {
    async fn run(mut self) -> anyhow::Result<ExitCode> {
        if let Some(list) = &self.list {
            let campaign = self.campaign;
            let actions = listed_actions(list, &["round", "index"], |row| {
                let (round, index) = (row.get("round", words::number)?, row.get("index", words::number)?);
                Ok(hold(HoldTarget::Entitlements { campaign, round, indexes: vec![index] }))
            })?;
            return self.order.give_list(actions).await;
        }
        let round = self.round.context("ROUND INDEX…, or --list FILE")?;
        self.indexes.sort_unstable();
        self.indexes.dedup();
        ensure!(
            self.indexes.len() <= HOLD_ITEMS_MAX,
            "{} entitlements; one hold has at most {HOLD_ITEMS_MAX}",
            self.indexes.len()
        );
        let purpose = format!("hold {:?} of round {round}", self.indexes);
        let (campaign, indexes) = (self.campaign, self.indexes);
        let mut order = Order::to_log(
            purpose,
            hold(HoldTarget::Entitlements { campaign, round, indexes: indexes.clone() }),
        );
        if let Some(on_chain) = self.on_chain.on_chain {
            let (chain, distributor) = distributor(&self.order.node, campaign).await?;
            let words = indexes.chunk_by(|a, b| a / WORD == b / WORD);
            let reason = &self.order.reason;
            let deed = |of: &[u64]| Deed::Hold {
                distributor,
                round,
                indexes: of.to_vec(),
                reason: reason.clone(),
                nonce: nonce(),
            };
            order = with_deeds(order, on_chain, chain, words.map(deed).collect());
        }
        self.order.give_with(order, &self.on_chain, placed).await
    }
}

impl Person {
    async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(list) = &self.list {
            let action = |row: &super::order::rows::Row<'_>| {
                Ok(hold(HoldTarget::Person { person: row.get("person", words::id)? }))
            };
            return self.order.give_list(listed_actions(list, &["person"], action)?).await;
        }
        let person = self.person.context("PERSON, or --list FILE")?;
        let order =
            Order::to_log(format!("hold what person {person} is owed"), hold(HoldTarget::Person { person }));
        self.order.give(order, placed).await
    }
}

impl Campaign {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let campaign = self.campaign;
        let mut order =
            Order::to_log(format!("hold campaign {campaign}"), hold(HoldTarget::Campaign { campaign }));
        if let Some(on_chain) = self.on_chain.on_chain {
            let (chain, distributor) = distributor(&self.order.node, campaign).await?;
            let until = self.until.unwrap_or(client_now() + CAMPAIGN_SECONDS);
            let deed = Deed::HoldCampaign { distributor, until, nonce: nonce() };
            order = with_deeds(order, on_chain, chain, vec![deed]);
        }
        self.order.give_with(order, &self.on_chain, placed).await
    }
}

/// Confirm another institution's hold, so that it lasts 30 days.
#[derive(Debug, Args)]
pub struct Confirm {
    #[command(flatten)]
    of: Placed,
}

/// Renew a confirmed hold for 30 days more. Takes three quarters of the institutions.
#[derive(Debug, Args)]
pub struct Renew {
    #[command(flatten)]
    of: Placed,
}

/// Let payments go on: end a hold. Who placed it signs while nobody confirmed it, else three quarters of the institutions.
#[derive(Debug, Args)]
pub struct Release {
    #[command(flatten)]
    of: Placed,
}

/// A hold that was placed.
#[derive(Debug, Args)]
struct Placed {
    /// The position of the entry that placed it. With --on-chain=only it may be left out.
    #[arg(required_unless_present_any = ["list", "on_chain"])]
    hold: Option<Seq>,
    /// Many under one signature: a CSV file with the column hold.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hold", "on_chain"])]
    list: Option<PathBuf>,
    /// With --on-chain: the hold's id on chain, as `hold` printed it. May be repeated.
    #[arg(long, value_name = "ID", requires = "on_chain")]
    chain_hold: Vec<u64>,
    /// With --on-chain: the campaign.
    #[arg(long, value_name = "ID", requires = "on_chain")]
    campaign: Option<CampaignId>,
    #[command(flatten)]
    on_chain: OnChainArgs,
    #[command(flatten)]
    order: OrderArgs,
}

impl Confirm {
    /// Does it.
    ///
    /// # Errors
    /// When node or chain refuse, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let deed = |distributor, hold| Deed::ConfirmHold { distributor, hold, nonce: nonce() };
        self.of.run("confirm", |hold| Action::ConfirmHold { hold }, Some(&deed))
    }
}

impl Renew {
    /// Does it.
    ///
    /// # Errors
    /// As [`Confirm::run`].
    pub fn run(mut self) -> anyhow::Result<ExitCode> {
        // On chain it is the same action: the contract takes three quarters for the second one, and signatures say so.
        let order = &mut self.of.order;
        if self.of.on_chain.on_chain.is_some() && order.institutions.is_none() {
            let charter = block_on(async { Ok(order.node.client()?.charter().await?) })?;
            let all =
                u16::try_from(charter.institutions.len()).context("a Charter has at most 32 institutions")?;
            order.institutions = Some((all * 3).div_ceil(4));
        }
        let deed = |distributor, hold| Deed::ConfirmHold { distributor, hold, nonce: nonce() };
        self.of.run("renew", |hold| Action::RenewHold { hold }, Some(&deed))
    }
}

impl Release {
    /// Does it.
    ///
    /// # Errors
    /// As [`Confirm::run`].
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let deed = |distributor, hold| Deed::Release { distributor, hold, nonce: nonce() };
        self.of.run("release", |hold| Action::Release { hold }, Some(&deed))
    }
}

/// A deed about a hold on chain, by its id.
type OnHold<'a> = &'a dyn Fn(Address, u64) -> Deed;

impl Placed {
    fn run(
        self,
        verb: &str,
        action: impl Fn(Seq) -> Action,
        deed: Option<OnHold<'_>>,
    ) -> anyhow::Result<ExitCode> {
        block_on(async {
            if let Some(list) = &self.list {
                let actions =
                    listed_actions(list, &["hold"], |row| Ok(action(row.get("hold", words::number)?)))?;
                return self.order.give_list(actions).await;
            }
            let only = self.on_chain.on_chain == Some(OnChain::Only);
            ensure!(only || self.hold.is_some(), "HOLD says which; --on-chain=only takes --chain-hold alone");
            let of = self.hold.map_or_else(|| format!("{:?} on chain", self.chain_hold), |at| at.to_string());
            let mut order = Order {
                purpose: format!("{verb} hold {of}"),
                action: self.hold.map(&action),
                deeds: Vec::new(),
                chain: None,
            };
            if let (Some(on_chain), Some(deed)) = (self.on_chain.on_chain, deed) {
                let campaign = self.campaign.context("--on-chain needs --campaign ID")?;
                ensure!(!self.chain_hold.is_empty(), "--on-chain needs --chain-hold ID");
                let (chain, distributor) = distributor(&self.order.node, campaign).await?;
                let deeds = self.chain_hold.iter().map(|hold| deed(distributor, *hold)).collect();
                order = with_deeds(order, on_chain, chain, deeds);
            }
            self.order.give_with(order, &self.on_chain, |_| Vec::new()).await
        })
    }
}

/// An order that goes to the Distributor too, or only there.
pub(super) fn with_deeds(order: Order, on_chain: OnChain, chain: ChainId, deeds: Vec<Deed>) -> Order {
    let action = order.action.filter(|_| on_chain == OnChain::Also);
    Order { action, deeds, chain: Some(chain), ..order }
}

const fn hold(target: HoldTarget) -> Action {
    Action::Hold { target }
}

/// A hold is named by its position.
fn placed(given: &Given) -> Vec<(&'static str, String)> {
    vec![("hold", given.seq.to_string())]
}
