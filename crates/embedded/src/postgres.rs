//! A private PostgreSQL cluster, owned by this process.

mod folder;
mod install;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

pub(crate) use folder::Folder;

use crate::lock::POLL;
use crate::process::{Child, Step};
use crate::{Error, Result};

/// How a postmaster is stopped: fast (sessions are cut, a checkpoint is written), then immediate (recovery at
/// the next start), then killed. A fast shutdown writes at most `shared_buffers`.
const STOP: &[Step] = &[
    (Signal::INT, Duration::from_secs(15)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// How a postmaster is crashed: no warning, as a power cut would.
const CRASH: &[Step] = &[(Signal::KILL, Duration::from_secs(5))];

/// How long a start may take, crash recovery included.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The superuser of an embedded cluster. Its socket's folder admits only the account that runs it (and root).
const SUPERUSER: &str = "sluice";

/// What may be chosen about a cluster.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Whether commits reach the disk. On, unless nothing in the cluster is worth a crash.
    pub fsync: bool,
    /// `max_connections`.
    pub max_connections: u16,
    /// Further settings, by name, as in `postgresql.conf`; they override ours.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { fsync: true, max_connections: 200, settings: Vec::new() }
    }
}

/// A running cluster. Dropping it stops it (fast shutdown, bounded; blocks until it has ended).
#[derive(Debug)]
pub struct Postgres {
    // Fields drop in this order: the server ends before the folder is free for another owner.
    child: Child,
    folder: Folder,
    _owner: File,
}

impl Postgres {
    /// Starts the cluster in `dir`, creating it the first time (`.sluice/postgres` is the usual place).
    ///
    /// Recovers what a crash left there; servers of a dead owner are stopped first. As root the cluster runs
    /// as another account, and where that account cannot reach `dir`, the data lies in `/var/lib/sluice`
    /// ([`Postgres::dir`] says where).
    ///
    /// # Errors
    /// [`Error::InUse`] when a living process owns the folder, [`Error::NotInstalled`], [`Error::Version`],
    /// [`Error::NotStarted`] with the end of the server's log, or an I/O error.
    pub async fn start(dir: &Path, options: &PostgresOptions) -> Result<Self> {
        let (dir, options) = (dir.to_owned(), options.clone());
        let started = tokio::task::spawn_blocking(move || Self::launch(&dir, &options)).await;
        let cluster = started.map_err(|panic| Error::Io {
            action: "start PostgreSQL in",
            path: PathBuf::new(),
            source: std::io::Error::other(panic),
        })??;
        wait_ready(&cluster.folder, || cluster.child.status().map(|status| status.to_string())).await?;
        Ok(cluster)
    }

    fn launch(dir: &Path, options: &PostgresOptions) -> Result<Self> {
        let folder = Folder::open(dir)?;
        let owner = folder.own()?;
        let server = folder.take_over()?;
        let install = folder.initialise()?;
        let mut command = folder.server_command(&install, options)?;
        // The lock file is the server's standard input: the lock lives as long as any of its processes.
        command.stdin(server);
        let child = Child::spawn(command, STOP).map_err(Error::io("run PostgreSQL in", folder.path()))?;
        Ok(Self { child, folder, _owner: owner })
    }

    /// A connection URL for the `postgres` database, for sqlx and libpq alike.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// A connection URL for a database of this cluster.
    pub fn url_of(&self, database: &str) -> String {
        self.folder.url(database)
    }

    /// Where the cluster lies: the folder asked for, or the one that stands in for it.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The server's log file, appended to by every start.
    pub fn log(&self) -> PathBuf {
        self.folder.log()
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Creates a database if it is not there, and returns its URL.
    ///
    /// # Errors
    /// [`Error::BadName`], or [`Error::Sql`].
    pub async fn create_database(&self, name: &str) -> Result<String> {
        check_name(name)?;
        let mut admin = connect(&self.url()).await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut admin)
            .await
            .map_err(Error::sql("look for a database"))?;
        if !exists {
            run(&mut admin, format!("CREATE DATABASE {name}"), "create a database").await?;
        }
        Ok(self.url_of(name))
    }

    /// Drops a database with all of its sessions, if it is there.
    ///
    /// # Errors
    /// [`Error::BadName`], or [`Error::Sql`].
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let mut admin = connect(&self.url()).await?;
        run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), "drop a database").await
    }

    /// Stops the cluster and waits for it; what dropping does, off the async threads.
    pub async fn stop(self) {
        // It can only fail by a panic in drop, which has been reported by then.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Kills the postmaster without warning, as a power cut would (its sessions end when they notice). Start
    /// again on the same folder to recover.
    pub async fn crash(self) {
        self.child.stop_by(CRASH);
        self.stop().await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.child.stop();
        self.folder.clear_away();
    }
}

/// Waits until the server accepts sessions; `ended` says how it ended, if it did.
pub(crate) async fn wait_ready(folder: &Folder, mut ended: impl FnMut() -> Option<String>) -> Result<()> {
    let limit = Instant::now() + START_LIMIT;
    let failed = |reason| Error::NotStarted { program: "PostgreSQL", reason, log: folder.log_tail() };
    loop {
        let refused = match connect(&folder.url("postgres")).await {
            Ok(session) => return session.close().await.map_err(Error::sql("close a session")),
            Err(refused) => refused,
        };
        if let Some(status) = ended() {
            return Err(failed(status));
        }
        if Instant::now() > limit {
            return Err(failed(format!("not ready within {START_LIMIT:?}: {refused}")));
        }
        // A server announces to nobody that it takes connections.
        tokio::time::sleep(POLL).await;
    }
}

/// Opens one session.
pub(crate) async fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url).await.map_err(Error::sql("connect to the embedded PostgreSQL"))
}

/// Runs a statement whose text was made here, from checked names.
pub(crate) async fn run(session: &mut PgConnection, sql: String, action: &'static str) -> Result<()> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(session).await.map_err(Error::sql(action))?;
    Ok(())
}

/// Database names stand in statements unquoted, so they are kept plain.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let good =
        name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(plain);
    if good { Ok(()) } else { Err(Error::BadName { name: name.to_owned() }) }
}
