//! What look-ups said, remembered for a while. Registries are followed for as long as answers of theirs are: what is revoked
//! there meanwhile is asked about anew, and where they were not followed for some seconds nothing they said is believed.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{Address, B256};
use sluice_chain::eas::Registries;
use sluice_core::ids::{ChainId, ContractRef, Millis};
use sluice_gate::attestation::Need;

use super::Answered;
use crate::recent::AsSigned;

/// Answers remembered; above it all are forgotten and looked up again as they are needed.
const ANSWERS_KEPT_MAX: usize = 100_000;
/// For how long a registry's answers are believed after it was last followed: a few looks may fail.
const FOLLOWED_LATELY: Millis = 15_000;

#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// With the chain whose registry was asked.
    answers: HashMap<AsSigned, (Answered, Option<ChainId>)>,
    /// By registry and uid, the attestations that a revocation there concerns.
    revocable: HashMap<(ContractRef, B256), Vec<AsSigned>>,
    followed: BTreeMap<ChainId, Followed>,
}

/// A chain whose registries are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    /// No revocation up to this block contradicts what is remembered.
    pub(super) block: u64,
    pub(super) registries: Registries,
    /// When it was last seen that this is so.
    seen_at: Millis,
    /// When the last of their answers is too old to be believed.
    until: Millis,
}

impl Followed {
    fn is_current(&self, now: Millis) -> bool {
        now <= self.seen_at.saturating_add(FOLLOWED_LATELY)
    }
}

impl Remembered {
    /// How many answers there are.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// What was looked up lately.
    pub(super) fn known(&self, id: AsSigned, now: Millis) -> Answered {
        let Some((found, chain)) = self.answers.get(&id) else { return Answered::default() };
        let young = found.valid_until.is_none_or(|until| now < until);
        let current = chain
            .is_none_or(|chain| self.followed.get(&chain).is_some_and(|followed| followed.is_current(now)));
        if young && current { *found } else { Answered::default() }
    }

    /// Remembers what these look-ups said now, unless the registry was followed past the block they saw: what was revoked
    /// between would go unseen.
    pub(super) fn remember(&mut self, id: AsSigned, answered: Answered, needs: &[Need], now: Millis) {
        if self.answers.len() >= ANSWERS_KEPT_MAX {
            *self = Self::default();
        }
        let asked = needs.iter().find_map(asked_of).zip(answered.looked_at).zip(answered.valid_until);
        let Some(((asked, block), until)) = asked else {
            self.answers.insert(id, (answered, None));
            return;
        };
        let (chain, block) = (asked.registry.chain_id, block.number);
        if self.followed.get(&chain).is_some_and(|followed| !followed.is_current(now)) {
            self.forget(chain);
        }
        let followed = self.followed.entry(chain).or_insert_with(|| Followed {
            block,
            registries: Registries::default(),
            seen_at: now,
            until,
        });
        if followed.block > block {
            return;
        }
        followed.until = followed.until.max(until);
        let registries = &mut followed.registries;
        match asked.issuer {
            Some(issuer) => {
                registries.off_chain.insert(asked.registry.address);
                registries.issuers.insert(issuer);
            }
            None => {
                registries.on_chain.insert(asked.registry.address);
            }
        }
        for uid in asked.uids {
            let concerned = self.revocable.entry((asked.registry, *uid)).or_default();
            if !concerned.contains(&id) {
                concerned.push(id);
            }
        }
        self.answers.insert(id, (answered, Some(chain)));
    }

    /// What of a chain is to be followed; nothing, and nothing of it is remembered any more, once no answer is believed.
    pub(super) fn followed(&mut self, chain: ChainId, now: Millis) -> Option<Followed> {
        if self.followed.get(&chain)?.until <= now {
            self.forget(chain);
        }
        self.followed.get(&chain).cloned()
    }

    /// Forgets what was said about these, and notes how far a chain was followed for it, and when.
    pub(super) fn take_back(
        &mut self,
        chain: ChainId,
        followed: &Followed,
        revoked: &[(Address, B256)],
        (block, now): (u64, Millis),
    ) {
        for (address, uid) in revoked {
            let registry = ContractRef { chain_id: chain, address: *address };
            for id in self.revocable.remove(&(registry, *uid)).unwrap_or_default() {
                self.answers.remove(&id);
            }
        }
        // Of a registry that joined meanwhile the same blocks are yet to be read.
        if let Some(known) = self.followed.get_mut(&chain)
            && known.registries == followed.registries
        {
            known.block = known.block.max(block);
            known.seen_at = known.seen_at.max(now);
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

/// Whom a look-up asks whether an attestation stands.
struct AskedOf<'a> {
    registry: ContractRef,
    /// Of what was signed off chain.
    issuer: Option<Address>,
    uids: &'a [B256],
}

fn asked_of(need: &Need) -> Option<AskedOf<'_>> {
    match need {
        Need::Erc1271 { .. } => None,
        Need::OnChain { contract, uid } => {
            Some(AskedOf { registry: *contract, issuer: None, uids: std::slice::from_ref(uid) })
        }
        Need::Revocation { contract, issuer, uids } => {
            Some(AskedOf { registry: *contract, issuer: Some(*issuer), uids })
        }
    }
}

#[cfg(test)]
mod tests;
