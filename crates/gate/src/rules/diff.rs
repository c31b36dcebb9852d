//! What changes between two versions of a rule set: the rules, and whose outcome.

use serde::Serialize;
use sluice_core::ids::RoundNo;

use super::compile::{Compiled, Rule};
use super::english::{self, Reader, Words};
use super::evaluate::{Refusal, evaluate};
use super::facts::ClaimFacts;
use super::simulate::Count;

/// Changed outcomes that are listed one by one; all are counted.
const EXAMPLES_MAX: usize = 100;

/// What changes between two rule sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Policies that only the new version has.
    pub added: Vec<PolicyText>,
    /// Policies that only the old version has.
    pub removed: Vec<PolicyText>,
    /// Policies of the same id that differ.
    pub changed: Vec<Changed>,
    /// Fields of the manifest that differ, and the cases that must never be permitted: what it was, what it is.
    pub manifest: Vec<String>,
}

impl Diff {
    /// Whether the two versions are the same in everything but layout.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyText {
    /// Its id.
    pub id: String,
    /// As a sentence.
    pub sentence: String,
    /// As written.
    pub text: String,
}

/// A policy in both versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// What it was.
    pub before: PolicyText,
    /// What it is.
    pub after: PolicyText,
}

/// Compares two rule sets, usually of one lineage, by their policies' ids. Layout and comments do not count.
pub fn diff(before: &Compiled, after: &Compiled) -> Diff {
    let text = |rule: &Rule| PolicyText {
        id: rule.id.clone(),
        sentence: english::sentence(&rule.body, Words::Claim, Reader::Office),
        text: rule.text.clone(),
    };
    let mut result = Diff { manifest: manifest(before, after), ..Diff::default() };
    for new in &after.rules {
        match before.rule(&new.id) {
            None => result.added.push(text(new)),
            Some(old) if same(old, new) => {}
            Some(old) => result.changed.push(Changed { before: text(old), after: text(new) }),
        }
    }
    result.removed = before.rules.iter().filter(|old| after.rule(&old.id).is_none()).map(text).collect();
    result
}

fn same(old: &Rule, new: &Rule) -> bool {
    (old.body.effect, &old.body.principal, &old.body.action, &old.body.resource, old.body.clauses())
        == (new.body.effect, &new.body.principal, &new.body.action, &new.body.resource, new.body.clauses())
        && (&old.code, &old.message, &old.shown) == (&new.code, &new.message, &new.shown)
}

fn manifest(before: &Compiled, after: &Compiled) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, old: String, new: String| {
        if old != new {
            lines.push(format!("{what}: {old} → {new}"));
        }
    };
    let (old, new) = (&before.manifest, &after.manifest);
    compare("owner", old.owner.to_string(), new.owner.to_string());
    compare("lineage", old.lineage.clone(), new.lineage.clone());
    compare("version", old.version.clone(), new.version.clone());
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    compare(
        "attestations",
        json(serde_json::to_string(&old.attestations)),
        json(serde_json::to_string(&new.attestations)),
    );
    compare("reasons", json(serde_json::to_string(&old.reasons)), json(serde_json::to_string(&new.reasons)));
    let names = |compiled: &Compiled| {
        compiled
            .never
            .iter()
            .map(|case| format!("{} ({})", case.name, case.facts.inputs_hash()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    compare("never permitted", names(before), names(after));
    lines
}

/// Whose outcome changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutcomeDiff {
    /// What was looked at.
    pub evaluated: Count,
    /// Refused before, permitted now.
    pub now_permitted: Count,
    /// Permitted before, refused now.
    pub now_refused: Count,
    /// Refused before and now, for another reason.
    pub other_reason: Count,
    /// The first changed outcomes, at most a hundred.
    pub examples: Vec<OutcomeChange>,
}

/// A claim whose outcome changes; for mandate holders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeChange {
    /// The round.
    pub round: RoundNo,
    /// The entitlement.
    pub index: u64,
    /// The code before; `None` where it was permitted.
    pub before: Option<String>,
    /// The code now.
    pub after: Option<String>,
    /// The sentence now.
    pub sentence: Option<String>,
}

/// Evaluates each claim under both versions. Where the versions ask for different attestations, the facts must carry
/// both; each version sees its own.
pub fn diff_outcomes(
    before: &Compiled,
    after: &Compiled,
    claims: impl IntoIterator<Item = ClaimFacts>,
) -> OutcomeDiff {
    let mut result = OutcomeDiff::default();
    let code = |refusal: &Option<Refusal>| refusal.as_ref().map(|refusal| refusal.cause.code.clone());
    for facts in claims {
        let old = evaluate(&[before], &facts).refusal;
        let new = evaluate(&[after], &facts).refusal;
        result.evaluated.add(facts.amount);
        let (old, code_now) = (code(&old), code(&new));
        if old == code_now {
            continue;
        }
        match (&old, &code_now) {
            (Some(_), None) => result.now_permitted.add(facts.amount),
            (None, Some(_)) => result.now_refused.add(facts.amount),
            _ => result.other_reason.add(facts.amount),
        }
        if result.examples.len() < EXAMPLES_MAX {
            let sentence = new.map(|refusal| refusal.cause.sentence);
            let (round, index) = (facts.round, facts.index);
            result.examples.push(OutcomeChange { round, index, before: old, after: code_now, sentence });
        }
    }
    result
}
