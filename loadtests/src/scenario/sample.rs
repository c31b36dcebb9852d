//! Some claims over HTTP, as wallets bring them: what a node takes, and how long each waits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use sluice_core::command::ClaimDemand;

use super::ROUND;
use super::bitmap::Bitmap;
use super::claimants::{blocks, signed};
use super::field::Field;
use crate::claims::embedded::Serving;
use crate::claims::figures::{Counts, latencies, millis};
use crate::claims::ground::eventually;
use crate::claims::offer::{Offer, Outcome, Pace, prepare};
use crate::claims::reconcile::LogSide;
use crate::generate::Plan;

/// Connections that bring claims, each the next as soon as its last was answered.
const CONNECTIONS: usize = 256;
/// The longest it may take.
const AT_MOST: Duration = Duration::from_secs(120);

/// What it showed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) accepted: u64,
    /// A second.
    pub(super) rate: f64,
    /// Milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Differences between the client's record and the log.
    pub(super) differences: u64,
}

/// The same with what is left to do.
pub(super) struct Made {
    pub(super) sample: Sample,
    /// Blocks of wallets whose claimants have claimed, or are left over.
    pub(super) blocks: u64,
    pub(super) left: Vec<ClaimDemand>,
}

/// Brings about so many claims of a field's first campaign, whose log has none yet; marks those that were accepted.
pub(super) async fn over_http(
    field: &Field,
    serving: &Serving,
    plan: &Plan,
    count: u64,
    told: &mut Bitmap,
) -> anyhow::Result<Made> {
    let placed = &field.placed[0];
    let (mut claims, mut next) = (Vec::new(), 0);
    while next < blocks(plan) && (claims.len() as u64) < count {
        claims.extend(signed(plan, next..next + 1, &placed.snapshot, ROUND, placed.contract())?);
        next += 1;
    }
    let offer = Offer {
        target: serving.target.clone(),
        campaign: placed.campaign,
        pace: Pace::AsTaken,
        connections: CONNECTIONS,
        at_most: AT_MOST,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let offered: Vec<ClaimDemand> = claims.clone();
    let (record, _) = offer.make(prepare(claims)).await?;
    let follower = field.ground.node.follower();
    eventually("every accepted claim is decided", || async { Ok(follower.room().is_empty().then_some(())) })
        .await?;
    for seen in &record.seen {
        if matches!(seen.outcome, Outcome::Decided(_) | Outcome::Waiting) {
            ensure!(told.set(seen.index), "a wallet claims twice");
        }
    }
    let mut log = LogSide::default();
    field.ground.read_log(|entry| log.take(&entry)).await?;
    let comparison = log.compare(&record.seen);
    let differences = comparison.differences();
    let (counts, histogram) = (Counts::of(&record), latencies([&record])?);
    let accepted = counts.accepted();
    let left = offered.into_iter().filter(|claim| !told.get(claim.index)).collect();
    let sample = Sample {
        accepted,
        rate: accepted as f64 / record.took.as_secs_f64(),
        p50: millis(&histogram, 0.5),
        p99: millis(&histogram, 0.99),
        differences,
    };
    Ok(Made { sample, blocks: next, left })
}
