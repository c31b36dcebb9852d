//! Rule sets and gates in force, and what gates have signed.

use std::collections::BTreeSet;

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use super::State;
use crate::command::{GateTerms, RulesTerms};
use crate::ids::{Millis, Seq};

/// A rule set: immutable bytes and how far they came.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RuleSet {
    /// As proposed.
    pub terms: RulesTerms,
    /// Who proposed it, and so cannot approve it.
    pub proposer: B256,
    /// The position at which it last changed.
    pub version: Seq,
    /// How far it is.
    pub phase: RulesPhase,
}

/// How far a rule set is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RulesPhase {
    /// Institutions approve it, each once, and not its proposer. Their approvals lapse when the Charter's set changes.
    Proposed {
        /// Who approved.
        approvals: BTreeSet<B256>,
        /// The Charter's set version they were counted under.
        set_version: u64,
    } = 1,
    /// Comes into force by a `Due` entry.
    Scheduled {
        /// When.
        at: Millis,
    } = 2,
    /// The version of its lineage that decides.
    InForce = 3,
    /// Was in force.
    Retired = 4,
}

/// A gate version of a campaign, as its rounds ask for it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Gate {
    /// As defined.
    pub terms: GateTerms,
    /// The position of its definition.
    pub version: Seq,
}

/// What a gate signed of a word: it only grows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Approved {
    /// The gate version that signed.
    pub gate: u16,
    /// Everything approved in the word.
    pub mask: [u64; 4],
    /// The position the gate had read to.
    pub as_of: Seq,
    /// Unix seconds.
    pub expiry: u64,
    /// The gate key's signature.
    pub signature: Bytes,
}

impl State {
    /// The name of the rule set of a lineage that is in force.
    pub fn rules_in_force(&self, lineage: B256) -> Option<B256> {
        self.lineages.get(&lineage).copied()
    }
}
