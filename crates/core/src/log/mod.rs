//! The log: entries in one total order, the Merkle tree over them, signed heads, and what a claimant keeps of it.

pub mod entry;
pub mod merkle;
pub mod note;
pub mod receipt;
