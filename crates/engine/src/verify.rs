//! Verification: what is established about a demand outside State. Signatures, listings and look-ups; each look-up
//! names the block it saw. Nothing here decides: the verdict is compared with State at the demand's position.

mod announced;
pub(crate) mod attested;
mod commands;
mod covered;
pub mod door;
mod gate_words;
pub(crate) mod gates;
mod listed;
mod mandates;
mod registered;
mod shape;
mod signers;
pub mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use sluice_chain::is_wrapped;
use sluice_core::command::{Accepted, ClaimDemand, Demand, RoundMode, Visibility};
use sluice_core::decide::{
    ClaimFault, ClaimVerdict, Input, PersonSeen, VerifiedClaim, VerifiedCommand, VerifiedGate,
};
use sluice_core::ids::{BlockRef, CampaignId, ChainId, ContractRef, Millis, RoundNo};
use sluice_core::limits::{LOOKUP_VALID, LOOKUPS_MAX, SIGNATURE_BYTES_MAX};
use sluice_core::log::entry::SignedBy;
use sluice_core::refusal::Code;
use sluice_core::signing::claim_digest;
use sluice_snapshot::Snapshot;
use sluice_store::Store;
use tokio::sync::Semaphore;

use crate::clock::DatabaseClock;
use crate::error::EngineError;
use crate::follower::Follower;
use crate::recover::Signers;
use crate::snapshots::Snapshots;
use door::{Crowd, Door, Kind, LookUpFor};
use workers::Workers;

pub use shape::check_shape;

/// Verifies demands. Cheap to clone; look-ups on a chain share one bound, and those at the door have others.
#[derive(Clone, Debug)]
pub struct Verifier {
    follower: Follower,
    snapshots: Snapshots,
    store: Store,
    chains: Arc<BTreeMap<ChainId, sluice_chain::Chain>>,
    clock: Arc<DatabaseClock>,
    lookups: Arc<BTreeMap<ChainId, Semaphore>>,
    door: Arc<Door>,
    signers: Arc<Signers>,
    gates: Arc<gates::Gates>,
    attested: Arc<attested::Attested>,
    admitted: gates::Admitted,
    workers: Arc<Workers>,
    /// Whether attestations' signatures are looked at again that were good when they came.
    doubts: bool,
}

/// What was found about a claim.
#[derive(Clone, Debug)]
pub enum ClaimCheck {
    /// Listed, and signed by its recipient.
    Good(Box<ClaimVerdict>),
    /// Not payable, whatever State says.
    Refused(Code),
}

/// What a campaign says of its contracts and a round of its snapshot, copied out of State.
#[derive(Clone, Copy, Debug)]
struct Ground {
    distributor: ContractRef,
    token: Address,
    charter: Address,
    list_hash: B256,
    mode: RoundMode,
    /// Entitlements of the round.
    count: u64,
    private: bool,
}

impl Verifier {
    /// A verifier.
    pub fn new(
        follower: Follower,
        snapshots: Snapshots,
        store: Store,
        chains: Arc<BTreeMap<ChainId, sluice_chain::Chain>>,
        clock: Arc<DatabaseClock>,
    ) -> Self {
        let lookups = Arc::new(chains.keys().map(|id| (*id, Semaphore::new(LOOKUPS_MAX))).collect());
        let (door, signers, gates, attested, admitted, workers) = Default::default();
        let doubts = false;
        Self {
            follower,
            snapshots,
            store,
            chains,
            clock,
            lookups,
            door,
            signers,
            gates,
            attested,
            admitted,
            workers,
            doubts,
        }
    }

    /// The same as of a time, with the attestations there were then: who verifies again asks as it was asked first, and
    /// takes no node's word for a signature.
    pub(crate) fn as_of(&self, time: Millis, admitted: gates::Admitted) -> Self {
        Self { clock: Arc::new(DatabaseClock::new(time)), admitted, doubts: true, ..self.clone() }
    }

    /// What asking gates needs besides State, shared with the stage that takes attestations.
    pub(crate) fn gate_books(&self) -> (Arc<gates::Gates>, Arc<attested::Attested>) {
        (Arc::clone(&self.gates), Arc::clone(&self.attested))
    }

    /// Who computes.
    pub(crate) fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }

    /// Verifies an accepted demand. An error means that it could not be found out now: try again later, the demand
    /// stays where it is. What few demands need is boxed: thousands of these futures are under way, and each is as large as
    /// the largest thing that it may come to wait for.
    ///
    /// # Errors
    /// When a chain, the database or a snapshot cannot be reached.
    pub async fn verify(&self, row: &Accepted) -> Result<Input, EngineError> {
        match &row.demand {
            Demand::Claim(claim) => {
                let verdict = match self.check_claim(row.key.campaign, claim, LookUpFor::Decision).await? {
                    ClaimCheck::Good(verdict) => self.concerns(row, claim, *verdict).await?,
                    ClaimCheck::Refused(code) => Err(code.into()),
                };
                Ok(Input::Claim(VerifiedClaim {
                    key: row.key,
                    id: row.id,
                    accepted_at: row.accepted_at,
                    claim: claim.clone(),
                    body_hash: row.demand.body_hash(),
                    verdict,
                }))
            }
            Demand::Command(command) => Ok(Input::Command(VerifiedCommand {
                key: row.key,
                id: row.id,
                accepted_at: row.accepted_at,
                command: command.clone(),
                verdict: Box::pin(self.command(row.id, command, row.accepted_at)).await?,
            })),
            Demand::Gate(signed) => Ok(Input::Gate(VerifiedGate {
                key: row.key,
                id: row.id,
                signed: signed.clone(),
                body_hash: row.demand.body_hash(),
                verdict: Box::pin(self.gate_words(signed, LookUpFor::Decision)).await?,
            })),
        }
    }

    /// Whose entitlement a good claim is about, and what the gate of its round says.
    async fn concerns(
        &self,
        row: &Accepted,
        claim: &ClaimDemand,
        mut verdict: ClaimVerdict,
    ) -> Result<Result<ClaimVerdict, ClaimFault>, EngineError> {
        let Some(ground) = self.ground(row.key.campaign, claim.round) else {
            return Ok(Err(Code::UnknownRound.into()));
        };
        let person = self.snapshot(ground.list_hash).await?.person(claim.index);
        verdict.person = person.map(|person| PersonSeen {
            person,
            version: self.follower.read(|s| s.persons.get(&person).map_or(0, |p| p.version)),
        });
        if ground.mode != RoundMode::Gated {
            return Ok(Ok(verdict));
        }
        let asked = Box::pin(self.ask_gate(row.key.campaign, claim, verdict.person, row.accepted_at));
        Ok(asked.await?.map(|answer| {
            verdict.looked_at = answer.looked_at.or(verdict.looked_at);
            verdict.valid_until =
                answer.valid_until.map_or(verdict.valid_until, |at| at.min(verdict.valid_until));
            verdict.gate = Some(answer.verdict);
            verdict
        }))
    }

    /// Checks a claim for whoever handed it in: on a private list the signature first, so that neither the answer nor the wait
    /// for it tells somebody else what is listed.
    ///
    /// # Errors
    /// When the snapshot or, for contract wallets, the chain cannot be reached; [`EngineError::LookUpsFull`] where there is
    /// no room to ask it.
    pub async fn check_at_door(
        &self,
        campaign: CampaignId,
        claim: &ClaimDemand,
        by: Option<Crowd>,
    ) -> Result<ClaimCheck, EngineError> {
        self.workers.run(campaign, self.checked_at_door(campaign, claim, by)).await
    }

    async fn checked_at_door(
        &self,
        campaign: CampaignId,
        claim: &ClaimDemand,
        by: Option<Crowd>,
    ) -> Result<ClaimCheck, EngineError> {
        if let Some(ground) = self.ground(campaign, claim.round).filter(|ground| ground.private)
            && let Err(code) = self.signed_unseen(&ground, claim, by).await?
        {
            return Ok(ClaimCheck::Refused(code));
        }
        self.check_claim(campaign, claim, LookUpFor::Door(by)).await
    }

    /// Whether the recipient that a claim names signed it, whoever is listed.
    async fn signed_unseen(
        &self,
        ground: &Ground,
        claim: &ClaimDemand,
        by: Option<Crowd>,
    ) -> Result<Result<(), Code>, EngineError> {
        if let Err(code) = destination(claim, ground) {
            return Ok(Err(code));
        }
        if claim.signature.len() > SIGNATURE_BYTES_MAX {
            return Ok(Err(Code::BadSignature));
        }
        let digest = claim_digest(claim, ground.distributor);
        if self.signers.signer_of(digest, &claim.signature) == Some(claim.recipient) {
            return Ok(Ok(()));
        }
        let (good, _) = self.wallet_signed(LookUpFor::Door(by), Kind::PrivateClaim, ground, claim).await?;
        Ok(if good { Ok(()) } else { Err(Code::BadSignature) })
    }

    /// Checks a claim against the snapshot and its signature.
    ///
    /// # Errors
    /// When the snapshot or, for contract wallets, the chain cannot be reached.
    async fn check_claim(
        &self,
        campaign: CampaignId,
        claim: &ClaimDemand,
        asker: LookUpFor,
    ) -> Result<ClaimCheck, EngineError> {
        let Some(ground) = self.ground(campaign, claim.round) else {
            return Ok(ClaimCheck::Refused(Code::UnknownRound));
        };
        let snapshot = self.snapshot(ground.list_hash).await?;
        // The destination first: what is said of it must not depend on what a private list names.
        if let Err(code) = destination(claim, &ground).and_then(|()| listed(&snapshot, claim)) {
            return Ok(ClaimCheck::Refused(code));
        }
        if claim.signature.len() > SIGNATURE_BYTES_MAX {
            return Ok(ClaimCheck::Refused(Code::BadSignature));
        }
        let digest = claim_digest(claim, ground.distributor);
        if self.signers.signer_of(digest, &claim.signature) == Some(claim.recipient) {
            let valid_until = claim.deadline.saturating_mul(1_000);
            return Ok(ClaimCheck::Good(Box::new(ClaimVerdict {
                signed_by: SignedBy::Key,
                looked_at: None,
                valid_until,
                person: None,
                gate: None,
            })));
        }
        let (good, block) = self.wallet_signed(asker, Kind::Claim, &ground, claim).await?;
        if !good {
            return Ok(ClaimCheck::Refused(Code::BadSignature));
        }
        let valid_until = self.lookup_valid_until().min(claim.deadline.saturating_mul(1_000));
        Ok(ClaimCheck::Good(Box::new(ClaimVerdict {
            signed_by: SignedBy::Contract,
            looked_at: Some(block),
            valid_until,
            person: None,
            gate: None,
        })))
    }

    /// A round's snapshot. Mapping one for the first time checks its upper tree, so it is done off the async threads.
    async fn snapshot(&self, list_hash: B256) -> Result<Arc<Snapshot>, EngineError> {
        if let Some(open) = self.snapshots.opened(list_hash) {
            return Ok(open);
        }
        let snapshots = self.snapshots.clone();
        let mapping = tokio::task::spawn_blocking(move || snapshots.get(list_hash));
        mapping.await.map_err(|_| EngineError::Stopping)?
    }

    fn lookup_valid_until(&self) -> Millis {
        self.clock.now() + u64::try_from(LOOKUP_VALID.as_millis()).expect("minutes")
    }

    fn ground(&self, campaign: CampaignId, round: RoundNo) -> Option<Ground> {
        self.follower.read(|state| {
            let campaign = state.campaign(campaign)?;
            let terms = &campaign.round(round)?.terms;
            Some(Ground {
                distributor: campaign.terms.distributor,
                token: campaign.terms.token,
                charter: state.charters.get(&campaign.terms.distributor.chain_id)?.charter.address,
                list_hash: terms.list_hash,
                mode: terms.mode,
                count: terms.count,
                private: campaign.terms.visibility == Visibility::Private,
            })
        })
    }

    /// Asks a contract whether it signed (ERC-1271), also one that is not made yet and whose signature says how (ERC-6492).
    /// Any other account without code did not.
    async fn wallet_signed(
        &self,
        asker: LookUpFor,
        kind: Kind,
        ground: &Ground,
        claim: &ClaimDemand,
    ) -> Result<(bool, BlockRef), EngineError> {
        let digest = claim_digest(claim, ground.distributor);
        let ask = |chain: sluice_chain::Chain| async move {
            chain.wallet_signed(claim.recipient, digest, &claim.signature).await
        };
        self.look_up(asker, kind, ground.distributor.chain_id, ask).await
    }

    fn chain(&self, id: ChainId) -> Result<&sluice_chain::Chain, EngineError> {
        self.chains.get(&id).ok_or_else(|| not_configured(id))
    }
}

fn not_configured(id: ChainId) -> EngineError {
    EngineError::Config(format!("chain {id} is not configured here"))
}

/// Whether index, recipient and amount are what the snapshot says.
fn listed(snapshot: &Snapshot, claim: &ClaimDemand) -> Result<(), Code> {
    let entitlement = snapshot.entitlement(claim.index).ok_or(Code::NotListed)?;
    if entitlement.recipient == claim.recipient && entitlement.amount == claim.amount {
        return Ok(());
    }
    let known = !snapshot.find(claim.recipient).is_empty();
    Err(if known { Code::WrongEntitlement } else { Code::NotListed })
}

/// The contract refuses these, too: it asks the wallet itself about a redirection, which one that is not made yet cannot
/// answer, nor any wallet in the wrapping of ERC-6492.
fn destination(claim: &ClaimDemand, ground: &Ground) -> Result<(), Code> {
    let never = [Address::ZERO, ground.token, ground.distributor.address, ground.charter];
    let unborn = claim.is_redirected() && is_wrapped(&claim.signature);
    let bad = never.contains(&claim.to) || unborn;
    if bad { Err(Code::BadRedirect) } else { Ok(()) }
}
