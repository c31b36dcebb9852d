//! What only the inside can see: that the context Cedar is given is the one its schema describes, and that leaving out
//! what no policy looks at changes nothing.

mod pruned;

use std::collections::BTreeMap;

use cedar_policy::Request;
use proptest::prelude::*;

use super::context::{Shared, civil, decimal};
use super::looks::Looks;
use super::types::{AttestationType, FieldType, schema};
use super::{AttestationFacts, ClaimFacts, Fixed4, Value, schema_of};

fn facts() -> ClaimFacts {
    let data = BTreeMap::from([
        ("flag".to_owned(), Value::Bool(true)),
        ("number".to_owned(), Value::Integer(-7)),
        ("name".to_owned(), Value::Text("quote \" and \\ back".to_owned())),
        ("rate".to_owned(), Value::Decimal { decimal: Fixed4(-5) }),
        ("tags".to_owned(), Value::Texts(vec!["a".to_owned(), "b".to_owned()])),
        ("not declared".to_owned(), Value::Bool(false)),
    ]);
    let attestation = AttestationFacts { schema: "S".to_owned(), issuer: "0xabc".to_owned(), data };
    ClaimFacts {
        campaign: Default::default(),
        round: 1,
        index: 2,
        recipient: [3; 20].into(),
        to: [4; 20].into(),
        amount: sluice_core::amount::Amount::new(1_500_001).unwrap(),
        decimals: 6,
        person: Some([5; 32].into()),
        accepted_at: 1_795_219_200_000,
        attestations: BTreeMap::from([("every".to_owned(), attestation)]),
    }
}

#[test]
fn decimals_are_those_that_cedar_makes() {
    for number in [0, -15_000, 7, i64::MAX, i64::MIN] {
        let cedars = cedar_policy::RestrictedExpression::new_decimal(Fixed4(number).to_string());
        let pairs = |expr| cedar_policy::Context::from_pairs([("d".to_owned(), expr)]).unwrap();
        let ours = cedar_policy_core::ast::RestrictedExpr::from(decimal(Fixed4(number)).unwrap());
        assert_eq!(pairs(ours.into()), pairs(cedars), "{number}");
    }
}

#[test]
fn a_context_is_what_the_schema_says() {
    let fields = [
        ("flag", FieldType::Bool),
        ("number", FieldType::Long),
        ("name", FieldType::String),
        ("rate", FieldType::Decimal),
        ("tags", FieldType::Strings),
    ];
    let every = AttestationType {
        schema: "S".to_owned(),
        required: true,
        fields: fields.map(|(name, kind)| (name.to_owned(), kind)).into(),
    };
    let absent = AttestationType { schema: "T".to_owned(), required: false, fields: BTreeMap::new() };
    let types = BTreeMap::from([("every".to_owned(), every), ("absent".to_owned(), absent)]);
    let schema = schema_of(&schema(&types)).unwrap();
    for person in [None, Some([5; 32].into())] {
        let given = ClaimFacts { person, ..facts() };
        let made = Shared::of(&given).unwrap().request(&types, &Looks::everything(&types)).unwrap();
        let made = Request::from(made);
        let parts = (made.principal().unwrap(), made.action().unwrap(), made.resource().unwrap());
        let (principal, action, resource) = (parts.0.clone(), parts.1.clone(), parts.2.clone());
        let context = made.context().unwrap().clone();
        Request::new(principal, action, resource, context, Some(&schema)).expect("valid under the schema");
    }
}

#[test]
fn the_schema_of_format_1_stays_as_it_is() {
    let residency = AttestationType {
        schema: "S".to_owned(),
        required: true,
        fields: BTreeMap::from([("country".to_owned(), FieldType::String)]),
    };
    let alert = AttestationType {
        schema: "T".to_owned(),
        required: false,
        fields: BTreeMap::from([("tags".to_owned(), FieldType::Strings)]),
    };
    let types = BTreeMap::from([("residency".to_owned(), residency), ("alert".to_owned(), alert)]);
    assert_eq!(schema(&types), include_str!("tests/format-1.cedarschema"));
}

#[test]
fn dates_are_those_of_the_calendar() {
    assert_eq!(civil(0), (1970, 1, 1));
    assert_eq!(civil(11_016), (2000, 2, 29));
    assert_eq!(civil(20_778), (2026, 11, 21));
    assert_eq!(civil(47_540), (2100, 2, 28));
    assert_eq!(civil(47_541), (2100, 3, 1));
}

proptest! {
    #[test]
    fn the_day_after_is_the_next_day(day in 0_i64..200_000) {
        let ((y, m, d), next) = (civil(day), civil(day + 1));
        prop_assert!(next == (y, m, d + 1) || next == (y, m + 1, 1) && d >= 28 || next == (y + 1, 1, 1) && (m, d) == (12, 31));
    }

    #[test]
    fn rounded_amounts_enclose_the_exact_one(base in 0_u128..(1 << 96), decimals in 0_u8..=40) {
        if let Some((down, up)) = super::bounds(base, decimals) {
            // In units of 10^-(decimals + 4): base × 10^4 against ten-thousandths × 10^decimals.
            let wide = |tenths: i64| alloy_primitives::U512::from(tenths.unsigned_abs())
                * alloy_primitives::U512::from(10).pow(alloy_primitives::U512::from(decimals));
            let exact = alloy_primitives::U512::from(base) * alloy_primitives::U512::from(10_000);
            prop_assert!(wide(down.0) <= exact && exact <= wide(up.0));
            prop_assert!(up.0 - down.0 <= 1);
            prop_assert!((up.0 == down.0) == (wide(down.0) == exact));
        }
    }
}
