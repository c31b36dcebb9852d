//! Evidence: what the log proves, for those who do not trust its keeper. Everything here reads, from a database or from an
//! exported file, and checks what it reads.
//!
//! [`export`] copies a log; [`Replay`] recomputes leaves, roots and State and compares them with what was signed;
//! [`trace`] goes from a payment back to the intention; [`audit`] decides claims again; [`fold`] reads the log by rules of
//! its own; [`witness`] replays live.

pub mod audit;
pub mod export;
pub mod fold;
pub mod late;
mod replay;
mod source;
pub mod standing;
pub mod trace;
pub mod witness;

use std::fmt;
use std::path::PathBuf;

use sluice_core::ids::Seq;
use sluice_core::log::note::NoteError;
use sluice_core::refusal::Code;

pub use replay::{Replay, Verified, verify};
pub use source::{CheckpointRow, Kept, LogSource, PAGE_ROWS, Page, Pages, Row, Watcher};

/// Whether a refusal was made at a gate, so that its entry names the rule sets in force there.
const fn is_of_gate(code: Code) -> bool {
    matches!(
        code,
        Code::RuleRefused
            | Code::UnderReview
            | Code::PolicyError
            | Code::AttestationMissing
            | Code::AttestationRefused
            | Code::RulesNotInForce
            | Code::FactsTooLarge
    )
}

/// Where in the log something is wrong: exactly, or as far as signatures tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first position it may be.
    pub from: Seq,
    /// The last position it may be.
    pub to: Seq,
}

impl Place {
    /// One position.
    pub const fn at(seq: Seq) -> Self {
        Self { from: seq, to: seq }
    }

    /// Whether it may be this position.
    pub const fn contains(&self, seq: Seq) -> bool {
        self.from <= seq && seq <= self.to
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "position {}", self.from)
        } else {
            write!(f, "positions {} to {}", self.from, self.to)
        }
    }
}

/// Why nothing is proved.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The log is not what was signed.
    #[error("the log was changed at {place}: {why}")]
    Changed {
        /// Where.
        place: Place,
        /// How that shows.
        why: String,
    },
    /// A note is not what it should be.
    #[error("the checkpoint of {size} entries cannot be taken")]
    Note {
        /// The entries it says it covers.
        size: Seq,
        /// Why.
        #[source]
        source: NoteError,
    },
    /// The database.
    #[error("the database cannot be read")]
    Store(#[from] sluice_store::Error),
    /// A file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no export.
    #[error("{} is no export of a log: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What was asked for is not in the log.
    #[error("{0}")]
    NotFound(String),
}

impl EvidenceError {
    pub(crate) fn changed(place: Place, why: impl Into<String>) -> Self {
        Self::Changed { place, why: why.into() }
    }

    /// Where the log was changed, if that is what is wrong.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Changed { place, .. } => Some(*place),
            _ => None,
        }
    }
}
