//! Proofs against a native root: of one entitlement, of a range, of some entitlements of one bitmap word, and of
//! absence. They verify with nothing but the root, the depth and, for absence, the count published with them.

use crate::keccak::Hash;
use crate::limits::DEPTH_MAX;
use crate::tree::{self, BUCKET, SHARD_LEVELS, WORD_BITS, WORD_LEVELS};
use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use sluice_core::entitlement::{Entitlement, Word};

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The depth is none a tree has.
    #[error("the depth {0} is above {DEPTH_MAX}")]
    Depth(u8),
    /// The index lies outside the tree. Without this check one proof would hold for index, index + 4·2^depth, …
    #[error("index {index} is outside the tree, which has room for {capacity}")]
    Capacity {
        /// The index.
        index: u64,
        /// What the tree has room for.
        capacity: u64,
    },
    /// A range that is no subtree.
    #[error("the range does not begin at a multiple of its size")]
    Unaligned,
    /// Too many or too few siblings.
    #[error("the path has {found} hashes, {expected} are needed")]
    PathLength {
        /// Hashes there are.
        found: usize,
        /// Hashes there must be.
        expected: usize,
    },
    /// Too many or too few words.
    #[error("there are {found} words, {expected} are needed")]
    WordCount {
        /// Words there are.
        found: usize,
        /// Words there must be.
        expected: usize,
    },
    /// The proven word is padding, which is nobody's.
    #[error("the proven word is padding")]
    Padding,
    /// The hashes lead elsewhere.
    #[error("the proof leads to another root")]
    Root,
    /// The neighbours are not neighbours, or the address does not lie between them.
    #[error("the proven neighbours do not enclose the address")]
    Neighbours,
}

/// Proof that one entitlement stands in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The entitlement's index.
    pub index: u64,
    /// The bucket of four words that holds it; the other three are thereby shown too.
    pub bucket: [Word; 4],
    /// The siblings from the bucket to the root, as many as the tree is deep.
    pub path: Vec<B256>,
}

impl Proof {
    /// The entitlement spoken of, proven only once [`Proof::verify`] agrees.
    pub fn entitlement(&self) -> Entitlement {
        let place = usize::try_from(self.index % BUCKET).expect("below 4");
        Entitlement::from_word(self.index, self.bucket[place])
    }

    /// Checks the proof against a root of a tree of `depth` and returns the entitlement it proves.
    pub fn verify(&self, root: B256, depth: u8) -> Result<Entitlement, ProofError> {
        check_range(self.index - self.index % BUCKET, 0, depth)?;
        check_path(self.path.len(), usize::from(depth))?;
        let leaf = tree::leaves(&self.bucket)[0];
        if !leads_to(root, depth, leaf, self.index / BUCKET, 0, &self.path) {
            return Err(ProofError::Root);
        }
        let entitlement = self.entitlement();
        if entitlement.word().is_padding() { Err(ProofError::Padding) } else { Ok(entitlement) }
    }
}

/// Proof of an aligned range: the arguments of the Distributor's `settle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenseProof {
    /// The first entitlement, a multiple of 4 · 2^levels.
    pub start: u64,
    /// Levels of the subtree that the range is.
    pub levels: u8,
    /// All its words, padding included.
    pub words: Vec<Word>,
    /// The siblings from the subtree's root to the root.
    pub path: Vec<B256>,
}

impl DenseProof {
    /// Checks that the words stand at `start` in the tree.
    pub fn verify(&self, root: B256, depth: u8) -> Result<(), ProofError> {
        check_range(self.start, self.levels, depth)?;
        check_path(self.path.len(), usize::from(depth - self.levels))?;
        let expected = usize::try_from(tree::capacity(self.levels)).unwrap_or(usize::MAX);
        if self.words.len() != expected {
            return Err(ProofError::WordCount { found: self.words.len(), expected });
        }
        let node = tree::root_over(&self.words, self.levels);
        let position = self.start / tree::capacity(self.levels);
        let holds = leads_to(root, depth, node, position, self.levels, &self.path);
        if holds { Ok(()) } else { Err(ProofError::Root) }
    }
}

/// Proof of some entitlements of one bitmap word (256 entitlements): an item of the Distributor's `settleSparse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparseProof {
    /// The bitmap word: entitlement 256·word + i is bit i.
    pub word: u64,
    /// The entitlements meant.
    pub mask: U256,
    /// The words of every bucket that has a bit in the mask, ascending.
    pub words: Vec<Word>,
    /// The sibling hashes that are missing, level by level from the buckets up, left to right.
    pub path: Vec<B256>,
}

impl SparseProof {
    /// Checks that the buckets stand where word and mask say, and that nothing is left over.
    pub fn verify(&self, root: B256, depth: u8) -> Result<(), ProofError> {
        let first = self.word.saturating_mul(WORD_BITS);
        check_range(first, 0, depth)?;
        let places = buckets_of(self.mask);
        if let Some(&last) = places.last() {
            check_range(first + last * BUCKET, 0, depth)?;
        }
        let expected = 4 * places.len();
        if self.words.len() != expected || places.is_empty() {
            return Err(ProofError::WordCount { found: self.words.len(), expected });
        }
        let base = first / BUCKET;
        let leaves = tree::leaves(&self.words);
        let mut known: Vec<(u64, Hash)> = places.iter().map(|place| base + place).zip(leaves).collect();
        let mut rest = self.path.iter();
        for _ in 0..depth {
            known = ascend(&known, &mut rest)
                .ok_or(ProofError::PathLength { found: self.path.len(), expected: self.path.len() + 1 })?;
        }
        if rest.len() > 0 {
            let expected = self.path.len() - rest.len();
            return Err(ProofError::PathLength { found: self.path.len(), expected });
        }
        if known[0].1 == root.0 { Ok(()) } else { Err(ProofError::Root) }
    }
}

/// The level above some nodes, with siblings that are not among them taken from `rest`.
fn ascend<'a>(known: &[(u64, Hash)], rest: &mut impl Iterator<Item = &'a B256>) -> Option<Vec<(u64, Hash)>> {
    let mut above = Vec::with_capacity(known.len());
    for family in known.chunk_by(|a, b| a.0 / 2 == b.0 / 2) {
        let (left, right) = match *family {
            [(_, left), (_, right)] => (left, right),
            [(position, node)] if position % 2 == 0 => (node, rest.next()?.0),
            [(_, node)] => (rest.next()?.0, node),
            _ => unreachable!("positions are distinct"),
        };
        above.push((family[0].0 / 2, crate::keccak::pair(&left, &right)));
    }
    Some(above)
}

/// Positions that are missing beside `known` ones, left to right.
pub(crate) fn missing_siblings(known: &[u64]) -> Vec<u64> {
    known
        .iter()
        .map(|position| position ^ 1)
        .filter(|sibling| known.binary_search(sibling).is_err())
        .collect()
}

/// The buckets of a bitmap word that have a bit in `mask`, from 0 to 63.
pub(crate) fn buckets_of(mask: U256) -> Vec<u64> {
    let nibble = |bucket: u64| mask.as_limbs()[(bucket / 16) as usize] >> (4 * (bucket % 16)) & 15;
    (0..WORD_BITS / BUCKET).filter(|&bucket| nibble(bucket) != 0).collect()
}

/// Proof that an address has no entitlement: its two neighbours, or the first or the last entitlement.
///
/// The root alone does not prove that entitlements are in order; absence holds for a snapshot that `snapshot verify`
/// has checked, with the count committed at its publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// The address that is not listed.
    pub address: Address,
    /// The last entitlement before it; `None` when it would be the first.
    pub before: Option<Proof>,
    /// The first entitlement after it; `None` when it would be the last.
    pub after: Option<Proof>,
}

impl Absence {
    /// Checks that nothing can stand between the neighbours in a sorted snapshot of `count` entitlements.
    pub fn verify(&self, root: B256, depth: u8, count: u64) -> Result<(), ProofError> {
        let verify =
            |proof: &Option<Proof>| proof.as_ref().map(|proof| proof.verify(root, depth)).transpose();
        let (before, after) = (verify(&self.before)?, verify(&self.after)?);
        let enclosed = before.is_none_or(|neighbour| neighbour.recipient < self.address)
            && after.is_none_or(|neighbour| self.address < neighbour.recipient);
        let adjacent = match (before, after) {
            (Some(before), Some(after)) => before.index + 1 == after.index && after.index < count,
            (None, Some(first)) => first.index == 0,
            (Some(last), None) => last.index + 1 == count,
            (None, None) => false,
        };
        if enclosed && adjacent { Ok(()) } else { Err(ProofError::Neighbours) }
    }
}

fn check_range(start: u64, levels: u8, depth: u8) -> Result<(), ProofError> {
    if depth > DEPTH_MAX {
        return Err(ProofError::Depth(depth));
    }
    let capacity = tree::capacity(depth);
    if start >= capacity || levels > depth {
        return Err(ProofError::Capacity { index: start, capacity });
    }
    if start.is_multiple_of(tree::capacity(levels)) { Ok(()) } else { Err(ProofError::Unaligned) }
}

fn check_path(found: usize, expected: usize) -> Result<(), ProofError> {
    if found == expected { Ok(()) } else { Err(ProofError::PathLength { found, expected }) }
}

/// Whether `node` at `position` of `level` leads to `root`. The path's length has been checked.
fn leads_to(root: B256, depth: u8, node: Hash, position: u64, level: u8, path: &[B256]) -> bool {
    if level >= SHARD_LEVELS {
        return tree::fold(node, position, path) == root.0;
    }
    let below = usize::from(SHARD_LEVELS.min(depth) - level);
    let shard_root = tree::fold(node, position, &path[..below]);
    tree::stands(&root.0, depth, position >> below, shard_root, &path[below..])
}

const _: () = assert!(WORD_LEVELS <= SHARD_LEVELS);
