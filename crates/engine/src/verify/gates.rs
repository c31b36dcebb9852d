//! A claim before the gate of its round: its attestations are found and judged, then every rule set of the gate is asked.
//! What the answer rested on goes along, so that the decision compares it with State at its position.

mod asked;
mod found;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::command::ClaimDemand;
use sluice_core::decide::{ClaimFault, GateVerdict, PersonSeen};
use sluice_core::ids::{BlockRef, CampaignId, Millis, Seq};
use sluice_core::limits::CLAIM_FACTS_BYTES_MAX;
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_gate::attestation::{ForClaim, Passed, Verdict, check};
use sluice_gate::rules::{ClaimFacts, Compiled, RefusedClaim, Verdict as Said, evaluate};
use sluice_store::{AboutWhom, Store};
use tokio::task::JoinSet;

use super::Verifier;
use super::attested::{Answered, Asker};
use crate::error::EngineError;
use crate::facts::salted;
use crate::follower::Follower;
use crate::recent::Held;

pub(crate) use asked::{Asked, Gates, schema_key};
use found::Found;

/// Claims whose attestations one statement reads: at most 32 bodies of 64 KiB each, so 128 MiB if all are as large as can be.
const ASKED_TOGETHER: usize = 64;

/// Which attestations are looked at.
#[derive(Clone, Debug, Default)]
pub(crate) enum Admitted {
    /// All that are kept here.
    #[default]
    All,
    /// Those that were kept here by then.
    Until(Millis),
    /// These, whatever else is kept.
    Named(Arc<[B256]>),
}

/// What a gate said, until when, and the block that look-ups saw.
pub(super) struct Answer {
    pub(super) verdict: GateVerdict,
    pub(super) valid_until: Option<Millis>,
    pub(super) looked_at: Option<BlockRef>,
}

/// What State says of a gate and of whom the claim concerns.
struct Known {
    asked: Arc<Asked>,
    /// Of each lineage the rule set in force, by name and bytes.
    rule_sets: Vec<(B256, Bytes)>,
    /// The addresses that a registrar bound to the person.
    addresses: Vec<Address>,
    decimals: u8,
    /// The position State was read at.
    as_of: Seq,
}

impl Known {
    fn verdict(&self, policies: Vec<String>, attestations: Vec<B256>, facts: Bytes) -> GateVerdict {
        GateVerdict {
            gate: self.asked.version(),
            rule_sets: self.rule_sets.iter().map(|(name, _)| *name).collect(),
            policies,
            attestations,
            as_of: self.as_of,
            facts,
        }
    }
}

/// What an attestation came to, with what was looked up; or why it does not count.
type Judged = Result<(Passed, Answered), sluice_gate::attestation::Refused>;

impl Verifier {
    /// Asks the gate of a round about a claim that is listed and signed.
    pub(super) async fn ask_gate(
        &self,
        campaign: CampaignId,
        claim: &ClaimDemand,
        seen: Option<PersonSeen>,
        accepted_at: Millis,
    ) -> Result<Result<Answer, ClaimFault>, EngineError> {
        let person = seen.map(|seen| seen.person);
        let known = match self.follower.read(|state| known(state, &self.gates, campaign, claim.round, person))
        {
            Ok(known) => known,
            Err(code) => return Ok(Err(code.into())),
        };
        if known.rule_sets.iter().any(|(name, _)| name.is_zero()) {
            let gate = Some(known.verdict(Vec::new(), Vec::new(), Bytes::new()));
            return Ok(Err(ClaimFault { code: Code::RulesNotInForce, gate, person: seen }));
        }
        let found = self.attestations_for(&known, claim.recipient, person).await?;
        let compiled: Result<Vec<Arc<Compiled>>, _> = known
            .rule_sets
            .iter()
            .map(|(name, bytes)| self.gates.rules.load(&sluice_gate::rules::Hash(name.0), bytes))
            .collect();
        // What is in force was compiled before it was decided; bytes that do not compile are a defect, and permit nothing.
        let Ok(compiled) = compiled else { return Ok(Err(Code::PolicyError.into())) };
        let (attestations, answer) = (found.facts, (found.valid_until, found.looked_at));
        let facts = ClaimFacts {
            campaign,
            round: claim.round,
            index: claim.index,
            recipient: claim.recipient,
            to: claim.to,
            amount: claim.amount,
            decimals: known.decimals,
            person,
            accepted_at,
            attestations,
        };
        let refused = |code, verdict| Ok(Err(ClaimFault { code, gate: Some(verdict), person: seen }));
        let bytes = match bounded(&facts) {
            Ok(bytes) => bytes,
            Err(code) => return refused(code, known.verdict(Vec::new(), found.ids, Bytes::new())),
        };
        let rules: Vec<&Compiled> = compiled.iter().map(Arc::as_ref).collect();
        let said = evaluate(&rules, &facts);
        let policies = said.policies();
        let Some(code) = code_of(&said, found.refused) else {
            let verdict = known.verdict(policies, found.ids, salted(&bytes));
            let (valid_until, looked_at) = answer;
            return Ok(Ok(Answer { verdict, valid_until, looked_at }));
        };
        let Some(refusal) = said.refusal else { return Ok(Err(Code::PolicyError.into())) };
        let kept = RefusedClaim::new(facts, policies.clone(), found.ids.clone(), refusal);
        refused(code, known.verdict(policies, found.ids, salted(&kept.encode())))
    }

    /// The newest attestation that passes, for each name the gate gives.
    async fn attestations_for(
        &self,
        known: &Known,
        recipient: Address,
        person: Option<B256>,
    ) -> Result<Found, EngineError> {
        let asked = &*known.asked;
        let mut subjects: Vec<Vec<u8>> = vec![recipient.to_vec()];
        subjects.extend(known.addresses.iter().map(|address| address.to_vec()));
        subjects.extend(person.map(|person| person.to_vec()));
        let kept = match asked.schemas.is_empty() {
            true => Vec::new(),
            false => self.kept_about(subjects, asked.schemas.clone()).await?,
        };
        // All at once, so that what has to be looked up about them goes into one request.
        let judged = kept.iter().map(|held| self.judge(held, known, recipient, person));
        let mut found = Found::default();
        for (held, judged) in kept.iter().zip(futures::future::try_join_all(judged).await?) {
            match judged {
                Ok((passed, answered)) => {
                    found.take(asked, held.id, &held.attestation, passed, &answered);
                }
                Err(_) => found.refused = true,
            }
        }
        Ok(found)
    }

    /// Attestations kept that are admitted here, asked for together with everybody else's.
    async fn kept_about(
        &self,
        subjects: Vec<Vec<u8>>,
        schemas: Vec<[u8; 32]>,
    ) -> Result<Vec<Arc<Held>>, EngineError> {
        let until = match &self.admitted {
            Admitted::All => None,
            Admitted::Until(time) => Some(*time),
            Admitted::Named(ids) => {
                let ids: Vec<[u8; 32]> = ids.iter().map(|id| id.0).collect();
                let whom = AboutWhom { subjects, schemas, until: None };
                let rows = self.store.attestations_named(&ids, &whom).await?;
                return Ok(rows.iter().filter_map(Held::read).map(Arc::new).collect());
            }
        };
        let (store, follower) = (self.store.clone(), self.follower.clone());
        let request = move |asked: Vec<AboutWhom>| {
            let (store, follower) = (store.clone(), follower.clone());
            async move { one_by_one_at_worst(&store, &follower, asked).await }
        };
        let whom = AboutWhom { subjects, schemas, until };
        Ok(self.gates.kept.ask(whom, ASKED_TOGETHER, request).await??)
    }

    /// Judges an attestation for a claim, looking up what is missing. The word of the node that sealed it is taken for a
    /// key's signature; a contract's is asked about again with its registry.
    async fn judge(
        &self,
        held: &Held,
        known: &Known,
        recipient: Address,
        person: Option<B256>,
    ) -> Result<Judged, EngineError> {
        let claim = ForClaim {
            recipient,
            person,
            addresses: &known.addresses,
            now: self.clock.now() / 1_000,
            revoked: self.follower.read(|state| state.revoked.contains_key(&held.id)),
        };
        let id = held.as_signed;
        let mut answered = self.attested.known(id, self.clock.now());
        if held.signed_by_key && !self.doubts {
            answered.trust_signature();
        }
        loop {
            match check(&held.attestation, known.asked.allowed(), Some(&claim), &answered.answers) {
                Err(refused) => return Ok(Err(refused)),
                Ok(Verdict::Passed(passed)) => return Ok(Ok((passed, answered))),
                Ok(Verdict::Needs(needs, passed)) => {
                    answered = self
                        .attested
                        .look_up(Asker::Claim, &self.chains, id, &needs, self.clock.now())
                        .await?;
                    if answered.answers.are_good_for(&needs) {
                        return Ok(Ok((passed, answered)));
                    }
                }
            }
        }
    }
}

/// Asks for a group, and where that fails for each of its members alone: one that cannot be answered stops no other.
async fn one_by_one_at_worst(
    store: &Store,
    follower: &Follower,
    asked: Vec<AboutWhom>,
) -> Result<Vec<Result<Vec<Arc<Held>>, sluice_store::Error>>, EngineError> {
    let error = match kept_about(store, follower, &asked).await {
        Ok(found) => return Ok(found.into_iter().map(Ok).collect()),
        Err(error) if asked.len() == 1 => return Err(error.into()),
        Err(error) => error,
    };
    tracing::warn!(%error, claims = asked.len(), "attestations of many claims are asked for one by one");
    let mut alone = JoinSet::new();
    for (place, whom) in asked.iter().cloned().enumerate() {
        let (store, follower) = (store.clone(), follower.clone());
        alone.spawn(async move { (place, kept_about(&store, &follower, &[whom]).await) });
    }
    let mut found: Vec<_> = asked.iter().map(|_| Ok(Vec::new())).collect();
    while let Some(done) = alone.join_next().await {
        let (place, answer) = done.map_err(|_| EngineError::Stopping)?;
        found[place] = answer.map(|mut answers| answers.pop().unwrap_or_default());
    }
    Ok(found)
}

/// For each of these what is kept, newest first: its ids as the database has them now, and what they name from what came
/// lately or else from there.
async fn kept_about(
    store: &Store,
    follower: &Follower,
    asked: &[AboutWhom],
) -> Result<Vec<Vec<Arc<Held>>>, sluice_store::Error> {
    let ids = store.attestations_about(asked).await?;
    let mut held = follower.recent().of(ids.iter().flatten());
    let missing: Vec<[u8; 32]> =
        ids.iter().flatten().filter(|id| !held.contains_key(<&B256>::from(*id))).copied().collect();
    if !missing.is_empty() {
        let rows = store.attestations(&missing).await?;
        held.extend(rows.iter().filter_map(Held::read).map(|read| (read.id, Arc::new(read))));
    }
    let of = |ids: &Vec<[u8; 32]>| ids.iter().filter_map(|id| held.get(<&B256>::from(id)).cloned()).collect();
    Ok(ids.iter().map(of).collect())
}

/// The facts' canonical bytes, if they can be kept with whatever a refusal adds.
fn bounded(facts: &ClaimFacts) -> Result<Vec<u8>, Code> {
    let bytes = facts.encode();
    if bytes.len() > CLAIM_FACTS_BYTES_MAX { Err(Code::FactsTooLarge) } else { Ok(bytes) }
}

/// The public code of a refusal; `None` where the rules permit. `refused`: whether an attestation was there and did not
/// count, which says more than that one is missing.
fn code_of(said: &Said, refused: bool) -> Option<Code> {
    let refusal = said.refusal.as_ref()?;
    Some(match (refusal.told.code.as_str(), refused) {
        ("under_review", _) => Code::UnderReview,
        ("policy_error", _) => Code::PolicyError,
        ("attestation_missing", true) => Code::AttestationRefused,
        ("attestation_missing", false) => Code::AttestationMissing,
        _ => Code::RuleRefused,
    })
}

fn known(
    state: &State,
    gates: &Gates,
    campaign: CampaignId,
    round: u64,
    person: Option<B256>,
) -> Result<Known, Code> {
    let campaign = state.campaign(campaign).ok_or(Code::UnknownCampaign)?;
    let round = campaign.round(round).ok_or(Code::UnknownRound)?;
    let version = u16::try_from(round.terms.gate).map_err(|_| Code::UnknownGate)?;
    let gate = campaign.gates.get(&version).ok_or(Code::UnknownGate)?;
    let mut rule_sets = Vec::with_capacity(gate.terms.rule_sets.len());
    for lineage in &gate.terms.rule_sets {
        let name = state.rules_in_force(*lineage).unwrap_or_default();
        let text = state.rule_sets.get(&name).map_or(Bytes::new(), |set| set.terms.text.clone());
        rule_sets.push((name, text));
    }
    let bound = person.and_then(|person| state.persons.get(&person));
    let addresses = bound.map_or(Vec::new(), |p| p.vouched.iter().copied().collect());
    Ok(Known {
        asked: gates.asked(&gate.terms).ok_or(Code::UnknownGate)?,
        rule_sets,
        addresses,
        decimals: campaign.terms.decimals,
        as_of: state.seq,
    })
}
