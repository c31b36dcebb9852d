//! A development node, asked by the command line alone; what the tests of commands share.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use sluice_chain::signer::Account;
use sluice_core::sample::wallet_key;

/// A running development node.
pub(crate) struct Node {
    process: Child,
    pub(crate) dir: PathBuf,
    pub(crate) url: String,
    pub(crate) rpc: String,
    pub(crate) token: String,
    database: String,
    pub(crate) operator_key: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It stops its servers itself; killed, it would leave that to the next start.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

impl Node {
    pub(crate) fn start(name: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
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

    pub(crate) fn keys(&self, names: &[&str]) -> Vec<String> {
        let file = |name: &str| self.dir.join("keys").join(name).display().to_string();
        let keys = names.iter().flat_map(|name| ["--key".to_owned(), file(name)]);
        keys.chain(["--password-file".to_owned(), file("password")]).collect()
    }

    pub(crate) fn gas(&self) -> Vec<String> {
        self.gas_of("operator")
    }

    pub(crate) fn gas_of(&self, name: &str) -> Vec<String> {
        let file = |name: &str| self.dir.join("keys").join(name).display().to_string();
        vec!["--gas-key".into(), file(name), "--gas-password-file".into(), file("password")]
    }

    /// Cuts a command between log and chain: its gas is to be paid by an account without coin.
    #[track_caller]
    pub(crate) fn cut(&self, command: &str, keys: &[String]) {
        let (_, told) = self.refused(command, &[self.gas_of("wallet-29"), keys.to_vec()]);
        assert!(told.to_lowercase().contains("insufficient funds"), "{told}");
    }

    pub(crate) fn sluice(&self, command: &str, more: &[Vec<String>]) -> Output {
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
    pub(crate) fn done(&self, command: &str, more: &[Vec<String>]) -> Value {
        let output = self.sluice(&format!("{command} --json"), more);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {told}{}", String::from_utf8_lossy(&output.stdout));
        let out = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(out.lines().last().unwrap()).unwrap()
    }

    /// Runs a command that must fail; gives its exit code and what it said.
    #[track_caller]
    pub(crate) fn refused(&self, command: &str, more: &[Vec<String>]) -> (i32, String) {
        let output = self.sluice(command, more);
        assert!(!output.status.success(), "{command} succeeded");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), told + &String::from_utf8_lossy(&output.stdout))
    }
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A list of so many sample wallets, one token each more than the one before.
pub(crate) fn list(node: &Node, wallets: u32) -> PathBuf {
    let rows = (0..wallets).map(|number| {
        format!("{},{}\n", Account::from_bytes(&wallet_key(number)).unwrap().address(), number + 1)
    });
    let path = node.dir.join("list.csv");
    std::fs::write(&path, format!("address,amount\n{}", rows.collect::<String>())).unwrap();
    path
}

/// A sample wallet's key file, as its owner would have one.
pub(crate) fn wallet(node: &Node, number: u32) -> (Vec<String>, String) {
    let account = Account::from_bytes(&wallet_key(number)).unwrap();
    let name = format!("wallet-{number}");
    account.write_keystore(&node.dir.join("keys"), &name, "development only").unwrap();
    (node.keys(&[&name]), account.address().to_string())
}
