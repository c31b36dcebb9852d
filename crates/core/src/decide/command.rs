//! A command at its position: quorum, freshness of what its authors saw, and what it does.

use super::{CommandFacts, Decision, Listed, VerifiedCommand};
use crate::amount::Total;
use crate::command::{Action, Demand, RoundMode, RoundTerms};
use crate::ids::{CampaignId, Millis, RoundNo, Seq};
use crate::limits::SHARD;
use crate::log::entry::{Body, CommandRefused, Commanded, Evidence, Pushed, RoundPublished, Voided};
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply::range_mask;
use crate::state::round::{Round, RoundPhase, place_of, shards_of};

pub(super) fn decide(state: &State, input: &VerifiedCommand, now: Millis) -> Decision {
    match examine(state, input, now) {
        Ok(Some(body)) => Decision::entry(body),
        Ok(None) => Decision::Again,
        Err(Refusal { code, changed_at }) => Decision::entry(Body::CommandRefused(CommandRefused {
            intake: input.key,
            id: input.id,
            body_hash: Demand::Command(input.command.clone()).body_hash().into(),
            code,
            changed_at,
        })),
    }
}

struct Refusal {
    code: Code,
    changed_at: Option<Seq>,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, changed_at: None }
    }
}

/// The checks in their fixed order; `None` asks for a new verification.
fn examine(state: &State, input: &VerifiedCommand, now: Millis) -> Result<Option<Body>, Refusal> {
    let facts = input.verdict.as_ref().map_err(|code| *code)?;
    let charter = state.home_charter().ok_or(Code::NotAuthorized)?;
    if facts.set_version != charter.view.set_version {
        return Ok(None);
    }
    if input.command.deadline <= now {
        return Err(Code::Expired.into());
    }
    if facts.institutions < quorum(&input.command.action, charter.view.threshold) {
        return Err(Code::QuorumMissing.into());
    }
    let evidence = Evidence { looked_at: facts.looked_at, ..state.evidence(None) };
    match &input.command.action {
        Action::CreateCampaign(terms) => {
            let exists = state.campaigns.contains_key(&terms.campaign)
                || state.campaigns.values().any(|c| c.terms.distributor == terms.distributor);
            if exists || terms.campaign == CampaignId::default() {
                return Err(Code::CampaignExists.into());
            }
            Ok(Some(Body::CampaignCreated(commanded(input, evidence, terms.clone()))))
        }
        Action::Publish(terms) => publish(state, input, facts, evidence, terms),
        Action::Push { campaign, round, from, to } => {
            let target = fresh_round(state, input, *campaign, *round)?;
            push(
                target,
                facts,
                *from..*to,
                &state.campaigns[campaign].funds,
                state.campaigns[campaign].paused,
            )
            .map(|decided| {
                decided
                    .map(|decided| Body::Pushed(Pushed { command: commanded(input, evidence, ()), decided }))
            })
        }
        Action::Void { campaign, round, indexes } => {
            let target = fresh_round(state, input, *campaign, *round)?;
            let Listed::Amounts(amounts) = &facts.listed else { return Ok(None) };
            let items = void(target, indexes, amounts)?;
            Ok(Some(Body::Voided(Voided { command: commanded(input, evidence, ()), items })))
        }
    }
}

/// How many institutions an action takes (CONTRACTS.md, "Who it takes"). A push pays only what M of N published for
/// pushing, and a Distributor becomes a campaign only after M of N registered it: for both one institution is enough.
fn quorum(action: &Action, threshold: u16) -> u16 {
    match action {
        Action::Publish(_) | Action::Void { .. } => threshold.max(1),
        Action::CreateCampaign(_) | Action::Push { .. } => 1,
    }
}

fn commanded<T>(input: &VerifiedCommand, evidence: Evidence, outcome: T) -> Commanded<T> {
    Commanded { intake: input.key, id: input.id, command: input.command.clone(), evidence, outcome }
}

/// The round a command is about, if its authors saw it as it is.
fn fresh_round<'a>(
    state: &'a State,
    input: &VerifiedCommand,
    campaign: CampaignId,
    round: RoundNo,
) -> Result<&'a Round, Refusal> {
    let campaign = state.campaign(campaign).ok_or(Code::UnknownCampaign)?;
    let round = campaign.round(round).ok_or(Code::UnknownRound)?;
    fresh(state, input, round.version)?;
    Ok(round)
}

/// Whether the authors saw the subject as it is. A version that the log has not reached cannot have been seen: it
/// would be a signature for whatever comes.
fn fresh(state: &State, input: &VerifiedCommand, changed_at: Seq) -> Result<(), Refusal> {
    if changed_at <= input.command.subject_version && input.command.subject_version <= state.seq {
        return Ok(());
    }
    Err(Refusal { code: Code::Stale, changed_at: Some(changed_at) })
}

fn publish(
    state: &State,
    input: &VerifiedCommand,
    facts: &CommandFacts,
    evidence: Evidence,
    terms: &RoundTerms,
) -> Result<Option<Body>, Refusal> {
    let campaign = state.campaign(terms.campaign).ok_or(Code::UnknownCampaign)?;
    if terms.round != campaign.next_round() {
        return Err(Code::RoundExists.into());
    }
    fresh(state, input, campaign.version)?;
    let Listed::Round { shard_totals: totals, ahead } = &facts.listed else { return Ok(None) };
    let sum = totals.iter().try_fold(Total::ZERO, |sum, t| sum.checked_add_total(*t));
    if terms.count == 0 || totals.len() as u64 != shards_of(terms.count) || sum != Some(terms.total) {
        return Err(Code::SnapshotMissing.into());
    }
    let known = campaign.ahead.get(&terms.round);
    if known.is_some_and(|known| !known.is_of(terms)) {
        return Err(Code::WrongTerms.into());
    }
    let counts = known.map(|known| known.counts(terms.count)).unwrap_or_default();
    if !ahead.iter().map(|s| (s.shard, (s.paid, s.void))).eq(counts) {
        // More became final since the amounts were looked up.
        return Ok(None);
    }
    Ok(Some(Body::RoundPublished(RoundPublished {
        command: commanded(input, evidence, ()),
        terms: terms.clone(),
        shard_totals: totals.clone(),
        held: Vec::new(),
        ahead: ahead.clone(),
    })))
}

/// Per shard its number, how many entitlements are newly decided there, and their sum.
type Shares = Vec<(u32, u32, Total)>;

/// What a push decides in each shard: its own sums where the range covers the shard, else amounts from the snapshot.
fn push(
    round: &Round,
    facts: &CommandFacts,
    range: std::ops::Range<u64>,
    funds: &crate::state::funds::Funds,
    paused: Option<Code>,
) -> Result<Option<Shares>, Refusal> {
    if let Some(code) = paused {
        return Err(code.into());
    }
    if round.terms.mode != RoundMode::Push {
        return Err(Code::WrongMode.into());
    }
    match round.phase {
        RoundPhase::Announced | RoundPhase::Published => return Err(Code::NotOpen.into()),
        RoundPhase::Cancelled => return Err(Code::UnknownRound.into()),
        RoundPhase::Closed => return Err(Code::Closed.into()),
        RoundPhase::Open => {}
    }
    if range.is_empty() || range.end > round.terms.count {
        return Err(Code::BadRange.into());
    }
    let Listed::Edges(edges) = &facts.listed else { return Ok(None) };
    let mut decided = Shares::new();
    let mut total = Total::ZERO;
    for number in range.start / SHARD..range.end.div_ceil(SHARD) {
        let Some((count, sum)) = shard_share(round, number, &range, edges) else { return Ok(None) };
        if count > 0 {
            let shard = u32::try_from(number).map_err(|_| Code::BadRange)?;
            decided.push((shard, count, sum));
            total = total.checked_add_total(sum).ok_or(Code::BadRange)?;
        }
    }
    if decided.is_empty() {
        return Err(Code::AlreadyDecided.into());
    }
    if !funds.covers(total) {
        return Err(Code::InsufficientFunds.into());
    }
    Ok(Some(decided))
}

/// How many entitlements of a shard the range newly decides, and their sum.
fn shard_share(
    round: &Round,
    number: u64,
    range: &std::ops::Range<u64>,
    edges: &[super::Edge],
) -> Option<(u32, Total)> {
    let at = usize::try_from(number).ok()?;
    let shard = round.shards.get(at)?;
    let first = number * SHARD;
    let count = round.shard_count(at);
    let (low, high) = (range.start.max(first) - first, range.end.min(first + count) - first);
    if low == 0 && high == count {
        let left = u32::try_from(count).ok()? - shard.taken;
        return Some((left, round.shard_totals[at].checked_sub(shard.taken_total)?));
    }
    let edge = edges.iter().find(|e| u64::from(e.shard) == number)?;
    let skip = usize::try_from((first + low).checked_sub(edge.from)?).ok()?;
    let amounts = edge.amounts.get(skip..)?;
    let (mut newly, mut sum) = (0, Total::ZERO);
    for word in place_of(low) / 64..place_of(high - 1) / 64 + 1 {
        let mut open =
            range_mask(word as u64, low, high) & !shard.void.word(word) & !shard.decided.word(word);
        while open != 0 {
            let place = word as u64 * 64 + u64::from(open.trailing_zeros());
            open &= open - 1;
            newly += 1;
            sum = sum.checked_add(*amounts.get(usize::try_from(place - low).ok()?)?)?;
        }
    }
    Some((newly, sum))
}

/// What a void annuls: those already paid refuse it, those already void are left out.
fn void(
    round: &Round,
    indexes: &[u64],
    amounts: &[crate::amount::Amount],
) -> Result<Vec<(u64, crate::amount::Amount)>, Refusal> {
    let ascending = indexes.windows(2).all(|w| w[0] < w[1]);
    let inside = indexes.last().is_some_and(|last| *last < round.terms.count);
    if !ascending || !inside || amounts.len() != indexes.len() {
        return Err(Code::BadRange.into());
    }
    let mut items = Vec::with_capacity(indexes.len());
    for (index, amount) in indexes.iter().zip(amounts) {
        let (shard, at) = round.shard(*index);
        if shard.paid.get(at) {
            return Err(Code::AlreadyPaid.into());
        }
        if !shard.void.get(at) {
            items.push((*index, *amount));
        }
    }
    if items.is_empty() { Err(Code::Voided.into()) } else { Ok(items) }
}
