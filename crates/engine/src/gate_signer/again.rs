//! A decided claim, verified once more from what was handed in: its demand from the intake row, its listing, its signature,
//! its attestations, its rules, as things stood at its position. What the entry says is compared, never believed.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use sha2::{Digest, Sha256};
use sluice_core::command::Demand;
use sluice_core::decide::{Decision, Input, decide};
use sluice_core::ids::Seq;
use sluice_core::log::entry::{Body, ClaimDecided, Entry};
use sluice_core::state::State;
use sluice_store::{KeptFacts, Store};
use tokio::task::JoinSet;

use crate::error::EngineError;
use crate::facts::with_salt_of;
use crate::verify::Verifier;
use crate::verify::gates::Admitted;

/// Why a claim is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt(pub(super) String);

/// Verifies decided claims again. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Again {
    store: Store,
    verifier: Verifier,
}

impl Again {
    pub(super) fn new(store: Store, verifier: Verifier) -> Self {
        Self { store, verifier }
    }

    /// What own verification says of each of these, by position.
    ///
    /// # Errors
    /// When it cannot be found out now.
    pub(super) async fn verify_all(
        &self,
        entries: Vec<Entry>,
    ) -> Result<BTreeMap<Seq, Result<Input, Doubt>>, EngineError> {
        let mut tasks = JoinSet::new();
        for entry in entries {
            let again = self.clone();
            tasks.spawn(async move { (entry.seq, again.verify(&entry).await) });
        }
        let mut found = BTreeMap::new();
        while let Some(done) = tasks.join_next().await {
            let (seq, verified) = done.map_err(|_| EngineError::Stopping)?;
            found.insert(seq, verified?);
        }
        Ok(found)
    }

    async fn verify(&self, entry: &Entry) -> Result<Result<Input, Doubt>, EngineError> {
        let doubt = |what: &str| Ok(Err(Doubt(what.into())));
        let Body::ClaimDecided(claim) = &entry.body else { return doubt("it is no claim") };
        let Some(row) = self.store.intake_by_id(claim.intake.campaign, claim.id).await? else {
            return doubt("decided, but nobody handed it in");
        };
        let Ok(accepted) = row.accepted() else { return doubt("what was handed in cannot be read") };
        if !matches!(accepted.demand, Demand::Claim(_)) || accepted.demand.body_hash() != claim.body_hash {
            return doubt("decided, but something else was handed in under its id");
        }
        // Everything that was there by then: an attestation that the entry passes over may forbid the payment.
        let until = Admitted::Until(entry.recorded_at);
        let kept = self.kept(entry, claim).await?;
        let whole = self.verifier.as_of(entry.recorded_at, until).verify(&accepted).await?;
        let whole = compared_with(whole, kept.as_deref());
        if rests_on(&whole, claim) || !permits(&whole) {
            return Ok(Ok(whole));
        }
        // It is permitted, but not by what the entry names: something arrived between its verification and its position.
        // What it names must permit it, too.
        let named = Admitted::Named(claim.evidence.attestations.clone().into());
        let narrow = self.verifier.as_of(entry.recorded_at, named).verify(&accepted).await?;
        Ok(Ok(compared_with(narrow, kept.as_deref())))
    }

    /// The facts as the leader kept them, if they are what the entry names. Where they were erased meanwhile there is
    /// nothing to compare, and what was attested stands by the attestations' ids.
    async fn kept(&self, entry: &Entry, claim: &ClaimDecided) -> Result<Option<Vec<u8>>, EngineError> {
        let kept = match self.store.facts_of(entry.stream, entry.seq).await? {
            Some(KeptFacts::Open(bytes)) => bytes,
            // What was changed is compared, and found to differ.
            Some(KeptFacts::Broken) => Vec::new(),
            Some(KeptFacts::Sealed) | None => return Ok(None),
        };
        let named = Sha256::digest(&kept).as_slice() == claim.evidence.inputs.as_slice();
        // Facts that are not those named are compared, and found to differ.
        Ok(Some(if named { kept } else { Vec::new() }))
    }
}

/// Own findings with their facts behind the salt of the kept ones, so that equal facts have equal hashes; without facts
/// where there are none to compare with.
fn compared_with(mut own: Input, kept: Option<&[u8]>) -> Input {
    let Input::Claim(verified) = &mut own else { return own };
    let gate = match &mut verified.verdict {
        Ok(verdict) => verdict.gate.as_mut(),
        Err(fault) => fault.gate.as_mut(),
    };
    let Some(gate) = gate else { return own };
    match kept {
        Some(kept) => gate.facts = with_salt_of(&gate.facts, kept).unwrap_or(gate.facts.clone()),
        None => gate.facts = Bytes::new(),
    }
    own
}

/// Whether own verification rests on the same attestations and facts as the entry.
fn rests_on(input: &Input, claim: &ClaimDecided) -> bool {
    let Input::Claim(verified) = input else { return false };
    verified.verdict.as_ref().ok().and_then(|verdict| verdict.gate.as_ref()).is_some_and(|gate| {
        let same = gate.facts.is_empty() || gate.inputs() == claim.evidence.inputs;
        gate.attestations == claim.evidence.attestations && same
    })
}

fn permits(input: &Input) -> bool {
    matches!(input, Input::Claim(verified) if verified.verdict.is_ok())
}

/// Whether the state before an entry decides its claim as the entry says, on own findings.
pub(super) fn decides(
    state: &State,
    input: &Input,
    entry: &Entry,
    claim: &ClaimDecided,
) -> Result<(), Doubt> {
    let decision = decide(state, input, entry.recorded_at);
    let Decision::Entry(body) = decision else {
        return Err(Doubt("decided, but what it rests on was not in force at its position".into()));
    };
    match *body {
        Body::ClaimDecided(mut own) => {
            // Look-ups were made again, on a later block.
            own.evidence.looked_at = claim.evidence.looked_at;
            if input.facts().is_some_and(|(facts, _)| facts.is_empty()) {
                own.evidence.inputs = claim.evidence.inputs;
            }
            if own == *claim {
                return Ok(());
            }
            Err(Doubt(format!("decided otherwise than by what was handed in: {}", difference(&own, claim))))
        }
        Body::ClaimRefused(refused) => {
            Err(Doubt(format!("decided, where it is to be refused: {}", refused.code.as_str())))
        }
        _ => Err(Doubt("decided, where nothing is to be decided".into())),
    }
}

fn difference(own: &ClaimDecided, claim: &ClaimDecided) -> &'static str {
    match () {
        () if own.entitlement != claim.entitlement || own.recipient != claim.recipient => {
            "another entitlement"
        }
        () if own.amount != claim.amount => "another amount",
        () if own.redirect != claim.redirect => "another destination",
        () if own.evidence.rule_sets != claim.evidence.rule_sets => "other rule sets",
        () if own.evidence.attestations != claim.evidence.attestations => "other attestations",
        () if own.evidence.inputs != claim.evidence.inputs => "other facts",
        () if own.evidence.policies != claim.evidence.policies => "other policies",
        () if own.evidence.person != claim.evidence.person => "another person",
        () => "another row, time or set version",
    }
}
