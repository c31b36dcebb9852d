//! A secret split so that M of N holders have it together and fewer have nothing: Shamir's scheme over bytes (GF(256)), by the
//! crate `vsss-rs`. A share says which secret it is of, so that shares of two are not mixed, and what comes out is compared
//! with that.

use std::path::{Path, PathBuf};

use alloy_primitives::{B256, Bytes};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vsss_rs::Gf256;

/// One holder's share, as it lies in their file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// `list-key-share`.
    kind: String,
    /// SHA-256 of a fixed text and the secret: says which secret it is, and nothing of it.
    of: B256,
    /// How many shares give the secret.
    needed: u8,
    /// How many there are.
    shares: u8,
    /// The share itself: its number, then a byte for each of the secret.
    share: Bytes,
}

impl std::fmt::Debug for Share {
    /// Without the share itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").field("of", &self.of).field("needed", &self.needed).finish_non_exhaustive()
    }
}

const KIND: &str = "list-key-share";

/// Why a secret cannot be split or put together.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Numbers that make no sense.
    #[error("{needed} of {shares} shares: at least 2 are needed, and not more than there are, at most 255")]
    Numbers {
        /// Needed.
        needed: u8,
        /// Made.
        shares: u8,
    },
    /// A file is no share.
    #[error("{} is no share of a list key: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Shares of different secrets.
    #[error("these shares are of different keys: {0} and {1}")]
    Mixed(B256, B256),
    /// Too few, or the same twice.
    #[error("{given} different shares of key {of}; {needed} are needed")]
    TooFew {
        /// Which key.
        of: B256,
        /// Given.
        given: usize,
        /// Needed.
        needed: u8,
    },
    /// A share was changed.
    #[error("the shares do not give the key {0}: one of them was changed")]
    Changed(B256),
}

/// What shares call a secret.
fn name_of(secret: &[u8; 32]) -> B256 {
    B256::from_slice(&Sha256::new().chain_update(b"sluice list key").chain_update(secret).finalize())
}

/// Splits a secret.
///
/// # Errors
/// [`SplitError::Numbers`].
pub fn split(secret: &[u8; 32], needed: u8, shares: u8) -> Result<Vec<Share>, SplitError> {
    let numbers = SplitError::Numbers { needed, shares };
    if needed < 2 || needed > shares {
        return Err(numbers);
    }
    let of = name_of(secret);
    let parts = Gf256::split_bytes(needed.into(), shares.into(), secret, UnwrapErr(SysRng));
    let share = |share: Vec<u8>| Share { kind: KIND.into(), of, needed, shares, share: share.into() };
    Ok(parts.map_err(|_| numbers)?.into_iter().map(share).collect())
}

/// Puts a secret together.
///
/// # Errors
/// See [`SplitError`].
pub fn join(shares: &[Share]) -> Result<[u8; 32], SplitError> {
    let Some(first) = shares.first() else {
        return Err(SplitError::TooFew { of: B256::ZERO, given: 0, needed: 2 });
    };
    if let Some(other) = shares.iter().find(|share| (share.of, share.needed) != (first.of, first.needed)) {
        return Err(SplitError::Mixed(first.of, other.of));
    }
    let mut parts: Vec<Vec<u8>> = shares.iter().map(|share| share.share.to_vec()).collect();
    parts.sort_unstable();
    parts.dedup_by_key(|part| part.first().copied());
    let needed = usize::from(first.needed);
    if parts.len() < needed {
        return Err(SplitError::TooFew { of: first.of, given: parts.len(), needed: first.needed });
    }
    parts.truncate(needed);
    let changed = || SplitError::Changed(first.of);
    let secret = Gf256::combine_bytes(&parts).map_err(|_| changed())?;
    let secret = <[u8; 32]>::try_from(secret).map_err(|_| changed())?;
    if name_of(&secret) == first.of { Ok(secret) } else { Err(changed()) }
}

/// Reads a share's file.
///
/// # Errors
/// [`SplitError::Malformed`].
pub fn read(path: &Path) -> Result<Share, SplitError> {
    let malformed = |why: String| SplitError::Malformed { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| malformed(error.to_string()))?;
    let share: Share = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    if share.kind != KIND || share.share.len() != 33 {
        return Err(malformed(format!(
            "its kind is {:?} and it has {} bytes",
            share.kind,
            share.share.len()
        )));
    }
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_m_of_n_give_the_key_and_fewer_do_not() {
        let secret = std::array::from_fn(|i| u8::try_from(i * 7).unwrap());
        let shares = split(&secret, 3, 5).unwrap();
        for skip in 0..5 {
            for other in 0..skip {
                let some: Vec<Share> =
                    (0..5).filter(|i| *i != skip && *i != other).map(|i| shares[i].clone()).collect();
                assert_eq!(join(&some).unwrap(), secret);
            }
        }
        assert_eq!(join(&shares).unwrap(), secret);
        assert!(matches!(join(&shares[..2]), Err(SplitError::TooFew { given: 2, needed: 3, .. })));
        let twice = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
        assert!(matches!(join(&twice), Err(SplitError::TooFew { given: 2, .. })));
        let mut changed = shares[..3].to_vec();
        let mut bytes = changed[1].share.to_vec();
        bytes[9] ^= 1;
        changed[1].share = bytes.into();
        assert!(matches!(join(&changed), Err(SplitError::Changed(_))));
        let mixed = [shares[0].clone(), split(&[9; 32], 3, 5).unwrap()[1].clone()];
        assert!(matches!(join(&mixed), Err(SplitError::Mixed(..))));
        for (needed, of) in [(1, 3), (4, 3), (0, 0)] {
            assert!(matches!(split(&secret, needed, of), Err(SplitError::Numbers { .. })));
        }
        // One share fewer fits every key: the missing one decides.
        let other = split(&secret, 3, 5).unwrap();
        assert_ne!(other[0].share, shares[0].share);
    }
}
