//! Sealing: what is personal lies in the database under a key of its own, and that key under the nodes' seal key. Whoever
//! reads tables, log files or backups without the seal key reads nothing; whoever deletes a row has destroyed the only key to
//! what it sealed, and that with it.
//!
//! XChaCha20-Poly1305 on both levels (draft-irtf-cfrg-xchacha-03). A data key seals one body only, so its nonce is zero; the
//! seal key's nonces are 24 random bytes, which may be drawn at random without counting. Both levels are bound to the row.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use rand::RngCore;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

const NONCE: usize = 24;
/// Why the cipher takes whatever is sealed here.
const WITHIN: &str = "a body and a key are far below the cipher's 256 GiB";

fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what, reason: "its seal is broken: it was changed or moved".into() }
}

/// The nodes' key over all data keys. Every node of a stream has the same.
#[derive(Clone)]
pub struct SealKey {
    cipher: XChaCha20Poly1305,
    name: [u8; 8],
}

impl fmt::Debug for SealKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealKey").field(&alloy_primitives::hex::encode(self.name)).finish()
    }
}

/// A body under its data key, and that key under the seal key.
pub(crate) struct Sealed {
    pub(crate) wrapped: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl SealKey {
    /// From 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"sluice seal key").chain_update(secret).finalize();
        let mut name = [0; 8];
        name.copy_from_slice(&digest[..8]);
        Self { cipher: XChaCha20Poly1305::new(secret.into()), name }
    }

    /// What rows name the key by: the first bytes of a hash of it.
    pub fn name(&self) -> [u8; 8] {
        self.name
    }

    /// Seals a body under a fresh key. `row` says which row it is for; nothing else opens it.
    pub(crate) fn seal(&self, row: &[u8], body: &[u8]) -> Sealed {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        let cipher = XChaCha20Poly1305::new((&key).into());
        let payload = Payload { msg: body, aad: row };
        let body = cipher.encrypt((&[0; NONCE]).into(), payload).expect(WITHIN);
        Sealed { wrapped: self.wrap(row, &key), body }
    }

    /// A data key under this one.
    fn wrap(&self, row: &[u8], key: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self.cipher.encrypt((&nonce).into(), Payload { msg: key, aad: row }).expect(WITHIN);
        [nonce.as_slice(), &sealed].concat()
    }

    /// A row's data key; `name` is the seal key's that the row names.
    fn unwrap(&self, what: &'static str, row: &[u8], name: &[u8], wrapped: &[u8]) -> Result<Vec<u8>> {
        if name != self.name {
            return Err(self.otherwise(what, name));
        }
        let (nonce, wrapped) = wrapped.split_first_chunk::<NONCE>().ok_or_else(|| corrupt(what))?;
        self.cipher.decrypt(nonce.into(), Payload { msg: wrapped, aad: row }).map_err(|_| corrupt(what))
    }

    /// A row's data key under the next seal key; what it seals stays as it is.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn rewrapped(
        &self,
        next: &Self,
        what: &'static str,
        row: &[u8],
        name: &[u8],
        wrapped: &[u8],
    ) -> Result<Vec<u8>> {
        Ok(next.wrap(row, &self.unwrap(what, row, name, wrapped)?))
    }

    /// Opens a body. `what` names the row for whoever has to look.
    ///
    /// # Errors
    /// [`Error::SealedOtherwise`] when another key sealed it, [`Error::Corrupt`] when it was changed.
    pub(crate) fn open(
        &self,
        what: &'static str,
        row: &[u8],
        name: &[u8],
        sealed: &Sealed,
    ) -> Result<Vec<u8>> {
        let key = self.unwrap(what, row, name, &sealed.wrapped)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| corrupt(what))?;
        let payload = Payload { msg: &sealed.body, aad: row };
        cipher.decrypt((&[0; NONCE]).into(), payload).map_err(|_| corrupt(what))
    }

    /// The error for a row that names another key.
    pub(crate) fn otherwise(&self, what: &'static str, name: &[u8]) -> Error {
        Error::SealedOtherwise {
            what,
            under: alloy_primitives::hex::encode(name),
            given: alloy_primitives::hex::encode(self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_for_its_row_and_key_alone() {
        let (key, other) = (SealKey::new(&[7; 32]), SealKey::new(&[8; 32]));
        let sealed = key.seal(b"row 1", b"born in 1990");
        assert_eq!(
            (sealed.wrapped.len(), sealed.body.len()),
            (24 + 32 + 16, 12 + 16),
            "as the schema has them"
        );
        assert_eq!(key.open("fact", b"row 1", &key.name(), &sealed).unwrap(), b"born in 1990");
        assert!(matches!(key.open("fact", b"row 2", &key.name(), &sealed), Err(Error::Corrupt { .. })));
        let refused = other.open("fact", b"row 1", &key.name(), &sealed).unwrap_err();
        let said = refused.to_string();
        for name in [key.name(), other.name()] {
            assert!(said.contains(&alloy_primitives::hex::encode(name)), "{said}");
        }
        // A key that claims to be the right one opens nothing.
        assert!(matches!(other.open("fact", b"row 1", &other.name(), &sealed), Err(Error::Corrupt { .. })));
        let again = key.seal(b"row 1", b"born in 1990");
        assert!(
            again.body != sealed.body && again.wrapped != sealed.wrapped,
            "nothing equal is seen to be equal"
        );
        assert!(!format!("{key:?}").contains("7, 7"));
    }

    #[test]
    fn what_is_wrapped_anew_opens_with_the_next_key_for_its_row_alone() {
        let (key, next) = (SealKey::new(&[7; 32]), SealKey::new(&[8; 32]));
        let Sealed { wrapped, body } = key.seal(b"row 1", b"born in 1990");
        let again = key.rewrapped(&next, "key", b"row 1", &key.name(), &wrapped).unwrap();
        assert_eq!(again.len(), wrapped.len());
        let sealed = Sealed { wrapped: again, body };
        assert_eq!(next.open("fact", b"row 1", &next.name(), &sealed).unwrap(), b"born in 1990");
        assert!(next.open("fact", b"row 2", &next.name(), &sealed).is_err());
        assert!(key.open("fact", b"row 1", &next.name(), &sealed).is_err());
        let moved = key.rewrapped(&next, "key", b"row 2", &key.name(), &wrapped);
        assert!(matches!(moved, Err(Error::Corrupt { .. })), "what was moved is not made good");
        let third = next.rewrapped(&key, "key", b"row 1", &key.name(), &wrapped);
        assert!(matches!(third, Err(Error::SealedOtherwise { .. })));
    }
}
