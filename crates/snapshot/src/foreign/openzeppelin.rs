//! OpenZeppelin's `StandardMerkleTree` (`standard-v1`) with leaves `address,uint256`
//! (<https://github.com/OpenZeppelin/merkle-tree>).
//!
//! Leaf = keccak256(keccak256(abi.encode(address, amount))). The tree is an array of 2n − 1 nodes, root first, children
//! of i at 2i + 1 and 2i + 2; the leaves, sorted, fill it from its end: the i-th smallest stands at 2n − 2 − i.

use super::{ForeignTree, order_by_hash};
use crate::keccak::{self, Hash};
use rayon::prelude::*;
use sluice_core::entitlement::Word;
use std::sync::atomic::{AtomicU32, Ordering};

/// abi.encode(address, uint256): two words, each filled up with zeros on the left.
fn encode(word: &Word) -> [u8; 64] {
    let mut encoded = [0; 64];
    encoded[12..32].copy_from_slice(&word.0[..20]);
    encoded[52..].copy_from_slice(&word.0[20..]);
    encoded
}

/// Messages hashed by one task.
const TASK: usize = 1_024;

pub(crate) fn leaves(words: &[Word]) -> Vec<Hash> {
    let mut leaves = vec![[0; 32]; words.len()];
    let tasks = leaves.par_chunks_mut(TASK).zip(words.par_chunks(TASK));
    tasks.for_each_init(
        || (vec![[0; 64]; TASK], vec![[0; 32]; TASK]),
        |(encoded, inner), (leaves, words)| {
            let (encoded, inner) = (&mut encoded[..words.len()], &mut inner[..words.len()]);
            encoded.iter_mut().zip(words).for_each(|(encoded, word)| *encoded = encode(word));
            keccak::many_into(encoded.as_flattened(), inner);
            keccak::many_into(inner.as_flattened(), leaves);
        },
    );
    leaves
}

pub(crate) fn tree(words: &[Word]) -> ForeignTree {
    let leaves = leaves(words);
    let last = 2 * leaves.len() - 2;
    let order = order_by_hash(&leaves);
    let mut nodes = vec![[0; 32]; last + 1];
    // The i-th smallest leaf stands i places before the last.
    let (_, of_leaves) = nodes.split_at_mut(leaves.len() - 1);
    let in_order = of_leaves.par_iter_mut().rev().zip(&order);
    in_order.for_each(|(node, &index)| *node = leaves[index as usize]);
    let places: Vec<AtomicU32> = (0..leaves.len()).map(|_| AtomicU32::new(0)).collect();
    order.par_iter().enumerate().for_each(|(rank, &index)| {
        let place = u32::try_from(last - rank).expect("a snapshot's count is bounded");
        places[index as usize].store(place, Ordering::Relaxed);
    });
    drop((leaves, order));
    // Inner nodes stand at 0..n − 1. One row of the heap, 2^k − 1 to 2^(k+1) − 2, needs only the row below it.
    let mut end = words.len() - 1;
    while end > 0 {
        let begin = (1 << end.ilog2()) - 1;
        let (upper, lower) = nodes.split_at_mut(end);
        let children = &lower[2 * begin + 1 - end..=end];
        upper[begin..]
            .par_chunks_mut(TASK)
            .zip(children.par_chunks(2 * TASK))
            .for_each_init(Vec::new, sorted_pairs_into);
        end = begin;
    }
    let places = places.into_iter().map(AtomicU32::into_inner).collect();
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

/// The parents of consecutive pairs of children, each pair sorted.
fn sorted_pairs_into(scratch: &mut Vec<Hash>, (parents, children): (&mut [Hash], &[Hash])) {
    scratch.clear();
    scratch.extend_from_slice(children);
    scratch.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.sort_unstable());
    keccak::many_into(scratch.as_flattened(), parents);
}
