//! The mandates in force, by their holder.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::B256;

use super::compile::CompiledMandate;
use super::evaluate::{MandateRefusal, Permit, evaluate_mandates};
use super::facts::CommandFacts;
use crate::rules::Hash;

/// Mandates in force in one stream; granting more is refused.
pub const MANDATES_MAX: usize = 20_000;

/// Compiled mandates. A command is compared with its own authority's alone, so thousands in force cost it nothing.
#[derive(Clone, Debug, Default)]
pub struct MandateBook {
    by_holder: HashMap<B256, Vec<Arc<CompiledMandate>>>,
    len: usize,
}

impl MandateBook {
    /// Takes a mandate in; `false` when there are [`MANDATES_MAX`] already. One that is there stays as it is.
    pub fn grant(&mut self, mandate: Arc<CompiledMandate>) -> bool {
        let held = self.by_holder.entry(mandate.mandate().holder).or_default();
        if held.iter().any(|other| other.hash() == mandate.hash()) {
            return true;
        }
        if self.len >= MANDATES_MAX {
            return false;
        }
        held.push(mandate);
        self.len += 1;
        true
    }

    /// Takes a mandate out; `false` when the authority does not hold it.
    pub fn revoke(&mut self, holder: &B256, mandate: &Hash) -> bool {
        let Some(held) = self.by_holder.get_mut(holder) else { return false };
        let before = held.len();
        held.retain(|other| other.hash() != *mandate);
        let gone = before - held.len();
        if held.is_empty() {
            self.by_holder.remove(holder);
        }
        self.len -= gone;
        gone > 0
    }

    /// The mandates of an authority, in the order in which they were granted.
    pub fn of(&self, holder: &B256) -> &[Arc<CompiledMandate>] {
        self.by_holder.get(holder).map_or(&[], Vec::as_slice)
    }

    /// [`evaluate_mandates`] with the mandates of the command's authority.
    pub fn evaluate(&self, facts: &CommandFacts) -> Result<Permit, MandateRefusal> {
        let held: Vec<&CompiledMandate> =
            self.of(&facts.authority).iter().map(|mandate| &**mandate).collect();
        evaluate_mandates(&held, facts)
    }

    /// How many are in force.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
