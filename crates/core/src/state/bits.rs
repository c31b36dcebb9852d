//! One bit per entitlement of a shard.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::limits::SHARD;

/// `u64` words of a shard's bitmap.
pub const WORDS: usize = (SHARD / 64) as usize;

/// 65,536 bits; nothing is allocated while all are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bits(Option<Box<[u64; WORDS]>>);

impl Bits {
    /// Bit `at` (0 to 65,535).
    pub fn get(&self, at: usize) -> bool {
        self.0.as_ref().is_some_and(|w| w[at / 64] >> (at % 64) & 1 == 1)
    }

    /// Sets bit `at`; says whether it was clear before.
    pub fn set(&mut self, at: usize) -> bool {
        let word = &mut self.words_mut()[at / 64];
        let before = *word;
        *word |= 1 << (at % 64);
        before != *word
    }

    /// Clears bit `at`; says whether it was set before.
    pub fn clear(&mut self, at: usize) -> bool {
        self.0.as_mut().is_some_and(|w| {
            let before = w[at / 64];
            w[at / 64] &= !(1 << (at % 64));
            before != w[at / 64]
        })
    }

    /// `u64` word `at` of the bitmap.
    pub fn word(&self, at: usize) -> u64 {
        self.0.as_ref().map_or(0, |w| w[at])
    }

    /// The 256 bits of the Distributor's word `at` (0 to 255) within this shard.
    pub fn word256(&self, at: usize) -> [u64; 4] {
        std::array::from_fn(|i| self.word(at * 4 + i))
    }

    /// Mutable words; allocates.
    pub fn words_mut(&mut self) -> &mut [u64; WORDS] {
        self.0.get_or_insert_with(|| Box::new([0; WORDS]))
    }

    /// The words, or `None` while nothing was ever set.
    pub fn words(&self) -> Option<&[u64; WORDS]> {
        self.0.as_deref()
    }

    /// How many bits are set.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |w| w.iter().map(|x| u64::from(x.count_ones())).sum())
    }
}
