//! Talks to EVM chains through alloy: contract bindings, reads, signing, broadcast, transaction receipts, events and
//! error classes. Knows no database; what it is asked and what it answers are `sluice-core`'s words.

pub mod actions;
mod bindings;
pub mod calls;
mod data_cost;
mod decode;
pub mod deploy;
pub mod eas;
mod endpoint;
mod error;
pub mod events;
mod finality;
pub mod limits;
pub mod reads;
mod revert;
mod rpc;
pub mod send;
mod signatures;
pub mod signer;
pub mod simulate;

pub use data_cost::ChainKind;
pub use error::{ChainError, Class};
pub use finality::{Finality, Head};
pub use revert::{Revert, RevertKind};
pub use rpc::{At, Chain, ChainConfig, GasLimits, TxPlace, TxReceipt};
pub use signatures::is_wrapped;
