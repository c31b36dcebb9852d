//! What lies in a database: bytes of tables and of their indexes, partitions together, and what became garbage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::{Connection, PgConnection};

/// Tables whose number of rows does not grow with claims: there, changing rows costs a page or two.
pub(super) const BOUNDED: [&str; 7] =
    ["head", "node", "api_key", "outbox", "erasure_open", "state_page", "_sqlx_migrations"];
/// How long sessions may take to end once a node has stopped.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at them.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const SIZES: &str = "
    SELECT coalesce(pg_partition_root(oid)::text, relname::text), sum(pg_table_size(oid))::bigint,
           sum(pg_indexes_size(oid))::bigint
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' GROUP BY 1";
const WAL: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";
/// A session tells what it did at most once a second, and when it ends.
const OTHERS: &str = "
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
const GARBAGE: &str = "
    SELECT coalesce(pg_partition_root(relid)::text, relname::text), sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint,
           sum(n_tup_hot_upd)::bigint, sum(n_tup_del)::bigint, sum(n_dead_tup)::bigint
    FROM pg_stat_user_tables GROUP BY 1 HAVING sum(n_tup_upd + n_tup_del + n_dead_tup) > 0 ORDER BY 1";

/// A session that looks at a database and writes nothing.
pub(super) struct Tables(PgConnection);

/// Bytes of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    /// With its TOAST table and its maps.
    pub(super) table: i64,
    /// Of all of its indexes.
    pub(super) indexes: i64,
}

/// What there is at a moment, or between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) tables: BTreeMap<String, Bytes>,
    /// Of the write-ahead log written so far.
    pub(super) wal: i64,
}

impl Sizes {
    /// What was added since then.
    pub(super) fn since(&self, before: &Self) -> Self {
        let grown = |(name, now): (&String, &Bytes)| {
            let then = before.tables.get(name).copied().unwrap_or_default();
            let grown = Bytes { table: now.table - then.table, indexes: now.indexes - then.indexes };
            (name.clone(), grown)
        };
        Self { tables: self.tables.iter().map(grown).collect(), wal: self.wal - before.wal }
    }

    /// Of all tables.
    pub(super) fn table(&self) -> i64 {
        self.tables.values().map(|bytes| bytes.table).sum()
    }

    /// Of all indexes.
    pub(super) fn indexes(&self) -> i64 {
        self.tables.values().map(|bytes| bytes.indexes).sum()
    }
}

/// What happened to a table's rows beside being inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Garbage {
    pub(super) table: String,
    pub(super) inserted: i64,
    pub(super) changed: i64,
    /// Of the changed ones: on the same page, found by the next reader and reused without vacuum.
    pub(super) in_place: i64,
    pub(super) gone: i64,
    /// Lie there now: of changes, deletions and transactions that were rolled back.
    pub(super) dead: i64,
}

impl Tables {
    /// Connects.
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        Ok(Self(PgConnection::connect(url).await?))
    }

    /// What there is now.
    pub(super) async fn sizes(&mut self) -> anyhow::Result<Sizes> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(SIZES).fetch_all(&mut self.0).await?;
        let tables =
            rows.into_iter().map(|(name, table, indexes)| (name, Bytes { table, indexes })).collect();
        Ok(Sizes { tables, wal: sqlx::query_scalar(WAL).fetch_one(&mut self.0).await? })
    }

    /// What became garbage, once every other session has ended and told what it did.
    pub(super) async fn garbage(&mut self) -> anyhow::Result<Vec<Garbage>> {
        let begun = Instant::now();
        while sqlx::query_scalar::<_, i64>(OTHERS).fetch_one(&mut self.0).await? > 0 {
            ensure!(
                begun.elapsed() < PATIENCE,
                "a session of the stopped node has not ended for {PATIENCE:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let rows: Vec<(String, i64, i64, i64, i64, i64)> =
            sqlx::query_as(GARBAGE).fetch_all(&mut self.0).await?;
        let garbage = |(table, inserted, changed, in_place, gone, dead)| Garbage {
            table,
            inserted,
            changed,
            in_place,
            gone,
            dead,
        };
        Ok(rows.into_iter().map(garbage).collect())
    }

    /// Ends the session.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        Ok(self.0.close().await?)
    }
}
