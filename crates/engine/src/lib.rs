//! What acts: intake, verification, sequencer, settlement, watcher, standby. Each is a `tick()` that tests step and a
//! loop around it; what a tick needs it finds in the log, the snapshots and the chain, so that first run and recovery
//! are one path.

pub mod arrivals;
pub mod attestations;
pub mod clock;
pub mod erasure;
pub mod error;
pub mod evidence;
pub mod facts;
pub mod feed;
pub mod follower;
pub mod gate_signer;
pub mod intake;
pub mod node;
mod recent;
pub mod reconcile;
pub mod recover;
pub mod sequencer;
pub mod settlement;
pub mod snapshots;
pub mod standby;
mod together;
pub mod verify;
pub mod waiting_room;
pub mod watcher;
