//! A batch that would revert: wait, or give its content up by the rule of reverted batches.

use alloy_primitives::Bytes;
use sluice_chain::{At, Revert, RevertKind};
use sluice_core::ids::{BatchNo, CampaignId, EntitlementId};
use sluice_core::log::entry::{BatchReplanned, Body, ReplanGround, Skipped};

use super::Settlement;
use crate::error::EngineError;

impl Settlement {
    /// What follows from a simulated revert. Always ends the lane's step: what stands behind this batch waits for it.
    pub(super) async fn reverted(
        &mut self,
        campaign: CampaignId,
        batch: BatchNo,
        revert: Revert,
    ) -> Result<bool, EngineError> {
        match revert.kind {
            // Every transfer fails: the content itself is bad, and stays so until somebody acts or a retry is due.
            RevertKind::NothingPaid(reason) => self.give_up(campaign, batch, reason).await,
            // Another sequencer has the chain: look again, which ends the term if it is so.
            RevertKind::StaleEpoch { .. } | RevertKind::NotALane => {
                self.has_epoch = false;
                Ok(false)
            }
            RevertKind::NotApproved | RevertKind::GateOff(_) => self.give_back(campaign, batch).await,
            // Another attempt has the number, the epoch is being taken, payments are paused, the round is not open at
            // the node that was asked: time or the watcher will tell.
            _ => {
                tracing::debug!(%campaign, batch, revert = revert.text, "a batch cannot be sent yet");
                Ok(false)
            }
        }
    }

    /// The chain does not take the gate's word: nobody in the batch is to blame. It is planned anew without the words
    /// whose gate is finally off or whose time is over; until the log knows of either, it waits.
    async fn give_back(&mut self, campaign: CampaignId, batch: BatchNo) -> Result<bool, EngineError> {
        let now = self.chain.timestamp().await?;
        let counts = self.follower.read(|state| {
            let known = state.campaign(campaign)?;
            let words = &known.batches.get(&batch)?.plan.words;
            Some(
                words.iter().all(|w| known.round(w.round).is_some_and(|r| known.gate_counts(r, w.word, now))),
            )
        });
        if counts != Some(false) {
            tracing::debug!(%campaign, batch, "the chain does not take a gate's word yet");
            return Ok(false);
        }
        let Some(because) = self.ground(campaign, batch).await? else {
            tracing::warn!(%campaign, batch, "a batch whose gate is off waits until its attempts are dead");
            return Ok(false);
        };
        tracing::warn!(%campaign, batch, "a batch whose gate is off, or whose gate's word expires, is given back");
        let body = Body::BatchReplanned(BatchReplanned { campaign, batch, because, poison: Vec::new() });
        self.observations.append(vec![body], Vec::new()).await?;
        Ok(false)
    }

    async fn give_up(
        &mut self,
        campaign: CampaignId,
        batch: BatchNo,
        reason: Bytes,
    ) -> Result<bool, EngineError> {
        let Some(because) = self.ground(campaign, batch).await? else {
            tracing::warn!(%campaign, batch, "a batch that would pay nobody waits until its attempts are dead");
            return Ok(false);
        };
        let poison = self.follower.read(|state| {
            let known = state.campaign(campaign);
            let words = known.and_then(|c| c.batches.get(&batch)).map_or(&[][..], |b| &b.plan.words);
            words
                .iter()
                .flat_map(|w| w.indexes().map(|index| EntitlementId { round: w.round, index }))
                // No transfer of what the chain holds was tried.
                .filter(|id| known.is_some_and(|c| !c.is_held_on_chain(*id)))
                .map(|entitlement| Skipped { entitlement, reason: reason.clone() })
                .collect::<Vec<_>>()
        });
        tracing::warn!(%campaign, batch, items = poison.len(), "a batch that would pay nobody is given up");
        let body = Body::BatchReplanned(BatchReplanned { campaign, batch, because, poison });
        self.observations.append(vec![body], Vec::new()).await?;
        Ok(false)
    }

    /// Why no attempt of this content can be mined any more, if so (CONTRACTS.md, "Reverted batches").
    async fn ground(
        &self,
        campaign: CampaignId,
        batch: BatchNo,
    ) -> Result<Option<ReplanGround>, EngineError> {
        let found = self.follower.read(|state| {
            let known = state.campaign(campaign)?.batches.get(&batch)?;
            let chain = state.chains.get(&self.chain.id())?;
            Some((known.attempts.clone(), *chain))
        });
        let Some((attempts, chain)) = found else { return Ok(None) };
        if attempts.is_empty() {
            return Ok(Some(ReplanGround::NeverSigned));
        }
        if attempts.iter().all(|a| a.epoch < chain.epoch) {
            return Ok(Some(ReplanGround::EpochFinal(chain.epoch)));
        }
        for attempt in &attempts {
            // The watcher has read that final block and saw no settlement of this number in it or before.
            let used = self.chain.nonce(attempt.lane, At::Number(chain.finalized.number)).await?;
            if used <= attempt.nonce {
                return Ok(None);
            }
        }
        Ok(Some(ReplanGround::NoncesConsumed(chain.finalized)))
    }
}
