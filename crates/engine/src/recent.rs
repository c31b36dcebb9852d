//! Attestations that were handed in here lately, open and read. A claim often follows soon on what it rests on: then only
//! their ids are asked of the database, which alone knows what is kept, and nothing is fetched, unsealed and read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use alloy_primitives::{B256, keccak256};
use sluice_core::limits::LOOKUP_VALID;
use sluice_gate::attestation::Attestation;
use sluice_store::StoredAttestation;

/// Bytes of attestations held: some sixty thousand of usual size, what comes in ten minutes at a hundred a second.
const HELD_BYTES_MAX: usize = 64 << 20;
/// What one takes beside its encoded bytes: its parts on the heap, and its places in tables.
const HELD_BYTES_BESIDE: usize = 512;

/// An attestation as it was handed in. Its id leaves the signature out, and what was found about one signature says nothing
/// about another under the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AsSigned {
    pub(crate) id: B256,
    /// A hash of it.
    pub(crate) signature: B256,
}

impl AsSigned {
    pub(crate) fn new(attestation: &Attestation) -> Self {
        Self::of(attestation.id(), attestation)
    }

    /// The same where the id is known.
    pub(crate) fn of(id: B256, attestation: &Attestation) -> Self {
        Self { id, signature: keccak256(&attestation.signature) }
    }
}

/// An attestation that is kept, read.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: B256,
    pub(crate) as_signed: AsSigned,
    pub(crate) attestation: Attestation,
    /// Whether a key signed it, as was checked when it came.
    pub(crate) signed_by_key: bool,
}

impl Held {
    pub(crate) fn new(id: B256, attestation: Attestation, signed_by_key: bool) -> Self {
        Self { id, as_signed: AsSigned::of(id, &attestation), attestation, signed_by_key }
    }

    /// As the database has it; `None` for what cannot be read, which was not written by this program.
    pub(crate) fn read(row: &StoredAttestation) -> Option<Self> {
        let attestation = Attestation::decode(&row.body).ok()?;
        Some(Self::new(row.id.into(), attestation, row.signed_by_key))
    }
}

/// What was handed in lately. Nothing is held for longer than look-ups about it are believed, and whatever an erasure might
/// concern is forgotten with it.
#[derive(Debug)]
pub(crate) struct Recent(Mutex<Generations>);

/// Two generations, so that the older half is forgotten at once: nobody has to say who goes first.
#[derive(Debug)]
struct Generations {
    young: HashMap<B256, Arc<Held>>,
    old: HashMap<B256, Arc<Held>>,
    /// Bytes of the young.
    bytes: usize,
    /// When the young began.
    since: Instant,
    /// How often all was forgotten because somebody was erased.
    erasures: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Self(Mutex::new(Generations::begun_at(Instant::now(), 0)))
    }
}

impl Recent {
    /// How many erasures there were, to be asked before something is written that is to be held.
    pub(crate) fn erasures(&self) -> u64 {
        self.0.lock().expect("no panic inside").erasures
    }

    /// Holds what was just written, with the length of its bytes, unless somebody was erased since: it may be gone again.
    pub(crate) fn hold(&self, held: Arc<Held>, bytes: usize, erasures: u64) {
        let mut generations = self.0.lock().expect("no panic inside");
        if generations.erasures == erasures {
            generations.hold(held, bytes, Instant::now());
        }
    }

    /// Lets what is too old go, also where nobody asks for anything.
    pub(crate) fn age(&self) {
        self.0.lock().expect("no panic inside").turn(0, Instant::now());
    }

    /// Of these ids, those that are held.
    pub(crate) fn of<'a>(&self, ids: impl Iterator<Item = &'a [u8; 32]>) -> HashMap<B256, Arc<Held>> {
        let mut generations = self.0.lock().expect("no panic inside");
        generations.turn(0, Instant::now());
        let held = ids.map(B256::from).filter_map(|id| Some((id, generations.get(&id)?)));
        held.collect()
    }

    /// Forgets everything: somebody was erased, and whose these are nobody looks up.
    pub(crate) fn forget(&self) {
        let mut generations = self.0.lock().expect("no panic inside");
        *generations = Generations::begun_at(Instant::now(), generations.erasures + 1);
    }
}

impl Generations {
    fn begun_at(since: Instant, erasures: u64) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), bytes: 0, since, erasures }
    }

    fn get(&self, id: &B256) -> Option<Arc<Held>> {
        self.young.get(id).or_else(|| self.old.get(id)).map(Arc::clone)
    }

    fn hold(&mut self, held: Arc<Held>, bytes: usize, now: Instant) {
        let bytes = bytes + HELD_BYTES_BESIDE;
        self.turn(bytes, now);
        self.bytes += bytes;
        self.young.insert(held.id, held);
    }

    /// Lets the young grow old once they take half of what may be held, or half of the time, with what is to come.
    fn turn(&mut self, more: usize, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= LOOKUP_VALID {
            *self = Self::begun_at(now, self.erasures);
        } else if age >= LOOKUP_VALID / 2 || self.bytes + more > HELD_BYTES_MAX / 2 {
            let old = std::mem::take(&mut self.young);
            *self = Self { old, ..Self::begun_at(now, self.erasures) };
        }
    }
}

#[cfg(test)]
mod tests;
