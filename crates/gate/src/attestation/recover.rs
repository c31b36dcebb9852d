//! ECDSA recovery with libsecp256k1.

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

/// The address that signed a digest, or `None` if the bytes are no signature: 65 bytes r, s, v with v 0, 1, 27 or 28. A
/// high s is refused, as OpenZeppelin's ECDSA does (else a second signature would exist), and so is the zero address.
pub fn signer_of(digest: B256, signature: &[u8]) -> Option<Address> {
    let (rs, v) = signature.split_at_checked(64)?;
    let parity = match v {
        [0 | 27] => 0,
        [1 | 28] => 1,
        _ => return None,
    };
    let signature = RecoverableSignature::from_compact(rs, RecoveryId::try_from(parity).ok()?).ok()?;
    let mut normal = signature.to_standard();
    normal.normalize_s();
    if normal != signature.to_standard() {
        return None;
    }
    let key = signature.recover_ecdsa(Message::from_digest(digest.0)).ok()?;
    let address = Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..]);
    (!address.is_zero()).then_some(address)
}
