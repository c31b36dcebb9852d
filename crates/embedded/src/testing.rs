//! One PostgreSQL cluster for all tests of a checkout, and a database of its own for each test.
//!
//! The first test that asks starts the cluster in `target/test-postgres`; it stays for the tests and the test
//! processes that follow (nextest runs each test in its own), and stops when none has used it for
//! [`IDLE_SECONDS`], or at `make test-stop`. A killed test process leaves its database behind, and a killed
//! cluster leaves everything: the next start of the cluster drops what tests made.
//!
//! Databases are cloned from a template, migrated once per content of the migrations' folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::lock::lock_within;
use crate::postgres::{Folder, PostgresOptions, connect, run, wait_ready};
use crate::{Error, Result};

/// After how many seconds without a user the cluster stops: longer than the compiler needs between two
/// packages' tests, shorter than anyone minds.
pub const IDLE_SECONDS: u32 = 120;

/// How long a user waits for another one's start, or for a shutdown under way.
const TURN: Duration = Duration::from_secs(90);

/// A test's database. Dropping it drops the database, sessions included.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
}

impl TestDatabase {
    /// A fresh database in which the migrations of a folder have been applied.
    ///
    /// # Errors
    /// Whatever keeps the cluster from starting, the folder from being read or a migration from being applied.
    pub async fn new(migrations: &Path) -> Result<Self> {
        let cluster = cluster().await?;
        let mut admin = connect(&cluster.folder.url("postgres")).await?;
        let template = template(&cluster.folder, &mut admin, migrations).await?;
        Self::create(&cluster.folder, admin, &format!("TEMPLATE {template}")).await
    }

    /// A fresh database with nothing in it.
    ///
    /// # Errors
    /// Whatever keeps the cluster from starting.
    pub async fn empty() -> Result<Self> {
        let cluster = cluster().await?;
        let admin = connect(&cluster.folder.url("postgres")).await?;
        Self::create(&cluster.folder, admin, "").await
    }

    async fn create(folder: &Folder, mut admin: PgConnection, source: &str) -> Result<Self> {
        let name: String = sqlx::query_scalar("SELECT 'test_' || replace(gen_random_uuid()::text, '-', '')")
            .fetch_one(&mut admin)
            .await
            .map_err(Error::sql("name a test database"))?;
        run(&mut admin, format!("CREATE DATABASE {name} {source}"), "create a test database").await?;
        admin.close().await.map_err(Error::sql("close a session"))?;
        Ok(Self { url: folder.url(&name), admin_url: folder.url("postgres"), name })
    }

    /// A connection URL for this database, for sqlx and libpq alike.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database's name in its cluster.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.admin_url.clone(), self.name.clone());
        // A thread with a runtime of its own: the test's runtime may be the one that is ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Error::io("make a runtime to drop", Path::new(&name)))?;
            runtime.block_on(async {
                let mut admin = connect(&url).await?;
                run(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)"), "drop a test database").await
            })
        });
        if let Ok(Err(error)) = dropping.join() {
            tracing::warn!(%error, database = self.name, "test database left behind");
        }
    }
}

/// This process's use of the shared cluster.
#[derive(Debug)]
struct Cluster {
    folder: Folder,
    /// Held shared for as long as this process lives.
    _user: File,
}

/// The shared cluster, started if it does not run.
async fn cluster() -> Result<&'static Cluster> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_try_init(|| attach(cluster_dir())).await
}

/// `test-postgres` in cargo's target folder.
fn cluster_dir() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    target.join("test-postgres")
}

async fn attach(dir: PathBuf) -> Result<Cluster> {
    let folder = Folder::open(&dir)?;
    let user = turn(&folder, "users.lock", true).await?;
    let start = turn(&folder, "start.lock", false).await?;
    if connect(&folder.url("postgres")).await.is_err() {
        let mut watch = {
            let folder = folder.clone();
            blocking(&dir, move || launch(&folder)).await?
        };
        wait_ready(&folder, || watch.try_wait().ok().flatten().map(|status| status.to_string())).await?;
        drop_leftovers(&folder).await?;
    }
    drop(start);
    Ok(Cluster { folder, _user: user })
}

/// Takes one of the cluster's locks, in turn.
async fn turn(folder: &Folder, name: &'static str, shared: bool) -> Result<File> {
    let path = folder.path().join(name);
    let lock = blocking(folder.path(), move || lock_within(&path, shared, TURN)).await?;
    lock.ok_or_else(|| Error::NotStarted {
        program: "the tests' PostgreSQL",
        reason: format!("another process kept {name} for {TURN:?}"),
        log: folder.log_tail(),
    })
}

/// Runs blocking work off the async threads.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Error::io("work in", path)(std::io::Error::other(panic)))?
}

/// Starts the server under its watcher, both detached from this process.
fn launch(folder: &Folder) -> Result<std::process::Child> {
    // The lock only shows that nothing runs any more; the watcher takes it again.
    drop(folder.take_over()?);
    folder.give_lock("users.lock")?;
    let install = folder.initialise()?;
    let options = PostgresOptions::default();
    let (server, mut shell) =
        (folder.server_command(&install, &options)?, folder.command(Path::new("/bin/sh")));
    shell.args(["-c", include_str!("testing/watch.sh"), "watch"]).arg(IDLE_SECONDS.to_string());
    shell.arg(server.get_program()).args(server.get_args());
    detach(folder, shell)
}

fn detach(folder: &Folder, mut shell: Command) -> Result<std::process::Child> {
    use std::os::unix::process::CommandExt;
    let log = folder.open_log()?;
    let copy = log.try_clone().map_err(Error::io("open", &folder.log()))?;
    shell.process_group(0).stdin(Stdio::null()).stdout(log).stderr(copy);
    shell.spawn().map_err(Error::io("run /bin/sh in", folder.path()))
}

/// Drops what tests of an earlier run left: killed tests their databases, old migrations their templates.
async fn drop_leftovers(folder: &Folder) -> Result<()> {
    let action = "drop what earlier tests left";
    let mut admin = connect(&folder.url("postgres")).await?;
    let names: Vec<(String, bool)> = sqlx::query_as(
        "SELECT datname::text, datistemplate FROM pg_database WHERE datname ~ '^(test|migrated)_'",
    )
    .fetch_all(&mut admin)
    .await
    .map_err(Error::sql(action))?;
    for (name, is_template) in names {
        // One whose own dropping was cut short can only be dropped, not altered.
        if is_template {
            run(&mut admin, format!("ALTER DATABASE {name} IS_TEMPLATE false"), action).await?;
        }
        run(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)"), action).await?;
    }
    Ok(())
}

/// The migrated template for a folder of migrations, made by whoever comes first.
///
/// The template mark is set last, so a half-migrated database is known and made anew.
async fn template(folder: &Folder, admin: &mut PgConnection, migrations: &Path) -> Result<String> {
    let action = "make the test template";
    let name = format!("migrated_{}", digest(migrations)?);
    sqlx::query("SELECT pg_advisory_lock(hashtext($1))")
        .bind(&name)
        .execute(&mut *admin)
        .await
        .map_err(Error::sql(action))?;
    let ready: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)")
            .bind(&name)
            .fetch_one(&mut *admin)
            .await
            .map_err(Error::sql(action))?;
    if !ready {
        run(admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), action).await?;
        run(admin, format!("CREATE DATABASE {name}"), action).await?;
        migrate(&folder.url(&name), migrations).await?;
        run(admin, format!("ALTER DATABASE {name} IS_TEMPLATE true"), action).await?;
    }
    // A failure above ends the session, and with it the lock.
    sqlx::query("SELECT pg_advisory_unlock(hashtext($1))")
        .bind(&name)
        .execute(admin)
        .await
        .map_err(Error::sql(action))?;
    Ok(name)
}

async fn migrate(url: &str, migrations: &Path) -> Result<()> {
    let failed = |source| Error::Migrate { path: migrations.to_owned(), source };
    let migrator = Migrator::new(migrations).await.map_err(failed)?;
    let mut session = connect(url).await?;
    // `run` takes the session by a trait whose bound no spawned task can meet; this is what it calls.
    migrator.run_direct(None, &mut session, false).await.map_err(failed)?;
    // Cloning refuses while a session is open on the template.
    session.close().await.map_err(Error::sql("close the template's session"))
}

/// A hash over the migrations' names and contents, short enough for a database name.
fn digest(migrations: &Path) -> Result<String> {
    let entries = fs::read_dir(migrations).map_err(Error::io("read the migrations in", migrations))?;
    let mut files: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        let content = fs::read(&path).map_err(Error::io("read", &path))?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        for part in [name, content.as_slice()] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}
