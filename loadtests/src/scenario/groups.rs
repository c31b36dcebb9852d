//! Campaigns that share a deployment. Claims take kilobytes of log each, so campaigns are decided group by group, each
//! with a database of its own that is dropped when its log has been compared; and an interrupted run goes on at a group.

use super::lists::Campaign;

/// Wallets of a group, about: with a tenth of them claiming, its database has a gigabyte or two.
const WALLETS: u64 = 5_000_000;
/// Campaigns of a group: each takes seconds of the chain until its round is open.
const CAMPAIGNS: usize = 50;

/// Consecutive campaigns, shared out.
pub(super) fn groups(campaigns: &[Campaign]) -> Vec<&[Campaign]> {
    let (mut groups, mut first, mut wallets) = (Vec::new(), 0, 0);
    for (at, campaign) in campaigns.iter().enumerate() {
        let full = at > first && (wallets + campaign.plan.rows > WALLETS || at - first == CAMPAIGNS);
        if full {
            groups.push(&campaigns[first..at]);
            (first, wallets) = (at, 0);
        }
        wallets += campaign.plan.rows;
    }
    if first < campaigns.len() {
        groups.push(&campaigns[first..]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    #[test]
    fn every_campaign_is_in_one_group_and_no_group_is_too_large() {
        let campaigns = Campaign::all(generate::campaigns(1, 200, 40_000_000, 4_000_000_000));
        let groups = groups(&campaigns);
        let numbers: Vec<usize> = groups.iter().flat_map(|group| group.iter().map(|c| c.number)).collect();
        assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
        for group in &groups {
            let wallets: u64 = group.iter().map(|campaign| campaign.plan.rows).sum();
            assert!(group.len() == 1 || wallets <= WALLETS && group.len() <= CAMPAIGNS);
        }
        assert!(groups[0].len() == 1 && groups.len() < 16, "{} groups", groups.len());
    }

    #[test]
    fn small_campaigns_are_bounded_by_their_number() {
        let campaigns = Campaign::all(generate::campaigns(1, 200, 40_000, 4_000_000));
        let sizes: Vec<usize> = groups(&campaigns).iter().map(|group| group.len()).collect();
        assert_eq!(sizes, [50; 4]);
        assert!(groups(&[]).is_empty());
    }
}
