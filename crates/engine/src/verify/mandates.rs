//! What a mandate says of a command, and whether rule sets, mandates and gates that a command brings can be used at all.

use alloy_primitives::B256;
use sluice_core::amount::{Amount, Total};
use sluice_core::command::{Action, Command, HoldTarget, Subject as About};
use sluice_core::decide::{Listed, MandateSeen};
use sluice_core::ids::{CampaignId, Millis};
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_core::state::authority::Limits;
use sluice_gate::mandate::{
    ActionKind, CommandFacts as Facts, CompiledMandate, Spending, Subject, evaluate_mandates,
};
use sluice_gate::rules::{Compiled, prove_never};

use super::Verifier;
use super::gates::Asked;

impl Verifier {
    /// What the mandate says that a command names; `None` where it names none, or none that there is.
    pub(super) fn mandate(
        &self,
        command: &Command,
        listed: &Listed,
        accepted_at: Millis,
    ) -> Result<Option<MandateSeen>, Code> {
        if command.mandate.is_zero() {
            return Ok(None);
        }
        let known = self.follower.read(|state| {
            let mandate = state.mandates.get(&command.mandate)?;
            Some((mandate.version, mandate.terms.clone(), facts(state, command, listed, accepted_at)))
        });
        let Some((version, terms, facts)) = known else { return Err(Code::MandateMissing) };
        // An action or a sum that mandates know nothing of is not permitted by any.
        let Some(facts) = facts else { return Err(Code::MandateDenies) };
        let compiled = CompiledMandate::compile(&terms.text).map_err(|_| Code::MandateDenies)?;
        Ok(Some(match evaluate_mandates(&[&compiled], &facts) {
            Ok(permit) => {
                let largest = facts.spending.map(|spending| spending.largest);
                let fits =
                    permit.limits.each.is_none_or(|most| largest.is_some_and(|largest| largest <= most));
                MandateSeen {
                    version,
                    permits: fits,
                    policies: permit.policies.into_iter().map(|(policy, _)| policy.policy).collect(),
                    limits: Limits { amount: permit.limits.amount, count: permit.limits.count },
                }
            }
            Err(refusal) => MandateSeen {
                version,
                permits: false,
                policies: refusal
                    .policies
                    .into_iter()
                    .map(|policy| policy.policy)
                    .chain([refusal.code])
                    .collect(),
                limits: Limits::default(),
            },
        }))
    }
}

/// Whether rule sets, mandates and gates in a command can be used: they compile and are what the command says they are.
pub(super) fn usable(state: &State, action: &Action) -> Result<(), Code> {
    match action {
        Action::ProposeRules(terms) => {
            let compiled = Compiled::compile(&terms.text).map_err(|_| Code::BadRules)?;
            let manifest = compiled.manifest();
            let same = manifest.owner == terms.owner && manifest.lineage == terms.lineage;
            if same && B256::from(compiled.hash().0) == terms.hash() { Ok(()) } else { Err(Code::BadRules) }
        }
        Action::ActivateRules { rules, .. } => {
            let text = &state.rule_sets.get(rules).ok_or(Code::UnknownRules)?.terms.text;
            let compiled = Compiled::compile(text).map_err(|_| Code::BadRules)?;
            prove_never(&compiled).map_err(|_| Code::MustNever)
        }
        Action::GrantMandate(terms) => {
            let compiled = CompiledMandate::compile(&terms.text).map_err(|_| Code::BadRules)?;
            if compiled.mandate().holder == terms.holder { Ok(()) } else { Err(Code::BadRules) }
        }
        Action::DefineGate(terms) if !terms.attestations.is_empty() => {
            Asked::new(terms).map(|_| ()).ok_or(Code::BadRules)
        }
        _ => Ok(()),
    }
}

fn facts(state: &State, command: &Command, listed: &Listed, accepted_at: Millis) -> Option<Facts> {
    let name = command.action.name();
    let action = *ActionKind::ALL.iter().find(|kind| kind.as_str() == name)?;
    let (amounts, campaign) = amounts(state, &command.action, listed);
    let decimals = campaign.and_then(|id| state.campaign(id)).map(|c| c.terms.decimals);
    let spending = match (amounts.is_empty(), decimals) {
        (false, Some(decimals)) => Some(Spending {
            total: amounts.iter().try_fold(Total::ZERO, |sum, amount| sum.checked_add(*amount))?,
            largest: amounts.iter().copied().max()?,
            decimals,
        }),
        _ => None,
    };
    Some(Facts {
        authority: command.approvals.first()?.authority,
        action,
        stream: state.stream,
        subject: subject(&command.action),
        jurisdictions: Vec::new(),
        count: (amounts.len() as u64).max(1),
        spending,
        delegated: !command.delegation.is_zero(),
        accepted_at,
    })
}

/// The amounts a command is about, and whose token they are of. Of a push of whole shards only sums are known: each
/// counts as one item, which no limit on single items lets pass.
fn amounts(state: &State, action: &Action, listed: &Listed) -> (Vec<Amount>, Option<CampaignId>) {
    match (action, listed) {
        (Action::Void { campaign, .. }, Listed::Amounts(amounts)) => (amounts.clone(), Some(*campaign)),
        (Action::Hold { .. }, Listed::Covered { items, .. }) => {
            (items.iter().map(|item| item.amount).collect(), items.first().map(|item| item.campaign))
        }
        (Action::Push { campaign, round, .. }, Listed::Edges(edges)) => {
            let mut amounts: Vec<Amount> =
                edges.iter().flat_map(|edge| edge.amounts.iter().copied()).collect();
            let round = state.campaign(*campaign).and_then(|c| c.round(*round));
            let whole = round.map_or(Total::ZERO, |r| {
                r.shard_totals
                    .iter()
                    .try_fold(Total::ZERO, |sum, more| sum.checked_add_total(*more))
                    .unwrap_or(Total(u128::MAX))
            });
            amounts.extend(Amount::new(whole.get()));
            (amounts, Some(*campaign))
        }
        _ => (Vec::new(), None),
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
