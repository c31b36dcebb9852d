//! Replaying a log and comparing everything that can be compared: leaves, positions, epochs, times, the Merkle root and
//! the hash of State against every signed checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sluice_core::ids::{Epoch, Millis, Seq, StreamId};
use sluice_core::log::entry::{Body, Entry, Erased};
use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::log::note::{LogVerifier, SignedHead, open};
use sluice_core::state::State;

use super::source::{CheckpointRow, Kept, Page, Row};
use super::{EvidenceError, LogSource, Place};

/// A log replayed up to a position, with what was compared on the way.
#[derive(Debug)]
pub struct Replay {
    state: Option<State>,
    tree: Frontier,
    keys: Vec<LogVerifier>,
    /// Entries covered by the last checkpoint that agreed.
    covered: Seq,
    checkpoints: u64,
    facts: u64,
    sealed: u64,
    erasures: Erasures,
    last_head: Option<(SignedHead, String)>,
}

/// What a whole log proved to be.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The log's name.
    pub origin: Option<String>,
    /// Entries.
    pub entries: Seq,
    /// The epoch of the last.
    pub epoch: Epoch,
    /// When the last was recorded.
    pub recorded_at: Millis,
    /// The Merkle root over all of them.
    pub root: B256,
    /// The hash of State after the last.
    pub state_hash: B256,
    /// Signed checkpoints compared.
    pub checkpoints: u64,
    /// Entries that the last of them covers. What comes after is consistent in itself, and signed by nobody yet.
    pub covered: Seq,
    /// Entries whose facts are kept, and are what the entry names.
    pub facts: u64,
    /// Entries whose facts are there, and could not be opened.
    pub sealed: u64,
    /// Entries whose facts were erased.
    pub erased: u64,
    /// How many of these no entry says so of: somebody deleted them past the log.
    pub unrecorded: u64,
    /// Facts that are there, though an entry says that they were erased: an export made meanwhile, or a backup brought back.
    pub unerased: u64,
}

/// Facts that are missing, against what entries say was erased. Only what no entry has named yet is remembered one by one.
#[derive(Debug, Default)]
struct Erasures {
    all: u64,
    unrecorded: BTreeSet<Seq>,
    unerased: u64,
}

impl Erasures {
    fn missing(&mut self, seq: Seq) {
        self.all += 1;
        self.unrecorded.insert(seq);
    }

    fn recorded(&mut self, erased: &Erased) {
        for seq in &erased.facts {
            self.unerased += u64::from(!self.unrecorded.remove(seq));
        }
    }
}

impl Replay {
    /// Before the first entry. Checkpoints must be signed by one of these keys; without keys, roots and hashes are still
    /// compared, but nobody says that the log's keeper signed them.
    pub fn new(keys: Vec<LogVerifier>) -> Self {
        Self {
            state: None,
            tree: Frontier::default(),
            keys,
            covered: 0,
            checkpoints: 0,
            facts: 0,
            sealed: 0,
            erasures: Erasures::default(),
            last_head: None,
        }
    }

    /// State after the last entry; `None` before the first.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The last position.
    pub fn seq(&self) -> Seq {
        self.tree.size()
    }

    /// The root over everything so far.
    pub fn root(&self) -> [u8; 32] {
        self.tree.root()
    }

    /// The last checkpoint that agreed, with its note.
    pub fn last_head(&self) -> Option<&(SignedHead, String)> {
        self.last_head.as_ref()
    }

    /// Reads and checks one row, without applying it.
    ///
    /// # Errors
    /// [`EvidenceError::Changed`] when anything in it disagrees with anything else.
    pub fn read(&self, row: &Row) -> Result<Entry, EvidenceError> {
        let seq = self.seq() + 1;
        let at = |why: String| EvidenceError::changed(Place::at(seq), why);
        if row.seq > seq {
            let gap = Place { from: seq, to: row.seq - 1 };
            return Err(EvidenceError::changed(gap, format!("rows are missing before that of {}", row.seq)));
        }
        if row.seq < seq {
            return Err(at(format!("the row of {} stands here again", row.seq)));
        }
        if leaf_hash(&row.entry) != row.leaf {
            return Err(at("the entry does not hash to its leaf".into()));
        }
        let entry = Entry::decode(&row.entry).map_err(|error| at(format!("the row is no entry: {error}")))?;
        if entry.seq != seq {
            return Err(at(format!("the row holds the entry of {}", entry.seq)));
        }
        if entry.epoch != row.epoch {
            return Err(at(format!("the row says epoch {}, its entry {}", row.epoch, entry.epoch)));
        }
        if entry.body.kind() != row.kind {
            return Err(at(format!("the row says kind {}, its entry {}", row.kind, entry.body.kind())));
        }
        if entry.body.intake() != row.intake {
            return Err(at("row and entry name different intake rows".into()));
        }
        Ok(entry)
    }

    /// Applies a checked row's entry. Epochs, positions and times are compared by State itself.
    ///
    /// # Errors
    /// [`EvidenceError::Changed`] when it cannot follow from what came before.
    pub fn apply(&mut self, entry: &Entry, leaf: [u8; 32]) -> Result<(), EvidenceError> {
        let state = self.state.get_or_insert_with(|| State::new(entry.stream));
        state
            .apply(entry)
            .map_err(|error| EvidenceError::changed(Place::at(entry.seq), error.to_string()))?;
        self.tree.push(leaf);
        if let Body::Erased(erased) = &entry.body {
            self.erasures.recorded(erased);
        }
        Ok(())
    }

    /// Compares facts with the entry they lie beside.
    ///
    /// # Errors
    /// [`EvidenceError::Changed`] when the entry names other facts, or none.
    pub fn facts(&mut self, entry: &Entry, facts: Option<&Kept>) -> Result<(), EvidenceError> {
        let at = |why: &str| EvidenceError::changed(Place::at(entry.seq), why);
        let named = inputs(&entry.body).filter(|hash| !hash.is_zero() && *hash != nothing());
        match (facts, named) {
            (None, None) => {}
            (None, Some(_)) => self.erasures.missing(entry.seq),
            (Some(_), None) => return Err(at("facts lie beside an entry that names none")),
            (Some(Kept::Broken), _) => {
                return Err(at("the facts beside the entry were changed: their seal is broken"));
            }
            (Some(Kept::Sealed), Some(_)) => self.sealed += 1,
            (Some(Kept::Open(body)), Some(hash)) if Sha256::digest(body).as_slice() == hash.as_slice() => {
                self.facts += 1;
            }
            (Some(_), Some(_)) => return Err(at("the facts beside the entry are not those it names")),
        }
        Ok(())
    }

    /// Compares a checkpoint with the entries so far, which must be those it covers.
    ///
    /// # Errors
    /// [`EvidenceError::Changed`] for another root or state hash: what was changed lies between the last checkpoint that
    /// agreed and this one. [`EvidenceError::Note`] when nobody known signed it.
    pub fn checkpoint(&mut self, found: &CheckpointRow) -> Result<(), EvidenceError> {
        let size = self.seq();
        let place = Place { from: self.covered + 1, to: size };
        let head = match self.keys.is_empty() {
            true => unsigned(&found.note)
                .ok_or_else(|| EvidenceError::changed(place, "a checkpoint is not a signed tree head"))?,
            false => open(&found.note, &self.keys)
                .map_err(|source| EvidenceError::Note { size: found.size, source })?,
        };
        let stream = self.state.as_ref().map_or(StreamId(0), |state| state.stream);
        if head.head.size != found.size
            || head.head.origin.stream() != stream
            || head.head.origin.ticket_node().is_some()
        {
            let why = format!("the checkpoint stored for {} entries was signed for others", found.size);
            return Err(EvidenceError::changed(place, why));
        }
        if head.head.root != self.tree.root() {
            let why = format!("the entries do not give the root that was signed over {size} of them");
            return Err(EvidenceError::changed(place, why));
        }
        let hash = self.state.as_mut().map(State::hash);
        if head.head.state_hash != hash || Some(found.state_hash) != hash {
            let why = format!("the entries do not give the state that was signed after {size} of them");
            return Err(EvidenceError::changed(place, why));
        }
        (self.covered, self.checkpoints) = (size, self.checkpoints + 1);
        self.last_head = Some((head, found.note.clone()));
        Ok(())
    }

    /// Takes a page: every row, its facts, and each checkpoint after the row it ends with. `before` sees each entry before
    /// it is applied, with its facts; a `false` of it ends the reading there.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn take(
        &mut self,
        page: &Page,
        mut before: impl FnMut(Option<&State>, &Entry, Option<&Kept>) -> bool,
    ) -> Result<bool, EvidenceError> {
        let mut checkpoints = page.checkpoints.iter().peekable();
        for row in &page.rows {
            let entry = self.read(row)?;
            let facts = page.facts.get(&row.seq);
            self.facts(&entry, facts)?;
            if !before(self.state.as_ref(), &entry, facts) {
                return Ok(false);
            }
            self.apply(&entry, row.leaf)?;
            while let Some(checkpoint) = checkpoints.next_if(|c| c.size <= row.seq) {
                if checkpoint.size < row.seq {
                    let place = Place { from: self.covered + 1, to: row.seq };
                    return Err(EvidenceError::changed(place, "checkpoints are out of order"));
                }
                self.checkpoint(checkpoint)?;
            }
        }
        if let Some((seq, _)) =
            page.facts.iter().find(|(seq, _)| !page.rows.iter().any(|row| row.seq == **seq))
        {
            return Err(EvidenceError::changed(Place::at(*seq), "facts lie beside no entry"));
        }
        Ok(true)
    }

    /// What was found, at the end.
    pub fn verified(&mut self) -> Verified {
        let origin = self.last_head.as_ref().map(|(head, _)| head.head.origin.to_string());
        let state = self.state.as_mut();
        Verified {
            origin,
            entries: self.tree.size(),
            root: self.tree.root().into(),
            checkpoints: self.checkpoints,
            covered: self.covered,
            facts: self.facts,
            sealed: self.sealed,
            erased: self.erasures.all,
            unrecorded: self.erasures.unrecorded.len() as u64,
            unerased: self.erasures.unerased,
            epoch: state.as_ref().map_or(0, |state| state.epoch),
            recorded_at: state.as_ref().map_or(0, |state| state.recorded_at),
            state_hash: state.map(State::hash).unwrap_or_default().into(),
        }
    }
}

/// Verifies a whole log. `kept` are checkpoints from elsewhere (a witness, a neighbour): the log must contain what they
/// sign, so that a log cut short together with its own checkpoints is caught, too.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub async fn verify(
    source: &LogSource,
    keys: &[LogVerifier],
    kept: &[String],
) -> Result<Verified, EvidenceError> {
    let mut outside: BTreeMap<Seq, Vec<[u8; 32]>> = BTreeMap::new();
    for note in kept {
        let head = open(note, keys).map_err(|source| EvidenceError::Note { size: 0, source })?.head;
        outside.entry(head.size).or_default().push(head.root);
    }
    let mut replay = Replay::new(keys.to_vec());
    let mut pages = source.pages()?;
    while let Some(page) = pages.next().await? {
        for part in split_at(page, &outside) {
            replay.take(&part, |_, _, _| true)?;
            let size = replay.seq();
            if outside.remove(&size).is_some_and(|roots| roots.iter().any(|root| *root != replay.root())) {
                let place = Place { from: 1, to: size };
                return Err(EvidenceError::changed(
                    place,
                    "the kept checkpoint was signed over other entries",
                ));
            }
        }
    }
    let beyond = pages.beyond().await?.map(|c| c.size).into_iter();
    if let Some(size) = beyond.chain(outside.keys().next_back().copied()).max() {
        let place = Place { from: replay.seq() + 1, to: size };
        let why = format!("{size} entries were signed, and the log ends at {}", replay.seq());
        return Err(EvidenceError::changed(place, why));
    }
    Ok(replay.verified())
}

/// Cuts a page after the positions at which kept checkpoints are compared.
fn split_at(page: Page, outside: &BTreeMap<Seq, Vec<[u8; 32]>>) -> Vec<Page> {
    let Some((first, last)) = page.rows.first().zip(page.last()).map(|(row, last)| (row.seq, last)) else {
        return vec![page];
    };
    let cuts: Vec<Seq> =
        if first <= last { outside.range(first..=last).map(|(at, _)| *at).collect() } else { Vec::new() };
    let mut rest = page;
    let mut parts = Vec::new();
    for cut in cuts {
        let rows = rest.rows.partition_point(|row| row.seq <= cut);
        let checkpoints = rest.checkpoints.partition_point(|c| c.size <= cut);
        let later = Page {
            rows: rest.rows.split_off(rows),
            facts: rest.facts.split_off(&(cut + 1)),
            checkpoints: rest.checkpoints.split_off(checkpoints),
        };
        parts.push(std::mem::replace(&mut rest, later));
    }
    parts.push(rest);
    parts
}

/// The hash of the facts that an entry's policies saw.
pub(super) fn inputs(body: &Body) -> Option<B256> {
    match body {
        Body::ClaimDecided(claim) => Some(claim.evidence.inputs),
        Body::ClaimRefused(claim) => Some(claim.evidence.inputs),
        other => other.command_evidence().map(|evidence| evidence.inputs),
    }
}

/// SHA-256 of no facts: the gate was not asked, because a rule set was missing.
fn nothing() -> B256 {
    B256::from_slice(&Sha256::digest([]))
}

/// A note's head, whoever signed it.
fn unsigned(note: &str) -> Option<SignedHead> {
    let (text, _) = note.split_once("\n\n")?;
    Some(SignedHead { head: format!("{text}\n").parse().ok()?, signers: Vec::new() })
}
