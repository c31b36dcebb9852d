//! The folder of a cluster: what lies where, who owns it, and what a crash leaves in it.
//!
//! ```text
//! DIR/owner.lock    locked by the process that owns the cluster, and holds its pid; freed by the kernel
//! DIR/server.lock   locked by the server's own processes, all of which inherit it
//! DIR/data          the cluster (data.new while initdb runs, so that half a cluster is never taken for one)
//! DIR/socket        its socket (under /tmp when the path would be too long for one)
//! DIR/log           what it said
//! ```
//!
//! With two locks nothing has to be guessed from process ids: the owner's lock free and the server's taken
//! means a dead owner's server still runs, and both free means nothing does.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal};
use sha2::{Digest, Sha256};

use super::install::Install;
use super::{PostgresOptions, STOP, SUPERUSER};
use crate::account::Account;
use crate::lock::{open_lock, pause, try_lock, write_owner};
use crate::{Error, Result};

/// Where a cluster lies whose folder the server's account cannot reach.
const ELSEWHERE: &str = "/var/lib/sluice";

/// A socket's path must fit `sockaddr_un` (108 bytes with its end) with `/.s.PGSQL.5432` after the folder.
const SOCKET_DIR_MAX: usize = 107 - "/.s.PGSQL.5432".len();

/// How many of the log's last bytes an error shows.
const LOG_TAIL: usize = 2_000;

/// A cluster's folder, made reachable for the account that runs it.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    socket: PathBuf,
    account: Account,
}

impl Folder {
    /// Creates the folder if need be, and finds one the server's account can reach.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let account = Account::choose()?;
        let dir = std::path::absolute(dir).map_err(Error::io("find", dir))?;
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let dir = dir.canonicalize().map_err(Error::io("find", &dir))?;
        let name = digest(&dir);
        let mut path = dir;
        if !account.reaches(&path) {
            let elsewhere = Path::new(ELSEWHERE).join(&name);
            tracing::warn!(asked = %path.display(), used = %elsewhere.display(), "PostgreSQL's account cannot reach the folder");
            fs::create_dir_all(&elsewhere).map_err(Error::io("create", &elsewhere))?;
            path = elsewhere;
        }
        refuse_foreign(&path)?;
        account.give(&path, 0o700)?;
        let mut socket = path.join("socket");
        if socket.as_os_str().len() > SOCKET_DIR_MAX {
            socket = PathBuf::from(format!("/tmp/sluice-{name}"));
        }
        let folder = Self { path, socket, account };
        folder.make_socket_dir()?;
        Ok(folder)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// A URL for a database; both sqlx and libpq read the socket's folder from `host`.
    pub(crate) fn url(&self, database: &str) -> String {
        let mut host = String::new();
        for &byte in self.socket.as_os_str().as_encoded_bytes() {
            if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
                host.push(char::from(byte));
            } else {
                host.push_str(&format!("%{byte:02X}"));
            }
        }
        format!("postgres://{SUPERUSER}@localhost:5432/{database}?host={host}&sslmode=disable")
    }

    /// Becomes the owner, or says who is.
    pub(crate) fn own(&self) -> Result<File> {
        let path = self.path.join("owner.lock");
        let mut file = open_lock(&path)?;
        if !try_lock(&file, &path)? {
            let mut owner = String::new();
            // Another owner may be writing its pid right now; then it is shown as 0.
            let _ = file.read_to_string(&mut owner);
            let owner = owner.trim().parse().unwrap_or(0);
            return Err(Error::InUse { dir: self.path.clone(), owner, url: self.url("postgres") });
        }
        write_owner(&mut file, &path)?;
        Ok(file)
    }

    /// Takes the server's lock, ending what a dead owner left running.
    pub(crate) fn take_over(&self) -> Result<File> {
        let path = self.path.join("server.lock");
        let file = open_lock(&path)?;
        self.give_lock("server.lock")?;
        for &(signal, patience) in STOP {
            let end = Instant::now() + patience;
            let mut told = false;
            while Instant::now() < end {
                if try_lock(&file, &path)? {
                    self.clear_stale_pid_file()?;
                    return Ok(file);
                }
                // The parent-death signal has usually begun the shutdown already; this is for when it has not.
                if !std::mem::replace(&mut told, true) {
                    self.left_behind(signal).into_iter().for_each(|pid| {
                        // Gone in the meantime is as good.
                        let _ = rustix::process::kill_process(pid, signal);
                    });
                }
                pause();
            }
        }
        Err(Error::LeftBehind { dir: self.path.clone() })
    }

    /// Lets the server's account open a lock file that we made.
    pub(crate) fn give_lock(&self, name: &str) -> Result<()> {
        self.account.give(&self.path.join(name), 0o600)
    }

    /// The processes of a server left behind: its postmaster, or at last every one of them. They are known by
    /// the cluster's name, which PostgreSQL shows in each command line.
    fn left_behind(&self, signal: Signal) -> Vec<Pid> {
        let name = self.cluster_name();
        let commands = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            Some((Pid::from_raw(pid)?, String::from_utf8_lossy(&command).into_owned()))
        });
        let ours = commands.filter(|(_, command)| command.contains(&name));
        let postmaster = |command: &str| command.contains("\0-D\0");
        ours.filter(|(_, command)| signal == Signal::KILL || postmaster(command))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// The lock proves that no server runs, so a pid file can only be stale; PostgreSQL itself would refuse to
    /// start when the number in it has meanwhile gone to another process of its account.
    fn clear_stale_pid_file(&self) -> Result<()> {
        let path = self.data().join("postmaster.pid");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove the stale", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Runs initdb if there is no cluster yet, and finds the binaries that fit the data.
    pub(crate) fn initialise(&self) -> Result<Install> {
        let data = self.data();
        let install = Install::find(&data)?;
        if data.join("PG_VERSION").exists() {
            return Ok(install);
        }
        let new = self.path.join("data.new");
        if new.exists() {
            fs::remove_dir_all(&new).map_err(Error::io("remove the unfinished", &new))?;
        }
        let mut initdb = self.command(&install.bin.join("initdb"));
        initdb.arg("-D").arg(&new).args([
            &format!("--username={SUPERUSER}"),
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
            "--no-instructions",
        ]);
        let output = initdb.output().map_err(Error::io("run initdb for", &new))?;
        if !output.status.success() {
            return Err(Error::NotStarted {
                program: "initdb",
                reason: output.status.to_string(),
                log: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        fs::rename(&new, &data).map_err(Error::io("move into place", &new))?;
        Ok(install)
    }

    /// The command that runs the server in the foreground.
    pub(crate) fn server_command(&self, install: &Install, options: &PostgresOptions) -> Result<Command> {
        let output = self.open_log()?;
        let copy = output.try_clone().map_err(Error::io("open", &self.log()))?;
        let mut command = self.command(&install.bin.join("postgres"));
        command.arg("-D").arg(self.data()).stdout(output).stderr(copy);
        let connections = options.max_connections.to_string();
        let fsync = if options.fsync { "on" } else { "off" };
        let socket = self.socket.to_string_lossy();
        let name = self.cluster_name();
        let ours = [
            ("cluster_name", name.as_str()),
            ("listen_addresses", ""),
            ("port", "5432"),
            ("unix_socket_directories", &socket),
            ("max_connections", &connections),
            ("fsync", fsync),
            ("full_page_writes", fsync),
            ("shared_buffers", "128MB"),
            ("max_wal_size", "1GB"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("log_line_prefix", "%m [%p] %d "),
        ];
        let theirs = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in ours.into_iter().chain(theirs) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        Ok(command)
    }

    /// A program under the server's account, in a folder it can reach, without the `PG…` variables.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path).stdin(Stdio::null()).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        self.account.apply(&mut command);
        command
    }

    /// The end of the server's log, for an error.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }

    /// Opens the server's log for appending.
    pub(crate) fn open_log(&self) -> Result<File> {
        let log = self.log();
        OpenOptions::new().create(true).append(true).open(&log).map_err(Error::io("open", &log))
    }

    fn cluster_name(&self) -> String {
        format!("sluice-{}", digest(&self.path))
    }

    /// Leaves nothing in /tmp; the next start makes the socket's folder again.
    pub(crate) fn clear_away(&self) {
        if !self.socket.starts_with(&self.path) {
            // Not empty means that a server still uses it, whose owner clears it away.
            let _ = fs::remove_dir(&self.socket);
        }
    }

    /// Makes the socket's folder, closed to everyone else; one in /tmp must not be a stranger's.
    fn make_socket_dir(&self) -> Result<()> {
        match fs::create_dir(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create", &self.socket)(error));
            }
            Err(_) => {
                let there = fs::symlink_metadata(&self.socket).map_err(Error::io("look at", &self.socket))?;
                let wanted = fs::metadata(&self.path).map_err(Error::io("look at", &self.path))?.uid();
                if !there.is_dir() || there.uid() != wanted {
                    let source =
                        std::io::Error::other("it is not a folder of the account that runs PostgreSQL");
                    return Err(Error::io("use", &self.socket)(source));
                }
            }
            Ok(()) => {}
        }
        self.account.give(&self.socket, 0o700)
    }
}

/// Refuses a folder that holds something else: its owner and mode are about to be changed.
fn refuse_foreign(dir: &Path) -> Result<()> {
    let mut entries = fs::read_dir(dir).map_err(Error::io("read", dir))?;
    let ours = |name: &str| dir.join(name).exists();
    if entries.next().is_none() || ours("owner.lock") || ours("users.lock") || ours("socket") {
        return Ok(());
    }
    let source = std::io::Error::other("it is not empty and holds no cluster of ours; name another folder");
    Err(Error::io("keep a cluster in", dir)(source))
}

/// Eight bytes of a path's hash, in hexadecimal: a short name that is its own.
fn digest(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
