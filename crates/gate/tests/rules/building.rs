use sluice_core::limits::RULES_BYTES_MAX;
use sluice_gate::rules::{
    Compiled, POLICY_BYTES_MAX, PolicySource, Problem, RuleSet, Rulebook, Sources, prove_never,
};

use crate::common::{MANIFEST, build, facts, permit, rules};

fn problems(policies: &str) -> Vec<Problem> {
    build(policies).expect_err(policies).0
}

/// The first problem's place and message.
fn first(policies: &str) -> (usize, usize, String) {
    let first = problems(policies).remove(0);
    assert_eq!(first.part, "policies");
    (first.line, first.column, first.message)
}

#[test]
fn every_policy_has_an_id_of_its_own() {
    let (line, column, message) = first("\n  permit (principal, action, resource);");
    assert_eq!((line, column), (2, 3));
    assert!(message.contains("@id"), "{message}");
    let twice = "@id(\"a\") permit (principal, action, resource);\n\n@id(\"b\") permit (principal, action, resource);\n  \
                 @id(\"a\") forbid (principal, action, resource);";
    let (line, column, message) = first(twice);
    assert_eq!((line, column), (4, 3));
    assert!(message.contains("taken"), "{message}");
    assert!(first("@id(\"a b\") permit (principal, action, resource);").2.contains("is not an id"));
}

#[test]
fn equal_policies_are_told_apart_by_their_place() {
    let (line, ..) = first("permit (principal, action, resource);\npermit (principal, action, resource);");
    assert_eq!(line, 1);
    let lines: Vec<_> =
        problems("permit (principal, action, resource);\npermit (principal, action, resource);")
            .iter()
            .map(|problem| problem.line)
            .collect();
    assert_eq!(lines, [1, 2]);
}

#[test]
fn annotations_are_known_or_refused() {
    let (.., message) = first("@id(\"a\") @resaon(\"typo\") permit (principal, action, resource);");
    assert!(message.contains("@resaon is unknown"), "{message}");
    assert!(
        first("@id(\"a\") @message permit (principal, action, resource);")
            .2
            .contains("@message needs a text")
    );
    let (.., message) = first("@id(\"a\") @claimant(\"nowhere\") permit (principal, action, resource);");
    assert!(message.contains("has no sentence"), "{message}");
}

#[test]
fn templates_are_refused() {
    let (line, _, message) = first("\n@id(\"a\") permit (principal == ?principal, action, resource);");
    assert_eq!(line, 2);
    assert!(message.contains("template"), "{message}");
}

#[test]
fn types_are_checked_at_their_place() {
    let unknown = "@id(\"a\") permit (principal, action, resource)\nwhen { context.nothing == 1 };";
    let (line, column, message) = first(unknown);
    assert_eq!((line, column), (2, 8));
    assert!(message.contains("nothing"), "{message}");
    assert_eq!(first(&permit("context.index == \"7\"")).0, 2);
    // An optional attestation must be asked for before it is read.
    assert_eq!(first(&permit("context.attestations.alert.level < 3")).0, 2);
    assert_eq!(first(&permit("context.index ==")).0, 2);
}

#[test]
fn policies_that_can_never_apply_are_refused_when_built_and_still_compile() {
    let (.., message) = first(&permit("context.index == 7 && false"));
    assert!(message.contains("impossible"), "{message}");
}

#[test]
fn amounts_are_rounded_away_from_permission() {
    for wrong in [
        "context.amount_down.lessThanOrEqual(decimal(\"5.0\"))",
        "context.amount_up.greaterThan(decimal(\"5.0\"))",
        "!context.amount_up.lessThan(decimal(\"5.0\"))",
        "decimal(\"5.0\").lessThan(context.amount_up)",
        "context.index == 1 || (if context.redirected then context.amount_down.lessThan(decimal(\"5.0\")) else true)",
    ] {
        let (.., message) = first(&permit(wrong));
        assert!(message.contains("rounds towards a payment"), "{wrong}: {message}");
        let turned = wrong.replace("amount_down", "amount_DOWN").replace("amount_up", "amount_down");
        rules(&permit(&turned.replace("amount_DOWN", "amount_up")));
        // In a forbid it is the other way about.
        let forbid = format!("@id(\"f\") forbid (principal, action, resource) when {{ {wrong} }};");
        rules(&forbid);
        rules(&format!("@id(\"p\") permit (principal, action, resource) unless {{ {wrong} }};"));
    }
    for unclear in [
        "context.amount_up == decimal(\"5.0\")",
        "(if context.amount_up.lessThan(decimal(\"5.0\")) then true else context.redirected)",
        "context.amount_up.lessThan(decimal(\"5.0\")) == true",
        "[context.amount_up].contains(decimal(\"5.0\"))",
    ] {
        let (.., message) = first(&permit(unclear));
        assert!(message.contains("may only be compared"), "{unclear}: {message}");
    }
}

#[test]
fn sizes_and_nesting_are_bounded() {
    let deep = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    assert!(first(&permit(&deep)).2.contains("nested"));
    let long = format!("[{}].contains(1)", vec!["1"; POLICY_BYTES_MAX / 2].join(","));
    assert!(first(&permit(&long)).2.contains("bytes; split it"));
    let wide = vec!["context.index == 1"; 200].join(" || ");
    assert!(first(&permit(&wide)).2.contains("operators"));
    let many: String =
        (0..257).map(|n| format!("@id(\"p{n}\") permit (principal, action, resource);\n")).collect();
    assert!(first(&many).2.contains("at most 256"));
    // What is built can be proposed: the log takes no more bytes than a rule set may have here.
    let text = format!("{}// {}\n", permit("true"), "x".repeat(RULES_BYTES_MAX));
    assert!(problems(&text).iter().any(|problem| problem.message.contains("65536")), "{:?}", problems(&text));
    assert!(Compiled::compile(&vec![1; RULES_BYTES_MAX + 1]).unwrap_err().to_string().contains("at most"));
}

#[test]
fn the_longest_policy_is_taken_on_a_small_stack() {
    // Just below what is counted: operators' characters, dots and ifs.
    let terms = |join: &str, term: &str, counted: usize| vec![term; 190 / counted].join(join);
    for when in [
        terms("||", "context.redirected", 3),
        terms("&&", "true==context.redirected", 3),
        format!("{} > 1", terms("+", "1", 1)),
        format!("{} true", "if context.redirected then true else ".repeat(90)),
        format!("[{}].contains(1)", vec!["1"; 3_500].join(",")),
    ] {
        let policy = permit(&when);
        let thread = std::thread::Builder::new().name(when.chars().take(30).collect()).stack_size(2 << 20);
        let verdict = thread
            .spawn(move || {
                let set = rules(&policy);
                sluice_gate::rules::evaluate(&[&set], &facts()).decisions.len()
            })
            .unwrap();
        assert_eq!(verdict.join().unwrap(), 1);
    }
}

#[test]
fn a_rule_set_is_its_bytes() {
    let source = permit("context.index == 7");
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(&source), never: "" };
    let (set, compiled) = RuleSet::build(&sources).unwrap();
    let bytes = set.encode();
    assert_eq!(set.hash(), compiled.hash());
    let again = Compiled::compile(&bytes).unwrap();
    assert_eq!((again.hash(), again.manifest()), (compiled.hash(), &set.manifest));
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Compiled::compile(&longer).is_err());
    assert!(Compiled::compile(&bytes[..bytes.len() - 1]).is_err());
    assert!(Compiled::compile(&[9]).unwrap_err().to_string().contains("format 9"));
    assert!(Compiled::compile(&[]).is_err());
    // A schema of one's own could give types that facts do not have.
    let mut forged = set.clone();
    forged.schema = forged.schema.replace("index: Long", "index: String");
    assert!(Compiled::compile(&forged.encode()).unwrap_err().to_string().contains("differs from the schema"));
    // Windows' line ends do not make another rule set.
    let crlf = source.replace('\n', "\r\n");
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(&crlf), never: "" };
    assert_eq!(RuleSet::build(&sources).unwrap().0.hash(), set.hash());
}

#[test]
fn a_manifest_says_nothing_unknown() {
    let manifest = format!("surprise = 1\n{MANIFEST}");
    let source = permit("true");
    let sources = Sources { manifest: &manifest, policies: PolicySource::Cedar(&source), never: "" };
    let problem = RuleSet::build(&sources).unwrap_err().0.remove(0);
    assert_eq!((problem.part, problem.line), ("manifest", 1));
    let manifest = MANIFEST.replace("country = \"string\"", "schema = \"string\", \"bad name\" = \"string\"");
    let sources = Sources { manifest: &manifest, policies: PolicySource::Cedar(&source), never: "" };
    assert_eq!(RuleSet::build(&sources).unwrap_err().0.len(), 2);
}

#[test]
fn what_must_never_be_permitted_is_tried() {
    let case = |name: &str, index: u64, country: serde_json::Value| {
        let mut facts = serde_json::to_value(facts()).unwrap();
        facts["index"] = index.into();
        facts["attestations"]["residency"]["data"]["country"] = country;
        serde_json::json!({ "name": name, "facts": facts })
    };
    let never = serde_json::json!([
        case("refused", 8, "DE".into()),
        case("permitted", 7, "DE".into()),
        case("vacuous", 8, 5.into())
    ]);
    let source = permit("context.index == 7");
    let never = never.to_string();
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(&source), never: &never };
    let (_, compiled) = RuleSet::build(&sources).unwrap();
    let failures = prove_never(&compiled).unwrap_err();
    let names: Vec<_> = failures.iter().map(|failure| failure.case.name.as_str()).collect();
    assert_eq!(names, ["permitted", "vacuous"]);
    assert!(failures[0].why.contains("permitted by p"), "{}", failures[0].why);
    let broken = never.replace("\"facts\"", "\"fact\"");
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(&source), never: &broken };
    let problem = RuleSet::build(&sources).unwrap_err().0.remove(0);
    assert_eq!((problem.part, problem.line), ("never", 1));
}

#[test]
fn a_rulebook_keeps_what_was_used_last() {
    let set = |index: u64| {
        let source = permit(&format!("context.index == {index}"));
        let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(&source), never: "" };
        let (set, _) = RuleSet::build(&sources).unwrap();
        (set.hash(), set.encode())
    };
    let book = Rulebook::new(2);
    let (a, b, c) = (set(1), set(2), set(3));
    book.load(&a.0, &a.1).unwrap();
    book.load(&b.0, &b.1).unwrap();
    assert!(book.get(&a.0).is_some());
    book.load(&c.0, &c.1).unwrap();
    assert_eq!(book.len(), 2);
    assert!(book.get(&a.0).is_some() && book.get(&b.0).is_none() && book.get(&c.0).is_some());
    assert!(book.load(&b.0, &c.1).unwrap_err().to_string().contains("these bytes are rule set"));
    assert_eq!(book.load(&b.0, &b.1).unwrap().hash(), b.0);
}
