//! `apply`: an entry into State. It needs nothing but the entry, compares no times, and refuses what cannot follow
//! from the state before: such an entry is a bug or an edited log, and the node stops.

use crate::amount::{Amount, Total};
use crate::command::is_jurisdiction;
use crate::ids::{CampaignId, EntitlementId, IntakeKey, Seq};
use crate::limits::SHARD;
use crate::log::entry::{
    Body, CharterRead, ClaimDecided, ClaimRefused, Commanded, Due, Entry, Pushed, RoundPublished, Voided,
};
use crate::refusal::Code;

use super::State;
use super::campaign::Campaign;
use super::funds::{Account, Posting};
use super::pages::{BitKind, PageId};
use super::round::{Round, RoundPhase, place_of, shard_of, shards_of};

/// An entry that cannot follow from the state before it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("entry {seq} cannot follow the state at {after}: {why}")]
pub struct ApplyError {
    /// The entry's position.
    pub seq: Seq,
    /// The state's position.
    pub after: Seq,
    /// What is wrong.
    pub why: &'static str,
}

/// What [`State::apply`] rejects with, before positions are added.
pub(crate) type Wrong = &'static str;

impl State {
    /// Applies the next entry and returns the movements of funds it causes.
    ///
    /// # Errors
    /// When the entry is not the next one or contradicts the state. State may then be half changed and must be
    /// thrown away: the caller stops.
    pub fn apply(&mut self, entry: &Entry) -> Result<Vec<Posting>, ApplyError> {
        let after = self.seq;
        let mut postings = Vec::new();
        self.apply_checked(entry, &mut postings).map_err(|why| ApplyError { seq: entry.seq, after, why })?;
        Ok(postings)
    }

    fn apply_checked(&mut self, entry: &Entry, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        if entry.stream != self.stream {
            return Err("it belongs to another stream");
        }
        if entry.seq != self.seq + 1 {
            return Err("it is not the next position");
        }
        if entry.epoch < self.epoch {
            return Err("its epoch is older than the last entry's");
        }
        if entry.recorded_at < self.recorded_at {
            return Err("its time is earlier than the last entry's");
        }
        (self.seq, self.epoch, self.recorded_at) = (entry.seq, entry.epoch, entry.recorded_at);
        if let Some(key) = entry.body.intake() {
            self.answer(key)?;
        }
        if let Some(evidence) = entry.body.command_evidence() {
            self.spend(evidence, entry.body.used().ok_or("the sum overflows")?)?;
        }
        match &entry.body {
            Body::CharterRead(read) => self.charter_read(read),
            Body::EpochBegan(_) => Ok(()),
            Body::CampaignCreated(created) => self.campaign_created(created),
            Body::RoundPublished(published) => self.round_published(published, out),
            Body::ClaimDecided(claim) => self.claim_decided(claim, out),
            Body::ClaimRefused(claim) => self.claim_refused(claim),
            Body::Pushed(pushed) => self.pushed(pushed, out),
            Body::Voided(voided) => self.voided(voided, out),
            Body::CommandRefused(_) => Ok(()),
            Body::Due(due) => self.fell_due(due),
            Body::BatchPlanned(plan) => self.batch_planned(plan),
            Body::AttemptSigned(attempt) => self.attempt_signed(attempt),
            Body::BatchMined(mined) => self.batch_mined(mined),
            Body::BatchUnmined(at) => self.batch_unmined(at),
            Body::BatchFinal(at) => self.batch_final(at, out),
            Body::BatchReplanned(replanned) => self.batch_replanned(replanned),
            Body::EventsMined(mined) => self.events_mined(mined),
            Body::EventsUnmined(at) => self.events_unmined(at),
            Body::EventsFinal(at) => self.events_final(at, out),
            Body::ChainCursor(cursor) => self.chain_cursor(cursor),
            Body::EpochOnChain(epoch) => self.epoch_on_chain(epoch),
            Body::Ordered(ordered) => self.ordered(ordered),
            Body::GateSigned(gate) => self.gate_signed(&gate.signed),
            // Nothing that is decided looks at what was erased.
            Body::Erased(erased) => erased.check(self.seq),
        }
    }

    fn answer(&mut self, key: IntakeKey) -> Result<(), Wrong> {
        self.pages.touch(PageId::Cursor(key.campaign, key.node));
        let cursor = self.cursors.entry((key.campaign, key.node)).or_default();
        cursor.insert(key.n).then_some(()).ok_or("its intake row was answered before")
    }

    fn charter_read(&mut self, read: &CharterRead) -> Result<(), Wrong> {
        let chain = read.charter.chain_id;
        if self.charters.get(&chain).is_some_and(|known| known.charter != read.charter) {
            return Err("another Charter governs this chain");
        }
        self.home.get_or_insert(read.charter);
        self.charters.insert(chain, read.clone());
        self.pages.touch(PageId::Charter(chain));
        Ok(())
    }

    fn campaign_created(&mut self, created: &Commanded<crate::command::CampaignTerms>) -> Result<(), Wrong> {
        let terms = &created.outcome;
        if self.campaigns.values().any(|c| c.terms.distributor == terms.distributor)
            || self.campaigns.contains_key(&terms.campaign)
        {
            return Err("the campaign or its Distributor exists");
        }
        if terms.campaign.is_orders() {
            return Err("this id is a queue's, and no campaign's");
        }
        if !is_jurisdiction(&terms.jurisdiction) {
            return Err(Code::BadJurisdiction.sentence());
        }
        self.campaigns.insert(terms.campaign, Campaign::new(terms.clone(), self.seq));
        self.pages.touch(PageId::Campaign(terms.campaign));
        self.pages.touch(PageId::Offices(terms.campaign));
        Ok(())
    }

    fn round_published(&mut self, published: &RoundPublished, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let (terms, seq) = (&published.terms, self.seq);
        let campaign = self.campaign(terms.campaign).ok_or("there is no such campaign")?;
        if terms.round != campaign.next_round() {
            return Err("it is not the campaign's next round");
        }
        if terms.count == 0 || published.shard_totals.len() as u64 != shards_of(terms.count) {
            return Err("the round's shards do not match its count");
        }
        self.check_published(published).map_err(Code::sentence)?;
        let campaign = self.campaign_mut(terms.campaign)?;
        campaign.rounds.insert(terms.round, Round::new(terms.clone(), published.shard_totals.clone(), seq));
        campaign.version = seq;
        let due = Due::RoundCloses { campaign: terms.campaign, round: terms.round };
        self.schedule(terms.closes_at.saturating_mul(1_000), due);
        self.pages.touch(PageId::Campaign(terms.campaign));
        self.pages.touch(PageId::Round(terms.campaign, terms.round));
        self.published_at = seq;
        self.cover_announced(terms.campaign, terms.round, &published.held)?;
        self.catch_up_round(published, out)
    }

    fn claim_decided(&mut self, claim: &ClaimDecided, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let (campaign, id, seq) = (claim.intake.campaign, claim.entitlement, self.seq);
        self.check_decided(claim)?;
        let (shard, at) = self.round_mut(campaign, id)?.shard_mut(id.index);
        if shard.void.get(at) {
            return Err("the entitlement is void");
        }
        if shard.paid.get(at) {
            return Err("the entitlement is paid");
        }
        shard.take(at, claim.amount);
        if !shard.decided.set(at) {
            return Err("the entitlement was decided before");
        }
        self.touch_taken(campaign, id, BitKind::Decided);
        self.count_decided(campaign, claim.amount.into())?;
        self.reserve(campaign, claim.amount.into(), out)?;
        if claim.redirect.is_some() {
            self.campaign_mut(campaign)?.redirected.insert(id, seq);
            self.pages.touch(PageId::Redirected(campaign, id));
        }
        Ok(())
    }

    fn claim_refused(&mut self, claim: &ClaimRefused) -> Result<(), Wrong> {
        if claim.code != Code::InsufficientFunds {
            return Ok(());
        }
        // Opening required the whole balance, so the token took money back: nothing more is decided until somebody
        // has looked.
        self.campaign_mut(claim.intake.campaign)?.paused = Some(claim.code);
        self.pages.touch(PageId::Campaign(claim.intake.campaign));
        Ok(())
    }

    fn pushed(&mut self, pushed: &Pushed, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let crate::command::Action::Push { campaign, round, from, to } = pushed.command.command.action else {
            return Err("the command is not a push");
        };
        let seq = self.seq;
        if self.campaign_mut(campaign)?.stopped().is_some() {
            return Err("the campaign is paused");
        }
        let target = self.round_mut(campaign, EntitlementId { round, index: 0 })?;
        if from >= to || to > target.terms.count {
            return Err("the range lies outside the round");
        }
        target.version = seq;
        let mut total = Total::ZERO;
        let mut named = pushed.decided.iter().peekable();
        let mut touched = Vec::new();
        for number in from / SHARD..to.div_ceil(SHARD) {
            let first = number * SHARD;
            let shard = target.shards.get_mut(shard_of(first)).ok_or("the shard lies outside the round")?;
            let newly = decide_range(shard, from.max(first) - first, to.min(first + SHARD) - first);
            let entry = named.next_if(|(at, ..)| u64::from(*at) == number);
            if newly != entry.map_or(0, |(_, count, _)| u64::from(*count)) {
                return Err("the shard's count of newly decided entitlements differs");
            }
            let Some((at, count, sum)) = entry else { continue };
            shard.taken += *count;
            shard.taken_total =
                shard.taken_total.checked_add_total(*sum).ok_or("the shard's sum overflows")?;
            total = total.checked_add_total(*sum).ok_or("the sum overflows")?;
            touched.push(*at);
        }
        if named.next().is_some() {
            return Err("it names a shard outside its range, or out of order");
        }
        for shard in touched {
            self.pages.touch_shard(campaign, round, shard, BitKind::Decided);
        }
        self.pages.touch(PageId::Round(campaign, round));
        self.count_decided(campaign, total)?;
        self.reserve(campaign, total, out)
    }

    /// Adds to what the campaign decided in all.
    fn count_decided(&mut self, campaign: CampaignId, amount: Total) -> Result<(), Wrong> {
        if !self.campaign_mut(campaign)?.decided.leaves_room(amount) {
            return Err("the campaign's limit is reached");
        }
        self.count_again(campaign, amount)
    }

    /// Adds what was annulled and paid all the same: it was decided within the limit, and left it only by its void.
    pub(super) fn count_again(&mut self, campaign: CampaignId, amount: Total) -> Result<(), Wrong> {
        let decided = &mut self.campaign_mut(campaign)?.decided;
        decided.total = decided.total.checked_add_total(amount).ok_or("the sum overflows")?;
        self.pages.touch(PageId::Offices(campaign));
        Ok(())
    }

    fn voided(&mut self, voided: &Voided, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let crate::command::Action::Void { campaign, round, .. } = voided.command.command.action else {
            return Err("the command is not a void");
        };
        self.round_mut(campaign, EntitlementId { round, index: 0 })?.version = self.seq;
        self.pages.touch(PageId::Round(campaign, round));
        for (index, amount) in &voided.items {
            self.void_one(campaign, EntitlementId { round, index: *index }, *amount, out)?;
        }
        self.give_up_unsigned(campaign, round, &voided.items)
    }

    /// Annuls one entitlement, unless it is void already.
    pub(super) fn void_one(
        &mut self,
        campaign: CampaignId,
        id: EntitlementId,
        amount: Amount,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        let from = self.mark_void(campaign, id, amount)?;
        if from == Some(Account::Reserved) {
            // What was decided and annulled leaves room under the campaign's limit again.
            let decided = &mut self.campaign_mut(campaign)?.decided;
            decided.total = decided.total.checked_sub(amount.into()).ok_or("the sum underflows")?;
            self.pages.touch(PageId::Offices(campaign));
        }
        match from {
            Some(from) => self.set_aside_void(campaign, from, amount.into(), out),
            None => Ok(()),
        }
    }

    /// Puts the money of what was annulled aside, as far as it is there.
    pub(super) fn set_aside_void(
        &mut self,
        campaign: CampaignId,
        from: Account,
        amount: Total,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        let funds = &mut self.campaign_mut(campaign)?.funds;
        let there = funds.there(from).min(amount);
        funds.transfer(campaign, from, Account::Voided, there, out);
        self.pages.touch(PageId::Campaign(campaign));
        Ok(())
    }

    /// Sets the void bit; returns the account the money stood in, or `None` if it was void already.
    pub(super) fn mark_void(
        &mut self,
        campaign: CampaignId,
        id: EntitlementId,
        amount: Amount,
    ) -> Result<Option<Account>, Wrong> {
        let (shard, at) = self.round_mut(campaign, id)?.shard_mut(id.index);
        if shard.paid.get(at) {
            return Err("the entitlement is paid");
        }
        shard.take(at, amount);
        if !shard.void.set(at) {
            return Ok(None);
        }
        let from = if shard.decided.get(at) { Account::Reserved } else { Account::Free };
        self.touch_taken(campaign, id, BitKind::Void);
        Ok(Some(from))
    }

    fn fell_due(&mut self, due: &Due) -> Result<(), Wrong> {
        let at = self.due.remove(due).ok_or("nothing of the kind was due")?;
        self.pages.touch(PageId::Due(at, due.clone()));
        match due {
            Due::RoundCloses { campaign, round } => {
                let target = self.round_mut(*campaign, EntitlementId { round: *round, index: 0 })?;
                if target.phase == RoundPhase::Open {
                    target.phase = RoundPhase::Closed;
                }
                self.pages.touch(PageId::Round(*campaign, *round));
                Ok(())
            }
            Due::SkipRetry { campaign, entitlement } => {
                let round = self.round_mut(*campaign, *entitlement)?;
                if let Some(skip) = round.skips.get_mut(&entitlement.index) {
                    skip.retry = false;
                }
                self.pages.touch(PageId::Skip(*campaign, *entitlement));
                self.release_busy(*campaign, *entitlement)
            }
            Due::HoldEnds { hold } => self.hold_ended(*hold),
            Due::RulesStart { rules } => self.rules_started(*rules),
            Due::AppealLapses { appeal } => self.appeal_ended(*appeal),
            Due::PauseEnds { campaign } => self.pause_ended(*campaign),
            Due::ChainHoldEnds { campaign } => self.chain_hold_ended(*campaign),
        }
    }

    /// Takes back what was to fall due, if it still was.
    pub(super) fn unschedule(&mut self, due: &Due) {
        if let Some(before) = self.due.remove(due) {
            self.pages.touch(PageId::Due(before, due.clone()));
        }
    }

    /// Sets when an item falls due, in place of any earlier time.
    pub(super) fn schedule(&mut self, at: u64, due: Due) {
        self.pages.touch(PageId::Due(at, due.clone()));
        if let Some(before) = self.due.set(at, due.clone()) {
            self.pages.touch(PageId::Due(before, due));
        }
    }

    fn reserve(&mut self, campaign: CampaignId, amount: Total, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        self.pages.touch(PageId::Campaign(campaign));
        let enough = self.campaign_mut(campaign)?.funds.reserve(campaign, amount, out);
        enough.then_some(()).ok_or("more is decided than there is")
    }

    /// Books what the chain paid: out of the account in which the money stood.
    pub(super) fn book_paid(
        &mut self,
        campaign: CampaignId,
        from: Account,
        amount: Total,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        let order = [from, Account::Free, Account::Voided, Account::Reserved];
        self.campaign_mut(campaign)?.funds.take(campaign, &order, Account::Paid, amount, out);
        self.pages.touch(PageId::Campaign(campaign));
        Ok(())
    }

    pub(super) fn campaign_mut(&mut self, campaign: CampaignId) -> Result<&mut Campaign, Wrong> {
        self.campaigns.get_mut(&campaign).ok_or("there is no such campaign")
    }

    /// The round of an entitlement that lies inside it.
    pub(super) fn round_mut(&mut self, campaign: CampaignId, id: EntitlementId) -> Result<&mut Round, Wrong> {
        let round = self.campaign_mut(campaign)?.rounds.get_mut(&id.round).ok_or("there is no such round")?;
        if id.index >= round.terms.count {
            return Err("the index lies outside the round");
        }
        Ok(round)
    }

    pub(super) fn touch_taken(&mut self, campaign: CampaignId, id: EntitlementId, kind: BitKind) {
        self.pages.touch_bit(campaign, id, kind);
        let shard = u32::try_from(shard_of(id.index)).expect("shards are counted in u32");
        self.pages.touch(PageId::Shard(campaign, id.round, shard));
    }
}

/// Sets the decided bits from `low` to `high` that are neither decided nor void; returns how many.
fn decide_range(shard: &mut super::round::Shard, low: u64, high: u64) -> u64 {
    let mut newly = 0;
    for word in place_of(low) / 64..place_of(high - 1) / 64 + 1 {
        let mask = range_mask(word as u64, low, high) & !shard.void.word(word) & !shard.decided.word(word);
        newly += u64::from(mask.count_ones());
        if mask != 0 {
            shard.decided.words_mut()[word] |= mask;
        }
    }
    newly
}

/// The bits of `u64` word `word` that lie in `low..high`.
pub(crate) fn range_mask(word: u64, low: u64, high: u64) -> u64 {
    let (first, last) = (low.max(word * 64), high.min(word * 64 + 64));
    if first >= last {
        return 0;
    }
    let width = last - first;
    let ones = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    ones << (first - word * 64)
}
