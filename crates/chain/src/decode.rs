//! From the contracts' numbers to `core`'s words. What does not fit is an error that names the field.

use alloy_primitives::U256;
use sluice_core::amount::Total;
use sluice_core::command::{RoundMode, RoundTerms};
use sluice_core::ids::{CampaignId, RoundNo};
use sluice_core::log::entry::WordMask;

use crate::bindings as sol;
use crate::error::ChainError;

fn malformed(what: &'static str, value: impl std::fmt::Display) -> ChainError {
    ChainError::Malformed { what, problem: format!("{value} is out of range") }
}

pub(crate) fn small(what: &'static str, value: U256) -> Result<u64, ChainError> {
    u64::try_from(value).map_err(|_| malformed(what, value))
}

/// Sums of tokens stay below 2^127 in practice; a token that says otherwise is not one we can account for.
pub(crate) fn total(what: &'static str, value: U256) -> Result<Total, ChainError> {
    u128::try_from(value).map(Total).map_err(|_| malformed(what, value))
}

/// Bit i of the contract's word is bit i % 64 of `mask[i / 64]`.
pub(crate) fn word_mask(round: U256, word: U256, mask: U256) -> Result<WordMask, ChainError> {
    Ok(WordMask { round: small("round", round)?, word: small("word", word)?, mask: mask.into_limbs() })
}

/// The same the other way.
pub(crate) fn mask_word(mask: [u64; 4]) -> U256 {
    U256::from_limbs(mask)
}

pub(crate) fn mode(mode: sol::Mode) -> Result<RoundMode, ChainError> {
    match mode {
        sol::Mode::PUSH => Ok(RoundMode::Push),
        sol::Mode::PULL => Ok(RoundMode::Pull),
        sol::Mode::GATED => Ok(RoundMode::Gated),
        sol::Mode::__Invalid => Err(malformed("mode", "what the contract calls it")),
    }
}

fn encode_mode(mode: RoundMode) -> sol::Mode {
    match mode {
        RoundMode::Push => sol::Mode::PUSH,
        RoundMode::Pull => sol::Mode::PULL,
        RoundMode::Gated => sol::Mode::GATED,
    }
}

pub(crate) fn round_terms(
    campaign: CampaignId,
    round: RoundNo,
    terms: sol::RoundTerms,
) -> Result<RoundTerms, ChainError> {
    Ok(RoundTerms {
        campaign,
        round,
        root: terms.root,
        depth: terms.depth,
        count: terms.count,
        total: Total(terms.total),
        rules_hash: terms.rulesHash,
        opens_at: terms.opensAt,
        closes_at: terms.closesAt,
        mode: mode(terms.mode)?,
        gate: u64::from(terms.gate),
        supersedes: small("supersedes", terms.supersedes)?,
        list_uri: terms.listUri,
        list_hash: terms.listHash,
    })
}

pub(crate) fn encode_round_terms(terms: &RoundTerms) -> Result<sol::RoundTerms, ChainError> {
    Ok(sol::RoundTerms {
        root: terms.root,
        depth: terms.depth,
        count: terms.count,
        total: terms.total.get(),
        rulesHash: terms.rules_hash,
        opensAt: terms.opens_at,
        closesAt: terms.closes_at,
        mode: encode_mode(terms.mode),
        gate: gate(terms.gate)?,
        supersedes: U256::from(terms.supersedes),
        listUri: terms.list_uri.clone(),
        listHash: terms.list_hash,
    })
}

pub(crate) fn gate(gate: u64) -> Result<u16, ChainError> {
    let fits = u16::try_from(gate);
    fits.map_err(|_| ChainError::DoesNotFit {
        field: "gate",
        value: gate.to_string(),
        expected: "0 to 65,535",
    })
}
