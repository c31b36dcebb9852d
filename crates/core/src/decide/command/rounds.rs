//! Commands about rounds: announce, push, annul.

use super::{Examined, Refusal, commanded};
use crate::amount::{Amount, Total};
use crate::command::{Action, RoundMode, RoundTerms};
use crate::decide::{CommandFacts, Edge, Listed, VerifiedCommand};
use crate::ids::{CampaignId, RoundNo};
use crate::limits::SHARD;
use crate::log::entry::{Body, Evidence, Pushed, RoundPublished, Voided};
use crate::refusal::Code;
use crate::state::State;
use crate::state::apply::range_mask;
use crate::state::campaign::Campaign;
use crate::state::round::{Round, RoundPhase, place_of, shards_of};

pub(super) fn decide(
    state: &State,
    input: &VerifiedCommand,
    facts: &CommandFacts,
    evidence: Evidence,
) -> Examined<Body> {
    match &input.command.action {
        Action::CreateCampaign(terms) => {
            let exists = state.campaigns.contains_key(&terms.campaign)
                || state.campaigns.values().any(|c| c.terms.distributor == terms.distributor);
            // The queues of orders have ids of their own.
            if exists || terms.campaign.is_orders() {
                return Err(Code::CampaignExists.into());
            }
            Ok(Some(Body::CampaignCreated(commanded(input, evidence, terms.clone()))))
        }
        Action::Publish(terms) => publish(state, input, facts, evidence, terms),
        Action::Push { campaign, round, from, to } => {
            let (campaign, round) = known(state, *campaign, *round)?;
            let decided = push(campaign, round, facts, *from..*to)?;
            Ok(decided
                .map(|decided| Body::Pushed(Pushed { command: commanded(input, evidence, ()), decided })))
        }
        Action::Void { campaign, round, indexes } => {
            let (_, round) = known(state, *campaign, *round)?;
            let Listed::Amounts(amounts) = &facts.listed else { return Ok(None) };
            let items = void(round, indexes, amounts)?;
            Ok(Some(Body::Voided(Voided { command: commanded(input, evidence, ()), items })))
        }
        _ => Err(Code::NotAuthorized.into()),
    }
}

fn known(state: &State, campaign: CampaignId, round: RoundNo) -> Result<(&Campaign, &Round), Refusal> {
    let campaign = state.campaign(campaign).ok_or(Code::UnknownCampaign)?;
    Ok((campaign, campaign.round(round).ok_or(Code::UnknownRound)?))
}

fn publish(
    state: &State,
    input: &VerifiedCommand,
    facts: &CommandFacts,
    evidence: Evidence,
    terms: &RoundTerms,
) -> Examined<Body> {
    let campaign = state.campaign(terms.campaign).ok_or(Code::UnknownCampaign)?;
    if terms.round != campaign.next_round() {
        return Err(Code::RoundExists.into());
    }
    let Listed::Round { shard_totals, held, as_of, ahead, corrects } = &facts.listed else { return Ok(None) };
    // A hold placed or ended since the engine looked may cover other entitlements of this round.
    if !(state.persons_held_at..=state.seq).contains(as_of) {
        return Ok(None);
    }
    let mut held = held.clone();
    held.sort_by_key(|(hold, index, _)| (*hold, *index));
    held.dedup_by_key(|(hold, index, _)| (*hold, *index));
    let sum = shard_totals.iter().try_fold(Total::ZERO, |sum, t| sum.checked_add_total(*t));
    if terms.count == 0 || shard_totals.len() as u64 != shards_of(terms.count) || sum != Some(terms.total) {
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
    let published = RoundPublished {
        command: commanded(input, evidence, ()),
        terms: terms.clone(),
        shard_totals: shard_totals.clone(),
        held,
        ahead: ahead.clone(),
        corrects: corrects.clone(),
    };
    state.check_published(&published)?;
    Ok(Some(Body::RoundPublished(published)))
}

/// Per shard its number, how many entitlements are newly decided there, and their sum.
type Shares = Vec<(u32, u32, Total)>;

/// What a push decides in each shard: its own sums where the range covers the shard, else amounts from the snapshot.
fn push(
    campaign: &Campaign,
    round: &Round,
    facts: &CommandFacts,
    range: std::ops::Range<u64>,
) -> Examined<Shares> {
    if let Some(code) = campaign.stopped() {
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
    if !campaign.decided.leaves_room(total) {
        return Err(Code::LimitReached.into());
    }
    if !campaign.funds.covers(total) {
        return Err(Code::InsufficientFunds.into());
    }
    Ok(Some(decided))
}

/// How many entitlements of a shard the range newly decides, and their sum.
fn shard_share(
    round: &Round,
    number: u64,
    range: &std::ops::Range<u64>,
    edges: &[Edge],
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
fn void(round: &Round, indexes: &[u64], amounts: &[Amount]) -> Result<Vec<(u64, Amount)>, Refusal> {
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
