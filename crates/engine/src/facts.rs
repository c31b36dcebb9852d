//! The bytes that an entry names by their hash: what is kept of a claim behind a salt. The salt lies with the facts and is
//! erased with them; without it nobody finds out by trying what the facts were, however few values a field may have.

use alloy_primitives::Bytes;
use rand::RngCore;
use sluice_gate::rules::KeptClaim;

/// Random bytes before the facts.
const SALT: usize = 32;

/// Canonical bytes behind a fresh salt.
pub fn salted(kept: &[u8]) -> Bytes {
    let mut bytes = vec![0; SALT];
    rand::rng().fill_bytes(&mut bytes);
    bytes.extend(kept);
    bytes.into()
}

/// What is kept behind its salt.
///
/// # Errors
/// Why these bytes are none, in words.
pub fn unsalted(bytes: &[u8]) -> Result<KeptClaim, String> {
    let Some((_, kept)) = bytes.split_first_chunk::<SALT>() else { return Err("they are cut short".into()) };
    KeptClaim::decode(kept).map_err(|error| error.to_string())
}

/// The same facts behind another's salt, so that their hashes can be compared; `None` where one of them is not salted.
pub(crate) fn with_salt_of(facts: &[u8], other: &[u8]) -> Option<Bytes> {
    let (_, facts) = facts.split_first_chunk::<SALT>()?;
    let (salt, _) = other.split_first_chunk::<SALT>()?;
    Some([salt.as_slice(), facts].concat().into())
}
