use std::path::PathBuf;
use std::sync::Arc;

use sluice_gate::mandate::ActionKind::*;
use sluice_gate::mandate::{
    ActionKind, CommandFacts, CompiledMandate, Mandate, MandateBook, Subject, explain_mandate,
};

use crate::{SATURDAY, campaign, command, spending};

const NAMES: [&str; 6] =
    ["registrar", "eligibility-agency", "payment-operator", "compliance", "auditor", "programme-owner"];

fn read(name: &str) -> CompiledMandate {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/rules/mandates");
    let text = |ending: &str| std::fs::read_to_string(folder.join(format!("{name}.{ending}"))).unwrap();
    let (mandate, compiled) =
        Mandate::build(&text("toml"), &text("cedar")).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    assert_eq!(CompiledMandate::compile(&mandate.encode()).unwrap().hash(), compiled.hash());
    compiled
}

fn book() -> MandateBook {
    let mut book = MandateBook::default();
    assert!(NAMES.iter().all(|name| book.grant(Arc::new(read(name)))));
    book
}

// The holders of the samples are 0x3333…, 0x2222… and so on.
const REGISTRAR: u8 = 0x33;
const AGENCY: u8 = 0x22;
const OPERATOR: u8 = 0x44;
const COMPLIANCE: u8 = 0x55;
const AUDITOR: u8 = 0x66;
const OWNER: u8 = 0x77;

fn in_germany(facts: CommandFacts) -> CommandFacts {
    CommandFacts { jurisdictions: vec!["DE".to_owned()], ..facts }
}

fn person() -> Subject {
    Subject::Person { person: [1; 32].into() }
}

fn entitlement() -> Subject {
    Subject::Entitlement { campaign: campaign().campaign().unwrap(), round: 1, index: 7 }
}

#[test]
fn each_may_do_its_own_work_and_no_other() {
    let book = book();
    let may =
        |authority, action, subject| book.evaluate(&in_germany(command(authority, action, subject))).is_ok();
    let table: [(u8, ActionKind, Subject, bool); 22] = [
        (REGISTRAR, BindPerson, person(), true),
        (REGISTRAR, ChangePayee, person(), true),
        (REGISTRAR, Hold, person(), true),
        (REGISTRAR, Hold, entitlement(), false),
        (REGISTRAR, Push, campaign(), false),
        (AGENCY, ProposeRules, Subject::Stream, true),
        (AGENCY, ActivateRules, Subject::Stream, false),
        (AGENCY, Void, Subject::Round { campaign: campaign().campaign().unwrap(), round: 4 }, true),
        (AGENCY, Void, Subject::Stream, false),
        (OPERATOR, Push, campaign(), true),
        (OPERATOR, Push, Subject::Round { campaign: campaign().campaign().unwrap(), round: 4 }, true),
        (OPERATOR, Push, Subject::Campaign { campaign: Default::default() }, false),
        (OPERATOR, Resume, campaign(), false),
        (COMPLIANCE, Hold, person(), true),
        (COMPLIANCE, Void, entitlement(), true),
        (COMPLIANCE, Publish, campaign(), false),
        (AUDITOR, Audit, Subject::Stream, true),
        (AUDITOR, Hold, person(), false),
        (OWNER, Publish, campaign(), true),
        (OWNER, ActivateRules, Subject::Stream, true),
        (OWNER, GrantMandate, Subject::Stream, true),
        (OWNER, Push, campaign(), false),
    ];
    for (authority, action, subject, expected) in table {
        assert_eq!(may(authority, action, subject.clone()), expected, "{authority:#x} {action} {subject:?}");
    }
}

#[test]
fn jurisdictions_bound_the_registrar() {
    let book = book();
    let bind = command(REGISTRAR, BindPerson, person());
    assert!(book.evaluate(&in_germany(bind.clone())).is_ok());
    assert_eq!(book.evaluate(&bind).unwrap_err().code, "not_mandated");
    let abroad = CommandFacts { jurisdictions: vec!["AT".to_owned()], ..bind };
    assert_eq!(book.evaluate(&abroad).unwrap_err().code, "not_mandated");
}

#[test]
fn large_runs_wait_for_office_hours() {
    let book = book();
    let run = |total, accepted_at| {
        let facts = command(OPERATOR, Push, campaign());
        book.evaluate(&CommandFacts { spending: spending(total, 1), accepted_at, ..facts })
    };
    let hundred_thousand = 100_000_000_000;
    let permit = run(hundred_thousand, SATURDAY).unwrap();
    assert_eq!(permit.limits.amount.unwrap().get(), 1_000_000_000_000);
    // One base unit more is rounded up, and so is large.
    let refusal = run(hundred_thousand + 1, SATURDAY).unwrap_err();
    assert_eq!(refusal.code, "outside_office_hours");
    assert!(run(hundred_thousand + 1, crate::MONDAY_AT_TEN).is_ok());
    assert!(run(hundred_thousand + 1, crate::MONDAY_AT_TEN + 7 * 3_600_000).is_err());
}

#[test]
fn vendors_do_not_hold() {
    let book = book();
    let hold = command(COMPLIANCE, Hold, person());
    let refusal = book.evaluate(&CommandFacts { delegated: true, ..hold }).unwrap_err();
    assert_eq!(refusal.code, "not_by_vendor");
    let release = command(COMPLIANCE, Release, person());
    assert!(book.evaluate(&CommandFacts { delegated: true, ..release }).is_ok());
}

#[test]
fn mandates_in_words() {
    let words = |name: &str| {
        explain_mandate(&read(name)).iter().map(|rule| rule.sentence.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        words("payment-operator"),
        [
            "Permit push when the subject belongs to campaign 018f3a00-0000-7000-8000-000000000001, at most \
             1000000000000 base units in all.",
            "Permit pause when the subject belongs to campaign 018f3a00-0000-7000-8000-000000000001.",
            "Forbid push when the amount is known and the amount is above 100000.0, unless the command's weekday is \
             at most 5 and the command's hour is at least 7 and the command's hour is below 17.",
        ]
    );
    assert_eq!(words("auditor"), ["Permit audit and read private."]);
    assert_eq!(
        words("eligibility-agency")[2],
        "Permit void when the subject belongs to jurisdiction DE, at most 5000 items in all and 900000000 base units for \
         each item."
    );
}
