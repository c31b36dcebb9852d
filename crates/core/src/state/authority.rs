//! Institutions as the log knows them beyond the Charter: keys, mandates, delegations, and what was spent of them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use super::State;
use crate::amount::Total;
use crate::command::{Action, AppealAbout, Command, DelegationTerms, HoldTarget, MandateTerms};
use crate::decide::PersonSeen;
use crate::ids::Seq;
use crate::log::entry::Used;

/// Keys of an institution that stand in the log. Those of the Charter count besides, unless revoked here.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Authority {
    /// A name for people; empty for an institution that the Charter names.
    pub name: String,
    /// Keys in force.
    pub keys: BTreeSet<Bytes>,
    /// Keys that never count again, with the positions of their revocations.
    pub revoked: BTreeMap<Bytes, Seq>,
    /// The position at which its keys last changed.
    pub version: Seq,
}

/// A mandate in force, or ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Mandate {
    /// As granted.
    pub terms: MandateTerms,
    /// The position at which it last changed.
    pub version: Seq,
    /// Whether it ended.
    pub ended: bool,
    /// What was done under it.
    pub spent: Spent,
}

/// A delegation in force, or ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delegation {
    /// As made.
    pub terms: DelegationTerms,
    /// The position at which it last changed.
    pub version: Seq,
    /// Whether it ended.
    pub ended: bool,
    /// What was done under it.
    pub spent: Spent,
}

impl Delegation {
    /// What its terms allow in all.
    pub fn limits(&self) -> Limits {
        Limits { amount: self.terms.amount_max, count: self.terms.count_max }
    }
}

/// What was done under a mandate or a delegation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Spent {
    /// Base units that its commands decided, annulled or held.
    pub amount: Total,
    /// Items: entitlements, or 1 for a command about anything else.
    pub count: u64,
}

/// Up to how much commands may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Limits {
    /// Base units in all.
    pub amount: Option<Total>,
    /// Items in all.
    pub count: Option<u64>,
}

impl Spent {
    /// After one more command, if the limits allow it.
    pub fn plus(self, used: Used, limits: &Limits) -> Option<Self> {
        let next = Self {
            amount: self.amount.checked_add_total(used.amount)?,
            count: self.count.checked_add(used.items)?,
        };
        let within = limits.amount.is_none_or(|most| next.amount <= most)
            && limits.count.is_none_or(|most| next.count <= most);
        within.then_some(next)
    }
}

impl State {
    /// The institution a key speaks for: of the Charter, or registered here. Revoked keys speak for nobody.
    pub fn authority_of(&self, signer: &[u8]) -> Option<B256> {
        if self.authorities.values().any(|a| a.revoked.contains_key(signer)) {
            return None;
        }
        // The Charter first: nobody takes a key that an institution will bring into the Charter by registering it before.
        let chartered = self.home_charter().and_then(|c| c.view.institution_of(signer));
        let registered = || self.authorities.iter().find(|(_, a)| a.keys.contains(signer)).map(|(id, _)| *id);
        chartered.or_else(registered)
    }

    /// The person in whose jurisdiction an order has to be permitted, if it is about one.
    pub fn concerned_by(&self, action: &Action) -> Option<B256> {
        let about_hold = |hold: &Seq| match &self.holds.get(hold)?.target {
            HoldTarget::Person { person } => Some(*person),
            HoldTarget::Entitlements { .. } | HoldTarget::Campaign { .. } => None,
        };
        match action {
            Action::BindPerson { person, .. }
            | Action::ChangePayee { person, .. }
            | Action::Hold { target: HoldTarget::Person { person } } => Some(*person),
            Action::ConfirmHold { hold }
            | Action::RenewHold { hold }
            | Action::Release { hold }
            | Action::FileAppeal { about: AppealAbout::Hold { hold } } => about_hold(hold),
            Action::AnswerAppeal { appeal, .. } => match self.appeals.get(appeal)?.about {
                AppealAbout::Hold { hold } => about_hold(&hold),
                AppealAbout::Void { .. } | AppealAbout::Refusal { .. } => None,
            },
            _ => None,
        }
    }

    /// Whether a mandate was asked about the place in which this order has to be permitted here: about the person whom it
    /// concerns, in the jurisdiction to which the person still belongs. Where the person is paid is nothing to a mandate.
    pub(crate) fn asked_in_place(&self, action: &Action, seen: Option<PersonSeen>) -> bool {
        self.concerned_by(action) == seen.map(|seen| seen.person)
            && seen.is_none_or(|seen| {
                self.persons.get(&seen.person).map_or(0, |person| person.belongs_since) <= seen.version
            })
    }

    /// The Charter's set version: what was approved under another has lapsed.
    pub fn set_version(&self) -> u64 {
        self.home_charter().map_or(0, |c| c.view.set_version)
    }

    /// Institutions that the Charter needs to publish (M).
    pub fn threshold(&self) -> u16 {
        self.home_charter().map_or(1, |c| c.view.threshold.max(1))
    }

    /// The institutions of the Charter that signed a command, each once.
    pub fn chartered(&self, command: &Command) -> BTreeSet<B256> {
        command.approvals.iter().map(|a| a.authority).filter(|id| self.is_chartered(*id)).collect()
    }

    /// Whether fewer institutions stand behind a command than the Charter's threshold.
    pub fn is_alone(&self, command: &Command) -> bool {
        self.chartered(command).len() < usize::from(self.threshold())
    }

    /// Whether an institution stands in the Charter: only those count in its quorums.
    pub fn is_chartered(&self, authority: B256) -> bool {
        authority != B256::ZERO
            && self.home_charter().is_some_and(|c| c.view.institutions.iter().any(|i| i.id == authority))
    }

    /// The position at which an institution's keys last changed here; 0 for one that only the Charter knows. Changes of
    /// the Charter show in its set version.
    pub fn key_version(&self, authority: B256) -> Seq {
        self.authorities.get(&authority).map_or(0, |a| a.version)
    }
}
