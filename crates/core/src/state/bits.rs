//! One bit per entitlement of a shard.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::limits::SHARD;

/// `u64` words of a shard's bitmap.
pub const WORDS: usize = (SHARD / 64) as usize;

/// 65,536 bits; nothing is allocated while all are zero. Clones share them until either side changes one, so that State
/// is cloned for a leader or for a dump without copying what may be 50 million bits several times over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Option<Arc<[u64; WORDS]>>);

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
        if !self.get(at) {
            return false;
        }
        self.words_mut()[at / 64] &= !(1 << (at % 64));
        true
    }

    /// `u64` word `at` of the bitmap.
    pub fn word(&self, at: usize) -> u64 {
        self.0.as_ref().map_or(0, |w| w[at])
    }

    /// The 256 bits of the Distributor's word `at` (0 to 255) within this shard.
    pub fn word256(&self, at: usize) -> [u64; 4] {
        std::array::from_fn(|i| self.word(at * 4 + i))
    }

    /// Mutable words; allocates, and copies what a clone shares.
    pub fn words_mut(&mut self) -> &mut [u64; WORDS] {
        Arc::make_mut(self.0.get_or_insert_with(|| Arc::new([0; WORDS])))
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

/// As borsh has an optional array of words, but in one piece.
impl BorshSerialize for Bits {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        let Some(words) = self.words() else { return writer.write_all(&[0]) };
        let mut bytes = Vec::with_capacity(1 + WORDS * 8);
        bytes.push(1);
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        writer.write_all(&bytes)
    }
}

impl BorshDeserialize for Bits {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        match u8::deserialize_reader(reader)? {
            0 => Ok(Self(None)),
            1 => {
                let mut bytes = vec![0; WORDS * 8];
                reader.read_exact(&mut bytes)?;
                let mut words = [0; WORDS];
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                Ok(Self(Some(Arc::new(words))))
            }
            _ => Err(Error::new(ErrorKind::InvalidData, "bits are there or not, 1 or 0")),
        }
    }
}
