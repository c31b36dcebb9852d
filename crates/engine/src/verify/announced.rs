//! Whether a round may be announced: its snapshot is in storage and is what the terms say; and what the chain did of it
//! before, in amounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_core::amount::Total;
use sluice_core::command::RoundTerms;
use sluice_core::decide::Listed;
use sluice_core::ids::{EntitlementId, RoundNo};
use sluice_core::limits::{CORRECTS_MAX, SHARD};
use sluice_core::log::entry::AheadShare;
use sluice_core::refusal::Code;
use sluice_core::state::ahead::Ahead;
use sluice_snapshot::Snapshot;

use super::Verifier;
use crate::error::EngineError;

impl Verifier {
    /// A round may be announced once its snapshot is in storage and is what the terms say.
    pub(super) async fn publishable(&self, terms: &RoundTerms) -> Result<Result<Listed, Code>, EngineError> {
        if !self.snapshots.is_stored(terms.list_hash) {
            return Ok(Err(Code::SnapshotMissing));
        }
        let snapshot = match self.snapshots.get(terms.list_hash) {
            Ok(snapshot) => snapshot,
            Err(EngineError::Snapshot { .. }) => return Ok(Err(Code::SnapshotMissing)),
            Err(other) => return Err(other),
        };
        let never = self.follower.read(|state| {
            let campaign = state.campaign(terms.campaign)?.terms.clone();
            let charter = state.charters.get(&campaign.distributor.chain_id)?.charter.address;
            Some([campaign.token, campaign.distributor.address, charter])
        });
        if never.into_iter().flatten().any(|address| !snapshot.find(address).is_empty()) {
            return Ok(Err(Code::BadList));
        }
        let same = snapshot.root() == terms.root
            && snapshot.count() == terms.count
            && snapshot.total() == terms.total
            && snapshot.depth() == terms.depth;
        if !same {
            return Ok(Err(Code::SnapshotMissing));
        }
        let (held, as_of) = self.held_in(&snapshot)?;
        let corrected = self.corrected(terms)?;
        if corrected.is_none() && terms.supersedes != 0 {
            return Ok(Err(Code::UnknownRound));
        }
        let path = self.snapshots.path(terms.list_hash);
        let known =
            self.follower.read(|state| state.campaign(terms.campaign)?.ahead.get(&terms.round).cloned());
        let supersedes = terms.supersedes;
        let (hash, listed) = tokio::task::spawn_blocking(move || {
            let ahead = shares(&known.unwrap_or_default(), &snapshot);
            let shard_totals = snapshot.shard_totals().to_vec();
            let corrects = corrected.map(|old| repeated(&old, &snapshot, supersedes)).unwrap_or_default();
            let listed = ahead.map(|ahead| Listed::Round { shard_totals, held, as_of, ahead, corrects });
            (crate::snapshots::file_hash(&path), listed)
        })
        .await
        .map_err(|_| EngineError::Stopping)?;
        let whole = hash.is_ok_and(|hash| hash == terms.list_hash);
        Ok(listed.filter(|_| whole).ok_or(Code::SnapshotMissing))
    }

    /// The snapshot of the round that this one corrects, if it corrects one that the log knows.
    fn corrected(&self, terms: &RoundTerms) -> Result<Option<Arc<Snapshot>>, EngineError> {
        let hash = self
            .follower
            .read(|s| Some(s.campaign(terms.campaign)?.round(terms.supersedes)?.terms.list_hash));
        hash.map(|hash| self.snapshots.get(hash)).transpose()
    }
}

/// The entitlements of a corrected round that the new list repeats: of the same person, or where the lists name none, of
/// the same address. They must be annulled for good before anybody is owed them again. Stops above the bound, which
/// refuses the round.
fn repeated(old: &Snapshot, new: &Snapshot, round: RoundNo) -> Vec<EntitlementId> {
    let mut indexes: Vec<u64> = Vec::new();
    for index in 0..new.count() {
        let person = new.person(index).filter(|_| old.has_persons());
        match person {
            Some(person) => indexes.extend(old.indexes_of_person(person).unwrap_or_default()),
            None => indexes.extend(new.entitlement(index).into_iter().flat_map(|e| old.find(e.recipient))),
        }
        if indexes.len() > 2 * CORRECTS_MAX {
            break;
        }
    }
    indexes.sort_unstable();
    indexes.dedup();
    indexes.into_iter().map(|index| EntitlementId { round, index }).collect()
}

/// What the chain paid and annulled of a round before, in each shard; `None` if the snapshot cannot say.
fn shares(known: &Ahead, snapshot: &Snapshot) -> Option<Vec<AheadShare>> {
    let none =
        |shard| AheadShare { shard, paid: 0, paid_total: Total::ZERO, void: 0, void_total: Total::ZERO };
    let mut shares: BTreeMap<u32, AheadShare> = BTreeMap::new();
    let mut add = |index: u64, is_payment: bool| {
        let amount = snapshot.entitlement(index)?.amount;
        let shard = u32::try_from(index / SHARD).ok()?;
        let share = shares.entry(shard).or_insert_with(|| none(shard));
        let (count, total) = match is_payment {
            true => (&mut share.paid, &mut share.paid_total),
            false => (&mut share.void, &mut share.void_total),
        };
        *count += 1;
        *total = total.checked_add(amount)?;
        Some(())
    };
    for index in known.paid.below(snapshot.count()) {
        add(index, true)?;
    }
    for index in known.void.below(snapshot.count()) {
        add(index, false)?;
    }
    Some(shares.into_values().collect())
}
