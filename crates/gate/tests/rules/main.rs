//! Rule sets from the outside: what they refuse to be, what they permit, and what people are told.

// A helper that cannot make its facts panics, like the test that needs them.
#![allow(clippy::unwrap_used)]

mod building;
mod changes;
mod common;
mod deciding;
mod sample;
mod tables;
