//! Logs of our contracts as events.

use alloy::rpc::types::Log;
use alloy_primitives::U256;
use alloy_sol_types::{SolEvent, SolEventInterface};
use sluice_core::ids::{BlockRef, CampaignId, EntitlementId};

use super::{CampaignEvent, CharterEvent, Event, Located};
use crate::bindings::{Charter, Distributor};
use crate::decode::{round_terms, small, total, word_mask};
use crate::error::ChainError;
use crate::limits::REASON_BYTES_MAX;
use crate::reads::phase;

pub(super) fn undecodable(what: &'static str, error: &alloy_sol_types::Error) -> ChainError {
    ChainError::Malformed { what, problem: error.to_string() }
}

fn entitlement(round: U256, index: U256) -> Result<EntitlementId, ChainError> {
    Ok(EntitlementId { round: small("round", round)?, index: small("index", index)? })
}

/// A Charter has at most 32 institutions.
fn institutions(bits: U256) -> Result<u32, ChainError> {
    u32::try_from(bits).map_err(|_| ChainError::Malformed {
        what: "institutions",
        problem: format!("{bits:#x} names more than 32"),
    })
}

/// A Distributor's event.
pub(crate) fn distributor_event(campaign: CampaignId, log: &Log) -> Result<CampaignEvent, ChainError> {
    use Distributor::DistributorEvents as E;
    let decoded = E::decode_raw_log(log.topics(), &log.data().data);
    Ok(match decoded.map_err(|e| undecodable("a Distributor's event", &e))? {
        E::RoundPublished(e) => CampaignEvent::RoundPublished {
            terms: Box::new(round_terms(campaign, small("round", e.round)?, e.terms)?),
            published_at: e.publishedAt,
        },
        E::RoundOpened(e) => CampaignEvent::RoundOpened {
            round: small("round", e.round)?,
            balance: total("balance", e.balance)?,
            owed: total("owed", e.owed)?,
        },
        E::RoundCancelled(e) => {
            CampaignEvent::RoundCancelled { round: small("round", e.round)?, vetoed: e.vetoed }
        }
        E::ClosingExtended(e) => {
            CampaignEvent::ClosingExtended { round: small("round", e.round)?, closes_at: e.closesAt }
        }
        E::BatchSettled(e) => {
            CampaignEvent::BatchSettled { batch: e.batchNo, epoch: e.epoch, log_root: e.logRoot }
        }
        E::Settled(e) => CampaignEvent::Settled(word_mask(e.round, e.word, e.mask)?),
        E::ItemSkipped(e) => CampaignEvent::ItemSkipped {
            entitlement: entitlement(e.round, e.index)?,
            reason: e.reason.slice(..e.reason.len().min(REASON_BYTES_MAX)),
        },
        E::Redirected(e) => {
            CampaignEvent::Redirected { entitlement: entitlement(e.round, e.index)?, to: e.to }
        }
        E::Claimed(e) => CampaignEvent::Claimed { entitlement: entitlement(e.round, e.index)?, to: e.to },
        E::Voided(e) => CampaignEvent::Voided {
            mask: word_mask(e.round, e.word, e.mask)?,
            amount: total("amount", e.amount)?,
        },
        E::Swept(e) => {
            CampaignEvent::Swept { round: small("round", e.round)?, amount: total("amount", e.amount)? }
        }
        E::Withdrawn(e) => CampaignEvent::Withdrawn { amount: total("amount", e.amount)? },
        E::Rescued(e) => CampaignEvent::Rescued { token: e.token },
        E::GateInstalled(e) => CampaignEvent::GateInstalled {
            version: u64::from(e.gateVersion),
            signer: e.signer,
            rules_hash: e.rulesHash,
        },
        E::GateDisabled(e) => CampaignEvent::GateDisabled {
            version: u64::from(e.gateVersion),
            until: e.until,
            institutions: institutions(e.institutions)?,
        },
        E::HoldPlaced(e) => CampaignEvent::HoldPlaced {
            hold: small("hold", e.hold)?,
            mask: word_mask(e.round, e.word, e.mask)?,
            until: e.until,
            institutions: institutions(e.institutions)?,
            reason: e.reason,
        },
        E::HoldConfirmed(e) => CampaignEvent::HoldConfirmed {
            hold: small("hold", e.hold)?,
            until: e.until,
            institutions: institutions(e.institutions)?,
        },
        E::HoldEnded(e) => CampaignEvent::HoldEnded {
            hold: small("hold", e.hold)?,
            mask: word_mask(e.round, e.word, e.mask)?,
            institutions: institutions(e.institutions)?,
        },
        E::CampaignHeld(e) => {
            CampaignEvent::CampaignHeld { until: e.until, institutions: institutions(e.institutions)? }
        }
        E::PauseSet(e) => {
            CampaignEvent::PauseSet { until: e.until, institutions: institutions(e.institutions)? }
        }
    })
}

pub(super) fn charter_event(log: &Log) -> Result<CharterEvent, ChainError> {
    use Charter::CharterEvents as E;
    let decoded = E::decode_raw_log(log.topics(), &log.data().data);
    Ok(match decoded.map_err(|e| undecodable("a Charter's event", &e))? {
        E::SetChanged(e) => CharterEvent::SetChanged { set_version: e.setVersion },
        E::EpochTaken(e) => {
            CharterEvent::EpochTaken { epoch: e.epoch, sequencer: e.sequencer, control: e.control }
        }
        E::SequencerAdded(e) => CharterEvent::SequencersChanged { sequencer: e.id },
        E::LanesChanged(e) => CharterEvent::SequencersChanged { sequencer: e.id },
        E::SequencerRemoved(e) => CharterEvent::SequencersChanged { sequencer: e.id },
        E::LogKeyAdded(e) => CharterEvent::LogKeysChanged { key: e.key },
        E::LogKeyRevoked(e) => CharterEvent::LogKeysChanged { key: e.key },
        E::DistributorRegistered(e) => CharterEvent::DistributorRegistered { distributor: e.distributor },
        E::PhaseChanged(e) => {
            CharterEvent::PhaseChanged { phase: phase(e.phase)?, phase_counter: e.phaseCounter }
        }
        E::ChangeScheduled(e) => CharterEvent::ChangeScheduled { id: e.id, ready_at: Some(e.readyAt) },
        E::ChangeCancelled(e) => CharterEvent::ChangeScheduled { id: e.id, ready_at: None },
    })
}

/// Where a log stands.
pub(super) fn located(log: &Log, event: Event) -> Result<(BlockRef, Located), ChainError> {
    let missing = || ChainError::Malformed {
        what: "a log",
        problem: "it lacks its block, transaction or index; the node gave a pending one".to_owned(),
    };
    let number = log.block_number.ok_or_else(missing)?;
    let hash = log.block_hash.ok_or_else(missing)?;
    let tx_hash = log.transaction_hash.ok_or_else(missing)?;
    let log_index = log.log_index.ok_or_else(missing)?;
    Ok((BlockRef { number, hash }, Located { tx_hash, log_index, event }))
}

/// Whether a log speaks of a hold.
pub(super) fn is_hold(log: &Log) -> bool {
    let holds = [Distributor::HoldPlaced::SIGNATURE_HASH, Distributor::HoldEnded::SIGNATURE_HASH];
    log.topic0().is_some_and(|topic| holds.contains(topic))
}
