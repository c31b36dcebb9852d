//! ECDSA recovery with libsecp256k1: 36 µs, a fifth of the pure-Rust time.

use std::collections::HashMap;
use std::sync::Mutex;

use alloy_primitives::{Address, B256, Bytes, Keccak256, keccak256};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

/// The address that signed a digest, or `None` if the bytes are no signature. Takes 65 bytes (r, s, v with v 0, 1, 27
/// or 28) or 64 (ERC-2098). A high s is refused, as OpenZeppelin's ECDSA does: else a second signature would exist.
pub fn signer_of(digest: B256, signature: &[u8]) -> Option<Address> {
    let (compact, parity) = parts(signature)?;
    let id = RecoveryId::try_from(i32::from(parity)).ok()?;
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    let mut normal = signature.to_standard();
    normal.normalize_s();
    if normal != signature.to_standard() {
        return None;
    }
    let key = signature.recover_ecdsa(Message::from_digest(digest.0)).ok()?;
    Some(Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..]))
}

/// r and s, and the parity that v stands for.
fn parts(signature: &[u8]) -> Option<([u8; 64], u8)> {
    match *signature {
        [ref rs @ .., v] if rs.len() == 64 => {
            let parity = match v {
                0 | 27 => 0,
                1 | 28 => 1,
                _ => return None,
            };
            Some((<[u8; 64]>::try_from(rs).ok()?, parity))
        }
        ref rs if rs.len() == 64 => {
            let mut compact = <[u8; 64]>::try_from(rs).ok()?;
            let parity = compact[32] >> 7;
            compact[32] &= 0x7f;
            Some((compact, parity))
        }
        _ => None,
    }
}

/// A signature as contracts take it: 65 bytes with v 27 or 28, if `signer`'s own key gave it in any form that
/// [`signer_of`] takes. Any other is a contract's to judge, and stays as it is.
pub(crate) fn as_contracts_take_it(digest: B256, signature: &Bytes, signer: Address) -> Bytes {
    match parts(signature) {
        Some((compact, parity)) if signer_of(digest, signature) == Some(signer) => {
            [compact.as_slice(), &[27 + parity]].concat().into()
        }
        _ => signature.clone(),
    }
}

/// Signatures in one of the two generations of [`Signers`]: those of a node's waiting claims at its full rate, for some
/// seconds, or at a thousand a second for as long as any may wait. Some four MB.
const GENERATION: usize = 32_768;

/// Who made signatures that were looked at lately. A node's door recovers the signer of every claim, and its leader asks
/// again a moment later, when the row is read: the second time costs a hash instead of a recovery.
#[derive(Debug, Default)]
pub(crate) struct Signers {
    /// The younger and the older half; the older is forgotten when the younger is full.
    known: Mutex<[HashMap<B256, Address>; 2]>,
}

impl Signers {
    /// As [`signer_of`].
    pub(crate) fn signer_of(&self, digest: B256, signature: &[u8]) -> Option<Address> {
        let mut name = Keccak256::new();
        name.update(digest);
        name.update(signature);
        let name = name.finalize();
        if let Some(signer) = self.known(&name) {
            return Some(signer);
        }
        let signer = signer_of(digest, signature)?;
        self.remember(name, signer);
        Some(signer)
    }

    fn known(&self, name: &B256) -> Option<Address> {
        let known = self.known.lock().expect("no panic inside");
        known.iter().find_map(|half| half.get(name).copied())
    }

    fn remember(&self, name: B256, signer: Address) {
        let mut known = self.known.lock().expect("no panic inside");
        if known[0].len() >= GENERATION {
            known.swap(0, 1);
            known[0].clear();
        }
        known[0].insert(name, signer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_chain::signer::Account;

    fn signed(digest: B256) -> (Address, Vec<u8>) {
        let key = Account::from_bytes(&B256::repeat_byte(7)).unwrap();
        (key.address(), key.sign_digest(digest).unwrap().to_vec())
    }

    #[test]
    fn the_signer_is_found_in_every_accepted_form_and_in_no_other() {
        let digest = keccak256(b"a claim");
        let (address, signature) = signed(digest);
        assert_eq!(signer_of(digest, &signature), Some(address));
        let mut low = signature.clone();
        low[64] -= 27;
        assert_eq!(signer_of(digest, &low), Some(address));
        let mut compact = signature[..64].to_vec();
        compact[32] |= (signature[64] - 27) << 7;
        assert_eq!(signer_of(digest, &compact), Some(address));
        assert_ne!(signer_of(keccak256(b"another"), &signature), Some(address));
        let wanted = Bytes::from(signature.clone());
        for form in [&signature, &low, &compact].map(|form| Bytes::from(form.clone())) {
            assert_eq!(as_contracts_take_it(digest, &form, address), wanted);
            assert_eq!(as_contracts_take_it(digest, &form, Address::repeat_byte(9)), form, "another's");
        }
        assert_eq!(signer_of(digest, &signature[..63]), None);
        assert_eq!(signer_of(digest, &[signature.as_slice(), &[0]].concat()), None);
        let mut wrong_v = signature;
        wrong_v[64] = 29;
        assert_eq!(signer_of(digest, &wrong_v), None);
    }

    #[test]
    fn a_signer_that_is_remembered_is_the_one_that_is_found() {
        let signers = Signers::default();
        let (address, signature) = signed(keccak256(b"a claim"));
        for _ in 0..2 {
            assert_eq!(signers.signer_of(keccak256(b"a claim"), &signature), Some(address));
            assert_ne!(signers.signer_of(keccak256(b"another"), &signature), Some(address));
            assert_eq!(signers.signer_of(keccak256(b"a claim"), &signature[1..]), None);
        }
        for n in 0..3 * GENERATION as u64 {
            signers.remember(keccak256(n.to_be_bytes()), address);
        }
        let known: usize = signers.known.lock().unwrap().iter().map(HashMap::len).sum();
        assert!(known <= 2 * GENERATION);
        assert_eq!(signers.signer_of(keccak256(b"a claim"), &signature), Some(address));
    }

    #[test]
    fn a_high_s_is_refused() {
        let digest = keccak256(b"a claim");
        let (_, mut signature) = signed(digest);
        let order = alloy_primitives::U256::from_be_slice(&secp256k1::constants::CURVE_ORDER);
        let s = alloy_primitives::U256::from_be_slice(&signature[32..64]);
        signature[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
        signature[64] = if signature[64] == 27 { 28 } else { 27 };
        assert_eq!(signer_of(digest, &signature), None);
    }
}
