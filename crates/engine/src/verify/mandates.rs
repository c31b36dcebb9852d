//! What a mandate says of a command, and whether rule sets, mandates and gates that a command brings can be used at all.

use alloy_primitives::B256;
use sluice_core::amount::{Amount, Total};
use sluice_core::command::{Action, Command, HoldTarget, Subject as About};
use sluice_core::decide::{Listed, MandateSeen};
use sluice_core::ids::{CampaignId, Millis, RoundNo, Seq, StreamId};
use sluice_core::refusal::Code;
use sluice_core::state::authority::Limits;
use sluice_gate::mandate::{
    ActionKind, CommandFacts as Facts, CompiledMandate, Spending, Subject, evaluate_mandates,
};
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
            Some((mandate.version, mandate.terms.text.clone(), state.stream))
        });
        let Some((version, text, stream)) = known else { return Ok(Err(Code::MandateMissing)) };
        // An action or a sum that mandates know nothing of is not permitted by any.
        let Some(facts) = self.facts(stream, command, listed, accepted_at)? else {
            return Ok(Err(Code::MandateDenies));
        };
        off_the_runtime(move || {
            let compiled = CompiledMandate::compile(&text).map_err(|_| Code::MandateDenies)?;
            Ok(Some(seen(version, &compiled, &facts)))
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

    fn facts(
        &self,
        stream: StreamId,
        command: &Command,
        listed: &Listed,
        accepted_at: Millis,
    ) -> Result<Option<Facts>, EngineError> {
        let name = command.action.name();
        let Some(action) = ActionKind::ALL.iter().find(|kind| kind.as_str() == name) else { return Ok(None) };
        let Some(approval) = command.approvals.first() else { return Ok(None) };
        let Some((count, spending)) = self.spending(&command.action, listed)? else { return Ok(None) };
        Ok(Some(Facts {
            authority: approval.authority,
            action: *action,
            stream,
            subject: subject(&command.action),
            jurisdictions: Vec::new(),
            count,
            spending,
            delegated: !command.delegation.is_zero(),
            accepted_at,
        }))
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
        let total = self.snapshots.get(ground.terms.list_hash)?.sum(range);
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

fn seen(version: Seq, compiled: &CompiledMandate, facts: &Facts) -> MandateSeen {
    match evaluate_mandates(&[compiled], facts) {
        Ok(permit) => {
            let largest = facts.spending.map(|spending| spending.largest);
            let fits = permit.limits.each.is_none_or(|most| largest.is_some_and(|largest| largest <= most));
            MandateSeen {
                version,
                permits: fits,
                policies: permit.policies.into_iter().map(|(policy, _)| policy.policy).collect(),
                limits: Limits { amount: permit.limits.amount, count: permit.limits.count },
            }
        }
        Err(refusal) => {
            let policies = refusal.policies.into_iter().map(|policy| policy.policy);
            MandateSeen {
                version,
                permits: false,
                policies: policies.chain([refusal.code]).collect(),
                limits: Limits::default(),
            }
        }
    }
}

fn subject(action: &Action) -> Subject {
    if let Action::Hold { target } = action {
        return match target {
            HoldTarget::Person { person } => Subject::Person { person: *person },
            HoldTarget::Campaign { campaign } => Subject::Campaign { campaign: *campaign },
            HoldTarget::Entitlements { campaign, round, .. } => {
                Subject::Round { campaign: *campaign, round: *round }
            }
        };
    }
    match action.subject() {
        About::Campaign(campaign) => Subject::Campaign { campaign },
        About::Round(campaign, round) => Subject::Round { campaign, round },
        About::Person(person) => Subject::Person { person },
        _ => match action.queue() {
            nil if nil == CampaignId::default() => Subject::Stream,
            campaign => Subject::Campaign { campaign },
        },
    }
}
