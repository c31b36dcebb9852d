//! Addresses, ids, keys and numbers as people write them on the command line. What is wrong is told with what would be right.

use std::str::FromStr;

use alloy_primitives::{Address, B256, Bytes};

/// Bytes of an account's address: the shortest key there is (ERC-7913).
const ADDRESS_BYTES: usize = 20;

/// An account's or a contract's address.
///
/// # Errors
/// When it is none.
pub fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|_| "an address is 0x and 40 hexadecimal digits".to_owned())
}

/// The id of a person, a mandate, a delegation or an attestation.
///
/// # Errors
/// When it is none.
pub fn id(text: &str) -> Result<B256, String> {
    text.parse().map_err(|_| "an id is 0x and 64 hexadecimal digits".to_owned())
}

/// A key that signs: an account's address, or ERC-7913 signer bytes (a verifier's address and the key).
///
/// # Errors
/// When it is none.
pub fn signer(text: &str) -> Result<Bytes, String> {
    let parsed = text.parse::<Bytes>().ok().filter(|bytes| bytes.len() >= ADDRESS_BYTES);
    parsed.ok_or_else(|| {
        "a key is an account's address (0x and 40 hexadecimal digits), or a verifier's address and the key behind it"
            .to_owned()
    })
}

/// A position, a round or an index.
///
/// # Errors
/// When it is none, or too large.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a whole number is needed here".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_or_id_is_told_with_what_is() {
        let account = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        assert_eq!(signer(account).map(|key| key.len()), Ok(20));
        assert_eq!(signer(&format!("{account}aabb")).map(|key| key.len()), Ok(22));
        for short in ["0x12", "", "anna", &account[..41]] {
            assert!(signer(short).is_err_and(|why| why.contains("40 hexadecimal digits")), "{short}");
            assert!(address(short).is_err_and(|why| why.contains("40 hexadecimal digits")), "{short}");
            assert!(id(short).is_err_and(|why| why.contains("64 hexadecimal digits")), "{short}");
        }
        assert_eq!(id(&B256::repeat_byte(7).to_string()), Ok(B256::repeat_byte(7)));
    }
}
