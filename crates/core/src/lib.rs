//! What Sluice decides. Amounts, ids, limits; the log's entries and the state machine they drive; planner and
//! sender as pure steps. No I/O, no clock, no async runtime: everything from outside comes in as a value.

pub mod amount;
pub mod command;
pub mod decide;
pub mod entitlement;
pub mod fees;
pub mod ids;
pub mod limits;
pub mod log;
pub mod planner;
pub mod refusal;
pub mod sample;
pub mod sender;
pub mod sequencer;
pub mod signing;
pub mod state;
