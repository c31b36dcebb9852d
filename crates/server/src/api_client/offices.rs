//! What a node answers about institutions, as far as this program reads it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};
use sluice_core::ids::{CampaignId, Millis, Seq};

/// A part of a list.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next part begins.
    pub next: Option<String>,
}

/// An institution.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AuthorityInfo {
    /// Its id.
    pub authority: B256,
    /// A name for people; empty where the log knows none.
    pub name: String,
    /// Whether it stands in the Charter.
    pub chartered: bool,
    /// Its keys that stand in the log.
    pub keys: Vec<Bytes>,
    /// Its keys by the Charter.
    pub charter_keys: Vec<Bytes>,
    /// Keys that never count again, with the positions of their revocations.
    pub revoked: BTreeMap<Bytes, Seq>,
    /// What a command about its keys must have seen.
    pub version: Seq,
}

impl AuthorityInfo {
    /// Every key that speaks for it.
    pub fn in_force(&self) -> impl Iterator<Item = &Bytes> {
        self.charter_keys.iter().chain(self.keys.iter().filter(|key| !self.charter_keys.contains(key)))
    }
}

/// What was done under a mandate or a delegation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SpentInfo {
    /// Base units.
    pub amount: String,
    /// Items.
    pub count: u64,
}

/// What an institution may do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MandateInfo {
    /// Its id.
    pub mandate: B256,
    /// Whose it is.
    pub holder: B256,
    /// Whether it ended.
    pub ended: bool,
    /// What was done under it.
    pub spent: SpentInfo,
    /// Its policies as sentences.
    pub rules: Vec<RuleInfo>,
}

/// A policy as a sentence.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RuleInfo {
    /// The policy's id.
    pub id: String,
    /// The policy in words.
    pub sentence: String,
}

/// What a vendor's key may do in an institution's name.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DelegationInfo {
    /// Its id.
    pub delegation: B256,
    /// Who delegates.
    pub authority: B256,
    /// The key that may act.
    pub vendor: Bytes,
    /// The actions' names.
    pub actions: Vec<String>,
    /// Only in this campaign.
    pub campaign: Option<CampaignId>,
    /// In all, base units.
    pub amount_max: Option<String>,
    /// Items in all.
    pub count_max: Option<u64>,
    /// After this nothing is taken from the key, milliseconds.
    pub expires_at: Millis,
    /// Whether it ended before.
    pub ended: bool,
    /// What was done under it.
    pub spent: SpentInfo,
}

/// A gate version of a campaign.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GateInfo {
    /// Its number in the Distributor.
    pub gate: u16,
    /// What a round's `rules_hash` must be.
    pub hash: B256,
    /// Whether the Distributor knows it with its key, finally, as far as the log has read.
    pub installed: bool,
}
