//! What the policies of a rule set look at. A claim's context has some twenty parts and most rules read two or three; the
//! others need not be made for them. That changes no answer: a policy is evaluated on exactly the parts that it names.

use std::collections::BTreeSet;

use cedar_policy::pst::{Clause, Expr, Template, Var};

use super::types::AttestationTypes;

/// A part of a claim's context besides its attestations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Campaign,
    Round,
    Index,
    Recipient,
    To,
    Redirected,
    AmountUp,
    AmountDown,
    Person,
    Accepted,
}

impl Part {
    pub(crate) const ALL: [Self; 10] = [
        Self::Campaign,
        Self::Round,
        Self::Index,
        Self::Recipient,
        Self::To,
        Self::Redirected,
        Self::AmountUp,
        Self::AmountDown,
        Self::Person,
        Self::Accepted,
    ];

    /// Its name in policies.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Round => "round",
            Self::Index => "index",
            Self::Recipient => "recipient",
            Self::To => "to",
            Self::Redirected => "redirected",
            Self::AmountUp => "amount_up",
            Self::AmountDown => "amount_down",
            Self::Person => "person",
            Self::Accepted => "accepted",
        }
    }
}

/// What a rule set looks at, in the order of its manifest's attestations.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    pub(crate) parts: Vec<Part>,
    pub(crate) attestations: Vec<LooksAtAttestation>,
}

/// What it looks at in one of its attestations.
#[derive(Clone, Debug)]
pub(crate) struct LooksAtAttestation {
    /// Whether at anything, be it only that there is one.
    pub(crate) itself: bool,
    pub(crate) schema: bool,
    pub(crate) issuer: bool,
    /// At which fields, in the order of the manifest's.
    pub(crate) fields: Vec<bool>,
}

impl Looks {
    /// Of these policies.
    pub(crate) fn of<'a>(policies: impl IntoIterator<Item = &'a Template>, types: &AttestationTypes) -> Self {
        let mut paths = Paths::default();
        for clause in policies.into_iter().flat_map(Template::clauses) {
            match clause {
                Clause::When(expr) | Clause::Unless(expr) => paths.walk(expr),
            }
        }
        Self::at(&paths, types)
    }

    /// At everything there is: what pruned contexts are compared with.
    #[cfg(test)]
    pub(crate) fn everything(types: &AttestationTypes) -> Self {
        Self::at(&Paths(BTreeSet::from([Vec::new()])), types)
    }

    fn at(paths: &Paths, types: &AttestationTypes) -> Self {
        let attestation = |(name, wanted): (&String, &super::types::AttestationType)| {
            let part = |part: &str| paths.touch(&["attestations", name, part]);
            LooksAtAttestation {
                itself: paths.touch(&["attestations", name]),
                schema: part("schema"),
                issuer: part("issuer"),
                fields: wanted.fields.keys().map(|field| part(field)).collect(),
            }
        };
        Self {
            parts: Part::ALL.into_iter().filter(|part| paths.touch(&[part.name()])).collect(),
            attestations: types.iter().map(attestation).collect(),
        }
    }
}

/// The paths below `context` that expressions read, or ask whether they are there; the empty one is the context as a whole.
#[derive(Debug, Default)]
struct Paths(BTreeSet<Vec<String>>);

impl Paths {
    /// Whether something reads what stands at a path, a part of it, or a whole that it is part of.
    fn touch(&self, path: &[&str]) -> bool {
        self.0.iter().any(|read| read.iter().zip(path).all(|(a, b)| a == b))
    }

    fn walk(&mut self, expr: &Expr) {
        if let Some(path) = path(expr) {
            self.0.insert(path);
            return;
        }
        match expr {
            Expr::Literal(_) | Expr::Var(_) | Expr::Slot(_) => {}
            Expr::HasAttr { expr, attrs } => match path(expr) {
                Some(mut path) => {
                    path.extend(attrs.iter().map(ToString::to_string));
                    self.0.insert(path);
                }
                None => self.walk(expr),
            },
            Expr::UnaryOp { expr, .. } | Expr::GetAttr { expr, .. } | Expr::Like { expr, .. } => {
                self.walk(expr)
            }
            Expr::BinaryOp { left, right, .. } => {
                self.walk(left);
                self.walk(right);
            }
            Expr::Is { expr, in_expr, .. } => {
                self.walk(expr);
                in_expr.iter().for_each(|expr| self.walk(expr));
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                [cond, then_expr, else_expr].into_iter().for_each(|expr| self.walk(expr));
            }
            Expr::Set(items) => items.iter().for_each(|item| self.walk(item)),
            Expr::Record(fields) => fields.values().for_each(|value| self.walk(value)),
            // An expression that this program does not know may read anything.
            _ => {
                self.0.insert(Vec::new());
            }
        }
    }
}

/// The path of an expression that does nothing but go down from the context.
fn path(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Var(Var::Context) => Some(Vec::new()),
        Expr::GetAttr { expr, attr } => {
            let mut path = path(expr)?;
            path.push(attr.to_string());
            Some(path)
        }
        _ => None,
    }
}
