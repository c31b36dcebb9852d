//! Where an address stands among sorted words.

use alloy_primitives::Address;
use sluice_core::entitlement::Word;

/// Guesses before the search proper. Addresses of keys are spread evenly, so each guess is nearer by a square root.
const GUESSES: usize = 3;

/// The place of the first word whose address is `address` or behind it. Half a dozen words are looked at where
/// addresses are spread evenly, which is a quarter of a bisection's; about twice a bisection's where they are not.
pub(super) fn first_at_least(words: &[Word], address: Address) -> usize {
    let wanted = leading(&address.0.0);
    let mut guess = 0;
    for _ in 0..GUESSES {
        let Some(word) = words.get(guess) else { break };
        let off = i128::from(wanted) - i128::from(leading(&word.0));
        let count = i128::try_from(words.len()).expect("a count of entitlements");
        let next = i128::try_from(guess).expect("likewise") + ((off * count) >> 64);
        guess = usize::try_from(next.max(0)).expect("a guess is near the count").min(words.len() - 1);
    }
    let (low, high) = around(words.len(), guess, |place| words[place].0[..20] < address[..]);
    low + words[low..high].partition_point(|word| word.0[..20] < address[..])
}

/// The first bytes of an address as a number.
fn leading(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.first_chunk().expect("an address has 20 bytes"))
}

/// A range near `guess` that holds the first place that is not `before`, or ends there.
fn around(count: usize, guess: usize, before: impl Fn(usize) -> bool) -> (usize, usize) {
    let mut step = 4;
    if guess < count && before(guess) {
        let mut low = guess + 1;
        loop {
            let next = guess.saturating_add(step);
            if next >= count {
                return (low, count);
            }
            if !before(next) {
                return (low, next);
            }
            (low, step) = (next + 1, step.saturating_mul(2));
        }
    }
    let mut high = guess.min(count);
    loop {
        let Some(next) = guess.checked_sub(step) else { return (0, high) };
        if before(next) {
            return (next + 1, high);
        }
        (high, step) = (next, step.saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sluice_core::amount::Amount;

    fn words(mut addresses: Vec<[u8; 20]>) -> Vec<Word> {
        addresses.sort_unstable();
        addresses.iter().map(|&bytes| Word::new(bytes.into(), Amount::MAX)).collect()
    }

    fn agrees(words: &[Word], address: [u8; 20]) {
        let expected = words.partition_point(|word| word.0[..20] < address[..]);
        assert_eq!(first_at_least(words, address.into()), expected, "{address:x?}");
    }

    proptest! {
        #[test]
        fn finds_what_bisection_finds(
            spread in prop::collection::vec(any::<[u8; 20]>(), 0..200),
            crowded in prop::collection::vec(any::<u16>(), 0..200),
            asked in any::<[u8; 20]>(),
        ) {
            let near = |number: &u16| {
                let mut address = [0x77; 20];
                address[18..].copy_from_slice(&number.to_be_bytes());
                address
            };
            let all: Vec<[u8; 20]> = spread.iter().copied().chain(crowded.iter().map(near)).collect();
            let words = words(all.clone());
            for address in all.into_iter().chain([asked, [0; 20], [0xff; 20], near(&0), near(&0xffff)]) {
                agrees(&words, address);
            }
        }
    }
}
