//! The claims' measurement at a node elsewhere. What was told at once is compared with what the node says afterwards, claim
//! by claim; its log is not read.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use sluice_core::ids::{CampaignId, ContractRef};
use sluice_server::api_client::ApiClient;
use sluice_snapshot::Snapshot;

use super::ClaimsArgs;
use super::client::Target;
use super::figures::{self, Counts};
use super::ground::eventually;
use super::offer::{Offer, Outcome, Pace, Record, prepare};
use super::wallets;
use crate::report::{Figure, Goal, Report};

/// Claims told as decided that are asked about again.
const ASKED_AGAIN: usize = 5_000;
/// Offered a second where nothing else is said: far below what any node bears.
const RATE: f64 = 200.0;

/// Measures and prints.
pub(super) async fn measure(args: &ClaimsArgs) -> anyhow::Result<()> {
    let (Some(campaign), Some(path)) = (args.campaign.map(CampaignId), &args.snapshot) else {
        bail!(
            "a node elsewhere needs --campaign and --snapshot: write a list with --write-list, build its snapshot, publish \
             and open it there"
        );
    };
    let api = ApiClient::new(&args.target, None)?;
    let info = api.campaign(campaign).await?;
    let distributor = ContractRef { chain_id: info.head.chain_id, address: info.head.distributor };
    let snapshot = Snapshot::open(path).with_context(|| path.display().to_string())?;
    let wallets = wallets::wallets(args.wallets)?;
    let claims = prepare(wallets::signed(&wallets, &snapshot, args.round, distributor)?);
    let rate = args.rate.unwrap_or(RATE);
    let offer = Offer {
        target: Target::new(&args.target)?,
        campaign,
        pace: Pace::PerSecond(rate),
        connections: args.connections,
        at_most: Duration::from_secs(args.seconds),
        stop: Arc::new(AtomicBool::new(false)),
    };
    let (record, _) = offer.make(claims).await?;
    let (decided, differences) = asked_again(&api, campaign, &record).await?;
    let mut report = Report::new("claims");
    figures::add(&mut report, "offered", &record, decided, [None, None], None)?;
    let figure =
        Figure::new("reconciliation: differences", differences as f64, "claims").goal(Goal::AtMost(0.0));
    report.add(figure.note("claims that the node now tells otherwise, or does not know"));
    report.print(args.show)
}

/// Asks about every claim that got a ticket until it is decided, and about some that were decided at once. Returns how
/// many are decided, and how many are not what was told.
async fn asked_again(api: &ApiClient, campaign: CampaignId, record: &Record) -> anyhow::Result<(u64, u64)> {
    let (mut decided, mut differences, mut asked) = (Counts::of(record).decided, 0, 0);
    for seen in &record.seen {
        match &seen.outcome {
            Outcome::Decided(seq) if asked < ASKED_AGAIN => {
                asked += 1;
                let now = api.claim_status(campaign, seen.id).await?;
                differences += u64::from(now.seq != Some(*seq));
            }
            Outcome::Waiting => {
                let now = eventually("a claim with a ticket is decided", || async {
                    Ok(Some(api.claim_status(campaign, seen.id).await?).filter(|claim| claim.seq.is_some()))
                })
                .await?;
                decided += u64::from(now.state != "refused");
            }
            Outcome::Decided(_) | Outcome::Refused(..) | Outcome::Unknown(_) => {}
        }
    }
    Ok((decided, differences))
}
