//! Servers that Sluice starts for itself: a private PostgreSQL cluster and a private anvil.
//!
//! `sluice demo`, `sluice serve --dev`, the tests and the chaos harness use them; production does not. Both
//! run from what is installed on this machine, belong to the process that started them and end with it: by
//! drop, by Ctrl-C, and by the kernel's parent-death signal when that process is killed. What a crash leaves
//! behind is found again by the next start on the same folder. Linux only (`flock`, `/proc`, `prctl`).
//!
//! The one server that outlives its starter is the cluster shared by tests ([`testing`]), because nextest
//! runs each test in a process of its own and a cluster per test would cost a second each.

mod account;
mod anvil;
mod error;
mod lock;
mod postgres;
mod process;
pub mod testing;

pub use anvil::{Anvil, AnvilOptions, Mining};
pub use error::Error;
pub use postgres::{Postgres, PostgresOptions};

/// A result whose error is this crate's.
pub type Result<T> = std::result::Result<T, Error>;
