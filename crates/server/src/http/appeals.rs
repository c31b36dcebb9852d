//! Appeals that wait for an answer.

use alloy_primitives::B256;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sluice_core::command::{AppealAbout, HoldTarget};
use sluice_core::ids::{DemandId, EntitlementId, Millis, Seq};
use sluice_core::limits::PAGE_ITEMS_MAX;
use sluice_core::log::entry::Entry;
use sluice_core::state::State as Log;
use sluice_core::state::hold::Appeal;
use sluice_gate::mandate::Subject;
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::bounds::APPEAL_TEXTS_MAX;
use super::extract::Query;
use super::hidden::Hidden;
use super::holds::{campaign_of, sees};
use super::page::{Page, Which};
use super::problem::Problem;
use super::reader::{Reader, Sight};
use super::sealed::entitlement;
use super::{Api, about, from_store, read};

/// An appeal that waits for its answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppealView {
    /// The position of the entry that filed it: its name.
    appeal: Seq,
    /// `hold`, `void` or `refusal`: what kind of decision it is against.
    kind: &'static str,
    /// What exactly it is against: whose affair it is, so only for those who may read that.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = Option<Object>)]
    about: Hidden<AppealAbout>,
    /// Whose decision that was; another authority answers. Zero for a refusal by rules alone.
    #[schema(value_type = String)]
    against: B256,
    /// The command that filed it, for the same readers.
    #[serde(skip_serializing_if = "Hidden::is_hidden")]
    #[schema(value_type = Option<uuid::Uuid>)]
    filed: Hidden<DemandId>,
    /// Its text, if an office asked for it: for the same readers and for the office that filed it. Other offices are shown
    /// the SHA-256 of the command's canonical bytes; who proves no office is shown nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    text: Option<Hidden<String>>,
    /// It lapses then, milliseconds.
    answer_by: Millis,
    /// What a command about it must have seen.
    version: Seq,
}

/// Which appeals, and what of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Behind this one.
    after: Option<Seq>,
    /// At most so many; 1,000 if more or nothing is said, 100 with texts.
    limit: Option<usize>,
    /// With their texts.
    #[serde(default)]
    text: bool,
}

/// List appeals that wait for an answer. A project's key sees those of its own campaigns. Texts are for those who may read
/// what an appeal is about.
#[utoipa::path(get, path = "/v1/appeals", operation_id = "listAppeals", tag = "institutions", params(Asked),
    responses((status = 200, body = Page<AppealView, String>)))]
pub(crate) async fn appeals(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let most = if asked.text { APPEAL_TEXTS_MAX } else { PAGE_ITEMS_MAX };
    let which = Which { after: asked.after, limit: Some(asked.limit.unwrap_or(most).min(most)) };
    let mut page = read::read(api.node.follower(), |log| {
        let sight = reader.at(log);
        which.of(&log.appeals, |at, appeal| {
            sees_appeal(log, caller, appeal).then(|| AppealView::new(log, &sight, at, appeal))
        })
    });
    // Each text stands in an entry. Nobody but an office may see one; whether an office filed an appeal that is none of its
    // affairs, only the entry tells.
    if asked.text && !reader.is_nobody() {
        add_texts(&api, &mut page.value.items).await?;
    }
    Ok(page.answer())
}

/// Adds what appeals say, from the entries that filed them: one query for a page.
async fn add_texts(api: &Api, appeals: &mut [AppealView]) -> Result<(), Problem> {
    let stream = api.node.follower().read(|log| log.stream);
    let positions: Vec<Seq> = appeals.iter().map(|appeal| appeal.appeal).collect();
    let turn = api.pages.turn().await.ok_or_else(super::busy)?;
    let rows = api.node.store().entries_at(stream, &positions).await.map_err(from_store)?;
    turn.answered();
    for row in rows {
        let entry = Entry::decode(&row.entry).map_err(Problem::internal)?;
        if let Some(appeal) = appeals.iter_mut().find(|appeal| appeal.appeal == row.seq) {
            appeal.text = about::command(&entry.body).map(|command| about::said(&appeal.about, command));
        }
    }
    Ok(())
}

fn sees_appeal(log: &Log, caller: Caller, appeal: &Appeal) -> bool {
    match appeal.about {
        AppealAbout::Void { campaign, .. } | AppealAbout::Refusal { campaign, .. } => {
            sees(log, caller, campaign)
        }
        AppealAbout::Hold { hold } => log
            .holds
            .get(&hold)
            .and_then(|hold| campaign_of(&hold.target))
            .is_none_or(|campaign| sees(log, caller, campaign)),
    }
}

/// What an appeal is about, as mandates to read it know it.
fn subjects(log: &Log, about: &AppealAbout) -> Vec<Subject> {
    let entitlement = |campaign, id: EntitlementId| entitlement(campaign, id).to_vec();
    match *about {
        AppealAbout::Void { campaign, entitlement: id }
        | AppealAbout::Refusal { campaign, entitlement: id } => entitlement(campaign, id),
        AppealAbout::Hold { hold } => match log.holds.get(&hold).map(|hold| &hold.target) {
            Some(HoldTarget::Entitlements { campaign, round, .. }) => {
                vec![Subject::Round { campaign: *campaign, round: *round }]
            }
            Some(HoldTarget::Person { person }) => vec![Subject::Person { person: *person }],
            Some(HoldTarget::Campaign { campaign }) => vec![Subject::Campaign { campaign: *campaign }],
            None => vec![Subject::Stream],
        },
    }
}

const fn kind(about: &AppealAbout) -> &'static str {
    match about {
        AppealAbout::Hold { .. } => "hold",
        AppealAbout::Void { .. } => "void",
        AppealAbout::Refusal { .. } => "refusal",
    }
}

impl AppealView {
    fn new(log: &Log, sight: &Sight, at: Seq, appeal: &Appeal) -> Self {
        let about = subjects(log, &appeal.about);
        Self {
            appeal: at,
            kind: kind(&appeal.about),
            about: Hidden::new(sight, about.clone(), appeal.about),
            text: None,
            against: appeal.against,
            filed: Hidden::new(sight, about, appeal.filed),
            answer_by: appeal.answer_by,
            version: appeal.version,
        }
    }
}
