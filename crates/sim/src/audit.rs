//! The auditor: knows what clients kept, what the chain shows and what the log says, and nothing of the nodes. Every
//! check is linear in what it looks at.

mod answers;
mod log;
mod payments;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_core::ids::{CampaignId, EntitlementId, Seq, StreamId};
use sluice_core::limits::FOLLOW_ROWS_MAX;
use sluice_core::log::merkle::Frontier;
use sluice_core::log::note::{LogKey, Origin};
use sluice_core::state::State;
use sluice_core::state::status::ClaimState;
use sluice_server::dev;
use sluice_store::{Options, Store};
use tokio::time::Instant;

use crate::clock;
use crate::fleet::Fleet;
use crate::ground::{Field, ROUND, Servers};
use crate::records::{Records, Verdict};
use crate::report::Report;

/// The log of the development deployment.
const STREAM: StreamId = StreamId(0);
/// Between two looks at whether everything stands still.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How far the database's clock is set forward while only retries are waited for.
const STEP: Duration = Duration::from_secs(130);
/// Between two such steps: a leader resigns at each, and the next must lead.
const STEP_EVERY: Duration = Duration::from_secs(4);

/// Names an entitlement: every campaign here has one round.
type Entitlement = (CampaignId, u64);

/// Everything that must be paid, unless it is annulled or the token refuses it: decided claims, pushed ranges, and what wallets paid themselves.
fn expected(records: &Records) -> BTreeSet<Entitlement> {
    let mut expected = records.self_paid.lock().expect("no panic inside").clone();
    for handed in records.handed.lock().expect("no panic inside").iter() {
        if matches!(handed.verdict, Verdict::Decided(_)) {
            expected.insert((handed.campaign, handed.index));
        }
    }
    for pushed in records.pushed.lock().expect("no panic inside").iter() {
        // One that was refused found everything in it decided before.
        expected.extend((pushed.from..pushed.to).map(|index| (pushed.campaign, index)));
    }
    expected
}

/// Waits until everything expected has come to its end in the log and on chain, then stops the blocks and waits until
/// both nodes stand at the head of the log with a checkpoint there.
pub(crate) async fn settled(
    servers: &Servers,
    fleet: &Fleet,
    fields: &[Field],
    records: &Records,
) -> anyhow::Result<()> {
    let database_url = &servers.prepared.database_url;
    let store = Store::connect(database_url, Options::default()).await?;
    let mut quiet = Quiet { state: State::new(STREAM), expected: expected(records), block: None };
    let mut step = Instant::now() + STEP_EVERY;
    loop {
        quiet.follow(&store, servers).await?;
        let waits = match quiet.look(fields) {
            Progress::Done => break,
            Progress::Moving => false,
            Progress::WaitsForTime => true,
        };
        // Retries of failed transfers are minutes apart; the database's clock need not take them.
        if waits && Instant::now() >= step {
            clock::forward(database_url, STEP).await?;
            step = Instant::now() + STEP_EVERY;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    servers.end_blocks().await;
    loop {
        let head = head(&store).await?;
        let checkpoint = store.latest_checkpoint(STREAM).await?.map_or(0, |c| c.size);
        let mut there = 0;
        for slot in 0..2 {
            there += u32::from(fleet.status(slot).await.is_some_and(|status| status.seq == head));
        }
        if there == 2 && checkpoint == head {
            store.close().await;
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The log, followed until everything in it has come to its end.
struct Quiet {
    state: State,
    expected: BTreeSet<Entitlement>,
    /// A block after everything that clients did; the log must have seen it final.
    block: Option<u64>,
}

enum Progress {
    Done,
    Moving,
    /// Only failed transfers are left, to be tried again when their time has come.
    WaitsForTime,
}

impl Quiet {
    async fn follow(&mut self, store: &Store, servers: &Servers) -> anyhow::Result<()> {
        if self.block.is_none() {
            // While blocks vanish the chain's node does not always have a head.
            self.block = servers.prepared.chain.latest().await.ok().map(|block| block.number);
        }
        loop {
            let rows = store.read_log(STREAM, self.state.seq, FOLLOW_ROWS_MAX).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                self.state.apply(&row.decode()?).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
            }
        }
    }

    fn look(&self, fields: &[Field]) -> Progress {
        let finalized = self.state.chains.get(&dev::CHAIN_ID).map_or(0, |chain| chain.finalized.number);
        let mut open = self.block.is_none_or(|block| finalized < block);
        for field in fields {
            let Some(campaign) = self.state.campaign(field.campaign) else { return Progress::Moving };
            // A batch that was given up holds nothing but its number, until there is something to pay with it.
            open |= campaign.batches.values().any(|batch| !batch.given_up) || !campaign.unfinal.is_empty();
        }
        let mut waits = false;
        for (campaign, index) in &self.expected {
            let id = EntitlementId { round: ROUND, index: *index };
            match self.state.campaign(*campaign).and_then(|campaign| campaign.status(id)) {
                Some(ClaimState::Final | ClaimState::Voided | ClaimState::Skipped { retry: false, .. }) => {}
                Some(ClaimState::Skipped { retry: true, .. }) => waits = true,
                _ => open = true,
            }
        }
        match (open, waits) {
            (true, _) => Progress::Moving,
            (false, true) => Progress::WaitsForTime,
            (false, false) => Progress::Done,
        }
    }
}

/// The position of the last entry.
async fn head(store: &Store) -> anyhow::Result<Seq> {
    Ok(store.head(STREAM).await?.map_or(0, |head| head.seq))
}

/// What replaying the log yields.
struct Replayed {
    state: State,
    /// The log's tree after every entry whose root somebody was told.
    roots: BTreeMap<Seq, [u8; 32]>,
    /// By which entries an entitlement was decided.
    decided: BTreeMap<Entitlement, Vec<Seq>>,
    /// What entries annulled.
    voided: BTreeSet<Entitlement>,
    /// A block not after the one in which an entitlement's last transfer failed.
    last_failed: BTreeMap<Entitlement, u64>,
}

/// Looks at everything.
///
/// # Errors
/// When chain or database cannot be read.
pub(crate) async fn audit(
    servers: &Servers,
    fields: &[Field],
    records: &Records,
    report: &mut Report,
) -> anyhow::Result<()> {
    let store = Store::connect(&servers.prepared.database_url, Options::default()).await?;
    let wrongs = std::mem::take(&mut *records.wrongs.lock().expect("no panic inside"));
    let told = records.told.lock().expect("no panic inside").len();
    report.check("clients saw nothing that must never be seen", told, wrongs);
    // The key is public; an auditor elsewhere reads it from the Charter.
    let keys = [LogKey::new(&Origin::new(servers.prepared.home(), STREAM), &dev::log_secret()).verifier()];
    let replayed = log::replay(&store, keys.clone(), records, report).await?;
    answers::proofs(&keys, records, &replayed, report)?;
    answers::verdicts(&store, records, report).await?;
    let expected = expected(records);
    payments::check(servers, &store, fields, records, &expected, &replayed, report).await?;
    store.close().await;
    Ok(())
}

/// The tree of the log, entry by entry.
#[derive(Default)]
struct Tree(Frontier);

impl Tree {
    fn add(&mut self, entry: &[u8]) -> [u8; 32] {
        self.0.push(sluice_core::log::merkle::leaf_hash(entry));
        self.0.root()
    }
}
