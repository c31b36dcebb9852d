//! By which right a command stands: enough institutions of the Charter, the authority whose own affair it is, the person
//! who is paid, or a mandate in force; and under which delegation a vendor's key signed it.

use alloy_primitives::B256;

use super::{Examined, Refusal};
use crate::command::{Action, Approval, Command, HoldTarget};
use crate::decide::{CommandFacts, Listed, MandateSeen, VerifiedCommand};
use crate::ids::Millis;
use crate::log::entry::{Evidence, Used};
use crate::refusal::Code;
use crate::signing::address_signer;
use crate::state::State;
use crate::state::authority::{Delegation, Mandate};
use crate::state::hold::Hold;

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

    /// Whether the limits leave room for one more command.
    pub(super) fn charge(&self, used: Used) -> Result<(), Refusal> {
        if let Some((mandate, seen)) = self.mandate
            && mandate.spent.plus(used, &seen.limits).is_none()
        {
            return Err(Refusal {
                code: Code::MandateSpent,
                changed_at: None,
                policies: seen.policies.clone(),
            });
        }
        if let Some(delegation) = self.delegation {
            delegation.spent.plus(used, &delegation.limits()).ok_or(Code::DelegationDenies)?;
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
    let first = signed_by(state, command, facts)?;
    let delegation = delegated(state, input, first, now)?;
    let Some(mandate) = mandated(state, input, facts, first)? else { return Ok(None) };
    let needs = needs(state, command);
    // Who signs for no institution of the Charter has no quorum behind it, whoever signs beside.
    let chartered = if state.is_chartered(first) { state.chartered(command).len() } else { 0 };
    let stands = needs.institutions.is_some_and(|least| chartered >= usize::from(least.max(1)))
        || (needs.own == Some(first) && first != B256::ZERO)
        || (needs.mandate && mandate.is_some())
        || is_own_affair(state, input, facts);
    if !stands {
        let subject = command.action.subject();
        if state.version_of(&subject).is_none() {
            return Err(subject.unknown().into());
        }
        return Err(match (&command.action, needs.institutions) {
            _ if first == B256::ZERO => Code::NotPayee,
            (Action::Release { .. }, _) => Code::NotPlacer,
            (_, Some(_)) if chartered > 0 => Code::QuorumMissing,
            _ if needs.mandate => Code::MandateMissing,
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

/// In whose name a command is given: the first signer's. Whoever verified the signatures saw the keys that are in force
/// here; that each speaks for the institution it signs for is asked again. Those who sign beside the first are institutions
/// of the Charter: others add nothing.
fn signed_by(state: &State, command: &Command, facts: &CommandFacts) -> Result<B256, Refusal> {
    let first = command.approvals.first().ok_or(Code::QuorumMissing)?;
    if !command.approvals.iter().map(|a| a.authority).eq(facts.signers.iter().map(|s| s.authority)) {
        return Err(Code::NotAuthorized.into());
    }
    let speaks = |a: &Approval| state.authority_of(&a.signer) == Some(a.authority);
    let by_other_right = command.delegation != B256::ZERO || first.authority == B256::ZERO;
    let beside = command.approvals[1..].iter().all(|a| speaks(a) && state.is_chartered(a.authority));
    if (by_other_right || speaks(first)) && beside {
        Ok(first.authority)
    } else {
        Err(Code::NotAuthorized.into())
    }
}

/// Who may give each command. What CONTRACTS.md's "Who it takes" names takes the same here.
fn needs(state: &State, command: &Command) -> Needs {
    let all = state.home_charter().map_or(0, |c| c.view.institutions.len());
    let threshold = state.threshold();
    let three_quarters = u16::try_from((all * 3).div_ceil(4)).unwrap_or(u16::MAX).max(1);
    let chartered = |institutions| Needs { institutions: Some(institutions), own: None, mandate: false };
    let or_mandate = |institutions| Needs { institutions: Some(institutions), own: None, mandate: true };
    let or_own = |institutions, own| Needs { institutions: Some(institutions), own, mandate: false };
    match &command.action {
        Action::Publish(_)
        | Action::Void { .. }
        | Action::RegisterAuthority(_)
        | Action::GrantMandate(_)
        | Action::DefineGate(_)
        | Action::Hold { target: HoldTarget::Campaign { .. } } => chartered(threshold),
        // A push pays only what M of N published for pushing, and a Distributor becomes a campaign only after M of N
        // registered it: for both one institution is enough.
        Action::CreateCampaign(_) | Action::Push { .. } | Action::ProposeRules(_) => or_mandate(1),
        Action::ApproveRules { .. } => chartered(1),
        // Whose keys another adds speaks for itself no more: as a change of the Charter, that takes three quarters.
        Action::ChangeKeys { authority, add, .. } if !add.is_empty() && state.is_chartered(*authority) => {
            or_own(three_quarters, Some(*authority))
        }
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
        // How much one alone may hold or pause, and for how long, is asked where it is counted.
        Action::Hold { .. } | Action::ConfirmHold { .. } | Action::Pause { .. } => or_mandate(1),
        Action::RenewHold { .. } => chartered(three_quarters),
        Action::Release { hold } => match state.holds.get(hold) {
            // What M institutions placed together no single one of them ends.
            Some(Hold { target: HoldTarget::Campaign { .. }, .. }) => chartered(threshold),
            // Nor what a second one confirmed.
            hold => or_own(three_quarters, hold.filter(|h| h.confirmed_by.is_none()).map(|h| h.placed_by)),
        },
        Action::BindPerson { .. }
        | Action::RevokeAttestation { .. }
        | Action::SetLimit { .. }
        | Action::AnswerAppeal { .. } => or_mandate(threshold),
        Action::ChangePayee { .. } | Action::FileAppeal { .. } => {
            Needs { institutions: None, own: None, mandate: true }
        }
        Action::Resume { campaign } => {
            let pause = state.campaign(*campaign).and_then(|c| c.pause).filter(|p| p.alone);
            or_own(threshold, pause.map(|p| p.by))
        }
    }
}

/// The mandate a command names: in force, the first signer's, and permitting it. `Some(None)` where it names none.
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
    // Whom it concerns, and where that person belongs, may have changed since the policies were asked about it.
    let as_seen = |seen: &&MandateSeen| {
        seen.version == mandate.version && state.asked_in_place(&input.command.action, seen.person)
    };
    let Some(seen) = facts.mandate.as_ref().filter(as_seen) else { return Ok(None) };
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
