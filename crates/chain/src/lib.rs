//! Talks to EVM chains through alloy: contract bindings, reads, signing, broadcast, transaction receipts, events and
//! error classes. Knows no database; what it is asked and what it answers are `sluice-core`'s words.

pub mod actions;
mod bindings;
pub mod calls;
mod decode;
pub mod deploy;
mod endpoint;
mod error;
pub mod events;
pub mod limits;
pub mod reads;
mod revert;
mod rpc;
pub mod send;
pub mod signer;
pub mod simulate;

pub use error::{ChainError, Class};
pub use revert::{Revert, RevertKind};
pub use rpc::{At, Chain, ChainConfig, Finality, GasLimits, Head, TxPlace, TxReceipt};
