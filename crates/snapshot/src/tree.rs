//! The native tree, which the Distributor verifies.
//!
//! Leaf = keccak256 of a **bucket** of 4 consecutive words (128 bytes). Node = keccak256(left ‖ right), positional: the
//! bits of the index decide the sides. The lengths tell leaf from node. The tree is perfect: its depth D is the least
//! with 4·2^D ≥ count, and everything from `count` on is zero words.
//!
//! A **shard** is the subtree over 65,536 words (14 levels above the buckets); shards are hashed in parallel, level by
//! level with the batched hash. The tree over the shard roots, padded with zero-shard roots to a power of two, is an
//! rs_merkle tree ([`Upper`]), which also makes and checks that part of every proof.

use crate::keccak::{self, Hash};
use alloy_primitives::B256;
use sluice_core::entitlement::Word;
use sluice_core::limits::SHARD;
use std::sync::LazyLock;

mod upper;

pub(crate) use upper::{Upper, stands};

/// Words in a bucket, the tree's leaf.
pub const BUCKET: u64 = 4;
/// Levels between the buckets and a shard's root: 4 · 2^14 = 65,536.
pub const SHARD_LEVELS: u8 = 14;
/// Levels between the buckets and the root of 256 entitlements, which is one word of the paid bitmap. The file holds
/// the nodes from here up; what lies below is hashed again when it is asked for (at most 127 hashes).
pub const WORD_LEVELS: u8 = 6;
/// Entitlements of one word of the paid bitmap.
pub const WORD_BITS: u64 = BUCKET << WORD_LEVELS;

const _: () = assert!(SHARD == BUCKET << SHARD_LEVELS);

/// The least depth whose tree has room for `count` entitlements.
pub fn depth_for(count: u64) -> u8 {
    let buckets = count.div_ceil(BUCKET).max(1);
    u8::try_from(buckets.next_power_of_two().trailing_zeros()).expect("below 64")
}

/// Entitlements (with padding) of a tree of this depth.
pub fn capacity(depth: u8) -> u64 {
    BUCKET << depth
}

/// The root of the all-padding subtree of `levels` levels.
pub fn zero_root(levels: u8) -> B256 {
    B256::new(zero(levels))
}

pub(crate) fn zero(levels: u8) -> Hash {
    static ZEROS: LazyLock<[Hash; 64]> = LazyLock::new(|| {
        let mut zeros = [keccak::one(&[0; 128]); 64];
        for level in 1..zeros.len() {
            zeros[level] = keccak::pair(&zeros[level - 1], &zeros[level - 1]);
        }
        zeros
    });
    ZEROS[usize::from(levels)]
}

/// The hashes of the buckets of `words`, the last filled up with padding.
pub(crate) fn leaves(words: &[Word]) -> Vec<Hash> {
    let whole = words.len() - words.len() % 4;
    let mut hashes = keccak::many(bytes_of(&words[..whole]), 128);
    if whole < words.len() {
        let mut bucket = [Word::PADDING; 4];
        bucket[..words.len() - whole].copy_from_slice(&words[whole..]);
        hashes.push(keccak::one(bytes_of(&bucket)));
    }
    hashes
}

/// The level above `below`, whose nodes stand at `level`; an odd last node is joined with the zero subtree.
pub(crate) fn level_above(below: &mut Vec<Hash>, level: u8) -> Vec<Hash> {
    let odd = below.len() % 2 == 1;
    if odd {
        below.push(zero(level));
    }
    let above = keccak::pairs(below);
    if odd {
        below.pop();
    }
    above
}

/// The levels `from..=levels` of the subtree of `levels` levels over `words`. Each holds only the nodes that are not
/// all padding, and at least one.
pub(crate) fn levels_over(words: &[Word], from: u8, levels: u8) -> Vec<Vec<Hash>> {
    debug_assert!(!words.is_empty() && words.len() as u64 <= capacity(levels));
    let mut kept = Vec::with_capacity(usize::from(levels - from) + 1);
    let mut nodes = leaves(words);
    for level in 0..levels {
        let above = level_above(&mut nodes, level);
        let below = std::mem::replace(&mut nodes, above);
        if level >= from {
            kept.push(below);
        }
    }
    kept.push(nodes);
    kept
}

/// The root of the subtree of `levels` levels over `words`; words that are missing are padding.
pub fn subtree_root(words: &[Word], levels: u8) -> B256 {
    B256::new(root_over(words, levels))
}

pub(crate) fn root_over(words: &[Word], levels: u8) -> Hash {
    if words.is_empty() {
        return zero(levels);
    }
    levels_over(words, levels, levels)[0][0]
}

/// The root that `node` at `position` of `level` has with the siblings of `path`.
pub(crate) fn fold(mut node: Hash, mut position: u64, path: &[B256]) -> Hash {
    for sibling in path {
        node = match position % 2 {
            0 => keccak::pair(&node, &sibling.0),
            _ => keccak::pair(&sibling.0, &node),
        };
        position /= 2;
    }
    node
}

/// The words' bytes, back to back.
pub(crate) fn bytes_of(words: &[Word]) -> &[u8] {
    // SAFETY: `Word` is `repr(transparent)` over `[u8; 32]`, so a slice of n words is 32·n initialised bytes.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 32) }
}

#[cfg(test)]
mod tests;
