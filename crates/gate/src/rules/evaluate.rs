//! A claim before the rules of a gate.

use borsh::{BorshDeserialize, BorshSerialize};
use cedar_policy::{AuthorizationError, Authorizer, Decision as Cedar, Entities, PolicySet};
use cedar_policy_core::ast::{Expr, Literal, Request, SlotEnv, Value, ValueKind};
use cedar_policy_core::entities::Entities as Nobody;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

use super::compile::{Compiled, Rule};
use super::context::Shared;
use super::facts::ClaimFacts;
use super::{FactsError, Hash};

/// What all rule sets of a gate say about one claim: the evidence of its entry. It names policies and causes, so it is
/// for mandate holders; a claimant is shown [`Refusal::told`] alone.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Verdict {
    /// One for each rule set, in the order given.
    pub decisions: Vec<Decision>,
    /// Why not; `None` where every rule set permits.
    pub refusal: Option<Refusal>,
}

impl Verdict {
    /// Whether the claim may be paid as far as rules go.
    pub fn is_permitted(&self) -> bool {
        self.refusal.is_none()
    }
}

/// What one rule set says.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Decision {
    /// The rule set.
    pub rule_set: Hash,
    /// Whether it permits.
    pub permitted: bool,
    /// The policies that decided: permits that were satisfied, or forbids that were; none by default denial. Ascending.
    pub policies: Vec<String>,
    /// Why not: each forbid that applied, else each permit with what it lacks, else an error.
    pub causes: Vec<Cause>,
}

/// One reason of a rule set's refusal.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Cause {
    /// The policy; none where the facts alone refuse.
    pub policy: Option<String>,
    /// For mandate holders.
    pub cause: Told,
    /// For the claimant.
    pub told: Told,
}

/// A code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Told {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub sentence: String,
}

/// Why a claim is refused: the foremost cause of the first rule set that refuses.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Refusal {
    /// The rule set; none where a gate names no rule set at all.
    pub rule_set: Option<Hash>,
    /// The claimant's code and sentence. They name no other person's data, and no cause that is masked.
    pub told: Told,
    /// The cause, for mandate holders.
    pub cause: Told,
}

/// Asks every rule set about a claim. All must permit; an empty list permits nothing. The answer depends on nothing
/// but the rule sets' bytes and the facts.
pub fn evaluate(rule_sets: &[&Compiled], facts: &ClaimFacts) -> Verdict {
    let shared = Shared::of(facts);
    let decisions: Vec<Decision> = rule_sets.iter().map(|rules| decide(rules, &shared)).collect();
    let refusal = match decisions.iter().find(|decision| !decision.permitted) {
        Some(decision) => Some(refusal(decision)),
        None if decisions.is_empty() => {
            let told = told("no_rule_set", "This gate names no rules, so it permits nothing.");
            Some(Refusal { rule_set: None, told: told.clone(), cause: told })
        }
        None => None,
    };
    Verdict { decisions, refusal }
}

fn refusal(decision: &Decision) -> Refusal {
    let rule_set = Some(decision.rule_set);
    match decision.causes.first() {
        Some(first) => Refusal { rule_set, told: first.told.clone(), cause: first.cause.clone() },
        // A rule set of forbids alone: nothing in it permits.
        None => {
            let told = told("not_permitted", "No rule permits this payment.");
            Refusal { rule_set, told: told.clone(), cause: told }
        }
    }
}

fn decide(rules: &Compiled, shared: &Result<Shared<'_>, FactsError>) -> Decision {
    let refused = |policies, causes| Decision { rule_set: rules.hash, permitted: false, policies, causes };
    let request = shared.as_ref().map_err(FactsError::clone);
    let request = match request.and_then(|shared| shared.request(&rules.manifest.attestations, &rules.looks))
    {
        Ok(request) => request,
        Err(error) => return refused(Vec::new(), vec![unfit(&error)]),
    };
    let answer = ask(&rules.rules, request.clone());
    if !answer.errors.is_empty() {
        let causes = answer.errors.into_iter().map(|(policy, error)| erred(policy, &error)).collect();
        return refused(answer.policies, causes);
    }
    if answer.permitted {
        return Decision {
            rule_set: rules.hash,
            permitted: true,
            policies: answer.policies,
            causes: Vec::new(),
        };
    }
    let causes = if answer.policies.is_empty() {
        lacking(rules, request)
    } else {
        let forbids = rules.rules.iter().filter(|rule| answer.policies.contains(&rule.id));
        forbids.map(|rule| cause(rule, None)).collect()
    };
    refused(answer.policies, causes)
}

/// What Cedar says, with everything that it would pass over.
pub(crate) struct Answer {
    pub(crate) permitted: bool,
    pub(crate) policies: Vec<String>,
    pub(crate) errors: Vec<(String, String)>,
}

/// Asks Cedar's evaluator about each rule, and answers as its authorizer does: a forbid beats every permit, and nothing is
/// permitted that no rule permits. (The authorizer puts a policy's condition together anew for every request.) A claim's
/// entities have neither attributes nor parents: all a policy may see is in the context.
fn ask(rules: &[Rule], request: Request) -> Answer {
    let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let holds = evaluator(request);
    for rule in rules {
        match holds(&rule.condition) {
            Ok(true) if rule.permits => permits.push(rule.id.clone()),
            Ok(true) => forbids.push(rule.id.clone()),
            Ok(false) => {}
            Err(error) => {
                errors
                    .push((rule.id.clone(), format!("error while evaluating policy `{}`: {error}", rule.id)));
            }
        }
    }
    let permitted = forbids.is_empty() && !permits.is_empty() && errors.is_empty();
    let mut policies = if forbids.is_empty() { permits } else { forbids };
    policies.sort_unstable();
    errors.sort_unstable();
    Answer { permitted, policies, errors }
}

/// Whether a condition holds under a request, or why Cedar cannot say.
fn evaluator(request: Request) -> impl Fn(&Expr) -> Result<bool, String> {
    static NOBODY: LazyLock<Nobody> = LazyLock::new(Nobody::new);
    let (evaluator, slots) = (Evaluator::new(request, &NOBODY, Extensions::all_available()), SlotEnv::new());
    move |condition| match evaluator.interpret(condition, &slots) {
        Ok(Value { value: ValueKind::Lit(Literal::Bool(holds)), .. }) => Ok(holds),
        Ok(other) => Err(format!("{other} is neither true nor false")),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks Cedar. An error of any policy, permit or forbid, takes the permission away.
pub(crate) fn ask_among(set: &PolicySet, request: &cedar_policy::Request, entities: &Entities) -> Answer {
    let response = Authorizer::new().is_authorized(request, set, entities);
    let name = |id: &cedar_policy::PolicyId| AsRef::<str>::as_ref(id).to_owned();
    let mut policies: Vec<String> = response.diagnostics().reason().map(name).collect();
    policies.sort_unstable();
    let mut errors: Vec<(String, String)> = response
        .diagnostics()
        .errors()
        .map(|AuthorizationError::PolicyEvaluationError(error)| (name(error.policy_id()), error.to_string()))
        .collect();
    errors.sort_unstable();
    Answer { permitted: response.decision() == Cedar::Allow && errors.is_empty(), policies, errors }
}

/// Default denial: what each permit lacks, the one that came furthest first.
fn lacking(rules: &Compiled, request: Request) -> Vec<Cause> {
    let holds = evaluator(request);
    let met = |condition: &Expr| holds(condition) == Ok(true);
    let mut lacking: Vec<(usize, Cause)> = rules
        .rules
        .iter()
        .filter_map(|rule| Some((rule, rule.steps.as_ref()?)))
        .map(|(rule, steps)| {
            if !met(&steps.scope) {
                return (0, cause(rule, None));
            }
            let met = steps.conditions.iter().take_while(|condition| met(condition)).count();
            (met + 1, cause(rule, Some(met)))
        })
        .collect();
    lacking.sort_by_key(|(met, _)| std::cmp::Reverse(*met));
    lacking.into_iter().map(|(_, cause)| cause).collect()
}

fn cause(rule: &Rule, failed: Option<usize>) -> Cause {
    Cause { policy: Some(rule.id.clone()), cause: rule.cause(failed), told: rule.told(failed) }
}

fn erred(policy: String, error: &str) -> Cause {
    let cause = told("policy_error", &format!("The rule {policy} could not be evaluated: {error}"));
    let told = told("policy_error", "A rule could not be evaluated on this claim, so it cannot be paid now.");
    Cause { policy: Some(policy), cause, told }
}

fn unfit(error: &FactsError) -> Cause {
    let sentence = error.to_string();
    let mut letters = sentence.chars();
    let capital = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let told = told(error.code(), &format!("{capital}{}.", letters.as_str()));
    Cause { policy: None, cause: told.clone(), told }
}

fn told(code: &str, sentence: &str) -> Told {
    Told { code: code.to_owned(), sentence: sentence.to_owned() }
}
