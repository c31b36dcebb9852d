//! What can go wrong in the engine, and what follows from it.

use sluice_core::log::entry::EntryError;
use sluice_core::state::apply::ApplyError;

/// An engine error.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another process leads: this one must exit, because it may believe things that are no longer so.
    #[error("another node leads since epoch {0} was passed; this process exits")]
    Fenced(u64),
    /// An entry cannot follow from State.
    #[error("the log and this node's state contradict each other; the node stops")]
    Corrupt(#[from] ApplyError),
    /// A row is no entry.
    #[error("a log row cannot be read")]
    Entry(#[from] EntryError),
    /// The database.
    #[error("the database failed")]
    Store(#[from] sluice_store::Error),
    /// An append that did not take place for certain.
    #[error("the append is not certain")]
    Append(#[source] sluice_store::AppendError),
    /// A chain.
    #[error("the chain could not be reached or refused")]
    Chain(#[from] sluice_chain::ChainError),
    /// A key.
    #[error("a key of this node cannot sign")]
    Key(#[from] sluice_chain::signer::KeyError),
    /// A snapshot.
    #[error("the snapshot {name} cannot be used")]
    Snapshot {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: sluice_snapshot::OpenError,
    },
    /// A snapshot that does not hold what State says it holds.
    #[error("the snapshot does not answer")]
    Proof(#[from] sluice_snapshot::SnapshotError),
    /// The configuration.
    #[error("{0}")]
    Config(String),
    /// Too much is looked up at the door, or was in vain for whoever asks; he comes back.
    #[error("too many signatures are looked up now")]
    LookUpsFull,
    /// The part that was to answer has stopped.
    #[error("the node is stopping")]
    Stopping,
    /// A request that carried other questions too.
    #[error(transparent)]
    Together(std::sync::Arc<Self>),
    /// Something only a bug or a stolen key explains.
    #[error("incident: {0}")]
    Incident(String),
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again after a short wait.
    Retry,
    /// The process must exit: going on could only do harm.
    Exit,
    /// Somebody must look; trying again does no harm.
    Bug,
}

impl EngineError {
    /// Whether the database only could not be asked at the moment, and nothing was written: no reason to end a term, of which
    /// the lease decides.
    pub(crate) fn is_no_answer(&self) -> bool {
        matches!(self, Self::Store(error) if error.class() == sluice_store::Class::Retry)
    }

    /// What follows.
    pub fn class(&self) -> Class {
        match self {
            Self::Together(error) => error.class(),
            Self::Fenced(_) | Self::Corrupt(_) | Self::Entry(_) | Self::Incident(_) => Class::Exit,
            Self::Append(error) if error.class() == sluice_store::Class::Bug => Class::Exit,
            Self::Store(error) if error.class() == sluice_store::Class::Bug => Class::Exit,
            Self::Store(_) | Self::Append(_) | Self::Chain(_) | Self::LookUpsFull | Self::Stopping => {
                Class::Retry
            }
            Self::Key(_) | Self::Snapshot { .. } | Self::Proof(_) | Self::Config(_) => Class::Bug,
        }
    }
}
