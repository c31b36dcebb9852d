//! Institutions: who they are, what they may do, and whose keys act for them. Each with the version a command about it
//! must have seen.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use sluice_core::ids::{CampaignId, Millis, Seq};
use sluice_core::state::State as Log;
use sluice_core::state::authority::{Authority, Delegation, Mandate, Spent};
use sluice_gate::mandate::{CompiledMandate, explain_mandate};
use utoipa::ToSchema;

use super::extract::Query;
use super::page::{ById, Page, Which};
use super::problem::Problem;
use super::{Api, read};

/// An institution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuthorityView {
    /// Its id.
    #[schema(value_type = String)]
    authority: B256,
    /// A name for people; empty for one that only the Charter names.
    name: String,
    /// Whether it stands in the Charter: only those count in quorums.
    chartered: bool,
    /// Its keys that stand in the log (ERC-7913 signer bytes).
    #[schema(value_type = Vec<String>)]
    keys: Vec<Bytes>,
    /// Its keys by the Charter, unless they were revoked.
    #[schema(value_type = Vec<String>)]
    charter_keys: Vec<Bytes>,
    /// Keys that never count again, with the positions of their revocations.
    #[schema(value_type = Object)]
    revoked: BTreeMap<Bytes, Seq>,
    /// What a command about its keys, or one that grants it something, must have seen.
    version: Seq,
}

/// What was done under a mandate or a delegation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpentView {
    /// Base units in all, a decimal number.
    amount: String,
    /// Items in all.
    count: u64,
}

/// What an authority may do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MandateView {
    /// Its id.
    #[schema(value_type = String)]
    mandate: B256,
    /// Whose it is.
    #[schema(value_type = String)]
    holder: B256,
    /// Whether it ended.
    ended: bool,
    /// What was done under it.
    spent: SpentView,
    /// Its policies as sentences.
    rules: Vec<RuleView>,
    /// Its canonical bytes.
    #[schema(value_type = String)]
    text: Bytes,
    /// What a command about it must have seen.
    version: Seq,
}

/// A policy as a sentence.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleView {
    /// The policy's id.
    pub id: String,
    /// The policy in words.
    pub sentence: String,
    /// The code of its refusal.
    pub reason: String,
    /// The code that a claimant is given, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimant: Option<String>,
}

/// What a vendor's key may do in an authority's name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DelegationView {
    /// Its id.
    #[schema(value_type = String)]
    delegation: B256,
    /// Who delegates.
    #[schema(value_type = String)]
    authority: B256,
    /// Under which of its mandates; zero for the power the Charter gives it.
    #[schema(value_type = String)]
    mandate: B256,
    /// The key that may act.
    #[schema(value_type = String)]
    vendor: Bytes,
    /// The actions' names.
    actions: Vec<String>,
    /// Only in this campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    campaign: Option<CampaignId>,
    /// In all, base units, a decimal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_max: Option<String>,
    /// Items in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    count_max: Option<u64>,
    /// After this nothing is taken from the key, milliseconds.
    expires_at: Millis,
    /// Whether it ended before.
    ended: bool,
    /// What was done under it.
    spent: SpentView,
    /// What a command about it must have seen.
    version: Seq,
}

/// List institutions: those of the Charter and those that were registered.
#[utoipa::path(get, path = "/v1/authorities", operation_id = "listAuthorities", tag = "institutions", params(ById),
    responses((status = 200, body = Page<AuthorityView, String>)))]
pub(crate) async fn authorities(
    State(api): State<Api>,
    Query(which): Query<ById>,
) -> Result<Response, Problem> {
    let which = Which::<B256>::from(which);
    let page = read::read(api.node.follower(), |log| {
        let chartered = log.home_charter().map(|c| c.view.institutions.as_slice()).unwrap_or_default();
        let mut all: BTreeMap<B256, Option<&Authority>> = chartered.iter().map(|i| (i.id, None)).collect();
        all.extend(log.authorities.iter().map(|(id, known)| (*id, Some(known))));
        which.of(&all, |id, known| Some(AuthorityView::new(log, id, *known)))
    });
    Ok(page.answer())
}

/// List mandates, ended ones too.
#[utoipa::path(get, path = "/v1/mandates", operation_id = "listMandates", tag = "institutions", params(ById),
    responses((status = 200, body = Page<MandateView, String>)))]
pub(crate) async fn mandates(State(api): State<Api>, Query(which): Query<ById>) -> Result<Response, Problem> {
    let which = Which::<B256>::from(which);
    let page = read::read(api.node.follower(), |log| {
        which.of(&log.mandates, |id, mandate| Some(MandateView::new(id, mandate)))
    });
    // Sentences are made after State was let go: compiling takes longer than anybody may hold it.
    let page = super::blocking(move || page.map(|page| page.explained())).await?;
    Ok(page.answer())
}

/// List delegations, ended ones too.
#[utoipa::path(get, path = "/v1/delegations", operation_id = "listDelegations", tag = "institutions", params(ById),
    responses((status = 200, body = Page<DelegationView, String>)))]
pub(crate) async fn delegations(
    State(api): State<Api>,
    Query(which): Query<ById>,
) -> Result<Response, Problem> {
    let which = Which::<B256>::from(which);
    let page = read::read(api.node.follower(), |log| {
        which.of(&log.delegations, |id, delegation| Some(DelegationView::new(id, delegation)))
    });
    Ok(page.answer())
}

impl AuthorityView {
    fn new(log: &Log, id: B256, known: Option<&Authority>) -> Self {
        let institutions = log.home_charter().map(|c| c.view.institutions.as_slice()).unwrap_or_default();
        let chartered = institutions.iter().find(|institution| institution.id == id);
        let revoked = known.map(|known| known.revoked.clone()).unwrap_or_default();
        let by_charter = chartered.map(|institution| institution.signers.clone()).unwrap_or_default();
        Self {
            authority: id,
            name: known.map(|known| known.name.clone()).unwrap_or_default(),
            chartered: chartered.is_some(),
            keys: known.map(|known| known.keys.iter().cloned().collect()).unwrap_or_default(),
            charter_keys: by_charter.into_iter().filter(|key| !revoked.contains_key(key)).collect(),
            revoked,
            version: log.key_version(id),
        }
    }
}

impl From<Spent> for SpentView {
    fn from(spent: Spent) -> Self {
        Self { amount: spent.amount.to_string(), count: spent.count }
    }
}

impl MandateView {
    fn new(id: B256, mandate: &Mandate) -> Self {
        Self {
            mandate: id,
            holder: mandate.terms.holder,
            ended: mandate.ended,
            spent: mandate.spent.into(),
            rules: Vec::new(),
            text: mandate.terms.text.clone(),
            version: mandate.version,
        }
    }
}

impl Page<MandateView, B256> {
    fn explained(mut self) -> Self {
        for mandate in &mut self.items {
            if let Ok(compiled) = CompiledMandate::compile(&mandate.text) {
                mandate.rules = explain_mandate(&compiled).iter().cloned().map(RuleView::from).collect();
            }
        }
        self
    }
}

impl From<sluice_gate::rules::Explained> for RuleView {
    fn from(rule: sluice_gate::rules::Explained) -> Self {
        Self { id: rule.id, sentence: rule.sentence, reason: rule.reason, claimant: rule.claimant }
    }
}

impl DelegationView {
    fn new(id: B256, delegation: &Delegation) -> Self {
        let terms = &delegation.terms;
        Self {
            delegation: id,
            authority: terms.authority,
            mandate: terms.mandate,
            vendor: terms.vendor.clone(),
            actions: terms.actions.clone(),
            campaign: terms.campaign,
            amount_max: terms.amount_max.map(|most| most.to_string()),
            count_max: terms.count_max,
            expires_at: terms.expires_at,
            ended: delegation.ended,
            spent: delegation.spent.into(),
            version: delegation.version,
        }
    }
}
