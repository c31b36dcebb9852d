//! Institutions at work from the command line, against a development node: authorities, mandates, rules, gates, holds in
//! the log and on chain, persons, brakes.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::path::PathBuf;

use serde_json::{Value, json};
use sluice_server::dev;

mod cli_node;

use cli_node::{Node, list, wallet, words};

/// The holder of the worked mandate `compliance.toml`.
const COMPLIANCE: &str = "0x5555555555555555555555555555555555555555555555555555555555555555";
/// The owner of the worked rule set `residency`.
const MINISTRY: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/rules").join(name);
    path.canonicalize().unwrap().display().to_string()
}

#[test]
fn institutions_work_from_the_command_line() {
    let node = Node::start("cli_offices");
    let campaign = open_campaign(&node);
    let office = Office::enter(&node);
    holds(&node, &campaign, &office);
    appeals(&node, &campaign, &office);
    on_chain(&node, &campaign);
    brakes(&node, &campaign);
    rules_and_gate(&node, &campaign);
    persons(&node);
    campaign_as_a_whole(&node, &campaign);
    keys_and_vendors(&node, &campaign);
    repeated(&node, &campaign);
}

/// A campaign with an open round of thirty sample wallets.
fn open_campaign(node: &Node) -> String {
    let key_file = node.dir.join("operator.key");
    std::fs::write(&key_file, &node.operator_key).unwrap();
    node.done("project create town", &[vec!["--api-key-file".into(), key_file.display().to_string()]]);
    let create = format!(
        "campaign create Bread --project town --token {} --refund 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \
         --grace 86400 --opening-delay 1",
        node.token
    );
    let two = node.keys(&["authority-1", "authority-2"]);
    let made = node.done(&create, &[node.gas(), two.clone()]);
    let campaign = made["campaign"].as_str().unwrap().to_owned();
    let (list, snapshot) = (list(node, 30), node.dir.join("list.snapshot").display().to_string());
    node.done("snapshot build", &[vec![list.display().to_string(), "--out".into(), snapshot.clone()]]);
    let publish = format!("campaign publish {campaign} {snapshot} --mode pull --closes-at 4102444800");
    node.done(&publish, &[node.gas(), two]);
    campaign
}

/// A compliance office outside the Charter, with a mandate.
struct Office {
    key: Vec<String>,
    mandate: String,
}

impl Office {
    fn enter(node: &Node) -> Self {
        let (key, address) = wallet(node, 100);
        let two = node.keys(&["authority-1", "authority-2"]);
        let register = format!("authority register Compliance --add {address} --id-of {COMPLIANCE}");
        let (_, told) = node.refused(&register, &[node.keys(&["authority-1"])]);
        assert!(told.contains("1 of 2 institutions signed"), "{told}");
        let made = node.done(&register, std::slice::from_ref(&two));
        assert_eq!(made["authority"], json!(COMPLIANCE));
        let (_, told) = node.refused(&register, std::slice::from_ref(&two));
        assert!(told.contains("authority_exists"), "{told}");
        let grant = format!("authority mandate grant {}", sample("mandates/compliance.toml"));
        let granted = node.done(&grant, &[two]);
        Self { key, mandate: granted["mandate"].as_str().unwrap().to_owned() }
    }

    fn under(&self) -> Vec<String> {
        let under = words(&format!("--authority {COMPLIANCE} --mandate {}", self.mandate));
        [self.key.clone(), under].concat()
    }
}

fn holds(node: &Node, campaign: &str, office: &Office) {
    let hold = format!("hold entitlements {campaign} 1 3 5 --reason inquiry");
    // The office's key alone, without its mandate, may not.
    let alone = [office.key.clone(), words(&format!("--authority {COMPLIANCE}"))].concat();
    let (_, told) = node.refused(&hold, &[alone]);
    assert!(told.contains("mandate_missing") && told.contains("--mandate"), "{told}");
    let placed = node.done(&hold, &[office.under()]);
    let seq = placed["hold"].as_str().unwrap().to_owned();
    assert_eq!(placed["seq"].to_string(), seq);

    // Another institution may confirm it, the same one may not; then it takes three quarters to end it.
    let (_, told) = node.refused(&format!("confirm {seq}"), &[office.under()]);
    assert!(told.contains("same_authority"), "{told}");
    let (_, told) = node.refused(&format!("release {seq}"), &[node.keys(&["authority-1"])]);
    assert!(told.contains("not_placer"), "{told}");
    node.done(&format!("confirm {seq}"), &[node.keys(&["authority-2"])]);
    let (_, told) = node.refused(&format!("release {seq}"), &[office.under()]);
    assert!(told.contains("not_placer"), "{told}");
    let all = node.keys(&["authority-1", "authority-2", "authority-3"]);
    node.done(&format!("release {seq}"), &[all]);

    // Many under one signature: each item has its own answer.
    let rows = node.dir.join("holds.csv");
    std::fs::write(&rows, "round,index\n1,7\n1,8\n1,99\n").unwrap();
    let many = format!("hold entitlements {campaign} --list {} --json", rows.display());
    let output = node.sluice(&many, &[office.under()]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["done"], &told["refused"]), (&json!(2), &json!(1)), "{told}");
    assert_eq!(told["items"][2]["code"], json!("bad_range"));
    let placed: Vec<u64> = (0..2).map(|at| told["items"][at]["seq"].as_u64().unwrap()).collect();
    let releases = node.dir.join("releases.csv");
    std::fs::write(&releases, format!("hold\n{}\n{}\n", placed[0], placed[1])).unwrap();
    let told = node.done(&format!("release --list {}", releases.display()), &[office.under()]);
    assert_eq!(told["done"], json!(2), "{told}");
    std::fs::write(&rows, "round,indexes\n1,7\n").unwrap();
    let (_, told) = node.refused(&many, &[office.under()]);
    assert!(told.contains("lacks [\"index\"]"), "{told}");
}

/// A listed wallet appeals, offices read why, and an answer that upholds it ends the hold.
fn appeals(node: &Node, campaign: &str, office: &Office) {
    let listed = |number: u32| {
        let (keys, address) = wallet(node, number);
        let shown = node.done(&format!("show entitlement {campaign} 1 {address}"), &[]);
        (keys, shown["entitlements"][0]["index"].as_u64().unwrap())
    };
    // Of those that nobody held before.
    let (keys, index) = (0..30).map(listed).find(|(_, index)| *index > 10).unwrap();
    let one = node.keys(&["authority-1"]);
    let placed = node.done(&format!("hold entitlements {campaign} 1 {index} --reason inquiry"), &[one]);
    let hold = placed["hold"].as_str().unwrap();
    let filed = node.done(&format!("appeal file hold {hold} --reason moved"), &[keys]);
    let appeal = filed["appeal"].as_str().unwrap().to_owned();
    let seen = |who: Vec<String>| {
        let all = node.done("show appeals", &[who]);
        let mut all = all.as_array().unwrap().iter();
        all.find(|one| one["appeal"].as_u64() == appeal.parse().ok()).cloned()
    };
    let (open, closed) = (seen(office.under()).unwrap(), seen(Vec::new()).unwrap());
    assert_eq!((&open["text"], &open["about"]["hold"].to_string()), (&json!("moved"), &hold.to_owned()));
    assert!(closed.get("text").is_none() && closed.get("about").is_none(), "{closed}");
    let filed = node.done(&format!("show command {}", open["filed"].as_str().unwrap()), &[office.under()]);
    assert_eq!(filed["reason"], json!("moved"));

    let answer = format!("appeal answer {appeal} upheld --reason granted");
    let (_, told) = node.refused(&answer, &[node.keys(&["authority-1", "authority-2"])]);
    assert!(told.contains("answer_appeal is refused"), "whoever held it does not answer: {told}");
    node.done(&answer, &[node.keys(&["authority-2", "authority-3"])]);
    let held = |of: Value| of.as_array().unwrap().iter().any(|one| one["hold"].as_u64() == hold.parse().ok());
    assert!(!held(node.done("show holds", &[])) && seen(Vec::new()).is_none());
    let (_, told) = node.refused(&answer, &[node.keys(&["authority-2", "authority-3"])]);
    assert!(told.contains("answer_appeal is refused"), "{told}");

    // A key speaks for nobody by itself, and a mandate for its holder alone.
    let (code, told) = node.refused("show holds", std::slice::from_ref(&office.key));
    assert!(code == 1 && told.contains("--authority"), "{told}");
    let borrowed = [node.keys(&["authority-1"]), office.under()[office.key.len()..].to_vec()].concat();
    let (_, told) = node.refused("show holds", &[borrowed]);
    assert!(told.contains("office_unproved"), "{told}");
}

/// A hold that the Distributor keeps too, and a pause that it ends only for M institutions.
fn on_chain(node: &Node, campaign: &str) {
    let one = node.keys(&["authority-1"]);
    let hold = format!("hold entitlements {campaign} 1 9 10 --reason inquiry --on-chain");
    let (_, told) = node.refused(&hold, std::slice::from_ref(&one));
    assert!(told.contains("--gas-key"), "{told}");
    let placed = node.done(&hold, &[node.gas(), one.clone()]);
    let (seq, id) = (placed["hold"].as_str().unwrap(), placed["hold_on_chain"].as_str().unwrap());
    assert!(placed["transaction"].as_str().unwrap().starts_with("0x"), "{placed}");
    let release = format!("release {seq} --on-chain --campaign {campaign} --chain-hold {id}");
    let ended = node.done(&release, &[node.gas(), one.clone()]);
    assert!(ended["transaction"].as_str().unwrap().starts_with("0x"), "{ended}");
    let again = format!("release --on-chain=only --campaign {campaign} --chain-hold {id}");
    assert_eq!(node.done(&again, &[node.gas(), one])["transaction"], json!("before"));
}

fn brakes(node: &Node, campaign: &str) {
    let one = node.keys(&["authority-1"]);
    let pause = format!("pause {campaign} --hours 1 --reason check");
    let paused = node.done(&pause, std::slice::from_ref(&one));
    assert!(paused["until"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    let (_, told) = node.refused(&format!("resume {campaign} --seen 1"), std::slice::from_ref(&one));
    assert!(told.contains("stale") && told.contains("its authors saw 1"), "{told}");
    node.done(&format!("resume {campaign}"), std::slice::from_ref(&one));
    // Nothing is paused any more.
    let (_, told) = node.refused(&format!("resume {campaign}"), std::slice::from_ref(&one));
    assert!(told.contains("resume is refused"), "{told}");

    // Two institutions sign offline, one after the other.
    let papers = node.dir.join("limit.json");
    let collect = vec!["--papers".to_owned(), papers.display().to_string()];
    let limit = format!("limit {campaign} 400");
    assert_eq!(node.refused(&limit, &[collect.clone(), one]).0, 3);
    let file = vec![papers.display().to_string()];
    assert_eq!(node.done("sign", &[file, node.keys(&["authority-3"])])["missing"], json!(0));
    let (_, told) = node.refused(&format!("resume {campaign}"), std::slice::from_ref(&collect));
    assert!(told.contains("another order"), "{told}");
    let set = node.done(&limit, std::slice::from_ref(&collect));
    assert_eq!(set["seq"], node.done(&limit, &[collect])["seq"], "the same papers are the same command");
    let (_, told) = node.refused(&format!("limit {campaign} much"), &[]);
    assert!(told.contains("TOKENS much"), "{told}");
}

fn rules_and_gate(node: &Node, campaign: &str) {
    let (key, address) = wallet(node, 101);
    let two = node.keys(&["authority-1", "authority-2"]);
    let register = format!("authority register Ministry --add {address} --id-of {MINISTRY}");
    node.done(&register, std::slice::from_ref(&two));
    let rules = sample("residency");
    let (_, told) = node.refused(&format!("rules propose {rules}"), std::slice::from_ref(&key));
    assert!(told.contains("mandate_missing"), "{told}");
    let mandate = node.dir.join("ministry.toml");
    std::fs::write(&mandate, "name = \"ministry\"\nversion = \"1\"\n").unwrap();
    let may = "@id(\"rules\") permit (principal, action == Action::\"propose_rules\", resource);";
    std::fs::write(mandate.with_extension("cedar"), may).unwrap();
    let grant = format!("authority mandate grant {} --holder {MINISTRY}", mandate.display());
    let granted = node.done(&grant, std::slice::from_ref(&two));
    let propose = format!("rules propose {rules} --mandate {}", granted["mandate"].as_str().unwrap());
    let proposed = node.done(&propose, std::slice::from_ref(&key));
    let name = proposed["rules"].as_str().unwrap();
    let activate = format!("rules activate {rules} --authority {MINISTRY}");
    let (_, told) = node.refused(&activate, std::slice::from_ref(&key));
    assert!(told.contains("quorum_missing"), "{told}");
    node.done(&format!("rules approve {rules}"), &[node.keys(&["authority-1"])]);
    node.done(&format!("rules approve {name}"), &[node.keys(&["authority-2"])]);
    assert_eq!(node.done(&activate, std::slice::from_ref(&key))["rules"], proposed["rules"]);

    let (_, signer) = wallet(node, 102);
    let gate = node.dir.join("gate.toml");
    let text = format!(
        "version = 1\nsigner = \"{signer}\"\n\n[[rule_sets]]\nowner = \"{MINISTRY}\"\nlineage = \"residency-and-age\"\n"
    );
    std::fs::write(&gate, text).unwrap();
    let gate = gate.display();
    let shown = node.done(&format!("gate show {campaign} {gate}"), &[]);
    assert_eq!(shown["rule_sets"], json!([proposed["lineage"]]));
    let defined = node.done(&format!("gate define {campaign} {gate}"), std::slice::from_ref(&two));
    assert_eq!(defined["rules_hash"], shown["rules_hash"]);
    let snapshot = node.dir.join("list.snapshot");
    let publish = format!(
        "campaign publish {campaign} {} --mode gated --gate 1 --closes-at 4102444800 --again",
        snapshot.display()
    );
    let (_, told) = node.refused(&publish, &[node.gas(), two.clone()]);
    assert!(told.contains("--gate 1 is not installed"), "{told}");
    let install = format!("gate install {campaign} {gate}");
    let installed = node.done(&install, &[node.gas(), two.clone()]);
    assert!(installed["transaction"].as_str().unwrap().starts_with("0x"), "{installed}");
    assert_eq!(node.done(&install, &[node.gas(), two.clone()])["transaction"], json!("before"));
    // `gate install` came back when the log had read of the key, so that the round is taken at once.
    assert_eq!(node.done(&publish, &[node.gas(), two])["round"], json!(2));

    // Its owner alone takes a rule set out of force, once.
    let (_, told) = node.refused(&format!("rules retire {name}"), &[node.keys(&["authority-1"])]);
    assert!(told.contains("quorum_missing"), "{told}");
    let retire = format!("rules retire {name} --authority {MINISTRY}");
    assert_eq!(node.done(&retire, std::slice::from_ref(&key))["rules"], proposed["rules"]);
    let (_, told) = node.refused(&retire, &[key]);
    assert!(told.contains("rules_phase"), "{told}");
}

fn persons(node: &Node) {
    let person = "0x00000000000000000000000000000000000000000000000000000000000000aa";
    let (old_key, old) = wallet(node, 103);
    let (new_key, new) = wallet(node, 104);
    let two = node.keys(&["authority-1", "authority-2"]);
    node.done(&format!("person bind {person} {old}"), &[two]);
    let (_, told) = node.refused(&format!("person payee {person} {new}"), &[new_key]);
    assert!(told.contains("the address that receives for the person"), "{told}");
    node.done(&format!("person payee {person} {new}"), std::slice::from_ref(&old_key));
    let (_, told) = node.refused("appeal file hold 1", &[old_key]);
    assert!(told.contains("file_appeal is refused"), "{told}");
    let (_, told) = node.refused(&format!("person bind {person} 0x12"), &[]);
    assert!(told.contains("[PAYEE]") && told.contains("0x and 40 hexadecimal digits"), "{told}");
}

/// Holds and pauses of everything a Distributor pays, in the log and on chain, begun and ended.
fn campaign_as_a_whole(node: &Node, campaign: &str) {
    let two = node.keys(&["authority-1", "authority-2"]);
    let all = node.keys(&["authority-1", "authority-2", "authority-3"]);
    let sent = |told: &Value| told["transaction"].as_str().unwrap().starts_with("0x");
    let hold = format!("hold campaign {campaign} --reason inquiry --on-chain");
    let (_, told) = node.refused(&hold, &[node.gas(), node.keys(&["authority-1"])]);
    assert!(told.contains("1 of 2 institutions signed"), "{told}");
    let held = node.done(&hold, &[node.gas(), two.clone()]);
    assert!(sent(&held), "{held}");
    let seq = held["hold"].as_str().unwrap();
    let (_, told) = node.refused(&format!("renew {seq}"), std::slice::from_ref(&two));
    assert!(told.contains("2 of 3 institutions signed"), "{told}");
    node.done(&format!("renew {seq}"), std::slice::from_ref(&all));
    let (_, told) = node.refused(&format!("release {seq}"), &[node.keys(&["authority-1"])]);
    assert!(told.contains("not_placer"), "{told}");
    node.done(&format!("release {seq}"), std::slice::from_ref(&two));
    let end = format!("hold campaign {campaign} --on-chain=only --until 1");
    assert!(sent(&node.done(&end, &[node.gas(), two.clone()])));
    assert_eq!(node.done(&end, &[node.gas(), two.clone()])["transaction"], json!("before"));

    let pause = format!("pause {campaign} --hours 1 --reason check --on-chain");
    let paused = node.done(&pause, &[node.gas(), node.keys(&["authority-3"])]);
    assert!(sent(&paused), "{paused}");
    let resume = format!("resume {campaign} --on-chain");
    let (_, told) = node.refused(&resume, &[node.gas(), node.keys(&["authority-3"])]);
    assert!(told.contains("1 of 2 institutions signed"), "{told}");
    assert!(sent(&node.done(&resume, &[node.gas(), two.clone()])));
    let again = format!("resume {campaign} --on-chain=only");
    assert_eq!(node.done(&again, &[node.gas(), two])["transaction"], json!("before"));
}

/// Keys come and go; a vendor acts for an institution, within its terms, until it no longer may.
fn keys_and_vendors(node: &Node, campaign: &str) {
    let two = node.keys(&["authority-1", "authority-2"]);
    let (clerk, address) = wallet(node, 105);
    let (_, told) = node.refused("authority keys Office --add 0x12", &[]);
    assert!(told.contains("--add <KEY>") && told.contains("0x and 40 hexadecimal digits"), "{told}");
    let (_, told) = node.refused(&format!("authority keys {COMPLIANCE}"), std::slice::from_ref(&two));
    assert!(told.contains("--add KEY and --revoke KEY"), "{told}");
    let add = format!("authority keys {COMPLIANCE} --add {address}");
    node.done(&add, std::slice::from_ref(&two));
    let shown = node.done(&format!("authority show {COMPLIANCE}"), &[]);
    let lower = address.to_lowercase();
    assert!(shown["keys"].as_array().unwrap().contains(&json!(lower)), "{shown}");
    assert_eq!((&shown["name"], &shown["chartered"]), (&json!("Compliance"), &json!(false)));
    // A key that one institution has speaks for no other.
    let other = format!("authority keys {MINISTRY} --add {address}");
    let (_, told) = node.refused(&other, std::slice::from_ref(&two));
    assert!(told.contains("authority_exists"), "{told}");
    // The new key signs: here that it is revoked. Then it is nobody's, for good.
    let clerk = [clerk, words(&format!("--authority {COMPLIANCE}"))].concat();
    node.done(&format!("authority keys {COMPLIANCE} --revoke {address}"), std::slice::from_ref(&clerk));
    let (_, told) = node.refused(&add, std::slice::from_ref(&two));
    assert!(told.contains("authority_exists"), "{told}");
    let (_, told) = node.refused(&format!("pause {campaign}"), &[clerk]);
    assert!(told.contains("not_authorized") && told.contains("a key in force"), "{told}");
    let shown = node.done(&format!("authority show {COMPLIANCE}"), &[]);
    assert!(shown["revoked"][&lower].is_u64(), "{shown}");
    vendor(node, campaign);

    // A mandate ends; who acted under it no longer does.
    let mandate = shown["mandates"][0]["mandate"].as_str().unwrap();
    assert!(!shown["mandates"][0]["rules"].as_array().unwrap().is_empty(), "{shown}");
    node.done(&format!("authority mandate revoke {mandate}"), &[two]);
    let (key, _) = wallet(node, 100);
    let hold = format!("hold entitlements {campaign} 1 20 --authority {COMPLIANCE} --mandate {mandate}");
    let (_, told) = node.refused(&hold, &[key]);
    assert!(told.contains("mandate_missing"), "{told}");
}

/// A vendor's key pushes for an institution of the Charter: so much, there, until it is told to stop.
fn vendor(node: &Node, campaign: &str) {
    let all = node.done("authority list", &[])["institutions"].as_array().unwrap().clone();
    let chartered: Vec<&Value> = all.iter().filter(|i| i["chartered"] == json!(true)).collect();
    assert_eq!((chartered.len(), all.len()), (3, 5), "registered ones are listed too");
    let first = json!(dev::authority(0).unwrap().signer_bytes());
    let speaks = |i: &&&Value| i["charter_keys"].as_array().unwrap().contains(&first);
    let institution = chartered.iter().find(speaks).unwrap()["authority"].as_str().unwrap();
    let (vendor, address) = wallet(node, 106);
    let one = node.keys(&["authority-1"]);
    let round = push_round(node, campaign);
    let terms = format!("--may push --campaign {campaign} --count-max 5");
    let delegate = format!("authority delegate {institution} {address} {terms}");
    let (_, told) = node.refused(&delegate, std::slice::from_ref(&one));
    assert!(told.contains("--expires-at"), "{told}");
    let made = node.done(&format!("{delegate} --expires-at 4102444800"), std::slice::from_ref(&one));
    let delegation = made["delegation"].as_str().unwrap();
    let under = [vendor, words(&format!("--authority {institution} --delegation {delegation}"))].concat();
    let push = |range: &str| format!("push {campaign} {round} {range}");
    let denied = |command: &str| {
        let (_, told) = node.refused(command, std::slice::from_ref(&under));
        assert!(told.contains("delegation_denies"), "{told}");
    };
    denied(&push("--from 0 --to 6"));
    assert!(node.done(&push("--from 0 --to 4"), std::slice::from_ref(&under))["seq"].is_u64());
    assert_eq!(node.done(&push("--from 0 --to 4"), std::slice::from_ref(&under))["seq"], json!(null));
    denied(&push("--from 4 --to 6"));
    denied(&format!("pause {campaign}"));
    let shown = node.done(&format!("authority show {institution}"), &[]);
    assert_eq!(shown["delegations"][0]["spent"]["count"], json!(4), "{shown}");
    node.done(&format!("authority undelegate {delegation}"), std::slice::from_ref(&one));
    // Its key speaks for nobody any more.
    let (_, told) = node.refused(&push("--from 4 --to 5"), std::slice::from_ref(&under));
    assert!(told.contains("not_authorized"), "{told}");
    let (_, told) = node.refused(&format!("authority undelegate {delegation}"), &[one]);
    assert!(told.contains("already_revoked"), "{told}");
}

/// The next round of the campaign: the same list, for pushing, open.
fn push_round(node: &Node, campaign: &str) -> u64 {
    let snapshot = node.dir.join("list.snapshot");
    let publish = format!(
        "campaign publish {campaign} {} --mode push --closes-at 4102444800 --again",
        snapshot.display()
    );
    let two = node.keys(&["authority-1", "authority-2"]);
    let round = node.done(&publish, &[node.gas(), two.clone()])["round"].as_u64().unwrap();
    node.done(&format!("limit {campaign} none"), &[two]);
    node.done(&format!("campaign fund {campaign} --mint"), &[node.gas()]);
    node.done(&format!("campaign open {campaign} {round}"), &[node.gas()]);
    round
}

/// A demand given again under its id is answered as the first time, although it is signed anew.
fn repeated(node: &Node, campaign: &str) {
    let one = node.keys(&["authority-2"]);
    let hold = format!("hold entitlements {campaign} 1 21 --id 018f3a00-0000-7000-8000-00000000abcd");
    let placed = node.done(&hold, std::slice::from_ref(&one));
    let later = format!("{hold} --deadline 4102444800");
    assert_eq!(node.done(&later, std::slice::from_ref(&one))["seq"], placed["seq"]);
    let (_, told) = node.refused(&format!("hold entitlements {campaign} 1 21"), &[one]);
    assert!(told.contains("hold_limit"), "held once by one alone: {told}");
}
