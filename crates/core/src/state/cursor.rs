//! Which rows of one (campaign, node) queue are answered.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};

/// All rows up to `low`, and some above it: a slow look-up at `low + 1` does not stop the rows behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Cursor {
    low: u64,
    above: BTreeSet<u64>,
}

impl Cursor {
    /// Every row up to here is answered.
    pub fn low(&self) -> u64 {
        self.low
    }

    /// Rows above `low` that are answered.
    pub fn ahead(&self) -> usize {
        self.above.len()
    }

    /// Whether row `n` is answered.
    pub fn contains(&self, n: u64) -> bool {
        n <= self.low || self.above.contains(&n)
    }

    /// Marks row `n`; says whether it was open.
    pub fn insert(&mut self, n: u64) -> bool {
        if self.contains(n) {
            return false;
        }
        self.above.insert(n);
        while self.above.remove(&(self.low + 1)) {
            self.low += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_answered_out_of_order_close_up() {
        let mut cursor = Cursor::default();
        assert!(cursor.insert(2));
        assert!(cursor.insert(3));
        assert_eq!((cursor.low(), cursor.ahead()), (0, 2));
        assert!(cursor.insert(1));
        assert_eq!((cursor.low(), cursor.ahead()), (3, 0));
        assert!(!cursor.insert(2), "a row is answered once");
    }
}
