//! The Merkle tree over the log: RFC 6962 section 2.1 with SHA-256, kept as its right edge and as the tiles of C2SP
//! `tlog-tiles`.
//!
//! The leaf at index `seq - 1` is the entry's bytes at `seq`. A group's inclusion paths come out of the append itself,
//! so that a receipt can be handed out with the decision; paths of older leaves are read from tiles.

mod proof;
mod tile;

#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};

pub use proof::{
    ProofError, consistency_proof, consistency_tiles, inclusion_path, inclusion_tiles, verify_consistency,
    verify_inclusion,
};
pub use tile::{TILE_WIDTH, Tile, TileId};

use proof::Span;
use tile::{Node, TILE_HEIGHT};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256(0x00 ‖ data). RFC 6962 section 2.1.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0x00]).chain_update(data).finalize().into()
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right). RFC 6962 section 2.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([0x01]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of a tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The right edge of a tree: what appending and the root need, and the tiles that are not full yet. Its size is
/// logarithmic in the log's, at most 8 KiB per tile level (three levels for 16 million entries).
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that make up the tree, the largest first: one per set bit of `size`.
    edge: Vec<Hash>,
    /// The open tile of each level from 1 on, as far as the tree reaches. Level 0 is in the log's rows.
    open: Vec<Vec<Hash>>,
}

/// What appending a group of leaves yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The tree's size with the group.
    pub size: u64,
    /// The tree's root at that size.
    pub root: Hash,
    /// For each leaf of the group, in order, its inclusion path at that size.
    pub paths: Vec<Vec<Hash>>,
    /// Tiles of level 1 and above that became full, lower levels first at each place.
    pub tiles: Vec<Tile>,
}

impl Frontier {
    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root at this size.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.edge.iter().rev();
        let Some(smallest) = subtrees.next() else { return empty_root() };
        subtrees.fold(*smallest, |right, left| node_hash(left, &right))
    }

    /// Appends one leaf; returns the tiles of level 1 and above that it filled.
    pub fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        let mut tiles = Vec::new();
        self.append(leaf, &mut tiles, |_, _| ());
        tiles
    }

    /// Appends a group of leaves and gives each of them its inclusion path in the tree that ends with the group.
    /// Nothing but this frontier and the group is needed for that.
    pub fn extend_with_paths(&mut self, leaves: &[Hash]) -> Appended {
        let first = self.size;
        let mut known = Known::of_edge(self);
        let mut tiles = Vec::new();
        for leaf in leaves {
            self.append(*leaf, &mut tiles, |node, hash| known.insert(node, hash));
        }
        let mut path =
            |index| proof::inclusion_spans(index, self.size).map(|span| known.root_of(span)).collect();
        let paths = (first..self.size).map(&mut path).collect();
        Appended { size: self.size, root: self.root(), paths, tiles }
    }

    /// The open tile of a level: its hashes so far. `None` at level 0, whose hashes stand in the log's rows, and above
    /// the tree. Together with the full tiles this is all that old leaves' paths need.
    pub fn open_tile(&self, level: u8) -> Option<Tile> {
        let hashes = self.open.get(usize::from(level).checked_sub(1)?)?;
        let n = self.size.checked_shr(TILE_HEIGHT * (u32::from(level) + 1)).unwrap_or(0);
        Some(Tile { level, n, hashes: hashes.clone() })
    }

    /// Appends a leaf, names every subtree that it completes, and puts those that are hashes of tiles into theirs.
    fn append(&mut self, leaf: Hash, tiles: &mut Vec<Tile>, mut completed: impl FnMut(Node, Hash)) {
        let mut node = Node { height: 0, index: self.size };
        let mut hash = leaf;
        completed(node, hash);
        // As in binary addition: each trailing set bit of the size is a left neighbour of equal height.
        for _ in 0..self.size.trailing_ones() {
            let left = self.edge.pop().expect("the edge holds one subtree per set bit of the size");
            hash = node_hash(&left, &hash);
            node = Node { height: node.height + 1, index: node.index / 2 };
            completed(node, hash);
            if node.height.is_multiple_of(TILE_HEIGHT) {
                self.put_in_tile(node, hash, tiles);
            }
        }
        self.edge.push(hash);
        self.size += 1;
    }

    fn put_in_tile(&mut self, node: Node, hash: Hash, tiles: &mut Vec<Tile>) {
        let TileId { level, n } = node.tile();
        let slot = usize::from(level) - 1;
        if slot == self.open.len() {
            self.open.push(Vec::new());
        }
        let open = &mut self.open[slot];
        open.push(hash);
        if open.len() == TILE_WIDTH {
            tiles.push(Tile { level, n, hashes: std::mem::take(open) });
        }
    }

    /// Whether the parts have the lengths that the size demands, and the open tiles hold what the edge is made of: then the
    /// root, which is hashed from the edge, vouches for everything here.
    fn is_sound(&self) -> bool {
        let hashes_at = |level: u32| self.size.checked_shr(TILE_HEIGHT * level).unwrap_or(0);
        let levels = (1..).take_while(|level| hashes_at(*level) > 0);
        let open_widths = levels.map(|level| hashes_at(level) % TILE_WIDTH as u64);
        self.edge.len() == self.size.count_ones() as usize
            && self.open.iter().map(|open| open.len() as u64).eq(open_widths)
            && self.edge_is_of_open_tiles()
    }

    /// Each subtree on the edge that is higher than a tile's hashes is hashed from its share of its level's open tile.
    fn edge_is_of_open_tiles(&self) -> bool {
        let mut open: Vec<&[Hash]> = self.open.iter().map(Vec::as_slice).collect();
        let heights = (0..u64::BITS).rev().filter(|height| self.size >> height & 1 == 1);
        heights.zip(&self.edge).all(|(height, root)| {
            let Some(slot) = (height / TILE_HEIGHT).checked_sub(1) else { return true };
            let width = 1 << (height % TILE_HEIGHT);
            let tile = &mut open[slot as usize];
            let Some((share, rest)) = tile.split_at_checked(width) else { return false };
            *tile = rest;
            tile::root_of(share.to_vec()) == Some(*root)
        })
    }
}

impl BorshDeserialize for Frontier {
    /// Refuses parts that do not fit the size, so that a damaged dump cannot make the tree panic or lie later.
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        let (size, edge, open) = BorshDeserialize::deserialize_reader(reader)?;
        let frontier = Self { size, edge, open };
        if frontier.is_sound() {
            return Ok(frontier);
        }
        let what = format!("this is not the right edge of a tree of {size} leaves");
        Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
    }
}

/// The complete subtrees around a group: those on the edge before it, and those that it completes. At each height they
/// are neighbours, so a run per height holds them all.
struct Known {
    runs: Vec<Run>,
    /// Roots of the spans that are no complete subtrees: the few ragged ends of the tree, each in the paths of many leaves.
    ragged: Vec<(Span, Hash)>,
}

#[derive(Default)]
struct Run {
    first: u64,
    hashes: Vec<Hash>,
}

impl Known {
    fn of_edge(frontier: &Frontier) -> Self {
        let mut known = Self { runs: Vec::new(), ragged: Vec::new() };
        let mut edge = frontier.edge.iter().rev();
        for height in (0..u64::BITS).filter(|height| frontier.size >> height & 1 == 1) {
            let hash = edge.next().expect("the edge holds one subtree per set bit of the size");
            known.insert(Node { height, index: (frontier.size >> height) - 1 }, *hash);
        }
        known
    }

    fn insert(&mut self, node: Node, hash: Hash) {
        let height = node.height as usize;
        if self.runs.len() <= height {
            self.runs.resize_with(height + 1, Run::default);
        }
        let run = &mut self.runs[height];
        if run.hashes.is_empty() {
            run.first = node.index;
        }
        debug_assert_eq!(run.first + run.hashes.len() as u64, node.index);
        run.hashes.push(hash);
    }

    /// The root of a span beside the path of one of the group's leaves. Such a span ends before the leaf, and is then on
    /// the old edge or completed by the group, or begins after it and is the group's own.
    fn root_of(&mut self, span: Span) -> Hash {
        if let Some(node) = span.as_node() {
            return self.hash(node);
        }
        if let Some((_, root)) = self.ragged.iter().find(|(known, _)| *known == span) {
            return *root;
        }
        let Ok(root) = span.root(|node| Ok::<_, std::convert::Infallible>(self.hash(node)));
        self.ragged.push((span, root));
        root
    }

    fn hash(&self, node: Node) -> Hash {
        let run = &self.runs[node.height as usize];
        run.hashes[usize::try_from(node.index - run.first).expect("a group fits memory")]
    }
}
