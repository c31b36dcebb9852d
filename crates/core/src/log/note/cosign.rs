//! Cosignatures of heads (C2SP `tlog-cosignature`, cosignature/v1 with Ed25519): an outside body says that at a time it had
//! seen this head and no other history.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::verifier_key::{self, KeyType, key_id};
use super::{LINE_START, NoteError, is_name, split};

/// A witness's key under its name.
#[derive(Clone, Debug)]
pub struct Cosigner {
    name: String,
    signing: SigningKey,
}

/// A witness's public key with its name, written and read as `<name>+<id>+<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignVerifier {
    name: String,
    key: VerifyingKey,
}

/// A cosignature that was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// When it was given, Unix seconds, on the witness's clock.
    pub at: u64,
}

impl Cosigner {
    /// The witness's key from its 32 secret bytes (RFC 8032's private key). A name is best a host or path of the witness, as
    /// `audit.example/sluice`.
    ///
    /// # Errors
    /// When the name is empty or holds a space, a control character or a plus.
    pub fn new(name: &str, secret: &[u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::BadKey("the name is empty or holds a space, plus or control character"));
        }
        Ok(Self { name: name.to_owned(), signing: SigningKey::from_bytes(secret) })
    }

    /// What others verify with.
    pub fn verifier(&self) -> CosignVerifier {
        CosignVerifier { name: self.name.clone(), key: self.signing.verifying_key() }
    }

    /// The note with this witness's line added; `at` is its clock, Unix seconds.
    ///
    /// # Errors
    /// When the note is malformed. Whether its own signatures are good is the caller's to check before.
    pub fn cosign(&self, note: &str, at: u64) -> Result<String, NoteError> {
        let (text, _) = split(note)?;
        let signature = self.signing.sign(message(text, at).as_bytes()).to_bytes();
        let id = key_id(&self.name, KeyType::Cosignature, &self.signing.verifying_key());
        let line = STANDARD.encode([&id[..], &at.to_be_bytes(), &signature].concat());
        Ok(format!("{note}{LINE_START}{} {line}\n", self.name))
    }
}

impl CosignVerifier {
    /// The name on its lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This witness's cosignature of a note; `None` where it gave none.
    ///
    /// # Errors
    /// When the note is malformed, or a line in this key's name is not its cosignature.
    pub fn verify(&self, note: &str) -> Result<Option<Cosigned>, NoteError> {
        let (text, lines) = split(note)?;
        let id = key_id(&self.name, KeyType::Cosignature, &self.key);
        let Some(line) = lines.iter().find(|line| line.name == self.name && line.id == id) else {
            return Ok(None);
        };
        let bad = || NoteError::BadSignature { signer: self.name.clone() };
        let (at, signature) = line.signature.split_first_chunk::<8>().ok_or_else(bad)?;
        let at = u64::from_be_bytes(*at);
        let signature = Signature::from_slice(signature).map_err(|_| bad())?;
        self.key.verify_strict(message(text, at).as_bytes(), &signature).map_err(|_| bad())?;
        Ok(Some(Cosigned { at }))
    }
}

impl fmt::Display for CosignVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&verifier_key::write(&self.name, KeyType::Cosignature, &self.key))
    }
}

impl FromStr for CosignVerifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, key) = verifier_key::read(text, KeyType::Cosignature)?;
        Ok(Self { name: name.to_owned(), key })
    }
}

/// What is signed: the version, the time, and the note's text.
fn message(text: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ContractRef, StreamId};
    use crate::log::note::{LogKey, Origin, TreeHead, open};

    fn note() -> (LogKey, String) {
        let charter = ContractRef { chain_id: 1, address: alloy_primitives::Address::repeat_byte(3) };
        let origin = Origin::new(charter, StreamId(2));
        let key = LogKey::new(&origin, &[5; 32]);
        let note = key.sign(&TreeHead { origin, size: 9, root: [1; 32], state_hash: Some([2; 32]) });
        (key, note)
    }

    #[test]
    fn a_cosigned_note_still_opens_and_names_its_witness_and_time() {
        let (key, note) = note();
        let witness = Cosigner::new("audit.example/w1", &[8; 32]).expect("a name");
        let cosigned = witness.cosign(&note, 1_700_000_000).expect("a note");
        assert_eq!(open(&cosigned, &[key.verifier()]).expect("the log's own").head.size, 9);
        let verifier: CosignVerifier = witness.verifier().to_string().parse().expect("read back");
        assert_eq!(verifier.verify(&cosigned), Ok(Some(Cosigned { at: 1_700_000_000 })));
        assert_eq!(verifier.verify(&note), Ok(None));
        let other = Cosigner::new("audit.example/w2", &[9; 32]).expect("a name").verifier();
        assert_eq!(other.verify(&cosigned), Ok(None));
    }

    #[test]
    fn a_cosignature_is_of_this_text_at_this_time_alone() {
        let (_, note) = note();
        let witness = Cosigner::new("w", &[8; 32]).expect("a name");
        let cosigned = witness.cosign(&note, 1_700_000_000).expect("a note");
        let moved = cosigned.replacen("\n9\n", "\n8\n", 1);
        assert!(witness.verifier().verify(&moved).is_err(), "another size");
        let (text, lines) = cosigned.split_once("\n\n").expect("a note");
        let last = lines.lines().last().expect("the cosignature");
        let mut bytes = STANDARD.decode(last.rsplit(' ').next().expect("base64")).expect("base64");
        bytes[11] ^= 1;
        let later = format!("{text}\n\n{LINE_START}w {}\n", STANDARD.encode(bytes));
        assert!(witness.verifier().verify(&later).is_err(), "another time");
        assert!(Cosigner::new("two words", &[1; 32]).is_err());
    }
}
