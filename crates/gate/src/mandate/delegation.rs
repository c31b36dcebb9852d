//! An authority lends part of what it may do to a vendor's key.

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sluice_core::amount::Total;
use sluice_core::ids::{CampaignId, Millis, RoundNo};

use super::ActionKind;
use super::facts::{CommandFacts, Subject};

/// A delegation lasts at most so long and is then given anew: 400 days, a year with some time for the renewal.
const LIFE_MAX_MILLIS: u64 = 400 * 86_400_000;
/// The longest signer (ERC-7913 bytes): a verifier's address and an RSA-2048 key with its exponent.
const SIGNER_BYTES_MAX: usize = 1_024;

/// What an authority lends to a key. The authority's own mandate is asked besides, always.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// The institution that lends.
    pub authority: B256,
    /// The vendor's key, as ERC-7913 signer bytes.
    pub key: Bytes,
    /// What the key may do; ascending, each once.
    pub actions: Vec<ActionKind>,
    /// Where.
    pub scope: Scope,
    /// Base units in all; `None` where only the mandate's limits bind.
    pub amount: Option<Total>,
    /// From when, milliseconds since the Unix epoch.
    pub from: Millis,
    /// Until when; at this instant it is over.
    pub until: Millis,
}

/// Where a delegation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[repr(u8)]
pub enum Scope {
    /// Everywhere the mandate holds.
    Stream = 1,
    /// In one campaign.
    Campaign {
        /// Which.
        campaign: CampaignId,
    } = 2,
    /// In one round.
    Round {
        /// Of which campaign.
        campaign: CampaignId,
        /// Which.
        round: RoundNo,
    } = 3,
}

impl Scope {
    /// Whether the subject lies inside. A person or a jurisdiction lies in no campaign: what is ordered about them
    /// reaches beyond it.
    pub fn contains(&self, subject: &Subject) -> bool {
        match self {
            Self::Stream => true,
            Self::Campaign { campaign } => subject.campaign() == Some(*campaign),
            Self::Round { campaign, round } => {
                subject.campaign() == Some(*campaign) && subject.round() == Some(*round)
            }
        }
    }
}

/// A delegation that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// No actions, or not ascending.
    #[error("the actions must be one or more, ascending, each once")]
    Actions,
    /// An action that an institution keeps to itself.
    #[error("{0} cannot be delegated")]
    NotDelegable(ActionKind),
    /// No key, or too long.
    #[error("the key must have 20 to {SIGNER_BYTES_MAX} bytes (ERC-7913)")]
    Key,
    /// Ends before it begins, or lasts too long.
    #[error("a delegation must end after it begins, and within 400 days")]
    Life,
}

/// Why a command is outside a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideDelegation {
    /// Another institution's.
    #[error("the delegation is another authority's")]
    Authority,
    /// Another key's.
    #[error("the delegation is to another key")]
    Key,
    /// The facts do not say that a vendor signs, so the mandate was not asked about that.
    #[error("the command is not marked as delegated")]
    NotMarked,
    /// Not lent.
    #[error("the delegation does not cover {0}")]
    Action(ActionKind),
    /// Elsewhere.
    #[error("the subject lies outside the delegation's scope")]
    Scope,
    /// Too early.
    #[error("the delegation has not begun")]
    NotYet,
    /// Too late.
    #[error("the delegation has ended")]
    Expired,
    /// Too much.
    #[error("with what was spent before, the command exceeds the delegation's amount")]
    Amount,
    /// An amount is limited and the command names none.
    #[error("the delegation limits amounts, and the command names none")]
    AmountUnknown,
}

impl OutsideDelegation {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotYet | Self::Expired => "delegation_expired",
            Self::Amount | Self::AmountUnknown => "delegation_limit",
            _ => "outside_delegation",
        }
    }
}

impl Delegation {
    /// Whether this can be a delegation at all; to be asked before it is recorded.
    pub fn check(&self) -> Result<(), DelegationError> {
        if self.actions.is_empty() || !self.actions.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(DelegationError::Actions);
        }
        if let Some(kept) = self.actions.iter().find(|action| !action.is_delegable()) {
            return Err(DelegationError::NotDelegable(*kept));
        }
        if !(20..=SIGNER_BYTES_MAX).contains(&self.key.len()) {
            return Err(DelegationError::Key);
        }
        match self.until.checked_sub(self.from) {
            Some(life) if life > 0 && life <= LIFE_MAX_MILLIS => Ok(()),
            _ => Err(DelegationError::Life),
        }
    }

    /// Whether a command signed by `signer` lies inside, after `spent` base units under this delegation before. Time is
    /// the command's `accepted_at`. What the authority itself may do is [`super::evaluate_mandates`]' to say.
    pub fn covers(&self, facts: &CommandFacts, signer: &[u8], spent: Total) -> Result<(), OutsideDelegation> {
        if self.authority != facts.authority {
            return Err(OutsideDelegation::Authority);
        }
        if self.key != *signer {
            return Err(OutsideDelegation::Key);
        }
        if !facts.delegated {
            return Err(OutsideDelegation::NotMarked);
        }
        if !self.actions.contains(&facts.action) || !facts.action.is_delegable() {
            return Err(OutsideDelegation::Action(facts.action));
        }
        if !self.scope.contains(&facts.subject) {
            return Err(OutsideDelegation::Scope);
        }
        if facts.accepted_at < self.from {
            return Err(OutsideDelegation::NotYet);
        }
        if facts.accepted_at >= self.until {
            return Err(OutsideDelegation::Expired);
        }
        let Some(limit) = self.amount else { return Ok(()) };
        let wanted = facts.spending.ok_or(OutsideDelegation::AmountUnknown)?.total;
        match spent.checked_add_total(wanted) {
            Some(sum) if sum <= limit => Ok(()),
            _ => Err(OutsideDelegation::Amount),
        }
    }
}
