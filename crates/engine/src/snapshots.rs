//! Snapshot files of published rounds, by hash: mapped once, shared by everything that reads them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use alloy_primitives::B256;
use sha2::{Digest, Sha256};
use sluice_core::amount::Amount;
use sluice_core::ids::{CampaignId, EntitlementId, RoundNo};
use sluice_core::state::State;
use sluice_snapshot::Snapshot;

use crate::error::EngineError;
use crate::follower::Follower;

/// The folder in which snapshots lie, each under the hex of its SHA-256.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
    open: Arc<RwLock<HashMap<B256, Arc<Snapshot>>>>,
}

impl Snapshots {
    /// Snapshots in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), open: Arc::default() }
    }

    /// Where a snapshot of this hash lies.
    pub fn path(&self, list_hash: B256) -> PathBuf {
        self.folder.join(format!("{}.snapshot", alloy_primitives::hex::encode(list_hash)))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a snapshot of this hash is stored.
    pub fn is_stored(&self, list_hash: B256) -> bool {
        self.path(list_hash).is_file()
    }

    /// The snapshot of this hash if it is mapped already: nothing waits for a disk.
    pub fn opened(&self, list_hash: B256) -> Option<Arc<Snapshot>> {
        self.open.read().expect("no panic inside").get(&list_hash).cloned()
    }

    /// The snapshot of this hash, mapped.
    ///
    /// # Errors
    /// When it is not stored or is no whole snapshot file.
    pub fn get(&self, list_hash: B256) -> Result<Arc<Snapshot>, EngineError> {
        if let Some(open) = self.opened(list_hash) {
            return Ok(open);
        }
        let path = self.path(list_hash);
        let snapshot = Snapshot::open(&path)
            .map_err(|source| EngineError::Snapshot { name: path.display().to_string(), source })?;
        let snapshot = Arc::new(snapshot);
        self.open.write().expect("no panic inside").insert(list_hash, Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The snapshot of a round.
    ///
    /// # Errors
    /// When the round is unknown or its snapshot cannot be used.
    pub fn of(
        &self,
        state: &State,
        campaign: CampaignId,
        round: RoundNo,
    ) -> Result<Arc<Snapshot>, EngineError> {
        let hash = state
            .campaign(campaign)
            .and_then(|c| c.round(round))
            .map(|r| r.terms.list_hash)
            .ok_or_else(|| EngineError::Config(format!("campaign {campaign} has no round {round}")))?;
        self.get(hash)
    }

    /// The listed amount of an entitlement.
    ///
    /// # Errors
    /// When the round is unknown, its snapshot cannot be used, or the index lies outside it.
    pub fn amount(
        &self,
        state: &State,
        campaign: CampaignId,
        id: EntitlementId,
    ) -> Result<Amount, EngineError> {
        let found = self.of(state, campaign, id.round)?.entitlement(id.index).map(|e| e.amount);
        found.ok_or_else(|| {
            EngineError::Incident(format!("round {} has no entitlement {}", id.round, id.index))
        })
    }

    /// Rounds that may pay and whose snapshot is missing here: the node is not ready while there are any.
    pub fn missing(&self, follower: &Follower) -> Vec<(CampaignId, RoundNo)> {
        let open: Vec<_> = follower.read(|state| {
            let rounds = state.campaigns.values().flat_map(|c| c.rounds.values()).filter(|r| r.was_opened());
            rounds.map(|r| (r.terms.campaign, r.terms.round, r.terms.list_hash)).collect()
        });
        open.into_iter().filter(|(.., hash)| !self.is_stored(*hash)).map(|(c, r, _)| (c, r)).collect()
    }
}

/// SHA-256 of a file: the name of a snapshot in storage.
///
/// # Errors
/// When the file cannot be read.
pub fn file_hash(path: &Path) -> std::io::Result<B256> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut chunk)?;
        if read == 0 {
            return Ok(B256::from(<[u8; 32]>::from(hash.finalize())));
        }
        hash.update(&chunk[..read]);
    }
}
