//! The auditor: knows what clients kept, what the chain shows and what the log says, and nothing of the nodes. Every
//! check is linear in what it looks at.

mod answers;
mod log;
mod payments;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_chain::At;
use sluice_core::ids::{CampaignId, Seq, StreamId};
use sluice_core::log::merkle::Frontier;
use sluice_core::log::note::{LogKey, Origin};
use sluice_core::state::State;
use sluice_server::dev;
use sluice_store::{Options, Store};

use crate::fleet::Fleet;
use crate::ground::{Field, ROUND, Servers};
use crate::records::{Records, Verdict};
use crate::report::Report;

/// The log of the development deployment.
const STREAM: StreamId = StreamId(0);
/// Between two looks at whether everything stands still.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Names an entitlement: every campaign here has one round.
type Entitlement = (CampaignId, u64);

/// Everything that must be paid: decided claims, pushed ranges, and what wallets paid themselves.
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

/// Waits until everything expected is final on chain, then stops the blocks and waits until both nodes stand at the
/// head of the log with a checkpoint there.
pub(crate) async fn settled(
    servers: &Servers,
    fleet: &Fleet,
    fields: &[Field],
    records: &Records,
) -> anyhow::Result<()> {
    let expected = expected(records);
    for field in fields {
        let mine = expected.iter().filter(|(campaign, _)| *campaign == field.campaign).count();
        // While blocks vanish the chain's node does not always have a head, and the bitmap is asked for again.
        while paid_finally(servers, field).await.unwrap_or(0) < mine || reserved(servers, field).await? != 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    servers.end_blocks().await;
    let store = Store::connect(&servers.prepared.database_url, Options::default()).await?;
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

/// The position of the last entry.
async fn head(store: &Store) -> anyhow::Result<Seq> {
    Ok(store.head(STREAM).await?.map_or(0, |head| head.seq))
}

/// Bits set in the bitmap at the last final block.
async fn paid_finally(servers: &Servers, field: &Field) -> anyhow::Result<usize> {
    let chain = &servers.prepared.chain;
    let at = At::Block(chain.head().await?.finalized);
    let words = 0..field.count().div_ceil(256);
    let words = chain.paid_words(field.distributor.address, ROUND, words, at).await?;
    Ok(words.iter().flatten().map(|limb| limb.count_ones() as usize).sum())
}

/// What the ledger holds back for payments that are not final.
async fn reserved(servers: &Servers, field: &Field) -> anyhow::Result<i128> {
    let store = Store::connect(&servers.prepared.database_url, Options::default()).await?;
    let ledger = store.ledger(field.campaign).await?;
    store.close().await;
    Ok(ledger.get(&sluice_core::state::funds::Account::Reserved).copied().unwrap_or(0))
}

/// What replaying the log yields.
struct Replayed {
    state: State,
    /// The log's tree after every entry whose root somebody was told.
    roots: BTreeMap<Seq, [u8; 32]>,
    /// By which entries an entitlement was decided.
    decided: BTreeMap<Entitlement, Vec<Seq>>,
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
