//! Facts become the context that Cedar sees. A rule set sees the attestations it names and no others, so what one
//! institution's rules learn is not decided by another's.

use std::sync::LazyLock;

use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Expr};
use cedar_policy_core::ast::{Name, RestrictedExpr};

use super::facts::{AttestationFacts, ClaimFacts, Value};
use super::types::{AttestationType, AttestationTypes, AttestationsOfClaim};

/// Facts that no rule can be evaluated on. Each refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// Above what Cedar's `decimal` holds.
    #[error("the amount is above 922337203685477.5807 tokens, the largest that rules can compare")]
    AmountOutOfRange,
    /// A required attestation is not there.
    #[error("the attestation {name} is required")]
    AttestationMissing {
        /// The rule set's name for it.
        name: String,
    },
    /// Under this name stands an attestation of another schema.
    #[error("the attestation {name} has schema {found}; the rule set asks for {wanted}")]
    WrongSchema {
        /// The rule set's name for it.
        name: String,
        /// What was given.
        found: String,
        /// What the rule set names.
        wanted: String,
    },
    /// A field is missing, has another type, or does not fit.
    #[error("the attestation {name} has no field {field} that is a {wanted}")]
    WrongField {
        /// The attestation.
        name: String,
        /// The field.
        field: String,
        /// Its type in the rule set.
        wanted: &'static str,
    },
    /// An index, round or date beyond an i64.
    #[error("{what} is too large for a rule")]
    NumberTooLarge {
        /// Which fact.
        what: &'static str,
    },
    /// Cedar did not take the context; a defect of this crate.
    #[error("the facts could not be handed to the policy engine: {0}")]
    Engine(String),
}

impl FactsError {
    /// The stable code of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AmountOutOfRange => "amount_out_of_range",
            Self::AttestationMissing { .. } => "attestation_missing",
            Self::WrongSchema { .. } | Self::WrongField { .. } => "attestation_mismatch",
            Self::NumberTooLarge { .. } => "facts_out_of_range",
            Self::Engine(_) => "policy_error",
        }
    }
}

/// What every rule set sees of a claim, made once for all of them: Cedar's parser takes longer than its judgement.
pub(crate) struct Shared {
    claimant: EntityUid,
    round: EntityUid,
    pairs: Vec<(String, Expr)>,
}

static CLAIMANT: LazyLock<EntityTypeName> = LazyLock::new(|| kind("Claimant"));
static ROUND: LazyLock<EntityTypeName> = LazyLock::new(|| kind("Round"));
static PAY: LazyLock<EntityUid> =
    LazyLock::new(|| EntityUid::from_type_name_and_id(kind("Action"), EntityId::new("pay")));

fn kind(name: &'static str) -> EntityTypeName {
    name.parse().expect("the name of an entity type")
}

impl Shared {
    /// Of these facts, without their attestations: of those each rule set sees its own.
    pub(crate) fn of(facts: &ClaimFacts) -> Result<Self, FactsError> {
        let recipient = lower_hex(facts.recipient.as_slice());
        let round = format!("{}/{}", facts.campaign, facts.round);
        Ok(Self {
            pairs: pairs(facts, &recipient)?,
            claimant: EntityUid::from_type_name_and_id(CLAIMANT.clone(), EntityId::new(recipient)),
            round: EntityUid::from_type_name_and_id(ROUND.clone(), EntityId::new(round)),
        })
    }

    /// The request under a rule set's attestation types.
    pub(crate) fn request(
        &self,
        given: &AttestationsOfClaim,
        types: &AttestationTypes,
    ) -> Result<Request, FactsError> {
        let attestations = [("attestations".to_owned(), attestations(given, types)?)];
        let pairs = self.pairs.iter().cloned().chain(attestations);
        let context = Context::from_pairs(pairs).map_err(|error| FactsError::Engine(error.to_string()))?;
        Request::new(self.claimant.clone(), PAY.clone(), self.round.clone(), context, None)
            .map_err(|error| FactsError::Engine(error.to_string()))
    }
}

/// An entity by type and id, without parsing the id as Cedar text.
pub(crate) fn uid(kind: &'static str, id: &str) -> Result<EntityUid, FactsError> {
    let kind: EntityTypeName =
        kind.parse().map_err(|_| FactsError::Engine(format!("no entity type {kind}")))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn pairs(facts: &ClaimFacts, recipient: &str) -> Result<Vec<(String, Expr)>, FactsError> {
    let (down, up) = facts.amount_bounds().ok_or(FactsError::AmountOutOfRange)?;
    let amount_down = decimal(&down.to_string());
    let amount_up = if up == down { amount_down.clone() } else { decimal(&up.to_string()) };
    let mut pairs = vec![
        ("campaign".to_owned(), text(facts.campaign.to_string())),
        ("round".to_owned(), long("the round", facts.round)?),
        ("index".to_owned(), long("the index", facts.index)?),
        ("recipient".to_owned(), text(recipient.to_owned())),
        ("to".to_owned(), text(lower_hex(facts.to.as_slice()))),
        ("redirected".to_owned(), Expr::new_bool(facts.is_redirected())),
        ("amount_up".to_owned(), amount_up),
        ("amount_down".to_owned(), amount_down),
        ("accepted".to_owned(), accepted(facts.accepted_at)?),
    ];
    if let Some(person) = facts.person {
        pairs.push(("person".to_owned(), text(lower_hex(person.as_slice()))));
    }
    Ok(pairs)
}

fn attestations(given: &AttestationsOfClaim, types: &AttestationTypes) -> Result<Expr, FactsError> {
    let mut fields = Vec::with_capacity(types.len());
    for (name, wanted) in types {
        match given.get(name) {
            Some(attestation) => fields.push((name.clone(), attestation_record(name, attestation, wanted)?)),
            None if wanted.required => return Err(FactsError::AttestationMissing { name: name.clone() }),
            None => {}
        }
    }
    record(fields)
}

fn attestation_record(
    name: &str,
    given: &AttestationFacts,
    wanted: &AttestationType,
) -> Result<Expr, FactsError> {
    if given.schema != wanted.schema {
        let (found, wanted) = (given.schema.clone(), wanted.schema.clone());
        return Err(FactsError::WrongSchema { name: name.to_owned(), found, wanted });
    }
    let mut fields = Vec::with_capacity(wanted.fields.len() + 2);
    fields.push(("schema".to_owned(), text(given.schema.clone())));
    fields.push(("issuer".to_owned(), text(given.issuer.clone())));
    for (field, kind) in &wanted.fields {
        let value = given.data.get(field).filter(|value| kind.admits(value)).and_then(expression);
        let value = value.ok_or_else(|| FactsError::WrongField {
            name: name.to_owned(),
            field: field.clone(),
            wanted: kind.cedar(),
        })?;
        fields.push((field.clone(), value));
    }
    record(fields)
}

/// `None` for an integer beyond an i64.
fn expression(value: &Value) -> Option<Expr> {
    Some(match value {
        Value::Bool(value) => Expr::new_bool(*value),
        Value::Integer(value) => Expr::new_long(i64::try_from(*value).ok()?),
        Value::Text(value) => text(value.clone()),
        Value::Decimal { decimal: number } => decimal(&number.to_string()),
        Value::Texts(values) => Expr::new_set(values.iter().cloned().map(text)),
    })
}

/// The parts of an instant in UTC.
pub(crate) fn accepted(millis: u64) -> Result<Expr, FactsError> {
    let seconds =
        i64::try_from(millis / 1000).map_err(|_| FactsError::NumberTooLarge { what: "the time" })?;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    // The first of January 1970 was a Thursday; Monday is 1, Sunday 7.
    let weekday = (seconds.div_euclid(86_400) + 3).rem_euclid(7) + 1;
    record(vec![
        ("year".to_owned(), Expr::new_long(year)),
        ("month".to_owned(), Expr::new_long(month)),
        ("day".to_owned(), Expr::new_long(day)),
        ("date".to_owned(), Expr::new_long(year * 10_000 + month * 100 + day)),
        ("weekday".to_owned(), Expr::new_long(weekday)),
        ("hour".to_owned(), Expr::new_long(seconds.rem_euclid(86_400) / 3_600)),
    ])
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms": eras of 400 years, the year beginning in March).
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn long(what: &'static str, value: u64) -> Result<Expr, FactsError> {
    i64::try_from(value).map(Expr::new_long).map_err(|_| FactsError::NumberTooLarge { what })
}

fn text(value: String) -> Expr {
    Expr::new_string(value)
}

/// As [`Expr::new_decimal`], which runs Cedar's parser over the name of its function each time.
pub(super) fn decimal(number: &str) -> Expr {
    static NAME: LazyLock<Name> =
        LazyLock::new(|| Name::unqualified_name("decimal".parse().expect("the name of a function")));
    RestrictedExpr::call_extension_fn(NAME.clone(), [RestrictedExpr::val(number)]).into()
}

fn record(fields: Vec<(String, Expr)>) -> Result<Expr, FactsError> {
    Expr::new_record(fields).map_err(|error| FactsError::Engine(error.to_string()))
}

fn lower_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
