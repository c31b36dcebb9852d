//! State dumps: State and tree after some entry as bytes, so that a node need not replay the whole log.
//!
//! A dump is a cache of the log and never the truth. Whoever reads one compares the state hash and the tree's root with a
//! signed checkpoint; everything in it is covered by the two, and what they leave out is checked here.

use std::io::Write;

use borsh::{BorshDeserialize, BorshSerialize};

use super::State;
use crate::log::merkle::Frontier;

/// The format of dumps that this binary writes, and the only one it reads: dumps are made again, never converted. Raise it
/// with every change of what State is made of. Should that be forgotten, the state hash still differs, and the dump is
/// refused.
pub const DUMP_FORMAT: u8 = 1;

/// Why bytes are no dump that this binary can start from.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// There are no bytes.
    #[error("it is empty")]
    Empty,
    /// Another binary's.
    #[error("it has format {0}, this binary reads format {DUMP_FORMAT}")]
    Format(u8),
    /// Cut short, or no State.
    #[error("it cannot be read: {0}")]
    Malformed(#[source] std::io::Error),
    /// Parts that no log leads to.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl State {
    /// A copy to be written aside while the log goes on. Bitmaps are shared until either side changes them, and the hashes
    /// of pages are left out.
    pub fn freeze(&mut self) -> Self {
        let pages = std::mem::take(&mut self.pages);
        let frozen = self.clone();
        self.pages = pages;
        frozen
    }

    /// Writes State and the tree over the same entries.
    ///
    /// # Errors
    /// The writer's.
    pub fn dump(&self, tree: &Frontier, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(&[DUMP_FORMAT])?;
        self.serialize(out)?;
        tree.serialize(out)
    }

    /// State and tree of a dump. The caller compares [`State::hash_anew`] and the tree's root with a checkpoint.
    ///
    /// # Errors
    /// When the bytes are none, are another format's, or contradict themselves.
    pub fn from_dump(bytes: &[u8]) -> Result<(Self, Frontier), DumpError> {
        let mut rest = match bytes.split_first() {
            None => return Err(DumpError::Empty),
            Some((&DUMP_FORMAT, rest)) => rest,
            Some((&other, _)) => return Err(DumpError::Format(other)),
        };
        let state = Self::deserialize(&mut rest).map_err(DumpError::Malformed)?;
        let tree = Frontier::deserialize(&mut rest).map_err(DumpError::Malformed)?;
        if !rest.is_empty() {
            return Err(DumpError::Contradiction("there are bytes behind it"));
        }
        if tree.size() != state.seq {
            return Err(DumpError::Contradiction("the tree has another size than State"));
        }
        state.check_unhashed().map_err(DumpError::Contradiction)?;
        Ok((state, tree))
    }

    /// What the state hash does not cover: an index beside its records, and how many shards of zeros there are.
    fn check_unhashed(&self) -> Result<(), &'static str> {
        let open = self.appeals.iter().map(|(at, appeal)| (appeal.about, *at));
        if self.appealed.len() != self.appeals.len()
            || !open.into_iter().all(|(about, at)| self.appealed.get(&about) == Some(&at))
        {
            return Err("its appeals are not those of their index");
        }
        for round in self.campaigns.values().flat_map(|c| c.rounds.values()) {
            if round.shards.len() != round.shard_totals.len() {
                return Err("a round has not the shards of its sums");
            }
            if round.shards.iter().any(|shard| shard.taken == 0 && shard.taken_total.get() != 0) {
                return Err("a shard without decisions has a sum of them");
            }
        }
        Ok(())
    }
}

/// The bytes a dump will have.
#[derive(Debug, Default)]
pub struct DumpSize(pub u64);

impl Write for DumpSize {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
