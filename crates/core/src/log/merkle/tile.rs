//! Where a subtree's hash stands in the tiles of C2SP `tlog-tiles`: the tile at level L and number n holds the roots of
//! 256 neighbouring subtrees of 256^L leaves each. A full tile never changes again.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Hash, node_hash};

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Tree levels that a tile spans.
pub(super) const TILE_HEIGHT: u32 = 8;

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct TileId {
    /// 0 holds leaf hashes; a hash at level L + 1 is the root of a full tile of level L.
    pub level: u8,
    /// The tile's number within its level.
    pub n: u64,
}

/// A tile with its hashes: 256 of them when full, fewer at the tree's right edge.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tile {
    /// 0 holds leaf hashes; a hash at level L + 1 is the root of a full tile of level L.
    pub level: u8,
    /// The tile's number within its level.
    pub n: u64,
    /// From left to right.
    pub hashes: Vec<Hash>,
}

impl Tile {
    /// Which tile it is.
    pub fn id(&self) -> TileId {
        TileId { level: self.level, n: self.n }
    }
}

/// A complete subtree: the `index`-th of those with 2^height leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) height: u32,
    pub(super) index: u64,
}

impl Node {
    /// The tile in which this subtree's root stands or from which it is hashed.
    pub(super) fn tile(self) -> TileId {
        let level = u8::try_from(self.height / TILE_HEIGHT).expect("a tree of 2^64 leaves has 8 tile levels");
        TileId { level, n: self.index >> (TILE_HEIGHT - self.height % TILE_HEIGHT) }
    }

    /// This subtree's root out of its tile, or `None` if the tile does not hold all of it.
    pub(super) fn root_in(self, tile: &[Hash]) -> Option<Hash> {
        let width = 1usize << (self.height % TILE_HEIGHT);
        let subtrees = (TILE_WIDTH / width) as u64;
        let start = usize::try_from(self.index % subtrees).ok()? * width;
        root_of(tile.get(start..start + width)?.to_vec())
    }
}

/// The root above neighbouring subtrees of equal height, a power of two of them.
pub(super) fn root_of(mut hashes: Vec<Hash>) -> Option<Hash> {
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes.pop()
}
