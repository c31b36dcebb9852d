//! Keys and persons of the lists in `sample-data/`, derivable by anyone: for demonstrations and tests, never for money.

use alloy_primitives::{B256, keccak256};

/// The private key of sample wallet `i`: keccak256("sluice sample wallet" ‖ i as u32, big-endian). Wallets 0 to 999 are
/// the recipients of `small.csv`, those from 1,000 on the agents and recipients of `benefits.csv`.
pub fn wallet_key(i: u32) -> B256 {
    numbered(b"sluice sample wallet", i)
}

/// The id of person `i` of `benefits.csv`: keccak256("sluice sample person" ‖ i as u32, big-endian).
pub fn person(i: u32) -> B256 {
    numbered(b"sluice sample person", i)
}

fn numbered(name: &[u8], i: u32) -> B256 {
    keccak256([name, &i.to_be_bytes()].concat())
}
