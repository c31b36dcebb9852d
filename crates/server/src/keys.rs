//! Keys at rest: files that a password opens.
//!
//! All kinds of key lie in Web3 Secret Storage (version 3: scrypt, AES-128-CTR, keccak MAC), which geth, foundry and
//! most wallets read and write. An **account** signs transactions and authorities' messages; its file may come from
//! any of those programs. A **log key** (Ed25519) signs tree heads, receipts and tickets; whoever has it can promise
//! in the operator's name, so it is encrypted like an account and not merely unreadable to others. A **seal key** opens the
//! personal data of a stream. Their files say what they are, so that no kind can be taken for another.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256, hex};
use ed25519_dalek::SigningKey;
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub mod bearer;
pub mod split;

/// A password shorter than this is refused: the file may be copied, and then only the password protects the key.
const PASSWORD_CHARS_MIN: usize = 8;

/// Why a key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Keys are never overwritten.
    #[error("{} exists; a key is never overwritten, choose another name", .0.display())]
    Exists(PathBuf),
    /// Not a key file.
    #[error("{} is no key file: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One kind of key where the other is needed.
    #[error("{} holds {found}, here {wanted} is needed", path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: Kind,
        /// What is needed.
        wanted: Kind,
    },
    /// The password does not open it, or the file was changed.
    #[error("the password does not open {}", .0.display())]
    WrongPassword(PathBuf),
    /// A password that protects nothing.
    #[error("the password in {} is too short; use at least {PASSWORD_CHARS_MIN} characters", .0.display())]
    ShortPassword(PathBuf),
    /// The key could not be encrypted.
    #[error("cannot encrypt the key")]
    Encrypt(#[source] eth_keystore::KeystoreError),
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A secp256k1 key: a lane, a sequencer's control key, an authority.
    Account,
    /// The Ed25519 key of a log.
    LogKey,
    /// The key that nodes seal personal data with.
    SealKey,
    /// The key of a private list's proof pages.
    ListKey,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "an account",
            Self::LogKey => "a log key",
            Self::SealKey => "a seal key",
            Self::ListKey => "a list key",
        })
    }
}

/// A password as read from its file.
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// Reads a password: the file's first line.
    ///
    /// # Errors
    /// When the file cannot be read or its first line is too short.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { action: "read the password file", path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let line = text.lines().next().unwrap_or_default();
        if line.chars().count() < PASSWORD_CHARS_MIN {
            return Err(KeyError::ShortPassword(path.to_owned()));
        }
        Ok(Self(line.to_owned()))
    }
}

/// What a key file says about itself without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What the key is for.
    pub kind: Kind,
    /// The account's address or the log key's public half, as the file claims; `None` where another program left it
    /// out.
    pub public: Option<String>,
}

/// Makes an account and writes its file, readable by its owner alone.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn new_account(path: &Path, password: &Password) -> Result<Address, KeyError> {
    let signer = PrivateKeySigner::random();
    write(path, password, signer.to_bytes().as_slice(), |file| {
        // Where geth puts it: without a prefix.
        file.insert("address".into(), hex::encode(signer.address()).into());
    })?;
    Ok(signer.address())
}

/// Makes a log key and writes its file, readable by its owner alone; returns the public half.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn new_log_key(path: &Path, password: &Password) -> Result<B256, KeyError> {
    let mut seed = [0; 32];
    random(&mut seed)?;
    write_log_key(path, password, &seed)
}

/// Writes the file of a log key whose seed is known; returns the public half.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_log_key(path: &Path, password: &Password, seed: &[u8; 32]) -> Result<B256, KeyError> {
    let public = public_half(seed);
    write(path, password, seed, |file| {
        file.insert("sluice".into(), "log-key".into());
        file.insert("public".into(), hex::encode(public).into());
    })?;
    Ok(public)
}

/// Makes a seal key and writes its file, readable by its owner alone; returns the name that rows and errors call it by.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn new_seal_key(path: &Path, password: &Password) -> Result<String, KeyError> {
    let mut secret = [0; 32];
    random(&mut secret)?;
    write_seal_key(path, password, &secret)
}

/// Writes the file of a seal key that is known; returns its name.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_seal_key(path: &Path, password: &Password, secret: &[u8; 32]) -> Result<String, KeyError> {
    let name = seal_key_name(secret);
    write(path, password, secret, |file| {
        file.insert("sluice".into(), "seal-key".into());
        file.insert("public".into(), name.clone().into());
    })?;
    Ok(name)
}

/// What rows and errors call a seal key.
pub fn seal_key_name(secret: &[u8; 32]) -> String {
    hex::encode(sluice_store::SealKey::new(secret).name())
}

/// Opens an account.
///
/// # Errors
/// When the file is no account's or the password is wrong.
pub fn open_account(path: &Path, password: &Password) -> Result<PrivateKeySigner, KeyError> {
    let secret = open(path, password, Kind::Account)?;
    PrivateKeySigner::from_slice(&secret)
        .map_err(|error| KeyError::Malformed { path: path.to_owned(), why: error.to_string() })
}

/// Opens a log key: its 32-byte Ed25519 seed.
///
/// # Errors
/// When the file is no log key's or the password is wrong.
pub fn open_log_key(path: &Path, password: &Password) -> Result<[u8; 32], KeyError> {
    open_32(path, password, Kind::LogKey)
}

fn open_32(path: &Path, password: &Password, wanted: Kind) -> Result<[u8; 32], KeyError> {
    let secret = open(path, password, wanted)?;
    <[u8; 32]>::try_from(secret).map_err(|secret| KeyError::Malformed {
        path: path.to_owned(),
        why: format!("{wanted} has 32 bytes, this one {}", secret.len()),
    })
}

/// Makes a list key and writes its file, readable by its owner alone.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn new_list_key(path: &Path, password: &Password) -> Result<(), KeyError> {
    let mut secret = [0; 32];
    random(&mut secret)?;
    write_list_key(path, password, &secret)
}

/// Writes the file of a list key that is known.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_list_key(path: &Path, password: &Password, secret: &[u8; 32]) -> Result<(), KeyError> {
    write(path, password, secret, |file| {
        file.insert("sluice".into(), "list-key".into());
    })
}

/// Opens a list key: 32 secret bytes.
///
/// # Errors
/// When the file is no list key's or the password is wrong.
pub fn open_list_key(path: &Path, password: &Password) -> Result<[u8; 32], KeyError> {
    open_32(path, password, Kind::ListKey)
}

/// Opens a seal key: 32 secret bytes.
///
/// # Errors
/// When the file is no seal key's or the password is wrong.
pub fn open_seal_key(path: &Path, password: &Password) -> Result<[u8; 32], KeyError> {
    open_32(path, password, Kind::SealKey)
}

/// The public half of a log key.
pub fn public_half(seed: &[u8; 32]) -> B256 {
    B256::from(SigningKey::from_bytes(seed).verifying_key().to_bytes())
}

/// What a key file says about itself. Only opening it proves that.
///
/// # Errors
/// When it is no key file.
pub fn show(path: &Path) -> Result<Shown, KeyError> {
    let file = read(path)?;
    let text = |name: &str| file.get(name).and_then(Value::as_str);
    Ok(match text("sluice") {
        Some("log-key") => Shown { kind: Kind::LogKey, public: text("public").map(str::to_owned) },
        Some("list-key") => Shown { kind: Kind::ListKey, public: None },
        Some("seal-key") => Shown { kind: Kind::SealKey, public: text("public").map(str::to_owned) },
        _ => Shown {
            kind: Kind::Account,
            public: text("address")
                .and_then(|a| a.parse::<Address>().ok())
                .map(|address| address.to_checksum(None)),
        },
    })
}

pub(crate) fn random(bytes: &mut [u8]) -> Result<(), KeyError> {
    rand::rngs::OsRng.try_fill_bytes(bytes).map_err(|error| KeyError::Io {
        action: "get randomness from",
        path: "the operating system".into(),
        source: std::io::Error::other(error),
    })
}

fn open(path: &Path, password: &Password, wanted: Kind) -> Result<Vec<u8>, KeyError> {
    let found = show(path)?.kind;
    if found != wanted {
        return Err(KeyError::WrongKind { path: path.to_owned(), found, wanted });
    }
    eth_keystore::decrypt_key(path, &password.0).map_err(|error| match error {
        eth_keystore::KeystoreError::MacMismatch => KeyError::WrongPassword(path.to_owned()),
        other => KeyError::Malformed { path: path.to_owned(), why: other.to_string() },
    })
}

fn read(path: &Path) -> Result<Map<String, Value>, KeyError> {
    let io = |source| KeyError::Io { action: "read", path: path.to_owned(), source };
    let malformed = |why: String| KeyError::Malformed { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(io)?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(file)) if file.contains_key("crypto") => Ok(file),
        Ok(_) => Err(malformed("it has no `crypto` part; `sluice keys new` makes key files".into())),
        Err(error) => Err(malformed(error.to_string())),
    }
}

/// Encrypts a secret and writes the file with what `describe` adds to it.
fn write(
    path: &Path,
    password: &Password,
    secret: &[u8],
    describe: impl FnOnce(&mut Map<String, Value>),
) -> Result<(), KeyError> {
    let io = |action| move |source| KeyError::Io { action, path: path.to_owned(), source };
    if path.exists() {
        return Err(KeyError::Exists(path.to_owned()));
    }
    // The library writes a file itself; it does so where nobody else can look.
    let aside = tempfile::tempdir().map_err(io("make a folder for"))?;
    eth_keystore::encrypt_key(aside.path(), &mut OsRng, secret, &password.0, Some("key"))
        .map_err(KeyError::Encrypt)?;
    let mut file = read(&aside.path().join("key"))?;
    describe(&mut file);
    let text = serde_json::to_vec_pretty(&file).expect("JSON that was read can be written");
    let mut out = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(KeyError::Exists(path.to_owned()));
        }
        other => other.map_err(io("create"))?,
    };
    out.write_all(&text).and_then(|()| out.sync_all()).map_err(io("write"))
}

#[cfg(test)]
mod tests;
