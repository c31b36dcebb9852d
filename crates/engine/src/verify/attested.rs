//! Look-ups about attestations: what an issuer's contract and the registries said, remembered for a while, because a
//! person's attestation serves many claims and a registry answers slowly.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use alloy_primitives::B256;
use sluice_chain::Chain;
use sluice_core::ids::{BlockRef, ChainId, Millis};
use sluice_core::limits::{LOOKUP_VALID, LOOKUPS_MAX};
use sluice_gate::attestation::{Answers, Need, Registry};
use tokio::sync::Semaphore;

use crate::error::EngineError;

/// Answers remembered; above it all are forgotten and looked up again as they are needed.
const ANSWERS_KEPT_MAX: usize = 100_000;

/// Look-ups with a bound of their own, so that attestations' look-ups delay no contract wallet.
#[derive(Debug)]
pub(crate) struct Attested {
    known: Mutex<HashMap<B256, Answered>>,
    lookups: Semaphore,
}

/// What is known about an attestation, and until when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answered {
    pub(super) answers: Answers,
    pub(super) looked_at: Option<BlockRef>,
    pub(super) valid_until: Option<Millis>,
}

impl Answered {
    /// What is known.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }
}

impl Default for Attested {
    fn default() -> Self {
        Self { known: Mutex::default(), lookups: Semaphore::new(LOOKUPS_MAX) }
    }
}

impl Attested {
    /// What was looked up lately.
    pub(crate) fn known(&self, id: B256, now: Millis) -> Answered {
        let known = self.known.lock().expect("no panic inside");
        let found = known.get(&id).copied().unwrap_or_default();
        if found.valid_until.is_some_and(|until| until <= now) { Answered::default() } else { found }
    }

    /// Looks up what is missing and remembers it.
    ///
    /// # Errors
    /// When a chain does not answer, or is not configured here.
    pub(crate) async fn look_up(
        &self,
        chains: &BTreeMap<ChainId, Chain>,
        id: B256,
        needs: &[Need],
        now: Millis,
    ) -> Result<Answered, EngineError> {
        let _permit = self.lookups.acquire().await.map_err(|_| EngineError::Stopping)?;
        let mut answered = self.known(id, now);
        for need in needs {
            answered.looked_at = Some(answer(chains, need, &mut answered.answers).await?);
        }
        let valid = u64::try_from(LOOKUP_VALID.as_millis()).expect("minutes");
        answered.valid_until = Some(now.saturating_add(valid));
        // A bad signature says nothing of the attestation: somebody may have handed it in with another's bytes.
        if answered.answers.signature == Some(false) {
            return Ok(answered);
        }
        let mut known = self.known.lock().expect("no panic inside");
        if known.len() >= ANSWERS_KEPT_MAX {
            known.clear();
        }
        known.insert(id, answered);
        Ok(answered)
    }
}

async fn answer(
    chains: &BTreeMap<ChainId, Chain>,
    need: &Need,
    answers: &mut Answers,
) -> Result<BlockRef, EngineError> {
    let chain = |id: &ChainId| {
        chains.get(id).ok_or_else(|| EngineError::Config(format!("chain {id} is not configured here")))
    };
    match need {
        Need::Erc1271 { chain_id, account, digest, signature } => {
            let (good, block) = chain(chain_id)?.is_valid_signature(*account, *digest, signature).await?;
            answers.signature = Some(good);
            Ok(block)
        }
        Need::Revocation { contract, issuer, uids } => {
            let asked =
                chain(&contract.chain_id)?.eas_revoked_offchain(contract.address, *issuer, uids).await?;
            let (revoked, block) = asked;
            answers.registry = Some(revoked.map_or(Registry::Standing, Registry::Revoked));
            Ok(block)
        }
        Need::OnChain { contract, uid } => {
            let (found, block) = chain(&contract.chain_id)?.eas_attestation(contract.address, *uid).await?;
            answers.registry = Some(match found.revocation_time {
                _ if found.uid.is_zero() => Registry::Gone,
                0 => Registry::Standing,
                at => Registry::Revoked(at),
            });
            Ok(block)
        }
    }
}
