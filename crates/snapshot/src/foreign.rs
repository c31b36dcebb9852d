//! The trees of Sluice's peers, byte for byte. Both sort the two children of a node before hashing them, so a proof
//! needs no index; they differ in the leaf, the order of leaves and the shape.

use crate::file::Format;
use crate::keccak::{self, Hash};
use alloy_primitives::B256;
use serde::Serialize;
use sluice_core::entitlement::{Entitlement, Word};

pub mod openzeppelin;
pub mod uniswap;

/// A whole foreign tree.
pub(crate) struct ForeignTree {
    pub root: Hash,
    /// All nodes, in the format's own order.
    pub nodes: Vec<Hash>,
    /// For each entitlement the place of its leaf among the nodes.
    pub places: Vec<u32>,
}

/// The tree over `words` in index order.
pub(crate) fn tree(format: Format, words: &[Word]) -> ForeignTree {
    match format {
        Format::OpenZeppelin => openzeppelin::tree(words),
        Format::Uniswap => uniswap::tree(words),
        Format::Native => unreachable!("the native tree is not foreign"),
    }
}

/// The leaf of one entitlement.
pub(crate) fn leaf(format: Format, entitlement: &Entitlement) -> Hash {
    let word = entitlement.word();
    match format {
        Format::OpenZeppelin => openzeppelin::leaves(&[word])[0],
        Format::Uniswap => uniswap::leaf(entitlement.index, &word),
        Format::Native => unreachable!("the native tree is not foreign"),
    }
}

/// The siblings from a leaf to the root.
pub(crate) fn path(format: Format, nodes: &[Hash], count: u64, place: u32) -> Vec<B256> {
    let siblings = match format {
        Format::OpenZeppelin => openzeppelin::siblings(place),
        Format::Uniswap => uniswap::siblings(place, count),
        Format::Native => unreachable!("the native tree is not foreign"),
    };
    siblings.into_iter().map(|place| B256::new(nodes[place])).collect()
}

/// A proof that an entitlement stands in a foreign tree, as the peer's contract takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForeignProof {
    /// The tree's format.
    pub format: Format,
    /// What is proven. Uniswap's leaf holds the index, OpenZeppelin's does not.
    pub entitlement: Entitlement,
    /// The siblings from leaf to root.
    pub path: Vec<B256>,
}

impl ForeignProof {
    /// The leaf's hash.
    pub fn leaf(&self) -> B256 {
        B256::new(leaf(self.format, &self.entitlement))
    }

    /// Whether the proof leads to `root`.
    pub fn verify(&self, root: B256) -> bool {
        if self.format == Format::Native {
            return false;
        }
        let leaf = self.leaf().0;
        root.0 == self.path.iter().fold(leaf, |node, sibling| sorted_pair(&node, &sibling.0))
    }
}

/// keccak256 of the smaller and then the larger node.
fn sorted_pair(a: &Hash, b: &Hash) -> Hash {
    if a <= b { keccak::pair(a, b) } else { keccak::pair(b, a) }
}

/// The parents of consecutive pairs, by the batched hash.
fn sorted_pairs(below: &[Hash]) -> Vec<Hash> {
    let mut pairs = below.to_vec();
    pairs.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.sort_unstable());
    keccak::pairs(&pairs)
}

/// The order that sorts `leaves`: the indexes of the leaves, smallest hash first. Equal leaves stay in index order.
fn order_by_hash(leaves: &[Hash]) -> Vec<u32> {
    use rayon::prelude::*;
    // The first bytes decide almost always; looking up both leaves for every comparison would wait for memory.
    let leading = |leaf: &Hash| u64::from_be_bytes(*leaf.first_chunk().expect("8 bytes"));
    let count = u32::try_from(leaves.len()).expect("a snapshot's count is bounded");
    let mut order: Vec<(u64, u32)> =
        leaves.par_iter().zip(0..count).map(|(leaf, index)| (leading(leaf), index)).collect();
    order.par_sort_unstable_by(|a, b| {
        let whole = |&(_, index): &(u64, u32)| (leaves[index as usize], index);
        a.0.cmp(&b.0).then_with(|| whole(a).cmp(&whole(b)))
    });
    order.into_par_iter().map(|(_, index)| index).collect()
}
