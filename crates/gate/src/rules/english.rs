//! Each rule as an English sentence, made from the policy's structure: the same policy always gives the same sentence,
//! and what has no words here is shown as Cedar text.

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, Effect, EntityOrSlot, Expr, Literal, PatternElem,
    PrincipalConstraint, ResourceConstraint, Template, UnaryOp, Var,
};
use serde::Serialize;

use super::compile::Compiled;

/// Sets of more values than this are counted, not listed, for claimants.
const LISTED_MAX: usize = 8;
/// Text of this many hexadecimal digits is an address or an id, perhaps somebody's.
const HEX_DIGITS_OF_SOMEBODY: usize = 40;

/// Who reads a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A mandate holder, who sees the rule as it is.
    Office,
    /// A claimant, who is not shown values that may be other people's: addresses, ids, entities, long lists.
    Claimant,
}

/// What the variables of a policy stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// A claim under a rule set.
    Claim,
    /// A command under a mandate.
    Command,
}

/// A rule in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The policy's id.
    pub id: String,
    /// The rule.
    pub sentence: String,
    /// The code of its refusal.
    pub reason: String,
    /// The code that the claimant is given, where it is another.
    pub claimant: Option<String>,
}

/// Every rule of a set as a sentence, in the order in which they were written.
pub fn explain(compiled: &Compiled) -> Vec<Explained> {
    let explained = |rule: &super::compile::Rule| Explained {
        id: rule.id.clone(),
        sentence: sentence(&rule.body, Words::Claim, Reader::Office),
        reason: rule.code.clone(),
        claimant: rule.shown.as_ref().map(|shown| shown.code.clone()),
    };
    compiled.rules.iter().map(explained).collect()
}

/// A policy as a sentence.
pub(crate) fn sentence(body: &Template, words: Words, reader: Reader) -> String {
    let verb = if body.effect == Effect::Permit { "Permit" } else { "Forbid" };
    let (mut whens, mut unlesses) = (scope(body, words, reader), Vec::new());
    for clause in body.clauses() {
        match clause {
            Clause::When(expr) => whens.push(condition(expr, words, reader)),
            Clause::Unless(expr) => unlesses.push(condition(expr, words, reader)),
        }
    }
    let mut text = format!("{verb} {}", object(body, words));
    if !whens.is_empty() {
        text.push_str(&format!(" when {}", whens.join(" and ")));
    }
    if !unlesses.is_empty() {
        text.push_str(&format!(", unless {}", unlesses.join(" or ")));
    }
    text.push('.');
    text
}

/// One condition of a policy, as a clause that can follow "when".
pub(crate) fn clause(clause: &Clause, words: Words, reader: Reader) -> String {
    match clause {
        Clause::When(expr) => condition(expr, words, reader),
        Clause::Unless(expr) => negated(expr, words, reader),
    }
}

fn object(body: &Template, words: Words) -> String {
    match (words, &body.action) {
        (Words::Claim, _) => "payment".to_owned(),
        (Words::Command, ActionConstraint::Any) => "every command".to_owned(),
        (Words::Command, ActionConstraint::Eq(action)) => action.eid.replace('_', " "),
        (Words::Command, ActionConstraint::In(actions)) => {
            listed(actions.iter().map(|action| action.eid.replace('_', " ")).collect(), "and")
        }
    }
}

fn scope(body: &Template, words: Words, reader: Reader) -> Vec<String> {
    let mut parts = Vec::new();
    let (principal, resource) = (variable(&Var::Principal, words), variable(&Var::Resource, words));
    let one = |who: &EntityOrSlot| match who {
        EntityOrSlot::Entity(uid) => entity(&uid.ty.to_string(), &uid.eid, reader),
        EntityOrSlot::Slot(slot) => format!("`{slot}`"),
    };
    match &body.principal {
        PrincipalConstraint::Any => {}
        PrincipalConstraint::Eq(who) => parts.push(format!("{principal} is {}", one(who))),
        PrincipalConstraint::In(who) => parts.push(format!("{principal} belongs to {}", one(who))),
        PrincipalConstraint::Is(kind) => parts.push(format!("{principal} is {}", article(&kind.to_string()))),
        PrincipalConstraint::IsIn(kind, who) => {
            parts.push(format!("{principal} is {} in {}", article(&kind.to_string()), one(who)));
        }
    }
    match &body.resource {
        ResourceConstraint::Any => {}
        ResourceConstraint::Eq(what) => parts.push(format!("{resource} is {}", one(what))),
        ResourceConstraint::In(what) => parts.push(format!("{resource} belongs to {}", one(what))),
        ResourceConstraint::Is(kind) => parts.push(format!("{resource} is {}", article(&kind.to_string()))),
        ResourceConstraint::IsIn(kind, what) => {
            parts.push(format!("{resource} is {} in {}", article(&kind.to_string()), one(what)));
        }
    }
    parts
}

/// An expression of truth.
pub(crate) fn condition(expr: &Expr, words: Words, reader: Reader) -> String {
    let value = |expr: &Expr| noun(expr, words, reader);
    match expr {
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            format!("{} and {}", inside(left, words, reader), inside(right, words, reader))
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            format!("{} or {}", condition(left, words, reader), condition(right, words, reader))
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => negated(expr, words, reader),
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => match &**left {
            Expr::Set(_) => format!("{} is one of {}", value(right), value(left)),
            _ => format!("{} contains {}", value(left), value(right)),
        },
        Expr::BinaryOp { op: BinaryOp::In, left, right } => {
            format!("{} belongs to {}", value(left), value(right))
        }
        Expr::BinaryOp { op, left, right } => match comparison(*op) {
            Some(verb) => format!("{} {verb} {}", value(left), value(right)),
            None => cedar(expr, reader),
        },
        Expr::UnaryOp { op: UnaryOp::IsEmpty, expr } => format!("{} is empty", value(expr)),
        Expr::HasAttr { expr, attrs } => {
            present(expr, &attrs.iter().map(|attr| attr.as_str()).collect::<Vec<_>>(), words, reader)
        }
        Expr::Like { expr, pattern } => {
            let pattern: String = pattern
                .iter()
                .map(|part| match part {
                    PatternElem::Char(letter) => *letter,
                    PatternElem::Wildcard => '*',
                })
                .collect();
            format!("{} looks like {}", value(expr), text(&pattern, reader))
        }
        Expr::Is { expr, entity_type, in_expr: None } => {
            format!("{} is {}", value(expr), article(&entity_type.to_string()))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => format!(
            "(if {} then {}, else {})",
            condition(cond, words, reader),
            condition(then_expr, words, reader),
            condition(else_expr, words, reader)
        ),
        Expr::Literal(Literal::Bool(true)) => "always".to_owned(),
        Expr::Literal(Literal::Bool(false)) => "never".to_owned(),
        Expr::GetAttr { expr: of, attr } if is_context(of) && attr == "redirected" => {
            "the payment goes to another address than the listed one".to_owned()
        }
        Expr::GetAttr { .. } => format!("{} is true", value(expr)),
        other => cedar(other, reader),
    }
}

/// A part of a conjunction; an "or" in it needs its bounds shown.
fn inside(expr: &Expr, words: Words, reader: Reader) -> String {
    match expr {
        Expr::BinaryOp { op: BinaryOp::Or, .. } => format!("({})", condition(expr, words, reader)),
        _ => condition(expr, words, reader),
    }
}

fn negated(expr: &Expr, words: Words, reader: Reader) -> String {
    let value = |expr: &Expr| noun(expr, words, reader);
    match expr {
        Expr::GetAttr { expr: of, attr } if is_context(of) && attr == "redirected" => {
            "the payment goes to the listed address".to_owned()
        }
        Expr::GetAttr { .. } => format!("{} is false", value(expr)),
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => match &**left {
            Expr::Set(_) => format!("{} is none of {}", value(right), value(left)),
            _ => format!("{} does not contain {}", value(left), value(right)),
        },
        Expr::BinaryOp { op: BinaryOp::Eq, left, right } => {
            format!("{} is not {}", value(left), value(right))
        }
        Expr::UnaryOp { op: UnaryOp::IsEmpty, expr } => format!("{} is not empty", value(expr)),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => condition(expr, words, reader),
        _ => format!("it is not so that {}", inside(expr, words, reader)),
    }
}

fn comparison(op: BinaryOp) -> Option<&'static str> {
    Some(match op {
        BinaryOp::Eq => "is",
        BinaryOp::NotEq => "is not",
        BinaryOp::Less | BinaryOp::DecimalLessThan => "is below",
        BinaryOp::LessEq | BinaryOp::DecimalLessEq => "is at most",
        BinaryOp::Greater | BinaryOp::DecimalGreater => "is above",
        BinaryOp::GreaterEq | BinaryOp::DecimalGreaterEq => "is at least",
        BinaryOp::ContainsAll => "contains all of",
        BinaryOp::ContainsAny => "contains any of",
        _ => return None,
    })
}

/// An expression of value.
fn noun(expr: &Expr, words: Words, reader: Reader) -> String {
    match expr {
        Expr::Literal(Literal::Bool(value)) => value.to_string(),
        Expr::Literal(Literal::Long(value)) => value.to_string(),
        Expr::Literal(Literal::String(value)) => text(value, reader),
        Expr::Literal(Literal::EntityUID(uid)) => entity(&uid.ty.to_string(), &uid.eid, reader),
        Expr::Var(var) => variable(var, words).to_owned(),
        Expr::UnaryOp { op: UnaryOp::Decimal, expr } => match &**expr {
            Expr::Literal(Literal::String(value)) => value.to_string(),
            other => cedar(other, reader),
        },
        Expr::UnaryOp { op: UnaryOp::Neg, expr } => format!("minus {}", noun(expr, words, reader)),
        Expr::BinaryOp { op, left, right } => {
            let sign = match op {
                BinaryOp::Add => "+",
                BinaryOp::Sub => "-",
                BinaryOp::Mul => "×",
                _ => return format!("whether {}", inside(expr, words, reader)),
            };
            format!("({} {sign} {})", noun(left, words, reader), noun(right, words, reader))
        }
        Expr::GetAttr { expr, attr } => attribute(expr, attr, words, reader),
        Expr::Set(items) if reader == Reader::Claimant && items.len() > LISTED_MAX => {
            format!("{} listed values", items.len())
        }
        Expr::Set(items) => listed(items.iter().map(|item| noun(item, words, reader)).collect(), "or"),
        other => cedar(other, reader),
    }
}

fn attribute(of: &Expr, attr: &str, words: Words, reader: Reader) -> String {
    let plain = || attr.replace('_', " ");
    match of {
        Expr::Var(Var::Context) => match attr {
            "amount_up" | "amount_down" => "the amount".to_owned(),
            "to" => "the receiving address".to_owned(),
            "redirected" => "whether the payment is redirected".to_owned(),
            _ => format!("the {}", plain()),
        },
        Expr::Var(var) => format!("{} of {}", plain(), variable(var, words)),
        Expr::GetAttr { expr: outer, attr: middle } if is_context(outer) && middle == "accepted" => {
            let of = if words == Words::Claim { "the claim's" } else { "the command's" };
            format!("{of} {}", plain())
        }
        Expr::GetAttr { expr: outer, attr: attestation } if is_attestations(outer) => {
            format!("{} ({})", plain(), attestation.replace('_', " "))
        }
        other => format!("{} of {}", plain(), noun(other, words, reader)),
    }
}

fn present(of: &Expr, path: &[&str], words: Words, reader: Reader) -> String {
    let name = |part: &str| part.replace('_', " ");
    match path {
        [attestation] if is_attestations(of) => format!("there is an attestation of {}", name(attestation)),
        ["attestations", attestation] if is_context(of) => {
            format!("there is an attestation of {}", name(attestation))
        }
        ["amount_up" | "amount_down"] if is_context(of) => "the amount is known".to_owned(),
        [one] if is_context(of) => format!("the {} is known", name(one)),
        [one] => format!("{} has {}", noun(of, words, reader), article(&name(one))),
        _ => format!("{} has {}", noun(of, words, reader), name(&path.join(", "))),
    }
}

fn is_context(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Context))
}

fn is_attestations(expr: &Expr) -> bool {
    matches!(expr, Expr::GetAttr { expr, attr } if is_context(expr) && attr == "attestations")
}

fn variable(var: &Var, words: Words) -> &'static str {
    match (var, words) {
        (Var::Principal, Words::Claim) => "the claimant",
        (Var::Resource, Words::Claim) => "the round",
        (Var::Context, Words::Claim) => "the claim",
        (Var::Principal, Words::Command) => "the authority",
        (Var::Resource, Words::Command) => "the subject",
        (Var::Context, Words::Command) => "the command",
        (Var::Action, _) => "the action",
    }
}

fn entity(kind: &str, id: &str, reader: Reader) -> String {
    match reader {
        Reader::Office => format!("{} {}", kind.to_lowercase(), text(id, reader)),
        Reader::Claimant => format!("a certain {}", kind.to_lowercase()),
    }
}

fn text(value: &str, reader: Reader) -> String {
    let digits = value.strip_prefix("0x").unwrap_or(value);
    let hexadecimal = digits.len() >= HEX_DIGITS_OF_SOMEBODY && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if reader == Reader::Claimant && hexadecimal {
        return "a certain address or id".to_owned();
    }
    let plain = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || "-_./".contains(c));
    if plain { value.to_owned() } else { format!("{value:?}") }
}

fn cedar(expr: &Expr, reader: Reader) -> String {
    match reader {
        Reader::Office => format!("`{expr}`"),
        Reader::Claimant => "a condition of these rules holds".to_owned(),
    }
}

fn article(noun: &str) -> String {
    let noun = noun.to_lowercase();
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn listed(mut items: Vec<String>, word: &str) -> String {
    match items.pop() {
        None => "nothing".to_owned(),
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{} {word} {last}", items.join(", ")),
    }
}
