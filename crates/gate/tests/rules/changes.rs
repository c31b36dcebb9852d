use sluice_core::amount::{Amount, Total};
use sluice_gate::rules::{ClaimFacts, diff, diff_outcomes, simulate};

use crate::common::{facts, rules};

const BEFORE: &str = "@id(\"a\") permit (principal, action, resource) when { context.index < 10 };
@id(\"b\") forbid (principal, action, resource) when { context.index == 3 };";
const AFTER: &str = "// moved about, and changed
@id(\"c\") @reason(\"too_much\") forbid (principal, action, resource) when { context.index == 4 };
@id(\"a\")
permit (principal, action, resource)
when { context.index < 8 };";

fn claims() -> impl Iterator<Item = ClaimFacts> {
    (0..12).map(|index| ClaimFacts { index, amount: Amount::new(10 + u128::from(index)).unwrap(), ..facts() })
}

#[test]
fn a_diff_names_what_was_added_removed_and_changed() {
    let (before, after) = (rules(BEFORE), rules(AFTER));
    let changes = diff(&before, &after);
    assert_eq!(changes.added.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(changes.removed[0].sentence, "Forbid payment when the index is 3.");
    assert_eq!(changes.changed.len(), 1);
    assert_eq!(changes.changed[0].before.sentence, "Permit payment when the index is below 10.");
    assert_eq!(changes.changed[0].after.sentence, "Permit payment when the index is below 8.");
    assert!(changes.manifest.is_empty());
    let relaid = rules(&BEFORE.replace(' ', "  ").replace("@id(\"b\")", "// a remark\n@id(\"b\")"));
    assert!(diff(&before, &relaid).is_empty());
    let told = rules(&BEFORE.replace("@id(\"b\")", "@id(\"b\") @reason(\"too_much\")"));
    assert_eq!(diff(&before, &told).changed.len(), 1);
}

#[test]
fn outcomes_are_compared_claim_by_claim() {
    let (before, after) = (rules(BEFORE), rules(AFTER));
    let changes = diff_outcomes(&before, &after, claims());
    assert_eq!(changes.evaluated.claims, 12);
    assert_eq!((changes.now_permitted.claims, changes.now_permitted.total), (1, Total(13)));
    // 4 is forbidden now, 8 and 9 are above the new bound.
    assert_eq!((changes.now_refused.claims, changes.now_refused.total), (3, Total(14 + 18 + 19)));
    assert_eq!(changes.other_reason.claims, 0);
    let listed: Vec<_> =
        changes.examples.iter().map(|change| (change.index, change.after.as_deref())).collect();
    assert_eq!(
        listed,
        [(3, None), (4, Some("too_much")), (8, Some("rule_not_met")), (9, Some("rule_not_met"))]
    );
}

#[test]
fn a_simulation_counts_and_compares_with_the_funds() {
    let set = rules(BEFORE);
    let mut seen = Vec::new();
    let run = simulate(&[&set], claims(), Some(Total(100)), |facts, verdict| {
        if verdict.is_permitted() {
            seen.push(facts.index);
        }
    });
    assert_eq!(seen, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    let total: u128 = seen.iter().map(|index| 10 + u128::from(*index)).sum();
    assert_eq!((run.permitted.claims, run.permitted.total), (9, Total(total)));
    assert_eq!(run.short_by, Some(Total(total - 100)));
    assert_eq!(run.refused.claims, 3);
    assert_eq!(run.reasons["rule_forbids"].total, Total(13));
    assert_eq!(run.reasons["rule_not_met"].claims, 2);
    assert_eq!(simulate(&[&set], claims(), Some(Total(total)), |_, _| ()).short_by, None);
}
