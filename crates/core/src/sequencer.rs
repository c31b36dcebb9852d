//! The sequencer's pure step: inputs in, a group of entries out, decided and applied one after another on a private
//! clone of State. The engine appends the group; only a certain commit makes it true.

pub mod fair;

use std::collections::BTreeMap;

use alloy_primitives::Bytes;

use crate::decide::{About, Decision, Input, decide};
use crate::ids::{CampaignId, Epoch, Millis, Seq};
use crate::limits::{GROUP_BYTES_MAX, GROUP_DUE_MAX, GROUP_INPUTS_MAX};
use crate::log::entry::{Body, Entry};
use crate::log::merkle::{Appended, Frontier, leaf_hash};
use crate::state::State;
use crate::state::apply::ApplyError;
use crate::state::funds::{Account, Posting};

/// The leader's private clone of State and tree. It runs ahead of the committed log; when an append is not certain, it
/// is thrown away and made anew.
#[derive(Clone, Debug)]
pub struct Decider {
    state: State,
    tree: Frontier,
    epoch: Epoch,
}

/// Entries to append in one statement, with everything that goes along.
#[derive(Debug)]
pub struct Group {
    /// In order, without gaps.
    pub entries: Vec<Entry>,
    /// Their encoded bytes.
    pub encoded: Vec<Vec<u8>>,
    /// Their leaf hashes.
    pub leaves: Vec<[u8; 32]>,
    /// Movements, summed per campaign and account; each campaign's add up to zero.
    pub postings: Vec<Posting>,
    /// Inclusion paths against the group's end, the root there, and tiles that became full.
    pub appended: Appended,
    /// The tree that ends with the group.
    pub tree: Frontier,
    /// Inputs that must be verified again.
    pub again: Vec<Input>,
    /// Demands for which this group has no room in bytes, in their order: they are the next one's first.
    pub rest: Vec<Input>,
    /// Facts that gates' policies saw: kept beside the log, and named in it by their hashes.
    pub facts: Vec<Facts>,
}

/// Facts behind an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The entry's position.
    pub seq: Seq,
    /// Whom they are about.
    pub about: About,
    /// Salted canonical bytes; the entry's evidence holds their SHA-256.
    pub bytes: Bytes,
}

impl Decider {
    /// A decider at the head of the committed log.
    pub fn new(state: State, tree: Frontier, epoch: Epoch) -> Self {
        Self { state: state.unhashed(), tree, epoch }
    }

    /// The state with everything decided so far, committed or not.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Decides inputs in the order given, after whatever fell due. Takes at most [`GROUP_INPUTS_MAX`]; the caller
    /// hands over no more. Demands that come when the group has [`GROUP_BYTES_MAX`] are handed back.
    ///
    /// # Errors
    /// When a decision contradicts the state it was made from: a bug. The decider must then be thrown away.
    pub fn group(&mut self, inputs: Vec<Input>, now: Millis) -> Result<Group, ApplyError> {
        debug_assert!(inputs.len() <= GROUP_INPUTS_MAX, "the caller bounds the group");
        let now = now.max(self.state.recorded_at);
        let (mut made, mut again, mut rest) = (Made::default(), Vec::new(), Vec::new());
        while let Some(due) =
            self.state.first_due(now).filter(|_| made.entries.len() < GROUP_DUE_MAX).cloned()
        {
            self.push(Body::Due(due), now, &mut made)?;
        }
        // No input may be decided before what fell due earlier: with more of that to come, demands wait for the next
        // group, and observations are made again.
        let inputs = if self.state.first_due(now).is_some() {
            again.extend(inputs.into_iter().filter(|input| !matches!(input, Input::Observed(_))));
            Vec::new()
        } else {
            inputs
        };
        for input in inputs {
            // What was observed together stands together, and comes first.
            if made.bytes >= GROUP_BYTES_MAX && input.intake().is_some() {
                rest.push(input);
                continue;
            }
            match decide(&self.state, &input, now) {
                Decision::Entry(body) => {
                    self.push(*body, now, &mut made)?;
                    made.keep(&input, self.state.seq);
                }
                Decision::Again => again.push(input),
                Decision::Nothing => {}
            }
        }
        let Made { entries, encoded, postings, facts, .. } = made;
        let leaves: Vec<_> = encoded.iter().map(|bytes| leaf_hash(bytes)).collect();
        let appended = self.tree.extend_with_paths(&leaves);
        let (tree, postings) = (self.tree.clone(), summed(postings));
        Ok(Group { entries, encoded, leaves, postings, appended, tree, again, rest, facts })
    }

    fn push(&mut self, body: Body, now: Millis, made: &mut Made) -> Result<(), ApplyError> {
        let (stream, seq, epoch) = (self.state.stream, self.state.seq + 1, self.epoch);
        let entry = Entry { stream, seq, epoch, recorded_at: now, body };
        made.postings.extend(self.state.apply(&entry)?);
        let bytes = entry.encode();
        made.bytes += bytes.len();
        made.encoded.push(bytes);
        made.entries.push(entry);
        Ok(())
    }
}

/// What a group has so far.
#[derive(Debug, Default)]
struct Made {
    entries: Vec<Entry>,
    encoded: Vec<Vec<u8>>,
    postings: Vec<Posting>,
    facts: Vec<Facts>,
    /// Of entries and facts.
    bytes: usize,
}

impl Made {
    /// Keeps the facts behind an input's entry.
    fn keep(&mut self, input: &Input, seq: Seq) {
        if let Some((bytes, about)) = input.facts() {
            self.bytes += bytes.len();
            self.facts.push(Facts { seq, about, bytes: bytes.clone() });
        }
    }
}

/// One posting per campaign and account, without those that cancel out.
fn summed(postings: Vec<Posting>) -> Vec<Posting> {
    let mut sums: BTreeMap<(CampaignId, Account), i128> = BTreeMap::new();
    for Posting { campaign, account, delta } in postings {
        *sums.entry((campaign, account)).or_default() += delta;
    }
    sums.into_iter()
        .filter(|(_, delta)| *delta != 0)
        .map(|((campaign, account), delta)| Posting { campaign, account, delta })
        .collect()
}
