use proptest::prelude::*;
use sluice_core::amount::Amount;
use sluice_gate::rules::{ClaimFacts, Value, Verdict, evaluate};

use crate::common::{facts, permit, rules, with_alert};

const ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";

fn code(verdict: &Verdict) -> &str {
    verdict.refusal.as_ref().map_or("permitted", |refusal| refusal.cause.code.as_str())
}

#[test]
fn all_rule_sets_must_permit_and_all_are_named() {
    let (yes, no) = (rules(ALL), rules(&permit("context.index == 8")));
    let verdict = evaluate(&[&yes, &no], &facts());
    assert_eq!(code(&verdict), "rule_not_met");
    assert_eq!(verdict.refusal.as_ref().unwrap().rule_set, Some(no.hash()));
    let named: Vec<_> =
        verdict.decisions.iter().map(|decision| (decision.rule_set, decision.permitted)).collect();
    assert_eq!(named, [(yes.hash(), true), (no.hash(), false)]);
    assert_eq!(verdict.decisions[0].policies, ["all"]);
    assert!(evaluate(&[&yes, &yes], &facts()).is_permitted());
}

#[test]
fn nothing_is_permitted_by_default() {
    assert_eq!(code(&evaluate(&[], &facts())), "no_rule_set");
    let forbids = rules("@id(\"f\") forbid (principal, action, resource) when { context.index == 8 };");
    assert_eq!(code(&evaluate(&[&forbids], &facts())), "not_permitted");
}

#[test]
fn a_forbid_beats_every_permit() {
    let both = rules(&format!(
        "{ALL}@id(\"f\") @reason(\"too_much\") forbid (principal, action, resource) when {{ context.index == 7 }};"
    ));
    let verdict = evaluate(&[&both], &facts());
    assert_eq!(code(&verdict), "too_much");
    assert_eq!(verdict.decisions[0].policies, ["f"]);
    assert_eq!(verdict.refusal.unwrap().told.sentence, "This is too much.");
    assert!(evaluate(&[&both], &ClaimFacts { index: 8, ..facts() }).is_permitted());
}

#[test]
fn an_error_in_any_policy_refuses() {
    // index + i64::MAX overflows for every index but 0; Cedar passes such a policy over.
    let overflow = "context.index + 9223372036854775807 > 0";
    for effect in ["forbid", "permit"] {
        let set =
            rules(&format!("{ALL}@id(\"o\") {effect} (principal, action, resource) when {{ {overflow} }};"));
        let verdict = evaluate(&[&set], &facts());
        assert_eq!(code(&verdict), "policy_error", "{effect}");
        let refusal = verdict.refusal.unwrap();
        assert!(refusal.cause.sentence.contains("overflow"), "{}", refusal.cause.sentence);
        assert!(!refusal.told.sentence.contains("overflow"));
        assert_eq!(verdict.decisions[0].causes[0].policy.as_deref(), Some("o"));
        // The same rules without the overflow come to a decision.
        let calm = evaluate(&[&set], &ClaimFacts { index: 0, ..facts() });
        assert_eq!(calm.is_permitted(), effect == "permit", "{effect}");
    }
}

#[test]
fn an_error_beside_a_forbid_is_told_as_an_error() {
    let set = rules(
        "@id(\"f\") forbid (principal, action, resource) when { context.index > 0 };
         @id(\"o\") forbid (principal, action, resource) when { context.index * 9223372036854775807 > 0 };",
    );
    let verdict = evaluate(&[&set], &facts());
    assert_eq!(code(&verdict), "policy_error");
    assert_eq!(verdict.decisions[0].policies, ["f"]);
}

#[test]
fn the_claimant_learns_which_condition_failed() {
    let set = rules(&permit(
        "context.attestations.residency.country == \"DE\" && context.attestations has alert && \
         context.attestations.alert.level < 3 && context.amount_up.lessThanOrEqual(decimal(\"50.0\"))",
    ));
    let sentence = |facts: &ClaimFacts| evaluate(&[&set], facts).refusal.unwrap().told.sentence;
    assert_eq!(sentence(&facts()), "Not met: there is an attestation of alert.");
    assert_eq!(sentence(&with_alert(3)), "Not met: level (alert) is below 3.");
    assert_eq!(sentence(&with_alert(2)), "Not met: the amount is at most 50.0.");
    let mut abroad = with_alert(2);
    let residency = abroad.attestations.get_mut("residency").unwrap();
    residency.data.insert("country".to_owned(), Value::Text("FR".to_owned()));
    assert_eq!(sentence(&abroad), "Not met: country (residency) is DE.");
}

#[test]
fn of_several_permits_the_one_that_came_furthest_is_told() {
    let set = rules(
        "@id(\"a\") @message(\"First.\") permit (principal, action, resource) when { context.round == 2 && context.index == 7 };
         @id(\"b\") @message(\"Second.\") permit (principal, action, resource) when { context.round == 1 && context.index == 8 };",
    );
    let verdict = evaluate(&[&set], &facts());
    assert_eq!(verdict.refusal.unwrap().told.sentence, "Second. Not met: the index is 8.");
    let policies: Vec<_> =
        verdict.decisions[0].causes.iter().map(|cause| cause.policy.as_deref().unwrap()).collect();
    assert_eq!(policies, ["b", "a"]);
}

#[test]
fn a_masked_cause_is_for_mandate_holders_alone() {
    let set = rules(&format!(
        "{ALL}@id(\"s\") @reason(\"secret\") forbid (principal, action, resource)
         when {{ context.attestations has alert && context.attestations.alert.level > 2 }};"
    ));
    let refusal = evaluate(&[&set], &with_alert(3)).refusal.unwrap();
    assert_eq!(
        (refusal.told.code.as_str(), refusal.told.sentence.as_str()),
        ("under_review", "Your claim is under review.")
    );
    assert_eq!(refusal.cause.code, "secret");
    assert!(refusal.cause.sentence.starts_with("Under investigation by the fraud desk."));
}

#[test]
fn other_peoples_addresses_are_not_shown_to_claimants() {
    let other = format!("0x{}", "ab".repeat(20));
    let set =
        rules(&permit(&format!("[\"{other}\", \"0x{}\"].contains(context.recipient)", "cd".repeat(20))));
    let refusal = evaluate(&[&set], &facts()).refusal.unwrap();
    assert!(refusal.cause.sentence.contains(&other), "{}", refusal.cause.sentence);
    assert!(!refusal.told.sentence.contains("abab"), "{}", refusal.told.sentence);
    let principal =
        rules(&format!("@id(\"p\") permit (principal == Claimant::\"{other}\", action, resource);"));
    let refusal = evaluate(&[&principal], &facts()).refusal.unwrap();
    assert!(!refusal.told.sentence.contains("abab"), "{}", refusal.told.sentence);
    let forbid = rules(&format!(
        "{ALL}@id(\"f\") forbid (principal, action, resource) unless {{ context.to == \"{other}\" }};"
    ));
    let refusal = evaluate(&[&forbid], &facts()).refusal.unwrap();
    assert!(refusal.cause.sentence.contains(&other) && !refusal.told.sentence.contains("abab"));
}

#[test]
fn facts_that_do_not_fit_refuse() {
    let all = rules(ALL);
    let told = |facts: &ClaimFacts| {
        let verdict = evaluate(&[&all], facts);
        let code = code(&verdict).to_owned();
        (code, verdict.refusal.map(|refusal| refusal.told.sentence).unwrap_or_default())
    };
    let missing = ClaimFacts { attestations: Default::default(), ..facts() };
    assert_eq!(
        told(&missing),
        ("attestation_missing".into(), "The attestation residency is required.".into())
    );
    let change = |name: &str, value: Option<Value>| {
        let mut facts = facts();
        let data = &mut facts.attestations.get_mut("residency").unwrap().data;
        data.remove(name);
        value.map(|value| data.insert(name.to_owned(), value));
        told(&facts).0
    };
    assert_eq!(change("country", None), "attestation_mismatch");
    assert_eq!(change("country", Some(Value::Integer(1))), "attestation_mismatch");
    assert_eq!(change("birth_date", Some(Value::Integer(i128::from(i64::MAX) + 1))), "attestation_mismatch");
    assert_eq!(change("birth_date", Some(Value::Integer(i64::MAX.into()))), "permitted");
    assert_eq!(change("undeclared", Some(Value::Bool(true))), "permitted");
    let mut other_schema = facts();
    other_schema.attestations.get_mut("residency").unwrap().schema = "S9".to_owned();
    assert_eq!(told(&other_schema).0, "attestation_mismatch");
    assert_eq!(told(&ClaimFacts { index: u64::MAX, ..facts() }).0, "facts_out_of_range");
    let huge = Amount::new(922_337_203_685_477_580_800_000).unwrap();
    assert_eq!(told(&ClaimFacts { amount: huge, decimals: 9, ..facts() }).0, "amount_out_of_range");
    let largest = Amount::new(922_337_203_685_477_580_700_000).unwrap();
    assert_eq!(told(&ClaimFacts { amount: largest, decimals: 9, ..facts() }).0, "permitted");
    assert_eq!(told(&ClaimFacts { amount: Amount::MAX, decimals: 0, ..facts() }).0, "amount_out_of_range");
}

#[test]
fn a_rule_set_sees_only_the_attestations_it_names() {
    let mut facts = with_alert(1);
    let alert = facts.attestations.remove("alert").unwrap();
    facts.attestations.insert("another_gate".to_owned(), alert);
    assert!(evaluate(&[&rules(ALL)], &facts).is_permitted());
}

#[test]
fn the_facts_have_one_name() {
    let facts = with_alert(1);
    assert_eq!(ClaimFacts::decode(&facts.encode()).unwrap(), facts);
    // What is logged today must be found again: this hash is part of the format.
    assert_eq!(
        facts.inputs_hash().to_string(),
        "2e9a81ec26207bd9639577a401c9e883ac10136b2b5d2474b7dae62221c14157"
    );
    let json = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<ClaimFacts>(&json).unwrap(), facts);
    let mut longer = facts.encode();
    longer.push(0);
    assert!(ClaimFacts::decode(&longer).is_err());
    assert!(ClaimFacts::decode(&[2]).unwrap_err().to_string().contains("format 2"));
    let verdict = evaluate(&[&rules(ALL)], &facts);
    let bytes = borsh::to_vec(&verdict).unwrap();
    assert_eq!(borsh::from_slice::<Verdict>(&bytes).unwrap(), verdict);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Against a constant of four digits the rounded comparison is the exact one, for every way to write a cap or a
    /// minimum.
    #[test]
    fn caps_and_minimums_decide_as_the_exact_amount_would(
        limit in 1_u64..50_000, near in -3_i64..=3, decimals in 5_u8..=18,
    ) {
        // `limit` ten-thousandths, in base units, and a few base units beside it.
        let unit = 10_u128.pow(u32::from(decimals) - 4);
        let exact = (u128::from(limit) * unit).saturating_add_signed(near.into());
        let claim = ClaimFacts { amount: Amount::new(exact).unwrap(), decimals, ..facts() };
        let limit_text = format!("{}.{:04}", limit / 10_000, limit % 10_000);
        let at_most = exact <= u128::from(limit) * unit;
        let at_least = exact >= u128::from(limit) * unit;
        let cap = format!("context.amount_up.lessThanOrEqual(decimal(\"{limit_text}\"))");
        let minimum = format!("context.amount_down.greaterThanOrEqual(decimal(\"{limit_text}\"))");
        for (when, expected) in [(cap, at_most), (minimum, at_least)] {
            prop_assert_eq!(evaluate(&[&rules(&permit(&when))], &claim).is_permitted(), expected, "{}", when);
            let forbid = format!("{ALL}@id(\"f\") forbid (principal, action, resource) unless {{ {when} }};");
            prop_assert_eq!(evaluate(&[&rules(&forbid)], &claim).is_permitted(), expected, "{}", forbid);
        }
    }
}

#[test]
fn a_cause_that_one_rule_masks_is_masked_by_all_rules_with_it() {
    let permit = "@id(\"all\") permit (principal, action, resource);\n";
    let masked = "@id(\"a\") @reason(\"watched\") @claimant(\"under_review\") forbid (principal, action, resource) when { context.redirected };\n";
    let open =
        "@id(\"b\") @reason(\"watched\") forbid (principal, action, resource) when { context.index == 7 };\n";
    let set = rules(&[permit, masked, open].concat());
    let refusal = evaluate(&[&set], &facts()).refusal.unwrap();
    assert_eq!((refusal.cause.code.as_str(), refusal.told.code.as_str()), ("watched", "under_review"));
    assert_eq!(refusal.told.sentence, "Your claim is under review.");
}
