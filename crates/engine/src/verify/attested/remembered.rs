//! What look-ups said, remembered for a while. Registries are followed for as long as answers of theirs are: what is revoked
//! there meanwhile is asked about anew, so that an answer grows older than a few blocks only while nothing contradicts it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::{Address, B256};
use sluice_core::ids::{ChainId, ContractRef, Millis};
use sluice_gate::attestation::Need;

use super::Answered;
use crate::recent::AsSigned;

/// Answers remembered; above it all are forgotten and looked up again as they are needed.
const ANSWERS_KEPT_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Remembered {
    answers: HashMap<AsSigned, Answered>,
    /// By registry and uid, the attestations that a revocation there concerns.
    revocable: HashMap<(ContractRef, B256), Vec<AsSigned>>,
    followed: BTreeMap<ChainId, Followed>,
}

/// A chain whose registries are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    /// No revocation up to this block contradicts what is remembered.
    pub(super) block: u64,
    pub(super) registries: BTreeSet<Address>,
    /// When the last of their answers is too old to be believed.
    until: Millis,
}

impl Remembered {
    /// How many answers there are.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// What was looked up lately.
    pub(super) fn known(&self, id: AsSigned, now: Millis) -> Answered {
        let found = self.answers.get(&id).copied().unwrap_or_default();
        if found.valid_until.is_some_and(|until| until <= now) { Answered::default() } else { found }
    }

    /// Remembers what these look-ups said, unless the registry was followed past the block they saw: what was revoked
    /// between would go unseen.
    pub(super) fn remember(&mut self, id: AsSigned, answered: Answered, needs: &[Need]) {
        let (Some(block), Some(until)) = (answered.looked_at.map(|at| at.number), answered.valid_until)
        else {
            self.answers.insert(id, answered);
            return;
        };
        if self.answers.len() >= ANSWERS_KEPT_MAX {
            *self = Self::default();
        }
        for (registry, uids) in needs.iter().filter_map(asked_of) {
            let followed = self.followed.entry(registry.chain_id).or_insert_with(|| Followed {
                block,
                registries: BTreeSet::new(),
                until,
            });
            if followed.block > block {
                return;
            }
            followed.registries.insert(registry.address);
            followed.until = followed.until.max(until);
            for uid in uids {
                let concerned = self.revocable.entry((registry, *uid)).or_default();
                if !concerned.contains(&id) {
                    concerned.push(id);
                }
            }
        }
        self.answers.insert(id, answered);
    }

    /// What of a chain is to be followed; nothing, and nothing of it is remembered any more, once no answer is believed.
    pub(super) fn followed(&mut self, chain: ChainId, now: Millis) -> Option<Followed> {
        if self.followed.get(&chain)?.until <= now {
            self.forget(chain);
        }
        self.followed.get(&chain).cloned()
    }

    /// Forgets what was said about these, and notes how far a chain was followed for it.
    pub(super) fn take_back(
        &mut self,
        chain: ChainId,
        followed: &Followed,
        revoked: &[(Address, B256)],
        block: u64,
    ) {
        for (address, uid) in revoked {
            let registry = ContractRef { chain_id: chain, address: *address };
            for id in self.revocable.remove(&(registry, *uid)).unwrap_or_default() {
                self.answers.remove(&id);
            }
        }
        // Of a registry that joined meanwhile the same blocks are yet to be read.
        if let Some(now) = self.followed.get_mut(&chain)
            && now.registries == followed.registries
        {
            now.block = now.block.max(block);
        }
    }

    /// Forgets everything that registries of a chain said.
    pub(super) fn forget(&mut self, chain: ChainId) {
        let answers = &mut self.answers;
        self.revocable.retain(|(registry, _), concerned| {
            let stays = registry.chain_id != chain;
            for id in concerned.iter().filter(|_| !stays) {
                answers.remove(id);
            }
            stays
        });
        self.followed.remove(&chain);
    }
}

/// Whom a look-up asks whether an attestation stands, and under which uids.
fn asked_of(need: &Need) -> Option<(ContractRef, &[B256])> {
    match need {
        Need::Erc1271 { .. } => None,
        Need::OnChain { contract, uid } => Some((*contract, std::slice::from_ref(uid))),
        Need::Revocation { contract, uids, .. } => Some((*contract, uids)),
    }
}

#[cfg(test)]
mod tests;
