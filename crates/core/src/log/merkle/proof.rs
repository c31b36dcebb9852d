//! Inclusion and consistency: making proofs from tiles (RFC 6962 sections 2.1.1 and 2.1.2) and verifying them
//! (RFC 9162 sections 2.1.3.2 and 2.1.4.2, which give the algorithms that RFC 6962 leaves out).

use std::collections::BTreeSet;

use super::tile::Node;
use super::{Hash, TileId, empty_root, node_hash};

/// Why a proof cannot be made, or does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No such leaf.
    #[error("leaf {index} does not exist in a tree of {size} leaves; the last one is at size - 1")]
    OutsideTree {
        /// The leaf's index, from 0.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The later tree is the smaller one.
    #[error("a tree of {new} leaves cannot continue one of {old}")]
    Shrunk {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
    /// The tiles given do not hold what the proof needs.
    #[error("tile {n} of level {level} is missing or shorter than the proof needs", n = .0.n, level = .0.level)]
    MissingTile(TileId),
    /// A proof of another tree.
    #[error("the proof has {found} hashes, which does not fit a tree of this size")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// The hashes do not give the root.
    #[error("the proof's hashes do not lead to the root")]
    WrongRoot,
}

/// Neighbouring leaves `from..to` that form a subtree of the whole: complete, or the ragged right end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    from: u64,
    to: u64,
}

impl Span {
    /// The complete subtrees it consists of, from the smallest and last to the largest and first.
    fn nodes(self) -> impl Iterator<Item = Node> {
        let mut rest = self.to - self.from;
        let from = self.from;
        std::iter::from_fn(move || {
            let height = (rest > 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(Node { height, index: (from + rest) >> height })
        })
    }

    /// Its root, of the roots of its complete subtrees.
    pub(super) fn root<E>(self, mut hash: impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
        let mut root: Option<Hash> = None;
        for node in self.nodes() {
            let left = hash(node)?;
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
        }
        Ok(root.unwrap_or_else(empty_root))
    }

    /// Splits at the largest power of two below its length, as RFC 6962 does.
    fn split(self) -> (Self, Self) {
        let left = 1 << (u64::BITS - 1 - (self.to - self.from - 1).leading_zeros());
        let middle = self.from + left;
        (Self { to: middle, ..self }, Self { from: middle, ..self })
    }

    fn len(self) -> u64 {
        self.to - self.from
    }

    /// The complete subtree that it is, if it is one.
    pub(super) fn as_node(self) -> Option<Node> {
        let height = self.len().trailing_zeros();
        (self.len().is_power_of_two() && self.from.trailing_zeros() >= height)
            .then_some(Node { height, index: self.from >> height })
    }
}

/// The spans whose roots are the inclusion path of a leaf, from the leaf upwards. Needs `index < size`.
pub(super) fn inclusion_spans(index: u64, size: u64) -> impl Iterator<Item = Span> {
    let mut spans = Vec::new();
    let mut within = Span { from: 0, to: size };
    while within.len() > 1 {
        let (left, right) = within.split();
        let (inside, beside) = if index < right.from { (left, right) } else { (right, left) };
        spans.push(beside);
        within = inside;
    }
    spans.into_iter().rev()
}

/// The spans whose roots are the consistency proof between two sizes. Needs `0 < old < new`.
fn consistency_spans(old: u64, new: u64) -> impl Iterator<Item = Span> {
    let mut spans = Vec::new();
    let mut within = Span { from: 0, to: new };
    while within.to > old {
        let (left, right) = within.split();
        let (inside, beside) = if old <= right.from { (left, right) } else { (right, left) };
        spans.push(beside);
        within = inside;
    }
    // A subtree that starts at 0 is the old tree itself, whose root the verifier has.
    if within.from > 0 {
        spans.push(within);
    }
    spans.into_iter().rev()
}

/// The path of a leaf in the tree of `size` leaves, from the tiles that [`inclusion_tiles`] names. A tile may hold more
/// hashes than that tree had; the surplus is not looked at.
pub fn inclusion_path<'a>(
    index: u64,
    size: u64,
    tile: impl Fn(TileId) -> Option<&'a [Hash]>,
) -> Result<Vec<Hash>, ProofError> {
    check_inside(index, size)?;
    roots(inclusion_spans(index, size), tile)
}

/// The tiles that [`inclusion_path`] will ask for, in order: at most two a level.
pub fn inclusion_tiles(index: u64, size: u64) -> Result<Vec<TileId>, ProofError> {
    check_inside(index, size)?;
    Ok(tiles(inclusion_spans(index, size)))
}

/// The proof that the tree of `new` leaves continues the tree of `old` leaves, from the tiles that
/// [`consistency_tiles`] names. Empty for equal sizes and for an empty old tree.
pub fn consistency_proof<'a>(
    old: u64,
    new: u64,
    tile: impl Fn(TileId) -> Option<&'a [Hash]>,
) -> Result<Vec<Hash>, ProofError> {
    check_grown(old, new)?;
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    roots(consistency_spans(old, new), tile)
}

/// The tiles that [`consistency_proof`] will ask for, in order.
pub fn consistency_tiles(old: u64, new: u64) -> Result<Vec<TileId>, ProofError> {
    check_grown(old, new)?;
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    Ok(tiles(consistency_spans(old, new)))
}

/// Whether this leaf hash stands at this index of the tree with this size and root. RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    check_inside(index, size)?;
    let length = ProofError::Length { found: path.len() };
    let mut climb = Climb { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in path {
        hash = match climb.step().ok_or(length)? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    climb.finish(length)?;
    equal(&hash, root)
}

/// Whether the tree of `new` leaves with root `new_root` begins with the tree of `old` leaves with root `old_root`.
/// RFC 9162 section 2.1.4.2; every tree continues the empty one.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    check_grown(old, new)?;
    let length = ProofError::Length { found: proof.len() };
    if old == 0 || old == new {
        let expected = if old == 0 { &empty_root() } else { new_root };
        return if proof.is_empty() { equal(expected, old_root) } else { Err(length) };
    }
    // An old tree of 2^k leaves is a node of the new one; its root is left out of the proof because it is known.
    let (first, rest) =
        if old.is_power_of_two() { (old_root, proof) } else { proof.split_first().ok_or(length)? };
    let shared = (old - 1).trailing_ones();
    let mut climb = Climb { node: (old - 1) >> shared, last: (new - 1) >> shared };
    let (mut of_old, mut of_new) = (*first, *first);
    for sibling in rest {
        match climb.step().ok_or(length)? {
            Side::Left => {
                of_old = node_hash(sibling, &of_old);
                of_new = node_hash(sibling, &of_new);
            }
            Side::Right => of_new = node_hash(&of_new, sibling),
        }
    }
    climb.finish(length)?;
    equal(&of_old, old_root)?;
    equal(&of_new, new_root)
}

/// The way from a node up to the root, beside which a proof's hashes stand.
struct Climb {
    node: u64,
    last: u64,
}

/// Where a proof's hash stands.
enum Side {
    Left,
    Right,
}

impl Climb {
    /// On which side the next hash stands; `None` at the root, where none may follow.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last { Side::Left } else { Side::Right };
        if matches!(side, Side::Left) {
            // The last node of a level has no right sibling: it rises unchanged until it is one itself.
            let risen = self.node.trailing_zeros();
            self.node >>= risen;
            self.last >>= risen;
        }
        self.node >>= 1;
        self.last >>= 1;
        Some(side)
    }

    /// A proof that ends below the root is too short.
    fn finish(self, length: ProofError) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(length) }
    }
}

fn roots<'a>(
    spans: impl Iterator<Item = Span>,
    tile: impl Fn(TileId) -> Option<&'a [Hash]>,
) -> Result<Vec<Hash>, ProofError> {
    let hash = |node: Node| {
        let id = node.tile();
        tile(id).and_then(|hashes| node.root_in(hashes)).ok_or(ProofError::MissingTile(id))
    };
    spans.map(|span| span.root(hash)).collect()
}

fn tiles(spans: impl Iterator<Item = Span>) -> Vec<TileId> {
    let distinct: BTreeSet<_> = spans.flat_map(|span| span.nodes().map(Node::tile)).collect();
    distinct.into_iter().collect()
}

fn check_inside(index: u64, size: u64) -> Result<(), ProofError> {
    if index < size { Ok(()) } else { Err(ProofError::OutsideTree { index, size }) }
}

fn check_grown(old: u64, new: u64) -> Result<(), ProofError> {
    if old <= new { Ok(()) } else { Err(ProofError::Shrunk { old, new }) }
}

fn equal(found: &Hash, root: &Hash) -> Result<(), ProofError> {
    if found == root { Ok(()) } else { Err(ProofError::WrongRoot) }
}
