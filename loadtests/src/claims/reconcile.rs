//! The client's record beside the log: every claim that was accepted stands there once, decided as it was told, and
//! nothing stands there that nobody sent.

use std::collections::{BTreeMap, HashMap, HashSet};

use sluice_core::ids::{CampaignId, DemandId};
use sluice_core::log::entry::{Body, Entry};

use super::offer::{Outcome, Seen};

/// What the log says of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Logged {
    seq: u64,
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
        let known = self.claims.insert(id, Logged { seq: entry.seq, refused }).is_some();
        self.twice += u64::from(again || known);
    }

    /// Compares with everything that was sent.
    pub(crate) fn compare(&self, seen: &[Seen]) -> Comparison {
        let mut comparison = Comparison { twice: self.twice, ..Comparison::default() };
        comparison.decided = self.claims.values().filter(|logged| logged.refused.is_none()).count() as u64;
        let sent: HashSet<DemandId> = seen.iter().map(|seen| seen.id).collect();
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
                (Outcome::Waiting, Some(_)) => comparison.accepted += 1,
                (Outcome::Decided(_) | Outcome::Waiting, None) => {
                    comparison.accepted += 1;
                    comparison.lost += 1;
                }
                // A refusal after the row stands in the log as one; one before it does not stand there.
                (Outcome::Refused(..), Some(logged)) => {
                    comparison.contradicted += u64::from(logged.refused.is_none());
                }
                (Outcome::Unknown(_), Some(_)) => comparison.unanswered_found += 1,
                (Outcome::Refused(..) | Outcome::Unknown(_), None) => {}
            }
        }
        comparison
    }
}

impl Comparison {
    /// Whether nothing was lost, doubled, invented or contradicted.
    pub(crate) fn agrees(&self) -> bool {
        self.lost + self.contradicted + self.strangers + self.twice == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_core::ids::{EntitlementId, IntakeKey, StreamId};
    use sluice_core::log::entry::ClaimRefused;
    use sluice_core::refusal::Code;
    use std::time::Duration;
    use uuid::Uuid;

    fn seen(id: u128, outcome: Outcome) -> Seen {
        Seen { id: DemandId(Uuid::from_u128(id)), round: 1, index: 0, outcome, latency: Duration::ZERO }
    }

    fn refused(seq: u64, id: u128) -> Entry {
        let claim = ClaimRefused {
            intake: IntakeKey { campaign: Default::default(), node: 1, n: seq },
            id: DemandId(Uuid::from_u128(id)),
            entitlement: EntitlementId { round: 1, index: 0 },
            body_hash: Default::default(),
            accepted_at: 0,
            code: Code::AlreadyDecided,
            evidence: Default::default(),
        };
        Entry { stream: StreamId(0), seq, epoch: 1, recorded_at: 0, body: Body::ClaimRefused(claim) }
    }

    #[test]
    fn every_kind_of_difference_is_counted() {
        let mut log = LogSide::default();
        for (seq, id) in [(1, 1), (2, 2), (3, 2), (4, 9)] {
            log.take(&refused(seq, id));
        }
        let client = [
            seen(1, Outcome::Decided(1)),
            seen(2, Outcome::Refused(422, "already_decided".into())),
            seen(3, Outcome::Waiting),
            seen(4, Outcome::Unknown("cut".into())),
        ];
        let found = log.compare(&client);
        assert_eq!((found.contradicted, found.lost, found.strangers, found.twice), (1, 1, 1, 1));
        assert!(!found.agrees());
        assert_eq!(found.refused_in_log.get("already_decided"), Some(&3));
        assert!(LogSide::default().compare(&[seen(4, Outcome::Unknown("cut".into()))]).agrees());
    }
}
