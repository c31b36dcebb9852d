use super::*;

/// Messages as the clients' sources format them; where a test against a real anvil exists too, it is in `tests/`.
#[test]
fn every_clients_words_are_understood() {
    use Outcome::*;
    let cases = [
        // geth
        (-32000, "already known", AlreadyKnown),
        (-32000, "nonce too low: next nonce 5, tx nonce 4", NonceTooLow),
        (-32000, "nonce too high", NonceTooHigh),
        (-32000, "replacement transaction underpriced", ReplacementUnderpriced),
        (-32000, "transaction underpriced: gas tip cap 1, minimum needed 1000000", Underpriced),
        (
            -32000,
            "insufficient funds for gas * price + value: balance 0, tx cost 420000000000000",
            InsufficientFunds,
        ),
        (-32000, "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", FeeAboveNodeCap),
        (-32000, "exceeds block gas limit", GasLimit),
        (-32000, "transaction gas limit too high (cap: 16777216, tx: 17000000)", GasLimit),
        (-32000, "intrinsic gas too low: gas 20000, minimum needed 21000", GasLimit),
        (
            -32000,
            "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 7",
            FeeCapTooLow,
        ),
        (-32000, "txpool is full", PoolFull),
        (-32000, "invalid sender", Rejected),
        (-32000, "authority nonce too low", Rejected),
        (-32000, "future transaction tries to replace pending", ReplacementUnderpriced),
        // reth
        (-32003, "insufficient funds for gas * price + value: have 0 want 21000", InsufficientFunds),
        (-32000, "exceeds max transaction gas limit", GasLimit),
        (-32000, "transaction priority fee below minimum required priority fee 1000000", Underpriced),
        (-32000, "oversized data: transaction size 200000, limit 131072", Rejected),
        (
            -32000,
            "tx fee (2000000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)",
            FeeAboveNodeCap,
        ),
        // erigon
        (-32000, "existing txn with same hash", AlreadyKnown),
        (-32000, "could not replace existing tx", ReplacementUnderpriced),
        (-32000, "underpriced", Underpriced),
        (-32000, "fee too low", Underpriced),
        (-32000, "pending sub-pool is full", PoolFull),
        (-32000, "gas limit is too high", GasLimit),
        (-32000, "IntrinsicGas", GasLimit),
        // nethermind, before and after it took over geth's words
        (-32010, "AlreadyKnown", AlreadyKnown),
        (-32010, "OldNonce, Current nonce: 5, nonce of rejected tx: 4", NonceTooLow),
        (-32010, "NonceGap, Future nonce. Expected nonce: 7", NonceTooHigh),
        (-32010, "ReplacementNotAllowed", ReplacementUnderpriced),
        (-32010, "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7", FeeCapTooLow),
        (-32010, "FeeTooLowToCompete", Underpriced),
        (-32010, "InsufficientFunds, Account balance: 0, cumulative cost: 21000", InsufficientFunds),
        (-32010, "GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 40000000", GasLimit),
        (-32000, "nonce too far in the future", NonceTooHigh),
        // anvil
        (-32003, "transaction already imported", AlreadyKnown),
        (-32003, "Insufficient funds for gas * price + value", InsufficientFunds),
        // besu and Arbitrum
        (-32000, "Known transaction", AlreadyKnown),
        (-32000, "Upfront cost exceeds account balance", InsufficientFunds),
        (-32000, "Gas price below configured minimum gas price", Underpriced),
        (-32000, "sequencer pending tx pool full, please try again", PoolFull),
        // providers
        (429, "Your app has exceeded its compute units per second capacity", RateLimited),
        (-32005, "project ID request rate exceeded", RateLimited),
        // nobody knows: it may have been taken
        (-32603, "Internal error", Ambiguous),
        (-32000, "", Ambiguous),
    ];
    for (code, message, expected) in cases {
        assert_eq!(classify(code, message), expected, "{code} {message}");
    }
}

#[test]
fn the_most_telling_refusal_of_two_nodes_is_reported() {
    let error = |outcome| SendError {
        tx_hash: B256::ZERO,
        outcome,
        message: String::new(),
        source: Box::new(ChainError::NoBlock(0)),
    };
    let told = |first, second| more_telling(Some(error(first)), error(second)).outcome;
    assert_eq!(told(Outcome::Unavailable, Outcome::NonceTooLow), Outcome::NonceTooLow);
    assert_eq!(told(Outcome::NonceTooLow, Outcome::Unavailable), Outcome::NonceTooLow);
    assert_eq!(told(Outcome::Ambiguous, Outcome::NonceTooLow), Outcome::Ambiguous);
    assert_eq!(told(Outcome::Underpriced, Outcome::Ambiguous), Outcome::Ambiguous);
}

#[test]
fn a_cap_that_a_node_names_is_read() {
    let told = |cap: &str| node_cap(&format!("tx fee (1.20 ether) exceeds the configured cap ({cap})"));
    assert_eq!(told("1.00 ether"), Some(1_000_000_000_000_000_000));
    assert_eq!(told("0.05 ether"), Some(50_000_000_000_000_000));
    assert_eq!(told("1000000000000000000 wei"), Some(1_000_000_000_000_000_000));
    assert_eq!(told("lots of ether"), None);
    assert_eq!(told("-1.00 ether"), None);
    assert_eq!(node_cap("Transaction fee cap exceeded"), None);
}
