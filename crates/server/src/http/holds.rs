//! Holds in force, and persons.

use alloy_primitives::{Address, B256};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use sluice_core::command::HoldTarget;
use sluice_core::ids::{CampaignId, Millis, RoundNo, Seq};
use sluice_core::refusal::Code;
use sluice_core::state::State as Log;
use sluice_core::state::hold::Hold;
use sluice_gate::mandate::Subject;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Path, Query};
use super::hidden::Hidden;
use super::page::{ByPosition, Page, Which};
use super::problem::Problem;
use super::reader::{Reader, Sight};
use super::standing::unseen;
use super::{Api, read};

/// Entitlements of one hold that are listed with it; `covered` counts all.
const COVERS_LISTED_MAX: usize = 100;

/// A hold in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HoldView {
    /// The position of the entry that placed it: its name.
    hold: Seq,
    /// `entitlements`, `person` or `campaign`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    campaign: Option<CampaignId>,
    /// The person; only for those who may read it.
    #[serde(skip_serializing_if = "unseen")]
    #[schema(value_type = Option<String>)]
    person: Option<Hidden<B256>>,
    /// Who placed it.
    #[schema(value_type = String)]
    placed_by: B256,
    /// Who confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    confirmed_by: Option<B256>,
    /// It ends by itself then, milliseconds.
    until: Millis,
    /// How many entitlements it covers; a hold on a campaign covers all of them. Of a hold on a person only for those who
    /// may read the person.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = usize)]
    covered: Hidden<usize>,
    /// The first hundred of them. Of a hold on a person only for those who may read the person: they say who it is.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = Vec<CoveredView>)]
    entitlements: Hidden<Vec<CoveredView>>,
    /// What a command about it must have seen.
    version: Seq,
}

/// An entitlement under a hold.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CoveredView {
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    round: RoundNo,
    index: u64,
}

/// A person. Without a mandate to read it, it is told that the person is known, not where the person is paid: the entry at
/// `version` proves it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonView {
    /// The registrar's id.
    #[schema(value_type = String)]
    person: B256,
    /// Where the person is paid.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = Option<String>)]
    payee: Hidden<Address>,
    /// Addresses that a registrar bound: attestations about them are the person's.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = Option<Vec<String>>)]
    vouched: Hidden<Vec<Address>>,
    /// The jurisdiction the person belongs to; empty for none.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = Option<String>)]
    jurisdiction: Hidden<String>,
    /// The institution that made the person known.
    #[schema(value_type = String)]
    registrar: B256,
    /// Holds on the person, for the same readers.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = Option<Vec<u64>>)]
    holds: Hidden<Vec<Seq>>,
    /// What a command about the person must have seen.
    version: Seq,
}

/// List holds in force. A project's key sees those on persons and on its own campaigns.
#[utoipa::path(get, path = "/v1/holds", operation_id = "listHolds", tag = "institutions", params(ByPosition),
    responses((status = 200, body = Page<HoldView, String>)))]
pub(crate) async fn holds(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    Query(which): Query<ByPosition>,
) -> Result<Response, Problem> {
    let which = Which::<Seq>::from(which);
    let page = read::read(api.node.follower(), |log| {
        let sight = reader.at(log);
        which.of(&log.holds, |at, hold| HoldView::new(log, caller, &sight, at, hold))
    });
    Ok(page.answer())
}

/// See a person.
#[utoipa::path(get, path = "/v1/persons/{person}", operation_id = "showPerson", tag = "institutions",
    params(("person" = String, Path)),
    responses((status = 200, body = PersonView), (status = 404, body = Problem)))]
pub(crate) async fn show_person(
    State(api): State<Api>,
    reader: Reader,
    Path(id): Path<B256>,
) -> Result<Response, Problem> {
    let read = read::read(api.node.follower(), |log| {
        let sight = reader.at(log);
        let about = || [Subject::Person { person: id }];
        let known = log.persons.get(&id)?;
        let on_person = |hold: &Hold| matches!(&hold.target, HoldTarget::Person { person } if *person == id);
        let holds = log.holds.iter().filter(|(_, hold)| on_person(hold)).map(|(at, _)| *at);
        Some(PersonView {
            person: id,
            payee: Hidden::new(&sight, about(), known.payee),
            vouched: Hidden::new(&sight, about(), known.vouched.iter().copied().collect()),
            registrar: known.registrar,
            jurisdiction: Hidden::new(&sight, about(), known.jurisdiction.clone()),
            holds: Hidden::new(&sight, about(), holds.collect()),
            version: known.version,
        })
    });
    let found = read.map(|person| person.ok_or_else(|| Problem::missing(Code::UnknownPerson))).transpose()?;
    Ok(found.answer())
}

/// Whether a campaign is this caller's to see.
pub(super) fn sees(log: &Log, caller: Caller, campaign: CampaignId) -> bool {
    log.campaign(campaign).is_some_and(|c| caller.sees(c.terms.project))
}

pub(super) const fn campaign_of(target: &HoldTarget) -> Option<CampaignId> {
    match target {
        HoldTarget::Entitlements { campaign, .. } | HoldTarget::Campaign { campaign } => Some(*campaign),
        HoldTarget::Person { .. } => None,
    }
}

impl HoldView {
    /// `None` for another project's.
    fn new(log: &Log, caller: Caller, sight: &Sight, at: Seq, hold: &Hold) -> Option<Self> {
        let campaign = campaign_of(&hold.target);
        if campaign.is_some_and(|campaign| !sees(log, caller, campaign)) {
            return None;
        }
        let (kind, held) = match &hold.target {
            HoldTarget::Entitlements { .. } => ("entitlements", None),
            HoldTarget::Person { person: held } => {
                ("person", Some(Hidden::new(sight, [Subject::Person { person: *held }], *held)))
            }
            HoldTarget::Campaign { .. } => ("campaign", None),
        };
        let covers = hold.covers.iter().filter(|covered| sees(log, caller, covered.campaign));
        let covers = covers.take(COVERS_LISTED_MAX);
        let entitlements = covers.map(|covered| CoveredView {
            campaign: covered.campaign,
            round: covered.entitlement.round,
            index: covered.entitlement.index,
        });
        Some(Self {
            hold: at,
            kind,
            campaign,
            person: held,
            placed_by: hold.placed_by,
            confirmed_by: hold.confirmed_by,
            until: hold.until,
            covered: of_target(sight, &hold.target, hold.covers.len()),
            entitlements: of_target(sight, &hold.target, entitlements.collect()),
            version: hold.version,
        })
    }
}

/// What a hold on a person covers says who the person is to whoever reads the list.
fn of_target<T>(sight: &Sight, target: &HoldTarget, value: T) -> Hidden<T> {
    match target {
        HoldTarget::Person { person } => Hidden::new(sight, [Subject::Person { person: *person }], value),
        _ => Hidden::open(sight, value),
    }
}
