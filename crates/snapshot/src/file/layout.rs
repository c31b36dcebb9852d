//! Where each section of a snapshot file lies. Everything follows from format, count, depth and whether persons are
//! named.

use super::{Format, Header};
use crate::tree::{BUCKET, SHARD_LEVELS, WORD_LEVELS};
use sluice_core::limits::SHARD;
use std::ops::Range;

/// Sections begin at multiples of this, the page size of the systems we map on.
pub(crate) const ALIGNMENT: u64 = 4_096;

/// The parts of a snapshot file behind its header, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// Every entitlement's word, in index order.
    Words = 0,
    /// The total of each shard, u128 little-endian.
    Totals = 1,
    /// Tree nodes.
    Nodes = 2,
    /// Foreign formats: each entitlement's leaf place in the nodes, u32 little-endian.
    Places = 3,
    /// Each entitlement's person, 32 bytes.
    Persons = 4,
    /// Indexes sorted by (person, index), u32 little-endian.
    ByPerson = 5,
}

impl Section {
    pub(crate) const COUNT: usize = 6;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Words, Self::Totals, Self::Nodes, Self::Places, Self::Persons, Self::ByPerson];

    /// What to say when its checksum is wrong.
    pub(crate) fn damage(self) -> &'static str {
        match self {
            Self::Words => "the entitlements' checksum is wrong",
            Self::Totals => "the shard totals' checksum is wrong",
            Self::Nodes => "the tree nodes' checksum is wrong",
            Self::Places => "the leaf places' checksum is wrong",
            Self::Persons => "the person column's checksum is wrong",
            Self::ByPerson => "the person index's checksum is wrong",
        }
    }
}

/// Offsets of the sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    ranges: [Range<u64>; Section::COUNT],
}

impl Layout {
    pub(crate) fn new(format: Format, count: u64, depth: u8, persons: bool) -> Self {
        let foreign = if format == Format::Native { 0 } else { count };
        let named = if persons { count } else { 0 };
        let nodes = match format {
            Format::Native => {
                native_levels(count, depth).iter().map(|level| level.nodes.end).max().unwrap_or(0)
            }
            Format::OpenZeppelin => 2 * count - 1,
            Format::Uniswap => crate::foreign::uniswap::layers(count).iter().sum(),
        };
        let lengths =
            [32 * count, 16 * count.div_ceil(SHARD), 32 * nodes, 4 * foreign, 32 * named, 4 * named];
        let mut end = Header::BYTES as u64;
        let ranges = lengths.map(|length| {
            if length == 0 {
                return 0..0;
            }
            let start = end.next_multiple_of(ALIGNMENT);
            end = start + length;
            start..end
        });
        Self { ranges }
    }

    pub(crate) fn range(&self, section: Section) -> Range<u64> {
        self.ranges[section as usize].clone()
    }

    /// The length of the file.
    pub(crate) fn end(&self) -> u64 {
        self.ranges.iter().map(|range| range.end).max().expect("there are words")
    }
}

/// One stored level of the native tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub level: u8,
    /// Its place in the node section, counted in nodes. Nodes that are all padding are not stored.
    pub nodes: Range<u64>,
}

/// The levels of the native tree that the file holds, from 256 entitlements (or the root of a smaller tree) up to the
/// shard roots (or the root).
pub(crate) fn native_levels(count: u64, depth: u8) -> Vec<Level> {
    let mut end = 0;
    (WORD_LEVELS.min(depth)..=SHARD_LEVELS.min(depth))
        .map(|level| {
            let start = end;
            end += count.div_ceil(BUCKET << level);
            Level { level, nodes: start..end }
        })
        .collect()
}
