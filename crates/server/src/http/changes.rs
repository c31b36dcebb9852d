//! The change feed: the log in short, from any position on, for those who keep something of their own up to date.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sluice_core::command::Subject;
use sluice_core::ids::Seq;
use sluice_core::limits::PAGE_ITEMS_MAX;
use sluice_core::log::entry::Entry;
use utoipa::{IntoParams, ToSchema};

use super::about::{Change, is_about};
use super::auth::Caller;
use super::bounds::{FEED_WAIT_MAX, STALE_CHANGES_MAX, STALE_LOOK_BACK};
use super::extract::Query;
use super::problem::Problem;
use super::read::AsOf;
use super::reader::{Reader, Sight};
use super::{Api, busy, from_store};

/// A page of the change feed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangePage {
    /// Ascending, without a gap.
    changes: Vec<Change>,
    /// Send it as `after` to go on.
    next: Seq,
}

/// From where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// Behind this position; 0 for the whole log.
    #[serde(default)]
    after: Seq,
    /// At most so many; 1,000 if more or nothing is said.
    limit: Option<usize>,
    /// Wait so many seconds for something to happen; at most 20. 0 if nothing is said.
    #[serde(default)]
    wait: u64,
}

/// Follow what happens: entries in short, from any position on.
///
/// Persons, reasons and claims' ids are shown under a mandate to read them; others see SHA-256 hashes. A project's key sees of other projects'
/// entries their leaves alone. An empty page says that nothing has happened since: ask again with the same `after`.
#[utoipa::path(get, path = "/v1/changes", operation_id = "changes", tag = "evidence", params(From),
    responses((status = 200, body = ChangePage), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    Query(from): Query<From>,
) -> Result<Response, Problem> {
    let follower = api.node.follower();
    if follower.seq() <= from.after && from.wait > 0 {
        let wait = Duration::from_secs(from.wait).min(FEED_WAIT_MAX);
        // Whether it came in time or not, what is there now is answered.
        let _came = follower.reached(from.after.saturating_add(1), wait).await;
    }
    // Whoever waits for something to happen holds no connection, and whoever reads does not hold them all.
    let turn = api.pages.turn().await.ok_or_else(busy)?;
    // What may be seen is settled after the waits: nobody reads on under a mandate that ended meanwhile.
    let (seq, sight) = follower.read(|log| (log.seq, reader.at(log)));
    let limit = from.limit.unwrap_or(PAGE_ITEMS_MAX).clamp(1, PAGE_ITEMS_MAX);
    let mut entries = Vec::new();
    if from.after < seq {
        entries = self::entries(&api, from.after, limit, seq).await?;
        turn.answered();
    } else {
        drop(turn);
    }
    let changes: Vec<Change> = entries
        .into_iter()
        .map(|(entry, leaf)| seen_by(&api, caller, Change::new(&sight, &entry, Some(leaf.into()))))
        .collect();
    let next = from.after + changes.len() as u64;
    Ok(AsOf { seq, value: ChangePage { changes, next } }.answer())
}

/// Entries behind a position, up to one that this node has reached.
async fn entries(api: &Api, after: Seq, limit: usize, up_to: Seq) -> Result<Vec<(Entry, [u8; 32])>, Problem> {
    let stream = api.node.follower().read(|state| state.stream);
    let limit = i64::try_from(limit).expect("a page is bounded");
    let rows = api.node.store().read_log(stream, after, limit).await.map_err(from_store)?;
    let rows = rows.into_iter().take_while(|row| row.seq <= up_to);
    rows.map(|row| Ok((Entry::decode(&row.entry).map_err(Problem::internal)?, row.leaf))).collect()
}

/// A project's key sees its own campaigns and what concerns all of them.
fn seen_by(api: &Api, caller: Caller, change: Change) -> Change {
    let Caller::Project(_) = caller else { return change };
    let Some(campaign) = change.campaign() else { return change };
    let own =
        api.node.follower().read(|s| s.campaign(campaign).is_some_and(|c| caller.sees(c.terms.project)));
    if own { change } else { change.hide() }
}

/// What changed a command's subject since its authors saw it: the latest entries about it, ascending.
pub(crate) async fn since(
    api: &Api,
    (caller, sight): (Caller, &Sight),
    subject: &Subject,
    seen: Seq,
    changed_at: Seq,
) -> Result<Vec<Change>, Problem> {
    let after = seen.max(changed_at.saturating_sub(STALE_LOOK_BACK));
    let count = usize::try_from(changed_at.saturating_sub(after)).unwrap_or(PAGE_ITEMS_MAX);
    let turn = api.pages.turn().await.ok_or_else(busy)?;
    let mut entries = entries(api, after, count.clamp(1, PAGE_ITEMS_MAX), changed_at).await?;
    turn.answered();
    entries.retain(|(entry, _)| entry.seq == changed_at || is_about(&entry.body, subject));
    let from = entries.len().saturating_sub(STALE_CHANGES_MAX);
    Ok(entries[from..]
        .iter()
        .map(|(entry, _)| seen_by(api, caller, Change::new(sight, entry, None)))
        .collect())
}
