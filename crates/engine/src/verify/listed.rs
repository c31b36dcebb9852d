//! What the snapshots say of a push or a void.

use std::sync::Arc;

use sluice_core::amount::Amount;
use sluice_core::decide::{Edge, Listed};
use sluice_core::ids::{CampaignId, RoundNo};
use sluice_core::limits::SHARD;
use sluice_core::refusal::Code;

use super::Verifier;
use crate::error::EngineError;

impl Verifier {
    /// The amounts of the shards that a range covers only in part.
    pub(super) fn edges(
        &self,
        campaign: CampaignId,
        round: RoundNo,
        from: u64,
        to: u64,
    ) -> Result<Result<Listed, Code>, EngineError> {
        let Some(ground) = self.ground(campaign, round) else { return Ok(Err(Code::UnknownRound)) };
        if from >= to || to > ground.count {
            return Ok(Err(Code::BadRange));
        }
        let snapshot = self.snapshots.get(ground.list_hash)?;
        let (first, last) = (from / SHARD, (to - 1) / SHARD);
        let mut edges: Vec<Edge> = Vec::new();
        for shard in [first, last] {
            let start = from.max(shard * SHARD);
            let end = to.min((shard + 1) * SHARD);
            let whole = start == shard * SHARD && end == ((shard + 1) * SHARD).min(ground.count);
            let shard = u32::try_from(shard)
                .map_err(|_| EngineError::Config("a round has too many shards".into()))?;
            if !whole && edges.iter().all(|e| e.shard != shard) {
                let amounts: Arc<[Amount]> =
                    snapshot.words(start..end).iter().map(|word| word.amount()).collect();
                edges.push(Edge { shard, from: start, amounts });
            }
        }
        Ok(Ok(Listed::Edges(edges)))
    }

    pub(super) fn amounts(
        &self,
        campaign: CampaignId,
        round: RoundNo,
        indexes: &[u64],
    ) -> Result<Result<Listed, Code>, EngineError> {
        let Some(ground) = self.ground(campaign, round) else { return Ok(Err(Code::UnknownRound)) };
        if indexes.iter().any(|i| *i >= ground.count) {
            return Ok(Err(Code::BadRange));
        }
        let snapshot = self.snapshots.get(ground.list_hash)?;
        let amounts: Option<Vec<_>> =
            indexes.iter().map(|i| snapshot.entitlement(*i).map(|e| e.amount)).collect();
        Ok(amounts.map(Listed::Amounts).ok_or(Code::BadRange))
    }
}
