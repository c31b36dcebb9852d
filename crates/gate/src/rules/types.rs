//! The types rules are checked against: what a claim's context holds, generated from the attestations that a rule set
//! names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::facts::{AttestationFacts, Value};
use super::problem::Problem;

/// Attestations one rule set may look at. A claimant collects each of them; a handful is usual.
const ATTESTATIONS_MAX: usize = 16;
/// Fields of one attestation's data.
const FIELDS_MAX: usize = 64;
/// A name's length, so that generated text stays small.
const NAME_BYTES_MAX: usize = 64;

/// An attestation that a rule set looks at, under the name its policies use: `context.attestations.<name>.<field>`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationType {
    /// The schema's id, exactly as in [`AttestationFacts::schema`].
    pub schema: String,
    /// Whether every claim must carry it. Policies read a required one directly; an optional one only after
    /// `context.attestations has <name>`.
    #[serde(default)]
    pub required: bool,
    /// The fields of its data that policies may read. Others are not shown to them.
    pub fields: BTreeMap<String, FieldType>,
}

/// The type of a field of an attestation's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum FieldType {
    /// Cedar `Bool`.
    Bool = 1,
    /// Cedar `Long`, an i64.
    Long = 2,
    /// Cedar `String`; also addresses and hashes, as 0x and lower-case digits.
    String = 3,
    /// Cedar `decimal`, four digits after the point.
    Decimal = 4,
    /// Cedar `Set<String>`.
    Strings = 5,
}

impl FieldType {
    /// Cedar's word for it.
    pub(crate) fn cedar(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Long => "Long",
            Self::String => "String",
            Self::Decimal => "decimal",
            Self::Strings => "Set<String>",
        }
    }

    /// Whether the value has this type.
    pub(crate) fn admits(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Bool, Value::Bool(_))
                | (Self::Long, Value::Integer(_))
                | (Self::String, Value::Text(_))
                | (Self::Decimal, Value::Decimal { .. })
                | (Self::Strings, Value::Texts(_))
        )
    }
}

/// The attestations of a rule set, by the names its policies use.
pub type AttestationTypes = BTreeMap<String, AttestationType>;

/// The attestations of a claim, by the same names.
pub(crate) type AttestationsOfClaim = BTreeMap<String, AttestationFacts>;

/// The Cedar schema (human syntax) of format 1: the claim's context with these attestations.
///
/// `amount_up` and `amount_down` are the amount in token units rounded to four digits, up and down; which one a
/// comparison must use is in the module `rounding`. Dates are UTC: `date` is the number yyyymmdd.
pub fn schema(attestations: &AttestationTypes) -> String {
    let mut text = String::from(
        "entity Claimant;\nentity Round;\n\ntype Accepted = {\n  year: Long,\n  month: Long,\n  day: Long,\n  \
         date: Long,\n  weekday: Long,\n  hour: Long,\n};\n\ntype Attestations = {\n",
    );
    for (name, attestation) in attestations {
        let optional = if attestation.required { "" } else { "?" };
        let _ = write!(text, "  {name}{optional}: {{ schema: String, issuer: String");
        for (field, kind) in &attestation.fields {
            let _ = write!(text, ", {field}: {}", kind.cedar());
        }
        text.push_str(" },\n");
    }
    text.push_str(
        "};\n\naction pay appliesTo {\n  principal: Claimant,\n  resource: Round,\n  context: {\n    \
         campaign: String,\n    round: Long,\n    index: Long,\n    recipient: String,\n    to: String,\n    \
         redirected: Bool,\n    amount_up: decimal,\n    amount_down: decimal,\n    person?: String,\n    \
         accepted: Accepted,\n    attestations: Attestations,\n  },\n};\n",
    );
    text
}

/// Names and numbers of attestations that cannot become a schema.
pub(crate) fn check(attestations: &AttestationTypes) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |message: String| problems.push(Problem::of("manifest", message));
    if attestations.len() > ATTESTATIONS_MAX {
        wrong(format!("{} attestations; at most {ATTESTATIONS_MAX} may be named", attestations.len()));
    }
    for (name, attestation) in attestations {
        if !is_name(name) {
            wrong(format!("attestation name {name:?} is not a name: letters, digits and _, a letter first"));
        }
        if attestation.schema.is_empty() || attestation.schema.len() > 2 * NAME_BYTES_MAX {
            wrong(format!("attestation {name}: the schema's id must have 1 to {} bytes", 2 * NAME_BYTES_MAX));
        }
        if attestation.fields.len() > FIELDS_MAX {
            wrong(format!("attestation {name}: {} fields; at most {FIELDS_MAX}", attestation.fields.len()));
        }
        for field in attestation.fields.keys() {
            if !is_name(field) || field == "schema" || field == "issuer" {
                wrong(format!(
                    "attestation {name}: {field:?} cannot name a field: letters, digits and _, a letter first, and \
                     neither `schema` nor `issuer`, which every attestation has"
                ));
            }
        }
    }
    problems
}

/// A Cedar identifier that is no word of the language.
pub(crate) fn is_name(text: &str) -> bool {
    const RESERVED: [&str; 10] =
        ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&text)
}
