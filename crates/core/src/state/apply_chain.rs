//! `apply`, the part of batches: planned, sent, mined, taken back and final; and how far each chain was read.

use alloy_primitives::Bytes;

use crate::amount::{Amount, Total};
use crate::ids::{BatchNo, CampaignId, EntitlementId, RoundNo};
use crate::limits::{SKIP_RETRIES_MAX, SKIP_RETRY_AFTER};
use crate::log::entry::{
    AttemptSigned, BatchAt, BatchFinal, BatchMined, BatchPlanned, BatchReplanned, ChainCursor, Due,
    EpochOnChain, Skipped,
};

use super::apply::Wrong;
use super::batch::{Attempt, Batch};
use super::funds::{Account, Posting};
use super::pages::{BitKind, PageId};
use super::round::Skip;
use super::{ChainSeen, State};

impl State {
    pub(super) fn batch_planned(&mut self, plan: &BatchPlanned) -> Result<(), Wrong> {
        self.check_plan(plan)?;
        let id = plan.campaign;
        for word in &plan.words {
            for index in word.indexes() {
                let at = EntitlementId { round: word.round, index };
                let (shard, place) = self.round_mut(id, at)?.shard_mut(index);
                shard.busy.set(place);
                self.pages.touch_bit(id, at, BitKind::Busy);
            }
        }
        let campaign = self.campaign_mut(id)?;
        campaign.next_batch = campaign.next_batch.max(plan.batch + 1);
        let attempts = campaign.batches.remove(&plan.batch).map_or(Vec::new(), |b| b.attempts);
        let dead = u32::try_from(attempts.len()).map_err(|_| "too many attempts")?;
        let batch = Batch { plan: plan.clone(), attempts, dead, mined: None, given_up: false };
        campaign.batches.insert(plan.batch, batch);
        self.pages.touch(PageId::Campaign(id));
        self.pages.touch(PageId::Batch(id, plan.batch));
        Ok(())
    }

    fn batch_mut(&mut self, campaign: CampaignId, batch: u64) -> Result<&mut Batch, Wrong> {
        self.pages.touch(PageId::Batch(campaign, batch));
        self.campaign_mut(campaign)?.batches.get_mut(&batch).ok_or("there is no such batch in flight")
    }

    pub(super) fn attempt_signed(&mut self, signed: &AttemptSigned) -> Result<(), Wrong> {
        self.check_attempt(signed)?;
        let epoch = self.epoch;
        let batch = self.batch_mut(signed.campaign, signed.batch)?;
        batch.attempts.push(Attempt {
            epoch,
            lane: signed.lane,
            nonce: signed.nonce,
            tx_hash: signed.tx_hash,
            max_fee: signed.max_fee,
            priority_fee: signed.priority_fee,
            gas_limit: signed.gas_limit,
        });
        Ok(())
    }

    pub(super) fn batch_mined(&mut self, mined: &BatchMined) -> Result<(), Wrong> {
        self.check_mined(mined)?;
        self.batch_mut(mined.campaign, mined.batch)?.mined = Some(mined.clone());
        Ok(())
    }

    pub(super) fn batch_unmined(&mut self, at: &BatchAt) -> Result<(), Wrong> {
        let batch = self.batch_mut(at.campaign, at.batch)?;
        match batch.mined.take() {
            Some(mined) if mined.block == at.block => Ok(()),
            _ => Err("the batch was not mined in this block"),
        }
    }

    pub(super) fn batch_final(&mut self, at: &BatchFinal, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let id = at.campaign;
        let lowest = self.campaign_mut(id)?.batches.keys().next().copied();
        if lowest != Some(at.batch) {
            return Err("an earlier batch is not final");
        }
        self.pages.touch(PageId::Batch(id, at.batch));
        let batch =
            self.campaign_mut(id)?.batches.remove(&at.batch).ok_or("there is no such batch in flight")?;
        let mined =
            batch.mined.as_ref().filter(|m| m.block == at.block).ok_or("the batch was not mined there")?;
        let mut from_void = Total::ZERO;
        for word in &mined.paid {
            for index in word.indexes() {
                let paid = EntitlementId { round: word.round, index };
                // A void that came after the batch was sent could not stop it: the money is gone from the void side.
                from_void = from_void
                    .checked_add_total(self.pay_bit(id, paid, &at.void_paid)?)
                    .ok_or("the sum overflows")?;
            }
        }
        let reserved = mined.paid_total.checked_sub(from_void).ok_or("more was void than paid")?;
        self.book_paid(id, Account::Reserved, reserved, out)?;
        self.book_paid(id, Account::Voided, from_void, out)?;
        self.count_again(id, from_void)?;
        for skipped in &mined.skipped {
            self.skip(id, skipped)?;
        }
        self.release_unpaid(id, &batch)
    }

    /// Marks one entitlement of a final batch as paid; returns its amount if it had been voided meanwhile.
    fn pay_bit(
        &mut self,
        campaign: CampaignId,
        id: EntitlementId,
        void_paid: &[(EntitlementId, Amount)],
    ) -> Result<Total, Wrong> {
        self.forget_skip(campaign, id)?;
        let round = self.round_mut(campaign, id)?;
        let (shard, at) = round.shard_mut(id.index);
        if !shard.paid.set(at) {
            return Err("the entitlement is paid already");
        }
        let void = shard.void.clear(at);
        self.pages.touch_bit(campaign, id, BitKind::Paid);
        self.pages.touch_bit(campaign, id, BitKind::Void);
        self.forget_redirect(campaign, id)?;
        match void {
            false => Ok(Total::ZERO),
            true => void_paid
                .iter()
                .find(|(voided, _)| *voided == id)
                .map(|(_, amount)| (*amount).into())
                .ok_or("the amount of a voided payment is missing"),
        }
    }

    pub(super) fn forget_redirect(&mut self, campaign: CampaignId, id: EntitlementId) -> Result<(), Wrong> {
        if self.campaign_mut(campaign)?.redirected.remove(&id).is_some() {
            self.pages.touch(PageId::Redirected(campaign, id));
        }
        Ok(())
    }

    pub(super) fn forget_skip(&mut self, campaign: CampaignId, id: EntitlementId) -> Result<(), Wrong> {
        if self.round_mut(campaign, id)?.skips.remove(&id.index).is_some() {
            self.pages.touch(PageId::Skip(campaign, id));
        }
        Ok(())
    }

    /// Keeps a failed transfer aside: for a while, then, after the last retry, until somebody acts.
    fn skip(&mut self, campaign: CampaignId, skipped: &Skipped) -> Result<(), Wrong> {
        let (id, now) = (skipped.entitlement, self.recorded_at);
        let round = self.round_mut(campaign, id)?;
        let (shard, at) = round.shard(id.index);
        // Its wallet was quicker, and that payment is final.
        if shard.paid.get(at) {
            return Ok(());
        }
        let times = round.skips.get(&id.index).map_or(0, |s| s.times) + 1;
        let retry = times <= SKIP_RETRIES_MAX;
        round.skips.insert(id.index, Skip { times, reason: skipped.reason.clone(), retry });
        self.pages.touch(PageId::Skip(campaign, id));
        if retry {
            let wait = u64::try_from(SKIP_RETRY_AFTER.as_millis()).expect("seconds") << (times - 1);
            self.schedule(now + wait, Due::SkipRetry { campaign, entitlement: id });
        }
        Ok(())
    }

    /// Entitlements of a final batch that were neither paid nor skipped were paid or stopped by another hand. Those
    /// whose other payment is known stay busy; the rest may be planned again.
    fn release_unpaid(&mut self, campaign: CampaignId, batch: &Batch) -> Result<(), Wrong> {
        for word in &batch.plan.words {
            for index in word.indexes() {
                let id = EntitlementId { round: word.round, index };
                if !batch.paid(id) && batch.skipped(id).is_none() {
                    self.set_aside(campaign, id)?;
                }
            }
        }
        Ok(())
    }

    /// An entitlement that a final batch named and the chain passed over without a word. If no other payment and no void
    /// explains it (yet), it is tried again, as often as a failed transfer: planned at once, it might be for ever.
    fn set_aside(&mut self, campaign: CampaignId, id: EntitlementId) -> Result<(), Wrong> {
        let known = self.campaign_mut(campaign)?;
        // A hold on chain, final no later than this batch, says why; it will be planned when the hold has ended.
        let explained = known.paid_elsewhere(id) || known.is_held_on_chain(id);
        let (shard, at) = self.round_mut(campaign, id)?.shard_mut(id.index);
        if explained || shard.paid.get(at) || shard.void.get(at) {
            return self.release_busy(campaign, id);
        }
        self.skip(campaign, &Skipped { entitlement: id, reason: Bytes::from_static(b"passed over") })
    }

    /// Lets an entitlement be planned again, unless something else still keeps it.
    pub(super) fn release_busy(&mut self, campaign: CampaignId, id: EntitlementId) -> Result<(), Wrong> {
        let kept = self.campaign_mut(campaign)?.batch_of(id).is_some()
            || self.campaign_mut(campaign)?.paid_elsewhere(id)
            || self.round_mut(campaign, id)?.skips.get(&id.index).is_some_and(Skip::is_kept);
        let (shard, at) = self.round_mut(campaign, id)?.shard_mut(id.index);
        if !kept && !shard.paid.get(at) {
            shard.busy.clear(at);
            self.pages.touch_bit(campaign, id, BitKind::Busy);
        }
        Ok(())
    }

    /// Gives up the content of batches that name what was just annulled, if it was never signed: nothing of it can have
    /// left, and from this position on nothing of it may.
    pub(super) fn give_up_unsigned(
        &mut self,
        campaign: CampaignId,
        round: RoundNo,
        annulled: &[(u64, Amount)],
    ) -> Result<(), Wrong> {
        let names = |batch: &Batch| {
            annulled.iter().any(|(index, _)| batch.contains(EntitlementId { round, index: *index }))
        };
        let unsigned: Vec<BatchNo> = self
            .campaign_mut(campaign)?
            .batches
            .iter()
            .filter(|(_, batch)| batch.is_open() && batch.alive().is_empty() && names(batch))
            .map(|(number, _)| *number)
            .collect();
        for number in unsigned {
            self.give_up(campaign, number)?;
        }
        Ok(())
    }

    /// A batch's number waits to be planned anew; whoever it named may be planned again.
    fn give_up(&mut self, campaign: CampaignId, number: BatchNo) -> Result<(), Wrong> {
        let batch = self.batch_mut(campaign, number)?;
        batch.given_up = true;
        for word in std::mem::take(&mut batch.plan.words) {
            for index in word.indexes() {
                self.release_busy(campaign, EntitlementId { round: word.round, index })?;
            }
        }
        Ok(())
    }

    pub(super) fn batch_replanned(&mut self, replanned: &BatchReplanned) -> Result<(), Wrong> {
        self.check_replanned(replanned)?;
        for skipped in &replanned.poison {
            self.skip(replanned.campaign, skipped)?;
        }
        self.give_up(replanned.campaign, replanned.batch)
    }

    pub(super) fn chain_cursor(&mut self, cursor: &ChainCursor) -> Result<(), Wrong> {
        let epoch = self.chains.get(&cursor.chain_id).map_or(0, |c| c.epoch);
        let seen = ChainSeen { seen: cursor.seen, finalized: cursor.finalized, epoch };
        if cursor.finalized.number > cursor.seen.number {
            return Err("the final block lies above the last block read");
        }
        self.chains.insert(cursor.chain_id, seen);
        self.pages.touch(PageId::Chain(cursor.chain_id));
        for campaign in &cursor.caught_up {
            self.campaign_mut(*campaign)?.watched = true;
            self.pages.touch(PageId::Campaign(*campaign));
        }
        Ok(())
    }

    pub(super) fn epoch_on_chain(&mut self, seen: &EpochOnChain) -> Result<(), Wrong> {
        let start = ChainSeen { seen: seen.block, finalized: seen.block, epoch: 0 };
        let chain = self.chains.entry(seen.chain_id).or_insert(start);
        if seen.epoch <= chain.epoch {
            return Err("the chain's epoch does not rise");
        }
        chain.epoch = seen.epoch;
        self.pages.touch(PageId::Chain(seen.chain_id));
        Ok(())
    }
}
