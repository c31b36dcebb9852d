//! A mandate's text becomes something that answers commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use cedar_policy::{Effect, PolicySet, Schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_core::amount::{Amount, Total};
use sluice_core::limits::RULES_BYTES_MAX;
use std::sync::OnceLock;

use super::ActionKind;
use super::facts::Spending;
use crate::rules::policies::{self, Named};
use crate::rules::{
    Explained, Hash, Problem, Problems, Reader, Words, rounding, schema_of, sentence, template,
};

/// The first byte of [`Mandate::encode`]; it also names the schema.
const FORMAT: u8 = 1;
/// A mandate's name and version.
const NAME_BYTES_MAX: usize = 100;
/// Annotations besides `@id`.
const ANNOTATIONS: [&str; 5] = ["limit_amount", "limit_count", "limit_each", "reason", "message"];

/// What one authority may do. Immutable, named by the SHA-256 of its canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    /// The institution that may.
    pub holder: B256,
    /// A name for people, as `payment operator`.
    pub name: String,
    /// Which version of it, in its author's words.
    pub version: String,
    /// The Cedar policies; in `mandate.toml` they stand in a file of their own.
    #[serde(default)]
    pub policies: String,
}

/// The Cedar schema of mandates, format 1: subjects inside one another, and one action for each [`ActionKind`].
pub fn schema() -> &'static str {
    static SCHEMA: OnceLock<String> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut text = String::from(
            "entity Authority;\nentity Stream;\nentity Jurisdiction in [Stream];\n\
             entity Campaign in [Stream, Jurisdiction];\nentity Round in [Campaign];\n\
             entity Entitlement in [Round];\nentity Person in [Stream, Jurisdiction];\n\n\
             type Accepted = {\n  year: Long,\n  month: Long,\n  day: Long,\n  date: Long,\n  weekday: Long,\n  \
             hour: Long,\n};\n\naction ",
        );
        let names: Vec<_> = ActionKind::ALL.iter().map(|kind| kind.as_str()).collect();
        text.push_str(&names.join(", "));
        let _ = write!(
            text,
            " appliesTo {{\n  principal: Authority,\n  resource: [Stream, Jurisdiction, Campaign, Round, Entitlement, \
             Person],\n  context: {{\n    count: Long,\n    delegated: Bool,\n    amount_up?: decimal,\n    \
             amount_down?: decimal,\n    accepted: Accepted,\n  }},\n}};\n"
        );
        text
    })
}

/// The schema, read once: with all its actions that takes longer than checking a mandate.
fn compiled_schema() -> Result<Schema, Problems> {
    static SCHEMA: OnceLock<Result<Schema, Problems>> = OnceLock::new();
    SCHEMA.get_or_init(|| schema_of(schema())).clone()
}

/// Up to how much a permit goes. `None` sets no bound.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct Limits {
    /// Base units over the mandate's life.
    pub amount: Option<Total>,
    /// Items over the mandate's life.
    pub count: Option<u64>,
    /// Base units of one item.
    pub each: Option<Amount>,
}

/// A command that leaves its limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// The sum.
    #[error("{wanted} base units besides {spent} spent before exceed the mandate's {limit}")]
    Amount {
        /// What the command is about.
        wanted: Total,
        /// What went before.
        spent: Total,
        /// The bound.
        limit: Total,
    },
    /// The number of items.
    #[error("{wanted} items besides {spent} before exceed the mandate's {limit}")]
    Count {
        /// Items of the command.
        wanted: u64,
        /// Items before.
        spent: u64,
        /// The bound.
        limit: u64,
    },
    /// One item.
    #[error("an item of {wanted} base units exceeds the mandate's {limit} for each")]
    Each {
        /// The largest item.
        wanted: Amount,
        /// The bound.
        limit: Amount,
    },
    /// A limit on money, and the command does not say how much it is about.
    #[error("the mandate limits amounts, and the command names none")]
    Unknown,
}

impl Limits {
    /// The stricter of the two in each respect.
    pub fn and(self, other: Self) -> Self {
        fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, None) | (None, one) => one,
            }
        }
        Self {
            amount: least(self.amount, other.amount),
            count: least(self.count, other.count),
            each: least(self.each, other.each),
        }
    }

    /// Whether `count` items and `spending` fit, after what was `spent` (base units, items) under these limits before.
    pub fn admit(
        &self,
        spent: (Total, u64),
        count: u64,
        spending: Option<Spending>,
    ) -> Result<(), OverLimit> {
        if let Some(limit) = self.count {
            let (wanted, spent) = (count, spent.1);
            if spent.checked_add(wanted).is_none_or(|sum| sum > limit) {
                return Err(OverLimit::Count { wanted, spent, limit });
            }
        }
        if self.amount.is_none() && self.each.is_none() {
            return Ok(());
        }
        let spending = spending.ok_or(OverLimit::Unknown)?;
        if let Some(limit) = self.each.filter(|limit| spending.largest > *limit) {
            return Err(OverLimit::Each { wanted: spending.largest, limit });
        }
        if let Some(limit) = self.amount {
            let (wanted, spent) = (spending.total, spent.0);
            if spent.checked_add_total(wanted).is_none_or(|sum| sum > limit) {
                return Err(OverLimit::Amount { wanted, spent, limit });
            }
        }
        Ok(())
    }
}

/// A mandate, checked and ready to answer.
#[derive(Debug)]
pub struct CompiledMandate {
    pub(super) hash: Hash,
    pub(super) mandate: Mandate,
    pub(super) set: PolicySet,
    pub(super) limits: BTreeMap<String, Limits>,
    pub(super) messages: BTreeMap<String, (String, Option<String>)>,
    explained: Vec<Explained>,
}

impl Mandate {
    /// A mandate from its two texts, `mandate.toml` and `policies.cedar`, with everything checked; Cedar's warnings are
    /// problems here.
    pub fn build(manifest: &str, policies: &str) -> Result<(Self, CompiledMandate), Problems> {
        let mut mandate: Self = toml::from_str(manifest).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            Problem::at("manifest", manifest, offset, error.message())
        })?;
        if mandate.policies.is_empty() {
            mandate.policies = policies.replace("\r\n", "\n");
        }
        let (compiled, warnings) = CompiledMandate::of(&mandate)?;
        if warnings.is_empty() { Ok((mandate, compiled)) } else { Err(Problems(warnings)) }
    }

    /// The canonical bytes: one format byte, then borsh.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        BorshSerialize::serialize(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    /// Reads what [`Self::encode`] wrote; any other bytes are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.len() > RULES_BYTES_MAX {
            let message = format!("{} bytes; a mandate has at most {RULES_BYTES_MAX}", bytes.len());
            return Err(Problem::of("bytes", message));
        }
        match bytes.split_first() {
            Some((&FORMAT, body)) => {
                borsh::from_slice(body).map_err(|error| Problem::of("bytes", format!("no mandate: {error}")))
            }
            _ => Err(Problem::of("bytes", format!("not a mandate of format {FORMAT}"))),
        }
    }

    /// SHA-256 of the canonical bytes: the mandate's name.
    pub fn hash(&self) -> Hash {
        Hash(Sha256::digest(self.encode()).into())
    }
}

impl CompiledMandate {
    /// Reads and checks the canonical bytes of a mandate.
    pub fn compile(bytes: &[u8]) -> Result<Self, Problems> {
        Self::of(&Mandate::decode(bytes)?).map(|(compiled, _)| compiled)
    }

    fn of(mandate: &Mandate) -> Result<(Self, Vec<Problem>), Problems> {
        for (what, text) in [("name", &mandate.name), ("version", &mandate.version)] {
            if text.is_empty() || text.len() > NAME_BYTES_MAX {
                let message = format!("{what} must have 1 to {NAME_BYTES_MAX} bytes");
                return Err(Problem::of("manifest", message).into());
            }
        }
        if mandate.encode().len() > RULES_BYTES_MAX {
            return Err(Problem::of("bytes", format!("more than {RULES_BYTES_MAX} bytes in all")).into());
        }
        let source = mandate.policies.as_str();
        let named = policies::parse(source, &ANNOTATIONS)?;
        let set = policies::set(&named)?;
        let (mut problems, warnings) = policies::validate(source, &set, compiled_schema()?);
        let (mut limits, mut messages, mut explained) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for named in &named {
            match policy(named) {
                Ok((bound, sentence)) => {
                    let code = named.annotation("reason").map(str::to_owned);
                    explained.push(Explained {
                        id: named.id.clone(),
                        sentence,
                        reason: code.clone().unwrap_or_else(|| "not_mandated".to_owned()),
                        claimant: None,
                    });
                    let code = code.unwrap_or_else(|| "mandate_forbids".to_owned());
                    messages.insert(named.id.clone(), (code, named.annotation("message").map(str::to_owned)));
                    limits.insert(named.id.clone(), bound);
                }
                Err(found) => problems.extend(
                    found.into_iter().map(|message| Problem::at("policies", source, named.offset, message)),
                ),
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let (hash, mandate) = (mandate.hash(), mandate.clone());
        Ok((Self { hash, mandate, set, limits, messages, explained }, warnings))
    }

    /// The mandate's name.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The mandate.
    pub fn mandate(&self) -> &Mandate {
        &self.mandate
    }

    /// The limits of one of its permits; `None` for an id it does not have.
    pub fn limits(&self, policy: &str) -> Option<Limits> {
        self.limits.get(policy).copied()
    }
}

/// Every policy of a mandate as a sentence, with its limits.
pub fn explain_mandate(compiled: &CompiledMandate) -> &[Explained] {
    &compiled.explained
}

fn policy(named: &Named) -> Result<(Limits, String), Vec<String>> {
    let body = template(&named.policy).map_err(|message| vec![message])?;
    let mut problems = rounding::check(&body);
    let read = |key: &str| named.annotation(key).map(str::to_owned);
    let (amount, count, each) = (read("limit_amount"), read("limit_count"), read("limit_each"));
    if named.policy.effect() == Effect::Forbid && (amount.is_some() || count.is_some() || each.is_some()) {
        problems.push("limits belong to permits; a forbid has none".to_owned());
    }
    fn number<T: std::str::FromStr>(
        key: &str,
        text: Option<String>,
        problems: &mut Vec<String>,
    ) -> Option<T> {
        let text = text?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            problems.push(format!("@{key}({text:?}) is not a whole number of base units or items"));
        }
        parsed
    }
    let limits = Limits {
        amount: number("limit_amount", amount, &mut problems),
        count: number("limit_count", count, &mut problems),
        each: number("limit_each", each, &mut problems),
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut text = sentence(&body, Words::Command, Reader::Office);
    let bounds = [
        limits.amount.map(|amount| format!("{amount} base units in all")),
        limits.count.map(|count| format!("{count} items in all")),
        limits.each.map(|each| format!("{each} base units for each item")),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    if !bounds.is_empty() {
        text.truncate(text.len() - 1);
        let _ = write!(text, ", at most {}.", bounds.join(" and "));
    }
    Ok((limits, text))
}
