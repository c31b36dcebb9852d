//! The client's record beside the log: every claim that was accepted stands there once, decided as it was told, and
//! nothing stands there that nobody sent.

use std::collections::{BTreeMap, HashMap, HashSet};

use sluice_core::ids::{CampaignId, DemandId, Millis};
use sluice_core::log::entry::{Body, Entry};

use super::offer::{Outcome, Seen};
use super::stretch::Stretch;

/// What the log says of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Logged {
    seq: u64,
    /// The database's clock when it was decided.
    at: Millis,
    /// `None` for a decided one.
    refused: Option<&'static str>,
}

/// The claims of a log.
#[derive(Debug, Default)]
pub(crate) struct LogSide {
    claims: HashMap<DemandId, Logged>,
    /// Claims or entitlements that the log decided twice.
    twice: u64,
    entitlements: HashSet<(CampaignId, u64, u64)>,
}

/// How the two compare. Without differences everything but the first three is 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Claims the client knows to be accepted.
    pub(crate) accepted: u64,
    /// Claims the log decided.
    pub(crate) decided: u64,
    /// Unanswered claims that the log has nevertheless: the client learns that by their ids.
    pub(crate) unanswered_found: u64,
    /// Accepted claims that the log does not have.
    pub(crate) lost: u64,
    /// Claims told to be decided at another position, or decided while told refused.
    pub(crate) contradicted: u64,
    /// Claims that the log refused after they were accepted, or may have been. All claims here are good and each is made
    /// once, and whatever is wrong with one is seen before its row is written: a ticket promises a decision.
    pub(crate) broken: u64,
    /// Claims in the log that nobody sent.
    pub(crate) strangers: u64,
    /// Claims or entitlements decided twice.
    pub(crate) twice: u64,
    /// Good claims that the log refused, by code.
    pub(crate) refused_in_log: BTreeMap<&'static str, u64>,
}

impl LogSide {
    /// Takes an entry of the log.
    pub(crate) fn take(&mut self, entry: &Entry) {
        let (id, refused, entitlement) = match &entry.body {
            Body::ClaimDecided(claim) => (claim.id, None, Some((claim.intake.campaign, claim.entitlement))),
            Body::ClaimRefused(claim) => (claim.id, Some(claim.code.as_str()), None),
            _ => return,
        };
        let again =
            entitlement.is_some_and(|(campaign, e)| !self.entitlements.insert((campaign, e.round, e.index)));
        let known =
            self.claims.insert(id, Logged { seq: entry.seq, at: entry.recorded_at, refused }).is_some();
        self.twice += u64::from(again || known);
    }

    /// Compares with everything that was sent.
    pub(crate) fn compare<'a>(&self, seen: impl IntoIterator<Item = &'a Seen> + Clone) -> Comparison {
        let mut comparison = Comparison { twice: self.twice, ..Comparison::default() };
        comparison.decided = self.claims.values().filter(|logged| logged.refused.is_none()).count() as u64;
        let sent: HashSet<DemandId> = seen.clone().into_iter().map(|seen| seen.id).collect();
        comparison.strangers = self.claims.keys().filter(|id| !sent.contains(id)).count() as u64;
        for code in self.claims.values().filter_map(|logged| logged.refused) {
            *comparison.refused_in_log.entry(code).or_default() += 1;
        }
        for seen in seen {
            let logged = self.claims.get(&seen.id);
            match (&seen.outcome, logged) {
                (Outcome::Decided(seq), Some(logged)) => {
                    comparison.accepted += 1;
                    comparison.contradicted += u64::from(logged.refused.is_some() || logged.seq != *seq);
                }
                (Outcome::Waiting, Some(logged)) => {
                    comparison.accepted += 1;
                    comparison.broken += u64::from(logged.refused.is_some());
                }
                (Outcome::Decided(_) | Outcome::Waiting, None) => {
                    comparison.accepted += 1;
                    comparison.lost += 1;
                }
                // A refusal after the row stands in the log as one; one before it does not stand there.
                (Outcome::Refused(..), Some(logged)) => {
                    comparison.contradicted += u64::from(logged.refused.is_none());
                }
                (Outcome::Unknown(_), Some(logged)) => {
                    comparison.unanswered_found += 1;
                    comparison.broken += u64::from(logged.refused.is_some());
                }
                (Outcome::Refused(..) | Outcome::Unknown(_), None) => {}
            }
        }
        comparison
    }

    /// How many of these the log decided in a stretch of time.
    pub(crate) fn decided_in(&self, seen: &[Seen], stretch: Stretch) -> u64 {
        let logged = seen.iter().filter_map(|seen| self.claims.get(&seen.id));
        logged.filter(|logged| logged.refused.is_none() && stretch.contains(logged.at)).count() as u64
    }
}

impl Comparison {
    /// Claims that were lost, contradicted, refused after they were accepted, invented or doubled.
    pub(crate) fn differences(&self) -> u64 {
        self.lost + self.contradicted + self.broken + self.strangers + self.twice
    }

    /// Whether there is no difference.
    pub(crate) fn agrees(&self) -> bool {
        self.differences() == 0
    }
}

#[cfg(test)]
mod tests;
