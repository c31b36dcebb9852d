//! What Sluice remembers: every SQL statement, rows to domain values and back, short transactions.
//!
//! The tables and their constraints are in `migrations/`; what the schema cannot say is in this crate's README. Each
//! write is one statement, which is its own transaction: its commit travels with it, so nothing waits for this process
//! while a row is locked. Every call is bounded in time, and every error says by its [`Class`] what may be done.

mod attempt;
mod attestation;
mod checkpoint;
mod columns;
mod dump;
mod erasure;
mod error;
mod evidence;
mod fact;
mod intake;
mod leader;
mod ledger;
mod limits;
mod log;
mod node;
mod pour;
mod project;
mod rewrap;
mod seal;
mod snapshot;
mod spending;
mod store;

pub use attempt::Attempt;
pub use attestation::{AboutWhom, NewAttestation, StoredAttestation};
pub use checkpoint::Checkpoint;
pub use dump::DumpAt;
pub use erasure::{Destroys, Erased, ErasureOrder, OpenErasure, Whom};
pub use error::{AppendError, Class, Error, Result};
pub use evidence::WholeRow;
pub use fact::KeptFacts;
pub use intake::{Cursor, IntakeOutcome, IntakeRow, IntakeWriter, NewIntake};
pub use leader::{Append, Appended, LeaderSession, Taken};
pub use limits::{
    APPEND_BYTES_MAX, APPEND_ROWS_MAX, ATTESTATIONS_GROUP_MAX, DUMP_PAGE_BYTES, DUMP_PAGES_MAX,
    ERASED_BYTES_MAX, FACT_BYTES_MAX, REWRAPPED_ROWS,
};
pub use log::{Head, LogRow, StoredEntry};
pub use node::Node;
pub use pour::Poured;
pub use project::{ApiKey, ApiKeyId, Project};
pub use rewrap::{RewrapAt, Rewrapped};
pub use seal::SealKey;
pub use snapshot::StoredSnapshot;
pub use spending::Spending;
pub use store::{Options, Store};
