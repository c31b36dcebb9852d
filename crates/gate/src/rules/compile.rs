//! A rule set's bytes become something that evaluates claims.

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, Expr, PrincipalConstraint, ResourceConstraint, Template,
};
use cedar_policy::{Effect, Policy, Schema, pst};
use cedar_policy_core::ast;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::english::{self, Reader, Words};
use super::evaluate::{Told, evaluate};
use super::facts::ClaimFacts;
use super::looks::Looks;
use super::policies::{self, Named};
use super::problem::{Problem, Problems};
use super::set::{Case, Manifest, RuleSet};
use super::{Hash, rounding};

/// The annotations a rule may carry besides `@id`: the code of its refusal, its sentence, and the code that the
/// claimant is given instead.
const ANNOTATIONS: [&str; 3] = ["reason", "message", "claimant"];
/// What claimants read where the cause is not theirs to see.
const UNDER_REVIEW: &str = "under_review";
const UNDER_REVIEW_SENTENCE: &str = "Your claim is under review.";

/// A rule set, checked and ready to evaluate.
#[derive(Debug)]
pub struct Compiled {
    pub(crate) hash: Hash,
    pub(crate) manifest: Manifest,
    pub(crate) never: Vec<Case>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) looks: Looks,
}

/// One policy, with what is said when it refuses.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) permits: bool,
    /// For mandate holders; the sentence is the author's, if there is one.
    pub(crate) code: String,
    pub(crate) message: Option<String>,
    /// For claimants, where it is not the same.
    pub(crate) shown: Option<Told>,
    /// The text as written.
    pub(crate) text: String,
    pub(crate) body: Template,
    /// Scope and clauses together, as Cedar evaluates them.
    pub(crate) condition: ast::Expr,
    pub(crate) conditions: Vec<Clause>,
    /// What a permit asks for, one by one: which of it fails.
    pub(crate) steps: Option<Steps>,
}

/// A permit's scope and each of its conditions, as Cedar evaluates them.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) scope: ast::Expr,
    pub(crate) conditions: Vec<ast::Expr>,
}

impl Compiled {
    /// Reads and checks the canonical bytes of a rule set. The same bytes always give the same result.
    pub fn compile(bytes: &[u8]) -> Result<Self, Problems> {
        let set = RuleSet::decode(bytes)?;
        Self::of(&set).map(|(compiled, _)| compiled)
    }

    /// The compiled set, and Cedar's warnings.
    pub(crate) fn of(rules: &RuleSet) -> Result<(Self, Vec<Problem>), Problems> {
        let mut problems = rules.check();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let source = rules.policies.as_str();
        let named = policies::parse(source, &ANNOTATIONS)?;
        let set = policies::set(&named)?;
        let schema = schema_of(&rules.schema)?;
        let (errors, warnings) = policies::validate(source, &set, schema);
        problems.extend(errors);
        let mut compiled = Vec::with_capacity(named.len());
        for named in &named {
            match rule(named, &rules.manifest) {
                Ok(rule) => compiled.push(rule),
                Err(messages) => problems.extend(
                    messages
                        .into_iter()
                        .map(|message| Problem::at("policies", source, named.offset, message)),
                ),
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        mask_alike(&mut compiled);
        let (manifest, never) = (rules.manifest.clone(), rules.never.clone());
        let looks = Looks::of(compiled.iter().map(|rule| &rule.body), &manifest.attestations);
        Ok((Self { hash: rules.hash(), manifest, never, rules: compiled, looks }, warnings))
    }

    /// The rule set's name.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whose rules these are, and what people are told.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The ids of its policies, in the order in which they were written.
    pub fn policy_ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.id.as_str())
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }
}

impl Rule {
    /// For mandate holders: the author's sentence and the rule or condition as it is.
    pub(crate) fn cause(&self, failed: Option<usize>) -> Told {
        let rule = self.sentence(failed, Reader::Office);
        let sentence = self.message.iter().cloned().chain([rule]).collect::<Vec<_>>().join(" ");
        Told { code: self.code.clone(), sentence }
    }

    /// For the claimant: the author's sentence and, under a permit, the condition that failed, without values that may
    /// be other people's. Where the cause is masked, nothing of it.
    pub(crate) fn told(&self, failed: Option<usize>) -> Told {
        if let Some(shown) = &self.shown {
            return shown.clone();
        }
        let sentence = match &self.message {
            Some(message) if !self.permits => message.clone(),
            Some(message) => format!("{message} {}", self.sentence(failed, Reader::Claimant)),
            None => self.sentence(failed, Reader::Claimant),
        };
        Told { code: self.code.clone(), sentence }
    }

    fn sentence(&self, failed: Option<usize>, reader: Reader) -> String {
        match failed.and_then(|index| self.conditions.get(index)) {
            Some(clause) => format!("Not met: {}.", english::clause(clause, Words::Claim, reader)),
            None if self.permits => "Not met: this rule is for other claims.".to_owned(),
            None => english::sentence(&self.body, Words::Claim, reader),
        }
    }
}

pub(crate) fn schema_of(text: &str) -> Result<Schema, Problems> {
    match Schema::from_cedarschema_str(text) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(Problem::from_cedar("schema", text, &error).into()),
    }
}

/// If one of several rules with the same cause masks it, all do: else asking often would tell which one it was.
fn mask_alike(rules: &mut [Rule]) {
    let masked: BTreeMap<String, Told> =
        rules.iter().filter_map(|rule| Some((rule.code.clone(), rule.shown.clone()?))).collect();
    for rule in rules.iter_mut().filter(|rule| rule.shown.is_none()) {
        rule.shown = masked.get(&rule.code).cloned();
    }
}

fn rule(named: &Named, manifest: &Manifest) -> Result<Rule, Vec<String>> {
    let body = template(&named.policy).map_err(|message| vec![message])?;
    let mut problems = rounding::check(&body);
    let permits = named.policy.effect() == Effect::Permit;
    let default = if permits { "rule_not_met" } else { "rule_forbids" };
    let code = named.annotation("reason").unwrap_or(default).to_owned();
    if !policies::is_id(&code) {
        problems.push(format!("@reason({code:?}) is no code: 1 to 64 of a-z, A-Z, 0-9, -, _ and ."));
    }
    let reason = manifest.reasons.get(&code);
    let message =
        named.annotation("message").or(reason.map(|reason| reason.message.as_str())).map(str::to_owned);
    let shown_code = named.annotation("claimant").or(reason.and_then(|reason| reason.claimant.as_deref()));
    let shown = match shown_code {
        None => None,
        Some(shown) => match (manifest.reasons.get(shown), shown) {
            (Some(reason), _) => Some(Told { code: shown.to_owned(), sentence: reason.message.clone() }),
            (None, UNDER_REVIEW) => {
                Some(Told { code: shown.to_owned(), sentence: UNDER_REVIEW_SENTENCE.to_owned() })
            }
            (None, _) => {
                problems.push(format!(
                    "the claimant is to be told {shown:?}, which has no sentence: name it under [reasons.{shown}], or \
                     use {UNDER_REVIEW}"
                ));
                None
            }
        },
    };
    let conditions = conditions(&body);
    let steps = permits.then(|| steps(&body, &conditions)).transpose().unwrap_or_else(|message| {
        problems.push(message);
        None
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    let text = named.policy.to_cedar().unwrap_or_default();
    let condition = AsRef::<ast::Policy>::as_ref(&named.policy).condition();
    Ok(Rule { id: named.id.clone(), permits, code, message, shown, text, body, condition, conditions, steps })
}

/// The policy's syntax tree.
pub(crate) fn template(policy: &Policy) -> Result<Template, String> {
    match policy.to_pst() {
        Ok(pst::Policy::Static(policy)) => Ok(policy.body().clone()),
        Ok(pst::Policy::Linked(_)) => Err("a template cannot be used; write the policy out".to_owned()),
        Err(error) => Err(format!("the policy engine cannot show this policy's structure: {error}")),
    }
}

/// The conditions that must all hold, in their order: `when` clauses split at `&&`, `unless` clauses at `||`.
fn conditions(body: &Template) -> Vec<Clause> {
    fn split(expr: &Arc<Expr>, at: BinaryOp, wrap: fn(Arc<Expr>) -> Clause, into: &mut Vec<Clause>) {
        match &**expr {
            Expr::BinaryOp { op, left, right } if *op == at => {
                split(left, at, wrap, into);
                split(right, at, wrap, into);
            }
            _ => into.push(wrap(Arc::clone(expr))),
        }
    }
    let mut conditions = Vec::new();
    for clause in body.clauses() {
        match clause {
            Clause::When(expr) => split(expr, BinaryOp::And, Clause::When, &mut conditions),
            Clause::Unless(expr) => split(expr, BinaryOp::Or, Clause::Unless, &mut conditions),
        }
    }
    conditions
}

/// Each condition by itself: evaluated one after another they say which holds. One that errs because an earlier one does not
/// hold (a field that is not there) counts as not holding, and the earlier one is found first.
fn steps(body: &Template, conditions: &[Clause]) -> Result<Steps, String> {
    let condition = |template: Template| -> Result<ast::Expr, String> {
        let policy = pst::StaticPolicy::try_from(template).map_err(|error| error.to_string())?;
        let policy = Policy::from_pst(pst::Policy::Static(policy)).map_err(|error| error.to_string())?;
        Ok(AsRef::<ast::Policy>::as_ref(&policy).condition())
    };
    let (principal, action, resource) = (body.principal.clone(), body.action.clone(), body.resource.clone());
    let scope = condition(Template::new(body.id.clone(), pst::Effect::Permit, principal, action, resource))?;
    let alone = |clause: &Clause| {
        let anyone = Template::new(
            body.id.clone(),
            pst::Effect::Permit,
            PrincipalConstraint::Any,
            ActionConstraint::Any,
            ResourceConstraint::Any,
        );
        condition(anyone.try_with_clauses(vec![clause.clone()]).map_err(|error| error.to_string())?)
    };
    Ok(Steps { scope, conditions: conditions.iter().map(alone).collect::<Result<_, _>>()? })
}

/// A case that stands in the way of activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverFailure {
    /// The case.
    pub case: Case,
    /// What it got instead of a refusal by the rules.
    pub why: String,
}

/// Evaluates the cases that a rule set must never permit; to be done before it is activated. A case whose facts do not
/// fit the schema proves nothing, and fails too.
pub fn prove_never(compiled: &Compiled) -> Result<(), Vec<NeverFailure>> {
    let failure = |case: &Case| -> Option<String> {
        let verdict = evaluate(&[compiled], &case.facts);
        match &verdict.refusal {
            None => Some(format!("it is permitted by {}", deciding(&verdict.decisions))),
            Some(refusal)
                if refusal.cause.code == "attestation_mismatch" || refusal.cause.code == "policy_error" =>
            {
                Some(format!("the rules did not come to a decision: {}", refusal.cause.sentence))
            }
            Some(_) => None,
        }
    };
    let failures: Vec<_> = compiled
        .never
        .iter()
        .filter_map(|case| failure(case).map(|why| NeverFailure { case: case.clone(), why }))
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn deciding(decisions: &[super::Decision]) -> String {
    decisions
        .iter()
        .flat_map(|decision| decision.policies.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Case {
    /// A case by name.
    pub fn new(name: impl Into<String>, facts: ClaimFacts) -> Self {
        Self { name: name.into(), facts }
    }
}
