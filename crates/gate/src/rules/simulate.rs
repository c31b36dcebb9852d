//! A dry run: who would pass, who would fail and why, and what it would cost.

use std::collections::BTreeMap;

use serde::Serialize;
use sluice_core::amount::{Amount, Total};

use super::compile::Compiled;
use super::evaluate::{Verdict, evaluate};
use super::facts::ClaimFacts;

/// A number of claims and what they add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub claims: u64,
    /// Their sum, base units.
    pub total: Total,
}

impl Count {
    /// One more. A sum beyond 2^128 would take more than 2^32 claims of the largest amount; it stays at the limit.
    pub(crate) fn add(&mut self, amount: Amount) {
        self.claims += 1;
        self.total = self.total.checked_add(amount).unwrap_or(Total(u128::MAX));
    }
}

/// The outcome of a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// What was looked at.
    pub evaluated: Count,
    /// What would be paid.
    pub permitted: Count,
    /// What would not.
    pub refused: Count,
    /// The refused ones by the code of their foremost cause, as mandate holders see it.
    pub reasons: BTreeMap<String, Count>,
    /// What there is to pay from, if that was said.
    pub funds: Option<Total>,
    /// What is missing to pay everything permitted; `None` where the funds suffice or were not said.
    pub short_by: Option<Total>,
}

/// Evaluates each claim under all rule sets. `each` is shown every claim with its verdict, in order, so that a caller
/// can list them without anything being kept here: the iterator may be as long as a country.
pub fn simulate(
    rule_sets: &[&Compiled],
    claims: impl IntoIterator<Item = ClaimFacts>,
    funds: Option<Total>,
    mut each: impl FnMut(&ClaimFacts, &Verdict),
) -> Simulation {
    let mut result = Simulation { funds, ..Simulation::default() };
    for facts in claims {
        let verdict = evaluate(rule_sets, &facts);
        result.evaluated.add(facts.amount);
        match &verdict.refusal {
            None => result.permitted.add(facts.amount),
            Some(refusal) => {
                result.refused.add(facts.amount);
                result.reasons.entry(refusal.cause.code.clone()).or_default().add(facts.amount);
            }
        }
        each(&facts, &verdict);
    }
    let missing = funds.and_then(|funds| result.permitted.total.checked_sub(funds));
    result.short_by = missing.filter(|missing| missing.get() > 0);
    result
}
