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

/// Levels of a piece, which is hashed at a time: 4,096 words and 1,024 leaves, which the nearest caches hold. Room for
/// a whole shard's leaves would go back to the system with each shard and be handed out again, zeroed.
const PIECE_LEVELS: u8 = 10;

/// Words between one look ahead and the next: 4 KB, a page.
const LOOK_AHEAD: usize = 128;

/// The hashes of the buckets of `words`, the last filled up with padding.
pub(crate) fn leaves(words: &[Word]) -> Vec<Hash> {
    let mut hashes = Vec::new();
    leaves_into(words, &[], &mut hashes);
    hashes
}

/// The same into room that is kept. Meanwhile the words `ahead` are fetched, at the same pace: hashing leaves memory
/// idle, and the processor does not look across pages by itself.
fn leaves_into(words: &[Word], ahead: &[Word], hashes: &mut Vec<Hash>) {
    let (whole, rest) = words.split_at(words.len() - words.len() % 4);
    hashes.resize(words.len().div_ceil(4), [0; 32]);
    let mut ahead = ahead.chunks(LOOK_AHEAD);
    for (words, hashes) in whole.chunks(LOOK_AHEAD).zip(hashes.chunks_mut(LOOK_AHEAD / 4)) {
        keccak::prefetch(ahead.next().map_or(&[], bytes_of));
        keccak::many_into(bytes_of(words), &mut hashes[..words.len() / 4]);
    }
    if let ([.., last], [_, ..]) = (hashes.as_mut_slice(), rest) {
        let mut bucket = [Word::PADDING; 4];
        bucket[..rest.len()].copy_from_slice(rest);
        *last = keccak::one(bytes_of(&bucket));
    }
}

/// The level above `below`, whose nodes stand at `level`, into room that is kept; an odd last node is joined with the
/// zero subtree.
fn level_above(below: &mut Vec<Hash>, level: u8, above: &mut Vec<Hash>) {
    if below.len() % 2 == 1 {
        below.push(zero(level));
    }
    above.resize(below.len() / 2, [0; 32]);
    keccak::many_into(below.as_flattened(), above);
}

/// The levels `from..=levels` of the subtree of `levels` levels over `words`. Each holds only the nodes that are not
/// all padding, and at least one.
pub(crate) fn levels_over(words: &[Word], from: u8, levels: u8) -> Vec<Vec<Hash>> {
    debug_assert!(!words.is_empty() && words.len() as u64 <= capacity(levels));
    let mut kept = vec![Vec::new(); usize::from(levels - from) + 1];
    let mut keep = |level: u8, nodes: &[Hash]| {
        if level >= from {
            kept[usize::from(level - from)].extend_from_slice(nodes);
        }
    };
    let piece_levels = levels.min(PIECE_LEVELS);
    let piece = usize::try_from(capacity(piece_levels)).expect("4,096 at most");
    let (mut nodes, mut above, mut roots) = (Vec::new(), Vec::new(), Vec::new());
    for begin in (0..words.len()).step_by(piece) {
        let (words, ahead) = words[begin..].split_at(piece.min(words.len() - begin));
        leaves_into(words, &ahead[..piece.min(ahead.len())], &mut nodes);
        for level in 0..piece_levels {
            keep(level, &nodes);
            level_above(&mut nodes, level, &mut above);
            std::mem::swap(&mut nodes, &mut above);
        }
        roots.push(nodes[0]);
    }
    for level in piece_levels..levels {
        keep(level, &roots);
        level_above(&mut roots, level, &mut above);
        std::mem::swap(&mut roots, &mut above);
    }
    keep(levels, &roots);
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
