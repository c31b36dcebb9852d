//! A command before the mandates of its authority.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::compile::{CompiledMandate, Limits};
use super::facts::CommandFacts;
use crate::rules::{Hash, ask_among};

/// A policy of a mandate.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct PolicyRef {
    /// The mandate.
    pub mandate: Hash,
    /// The policy's id.
    pub policy: String,
}

/// A command is within its authority's mandates.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Permit {
    /// The hash of the facts that were looked at.
    pub inputs_hash: Hash,
    /// The permits that applied, with the limits of each. State keeps a counter for each of them and compares every one
    /// at the command's position.
    pub policies: Vec<(PolicyRef, Limits)>,
    /// All of their limits together: where several permits apply, the strictest of each kind binds.
    pub limits: Limits,
}

/// A command is outside its authority's mandates.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct MandateRefusal {
    /// The hash of the facts that were looked at.
    pub inputs_hash: Hash,
    /// `not_mandated`, `mandate_forbids` or the forbid's own code, `policy_error`, or why the facts do not fit.
    pub code: String,
    /// For the authority.
    pub sentence: String,
    /// The forbids that applied, or the policies that could not be evaluated.
    pub policies: Vec<PolicyRef>,
}

/// Asks the mandates about a command. Mandates of other holders do not count. One permit suffices, one forbid in any of
/// them refuses, and so does any error. `each` and the sums of [`Permit::limits`] are for State to compare.
pub fn evaluate_mandates(
    mandates: &[&CompiledMandate],
    facts: &CommandFacts,
) -> Result<Permit, MandateRefusal> {
    let inputs_hash = facts.inputs_hash();
    let refuse = |code: &str, sentence: String, policies| {
        Err(MandateRefusal { inputs_hash, code: code.to_owned(), sentence, policies })
    };
    let (request, entities) = match facts.request() {
        Ok(request) => request,
        Err(error) => return refuse(error.code(), error.to_string(), Vec::new()),
    };
    let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for mandate in mandates.iter().filter(|mandate| mandate.mandate.holder == facts.authority) {
        let named = |policy: String| PolicyRef { mandate: mandate.hash, policy };
        let answer = ask_among(&mandate.set, &request, &entities);
        if !answer.errors.is_empty() {
            errors.extend(answer.errors.into_iter().map(|(policy, error)| (named(policy), error)));
        } else if answer.permitted {
            let with_limits = |policy: String| (mandate.limits(&policy).unwrap_or_default(), named(policy));
            permits.extend(
                answer.policies.into_iter().map(with_limits).map(|(limits, policy)| (policy, limits)),
            );
        } else {
            forbids.extend(answer.policies.into_iter().map(|policy| {
                let told = mandate.messages.get(&policy).cloned().unwrap_or_default();
                (named(policy), told)
            }));
        }
    }
    if let Some((first, error)) = errors.first() {
        let sentence = format!("the policy {} could not be evaluated: {error}", first.policy);
        return refuse("policy_error", sentence, errors.into_iter().map(|(policy, _)| policy).collect());
    }
    if let Some((first, (code, message))) = forbids.first().cloned() {
        let sentence =
            message.unwrap_or_else(|| format!("the policy {} of the mandate forbids this", first.policy));
        return refuse(&code, sentence, forbids.into_iter().map(|(policy, _)| policy).collect());
    }
    if permits.is_empty() {
        let sentence = format!(
            "no mandate of this authority lets it {} this subject",
            facts.action.as_str().replace('_', " ")
        );
        return refuse("not_mandated", sentence, Vec::new());
    }
    permits.sort_by(|(a, _), (b, _)| a.cmp(b));
    let limits = permits.iter().fold(Limits::default(), |all, (_, limits)| all.and(*limits));
    Ok(Permit { inputs_hash, policies: permits, limits })
}
