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
