//! Choices from a seed: who acts when and on whom. Who is first is then up to the machine.

use std::time::Duration;

/// Numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    /// The choices of one part of the story.
    pub(super) fn new(seed: u64, part: &str) -> Self {
        let part = part.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed ^ part)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    /// One of the two nodes.
    pub(super) fn node(&mut self) -> usize {
        usize::from(self.below(2) == 1)
    }

    /// A time up to so many milliseconds.
    pub(super) fn within(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis))
    }

    /// Brings them into some order.
    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in 0..all.len() {
            let other = at + usize::try_from(self.below((all.len() - at) as u64)).unwrap_or(0);
            all.swap(at, other);
        }
    }

    /// So many different numbers below `n`, in some order.
    pub(super) fn some(&mut self, count: usize, n: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        self.shuffle(&mut all);
        all.truncate(count);
        all
    }
}
