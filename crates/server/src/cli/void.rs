//! `sluice void`: annuls entitlements, in the log first, so that nothing of ours pays them any more, then on chain, so
//! that nobody else can.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use sluice_chain::calls::Chunk;
use sluice_chain::deploy::{Done, Operator};
use sluice_core::command::Action;
use sluice_core::ids::{CampaignId, RoundNo};

use super::block_on;
use super::campaign::hand_in;
use super::reach::{NodeArgs, OperatorArgs, answer};
use super::sign::papers::{Deed, Papers, mask_of};
use super::sign::{Collected, Signing, waiting};
use crate::api_client::{ApiClient, CampaignInfo};

/// Annul entitlements of a round. Takes M institutions, and fails for what is paid already.
#[derive(Debug, Args)]
pub struct Void {
    /// The campaign.
    campaign: CampaignId,
    /// The round.
    round: RoundNo,
    /// The entitlements' indexes.
    #[arg(required = true)]
    indexes: Vec<u64>,
    /// Why, for the log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    signing: Signing,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Void {
    /// Does it.
    ///
    /// # Errors
    /// When node or chain refuse, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let api = self.node.client()?;
            let info = api.campaign(self.campaign).await?;
            let operator = self.operator.connect(info.head.chain_id).await?;
            let papers = match self.signing.collect(self.papers(&api, &info, &operator)).await? {
                Collected::Waiting(papers) => {
                    return waiting(&papers, self.signing.papers.as_deref(), self.json);
                }
                Collected::Ready(papers) => papers,
            };
            let seq = hand_in(&api, &papers, "voided").await?;
            let mut done = Vec::new();
            for paper in &papers.actions {
                if let Deed::Void { round, index, .. } = &paper.action {
                    done.push(self.on_chain(&api, &info, &operator, &papers, *round, *index).await?);
                }
            }
            let at = seq.map_or_else(|| "before".to_owned(), |seq| seq.to_string());
            let value = serde_json::json!({ "seq": seq, "transactions": done });
            answer(self.json, &value, &[("annulled at", at), ("transactions", done.join(", "))])?;
            Ok(ExitCode::SUCCESS)
        })
    }

    async fn papers(
        &self,
        api: &ApiClient,
        info: &CampaignInfo,
        operator: &Operator,
    ) -> anyhow::Result<Papers> {
        let round =
            info.round(self.round).with_context(|| format!("the campaign has no round {}", self.round))?;
        let mut indexes = self.indexes.clone();
        indexes.sort_unstable();
        indexes.dedup();
        let last = indexes.last().copied().unwrap_or(0);
        ensure!(last < round.count, "INDEX {last}: the round has {} entitlements, from 0", round.count);
        let distributor = info.head.distributor;
        let deed = |index: &u64| Deed::Void { distributor, round: self.round, index: *index };
        let deeds = indexes.iter().map(deed).collect();
        let purpose = format!("annul {indexes:?} of round {} of {:?}", self.round, info.head.name);
        let action = Action::Void { campaign: self.campaign, round: self.round, indexes };
        let command = Some((action, round.version, self.reason.clone()));
        let charter = api.charter().await?;
        let now = operator.chain.timestamp().await?;
        Ok(Papers::new(purpose, &charter, charter.threshold, now, command, deeds))
    }

    /// Annuls one entitlement on chain; the proof comes from the node and is checked by the contract.
    async fn on_chain(
        &self,
        api: &ApiClient,
        info: &CampaignInfo,
        operator: &Operator,
        papers: &Papers,
        round: RoundNo,
        index: u64,
    ) -> anyhow::Result<String> {
        let listed = api.entitlement(self.campaign, round, index).await?;
        let proof = &listed.entitlements.first().context("the node's answer has no proof")?.proof;
        let chunk =
            Chunk { mask: mask_of(round, index), words: proof.bucket.to_vec(), proof: proof.path.clone() };
        let this = |deed: &Deed| matches!(deed, Deed::Void { index: at, .. } if *at == index);
        let approvals = papers.approvals(this).unwrap_or_default();
        let done = operator.void(info.head.distributor, &chunk, &approvals).await;
        let done = done.with_context(|| {
            format!(
                "entitlement {index} is annulled in the log, not on chain; if it was not paid, run this again"
            )
        })?;
        Ok(match done {
            Done::Now(receipt) => receipt.tx_hash.to_string(),
            Done::Before => "before".to_owned(),
        })
    }
}
