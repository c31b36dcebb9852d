//! `COPY`: the most that this server takes in any way. The rows of a turn are read out in COPY's binary form and then copied
//! into tables of the same schema, with the same indexes and triggers, intake and log at the same time on connections of
//! their own, each in one transaction.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::TryStreamExt;
use sluice_store::{Options, Store};
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt;

use super::path::Rows;

/// Bytes sent at once.
const PIECE: usize = 1 << 20;

/// Two databases of one schema.
pub(super) struct Copied {
    from: PgPool,
    to: PgPool,
}

/// Rows that were written.
pub(super) struct Written<T> {
    pub(super) took: Duration,
    /// What was asked before and after.
    pub(super) before: T,
    pub(super) after: T,
}

impl Copied {
    /// Connects to both and gives the second one its schema.
    pub(super) async fn prepare(from: &str, to: &str) -> anyhow::Result<Self> {
        let store = Store::connect(to, Options { connections: 1 }).await?;
        store.migrate().await?;
        store.close().await;
        Ok(Self { from: PgPool::connect(from).await?, to: PgPool::connect(to).await? })
    }

    /// Copies the rows of a turn; says how long the second half, writing them, took, and what was asked around it.
    pub(super) async fn copy<T>(&mut self, rows: &Rows, ask: impl Fn() -> T) -> anyhow::Result<Written<T>> {
        let Rows { campaign, node, intake, log } = rows;
        let of_log = format!("seq > {} AND seq <= {}", log.0, log.1);
        let of_intake = format!(
            "SELECT * FROM intake WHERE campaign = '{campaign}' AND node = {node} AND n > {} AND n <= {} ORDER BY n",
            intake.0, intake.1
        );
        let intake = self.read(&of_intake).await?;
        let entries = self.read(&format!("SELECT * FROM log WHERE {of_log} ORDER BY seq")).await?;
        let postings = self.read(&format!("SELECT * FROM posting WHERE {of_log} ORDER BY seq")).await?;
        let (before, start) = (ask(), Instant::now());
        let (first, second) = tokio::join!(self.write("intake", &intake), async {
            self.write("log", &entries).await?;
            self.write("posting", &postings).await
        });
        ensure!(first? > 0 && second? > 0, "there were no rows to copy");
        Ok(Written { took: start.elapsed(), before, after: ask() })
    }

    async fn read(&self, select: &str) -> anyhow::Result<Vec<u8>> {
        let statement = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
        let mut out = self.from.copy_out_raw(&statement).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = out.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn write(&self, table: &str, bytes: &[u8]) -> anyhow::Result<u64> {
        let statement = format!("COPY {table} FROM STDIN (FORMAT binary)");
        let mut copy = self.to.copy_in_raw(&statement).await?;
        for piece in bytes.chunks(PIECE) {
            copy.send(piece).await?;
        }
        Ok(copy.finish().await?)
    }
}
