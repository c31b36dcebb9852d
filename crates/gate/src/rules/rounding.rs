//! Amounts are rounded away from permission.
//!
//! Cedar's `decimal` has four digits after the point, a token has up to eighteen and more. So a claim's context has
//! the amount twice: `amount_up`, never below the true amount, and `amount_down`, never above it. A rule that caps
//! amounts must look at `amount_up`, a rule that asks for a minimum at `amount_down`; then a rounded amount can only
//! refuse what the exact one would have permitted, by less than a ten-thousandth of a token. Against a constant of at
//! most four digits `<=` and `>=` decide exactly as they would on the exact amount.
//!
//! Nobody has to remember this: [`check`] follows each comparison's direction through `&&`, `||`, `!`, `unless` and
//! `forbid`, and refuses the wrong one of the two, and every use whose direction cannot be told.

use cedar_policy::pst::{BinaryOp, Clause, Effect, Expr, Template, UnaryOp, Var};

/// Whether a condition's truth helps permission, hinders it, or may do either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Helps {
    Yes,
    No,
    Unknown,
}

impl Helps {
    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// What is wrong with the amounts of a policy, in sentences.
pub(crate) fn check(policy: &Template) -> Vec<String> {
    let mut problems = Vec::new();
    let when = if policy.effect == Effect::Permit { Helps::Yes } else { Helps::No };
    for clause in policy.clauses() {
        match clause {
            Clause::When(expr) => walk(expr, when, &mut problems),
            Clause::Unless(expr) => walk(expr, when.not(), &mut problems),
        }
    }
    problems
}

fn walk(expr: &Expr, helps: Helps, problems: &mut Vec<String>) {
    if let Some(found) = bound_of(expr) {
        problems.push(format!(
            "{} may only be compared, by lessThan, lessThanOrEqual, greaterThan or greaterThanOrEqual, where it is \
             plain which side of the comparison leads to a payment",
            found.name()
        ));
        return;
    }
    match expr {
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            walk(left, helps, problems);
            walk(right, helps, problems);
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => walk(expr, helps.not(), problems),
        Expr::BinaryOp { op: BinaryOp::DecimalLessThan | BinaryOp::DecimalLessEq, left, right } => {
            compare(left, right, helps, problems);
        }
        Expr::BinaryOp { op: BinaryOp::DecimalGreater | BinaryOp::DecimalGreaterEq, left, right } => {
            compare(right, left, helps, problems);
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            walk(cond, Helps::Unknown, problems);
            walk(then_expr, helps, problems);
            walk(else_expr, helps, problems);
        }
        Expr::Var(Var::Context) => problems.push(
            "the context as a whole cannot be used; name one of its fields, as context.amount_up".to_owned(),
        ),
        // Reading a field, or asking for one, does not use the context as a whole.
        Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. }
            if matches!(**expr, Expr::Var(Var::Context)) => {}
        other => children(other).into_iter().for_each(|child| walk(child, Helps::Unknown, problems)),
    }
}

/// A comparison that says `small` lies below `large`.
fn compare(small: &Expr, large: &Expr, helps: Helps, problems: &mut Vec<String>) {
    for (side, wanted_when_helping) in [(small, Bound::Up), (large, Bound::Down)] {
        let wanted = match helps {
            Helps::Yes => Some(wanted_when_helping),
            Helps::No => Some(wanted_when_helping.other()),
            Helps::Unknown => None,
        };
        match (bound_of(side), wanted) {
            (Some(found), Some(wanted)) if found != wanted => problems.push(format!(
                "{} rounds towards a payment here; write {}, which rounds away from it",
                found.name(),
                wanted.name()
            )),
            (Some(_), Some(_)) => {}
            _ => walk(side, Helps::Unknown, problems),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Up,
    Down,
}

impl Bound {
    fn other(self) -> Self {
        if self == Self::Up { Self::Down } else { Self::Up }
    }

    fn name(self) -> &'static str {
        if self == Self::Up { "context.amount_up" } else { "context.amount_down" }
    }
}

fn bound_of(expr: &Expr) -> Option<Bound> {
    match expr {
        Expr::GetAttr { expr, attr } if matches!(**expr, Expr::Var(Var::Context)) => match attr.as_str() {
            "amount_up" => Some(Bound::Up),
            "amount_down" => Some(Bound::Down),
            _ => None,
        },
        _ => None,
    }
}

/// The direct parts of an expression.
fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => vec![expr],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::Is { expr, in_expr, .. } => std::iter::once(&**expr).chain(in_expr.as_deref()).collect(),
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(items) => items.iter().map(|item| &**item).collect(),
        Expr::Record(fields) => fields.values().map(|value| &**value).collect(),
        _ => Vec::new(),
    }
}
