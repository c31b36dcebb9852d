//! `apply`, the part of a campaign's other events: deposits, rounds published and opened, payments and voids by other
//! hands. A block's events are recorded when they are mined and take effect when they are final.

use crate::amount::{Amount, Total};
use crate::command::RoundTerms;
use crate::ids::{CampaignId, EntitlementId, RoundNo};
use crate::log::entry::{ChainEvent, Due, EventsAt, EventsMined};
use crate::refusal::Code;

use super::State;
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

    /// Keeps what another hand paid out of batches, until that payment is final or taken back.
    fn keep_paid(&mut self, campaign: CampaignId, events: &[ChainEvent]) {
        for event in events {
            let ChainEvent::Paid { entitlement, .. } = event else { continue };
            // A payment of a round that the log does not know keeps nothing busy here.
            let Ok(round) = self.round_mut(campaign, *entitlement) else { continue };
            let (shard, at) = round.shard_mut(entitlement.index);
            shard.busy.set(at);
            self.pages.touch_bit(campaign, *entitlement, BitKind::Busy);
        }
    }

    fn take_events(&mut self, at: &EventsAt) -> Result<Vec<ChainEvent>, Wrong> {
        self.pages.touch(PageId::Unfinal(at.campaign, at.block.number));
        match self.campaign_mut(at.campaign)?.unfinal.remove(&at.block.number) {
            Some(block) if block.block == at.block => Ok(block.events),
            _ => Err("no events of this block are recorded"),
        }
    }

    pub(super) fn events_unmined(&mut self, at: &EventsAt) -> Result<(), Wrong> {
        for event in self.take_events(at)? {
            if let ChainEvent::Paid { entitlement, .. } = event
                && self.knows(at.campaign, entitlement)
            {
                self.release_busy(at.campaign, entitlement)?;
            }
        }
        Ok(())
    }

    pub(super) fn events_final(&mut self, at: &EventsAt, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let id = at.campaign;
        let campaign = self.campaign_mut(id)?;
        if campaign.unfinal.keys().next() != Some(&at.block.number) {
            return Err("an earlier block is not final");
        }
        campaign.final_block = at.block.number;
        self.pages.touch(PageId::Campaign(id));
        for event in self.take_events(at)? {
            self.event_final(id, &event, out)?;
            self.remember_ahead(id, event)?;
        }
        Ok(())
    }

    /// What a final event moves and marks. Of a round that the log does not know, only the money moves.
    fn event_final(
        &mut self,
        id: CampaignId,
        event: &ChainEvent,
        out: &mut Vec<Posting>,
    ) -> Result<(), Wrong> {
        match event {
            ChainEvent::Funded { amount } => self.funded(id, *amount, out),
            ChainEvent::Paid { entitlement, amount, .. } => {
                let from = match self.knows(id, *entitlement) {
                    true => self.mark_paid(id, *entitlement, *amount)?,
                    false => Account::Free,
                };
                self.move_funds(id, from, Account::Paid, (*amount).into(), out)
            }
            ChainEvent::Voided { items } => {
                for (entitlement, amount) in items {
                    match self.knows(id, *entitlement) {
                        true => self.void_one(id, *entitlement, *amount, out)?,
                        false => {
                            self.move_funds(id, Account::Free, Account::Voided, (*amount).into(), out)?
                        }
                    }
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
            // Whoever asks whether a gate may sign now asks the chain.
            ChainEvent::GateDisabled { .. } => Ok(()),
            ChainEvent::Published { .. }
            | ChainEvent::Opened { .. }
            | ChainEvent::Cancelled { .. }
            | ChainEvent::ClosingExtended { .. } => {
                self.turn_by(id, event);
                Ok(())
            }
        }
    }

    /// Whether the entitlement lies in a round that the log knows.
    fn knows(&self, campaign: CampaignId, id: EntitlementId) -> bool {
        self.campaign(campaign).is_some_and(|c| c.round_of(id).is_some())
    }

    /// Keeps a final event of a round that the log has not announced. The chain may well be first: publication there
    /// and the command here are two transactions of the same people.
    fn remember_ahead(&mut self, campaign: CampaignId, event: ChainEvent) -> Result<(), Wrong> {
        let mut rounds: Vec<RoundNo> = match &event {
            ChainEvent::Published { terms } => vec![terms.round],
            ChainEvent::Opened { round }
            | ChainEvent::Cancelled { round }
            | ChainEvent::ClosingExtended { round, .. }
            | ChainEvent::Swept { round, .. } => vec![*round],
            ChainEvent::Paid { entitlement, .. } => vec![entitlement.round],
            ChainEvent::Voided { items } => items.iter().map(|(id, _)| id.round).collect(),
            // Money and keys belong to no round; a hold on chain binds whatever the log knows of the round.
            ChainEvent::Funded { .. }
            | ChainEvent::Withdrawn { .. }
            | ChainEvent::HoldSet { .. }
            | ChainEvent::HoldCleared { .. }
            | ChainEvent::PausedUntil { .. }
            | ChainEvent::GateInstalled { .. }
            | ChainEvent::GateDisabled { .. } => Vec::new(),
        };
        rounds.dedup();
        for round in rounds.into_iter().filter(|r| !self.has_round(campaign, *r)).collect::<Vec<_>>() {
            self.campaign_mut(campaign)?.ahead.entry(round).or_default().push(event.clone());
            self.pages.touch(PageId::Ahead(campaign, round));
        }
        Ok(())
    }

    /// Tells a round just announced what the chain said of it before. The money moved when the events became final.
    pub(super) fn catch_up_round(&mut self, campaign: CampaignId, round: RoundNo) -> Result<(), Wrong> {
        let events = self.campaign_mut(campaign)?.ahead.remove(&round).unwrap_or_default();
        self.pages.touch(PageId::Ahead(campaign, round));
        for event in &events {
            match event {
                ChainEvent::Paid { entitlement, amount, .. } if self.knows(campaign, *entitlement) => {
                    self.mark_paid(campaign, *entitlement, *amount)?;
                }
                ChainEvent::Voided { items } => {
                    let here = items.iter().filter(|(id, _)| id.round == round);
                    for (id, amount) in here.filter(|(id, _)| self.knows(campaign, *id)).collect::<Vec<_>>() {
                        self.mark_void(campaign, *id, *amount)?;
                    }
                }
                ChainEvent::Swept { round, .. } => self.turn(campaign, *round, &Turn::Swept),
                other => self.turn_by(campaign, other),
            }
        }
        let unfinal = self.campaign_mut(campaign)?.unfinal.values();
        let events: Vec<_> = unfinal.flat_map(|block| block.events.iter().cloned()).collect();
        self.keep_paid(campaign, &events);
        Ok(())
    }

    fn funded(&mut self, id: CampaignId, amount: Total, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let campaign = self.campaign_mut(id)?;
        // New money is somebody's answer to missing money; a claim that still finds too little pauses it again.
        if campaign.paused == Some(Code::InsufficientFunds) {
            campaign.paused = None;
        }
        self.move_funds(id, Account::Funded, Account::Free, amount, out)
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
        let closes = self.due.iter().any(|(_, item)| *item == due);
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
        let round = self.round_mut(campaign, id)?;
        round.skips.remove(&id.index);
        let (shard, at) = round.shard_mut(id.index);
        if !shard.paid.set(at) {
            return Err("the entitlement is paid already");
        }
        shard.take(at, amount);
        let from = match (shard.void.clear(at), shard.decided.set(at)) {
            (true, _) => Account::Voided,
            (false, true) => Account::Free,
            (false, false) => Account::Reserved,
        };
        shard.busy.set(at);
        for kind in [BitKind::Paid, BitKind::Void, BitKind::Busy] {
            self.pages.touch_bit(campaign, id, kind);
        }
        self.touch_taken(campaign, id, BitKind::Decided);
        self.pages.touch(PageId::Skip(campaign, id));
        self.forget_redirect(campaign, id)?;
        Ok(from)
    }

    /// What left the Distributor is taken from what nobody is owed, then from what was annulled, then from what was
    /// decided and could not be paid while the round's time lasted. More than that vanished by another way.
    fn gone(&mut self, campaign: CampaignId, amount: Total, out: &mut Vec<Posting>) -> Result<(), Wrong> {
        let mut left = amount;
        for account in [Account::Free, Account::Voided, Account::Reserved] {
            let balance = self.campaign_mut(campaign)?.funds.balance(account);
            let there = Total(u128::try_from(balance).unwrap_or(0)).min(left);
            left = left.checked_sub(there).ok_or("the sum underflows")?;
            self.move_funds(campaign, account, Account::Swept, there, out)?;
        }
        self.move_funds(campaign, Account::Free, Account::Swept, left, out)
    }

    fn has_round(&self, campaign: CampaignId, round: RoundNo) -> bool {
        self.campaign(campaign).is_some_and(|c| c.round(round).is_some())
    }
}
