use super::*;
use sluice_core::amount::Amount;

#[test]
fn depth_is_the_least_with_room() {
    for (count, depth) in
        [(1, 0), (4, 0), (5, 1), (8, 1), (9, 2), (65_536, 14), (65_537, 15), (50_000_000, 24)]
    {
        assert_eq!(depth_for(count), depth, "{count}");
        assert!(capacity(depth) >= count && (depth == 0 || capacity(depth - 1) < count));
    }
    assert_eq!(depth_for(crate::limits::ENTITLEMENTS_MAX), crate::limits::DEPTH_MAX);
}

#[test]
fn padding_is_zero_words() {
    let words: Vec<Word> =
        (1..=5).map(|i| Word::new([i; 20].into(), Amount::new(u128::from(i)).unwrap())).collect();
    let mut padded = words.clone();
    padded.resize(16, Word::PADDING);
    assert_eq!(root_over(&words, 2), root_over(&padded, 2));
    assert_eq!(root_over(&[], 3), root_over(&[Word::PADDING; 32], 3));
    assert_eq!(levels_over(&words, 0, 2)[2], vec![root_over(&padded, 2)]);
    // By hand: two buckets, then two of padding.
    let bucket = |words: &[Word]| keccak::one(bytes_of(words));
    let left = keccak::pair(&bucket(&padded[..4]), &bucket(&padded[4..8]));
    let right = keccak::pair(&keccak::one(&[0; 128]), &keccak::one(&[0; 128]));
    assert_eq!(root_over(&words, 2), keccak::pair(&left, &right));
}

/// Pieces are hashed apart; where they end must not show.
#[test]
fn levels_do_not_depend_on_pieces() {
    let word = |i: u32| Word::new([7; 20].into(), Amount::new(u128::from(i) + 1).unwrap());
    let piece = u32::try_from(capacity(PIECE_LEVELS)).unwrap();
    for count in [1, 3, 257, piece - 1, piece, piece + 1, 2 * piece + 5, 4 * piece] {
        let words: Vec<Word> = (0..count).map(word).collect();
        let levels = levels_over(&words, 0, PIECE_LEVELS + 2);
        let mut expected: Vec<Hash> = words
            .chunks(4)
            .map(|bucket| {
                let mut whole = [Word::PADDING; 4];
                whole[..bucket.len()].copy_from_slice(bucket);
                keccak::one(bytes_of(&whole))
            })
            .collect();
        for (level, found) in (0..).zip(&levels) {
            assert_eq!(found, &expected, "level {level} over {count}");
            let pairs = expected.chunks(2);
            expected =
                pairs.map(|pair| keccak::pair(&pair[0], pair.get(1).unwrap_or(&zero(level)))).collect();
        }
        for from in [1, PIECE_LEVELS, PIECE_LEVELS + 1, PIECE_LEVELS + 2] {
            assert_eq!(
                levels_over(&words, from, PIECE_LEVELS + 2),
                levels[usize::from(from)..],
                "from {from}"
            );
        }
    }
}
