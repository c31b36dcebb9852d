//! Demands as they are accepted: the one writer of a node.
//!
//! A group is one statement. Nearly always all ids are new, so it is first inserted as if they were; if one is not, nothing
//! of it is inserted, and the group is done again by a statement that looks for the ids, numbers those that are new and
//! inserts them. Numbers stay contiguous because a group is inserted whole or not at all, and because its first number per
//! campaign collides, by primary key, with whatever an earlier group may still commit whose answer was lost. So after any
//! doubt it is enough to read the numbers again and to do the group once more: exactly one of the two commits.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sluice_core::ids::{CampaignId, DemandId, IntakeKey, NodeId};
use sluice_core::limits::INTAKE_GROUP_MAX;
use uuid::Uuid;

use super::IntakeRow;
use crate::Store;
use crate::columns::{from_bigint, from_bytea, from_integer, to_bigint, to_integer, to_millis};
use crate::error::{Class, Error, Result};
use crate::limits::{INTAKE_LOOKS_FIRST, INTAKE_REDO_MAX, INTAKE_UNKNOWN_MAX};

/// A demand to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntake {
    /// The campaign in whose queue it stands.
    pub campaign: CampaignId,
    /// The client's id.
    pub id: DemandId,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
    /// The demand's canonical bytes.
    pub body: Vec<u8>,
    /// Its place in the queue, for the ticket.
    pub place: u64,
    /// How long it will wait, milliseconds, for the ticket.
    pub estimate_ms: u64,
    /// It is decided within this time of its row.
    pub decide_within: Duration,
}

/// What became of a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntakeOutcome {
    /// Durable now.
    Accepted(IntakeRow),
    /// The same demand under the same id was durable before; this is its row.
    Existing(IntakeRow),
    /// Another demand has this id.
    Conflict,
}

/// The single intake writer of a node. It owns the next number of every campaign there.
///
/// Dropping [`Self::append`] half-way is safe: the next call finds out what became of it.
#[derive(Debug)]
pub struct IntakeWriter {
    store: Store,
    node: NodeId,
    /// The next number per campaign, for those asked for. Never above what the database would say, so that a wrong
    /// one collides instead of leaving a gap.
    next: HashMap<CampaignId, u64>,
    /// Until when ids are looked for before anything is inserted: one was not new a moment ago.
    looks_first: Option<Instant>,
}

/// A row as the statement returns it: which of the group, and the row unless its body.
type Found = (i64, i32, i64, Vec<u8>, i64, i64, i64, i64);

impl IntakeWriter {
    /// The writer of a node. There must be no other of this node, which holds when `node` was just registered.
    pub fn new(store: Store, node: NodeId) -> Self {
        Self { store, node, next: HashMap::new(), looks_first: None }
    }

    /// Makes a group durable, in the order given. The outcomes are in the same order.
    ///
    /// # Errors
    /// [`Error::Unknown`]: some of it may be durable; answer nobody, the ids will tell. Otherwise nothing is.
    /// [`Error::TooMuch`] for more than [`INTAKE_GROUP_MAX`] demands.
    pub async fn append(&mut self, group: Vec<NewIntake>) -> Result<Vec<IntakeOutcome>> {
        if group.len() > INTAKE_GROUP_MAX {
            return Err(Error::TooMuch { what: "demands", given: group.len(), max: INTAKE_GROUP_MAX });
        }
        // An id that comes twice in a group is inserted once, by its first.
        let mut first_of = HashMap::new();
        let mut unique: Vec<&NewIntake> = Vec::with_capacity(group.len());
        let slots: Vec<(usize, bool)> = group
            .iter()
            .map(|new| {
                let slot = *first_of.entry((new.campaign, new.id)).or_insert(unique.len());
                let first = slot == unique.len();
                if first {
                    unique.push(new);
                }
                (slot, first)
            })
            .collect();
        if unique.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.insert_surely(&unique).await?;
        Ok(group
            .into_iter()
            .zip(slots)
            .map(|(new, (slot, first))| {
                let (row, fresh) = &found[slot];
                outcome(row, new, *fresh && first)
            })
            .collect())
    }

    /// Inserts what is new and finds what is not, until that is certain. Rows come without their bodies, with whether
    /// they are new.
    async fn insert_surely(&mut self, group: &[&NewIntake]) -> Result<Vec<(IntakeRow, bool)>> {
        let (mut unknown, mut from) = (0, None);
        let mut looks = self.looks_first.is_some_and(|until| Instant::now() < until);
        for _ in 0..INTAKE_REDO_MAX {
            let tried = match self.learn_numbers(group).await {
                Ok(()) => {
                    let from = from.get_or_insert_with(|| numbers_of(group, &self.next));
                    match looks {
                        true => insert(&self.store, self.node, &self.next, from, group).await,
                        false => insert_new(&self.store, self.node, &self.next, group).await,
                    }
                }
                Err(error) => Err(error),
            };
            match tried {
                Ok(rows) => {
                    for (row, _) in rows.iter().filter(|(row, _)| row.key.node == self.node) {
                        let next = self.next.entry(row.key.campaign).or_insert(1);
                        *next = (*next).max(row.key.n + 1);
                    }
                    return Ok(rows);
                }
                // An id is not new, another node was faster with one, or a group of ours, given up for lost, came through.
                Err(error) if error.unique_violation().is_some() => {
                    self.next.clear();
                    self.looks_first = Some(Instant::now() + INTAKE_LOOKS_FIRST);
                    looks = true;
                }
                Err(error) if error.class() == Class::Unknown && unknown < INTAKE_UNKNOWN_MAX => {
                    tracing::warn!(%error, "intake answer lost; doing the group again");
                    unknown += 1;
                    self.next.clear();
                    looks = true;
                }
                // Once there was doubt, a later failure does not remove it.
                Err(Error::Unavailable { action, source }) if unknown > 0 => {
                    self.next.clear();
                    return Err(Error::Unknown { action, source });
                }
                Err(error) => {
                    self.next.clear();
                    return Err(error);
                }
            }
        }
        // Each round finds one more id, so this takes more rounds than there are ids.
        Err(Error::Corrupt { what: "intake", reason: format!("a group collided {INTAKE_REDO_MAX} times") })
    }

    /// Reads the next numbers of those campaigns of the group that are not known.
    async fn learn_numbers(&mut self, group: &[&NewIntake]) -> Result<()> {
        let mut missing: Vec<Uuid> = group
            .iter()
            .filter(|new| !self.next.contains_key(&new.campaign))
            .map(|new| new.campaign.0)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        let sql =
            "SELECT c, coalesce((SELECT max(t.n) FROM intake t WHERE t.campaign = c AND t.node = $2), 0) + 1
                   FROM unnest($1::uuid[]) AS c";
        let query = sqlx::query_as(sql).bind(missing).bind(to_integer("node", self.node)?);
        let rows: Vec<(Uuid, i64)> = self.store.fetch_all("read the next intake numbers", query).await?;
        for (campaign, next) in rows {
            self.next.insert(CampaignId(campaign), from_bigint("intake.n", next)?);
        }
        Ok(())
    }
}

/// The next numbers of a group's campaigns.
fn numbers_of(group: &[&NewIntake], next: &HashMap<CampaignId, u64>) -> HashMap<CampaignId, u64> {
    group.iter().filter_map(|new| next.get_key_value(&new.campaign)).map(|(c, n)| (*c, *n)).collect()
}

/// Answers one demand of a group from its id's row.
fn outcome(row: &IntakeRow, new: NewIntake, fresh: bool) -> IntakeOutcome {
    if row.body_hash != new.body_hash {
        return IntakeOutcome::Conflict;
    }
    // The hash is the same, so the body is.
    let row = IntakeRow { body: new.body, ..row.clone() };
    if fresh { IntakeOutcome::Accepted(row) } else { IntakeOutcome::Existing(row) }
}

/// Inserts rows that have their numbers, in the order given, which is that of their ids (see [`INSERT`]).
const INSERT_NEW: &str = "
    WITH clock AS MATERIALIZED (SELECT clock_millis() AS now),
    new AS (
        INSERT INTO intake (campaign, node, n, claim_id, body_hash, body, place, estimate_ms, accepted_at, decide_by)
        SELECT i.campaign, $1, i.n, i.claim_id, i.body_hash, i.body, i.place, i.estimate_ms, clock.now,
               clock.now + i.decide_ms * interval '1 millisecond'
        FROM clock, unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bigint[],
                           $9::bigint[]) AS i(campaign, n, claim_id, body_hash, body, place, estimate_ms, decide_ms))
    SELECT millis(now) FROM clock";

/// Inserts a group whose ids are taken to be new. A unique violation says that one is not.
async fn insert_new(
    store: &Store,
    node: NodeId,
    next: &HashMap<CampaignId, u64>,
    group: &[&NewIntake],
) -> Result<Vec<(IntakeRow, bool)>> {
    let mut next = next.clone();
    let mut rows = Vec::with_capacity(group.len());
    for new in group {
        let next = next.entry(new.campaign).or_insert(1);
        rows.push(IntakeRow {
            key: IntakeKey { campaign: new.campaign, node, n: *next },
            id: new.id,
            body_hash: new.body_hash,
            body: Vec::new(),
            accepted_at: 0,
            place: new.place,
            estimate_ms: new.estimate_ms,
            decide_by: 0,
        });
        *next += 1;
    }
    let mut by_id: Vec<_> = rows.iter().zip(group).collect();
    by_id.sort_unstable_by_key(|(row, _)| (row.key.campaign, row.id));
    let numbers = |name, of: fn(&IntakeRow) -> u64| {
        by_id.iter().map(|(row, _)| to_bigint(name, of(row))).collect::<Result<Vec<i64>>>()
    };
    let within = by_id.iter().map(|(_, new)| to_millis("decide_within", new.decide_within));
    let query = sqlx::query_as(INSERT_NEW)
        .bind(to_integer("node", node)?)
        .bind(by_id.iter().map(|(row, _)| row.key.campaign.0).collect::<Vec<_>>())
        .bind(numbers("intake number", |row| row.key.n)?)
        .bind(by_id.iter().map(|(row, _)| row.id.0).collect::<Vec<_>>())
        .bind(by_id.iter().map(|(row, _)| row.body_hash.as_slice()).collect::<Vec<_>>())
        .bind(by_id.iter().map(|(_, new)| new.body.as_slice()).collect::<Vec<_>>())
        .bind(numbers("place", |row| row.place)?)
        .bind(numbers("estimate", |row| row.estimate_ms)?)
        .bind(within.collect::<Result<Vec<_>>>()?);
    let now: Vec<(i64,)> = store.write_all("write intake rows", query).await?;
    let (now,) = now.first().ok_or_else(|| Error::Corrupt { what: "intake", reason: "no clock".into() })?;
    let now = from_bigint("intake.accepted_at", *now)?;
    for (row, new) in rows.iter_mut().zip(group) {
        row.accepted_at = now;
        row.decide_by = now + u64::try_from(new.decide_within.as_millis()).unwrap_or(u64::MAX - now);
    }
    Ok(rows.into_iter().map(|row| (row, true)).collect())
}

/// Looks for the ids, numbers the new ones from `next` in the group's order, inserts them.
///
/// They are inserted in the order of their ids, so that two nodes with the same ids wait for each other in one
/// direction only and never deadlock. The time is read once, so that it does not run backwards along `n`.
const INSERT: &str = "
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bigint[],
                             $8::bigint[], $9::bigint[])
            WITH ORDINALITY AS i(campaign, claim_id, body_hash, body, place, estimate_ms, decide_ms, next, ord)),
    old AS MATERIALIZED (
        SELECT i.ord, t.node, t.n, t.body_hash, t.accepted_at, t.place, t.estimate_ms, t.decide_by
        FROM input i CROSS JOIN LATERAL (
            SELECT * FROM intake x WHERE x.campaign = i.campaign AND x.claim_id = i.claim_id LIMIT 1) t),
    clock AS MATERIALIZED (SELECT clock_millis() AS now),
    fresh AS MATERIALIZED (
        SELECT i.*, i.next + row_number() OVER (PARTITION BY i.campaign ORDER BY i.ord) - 1 AS n, clock.now,
               clock.now + i.decide_ms * interval '1 millisecond' AS decide_by
        FROM input i CROSS JOIN clock WHERE NOT EXISTS (SELECT FROM old WHERE old.ord = i.ord)),
    new AS (
        INSERT INTO intake (campaign, node, n, claim_id, body_hash, body, place, estimate_ms, accepted_at, decide_by)
        SELECT campaign, $1, n, claim_id, body_hash, body, place, estimate_ms, now, decide_by
        FROM fresh ORDER BY campaign, claim_id)
    SELECT ord, $1, n, body_hash, millis(now), place, estimate_ms, millis(decide_by) FROM fresh
    UNION ALL
    SELECT ord, node, n, body_hash, millis(accepted_at), place, estimate_ms, millis(decide_by) FROM old
    ORDER BY 1";

async fn insert(
    store: &Store,
    node: NodeId,
    next: &HashMap<CampaignId, u64>,
    from: &HashMap<CampaignId, u64>,
    group: &[&NewIntake],
) -> Result<Vec<(IntakeRow, bool)>> {
    let numbers = |name, of: fn(&NewIntake) -> u64| {
        group.iter().map(|new| to_bigint(name, of(new))).collect::<Result<Vec<i64>>>()
    };
    let next_of =
        |new: &&NewIntake| to_bigint("intake number", next.get(&new.campaign).copied().unwrap_or(1));
    let query = sqlx::query_as(INSERT)
        .bind(to_integer("node", node)?)
        .bind(group.iter().map(|new| new.campaign.0).collect::<Vec<_>>())
        .bind(group.iter().map(|new| new.id.0).collect::<Vec<_>>())
        .bind(group.iter().map(|new| new.body_hash.as_slice()).collect::<Vec<_>>())
        .bind(group.iter().map(|new| new.body.as_slice()).collect::<Vec<_>>())
        .bind(numbers("place", |new| new.place)?)
        .bind(numbers("estimate", |new| new.estimate_ms)?)
        .bind(
            group
                .iter()
                .map(|new| to_millis("decide_within", new.decide_within))
                .collect::<Result<Vec<_>>>()?,
        )
        .bind(group.iter().map(next_of).collect::<Result<Vec<_>>>()?);
    let rows: Vec<Found> = store.write_all("write intake rows", query).await?;
    if rows.len() != group.len() {
        let reason = format!("{} rows for a group of {}", rows.len(), group.len());
        return Err(Error::Corrupt { what: "intake", reason });
    }
    rows.into_iter()
        .zip(group)
        .map(|(found, new)| {
            let row = row(found, new)?;
            // What this node wrote at or above where the call began is this call's, even if it was found.
            let fresh = row.key.node == node && from.get(&new.campaign).is_none_or(|from| row.key.n >= *from);
            Ok((row, fresh))
        })
        .collect()
}

fn row(found: Found, new: &NewIntake) -> Result<IntakeRow> {
    let (_, node, n, body_hash, accepted_at, place, estimate_ms, decide_by) = found;
    let node = from_integer("intake.node", node)?;
    Ok(IntakeRow {
        key: IntakeKey { campaign: new.campaign, node, n: from_bigint("intake.n", n)? },
        id: new.id,
        body_hash: from_bytea("intake.body_hash", &body_hash)?,
        body: Vec::new(),
        accepted_at: from_bigint("intake.accepted_at", accepted_at)?,
        place: from_bigint("intake.place", place)?,
        estimate_ms: from_bigint("intake.estimate_ms", estimate_ms)?,
        decide_by: from_bigint("intake.decide_by", decide_by)?,
    })
}
