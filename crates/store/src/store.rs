//! The pool: connecting, migrating, and the one place where statements of the pool are sent and bounded.

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sluice_core::ids::Millis;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{FromRow, PgPool, Postgres, SqlSafeStr};

use crate::columns::from_bigint;
use crate::error::{Error, Result};
use crate::limits::{ANSWER_TIMEOUT, CLIENT_CHECK, CONNECT_TIMEOUT, STATEMENT_TIMEOUT};
use crate::seal::SealKey;

/// What may be chosen about the pool.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections of the pool; a leader has one more of its own. Statements are short, so few serve many requests.
    pub connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 16 }
    }
}

/// The database, for everything but appending. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    options: Arc<PgConnectOptions>,
    seal: Option<Arc<SealKey>>,
}

/// A pool tries until its time is over and then says only that; one connection by itself says why there is none.
async fn why_none(connect: &PgConnectOptions, error: sqlx::Error) -> sqlx::Error {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return error;
    }
    let alone = tokio::time::timeout(CONNECT_TIMEOUT, sqlx::ConnectOptions::connect(connect)).await;
    let at = |why: String| {
        let host = format!("{}:{}", connect.get_host(), connect.get_port());
        std::io::Error::other(format!("PostgreSQL at {host}: {why}"))
    };
    match alone {
        Ok(Err(sqlx::Error::Io(why))) => sqlx::Error::Io(at(why.to_string())),
        Ok(Err(why)) => why,
        Ok(Ok(_)) => error,
        Err(_) => sqlx::Error::Io(at(format!("no answer within {CONNECT_TIMEOUT:?}"))),
    }
}

impl Store {
    /// Connects a pool to `postgres://…`.
    ///
    /// # Errors
    /// [`Error::Sql`] when the URL is malformed or the server refuses us, [`Error::Unavailable`] when it is not there.
    pub async fn connect(url: &str, options: Options) -> Result<Self> {
        let action = "connect to the database";
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            let wrong = "the database's URL must begin with postgres:// or postgresql://";
            return Err(Error::reading(action)(sqlx::Error::Configuration(wrong.into())));
        }
        let connect = settings(PgConnectOptions::from_str(url).map_err(Error::reading(action))?);
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(connect.clone().options([("statement_timeout", milliseconds(STATEMENT_TIMEOUT))]))
            .await;
        let pool = match pool {
            Ok(pool) => pool,
            Err(timed_out) => return Err(Error::reading(action)(why_none(&connect, timed_out).await)),
        };
        Ok(Self { pool, options: Arc::new(connect), seal: None })
    }

    /// The same database with the key that opens what is personal in it; without one that stays sealed, and nothing personal
    /// can be written.
    pub fn with_seal_key(mut self, key: SealKey) -> Self {
        self.seal = Some(Arc::new(key));
        self
    }

    pub(crate) fn seal_key(&self) -> Option<&SealKey> {
        self.seal.as_deref()
    }

    /// The seal key for a session of its own.
    pub(crate) fn shared_seal_key(&self) -> Option<Arc<SealKey>> {
        self.seal.clone()
    }

    /// Brings the schema up to date. Safe to call from several nodes at once; does nothing when it is.
    ///
    /// # Errors
    /// [`Error::Migrate`], also when the database was migrated by a newer binary.
    pub async fn migrate(&self) -> Result<()> {
        let action = "connect to migrate the database";
        // A migration may take longer than any statement of the pool, so it has a connection without that bound.
        let mut session =
            sqlx::ConnectOptions::connect(&*self.options).await.map_err(Error::reading(action))?;
        migrations().run(&mut session).await.map_err(Error::Migrate)?;
        sqlx::Connection::close(session).await.map_err(Error::reading(action))
    }

    /// The database's clock: the only one that decides anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn database_now(&self) -> Result<Millis> {
        let now: (i64,) = self
            .fetch_one("read the database's clock", sqlx::query_as("SELECT millis(clock_timestamp())"))
            .await?;
        from_bigint("clock", now.0)
    }

    /// Waits until the pool's connections are closed; for an orderly end.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// What a connection outside the pool is made with.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        (*self.options).clone()
    }

    /// All rows of a statement that writes nothing.
    pub(crate) async fn fetch_all<T>(
        &self,
        action: &'static str,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut session = self.checkout().await.map_err(Error::reading(action))?;
        let answer = within(ANSWER_TIMEOUT, query.fetch_all(session.get())).await;
        session.settle(answer).map_err(Error::reading(action))
    }

    /// The row of a statement that writes nothing, if there is one.
    pub(crate) async fn fetch_optional<T>(
        &self,
        action: &'static str,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Option<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(self.fetch_all(action, query).await?.pop())
    }

    /// The row of a statement that writes nothing and always has one.
    pub(crate) async fn fetch_one<T>(
        &self,
        action: &'static str,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<T>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let row = self.fetch_optional(action, query).await?;
        row.ok_or_else(|| Error::reading(action)(sqlx::Error::RowNotFound))
    }

    /// All rows of a statement that writes.
    pub(crate) async fn write_all<T>(
        &self,
        action: &'static str,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        // Without a connection nothing was written.
        let mut session = self.checkout().await.map_err(Error::reading(action))?;
        let answer = within(ANSWER_TIMEOUT, query.fetch_all(session.get())).await;
        session.settle(answer).map_err(Error::writing(action))
    }

    /// Carries out a statement that writes; returns how many rows it wrote.
    pub(crate) async fn execute(
        &self,
        action: &'static str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64> {
        let mut session = self.checkout().await.map_err(Error::reading(action))?;
        let answer = within(ANSWER_TIMEOUT, query.execute(session.get())).await;
        Ok(session.settle(answer).map_err(Error::writing(action))?.rows_affected())
    }

    pub(crate) async fn checkout(&self) -> Result<Checkout, sqlx::Error> {
        Ok(Checkout { session: Some(self.pool.acquire().await?) })
    }
}

/// A connection out of the pool. Unless the server answered it is closed, because the pool would first wait, without a
/// bound, for the answer that an abandoned statement still owes.
pub(crate) struct Checkout {
    session: Option<PoolConnection<Postgres>>,
}

impl Checkout {
    pub(crate) fn get(&mut self) -> &mut sqlx::PgConnection {
        self.session.as_mut().expect("it is there until the answer is settled")
    }

    /// Passes an answer on; a refusal is one, too, and gives the connection back.
    pub(crate) fn settle<T>(mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if matches!(answer, Ok(_) | Err(sqlx::Error::Database(_))) {
            self.session = None;
        }
        answer
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            session.close_on_drop();
        }
    }
}

/// Waits for an answer, but not for ever: a connection to a host that vanished stays silent for a quarter of an hour.
pub(crate) async fn within<T>(
    bound: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let late = || {
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer in {bound:?}")))
    };
    tokio::time::timeout(bound, answer).await.unwrap_or_else(|_| Err(late()))
}

/// A duration as PostgreSQL settings spell it.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// What every session of ours is set to, whatever the server's defaults are.
fn settings(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("sluice").options([
        // A commit is on disk, and on the synchronous standby where one is configured, before it is answered.
        ("synchronous_commit", "on"),
        // The fence relies on it: a row lock that had to wait looks at the row again.
        ("default_transaction_isolation", "read committed"),
        // Every statement here is an index probe. A plan made while a table was empty must not scan it when it is
        // full; and the inflated cost of a forbidden scan must not start the compiler.
        ("enable_seqscan", "off"),
        ("jit", "off"),
        ("client_connection_check_interval", &milliseconds(CLIENT_CHECK)),
        ("TimeZone", "UTC"),
    ])
}

/// The migrations, compiled in, under the names that their files have.
fn migrations() -> Migrator {
    let first = include_str!("../../../migrations/0001_the_log_and_what_feeds_it.sql");
    Migrator::with_migrations(vec![Migration::new(
        1,
        "the log and what feeds it".into(),
        MigrationType::Simple,
        first.into_sql_str(),
        false,
    )])
}
