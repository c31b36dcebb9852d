//! The story of the institutions, as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A folder that the account of a private PostgreSQL can reach also where tests run as root.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scenario_institutions")
}

#[test]
fn positions_explain_who_won_and_no_answer_contradicts_another() {
    let done = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["scenario", "institutions", "--seed", "7", "--json", "--dir"])
        .arg(folder())
        .env_remove("DATABASE_URL")
        .env_remove("SLUICE_RPC")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, told) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{told}");
    let found: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(found["good"], true, "{found:#}");
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for race in found["races"].as_array().unwrap() {
        *kinds.entry(race["race"].as_str().unwrap()).or_default() += 1;
        // Whoever won: it is said where, and why.
        for name in ["first", "second", "won", "why"] {
            assert!(!race[name].as_str().unwrap().is_empty(), "{race:#}");
        }
    }
    // Of 30 people: every one behind the gate, a third claims, a third is held, eight move and four are bound anew.
    assert_eq!(kinds["claim behind the gate / new rules"], 30, "{kinds:#?}");
    assert_eq!(kinds["claim / payment job"], 10, "{kinds:#?}");
    assert_eq!(kinds["payment job / compliance hold"], 10, "{kinds:#?}");
    assert_eq!(kinds["citizen's move / registrar's correction"], 8, "{kinds:#?}");
    assert_eq!(kinds["citizen's move / two approvals"], 4, "{kinds:#?}");
    assert_eq!(kinds["approval / approval of the same rules"], 1, "{kinds:#?}");
    assert!(kinds["orders in flight / key rotation"] > 0, "{kinds:#?}");
    let checks = found["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 15, "{checks:#?}");
    assert!(checks.iter().all(|check| check["compared"].as_u64().unwrap() > 0), "{checks:#?}");
}

#[test]
fn too_few_people_are_refused_before_anything_is_started() {
    let folder = folder().with_extension("none");
    let refused = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["scenario", "institutions", "--people", "3", "--dir"])
        .arg(&folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("12..=200"), "{told}");
    assert!(!folder.exists(), "nothing was to be started");
}
