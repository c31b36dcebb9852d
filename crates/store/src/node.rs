//! Nodes: processes that take demands in or lead.

use sluice_core::ids::{Millis, NodeId};

use crate::Store;
use crate::columns::{from_bigint, from_integer, to_integer};
use crate::error::Result;
use crate::limits::LIST_MAX;

/// A process, running or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number; never another's.
    pub id: NodeId,
    /// Who it said it is.
    pub holder: String,
    /// When it took its number.
    pub started_at: Millis,
    /// When it last reported. A node silent for long has ended, and its intake ends where it stands.
    pub last_seen: Millis,
}

impl Store {
    /// Takes a new number for a starting process. `holder` names it for people: host, process, address.
    ///
    /// # Errors
    /// [`crate::Error::Unknown`] costs a number and nothing else: call again.
    pub async fn register_node(&self, holder: &str) -> Result<NodeId> {
        let sql = "INSERT INTO node (holder) VALUES ($1) RETURNING id";
        let rows: Vec<(i32,)> = self.write_all("register a node", sqlx::query_as(sql).bind(holder)).await?;
        from_integer("node.id", rows.first().map_or(-1, |row| row.0))
    }

    /// Reports that a node lives; returns the database's clock.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when no node has this number.
    pub async fn heartbeat(&self, node: NodeId) -> Result<Millis> {
        let sql = "UPDATE node SET last_seen = greatest(last_seen, clock_millis()) WHERE id = $1
                   RETURNING millis(clock_timestamp())";
        let query = sqlx::query_as(sql).bind(to_integer("node", node)?);
        let rows: Vec<(i64,)> = self.write_all("report a node's life", query).await?;
        let missing = || crate::Error::Corrupt { what: "node", reason: format!("there is no node {node}") };
        from_bigint("clock", rows.first().ok_or_else(missing)?.0)
    }

    /// All nodes that ever started, by number.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        let sql = "SELECT id, holder, millis(started_at), millis(last_seen) FROM node ORDER BY id LIMIT $1";
        let rows: Vec<(i32, String, i64, i64)> =
            self.fetch_all("list the nodes", sqlx::query_as(sql).bind(LIST_MAX)).await?;
        rows.into_iter()
            .map(|(id, holder, started_at, last_seen)| {
                Ok(Node {
                    id: from_integer("node.id", id)?,
                    holder,
                    started_at: from_bigint("node.started_at", started_at)?,
                    last_seen: from_bigint("node.last_seen", last_seen)?,
                })
            })
            .collect()
    }
}
