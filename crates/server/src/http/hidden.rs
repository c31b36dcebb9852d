//! What is personal and shown only to those with a key. Others see its hash: what they were not shown can be proved to
//! them later.

use alloy_primitives::B256;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::auth::Caller;

/// Something that not everybody is shown. For everybody else it is `{"sha256": …}` over its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Hidden<T> {
    /// Shown.
    Shown(T),
    /// The SHA-256 of its bytes.
    Hash(B256),
}

impl<T: AsRef<[u8]>> Hidden<T> {
    /// Shown to those with a key.
    pub(crate) fn from(caller: Caller, value: T) -> Self {
        Self::unless(caller.has_key(), value)
    }

    /// Shown if this holds.
    pub(crate) fn unless(shown: bool, value: T) -> Self {
        if shown { Self::Shown(value) } else { Self::Hash(B256::from_slice(&Sha256::digest(value.as_ref()))) }
    }
}

impl<T: Serialize> Serialize for Hidden<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Shown(value) => value.serialize(serializer),
            Self::Hash(hash) => serializer.collect_map([("sha256", hash)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_core::ids::ProjectId;

    use super::*;

    #[test]
    fn a_stranger_is_shown_the_hash_and_a_key_the_thing() {
        let json = |caller| serde_json::to_string(&Hidden::from(caller, "flood")).unwrap();
        assert_eq!(json(Caller::Project(ProjectId::default())), "\"flood\"");
        let hash = hex::encode(Sha256::digest("flood"));
        assert_eq!(json(Caller::Anyone), format!("{{\"sha256\":\"0x{hash}\"}}"));
    }
}
