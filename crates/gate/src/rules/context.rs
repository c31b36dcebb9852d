//! Facts become the context that Cedar sees. A rule set sees the attestations it names and no others, so what one
//! institution's rules learn is not decided by another's. Values are handed to Cedar as what they are: as expressions it
//! would first evaluate each of them, for every claim.

use std::cell::OnceCell;
use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use cedar_policy_core::ast::{Context, EntityUIDEntry, Name, PartialValue, Request, Value, ValueKind};
use cedar_policy_core::extensions::Extensions;

use super::facts::{AttestationFacts, ClaimFacts, Fixed4, Value as Stated};
use super::looks::{Looks, LooksAtAttestation, Part};
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

/// What every rule set sees of a claim, each part made once, when the first of them looks at it.
pub(crate) struct Shared<'a> {
    facts: &'a ClaimFacts,
    /// In token units, rounded down and up.
    amount: (Fixed4, Fixed4),
    round: i64,
    index: i64,
    recipient: String,
    claimant: EntityUIDEntry,
    resource: EntityUIDEntry,
    made: [OnceCell<Value>; Part::ALL.len()],
}

static CLAIMANT: LazyLock<EntityTypeName> = LazyLock::new(|| kind("Claimant"));
static ROUND: LazyLock<EntityTypeName> = LazyLock::new(|| kind("Round"));
static PAY: LazyLock<EntityUIDEntry> =
    LazyLock::new(|| entry(EntityUid::from_type_name_and_id(kind("Action"), EntityId::new("pay"))));

fn kind(name: &'static str) -> EntityTypeName {
    name.parse().expect("the name of an entity type")
}

fn entry(uid: EntityUid) -> EntityUIDEntry {
    EntityUIDEntry::known(uid.into(), None)
}

impl<'a> Shared<'a> {
    /// Of these facts. What no rule could be evaluated on refuses, whatever rules look at.
    pub(crate) fn of(facts: &'a ClaimFacts) -> Result<Self, FactsError> {
        let recipient = lower_hex(facts.recipient.as_slice());
        let round = format!("{}/{}", facts.campaign, facts.round);
        Ok(Self {
            facts,
            amount: facts.amount_bounds().ok_or(FactsError::AmountOutOfRange)?,
            round: long("the round", facts.round)?,
            index: long("the index", facts.index)?,
            claimant: entry(EntityUid::from_type_name_and_id(CLAIMANT.clone(), EntityId::new(&recipient))),
            resource: entry(EntityUid::from_type_name_and_id(ROUND.clone(), EntityId::new(round))),
            recipient,
            made: Default::default(),
        })
    }

    /// The request under a rule set's attestation types, with the parts that it looks at.
    pub(crate) fn request(&self, types: &AttestationTypes, looks: &Looks) -> Result<Request, FactsError> {
        let mut pairs = Vec::with_capacity(looks.parts.len() + 1);
        pairs.push(("attestations", attestations(&self.facts.attestations, types, looks)?));
        for part in &looks.parts {
            pairs.extend(self.part(*part)?.map(|value| (part.name(), value)));
        }
        let ValueKind::Record(context) = ValueKind::record(pairs) else {
            return Err(FactsError::Engine("a record is none".to_owned()));
        };
        let (claimant, resource) = (self.claimant.clone(), self.resource.clone());
        Ok(Request::new_unchecked(claimant, PAY.clone(), resource, Some(Context::Value(context))))
    }

    /// A part, unless this claim has none of it.
    fn part(&self, part: Part) -> Result<Option<Value>, FactsError> {
        let made = &self.made[part as usize];
        if let Some(value) = made.get() {
            return Ok(Some(value.clone()));
        }
        let (facts, (down, up)) = (self.facts, self.amount);
        let value = match part {
            Part::Campaign => Value::from(facts.campaign.to_string()),
            Part::Round => Value::from(self.round),
            Part::Index => Value::from(self.index),
            Part::Recipient => Value::from(self.recipient.as_str()),
            Part::To => Value::from(lower_hex(facts.to.as_slice())),
            Part::Redirected => Value::from(facts.is_redirected()),
            Part::AmountUp => decimal(up)?,
            Part::AmountDown => decimal(down)?,
            Part::Accepted => accepted(facts.accepted_at)?,
            Part::Person => match facts.person {
                Some(person) => Value::from(lower_hex(person.as_slice())),
                None => return Ok(None),
            },
        };
        Ok(Some(made.get_or_init(|| value).clone()))
    }
}

/// An entity by type and id, without parsing the id as Cedar text.
pub(crate) fn uid(kind: &'static str, id: &str) -> Result<EntityUid, FactsError> {
    let kind: EntityTypeName =
        kind.parse().map_err(|_| FactsError::Engine(format!("no entity type {kind}")))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn attestations(
    given: &AttestationsOfClaim,
    types: &AttestationTypes,
    looks: &Looks,
) -> Result<Value, FactsError> {
    let mut fields = Vec::with_capacity(types.len());
    for ((name, wanted), looks) in types.iter().zip(&looks.attestations) {
        match given.get(name) {
            Some(attestation) => {
                let record = attestation_record(name, attestation, wanted, looks)?;
                fields.extend(looks.itself.then_some((name.as_str(), record)));
            }
            None if wanted.required => return Err(FactsError::AttestationMissing { name: name.clone() }),
            None => {}
        }
    }
    Ok(Value::record(fields, None))
}

/// Every field that the manifest declares has to fit, also one that no policy looks at.
fn attestation_record(
    name: &str,
    given: &AttestationFacts,
    wanted: &AttestationType,
    looks: &LooksAtAttestation,
) -> Result<Value, FactsError> {
    if given.schema != wanted.schema {
        let (found, wanted) = (given.schema.clone(), wanted.schema.clone());
        return Err(FactsError::WrongSchema { name: name.to_owned(), found, wanted });
    }
    let mut fields = Vec::with_capacity(wanted.fields.len() + 2);
    if looks.schema {
        fields.push(("schema", Value::from(given.schema.as_str())));
    }
    if looks.issuer {
        fields.push(("issuer", Value::from(given.issuer.as_str())));
    }
    for ((field, kind), looked_at) in wanted.fields.iter().zip(&looks.fields) {
        let stated = given.data.get(field).filter(|stated| kind.admits(stated) && fits(stated));
        let stated = stated.ok_or_else(|| FactsError::WrongField {
            name: name.to_owned(),
            field: field.clone(),
            wanted: kind.cedar(),
        })?;
        if *looked_at {
            fields.push((field, value(stated)?));
        }
    }
    Ok(Value::record(fields, None))
}

/// Whether Cedar can hold it: its integers are an i64.
fn fits(stated: &Stated) -> bool {
    !matches!(stated, Stated::Integer(number) if i64::try_from(*number).is_err())
}

fn value(stated: &Stated) -> Result<Value, FactsError> {
    Ok(match stated {
        Stated::Bool(value) => Value::from(*value),
        Stated::Integer(number) => {
            Value::from(i64::try_from(*number).map_err(|_| FactsError::NumberTooLarge { what: "a field" })?)
        }
        Stated::Text(text) => Value::from(text.as_str()),
        Stated::Decimal { decimal: number } => decimal(*number)?,
        Stated::Texts(texts) => Value::set(texts.iter().map(|text| Value::from(text.as_str())), None),
    })
}

/// The parts of an instant in UTC.
pub(crate) fn accepted(millis: u64) -> Result<Value, FactsError> {
    let seconds =
        i64::try_from(millis / 1000).map_err(|_| FactsError::NumberTooLarge { what: "the time" })?;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    // The first of January 1970 was a Thursday; Monday is 1, Sunday 7.
    let weekday = (seconds.div_euclid(86_400) + 3).rem_euclid(7) + 1;
    let parts = [
        ("year", year),
        ("month", month),
        ("day", day),
        ("date", year * 10_000 + month * 100 + day),
        ("weekday", weekday),
        ("hour", seconds.rem_euclid(86_400) / 3_600),
    ];
    Ok(Value::record(parts.map(|(name, number)| (name, Value::from(number))), None))
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

fn long(what: &'static str, value: u64) -> Result<i64, FactsError> {
    i64::try_from(value).map_err(|_| FactsError::NumberTooLarge { what })
}

/// A number as Cedar's `decimal`.
pub(super) fn decimal(number: Fixed4) -> Result<Value, FactsError> {
    static NAME: LazyLock<Name> =
        LazyLock::new(|| Name::unqualified_name("decimal".parse().expect("the name of a function")));
    let engine = |error: &dyn std::fmt::Display| FactsError::Engine(error.to_string());
    let function = Extensions::all_available().func(&NAME).map_err(|error| engine(&error))?;
    match function.call(&[Value::from(number.to_string())]).map_err(|error| engine(&error))? {
        PartialValue::Value(value) => Ok(value),
        PartialValue::Residual(_) => Err(FactsError::Engine("a number is unknown".to_owned())),
    }
}

fn lower_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
