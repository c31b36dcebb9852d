//! One entitlement as one EVM word: the recipient's 20 bytes, then the amount's 12.

use crate::amount::Amount;
use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One entry of a snapshot: who receives how much. The index names it in its round for ever.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
pub struct Entitlement {
    /// Place in the snapshot's order, from 0.
    pub index: u64,
    /// The address that receives.
    pub recipient: Address,
    /// Base units to pay.
    pub amount: Amount,
}

impl Entitlement {
    /// The entitlement that `word` is at `index`.
    pub fn from_word(index: u64, word: Word) -> Self {
        Self { index, recipient: word.recipient(), amount: word.amount() }
    }

    /// This entitlement without its index, as the tree and the Distributor hold it.
    pub fn word(&self) -> Word {
        Word::new(self.recipient, self.amount)
    }
}

/// Recipient and amount in 32 bytes. Words order as bytes: by recipient, then by amount.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[repr(transparent)]
pub struct Word(pub [u8; 32]);

impl Word {
    /// What stands behind the last entitlement in the perfect tree; it never pays.
    pub const PADDING: Self = Self([0; 32]);

    /// The word of `amount` for `recipient`.
    pub fn new(recipient: Address, amount: Amount) -> Self {
        let mut bytes = [0; 32];
        bytes[..20].copy_from_slice(recipient.as_slice());
        bytes[20..].copy_from_slice(&amount.to_be_bytes());
        Self(bytes)
    }

    /// The address that receives.
    pub fn recipient(&self) -> Address {
        Address::from_slice(&self.0[..20])
    }

    /// Base units to pay.
    pub fn amount(&self) -> Amount {
        let mut amount = [0; 12];
        amount.copy_from_slice(&self.0[20..]);
        Amount::from_be_bytes(amount)
    }

    /// Whether this is the padding behind the last entitlement.
    pub fn is_padding(&self) -> bool {
        *self == Self::PADDING
    }

    /// The 32 byte arrays of a mapped file seen as words, without copying.
    pub fn from_arrays(arrays: &[[u8; 32]]) -> &[Self] {
        // SAFETY: `Word` is `repr(transparent)` over `[u8; 32]` and every value of the bytes is a word, so length,
        // alignment and validity are those of the input.
        unsafe { std::slice::from_raw_parts(arrays.as_ptr().cast(), arrays.len()) }
    }
}

impl From<Word> for B256 {
    fn from(word: Word) -> Self {
        Self(word.0)
    }
}

impl From<B256> for Word {
    fn from(bytes: B256) -> Self {
        Self(bytes.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({}, {})", self.recipient(), self.amount())
    }
}

impl Serialize for Word {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(&B256::from(*self), serializer)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <B256 as Deserialize>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    #[test]
    fn a_word_is_address_then_amount() {
        let recipient = address!("0x1111111111111111111111111111111111111111");
        let entitlement = Entitlement { index: 7, recipient, amount: Amount::new(10u128.pow(18)).unwrap() };
        let word = entitlement.word();
        let expected = b256!("0x1111111111111111111111111111111111111111000000000de0b6b3a7640000");
        assert_eq!(B256::from(word), expected);
        assert_eq!(Entitlement::from_word(7, Word::from(expected)), entitlement);
        assert_eq!(Word::new(recipient, Amount::MAX).amount(), Amount::MAX);
        assert!(Word::default().is_padding() && !word.is_padding());
    }

    #[test]
    fn arrays_are_seen_as_words() {
        let arrays = [[1; 32], [2; 32]];
        assert_eq!(Word::from_arrays(&arrays), [Word([1; 32]), Word([2; 32])]);
        assert!(Word::from_arrays(&[]).is_empty());
    }
}
