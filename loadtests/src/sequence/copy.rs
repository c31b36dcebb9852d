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
        // Nobody leads in the second database, so nobody but this provides partitions.
        let last = i64::try_from(log.1)?;
        sqlx::query("SELECT ensure_log_partitions($1)").bind(last).execute(&self.to).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_core::ids::CampaignId;
    use sluice_embedded::testing::TestDatabase;
    use uuid::Uuid;

    /// The last position of the log's first partition.
    const PARTITION_ENDS: u64 = 9_999_999;

    /// A claim's rows at a position.
    const ROWS: &str = "WITH taken AS (
            INSERT INTO intake (campaign, node, n, claim_id, body_hash, body, place, estimate_ms, decide_by)
            VALUES ($1, 1, $2, gen_random_uuid(), sha256('a'), 'a', 0, 0, now() + interval '1 day')
        ), entry AS (
            INSERT INTO log (stream, seq, epoch, kind, entry, leaf, campaign, node, n)
            VALUES (0, $3, 1, 1, 'ab', sha256('a'), $1, 1, $2)
        )
        INSERT INTO posting (stream, seq, campaign, kind, amount) VALUES (0, $3, $1, 1, 5), (0, $3, $1, 2, -5)";

    #[tokio::test]
    async fn rows_behind_the_first_partition_are_copied_too() {
        let migrations = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let (from, to) =
            (TestDatabase::new(&migrations).await.unwrap(), TestDatabase::empty().await.unwrap());
        let mut copied = Copied::prepare(from.url(), to.url()).await.unwrap();
        let last = i64::try_from(PARTITION_ENDS + 2).unwrap();
        sqlx::query("SELECT ensure_log_partitions($1)").bind(last).execute(&copied.from).await.unwrap();
        let campaign = CampaignId(Uuid::from_u128(7));
        for n in 1..=4_i64 {
            let row = sqlx::query(ROWS).bind(campaign.0).bind(n).bind(last - 4 + n);
            row.execute(&copied.from).await.unwrap();
        }
        let log = (PARTITION_ENDS - 2, PARTITION_ENDS + 2);
        copied.copy(&Rows { campaign, node: 1, intake: (0, 4), log }, || ()).await.unwrap();
        for table in ["intake", "log"] {
            let sql = format!("SELECT count(*) FROM {table}");
            let count: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&copied.to).await.unwrap();
            assert_eq!(count, 4, "{table}");
        }
        copied.from.close().await;
        copied.to.close().await;
    }
}
