//! Rule sets: what a claim must satisfy, as Cedar policies owned by an institution.
//!
//! A [`RuleSet`] is policies, their schema, a manifest and cases that must never be permitted, as one sequence of bytes
//! named by its SHA-256. [`Compiled`] is what is evaluated; a [`Rulebook`] keeps those in force. [`evaluate`] asks all
//! rule sets of a gate; each of them must permit.
//!
//! Three rules make the answer safe to pay on:
//! - Nothing is permitted that no policy permits, and a forbid beats every permit (Cedar's own rule).
//! - Cedar ignores a policy whose evaluation errs. Here an error in *any* policy refuses with `policy_error`, so that a
//!   forbid cannot be switched off by an overflow.
//! - Amounts are rounded away from permission ([`rounding`]); what a `decimal` or an i64 cannot hold refuses.
//!
//! Evaluation is a function of bytes: the rule sets' and the facts' ([`ClaimFacts::inputs_hash`]). It sees no clock.

mod compile;
mod context;
mod diff;
mod english;
mod evaluate;
mod facts;
mod kept;
mod looks;
pub(crate) mod policies;
mod problem;
pub mod rounding;
mod rulebook;
mod set;
mod simulate;
pub mod table;
mod types;

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

pub use compile::{Compiled, NeverFailure, prove_never};
pub use context::FactsError;
pub use diff::{Diff, OutcomeChange, OutcomeDiff, diff, diff_outcomes};
pub use english::{Explained, Reader, explain};
pub use evaluate::{Cause, Decision, Refusal, Told, Verdict, evaluate};
pub use facts::{AttestationFacts, ClaimFacts, Fixed4, Fixed4Error, Value};
pub use kept::{KeptClaim, RefusedClaim};
pub use policies::{POLICIES_MAX, POLICY_BYTES_MAX};
pub use problem::{Problem, Problems};
pub use rulebook::{RULEBOOK_MAX, Rulebook};
pub use set::{Case, Manifest, NEVER_MAX, PolicySource, Reason, RuleSet, Sources};
pub use simulate::{Count, Simulation, simulate};
pub use types::{AttestationType, AttestationTypes, FieldType, schema};

pub(crate) use compile::{schema_of, template};
pub(crate) use context::{accepted, uid};
pub(crate) use english::{Words, sentence};
pub(crate) use evaluate::ask_among;
pub(crate) use facts::bounds;

#[cfg(test)]
mod tests;

/// A SHA-256: the name of a rule set, a mandate or the facts of a claim. In text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
