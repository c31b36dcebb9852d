//! Revert data by name: what a contract said when it refused.

use std::fmt;

use alloy_primitives::{Bytes, hex};
use alloy_sol_types::{ContractError, SolInterface};
use sluice_core::ids::{BatchNo, Epoch};

use crate::bindings::{Charter, Distributor, IERC20Errors, Warden};

#[cfg(test)]
mod tests;

/// Why a call reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// What the caller may want to act upon.
    pub kind: RevertKind,
    /// The error's name with its arguments, for people: `WrongBatch { given: 3, next: 4 }`.
    pub text: String,
    /// The return data itself.
    pub data: Bytes,
}

/// Reverts that a caller acts upon; everything else is `Other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevertKind {
    /// The batch number is not the next: another attempt settled it, or one before it has not yet.
    WrongBatch {
        /// Ours.
        given: BatchNo,
        /// The Distributor's.
        next: BatchNo,
    },
    /// Another sequencer took the epoch.
    StaleEpoch {
        /// Ours.
        given: Epoch,
        /// The Charter's.
        current: Epoch,
    },
    /// The account is no lane of the current epoch's sequencer.
    NotALane,
    /// The Charter's phase forbids it.
    WrongPhase,
    /// Every transfer failed; the first one's return data.
    NothingPaid(Bytes),
    /// The transaction carries too little gas for its transfers.
    TooLittleGas,
    /// The round is not in the state the call needs.
    WrongState,
    /// Payments are paused until then, Unix seconds.
    Paused(u64),
    /// Not before then, Unix seconds.
    TooEarly(u64),
    /// The Distributor's balance does not cover its rounds.
    Underfunded,
    /// A publication of another round than the next.
    WrongRound,
    /// The entitlement is paid, void or held already.
    Settled,
    /// The gate's word does not cover what is to be paid: another mask, key or round, or expired.
    NotApproved,
    /// The gate version is disabled until then, Unix seconds.
    GateOff(u64),
    /// The signatures do not suffice, or bind an older set of authorities.
    Unauthorised,
    /// Done before: registered, used.
    Already,
    /// An epoch not above the current one, or far above it.
    EpochOutOfRange {
        /// The Charter's.
        current: Epoch,
    },
    /// Anything else.
    Other,
}

impl Revert {
    /// Reads revert data. Data nobody knows is kept and shown as hex.
    pub fn decode(data: Bytes) -> Self {
        let (kind, text) = distributor(&data)
            .or_else(|| charter(&data))
            .or_else(|| warden(&data))
            .or_else(|| standard(&data))
            .unwrap_or_else(|| (RevertKind::Other, unknown(&data)));
        Self { kind, text, data }
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unknown(data: &[u8]) -> String {
    match data.len() {
        0 => "no reason given".to_owned(),
        _ => format!("unknown error 0x{}", hex::encode(&data[..data.len().min(68)])),
    }
}

fn distributor(data: &[u8]) -> Option<(RevertKind, String)> {
    use Distributor::DistributorErrors as E;
    let error = E::abi_decode(data).ok()?;
    let kind = match &error {
        E::WrongBatch(e) => RevertKind::WrongBatch { given: e.given, next: e.next },
        E::NothingPaid(e) => RevertKind::NothingPaid(e.reason.clone()),
        E::TooLittleGas(_) | E::TooLittleGasForSignature(_) => RevertKind::TooLittleGas,
        E::WrongState(_) | E::HoldsStand(_) => RevertKind::WrongState,
        E::NotApproved(_) | E::GateExpired(_) | E::BadGateSignature(_) => RevertKind::NotApproved,
        E::GateOff(e) => RevertKind::GateOff(e.until),
        E::Paused(e) => RevertKind::Paused(e.until),
        E::TooEarly(e) => RevertKind::TooEarly(e.at),
        E::Underfunded(_) => RevertKind::Underfunded,
        E::WrongRound(_) => RevertKind::WrongRound,
        E::AlreadyPaid(_) | E::AlreadyVoid(_) | E::Held(_) => RevertKind::Settled,
        E::AlreadyUsed(_) => RevertKind::Already,
        E::NotActive(_) | E::ClaimsNotOpen(_) => RevertKind::WrongPhase,
        _ => RevertKind::Other,
    };
    Some((kind, named(&error)))
}

fn charter(data: &[u8]) -> Option<(RevertKind, String)> {
    use Charter::CharterErrors as E;
    let error = E::abi_decode(data).ok()?;
    let kind = match &error {
        E::StaleEpoch(e) => RevertKind::StaleEpoch { given: e.given, current: e.current },
        E::NotALane(_) => RevertKind::NotALane,
        E::WrongPhase(_) => RevertKind::WrongPhase,
        E::EpochOutOfRange(e) => RevertKind::EpochOutOfRange { current: e.current },
        E::AlreadyRegistered(_) | E::AlreadyUsed(_) => RevertKind::Already,
        E::StaleSetVersion(_) | E::ApprovalExpired(_) | E::NotAnAuthority(_) => RevertKind::Unauthorised,
        E::BadAuthoritySignature(_) | E::QuorumMissed(_) => RevertKind::Unauthorised,
        _ => RevertKind::Other,
    };
    Some((kind, named(&error)))
}

/// What a Warden says through a Distributor, as far as the others did not know it.
fn warden(data: &[u8]) -> Option<(RevertKind, String)> {
    use Warden::WardenErrors as E;
    let error = E::abi_decode(data).ok()?;
    let kind = match &error {
        E::RationSpent(_) | E::HeldBefore(_) | E::SecondNeeded(_) => RevertKind::Unauthorised,
        E::NothingToHold(_) => RevertKind::Settled,
        E::NoSuchHold(_) | E::HoldExpired(_) => RevertKind::WrongState,
        _ => RevertKind::Other,
    };
    Some((kind, named(&error)))
}

/// `Error(string)`, `Panic(uint256)` and the ERC-20's own errors.
fn standard(data: &[u8]) -> Option<(RevertKind, String)> {
    let text = match ContractError::<IERC20Errors::IERC20ErrorsErrors>::abi_decode(data).ok()? {
        ContractError::Revert(reason) => reason.reason,
        ContractError::CustomError(error) => named(&error),
        ContractError::Panic(panic) => panic.to_string(),
    };
    Some((RevertKind::Other, text))
}

/// `WrongBatch(WrongBatch { given: 3, next: 4 })` without the doubled name.
fn named(error: &impl fmt::Debug) -> String {
    let text = format!("{error:?}");
    match text.split_once('(') {
        Some((_, inner)) => inner.strip_suffix(')').unwrap_or(inner).to_owned(),
        None => text,
    }
}
