//! `sluice serve --config`, as an operator runs it: the real program, keys in encrypted files, signals.

#![expect(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sluice_embedded::Mining;
use sluice_embedded::testing::TestDatabase;
use sluice_server::dev::{self, Prepared};
use sluice_server::keys::{self, Password};

const PASSWORD: &str = "correct horse battery staple";

/// A started program; killed when the test fails.
struct Program {
    child: Child,
    base: String,
    errors: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts a node on a free port. Its configuration's own port is overruled by the environment.
    fn start(config: &Path, name: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let errors = config.with_file_name(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["serve", "--config"])
            .arg(config)
            .env("SLUICE_LISTEN", format!("127.0.0.1:{port}"))
            .env("SLUICE_NAME", name)
            .stderr(std::fs::File::create(&errors).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, base: format!("http://127.0.0.1:{port}"), errors }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    async fn status(&mut self) -> Value {
        let ready = async {
            loop {
                assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.said());
                if reqwest::get(format!("{}/readyz", self.base)).await.is_ok_and(|r| r.status() == 200) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            reqwest::get(format!("{}/v1/status", self.base)).await.unwrap().json().await.unwrap()
        };
        tokio::time::timeout(Duration::from_secs(90), ready).await.expect("it becomes ready")
    }

    /// Sends a signal and waits for the end.
    async fn end(&mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_node_serves_until_it_is_told_to_stop() {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let database = TestDatabase::new(&migrations).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = dev::Options {
        mining: Mining::Mixed(Duration::from_millis(100)),
        keep_chain: false,
        database_url: Some(database.url().to_owned()),
        ..dev::Options::new(folder.path())
    };
    let prepared = dev::prepare(&options).await.unwrap();
    let config = write_files(folder.path(), &prepared);

    let mut first = Program::start(&config, "first");
    assert_eq!(first.status().await["role"], "leader");
    let mut second = Program::start(&config, "second");
    assert_eq!(second.status().await["role"], "follower");

    assert_eq!(first.end("-TERM").await, Some(0), "{}", first.said());
    let leads = async {
        while second.status().await["role"] != "leader" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), leads).await.expect("the other takes over");
    assert_eq!(second.end("-INT").await, Some(0), "{}", second.said());
    for said in [first.said(), second.said()] {
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        assert!(lines.count() > 0, "in a pipe the log is JSON");
        assert!(!said.contains(PASSWORD) && !said.contains("postgres://"), "no secret is logged:\n{said}");
    }

    std::fs::write(folder.path().join("password"), "wrong, but long enough").unwrap();
    let mut refused = Program::start(&config, "third");
    assert_eq!(refused.child.wait().unwrap().code(), Some(1));
    assert!(refused.said().contains("log_key: the password does not open"), "{}", refused.said());
    prepared.stop().await;
}

#[test]
fn keys_are_made_once_and_shown_without_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let run = |arguments: &str| {
        let arguments = arguments.split(' ');
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let done = command.arg("keys").args(arguments).current_dir(&folder).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    for (kind, words) in [("account", "an account"), ("log", "a log key")] {
        let (code, public, _) = run(&format!("new {kind} --out {kind}.json --password-file password"));
        assert_eq!(code, Some(0));
        let (_, again, said) = run(&format!("new {kind} --out {kind}.json --password-file password"));
        assert!(again.is_empty() && said.contains("never overwritten"), "{said}");
        for show in [format!("show {kind}.json"), format!("show {kind}.json --password-file password")] {
            let (code, shown, _) = run(&show);
            assert_eq!(code, Some(0));
            let (kind, named) = shown.split_once(": ").unwrap();
            assert_eq!(kind, words);
            assert!(
                public.trim_start_matches("0x").eq_ignore_ascii_case(named.trim_start_matches("0x")),
                "{shown}"
            );
        }
    }
    let (_, said, _) = run("new operator");
    let key = said.split_whitespace().find(|word| word.starts_with("sluice_operator_")).unwrap();
    let (_, hash) = keys::bearer::read(key).unwrap();
    assert!(
        said.contains(&format!("operator_key_sha256 = \"{}\"", hash.to_string().trim_start_matches("0x"))),
        "{said}"
    );
}

/// Keys of the first development sequencer as an operator keeps them, and the configuration that names them.
fn write_files(folder: &Path, prepared: &Prepared) -> PathBuf {
    std::fs::write(folder.join("password"), PASSWORD).unwrap();
    let password = Password::read(&folder.join("password")).unwrap();
    dev::control(1).unwrap().write_keystore(folder, "control.json", PASSWORD).unwrap();
    dev::lane(1, 0).unwrap().write_keystore(folder, "lane.json", PASSWORD).unwrap();
    keys::write_log_key(&folder.join("log.json"), &password, &dev::log_secret()).unwrap();
    keys::write_seal_key(&folder.join("seal.json"), &password, &dev::seal_secret()).unwrap();
    std::fs::write(folder.join("rpc"), &prepared.rpc).unwrap();
    let key = |file: &str| format!("file = \"{file}\"\npassword_file = \"password\"\n");
    let text = format!(
        "name = \"overruled\"\nstream = 0\nhome = {id}\nsequencer = 1\nsnapshots = \"snapshots\"\n\
         [database]\nurl = \"{database}\"\n\
         [log_key]\n{log}\
         [seal_key]\n{seal}\
         [chains.{id}]\nrpc_files = [\"rpc\"]\ncharter = \"{charter}\"\nlook_every_ms = 50\n\
         requests_per_second = 100000\n\
         [chains.{id}.control]\n{control}\
         [[chains.{id}.lanes]]\n{lane}",
        id = prepared.chain.id(),
        database = prepared.database_url,
        charter = prepared.charter,
        log = key("log.json"),
        seal = key("seal.json"),
        control = key("control.json"),
        lane = key("lane.json"),
    );
    let path = folder.join("sluice.toml");
    std::fs::write(&path, text).unwrap();
    path
}
