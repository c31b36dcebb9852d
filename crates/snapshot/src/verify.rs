//! Checking a whole snapshot: everything the file claims is computed again from its entitlements.

use crate::build::{OnProgress, Progress, Stage, totals};
use crate::file::layout::Section;
use crate::file::{Format, OpenError};
use crate::foreign;
use crate::keccak::Hash;
use crate::list::address::spell;
use crate::snapshot::Snapshot;
use crate::tree::{self, SHARD_LEVELS, Upper, WORD_LEVELS};
use alloy_primitives::B256;
use rayon::prelude::*;
use sluice_core::entitlement::Word;
use sluice_core::limits::SHARD;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a snapshot does not hold.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A checksum is wrong.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The entitlements have another root than the file says.
    #[error("the entitlements have the root {found}, the file says {stated}")]
    Root {
        /// In the header.
        stated: B256,
        /// Computed.
        found: B256,
    },
    /// An entitlement that no build writes.
    #[error("entitlement {index} {what}")]
    Entitlement {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The sums, the stored nodes or the indexes do not follow from the entitlements.
    #[error("{0}")]
    Derived(&'static str),
    /// The snapshot is sound, and another one.
    #[error("the snapshot's root is {found}, expected was {expected}")]
    OtherRoot {
        /// As given.
        expected: B256,
        /// As verified.
        found: B256,
    },
}

impl Snapshot {
    /// Checks every byte of the file: order, amounts, count, totals, all hashes, the persons and their index; and that
    /// the root is `expected` where one is given.
    pub fn verify(&self, expected: Option<B256>, progress: OnProgress<'_>) -> Result<(), VerifyError> {
        Section::ALL.iter().skip(1).try_for_each(|&section| self.file().check(section))?;
        self.file().check_gaps()?;
        self.verify_entitlements()?;
        if totals(self.all_words()) != self.shard_totals() {
            return Err(VerifyError::Derived("the shard totals are not the sums of the entitlements"));
        }
        match self.format() {
            Format::Native => self.verify_native(progress)?,
            Format::OpenZeppelin | Format::Uniswap => self.verify_foreign()?,
        }
        if self.has_persons() {
            self.verify_persons()?;
        }
        match expected {
            Some(expected) if expected != self.root() => {
                Err(VerifyError::OtherRoot { expected, found: self.root() })
            }
            _ => Ok(()),
        }
    }

    /// Amounts are not zero, recipients of native snapshots not the zero address, and the order is the format's.
    fn verify_entitlements(&self) -> Result<(), VerifyError> {
        let words = self.all_words();
        let native = self.format() == Format::Native;
        let wrong = |index: usize, what| Err(VerifyError::Entitlement { index: index as u64, what });
        if let Some(index) = words.par_iter().position_first(|word| word.amount().is_zero()) {
            return wrong(index, "has an amount of zero");
        }
        if native && words[0].recipient().is_zero() {
            return wrong(0, "is the zero address's");
        }
        let in_order: Box<dyn Fn(usize) -> bool + Sync> = match self.format() {
            Format::Uniswap => {
                let spelled = |word: &Word| spell(&[word.recipient().0.0])[0];
                Box::new(move |i| spelled(&words[i]) < spelled(&words[i + 1]))
            }
            // One address has several entitlements only where persons tell them apart.
            Format::Native | Format::OpenZeppelin => Box::new(|i| {
                let [a, b] = [i, i + 1].map(|i| &words[i].0[..20]);
                a < b
                    || native
                        && a == b
                        && self.has_persons()
                        && self.person(i as u64) < self.person(i as u64 + 1)
            }),
        };
        match (0..words.len() - 1).into_par_iter().find_first(|&i| !in_order(i)) {
            Some(index) => wrong(index + 1, "is not behind the one before it in the snapshot's order"),
            None => Ok(()),
        }
    }

    fn verify_native(&self, progress: OnProgress<'_>) -> Result<(), VerifyError> {
        let depth = self.depth();
        let (from, to) = (WORD_LEVELS.min(depth), SHARD_LEVELS.min(depth));
        let (done, of) = (AtomicU64::new(0), Some(self.count()));
        let shards: Vec<Vec<Vec<Hash>>> = self
            .all_words()
            .par_chunks(usize::try_from(SHARD).expect("65,536"))
            .map(|words| {
                let levels = tree::levels_over(words, from, to);
                let done = done.fetch_add(words.len() as u64, Ordering::Relaxed) + words.len() as u64;
                progress(Progress { stage: Stage::Hash, done, of });
                levels
            })
            .collect();
        let roots: Vec<Hash> = shards.iter().map(|levels| levels[usize::from(to - from)][0]).collect();
        self.verify_root(Upper::new(&roots, depth).root())?;
        let nodes = (0..=usize::from(to - from)).flat_map(|level| shards.iter().flat_map(move |s| &s[level]));
        if nodes.ne(self.nodes()) {
            return Err(VerifyError::Derived("the stored tree nodes are not those of the entitlements"));
        }
        Ok(())
    }

    fn verify_foreign(&self) -> Result<(), VerifyError> {
        let tree = foreign::tree(self.format(), self.all_words());
        self.verify_root(tree.root)?;
        let places_agree =
            (0..self.count()).zip(&tree.places).all(|(index, &place)| self.place(index) == place);
        if tree.nodes != self.nodes() || !places_agree {
            return Err(VerifyError::Derived("the stored tree nodes are not those of the entitlements"));
        }
        Ok(())
    }

    fn verify_root(&self, found: Hash) -> Result<(), VerifyError> {
        let (stated, found) = (self.root(), B256::new(found));
        if stated == found { Ok(()) } else { Err(VerifyError::Root { stated, found }) }
    }

    /// The index by person names each entitlement once, in order: strictly rising (person, index) pairs, as many as
    /// there are entitlements.
    fn verify_persons(&self) -> Result<(), VerifyError> {
        let by_person = self.file().section(Section::ByPerson).as_chunks::<4>().0;
        let entry = |place: usize| {
            let index = u64::from(u32::from_le_bytes(by_person[place]));
            (self.person(index), index)
        };
        let rising = (1..by_person.len()).into_par_iter().all(|place| entry(place - 1) < entry(place));
        let named =
            (0..by_person.len()).into_par_iter().all(|place| entry(place).0.is_some_and(|p| !p.is_zero()));
        if rising && named { Ok(()) } else { Err(VerifyError::Derived("the index by person is wrong")) }
    }
}
