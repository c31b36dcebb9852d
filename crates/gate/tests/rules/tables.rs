use sluice_core::amount::Amount;
use sluice_gate::rules::{ClaimFacts, Compiled, PolicySource, Problem, RuleSet, Sources, evaluate};

use crate::common::{MANIFEST, facts, with_alert};

fn table(csv: &str) -> Result<(RuleSet, Compiled), Vec<Problem>> {
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Table(csv), never: "" };
    RuleSet::build(&sources).map_err(|problems| problems.0)
}

#[test]
fn a_row_becomes_a_policy() {
    let csv = "id,country,level <,amount <=,outcome,reason,message\nlocals,DE|AT,3,500,permit,too_much,\"Say \"\"please\"\".\"\n";
    let (set, compiled) = table(csv).unwrap();
    assert_eq!(
        set.policies,
        "@id(\"locals\")\n@reason(\"too_much\")\n@message(\"Say \\\"please\\\".\")\n\
         permit (principal, action == Action::\"pay\", resource)\nwhen {\n  \
         context.attestations has alert &&\n  \
         [\"DE\", \"AT\"].contains(context.attestations.residency.country) &&\n  \
         context.attestations.alert.level < 3 &&\n  \
         context.amount_up.lessThanOrEqual(decimal(\"500.0000\"))\n};\n\n"
    );
    assert!(evaluate(&[&compiled], &with_alert(2)).is_permitted());
    assert!(!evaluate(&[&compiled], &with_alert(3)).is_permitted());
    assert!(!evaluate(&[&compiled], &facts()).is_permitted());
    let dear = ClaimFacts { amount: Amount::new(500_000_001).unwrap(), ..with_alert(2) };
    assert!(!evaluate(&[&compiled], &dear).is_permitted());
}

#[test]
fn every_operator_and_type_compiles_and_decides() {
    // Header, a cell that holds for the facts with alert 2, and one that does not.
    let columns = [
        ("country", "DE", "FR"),
        ("country !=", "FR|AT", "DE|AT"),
        ("residency.birth_date <=", "19800101", "19800100"),
        ("birth_date <", "19800102", "19800101"),
        ("birth_date >=", "19800101", "19800102"),
        ("birth_date >", "19800100", "19800101"),
        ("birth_date", "1|19800101", "1"),
        ("birth_date !=", "5", "19800101"),
        ("rate <=", "1.25", "1.2499"),
        ("rate", "1.2500", "1.2"),
        ("rate >", "1.2", "1.25"),
        ("amount <=", "100", "99.9999"),
        ("amount <", "100.0001", "100"),
        ("amount >=", "100", "100.0001"),
        ("amount >", "99.9999", "100"),
        ("redirected", "false", "true"),
        ("confirmed", "true", "false"),
        ("tags", "x|y", "y"),
        ("tags !=", "y", "x"),
        ("date >=", "20261121", "20261122"),
        ("weekday", "6", "7"),
        ("hour", "0", "1"),
        ("round", "1", "2"),
        ("index <", "8", "7"),
        ("to", "0x0101010101010101010101010101010101010101", "0x02"),
    ];
    for (header, holds, fails) in columns {
        for (cell, expected) in [(holds, true), (fails, false)] {
            let permit = table(&format!("{header},outcome\n{cell},permit\n"));
            let (_, compiled) = permit.unwrap_or_else(|problems| panic!("{header} {cell}: {problems:?}"));
            assert_eq!(
                evaluate(&[&compiled], &with_alert(2)).is_permitted(),
                expected,
                "permit {header} {cell}"
            );
            let forbid = table(&format!("{header},outcome\n,permit\n{cell},forbid\n"));
            let (_, compiled) = forbid.unwrap_or_else(|problems| panic!("{header} {cell}: {problems:?}"));
            assert_eq!(
                evaluate(&[&compiled], &with_alert(2)).is_permitted(),
                !expected,
                "forbid {header} {cell}"
            );
        }
    }
}

#[test]
fn problems_name_row_and_column() {
    let places = |csv: &str| -> Vec<(usize, usize)> {
        let problems = table(csv).unwrap_err();
        assert!(problems.iter().all(|problem| problem.part == "table"), "{problems:?}");
        problems.iter().map(|problem| (problem.line, problem.column)).collect()
    };
    assert_eq!(places("country,outcome\nDE,perhaps\nDE,permit\nDE,\n"), [(2, 2), (4, 2)]);
    assert_eq!(
        places("amount <=,birth_date,outcome\n1.00001,x,permit\n1e3,5,permit\n"),
        [(2, 1), (2, 2), (3, 1)]
    );
    assert_eq!(places("county,country <,amount,outcome\n"), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(places("country\nDE\n"), [(1, 0)]);
    assert_eq!(places("country,country,outcome\nDE,DE,permit\n"), [(1, 2)]);
    assert_eq!(places("country,outcome\nDE\n"), [(2, 0)]);
    assert_eq!(places("redirected,outcome\nyes,permit\n"), [(2, 1)]);
    assert_eq!(places("country,outcome\n"), [(1, 0)]);
    assert_eq!(places("id,country,outcome\na b,DE,permit\n"), [(2, 1)]);
}

#[test]
fn cells_cannot_leave_their_quotes() {
    let (set, _) = table("country,outcome\n\"x\"\" == \"\"y\\\",permit\n").unwrap();
    assert!(set.policies.contains(r#"country == "x\" == \"y\\""#), "{}", set.policies);
}
