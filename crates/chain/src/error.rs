//! What can go wrong between us and a chain, and what the caller should do about it.

use std::time::Duration;

use alloy::transports::TransportError;
use alloy_primitives::{Address, B256};
use sluice_core::ids::ChainId;

use crate::revert::Revert;

/// What a caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Ask again soon: the same request may succeed.
    Retry,
    /// Something must change first: funds, fees, a configuration, an operator's attention.
    Wait,
    /// It will never succeed as it stands.
    Final,
    /// It should not be possible.
    Bug,
}

/// Why a chain could not be asked, or what it answered.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The configuration cannot be used.
    #[error("chain {chain_id}: {problem}")]
    Config {
        /// The chain it was meant for.
        chain_id: ChainId,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The RPC serves another chain than the configuration says.
    #[error(
        "{url} serves chain {found}, but the configuration says {expected}; correct `chain_id` or the URL"
    )]
    WrongChain {
        /// The URL, without credentials.
        url: String,
        /// As configured.
        expected: ChainId,
        /// As answered.
        found: ChainId,
    },
    /// The node could not be reached, or answered with an error.
    #[error("{method} at {url} failed")]
    Rpc {
        /// The JSON-RPC method.
        method: &'static str,
        /// The URL, without credentials.
        url: String,
        /// What the transport or the node said.
        #[source]
        source: TransportError,
    },
    /// No answer in time.
    #[error("{method} at {url} gave no answer within {after:?}")]
    TimedOut {
        /// The JSON-RPC method.
        method: &'static str,
        /// The URL, without credentials.
        url: String,
        /// The bound.
        after: Duration,
    },
    /// The outbound limiter has no room within its bound.
    #[error("{method}: the limit of requests a second to {url} left no room; raise it or ask less")]
    Limited {
        /// The JSON-RPC method.
        method: &'static str,
        /// The URL, without credentials.
        url: String,
    },
    /// The two configured RPCs disagree about a final block. One of them is wrong: nothing is final until they agree.
    #[error("the two RPCs disagree about block {number}: {first} and {second}")]
    Disagree {
        /// The height.
        number: u64,
        /// The first one's hash.
        first: B256,
        /// The second one's.
        second: B256,
    },
    /// The chain was reorganised while it was read.
    #[error("block {number} was reorganised away while it was read: {seen} became {now}")]
    Reorganised {
        /// The height.
        number: u64,
        /// The hash seen first.
        seen: B256,
        /// The hash there now.
        now: B256,
    },
    /// The node does not have this block (yet).
    #[error("the node has no block {0} yet")]
    NoBlock(u64),
    /// A call reverted.
    #[error("{call} reverted: {revert}")]
    Reverted {
        /// Which call.
        call: &'static str,
        /// Why.
        revert: Revert,
    },
    /// No contract where one is needed.
    #[error("there is no contract at {0} on this chain")]
    NoCode(Address),
    /// The node's answer is not what the interface says.
    #[error("{what} is not what the contract's interface says: {problem}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// More was asked for than the bounds of [`crate::limits`] allow.
    #[error("{0}")]
    TooMuch(String),
    /// A value does not fit the contract's interface.
    #[error("{field} is {value}; the contract takes {expected}")]
    DoesNotFit {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A transaction was not accepted.
    #[error(transparent)]
    Send(#[from] crate::send::SendError),
    /// A key could not be read or used.
    #[error(transparent)]
    Key(#[from] crate::signer::KeyError),
    /// The market asks more than the fee policy pays.
    #[error("the chain asks {asked} wei per gas, and at most {cap} are to be paid; wait, or raise the cap")]
    FeesAboveCap {
        /// Base fee and tip.
        asked: u128,
        /// The policy's cap.
        cap: u128,
    },
    /// A transaction was sent and not mined within the bound. It may still be.
    #[error(
        "transaction {hash} was not mined within {within:?}; it may still be: ask for its receipt before repeating"
    )]
    NotMined {
        /// Its hash.
        hash: B256,
        /// The bound.
        within: Duration,
    },
}

impl ChainError {
    /// What a caller does about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Rpc { source, .. } => rpc_class(source),
            Self::TimedOut { .. } | Self::Limited { .. } => Class::Retry,
            Self::Reorganised { .. } | Self::NoBlock(_) => Class::Retry,
            Self::Disagree { .. } | Self::NotMined { .. } | Self::FeesAboveCap { .. } => Class::Wait,
            Self::Config { .. } | Self::WrongChain { .. } | Self::TooMuch(_) | Self::NoCode(_) => {
                Class::Final
            }
            Self::Reverted { .. } | Self::DoesNotFit { .. } => Class::Final,
            Self::Malformed { .. } => Class::Bug,
            Self::Send(error) => error.class(),
            Self::Key(_) => Class::Final,
        }
    }

    /// Whether another attempt, perhaps at the other RPC, may bring an answer.
    pub(crate) fn is_worth_another_attempt(&self) -> bool {
        match self {
            Self::Rpc { source, .. } => rpc_class(source) == Class::Retry,
            Self::TimedOut { .. } | Self::NoBlock(_) => true,
            _ => false,
        }
    }

    /// The node's own words, where it answered with an error.
    pub(crate) fn response(&self) -> Option<&alloy::rpc::json_rpc::ErrorPayload> {
        match self {
            Self::Rpc { source, .. } => source.as_error_resp(),
            _ => None,
        }
    }
}

/// A node's error response is its verdict, unless it speaks of load or of state it does not have (yet).
fn rpc_class(source: &TransportError) -> Class {
    const METHOD_NOT_FOUND: i64 = -32601;
    const PASSING: [&str; 7] =
        ["not found", "unknown block", "timeout", "timed out", "try again", "syncing", "missing trie node"];
    let Some(payload) = source.as_error_resp() else { return Class::Retry };
    let message = payload.message.to_lowercase();
    let passes = payload.is_retry_err() || PASSING.iter().any(|text| message.contains(text));
    if passes && payload.code != METHOD_NOT_FOUND { Class::Retry } else { Class::Final }
}
