//! What a gate's word rests on beside claims, looked at with own eyes: the round as its Distributor has it, the list under
//! its hash, and that the gate's key is nobody else's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use sluice_chain::signer::Account;
use sluice_chain::{At, Chain};
use sluice_core::command::{RoundMode, RoundTerms};
use sluice_core::ids::{CampaignId, ChainId, ContractRef, RoundNo};
use sluice_core::log::entry::ClaimDecided;
use sluice_core::state::State;

use crate::error::EngineError;
use crate::snapshots::{Snapshots, file_hash};

/// A round whose gate's key is ours, with the contract that pays it.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    pub(super) distributor: ContractRef,
    pub(super) terms: RoundTerms,
}

/// The round of a claim, if it pays only with this key's word.
pub(super) fn gated_by(state: &State, claim: &ClaimDecided, signer: &Bytes) -> Option<Gated> {
    let campaign = state.campaign(claim.intake.campaign)?;
    let terms = &campaign.round(claim.entitlement.round)?.terms;
    let gate = campaign.gates.get(&u16::try_from(terms.gate).ok()?)?;
    let ours = terms.mode == RoundMode::Gated && gate.terms.signer == *signer;
    ours.then(|| Gated { distributor: campaign.terms.distributor, terms: terms.clone() })
}

/// What was looked at, once each.
#[derive(Debug)]
pub(super) struct Grounds {
    snapshots: Snapshots,
    chains: Arc<BTreeMap<ChainId, Chain>>,
    rounds: HashMap<(CampaignId, RoundNo), Result<(), String>>,
    graces: HashMap<ContractRef, u64>,
}

impl Grounds {
    pub(super) fn new(snapshots: Snapshots, chains: Arc<BTreeMap<ChainId, Chain>>) -> Self {
        Self { snapshots, chains, rounds: HashMap::new(), graces: HashMap::new() }
    }

    /// Whether a round of the log is the round of its Distributor and its list is the list it names; if not, why not.
    ///
    /// # Errors
    /// When the chain does not answer or the list is not here yet: it is looked at again.
    pub(super) async fn check(&mut self, round: &Gated) -> Result<Result<(), String>, EngineError> {
        let key = (round.terms.campaign, round.terms.round);
        if let Some(known) = self.rounds.get(&key) {
            return Ok(known.clone());
        }
        let found = self.look(round).await?;
        self.rounds.insert(key, found.clone());
        Ok(found)
    }

    async fn look(&self, round: &Gated) -> Result<Result<(), String>, EngineError> {
        let terms = &round.terms;
        let chain = self.chain(round.distributor.chain_id)?;
        let found = chain.round(round.distributor.address, terms.round, At::Latest).await?;
        let Some(found) = found else {
            return Ok(Err(format!("the Distributor has no round {}", terms.round)));
        };
        let same = found.root == terms.root
            && found.list_hash == terms.list_hash
            && found.rules_hash == terms.rules_hash
            && found.count == terms.count
            && found.mode == terms.mode
            && found.gate == terms.gate;
        if !same {
            return Ok(Err(format!("round {} is another round in the Distributor", terms.round)));
        }
        self.check_list(terms.list_hash, terms.root).await?;
        Ok(Ok(()))
    }

    /// The list under its name, byte for byte.
    async fn check_list(&self, name: B256, root: B256) -> Result<(), EngineError> {
        let snapshots = self.snapshots.clone();
        let path = snapshots.path(name);
        let shown = path.display().to_string();
        let looked = tokio::task::spawn_blocking(move || {
            let hash = file_hash(&path).map_err(|error| {
                EngineError::Config(format!("snapshots: {} cannot be read: {error}", path.display()))
            })?;
            Ok::<_, EngineError>((hash, snapshots.get(name)?.root()))
        });
        let (hash, own_root) = looked.await.map_err(|_| EngineError::Stopping)??;
        if hash != name || own_root != root {
            return Err(EngineError::Config(format!(
                "snapshots: {shown} is not the list it is named after; put the published file there"
            )));
        }
        Ok(())
    }

    /// Seconds between a round's closing and its sweep; `None` where the campaign's chain is not configured here.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub(super) async fn grace(&mut self, distributor: ContractRef) -> Result<Option<u64>, EngineError> {
        if let Some(grace) = self.graces.get(&distributor) {
            return Ok(Some(*grace));
        }
        let Some(chain) = self.chains.get(&distributor.chain_id) else { return Ok(None) };
        let grace = chain.distributor_terms(distributor.address).await?.grace;
        self.graces.insert(distributor, grace);
        Ok(Some(grace))
    }

    fn chain(&self, id: ChainId) -> Result<&Chain, EngineError> {
        self.chains.get(&id).ok_or_else(|| EngineError::Config(format!("chain {id} is not configured here")))
    }
}

/// A key that settles or takes epochs is no gate's: one stolen key would then pay whom it likes.
///
/// # Errors
/// [`EngineError::Config`] naming the field, or when the Charter cannot be read.
pub(super) async fn not_a_sequencer(
    id: ChainId,
    chain: &Chain,
    charter: Address,
    key: &Account,
) -> Result<(), EngineError> {
    let constitution = chain.constitution(charter, At::Latest).await?;
    let mut keys = constitution.sequencers.iter().flat_map(|s| s.lanes.iter().copied().chain([s.control]));
    if keys.any(|known| known == key.address()) {
        return Err(EngineError::Config(format!(
            "gate_signer.key: {} is a sequencer's key in the Charter on chain {id}; a gate needs one of its own",
            key.address()
        )));
    }
    Ok(())
}
