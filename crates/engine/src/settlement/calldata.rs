//! A planned batch as a call of the Distributor, with words and proofs from the snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use sluice_chain::actions::gate_digest;
use sluice_chain::calls::{self, BatchHead, Chunk, GateContent, GateWord, GatedChunk, Range, RedirectItem};
use sluice_core::amount::Total;
use sluice_core::command::ClaimDemand;
use sluice_core::entitlement::Word;
use sluice_core::ids::{CampaignId, ContractRef, EntitlementId, RoundNo, Seq};
use sluice_core::log::entry::{BatchForm, BatchPlanned, Body, Entry, Redirect, WordMask};
use sluice_core::signing::{address_signer, claim_digest};
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;
use sluice_core::state::rules::Approved;
use sluice_snapshot::Snapshot;
use sluice_store::Store;

use crate::error::EngineError;
use crate::follower::Follower;
use crate::recover::as_contracts_take_it;
use crate::snapshots::Snapshots;

/// A call to be simulated and signed.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) to: Address,
    pub(super) data: Bytes,
}

/// The snapshots that a batch's content lies in, by round, and what gates approved of its words: copied out of State, so
/// that nothing holds it while the snapshots' pages come from the disk.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    campaign: CampaignId,
    hashes: BTreeMap<RoundNo, Hashes>,
    /// Only words of GATED rounds have any. The newest of each: a gate's word only grows, so it covers what was planned
    /// under an earlier one.
    approved: BTreeMap<(RoundNo, u64), Approved>,
    distributor: Option<ContractRef>,
    /// The keys of the campaign's gates.
    gates: BTreeMap<u16, Bytes>,
}

/// What names a round's list, and the rules that its gate signs under.
#[derive(Clone, Copy, Debug)]
struct Hashes {
    list: B256,
    rules: B256,
}

impl Lists {
    pub(super) fn of(state: &State, campaign: CampaignId, words: &[WordMask]) -> Self {
        let hashes = |round: RoundNo| {
            let terms = &state.campaign(campaign)?.round(round)?.terms;
            Some((round, Hashes { list: terms.list_hash, rules: terms.rules_hash }))
        };
        let approved = |word: &WordMask| {
            let at = (word.round, word.word);
            Some((at, state.campaign(campaign)?.approved.get(&at)?.clone()))
        };
        Self {
            campaign,
            hashes: words.iter().filter_map(|word| hashes(word.round)).collect(),
            approved: words.iter().filter_map(approved).collect(),
            distributor: state.campaign(campaign).map(|known| known.terms.distributor),
            gates: state.campaign(campaign).map(gate_keys).unwrap_or_default(),
        }
    }

    /// The gate's word under which these are paid.
    fn gate_word(&self, wanted: &WordMask) -> Result<GateWord, EngineError> {
        let approved = self.approved.get(&(wanted.round, wanted.word));
        let covers = |a: &&Approved| wanted.mask.iter().zip(a.mask).all(|(wanted, mask)| wanted & !mask == 0);
        approved.filter(covers).map(|a| self.signed(wanted.round, wanted.word, a)).ok_or_else(|| {
            EngineError::Incident(format!(
                "a batch of campaign {} names what no gate approved in word {} of round {}",
                self.campaign, wanted.word, wanted.round
            ))
        })
    }

    /// Every gate's word that covers something of the batch.
    fn gate_words(&self) -> Vec<GateWord> {
        self.approved.iter().map(|((round, word), approved)| self.signed(*round, *word, approved)).collect()
    }

    /// A gate's word with its signature in the form that the Distributor takes: in another, one word would make every call
    /// of the campaign fail that it stands in.
    fn signed(&self, round: RoundNo, word: u64, approved: &Approved) -> GateWord {
        let mask = WordMask { round, word, mask: approved.mask };
        let content = GateContent { mask, as_of_seq: approved.as_of, expiry: approved.expiry };
        let signature = self.as_taken(approved, &content).unwrap_or_else(|| approved.signature.clone());
        GateWord { content, signature }
    }

    fn as_taken(&self, approved: &Approved, content: &GateContent) -> Option<Bytes> {
        let key = address_signer(self.gates.get(&approved.gate)?)?;
        let rules = self.hashes.get(&content.mask.round)?.rules;
        let digest = gate_digest(self.distributor?, approved.gate.into(), rules, content).ok()?;
        Some(as_contracts_take_it(digest, &approved.signature, key))
    }

    /// The same of a claim's signature.
    fn claim_signature(&self, id: EntitlementId, word: &Word, redirect: &Redirect) -> Bytes {
        let Some(distributor) = self.distributor else { return redirect.signature.clone() };
        let demand = ClaimDemand {
            round: id.round,
            index: id.index,
            recipient: word.recipient(),
            to: redirect.to,
            amount: word.amount(),
            deadline: redirect.deadline,
            signature: Bytes::new(),
        };
        as_contracts_take_it(claim_digest(&demand, distributor), &redirect.signature, demand.recipient)
    }

    fn snapshot(&self, snapshots: &Snapshots, round: RoundNo) -> Result<Arc<Snapshot>, EngineError> {
        snapshots.get(self.hashes(round)?.list)
    }

    fn hashes(&self, round: RoundNo) -> Result<Hashes, EngineError> {
        self.hashes.get(&round).copied().ok_or_else(|| {
            EngineError::Incident(format!(
                "campaign {} has no round {round}, and a batch of it",
                self.campaign
            ))
        })
    }

    /// The sum of these entitlements.
    pub(super) fn total(&self, snapshots: &Snapshots, words: &[WordMask]) -> Result<Total, EngineError> {
        sum(words, |round| self.snapshot(snapshots, round))
    }
}

fn gate_keys(campaign: &Campaign) -> BTreeMap<u16, Bytes> {
    campaign.gates.iter().map(|(version, gate)| (*version, gate.terms.signer.clone())).collect()
}

/// The sum of these entitlements.
pub(crate) fn total(
    state: &State,
    snapshots: &Snapshots,
    campaign: CampaignId,
    words: &[WordMask],
) -> Result<Total, EngineError> {
    sum(words, |round| snapshots.of(state, campaign, round))
}

fn sum(
    words: &[WordMask],
    snapshot: impl Fn(RoundNo) -> Result<Arc<Snapshot>, EngineError>,
) -> Result<Total, EngineError> {
    let mut total = Total::ZERO;
    for word in words {
        let sum = snapshot(word.round)?.sum_mask(word.word, U256::from_limbs(word.mask));
        let more = total.checked_add_total(sum);
        total = more.ok_or_else(|| EngineError::Incident("a batch's sum overflows".into()))?;
    }
    Ok(total)
}

/// The signed destinations of a redirected batch, from the entries that decided them.
pub(super) async fn redirects(
    store: &Store,
    follower: &Follower,
    plan: &BatchPlanned,
) -> Result<BTreeMap<EntitlementId, Redirect>, EngineError> {
    let BatchForm::Redirected { claims } = &plan.form else { return Ok(BTreeMap::new()) };
    let stream = follower.read(|s| s.stream);
    let mut found = BTreeMap::new();
    for (id, seq) in claims {
        let row = store.read_log(stream, seq - 1, 1).await?.pop();
        let entry = row.map(|row| Entry::decode(&row.entry)).transpose()?;
        match entry.map(|e| e.body) {
            Some(Body::ClaimDecided(claim)) if claim.entitlement == *id => {
                found.extend(claim.redirect.map(|redirect| (*id, redirect)));
            }
            _ => return Err(missing(*seq)),
        }
    }
    Ok(found)
}

fn missing(seq: Seq) -> EngineError {
    EngineError::Incident(format!("entry {seq} is not the decision that a batch names"))
}

/// The calldata of a batch.
pub(super) fn encode(
    lists: &Lists,
    snapshots: &Snapshots,
    plan: &BatchPlanned,
    redirects: &BTreeMap<EntitlementId, Redirect>,
    head: BatchHead,
) -> Result<Bytes, EngineError> {
    match &plan.form {
        BatchForm::Dense { round, start, levels } => {
            let snapshot = lists.snapshot(snapshots, *round)?;
            let proof = snapshot.dense(*start, *levels)?;
            let (words, path) = (&proof.words, &proof.path);
            let range = Range { round: *round, start: *start, levels: *levels, words, path };
            Ok(calls::settle(head, range))
        }
        BatchForm::Sparse => {
            let chunks = plan.words.iter().map(|word| chunk(lists, snapshots, word));
            Ok(calls::settle_sparse(head, &chunks.collect::<Result<Vec<_>, EngineError>>()?))
        }
        BatchForm::Gated => {
            let chunks = plan.words.iter().map(|word| gated_chunk(lists, snapshots, word));
            Ok(calls::settle_gated(head, &chunks.collect::<Result<Vec<_>, EngineError>>()?))
        }
        BatchForm::Redirected { claims } => {
            let items = claims.iter().map(|(id, seq)| {
                let snapshot = lists.snapshot(snapshots, id.round)?;
                let proof = snapshot.proof(id.index)?;
                let redirect = redirects.get(id).ok_or_else(|| missing(*seq))?;
                Ok(RedirectItem {
                    entitlement: *id,
                    to: redirect.to,
                    deadline: redirect.deadline,
                    signature: lists.claim_signature(*id, &proof.bucket[(id.index % 4) as usize], redirect),
                    bucket: proof.bucket,
                    proof: proof.path,
                })
            });
            let items = items.collect::<Result<Vec<_>, EngineError>>()?;
            Ok(calls::settle_to_gated(head, &items, &lists.gate_words()))
        }
    }
}

fn gated_chunk(lists: &Lists, snapshots: &Snapshots, word: &WordMask) -> Result<GatedChunk, EngineError> {
    Ok(GatedChunk {
        chunk: chunk(lists, snapshots, word)?,
        gate: lists.gate_word(word)?,
        rules_hash: lists.hashes(word.round)?.rules,
    })
}

fn chunk(lists: &Lists, snapshots: &Snapshots, word: &WordMask) -> Result<Chunk, EngineError> {
    let snapshot = lists.snapshot(snapshots, word.round)?;
    let sparse = snapshot.sparse(word.word, U256::from_limbs(word.mask))?;
    Ok(Chunk { mask: *word, words: sparse.words, proof: sparse.path })
}
