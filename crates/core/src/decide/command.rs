//! A command at its position: who may give it, whether its authors saw the subject as it is, and what it does.

mod authorities;
mod campaigns;
mod holds;
mod persons;
mod rounds;
mod rules;
mod standing;

use super::{CommandFacts, Decision, VerifiedCommand};
use crate::amount::{Amount, Total};
use crate::command::{Action, Demand};
use crate::ids::{Millis, Seq};
use crate::log::entry::{Body, CommandRefused, Commanded, Evidence, Outcome};
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply_offices::proposer;

pub(super) fn decide(state: &State, input: &VerifiedCommand, now: Millis) -> Decision {
    match examine(state, input, now) {
        Ok(Some(body)) => Decision::entry(body),
        Ok(None) => Decision::Again,
        Err(Refusal { code, changed_at, policies }) => Decision::entry(Body::CommandRefused(CommandRefused {
            intake: input.key,
            id: input.id,
            body_hash: Demand::Command(input.command.clone()).body_hash().into(),
            code,
            changed_at,
            authority: proposer(&input.command),
            policies,
        })),
    }
}

/// Why a command is refused.
struct Refusal {
    code: Code,
    changed_at: Option<Seq>,
    policies: Vec<String>,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, changed_at: None, policies: Vec::new() }
    }
}

/// What a command becomes, or `None` where it must be verified again.
type Examined<T> = Result<Option<T>, Refusal>;

/// The checks in their fixed order: is it known who signed, is there time, may they, did they see the subject as it is,
/// can it be done, do the limits allow it.
fn examine(state: &State, input: &VerifiedCommand, now: Millis) -> Examined<Body> {
    let facts = input.verdict.as_ref().map_err(|code| *code)?;
    let charter = state.home_charter().ok_or(Code::NotAuthorized)?;
    let signers_stand = facts.signers.iter().all(|s| state.key_version(s.authority) == s.key_version);
    if facts.set_version != charter.view.set_version || !signers_stand {
        return Ok(None);
    }
    if input.command.deadline <= now {
        return Err(Code::Expired.into());
    }
    let Some(standing) = standing::examine(state, input, facts, now)? else { return Ok(None) };
    fresh(state, input)?;
    let Some(body) = act(state, input, facts, standing.evidence(), now)? else { return Ok(None) };
    standing.charge(amount_of(&body)?)?;
    Ok(Some(body))
}

fn act(
    state: &State,
    input: &VerifiedCommand,
    facts: &CommandFacts,
    evidence: Evidence,
    now: Millis,
) -> Examined<Body> {
    let action = &input.command.action;
    let outcome = match action {
        Action::CreateCampaign(_) | Action::Publish(_) | Action::Push { .. } | Action::Void { .. } => {
            return rounds::decide(state, input, facts, evidence);
        }
        Action::RegisterAuthority(_)
        | Action::ChangeKeys { .. }
        | Action::GrantMandate(_)
        | Action::RevokeMandate { .. }
        | Action::Delegate(_)
        | Action::RevokeDelegation { .. } => authorities::decide(state, action, now)?,
        Action::ProposeRules(_)
        | Action::ApproveRules { .. }
        | Action::ActivateRules { .. }
        | Action::RetireRules { .. } => rules::decide(state, action, proposer(&input.command), now)?,
        Action::Hold { target } => match holds::place(state, input, facts, target, now)? {
            Some(outcome) => outcome,
            None => return Ok(None),
        },
        Action::ConfirmHold { .. } | Action::RenewHold { .. } | Action::Release { .. } => {
            holds::change(state, action, proposer(&input.command), now)?
        }
        Action::BindPerson { .. } | Action::ChangePayee { .. } | Action::RevokeAttestation { .. } => {
            persons::decide(state, action)?
        }
        Action::FileAppeal { about } => persons::appeal(state, about, now)?,
        Action::AnswerAppeal { appeal, upheld } => {
            persons::answer(state, *appeal, *upheld, proposer(&input.command))?
        }
        Action::DefineGate(_) | Action::Pause { .. } | Action::Resume { .. } | Action::SetLimit { .. } => {
            campaigns::decide(state, action, now)?
        }
    };
    Ok(Some(Body::Ordered(commanded(input, evidence, outcome))))
}

fn commanded<T>(input: &VerifiedCommand, evidence: Evidence, outcome: T) -> Commanded<T> {
    Commanded { intake: input.key, id: input.id, command: input.command.clone(), evidence, outcome }
}

/// Whether the authors saw the subject as it is. A version that the log has not reached cannot have been seen: it
/// would be a signature for whatever comes.
fn fresh(state: &State, input: &VerifiedCommand) -> Result<(), Refusal> {
    let subject = input.command.action.subject();
    let Some(changed_at) = state.version_of(&subject) else { return Err(unknown(&subject).into()) };
    if changed_at <= input.command.subject_version && input.command.subject_version <= state.seq {
        return Ok(());
    }
    Err(Refusal { code: Code::Stale, changed_at: Some(changed_at), policies: Vec::new() })
}

fn unknown(subject: &crate::command::Subject) -> Code {
    use crate::command::Subject;
    match subject {
        Subject::Authority(_) => Code::UnknownAuthority,
        Subject::Mandate(_) => Code::MandateMissing,
        Subject::Delegation(_) => Code::DelegationDenies,
        Subject::Rules(_) => Code::UnknownRules,
        Subject::Campaign(_) => Code::UnknownCampaign,
        Subject::Round(..) => Code::UnknownRound,
        Subject::Hold(_) => Code::UnknownHold,
        Subject::Appeal(_) => Code::UnknownAppeal,
        Subject::Person(_) => Code::UnknownPerson,
        Subject::New | Subject::Attestation(_) => Code::Stale,
    }
}

/// Base units a command decides, annuls or holds: what counts against its mandate.
fn amount_of(body: &Body) -> Result<Total, Refusal> {
    let add = |sum: Total, amount: Amount| sum.checked_add(amount);
    let sum = match body {
        Body::Pushed(pushed) => {
            pushed.decided.iter().try_fold(Total::ZERO, |sum, (.., more)| sum.checked_add_total(*more))
        }
        Body::Voided(voided) => voided.items.iter().try_fold(Total::ZERO, |sum, (_, amount)| add(sum, *amount)),
        Body::Ordered(Commanded { outcome: Outcome::Held(placed), .. }) => {
            placed.covers.iter().try_fold(Total::ZERO, |sum, covered| add(sum, covered.amount))
        }
        _ => Some(Total::ZERO),
    };
    sum.ok_or_else(|| Code::BadRange.into())
}
