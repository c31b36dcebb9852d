//! An open snapshot: the file mapped, the shard totals and the tree over the shards in memory, everything else read
//! where it lies. Shared between threads; all answers are pure functions of the file.

use crate::build::sum;
use crate::file::layout::{Level, Section, native_levels};
use crate::file::{Format, Mapped, OpenError};
use crate::foreign::{self, ForeignProof};
use crate::keccak::Hash;
use crate::list::address::spell;
use crate::proof::{Absence, DenseProof, Proof, SparseProof, buckets_of, missing_siblings};
use crate::tree::{self, BUCKET, SHARD_LEVELS, Upper, WORD_BITS};
use alloy_primitives::{Address, B256, U256};
use sluice_core::amount::Total;
use sluice_core::entitlement::{Entitlement, Word};
use sluice_core::limits::SHARD;
use std::ops::Range;
use std::path::Path;

mod search;

/// Why an open snapshot cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no such entitlement.
    #[error("there is no entitlement {index}; the snapshot has {count}, counted from 0")]
    OutOfRange {
        /// The index asked for.
        index: u64,
        /// Entitlements there are.
        count: u64,
    },
    /// A range that is no subtree of the tree.
    #[error("{start} and {levels} levels name no aligned range of a tree of depth {depth}")]
    Range {
        /// The first entitlement.
        start: u64,
        /// Levels of the range.
        levels: u8,
        /// Depth of the tree.
        depth: u8,
    },
    /// A mask without bits, or with bits behind the last entitlement.
    #[error("the mask of word {0} names no entitlement, or one behind the last")]
    Mask(u64),
    /// The question makes sense for another tree only.
    #[error("the snapshot's format is {found}; this needs {needed}")]
    Format {
        /// The snapshot's format.
        found: Format,
        /// What the question needs.
        needed: &'static str,
    },
    /// The list named no persons.
    #[error("the snapshot names no persons: its list had no person column")]
    NoPersons,
    /// Absence was asked of an address that is listed.
    #[error("{address} is listed, at index {index}")]
    Listed {
        /// The address.
        address: Address,
        /// Its first entitlement.
        index: u64,
    },
}

/// An open snapshot file.
#[derive(Debug)]
pub struct Snapshot {
    file: Mapped,
    totals: Vec<Total>,
    /// Of a native snapshot.
    native: Option<Native>,
}

#[derive(Debug)]
struct Native {
    levels: Vec<Level>,
    upper: Upper,
}

impl Native {
    /// The lowest level that the file holds.
    fn stored(&self) -> u8 {
        self.levels[0].level
    }
}

impl Snapshot {
    /// Maps a snapshot file and checks its header, its lengths, its shard totals and the upper part of its tree. What
    /// lies below is checked as it is used, and as a whole by [`Snapshot::verify`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let file = Mapped::open(path.as_ref())?;
        file.check(Section::Totals)?;
        let totals: Vec<Total> = file
            .section(Section::Totals)
            .as_chunks()
            .0
            .iter()
            .map(|bytes| Total(u128::from_le_bytes(*bytes)))
            .collect();
        let total = totals.iter().try_fold(Total::ZERO, |sum, &shard| sum.checked_add_total(shard));
        if total != Some(file.header.total) {
            return Err(file.damaged("the shard totals do not add up to the total"));
        }
        let native = match file.header.format {
            Format::Native => Some(open_native(&file)?),
            Format::OpenZeppelin | Format::Uniswap => None,
        };
        let snapshot = Self { file, totals, native };
        let root = match (&snapshot.native, snapshot.format()) {
            (Some(native), _) => native.upper.root(),
            (None, Format::OpenZeppelin) => snapshot.nodes()[0],
            (None, _) => *snapshot.nodes().last().expect("there are entitlements"),
        };
        if root != snapshot.file.header.root {
            return Err(snapshot.file.damaged("the tree does not lead to the root"));
        }
        Ok(snapshot)
    }

    /// The snapshot's name.
    pub fn root(&self) -> B256 {
        B256::new(self.file.header.root)
    }

    /// Entitlements.
    pub fn count(&self) -> u64 {
        self.file.header.count
    }

    /// The entitlements' sum in base units.
    pub fn total(&self) -> Total {
        self.file.header.total
    }

    /// Depth of the native tree; 0 in foreign formats.
    pub fn depth(&self) -> u8 {
        self.file.header.depth
    }

    /// How entitlements are ordered and hashed.
    pub fn format(&self) -> Format {
        self.file.header.format
    }

    /// Decimals of the token, as told to the build; for display.
    pub fn decimals(&self) -> u8 {
        self.file.header.decimals
    }

    /// Whether each entitlement names a person.
    pub fn has_persons(&self) -> bool {
        self.file.header.persons
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The sum of each shard of 65,536 entitlements, in base units.
    pub fn shard_totals(&self) -> &[Total] {
        &self.totals
    }

    /// The entitlement at `index`, or `None` behind the last.
    pub fn entitlement(&self, index: u64) -> Option<Entitlement> {
        let place = usize::try_from(index).ok()?;
        self.all_words().get(place).map(|&word| Entitlement::from_word(index, word))
    }

    /// The words of a range, cut at the last entitlement.
    pub fn words(&self, range: Range<u64>) -> &[Word] {
        let at =
            |index: u64| usize::try_from(index.min(self.count())).expect("a mapped file's words fit usize");
        let (start, end) = (at(range.start), at(range.end));
        &self.all_words()[start.min(end)..end]
    }

    /// The indexes of an address: empty when it is not listed, several when duplicates were kept.
    pub fn find(&self, address: Address) -> Range<u64> {
        let words = self.all_words();
        let (begin, end) = if self.format() == Format::Uniswap {
            let spelled = |address: Address| spell(&[address.0.0])[0];
            let wanted = spelled(address);
            let begin = words.partition_point(|word| spelled(word.recipient()) < wanted);
            (begin, begin + usize::from(words.get(begin).is_some_and(|word| word.recipient() == address)))
        } else {
            let begin = search::first_at_least(words, address);
            (begin, begin + words[begin..].iter().take_while(|word| word.0[..20] == address.0[..]).count())
        };
        begin as u64..end as u64
    }

    /// The sum of a range, cut at the last entitlement. Whole shards are not read.
    pub fn sum(&self, range: Range<u64>) -> Total {
        let end = range.end.min(self.count());
        let start = range.start.min(end);
        let (first, last) = (start.next_multiple_of(SHARD), end - end % SHARD);
        if first >= last {
            return sum(self.words(start..end));
        }
        let shard = |index: u64| usize::try_from(index / SHARD).expect("a mapped file's shards fit usize");
        let whole: u128 = self.totals[shard(first)..shard(last)].iter().map(|total| total.get()).sum();
        Total(whole + sum(self.words(start..first)).get() + sum(self.words(last..end)).get())
    }

    /// The sum of the entitlements of one bitmap word (entitlement 256·word + i is bit i) that have a bit in `mask`.
    pub fn sum_mask(&self, word: u64, mask: U256) -> Total {
        let start = word.saturating_mul(WORD_BITS);
        let words = self.words(start..start.saturating_add(WORD_BITS));
        let chosen = words.iter().enumerate().filter(|(bit, _)| mask.bit(*bit));
        Total(chosen.map(|(_, word)| word.amount().get()).sum())
    }

    /// The person of an entitlement.
    pub fn person(&self, index: u64) -> Option<B256> {
        let persons = self.file.section(Section::Persons).as_chunks::<32>().0;
        persons.get(usize::try_from(index).ok()?).map(|&person| B256::new(person))
    }

    /// The indexes of a person's entitlements, ascending; several when the list names the person several times.
    pub fn indexes_of_person(&self, person: B256) -> Result<Vec<u64>, SnapshotError> {
        if !self.has_persons() {
            return Err(SnapshotError::NoPersons);
        }
        let persons = self.file.section(Section::Persons).as_chunks::<32>().0;
        let by_person = self.file.section(Section::ByPerson).as_chunks::<4>().0;
        let index = |entry: &[u8; 4]| u32::from_le_bytes(*entry);
        // An index behind the last entitlement can only come from a damaged file; it belongs to nobody.
        let person_of = |entry: &[u8; 4]| persons.get(index(entry) as usize);
        let begin = by_person.partition_point(|entry| person_of(entry).is_some_and(|p| *p < person.0));
        let run = by_person[begin..].iter().take_while(|entry| person_of(entry) == Some(&person.0));
        Ok(run.map(|entry| u64::from(index(entry))).collect())
    }

    /// The proof of an entitlement against the native root, checked before it is returned.
    pub fn proof(&self, index: u64) -> Result<Proof, SnapshotError> {
        let native = self.native()?;
        self.check_index(index)?;
        let start = index - index % BUCKET;
        let bucket = self.padded(start, 0);
        let below = self.unstored(native, start);
        self.sound(self.leads_up(native, start, &below))?;
        let path = self.path_from(native, 0, index / BUCKET, &below);
        Ok(Proof { index, bucket: [bucket[0], bucket[1], bucket[2], bucket[3]], path })
    }

    /// The siblings above the aligned subtree of `levels` levels that begins at `start`.
    pub fn subtree_path(&self, start: u64, levels: u8) -> Result<Vec<B256>, SnapshotError> {
        let native = self.native()?;
        self.check_range(start, levels)?;
        let below = if levels < native.stored() { self.unstored(native, start) } else { Vec::new() };
        Ok(self.path_from(native, levels, start / tree::capacity(levels), &below))
    }

    /// The words of the aligned subtree of `levels` levels that begins at `start`, padding included, and its path: what
    /// the Distributor's `settle` takes. Checked before it is returned.
    pub fn dense(&self, start: u64, levels: u8) -> Result<DenseProof, SnapshotError> {
        let path = self.subtree_path(start, levels)?;
        let proof = DenseProof { start, levels, words: self.padded(start, levels), path };
        self.sound(proof.verify(self.root(), self.depth()).is_ok())?;
        Ok(proof)
    }

    /// The buckets of one bitmap word that have a bit in `mask`, and the hashes that are missing to the root: what the
    /// Distributor's `settleSparse` takes. Checked before it is returned.
    pub fn sparse(&self, word: u64, mask: U256) -> Result<SparseProof, SnapshotError> {
        let native = self.native()?;
        let start = word.checked_mul(WORD_BITS).ok_or(SnapshotError::Mask(word))?;
        let last = start.saturating_add(mask.bit_len().saturating_sub(1) as u64);
        if mask.is_zero() || last >= self.count() {
            return Err(SnapshotError::Mask(word));
        }
        let buckets = buckets_of(mask);
        let words = buckets.iter().flat_map(|bucket| self.padded(start + bucket * BUCKET, 0)).collect();
        let path = self.missing(native, start, &buckets);
        let proof = SparseProof { word, mask, words, path };
        self.sound(proof.verify(self.root(), self.depth()).is_ok())?;
        Ok(proof)
    }

    /// The proof that an address is not listed.
    pub fn absence(&self, address: Address) -> Result<Absence, SnapshotError> {
        self.native()?;
        let place = self.find(address);
        if !place.is_empty() {
            return Err(SnapshotError::Listed { address, index: place.start });
        }
        let before = place.start.checked_sub(1).map(|index| self.proof(index)).transpose()?;
        let after = (place.start < self.count()).then(|| self.proof(place.start)).transpose()?;
        Ok(Absence { address, before, after })
    }

    /// The proof of an entitlement in a foreign format, checked before it is returned.
    pub fn foreign_proof(&self, index: u64) -> Result<ForeignProof, SnapshotError> {
        let format = self.format();
        if format == Format::Native {
            return Err(SnapshotError::Format { found: format, needed: "openzeppelin or uniswap" });
        }
        self.check_index(index)?;
        let entitlement = self.entitlement(index).expect("the index was checked");
        let place = self.place(index);
        let nodes = self.nodes();
        self.sound((place as usize) < nodes.len())?;
        let path = foreign::path(format, nodes, self.count(), place);
        let proof = ForeignProof { format, entitlement, path };
        self.sound(proof.verify(self.root()))?;
        Ok(proof)
    }

    /// The place of an entitlement's leaf among the nodes of a foreign tree.
    pub(crate) fn place(&self, index: u64) -> u32 {
        let places = self.file.section(Section::Places).as_chunks::<4>().0;
        u32::from_le_bytes(places[usize::try_from(index).expect("checked by the caller")])
    }

    pub(crate) fn nodes(&self) -> &[Hash] {
        self.file.section(Section::Nodes).as_chunks().0
    }

    pub(crate) fn all_words(&self) -> &[Word] {
        Word::from_arrays(self.file.section(Section::Words).as_chunks().0)
    }

    pub(crate) fn file(&self) -> &Mapped {
        &self.file
    }

    fn native(&self) -> Result<&Native, SnapshotError> {
        self.native.as_ref().ok_or(SnapshotError::Format { found: self.format(), needed: "native" })
    }

    fn check_index(&self, index: u64) -> Result<(), SnapshotError> {
        let count = self.count();
        if index < count { Ok(()) } else { Err(SnapshotError::OutOfRange { index, count }) }
    }

    fn check_range(&self, start: u64, levels: u8) -> Result<(), SnapshotError> {
        let depth = self.depth();
        if levels > depth || start >= self.count() || !start.is_multiple_of(tree::capacity(levels)) {
            return Err(SnapshotError::Range { start, levels, depth });
        }
        Ok(())
    }

    fn sound(&self, holds: bool) -> Result<(), SnapshotError> {
        if holds { Ok(()) } else { Err(self.file.damaged("its entitlements do not lead to the root").into()) }
    }

    /// The words of a subtree, filled up with padding.
    fn padded(&self, start: u64, levels: u8) -> Vec<Word> {
        let size = tree::capacity(levels);
        let mut words = self.words(start..start + size).to_vec();
        words.resize(usize::try_from(size).expect("a subtree of a mapped file"), Word::PADDING);
        words
    }

    /// A stored node; padding has the zero subtree's.
    fn node(&self, native: &Native, level: u8, position: u64) -> Hash {
        let stored = &native.levels[usize::from(level - native.levels[0].level)].nodes;
        match stored.start + position {
            node if node < stored.end => self.nodes()[usize::try_from(node).expect("a mapped file's nodes")],
            _ => tree::zero(level),
        }
    }

    /// The levels below the stored ones, over the subtree that holds `start`.
    fn unstored(&self, native: &Native, start: u64) -> Vec<Vec<Hash>> {
        let levels = native.stored();
        let begin = start - start % tree::capacity(levels);
        tree::levels_over(self.words(begin..begin + tree::capacity(levels)), 0, levels)
    }

    /// Whether the levels `below` lead from the words around `start` to the root: their node is the stored one, every
    /// stored node above it is the hash of the two below it (which is as good as folding the path, and hashes all of
    /// them at once), and the shard's root is the one that led to the root when the file was opened.
    fn leads_up(&self, native: &Native, start: u64, below: &[Vec<Hash>]) -> bool {
        let (stored, shard) = (native.stored(), SHARD_LEVELS.min(self.depth()));
        let position = start / tree::capacity(stored);
        let above = |level: u8| position >> (level - stored);
        let families: Vec<[Hash; 2]> = (stored..shard)
            .map(|level| [above(level) & !1, above(level) | 1].map(|at| self.node(native, level, at)))
            .collect();
        let hashes = crate::keccak::pairs(families.as_flattened());
        let parents = (stored + 1..=shard).map(|level| self.node(native, level, above(level)));
        below[usize::from(stored)][0] == self.node(native, stored, position)
            && hashes.into_iter().eq(parents)
            && native.upper.shard_root(above(shard)) == Some(&self.node(native, shard, above(shard)))
    }

    /// The siblings from the node at `position` of `level` to the root; `below` are the levels that are not stored,
    /// where the path begins among them.
    fn path_from(&self, native: &Native, level: u8, position: u64, below: &[Vec<Hash>]) -> Vec<B256> {
        let depth = self.depth();
        let (stored, shard) = (native.stored(), SHARD_LEVELS.min(depth));
        let mut path = Vec::with_capacity(usize::from(depth));
        if level < stored {
            path.extend((level..stored).map(|at| {
                let inside = (position >> (at - level) ^ 1) & ((1 << (stored - at)) - 1);
                let place = usize::try_from(inside).expect("below 64");
                B256::new(below[usize::from(at)].get(place).copied().unwrap_or_else(|| tree::zero(at)))
            }));
        }
        let from = level.max(stored);
        path.extend((from..shard).map(|at| B256::new(self.node(native, at, position >> (at - level) ^ 1))));
        // Any shard below the node will do: their paths agree above it.
        let number = if level < shard { position >> (shard - level) } else { position << (level - shard) };
        path.extend(native.upper.path_above(number, level.max(shard) - shard));
        path
    }

    /// The hashes that buckets of one bitmap word lack to the root.
    fn missing(&self, native: &Native, start: u64, buckets: &[u64]) -> Vec<B256> {
        let stored = native.stored();
        let below = self.unstored(native, start);
        let mut known = buckets.to_vec();
        let mut path = Vec::new();
        for level in 0..stored {
            let nodes = &below[usize::from(level)];
            path.extend(missing_siblings(&known).into_iter().map(|position| {
                let place = usize::try_from(position).expect("below 64");
                B256::new(nodes.get(place).copied().unwrap_or_else(|| tree::zero(level)))
            }));
            known.iter_mut().for_each(|position| *position /= 2);
            known.dedup();
        }
        path.extend(self.path_from(native, stored, start / tree::capacity(stored), &below));
        path
    }
}

fn open_native(file: &Mapped) -> Result<Native, OpenError> {
    file.check(Section::Nodes)?;
    let levels = native_levels(file.header.count, file.header.depth);
    let roots = levels.last().expect("at least the root is stored").nodes.clone();
    let nodes = file.section(Section::Nodes).as_chunks().0;
    let at = |node: u64| usize::try_from(node).expect("a mapped file's nodes");
    let upper = Upper::new(&nodes[at(roots.start)..at(roots.end)], file.header.depth);
    Ok(Native { levels, upper })
}
