//! What a snapshot must be, from the outside: lists go in, files and proofs come out.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod bad_lists;
mod common;
mod corruption;
mod duplicates;
mod file_format;
mod foreign;
mod native_tree;
mod npm;
mod outputs;
mod sample_data;
mod sources;
mod uni;
