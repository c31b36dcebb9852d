//! Uniswap's merkle-distributor (<https://github.com/Uniswap/merkle-distributor>).
//!
//! The index of an entitlement is its place in the ASCII order of the EIP-55 spellings. Leaf = keccak256 of index
//! (32 bytes), address (20), amount (32), packed. Layers: the leaves sorted, then the parents of each pair; an odd last
//! node moves up unchanged.

use super::{ForeignTree, order_by_hash, sorted_pairs};
use crate::keccak::{self, Hash};
use crate::list::address::spell;
use rayon::prelude::*;
use sluice_core::entitlement::Word;

/// Sorts entries by their addresses' EIP-55 spelling.
pub(crate) fn sort<T: Copy + Send>(words: &mut Vec<Word>, beside: &mut Vec<T>) {
    let addresses: Vec<[u8; 20]> = words.iter().map(|word| word.recipient().0.0).collect();
    let mut keyed: Vec<([u8; 40], usize)> = spell(&addresses).into_iter().zip(0..).collect();
    keyed.par_sort_unstable();
    *words = keyed.iter().map(|&(_, at)| words[at]).collect();
    if !beside.is_empty() {
        *beside = keyed.iter().map(|&(_, at)| beside[at]).collect();
    }
}

fn encode(index: u64, word: &Word) -> [u8; 84] {
    let mut encoded = [0; 84];
    encoded[24..32].copy_from_slice(&index.to_be_bytes());
    encoded[32..52].copy_from_slice(&word.0[..20]);
    encoded[72..].copy_from_slice(&word.0[20..]);
    encoded
}

pub(crate) fn leaf(index: u64, word: &Word) -> Hash {
    keccak::one(&encode(index, word))
}

/// The number of nodes in each layer of a tree over `count` leaves, leaves first.
pub(crate) fn layers(count: u64) -> Vec<u64> {
    let mut layers = vec![count];
    while let Some(&below @ 2..) = layers.last() {
        layers.push(below.div_ceil(2));
    }
    layers
}

pub(crate) fn tree(words: &[Word]) -> ForeignTree {
    let encoded: Vec<[u8; 84]> = (0..).zip(words).map(|(index, word)| encode(index, word)).collect();
    let leaves = keccak::many(encoded.as_flattened(), 84);
    let mut layer = Vec::with_capacity(leaves.len());
    let mut places = vec![0; leaves.len()];
    for (place, &index) in (0..).zip(&order_by_hash(&leaves)) {
        layer.push(leaves[index as usize]);
        places[index as usize] = place;
    }
    let mut nodes = layer.clone();
    while layer.len() > 1 {
        let (pairs, odd) = layer.as_chunks::<2>();
        let mut above = sorted_pairs(pairs.as_flattened());
        above.extend_from_slice(odd);
        nodes.extend_from_slice(&above);
        layer = above;
    }
    ForeignTree { root: layer[0], nodes, places }
}

/// The places of the siblings on the way from the leaf at `place` to the root.
pub(crate) fn siblings(place: u32, count: u64) -> Vec<usize> {
    let (mut at, mut begin) = (place as usize, 0);
    let mut siblings = Vec::new();
    for length in layers(count) {
        let length = usize::try_from(length).expect("a mapped file's nodes fit usize");
        if at ^ 1 < length {
            siblings.push(begin + (at ^ 1));
        }
        at /= 2;
        begin += length;
    }
    siblings
}
