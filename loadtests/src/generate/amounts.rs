//! Amounts as real lists have them: a long tail, every decimal used, and a sum that is right to the base unit.

use rayon::prelude::*;

/// Octaves between the least amount and the largest. Each next octave has half the wallets of the one before and so
/// the same money: a Pareto tail, cut where one wallet would get too much to be believed.
const OCTAVES: u32 = 18;

/// A number that looks random, from two that need not.
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    let mut z = seed.wrapping_mul(0xd1b5_4a32_d192_ed03) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A wallet's part of the money, in proportion to others'; below 2^35.
pub(crate) fn weight(seed: u64, wallet: u64) -> u64 {
    let random = mix(seed ^ 0xa3, wallet);
    let octave = (random >> 16).trailing_zeros().min(OCTAVES);
    (0x1_0000 + (random & 0xffff)) << octave
}

/// The weights of wallets `first..first + rows` added up.
pub(crate) fn weights(seed: u64, first: u64, rows: u64) -> u64 {
    (first..first + rows).into_par_iter().map(|wallet| weight(seed, wallet)).sum()
}

/// The part of `total` that `weight` of `weights` has, rounded down.
pub(crate) fn part(total: u128, weight: u64, weights: u64) -> u128 {
    // Below 2^35 · 2^92: totals are bounded by the caller.
    total * u128::from(weight) / u128::from(weights)
}

/// The largest total that [`part`] can divide.
pub(crate) const TOTAL_MAX: u128 = 1 << 93;

/// Writes `amount` base units as tokens, with all its decimals.
pub(crate) fn write(to: &mut Vec<u8>, amount: u128, decimals: u8) {
    let one = 10u64.pow(u32::from(decimals));
    let (whole, fraction) = ((amount / u128::from(one)), (amount % u128::from(one)));
    let mut digits = [b'0'; 40];
    let at = digits_before(&mut digits, 40, whole);
    to.extend_from_slice(&digits[at.min(39)..]);
    if decimals > 0 {
        digits = [b'0'; 40];
        digits_before(&mut digits, 40, fraction);
        to.push(b'.');
        to.extend_from_slice(&digits[40 - usize::from(decimals)..]);
    }
}

/// Writes the digits of `value` so that they end before `end`, and returns where they begin.
fn digits_before(digits: &mut [u8; 40], mut end: usize, value: u128) -> usize {
    let (mut high, mut low) =
        (value / 10u128.pow(19), u64::try_from(value % 10u128.pow(19)).expect("19 digits"));
    let mut least = if high > 0 { end - 19 } else { end };
    while low > 0 {
        end -= 1;
        digits[end] = b'0' + (low % 10) as u8;
        low /= 10;
    }
    end = end.min(least);
    while high > 0 {
        least -= 1;
        digits[least] = b'0' + (high % 10) as u8;
        high /= 10;
        end = least;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_full() {
        let cases: [(u128, u8, &str); 8] = [
            (1, 18, "0.000000000000000001"),
            (0, 6, "0.000000"),
            (1_500_000, 6, "1.500000"),
            (12, 0, "12"),
            (0, 0, "0"),
            (10u128.pow(19), 0, "10000000000000000000"),
            (79_228_162_514_264_337_593_543_950_335, 18, "79228162514.264337593543950335"),
            (79_228_162_514_264_337_593_543_950_335, 0, "79228162514264337593543950335"),
        ];
        for (amount, decimals, text) in cases {
            let mut written = Vec::new();
            write(&mut written, amount, decimals);
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }

    #[test]
    fn the_tail_is_long() {
        let mut all: Vec<u64> = (0..100_000).map(|wallet| weight(1, wallet)).collect();
        all.sort_unstable();
        let sum: u64 = all.iter().sum();
        assert_eq!(sum, weights(1, 0, 100_000));
        let top: u64 = all[99_000..].iter().sum();
        // One wallet in a hundred holds a third of the money or more; the least still has something.
        assert!(top * 3 > sum && top < sum, "{top} of {sum}");
        assert!(all[0] >= 0x1_0000 && all[99_999] < 1 << 35);
    }
}
