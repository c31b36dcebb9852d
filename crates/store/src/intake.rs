//! Demands as they were accepted: reading them.

mod writer;

use sluice_core::command::{Accepted, Demand};
use sluice_core::ids::{CampaignId, DemandId, IntakeKey, Millis, NodeId};
use uuid::Uuid;

pub use writer::{IntakeOutcome, IntakeWriter, NewIntake};

use crate::Store;
use crate::columns::{from_bigint, from_bytea, from_integer, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::limits::LIST_MAX;

/// A demand's row. Everything a ticket says is in it, so the same id always gets the same ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeRow {
    /// Its place at its node.
    pub key: IntakeKey,
    /// The client's id.
    pub id: DemandId,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
    /// The demand's canonical bytes.
    pub body: Vec<u8>,
    /// The database's clock at the row.
    pub accepted_at: Millis,
    /// Where it stood in the queue when it was accepted.
    pub place: u64,
    /// How long it was then thought to wait, milliseconds.
    pub estimate_ms: u64,
    /// Until when it is decided.
    pub decide_by: Millis,
}

impl IntakeRow {
    /// The demand, decoded.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the body is no demand of this binary's formats.
    pub fn accepted(&self) -> Result<Accepted> {
        let demand = Demand::decode(&self.body)
            .map_err(|error| Error::Corrupt { what: "intake.body", reason: error.to_string() })?;
        Ok(Accepted { key: self.key, id: self.id, accepted_at: self.accepted_at, demand })
    }
}

/// How far the rows of one campaign at one node are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The campaign.
    pub campaign: CampaignId,
    /// The node.
    pub node: NodeId,
    /// Rows above this `n` are wanted.
    pub after: u64,
}

/// The columns of a whole row, in the order of [`Columns`].
macro_rules! columns {
    () => {
        "t.campaign, t.node, t.n, t.claim_id, t.body_hash, t.body, millis(t.accepted_at), t.place, t.estimate_ms, \
         millis(t.decide_by)"
    };
}

type Columns = (Uuid, i32, i64, Uuid, Vec<u8>, Vec<u8>, i64, i64, i64, i64);

fn row(columns: Columns) -> Result<IntakeRow> {
    let (campaign, node, n, claim_id, body_hash, body, accepted_at, place, estimate_ms, decide_by) = columns;
    Ok(IntakeRow {
        key: IntakeKey {
            campaign: CampaignId(campaign),
            node: from_integer("intake.node", node)?,
            n: from_bigint("intake.n", n)?,
        },
        id: DemandId(claim_id),
        body_hash: from_bytea("intake.body_hash", &body_hash)?,
        body,
        accepted_at: from_bigint("intake.accepted_at", accepted_at)?,
        place: from_bigint("intake.place", place)?,
        estimate_ms: from_bigint("intake.estimate_ms", estimate_ms)?,
        decide_by: from_bigint("intake.decide_by", decide_by)?,
    })
}

impl Store {
    /// The row of a client's id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn intake_by_id(&self, campaign: CampaignId, id: DemandId) -> Result<Option<IntakeRow>> {
        let sql = concat!("SELECT ", columns!(), " FROM intake t WHERE t.campaign = $1 AND t.claim_id = $2");
        let query = sqlx::query_as(sql).bind(campaign.0).bind(id.0);
        self.fetch_optional("find a demand by its id", query).await?.map(row).transpose()
    }

    /// The next rows above each cursor, at most `limit_each` of one, ascending by `n` within one. No backlog stands
    /// before another's rows.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn read_intake(&self, cursors: &[Cursor], limit_each: i64) -> Result<Vec<IntakeRow>> {
        let campaigns: Vec<Uuid> = cursors.iter().map(|c| c.campaign.0).collect();
        let nodes = cursors.iter().map(|c| to_integer("node", c.node)).collect::<Result<Vec<_>>>()?;
        let after =
            cursors.iter().map(|c| to_bigint("intake number", c.after)).collect::<Result<Vec<_>>>()?;
        let query = sqlx::query_as(READ_INTAKE).bind(campaigns).bind(nodes).bind(after).bind(limit_each);
        self.fetch_all("read intake rows", query).await?.into_iter().map(row).collect()
    }

    /// Which nodes hold rows of these campaigns, ascending. One index probe per pair that exists.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn intake_sources(&self, campaigns: &[CampaignId]) -> Result<Vec<(CampaignId, NodeId)>> {
        // A loose index scan (PostgreSQL has no skip scan): from each node found, the next one above it.
        let sql = "WITH RECURSIVE source(campaign, node) AS (
                       SELECT c, (SELECT min(t.node) FROM intake t WHERE t.campaign = c) FROM unnest($1::uuid[]) AS c
                       UNION ALL
                       SELECT s.campaign, (SELECT min(t.node) FROM intake t
                                           WHERE t.campaign = s.campaign AND t.node > s.node)
                       FROM source s WHERE s.node IS NOT NULL)
                   SELECT campaign, node FROM source WHERE node IS NOT NULL ORDER BY campaign, node LIMIT $2";
        let wanted: Vec<Uuid> = campaigns.iter().map(|c| c.0).collect();
        let rows: Vec<(Uuid, i32)> =
            self.fetch_all("list intake sources", sqlx::query_as(sql).bind(wanted).bind(LIST_MAX)).await?;
        rows.into_iter().map(|(c, node)| Ok((CampaignId(c), from_integer("intake.node", node)?))).collect()
    }
}

/// One probe of the primary key per cursor; the partition is chosen while it runs.
pub(crate) const READ_INTAKE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM unnest($1::uuid[], $2::int[], $3::bigint[]) WITH ORDINALITY AS c(campaign, node, after, ord)
      CROSS JOIN LATERAL (
          SELECT * FROM intake i WHERE i.campaign = c.campaign AND i.node = c.node AND i.n > c.after
          ORDER BY i.n LIMIT $4) t
      ORDER BY c.ord, t.n"
);

#[cfg(test)]
mod tests;
