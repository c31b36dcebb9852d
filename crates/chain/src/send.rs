//! Broadcasting signed bytes, and what a node's refusal means.
//!
//! A refusal never proves that nothing was sent: an earlier attempt, or another node, may have the bytes. What is known
//! is what the chain says afterwards.

use alloy::transports::{TransportError, TransportErrorKind};
use alloy_primitives::{B256, keccak256};
use futures::future::join_all;
use serde_json::json;

use crate::endpoint::{Endpoint, Share};
use crate::error::{ChainError, Class};
use crate::rpc::Chain;

mod messages;
#[cfg(test)]
mod tests;

pub use messages::{classify, node_cap};

/// A node has the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The transaction's hash.
    pub tx_hash: B256,
    /// Whether it had them before.
    pub was_known: bool,
}

/// Why a node did not take a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It has it already. [`Chain::broadcast`] reports this as success.
    AlreadyKnown,
    /// The nonce is used up: this transaction or another one of the account was mined.
    NonceTooLow,
    /// A nonce before it is missing, and this node keeps no gaps.
    NonceTooHigh,
    /// It offers less than the node or its full mempool takes.
    Underpriced,
    /// Another transaction holds the nonce, and this one does not raise its fees enough.
    ReplacementUnderpriced,
    /// The account cannot pay for it.
    InsufficientFunds,
    /// Its fee cap is below the base fee.
    FeeCapTooLow,
    /// Its whole fee is above the node's own safety limit (`--rpc.txfeecap`).
    FeeAboveNodeCap,
    /// Its gas limit is above the transaction's or block's cap, or below what its bytes cost.
    GasLimit,
    /// The mempool is full, for everyone or for this account.
    PoolFull,
    /// The node simulated it, and it reverts.
    Reverted,
    /// It is not a transaction this chain takes: signature, type, size, chain id.
    Rejected,
    /// The node asks us to slow down.
    RateLimited,
    /// The node was not reached, so it has nothing of this request.
    Unavailable,
    /// No usable answer, or one nobody knows: it may have been accepted.
    Ambiguous,
}

impl Outcome {
    /// What a sender does about it.
    pub fn class(self) -> Class {
        match self {
            Self::AlreadyKnown | Self::RateLimited | Self::Unavailable | Self::Ambiguous => Class::Retry,
            Self::NonceTooHigh | Self::PoolFull => Class::Retry,
            Self::Underpriced | Self::ReplacementUnderpriced | Self::FeeCapTooLow => Class::Wait,
            Self::InsufficientFunds | Self::FeeAboveNodeCap => Class::Wait,
            Self::NonceTooLow | Self::GasLimit | Self::Reverted => Class::Final,
            Self::Rejected => Class::Bug,
        }
    }

    /// Whether the node may have the transaction all the same.
    pub fn may_be_accepted(self) -> bool {
        matches!(self, Self::AlreadyKnown | Self::Ambiguous | Self::NonceTooLow)
    }
}

/// A transaction that was not accepted.
#[derive(Debug, thiserror::Error)]
#[error("transaction {tx_hash} was not accepted: {outcome:?} ({message})")]
pub struct SendError {
    /// Which.
    pub tx_hash: B256,
    /// What it means.
    pub outcome: Outcome,
    /// The node's words.
    pub message: String,
    /// The whole answer.
    #[source]
    pub source: Box<ChainError>,
}

impl SendError {
    /// What a sender does about it.
    pub fn class(&self) -> Class {
        self.outcome.class()
    }
}

impl Chain {
    /// Sends bytes that were committed before. Each configured RPC gets them, so that one sick node delays nothing;
    /// one acceptance is enough. Sending them again does no harm.
    ///
    /// # Errors
    /// The most telling refusal, when no node took them.
    pub async fn broadcast(&self, raw: &[u8]) -> Result<Broadcast, SendError> {
        let tx_hash = keccak256(raw);
        let mut accepted: Option<Broadcast> = None;
        let mut refused: Option<SendError> = None;
        let sends = self.endpoints().iter().map(|endpoint| send_to(endpoint, raw, tx_hash));
        for answer in join_all(sends).await {
            match answer {
                Ok(now) => accepted = Some(accepted.filter(|before| !before.was_known).unwrap_or(now)),
                Err(now) => refused = Some(more_telling(refused, now)),
            }
        }
        match (accepted, refused) {
            (Some(accepted), _) => Ok(accepted),
            (None, Some(refused)) => Err(refused),
            (None, None) => unreachable!("a chain has at least one endpoint"),
        }
    }
}

/// A node that was not reached says less than one that answered; doubt outweighs a clear no.
fn more_telling(before: Option<SendError>, now: SendError) -> SendError {
    let weight = |error: &SendError| match error.outcome {
        Outcome::Unavailable => 0,
        Outcome::RateLimited => 1,
        Outcome::Ambiguous => 3,
        _ => 2,
    };
    match before {
        Some(before) if weight(&before) >= weight(&now) => before,
        _ => now,
    }
}

async fn send_to(endpoint: &Endpoint, raw: &[u8], tx_hash: B256) -> Result<Broadcast, SendError> {
    let bytes = alloy_primitives::hex::encode_prefixed(raw);
    let answer: Result<B256, ChainError> =
        endpoint.request(Share::Own, "eth_sendRawTransaction", json!([bytes])).await;
    let error = match answer {
        Ok(_) => return Ok(Broadcast { tx_hash, was_known: false }),
        Err(error) => error,
    };
    let outcome = outcome_of(&error);
    if outcome == Outcome::AlreadyKnown {
        return Ok(Broadcast { tx_hash, was_known: true });
    }
    let message = error.response().map_or_else(|| error.to_string(), |payload| payload.message.to_string());
    Err(SendError { tx_hash, outcome, message, source: Box::new(error) })
}

fn outcome_of(error: &ChainError) -> Outcome {
    match error {
        ChainError::Limited { .. } => Outcome::RateLimited,
        ChainError::Rpc { source, .. } => match source {
            TransportError::ErrorResp(payload) => classify(payload.code, &payload.message),
            TransportError::Transport(kind) => transport_outcome(kind),
            // The request itself could not be written: nothing left.
            TransportError::SerError(_) | TransportError::LocalUsageError(_) => Outcome::Rejected,
            _ => Outcome::Ambiguous,
        },
        _ => Outcome::Ambiguous,
    }
}

/// Only a refused connection proves that nothing arrived; a proxy's 5xx may follow a delivered request.
fn transport_outcome(kind: &TransportErrorKind) -> Outcome {
    match kind.as_http_error() {
        Some(http) if http.status == 429 => Outcome::RateLimited,
        Some(_) => Outcome::Ambiguous,
        None => match kind
            .as_custom()
            .and_then(|error| error.downcast_ref::<alloy::transports::http::reqwest::Error>())
        {
            Some(error) if error.is_connect() => Outcome::Unavailable,
            _ => Outcome::Ambiguous,
        },
    }
}
