//! The demonstration, as a user runs it: interrupted once, then to its end in the same folder.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A folder that the account of a private PostgreSQL can reach also where tests run as root.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("demo_small")
}

fn demo(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["demo", "--recipients", "200", "--claims", "40", "--json", "--dir"])
        .arg(folder())
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("SLUICE_RPC")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Processes of a demonstration that outlived it: a PostgreSQL on its folder, an anvil named after its process.
fn left_behind(demo: u32) -> Vec<String> {
    let (folder, chain) = (folder().display().to_string(), format!("sluice-anvil-{demo}-"));
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder) || line.contains(&chain)).collect()
}

#[test]
fn a_demonstration_pays_everyone_once_also_after_an_interrupted_one() {
    let mut interrupted = demo(&[]);
    let process = interrupted.id();
    let mut lines = BufReader::new(interrupted.stderr.take().unwrap()).lines();
    let reached = lines.by_ref().any(|line| line.unwrap().contains("funding and opening"));
    assert!(reached, "the demonstration ended before it was interrupted");
    let told = Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap();
    assert!(told.success());
    let said: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(!interrupted.wait().unwrap().success());
    assert!(said.iter().any(|line| line.contains("interrupted")), "{said:#?}");
    assert_eq!(left_behind(process), Vec::<String>::new());

    let second = demo(&[]);
    let process = second.id();
    let done = second.wait_with_output().unwrap();
    let (out, told) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{told}");
    let found: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let expected = json!({ "recipients": 200, "paid": 200, "paid_twice": 0, "lost": 0, "unasked": 0,
        "ledger_is_chain": true, "differences": [], "redirected": 6, "by_contract": 4 });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name} in {found:#}");
    }
    assert_eq!(found["sum"], found["total"]);
    // Every way of paying was really gone.
    for way in ["in batches", "redirected", "self-paid"] {
        assert!(found["ways"][way]["payments"].as_u64().unwrap() > 0, "{way} in {found:#}");
        assert!(found["ways"][way]["gas"].as_u64().unwrap() > 0, "{way} in {found:#}");
    }
    // 29 plain and 6 redirected claims, 4 of them by contract wallets; of the raced one either the relayed or the wallet's own may be first.
    let claims = found["claims"].as_u64().unwrap();
    assert!((35..=36).contains(&claims), "{found:#}");
    assert_eq!(left_behind(process), Vec::<String>::new());
}

#[test]
fn more_claims_than_known_keys_are_refused_by_name() {
    let list = folder().with_extension("csv");
    std::fs::write(&list, "address,amount\n0x1111111111111111111111111111111111111111,1\n").unwrap();
    // Options that contradict each other are seen before anything is started.
    let refused = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["demo", "--push", "all", "--claims", "5", "--dir"])
        .arg(folder().with_extension("other"))
        .arg("--list")
        .arg(&list)
        .output()
        .unwrap();
    let mut told = String::new();
    refused.stderr.as_slice().read_to_string(&mut told).unwrap();
    assert!(!refused.status.success() && told.contains("--claims 5 contradicts --push all"), "{told}");
    assert!(!folder().with_extension("other").exists(), "nothing was to be started");
}
