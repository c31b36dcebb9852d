//! Mandates from the outside: the worked set in sample-data/rules/mandates, limits, and delegations.

// A helper that cannot make its facts panics, like the test that needs them.
#![allow(clippy::unwrap_used)]

mod delegations;
mod limits;
mod sample;

use sluice_core::amount::{Amount, Total};
use sluice_core::ids::StreamId;
use sluice_gate::mandate::{ActionKind, CommandFacts, CompiledMandate, Mandate, Spending, Subject};
use sluice_gate::rules::Problems;

/// Saturday, 21 November 2026, 00:00 UTC.
const SATURDAY: u64 = 1_795_219_200_000;
/// The Monday after, 10:00 UTC.
const MONDAY_AT_TEN: u64 = SATURDAY + (2 * 24 + 10) * 3_600_000;

const MANIFEST: &str = "holder = \"0x0404040404040404040404040404040404040404040404040404040404040404\"\nname = \"test\"\nversion = \"1\"\n";

fn build(policies: &str) -> Result<CompiledMandate, Problems> {
    Mandate::build(MANIFEST, policies).map(|(_, compiled)| compiled)
}

fn mandate(policies: &str) -> CompiledMandate {
    build(policies).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The campaign of the samples.
fn campaign() -> Subject {
    Subject::Campaign { campaign: "018f3a00-0000-7000-8000-000000000001".parse().unwrap() }
}

/// A command of the authority 0x0404…, or of another by its byte.
fn command(authority: u8, action: ActionKind, subject: Subject) -> CommandFacts {
    CommandFacts {
        authority: [authority; 32].into(),
        action,
        stream: StreamId(0),
        subject,
        jurisdictions: Vec::new(),
        count: 1,
        spending: None,
        delegated: false,
        accepted_at: MONDAY_AT_TEN,
    }
}

fn spending(total: u128, largest: u128) -> Option<Spending> {
    Some(Spending { total: Total(total), largest: Amount::new(largest).unwrap(), decimals: 6 })
}
