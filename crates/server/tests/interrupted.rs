//! Ctrl-C at commands that go on until they are stopped: they end at once, leave nothing half written and no child behind.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cli_node::{Node, words};

mod cli_node;

/// The longest anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command under way; killed when the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Waits for a line on stderr that contains this; what follows is read and forgotten.
    fn until_it_says(&mut self, what: &str) {
        let mut lines = BufReader::new(self.0.stderr.take().unwrap()).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if line.contains(what) {
                std::thread::spawn(move || lines.for_each(drop));
                return;
            }
            said += &line;
        }
        panic!("it ended without saying {what:?}: {said}");
    }

    /// As a terminal does it, but to this process alone: what it started is its own to stop.
    fn interrupt(&mut self) -> ExitStatus {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        until("it ends", || self.0.try_wait().unwrap())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it waits between two looks; nothing is concluded from the time"
)]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process as the kernel tells it from a later one with the same number: by its number and when it started.
#[derive(Clone, Debug)]
struct Process {
    pid: u32,
    parent: u32,
    started: u64,
}

fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; state, parent and, 18 fields on, the start follow it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let gone = fields[0] == "Z";
    (!gone).then_some(Process { pid, parent: fields[1].parse().ok()?, started: fields[19].parse().ok()? })
}

/// Everything that a process started, and what that started.
fn descendants(of: u32) -> Vec<Process> {
    let all = processes();
    let (mut found, mut wanted): (Vec<Process>, Vec<u32>) = (Vec::new(), vec![of]);
    while let Some(parent) = wanted.pop() {
        let children = all.iter().filter(|process| process.parent == parent);
        for child in children {
            wanted.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_follows_a_node_ends_at_once_and_whole() {
    let node = Node::start("interrupted");
    witness(&node);
    gate_signer(&node);
    feed(&node);
}

fn witness(node: &Node) {
    let file = |name: &str| node.dir.join(name).display().to_string();
    let password = format!("--password-file {}", file("keys/password"));
    let made = node.sluice(&format!("keys new log --out {} {password}", file("keys/witness")), &[]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let folder = node.dir.join("witnessed");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.join("checkpoint");
    let status: serde_json::Value = until("the node is ready", || {
        let told = node.sluice("status --json", &[]);
        told.status.success().then(|| serde_json::from_slice(&told.stdout).unwrap())
    });
    let command = format!(
        "witness --name audit.example/sluice --witness-key {} {password} --out {} --key {} --node {}",
        file("keys/witness"),
        out.display(),
        status["log_key"].as_str().unwrap(),
        node.url
    );
    let mut program = Command::new(env!("CARGO_BIN_EXE_sluice"));
    program.args(words(&command)).env_remove("DATABASE_URL").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running::start(&mut program);
    until("a checkpoint is co-signed", || {
        assert_eq!(running.0.try_wait().unwrap(), None, "it goes on until it is stopped");
        out.is_file().then_some(())
    });
    let ended = running.interrupt();
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!(files(&folder), ["checkpoint"], "nothing half written lies beside it");
    // It goes on from what it signed last.
    let again = node.sluice(&format!("{command} --once"), &[]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
}

fn gate_signer(node: &Node) {
    let file = |name: &str| node.dir.join(name).display().to_string();
    let password = file("keys/password");
    let made =
        node.sluice(&format!("keys new account --out {} --password-file {password}", file("keys/gate")), &[]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let env = std::fs::read_to_string(node.dir.join("env")).unwrap();
    let of = |name: &str| {
        let line = env.lines().map(|line| line.trim_start_matches("export ")).find(|l| l.starts_with(name));
        let value = line.unwrap_or_else(|| panic!("{name} in {env}")).split_once('=').unwrap().1;
        value.trim_matches(['"', '\'']).to_owned()
    };
    let charter = of("SLUICE_CHARTER");
    let config = format!(
        "stream = 0\nhome = 31337\nsnapshots = \"{}\"\n[database]\nurl = \"{}\"\n[gate_signer]\nnodes = [\"{}\"]\n\
         interval_seconds = 1\n[gate_signer.key]\nfile = \"keys/gate\"\npassword_file = \"keys/password\"\n\
         [seal_key]\nfile = \"keys/seal\"\npassword_file = \"keys/password\"\n[chains.31337]\nrpc = [\"{}\"]\n\
         charter = \"{}\"\n",
        of("SLUICE_SNAPSHOTS"),
        of("DATABASE_URL"),
        node.url,
        node.rpc,
        charter.split_once('/').unwrap().1
    );
    let path = node.dir.join("gate-signer.toml");
    std::fs::write(&path, config).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_sluice"));
    program.args(["gate-signer", "--config"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running::start(&mut program);
    running.until_it_says("verifying and signing");
    assert_eq!(running.interrupt().code(), Some(0));
}

/// The feed is only read: it may end wherever it is, and ends although it waits for the next change.
fn feed(node: &Node) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sluice"));
    program.args(["show", "changes", "--follow", "--node", &node.url]).stdout(Stdio::piped());
    let mut running = Running::start(&mut program);
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["seq"], 1);
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(running.interrupt().code(), Some(130));
}

#[test]
fn a_scenario_stops_what_it_started() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("interrupted_scenario");
    let mut program = Command::new(env!("CARGO_BIN_EXE_sluice"));
    program.args(["scenario", "institutions", "--seed", "3", "--dir"]).arg(&folder);
    program.env_remove("DATABASE_URL").env_remove("SLUICE_RPC");
    let mut running = Running::start(program.stdout(Stdio::null()).stderr(Stdio::piped()));
    running.until_it_says("two nodes serve");
    let started = descendants(running.0.id());
    assert!(started.len() >= 2, "a database and a chain: {started:?}");
    let ended = running.interrupt();
    assert!(ended.code().is_some_and(|code| code != 0), "it is not done, and ended by itself: {ended}");
    // Whoever lost its parent has another one now.
    let lives = |one: &&Process| process(one.pid).is_some_and(|now| now.started == one.started);
    let left: Vec<&Process> = started.iter().filter(lives).collect();
    assert!(left.is_empty(), "{left:?}");
}
