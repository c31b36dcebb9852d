//! The auditor's part: the log is exported, and from the export alone verified, decided again and folded; the chain is asked
//! what it paid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alloy_primitives::Address;
use anyhow::Context;
use sluice_chain::At;
use sluice_core::ids::{BatchNo, EntitlementId, RoundNo, Seq, StreamId};
use sluice_core::log::entry::Entry;
use sluice_engine::evidence::audit::{Again, Which, redecide};
use sluice_engine::evidence::fold::{Bound, Fold};
use sluice_engine::evidence::{EvidenceError, LogSource, export, verify};
use sluice_snapshot::Snapshot;

use super::checks::Check;
use super::ground::{GATED, NEXT, PUSHED, Scene};
use crate::dev::Prepared;

/// Balances asked at once.
const READS_AT_ONCE: usize = 16;

/// Of each entitlement, the positions at which a batch that names it was planned, with the batch's number.
pub(super) type Planned = BTreeMap<EntitlementId, Vec<(Seq, BatchNo)>>;

/// What the auditor found.
pub(super) struct Audited {
    pub(super) checks: Vec<Check>,
    /// What the chain paid.
    pub(super) paid: BTreeSet<EntitlementId>,
    /// What addresses hold, base units.
    pub(super) balances: BTreeMap<Address, u128>,
    /// Holds in force at the end, by entitlement.
    pub(super) held: BTreeMap<EntitlementId, Vec<Seq>>,
    /// Where persons are paid in the end.
    pub(super) persons: BTreeMap<alloy_primitives::B256, Bound>,
    /// Which batches named whom.
    pub(super) planned: Planned,
    /// The log's length.
    pub(super) entries: u64,
}

/// Looks at everything.
pub(super) async fn audit(scene: &Scene, prepared: &Prepared, dir: &Path) -> anyhow::Result<Audited> {
    let file = dir.join("auditor.export");
    if file.exists() {
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    export::export(scene.node.store(), StreamId(0), &file).await?;
    let source = LogSource::Export(file);
    let log = entries(&source).await?;
    let lists: Vec<_> = [PUSHED, GATED, NEXT].map(|round| (round, scene.list(round))).into();
    let mut fold = Fold::new(StreamId(0), scene.campaign);
    for (round, list) in &lists {
        fold = fold.list(*round, list);
    }
    log.iter().for_each(|entry| fold.read(entry));
    let mut folded = Check::new("the log, folded by rules of its own, contradicts itself nowhere");
    (folded.compared, folded.wrong) = (fold.compared(), fold.broken().to_vec());
    let (paid, balances, on_chain) = chain(scene, prepared, &fold, &lists).await?;
    let everything = || lists.iter().flat_map(|(round, list)| ids(*round, list));
    let held = everything().map(|id| (id, fold.held_by(id))).filter(|(_, holds)| !holds.is_empty());
    let planned = everything().map(|id| (id, fold.planned(id).to_vec()));
    Ok(Audited {
        checks: vec![verified(scene, &source).await?, decided_again(&source).await?, folded, on_chain],
        paid,
        balances,
        held: held.collect(),
        persons: fold.persons().clone(),
        planned: planned.collect(),
        entries: log.len() as u64,
    })
}

fn ids(round: RoundNo, list: &Snapshot) -> impl Iterator<Item = EntitlementId> {
    (0..list.count()).map(move |index| EntitlementId { round, index })
}

async fn entries(source: &LogSource) -> anyhow::Result<Vec<Entry>> {
    let (mut pages, mut log) = (source.pages()?, Vec::new());
    while let Some(page) = pages.next().await? {
        for row in &page.rows {
            log.push(Entry::decode(&row.entry)?);
        }
    }
    Ok(log)
}

/// Leaves, roots, and the state hash of every signed checkpoint.
async fn verified(scene: &Scene, source: &LogSource) -> anyhow::Result<Check> {
    let mut check =
        Check::new("every leaf, and root and state hash of every signed checkpoint, come out the same");
    match verify(source, std::slice::from_ref(&scene.log_key), &[]).await {
        Ok(found) => {
            check.compared = found.entries + 2 * found.checkpoints;
            check.that(found.checkpoints > 0, || "no checkpoint was signed".to_owned());
        }
        Err(error @ (EvidenceError::Changed { .. } | EvidenceError::Note { .. })) => {
            check.that(false, || error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(check)
}

/// Every claim, decided again from the log alone.
async fn decided_again(source: &LogSource) -> anyhow::Result<Check> {
    let mut check = Check::new("the auditor's replay decides every claim as it was decided");
    redecide(source, Which::All, |claim| {
        if claim.again == Again::Outside {
            return;
        }
        check.that(claim.again == Again::Equal, || {
            format!("claim {} at {}: {:?}", claim.claim, claim.seq, claim.again)
        });
    })
    .await?;
    Ok(check)
}

/// What the chain paid, and to whom, against what the log says.
async fn chain(
    scene: &Scene,
    prepared: &Prepared,
    fold: &Fold<'_>,
    lists: &[(RoundNo, std::sync::Arc<Snapshot>)],
) -> anyhow::Result<(BTreeSet<EntitlementId>, BTreeMap<Address, u128>, Check)> {
    let mut check = Check::new("the chain paid what the log says, to whom it says, once");
    let (mut paid, mut owed) = (BTreeSet::new(), BTreeMap::<Address, u128>::new());
    for person in &scene.people {
        for address in [person.wallet.address(), person.chosen, person.corrected] {
            owed.insert(address, 0);
        }
    }
    for (round, list) in lists {
        let words = 0..list.count().div_ceil(256);
        let words = prepared.chain.paid_words(scene.distributor.address, *round, words, At::Latest).await?;
        for id in ids(*round, list) {
            let (word, bit) = (usize::try_from(id.index / 256)?, id.index % 256);
            let on_chain = words[word][usize::try_from(bit / 64)?] >> (bit % 64) & 1 == 1;
            if on_chain {
                paid.insert(id);
            }
            let in_log = fold.paid().contains_key(&id);
            check.that(on_chain == in_log, || {
                format!("{id:?}: paid on chain {on_chain}, in the log {in_log}")
            });
            if let Some(listed) = list.entitlement(id.index).filter(|_| in_log) {
                let to = fold.claimed_to(id).unwrap_or(listed.recipient);
                *owed.entry(to).or_default() += listed.amount.get();
            }
        }
    }
    let mut balances = BTreeMap::new();
    let addresses: Vec<Address> = owed.keys().copied().collect();
    for some in addresses.chunks(READS_AT_ONCE) {
        let asked =
            some.iter().map(|address| prepared.chain.token_balance(prepared.token, *address, At::Latest));
        let found = futures::future::try_join_all(asked).await?;
        balances.extend(some.iter().copied().zip(found.into_iter().map(|total| total.get())));
    }
    for (address, owed) in &owed {
        let has = balances.get(address).copied().unwrap_or_default();
        check.that(has == *owed, || format!("{address} holds {has} base units, the log paid {owed}"));
    }
    Ok((paid, balances, check))
}
