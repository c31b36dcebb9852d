//! Where an entitlement stands, for API, pages, metrics and webhooks.

use alloy_primitives::{B256, Bytes};

use super::batch::BatchStage;
use super::campaign::Campaign;
use crate::ids::{BatchNo, BlockRef, EntitlementId, Seq};
use crate::refusal::Code;

/// The states of a claim (DESIGN.md §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// Durable, not decided.
    Waiting,
    /// Will be paid.
    Decided,
    /// Decided, not payable now.
    Held,
    /// In a batch.
    Batched(BatchNo),
    /// A transaction with it was signed and sent.
    Sent(BatchNo, B256),
    /// In a block that is not final.
    Paid(BlockRef, B256),
    /// Finally paid.
    Final,
    /// Will not be paid by this claim.
    Refused(Code),
    /// Annulled.
    Voided,
    /// The transfer failed.
    Skipped {
        /// What the token said.
        reason: Bytes,
        /// Whether it is tried again by itself.
        retry: bool,
    },
}

impl ClaimState {
    /// The word of API, pages and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Decided => "decided",
            Self::Held => "held",
            Self::Batched(_) => "batched",
            Self::Sent(..) => "sent",
            Self::Paid(..) => "paid",
            Self::Final => "final",
            Self::Refused(_) => "refused",
            Self::Voided => "voided",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// The citizen's sentence.
    pub const fn sentence(&self) -> &'static str {
        match self {
            Self::Waiting => "Your claim has arrived and waits for its turn.",
            Self::Decided => "Your payment is decided and will be sent.",
            Self::Held => "Your payment is decided and on hold.",
            Self::Batched(_) => "Your payment is being prepared.",
            Self::Sent(..) => "Your payment was sent.",
            Self::Paid(..) => "Your payment has arrived and is being confirmed.",
            Self::Final => "You were paid.",
            Self::Refused(code) => code.sentence(),
            Self::Voided => "This entitlement was annulled.",
            Self::Skipped { retry: true, .. } => "The transfer failed and will be tried again.",
            Self::Skipped { retry: false, .. } => "The transfer failed. Please contact the programme.",
        }
    }
}

impl Campaign {
    /// Where an entitlement stands; `None` while nobody has claimed or pushed it, or outside the round.
    pub fn status(&self, id: EntitlementId) -> Option<ClaimState> {
        let round = self.round(id.round).filter(|r| id.index < r.terms.count)?;
        let (shard, at) = round.shard(id.index);
        if shard.paid.get(at) {
            return Some(ClaimState::Final);
        }
        if let Some((block, tx)) = self.payment_seen(id) {
            return Some(ClaimState::Paid(block, tx));
        }
        if shard.void.get(at) {
            return Some(ClaimState::Voided);
        }
        if !shard.decided.get(at) {
            return None;
        }
        if let Some(batch) = self.batch_of(id) {
            let last = batch.attempts.last().map_or(B256::ZERO, |a| a.tx_hash);
            return Some(match (batch.stage(), batch.skipped(id)) {
                (BatchStage::Mined, Some(skipped)) => {
                    ClaimState::Skipped { reason: skipped.reason.clone(), retry: true }
                }
                (BatchStage::Planned, _) => ClaimState::Batched(batch.plan.batch),
                (BatchStage::Sent | BatchStage::Mined, _) => ClaimState::Sent(batch.plan.batch, last),
            });
        }
        if shard.held.get(at) || self.is_held_on_chain(id) || self.is_held() {
            return Some(ClaimState::Held);
        }
        Some(match round.skips.get(&id.index) {
            Some(skip) if shard.busy.get(at) => {
                ClaimState::Skipped { reason: skip.reason.clone(), retry: skip.retry }
            }
            _ => ClaimState::Decided,
        })
    }

    /// A payment in a block that is not final, by a batch or by another hand.
    fn payment_seen(&self, id: EntitlementId) -> Option<(BlockRef, B256)> {
        if let Some(mined) = self.batch_of(id).filter(|b| b.paid(id)).and_then(|b| b.mined.as_ref()) {
            return Some((mined.block, mined.tx_hash));
        }
        self.seen_elsewhere(id)
    }

    /// The position a command about this campaign or round must have seen.
    pub fn subject_version(&self, round: Option<u64>) -> Seq {
        round.and_then(|r| self.round(r)).map_or(self.version, |r| r.version)
    }
}
