//! What can go wrong with a server of our own, said so that the reader knows what to do.

use std::path::{Path, PathBuf};

/// Why an embedded server could not be started, found or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not on this machine, or too old.
    #[error("{program} was not found ({looked}). {remedy}")]
    NotInstalled {
        /// What was looked for.
        program: &'static str,
        /// Where it was looked for, and what was found instead.
        looked: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A living process owns this folder's server.
    #[error(
        "{} is in use by another running process (pid {owner}); stop it, give another folder, or connect to {url}",
        dir.display()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The owner's process id as it wrote it down; 0 when it has not yet.
        owner: u32,
        /// Where the running server answers.
        url: String,
    },
    /// The folder holds the data of a PostgreSQL that is not installed.
    #[error(
        "{} holds a cluster of PostgreSQL {found}, and the installed versions are {installed}; install that version or move the folder away",
        dir.display()
    )]
    Version {
        /// The data folder.
        dir: PathBuf,
        /// The major version that wrote it.
        found: String,
        /// The major versions on this machine.
        installed: String,
    },
    /// A server of a dead owner did not end, not even when killed.
    #[error("a server left behind on {} still runs and could not be stopped; end it by hand", dir.display())]
    LeftBehind {
        /// The folder.
        dir: PathBuf,
    },
    /// The server ended, or did not answer in time.
    #[error("{program} did not start: {reason}\n{log}")]
    NotStarted {
        /// Which server.
        program: &'static str,
        /// Its exit status, or the bound it exceeded.
        reason: String,
        /// The last lines of its log.
        log: String,
    },
    /// We are root, PostgreSQL refuses root, and no other account serves.
    #[error(
        "PostgreSQL refuses to run as root and /etc/passwd names neither `postgres` nor `nobody`; run as an ordinary user"
    )]
    NoAccount,
    /// A database name that would need quoting.
    #[error("database name {name:?} must be 1 to 63 of a-z, 0-9 and _, beginning with a letter")]
    BadName {
        /// The name as given.
        name: String,
    },
    /// A file or process operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The cluster answered with an error.
    #[error("cannot {action}: {source}")]
    Sql {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// The migrations of a test template could not be read or applied.
    #[error("cannot migrate the test template from {}: {source}", path.display())]
    Migrate {
        /// The migrations' folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
}

impl Error {
    /// Turns an I/O error into ours, keeping what was tried and on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Turns an SQL error into ours, keeping what was tried.
    pub(crate) fn sql(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Sql { action, source }
    }
}
