//! The native tree over a handful of entitlements, as CONTRACTS.md has it.

use alloy_primitives::{Address, B256, keccak256};
use sluice_chain::calls::{Chunk, Proven};
use sluice_core::amount::{Amount, Total};
use sluice_core::entitlement::Word;
use sluice_core::ids::{EntitlementId, RoundNo};
use sluice_core::log::entry::WordMask;

pub(crate) struct Tree {
    pub(crate) depth: u8,
    pub(crate) count: u64,
    words: Vec<Word>,
    /// Buckets' hashes first, the root last.
    levels: Vec<Vec<B256>>,
}

impl Tree {
    pub(crate) fn new(list: &[(Address, u128)]) -> Self {
        let mut words: Vec<Word> =
            list.iter().map(|(to, amount)| Word::new(*to, Amount::new(*amount).unwrap())).collect();
        let count = words.len() as u64;
        let buckets = words.len().div_ceil(4).next_power_of_two();
        words.resize(buckets * 4, Word::PADDING);
        let leaf = |bucket: &[Word]| keccak256(bucket.iter().flat_map(|w| w.0).collect::<Vec<_>>());
        let mut levels = vec![words.chunks(4).map(leaf).collect::<Vec<_>>()];
        while levels.last().unwrap().len() > 1 {
            let node = |pair: &[B256]| keccak256([pair[0].0, pair[1].0].concat());
            levels.push(levels.last().unwrap().chunks(2).map(node).collect());
        }
        Self { depth: u8::try_from(levels.len() - 1).unwrap(), count, words, levels }
    }

    pub(crate) fn root(&self) -> B256 {
        self.levels.last().unwrap()[0]
    }

    pub(crate) fn total(&self) -> Total {
        Total(self.words.iter().map(|w| w.amount().get()).sum())
    }

    pub(crate) fn words(&self) -> &[Word] {
        &self.words
    }

    fn bucket(&self, at: usize) -> [Word; 4] {
        self.words[at * 4..at * 4 + 4].try_into().unwrap()
    }

    /// Siblings from the bucket up.
    pub(crate) fn path(&self, index: u64) -> Vec<B256> {
        let bucket = usize::try_from(index / 4).unwrap();
        (0..usize::from(self.depth)).map(|level| self.levels[level][(bucket >> level) ^ 1]).collect()
    }

    pub(crate) fn proven<'a>(&self, round: RoundNo, index: u64, path: &'a [B256]) -> Proven<'a> {
        let bucket = self.bucket(usize::try_from(index / 4).unwrap());
        Proven { entitlement: EntitlementId { round, index }, bucket, proof: path }
    }

    /// Entitlements of word 0 with what is missing, level by level.
    pub(crate) fn chunk(&self, round: RoundNo, indexes: &[u64]) -> Chunk {
        let mut mask = [0u64; 4];
        let mut nodes: Vec<usize> = indexes.iter().map(|i| usize::try_from(i / 4).unwrap()).collect();
        for index in indexes {
            mask[usize::try_from(index / 64).unwrap()] |= 1 << (index % 64);
        }
        nodes.sort_unstable();
        nodes.dedup();
        let words = nodes.iter().flat_map(|b| self.bucket(*b)).collect();
        let mut proof = Vec::new();
        for level in &self.levels[..usize::from(self.depth)] {
            proof.extend(nodes.iter().filter(|n| !nodes.contains(&(**n ^ 1))).map(|n| level[n ^ 1]));
            nodes = nodes.iter().map(|n| n / 2).collect();
            nodes.dedup();
        }
        Chunk { mask: WordMask { round, word: 0, mask }, words, proof }
    }
}
