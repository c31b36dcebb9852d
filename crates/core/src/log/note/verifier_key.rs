//! The written form of a public key that signs notes (C2SP `signed-note`, verifier keys): `<name>+<id>+<key>`, where the
//! type byte tells a log's own signature from a witness's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use super::{NoteError, is_name};

/// The type bytes of `signed-note` that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum KeyType {
    /// Ed25519 over the note's text.
    Ed25519 = 0x01,
    /// A timestamped Ed25519 cosignature (`tlog-cosignature`).
    Cosignature = 0x04,
}

/// SHA-256(name ‖ 0x0A ‖ type ‖ public key), its first four bytes.
pub(super) fn key_id(name: &str, kind: KeyType, key: &VerifyingKey) -> [u8; 4] {
    let typed =
        Sha256::new().chain_update(name).chain_update([b'\n', kind as u8]).chain_update(key.as_bytes());
    let [a, b, c, d, ..]: [u8; 32] = typed.finalize().into();
    [a, b, c, d]
}

/// `<name>+<id>+<key>`.
pub(super) fn write(name: &str, kind: KeyType, key: &VerifyingKey) -> String {
    let typed = [&[kind as u8], &key.to_bytes()[..]].concat();
    format!("{name}+{}+{}", hex::encode(key_id(name, kind, key)), STANDARD.encode(typed))
}

/// The name and key that [`write()`] wrote, of the type that is wanted.
pub(super) fn read(text: &str, kind: KeyType) -> Result<(&str, VerifyingKey), NoteError> {
    // The key's base64 may hold a plus, the name may not.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::BadKey("it has three parts, joined by +"));
    };
    if !is_name(name) {
        return Err(NoteError::BadKey("the name is empty or holds a space or control character"));
    }
    let typed = STANDARD.decode(key).map_err(|_| NoteError::BadKey("the third part is not base64"))?;
    let public = match (typed.split_first(), kind) {
        (Some((&first, public)), _) if first == kind as u8 => <[u8; 32]>::try_from(public).ok(),
        (_, KeyType::Ed25519) => return Err(NoteError::BadKey("only Ed25519 keys (type 1) are known")),
        (_, KeyType::Cosignature) => {
            return Err(NoteError::BadKey("a cosigner's key is of type 4 (Ed25519 cosignature/v1)"));
        }
    };
    let public = public.ok_or(NoteError::BadKey("an Ed25519 key has 32 bytes"))?;
    let key = VerifyingKey::from_bytes(&public)
        .map_err(|_| NoteError::BadKey("the 32 bytes are not an Ed25519 public key"))?;
    if hex::encode(key_id(name, kind, &key)) != id {
        return Err(NoteError::BadKey("the id is not that of this name and key; was it copied whole?"));
    }
    Ok((name, key))
}
