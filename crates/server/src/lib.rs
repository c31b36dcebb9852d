//! Listens: the HTTP API, the command line, configuration and telemetry of the `sluice` program. Everything that
//! decides, remembers or acts lies in the crates below; here words from outside become demands, and answers become
//! JSON.

pub mod api_client;
pub mod cli;
pub mod config;
pub mod demo;
pub mod dev;
pub mod http;
pub mod keys;
pub mod memory;
pub mod scenario;
pub mod telemetry;
