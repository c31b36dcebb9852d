//! The compiled rule sets in force, by hash.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Hash;
use super::compile::Compiled;
use super::problem::{Problem, Problems};

/// Rule sets kept compiled. A thousand are in force at most times; a set takes some tens of kilobytes.
pub const RULEBOOK_MAX: usize = 4_096;

/// Compiled rule sets by hash: found in constant time however many there are, shared between threads, bounded. What was
/// not used for longest makes room; it is compiled again when it is next needed.
#[derive(Debug)]
pub struct Rulebook {
    sets: RwLock<HashMap<Hash, Kept>>,
    clock: AtomicU64,
    max: usize,
}

#[derive(Debug)]
struct Kept {
    compiled: Arc<Compiled>,
    used: AtomicU64,
}

impl Default for Rulebook {
    fn default() -> Self {
        Self::new(RULEBOOK_MAX)
    }
}

impl Rulebook {
    /// A rulebook of at most `max` sets (at least one).
    pub fn new(max: usize) -> Self {
        Self { sets: RwLock::default(), clock: AtomicU64::new(0), max: max.max(1) }
    }

    /// The rule set of this name, if it is kept.
    pub fn get(&self, hash: &Hash) -> Option<Arc<Compiled>> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let kept = sets.get(hash)?;
        kept.used.store(self.tick(), Ordering::Relaxed);
        Some(Arc::clone(&kept.compiled))
    }

    /// The rule set of this name, compiled from `bytes` if it is not kept. Bytes of another name are refused.
    pub fn load(&self, hash: &Hash, bytes: &[u8]) -> Result<Arc<Compiled>, Problems> {
        if let Some(compiled) = self.get(hash) {
            return Ok(compiled);
        }
        let compiled = Compiled::compile(bytes)?;
        if compiled.hash() != *hash {
            let message = format!("these bytes are rule set {}, not {hash}", compiled.hash());
            return Err(Problem::of("bytes", message).into());
        }
        Ok(self.insert(compiled))
    }

    /// Keeps a compiled set, and returns the one kept under its name.
    pub fn insert(&self, compiled: Compiled) -> Arc<Compiled> {
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = sets.get(&compiled.hash()) {
            return Arc::clone(&kept.compiled);
        }
        if sets.len() >= self.max {
            let oldest =
                sets.iter().min_by_key(|(_, kept)| kept.used.load(Ordering::Relaxed)).map(|(hash, _)| *hash);
            oldest.and_then(|hash| sets.remove(&hash));
        }
        let compiled = Arc::new(compiled);
        let kept = Kept { compiled: Arc::clone(&compiled), used: AtomicU64::new(self.tick()) };
        sets.insert(compiled.hash(), kept);
        compiled
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}
