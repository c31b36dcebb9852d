//! How an entitlement stands with institutions: whose it is, what holds it, whether its gate's word reaches the chain, and
//! why a claim was refused.

use alloy_primitives::B256;
use serde::Serialize;
use sluice_core::command::{HoldTarget, RoundMode};
use sluice_core::ids::{EntitlementId, Millis, Seq};
use sluice_core::log::entry::ClaimRefused;
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;
use sluice_engine::facts::unsalted;
use sluice_gate::mandate::Subject;
use sluice_gate::rules::{KeptClaim, RefusedClaim, Told};
use sluice_store::KeptFacts;
use utoipa::ToSchema;

use super::Api;
use super::hidden::{Hidden, all_hidden, shown_alone};
use super::problem::Problem;
use super::reader::Sight;
use super::sealed::entitlement;

/// How an entitlement stands with institutions.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct StandingView {
    /// Whose it is, by the list; only for those who may read it. Not as a hash: two entitlements with the same one would be
    /// told to be one person's.
    #[serde(skip_serializing_if = "unseen")]
    #[schema(value_type = Option<String>)]
    person: Option<Hidden<B256>>,
    /// Holds in force that cover it. One on a person is told to whose entitlement it is and to those who may read that: two
    /// entitlements under the same one are one person's.
    #[serde(skip_serializing_if = "all_hidden", serialize_with = "shown_alone")]
    #[schema(value_type = Vec<HeldBy>)]
    held_by: Vec<Hidden<HeldBy>>,
    /// Of a decided claim in a gated round: `covered` once its gate signed a word that says so, else `pending`. What is
    /// pending cannot be claimed by wallet, nor in an exit.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_cover: Option<&'static str>,
}

/// A hold that covers an entitlement.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HeldBy {
    /// The position of the entry that placed it: its name, for appeals.
    hold: Seq,
    /// Who placed it.
    #[schema(value_type = String)]
    placed_by: B256,
    /// It ends by itself then, milliseconds.
    until: Millis,
}

impl StandingView {
    /// `own` says that it is the listed wallet that asks.
    pub(crate) fn new(
        state: &State,
        campaign: &Campaign,
        id: EntitlementId,
        (of, own): (Option<B256>, bool),
        sight: &Sight,
    ) -> Self {
        let holds = campaign.held.get(&id).into_iter().flatten().chain(&campaign.campaign_holds);
        let [listed] = entitlement(campaign.terms.campaign, id);
        let held_by = holds.filter_map(|at| {
            let hold = state.holds.get(at)?;
            let shown = HeldBy { hold: *at, placed_by: hold.placed_by, until: hold.until };
            Some(match &hold.target {
                HoldTarget::Person { person } => {
                    Hidden::new(sight, [listed.clone(), Subject::Person { person: *person }], shown).own(own)
                }
                _ => Hidden::open(sight, shown),
            })
        });
        Self {
            held_by: held_by.collect(),
            person: of.map(|whose| Hidden::new(sight, [listed, Subject::Person { person: whose }], whose)),
            exit_cover: exit_cover(campaign, id),
        }
    }
}

/// Whether there is nothing that this reader may be shown.
pub(crate) fn unseen<T>(hidden: &Option<Hidden<T>>) -> bool {
    hidden.as_ref().is_none_or(Hidden::is_hidden)
}

fn exit_cover(campaign: &Campaign, id: EntitlementId) -> Option<&'static str> {
    let round = campaign.round_of(id).filter(|round| round.terms.mode == RoundMode::Gated)?;
    let (shard, at) = round.shard(id.index);
    if !shard.decided.get(at) {
        return None;
    }
    let approved = campaign.approved.get(&(id.round, id.index / 256));
    let covered =
        approved.is_some_and(|a| a.mask[(id.index % 256 / 64) as usize] >> (id.index % 64) & 1 == 1);
    Some(if covered { "covered" } else { "pending" })
}

/// Why a claim on a gated round could not be permitted now, whoever claims.
pub(crate) fn gate_closed(state: &State, campaign: &Campaign, gate: u64) -> Option<Code> {
    let gate = u16::try_from(gate).ok().and_then(|version| campaign.gates.get(&version));
    let Some(gate) = gate else { return Some(Code::UnknownGate) };
    let in_force = gate.terms.rule_sets.iter().all(|lineage| state.rules_in_force(*lineage).is_some());
    (!in_force).then_some(Code::RulesNotInForce)
}

/// Which condition a claim failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Condition {
    /// The rule set's own code.
    code: String,
    /// The same in words.
    sentence: String,
}

/// What is told of a refusal by rules: to claimants, and to those who may read the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// What its claimant is told.
    pub condition: Condition,
    /// What it failed, which the rules may mask.
    pub cause: Condition,
}

impl Failed {
    /// Whether its claimant is told something else than the cause.
    pub(crate) fn is_masked(&self) -> bool {
        self.condition.code != self.cause.code
    }
}

impl From<RefusedClaim> for Failed {
    fn from(kept: RefusedClaim) -> Self {
        let words = |told: Told| Condition { code: told.code, sentence: told.sentence };
        Self { condition: words(kept.told), cause: words(kept.cause) }
    }
}

/// The condition that a refused claim failed, as it is kept beside the log; the entry says no more than the code. `None`
/// where rules did not refuse it, or it was erased.
pub(crate) async fn condition(
    api: &Api,
    seq: Seq,
    refused: &ClaimRefused,
) -> Result<Option<Failed>, Problem> {
    if !matches!(refused.code, Code::RuleRefused | Code::UnderReview) {
        return Ok(None);
    }
    let stream = api.node.follower().read(|state| state.stream);
    let kept = api.node.store().facts_of(stream, seq).await.map_err(super::from_store)?;
    let Some(KeptFacts::Open(bytes)) = kept else { return Ok(None) };
    let Ok(KeptClaim::Refused(kept)) = unsalted(&bytes) else { return Ok(None) };
    Ok(Some((*kept).into()))
}

#[cfg(test)]
mod tests {
    use sluice_gate::rules::{ClaimFacts, PolicySource, RuleSet, Sources, evaluate};

    use super::*;

    /// What is kept of a claim that pays elsewhere, under rules that mask `watched`.
    fn kept(amount: u128) -> RefusedClaim {
        let manifest = r#"
            owner = "0x0000000000000000000000000000000000000000000000000000000000000007"
            lineage = "benefits"
            version = "1"
            [reasons.too_much]
            message = "The amount is above what one payment may be."
            [reasons.watched]
            message = "The address is being watched."
            claimant = "ask_office"
            [reasons.ask_office]
            message = "Please ask the office."
        "#;
        let policies = r#"
            @id("all") permit(principal, action == Action::"pay", resource);
            @id("cap") @reason("too_much") forbid(principal, action == Action::"pay", resource)
            when { context.amount_up.greaterThan(decimal("100.0")) };
            @id("watch") @reason("watched") forbid(principal, action == Action::"pay", resource)
            when { !context.amount_down.greaterThan(decimal("100.0")) };
        "#;
        let sources = Sources { manifest, policies: PolicySource::Cedar(policies), never: "" };
        let (_, rules) = RuleSet::build(&sources).unwrap();
        let facts = ClaimFacts {
            campaign: Default::default(),
            round: 1,
            index: 0,
            recipient: Default::default(),
            to: Default::default(),
            amount: sluice_core::amount::Amount::new(amount).unwrap(),
            decimals: 0,
            person: None,
            accepted_at: 0,
            attestations: Default::default(),
        };
        let said = evaluate(&[&rules], &facts);
        let policies = said.policies();
        RefusedClaim::new(facts, policies, Vec::new(), said.refusal.unwrap())
    }

    #[test]
    fn a_claimant_is_told_the_cause_unless_the_rules_mask_it() {
        let failed = |amount| Failed::from(kept(amount));
        let told = failed(101).condition;
        assert_eq!(told.code, "too_much");
        assert!(told.sentence.starts_with("The amount is above what one payment may be."), "{told:?}");
        let told = failed(100).condition;
        assert_eq!((told.code.as_str(), told.sentence.as_str()), ("ask_office", "Please ask the office."));
        let cause = failed(100).cause;
        assert!(cause.code == "watched" && cause.sentence.contains("being watched"), "{cause:?}");
    }
}
