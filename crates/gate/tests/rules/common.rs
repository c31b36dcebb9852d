//! Facts and rule sets for the tests.

use std::collections::BTreeMap;

use sluice_core::amount::Amount;
use sluice_gate::rules::{
    AttestationFacts, ClaimFacts, Compiled, Fixed4, PolicySource, Problems, RuleSet, Sources, Value,
};

/// One required attestation, one optional one.
pub(crate) const MANIFEST: &str = r#"
owner = "0x1111111111111111111111111111111111111111111111111111111111111111"
lineage = "test"
version = "1"

[attestations.residency]
schema = "S1"
required = true
fields = { country = "string", birth_date = "long", rate = "decimal" }

[attestations.alert]
schema = "S2"
fields = { level = "long", tags = "strings", confirmed = "bool" }

[reasons.too_much]
message = "This is too much."

[reasons.secret]
message = "Under investigation by the fraud desk."
claimant = "under_review"
"#;

pub(crate) fn build(policies: &str) -> Result<Compiled, Problems> {
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(policies), never: "" };
    RuleSet::build(&sources).map(|(_, compiled)| compiled)
}

pub(crate) fn rules(policies: &str) -> Compiled {
    build(policies).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) fn facts() -> ClaimFacts {
    let data = BTreeMap::from([
        ("country".to_owned(), Value::Text("DE".to_owned())),
        ("birth_date".to_owned(), Value::Integer(19_800_101)),
        ("rate".to_owned(), Value::Decimal { decimal: Fixed4(12_500) }),
    ]);
    let residency = AttestationFacts { schema: "S1".to_owned(), issuer: "0xaa".to_owned(), data };
    ClaimFacts {
        campaign: Default::default(),
        round: 1,
        index: 7,
        recipient: [1; 20].into(),
        to: [1; 20].into(),
        amount: Amount::new(100_000_000).unwrap(),
        decimals: 6,
        person: None,
        accepted_at: 1_795_219_200_000,
        attestations: BTreeMap::from([("residency".to_owned(), residency)]),
    }
}

pub(crate) fn with_alert(level: i128) -> ClaimFacts {
    let data = BTreeMap::from([
        ("level".to_owned(), Value::Integer(level)),
        ("tags".to_owned(), Value::Texts(vec!["x".to_owned()])),
        ("confirmed".to_owned(), Value::Bool(true)),
    ]);
    let mut facts = facts();
    let alert = AttestationFacts { schema: "S2".to_owned(), issuer: "0xbb".to_owned(), data };
    facts.attestations.insert("alert".to_owned(), alert);
    facts
}

/// One permit, without annotations.
pub(crate) fn permit(when: &str) -> String {
    format!("@id(\"p\")\npermit (principal, action, resource) when {{ {when} }};\n")
}
