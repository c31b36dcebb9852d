//! Attestations, seen from outside the crate.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod alter;
mod answers;
mod common;
mod data;
mod golden;
mod npm;
mod order;
mod sign_protocol;
mod subjects;
