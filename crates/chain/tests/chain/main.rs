//! Against real anvils with the committed contracts: every read, event, call, signature and refusal.

// A test says what it expects by panicking, and so do the functions it shares with others.
#![allow(clippy::unwrap_used)]

mod actions;
mod deploy;
mod events;
mod head;
mod powers;
mod proxy;
mod reads;
mod revocations;
mod send;
mod settle;
mod share;
mod signatures;
mod tree;
mod world;
