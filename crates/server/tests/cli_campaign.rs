//! A campaign from the command line alone, against a development node: every step twice, because a second run must
//! finish what a first one left, and do nothing where it left nothing.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::path::Path;

use serde_json::{Value, json};
use sluice_chain::signer::Account;
use sluice_core::sample::wallet_key;

mod cli_node;

use cli_node::{Node, list, wallet, words};

#[test]
fn a_campaign_runs_from_the_command_line() {
    let node = Node::start("cli_campaign");
    let campaign = create(&node);
    open(&node, &campaign);
    let annulled = annul_and_push(&node, &campaign);
    claim(&node, &campaign);
    report(&node, &campaign, &annulled);
    private(&node);
}

fn create(node: &Node) -> String {
    let key_file = node.dir.join("operator.key");
    std::fs::write(&key_file, &node.operator_key).unwrap();
    let operator = vec!["--api-key-file".to_owned(), key_file.display().to_string()];
    let project = node.done("project create town", std::slice::from_ref(&operator));
    assert_eq!(project["id"], node.done("project create town", std::slice::from_ref(&operator))["id"]);
    let key = node.done("project key town --label tests", &[operator]);
    assert!(key["key"].as_str().unwrap().starts_with("sluice_project_"));
    let (_, told) = node.refused("project create village", &[]);
    assert!(told.contains("operator's key"), "{told}");

    let terms = format!(
        "campaign create Bread --project town --token {} --refund 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \
         --grace 86400 --opening-delay 1",
        node.token
    );
    let papers = node.dir.join("papers.json");
    let collect = vec!["--papers".to_owned(), papers.display().to_string()];
    let (_, told) = node.refused(&terms, &[node.gas(), node.keys(&["authority-1"])]);
    assert!(told.contains("1 of 2 institutions signed"), "{told}");
    let (code, _) = node.refused(&terms, &[node.gas(), node.keys(&["authority-1"]), collect.clone()]);
    assert_eq!(code, 3);
    sign(node, &papers);
    let made = node.done(&terms, &[node.gas(), collect]);
    assert_eq!(made, node.done(&terms, &[node.gas()]));
    made["campaign"].as_str().unwrap().to_owned()
}

/// The second institution signs; a stranger cannot, and a changed paper is found out.
fn sign(node: &Node, papers: &Path) {
    let file = vec![papers.display().to_string()];
    let (code, told) = node.refused("sign --check", std::slice::from_ref(&file));
    assert_eq!((code, told.contains("1 missing")), (3, true), "{told}");
    let (_, told) = node.refused("sign", &[file.clone(), node.keys(&["operator"])]);
    assert!(told.contains("a key of none"), "{told}");
    let changed = node.dir.join("changed.json");
    let mut paper: Value = serde_json::from_slice(&std::fs::read(papers).unwrap()).unwrap();
    paper["command"]["command"]["action"]["name"] = json!("Cake");
    std::fs::write(&changed, paper.to_string()).unwrap();
    let (_, told) = node.refused("sign --check", &[vec![changed.display().to_string()]]);
    assert!(told.contains("not over what this file shows"), "{told}");
    let signed = node.done("sign", &[file, node.keys(&["authority-3"])]);
    assert_eq!(signed["missing"], json!(0));
}

/// A private campaign names encrypted pages or none, and never becomes public.
fn private(node: &Node) {
    let create = format!(
        "campaign create Salt --project town --token {} --refund 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \
         --grace 86400 --opening-delay 1",
        node.token
    );
    let two = node.keys(&["authority-1", "authority-2"]);
    let made = node.done(&format!("{create} --private"), &[node.gas(), two.clone()]);
    assert_eq!(made["visibility"], json!("private"));
    let (_, told) = node.refused(&create, &[node.gas(), two.clone()]);
    assert!(told.contains("never changes; add --private"), "{told}");

    let file = |name: &str| node.dir.join(name).display().to_string();
    let (password, list) = (file("keys/password"), file("list.snapshot"));
    let campaign = made["campaign"].as_str().unwrap();
    let publish = |pages: &str| {
        let uri = file(pages);
        format!("campaign publish {campaign} {list} --closes-at 4102444800 --list-uri {uri}")
    };
    let made =
        node.sluice(&format!("keys new list --out {} --password-file {password}", file("keys/list")), &[]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let write = format!("snapshot publish {list} --to");
    let sealed = format!("--list-key {} --list-password-file {password}", file("keys/list"));
    node.done(&format!("{write} {} --public", file("clear")), &[]);
    node.done(&format!("{write} {} --public", file("both")), &[]);
    node.done(&format!("{write} {} {sealed}", file("both")), &[]);
    node.done(&format!("{write} {} {sealed}", file("sealed")), &[]);
    for (pages, why) in
        [("clear", "no manifest of private pages"), ("both", "in the clear"), ("none", "no such folder")]
    {
        let (_, told) = node.refused(&publish(pages), &[node.gas(), two.clone()]);
        assert!(told.contains(why) && told.contains("snapshot publish --list-key"), "{told}");
    }
    assert_eq!(node.done(&format!("campaign status {campaign}"), &[])["rounds"], json!([]));
    assert_eq!(node.done(&publish("sealed"), &[node.gas(), two])["round"], json!(1));
}

fn open(node: &Node, campaign: &str) {
    let list = list(node, 30);
    let snapshot = node.dir.join("list.snapshot");
    node.done(
        "snapshot build",
        &[vec![list.display().to_string(), "--out".into(), snapshot.display().to_string()]],
    );
    // Far in the future: the year 2100.
    let publish =
        format!("campaign publish {campaign} {} --mode push --closes-at 4102444800", snapshot.display());
    let two = node.keys(&["authority-1", "authority-2"]);
    wallet(node, 29);
    node.cut(&publish, &two);
    let status = node.done(&format!("campaign status {campaign}"), &[]);
    assert_eq!(status["rounds"][0]["phase"], json!("announced"));
    let first = node.done(&publish, &[node.gas(), two.clone()]);
    assert_eq!((first["round"].as_u64(), first["transaction"] == "before"), (Some(1), false));
    let second = node.done(&publish, &[node.gas(), two]);
    assert_eq!((second["round"].as_u64(), second["transaction"] == "before"), (Some(1), true));
    let fund = format!("campaign fund {campaign} --mint");
    assert_eq!(node.done(&fund, &[node.gas()])["amount"], json!("465000000000000000000"));
    assert_eq!(node.done(&fund, &[node.gas()])["amount"], json!("0"));
    let open = format!("campaign open {campaign} 1");
    assert_eq!(node.done(&open, &[node.gas()]), node.done(&open, &[node.gas()]));
}

/// Annuls two entitlements, then pushes the first half; returns the annulled indexes.
fn annul_and_push(node: &Node, campaign: &str) -> Vec<u64> {
    let void = format!("void {campaign} 1 3 17 --reason twice");
    let two = node.keys(&["authority-2", "authority-3"]);
    node.cut(&void, &two);
    let second = node.done(&void, &[node.gas(), two.clone()]);
    let sent =
        |second: &Value| second["transactions"].as_array().unwrap().iter().all(|hash| hash != "before");
    assert!(second["seq"].is_null() && sent(&second), "annulled in the log before, on chain now: {second}");
    let third = node.done(&void, &[node.gas(), two.clone()]);
    assert_eq!(third, json!({ "seq": null, "transactions": ["before", "before"] }));
    let (_, told) = node.refused(&format!("void {campaign} 1 30"), &[node.gas(), two]);
    assert!(told.contains("30 entitlements"), "{told}");

    let one = node.keys(&["authority-1"]);
    let push = format!("push {campaign} 1 --from 0 --to 15");
    assert!(node.done(&push, std::slice::from_ref(&one))["seq"].is_u64());
    assert_eq!(node.done(&push, std::slice::from_ref(&one))["seq"], json!(null));
    let (_, told) = node.refused(&format!("push {campaign} 1 --from 20 --to 31"), &[one]);
    assert!(told.contains("30 entitlements"), "{told}");
    vec![3, 17]
}

/// Wallets of the second half claim: relayed, redirected, self-paid.
fn claim(node: &Node, campaign: &str) {
    let claimable = |number: &u32| {
        let address = Account::from_bytes(&wallet_key(*number)).unwrap().address();
        let path = format!("{}/v1/campaigns/{campaign}/rounds/1/entitlements/{address}", node.url);
        let listed: Value = get(&path);
        listed["entitlements"][0]["claimable"] == json!(true)
    };
    let mut numbers = (0..30).filter(claimable);
    let claim = format!("claim {campaign} 1");

    let receipt = node.dir.join("receipt.json");
    let (keys, _) = wallet(node, numbers.next().unwrap());
    let out = vec!["--out".to_owned(), receipt.display().to_string(), "--wait".to_owned()];
    let paid = node.done(&claim, &[keys.clone(), out]);
    assert_eq!(paid["state"], json!("final"));
    assert!(receipt.is_file());
    let (_, told) = node.refused(&claim, &[keys]);
    assert!(told.contains("already_"), "{told}");

    let (keys, _) = wallet(node, numbers.next().unwrap());
    let to = words("--to 0x000000000000000000000000000000000000bEEF --wait");
    assert_eq!(node.done(&claim, &[keys, to])["state"], json!("final"));

    // A wallet without coin cannot pay itself, and says so; with coin it can.
    let (keys, address) = wallet(node, numbers.next().unwrap());
    let itself = [keys, words("--self-paid")];
    let (_, told) = node.refused(&claim, &itself);
    assert!(told.to_lowercase().contains("insufficient funds"), "{told}");
    give_coin(node, &address);
    assert!(node.done(&claim, &itself)["gas"].as_u64().unwrap() > 21_000);
    let (_, told) = node.refused(&claim, &itself);
    assert!(told.contains("AlreadyPaid"), "{told}");
}

/// Waits until nothing is on its way, then lets the report add up.
fn report(node: &Node, campaign: &str, annulled: &[u64]) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let status = node.done(&format!("campaign status {campaign}"), &[]);
        // Fourteen pushed, two relayed, one self-paid.
        let paid = get(&format!("{}/v1/campaigns/{campaign}/rounds/1", node.url))["entitlements"]["paid"]
            == json!(17);
        if paid && status["batches"] == json!([]) {
            break;
        }
        assert!(std::time::Instant::now() < end, "never settled: {status:#}");
    }
    let csv = node.dir.join("report.csv");
    let sums = node.done(&format!("campaign report {campaign} --out {}", csv.display()), &[]);
    assert_eq!((&sums["add_up"], &sums["differences"]), (&json!(true), &json!([])), "{sums:#}");
    let text = std::fs::read_to_string(&csv).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 30);
    for (index, row) in (0..).zip(&rows) {
        let expected = match index {
            at if annulled.contains(&at) => "voided",
            0..15 => "final",
            _ => row[5],
        };
        assert_eq!((row[1], row[5]), (index.to_string().as_str(), expected));
        assert_eq!(row[6].is_empty(), row[5] != "final", "{row:?}");
    }
    let count = |state: &str| rows.iter().filter(|row| row[5] == state).count();
    assert_eq!((count("final"), count("voided"), count("unclaimed")), (17, 2, 11), "{text}");
}

/// A plain HTTP answer.
fn get(url: &str) -> Value {
    wait(async { reqwest::get(url).await.unwrap().json().await.unwrap() })
}

/// Gives an account coin on the development chain.
fn give_coin(node: &Node, address: &str) {
    let params = json!([address, "0xde0b6b3a7640000"]);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": params });
    let answer: Value = wait(async {
        reqwest::Client::new().post(&node.rpc).json(&body).send().await.unwrap().json().await.unwrap()
    });
    assert!(answer.get("error").is_none(), "{answer}");
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}
