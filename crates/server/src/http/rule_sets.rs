//! Rule sets and the gates that ask for them.

use alloy_primitives::{B256, Bytes};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_core::ids::{CampaignId, Millis, Seq};
use sluice_core::limits::PAGE_ITEMS_MAX;
use sluice_core::refusal::Code;
use sluice_core::state::State as Log;
use sluice_core::state::campaign::Campaign;
use sluice_core::state::rules::{Gate, RuleSet, RulesPhase};
use sluice_gate::attestation::Accepts;
use sluice_gate::mandate::{ActionKind, Subject};
use sluice_gate::rules::{Compiled, explain};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::extract::{Path, Query};
use super::offices::RuleView;
use super::outcome::phase;
use super::page::{Page, Which};
use super::problem::Problem;
use super::reader::{Reader, Sight};
use super::{Api, read};

/// Rule sets with their text and sentences in one page: each is up to 64 KiB and is compiled to be explained.
const TEXTS_MAX: usize = 20;

/// A rule set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleSetView {
    /// Its name: SHA-256 of its bytes.
    #[schema(value_type = String)]
    rule_set: B256,
    /// The institution that owns it.
    #[schema(value_type = String)]
    owner: B256,
    /// The name under which its versions follow each other.
    lineage: String,
    /// What gates name: owner and lineage.
    #[schema(value_type = String)]
    lineage_id: B256,
    /// `proposed`, `scheduled`, `in_force` or `retired`.
    phase: &'static str,
    /// Who proposed it, and so cannot approve it.
    #[schema(value_type = String)]
    proposer: B256,
    /// While it is proposed: who approved it, under the Charter's set version `set_version`.
    #[schema(value_type = Vec<String>)]
    approvals: Vec<B256>,
    /// While it is proposed: whether its approvals count under the Charter's present set.
    #[serde(skip_serializing_if = "Option::is_none")]
    approvals_lapsed: Option<bool>,
    /// Approvals it needs.
    threshold: u16,
    /// While it is scheduled: when it comes into force, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Millis>,
    /// Its canonical bytes, with `?text=true` and a mandate to read everything or to audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    text: Option<Bytes>,
    /// Its rules as sentences, with `?explain=true` and such a mandate.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleView>>,
    /// What a command about it must have seen.
    version: Seq,
}

/// Which rule sets, and what of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Behind this one.
    #[param(value_type = Option<String>)]
    after: Option<B256>,
    /// At most so many; 1,000 if more or nothing is said, 20 with text or sentences.
    limit: Option<usize>,
    /// With their bytes.
    #[serde(default)]
    text: bool,
    /// With their rules as sentences.
    #[serde(default)]
    explain: bool,
}

/// List rule sets. Their text may name people and causes that claimants are not told, so it and the sentences made from it
/// take a mandate to read everything or to audit, or are the owner's; the name is the text's SHA-256.
#[utoipa::path(get, path = "/v1/rule-sets", operation_id = "listRuleSets", tag = "institutions", params(Asked),
    responses((status = 200, body = Page<RuleSetView, String>)))]
pub(crate) async fn rule_sets(
    State(api): State<Api>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (text, explain) = (asked.text, asked.explain);
    let most = if text || explain { TEXTS_MAX } else { PAGE_ITEMS_MAX };
    let which = Which { after: asked.after, limit: Some(asked.limit.unwrap_or(most).min(most)) };
    let page = read::read(api.node.follower(), |log| {
        let sight = reader.at(log);
        let page = which.of(&log.rule_sets, |name, set| {
            let text = (text || explain).then(|| set.terms.text.clone());
            Some(RuleSetView { text, ..RuleSetView::new(log, name, set) })
        });
        (page, sight)
    });
    // Which texts are shown is asked after State was let go.
    let page = page.map(|(page, sight)| shown(page, &sight));
    if !explain {
        return Ok(page.answer());
    }
    let page = super::blocking(move || page.map(|page| explained(page, text))).await?;
    Ok(page.answer())
}

/// The same without the texts that this reader may not see.
fn shown(mut page: Page<RuleSetView, B256>, sight: &Sight) -> Page<RuleSetView, B256> {
    let all =
        [ActionKind::Audit, ActionKind::ReadPrivate].iter().any(|kind| sight.may(*kind, &[Subject::Stream]));
    for set in page.items.iter_mut().filter(|set| !all && !sight.is(set.owner)) {
        set.text = None;
    }
    page
}

fn explained(mut page: Page<RuleSetView, B256>, text: bool) -> Page<RuleSetView, B256> {
    for set in &mut page.items {
        let compiled = set.text.as_ref().and_then(|bytes| Compiled::compile(bytes).ok());
        set.rules = compiled.map(|c| explain(&c).into_iter().map(RuleView::from).collect());
        if !text {
            set.text = None;
        }
    }
    page
}

impl RuleSetView {
    fn new(log: &Log, name: B256, set: &RuleSet) -> Self {
        let (approvals, counted) = match &set.phase {
            RulesPhase::Proposed { approvals, set_version } => {
                (approvals.iter().copied().collect(), Some(*set_version))
            }
            _ => (Vec::new(), None),
        };
        let starts_at = if let RulesPhase::Scheduled { at } = set.phase { Some(at) } else { None };
        Self {
            rule_set: name,
            owner: set.terms.owner,
            lineage: set.terms.lineage.clone(),
            lineage_id: set.terms.lineage_id(),
            phase: phase(&set.phase),
            proposer: set.proposer,
            approvals,
            approvals_lapsed: counted.map(|counted| counted != log.set_version()),
            threshold: log.threshold(),
            starts_at,
            text: None,
            rules: None,
            version: set.version,
        }
    }
}

/// A gate version of a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GateView {
    /// Its number in the Distributor.
    gate: u16,
    /// What a round's `rules_hash` must be.
    #[schema(value_type = String)]
    hash: B256,
    /// What it asks for. All must permit.
    rule_sets: Vec<AskedFor>,
    /// The attestations that count, by the names under which rules see them.
    attestations: Vec<AcceptedView>,
    /// The gate's key (ERC-7913 signer bytes).
    #[schema(value_type = String)]
    signer: Bytes,
    /// Whether the Distributor knows it with this key, finally.
    installed: bool,
    /// The position of its definition.
    version: Seq,
}

/// A lineage that a gate asks, with what is in force of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AskedFor {
    #[schema(value_type = String)]
    lineage_id: B256,
    /// The rule set in force; while there is none the gate permits nothing.
    #[schema(value_type = Option<String>)]
    in_force: Option<B256>,
}

/// A kind of attestation that counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedView {
    name: String,
    /// System, chain, contract, schema, issuers, greatest age, and where it says whom it is about.
    #[schema(value_type = Object)]
    accepts: Value,
}

/// List the gates of a campaign. A command about them names the campaign's version.
#[utoipa::path(get, path = "/v1/campaigns/{campaign}/gates", operation_id = "listGates", tag = "campaigns",
    params(("campaign" = uuid::Uuid, Path)),
    responses((status = 200, body = Vec<GateView>), (status = 404, body = Problem)))]
pub(crate) async fn gates(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Response, Problem> {
    let read = read::read(api.node.follower(), |log| {
        let campaign = read::campaign(log, id)?;
        let gates: Vec<_> = campaign.gates.values().map(|gate| GateView::new(log, campaign, gate)).collect();
        Ok::<_, Code>((campaign.terms.project, gates))
    });
    let read = read.transpose()?;
    caller.may_see(read.value.0)?;
    Ok(read.map(|(_, gates)| gates).answer())
}

impl GateView {
    fn new(log: &Log, campaign: &Campaign, gate: &Gate) -> Self {
        let terms = &gate.terms;
        let asked =
            |lineage: &B256| AskedFor { lineage_id: *lineage, in_force: log.rules_in_force(*lineage) };
        let accepted = terms.attestations.iter().map(|kind| {
            let accepts = borsh::from_slice::<Accepts>(&kind.accepts).ok();
            let accepts = accepts.and_then(|accepts| serde_json::to_value(accepts).ok());
            AcceptedView { name: kind.name.clone(), accepts: accepts.unwrap_or(Value::Null) }
        });
        Self {
            gate: terms.version,
            hash: terms.hash(),
            rule_sets: terms.rule_sets.iter().map(asked).collect(),
            attestations: accepted.collect(),
            signer: terms.signer.clone(),
            installed: campaign.gate_keys.get(&terms.version) == Some(&terms.signer),
            version: gate.version,
        }
    }
}
