//! What is personal, and shown only under a mandate to read it. Others see a hash that it can be proved against later, or
//! nothing where the position beside it names the entry that holds it.

use alloy_primitives::B256;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use sluice_gate::mandate::{ActionKind, Subject};

use super::reader::Sight;

/// Something that not everybody is shown. For everybody else it is `{"sha256": …}`, or left out.
///
/// Whether it is shown is asked when the answer is written, after State was let go: asking a mandate takes microseconds,
/// and a page has a thousand of them. What may be seen was settled at the answer's position, in its [`Sight`].
#[derive(Clone, Debug)]
pub(crate) struct Hidden<T> {
    value: T,
    sight: Sight,
    about: Vec<Subject>,
    /// It is public, or the reader wrote it.
    own: bool,
    hash: Option<B256>,
}

impl<T> Hidden<T> {
    /// Shown to those who may read what is private about one of these; else left out (with
    /// `skip_serializing_if = "Hidden::is_hidden"`).
    pub(crate) fn new(sight: &Sight, about: impl Into<Vec<Subject>>, value: T) -> Self {
        Self { value, sight: sight.clone(), about: about.into(), own: false, hash: None }
    }

    /// Shown to everybody.
    pub(crate) fn open(sight: &Sight, value: T) -> Self {
        Self { value, sight: sight.clone(), about: Vec::new(), own: true, hash: None }
    }

    /// Others are shown the SHA-256 of these bytes. They must be more than anybody can guess: names and amounts are found
    /// by trying.
    pub(crate) fn or_hash_of(self, bytes: &[u8]) -> Self {
        Self { hash: Some(sha256(bytes)), ..self }
    }

    /// Its author is shown it, too.
    pub(crate) fn written_by(self, authorities: impl IntoIterator<Item = B256>) -> Self {
        let own = authorities.into_iter().any(|authority| self.sight.is(authority));
        self.own(own)
    }

    /// Whose it is is shown it, too.
    pub(crate) fn own(self, own: bool) -> Self {
        Self { own: self.own || own, ..self }
    }

    /// Something else that the same readers are shown.
    pub(crate) fn and<U>(&self, value: U) -> Hidden<U> {
        Hidden { value, sight: self.sight.clone(), about: self.about.clone(), own: self.own, hash: None }
    }

    /// Whether it is not shown.
    pub(crate) fn is_hidden(&self) -> bool {
        !self.own && !self.sight.may(ActionKind::ReadPrivate, &self.about)
    }
}

/// SHA-256, as hidden fields and the names of rule sets use it.
pub(crate) fn sha256(bytes: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(bytes))
}

/// Those of a list that are shown; the others leave no gap.
pub(crate) fn shown_alone<T: Serialize, S: Serializer>(
    list: &[Hidden<T>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().filter(|one| !one.is_hidden()))
}

/// Whether nothing of a list is shown.
pub(crate) fn all_hidden<T>(list: &[Hidden<T>]) -> bool {
    list.iter().all(Hidden::is_hidden)
}

impl<T: Serialize> Serialize for Hidden<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_hidden() {
            return self.value.serialize(serializer);
        }
        match self.hash {
            Some(hash) => serializer.collect_map([("sha256", hash)]),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_shown_more_than_a_hash() {
        let hidden = Hidden::new(&Sight::default(), [Subject::Stream], "flood");
        assert!(hidden.is_hidden());
        assert_eq!(serde_json::to_string(&hidden).unwrap(), "null");
        let hash = hex::encode(Sha256::digest("a command"));
        let json = serde_json::to_string(&hidden.or_hash_of(b"a command")).unwrap();
        assert_eq!(json, format!("{{\"sha256\":\"0x{hash}\"}}"));
    }

    #[test]
    fn nobody_is_the_author_of_what_nobody_signed() {
        let hidden = Hidden::new(&Sight::default(), [Subject::Stream], "flood").written_by([B256::ZERO]);
        assert!(hidden.is_hidden());
    }
}
