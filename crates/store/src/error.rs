//! What went wrong, and above all: whether something may have been written.

use sluice_core::ids::{Epoch, Seq, StreamId};
use sqlx::error::DatabaseError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What may be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing was written; the same call may succeed in a moment.
    Retry,
    /// It may have been written. Nobody is answered before it was read again on the current primary.
    Unknown,
    /// Another leader has taken over; this process stops deciding.
    Fenced,
    /// Nothing was written, and trying again will not help: configuration, rights, or a wrong demand.
    Final,
    /// What must not happen: a violated constraint or a row that is not what was written. Stop and page.
    Bug,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, is overloaded, or gave up on the statement; nothing was written.
    #[error("cannot {action} now: {source}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// The connection ended, or the time did, while a write was under way.
    #[error("whether it was possible to {action} is not known, the answer was lost: {source}")]
    Unknown {
        /// What was tried.
        action: &'static str,
        /// How the answer was lost.
        #[source]
        source: sqlx::Error,
    },
    /// A constraint of the schema refused the row.
    #[error("cannot {action}: the schema's {constraint} refuses it: {source}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The constraint's name, as far as the database told it.
        constraint: String,
        /// The database's words.
        #[source]
        source: sqlx::Error,
    },
    /// The database refused the statement itself (rights, missing table, wrong version).
    #[error("cannot {action}: {source}")]
    Sql {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// A stored value is none that this crate writes.
    #[error("the stored {what} is not valid: {reason}")]
    Corrupt {
        /// Table and column.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A number that the column cannot hold.
    #[error("{what} {value} does not fit its column; the largest is {max}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u128,
        /// The column's largest.
        max: u128,
    },
    /// More at once than the bound allows.
    #[error("{given} {what} at once; at most {max} are taken")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much was given.
        given: usize,
        /// The bound.
        max: usize,
    },
    /// Another value stands under this key.
    #[error("{what} exists with another {differs}")]
    Exists {
        /// What exists.
        what: &'static str,
        /// In what it differs.
        differs: &'static str,
    },
    /// What is to be read or written is sealed, and this process was given no seal key.
    #[error("{what} are sealed, and no seal key was given")]
    NoSealKey {
        /// What is sealed.
        what: &'static str,
    },
    /// Another seal key than ours sealed it.
    #[error(
        "{what} are sealed under the seal key {under}, this process has {given}; give every node of the stream the same seal_key"
    )]
    SealedOtherwise {
        /// What is sealed.
        what: &'static str,
        /// The key's name.
        under: String,
        /// Our key's name.
        given: String,
    },
    /// An earlier call of this session lost its answer, or was abandoned; a new session is needed.
    #[error("this leader's session has ended; open a new one and take an epoch with it")]
    SessionEnded,
    /// This session has not taken an epoch yet.
    #[error("this leader's session has taken no epoch")]
    NoEpoch,
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl Error {
    /// What may be done about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } | Self::SessionEnded => Class::Retry,
            Self::Unknown { .. } => Class::Unknown,
            Self::Sql { .. }
            | Self::Migrate(_)
            | Self::TooMuch { .. }
            | Self::Exists { .. }
            | Self::NoSealKey { .. }
            | Self::SealedOtherwise { .. } => Class::Final,
            Self::Refused { .. } | Self::Corrupt { .. } | Self::OutOfRange { .. } | Self::NoEpoch => {
                Class::Bug
            }
        }
    }

    /// Classifies the failure of a statement that writes nothing.
    pub(crate) fn reading(action: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| match fate(&source) {
            Fate::Lost | Fate::Transient => Self::Unavailable { action, source },
            Fate::Constraint(constraint) => Self::Refused { action, constraint, source },
            Fate::Rejected => Self::Sql { action, source },
        }
    }

    /// Classifies the failure of a statement that writes.
    pub(crate) fn writing(action: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| match fate(&source) {
            Fate::Lost => Self::Unknown { action, source },
            _ => Self::reading(action)(source),
        }
    }

    /// The violated unique constraint, if that is what it was.
    pub(crate) fn unique_violation(&self) -> Option<&str> {
        match self {
            Self::Refused { constraint, source, .. } => {
                let unique = source.as_database_error().is_some_and(DatabaseError::is_unique_violation);
                unique.then_some(constraint.as_str())
            }
            _ => None,
        }
    }

    /// Whether the server gave up waiting for a lock.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        let Self::Unavailable { source, .. } = self else { return false };
        source.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "55P03")
    }
}

/// Why an append did not take place for certain.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream has another epoch: somebody took over. Nothing was written, and nothing of this epoch ever will be.
    #[error("epoch {epoch} of stream {} is over: another leader has taken the log", stream.0)]
    Fenced {
        /// The log.
        stream: StreamId,
        /// The epoch that is over.
        epoch: Epoch,
    },
    /// The position before the first of the group is not there: an earlier append failed, or the caller miscounted.
    /// Nothing was written.
    #[error("position {first} of stream {} does not follow the last one", stream.0)]
    Gap {
        /// The log.
        stream: StreamId,
        /// The group's first position.
        first: Seq,
    },
    /// It may have been written. Take a new epoch, then read the log: what is not there then never will be.
    #[error("whether the append was written is not known: {0}")]
    Unknown(#[source] sqlx::Error),
    /// A row with this key exists. Duplicates are found before the append, so this is a bug; nothing was written.
    #[error("the append violates {constraint}: {source}")]
    Conflict {
        /// The unique constraint.
        constraint: String,
        /// The database's words.
        #[source]
        source: sqlx::Error,
    },
    /// Anything else. Nothing was written.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl AppendError {
    /// What may be done about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Fenced { .. } => Class::Fenced,
            Self::Unknown(_) => Class::Unknown,
            Self::Gap { .. } | Self::Conflict { .. } => Class::Bug,
            Self::Failed(error) => error.class(),
        }
    }

    /// Sorts the failure of a fenced write.
    pub(crate) fn of(error: Error) -> Self {
        match error {
            Error::Unknown { source, .. } => Self::Unknown(source),
            Error::Refused { constraint, source, .. }
                if source.as_database_error().is_some_and(DatabaseError::is_unique_violation) =>
            {
                Self::Conflict { constraint, source }
            }
            other => Self::Failed(other),
        }
    }
}

/// What became of a failed statement.
enum Fate {
    /// The answer was lost; it may have been carried out.
    Lost,
    /// Not carried out, and worth another try.
    Transient,
    /// Not carried out: this constraint forbids it.
    Constraint(String),
    /// Not carried out, and it never will be.
    Rejected,
}

fn fate(error: &sqlx::Error) -> Fate {
    match error {
        sqlx::Error::Database(answer) => fate_by_code(&answer.code().unwrap_or_default(), || {
            answer.constraint().unwrap_or(answer.message()).to_owned()
        }),
        // The statement never left this process.
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Fate::Transient,
        sqlx::Error::Configuration(_) | sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => {
            Fate::Rejected
        }
        // Io, Tls, Protocol, an ended worker; and answers that could not be read, which came after the deed.
        _ => Fate::Lost,
    }
}

/// By SQLSTATE (PostgreSQL manual, appendix A). An error ends its transaction, so it is certain that nothing was
/// written, except when the session is being ended: a commit may then be done and only its replication still awaited.
fn fate_by_code(code: &str, constraint: impl FnOnce() -> String) -> Fate {
    match code {
        // Admin shutdown, crash shutdown, database dropped; connection exceptions.
        "57P01" | "57P02" | "57P04" => Fate::Lost,
        _ if code.starts_with("08") => Fate::Lost,
        // Integrity constraint violation; restrict_violation is ours (refuse_change).
        _ if code.starts_with("23") => Fate::Constraint(constraint()),
        // Transaction rollback (deadlock, serialization), resources, operator intervention (cancelled, starting up),
        // object in use or lock not available, a primary that became a standby, idle-in-transaction time-out.
        _ if ["40", "53", "57", "55", "58"].iter().any(|class| code.starts_with(class)) => Fate::Transient,
        "25006" | "25P03" => Fate::Transient,
        _ => Fate::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lost_answer_leaves_doubt_about_a_write() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(Error::writing("append")(lost()).class(), Class::Unknown);
        assert_eq!(Error::reading("read")(lost()).class(), Class::Retry);
        assert_eq!(Error::writing("append")(sqlx::Error::PoolTimedOut).class(), Class::Retry);
        assert_eq!(Error::writing("append")(sqlx::Error::WorkerCrashed).class(), Class::Unknown);
        assert_eq!(Error::writing("append")(sqlx::Error::RowNotFound).class(), Class::Unknown);
    }

    #[test]
    fn a_session_that_is_being_ended_may_have_committed() {
        let class = |code: &str| match fate_by_code(code, String::new) {
            Fate::Lost => "lost",
            Fate::Transient => "transient",
            Fate::Constraint(_) => "constraint",
            Fate::Rejected => "rejected",
        };
        assert_eq!(class("57P01"), "lost");
        assert_eq!(class("08006"), "lost");
        assert_eq!(class("57014"), "transient");
        assert_eq!(class("40P01"), "transient");
        assert_eq!(class("55P03"), "transient");
        assert_eq!(class("23505"), "constraint");
        assert_eq!(class("23001"), "constraint");
        assert_eq!(class("42P01"), "rejected");
    }
}
