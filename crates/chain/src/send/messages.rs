//! What nodes say when they refuse a transaction. Codes are not standardised (geth says -32000 for everything), so the
//! words decide. Read from:
//!
//! - geth: <https://github.com/ethereum/go-ethereum/blob/master/core/txpool/errors.go> and
//!   <https://github.com/ethereum/go-ethereum/blob/master/core/error.go>; the fee cap from `internal/ethapi`
//! - reth: <https://github.com/paradigmxyz/reth/blob/main/crates/rpc/rpc-eth-types/src/error/mod.rs>
//! - erigon: <https://github.com/erigontech/erigon/blob/main/txnprovider/txpool/txpoolcfg/txpoolcfg.go>
//! - nethermind, whose older releases say names instead of sentences:
//!   <https://github.com/NethermindEth/nethermind/blob/master/src/Nethermind/Nethermind.TxPool/AcceptTxResult.cs>
//! - anvil: <https://github.com/foundry-rs/foundry/blob/master/crates/anvil/src/eth/error.rs>
//! - besu and rollups, from Chainlink's collection:
//!   <https://github.com/smartcontractkit/chainlink/blob/v2.17.0/core/chains/evm/client/errors.go>

use super::Outcome;

/// What a message that contains the text (in lower case) means. The most specific come first: "replacement transaction
/// underpriced" contains "transaction underpriced".
const MESSAGES: &[(&str, Outcome)] = &[
    // geth, reth, nethermind; erigon; anvil; besu; older nethermind.
    ("already known", Outcome::AlreadyKnown),
    ("existing txn with same hash", Outcome::AlreadyKnown),
    ("already imported", Outcome::AlreadyKnown),
    ("known transaction", Outcome::AlreadyKnown),
    ("alreadyknown", Outcome::AlreadyKnown),
    // geth, reth, erigon, nethermind; anvil, early reth; erigon; geth; older nethermind.
    ("replacement transaction underpriced", Outcome::ReplacementUnderpriced),
    ("insufficient gas price to replace", Outcome::ReplacementUnderpriced),
    ("could not replace existing tx", Outcome::ReplacementUnderpriced),
    ("future transaction tries to replace pending", Outcome::ReplacementUnderpriced),
    ("there is another transaction with same nonce", Outcome::ReplacementUnderpriced),
    ("replacementnotallowed", Outcome::ReplacementUnderpriced),
    // An EIP-7702 authority's nonce is not the sender's.
    ("authority nonce too low", Outcome::Rejected),
    ("nonce too low", Outcome::NonceTooLow),
    ("invalid transaction nonce", Outcome::NonceTooLow),
    ("oldnonce", Outcome::NonceTooLow),
    ("nonce too high", Outcome::NonceTooHigh),
    ("noncegap", Outcome::NonceTooHigh),
    ("nonce too far in the future", Outcome::NonceTooHigh),
    ("noncetoofarinfuture", Outcome::NonceTooHigh),
    // geth, erigon, reth; besu.
    ("exceeds the configured cap", Outcome::FeeAboveNodeCap),
    ("transaction fee cap exceeded", Outcome::FeeAboveNodeCap),
    // All; Arbitrum.
    ("max fee per gas less than block base fee", Outcome::FeeCapTooLow),
    ("maxfeepergas too low", Outcome::FeeCapTooLow),
    ("feetoolow, maxfeepergas", Outcome::FeeCapTooLow),
    // geth, reth, nethermind; erigon; older nethermind; besu; Arbitrum.
    ("transaction underpriced", Outcome::Underpriced),
    ("priority fee below minimum", Outcome::Underpriced),
    ("feetoolow", Outcome::Underpriced),
    ("fee too low", Outcome::Underpriced),
    ("gas price below configured minimum", Outcome::Underpriced),
    ("gas price too low", Outcome::Underpriced),
    ("underpriced", Outcome::Underpriced),
    // geth, reth, erigon, anvil, nethermind; besu; Arbitrum.
    ("insufficient funds", Outcome::InsufficientFunds),
    ("insufficientfunds", Outcome::InsufficientFunds),
    ("insufficient balance", Outcome::InsufficientFunds),
    ("upfront cost exceeds account balance", Outcome::InsufficientFunds),
    ("not enough funds for gas", Outcome::InsufficientFunds),
    ("would cause overdraft", Outcome::InsufficientFunds),
    // geth, reth, erigon; EIP-7825 in geth, reth, anvil; nethermind.
    ("exceeds block gas limit", Outcome::GasLimit),
    ("exceeds max transaction gas limit", Outcome::GasLimit),
    ("transaction gas limit too high", Outcome::GasLimit),
    ("gas limit is too high", Outcome::GasLimit),
    ("gas limit too high", Outcome::GasLimit),
    ("gas limit is greater than the block gas limit", Outcome::GasLimit),
    ("tx_gas_limit_cap", Outcome::GasLimit),
    ("greater than the cap", Outcome::GasLimit),
    ("gaslimitexceeded", Outcome::GasLimit),
    ("gas limit reached", Outcome::GasLimit),
    ("intrinsic gas too low", Outcome::GasLimit),
    ("intrinsic gas too high", Outcome::GasLimit),
    ("intrinsic gas exceeds gas limit", Outcome::GasLimit),
    ("intrinsicgas", Outcome::GasLimit),
    ("floor data gas", Outcome::GasLimit),
    ("gas required exceeds allowance", Outcome::GasLimit),
    // geth, reth; erigon; Arbitrum.
    ("txpool is full", Outcome::PoolFull),
    ("sub-pool is full", Outcome::PoolFull),
    ("account limit exceeded", Outcome::PoolFull),
    ("queue full", Outcome::PoolFull),
    ("tx pool full", Outcome::PoolFull),
    ("execution reverted", Outcome::Reverted),
    // geth, reth, erigon, anvil, nethermind, besu.
    ("invalid sender", Outcome::Rejected),
    ("invalid signature", Outcome::Rejected),
    ("invalid transaction signature", Outcome::Rejected),
    ("failedtoresolvesender", Outcome::Rejected),
    ("invalid chain id", Outcome::Rejected),
    ("signed for another chain", Outcome::Rejected),
    ("incompatible eip-155", Outcome::Rejected),
    ("transaction type not supported", Outcome::Rejected),
    ("failed to decode", Outcome::Rejected),
    ("rlp:", Outcome::Rejected),
    ("typed transaction too short", Outcome::Rejected),
    ("empty transaction data", Outcome::Rejected),
    ("transaction data is empty", Outcome::Rejected),
    ("oversized data", Outcome::Rejected),
    ("max initcode size exceeded", Outcome::Rejected),
    ("max priority fee per gas higher than max fee per gas", Outcome::Rejected),
    ("sender not an eoa", Outcome::Rejected),
    ("sender is not an eoa", Outcome::Rejected),
    ("negative value", Outcome::Rejected),
    ("address already reserved", Outcome::Rejected),
    // Providers in front of nodes.
    ("rate limit", Outcome::RateLimited),
    ("rate exceeded", Outcome::RateLimited),
    ("too many requests", Outcome::RateLimited),
    ("request limit", Outcome::RateLimited),
    ("daily request count exceeded", Outcome::RateLimited),
    ("credits limited", Outcome::RateLimited),
    ("exceeded your allowed throughput", Outcome::RateLimited),
    ("node is syncing", Outcome::Unavailable),
];

/// What a node's error response to `eth_sendRawTransaction` means. What nobody knows is [`Outcome::Ambiguous`]: it is
/// not taken for a refusal.
pub fn classify(code: i64, message: &str) -> Outcome {
    let message = message.to_lowercase();
    let known = MESSAGES.iter().find(|(text, _)| message.contains(text));
    match (known, code) {
        (Some((_, outcome)), _) => *outcome,
        // HTTP's 429 as a JSON-RPC code, and EIP-1474's "limit exceeded".
        (None, 429 | -32005) => Outcome::RateLimited,
        (None, _) => Outcome::Ambiguous,
    }
}

/// The cap, in wei, that a node named when it refused a transaction for its whole fee: geth and erigon say "tx fee (1.25
/// ether) exceeds the configured cap (1.00 ether)", rounded to two digits, reth the same in wei. `None` where none is
/// named.
pub fn node_cap(message: &str) -> Option<u128> {
    let (_, after) = message.rsplit_once("configured cap (")?;
    let (number, unit) = after.split_once(')')?.0.split_once(' ')?;
    let exponent: usize = match unit {
        "ether" => 18,
        "wei" => 0,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit());
    if !is_number || fraction.len() > exponent {
        return None;
    }
    format!("{whole}{fraction:0<exponent$}").parse().ok()
}
