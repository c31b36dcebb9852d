//! A claim before the gate of its round: its attestations are found and judged, then every rule set of the gate is asked.
//! What the answer rested on goes along, so that the decision compares it with State at its position.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, Bytes};
use sha2::{Digest, Sha256};
use sluice_core::command::{ClaimDemand, GateTerms};
use sluice_core::decide::{ClaimFault, GateVerdict, PersonSeen};
use sluice_core::ids::{BlockRef, CampaignId, Millis, Seq};
use sluice_core::limits::CLAIM_FACTS_BYTES_MAX;
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_gate::attestation::{
    Accepts, AllowList, Attestation, ForClaim, Passed, Value as Stated, Verdict, check,
};
use sluice_gate::rules::{
    AttestationFacts, ClaimFacts, Compiled, RefusedClaim, Rulebook, Value, Verdict as Said, evaluate,
};
use sluice_store::{AboutWhom, Store, StoredAttestation};
use tokio::task::JoinSet;

use super::Verifier;
use super::attested::{Answered, AsSigned, Asker};
use super::mandates::Mandates;
use crate::error::EngineError;
use crate::facts::salted;
use crate::together::Together;

/// Gates kept ready to be asked; a stream has fewer.
const GATES_KEPT_MAX: usize = 1_024;

/// Claims whose attestations one statement reads: at most 32 bodies of 64 KiB each, so 128 MiB if all are as large as can be.
const ASKED_TOGETHER: usize = 64;

/// What asking gates needs besides State: compiled rule sets, mandates and allow-lists, by hash.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    pub(super) rules: Rulebook,
    pub(super) mandates: Mandates,
    asked: Mutex<HashMap<B256, Arc<Asked>>>,
    kept: Together<AboutWhom, Result<Vec<StoredAttestation>, sluice_store::Error>>,
}

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

/// A gate's allow-list, ready to judge by.
#[derive(Debug)]
pub(crate) struct Asked {
    allowed: AllowList,
    /// The name under which rules see what an entry of the list accepts.
    names: Vec<String>,
    /// SHA-256 of each schema's text, as attestations are found by.
    schemas: Vec<[u8; 32]>,
}

/// What a gate said, until when, and the block that look-ups saw.
pub(super) struct Answer {
    pub(super) verdict: GateVerdict,
    pub(super) valid_until: Option<Millis>,
    pub(super) looked_at: Option<BlockRef>,
}

/// What State says of a gate and of whom the claim concerns.
struct Known {
    terms: GateTerms,
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
            gate: self.terms.version,
            rule_sets: self.rule_sets.iter().map(|(name, _)| *name).collect(),
            policies,
            attestations,
            as_of: self.as_of,
            facts,
        }
    }
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
        Some(Self { allowed: AllowList::new(entries).ok()?, names, schemas })
    }

    pub(crate) fn allowed(&self) -> &AllowList {
        &self.allowed
    }
}

/// What attestations are found by: SHA-256 of their schema's text.
pub(crate) fn schema_key(schema: &str) -> [u8; 32] {
    Sha256::digest(schema.as_bytes()).into()
}

impl Gates {
    /// A gate ready to be asked; `None` for one whose list cannot be read, which no definition that was decided has.
    pub(crate) fn asked(&self, terms: &GateTerms) -> Option<Arc<Asked>> {
        let hash = terms.hash();
        let mut asked = self.asked.lock().expect("no panic inside");
        if let Some(known) = asked.get(&hash) {
            return Some(Arc::clone(known));
        }
        let new = Arc::new(Asked::new(terms)?);
        if asked.len() >= GATES_KEPT_MAX {
            asked.clear();
        }
        asked.insert(hash, Arc::clone(&new));
        Some(new)
    }
}

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
        let known = match self.follower.read(|state| known(state, campaign, claim.round, person)) {
            Ok(known) => known,
            Err(code) => return Ok(Err(code.into())),
        };
        let Some(asked) = self.gates.asked(&known.terms) else { return Ok(Err(Code::UnknownGate.into())) };
        if known.rule_sets.iter().any(|(name, _)| name.is_zero()) {
            let gate = Some(known.verdict(Vec::new(), Vec::new(), Bytes::new()));
            return Ok(Err(ClaimFault { code: Code::RulesNotInForce, gate, person: seen }));
        }
        let found = self.attestations_for(&asked, &known, claim.recipient, person).await?;
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
        asked: &Asked,
        known: &Known,
        recipient: Address,
        person: Option<B256>,
    ) -> Result<Found, EngineError> {
        let mut subjects: Vec<Vec<u8>> = vec![recipient.to_vec()];
        subjects.extend(known.addresses.iter().map(|address| address.to_vec()));
        subjects.extend(person.map(|person| person.to_vec()));
        let rows = match asked.schemas.is_empty() {
            true => Vec::new(),
            false => self.kept_about(subjects, asked.schemas.clone()).await?,
        };
        let mut found = Found::default();
        for row in rows {
            let id = B256::from(row.id);
            // What cannot be read was not written by this program.
            let Ok(attestation) = Attestation::decode(&row.body) else { continue };
            let claim = ForClaim {
                recipient,
                person,
                addresses: &known.addresses,
                now: self.clock.now() / 1_000,
                revoked: self.follower.read(|state| state.revoked.contains_key(&id)),
            };
            let trusted = row.signed_by_key && !self.doubts;
            match self.judge(&asked.allowed, (id, &attestation), trusted, &claim).await? {
                Ok((passed, answered)) => found.take(asked, id, &attestation, passed, &answered),
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
    ) -> Result<Vec<StoredAttestation>, EngineError> {
        let until = match &self.admitted {
            Admitted::All => None,
            Admitted::Until(time) => Some(*time),
            Admitted::Named(ids) => {
                let ids: Vec<[u8; 32]> = ids.iter().map(|id| id.0).collect();
                let whom = AboutWhom { subjects, schemas, until: None };
                return Ok(self.store.attestations_named(&ids, &whom).await?);
            }
        };
        let store = self.store.clone();
        let request = move |asked: Vec<AboutWhom>| {
            let store = store.clone();
            async move { one_by_one_at_worst(&store, asked).await }
        };
        let whom = AboutWhom { subjects, schemas, until };
        Ok(self.gates.kept.ask(whom, ASKED_TOGETHER, request).await??)
    }

    /// Judges an attestation for a claim, looking up what is missing. `trusted`: its signature is a key's, and was found
    /// good by the node that sealed it; a contract's is asked about again with its registry.
    async fn judge(
        &self,
        allowed: &AllowList,
        (id, attestation): (B256, &Attestation),
        trusted: bool,
        claim: &ForClaim<'_>,
    ) -> Result<Result<(Passed, Answered), sluice_gate::attestation::Refused>, EngineError> {
        let id = AsSigned::of(id, attestation);
        let mut answered = self.attested.known(id, self.clock.now());
        if trusted {
            answered.trust_signature();
        }
        loop {
            match check(attestation, allowed, Some(claim), &answered.answers) {
                Err(refused) => return Ok(Err(refused)),
                Ok(Verdict::Passed(passed)) => return Ok(Ok((passed, answered))),
                Ok(Verdict::Needs(needs)) => {
                    answered = self
                        .attested
                        .look_up(Asker::Claim, &self.chains, id, &needs, self.clock.now())
                        .await?;
                }
            }
        }
    }
}

/// Asks for a group, and where that fails for each of its members alone: one that cannot be answered stops no other.
async fn one_by_one_at_worst(
    store: &Store,
    asked: Vec<AboutWhom>,
) -> Result<Vec<Result<Vec<StoredAttestation>, sluice_store::Error>>, EngineError> {
    let error = match store.attestations_about(&asked).await {
        Ok(found) => return Ok(found),
        Err(error) if asked.len() == 1 => return Err(error.into()),
        Err(error) => error,
    };
    tracing::warn!(%error, claims = asked.len(), "attestations of many claims are asked for one by one");
    let mut alone = JoinSet::new();
    for (place, whom) in asked.iter().cloned().enumerate() {
        let store = store.clone();
        alone.spawn(async move { (place, store.attestations_about(&[whom]).await) });
    }
    let mut found: Vec<_> = asked.iter().map(|_| Ok(Vec::new())).collect();
    while let Some(done) = alone.join_next().await {
        let (place, answer) = done.map_err(|_| EngineError::Stopping)?;
        found[place] = answer.and_then(|mut answers| answers.pop().unwrap_or_else(|| Ok(Vec::new())));
    }
    Ok(found)
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

/// Attestations that passed.
#[derive(Default)]
struct Found {
    facts: BTreeMap<String, AttestationFacts>,
    ids: Vec<B256>,
    valid_until: Option<Millis>,
    looked_at: Option<BlockRef>,
    /// Whether one was found that did not count.
    refused: bool,
}

impl Found {
    fn take(
        &mut self,
        asked: &Asked,
        id: B256,
        attestation: &Attestation,
        passed: Passed,
        answered: &Answered,
    ) {
        let Some(name) = asked.names.get(passed.entry) else { return };
        if self.facts.contains_key(name) {
            return;
        }
        let data = passed.values.into_iter().map(|(field, value)| (field, in_rules(value))).collect();
        let facts = AttestationFacts {
            schema: attestation.schema(),
            issuer: format!("0x{}", alloy_primitives::hex::encode(attestation.issuer)),
            data,
        };
        self.facts.insert(name.clone(), facts);
        self.ids.push(id);
        let until = [passed.valid_until.map(|at| at.saturating_mul(1_000)), answered.valid_until];
        self.valid_until = until.into_iter().chain([self.valid_until]).flatten().min();
        self.looked_at = answered.looked_at.or(self.looked_at);
    }
}

/// An attestation's value as rules see it. Numbers beyond what rules hold come as text, which fits no number's type.
fn in_rules(value: Stated) -> Value {
    match value {
        Stated::Bool(value) => Value::Bool(value),
        Stated::Uint(value) => {
            i128::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer)
        }
        Stated::Int(value) => {
            i128::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer)
        }
        Stated::Address(address) => Value::Text(format!("0x{}", alloy_primitives::hex::encode(address))),
        Stated::Bytes(bytes) => Value::Text(format!("0x{}", alloy_primitives::hex::encode(bytes))),
        Stated::Text(text) => Value::Text(text),
        Stated::List(values) => Value::Texts(
            values
                .into_iter()
                .map(|value| match in_rules(value) {
                    Value::Text(text) => text,
                    Value::Bool(value) => value.to_string(),
                    Value::Integer(value) => value.to_string(),
                    other => format!("{other:?}"),
                })
                .collect(),
        ),
    }
}

fn known(state: &State, campaign: CampaignId, round: u64, person: Option<B256>) -> Result<Known, Code> {
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
        terms: gate.terms.clone(),
        rule_sets,
        addresses,
        decimals: campaign.terms.decimals,
        as_of: state.seq,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_could_not_be_kept_are_refused() {
        let mut facts = ClaimFacts {
            campaign: CampaignId::default(),
            round: 1,
            index: 0,
            recipient: Address::ZERO,
            to: Address::ZERO,
            amount: Default::default(),
            decimals: 18,
            person: None,
            accepted_at: 0,
            attestations: BTreeMap::new(),
        };
        let says = |bytes: usize| AttestationFacts {
            schema: "x".repeat(bytes),
            issuer: String::new(),
            data: BTreeMap::new(),
        };
        facts.attestations.insert("one".into(), says(CLAIM_FACTS_BYTES_MAX / 2));
        assert_eq!(bounded(&facts), Ok(facts.encode()));
        facts.attestations.insert("two".into(), says(CLAIM_FACTS_BYTES_MAX / 2));
        assert_eq!(bounded(&facts), Err(Code::FactsTooLarge));
    }
}
