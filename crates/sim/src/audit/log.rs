//! The log by itself: gapless, under rising epochs, each entry following from those before, with the state that the
//! nodes' checkpoints name; and what clients were told, against the log at the position they were told of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sluice_core::ids::{CampaignId, DemandId, EntitlementId, Seq};
use sluice_core::limits::FOLLOW_ROWS_MAX;
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::note::{self, LogVerifier, SignedHead};
use sluice_core::state::State;
use sluice_core::state::batch::Batch;
use sluice_core::state::funds::Account;
use sluice_server::dev;
use sluice_store::{Checkpoint, Store};

use super::{Replayed, STREAM, Tree};
use crate::ground::ROUND;
use crate::records::{Records, Told};
use crate::report::Report;

/// What each check found wrong.
#[derive(Default)]
struct Wrong {
    order: Vec<String>,
    twice: Vec<String>,
    hashes: Vec<String>,
    told: Vec<String>,
}

/// One reading of the whole log.
struct Reading<'a> {
    state: State,
    tree: Tree,
    roots: BTreeMap<Seq, [u8; 32]>,
    decided: BTreeMap<super::Entitlement, Vec<Seq>>,
    /// Whether a demand that is answered was refused.
    answered: HashMap<DemandId, bool>,
    /// Positions at which payments were taken back.
    taken_back: BTreeMap<CampaignId, Vec<Seq>>,
    /// Positions at which a transfer was seen to have failed.
    failed: BTreeMap<super::Entitlement, Vec<Seq>>,
    /// A block not after the one in which the last of them failed.
    last_failed: BTreeMap<super::Entitlement, u64>,
    /// The chain's final block when a batch was planned.
    planned: BTreeMap<(CampaignId, u64), u64>,
    voided: BTreeSet<super::Entitlement>,
    told: BTreeMap<Seq, Vec<&'a Told>>,
    checkpoints: BTreeMap<Seq, Checkpoint>,
    keys: [LogVerifier; 1],
    wrong: Wrong,
}

pub(super) async fn replay(
    store: &Store,
    keys: [LogVerifier; 1],
    records: &Records,
    report: &mut Report,
) -> anyhow::Result<Replayed> {
    let all = records.told.lock().expect("no panic inside").clone();
    let checkpoints = checkpoints(store).await?;
    let looked = (all.len(), checkpoints.len());
    let mut told: BTreeMap<Seq, Vec<&Told>> = BTreeMap::new();
    for one in &all {
        told.entry(one.as_of).or_default().push(one);
    }
    let mut reading = Reading {
        state: State::new(STREAM),
        tree: Tree::default(),
        roots: BTreeMap::new(),
        decided: BTreeMap::new(),
        answered: HashMap::new(),
        taken_back: BTreeMap::new(),
        failed: BTreeMap::new(),
        last_failed: BTreeMap::new(),
        planned: BTreeMap::new(),
        voided: BTreeSet::new(),
        told,
        checkpoints,
        keys,
        wrong: Wrong::default(),
    };
    let (mut after, mut epochs) = (0, 0);
    loop {
        let rows = store.read_log(STREAM, after, FOLLOW_ROWS_MAX).await?;
        let Some(last) = rows.last() else { break };
        let upto = last.seq;
        for row in &rows {
            let entry = row.decode()?;
            epochs += usize::from(matches!(entry.body, Body::EpochBegan(_)));
            reading.entry(row.seq, &row.entry, &entry);
        }
        after = upto;
    }
    let Reading { state, roots, decided, wrong, taken_back, failed, last_failed, voided, .. } = reading;
    report.figure("entries in the log", after);
    report.figure("epochs", epochs);
    report.figure("payments taken back", taken_back.values().map(Vec::len).sum::<usize>());
    report.figure("transfers that failed", failed.values().map(Vec::len).sum::<usize>());
    report.check("the log is gapless, its epochs rise, every entry follows", to_usize(after), wrong.order);
    report.check("each entitlement is decided once", decided.len(), wrong.twice);
    report.check("checkpoints name the state and root of the replayed log", looked.1, wrong.hashes);
    report.check("a state that was told is the log's at that position", looked.0, wrong.told);
    report.check(
        "a state goes back only by an entry that says why",
        looked.0,
        backward(&all, &taken_back, &failed),
    );
    report.figure("entitlements annulled by an entry", voided.len());
    Ok(Replayed { state, roots, decided, voided, last_failed })
}

fn to_usize(seq: Seq) -> usize {
    usize::try_from(seq).unwrap_or(usize::MAX)
}

async fn checkpoints(store: &Store) -> anyhow::Result<BTreeMap<Seq, Checkpoint>> {
    let mut found = BTreeMap::new();
    let mut from = 1;
    while let Some(checkpoint) = store.checkpoint_from(STREAM, from).await? {
        from = checkpoint.size + 1;
        found.insert(checkpoint.size, checkpoint);
    }
    Ok(found)
}

impl Reading<'_> {
    fn entry(&mut self, seq: Seq, bytes: &[u8], entry: &Entry) {
        if seq != self.state.seq + 1 || entry.seq != seq {
            self.wrong.order.push(format!("after {} comes {seq}, which says {}", self.state.seq, entry.seq));
        }
        if entry.epoch < self.state.epoch {
            self.wrong.order.push(format!("epoch {} at {seq} after {}", entry.epoch, self.state.epoch));
        }
        self.note(seq, entry);
        if let Err(error) = self.state.apply(entry) {
            self.wrong.order.push(format!("entry {seq} does not follow: {error}"));
        }
        let root = self.tree.add(bytes);
        self.roots.insert(seq, root);
        if let Some(checkpoint) = self.checkpoints.remove(&seq) {
            self.checkpoint(&checkpoint, root);
        }
        for told in self.told.remove(&seq).unwrap_or_default() {
            let is = self.state_of(told);
            if is != told.state {
                self.wrong.told.push(format!(
                    "claim {} on {} was told {:?} as of {seq}, where it is {is:?}",
                    told.id, told.index, told.state
                ));
            }
        }
    }

    /// A checkpoint against the state and the tree as replayed.
    fn checkpoint(&mut self, checkpoint: &Checkpoint, root: [u8; 32]) {
        let size = checkpoint.size;
        let hash = self.state.hash();
        if checkpoint.state_hash != hash {
            self.wrong.hashes.push(format!("the checkpoint at {size} names another state"));
        }
        match note::open(&checkpoint.note, &self.keys) {
            Err(error) => self.wrong.hashes.push(format!("the checkpoint at {size}: {error}")),
            Ok(SignedHead { head, .. }) => {
                if (head.size, head.root, head.state_hash) != (size, root, Some(hash)) {
                    self.wrong.hashes.push(format!("the note of the checkpoint at {size} is of another log"));
                }
            }
        }
    }

    /// What an entry decides, before it is applied.
    fn note(&mut self, seq: Seq, entry: &Entry) {
        match &entry.body {
            Body::ClaimDecided(claim) => {
                self.answered.insert(claim.id, false);
                self.decide((claim.intake.campaign, claim.entitlement.index), seq);
            }
            Body::ClaimRefused(claim) => {
                self.answered.insert(claim.id, true);
            }
            Body::Voided(voided) => self.void(seq, voided),
            Body::Pushed(pushed) => self.pushed(seq, pushed),
            Body::BatchUnmined(at) => self.taken_back.entry(at.campaign).or_default().push(seq),
            Body::BatchPlanned(planned) => {
                let block = self.state.chains.get(&dev::CHAIN_ID).map_or(0, |chain| chain.finalized.number);
                self.planned.insert((planned.campaign, planned.batch), block);
            }
            Body::BatchReplanned(at) => {
                self.taken_back.entry(at.campaign).or_default().push(seq);
                // Found by simulation, some time after the batch was planned.
                let block = self.planned.get(&(at.campaign, at.batch)).copied().unwrap_or(0);
                for poison in &at.poison {
                    self.fail(at.campaign, poison.entitlement.index, (seq, block));
                }
            }
            Body::EventsUnmined(at) => self.taken_back.entry(at.campaign).or_default().push(seq),
            Body::BatchMined(mined) => {
                for skipped in &mined.skipped {
                    self.fail(mined.campaign, skipped.entitlement.index, (seq, mined.block.number));
                }
            }
            Body::BatchFinal(at) => self.passed_over(at.campaign, at.batch, (seq, at.block.number)),
            _ => {}
        }
    }

    /// A void takes a batch that names the annulled apart if nothing of it was ever signed; the others in it wait again.
    fn void(&mut self, seq: Seq, voided: &sluice_core::log::entry::Voided) {
        let sluice_core::command::Action::Void { campaign, round, .. } = voided.command.command.action else {
            return;
        };
        self.voided.extend(voided.items.iter().map(|(index, _)| (campaign, *index)));
        let names = |batch: &Batch| {
            voided.items.iter().any(|(index, _)| batch.contains(EntitlementId { round, index: *index }))
        };
        let mut batches = self.state.campaign(campaign).into_iter().flat_map(|c| c.batches.values());
        if batches.any(|batch| batch.is_open() && batch.alive().is_empty() && names(batch)) {
            self.taken_back.entry(campaign).or_default().push(seq);
        }
    }

    fn fail(&mut self, campaign: CampaignId, index: u64, (seq, block): (Seq, u64)) {
        self.failed.entry((campaign, index)).or_default().push(seq);
        self.last_failed.insert((campaign, index), block);
    }

    /// What a final batch named and did not pay is set aside.
    fn passed_over(&mut self, campaign: CampaignId, batch: u64, at: (Seq, u64)) {
        let batch = self.state.campaign(campaign).and_then(|c| c.batches.get(&batch));
        let Some(batch) = batch else { return };
        let named = batch.plan.words.iter().flat_map(|w| w.indexes().map(|i| (w.round, i)));
        let unpaid: Vec<u64> = named
            .map(|(round, index)| EntitlementId { round, index })
            .filter(|id| !batch.paid(*id) && batch.skipped(*id).is_none())
            .map(|id| id.index)
            .collect();
        unpaid.into_iter().for_each(|index| self.fail(campaign, index, at));
    }

    fn decide(&mut self, id: super::Entitlement, seq: Seq) {
        let by = self.decided.entry(id).or_default();
        by.push(seq);
        if by.len() > 1 {
            self.wrong.twice.push(format!("{} of {} was decided at {by:?}", id.1, id.0));
        }
    }

    /// A push decides what is left of its range: neither decided, nor finally paid by its wallet, nor void.
    fn pushed(&mut self, seq: Seq, pushed: &sluice_core::log::entry::Pushed) {
        let sluice_core::command::Action::Push { campaign, from, to, .. } = pushed.command.command.action
        else {
            return;
        };
        let said: u64 = pushed.decided.iter().map(|(_, count, _)| u64::from(*count)).sum();
        let mut left = 0;
        for index in from..to {
            let ended = matches!(self.status(campaign, index), Some("final" | "voided"));
            if !ended && !self.decided.contains_key(&(campaign, index)) {
                self.decide((campaign, index), seq);
                left += 1;
            }
        }
        if left != said {
            let what = format!("the push at {seq} decided {said} of {from} to {to}, where {left} were left");
            self.wrong.twice.push(what);
        }
    }

    fn status(&self, campaign: CampaignId, index: u64) -> Option<&'static str> {
        let status = self.state.campaign(campaign)?.status(EntitlementId { round: ROUND, index })?;
        Some(status.as_str())
    }

    fn state_of(&self, told: &Told) -> &'static str {
        match self.answered.get(&told.id) {
            None => "waiting",
            Some(true) => "refused",
            Some(false) => self.status(told.campaign, told.index).unwrap_or("decided"),
        }
    }
}

/// Answers to one client, in the order of their positions.
fn backward(
    all: &[Told],
    taken_back: &BTreeMap<CampaignId, Vec<Seq>>,
    failed: &BTreeMap<super::Entitlement, Vec<Seq>>,
) -> Vec<String> {
    let mut by_id: HashMap<DemandId, Vec<&Told>> = HashMap::new();
    for told in all {
        by_id.entry(told.id).or_default().push(told);
    }
    let mut wrong = Vec::new();
    for (id, mut answers) in by_id {
        answers.sort_by_key(|told| told.as_of);
        for pair in answers.windows(2) {
            let [one, next] = pair else { continue };
            let explained = || {
                let between = |seq: &Seq| *seq > one.as_of && *seq <= next.as_of;
                let back = taken_back.get(&one.campaign).into_iter();
                let failed = failed.get(&(one.campaign, one.index)).into_iter();
                back.chain(failed).flatten().any(between)
            };
            let back = rank(&next.state) < rank(&one.state);
            let same = one.as_of == next.as_of && one.state != next.state && one.state != "waiting";
            if same || back && !explained() {
                wrong.push(format!(
                    "claim {id} was {:?} as of {} and {:?} as of {}",
                    one.state, one.as_of, next.state, next.as_of
                ));
            }
        }
    }
    wrong
}

fn rank(state: &str) -> u32 {
    match state {
        "waiting" => 0,
        "decided" | "held" | "skipped" => 1,
        "batched" => 2,
        "sent" => 3,
        // A payment that was under way may still be first.
        "voided" => 4,
        "paid" => 5,
        _ => 6,
    }
}

/// What the replayed state holds of a campaign's money.
pub(super) fn balance(state: &State, campaign: CampaignId, account: Account) -> i128 {
    state.campaign(campaign).map_or(0, |c| c.funds.balance(account))
}

#[cfg(test)]
mod tests;
