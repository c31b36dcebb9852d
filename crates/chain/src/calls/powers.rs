//! Calls by which authorities install and disable gates, hold and pause. Nonces, and how many act together, as they
//! were signed.

use alloy_primitives::{B256, Bytes, U256};
use sluice_core::log::entry::WordMask;

use super::{Approvals, bytes};
use crate::bindings::Distributor;
use crate::decode::{gate, mask_word};
use crate::error::ChainError;

/// `installGate`: a gate version for good, with its key as ERC-7913 signer bytes.
///
/// # Errors
/// [`ChainError::DoesNotFit`] for a gate version above a uint16.
pub fn install_gate(
    version: u64,
    signer: Bytes,
    rules_hash: B256,
    approvals: &Approvals,
) -> Result<Bytes, ChainError> {
    Ok(bytes(Distributor::installGateCall {
        gateVersion: gate(version)?,
        signer,
        rulesHash: rules_hash,
        approval: approvals.encode(),
    }))
}

/// `disableGate`, until then (Unix seconds).
///
/// # Errors
/// [`ChainError::DoesNotFit`] for a gate version above a uint16.
pub fn disable_gate(
    version: u64,
    until: u64,
    together: u8,
    nonce: u64,
    approvals: &Approvals,
) -> Result<Bytes, ChainError> {
    Ok(bytes(Distributor::disableGateCall {
        gateVersion: gate(version)?,
        until,
        together,
        nonce: U256::from(nonce),
        approval: approvals.encode(),
    }))
}

/// `hold`: entitlements of one word, with the hash of the reason.
pub fn hold(mask: WordMask, reason: B256, together: u8, nonce: u64, approvals: &Approvals) -> Bytes {
    bytes(Distributor::holdCall {
        roundNo: U256::from(mask.round),
        word: U256::from(mask.word),
        mask: mask_word(mask.mask),
        reason,
        together,
        nonce: U256::from(nonce),
        approval: approvals.encode(),
    })
}

/// `confirmHold`, by its id.
pub fn confirm_hold(hold: u64, together: u8, nonce: u64, approvals: &Approvals) -> Bytes {
    bytes(Distributor::confirmHoldCall {
        id: U256::from(hold),
        together,
        nonce: U256::from(nonce),
        approval: approvals.encode(),
    })
}

/// `release`: ends a hold.
pub fn release(hold: u64, together: u8, nonce: u64, approvals: &Approvals) -> Bytes {
    bytes(Distributor::releaseCall {
        id: U256::from(hold),
        together,
        nonce: U256::from(nonce),
        approval: approvals.encode(),
    })
}

/// `lapse`: ends a hold that has expired; anyone.
pub fn lapse(hold: u64) -> Bytes {
    bytes(Distributor::lapseCall { id: U256::from(hold) })
}

/// `holdCampaign`, until then (Unix seconds).
pub fn hold_campaign(until: u64, together: u8, nonce: u64, approvals: &Approvals) -> Bytes {
    bytes(Distributor::holdCampaignCall {
        until,
        together,
        nonce: U256::from(nonce),
        approval: approvals.encode(),
    })
}

/// `pause`, until then (Unix seconds).
pub fn pause(until: u64, together: u8, nonce: u64, approvals: &Approvals) -> Bytes {
    bytes(Distributor::pauseCall { until, together, nonce: U256::from(nonce), approval: approvals.encode() })
}
