//! What a run takes, from what runs took here.

use std::time::Duration;

use super::claimants::claimants;
use super::lists::Campaign;
use crate::claims::cluster;
use crate::estimate::Needs;

/// Bytes of a list's row, at most, and of a snapshot's.
const LIST_ROW: u64 = 75;
const SNAPSHOT_ROW: u64 = 34;
/// Bytes of a claim in a database, with indexes: 960 to 1,200 were seen.
const CLAIM: u64 = 1_500;
/// Write-ahead log and what an empty database has.
const DATABASE: u64 = cluster::DISK;
/// Bytes of memory of a balance in the EVM: key, value, and a map that is never full.
const BALANCE: u64 = 150;
/// Bytes of memory of servers, a node and planned calls.
const SERVERS: u64 = 2 << 30;
/// Nanoseconds by the clock: a list's row with its snapshot, a claim signed, verified and decided, a recipient paid.
const ROW: u64 = 500;
const CLAIMED: u64 = 120_000;
const PAID: u64 = 6_000;
/// Milliseconds until a campaign is open.
const OPEN: u64 = 700;

/// What these campaigns take, decided and paid in these groups: with lists and snapshots, and bytes of disk that the
/// servers take beside them.
pub(super) fn of(campaigns: &[Campaign], groups: &[Vec<Campaign>]) -> (Needs, u64) {
    let all: u64 = campaigns.iter().map(|campaign| campaign.plan.rows).sum();
    let largest = campaigns.iter().map(|campaign| campaign.plan.rows).max().unwrap_or(0);
    let claims = |group: &Vec<Campaign>| group.iter().map(|c| claimants(c.plan.rows)).sum::<u64>();
    let paid: u64 = groups.iter().flatten().map(|campaign| campaign.plan.rows).sum();
    let claimed: u64 = groups.iter().map(claims).sum();
    let opened: u64 = groups.iter().map(|group| group.len() as u64).sum();
    let needs = Needs {
        time: Duration::from_nanos(all * ROW + claimed * CLAIMED + paid * PAID)
            + Duration::from_millis(opened * OPEN + groups.len() as u64 * 10_000),
        disk: largest * LIST_ROW + all * SNAPSHOT_ROW,
        memory: largest * BALANCE + SERVERS,
    };
    (needs, groups.iter().map(claims).max().unwrap_or(0) * CLAIM + DATABASE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;
    use crate::scenario::groups::groups;

    #[test]
    fn groups_share_the_disk_and_add_up_in_time() {
        let campaigns = Campaign::all(generate::campaigns(1, 200, 40_000_000, 4_000_000_000));
        let shared: Vec<Vec<Campaign>> = groups(&campaigns).into_iter().map(<[Campaign]>::to_vec).collect();
        let (apart, servers) = of(&campaigns, &shared);
        let (at_once, servers_at_once) = of(&campaigns, std::slice::from_ref(&campaigns));
        // A list and all snapshots; one group's claims, or those of forty million.
        assert!(apart.disk == at_once.disk && apart.disk < 2 << 30, "{apart:?}");
        assert!((DATABASE + (1 << 29)..DATABASE + (3 << 29)).contains(&servers), "{servers}");
        assert!(servers_at_once > servers + (4 << 30), "{servers_at_once}");
        assert!(apart.time > at_once.time && apart.time < Duration::from_secs(3_600), "{apart:?}");
    }
}
