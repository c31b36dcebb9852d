//! What a claim must satisfy, as pure checks: attestations, rule sets and mandates. No I/O, no clock: look-ups and times are
//! passed in.

pub mod attestation;
pub mod mandate;
pub mod rules;
