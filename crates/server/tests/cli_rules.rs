//! `sluice rules` and `sluice cycle` as people run them: the real binary on the worked rule sets, exact outputs.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const RESIDENCY: &str = "residency";
const INCOME: &str = "income";

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/rules").join(name);
    path.canonicalize().unwrap().display().to_string()
}

fn sluice(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice")).args(arguments).output().unwrap()
}

#[track_caller]
fn told(arguments: &[&str]) -> String {
    let output = sluice(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json_of(arguments: &[&str]) -> Value {
    let out = told(&[arguments, &["--json"]].concat());
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

/// A command that must fail: what it said on both streams.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = sluice(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// A copy of a worked rule set, with one of its texts changed.
fn copy(desk: &TempDir, name: &str, file: &str, from: &str, to: &str) -> String {
    let folder = desk.path().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(sample(name)).unwrap() {
        let entry = entry.unwrap();
        let mut text = std::fs::read_to_string(entry.path()).unwrap();
        if entry.file_name() == file {
            assert!(text.contains(from), "{file} has no {from:?}");
            text = text.replace(from, to);
        }
        std::fs::write(folder.join(entry.file_name()), text).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn the_worked_rule_sets_are_right_and_a_built_file_is_the_same_rule_set() {
    let desk = tempfile::tempdir().unwrap();
    for (name, policies, never) in [(RESIDENCY, 3, 5), (INCOME, 3, 3)] {
        let checked = json_of(&["rules", "check", &sample(name)]);
        assert_eq!(checked["problems"], json!([]));
        let counts = (checked["policies"].as_u64(), checked["never"].as_u64().unwrap() > 0);
        assert_eq!(counts, (Some(policies), never > 0), "{checked}");
        let file = desk.path().join(name).with_extension("rules").display().to_string();
        let built = json_of(&["rules", "build", &sample(name), "--out", &file]);
        assert_eq!(built["rules"], checked["rules"]);
        assert_eq!(json_of(&["rules", "check", &file])["rules"], checked["rules"]);
        assert_eq!(told(&["rules", "explain", &file]), told(&["rules", "explain", &sample(name)]));
        assert_eq!(told(&["rules", "diff", &file, &sample(name)]), "no rule changes\n");
    }
}

#[test]
fn every_problem_is_told_with_its_place() {
    let desk = tempfile::tempdir().unwrap();
    let wrong = copy(&desk, INCOME, "table.csv", "36000,3,900", "much,3,lots");
    let said = refused(&["rules", "check", &wrong]);
    let places: Vec<&str> = said.lines().map(|line| line.rsplitn(2, ": ").last().unwrap()).collect();
    assert!(said.contains("table:3:3: ") && said.contains("table:3:5: "), "{places:?}");
    let output = sluice(&["rules", "check", &wrong, "--json"]);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["problems"].as_array().unwrap().len(), 2);
    assert_eq!((&line["problems"][0]["line"], &line["problems"][0]["column"]), (&json!(3), &json!(3)));

    // A rule set that permits what it says must never be permitted is wrong too.
    let lax = copy(&desk, RESIDENCY, "policies.cedar", ">= 3", ">= 9");
    let said = refused(&["rules", "check", &lax]);
    assert!(said.contains("must never be permitted"), "{said}");
    let said = refused(&["rules", "check", &desk.path().display().to_string()]);
    assert!(said.contains("rules.toml"), "{said}");
}

#[test]
fn a_dry_run_says_who_passes_and_what_it_costs() {
    let desk = tempfile::tempdir().unwrap();
    let rows = desk.path().join("rows.csv").display().to_string();
    let both = [sample(RESIDENCY), sample(INCOME)];
    let claims = sample("claims.ndjson");
    let simulate = ["rules", "simulate", &both[0], &both[1], "--claims", &claims];
    let result = json_of(&[&simulate[..], &["--funds", "2000", "--out", &rows]].concat());
    assert_eq!(result["evaluated"]["claims"], json!(12));
    assert_eq!(result["permitted"], json!({ "claims": 5, "total": "2600000000" }));
    assert_eq!(result["refused"]["claims"], json!(7));
    assert_eq!(result["short_by"], json!("600000000"));
    let reasons = result["reasons"].as_object().unwrap();
    let counted: Vec<(&str, u64)> =
        reasons.iter().map(|(code, count)| (code.as_str(), count["claims"].as_u64().unwrap())).collect();
    assert_eq!(
        counted,
        [
            ("attestation_missing", 1),
            ("fraud_alert", 1),
            ("income_too_high", 1),
            ("not_resident", 3),
            ("statement_too_old", 1)
        ]
    );
    let said = told(&[&simulate[..], &["--funds", "2600"]].concat());
    assert!(said.contains("permitted     5 claims, 2600 tokens") || said.contains("5 claims, 2600 tokens"));
    assert!(said.contains("enough"), "{said}");
    let rows = std::fs::read_to_string(rows).unwrap();
    assert_eq!(rows.lines().count(), 13);
    let third = rows.lines().nth(3).unwrap();
    assert!(third.contains(",500.000001,refused,income_too_high,"), "{third}");
}

#[test]
fn a_wrong_line_of_claims_is_named() {
    let desk = tempfile::tempdir().unwrap();
    let claims = desk.path().join("claims.ndjson");
    let text = std::fs::read_to_string(sample("claims.ndjson")).unwrap();
    std::fs::write(&claims, text.replacen("\"index\":3", "\"indexes\":3", 1)).unwrap();
    let said = refused(&["rules", "simulate", &sample(INCOME), "--claims", &claims.display().to_string()]);
    assert!(said.contains("line 4") && said.contains("indexes"), "{said}");
    let said = refused(&[
        "rules",
        "simulate",
        &sample(INCOME),
        "--claims",
        &sample("claims.ndjson"),
        "--funds",
        "1e3",
    ]);
    assert!(said.contains("--funds 1e3"), "{said}");
}

#[test]
fn what_changes_between_versions_is_told_by_rules_and_by_people() {
    let desk = tempfile::tempdir().unwrap();
    let next = copy(&desk, INCOME, "table.csv", "18000,1,500", "14000,1,500");
    let claims = sample("claims.ndjson");
    let said = told(&["rules", "diff", &sample(INCOME), &next]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("~ single: Permit payment when ") && lines[0].contains("18"), "{said}");
    assert!(lines[1].starts_with("  now: Permit payment when ") && lines[1].contains("14"), "{said}");
    let changes = json_of(&["rules", "diff", &sample(INCOME), &next, "--claims", &claims]);
    assert_eq!(changes["rules"]["changed"].as_array().unwrap().len(), 1);
    assert_eq!(changes["outcomes"]["evaluated"]["claims"], json!(12));
    assert_eq!(changes["outcomes"]["now_permitted"]["claims"], json!(0));
    let refused = changes["outcomes"]["now_refused"]["claims"].as_u64().unwrap();
    assert!(refused > 0);
    let examples = changes["outcomes"]["examples"].as_array().unwrap();
    assert_eq!(examples.len() as u64, refused);
    assert!(examples.iter().all(|e| e["before"].is_null() && e["after"] == "income_too_high"));
}

#[test]
fn rules_are_sentences_and_tables_are_policies() {
    let said = told(&["rules", "explain", &sample(INCOME)]);
    let ids: Vec<&str> = said.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(ids, ["single", "family", "outdated"]);
    assert!(said.lines().all(|line| line.ends_with(']')), "{said}");
    let masked = told(&["rules", "explain", &sample(RESIDENCY)]);
    assert!(masked.contains("told to the claimant as under_review"), "{masked}");
    let cedar = told(&["rules", "table", &sample(INCOME)]);
    assert_eq!(cedar.matches("@id(").count(), 3);
    assert!(cedar.contains("@id(\"outdated\")") && cedar.contains("forbid"), "{cedar}");
    let said = told(&["authority", "mandate", "explain", &sample("mandates/compliance.toml")]);
    assert!(said.contains("at most 200 items in all"), "{said}");
}

#[test]
fn the_next_list_is_the_last_one_with_its_changes() {
    let desk = tempfile::tempdir().unwrap();
    let address = |number: u8| format!("0x{}", format!("{number:02x}").repeat(20));
    let write = |name: &str, text: String| {
        let path = desk.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let [a, b, c, d] = [0x11, 0x22, 0x33, 0x44].map(address);
    let last = write("last.csv", format!("address,amount\n{a},10\n{b},20.5\n{c},30\n"));
    let changes =
        write("changes.csv", format!("change,address,amount\nadd,{d},4\nremove,{b},\nchange,{c},31\n"));
    let report = write(
        "report.csv",
        format!(
            "round,index,recipient,person,amount,state,transaction,time,reason\n1,0,{a},,10,final,,,\n1,1,{b},,20.5,voided,,,\n\
             1,2,{c},,30,unclaimed,,,\n"
        ),
    );
    let out = desk.path().join("next.csv");
    let out_text = out.display().to_string();
    let next = ["cycle", "next", &last, &changes, "--decimals", "6", "--out", &out_text];
    let summary = json_of(&[&next[..], &["--report", &report, "--round", "1"]].concat());
    let sum = |name: &str| (summary[name]["entitlements"].clone(), summary[name]["total"].clone());
    assert_eq!(sum("new"), (json!(1), json!("4000000")));
    assert_eq!(sum("gone"), (json!(1), json!("20500000")));
    assert_eq!(sum("changed"), (json!(1), json!("31000000")));
    assert_eq!(sum("same"), (json!(1), json!("10000000")));
    assert_eq!(sum("arrears"), (json!(1), json!("30000000")));
    assert_eq!(sum("next"), (json!(3), json!("45000000")));
    let list = |path: &Path| std::fs::read_to_string(path).unwrap().to_lowercase();
    assert_eq!(list(&out), format!("address,amount\n{a},10\n{c},31\n{d},4\n"));
    let carried = [&next[..], &["--report", &report, "--round", "1", "--carry-arrears"]].concat();
    assert_eq!(json_of(&carried)["next"]["total"], json!("75000000"));
    assert_eq!(list(&out), format!("address,amount\n{a},10\n{c},61\n{d},4\n"));

    // What is printed builds the snapshot, with control totals that hold.
    let said = told(&carried);
    let build = said.lines().find_map(|line| line.split_once("sluice snapshot build ")).unwrap().1;
    let words: Vec<&str> = build.split_whitespace().collect();
    told(&[&["snapshot", "build"], &words[..]].concat());

    let twice = write("twice.csv", format!("change,address,amount\nadd,{a},4\n"));
    let said = refused(&["cycle", "next", &last, &twice, "--out", &out_text]);
    assert!(said.contains("twice.csv, row 2") && said.contains("listed already"), "{said}");
    let nobody = write("nobody.csv", format!("change,address,amount\nremove,{d},\n"));
    assert!(refused(&["cycle", "next", &last, &nobody, "--out", &out_text]).contains("is not listed"));
    let odd = write("odd.csv", format!("change,address,amount\npay,{a},1\n"));
    assert!(
        refused(&["cycle", "next", &last, &odd, "--out", &out_text]).contains("none of add, remove, change")
    );
}
