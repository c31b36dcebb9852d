//! OpenZeppelin's `StandardMerkleTree` (`standard-v1`) with leaves `address,uint256`
//! (<https://github.com/OpenZeppelin/merkle-tree>).
//!
//! Leaf = keccak256(keccak256(abi.encode(address, amount))). The tree is an array of 2n − 1 nodes, root first, children
//! of i at 2i + 1 and 2i + 2; the leaves, sorted, fill it from its end: the i-th smallest stands at 2n − 2 − i.

use super::{ForeignTree, order_by_hash, sorted_pairs};
use crate::keccak::{self, Hash};
use sluice_core::entitlement::Word;

/// abi.encode(address, uint256): two words, each filled up with zeros on the left.
fn encode(word: &Word) -> [u8; 64] {
    let mut encoded = [0; 64];
    encoded[12..32].copy_from_slice(&word.0[..20]);
    encoded[52..].copy_from_slice(&word.0[20..]);
    encoded
}

pub(crate) fn leaves(words: &[Word]) -> Vec<Hash> {
    let encoded: Vec<[u8; 64]> = words.iter().map(encode).collect();
    let inner = keccak::many(encoded.as_flattened(), 64);
    keccak::many(inner.as_flattened(), 32)
}

pub(crate) fn tree(words: &[Word]) -> ForeignTree {
    let leaves = leaves(words);
    let last = 2 * leaves.len() - 2;
    let mut nodes = vec![[0; 32]; last + 1];
    let mut places = vec![0; leaves.len()];
    for (rank, &index) in order_by_hash(&leaves).iter().enumerate() {
        nodes[last - rank] = leaves[index as usize];
        places[index as usize] = u32::try_from(last - rank).expect("a snapshot's count is bounded");
    }
    // Inner nodes stand at 0..n − 1. One row of the heap, 2^k − 1 to 2^(k+1) − 2, needs only the row below it.
    let inner = leaves.len() - 1;
    let mut end = inner;
    while end > 0 {
        let begin = (1 << end.ilog2()) - 1;
        let parents = sorted_pairs(&nodes[2 * begin + 1..2 * end + 1]);
        nodes[begin..end].copy_from_slice(&parents);
        end = begin;
    }
    ForeignTree { root: nodes[0], nodes, places }
}

/// The places of the siblings on the way from `place` to the root.
pub(crate) fn siblings(place: u32) -> Vec<usize> {
    let mut at = place as usize;
    let mut siblings = Vec::new();
    while at > 0 {
        siblings.push(if at % 2 == 1 { at + 1 } else { at - 1 });
        at = (at - 1) / 2;
    }
    siblings
}
