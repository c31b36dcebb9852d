//! What a node answers about demands that were made.

use std::collections::BTreeMap;

use sluice_core::ids::{CampaignId, DemandId, Seq};
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::merkle;
use sluice_core::log::note::TreeHead;
use sluice_core::log::receipt::{Receipt, Ticket};
use sluice_core::state::status::ClaimState;
use sluice_store::IntakeRow;

use super::Node;
use crate::error::EngineError;
use crate::follower::Outcome;
use crate::intake::Submitted;

/// What is known of a demand.
#[derive(Debug)]
pub enum DemandStatus {
    /// Durable, not decided; its ticket.
    Waiting(Box<Ticket>),
    /// In the log.
    Decided {
        /// The entry.
        entry: Box<Entry>,
        /// For a claim: where its payment stands. For a refused one, why.
        state: Option<ClaimState>,
    },
}

impl Node {
    /// What became of a claim; `None` if nobody made it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn demand(
        &self,
        campaign: CampaignId,
        id: DemandId,
    ) -> Result<Option<DemandStatus>, EngineError> {
        match self.inner.store.intake_by_id(campaign, id).await? {
            Some(row) => Ok(Some(self.status_of(&row).await?)),
            None => Ok(None),
        }
    }

    /// What became of a command or of a gate's masks; the campaign is the nil one where none is concerned. `None` if nobody handed
    /// them in.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn order(
        &self,
        campaign: CampaignId,
        id: DemandId,
    ) -> Result<Option<DemandStatus>, EngineError> {
        self.demand(campaign.orders(), id).await
    }

    /// What became of a row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn status_of(&self, row: &IntakeRow) -> Result<DemandStatus, EngineError> {
        if !self.inner.follower.read(|s| s.is_answered(row.key)) {
            return Ok(DemandStatus::Waiting(Box::new(self.inner.intake.ticket(row))));
        }
        let stored = self.inner.store.entry_of_intake(row.key).await?;
        let (_, stored) = stored.ok_or_else(|| {
            EngineError::Incident(format!("row {} is answered, but its entry is not in the log", row.key.n))
        })?;
        let entry = Entry::decode(&stored.entry)?;
        let state = self.claim_state(row.key.campaign, &entry);
        Ok(DemandStatus::Decided { entry: Box::new(entry), state })
    }

    /// Where the payment stands that an entry decided.
    pub fn claim_state(&self, campaign: CampaignId, entry: &Entry) -> Option<ClaimState> {
        match &entry.body {
            Body::ClaimDecided(claim) => {
                self.inner.follower.read(|s| s.campaign(campaign).and_then(|c| c.status(claim.entitlement)))
            }
            Body::ClaimRefused(claim) => Some(ClaimState::Refused(claim.code)),
            _ => None,
        }
    }

    /// The receipt of an entry, against the head this node has reached.
    ///
    /// # Errors
    /// When the database cannot be read, or there is no such entry yet.
    pub async fn receipt(&self, seq: Seq) -> Result<Receipt, EngineError> {
        let stream = self.inner.config.stream;
        let tree = self.inner.follower.tree();
        let row = self.inner.store.read_log(stream, seq.saturating_sub(1), 1).await?.pop();
        let row = row.filter(|row| row.seq == seq && seq <= tree.size());
        let row = row.ok_or_else(|| EngineError::Config(format!("seq: there is no entry at {seq} yet")))?;
        let index = seq - 1;
        let mut tiles = BTreeMap::new();
        for id in
            merkle::inclusion_tiles(index, tree.size()).map_err(|e| EngineError::Incident(e.to_string()))?
        {
            if let Some(tile) = self.inner.store.tile(stream, id).await? {
                tiles.insert(id, tile.hashes);
            } else if let Some(open) = tree.open_tile(id.level).filter(|t| t.n == id.n) {
                tiles.insert(id, open.hashes);
            }
        }
        let path = merkle::inclusion_path(index, tree.size(), |id| tiles.get(&id).map(Vec::as_slice))
            .map_err(|e| EngineError::Incident(e.to_string()))?;
        let key = self.inner.follower.log_key();
        let head =
            TreeHead { origin: key.origin().clone(), size: tree.size(), root: tree.root(), state_hash: None };
        Ok(Receipt { entry: row.entry, seq, path, note: key.sign(&head) })
    }

    /// The outcome of a submission as an entry with its receipt, or the ticket.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn outcome(&self, submitted: Submitted) -> Result<Result<Outcome, Ticket>, EngineError> {
        match submitted {
            Submitted::Decided(outcome) => Ok(Ok(*outcome)),
            Submitted::Waiting(ticket) => Ok(Err(*ticket)),
            Submitted::Before(row) => match self.status_of(&row).await? {
                DemandStatus::Waiting(ticket) => Ok(Err(*ticket)),
                DemandStatus::Decided { entry, .. } => {
                    let receipt = self.receipt(entry.seq).await?;
                    Ok(Ok(Outcome { entry: *entry, receipt }))
                }
            },
        }
    }
}
