//! The store against a real PostgreSQL with fsync on: constraints, numbering, fencing, lost answers.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod append;
mod dumps;
mod faults;
mod intake;
mod leader;
mod notices;
mod proxy;
mod records;
mod rotated;
mod schema;
mod sealed;
mod spending;
mod support;
