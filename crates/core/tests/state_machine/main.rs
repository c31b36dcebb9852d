//! The state machine from outside: inputs in, entries out, and what State says of them. Every group is decided on the
//! decider's clone, replayed from its encoded bytes on a follower, and compared by state hash.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "tests say what they expect by panicking"
)]

mod ahead;
mod auditor;
mod authorities;
mod batches;
mod brakes;
mod claims;
mod commands;
mod corrections;
mod dumps;
mod edited;
mod erasures;
mod events;
mod gates;
mod golden;
mod guards;
mod holds;
mod institutions;
mod lookup;
mod mandates;
mod persons;
mod properties;
mod rule_sets;
mod simulation;
mod time;
mod voids;
mod world;
