//! The walk-through for institutions, run as it stands on its page: the blocks of docs/INSTITUTIONS.md, in order, in one
//! shell, against a development node. Then what it left behind is looked at, and tampered with.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cli_node::{Node, words};
use serde_json::{Value, json};

mod cli_node;

const PAGE: &str = include_str!("../../../docs/INSTITUTIONS.md");

/// The page's blocks that a shell runs.
fn script() -> String {
    let mut script = String::from("set -euo pipefail\n");
    let mut inside = false;
    for line in PAGE.lines() {
        match line {
            "```bash" => inside = true,
            "```" => inside = false,
            _ if inside => script += &format!("{line}\n"),
            _ => {}
        }
    }
    script
}

/// A folder that looks as a clone does, as far as the page goes: the program built, the samples, the node's folder.
fn clone_of(node: &Node) -> PathBuf {
    let clone = node.dir.with_extension("clone");
    let _ = std::fs::remove_dir_all(&clone);
    std::fs::create_dir_all(clone.join("target/debug")).unwrap();
    let link = |what: &Path, name: &str| std::os::unix::fs::symlink(what, clone.join(name)).unwrap();
    link(Path::new(env!("CARGO_BIN_EXE_sluice")), "target/debug/sluice");
    link(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sample-data"), "sample-data");
    link(&node.dir, "ground");
    clone
}

#[test]
fn every_line_of_the_page_does_what_it_says() {
    assert!(
        PAGE.contains("\nmake build\ntarget/debug/sluice serve --dev --dir ground\n"),
        "as the test does"
    );
    let node = Node::start("cli_walkthrough");
    let clone = clone_of(&node);
    let told = "printf '%s\\n' $campaign $claim $hold $ben_claim $SLUICE_CHARTER \"$audit\" > ground/told\n";
    let shell = Command::new("bash")
        .args(["-c", &(script() + told)])
        .current_dir(&clone)
        .env_remove("DATABASE_URL")
        .env_remove("SLUICE_RPC")
        .env_remove("SLUICE_NODE")
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&shell.stdout), String::from_utf8_lossy(&shell.stderr));
    assert!(shell.status.success(), "{said}\n{wrong}");
    let left = Left::of(&node);
    shown_by_the_page(&said);
    traced(&node, &left);
    read(&node, &left);
    audited(&node, &left);
    tampered(&node, &left);
    witnessed(&node, &left);
}

/// What the page left behind.
struct Left {
    campaign: String,
    claim: String,
    hold: u64,
    ben_claim: String,
    charter: String,
    /// What the auditor proves itself with.
    audit: Vec<String>,
    export: PathBuf,
}

impl Left {
    fn of(node: &Node) -> Self {
        let text = std::fs::read_to_string(node.dir.join("told")).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        let mut next = || lines.next().unwrap();
        let (campaign, claim, hold, ben_claim, charter) = (next(), next(), next(), next(), next());
        // The page names files as one sees them beside the node's folder.
        let audit = words(&next().replace("ground/", &format!("{}/", node.dir.display())));
        let export = node.dir.join("log.export");
        Self { campaign, claim, hold: hold.parse().unwrap(), ben_claim, charter, audit, export }
    }

    fn export(&self) -> Vec<String> {
        vec!["--export".into(), self.export.display().to_string()]
    }
}

/// What the page's text says its commands show.
fn shown_by_the_page(said: &str) {
    let parts = [
        "Permit propose rules and activate rules.",
        "(Ministry), registered in the log",
        "permitted     2 claims, 1050 tokens",
        "short by      50 tokens",
        "is one of DE or AT",
        "state     final: You were paid.",
        "Verified: this is the entry at position",
        "revoke_attestation at",
        // Only Compliance is shown it.
        "\"text\": \"I have one address\"",
        "covering",
    ];
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
}

fn steps(story: &Value) -> Vec<&Value> {
    story["steps"].as_array().unwrap().iter().collect()
}

/// From a claim, its entitlement and its transaction one comes to the same story.
fn traced(node: &Node, left: &Left) {
    let story = node.done(&format!("trace {}", left.claim), &[]);
    let transaction = story["entitlements"][0]["paid_by"][0].as_str().unwrap();
    let newest_first =
        ["batch_final", "claim_decided", "activate_rules", "approve_rules", "propose_rules", "bind_person"];
    let mut kinds = steps(&story).into_iter().map(|step| step["kind"].as_str().unwrap());
    assert!(newest_first.iter().all(|kind| kinds.any(|found| found == *kind)), "{story:#}");
    let index = story["entitlements"][0]["index"].as_u64().unwrap();
    let by_entitlement = node.done(&format!("trace 1/{index} --campaign {}", left.campaign), &[]);
    assert_eq!(by_entitlement["steps"], story["steps"]);
    let by_transaction = node.done(&format!("trace {transaction}"), &[]);
    let decision = |story: &Value| {
        let found = steps(story).into_iter().find(|step| step["kind"] == "claim_decided");
        found.unwrap()["seq"].clone()
    };
    assert_eq!(decision(&by_transaction), decision(&story));
    let offline = node.done(&format!("trace {}", left.claim), &[left.export()]);
    assert_eq!((&offline["entitlements"], decision(&offline)), (&story["entitlements"], decision(&story)));

    let person = "0x00000000000000000000000000000000000000000000000000000000000000a1";
    assert!(story.to_string().contains(person));
    let public = node.done(&format!("trace {} --public", left.claim), &[]);
    assert!(!public.to_string().contains(person), "{public}");
    let text = String::from_utf8(node.sluice(&format!("trace {}", left.claim), &[]).stdout).unwrap();
    assert!(text.contains(&format!("paid by {transaction}")) && text.contains("under mandate"), "{text}");

    let (code, told) = node.refused("trace Anna", &[]);
    assert!(code == 2 && told.contains("nor ROUND/INDEX"), "{told}");
    let (code, told) = node.refused("trace 018f3a00-0000-7000-8000-00000000abcd", &[]);
    assert!(code == 1 && told.contains("the log decides no claim"), "{told}");
}

/// An office is told what its mandate lets it read; a stranger neither who is held nor which payments are theirs.
fn read(node: &Node, left: &Left) {
    let ben = "0x00000000000000000000000000000000000000000000000000000000000000b2";
    let story = format!("trace {} --online", left.ben_claim);
    let (public, whole) = (node.done(&story, &[]), node.done(&story, std::slice::from_ref(&left.audit)));
    let told = |story: &Value, kind: &str| steps(story).iter().any(|step| step["kind"] == kind);
    for kind in ["hold", "confirm_hold", "file_appeal", "answer_appeal", "release", "bind_person"] {
        assert!(told(&whole, kind), "{kind}: {whole:#}");
        assert!(!told(&public, kind), "{kind}: {public:#}");
    }
    assert!(told(&public, "batch_final") && !public.to_string().contains(ben), "{public:#}");
    assert!(whole.to_string().contains("two reports of another address"), "{whole:#}");
    // From the log itself the public story is as short.
    let offline = node.done(&format!("trace {} --public", left.ben_claim), &[]);
    assert!(!told(&offline, "hold") && !told(&offline, "release"), "{offline:#}");

    let after = format!("show changes --after {}", left.hold - 1);
    let first = |who: &[Vec<String>]| -> Value {
        let out = node.sluice(&after, who);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_str(String::from_utf8(out.stdout).unwrap().lines().next().unwrap()).unwrap()
    };
    let (hidden, open) = (first(&[]), first(std::slice::from_ref(&left.audit)));
    assert_eq!((&hidden["seq"], &hidden["leaf"]), (&open["seq"], &open["leaf"]));
    assert_eq!(open["command"]["reason"], json!("two reports of another address"));
    assert!(hidden["command"]["reason"]["sha256"].is_string() && hidden.get("entitlements").is_none());
    let person = format!("show person {ben}");
    assert!(node.done(&person, &[]).get("payee").is_none());
    assert!(node.done(&person, std::slice::from_ref(&left.audit))["payee"].is_string());
    let (_, refused) = node.refused(&format!("trace 1/0 --campaign {} --online", left.campaign), &[]);
    assert!(refused.contains("ROUND/INDEX takes the log"), "{refused}");
    let (code, refused) = node.refused("show holds --authority Audit", &[]);
    assert!(code == 2 && refused.contains("--mandate") && refused.contains("--key"), "{refused}");
}

fn audited(node: &Node, left: &Left) {
    let then = node.done(&format!("audit --at {}", left.hold), &[]);
    assert_eq!((&then["seq"], &then["holds"][0]["hold"]), (&json!(left.hold), &json!(left.hold)), "{then:#}");
    let before = node.done(&format!("audit --at {}", left.hold - 1), &[left.export()]);
    assert_eq!((&before["holds"], &before["rule_sets"][0]["phase"]), (&json!([]), &json!("in_force")));
    // By a time: what stood at the last entry up to then.
    let text = String::from_utf8(node.sluice(&format!("audit --at {}", left.hold), &[]).stdout).unwrap();
    let time = text.lines().next().unwrap().rsplit(' ').next().unwrap();
    let at_time = node.done(&format!("audit --at {time}"), &[]);
    assert!(at_time["seq"].as_u64() >= Some(left.hold), "{at_time}");
    assert_eq!(at_time["recorded_at"], then["recorded_at"]);
    let (code, told) = node.refused("audit --at 999999", &[]);
    assert!(code == 1 && told.contains("the log ends at"), "{told}");
    let (code, told) = node.refused("audit --at yesterday", &[]);
    assert!(code == 2 && told.contains("2026-03-01T12:00:00Z"), "{told}");

    let again = node.sluice(&format!("audit --claim {} --json", left.ben_claim), &[]);
    let text = String::from_utf8(again.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(again.status.success() && lines.len() == 2, "{text}");
    assert_eq!((&lines[0]["claim"], &lines[1]["tally"]["different"]), (&json!(left.ben_claim), &json!(0)));
    let every = node.done("audit --every", &[left.export()]);
    let tally = every["tally"].as_object().unwrap();
    assert_eq!(tally["different"], json!(0), "{every}");
    assert_eq!(tally.values().filter_map(Value::as_u64).sum::<u64>(), 2, "both claims are told of: {every}");

    // Only Anna's payment rests on what the Ministry took back, and only because it said since when.
    let late = node.done("audit --late", &[]);
    assert_eq!(late["changed_by"][0]["action"], json!("revoke_attestation"), "{late}");
    assert_eq!(late["changed_by"][0]["valid_at"], json!(1_700_000_000_000_u64));
    assert_eq!(late["state"], json!("final"));
}

/// A changed export is found out, with the position and a code that scripts see.
fn tampered(node: &Node, left: &Left) {
    let pins = words(&format!("--charter {}", left.charter));
    let verify = |file: &Path| format!("log verify {}", file.display());
    let good = node.done(&verify(&left.export), std::slice::from_ref(&pins));
    assert_eq!(good["verified"], json!(true));

    let bytes = std::fs::read(&left.export).unwrap();
    let at = bytes.windows(7).position(|window| window == b"Housing").unwrap();
    let changed = node.dir.join("changed.export");
    let mut wrong = bytes.clone();
    wrong[at] = b'M';
    std::fs::write(&changed, &wrong).unwrap();
    let story = node.done(&format!("trace {}", left.claim), &[]);
    let created = steps(&story).into_iter().find(|step| step["kind"] == "create_campaign").unwrap();
    let place = created["seq"].as_u64().unwrap();
    let (code, told) = node.refused(&verify(&changed), std::slice::from_ref(&pins));
    assert!(code == 1 && told.contains(&format!("changed at position {place}:")), "{told}");
    let output = node.sluice(&format!("{} --json", verify(&changed)), std::slice::from_ref(&pins));
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["place"], json!({ "from": place, "to": place }), "{told}");
    // Who audits a changed log is told too, and nothing else.
    let (code, told) = node.refused(&format!("audit --every --export {}", changed.display()), &[]);
    assert!(code == 1 && told.contains(&format!("position {place}")), "{told}");

    // Cut short it is no export; a second run completes it, and goes on where the log has grown.
    std::fs::write(&changed, &bytes[..bytes.len() - 9]).unwrap();
    let (_, told) = node.refused(&verify(&changed), std::slice::from_ref(&pins));
    assert!(told.contains("run the export again"), "{told}");
    let resumed = node.done(&format!("log export --out {}", changed.display()), &[]);
    assert!(resumed["from"].as_u64().unwrap() > 1, "{resumed}");
    assert_eq!(node.done(&verify(&changed), std::slice::from_ref(&pins))["verified"], json!(true));

    let (_, told) = node.refused(&verify(&left.export), &[]);
    assert!(told.contains("--key KEY, or --charter and --rpc"), "{told}");
    let (code, told) = node.refused(&verify(&left.export), &[words("--charter 31337")]);
    assert!(code == 2 && told.contains("--charter") && told.contains("<chain id>/<address>"), "{told}");
    let (_, told) = node.refused("log export --database-url nowhere --out never", &[]);
    assert!(told.contains("--database-url"), "{told}");
}

/// A witness signs again only what continues what it signed, whether it replays or asks a node.
fn witnessed(node: &Node, left: &Left) {
    let file = |name: &str| node.dir.join(name).display().to_string();
    let witness = |more: &str| {
        let own = format!("--witness-key {} --password-file {}", file("keys/witness"), file("keys/password"));
        let once =
            format!("witness --once --name audit.example/sluice --charter {} {own} {more}", left.charter);
        let output = node.sluice(&once, &[]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = witness(&format!("--out {}", file("checkpoint")));
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = witness(&format!("--node {} --out {}", node.url, file("by-node")));
    assert_eq!(code, Some(0), "{told}");
    let note = std::fs::read_to_string(node.dir.join("by-node")).unwrap();
    assert_eq!(note.lines().filter(|line| line.starts_with("— ")).count(), 2, "{note}");
    // Its own record, changed, is no checkpoint that it goes on from.
    std::fs::write(node.dir.join("changed"), note.replacen("sluice/31337", "sluice/31338", 1)).unwrap();
    let (code, told) = witness(&format!("--out {}", file("changed")));
    assert!(code == Some(1) && told.contains("no checkpoint of this log"), "{told}");
}
