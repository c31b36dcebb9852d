//! Whether anything contradictory was ever answered. Only answers are looked at: the nodes' own memory is not asked.

mod states;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sluice_core::ids::{DemandId, Seq};
use sluice_core::log::entry::Body;
use sluice_core::log::merkle::leaf_hash;
use sluice_core::log::note::LogVerifier;
use sluice_core::log::receipt::Receipt;

use super::client::verdict;
use super::record::{Asked, Change, Heard, Verdict};

pub(super) use states::{persons_follow_entries, states_follow_entries};

/// Findings of one check that are told; more of them say nothing new.
const WRONG_MAX: usize = 20;

/// What was compared, and what was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    /// How many comparisons were made.
    pub(super) compared: u64,
    pub(super) wrong: Vec<String>,
}

impl Check {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, compared: 0, wrong: Vec::new() }
    }

    /// One comparison.
    pub(super) fn that(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.compared += 1;
        if !holds && self.wrong.len() < WRONG_MAX {
            self.wrong.push(otherwise());
        }
    }

    /// Whether something was compared, and nothing was wrong. A check that had nothing to look at shows nothing.
    pub(super) fn is_good(&self) -> bool {
        self.wrong.is_empty() && self.compared > 0
    }
}

/// Reads of State at one position agree, whichever node answered and whoever asked that may see the same.
pub(super) fn reads_agree(heard: &[Heard]) -> Check {
    let mut check = Check::new("reads of the same thing at one position agree");
    let mut first: HashMap<(&str, &str, Seq), &Heard> = HashMap::new();
    for read in heard.iter().filter(|h| h.asked == Asked::State) {
        match first.get(&read.question()) {
            None => {
                first.insert(read.question(), read);
            }
            Some(before) => check.that(before.status == read.status && before.body == read.body, || {
                format!(
                    "{} at {}: node {} said {} and node {} said {}",
                    read.path,
                    read.as_of,
                    before.node + 1,
                    before.body,
                    read.node + 1,
                    read.body
                )
            }),
        }
    }
    check
}

/// The same, counting only what two nodes answered.
pub(super) fn across_nodes(heard: &[Heard]) -> u64 {
    let mut nodes: BTreeMap<(&str, &str, Seq), [bool; 2]> = BTreeMap::new();
    for read in heard.iter().filter(|h| h.asked == Asked::State) {
        nodes.entry(read.question()).or_default()[read.node] = true;
    }
    nodes.values().filter(|nodes| **nodes == [true, true]).count() as u64
}

/// Both nodes were read at one position, all the while and at the end. Without it, that readings agree would say nothing
/// about two nodes.
pub(super) fn nodes_met(across: u64, at_the_end: usize) -> Check {
    let mut check = Check::new("both nodes were asked the same at one position, and at the end again");
    check.that(across > 0, || "no question was answered by both nodes at one position".to_owned());
    check.that(at_the_end > 0, || "in the end, both nodes were at one position for no question".to_owned());
    check
}

/// Who asks for a position is never answered from before it.
pub(super) fn min_seq_is_kept(heard: &[Heard]) -> Check {
    let mut check = Check::new("no answer is older than was asked for (Min-Seq)");
    for read in heard {
        let Some(least) = read.min_seq else { continue };
        check.that(read.as_of >= least, || {
            format!(
                "{}: {} was asked for, node {} answered at {}",
                read.path,
                least,
                read.node + 1,
                read.as_of
            )
        });
    }
    check
}

fn id(body: &Value) -> Option<DemandId> {
    serde_json::from_value(body["id"].clone()).ok()
}

/// A decided answer never changes: whoever asks at whichever node, however often, is told the same decision at the same
/// position, and nobody else has that position.
pub(super) fn decided_once(heard: &[Heard]) -> Check {
    let mut check = Check::new("a decided answer never changes");
    let mut told: BTreeMap<DemandId, Verdict> = BTreeMap::new();
    let mut whose: BTreeMap<Seq, DemandId> = BTreeMap::new();
    for answer in heard.iter().filter(|h| h.asked == Asked::Demand) {
        let Some((id, verdict)) = id(&answer.body).zip(verdict(answer)) else { continue };
        if matches!(verdict, Verdict::Turned { .. }) {
            continue;
        }
        // The subject's last change is told with the first answer and with every later one.
        let first = told.entry(id).or_insert_with(|| verdict.clone());
        check.that(*first == verdict, || {
            format!("{id} was told {first:?}, and then {verdict:?} by node {}", answer.node + 1)
        });
        let owner = *whose.entry(verdict.position()).or_insert(id);
        check.that(owner == id, || format!("{id} and {owner} have position {}", verdict.position()));
    }
    check
}

/// Every decision that was told stands in the change feed at its position, as it was told.
pub(super) fn decisions_are_entries(heard: &[Heard], feed: &[Change]) -> Check {
    let mut check = Check::new("every decision told is the entry at its position");
    for answer in heard.iter().filter(|h| h.asked == Asked::Demand) {
        let Some((id, verdict)) = id(&answer.body).zip(verdict(answer)) else { continue };
        let refused = match &verdict {
            Verdict::Turned { .. } => continue,
            Verdict::Done { .. } => None,
            Verdict::Refused { code, .. } => Some(code.clone()),
        };
        let seq = verdict.position();
        let entry = usize::try_from(seq).ok().and_then(|seq| feed.get(seq.wrapping_sub(1)));
        let same =
            entry.is_some_and(|entry| entry.seq == seq && entry.id == Some(id) && entry.code == refused);
        check.that(same, || format!("{id} was told {verdict:?}; the feed has {entry:?}"));
    }
    check
}

/// Receipts verify offline with the log's key, and are of this log: the feed has their leaves.
pub(super) fn receipts_prove(heard: &[Heard], feed: &[Change], key: &LogVerifier) -> Check {
    let mut check = Check::new("receipts verify offline and are of this log");
    for answer in heard.iter().filter(|h| h.asked == Asked::Demand) {
        let Some(id) = id(&answer.body) else { continue };
        let receipt = match &answer.body["receipt"] {
            Value::Null => continue,
            receipt => serde_json::from_value::<Receipt>(receipt.clone()),
        };
        let proven = receipt.map_err(|e| e.to_string()).and_then(|receipt| {
            let verified = receipt.verify(std::slice::from_ref(key)).map_err(|e| e.to_string())?;
            Ok((leaf_hash(&receipt.entry), verified.entry))
        });
        match proven {
            Err(why) => check.that(false, || format!("the receipt of {id}: {why}")),
            Ok((leaf, entry)) => {
                let at = usize::try_from(entry.seq).ok().and_then(|seq| feed.get(seq.wrapping_sub(1)));
                let leaf = alloy_primitives::B256::from(leaf).to_string();
                let same = at.is_some_and(|at| at.leaf.as_ref() == Some(&leaf));
                check.that(same, || format!("the receipt of {id} is of another log at {}", entry.seq));
                check.that(demand(&entry.body) == Some(id), || format!("the receipt of {id} is another's"));
            }
        }
    }
    check
}

/// The demand an entry answers.
pub(super) fn demand(body: &Body) -> Option<DemandId> {
    Some(match body {
        Body::CampaignCreated(c) => c.id,
        Body::RoundPublished(r) => r.command.id,
        Body::ClaimDecided(c) => c.id,
        Body::ClaimRefused(c) => c.id,
        Body::Pushed(p) => p.command.id,
        Body::Voided(v) => v.command.id,
        Body::CommandRefused(c) => c.id,
        Body::Ordered(o) => o.id,
        Body::GateSigned(g) => g.id,
        _ => return None,
    })
}

/// Both nodes' change feeds are one log: without a gap, leaf by leaf the same.
pub(super) fn feeds_agree(one: &[Change], other: &[Change]) -> Check {
    let mut check = Check::new("both nodes' change feeds are one log without a gap");
    for (place, (a, b)) in one.iter().zip(other).enumerate() {
        let seq = place as Seq + 1;
        check.that(a == b && a.seq == seq && a.leaf.is_some(), || format!("at {seq}: {a:?} and {b:?}"));
    }
    check
}
