//! Look-ups about attestations: what an issuer's contract and the registries said, remembered for a while, because a
//! person's attestation serves many claims and a registry answers slowly.

mod remembered;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use sluice_chain::{Chain, ChainError};
use sluice_core::ids::{BlockRef, ChainId, ContractRef, Millis};
use sluice_core::limits::{ATTESTATION_LOOKUPS_MAX, LOOKUP_VALID, LOOKUPS_MAX};
use sluice_gate::attestation::{Answers, Need, Registry};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::MissedTickBehavior;

use crate::clock::DatabaseClock;
use crate::error::EngineError;
use crate::recent::AsSigned;
use crate::together::Together;
use remembered::Remembered;

/// Attestations whose revocation one request asks about; each has a few spellings of its uid.
pub(crate) const REVOCATIONS_TOGETHER: usize = 128;
/// How often registries are looked at for revocations: a fourth of Ethereum's time between blocks.
const FOLLOW_EVERY: Duration = Duration::from_secs(3);
/// Blocks of one such look; further behind, all is asked anew. Providers take ranges of a thousand.
const FOLLOWED_BLOCKS_MAX: u64 = 1_000;
/// Blocks that are looked at again with the next: what stood in them may stand elsewhere after a reorganisation, of Ethereum's
/// two epochs at most.
const FOLLOWED_AGAIN: u64 = 64;

/// Look-ups with bounds of their own: attestations' look-ups delay no contract wallet, and those of attestations that come
/// in delay none that a claim needs, nor the reverse.
#[derive(Debug)]
pub(crate) struct Attested {
    known: Mutex<Remembered>,
    for_claims: Semaphore,
    for_intake: Semaphore,
    /// Revocations that are asked about together, by asker and registry. Allow-lists name the registries, so there are few.
    revocations: Mutex<HashMap<(Asker, ContractRef), Revocations>>,
}

/// Issuer and spellings of a uid; when it was revoked, and the block that was looked at.
type Revocations = Together<(Address, Vec<B256>), (Option<u64>, BlockRef)>;

/// For whom something is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    /// A claim before its gate.
    Claim,
    /// The stage that takes attestations.
    Intake,
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

    /// Takes the signature for good unless something else is known of it.
    pub(super) fn trust_signature(&mut self) {
        self.answers.signature.get_or_insert(true);
    }
}

impl Default for Attested {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            for_claims: Semaphore::new(LOOKUPS_MAX),
            for_intake: Semaphore::new(ATTESTATION_LOOKUPS_MAX),
            revocations: Mutex::default(),
        }
    }
}

impl Attested {
    /// What was looked up lately.
    pub(crate) fn known(&self, id: AsSigned, now: Millis) -> Answered {
        self.known.lock().expect("no panic inside").known(id, now)
    }

    /// How many answers are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.known.lock().expect("no panic inside").len()
    }

    /// Looks up what is missing and remembers it. What was known before keeps its age.
    ///
    /// # Errors
    /// When a chain does not answer, or is not configured here.
    pub(crate) async fn look_up(
        &self,
        asker: Asker,
        chains: &BTreeMap<ChainId, Chain>,
        id: AsSigned,
        needs: &[Need],
        now: Millis,
    ) -> Result<Answered, EngineError> {
        let mut answered = self.known(id, now);
        // Look-ups are named only when nothing else is wrong: unless a contract is to be asked, its key signed.
        if !needs.iter().any(|need| matches!(need, Need::Erc1271 { .. })) {
            answered.answers.signature = Some(true);
        }
        for need in needs {
            let looked_at = self.answer(asker, chains, need, &mut answered.answers).await?;
            answered.looked_at = looked_at.or(answered.looked_at);
        }
        let valid = u64::try_from(LOOKUP_VALID.as_millis()).expect("minutes");
        let until = now.saturating_add(valid);
        answered.valid_until = Some(answered.valid_until.map_or(until, |earlier| earlier.min(until)));
        // A bad signature says nothing of the attestation: somebody may have handed it in with another's bytes.
        if answered.answers.signature == Some(false) {
            return Ok(answered);
        }
        // A node that stuttered when nobody claimed must not refuse who claims later.
        if asker == Asker::Intake && answered.answers.registry == Some(Registry::Unusable) {
            return Ok(answered);
        }
        self.known.lock().expect("no panic inside").remember(id, answered, needs, now);
        Ok(answered)
    }

    /// Follows a chain's registries while answers of theirs are remembered, and forgets what they revoke.
    pub(crate) async fn follow(&self, chain: &Chain, clock: &DatabaseClock) {
        let mut looks = tokio::time::interval(FOLLOW_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            looks.tick().await;
            let looked = self.follow_on(chain, clock).await;
            if let Err(error) = &looked
                && !failing
            {
                tracing::warn!(chain = chain.id(), %error, "revocations cannot be followed; every claim asks its attestations' registry");
            }
            failing = looked.is_err();
        }
    }

    async fn follow_on(&self, chain: &Chain, clock: &DatabaseClock) -> Result<(), EngineError> {
        let known = || self.known.lock().expect("no panic inside");
        let now = clock.now();
        let Some(followed) = known().followed(chain.id(), now) else { return Ok(()) };
        let block = chain.latest().await?.number;
        if block.saturating_sub(followed.block) > FOLLOWED_BLOCKS_MAX {
            known().forget(chain.id());
            return Ok(());
        }
        let revoked = match block > followed.block {
            true => {
                let from = (followed.block + 1).saturating_sub(FOLLOWED_AGAIN);
                chain.eas_revocations(&followed.registries, from, block).await?
            }
            // No block came, or a node answers that is behind: that says nothing.
            false if block < followed.block => return Ok(()),
            false => Vec::new(),
        };
        known().take_back(chain.id(), &followed, &revoked, (block, now));
        Ok(())
    }

    /// Asks, and takes the answer in; yields the block that was looked at, where there is one.
    async fn answer(
        &self,
        asker: Asker,
        chains: &BTreeMap<ChainId, Chain>,
        need: &Need,
        answers: &mut Answers,
    ) -> Result<Option<BlockRef>, EngineError> {
        let chain = |id: &ChainId| {
            chains.get(id).ok_or_else(|| EngineError::Config(format!("chain {id} is not configured here")))
        };
        let asked: Result<_, EngineError> = match need {
            Need::Erc1271 { chain_id, account, digest, signature } => {
                let _permit = self.permit(asker).await?;
                let (good, block) = chain(chain_id)?.is_valid_signature(*account, *digest, signature).await?;
                answers.signature = Some(good);
                return Ok(Some(block));
            }
            Need::OnChain { contract, uid } => {
                let _permit = self.permit(asker).await?;
                let asked = chain(&contract.chain_id)?.eas_attestation(contract.address, *uid).await;
                asked.map_err(EngineError::from).map(|(found, block)| match found.revocation_time {
                    _ if found.uid.is_zero() => (Registry::Gone, block),
                    0 => (Registry::Standing, block),
                    at => (Registry::Revoked(at), block),
                })
            }
            Need::Revocation { contract, issuer, uids } => {
                let chain = chain(&contract.chain_id)?.clone();
                let asked = self.revoked(asker, chain, *contract, (*issuer, uids.clone())).await;
                asked.map(|(revoked, block)| (revoked.map_or(Registry::Standing, Registry::Revoked), block))
            }
        };
        match asked {
            Ok((registry, block)) => {
                answers.registry = Some(registry);
                Ok(Some(block))
            }
            Err(error) if says_no_registry(&error) => {
                tracing::warn!(%error, "an attestation names a registry that is none");
                answers.registry = Some(Registry::Unusable);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How many look-ups may be under way for an asker. Revocations need none: they are asked together.
    pub(crate) fn permits(&self, asker: Asker) -> &Semaphore {
        match asker {
            Asker::Claim => &self.for_claims,
            Asker::Intake => &self.for_intake,
        }
    }

    async fn permit(&self, asker: Asker) -> Result<SemaphorePermit<'_>, EngineError> {
        self.permits(asker).acquire().await.map_err(|_| EngineError::Stopping)
    }

    /// Asks a registry together with everybody else who does for the same asker.
    async fn revoked(
        &self,
        asker: Asker,
        chain: Chain,
        registry: ContractRef,
        asked: (Address, Vec<B256>),
    ) -> Result<(Option<u64>, BlockRef), EngineError> {
        let together = {
            let mut revocations = self.revocations.lock().expect("no panic inside");
            revocations.entry((asker, registry)).or_default().clone()
        };
        let request = move |asked: Vec<(Address, Vec<B256>)>| {
            let chain = chain.clone();
            async move {
                let (times, block) = chain.eas_revoked_offchain(registry.address, &asked).await?;
                Ok(times.into_iter().map(|time| (time, block)).collect())
            }
        };
        together.ask(asked, REVOCATIONS_TOGETHER, request).await
    }
}

/// Whether a registry's answer says that there is none: asking again would say the same for ever.
pub(crate) fn is_no_registry(error: &ChainError) -> bool {
    matches!(error, ChainError::NoCode(_) | ChainError::Malformed { .. } | ChainError::Reverted { .. })
}

/// The same of a request that was made, alone or together with others.
fn says_no_registry(error: &EngineError) -> bool {
    match error {
        EngineError::Chain(error) => is_no_registry(error),
        EngineError::Together(error) => says_no_registry(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Millis {
        minutes * 60_000
    }

    #[tokio::test]
    async fn what_was_looked_up_before_grows_no_younger_by_looking_up_the_rest() {
        let (attested, chains) = (Attested::default(), BTreeMap::new());
        let id = AsSigned { id: B256::repeat_byte(1), signature: B256::repeat_byte(2) };
        let first = attested.look_up(Asker::Intake, &chains, id, &[], minutes(1)).await.unwrap();
        let second = attested.look_up(Asker::Claim, &chains, id, &[], minutes(9)).await.unwrap();
        assert_eq!(second.valid_until, first.valid_until);
        let garbage = AsSigned { signature: B256::repeat_byte(3), ..id };
        assert!(
            attested.known(garbage, minutes(2)).answers.signature.is_none(),
            "what was found about one signature is not taken for another's"
        );
        assert!(
            attested.known(id, minutes(1) + minutes(10)).valid_until.is_none(),
            "it is forgotten in time"
        );
        let later = attested.look_up(Asker::Claim, &chains, id, &[], minutes(11)).await.unwrap();
        assert_eq!(later.valid_until, Some(minutes(21)), "and then looked up anew");
    }
}
