//! How an entitlement stands with institutions: whose it is, what holds it, whether its gate's word reaches the chain, and
//! which condition a refused claim failed.

use std::sync::Arc;

use alloy_primitives::B256;
use serde::Serialize;
use sluice_core::command::RoundMode;
use sluice_core::ids::{EntitlementId, Millis, Seq};
use sluice_core::log::entry::ClaimRefused;
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;
use sluice_gate::rules::{Compiled, explain};
use utoipa::ToSchema;

use super::Api;
use super::about::person;
use super::auth::Caller;
use super::hidden::Hidden;
use super::problem::Problem;

/// How an entitlement stands with institutions.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct StandingView {
    /// Whose it is, by the list; without a key the SHA-256 of the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    person: Option<Hidden<String>>,
    /// Holds in force that cover it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held_by: Vec<HeldBy>,
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
    pub(crate) fn new(
        state: &State,
        campaign: &Campaign,
        id: EntitlementId,
        of: Option<B256>,
        caller: Caller,
    ) -> Self {
        let holds = campaign.held.get(&id).into_iter().flatten().chain(&campaign.campaign_holds);
        let held_by = holds.filter_map(|at| {
            let hold = state.holds.get(at)?;
            Some(HeldBy { hold: *at, placed_by: hold.placed_by, until: hold.until })
        });
        Self {
            person: of.map(|id| person(caller, id)),
            held_by: held_by.collect(),
            exit_cover: exit_cover(campaign, id),
        }
    }
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

/// Which condition a claim failed, as its claimant is told: a cause that the rules mask is not named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Condition {
    /// The rule set's own code.
    code: String,
    /// The same in words.
    sentence: String,
}

/// The condition that a refused claim failed, in the words of the rule set that its entry names. The log's own code says
/// all there is where rules did not refuse, or mask what they refused for.
pub(crate) async fn condition(api: &Api, refused: &ClaimRefused) -> Result<Option<Condition>, Problem> {
    // The verifier writes the cause's code behind the deciding policies.
    let (Code::RuleRefused, Some(cause)) = (refused.code, refused.evidence.policies.last()) else {
        return Ok(None);
    };
    let texts: Vec<_> = api.node.follower().read(|state| {
        let named = refused.evidence.rule_sets.iter();
        named.filter_map(|name| state.rule_sets.get(name).map(|set| set.terms.text.clone())).collect()
    });
    let cause: Arc<str> = cause.as_str().into();
    super::blocking(move || {
        texts.iter().filter_map(|text| Compiled::compile(text).ok()).find_map(|set| told(&set, &cause))
    })
    .await
}

/// What claimants are told of a cause; `None` if these rules have no such cause.
fn told(rules: &Compiled, cause: &str) -> Option<Condition> {
    let explained = explain(rules);
    let mut own = explained.iter().filter(|rule| rule.reason == cause).peekable();
    own.peek()?;
    // If one of several rules with this cause masks it, all do: else asking often would tell which it was.
    let shown = own.find_map(|rule| rule.claimant.clone());
    let code = shown.unwrap_or_else(|| cause.to_owned());
    let reason = rules.manifest().reasons.get(&code);
    let sentence = reason.map_or_else(|| Code::RuleRefused.sentence().to_owned(), |r| r.message.clone());
    Some(Condition { code, sentence })
}

#[cfg(test)]
mod tests {
    use sluice_gate::rules::{PolicySource, RuleSet, Sources};

    use super::*;

    #[test]
    fn a_claimant_is_told_the_cause_unless_the_rules_mask_it() {
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
            when { context.redirected };
        "#;
        let sources = Sources { manifest, policies: PolicySource::Cedar(policies), never: "" };
        let (_, rules) = RuleSet::build(&sources).unwrap();
        let told = |cause| told(&rules, cause).map(|c| (c.code, c.sentence));
        let said = |code: &str, sentence: &str| Some((code.to_owned(), sentence.to_owned()));
        assert_eq!(told("too_much"), said("too_much", "The amount is above what one payment may be."));
        assert_eq!(told("watched"), said("ask_office", "Please ask the office."));
        assert_eq!(told("another"), None);
    }
}
