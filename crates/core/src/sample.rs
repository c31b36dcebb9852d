//! Keys of the sample list's wallets, derivable by anyone: for demonstrations and tests, never for money.

use alloy_primitives::{B256, keccak256};

/// The private key of wallet `i` of `sample-data/small.csv`: keccak256("sluice sample wallet" ‖ i as u32, big-endian).
pub fn wallet_key(i: u32) -> B256 {
    let mut message = b"sluice sample wallet".to_vec();
    message.extend_from_slice(&i.to_be_bytes());
    keccak256(message)
}
