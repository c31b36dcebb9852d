//! Evidence over a real database: what a superuser changes is caught and its place named; payments are traced back;
//! decisions are made again from the log and the kept facts; a witness refuses what it must.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "tests say what they expect by panicking; the log is made by the state machine's own test world"
)]

#[path = "evidence/audited.rs"]
mod audited;
#[path = "evidence/ground.rs"]
mod ground;
#[path = "../../core/tests/state_machine/institutions.rs"]
mod institutions;
#[path = "../../core/tests/state_machine/lookup.rs"]
mod lookup;
#[path = "evidence/sealed.rs"]
mod sealed;
#[path = "evidence/tampered.rs"]
mod tampered;
#[path = "evidence/traced.rs"]
mod traced;
#[path = "evidence/witnessed.rs"]
mod witnessed;
#[path = "../../core/tests/state_machine/world.rs"]
mod world;
