//! A transaction that reads the whole log from one snapshot and takes its time about it, as a dump over a slow line does.

use std::time::Duration;

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Between two pieces that it fetches.
const FETCH_EVERY: Duration = Duration::from_millis(200);

/// A reader at work.
pub(super) struct LongReader {
    stop: oneshot::Sender<()>,
    reading: JoinHandle<anyhow::Result<()>>,
}

impl LongReader {
    /// Opens the transaction; its snapshot is taken when this returns. It reads evenly for so long, and then stays open.
    pub(super) async fn open(url: &str, within: Duration) -> anyhow::Result<Self> {
        let mut raw = PgConnection::connect(url).await?;
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut raw).await?;
        let head = last(&mut raw).await?;
        sqlx::raw_sql("DECLARE whole NO SCROLL CURSOR FOR SELECT seq, entry FROM log ORDER BY seq")
            .execute(&mut raw)
            .await?;
        let (stop, stopped) = oneshot::channel();
        let reading = tokio::spawn(read(raw, head, within, stopped));
        Ok(Self { stop, reading })
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// When it did not see the log to its end, or saw what came after its snapshot.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        // A reader that has failed hears nothing, and says why below.
        let _ = self.stop.send(());
        self.reading.await?
    }
}

async fn read(
    mut raw: PgConnection,
    head: i64,
    within: Duration,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let pieces = within.as_millis() / FETCH_EVERY.as_millis();
    let piece = u128::from(head.unsigned_abs()).div_ceil(pieces.max(1));
    let fetch = format!("FETCH {piece} FROM whole");
    let (mut seen, mut more, mut told) = (0, true, false);
    while more || !told {
        if more {
            let rows: Vec<(i64, Vec<u8>)> =
                sqlx::query_as(sqlx::AssertSqlSafe(fetch.clone())).fetch_all(&mut raw).await?;
            seen = rows.last().map_or(seen, |row| row.0);
            more = !rows.is_empty();
        }
        // Once told to end, it reads what is left without rest.
        told = told || tokio::time::timeout(FETCH_EVERY, &mut stopped).await.is_ok();
    }
    ensure!(seen == head, "the reader saw {seen} entries of {head}");
    ensure!(last(&mut raw).await? == head, "the reader's snapshot has moved");
    sqlx::raw_sql("COMMIT").execute(&mut raw).await?;
    Ok(raw.close().await?)
}

async fn last(raw: &mut PgConnection) -> anyhow::Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(seq) FROM log").fetch_one(raw).await?;
    last.context("the log is empty")
}
