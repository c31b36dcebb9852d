//! A planned batch as a call of the Distributor, with words and proofs from the snapshots.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256};
use sluice_chain::calls::{self, BatchHead, Chunk, Range, RedirectItem};
use sluice_core::amount::Total;
use sluice_core::ids::{CampaignId, EntitlementId, Seq};
use sluice_core::log::entry::{BatchForm, BatchPlanned, Body, Entry, Redirect, WordMask};
use sluice_core::state::State;
use sluice_store::Store;

use crate::error::EngineError;
use crate::follower::Follower;
use crate::snapshots::Snapshots;

/// A call to be simulated and signed.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) to: Address,
    pub(super) data: Bytes,
}

/// The sum of these entitlements.
pub(crate) fn total(
    state: &State,
    snapshots: &Snapshots,
    campaign: CampaignId,
    words: &[WordMask],
) -> Result<Total, EngineError> {
    let mut total = Total::ZERO;
    for word in words {
        let sum = snapshots.of(state, campaign, word.round)?.sum_mask(word.word, U256::from_limbs(word.mask));
        let more = total.checked_add_total(sum);
        total = more.ok_or_else(|| EngineError::Incident("a batch's sum overflows".into()))?;
    }
    Ok(total)
}

/// The signed destinations of a redirected batch, from the entries that decided them.
pub(super) async fn redirects(
    store: &Store,
    follower: &Follower,
    plan: &BatchPlanned,
) -> Result<BTreeMap<EntitlementId, Redirect>, EngineError> {
    let BatchForm::Redirected { claims } = &plan.form else { return Ok(BTreeMap::new()) };
    let stream = follower.read(|s| s.stream);
    let mut found = BTreeMap::new();
    for (id, seq) in claims {
        let row = store.read_log(stream, seq - 1, 1).await?.pop();
        let entry = row.map(|row| Entry::decode(&row.entry)).transpose()?;
        match entry.map(|e| e.body) {
            Some(Body::ClaimDecided(claim)) if claim.entitlement == *id => {
                found.extend(claim.redirect.map(|redirect| (*id, redirect)));
            }
            _ => return Err(missing(*seq)),
        }
    }
    Ok(found)
}

fn missing(seq: Seq) -> EngineError {
    EngineError::Incident(format!("entry {seq} is not the decision that a batch names"))
}

/// The calldata of a batch.
pub(super) fn encode(
    state: &State,
    snapshots: &Snapshots,
    plan: &BatchPlanned,
    redirects: &BTreeMap<EntitlementId, Redirect>,
    head: BatchHead,
) -> Result<Bytes, EngineError> {
    match &plan.form {
        BatchForm::Dense { round, start, levels } => {
            let snapshot = snapshots.of(state, plan.campaign, *round)?;
            let proof = snapshot.dense(*start, *levels)?;
            let (words, path) = (&proof.words, &proof.path);
            let range = Range { round: *round, start: *start, levels: *levels, words, path };
            Ok(calls::settle(head, range))
        }
        BatchForm::Sparse => {
            let chunks = plan.words.iter().map(|word| {
                let snapshot = snapshots.of(state, plan.campaign, word.round)?;
                let sparse = snapshot.sparse(word.word, U256::from_limbs(word.mask))?;
                Ok(Chunk { mask: *word, words: sparse.words, proof: sparse.path })
            });
            Ok(calls::settle_sparse(head, &chunks.collect::<Result<Vec<_>, EngineError>>()?))
        }
        BatchForm::Redirected { claims } => {
            let items = claims.iter().map(|(id, seq)| {
                let snapshot = snapshots.of(state, plan.campaign, id.round)?;
                let proof = snapshot.proof(id.index)?;
                let redirect = redirects.get(id).ok_or_else(|| missing(*seq))?;
                Ok(RedirectItem {
                    entitlement: *id,
                    to: redirect.to,
                    deadline: redirect.deadline,
                    signature: redirect.signature.clone(),
                    bucket: proof.bucket,
                    proof: proof.path,
                })
            });
            Ok(calls::settle_to(head, &items.collect::<Result<Vec<_>, EngineError>>()?))
        }
    }
}
