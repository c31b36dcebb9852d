//! A block's events as the log's entries: a batch of ours becomes `BatchMined`, everything else of the block stands in
//! one `EventsMined`. Amounts come from the snapshot, because the chain's events carry none.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use sluice_chain::events::{BlockEvents, CampaignEvent, Event};
use sluice_core::ids::{BatchNo, BlockRef, CampaignId, EntitlementId};
use sluice_core::log::entry::{BatchMined, Body, ChainEvent, EventsMined, Skipped, WordMask};
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;

use crate::error::EngineError;
use crate::settlement::total;
use crate::snapshots::Snapshots;

/// What one transaction's settlement said.
#[derive(Debug, Default)]
struct Settlement {
    batch: Option<BatchNo>,
    paid: Vec<WordMask>,
    redirected: Vec<(EntitlementId, Address)>,
    skipped: Vec<Skipped>,
}

/// The entries of one block for one campaign.
///
/// # Errors
/// When the snapshot of a round that was paid cannot be used.
pub(super) fn block(
    state: &State,
    snapshots: &Snapshots,
    id: CampaignId,
    block: &BlockEvents,
) -> Result<Vec<Body>, EngineError> {
    let Some(campaign) = state.campaign(id) else { return Ok(Vec::new()) };
    let translator = Translator { state, snapshots, campaign, id, block: block.block };
    let mut settlements: BTreeMap<B256, Settlement> = BTreeMap::new();
    let mut events = Vec::new();
    for located in &block.events {
        let Event::Campaign { campaign, event } = &located.event else { continue };
        if *campaign == id {
            translator.sort(event, located.tx_hash, &mut settlements, &mut events)?;
        }
    }
    let mut bodies = Vec::new();
    for (tx_hash, settlement) in settlements {
        match translator.batch(&settlement, tx_hash)? {
            Some(mined) => bodies.push(Body::BatchMined(mined)),
            None => translator.elsewhere(settlement, tx_hash, &mut events)?,
        }
    }
    if !events.is_empty() {
        bodies.push(Body::EventsMined(EventsMined { campaign: id, block: block.block, events }));
    }
    Ok(bodies)
}

struct Translator<'a> {
    state: &'a State,
    snapshots: &'a Snapshots,
    campaign: &'a Campaign,
    id: CampaignId,
    block: BlockRef,
}

impl Translator<'_> {
    /// Puts an event where it belongs: to its transaction's settlement, or among the block's other events.
    fn sort(
        &self,
        event: &CampaignEvent,
        tx_hash: B256,
        settlements: &mut BTreeMap<B256, Settlement>,
        events: &mut Vec<ChainEvent>,
    ) -> Result<(), EngineError> {
        match event {
            CampaignEvent::BatchSettled { batch, .. } => {
                settlements.entry(tx_hash).or_default().batch = Some(*batch)
            }
            CampaignEvent::Settled(word) => settlements.entry(tx_hash).or_default().paid.push(*word),
            CampaignEvent::Redirected { entitlement, to } => {
                settlements.entry(tx_hash).or_default().redirected.push((*entitlement, *to));
            }
            CampaignEvent::ItemSkipped { entitlement, reason } => {
                let skipped = Skipped { entitlement: *entitlement, reason: reason.clone() };
                settlements.entry(tx_hash).or_default().skipped.push(skipped);
            }
            CampaignEvent::Funded { amount, .. } => events.push(ChainEvent::Funded { amount: *amount }),
            CampaignEvent::RoundPublished { terms, .. } => {
                events.push(ChainEvent::Published { terms: terms.clone() });
            }
            CampaignEvent::RoundOpened { round, .. } => events.push(ChainEvent::Opened { round: *round }),
            CampaignEvent::RoundCancelled { round, .. } => {
                events.push(ChainEvent::Cancelled { round: *round })
            }
            CampaignEvent::ClosingExtended { round, closes_at } => {
                events.push(ChainEvent::ClosingExtended { round: *round, closes_at: *closes_at });
            }
            CampaignEvent::Claimed { entitlement, to } => {
                events.push(self.paid(*entitlement, Some(*to), tx_hash)?)
            }
            CampaignEvent::Voided { mask, .. } if self.knows(mask.round) => {
                let ids = mask.indexes().map(|index| EntitlementId { round: mask.round, index });
                let items = ids.map(|id| Ok((id, self.snapshots.amount(self.state, self.id, id)?)));
                events.push(ChainEvent::Voided { items: items.collect::<Result<_, EngineError>>()? });
            }
            CampaignEvent::Voided { mask, .. } => events.push(ChainEvent::VoidedUnannounced { word: *mask }),
            CampaignEvent::Swept { round, amount } => {
                events.push(ChainEvent::Swept { round: *round, amount: *amount });
            }
            CampaignEvent::Withdrawn { amount } => events.push(ChainEvent::Withdrawn { amount: *amount }),
            CampaignEvent::GateInstalled { version, signer, .. } => {
                let version = gate_version(*version)?;
                events.push(ChainEvent::GateInstalled { version, signer: signer.clone() });
            }
            CampaignEvent::GateDisabled { version, until, .. } => {
                events.push(ChainEvent::GateDisabled { version: gate_version(*version)?, until: *until });
            }
            // Each hold's bits are its own: the Warden takes no bit twice.
            CampaignEvent::HoldPlaced { mask, until, .. } => {
                events.push(ChainEvent::HoldSet { mask: *mask, until: *until });
            }
            CampaignEvent::HoldConfirmed { hold, until, .. } => {
                events.push(ChainEvent::HoldConfirmed { hold: *hold, until: *until });
            }
            // Released by institutions or, past its time, by anyone.
            CampaignEvent::HoldEnded { mask, .. } => events.push(ChainEvent::HoldCleared { mask: *mask }),
            CampaignEvent::CampaignHeld { until, .. } => {
                events.push(ChainEvent::CampaignHeldUntil { until: *until })
            }
            CampaignEvent::PauseSet { until, .. } => events.push(ChainEvent::PausedUntil { until: *until }),
            // Not the campaign's token.
            CampaignEvent::Rescued { .. } => {}
        }
        Ok(())
    }

    /// A round published on chain before the log announced it has no snapshot here yet: its payments and voids are
    /// recorded without amounts.
    fn knows(&self, round: u64) -> bool {
        let known = self.campaign.round(round).is_some();
        if !known {
            tracing::warn!(campaign = %self.id, round, block = self.block.number, "a round was used that is not announced");
        }
        known
    }

    /// A payment by another hand; `to` is `None` where the chain paid the listed address.
    fn paid(&self, id: EntitlementId, to: Option<Address>, tx_hash: B256) -> Result<ChainEvent, EngineError> {
        if !self.knows(id.round) {
            return Ok(ChainEvent::PaidUnannounced { entitlement: id, to, tx_hash });
        }
        let listed = self.snapshots.of(self.state, self.id, id.round)?.entitlement(id.index);
        let listed = listed.ok_or_else(|| {
            EngineError::Incident(format!("round {} has no entitlement {}", id.round, id.index))
        })?;
        let to = to.unwrap_or(listed.recipient);
        Ok(ChainEvent::Paid { entitlement: id, amount: listed.amount, to, tx_hash })
    }

    /// The settlement as a batch of ours; `None` if it is another hand's.
    fn batch(&self, settlement: &Settlement, tx_hash: B256) -> Result<Option<BatchMined>, EngineError> {
        let Some(number) = settlement.batch else { return Ok(None) };
        let mut paid = settlement.paid.clone();
        for (id, _) in &settlement.redirected {
            add(&mut paid, *id);
        }
        paid.sort_unstable();
        let ours = self.campaign.batches.get(&number).is_some_and(|b| {
            b.names_all(&paid) && settlement.skipped.iter().all(|s| b.contains(s.entitlement))
        });
        if !ours {
            tracing::error!(campaign = %self.id, batch = number, tx = %tx_hash, block = self.block.number,
                "a batch was settled that this log did not decide");
            return Ok(None);
        }
        Ok(Some(BatchMined {
            campaign: self.id,
            batch: number,
            block: self.block,
            tx_hash,
            paid_total: total(self.state, self.snapshots, self.id, &paid)?,
            paid,
            skipped: settlement.skipped.clone(),
        }))
    }

    /// A settlement by another hand: payments as the chain made them.
    fn elsewhere(
        &self,
        settlement: Settlement,
        tx_hash: B256,
        events: &mut Vec<ChainEvent>,
    ) -> Result<(), EngineError> {
        for word in &settlement.paid {
            for index in word.indexes() {
                events.push(self.paid(EntitlementId { round: word.round, index }, None, tx_hash)?);
            }
        }
        for (id, to) in settlement.redirected {
            events.push(self.paid(id, Some(to), tx_hash)?);
        }
        Ok(())
    }
}

/// The contracts count gate versions in 16 bits.
fn gate_version(version: u64) -> Result<u16, EngineError> {
    u16::try_from(version)
        .map_err(|_| EngineError::Incident(format!("the chain has a gate version {version}")))
}

/// Adds one entitlement to a set of words.
fn add(words: &mut Vec<WordMask>, id: EntitlementId) {
    let (word, bit) = (id.index / 256, U256::from(1) << (id.index % 256));
    let at = words.iter().position(|w| (w.round, w.word) == (id.round, word)).unwrap_or_else(|| {
        words.push(WordMask { round: id.round, word, mask: [0; 4] });
        words.len() - 1
    });
    words[at].mask = (U256::from_limbs(words[at].mask) | bit).into_limbs();
}
