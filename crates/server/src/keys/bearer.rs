//! Keys that programs show in requests (`Authorization: Bearer …`): 32 random bytes in hexadecimal behind a word that
//! says what they are. Whoever checks one keeps nothing but the SHA-256 of the bytes.

use alloy_primitives::{B256, hex};
use sha2::{Digest, Sha256};

use super::KeyError;

/// What a bearer key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Names a project: `sluice_project_…`.
    Project,
    /// The operator's own: `sluice_operator_…`.
    Operator,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Project => "sluice_project_",
            Self::Operator => "sluice_operator_",
        }
    }
}

/// A new key: the text to hand over once, and the hash to keep.
///
/// # Errors
/// When the system gives no randomness.
pub fn new(purpose: Purpose) -> Result<(String, B256), KeyError> {
    let mut secret = [0; 32];
    super::random(&mut secret)?;
    let text = format!("{}{}", purpose.prefix(), hex::encode(secret));
    Ok((text, B256::from_slice(&Sha256::digest(secret))))
}

/// What a key that was shown is for, and its hash; `None` when it is no key of ours.
pub fn read(text: &str) -> Option<(Purpose, B256)> {
    let purpose = [Purpose::Project, Purpose::Operator].into_iter().find(|p| text.starts_with(p.prefix()))?;
    let mut secret = [0; 32];
    hex::decode_to_slice(&text[purpose.prefix().len()..], &mut secret).ok()?;
    Some((purpose, B256::from_slice(&Sha256::digest(secret))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_what_it_is() {
        for purpose in [Purpose::Project, Purpose::Operator] {
            let (text, hash) = new(purpose).unwrap();
            assert_eq!(read(&text), Some((purpose, hash)));
            assert_ne!(read(&new(purpose).unwrap().0), Some((purpose, hash)));
            assert_eq!(read(&text[..text.len() - 1]), None);
            assert_eq!(read(&format!("{text}00")), None);
        }
        assert_eq!(read("sluice_project_"), None);
        assert_eq!(read(""), None);
    }
}
