//! Any rules on any claim: what is answered on the parts that the rules look at is what Cedar's authorizer answers on all of
//! them.

use std::collections::BTreeMap;

use cedar_policy::{AuthorizationError, Authorizer, Decision as Cedar, Entities, Request};
use proptest::prelude::*;
use sluice_core::amount::Amount;

use super::super::context::Shared;
use super::super::looks::Looks;
use super::super::{
    AttestationFacts, ClaimFacts, Compiled, Fixed4, PolicySource, RuleSet, Sources, Value, evaluate, policies,
};

const MANIFEST: &str = r#"
owner = "0x1111111111111111111111111111111111111111111111111111111111111111"
lineage = "test"
version = "1"
[attestations.residency]
schema = "S1"
required = true
fields = { country = "string", born = "long", rate = "decimal" }
[attestations.alert]
schema = "S2"
fields = { level = "long", tags = "strings", confirmed = "bool" }
"#;

/// Conditions on every part of a context, some of which err for some claims.
const CONDITIONS: [&str; 24] = [
    "context.campaign != \"none\"",
    "context.round == 1",
    "context.index + 9223372036854775000 > 0",
    "context.index < 500",
    "context.recipient like \"0x01*\"",
    "context.to == context.recipient",
    "context.redirected",
    "!context.redirected",
    "CAP",
    "context has person && context.person like \"0x05*\"",
    "!(context has person)",
    "context.accepted.date > 20260000 && context.accepted.hour < 12",
    "context.accepted.weekday != 7",
    "context.attestations.residency.country == \"DE\"",
    "[\"DE\", \"AT\"].contains(context.attestations.residency.country)",
    "context.attestations.residency.born * 9223372036 > 0",
    "context.attestations.residency.rate.lessThan(decimal(\"1.5\"))",
    "context.attestations.residency.issuer == \"0xaa\"",
    "context.attestations.residency has schema",
    "context.attestations has alert",
    "context.attestations has alert && context.attestations.alert.level > 2",
    "context.attestations has alert && context.attestations.alert.tags.contains(\"x\")",
    "(if context.redirected then context.attestations.residency else context.attestations.residency).born > 0",
    "principal == Claimant::\"0x0101010101010101010101010101010101010101\" || resource is Round",
];

fn rules(chosen: &[(bool, Vec<usize>)]) -> String {
    let policy = |(n, (permits, conditions)): (usize, &(bool, Vec<usize>))| {
        let cap = match permits {
            true => {
                "context.amount_up.lessThan(decimal(\"500.0\")) && context.amount_down.greaterThan(decimal(\"0.5\"))"
            }
            false => "context.amount_up.greaterThan(decimal(\"100.0\"))",
        };
        let conditions: Vec<_> = conditions.iter().map(|at| CONDITIONS[*at].replace("CAP", cap)).collect();
        let (effect, when) = (if *permits { "permit" } else { "forbid" }, conditions.join(") && ("));
        format!(
            "@id(\"p{n}\") {effect} (principal, action == Action::\"pay\", resource) when {{ ({when}) }};\n"
        )
    };
    chosen.iter().enumerate().map(policy).collect()
}

fn claims() -> impl Strategy<Value = ClaimFacts> {
    let residency = (prop_oneof![Just("DE"), Just("AT"), Just("FR")], -5_i128..5_000_000_000, 0_i64..30_000);
    let alert = proptest::option::of((0_i128..5, any::<bool>()));
    let plain = (any::<bool>(), any::<bool>(), 0_u64..2_000, 0_u128..1_000_000_000, 1_u64..3);
    (plain, residency, alert, 1_700_000_000_000_u64..1_900_000_000_000).prop_map(
        |((redirected, person, index, amount, round), (country, born, rate), alert, accepted_at)| {
            let data = BTreeMap::from([
                ("country".to_owned(), Value::Text(country.to_owned())),
                ("born".to_owned(), Value::Integer(born)),
                ("rate".to_owned(), Value::Decimal { decimal: Fixed4(rate) }),
            ]);
            let of = |schema: &str, data| AttestationFacts {
                schema: schema.to_owned(),
                issuer: "0xaa".to_owned(),
                data,
            };
            let mut attestations = BTreeMap::from([("residency".to_owned(), of("S1", data))]);
            if let Some((level, confirmed)) = alert {
                let data = BTreeMap::from([
                    ("level".to_owned(), Value::Integer(level)),
                    ("tags".to_owned(), Value::Texts(vec!["x".to_owned(), "y".to_owned()])),
                    ("confirmed".to_owned(), Value::Bool(confirmed)),
                ]);
                attestations.insert("alert".to_owned(), of("S2", data));
            }
            ClaimFacts {
                campaign: Default::default(),
                round,
                index,
                recipient: [1; 20].into(),
                to: [if redirected { 2 } else { 1 }; 20].into(),
                amount: Amount::new(amount).unwrap(),
                decimals: 6,
                person: person.then(|| [5; 32].into()),
                accepted_at,
                attestations,
            }
        },
    )
}

/// What Cedar's authorizer says of the whole context: whether it permits without error, by which policies, with which errors.
fn by_cedar(compiled: &Compiled, text: &str, facts: &ClaimFacts) -> (bool, Vec<String>, Vec<String>) {
    let set = policies::set(&policies::parse(text, &[]).unwrap()).unwrap();
    let types = &compiled.manifest.attestations;
    let request = Shared::of(facts).unwrap().request(types, &Looks::everything(types)).unwrap();
    let response = Authorizer::new().is_authorized(&Request::from(request), &set, &Entities::empty());
    let mut reasons: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    reasons.sort_unstable();
    let erred = |AuthorizationError::PolicyEvaluationError(error): &AuthorizationError| {
        format!("The rule {} could not be evaluated: {error}", error.policy_id())
    };
    let mut errors: Vec<String> = response.diagnostics().errors().map(erred).collect();
    errors.sort_unstable();
    (response.decision() == Cedar::Allow && errors.is_empty(), reasons, errors)
}

proptest! {
    #[test]
    fn what_no_policy_looks_at_changes_no_answer(
        chosen in proptest::collection::vec(
            (proptest::bool::weighted(0.7), proptest::collection::vec(0..CONDITIONS.len(), 1..4)), 1..5),
        claims in proptest::collection::vec(claims(), 8),
    ) {
        let text = rules(&chosen);
        let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(&text), never: "" };
        // Conditions that contradict each other make policies that never apply, which no rule set may have.
        let Ok((_, compiled)) = RuleSet::build(&sources) else { return Err(TestCaseError::reject("no rule set")) };
        for facts in &claims {
            let (permitted, reasons, errors) = by_cedar(&compiled, &text, facts);
            let decision = evaluate(&[&compiled], facts).decisions.remove(0);
            prop_assert_eq!(decision.permitted, permitted);
            prop_assert_eq!(&decision.policies, &reasons);
            let causes: Vec<_> = decision.causes.iter().filter(|c| c.cause.code == "policy_error").collect();
            let told: Vec<_> = causes.iter().map(|cause| cause.cause.sentence.clone()).collect();
            prop_assert_eq!(told, errors);
        }
    }
}

#[test]
fn nothing_is_made_that_no_policy_looks_at() {
    let text = "@id(\"p\") permit (principal, action, resource) when { context.attestations.residency.country == \"DE\" };";
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(text), never: "" };
    let (_, compiled) = RuleSet::build(&sources).unwrap();
    let looks = &compiled.looks;
    assert!(looks.parts.is_empty());
    let [alert, residency] = &looks.attestations[..] else { panic!("two attestations") };
    assert!(!alert.itself && residency.itself && !residency.schema && !residency.issuer);
    assert_eq!(residency.fields, [false, true, false], "born, country, rate");
}
