//! One bit for each entitlement of a list.

use std::path::Path;

use anyhow::{Context, ensure};

/// Bits by index; clear behind the last word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bitmap(Vec<u64>);

impl Bitmap {
    /// Room for so many, all clear.
    pub(super) fn new(count: u64) -> Self {
        Self(vec![0; usize::try_from(count.div_ceil(64)).expect("a list fits into memory")])
    }

    /// Sets a bit; says whether it was clear before.
    pub(super) fn set(&mut self, index: u64) -> bool {
        let at = usize::try_from(index / 64).expect("a list fits into memory");
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let before = self.0[at];
        self.0[at] |= 1 << (index % 64);
        before != self.0[at]
    }

    /// All of so many set.
    pub(super) fn full(count: u64) -> Self {
        let mut full = Self::new(count);
        full.0.fill(u64::MAX);
        if let Some(last) = full.0.last_mut().filter(|_| !count.is_multiple_of(64)) {
            *last = (1 << (count % 64)) - 1;
        }
        full
    }

    /// Whether a bit is set.
    pub(super) fn get(&self, index: u64) -> bool {
        let word = usize::try_from(index / 64).ok().and_then(|at| self.0.get(at));
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// How many are set.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many are set in one of the two alone.
    pub(super) fn differences(&self, other: &Self) -> u64 {
        let word = |of: &Self, at: usize| of.0.get(at).copied().unwrap_or(0);
        let words = 0..self.0.len().max(other.0.len());
        words.map(|at| u64::from((word(self, at) ^ word(other, at)).count_ones())).sum()
    }

    /// The words that have bits, with their numbers.
    pub(super) fn words(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0..).zip(&self.0).filter(|(_, word)| **word != 0).map(|(at, word)| (at, *word))
    }

    /// Keeps it in a file.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the file is not there, or not whole words.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (words, rest) = bytes.as_chunks::<8>();
        ensure!(rest.is_empty(), "{} is cut short; delete it", path.display());
        Ok(Self(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_compared_and_kept() {
        let (mut one, mut other) = (Bitmap::new(100), Bitmap::default());
        assert!(one.set(3) && one.set(99) && !one.set(3));
        assert!(other.set(99) && other.set(1_000));
        assert_eq!((one.count(), one.differences(&other), other.differences(&one)), (2, 2, 2));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bits");
        one.write(&path).unwrap();
        assert_eq!(Bitmap::read(&path).unwrap(), one);
        assert_eq!(one.words().collect::<Vec<_>>(), [(0, 1 << 3), (1, 1 << 35)]);
        assert_eq!([0, 1, 64, 130].map(|count| Bitmap::full(count).count()), [0, 1, 64, 130]);
        std::fs::write(&path, [1, 2, 3]).unwrap();
        assert!(Bitmap::read(&path).is_err());
    }
}
