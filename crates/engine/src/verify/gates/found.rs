//! What was found of a claimant's attestations, as rules see it.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use sluice_core::ids::{BlockRef, Millis};
use sluice_gate::attestation::{Attestation, Passed, Value as Stated};
use sluice_gate::rules::{AttestationFacts, Value};

use super::asked::Asked;
use crate::verify::attested::Answered;

/// Attestations that passed.
#[derive(Default)]
pub(super) struct Found {
    pub(super) facts: BTreeMap<String, AttestationFacts>,
    pub(super) ids: Vec<B256>,
    pub(super) valid_until: Option<Millis>,
    pub(super) looked_at: Option<BlockRef>,
    /// Whether one was found that did not count.
    pub(super) refused: bool,
}

impl Found {
    pub(super) fn take(
        &mut self,
        asked: &Asked,
        id: B256,
        attestation: &Attestation,
        passed: Passed,
        answered: &Answered,
    ) {
        let Some(name) = asked.names.get(passed.entry) else { return };
        if self.facts.contains_key(name) {
            return;
        }
        let data = passed.values.into_iter().map(|(field, value)| (field, in_rules(value))).collect();
        let facts = AttestationFacts {
            schema: attestation.schema(),
            issuer: format!("0x{}", alloy_primitives::hex::encode(attestation.issuer)),
            data,
        };
        self.facts.insert(name.clone(), facts);
        self.ids.push(id);
        let until = [passed.valid_until.map(|at| at.saturating_mul(1_000)), answered.valid_until];
        self.valid_until = until.into_iter().chain([self.valid_until]).flatten().min();
        self.looked_at = answered.looked_at.or(self.looked_at);
    }
}

/// An attestation's value as rules see it. Numbers beyond what rules hold come as text, which fits no number's type.
fn in_rules(value: Stated) -> Value {
    match value {
        Stated::Bool(value) => Value::Bool(value),
        Stated::Uint(value) => {
            i128::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer)
        }
        Stated::Int(value) => {
            i128::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer)
        }
        Stated::Address(address) => Value::Text(format!("0x{}", alloy_primitives::hex::encode(address))),
        Stated::Bytes(bytes) => Value::Text(format!("0x{}", alloy_primitives::hex::encode(bytes))),
        Stated::Text(text) => Value::Text(text),
        Stated::List(values) => Value::Texts(
            values
                .into_iter()
                .map(|value| match in_rules(value) {
                    Value::Text(text) => text,
                    Value::Bool(value) => value.to_string(),
                    Value::Integer(value) => value.to_string(),
                    other => format!("{other:?}"),
                })
                .collect(),
        ),
    }
}
