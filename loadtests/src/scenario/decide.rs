//! A group of campaigns decided: some claims over HTTP, a tenth of all wallets by claims of their own through the node's
//! door, the rest by a push for each campaign; then the log and the ledger compared with what the client knows.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sluice_core::command::{Action, ClaimDemand};
use sluice_core::ids::CampaignId;
use sluice_core::log::entry::Body;
use sluice_core::state::funds::Account;
use sqlx::Connection;
use tokio::sync::mpsc;

use super::ROUND;
use super::bitmap::Bitmap;
use super::claimants::{blocks, claimants, signed};
use super::door;
use super::field::{Field, OnChain, Placed, Point};
use super::lists::Campaign;
use super::record::Record;
use super::sample::{self, Sample};
use crate::claims::embedded::Serving;
use crate::claims::ground::Servers;

/// Blocks of wallets signed at once: some thirteen thousand claims.
const SIGNED_AT_ONCE: u64 = 16;
/// Signed claims that wait at the door.
const SIGNED_AHEAD: usize = 20_000;
/// Claims between two words about how far it is.
const WORD_EVERY: u64 = 500_000;

/// What deciding a group came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Decided {
    /// Until all rounds were open, seconds.
    pub(super) set_up: f64,
    /// What some claims over HTTP showed; of one group.
    pub(super) sample: Option<Sample>,
    /// Individual claims decided through the door, and seconds they took, signing included.
    pub(super) claims: u64,
    pub(super) claiming: f64,
    /// Entitlements that pushes decided, and seconds the pushes took.
    pub(super) pushed: u64,
    pub(super) pushing: f64,
    /// Claims that stand differently in the log and in the client's record.
    pub(super) differences: u64,
    /// Campaigns whose ledger does not reserve their list's sum.
    pub(super) sums_differ: u64,
    pub(super) entries: u64,
    pub(super) database_bytes: u64,
    pub(super) point: Point,
    pub(super) on_chain: Vec<OnChain>,
}

/// Which claims are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Claims over HTTP, by wallets of the first campaign.
    pub(super) over_http: u64,
    /// Whether every claimant claims.
    pub(super) everybody: bool,
}

/// Decides a group; what claims decided and what the chain stood at are kept in the folder.
pub(super) async fn group(
    servers: &Servers,
    folder: &Path,
    group: &[Campaign],
    number: usize,
    wanted: Wanted,
) -> anyhow::Result<Decided> {
    let name = format!("group_{number}");
    let begin = Instant::now();
    let field = Field::prepare(servers, folder, group, &name).await?;
    let set_up = begin.elapsed().as_secs_f64();
    let serving = Serving::start(Arc::clone(&field.ground)).await?;
    let done = decide(servers, folder, group, &field, &serving, wanted).await;
    let (database_url, dir) = (field.ground.prepared.database_url.clone(), field.ground.prepared.dir.clone());
    let bytes = database_bytes(&database_url).await;
    // Whatever came of it, nothing of the deployment stays.
    drop(field);
    serving.stop().await;
    let dropped = servers.postgres.drop_database(&name).await;
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    let done = Decided { set_up, database_bytes: bytes?, ..done? };
    dropped?;
    Ok(done)
}

async fn decide(
    servers: &Servers,
    folder: &Path,
    group: &[Campaign],
    field: &Field,
    serving: &Serving,
    wanted: Wanted,
) -> anyhow::Result<Decided> {
    let point = field.dump(servers, &chain_file(folder, group)).await?;
    let mut told: Vec<Bitmap> = group.iter().map(|campaign| Bitmap::new(campaign.plan.rows)).collect();
    let mut sample = None;
    let (mut claims, mut from, mut left) = (0, 0, Vec::new());
    if wanted.over_http > 0 {
        let made = sample::over_http(field, serving, &group[0].plan, wanted.over_http, &mut told[0]).await?;
        (claims, from, left) = (made.sample.accepted, made.blocks, made.left);
        sample = Some(made.sample);
    }
    let begin = Instant::now();
    for (at, campaign) in group.iter().enumerate().take(if wanted.everybody { group.len() } else { 0 }) {
        let (placed, left) = (&field.placed[at], std::mem::take(&mut left));
        let mine = std::mem::take(&mut told[at]);
        let (made, mine) = claim(field, campaign, placed, from, left, mine).await?;
        told[at] = mine;
        claims += made;
        from = 0;
        eprintln!("campaign {}: {made} claims decided through the door", campaign.number);
    }
    let claiming = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for (campaign, placed) in group.iter().zip(&field.placed) {
        push(field, placed.campaign, campaign.plan.rows).await?;
    }
    let pushing = begin.elapsed().as_secs_f64();
    let mut record = Record::default();
    field.ground.read_log(|entry| record.take(&entry)).await?;
    for (campaign, told) in group.iter().zip(&told) {
        told.write(&campaign.file(folder, "claimed"))?;
    }
    let of = |placed: &Placed, told: &Bitmap| record.differences(placed.campaign, told);
    Ok(Decided {
        set_up: 0.0,
        sample,
        claims,
        claiming,
        pushed: field.placed.iter().map(|placed| record.pushed(placed.campaign)).sum(),
        pushing,
        differences: field.placed.iter().zip(&told).map(|(placed, told)| of(placed, told)).sum(),
        sums_differ: field.placed.iter().filter(|placed| !is_reserved(field, placed)).count() as u64,
        entries: record.entries(),
        database_bytes: 0,
        point,
        on_chain: field.placed.iter().map(|placed| placed.on_chain).collect(),
    })
}

/// Where a group's chain state is kept.
pub(super) fn chain_file(folder: &Path, group: &[Campaign]) -> std::path::PathBuf {
    group[0].file(folder, "chain")
}

/// Signs and hands in a campaign's claims from a block of wallets on, after those left over. Says how many were made, and
/// gives back the record of them.
async fn claim(
    field: &Field,
    campaign: &Campaign,
    placed: &Placed,
    from: u64,
    left: Vec<ClaimDemand>,
    mut told: Bitmap,
) -> anyhow::Result<(u64, Bitmap)> {
    let (sender, claims) = mpsc::channel(SIGNED_AHEAD);
    let (campaign, contract, snapshot) = (campaign.clone(), placed.contract(), Arc::clone(&placed.snapshot));
    let before = told.count();
    let signing = tokio::task::spawn_blocking(move || {
        let plan = &campaign.plan;
        let mut said = 0;
        let mut hand_over = |claims: Vec<ClaimDemand>| {
            for claim in claims {
                ensure!(told.set(claim.index), "a wallet claims twice");
                if sender.blocking_send(claim).is_err() {
                    // The door failed, and says why.
                    return Ok(false);
                }
            }
            if told.count() / WORD_EVERY > said {
                said = told.count() / WORD_EVERY;
                eprintln!(
                    "campaign {}: {} of {} claims signed",
                    campaign.number,
                    told.count(),
                    claimants(plan.rows)
                );
            }
            Ok(true)
        };
        let mut going_on = hand_over(left)?;
        let mut block = from;
        while going_on && block < blocks(plan) {
            let next = blocks(plan).min(block + SIGNED_AT_ONCE);
            going_on = hand_over(signed(plan, block..next, &snapshot, ROUND, contract)?)?;
            block = next;
        }
        drop(sender);
        anyhow::Ok(told)
    });
    let decided = door::decide_all(&field.ground.node, placed.campaign, claims).await;
    let told = signing.await??;
    decided?;
    Ok((told.count() - before, told))
}

/// Decides everybody else of a campaign.
async fn push(field: &Field, campaign: CampaignId, rows: u64) -> anyhow::Result<()> {
    let push = Action::Push { campaign, round: ROUND, from: 0, to: rows };
    let entry = field.ground.charter_command(push, 1).await?;
    ensure!(matches!(entry.body, Body::Pushed(_)), "a push was not decided: {:?}", entry.body);
    Ok(())
}

/// Whether everybody is decided and exactly the list's sum is reserved.
fn is_reserved(field: &Field, placed: &Placed) -> bool {
    field.ground.node.follower().read(|state| {
        let Some(campaign) = state.campaign(placed.campaign) else { return false };
        let Some(round) = campaign.round(ROUND) else { return false };
        let decided: u64 = round.shards.iter().map(|shard| shard.decided.count()).sum();
        let reserved = campaign.funds.there(Account::Reserved);
        decided == placed.snapshot.count() && reserved == placed.snapshot.total()
    })
}

async fn database_bytes(url: &str) -> anyhow::Result<u64> {
    let mut connection = sqlx::PgConnection::connect(url).await?;
    let (bytes,): (i64,) =
        sqlx::query_as("SELECT pg_database_size(current_database())").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(bytes.unsigned_abs())
}
