//! What an observation must satisfy to follow from the state. `decide` drops what does not: the state has overtaken it.
//! `apply` refuses it: such an entry is a bug or an edited log. Both ask here, so that neither can be laxer.

use std::collections::BTreeSet;

use crate::command::RoundMode;
use crate::ids::EntitlementId;
use crate::limits::{BATCH_WORDS_MAX, GATE_WORDS_MAX, SIGNATURE_BYTES_MAX};
use crate::log::entry::{
    AttemptSigned, BatchForm, BatchMined, BatchPlanned, BatchReplanned, EventsFinal, GateSigned,
    ReplanGround, Skipped, WordMask,
};

use crate::planner::has_room;

use super::State;
use super::apply::{Wrong, range_mask};
use super::batch::Batch;
use super::campaign::Campaign;

impl State {
    /// Whether a batch may be planned: its number is free, every entitlement is payable now, the call pays nobody else.
    pub(crate) fn check_plan(&self, plan: &BatchPlanned) -> Result<(), Wrong> {
        let campaign = self.campaign(plan.campaign).ok_or("there is no such campaign")?;
        match campaign.batches.get(&plan.batch) {
            Some(old) if !old.given_up => return Err("the batch number is in use"),
            // A number given up by `BatchReplanned` is planned anew; its old attempts can no longer be mined.
            Some(_) => {}
            None if plan.batch != campaign.next_batch => return Err("it is not the next batch number"),
            None => {}
        }
        if !campaign.may_plan() && !plan.words.is_empty() {
            return Err("the campaign is paused or held");
        }
        if !has_room(campaign) {
            return Err("too many batches are in flight");
        }
        if plan.words.len() > BATCH_WORDS_MAX {
            return Err("the batch has too many words");
        }
        if plan.words.is_empty() {
            return check_filler(campaign, plan);
        }
        check_words(&plan.words)?;
        for word in &plan.words {
            check_payable(campaign, word, &plan.form)?;
        }
        check_form(campaign, plan)
    }

    /// Whether a transaction may be signed for a batch.
    pub(crate) fn check_attempt(&self, signed: &AttemptSigned) -> Result<(), Wrong> {
        let batch = self.batch(signed.campaign, signed.batch)?;
        if !batch.is_open() {
            return Err("the batch is mined or given up");
        }
        if batch.attempts.iter().any(|a| a.tx_hash == signed.tx_hash) {
            return Err("the transaction was signed before");
        }
        Ok(())
    }

    /// Whether what the chain says of a batch is something the batch could do.
    pub(crate) fn check_mined(&self, mined: &BatchMined) -> Result<(), Wrong> {
        let batch = self.batch(mined.campaign, mined.batch)?;
        if !batch.is_open() {
            return Err("the batch is mined already, or given up");
        }
        if !mined.paid.is_empty() {
            check_words(&mined.paid)?;
        }
        if !batch.names_all(&mined.paid) {
            return Err("the chain paid somebody whom the batch does not name");
        }
        check_members(batch, &mined.skipped)?;
        if mined.skipped.iter().any(|s| names(&mined.paid, s.entitlement)) {
            return Err("an entitlement is both paid and skipped");
        }
        let whole = mined.paid == batch.plan.words;
        if mined.paid_total > batch.plan.total || (whole && mined.paid_total != batch.plan.total) {
            return Err("the sum paid is not the batch's");
        }
        Ok(())
    }

    /// Whether a batch's content may be given up (CONTRACTS.md, "Reverted batches").
    pub(crate) fn check_replanned(&self, replanned: &BatchReplanned) -> Result<(), Wrong> {
        let batch = self.batch(replanned.campaign, replanned.batch)?;
        if !batch.is_open() {
            return Err("the batch is mined or given up");
        }
        check_members(batch, &replanned.poison)?;
        let chain = self.campaign(replanned.campaign).map(|c| c.terms.distributor.chain_id);
        let chain = chain.and_then(|id| self.chains.get(&id));
        let stands = match &replanned.because {
            ReplanGround::NeverSigned => batch.attempts.is_empty(),
            ReplanGround::EpochFinal(epoch) => {
                chain.is_some_and(|c| c.epoch >= *epoch) && batch.attempts.iter().all(|a| a.epoch < *epoch)
            }
            // Which nonces are consumed is the chain's to say; that the watcher has read so far is ours.
            ReplanGround::NoncesConsumed(block) => {
                chain.is_some_and(|c| c.finalized.number >= block.number) && !batch.attempts.is_empty()
            }
        };
        if stands { Ok(()) } else { Err("an attempt of the batch may still be mined") }
    }

    /// Whether a gate's masks follow from what is decided: each grows, names its round's gate, and approves nobody whom the
    /// log did not decide.
    pub(crate) fn check_gate_signed(&self, signed: &GateSigned) -> Result<(), Wrong> {
        let campaign = self.campaign(signed.campaign).ok_or("there is no such campaign")?;
        if !campaign.gates.contains_key(&signed.version) || signed.words.len() > GATE_WORDS_MAX {
            return Err("the gate is not defined, or signed too many words at once");
        }
        if signed.words.is_empty()
            || !signed.words.windows(2).all(|w| (w[0].round, w[0].word) < (w[1].round, w[1].word))
        {
            return Err("its words are out of order");
        }
        for word in &signed.words {
            if word.signature.len() > SIGNATURE_BYTES_MAX {
                return Err("a signature is longer than any may be");
            }
            let round = campaign.round(word.round).ok_or("there is no such round")?;
            if round.terms.mode != RoundMode::Gated || round.terms.gate != u64::from(signed.version) {
                return Err("the round asks for another gate");
            }
            let inside = word.word <= round.terms.count / 256;
            let (shard, place) = inside
                .then(|| round.shard_at(word.word * 256))
                .flatten()
                .ok_or("the word lies outside the round")?;
            let (decided, void) = (shard.decided.word256(place / 256), shard.void.word256(place / 256));
            let last = campaign.approved.get(&(word.round, word.word));
            for part in 0..4 {
                let before = last.map_or(0, |a| a.mask[part]);
                let may = before | (decided[part] & !void[part]);
                if word.mask[part] & before != before || word.mask[part] & !may != 0 {
                    return Err("a mask takes back what it approved, or approves what was not decided");
                }
            }
            if word.as_of > self.seq || last.is_some_and(|a| a.as_of > word.as_of) {
                return Err("the gate names a position it cannot have read");
            }
        }
        Ok(())
    }

    /// Whether an entry names exactly those entitlements of a final block whose amounts the events could not carry and
    /// whose round is known now.
    pub(crate) fn check_late(&self, at: &EventsFinal) -> Result<(), Wrong> {
        let named = at.late.iter().map(|(id, _)| *id);
        if named.eq(self.late(at.campaign, at.block.number)) {
            return Ok(());
        }
        Err("the amounts are not those that the block's events lack")
    }

    fn batch(&self, campaign: crate::ids::CampaignId, batch: u64) -> Result<&Batch, Wrong> {
        let campaign = self.campaign(campaign).ok_or("there is no such campaign")?;
        campaign.batches.get(&batch).ok_or("there is no such batch in flight")
    }
}

/// A batch of nothing fills a number that was given up, so that later numbers can be settled.
fn check_filler(campaign: &Campaign, plan: &BatchPlanned) -> Result<(), Wrong> {
    let later = campaign.batches.range(plan.batch + 1..).any(|(_, batch)| !batch.given_up);
    let fills = campaign.batches.contains_key(&plan.batch) && later;
    if fills && plan.form == BatchForm::Sparse && plan.total.get() == 0 {
        return Ok(());
    }
    Err("only a number given up below others may be settled with nothing")
}

/// Words are ascending by (round, word), and none is empty.
fn check_words(words: &[WordMask]) -> Result<(), Wrong> {
    let ascending = words.windows(2).all(|w| (w[0].round, w[0].word) < (w[1].round, w[1].word));
    if ascending && words.iter().all(|w| w.mask != [0; 4]) {
        return Ok(());
    }
    Err("its words are empty or out of order")
}

fn check_payable(campaign: &Campaign, word: &WordMask, form: &BatchForm) -> Result<(), Wrong> {
    let round = campaign.round(word.round).ok_or("there is no such round")?;
    if !round.is_paying() {
        return Err("the round does not pay");
    }
    let allowed = match round.terms.mode {
        RoundMode::Push => !matches!(form, BatchForm::Gated),
        RoundMode::Pull => matches!(form, BatchForm::Sparse | BatchForm::Redirected { .. }),
        RoundMode::Gated => matches!(form, BatchForm::Gated | BatchForm::Redirected { .. }),
    };
    if !allowed {
        return Err("the round's mode does not allow this call");
    }
    // Written so that no index of an entry can overflow.
    if word.word > round.terms.count / 256 {
        return Err("the index lies outside the round");
    }
    let plannable = campaign.plannable(round, word.word);
    if (0..4).any(|i| word.mask[i] & !plannable[i] != 0) {
        return Err("the batch names an entitlement that is not payable");
    }
    Ok(())
}

/// Whether the call pays exactly the words' entitlements, each to where it belongs.
fn check_form(campaign: &Campaign, plan: &BatchPlanned) -> Result<(), Wrong> {
    if let BatchForm::Redirected { claims } = &plan.form {
        let known = claims.iter().all(|(id, seq)| campaign.redirected.get(id) == Some(seq));
        let distinct = claims.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>().len() == claims.len();
        let items: u64 = plan.words.iter().map(|w| u64::from(w.count())).sum();
        let same = claims.iter().all(|(id, _)| names(&plan.words, *id)) && items == claims.len() as u64;
        return if known && distinct && same {
            Ok(())
        } else {
            Err("its redirected claims are not its words")
        };
    }
    let id = |w: &WordMask, index| EntitlementId { round: w.round, index };
    let redirected = plan.words.iter().any(|w| {
        let mut claims = campaign.redirected.range(id(w, w.word * 256)..=id(w, w.word * 256 + 255));
        claims.any(|(id, _)| w.contains(id.round, id.index))
    });
    if redirected {
        return Err("it pays a redirected claim to the listed address");
    }
    match plan.form {
        BatchForm::Dense { round, start, levels } => check_dense(campaign, plan, round, start, levels),
        _ => Ok(()),
    }
}

/// A dense call pays its whole range: every other entry of it must be paid already.
fn check_dense(
    campaign: &Campaign,
    plan: &BatchPlanned,
    round: u64,
    start: u64,
    levels: u8,
) -> Result<(), Wrong> {
    let round = campaign.round(round).ok_or("there is no such round")?;
    if levels > round.terms.depth || levels > 32 || start >= round.terms.count {
        return Err("its range lies outside the round");
    }
    let size = 4u64 << levels;
    if size > 256 * BATCH_WORDS_MAX as u64 {
        return Err("its range is too large for one call");
    }
    if !start.is_multiple_of(size) {
        return Err("its range is not aligned");
    }
    let end = start.saturating_add(size).min(round.terms.count);
    let mut inside = 0;
    for word in start / 256..end.div_ceil(256) {
        let planned = plan.words.iter().find(|w| (w.round, w.word) == (round.terms.round, word));
        let planned = planned.map_or([0; 4], |w| w.mask);
        let (shard, place) = round.shard(word * 256);
        let paid = shard.paid.word256(place / 256);
        for part in 0..4 {
            let range = range_mask(word * 4 + part as u64, start, end);
            inside += planned[part].count_ones();
            if (planned[part] | paid[part]) & range != range || planned[part] & !range != 0 {
                return Err("a dense call would pay somebody who was not decided");
            }
        }
    }
    let items: u32 = plan.words.iter().map(WordMask::count).sum();
    if items == inside { Ok(()) } else { Err("a dense call pays only its range") }
}

/// Failed transfers belong to the batch, each once.
fn check_members(batch: &Batch, skipped: &[Skipped]) -> Result<(), Wrong> {
    let distinct: BTreeSet<_> = skipped.iter().map(|s| s.entitlement).collect();
    let known = skipped.iter().all(|s| batch.contains(s.entitlement));
    if known && distinct.len() == skipped.len() {
        return Ok(());
    }
    Err("it skips an entitlement that the batch does not name, or one twice")
}

fn names(words: &[WordMask], id: EntitlementId) -> bool {
    words.iter().any(|w| w.contains(id.round, id.index))
}
