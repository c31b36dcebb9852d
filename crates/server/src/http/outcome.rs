//! What a command did beyond its own words, and how far the chain has followed: recorded at its position, effective when
//! the bits on chain are final, and what may still pay until then.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use serde::Serialize;
use sluice_core::command::{Action, HoldTarget};
use sluice_core::ids::{BatchNo, CampaignId, EntitlementId, Millis, RoundNo, Seq};
use sluice_core::limits::PAGE_ITEMS_MAX;
use sluice_core::log::entry::{Body, Commanded, Entry, HoldPlaced, Outcome};
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;
use sluice_core::state::rules::RulesPhase;
use utoipa::ToSchema;

/// What a command did. Only what applies is there.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct OutcomeView {
    /// A hold, or how long it lasts now: it ends by itself then, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Millis>,
    /// A hold: how many entitlements it covered when it was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    covered: Option<u64>,
    /// A hold: batches that carried covered entitlements at its position, of a whole campaign every one under way; it comes too late for these, unless they are
    /// given up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    in_flight: Vec<Carries>,
    /// An appeal: it is answered until then, milliseconds, or lapses.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_by: Option<Millis>,
    /// An appeal: whose decision it is against; another authority answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    against: Option<B256>,
    /// An answered appeal: the hold that ended with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<Seq>,
    /// A rule set: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    rule_set: Option<B256>,
    /// A rule set: `proposed`, `scheduled`, `in_force` or `retired`, as it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    /// A scheduled rule set: when it comes into force, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Millis>,
    /// What was granted: the id by which commands name a mandate or a delegation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    granted: Option<B256>,
    /// Of holds and voids: how far the chain has followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_chain: Option<OnChain>,
}

/// How far the chain has followed a hold or a void.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnChain {
    /// The position that binds relayed payments.
    recorded: Seq,
    /// Whether no path pays any of it any more: each entitlement is held, annulled or paid on chain, finally.
    effective: bool,
    /// Entitlements whose bits are not final on chain: a batch or the wallet's own claim may still pay them.
    open: u64,
    /// Batches that may still pay, now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    may_still_pay: Vec<Carries>,
    /// Payments by other hands that were seen and are not final; at most 1,000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seen: Vec<Seen>,
}

/// A batch and how many of the entitlements it carries.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Carries {
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    batch: BatchNo,
    entitlements: u64,
}

/// A payment that was seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Seen {
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    round: RoundNo,
    index: u64,
    #[schema(value_type = String)]
    transaction: B256,
}

/// The phase of a rule set in a word.
pub(crate) const fn phase(phase: &RulesPhase) -> &'static str {
    match phase {
        RulesPhase::Proposed { .. } => "proposed",
        RulesPhase::Scheduled { .. } => "scheduled",
        RulesPhase::InForce => "in_force",
        RulesPhase::Retired => "retired",
    }
}

/// What an entry did; `None` where its command says it all.
pub(crate) fn of(state: &State, entry: &Entry) -> Option<OutcomeView> {
    match &entry.body {
        Body::Ordered(ordered) => Some(ordered_by(state, entry.seq, ordered)),
        Body::Voided(voided) => {
            let Action::Void { campaign, round, .. } = voided.command.command.action else { return None };
            let items = voided.items.iter().map(|(index, _)| EntitlementId { round, index: *index });
            let annulled = items.map(|id| (campaign, id));
            let on_chain = Some(followed(state, entry.seq, &words(annulled)));
            Some(OutcomeView { on_chain, ..OutcomeView::default() })
        }
        _ => None,
    }
}

impl OutcomeView {
    /// Without what tells whom it is about to whoever reads the list: which batches and payments carry what is theirs.
    pub(crate) fn without_whom(mut self) -> Self {
        (self.covered, self.on_chain) = (None, None);
        self.in_flight.clear();
        self
    }
}

fn ordered_by(state: &State, seq: Seq, ordered: &Commanded<Outcome>) -> OutcomeView {
    let mut view = OutcomeView::default();
    match &ordered.outcome {
        Outcome::Done | Outcome::Scheduled => {}
        Outcome::Held(placed) => held(state, seq, &ordered.command.action, placed, &mut view),
        Outcome::HoldExtended { until } => view.until = Some(*until),
        Outcome::Appealed(appealed) => {
            view.answer_by = Some(appealed.answer_by);
            view.against = Some(appealed.against);
        }
        Outcome::Answered { released } => view.released = *released,
    }
    match &ordered.command.action {
        Action::ProposeRules(terms) => view.rule_set = Some(terms.hash()),
        Action::ApproveRules { rules }
        | Action::RetireRules { rules }
        | Action::ActivateRules { rules, .. } => {
            view.rule_set = Some(*rules);
        }
        Action::GrantMandate(terms) => view.granted = Some(terms.id(ordered.id)),
        Action::Delegate(terms) => view.granted = Some(terms.id(ordered.id)),
        _ => {}
    }
    if let Some(set) = view.rule_set.and_then(|name| state.rule_sets.get(&name)) {
        view.phase = Some(phase(&set.phase));
        if let RulesPhase::Scheduled { at } = set.phase {
            view.starts_at = Some(at);
        }
    }
    view
}

fn held(state: &State, seq: Seq, action: &Action, placed: &HoldPlaced, view: &mut OutcomeView) {
    view.until = Some(placed.until);
    view.covered = Some(placed.covers.len() as u64);
    let mut batches: BTreeMap<(CampaignId, BatchNo), u64> = BTreeMap::new();
    for (_, campaign, batch) in &placed.in_flight {
        *batches.entry((*campaign, *batch)).or_default() += 1;
    }
    if let Action::Hold { target: HoldTarget::Campaign { campaign } } = action {
        batches.extend(placed.batches.iter().map(|(batch, carries)| ((*campaign, *batch), *carries)));
    }
    view.in_flight = batches.into_iter().map(Carries::from).collect();
    view.on_chain = Some(match action {
        Action::Hold { target: HoldTarget::Campaign { campaign } } => stopped(state, seq, *campaign),
        _ => followed(state, seq, &words(placed.covers.iter().map(|c| (c.campaign, c.entitlement)))),
    });
}

impl From<((CampaignId, BatchNo), u64)> for Carries {
    fn from(((campaign, batch), entitlements): ((CampaignId, BatchNo), u64)) -> Self {
        Self { campaign, batch, entitlements }
    }
}

/// Entitlements as masks of the Distributor's words, so that batches and bits on chain are compared word by word.
type Words = BTreeMap<(CampaignId, RoundNo, u64), [u64; 4]>;

fn words(entitlements: impl Iterator<Item = (CampaignId, EntitlementId)>) -> Words {
    let mut words = Words::new();
    for (campaign, id) in entitlements {
        let mask = words.entry((campaign, id.round, id.index / 256)).or_default();
        mask[(id.index % 256 / 64) as usize] |= 1 << (id.index % 64);
    }
    words
}

fn ones(mask: [u64; 4]) -> u64 {
    mask.iter().map(|m| u64::from(m.count_ones())).sum()
}

fn both(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|i| a[i] & b[i])
}

fn has(words: &Words, campaign: CampaignId, id: EntitlementId) -> bool {
    words
        .get(&(campaign, id.round, id.index / 256))
        .is_some_and(|mask| mask[(id.index % 256 / 64) as usize] >> (id.index % 64) & 1 == 1)
}

fn followed(state: &State, recorded: Seq, words: &Words) -> OnChain {
    let open: u64 = words
        .iter()
        .map(|((campaign, round, word), mask)| {
            let closed = state.campaign(*campaign).map_or([0; 4], |c| closed_on_chain(c, *round, *word));
            ones(std::array::from_fn(|i| mask[i] & !closed[i]))
        })
        .sum();
    let mut named: Vec<CampaignId> = words.keys().map(|(campaign, ..)| *campaign).collect();
    named.dedup();
    let campaigns = || named.iter().filter_map(|id| state.campaign(*id));
    let carries = |campaign: &Campaign, batch: &sluice_core::state::batch::Batch| -> u64 {
        let shared = batch.plan.words.iter().filter_map(|w| {
            Some(ones(both(w.mask, *words.get(&(campaign.terms.campaign, w.round, w.word))?)))
        });
        shared.sum()
    };
    let may_still_pay = campaigns().flat_map(|c| live(c).map(move |b| (c, b)));
    let may_still_pay = may_still_pay.map(|(c, b)| ((c.terms.campaign, b.plan.batch), carries(c, b)));
    let seen = campaigns().flat_map(|c| payments(c).map(move |paid| (c.terms.campaign, paid)));
    let seen = seen.filter(|(campaign, (id, _))| has(words, *campaign, *id));
    OnChain {
        recorded,
        effective: open == 0,
        open,
        may_still_pay: may_still_pay.filter(|(_, n)| *n > 0).map(Carries::from).collect(),
        seen: seen.take(PAGE_ITEMS_MAX).map(Seen::from).collect(),
    }
}

/// A hold on a whole campaign is followed by a pause of its Distributor.
fn stopped(state: &State, recorded: Seq, id: CampaignId) -> OnChain {
    let campaign = state.campaign(id);
    let paused = campaign.is_some_and(|c| c.paused_on_chain.saturating_mul(1_000) > state.recorded_at);
    let all = campaign.into_iter().flat_map(live);
    let all = all.map(|b| ((id, b.plan.batch), b.plan.words.iter().map(|w| u64::from(w.count())).sum()));
    let seen = campaign.into_iter().flat_map(payments).map(|paid| (id, paid));
    let may_still_pay: Vec<Carries> = all.map(Carries::from).collect();
    let open = may_still_pay.iter().map(|c| c.entitlements).sum();
    OnChain {
        recorded,
        effective: paused,
        open,
        may_still_pay,
        seen: seen.take(PAGE_ITEMS_MAX).map(Seen::from).collect(),
    }
}

impl From<(CampaignId, (EntitlementId, B256))> for Seen {
    fn from((campaign, (id, transaction)): (CampaignId, (EntitlementId, B256))) -> Self {
        Self { campaign, round: id.round, index: id.index, transaction }
    }
}

fn live(campaign: &Campaign) -> impl Iterator<Item = &sluice_core::state::batch::Batch> {
    campaign.batches.values().filter(|batch| !batch.given_up)
}

fn payments(campaign: &Campaign) -> impl Iterator<Item = (EntitlementId, B256)> + '_ {
    campaign.unfinal.values().flat_map(|block| &block.events).filter_map(|event| event.payment())
}

/// The bits of a word that nothing pays any more: held, annulled or paid on chain, finally.
fn closed_on_chain(campaign: &Campaign, round: RoundNo, word: u64) -> [u64; 4] {
    let held = campaign.held_on_chain.get(&(round, word)).copied().unwrap_or_default();
    let shard = campaign.round(round).and_then(|r| r.shard_at(word * 256));
    let Some((shard, place)) = shard else { return held };
    let (annulled, paid) = (shard.annulled.word256(place / 256), shard.paid.word256(place / 256));
    std::array::from_fn(|i| held[i] | annulled[i] | paid[i])
}
