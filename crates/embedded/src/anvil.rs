//! A private anvil: an EVM chain on this machine, owned by this process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lock::{lock_within, open_lock, pause, try_lock, write_owner};
use crate::process::{Child, Step};
use crate::{Error, Result};

/// A chain whose state is kept is asked to end, so that it writes it down (252,802 paid accounts take seconds).
const STOP_AND_DUMP: &[Step] =
    &[(Signal::TERM, Duration::from_secs(60)), (Signal::KILL, Duration::from_secs(5))];

/// A chain that is thrown away is killed.
const KILL: &[Step] = &[(Signal::KILL, Duration::from_secs(5))];

/// How long a start may take; reading a large state back is the slow part.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a start waits for a dead owner's anvil that is still writing its state.
const HANDOVER: Duration = Duration::from_secs(60);

/// Names the binary, before any other place.
const OVERRIDE: &str = "SLUICE_ANVIL";

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// One block per transaction, at once.
    Instant,
    /// One block per interval.
    Interval(Duration),
    /// One block per interval, and one per transaction at once.
    Mixed(Duration),
    /// Only when asked (`evm_mine`).
    OnDemand,
}

/// What may be chosen about a chain.
#[derive(Debug, Clone)]
pub struct AnvilOptions {
    /// The chain's id.
    pub chain_id: u64,
    /// When blocks are made.
    pub mining: Mining,
    /// How many blocks make an epoch: the `finalized` tag stays two epochs behind `latest`.
    pub slots_in_an_epoch: u64,
    /// Whether a transaction's gas is limited to 16,777,216 as on mainnet since Osaka (EIP-7825); anvil leaves
    /// it off unless told.
    pub limit_transaction_gas: bool,
    /// The hard fork's name; anvil's newest when `None`.
    pub hardfork: Option<String>,
    /// How many funded development accounts there are.
    pub accounts: u32,
    /// What each of them owns, in ether.
    pub balance_ether: u64,
    /// The port on 127.0.0.1; a free one when `None`.
    pub port: Option<u16>,
    /// A folder that keeps the chain from one start to the next. The state is written when anvil ends, also
    /// when its owner was killed; an anvil that is itself killed loses what came after the last writing.
    pub state: Option<PathBuf>,
    /// How often the state is written besides, in whole seconds (each time in full).
    pub state_interval: Option<Duration>,
    /// Further arguments, as on anvil's command line.
    pub arguments: Vec<String>,
}

impl Default for AnvilOptions {
    fn default() -> Self {
        Self {
            chain_id: 31_337,
            mining: Mining::Instant,
            slots_in_an_epoch: 1,
            limit_transaction_gas: true,
            hardfork: None,
            accounts: 10,
            balance_ether: 10_000,
            port: None,
            state: None,
            state_interval: None,
            arguments: Vec::new(),
        }
    }
}

/// A running chain. Dropping it ends it (and writes its state first, where that is kept).
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    port: u16,
    keys: Vec<String>,
    log: PathBuf,
    scratch: Option<PathBuf>,
    // After the child: the folder is free for another owner when the chain has ended.
    _owner: File,
}

impl Anvil {
    /// Starts a chain.
    ///
    /// # Errors
    /// [`Error::NotInstalled`], [`Error::InUse`] when a living process owns the state's folder,
    /// [`Error::NotStarted`] with the end of anvil's output, or an I/O error.
    pub async fn start(options: &AnvilOptions) -> Result<Self> {
        let options = options.clone();
        let started = tokio::task::spawn_blocking(move || Self::launch(&options)).await;
        started.map_err(|panic| Error::io("start", Path::new("anvil"))(std::io::Error::other(panic)))?
    }

    fn launch(options: &AnvilOptions) -> Result<Self> {
        let binary = find()?;
        let (dir, scratch) = match &options.state {
            Some(dir) => (dir.clone(), None),
            None => scratch_dir().map(|dir| (dir.clone(), Some(dir)))?,
        };
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let (owner, server) = own(&dir)?;
        let (log, config) = (dir.join("anvil.log"), dir.join("anvil.json"));
        let output = File::create(&log).map_err(Error::io("create", &log))?;
        let copy = output.try_clone().map_err(Error::io("create", &log))?;
        let mut command = Command::new(binary);
        // The lock file is anvil's standard input: the lock lives as long as anvil does.
        command.args(arguments(options, &dir, &config)).stdin(server).stdout(output).stderr(copy);
        let steps = if options.state.is_some() { STOP_AND_DUMP } else { KILL };
        let child = Child::spawn(command, steps).map_err(Error::io("run anvil in", &dir))?;
        let mut anvil = Self { child, port: 0, keys: Vec::new(), log, scratch, _owner: owner };
        anvil.port = anvil.await_port()?;
        anvil.keys = read_keys(&config)?;
        Ok(anvil)
    }

    /// Waits for the line that names the port, then for the port to answer.
    fn await_port(&self) -> Result<u16> {
        let end = Instant::now() + START_LIMIT;
        loop {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(port) = listening_port(&said) {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                    return Ok(port);
                }
            }
            let reason = match self.child.status() {
                Some(status) => status.to_string(),
                None if Instant::now() > end => format!("not ready within {START_LIMIT:?}"),
                None => {
                    pause();
                    continue;
                }
            };
            return Err(Error::NotStarted { program: "anvil", reason, log: said });
        }
    }

    /// The URL of its JSON-RPC, over HTTP.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same over WebSocket.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The development accounts' private keys, `0x` and 64 digits, in anvil's order. Known to the whole world.
    pub fn private_keys(&self) -> &[String] {
        &self.keys
    }

    /// What anvil printed since it started.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Ends the chain and waits for it; what dropping does, off the async threads.
    pub async fn stop(self) {
        // It can only fail by a panic in drop, which has been reported by then.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Kills the chain without warning; a kept state is the one last written.
    pub async fn crash(self) {
        self.child.stop_by(KILL);
        self.stop().await;
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.child.stop();
        if let Some(scratch) = &self.scratch {
            // Nothing but a log lies there.
            let _ = fs::remove_dir_all(scratch);
        }
    }
}

/// Anvil's command line.
fn arguments(options: &AnvilOptions, dir: &Path, config: &Path) -> Vec<OsString> {
    let seconds = |time: Duration| format!("{}.{:03}", time.as_secs(), time.subsec_millis());
    let mut flags = vec![
        ("--host", "127.0.0.1".to_owned()),
        // Anvil binds a free port for 0 and says which; choosing one for it could collide.
        ("--port", options.port.unwrap_or(0).to_string()),
        ("--chain-id", options.chain_id.to_string()),
        ("--slots-in-an-epoch", options.slots_in_an_epoch.to_string()),
        ("--accounts", options.accounts.to_string()),
        ("--balance", options.balance_ether.to_string()),
        ("--color", "never".to_owned()),
    ];
    let mut switches = vec![];
    match options.mining {
        Mining::Instant => {}
        Mining::Interval(time) => flags.push(("--block-time", seconds(time))),
        Mining::Mixed(time) => {
            flags.push(("--block-time", seconds(time)));
            switches.push("--mixed-mining");
        }
        Mining::OnDemand => switches.push("--no-mining"),
    }
    if options.limit_transaction_gas {
        switches.push("--enable-tx-gas-limit");
    }
    if let Some(hardfork) = &options.hardfork {
        flags.push(("--hardfork", hardfork.clone()));
    }
    if let Some(interval) = options.state_interval {
        flags.push(("--state-interval", interval.as_secs().max(1).to_string()));
    }
    let mut line: Vec<OsString> =
        flags.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()]).collect();
    line.extend(["--config-out".into(), config.into()]);
    if options.state.is_some() {
        line.extend(["--state".into(), dir.join("state.json").into()]);
    }
    line.extend(switches.into_iter().map(OsString::from));
    line.extend(options.arguments.iter().map(OsString::from));
    line
}

/// Becomes the owner of a state's folder, or says who is. As for a cluster there are two locks: the owner's own,
/// and one that anvil inherits, which tells a living owner from an anvil that still writes a dead one's state.
fn own(dir: &Path) -> Result<(File, Stdio)> {
    let path = dir.join("owner.lock");
    let mut owner = open_lock(&path)?;
    if !try_lock(&owner, &path)? {
        let owner = fs::read_to_string(&path).unwrap_or_default().trim().parse().unwrap_or(0);
        let port = listening_port(&fs::read_to_string(dir.join("anvil.log")).unwrap_or_default());
        let url = format!("http://127.0.0.1:{}", port.unwrap_or(0));
        return Err(Error::InUse { dir: dir.to_owned(), owner, url });
    }
    write_owner(&mut owner, &path)?;
    let server = lock_within(&dir.join("server.lock"), false, HANDOVER)?;
    let server = server.ok_or_else(|| Error::LeftBehind { dir: dir.to_owned() })?;
    Ok((owner, server.into()))
}

/// The port in `Listening on 127.0.0.1:34557`, once the whole line is there.
fn listening_port(said: &str) -> Option<u16> {
    let (_, after) = said.split_once("Listening on 127.0.0.1:")?;
    let (port, _) = after.split_once('\n')?;
    port.trim().parse().ok()
}

/// The private keys in what anvil writes with `--config-out`.
fn read_keys(config: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(config).map_err(Error::io("read", config))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Error::io("read", config)(error.into()))?;
    let keys = json["private_keys"].as_array().into_iter().flatten();
    Ok(keys.filter_map(|key| key.as_str().map(str::to_owned)).collect())
}

/// A folder for a chain that is thrown away.
fn scratch_dir() -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("sluice-anvil-{}-{number}", std::process::id()));
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("empty", &dir)(error)),
        _ => Ok(dir),
    }
}

/// Finds the native binary. npm's `.bin/anvil` is a Node script that starts it as its own child, which would
/// outlive a killed parent, so the package with the binary itself is looked for.
fn find() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os(OVERRIDE) {
        let binary = PathBuf::from(binary);
        return if binary.is_file() { Ok(binary) } else { Err(missing("SLUICE_ANVIL names no file")) };
    }
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let package = format!("contracts/node_modules/@foundry-rs/anvil-linux-{machine}/bin/anvil");
    let beside = [std::env::current_dir().ok(), std::env::current_exe().ok(), manifest_dir()];
    let local = beside.iter().flatten().flat_map(|start| start.ancestors()).map(|above| above.join(&package));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed: Vec<_> = std::env::split_paths(&path).map(|folder| folder.join("anvil")).collect();
    local.chain(installed).find(|binary| binary.is_file()).ok_or_else(|| {
        missing(&format!("not in {package} of this folder, the program's or one above them, and not in PATH"))
    })
}

/// The package that cargo runs, in tests.
fn manifest_dir() -> Option<PathBuf> {
    std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

fn missing(looked: &str) -> Error {
    Error::NotInstalled {
        program: "anvil",
        looked: looked.to_owned(),
        remedy: "Run `make setup`, or `npm ci` in contracts/, or set SLUICE_ANVIL to the binary",
    }
}
