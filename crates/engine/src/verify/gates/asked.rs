//! Gates ready to be asked: their allow-lists read and their rule sets compiled.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use sha2::{Digest, Sha256};
use sluice_core::command::GateTerms;
use sluice_core::ids::CampaignId;
use sluice_gate::attestation::{Accepts, AllowList};
use sluice_gate::rules::Rulebook;
use sluice_store::AboutWhom;

use crate::recent::Held;
use crate::together::Together;
use crate::verify::mandates::Mandates;

/// Gates kept ready to be asked; a stream has fewer.
const GATES_KEPT_MAX: usize = 1_024;

/// What asking gates needs besides State: compiled rule sets, mandates and allow-lists, by hash.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    pub(in crate::verify) rules: Rulebook,
    pub(in crate::verify) mandates: Mandates,
    asked: RwLock<HashMap<(CampaignId, u16), Arc<Asked>>>,
    pub(super) kept: Together<AboutWhom, Result<Vec<Arc<Held>>, sluice_store::Error>>,
}

/// A gate's allow-list, ready to judge by.
#[derive(Debug)]
pub(crate) struct Asked {
    terms: GateTerms,
    allowed: AllowList,
    /// The name under which rules see what an entry of the list accepts.
    pub(super) names: Vec<String>,
    /// SHA-256 of each schema's text, as attestations are found by.
    pub(super) schemas: Vec<[u8; 32]>,
}

impl Asked {
    /// Reads a gate's list of accepted attestations; `None` if it is none.
    pub(crate) fn new(terms: &GateTerms) -> Option<Self> {
        let mut entries = Vec::with_capacity(terms.attestations.len());
        for attestation in &terms.attestations {
            entries.push(borsh::from_slice::<Accepts>(&attestation.accepts).ok()?);
        }
        let schemas = entries.iter().map(|accepts| schema_key(&accepts.source.schema())).collect();
        let names = terms.attestations.iter().map(|a| a.name.clone()).collect();
        Some(Self { terms: terms.clone(), allowed: AllowList::new(entries).ok()?, names, schemas })
    }

    pub(crate) fn allowed(&self) -> &AllowList {
        &self.allowed
    }

    pub(super) fn version(&self) -> u16 {
        self.terms.version
    }
}

/// What attestations are found by: SHA-256 of their schema's text.
pub(crate) fn schema_key(schema: &str) -> [u8; 32] {
    Sha256::digest(schema.as_bytes()).into()
}

impl Gates {
    /// A gate ready to be asked; `None` for one whose list cannot be read, which no definition that was decided has.
    pub(crate) fn asked(&self, terms: &GateTerms) -> Option<Arc<Asked>> {
        let name = (terms.campaign, terms.version);
        if let Some(known) = self.asked.read().expect("no panic inside").get(&name)
            && known.terms == *terms
        {
            return Some(Arc::clone(known));
        }
        let new = Arc::new(Asked::new(terms)?);
        let mut asked = self.asked.write().expect("no panic inside");
        if asked.len() >= GATES_KEPT_MAX {
            asked.clear();
        }
        asked.insert(name, Arc::clone(&new));
        Some(new)
    }
}
