//! By which right a command stands: enough institutions of the Charter, the authority whose own affair it is, the person
//! who is paid, or a mandate in force; and under which delegation a vendor's key signed it.

use alloy_primitives::B256;

use super::{Examined, Refusal};
use crate::amount::Total;
use crate::command::{Action, HoldTarget};
use crate::decide::{CommandFacts, Listed, MandateSeen, VerifiedCommand};
use crate::ids::Millis;
use crate::limits::{HOLDS_ALONE_MAX, PAUSE_ALONE};
use crate::log::entry::Evidence;
use crate::refusal::Code;
use crate::signing::address_signer;
use crate::state::State;
use crate::state::apply_offices::millis;
use crate::state::authority::{Delegation, Limits, Mandate};

/// A command's right, found good but for the limits.
pub(super) struct Standing<'a> {
    evidence: Evidence,
    mandate: Option<(&'a Mandate, &'a MandateSeen)>,
    delegation: Option<&'a Delegation>,
}

impl Standing<'_> {
    pub(super) fn evidence(&self) -> Evidence {
        self.evidence.clone()
    }

    /// Whether the limits leave room for one more command of this amount.
    pub(super) fn charge(&self, amount: Total) -> Result<(), Refusal> {
        if let Some((mandate, seen)) = self.mandate
            && mandate.spent.plus(amount, &seen.limits).is_none()
        {
            return Err(Refusal { code: Code::MandateSpent, changed_at: None, policies: seen.policies.clone() });
        }
        if let Some(delegation) = self.delegation {
            let (terms, spent) = (&delegation.terms, &delegation.spent);
            let limits = Limits { amount: terms.amount_max, count: terms.count_max, each: None };
            spent.plus(amount, &limits).ok_or(Code::DelegationDenies)?;
        }
        Ok(())
    }
}

/// Who may give a command without a mandate, and whether a mandate may stand in for them.
struct Needs {
    /// So many institutions of the Charter; `None` where no number of them is enough.
    institutions: Option<u16>,
    /// This institution alone, whether the Charter knows it or not.
    own: Option<B256>,
    /// A mandate that permits it.
    mandate: bool,
}

pub(super) fn examine<'a>(
    state: &'a State,
    input: &VerifiedCommand,
    facts: &'a CommandFacts,
    now: Millis,
) -> Examined<Standing<'a>> {
    let command = &input.command;
    let first = facts.signers.first().ok_or(Code::QuorumMissing)?.authority;
    let delegation = delegated(state, input, first, now)?;
    let Some(mandate) = mandated(state, input, facts, first)? else { return Ok(None) };
    let chartered = facts.signers.iter().filter(|s| state.is_chartered(s.authority)).count();
    let needs = needs(state, input, facts, now);
    let stands = needs.institutions.is_some_and(|least| chartered >= usize::from(least.max(1)))
        || (needs.own == Some(first) && first != B256::ZERO)
        || (needs.mandate && mandate.is_some())
        || is_own_affair(state, input, facts);
    if !stands {
        return Err(match (needs.institutions, needs.mandate) {
            (Some(_), _) if chartered > 0 => Code::QuorumMissing,
            (_, true) => Code::MandateMissing,
            _ if first == B256::ZERO => Code::NotPayee,
            _ => Code::NotAuthorized,
        }
        .into());
    }
    let mut evidence = Evidence { looked_at: facts.looked_at, ..state.evidence(None) };
    evidence.mandate = command.mandate;
    evidence.delegation = command.delegation;
    if let Some((_, seen)) = mandate {
        evidence.policies.clone_from(&seen.policies);
    }
    Ok(Some(Standing { evidence, mandate, delegation }))
}

/// Who may give each command. What CONTRACTS.md's "Who it takes" names takes the same here.
fn needs(state: &State, input: &VerifiedCommand, facts: &CommandFacts, now: Millis) -> Needs {
    let (all, threshold) = state.home_charter().map_or((0, 1), |c| {
        (u16::try_from(c.view.institutions.len()).unwrap_or(u16::MAX), c.view.threshold.max(1))
    });
    let three_quarters = (u32::from(all) * 3).div_ceil(4);
    let three_quarters = u16::try_from(three_quarters).unwrap_or(u16::MAX).max(1);
    let chartered = |institutions| Needs { institutions: Some(institutions), own: None, mandate: false };
    let or_mandate = |institutions| Needs { institutions: Some(institutions), own: None, mandate: true };
    let or_own = |institutions, own| Needs { institutions: Some(institutions), own, mandate: false };
    match &input.command.action {
        Action::Publish(_)
        | Action::Void { .. }
        | Action::RegisterAuthority(_)
        | Action::GrantMandate(_)
        | Action::DefineGate(_) => chartered(threshold),
        // A push pays only what M of N published for pushing, and a Distributor becomes a campaign only after M of N
        // registered it: for both one institution is enough.
        Action::CreateCampaign(_) | Action::Push { .. } | Action::ProposeRules(_) => or_mandate(1),
        Action::ApproveRules { .. } => chartered(1),
        Action::ChangeKeys { authority, .. } => or_own(threshold, Some(*authority)),
        Action::RevokeMandate { mandate } => {
            or_own(threshold, state.mandates.get(mandate).map(|m| m.terms.holder))
        }
        Action::Delegate(terms) => Needs { institutions: None, own: Some(terms.authority), mandate: false },
        Action::RevokeDelegation { delegation } => {
            or_own(threshold, state.delegations.get(delegation).map(|d| d.terms.authority))
        }
        Action::ActivateRules { rules, .. } | Action::RetireRules { rules } => {
            or_own(threshold, state.rule_sets.get(rules).map(|r| r.terms.owner))
        }
        Action::Hold { target: HoldTarget::Campaign { .. } } => chartered(threshold),
        Action::Hold { .. } => or_mandate(if is_small(state, facts, now) { 1 } else { threshold }),
        Action::ConfirmHold { .. } => or_mandate(1),
        Action::RenewHold { .. } => chartered(three_quarters),
        Action::Release { hold } => or_own(three_quarters, state.holds.get(hold).map(|h| h.placed_by)),
        Action::BindPerson { .. } | Action::RevokeAttestation { .. } | Action::SetLimit { .. } => {
            or_mandate(threshold)
        }
        Action::ChangePayee { .. } | Action::FileAppeal { .. } => {
            Needs { institutions: None, own: None, mandate: true }
        }
        Action::AnswerAppeal { .. } => or_mandate(threshold),
        Action::Pause { until, .. } => {
            let short = until.saturating_sub(now) <= millis(PAUSE_ALONE);
            or_mandate(if short { 1 } else { threshold })
        }
        Action::Resume { campaign } => {
            or_own(threshold, state.campaign(*campaign).and_then(|c| c.pause).map(|p| p.by))
        }
    }
}

/// Whether one institution alone may place this hold: few entitlements within 72 hours.
fn is_small(state: &State, facts: &CommandFacts, now: Millis) -> bool {
    let Listed::Covered { items, .. } = &facts.listed else { return true };
    let by = facts.signers.first().map_or(B256::ZERO, |s| s.authority);
    super::holds::used(state, by, now).held + items.len() as u64 <= HOLDS_ALONE_MAX
}

/// The mandate a command names: in force, the first signer's, and permitting it. `Some(None)` where it names none.
#[expect(clippy::type_complexity, reason = "verified again, or none, or one")]
fn mandated<'a>(
    state: &'a State,
    input: &VerifiedCommand,
    facts: &'a CommandFacts,
    holder: B256,
) -> Examined<Option<(&'a Mandate, &'a MandateSeen)>> {
    let id = input.command.mandate;
    if id == B256::ZERO {
        return Ok(Some(None));
    }
    let mandate = state.mandates.get(&id).ok_or(Code::MandateMissing)?;
    if mandate.ended || mandate.terms.holder != holder {
        return Err(Code::MandateMissing.into());
    }
    let Some(seen) = facts.mandate.as_ref().filter(|seen| seen.version == mandate.version) else {
        return Ok(None);
    };
    if !seen.permits {
        return Err(Refusal { code: Code::MandateDenies, changed_at: None, policies: seen.policies.clone() });
    }
    Ok(Some(Some((mandate, seen))))
}

/// The delegation a command names, if its terms cover the command.
fn delegated<'a>(
    state: &'a State,
    input: &VerifiedCommand,
    authority: B256,
    now: Millis,
) -> Result<Option<&'a Delegation>, Refusal> {
    let command = &input.command;
    if command.delegation == B256::ZERO {
        return Ok(None);
    }
    let delegation = state.delegations.get(&command.delegation).ok_or(Code::DelegationDenies)?;
    let terms = &delegation.terms;
    let covers = !delegation.ended
        && now < terms.expires_at
        && terms.authority == authority
        && terms.mandate == command.mandate
        && command.approvals.first().is_some_and(|a| a.signer == terms.vendor)
        && terms.actions.iter().any(|name| name == command.action.name())
        && terms.campaign.is_none_or(|only| only == command.action.queue());
    if covers { Ok(Some(delegation)) } else { Err(Code::DelegationDenies.into()) }
}

/// Whether a person signed about what is theirs: their own payee address, or a decision about what they are owed.
fn is_own_affair(state: &State, input: &VerifiedCommand, facts: &CommandFacts) -> bool {
    let [approval] = input.command.approvals.as_slice() else { return false };
    let Some(address) = address_signer(&approval.signer).filter(|_| approval.authority == B256::ZERO) else {
        return false;
    };
    match &input.command.action {
        Action::ChangePayee { person, .. } => state.persons.get(person).is_some_and(|p| p.payee == address),
        Action::FileAppeal { .. } => {
            matches!(&facts.listed, Listed::Recipients(addresses) if addresses.contains(&address))
        }
        _ => false,
    }
}
