//! What a snapshot must be, from the outside: lists go in, files and proofs come out.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod bad_lists;
#[cfg(feature = "parquet")]
mod columnar;
mod common;
mod corruption;
mod duplicates;
mod file_format;
mod foreign;
mod native_tree;
mod npm;
mod outputs;
#[cfg(feature = "http")]
mod remote;
mod sample_data;
mod sources;
mod uni;
