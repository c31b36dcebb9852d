//! A campaign from the command line alone, against a development node: every step twice, because a second run must
//! finish what a first one left, and do nothing where it left nothing.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use sluice_chain::signer::Account;
use sluice_core::sample::wallet_key;

/// A running development node.
struct Node {
    process: Child,
    dir: PathBuf,
    url: String,
    rpc: String,
    token: String,
    database: String,
    operator_key: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It stops its servers itself; killed, it would leave that to the next start.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

impl Node {
    fn start() -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli_campaign");
        let _ = std::fs::remove_dir_all(&dir);
        let mut process = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--dir"])
            .arg(&dir)
            .env_remove("DATABASE_URL")
            .env_remove("SLUICE_RPC")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said = |start: &str| {
            let line = out.find(|line| line.as_ref().unwrap().starts_with(start)).unwrap().unwrap();
            line[start.len()..].to_owned()
        };
        let contracts = said("Charter ");
        let database = said("database ");
        let operator_key = said("operator key, until this process ends: ");
        let (rpc, token) = contracts.split_once(" on ").unwrap().1.split_once(", test token ").unwrap();
        let mut told = BufReader::new(process.stderr.take().unwrap()).lines();
        let serving = told.find(|line| line.as_ref().unwrap().contains("\"serving\"")).unwrap().unwrap();
        // Whoever writes must find a reader.
        std::thread::spawn(move || told.for_each(drop));
        let serving: Value = serde_json::from_str(&serving).unwrap();
        let url = format!("http://{}", serving["address"].as_str().unwrap());
        Self { process, dir, url, rpc: rpc.to_owned(), token: token.to_owned(), database, operator_key }
    }

    fn keys(&self, names: &[&str]) -> Vec<String> {
        let file = |name: &str| self.dir.join("keys").join(name).display().to_string();
        let keys = names.iter().flat_map(|name| ["--key".to_owned(), file(name)]);
        keys.chain(["--password-file".to_owned(), file("password")]).collect()
    }

    fn gas(&self) -> Vec<String> {
        self.gas_of("operator")
    }

    fn gas_of(&self, name: &str) -> Vec<String> {
        let file = |name: &str| self.dir.join("keys").join(name).display().to_string();
        vec!["--gas-key".into(), file(name), "--gas-password-file".into(), file("password")]
    }

    /// Cuts a command between log and chain: its gas is to be paid by an account without coin.
    #[track_caller]
    fn cut(&self, command: &str, keys: &[String]) {
        let (_, told) = self.refused(command, &[self.gas_of("wallet-29"), keys.to_vec()]);
        assert!(told.to_lowercase().contains("insufficient funds"), "{told}");
    }

    fn sluice(&self, command: &str, more: &[Vec<String>]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(command.split_whitespace())
            .args(more.concat())
            .env("SLUICE_NODE", &self.url)
            .env("SLUICE_RPC", &self.rpc)
            .env("SLUICE_SNAPSHOTS", self.dir.join("snapshots"))
            .env("DATABASE_URL", &self.database)
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed and gives its line of JSON.
    #[track_caller]
    fn done(&self, command: &str, more: &[Vec<String>]) -> Value {
        let output = self.sluice(&format!("{command} --json"), more);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {told}{}", String::from_utf8_lossy(&output.stdout));
        let out = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(out.lines().last().unwrap()).unwrap()
    }

    /// Runs a command that must fail; gives its exit code and what it said.
    #[track_caller]
    fn refused(&self, command: &str, more: &[Vec<String>]) -> (i32, String) {
        let output = self.sluice(command, more);
        assert!(!output.status.success(), "{command} succeeded");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), told + &String::from_utf8_lossy(&output.stdout))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A list of so many sample wallets, one token each more than the one before.
fn list(node: &Node, wallets: u32) -> PathBuf {
    let rows = (0..wallets).map(|number| {
        format!("{},{}\n", Account::from_bytes(&wallet_key(number)).unwrap().address(), number + 1)
    });
    let path = node.dir.join("list.csv");
    std::fs::write(&path, format!("address,amount\n{}", rows.collect::<String>())).unwrap();
    path
}

/// A sample wallet's key file, as its owner would have one.
fn wallet(node: &Node, number: u32) -> (Vec<String>, String) {
    let account = Account::from_bytes(&wallet_key(number)).unwrap();
    let name = format!("wallet-{number}");
    account.write_keystore(&node.dir.join("keys"), &name, "development only").unwrap();
    (node.keys(&[&name]), account.address().to_string())
}

#[test]
fn a_campaign_runs_from_the_command_line() {
    let node = Node::start();
    let campaign = create(&node);
    open(&node, &campaign);
    let annulled = annul_and_push(&node, &campaign);
    claim(&node, &campaign);
    report(&node, &campaign, &annulled);
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
