//! Doubts: two nodes, claims from many clients, and everything that can go wrong, drawn from a seed. Afterwards an
//! auditor compares what clients were told, what the chain did and what the log says.

pub mod chaos;
pub mod frozen;
pub mod node;

mod audit;
mod client;
mod clock;
mod commands;
mod fleet;
mod ground;
mod on_chain;
mod postgres_proxy;
mod records;
mod report;
mod rpc_proxy;
mod schedule;
mod seed;
mod workload;
