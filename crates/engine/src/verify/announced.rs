//! Whether a round may be announced: its snapshot is in storage and is what the terms say; and what the chain did of it
//! before, in amounts.

use std::collections::BTreeMap;

use sluice_core::amount::Total;
use sluice_core::command::{RoundMode, RoundTerms};
use sluice_core::decide::Listed;
use sluice_core::limits::SHARD;
use sluice_core::log::entry::AheadShare;
use sluice_core::refusal::Code;
use sluice_core::state::ahead::Ahead;
use sluice_snapshot::Snapshot;

use super::Verifier;
use crate::error::EngineError;

impl Verifier {
    /// A round may be announced once its snapshot is in storage and is what the terms say.
    pub(super) async fn publishable(&self, terms: &RoundTerms) -> Result<Result<Listed, Code>, EngineError> {
        if terms.mode == RoundMode::Gated {
            // The contract takes such a round and could not pay anybody from it yet.
            return Ok(Err(Code::GateMissing));
        }
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
        let path = self.snapshots.path(terms.list_hash);
        let known =
            self.follower.read(|state| state.campaign(terms.campaign)?.ahead.get(&terms.round).cloned());
        let (hash, listed) = tokio::task::spawn_blocking(move || {
            let ahead = shares(&known.unwrap_or_default(), &snapshot);
            let shard_totals = snapshot.shard_totals().to_vec();
            let listed = ahead.map(|ahead| Listed::Round { shard_totals, held, as_of, ahead });
            (crate::snapshots::file_hash(&path), listed)
        })
        .await
        .map_err(|_| EngineError::Stopping)?;
        let whole = hash.is_ok_and(|hash| hash == terms.list_hash);
        Ok(listed.filter(|_| whole).ok_or(Code::SnapshotMissing))
    }
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
