//! The database's clock, which the test may set forward: leaders must resign, leases lapse, and what is due in minutes
//! is due now.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

/// Puts a clock of our own before PostgreSQL's. Every statement of the store asks `clock_timestamp()` without a schema,
/// and this database finds ours first; the store's own functions, created later, bind to it, too.
const INSTALL: &str = "
    CREATE TABLE public.chaos_clock (ahead interval NOT NULL);
    INSERT INTO public.chaos_clock VALUES ('0');
    CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM public.chaos_clock';
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
    END $$";

/// Installs it; before any node has migrated the database.
pub(crate) async fn install(database_url: &str) -> anyhow::Result<()> {
    let mut session = connect(database_url).await?;
    sqlx::raw_sql(INSTALL).execute(&mut session).await.context("the test's clock")?;
    Ok(session.close().await?)
}

/// Sets the clock forward.
pub(crate) async fn forward(database_url: &str, by: Duration) -> anyhow::Result<()> {
    let mut session = connect(database_url).await?;
    sqlx::query("UPDATE public.chaos_clock SET ahead = ahead + make_interval(secs => $1)")
        .bind(by.as_secs_f64())
        .execute(&mut session)
        .await
        .context("the clock set forward")?;
    Ok(session.close().await?)
}

async fn connect(database_url: &str) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(database_url).context("the database's URL")?;
    options.connect().await.context("the database")
}
