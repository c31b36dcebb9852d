use sluice_core::amount::{Amount, Total};
use sluice_gate::mandate::{
    ActionKind, CommandFacts, Limits, MandateBook, OverLimit, evaluate_mandates, schema,
};
use std::sync::Arc;

use crate::{build, campaign, command, mandate, spending};

const PUSH: &str = "@id(\"push\") @limit_amount(\"1000\") @limit_count(\"10\") @limit_each(\"500\")
permit (principal, action == Action::\"push\", resource);\n";

#[test]
fn limits_are_named_and_the_strictest_binds() {
    let set = mandate(&format!(
        "{PUSH}@id(\"narrow\") @limit_count(\"3\") permit (principal, action, resource) when {{ resource is Campaign }};"
    ));
    let permit = evaluate_mandates(&[&set], &command(4, ActionKind::Push, campaign())).unwrap();
    let named: Vec<_> =
        permit.policies.iter().map(|(policy, limits)| (policy.policy.as_str(), limits.count)).collect();
    assert_eq!(named, [("narrow", Some(3)), ("push", Some(10))]);
    let limits = permit.limits;
    assert_eq!((limits.amount, limits.count, limits.each), (Some(Total(1000)), Some(3), Amount::new(500)));
}

#[test]
fn what_was_spent_counts() {
    let limits = Limits { amount: Some(Total(1000)), count: Some(10), each: Amount::new(500) };
    assert_eq!(limits.admit((Total(0), 0), 2, spending(1000, 500)), Ok(()));
    assert_eq!(limits.admit((Total(500), 8), 2, spending(500, 500)), Ok(()));
    assert!(matches!(limits.admit((Total(501), 8), 2, spending(500, 500)), Err(OverLimit::Amount { .. })));
    assert!(matches!(limits.admit((Total(0), 9), 2, spending(500, 500)), Err(OverLimit::Count { .. })));
    assert!(matches!(limits.admit((Total(0), 0), 2, spending(600, 501)), Err(OverLimit::Each { .. })));
    assert_eq!(limits.admit((Total(0), 0), 1, None), Err(OverLimit::Unknown));
    assert!(limits.admit((Total(u128::MAX), u64::MAX), 1, spending(1, 1)).is_err());
    assert_eq!(Limits::default().admit((Total(u128::MAX), u64::MAX), 1, None), Ok(()));
}

#[test]
fn limits_are_whole_numbers_on_permits() {
    for wrong in ["-1", "1.5", "1e3", "79228162514264337593543950336"] {
        let text = PUSH.replace("\"500\"", &format!("\"{wrong}\""));
        assert!(build(&text).unwrap_err().to_string().contains("limit_each"), "{wrong}");
    }
    let forbid = "@id(\"f\") @limit_count(\"1\") forbid (principal, action, resource);";
    assert!(build(forbid).unwrap_err().to_string().contains("belong to permits"));
    let unknown = "@id(\"a\") permit (principal, action == Action::\"fly\", resource);";
    assert!(build(unknown).unwrap_err().to_string().contains("fly"));
    let (line, part) = {
        let problem = build("@id(\"a\") permit (principal, action, resource)\nwhen { context.amount_up.lessThan(decimal(\"1.0\")) };")
            .unwrap_err()
            .0
            .remove(0);
        (problem.line, problem.part)
    };
    assert_eq!((line, part), (2, "policies"), "an amount that may be absent is asked for first");
}

#[test]
fn any_error_refuses() {
    let set = mandate(&format!(
        "{PUSH}@id(\"o\") forbid (principal, action, resource) when {{ context.count + 9223372036854775807 > 0 }};"
    ));
    let refusal = evaluate_mandates(&[&set], &command(4, ActionKind::Push, campaign())).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.policies[0].policy.as_str()), ("policy_error", "o"));
    // Without the overflow the forbid is what decides.
    let calm = CommandFacts { count: 0, ..command(4, ActionKind::Push, campaign()) };
    assert_eq!(evaluate_mandates(&[&set], &calm).unwrap_err().code, "mandate_forbids");
}

#[test]
fn a_forbid_of_one_mandate_beats_the_permit_of_another() {
    let (yes, no) = (
        mandate(PUSH),
        mandate(
            "@id(\"no\") @reason(\"closed\") @message(\"Not now.\") forbid (principal, action, resource);",
        ),
    );
    let facts = command(4, ActionKind::Push, campaign());
    assert!(evaluate_mandates(&[&yes], &facts).is_ok());
    for order in [[&yes, &no], [&no, &yes]] {
        let refusal = evaluate_mandates(&order, &facts).unwrap_err();
        assert_eq!((refusal.code.as_str(), refusal.sentence.as_str()), ("closed", "Not now."));
    }
    // Another authority's mandates neither permit nor forbid.
    let other = CommandFacts { authority: [9; 32].into(), ..facts };
    assert_eq!(evaluate_mandates(&[&yes, &no], &other).unwrap_err().code, "not_mandated");
}

#[test]
fn a_book_answers_from_the_holders_mandates() {
    let mut book = MandateBook::default();
    let set = Arc::new(mandate(PUSH));
    assert!(book.grant(Arc::clone(&set)) && book.grant(Arc::clone(&set)));
    assert_eq!(book.len(), 1);
    let facts = command(4, ActionKind::Push, campaign());
    assert_eq!(book.evaluate(&facts).unwrap().policies[0].0.mandate, set.hash());
    assert!(book.evaluate(&CommandFacts { authority: [5; 32].into(), ..facts.clone() }).is_err());
    assert!(book.revoke(&facts.authority, &set.hash()));
    assert!(!book.revoke(&facts.authority, &set.hash()));
    assert!(book.is_empty() && book.evaluate(&facts).is_err());
}

#[test]
fn the_schema_knows_every_action() {
    for action in ActionKind::ALL {
        assert!(schema().contains(action.as_str()));
        assert_eq!(action.as_str().parse(), Ok(*action));
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        let set =
            mandate(&format!("@id(\"a\") permit (principal, action == Action::\"{action}\", resource);"));
        assert!(evaluate_mandates(&[&set], &command(4, *action, campaign())).is_ok());
    }
}
