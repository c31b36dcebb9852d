//! Lists become snapshots become proofs.
//!
//! A **list** is what somebody delivers: CSV, compressed or not, or Parquet. [`build`](build::build) reads it under strict rules,
//! all or nothing, and writes a **snapshot**: one immutable file, sorted, Merkle-rooted, named by its root.
//! [`Snapshot::open`] maps that file and answers everything else from it: entitlements by index and by address, proofs
//! of inclusion and absence, sums of ranges and the hashes the Distributor's settle calls need. No async runtime (but for
//! lists in object stores, behind features) and no database, so the crate serves as a library of its own.
//!
//! Three tree formats are written and read: Sluice's `native` one, which the Distributor verifies ([`tree`]), and two
//! of its peers' byte for byte ([`foreign`]): OpenZeppelin's `standard-v1` and Uniswap's merkle-distributor.
//!
//! The bytes of the file are described in `FORMAT.md` beside this crate's manifest.

pub mod build;
pub mod diff;
pub mod export;
mod file;
pub mod foreign;
mod keccak;
pub mod limits;
pub mod list;
mod order;
pub mod pages;
pub mod proof;
mod snapshot;
pub mod tree;
mod verify;

pub use build::{BuildError, BuildOptions, Progress, Report, Stage, build};
pub use file::{Format, OpenError};
pub use proof::{Absence, DenseProof, Proof, ProofError, SparseProof};
pub use snapshot::{Snapshot, SnapshotError};
pub use verify::VerifyError;
