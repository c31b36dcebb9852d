//! The private PostgreSQL of a measurement: with fsync, set as a server of its own would be, and in the state of one that has
//! run for a while.

use std::path::Path;

use anyhow::Context;
use sluice_embedded::{Postgres, PostgresOptions};
use sqlx::{Connection, Executor, PgConnection};

/// What a server of 24 GiB is given at least (PostgreSQL's manual, "Resource Consumption": a quarter of it for buffers). With
/// the defaults, made for a laptop, sessions write pages out themselves in order to have room for others. As much of the
/// write-ahead log is kept to be written again as there ever is between two checkpoints.
const SETTINGS: [(&str, &str); 3] =
    [("shared_buffers", "1GB"), ("max_wal_size", "4GB"), ("min_wal_size", "4GB")];
/// Files of write-ahead log that `min_wal_size` keeps, of 16 MiB each.
const WAL_FILES: u32 = 256;
/// What databases, chain and write-ahead log take before anything is measured, bytes.
pub(crate) const DISK: u64 = 6 << 30;

/// Starts it in a folder.
pub(super) async fn start(dir: &Path) -> anyhow::Result<Postgres> {
    let postgres = Postgres::start(dir, &options()).await?;
    run_in(&postgres).await.context("the write-ahead log was not run in")?;
    Ok(postgres)
}

/// What every private server is set to, when it is started again too.
pub(crate) fn options() -> PostgresOptions {
    let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    PostgresOptions { settings, ..PostgresOptions::default() }
}

/// Writes once through the write-ahead log's files, which are recycled from then on. A cluster just made has none: each time
/// 16 MiB are full, whoever commits makes a file of zeros and syncs it while everybody waits, for 40 to 130 ms here. A
/// server does so for its first minutes, and never again.
async fn run_in(postgres: &Postgres) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(&postgres.url()).await?;
    for _ in 0..WAL_FILES {
        // A file with nothing in it is not left.
        connection.execute("SELECT pg_logical_emit_message(false, 'sluice', 'run in')").await?;
        connection.execute("SELECT pg_switch_wal()").await?;
    }
    connection.execute("CHECKPOINT").await?;
    connection.close().await
}
