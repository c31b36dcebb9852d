//! What a mandate says of a command, and whether rule sets, mandates and gates that a command brings can be used at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use sluice_core::amount::{Amount, Total};
use sluice_core::command::{
    Action, AppealAbout, Command, HoldTarget, Subject as Concerned, jurisdictions_around,
};
use sluice_core::decide::{Listed, MandateSeen, PersonSeen};
use sluice_core::ids::{CampaignId, Millis, RoundNo, Seq, StreamId};
use sluice_core::limits::MANDATES_KEPT_MAX;
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_core::state::authority::Limits;
use sluice_gate::mandate::{CommandFacts as Facts, CompiledMandate, Spending, Subject, evaluate_mandates};
use sluice_gate::rules::{Compiled, prove_never};

use super::Verifier;
use super::gates::Asked;
use crate::error::EngineError;

impl Verifier {
    /// What the mandate says that a command names; `None` where it names none, or none that there is.
    ///
    /// # Errors
    /// When a snapshot cannot be used.
    pub(super) async fn mandate(
        &self,
        command: &Command,
        listed: &Listed,
        accepted_at: Millis,
    ) -> Result<Result<Option<MandateSeen>, Code>, EngineError> {
        if command.mandate.is_zero() {
            return Ok(Ok(None));
        }
        let known = self.follower.read(|state| {
            let mandate = state.mandates.get(&command.mandate)?;
            let about = About::of(state, &command.action);
            Some((mandate.version, mandate.terms.text.clone(), state.stream, about))
        });
        let Some((version, text, stream, about)) = known else { return Ok(Err(Code::MandateMissing)) };
        // A sum that mandates know nothing of is not permitted by any.
        let Some(facts) = self.facts(stream, command, &about, listed, accepted_at)? else {
            return Ok(Err(Code::MandateDenies));
        };
        let (gates, id) = (Arc::clone(&self.gates), command.mandate);
        off_the_runtime(move || {
            let compiled = gates.mandates.load(id, &text).ok_or(Code::MandateDenies)?;
            Ok(Some(seen(version, &compiled, &facts, about.person)))
        })
        .await
    }

    /// Whether rule sets, mandates and gates in a command can be used: they compile and are what the command says they are.
    pub(super) async fn usable(&self, action: &Action) -> Result<Result<(), Code>, EngineError> {
        match action {
            Action::ActivateRules { rules, .. } => {
                let text = self.follower.read(|s| s.rule_sets.get(rules).map(|set| set.terms.text.clone()));
                let Some(text) = text else { return Ok(Err(Code::UnknownRules)) };
                off_the_runtime(move || {
                    let compiled = Compiled::compile(&text).map_err(|_| Code::BadRules)?;
                    prove_never(&compiled).map_err(|_| Code::MustNever)
                })
                .await
            }
            Action::ProposeRules(terms) => {
                let terms = terms.clone();
                off_the_runtime(move || {
                    let compiled = Compiled::compile(&terms.text).map_err(|_| Code::BadRules)?;
                    let manifest = compiled.manifest();
                    let same = manifest.owner == terms.owner
                        && manifest.lineage == terms.lineage
                        && B256::from(compiled.hash().0) == terms.hash();
                    if same { Ok(()) } else { Err(Code::BadRules) }
                })
                .await
            }
            Action::GrantMandate(terms) => {
                let terms = terms.clone();
                off_the_runtime(move || {
                    let compiled = CompiledMandate::compile(&terms.text).map_err(|_| Code::BadRules)?;
                    if compiled.mandate().holder == terms.holder { Ok(()) } else { Err(Code::BadRules) }
                })
                .await
            }
            Action::DefineGate(terms) if !terms.attestations.is_empty() => {
                let Some(asked) = Asked::new(terms) else { return Ok(Err(Code::BadRules)) };
                // A gate that asks a chain nobody here talks to would hold its campaign's claims for ever.
                let known = asked.allowed().iter().all(|a| self.chains.contains_key(&a.source.chain_id()));
                Ok(if known { Ok(()) } else { Err(Code::BadRules) })
            }
            Action::RevokeAttestation { uid } => {
                // Attestations are told apart by their ids; a uid that several may share would revoke nothing.
                let kept = self.store.attestation(uid.0).await?.is_some();
                Ok(if kept { Ok(()) } else { Err(Code::AttestationMissing) })
            }
            _ => Ok(Ok(())),
        }
    }

    /// What the mandate is asked about: one request for each place in which the command needs to be permitted.
    fn facts(
        &self,
        stream: StreamId,
        command: &Command,
        about: &About,
        listed: &Listed,
        accepted_at: Millis,
    ) -> Result<Option<Vec<Facts>>, EngineError> {
        let Some(approval) = command.approvals.first() else { return Ok(None) };
        let Some((count, spending)) = self.spending(&command.action, listed)? else { return Ok(None) };
        let at = |place: &String| Facts {
            authority: approval.authority,
            action: command.action.kind(),
            stream,
            subject: about.subject.clone(),
            jurisdictions: jurisdictions_around(place),
            count,
            spending,
            delegated: !command.delegation.is_zero(),
            accepted_at,
        };
        Ok(Some(about.places.iter().map(at).collect()))
    }

    /// How many items a command names, and what they are worth; `None` where that cannot be said in one number.
    fn spending(
        &self,
        action: &Action,
        listed: &Listed,
    ) -> Result<Option<(u64, Option<Spending>)>, EngineError> {
        let (campaign, amounts): (CampaignId, Vec<Amount>) = match (action, listed) {
            (Action::Push { campaign, round, from, to }, _) => {
                return Ok(self.pushed(*campaign, *round, *from..*to)?.map(|all| (to - from, Some(all))));
            }
            (Action::Void { campaign, .. }, Listed::Amounts(amounts)) => (*campaign, amounts.clone()),
            (Action::Hold { .. }, Listed::Covered { items, .. }) => {
                let Some(first) = items.first() else { return Ok(Some((1, None))) };
                // Amounts of two tokens add up to nothing.
                if items.iter().any(|item| item.campaign != first.campaign) {
                    return Ok(Some((items.len() as u64, None)));
                }
                (first.campaign, items.iter().map(|item| item.amount).collect())
            }
            _ => return Ok(Some((1, None))),
        };
        let Some(decimals) = self.decimals(campaign) else { return Ok(None) };
        let total = amounts.iter().try_fold(Total::ZERO, |sum, amount| sum.checked_add(*amount));
        let spending = total.zip(amounts.iter().copied().max());
        Ok(spending
            .map(|(total, largest)| (amounts.len() as u64, Some(Spending { total, largest, decimals }))))
    }

    /// What a range is worth. Which of it is the largest is not looked for: their sum stands for it, so that a limit on
    /// single items lets a push pass only if it would let all of it go to one.
    fn pushed(
        &self,
        campaign: CampaignId,
        round: RoundNo,
        range: std::ops::Range<u64>,
    ) -> Result<Option<Spending>, EngineError> {
        let Some(ground) = self.ground(campaign, round) else { return Ok(None) };
        let Some(decimals) = self.decimals(campaign) else { return Ok(None) };
        let total = self.snapshots.get(ground.list_hash)?.sum(range);
        let largest = Amount::new(total.get()).unwrap_or(Amount::MAX);
        Ok(Some(Spending { total, largest, decimals }))
    }

    fn decimals(&self, campaign: CampaignId) -> Option<u8> {
        self.follower.read(|state| state.campaign(campaign).map(|c| c.terms.decimals))
    }
}

/// Reading policies takes milliseconds: too long for a thread that serves others, and for the lock on State.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Code> + Send + 'static,
) -> Result<Result<T, Code>, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopping)
}

/// What the policies say: in every place they have to permit, and the strictest limits bind.
fn seen(
    version: Seq,
    compiled: &CompiledMandate,
    facts: &[Facts],
    person: Option<PersonSeen>,
) -> MandateSeen {
    let mut all = MandateSeen {
        version,
        permits: !facts.is_empty(),
        policies: Vec::new(),
        limits: Limits::default(),
        person,
    };
    for facts in facts {
        match evaluate_mandates(&[compiled], facts) {
            Ok(permit) => {
                let largest = facts.spending.map(|spending| spending.largest);
                let each = permit.limits.each;
                all.permits &= each.is_none_or(|most| largest.is_some_and(|largest| largest <= most));
                all.policies.extend(permit.policies.into_iter().map(|(policy, _)| policy.policy));
                all.limits.amount = least(all.limits.amount, permit.limits.amount);
                all.limits.count = least(all.limits.count, permit.limits.count);
            }
            Err(refusal) => {
                all.permits = false;
                all.policies = refusal.policies.into_iter().map(|policy| policy.policy).collect();
                all.policies.push(refusal.code);
                return all;
            }
        }
    }
    all.policies.sort_unstable();
    all.policies.dedup();
    all
}

fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// Mandates compiled, by their ids: an id stands for one text for ever.
#[derive(Debug, Default)]
pub(super) struct Mandates {
    kept: Mutex<HashMap<B256, Arc<CompiledMandate>>>,
}

impl Mandates {
    /// The mandate of this id, compiled from `text` if it is not kept; `None` if that is no mandate.
    fn load(&self, id: B256, text: &[u8]) -> Option<Arc<CompiledMandate>> {
        if let Some(known) = self.kept.lock().expect("no panic inside").get(&id) {
            return Some(Arc::clone(known));
        }
        // Compiled outside the lock: others are asked meanwhile.
        let compiled = Arc::new(CompiledMandate::compile(text).ok()?);
        let mut kept = self.kept.lock().expect("no panic inside");
        if kept.len() >= MANDATES_KEPT_MAX {
            kept.clear();
        }
        Some(Arc::clone(kept.entry(id).or_insert(compiled)))
    }
}

/// What a command is about, for mandates.
struct About {
    subject: Subject,
    /// The jurisdictions in which it has to be permitted, each; the empty one stands for none. Whoever moves a person
    /// from one to another needs a mandate in both: else a registrar would take over another's persons.
    places: Vec<String>,
    /// The person whose jurisdiction that is.
    person: Option<PersonSeen>,
}

impl About {
    fn of(state: &State, action: &Action) -> Self {
        match action {
            Action::CreateCampaign(terms) => Self {
                subject: Subject::Campaign { campaign: terms.campaign },
                places: vec![terms.jurisdiction.clone()],
                person: None,
            },
            Action::BindPerson { person, jurisdiction, .. } => {
                let mut about = Self::person(state, *person);
                if !state.persons.contains_key(person) {
                    about.places.clear();
                }
                if !about.places.contains(jurisdiction) {
                    about.places.push(jurisdiction.clone());
                }
                about
            }
            Action::Hold { target } => Self::target(state, target),
            Action::ConfirmHold { hold } | Action::RenewHold { hold } | Action::Release { hold } => {
                Self::hold(state, *hold)
            }
            Action::FileAppeal { about } => Self::appeal(state, about),
            Action::AnswerAppeal { appeal, .. } => match state.appeals.get(appeal) {
                Some(appeal) => Self::appeal(state, &appeal.about),
                None => Self::stream(),
            },
            _ => match action.subject() {
                Concerned::Campaign(campaign) => Self::within(state, Subject::Campaign { campaign }),
                Concerned::Round(campaign, round) => Self::within(state, Subject::Round { campaign, round }),
                Concerned::Person(person) => Self::person(state, person),
                _ => Self::stream(),
            },
        }
    }

    fn stream() -> Self {
        Self { subject: Subject::Stream, places: vec![String::new()], person: None }
    }

    fn person(state: &State, person: B256) -> Self {
        let known = state.persons.get(&person);
        Self {
            subject: Subject::Person { person },
            places: vec![known.map_or_else(String::new, |known| known.jurisdiction.clone())],
            person: Some(PersonSeen { person, version: known.map_or(0, |known| known.version) }),
        }
    }

    /// A subject in a campaign, which never changes its jurisdiction.
    fn within(state: &State, subject: Subject) -> Self {
        let campaign = subject.campaign().and_then(|id| state.campaign(id));
        let place = campaign.map_or_else(String::new, |campaign| campaign.terms.jurisdiction.clone());
        Self { subject, places: vec![place], person: None }
    }

    fn target(state: &State, target: &HoldTarget) -> Self {
        match target {
            HoldTarget::Person { person } => Self::person(state, *person),
            HoldTarget::Campaign { campaign } => {
                Self::within(state, Subject::Campaign { campaign: *campaign })
            }
            HoldTarget::Entitlements { campaign, round, .. } => {
                Self::within(state, Subject::Round { campaign: *campaign, round: *round })
            }
        }
    }

    fn hold(state: &State, hold: Seq) -> Self {
        state.holds.get(&hold).map_or_else(Self::stream, |hold| Self::target(state, &hold.target))
    }

    fn appeal(state: &State, about: &AppealAbout) -> Self {
        match about {
            AppealAbout::Hold { hold } => Self::hold(state, *hold),
            AppealAbout::Void { campaign, entitlement } | AppealAbout::Refusal { campaign, entitlement } => {
                let (campaign, round, index) = (*campaign, entitlement.round, entitlement.index);
                Self::within(state, Subject::Entitlement { campaign, round, index })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_gate::mandate::Mandate;

    fn text(name: &str) -> Vec<u8> {
        let manifest = format!("holder = \"{}\"\nname = \"{name}\"\nversion = \"1\"\n", B256::ZERO);
        let policies = "@id(\"a\") permit (principal, action == Action::\"push\", resource);";
        Mandate::build(&manifest, policies).unwrap().0.encode()
    }

    #[test]
    fn a_mandate_is_compiled_once_and_only_so_many_are_kept() {
        let (mandates, text) = (Mandates::default(), text("one"));
        let id = B256::repeat_byte(1);
        let first = mandates.load(id, &text).unwrap();
        assert!(Arc::ptr_eq(&first, &mandates.load(id, &text).unwrap()));
        assert!(mandates.load(B256::repeat_byte(2), b"no mandate").is_none());
        let mut kept = mandates.kept.lock().unwrap();
        for n in kept.len()..MANDATES_KEPT_MAX {
            kept.insert(B256::left_padding_from(&n.to_be_bytes()), Arc::clone(&first));
        }
        drop(kept);
        mandates.load(B256::repeat_byte(3), &text).unwrap();
        assert!(mandates.kept.lock().unwrap().len() <= MANDATES_KEPT_MAX);
    }
}
