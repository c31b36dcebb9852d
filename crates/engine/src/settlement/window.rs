//! The settlement window: a batch that is not full waits for company, for as long as its campaign's terms say. Nothing
//! of it is kept: after a take-over the wait begins anew.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sluice_core::ids::CampaignId;

/// Since when each campaign has had something to pay that waits.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<CampaignId, Instant>);

impl Waits {
    /// Whether what a campaign has to pay goes now: it fills a call, or has waited long enough.
    pub(super) fn is_over(&mut self, campaign: CampaignId, is_full: bool, window: Duration) -> bool {
        let since = self.0.entry(campaign).or_insert_with(Instant::now);
        is_full || since.elapsed() >= window
    }

    /// Everything that was payable is planned: what comes next waits from its own beginning.
    pub(super) fn end(&mut self, campaign: CampaignId) {
        self.0.remove(&campaign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_a_call_goes_at_once_and_the_rest_waits_from_when_it_was_first_seen() {
        let (mut waits, campaign) = (Waits::default(), CampaignId::default());
        let hour = Duration::from_secs(3_600);
        assert!(waits.is_over(campaign, false, Duration::ZERO));
        waits.end(campaign);
        assert!(!waits.is_over(campaign, false, hour));
        assert!(waits.is_over(campaign, true, hour));
        waits.0.insert(campaign, Instant::now().checked_sub(hour).unwrap());
        assert!(waits.is_over(campaign, false, hour));
        waits.end(campaign);
        assert!(!waits.is_over(campaign, false, hour));
    }
}
