//! A command at its position: who may give it, whether its authors saw the subject as it is, and what it does.

mod holds;
mod rounds;
mod standing;

use super::{CommandFacts, Decision, VerifiedCommand};
use crate::command::{Action, Command, Demand};
use crate::ids::{CampaignId, Millis, Seq};
use crate::limits::{APPEAL_WITHIN, PAUSE_ALONE, PAUSE_MAX};
use crate::log::entry::{Appealed, Body, CommandRefused, Commanded, Evidence, Outcome};
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply_offices::{millis, proposer};
use standing::Standing;

pub(super) fn decide(state: &State, input: &VerifiedCommand, now: Millis) -> Decision {
    match examine(state, input, now) {
        Ok(Some(body)) => Decision::entry(body),
        Ok(None) => Decision::Again,
        Err(Refusal { code, changed_at, policies }) => {
            Decision::entry(Body::CommandRefused(CommandRefused {
                intake: input.key,
                id: input.id,
                body_hash: Demand::Command(input.command.clone()).body_hash().into(),
                code,
                changed_at,
                authority: proposer(&input.command),
                policies,
            }))
        }
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
    state.check_fresh(&input.command).map_err(|(code, changed_at)| Refusal {
        code,
        changed_at,
        policies: Vec::new(),
    })?;
    state.check_order(&input.command)?;
    let Some(body) = act(state, input, facts, &standing, now)? else { return Ok(None) };
    standing.charge(body.used().ok_or(Code::BadRange)?)?;
    Ok(Some(body))
}

/// What a command that may be done does. Only what depends on the time is left to be refused here.
fn act(
    state: &State,
    input: &VerifiedCommand,
    facts: &CommandFacts,
    standing: &Standing<'_>,
    now: Millis,
) -> Examined<Body> {
    let command = &input.command;
    let outcome = match &command.action {
        Action::CreateCampaign(_) | Action::Publish(_) | Action::Push { .. } | Action::Void { .. } => {
            return rounds::decide(state, input, facts, standing.evidence());
        }
        Action::Hold { target } => match holds::place(state, command, facts, target, now)? {
            Some(outcome) => outcome,
            None => return Ok(None),
        },
        Action::ConfirmHold { .. } | Action::RenewHold { .. } => holds::extended(now),
        Action::Delegate(terms) if terms.expires_at <= now => return Err(Code::DelegationDenies.into()),
        Action::ActivateRules { at, .. } if *at > now => Outcome::Scheduled,
        Action::Pause { campaign, until } => {
            pause(state, command, *campaign, *until, now)?;
            Outcome::Done
        }
        Action::FileAppeal { about } => {
            let against = state.appeal_against(about)?;
            Outcome::Appealed(Appealed { against, answer_by: now + millis(APPEAL_WITHIN) })
        }
        // One that is upheld against a hold ends it; one against an annulment or a refusal obliges to a correction, which is
        // a round of its own.
        Action::AnswerAppeal { appeal, upheld } => {
            Outcome::Answered { released: state.released_by(*appeal, *upheld) }
        }
        _ => Outcome::Done,
    };
    Ok(Some(Body::Ordered(commanded(input, standing.evidence(), outcome))))
}

/// One institution alone pauses for 24 hours in all (CONTRACTS.md), and never cuts another's pause short.
fn pause(
    state: &State,
    command: &Command,
    campaign: CampaignId,
    until: Millis,
    now: Millis,
) -> Result<(), Refusal> {
    let campaign = state.campaign(campaign).ok_or(Code::UnknownCampaign)?;
    if until <= now || until - now > millis(PAUSE_MAX) {
        return Err(Code::PauseTooLong.into());
    }
    if !state.is_alone(command) {
        return Ok(());
    }
    if campaign.pause.is_some_and(|pause| pause.until > until) {
        return Err(Code::Paused.into());
    }
    let used = campaign.paused_alone_by(proposer(command), now);
    let fits = used.saturating_add(until - now) <= millis(PAUSE_ALONE);
    if fits { Ok(()) } else { Err(Code::PauseTooLong.into()) }
}

fn commanded<T>(input: &VerifiedCommand, evidence: Evidence, outcome: T) -> Commanded<T> {
    Commanded { intake: input.key, id: input.id, command: input.command.clone(), evidence, outcome }
}
