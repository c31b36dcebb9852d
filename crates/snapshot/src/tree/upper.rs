//! The tree over the shard roots, by rs_merkle.

use super::{SHARD_LEVELS, zero};
use crate::keccak::{self, Hash};
use alloy_primitives::B256;
use rs_merkle::{Hasher, MerkleProof, MerkleTree};

/// Keccak-256 with positional nodes, for rs_merkle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Positional;

impl Hasher for Positional {
    type Hash = Hash;

    fn hash(data: &[u8]) -> Hash {
        keccak::one(data)
    }

    // The default joins through two heap allocations.
    fn concat_and_hash(left: &Hash, right: Option<&Hash>) -> Hash {
        right.map_or(*left, |right| keccak::pair(left, right))
    }
}

/// The tree over the shard roots of one snapshot. A snapshot of one shard has one leaf here, which is its root.
pub(crate) struct Upper {
    tree: MerkleTree<Positional>,
    /// Its leaves, padding included.
    roots: Vec<Hash>,
}

impl Upper {
    /// The tree of `depth` levels in all over `roots`, filled up with the roots of zero shards.
    pub(crate) fn new(roots: &[Hash], depth: u8) -> Self {
        let mut leaves = roots.to_vec();
        leaves.resize(1 << levels(depth), zero(SHARD_LEVELS));
        Self { tree: MerkleTree::from_leaves(&leaves), roots: leaves }
    }

    /// The root of a shard.
    pub(crate) fn shard_root(&self, shard: u64) -> Option<&Hash> {
        self.roots.get(usize::try_from(shard).ok()?)
    }

    pub(crate) fn root(&self) -> Hash {
        self.tree.root().expect("a tree has at least one shard")
    }

    /// The siblings between a shard's root and the root.
    pub(crate) fn path(&self, shard: u64) -> Vec<B256> {
        let shard = usize::try_from(shard).expect("a mapped file's shards fit usize");
        self.tree.proof(&[shard]).proof_hashes().iter().map(|&hash| B256::new(hash)).collect()
    }

    /// The siblings between the node that lies `above` levels over the shards and covers `shard`, and the root.
    pub(crate) fn path_above(&self, shard: u64, above: u8) -> Vec<B256> {
        self.path(shard).split_off(usize::from(above))
    }
}

/// Levels of a tree of `depth` that lie above the shard roots.
fn levels(depth: u8) -> u8 {
    depth.saturating_sub(SHARD_LEVELS)
}

/// Whether `shard_root` stands at `shard` under `root`, by the siblings of `path`.
pub(crate) fn stands(root: &Hash, depth: u8, shard: u64, shard_root: Hash, path: &[B256]) -> bool {
    let leaves = 1usize << levels(depth);
    match usize::try_from(shard) {
        Ok(shard) if shard < leaves && path.len() == usize::from(levels(depth)) => {
            let proof = MerkleProof::<Positional>::new(path.iter().map(|hash| hash.0).collect());
            proof.verify(*root, &[shard], &[shard_root], leaves)
        }
        _ => false,
    }
}

impl std::fmt::Debug for Upper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upper({} shards)", self.roots.len())
    }
}
