//! `apply`, the part of a campaign's other events: deposits, rounds published and opened, payments and voids by other
//! hands. A block's events are recorded when they are mined and take effect when they are final.

use crate::amount::{Amount, Total};
use crate::command::RoundTerms;
use crate::ids::{BlockRef, CampaignId, EntitlementId, RoundNo};
use crate::limits::SHARD;
use crate::log::entry::{ChainEvent, Due, EventsAt, EventsFinal, EventsMined, RoundPublished};
use crate::refusal::Code;

use super::State;
use super::ahead::Ahead;
use super::apply::Wrong;
use super::campaign::UnfinalBlock;
use super::funds::{Account, Posting};
use super::pages::{BitKind, PageId};
use super::round::RoundPhase;

/// What a final event does to a round's phase.
enum Turn<'a> {
    Published(&'a RoundTerms),
    Opened,
    Cancelled,
    ClosesAt(u64),
    Swept,
}

impl State {
    pub(super) fn events_mined(&mut self, mined: &EventsMined) -> Result<(), Wrong> {
        let (id, number) = (mined.campaign, mined.block.number);
        self.check_amounts(mined)?;
        let block = UnfinalBlock { block: mined.block, events: mined.events.clone() };
        let campaign = self.campaign_mut(id)?;
        if number <= campaign.final_block {
            return Err("events of this height are final already");
        }
        if campaign.unfinal.insert(number, block).is_some() {
            return Err("events of this height are recorded already");
        }
        self.pages.touch(PageId::Unfinal(id, number));
        self.keep_paid(id, &mined.events);
        Ok(())
    }

    /// An amount can be known only of a round that the log knows.
    fn check_amounts(&mut self, mined: &EventsMined) -> Result<(), Wrong> {
        let campaign = self.campaign_mut(mined.campaign)?;
        let known = |id: &EntitlementId| campaign.round(id.round).is_some();
        let all = mined.events.iter().all(|event| match event {
            ChainEvent::Paid { entitlement, .. } => known(entitlement),
            ChainEvent::Voided { items } => items.iter().all(|(id, _)| known(id)),
            _ => true,
        });
        all.then_some(()).ok_or("an amount is given of a round that the log does not know")
    }

    /// Keeps what another hand paid out of batches, until that payment is final or taken back.
    fn keep_paid(&mut self, campaign: CampaignId, events: &[ChainEvent]) {
        for (entitlement, _) in events.iter().filter_map(ChainEvent::payment) {
            // A payment of a round that the log does not know keeps nothing busy here.
            let Ok(round) = self.round_mut(campaign, entitlement) else { continue };
            let (shard, at) = round.shard_mut(entitlement.index);
            shard.busy.set(at);
            self.pages.touch_bit(campaign, entitlement, BitKind::Busy);
        }
    }

    fn take_events(&mut self, campaign: CampaignId, at: BlockRef) -> Result<Vec<ChainEvent>, Wrong> {
        self.pages.touch(PageId::Unfinal(campaign, at.number));
        match self.campaign_mut(campaign)?.unfinal.remove(&at.number) {
            Some(block) if block.block == at => Ok(block.events),
            _ => Err("no events of this block are recorded"),
        }
    }

    pub(super) fn events_unmined(&mut self, at: &EventsAt) -> Result<(), Wrong> {
        for event in self.take_events(at.campaign, at.block)? {
            if let Some((entitlement, _)) = event.payment()
                && self.knows(at.campaign, entitlement)
            {
                self.release_busy(at.campaign, entitlement)?;
            }
        }
        Ok(())
    }

    pub(super) fn events_final(&mut self, at: &EventsFinal, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let id = at.campaign;
        self.check_late(at)?;
        let campaign = self.campaign_mut(id)?;
        if campaign.unfinal.keys().next() != Some(&at.block.number) {
            return Err("an earlier block is not final");
        }
        campaign.final_block = at.block.number;
        self.pages.touch(PageId::Campaign(id));
        let mut late = at.late.iter();
        for event in self.take_events(id, at.block)? {
            for entitlement in event.without_amount() {
                let amount = match self.knows(id, entitlement) {
                    true => late.next().map(|(_, amount)| *amount),
                    false => None,
                };
                self.unannounced_final(id, &event, entitlement, amount, out)?;
            }
            self.event_final(id, &event, out)?;
            self.remember_turn(id, event)?;
        }
        Ok(())
    }

    /// A payment or a void that was read without its amount: booked if the round was announced meanwhile, else kept for
    /// the announcement.
    fn unannounced_final(
        &mut self,
        campaign: CampaignId,
        event: &ChainEvent,
        id: EntitlementId,
        amount: Option<Amount>,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        let is_payment = event.payment().is_some();
        if let Some(amount) = amount {
            return match is_payment {
                true => self.pay_final(campaign, id, amount, out),
                false => self.void_final(campaign, id, amount, out),
            };
        }
        if self.has_round(campaign, id.round) {
            // An index outside the round: the round on chain is not the one announced, and no amount can be said.
            return Ok(());
        }
        let ahead = self.campaign_mut(campaign)?.ahead.entry(id.round).or_default();
        let new = if is_payment { ahead.paid.add(id) } else { ahead.void.add(id) };
        self.pages.touch(PageId::Ahead(campaign, id.round));
        new.then_some(()).ok_or("the chain paid or annulled it before")
    }

    /// What a final event moves and marks.
    fn event_final(
        &mut self,
        id: CampaignId,
        event: &ChainEvent,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        match event {
            ChainEvent::Funded { amount } => self.funded(id, *amount, out),
            ChainEvent::Paid { entitlement, amount, .. } => self.pay_final(id, *entitlement, *amount, out),
            ChainEvent::Voided { items } => {
                for (entitlement, amount) in items {
                    self.void_final(id, *entitlement, *amount, out)?;
                }
                Ok(())
            }
            ChainEvent::Swept { round, amount } => {
                self.turn(id, *round, &Turn::Swept);
                self.gone(id, *amount, out)
            }
            ChainEvent::Withdrawn { amount } => self.gone(id, *amount, out),
            ChainEvent::HoldSet { mask, .. } => self.held_on_chain(id, mask, true),
            ChainEvent::HoldCleared { mask } => self.held_on_chain(id, mask, false),
            ChainEvent::PausedUntil { until } => {
                self.campaign_mut(id)?.paused_on_chain = *until;
                self.pages.touch(PageId::Offices(id));
                Ok(())
            }
            ChainEvent::GateInstalled { version, signer } => {
                self.campaign_mut(id)?.gate_keys.insert(*version, signer.clone());
                self.pages.touch(PageId::Offices(id));
                Ok(())
            }
            ChainEvent::GateDisabled { version, until } => {
                self.campaign_mut(id)?.gates_off.insert(*version, *until);
                self.pages.touch(PageId::Offices(id));
                Ok(())
            }
            ChainEvent::CampaignHeldUntil { until } => self.campaign_held_on_chain(id, *until),
            // It holds what it held.
            ChainEvent::HoldConfirmed { .. } => Ok(()),
            ChainEvent::Published { .. }
            | ChainEvent::Opened { .. }
            | ChainEvent::Cancelled { .. }
            | ChainEvent::ClosingExtended { .. } => {
                self.turn_by(id, event);
                Ok(())
            }
            ChainEvent::PaidUnannounced { .. } | ChainEvent::VoidedUnannounced { .. } => Ok(()),
        }
    }

    /// A payment by another hand is final. Outside the round that the log knows, only the money moves.
    fn pay_final(
        &mut self,
        campaign: CampaignId,
        id: EntitlementId,
        amount: Amount,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        let from = match self.knows(campaign, id) {
            true => self.mark_paid(campaign, id, amount)?,
            false => Account::Free,
        };
        self.book_paid(campaign, from, amount.into(), out)
    }

    /// A void on chain is final: from now on its money may pay a correction.
    fn void_final(
        &mut self,
        campaign: CampaignId,
        id: EntitlementId,
        amount: Amount,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        match self.knows(campaign, id) {
            true => {
                self.void_one(campaign, id, amount, out)?;
                let (shard, at) = self.round_mut(campaign, id)?.shard_mut(id.index);
                shard.annulled.set(at);
                self.pages.touch_bit(campaign, id, BitKind::Annulled);
            }
            false => self.set_aside_void(campaign, Account::Free, amount.into(), out)?,
        }
        self.annul(campaign, amount.into())
    }

    fn annul(&mut self, campaign: CampaignId, amount: Total) -> Result<(), Wrong> {
        self.campaign_mut(campaign)?.funds.annul(amount);
        self.pages.touch(PageId::Campaign(campaign));
        Ok(())
    }

    /// Whether the entitlement lies in a round that the log knows.
    fn knows(&self, campaign: CampaignId, id: EntitlementId) -> bool {
        self.campaign(campaign).is_some_and(|c| c.round_of(id).is_some())
    }

    /// Keeps what moves the phase of a round that the log has not announced.
    fn remember_turn(&mut self, campaign: CampaignId, event: ChainEvent) -> Result<(), Wrong> {
        let round = match &event {
            ChainEvent::Published { terms } => terms.round,
            ChainEvent::Opened { round }
            | ChainEvent::Cancelled { round }
            | ChainEvent::ClosingExtended { round, .. }
            | ChainEvent::Swept { round, .. } => *round,
            _ => return Ok(()),
        };
        if !self.has_round(campaign, round) {
            self.campaign_mut(campaign)?.ahead.entry(round).or_default().turns.push(event);
            self.pages.touch(PageId::Ahead(campaign, round));
        }
        Ok(())
    }

    /// Tells a round just announced what the chain said of it before.
    pub(super) fn catch_up_round(
        &mut self,
        published: &RoundPublished,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        let (campaign, round) = (published.terms.campaign, published.terms.round);
        let ahead = self.campaign_mut(campaign)?.ahead.remove(&round).unwrap_or_default();
        self.pages.touch(PageId::Ahead(campaign, round));
        self.book_ahead(published, &ahead, out)?;
        for event in &ahead.turns {
            match event {
                // Its money left when the sweep became final.
                ChainEvent::Swept { round, .. } => self.turn(campaign, *round, &Turn::Swept),
                other => self.turn_by(campaign, other),
            }
        }
        let unfinal = self.campaign_mut(campaign)?.unfinal.values();
        let events: Vec<_> = unfinal.flat_map(|block| block.events.iter().cloned()).collect();
        self.keep_paid(campaign, &events);
        Ok(())
    }

    /// Books what the chain paid and annulled before: the bits from State, their sums from the entry.
    fn book_ahead(
        &mut self,
        published: &RoundPublished,
        ahead: &Ahead,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        let (id, number, count) = (published.terms.campaign, published.terms.round, published.terms.count);
        let named = published.ahead.iter().map(|s| (s.shard, (s.paid, s.void)));
        if !named.eq(ahead.counts(count)) {
            return Err("the shards' counts of what the chain did before differ");
        }
        let at = |index| EntitlementId { round: number, index };
        for index in ahead.paid.below(count) {
            let (shard, place) = self.round_mut(id, at(index))?.shard_mut(index);
            shard.paid.set(place);
            shard.decided.set(place);
            shard.busy.set(place);
            for kind in [BitKind::Paid, BitKind::Decided, BitKind::Busy] {
                self.pages.touch_bit(id, at(index), kind);
            }
        }
        for index in ahead.void.below(count) {
            let (shard, place) = self.round_mut(id, at(index))?.shard_mut(index);
            if shard.paid.get(place) || !shard.void.set(place) {
                return Err("the entitlement is both paid and annulled");
            }
            shard.annulled.set(place);
            for kind in [BitKind::Void, BitKind::Annulled] {
                self.pages.touch_bit(id, at(index), kind);
            }
        }
        let overflows = "the shard's sum overflows";
        for share in &published.ahead {
            let both = share.paid_total.checked_add_total(share.void_total).ok_or(overflows)?;
            let shard = self.round_mut(id, at(u64::from(share.shard) * SHARD))?;
            let shard =
                shard.shards.get_mut(share.shard as usize).ok_or("the shard lies outside the round")?;
            shard.taken += share.paid + share.void;
            shard.taken_total = shard.taken_total.checked_add_total(both).ok_or(overflows)?;
            self.pages.touch(PageId::Shard(id, number, share.shard));
            self.book_paid(id, Account::Free, share.paid_total, out)?;
        }
        for share in &published.ahead {
            self.set_aside_void(id, Account::Free, share.void_total, out)?;
            self.annul(id, share.void_total)?;
        }
        Ok(())
    }

    fn funded(&mut self, id: CampaignId, amount: Total, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let campaign = self.campaign_mut(id)?;
        // New money is somebody's answer to missing money; a claim that still finds too little pauses it again.
        if campaign.paused == Some(Code::InsufficientFunds) {
            campaign.paused = None;
        }
        campaign.funds.transfer(id, Account::Funded, Account::Free, amount, out);
        self.pages.touch(PageId::Campaign(id));
        Ok(())
    }

    fn turn_by(&mut self, campaign: CampaignId, event: &ChainEvent) {
        match event {
            ChainEvent::Published { terms } => self.turn(campaign, terms.round, &Turn::Published(terms)),
            ChainEvent::Opened { round } => self.turn(campaign, *round, &Turn::Opened),
            ChainEvent::Cancelled { round } => self.turn(campaign, *round, &Turn::Cancelled),
            ChainEvent::ClosingExtended { round, closes_at } => {
                self.turn(campaign, *round, &Turn::ClosesAt(*closes_at));
            }
            _ => {}
        }
    }

    /// Moves a round's phase. A round opens only if it was published with the terms the log announced: whatever
    /// happens on chain to one that was not, pays nothing through us.
    fn turn(&mut self, campaign: CampaignId, number: RoundNo, turn: &Turn<'_>) {
        let due = Due::RoundCloses { campaign, round: number };
        let closes = self.due.time_of(&due).is_some();
        let seq = self.seq;
        let Some(round) = self.campaigns.get_mut(&campaign).and_then(|c| c.rounds.get_mut(&number)) else {
            return;
        };
        match (turn, round.phase) {
            (_, RoundPhase::Cancelled) => return,
            (Turn::Published(terms), RoundPhase::Announced) => {
                let same = **terms == round.terms;
                round.phase = if same { RoundPhase::Published } else { RoundPhase::Cancelled };
            }
            // Its closing may have fallen due before the opening was final.
            (Turn::Opened, RoundPhase::Published) => {
                round.phase = if closes { RoundPhase::Open } else { RoundPhase::Closed };
            }
            (Turn::Cancelled, RoundPhase::Announced | RoundPhase::Published) => {
                round.phase = RoundPhase::Cancelled;
            }
            (Turn::ClosesAt(at), phase) => {
                round.closes_at = *at;
                round.phase = if phase == RoundPhase::Closed { RoundPhase::Open } else { phase };
            }
            (Turn::Swept, _) => round.swept = true,
            _ => return,
        }
        round.version = seq;
        self.pages.touch(PageId::Round(campaign, number));
        if let Turn::ClosesAt(at) = turn {
            self.schedule(at.saturating_mul(1_000), due);
        }
    }

    /// Marks an entitlement as finally paid by another hand; returns the account its money stood in.
    fn mark_paid(
        &mut self,
        campaign: CampaignId,
        id: EntitlementId,
        amount: Amount,
    ) -> Result<Account, Wrong> {
        self.forget_skip(campaign, id)?;
        let round = self.round_mut(campaign, id)?;
        let (shard, at) = round.shard_mut(id.index);
        if !shard.paid.set(at) {
            return Err("the entitlement is paid already");
        }
        shard.take(at, amount);
        let (void, undecided) = (shard.void.clear(at), shard.decided.set(at));
        let from = match (void, undecided) {
            (true, _) => Account::Voided,
            (false, true) => Account::Free,
            (false, false) => Account::Reserved,
        };
        shard.busy.set(at);
        if void && !undecided {
            self.count_again(campaign, amount.into())?;
        }
        for kind in [BitKind::Paid, BitKind::Void, BitKind::Busy] {
            self.pages.touch_bit(campaign, id, kind);
        }
        self.touch_taken(campaign, id, BitKind::Decided);
        self.forget_redirect(campaign, id)?;
        Ok(from)
    }

    fn gone(&mut self, campaign: CampaignId, amount: Total, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        self.campaign_mut(campaign)?.funds.gone(campaign, amount, out);
        self.pages.touch(PageId::Campaign(campaign));
        Ok(())
    }

    fn has_round(&self, campaign: CampaignId, round: RoundNo) -> bool {
        self.campaign(campaign).is_some_and(|c| c.round(round).is_some())
    }
}
