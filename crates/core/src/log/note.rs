//! Signed notes (C2SP `signed-note`) with Ed25519 keys, and the tree heads written in them (C2SP `tlog-checkpoint`).
//!
//! A note is a text, an empty line, and a line for each signature over the text. Any tool that reads Go's checksum
//! database or a certificate log of today reads these too.

mod cosign;
mod head;
mod verifier_key;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use verifier_key::{KeyType, key_id};

pub use cosign::{CosignVerifier, Cosigned, Cosigner};
pub use head::{Origin, TreeHead};

/// The longest note that is read. The specification asks for 16 signatures at least, and a post-quantum one is 5 KB.
pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// The most signature lines a note may have: Go's own limit.
pub const NOTE_SIGNATURES_MAX: usize = 100;

/// What a signature line begins with: an em dash and a space.
const LINE_START: &str = "— ";

/// Why a note, a head or a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any note of ours.
    #[error("the note has {0} bytes; at most {NOTE_BYTES_MAX} are read")]
    TooLong(usize),
    /// Not text, an empty line, and signature lines.
    #[error("this is not a signed note: {0}")]
    Malformed(&'static str),
    /// No signature of a key that was given.
    #[error("none of the keys given signed this note; it is signed by {}", .signers.join(", "))]
    UnknownSigners {
        /// The names on its signature lines.
        signers: Vec<String>,
    },
    /// A key that was given is named, but did not sign this text.
    #[error("the signature in the name of {signer} is not that key's over this text")]
    BadSignature {
        /// The key's name.
        signer: String,
    },
    /// The text is not a tree head.
    #[error("the note's text is not a tree head: {0}")]
    NotAHead(&'static str),
    /// The first line is not an origin of ours.
    #[error(
        "{0:?} is not an origin; it is sluice/<chain id>/<charter address>/<stream>, for tickets followed by /tickets/<node>"
    )]
    BadOrigin(String),
    /// Not a verifier key.
    #[error("this is not a verifier key <name>+<id>+<key>: {0}")]
    BadKey(&'static str),
}

/// The key a node signs tree heads and tickets with, under its log's name. The Charter lists its public half.
#[derive(Clone, Debug)]
pub struct LogKey {
    origin: Origin,
    name: String,
    signing: SigningKey,
}

impl LogKey {
    /// The key of this log from its 32 secret bytes (RFC 8032's private key). The origin is the log's, not its tickets'.
    pub fn new(origin: &Origin, secret: &[u8; 32]) -> Self {
        let origin = origin.log();
        Self { name: origin.to_string(), origin, signing: SigningKey::from_bytes(secret) }
    }

    /// The log it signs for.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The 32 public bytes, as the Charter registers them.
    pub fn public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// What others verify with.
    pub fn verifier(&self) -> LogVerifier {
        LogVerifier::named(&self.name, self.signing.verifying_key())
    }

    /// The head as a note with this key's signature.
    pub fn sign(&self, head: &TreeHead) -> String {
        let text = head.to_string();
        let line = self.signature_line(&text);
        format!("{text}\n{line}")
    }

    /// This key's signature line under a text, to be added to a note that others signed.
    pub fn signature_line(&self, text: &str) -> String {
        signature_line(&self.name, &self.signing, text)
    }
}

/// A public key with the name it signs under. Written and read as C2SP's verifier key: `<name>+<id>+<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVerifier {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl LogVerifier {
    /// The verifier of a log whose public key stands in its Charter.
    ///
    /// # Errors
    /// When the bytes are not an Ed25519 public key.
    pub fn of_log(origin: &Origin, public: &[u8; 32]) -> Result<Self, NoteError> {
        let key = VerifyingKey::from_bytes(public);
        let key = key.map_err(|_| NoteError::BadKey("the 32 bytes are not an Ed25519 public key"))?;
        Ok(Self::named(&origin.log().to_string(), key))
    }

    fn named(name: &str, key: VerifyingKey) -> Self {
        Self { name: name.to_owned(), id: key_id(name, KeyType::Ed25519, &key), key }
    }

    /// The name on its signature lines: for a log's key, the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for LogVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&verifier_key::write(&self.name, KeyType::Ed25519, &self.key))
    }
}

impl FromStr for LogVerifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, key) = verifier_key::read(text, KeyType::Ed25519)?;
        Ok(Self::named(name, key))
    }
}

/// A note whose text is a head, after its signatures were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// What was signed.
    pub head: TreeHead,
    /// The names of the given keys that signed it, at least one.
    pub signers: Vec<String>,
}

/// Reads a signed head. Signatures by keys that are not given are passed over (co-signers, other algorithms); one that
/// names a given key must be good.
///
/// # Errors
/// When the note is malformed, is signed by none of the keys, carries a wrong signature of one, or is not a tree head.
pub fn open(note: &str, keys: &[LogVerifier]) -> Result<SignedHead, NoteError> {
    let (text, signers) = verify(note, keys)?;
    Ok(SignedHead { head: text.parse()?, signers })
}

/// The note's text and the names of those given keys that signed it.
fn verify<'a>(note: &'a str, keys: &[LogVerifier]) -> Result<(&'a str, Vec<String>), NoteError> {
    let (text, lines) = split(note)?;
    let (mut signers, mut others) = (Vec::new(), Vec::new());
    for line in lines {
        let mut known = keys.iter().filter(|key| key.name == line.name && key.id == line.id).peekable();
        if known.peek().is_none() {
            others.push(line.name.to_owned());
        } else if known.any(|key| line.is_by(key, text)) {
            signers.push(line.name.to_owned());
        } else {
            return Err(NoteError::BadSignature { signer: line.name.to_owned() });
        }
    }
    if signers.is_empty() {
        return Err(NoteError::UnknownSigners { signers: others });
    }
    signers.sort_unstable();
    signers.dedup();
    Ok((text, signers))
}

/// A signature line, not verified.
struct Line<'a> {
    name: &'a str,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl Line<'_> {
    fn is_by(&self, key: &LogVerifier, text: &str) -> bool {
        let signature = Signature::from_slice(&self.signature);
        signature.is_ok_and(|signature| key.key.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

/// The text (with its last newline) and the signature lines. The last empty line divides them.
fn split(note: &str) -> Result<(&str, Vec<Line<'_>>), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong(note.len()));
    }
    if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed("it holds a control character"));
    }
    let divide =
        note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line divides text and signatures"))?;
    let (text, signatures) = (&note[..=divide], &note[divide + 2..]);
    let signatures =
        signatures.strip_suffix('\n').ok_or(NoteError::Malformed("the last line has no newline"))?;
    let lines: Vec<_> = signatures.split('\n').take(NOTE_SIGNATURES_MAX + 1).collect();
    if lines.len() > NOTE_SIGNATURES_MAX {
        return Err(NoteError::Malformed("it has more than 100 signatures"));
    }
    Ok((text, lines.into_iter().map(read_line).collect::<Result<_, _>>()?))
}

fn read_line(line: &str) -> Result<Line<'_>, NoteError> {
    let malformed = NoteError::Malformed("a signature line is not: em dash, space, name, space, base64");
    let parts = line.strip_prefix(LINE_START).and_then(|rest| rest.split_once(' '));
    let (name, signature) = parts.filter(|(name, _)| is_name(name)).ok_or(malformed.clone())?;
    let bytes = STANDARD.decode(signature).map_err(|_| malformed.clone())?;
    let (id, signature) = bytes.split_first_chunk().filter(|(_, rest)| !rest.is_empty()).ok_or(malformed)?;
    Ok(Line { name, id: *id, signature: signature.to_vec() })
}

fn signature_line(name: &str, key: &SigningKey, text: &str) -> String {
    let id = key_id(name, KeyType::Ed25519, &key.verifying_key());
    let signature = key.sign(text.as_bytes()).to_bytes();
    format!("{LINE_START}{name} {}\n", STANDARD.encode([&id[..], &signature].concat()))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}
