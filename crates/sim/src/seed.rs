//! Numbers that follow from a seed. SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine and in
//! every version, which a seed printed today needs to mean something tomorrow.

use alloy_primitives::keccak256;
use uuid::Uuid;

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent stream for one purpose, so that one more draw here changes nothing there.
    pub(crate) fn fork(&self, purpose: &str) -> Self {
        let hash = keccak256([&self.0.to_be_bytes(), purpose.as_bytes()].concat());
        let (head, _) = hash.split_at(8);
        Self(u64::from_be_bytes(head.try_into().expect("eight bytes")))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0. The bias of the remainder does not matter for what is drawn here.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    pub(crate) fn slot(&mut self) -> usize {
        usize::from(self.below(2) == 1)
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let at = self.below(last as u64 + 1);
            items.swap(last, usize::try_from(at).expect("below a length"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_means_the_same() {
        let mut seed = Seed::new(7);
        assert_eq!([seed.next(), seed.next()], [7_191_089_600_892_374_487, 309_689_372_594_955_804]);
        assert_eq!(Seed::new(7).fork("a").uuid(), Seed::new(7).fork("a").uuid());
        assert_ne!(Seed::new(7).fork("a").next(), Seed::new(7).fork("b").next());
    }
}
