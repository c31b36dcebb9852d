//! The rule sets in sample-data/rules, as their README describes them.

use std::path::PathBuf;

use alloy_primitives::Address;
use sluice_core::amount::Total;
use sluice_gate::attestation::schema_uid;
use sluice_gate::rules::{
    ClaimFacts, Compiled, PolicySource, RuleSet, Sources, evaluate, explain, prove_never, simulate,
};

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/rules").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn residency() -> Compiled {
    let (manifest, policies, never) =
        (read("residency/rules.toml"), read("residency/policies.cedar"), read("residency/never.json"));
    let sources = Sources { manifest: &manifest, policies: PolicySource::Cedar(&policies), never: &never };
    RuleSet::build(&sources).unwrap_or_else(|problems| panic!("{problems}")).1
}

fn income() -> Compiled {
    let (manifest, table, never) =
        (read("income/rules.toml"), read("income/table.csv"), read("income/never.json"));
    let sources = Sources { manifest: &manifest, policies: PolicySource::Table(&table), never: &never };
    RuleSet::build(&sources).unwrap_or_else(|problems| panic!("{problems}")).1
}

fn claims() -> Vec<ClaimFacts> {
    read("claims.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn they_never_permit_what_they_must_not() {
    assert_eq!(prove_never(&residency()), Ok(()));
    assert_eq!(prove_never(&income()), Ok(()));
}

#[test]
fn their_schemas_are_those_of_eas() {
    let uid = |text: &str| schema_uid(text, Address::ZERO, true).to_string();
    let wanted = uid("string country,uint32 birth_date,bool registered");
    assert_eq!(residency().manifest().attestations["residency"].schema, wanted);
    assert_eq!(
        income().manifest().attestations["income"].schema,
        uid("uint32 year,uint64 yearly,uint8 household")
    );
}

#[test]
fn the_claims_come_out_as_described() {
    let (residency, income) = (residency(), income());
    let outcomes: Vec<(String, String)> = claims()
        .iter()
        .map(|facts| match evaluate(&[&residency, &income], facts).refusal {
            None => ("permitted".to_owned(), "permitted".to_owned()),
            Some(refusal) => (refusal.told.code, refusal.cause.code),
        })
        .collect();
    let outcomes: Vec<_> = outcomes.iter().map(|(told, cause)| (told.as_str(), cause.as_str())).collect();
    let same = |code| (code, code);
    assert_eq!(
        outcomes,
        [
            same("permitted"),
            same("permitted"),
            same("income_too_high"),
            same("permitted"),
            same("not_resident"),
            same("permitted"),
            same("not_resident"),
            ("under_review", "fraud_alert"),
            same("permitted"),
            same("statement_too_old"),
            same("attestation_missing"),
            same("not_resident"),
        ]
    );
    let run = simulate(&[&residency, &income], claims(), Some(Total(2_000_000_000)), |_, _| ());
    assert_eq!((run.permitted.claims, run.permitted.total), (5, Total(2_600_000_000)));
    assert_eq!(run.short_by, Some(Total(600_000_000)));
}

#[test]
fn their_rules_in_words() {
    let sentences = |set: &Compiled| explain(set).into_iter().map(|rule| rule.sentence).collect::<Vec<_>>();
    assert_eq!(
        sentences(&residency()),
        [
            "Permit payment when country (residency) is one of DE or AT and registered (residency) is true and \
             birth date (residency) is at most (the claim's date - 180000).",
            "Forbid payment when there is an attestation of alert and level (alert) is at least 3.",
            "Forbid payment when the payment goes to another address than the listed one and the amount is above \
             1000.0.",
        ]
    );
    assert_eq!(
        sentences(&income()),
        [
            "Permit payment when yearly (income) is at most 18000 and household (income) is at least 1 and the amount \
             is at most 500.0000.",
            "Permit payment when yearly (income) is at most 36000 and household (income) is at least 3 and the amount \
             is at most 900.0000.",
            "Forbid payment when year (income) is below 2025.",
        ]
    );
    let masked: Vec<_> = explain(&residency()).into_iter().filter_map(|rule| rule.claimant).collect();
    assert_eq!(masked, ["under_review"]);
}
