//! The log beside the client's record: what it decided of each campaign, by claims and by pushes.

use std::collections::HashMap;

use sluice_core::command::Action;
use sluice_core::ids::CampaignId;
use sluice_core::log::entry::{Body, Entry};

use super::bitmap::Bitmap;

/// What the log says of all campaigns.
#[derive(Debug, Default)]
pub(super) struct Record {
    campaigns: HashMap<CampaignId, OfCampaign>,
    entries: u64,
}

/// What it says of one.
#[derive(Debug, Default)]
struct OfCampaign {
    claimed: Bitmap,
    /// Claims decided for an entitlement that another one had.
    twice: u64,
    /// Claims refused: all that are made are good.
    refused: u64,
    pushed: u64,
}

impl Record {
    /// Takes an entry.
    pub(super) fn take(&mut self, entry: &Entry) {
        self.entries += 1;
        match &entry.body {
            Body::ClaimDecided(claim) => {
                let of = self.campaigns.entry(claim.intake.campaign).or_default();
                of.twice += u64::from(!of.claimed.set(claim.entitlement.index));
            }
            Body::ClaimRefused(claim) => {
                self.campaigns.entry(claim.intake.campaign).or_default().refused += 1;
            }
            Body::Pushed(pushed) => {
                if let Action::Push { campaign, .. } = pushed.command.command.action {
                    let count: u64 = pushed.decided.iter().map(|(_, count, _)| u64::from(*count)).sum();
                    self.campaigns.entry(campaign).or_default().pushed += count;
                }
            }
            _ => {}
        }
    }

    /// Entries seen.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// How many entitlements pushes decided.
    pub(super) fn pushed(&self, campaign: CampaignId) -> u64 {
        self.campaigns.get(&campaign).map_or(0, |of| of.pushed)
    }

    /// In how many claims the log differs from what the client was told: decided twice, refused, lost or made up.
    pub(super) fn differences(&self, campaign: CampaignId, told: &Bitmap) -> u64 {
        let none = OfCampaign::default();
        let of = self.campaigns.get(&campaign).unwrap_or(&none);
        of.twice + of.refused + of.claimed.differences(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_core::ids::{DemandId, EntitlementId, IntakeKey, StreamId};
    use sluice_core::log::entry::ClaimRefused;
    use sluice_core::refusal::Code;

    #[test]
    fn a_claim_that_was_told_decided_and_stands_refused_differs_twice() {
        let campaign = CampaignId(uuid::Uuid::from_u128(1));
        let refused = ClaimRefused {
            intake: IntakeKey { campaign, node: 1, n: 1 },
            id: DemandId(uuid::Uuid::from_u128(2)),
            entitlement: EntitlementId { round: 1, index: 5 },
            body_hash: Default::default(),
            accepted_at: 0,
            code: Code::AlreadyDecided,
            evidence: Default::default(),
        };
        let body = Body::ClaimRefused(refused);
        let mut record = Record::default();
        record.take(&Entry { stream: StreamId(0), seq: 1, epoch: 1, recorded_at: 0, body });
        let mut told = Bitmap::new(10);
        told.set(5);
        assert_eq!(record.differences(campaign, &told), 2);
        assert_eq!(record.differences(CampaignId::default(), &Bitmap::new(10)), 0);
        assert_eq!((record.entries(), record.pushed(campaign)), (1, 0));
    }
}
