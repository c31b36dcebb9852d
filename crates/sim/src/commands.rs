//! What authorities do: they push ranges, and annul entitlements in the log and then on chain.

use std::time::Duration;

use anyhow::Context;
use sluice_chain::calls::{self, Chunk};
use sluice_core::command::Action;
use sluice_server::api_client::ApiError;
use sluice_server::cli::sign::papers::{Deed, Papers, mask_of};
use tokio::time::Instant;

use crate::ground::{Field, ROUND};
use crate::on_chain::Wanted;
use crate::records::Pushed;
use crate::workload::Stage;

/// How long a command waits before it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(400);
/// How long one try may take.
const TRY_WITHIN: Duration = Duration::from_secs(20);

/// What became of a command.
enum Answered {
    /// It stands in the log.
    Done(Box<Papers>),
    /// Refused, for good.
    Refused(String),
}

impl Stage {
    /// A push. That everything in it was decided before is as good.
    pub(crate) async fn push(&self, field: &Field, slot: usize, from: u64, to: u64) -> anyhow::Result<()> {
        let campaign = field.campaign;
        let action = Action::Push { campaign, round: ROUND, from, to };
        if let Answered::Refused(code) = self.order(field, slot, &action, None).await?
            && code != "already_decided"
        {
            anyhow::bail!("a push was refused: {code}");
        }
        self.client.records().pushed.lock().expect("no panic inside").push(Pushed { campaign, from, to });
        Ok(())
    }

    /// Annuls an entitlement by M of N: in the log, then on chain, where a payment under way may be first.
    pub(crate) async fn annul(&self, field: &Field, slot: usize, index: u64) -> anyhow::Result<()> {
        let records = self.client.records();
        records.void_ordered.lock().expect("no panic inside").insert((field.campaign, index));
        let action = Action::Void { campaign: field.campaign, round: ROUND, indexes: vec![index] };
        let deed = Deed::Void { distributor: field.distributor.address, round: ROUND, index };
        let papers = match self.order(field, slot, &action, Some(deed)).await? {
            Answered::Done(papers) => papers,
            // The race was lost before it began.
            Answered::Refused(code) if code == "already_paid" => {
                *records.voids_late.lock().expect("no panic inside") += 1;
                return Ok(());
            }
            Answered::Refused(code) => anyhow::bail!("a void of {index} was refused: {code}"),
        };
        let proof = field.snapshot.proof(index)?;
        let chunk =
            Chunk { mask: mask_of(ROUND, index), words: proof.bucket.to_vec(), proof: proof.path.clone() };
        let approvals =
            papers.approvals(|deed| matches!(deed, Deed::Void { .. })).context("a void's papers")?;
        let sending = (field.distributor.address, calls::void(&chunk, &approvals));
        let wanted = Wanted::VoidOrPaid(index);
        self.servers.until_final(field, field.key(index), sending, wanted, self.client.end()).await
    }

    /// Orders it under the same id until it is answered, and under a new one when it was signed for an older version.
    async fn order(
        &self,
        field: &Field,
        mut slot: usize,
        action: &Action,
        deed: Option<Deed>,
    ) -> anyhow::Result<Answered> {
        let mut papers: Option<Papers> = None;
        while Instant::now() < self.client.end() {
            let trying = self.try_order(field, slot, (action, &deed), &mut papers);
            match tokio::time::timeout(TRY_WITHIN, trying).await {
                Ok(Ok(Some(answered))) => return Ok(answered),
                Ok(Err(error)) => tracing::debug!(error = format!("{error:#}"), "a command was not answered"),
                Ok(Ok(None)) | Err(_) => {}
            }
            slot = 1 - slot;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        anyhow::bail!("{action:?} was never answered")
    }

    /// One try; `None` when it was not answered for good.
    async fn try_order(
        &self,
        field: &Field,
        slot: usize,
        (action, deed): (&Action, &Option<Deed>),
        papers: &mut Option<Papers>,
    ) -> anyhow::Result<Option<Answered>> {
        let api = &self.apis[slot];
        if papers.is_none() {
            let round = api.round(field.campaign, ROUND).await?;
            let now = self.servers.prepared.chain.timestamp().await?;
            let charter = api.charter().await?;
            let needed = if deed.is_some() { charter.threshold } else { 1 };
            let command = Some((action.clone(), round.head.version, "chaos".to_owned()));
            let drawn = Papers::new("chaos", &charter, needed, now, command, deed.iter().cloned().collect());
            *papers = Some(self.servers.signed(drawn)?);
        }
        let signed = papers.clone().context("signed papers")?;
        let command = signed.command.as_ref().context("a signed command")?;
        match api.command(command.id, &command.command).await {
            Ok(info) => Ok((info.state == "done").then_some(Answered::Done(Box::new(signed)))),
            // Signed for a version that has passed: a new command, under a new id.
            Err(ApiError::Refused(refused)) => match refused.code.as_str() {
                "stale" => {
                    *papers = None;
                    Ok(None)
                }
                "already_decided" | "already_paid" => Ok(Some(Answered::Refused(refused.code))),
                other => anyhow::bail!("refused: {other}"),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The number of the newest block, once there is one: while blocks vanish the chain's node does not always have it.
    pub(crate) async fn latest_block(&self) -> anyhow::Result<u64> {
        while Instant::now() < self.client.end() {
            if let Ok(block) = self.servers.prepared.chain.latest().await {
                return Ok(block.number);
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        anyhow::bail!("the chain had no newest block")
    }

    /// Bars an account from the token, or lets it receive again, until that is final.
    pub(crate) async fn bar(&self, field: &Field, index: u64, yes: bool) -> anyhow::Result<()> {
        let account = field.recipient(index)?;
        let (sending, wanted) = (self.servers.bar(account, yes), Wanted::Barred(account, yes));
        self.servers.until_final(field, field.key(index), sending, wanted, self.client.end()).await
    }
}
