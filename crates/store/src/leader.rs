//! The leader's own session: taking the epoch, keeping the lease, appending.
//!
//! Safety rests on one thing: an append locks the head row under its epoch, in the same statement that inserts, and
//! taking the epoch changes that row. When somebody may *try* to take it is a matter of liveness: when the lease has
//! lapsed, when the session of the epoch's holder is gone, or when the holder is the taker itself, coming back after a
//! lost answer. That a session lives is seen by an advisory lock it holds, named by stream and epoch: a leader that
//! lost its epoch keeps a lock that nobody asks for any more.

mod append;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_core::ids::{Epoch, Millis, Seq, StreamId};
use sluice_core::limits::{LEASE_RENEW_EVERY, PARTITION_ROWS};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, PgConnection, Postgres};

pub use append::{Append, Appended};

use crate::Store;
use crate::columns::{from_bigint, to_bigint, to_integer, to_millis};
use crate::error::{AppendError, Error, Result};
use crate::limits::{IDLE_IN_TRANSACTION, LEADER_ANSWER_TIMEOUT, LEADER_STATEMENT_TIMEOUT, LOCK_TIMEOUT};
use crate::seal::SealKey;
use crate::store::{milliseconds, within};

/// A connection that may lead one stream.
#[derive(Debug)]
pub struct LeaderSession {
    stream: StreamId,
    /// `None` after a lost answer or an abandoned call. Taken out for each statement, so that a call that is dropped
    /// half-way takes the connection, with whatever it still owes, along.
    conn: Option<PgConnection>,
    /// Seals the facts of what is appended.
    seal: Option<Arc<SealKey>>,
    term: Option<Term>,
}

/// What a session that took an epoch knows.
#[derive(Clone, Copy, Debug)]
struct Term {
    epoch: Epoch,
    lease: Duration,
    renewed: Instant,
    /// Positions up to here have a partition.
    partitioned: Seq,
}

/// An epoch that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The new epoch. Nothing of a lower one is ever appended any more.
    pub epoch: Epoch,
    /// The last position; 0 for an empty log.
    pub seq: Seq,
    /// The database's clock.
    pub now: Millis,
}

/// The head as a candidate finds it.
struct Standing {
    epoch: Epoch,
    /// Held by the candidate itself.
    own: bool,
    lapsed: bool,
}

impl LeaderSession {
    /// Opens a session. It leads nothing yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn open(store: &Store, stream: StreamId) -> Result<Self> {
        let options = store.connect_options().application_name("sluice leader").options([
            ("idle_in_transaction_session_timeout", milliseconds(IDLE_IN_TRANSACTION)),
            ("statement_timeout", milliseconds(LEADER_STATEMENT_TIMEOUT)),
            ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
        ]);
        let conn = within(LEADER_ANSWER_TIMEOUT, PgConnection::connect_with(&options))
            .await
            .map_err(Error::reading("open a leader's session"))?;
        Ok(Self { stream, conn: Some(conn), seal: store.shared_seal_key(), term: None })
    }

    /// The stream.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// The epoch that was taken, if one was.
    pub fn epoch(&self) -> Option<Epoch> {
        self.term.map(|term| term.epoch)
    }

    /// Takes the epoch, if it may be taken: max(old + 1, `at_least`), where `at_least` is one above every chain's.
    /// `None` when somebody else holds it and lives. `holder` must name this process and no other, ever: whoever
    /// comes with the holder's name takes over at once.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the answer was lost: open a new session and take again.
    pub async fn take_epoch(
        &mut self,
        holder: &str,
        lease: Duration,
        at_least: Epoch,
    ) -> Result<Option<Taken>> {
        self.term = None;
        let standing = self.standing(holder).await?;
        let next = at_least.max(standing.as_ref().map_or(0, |head| head.epoch) + 1);
        let now = match standing {
            Some(standing) => self.succeed(&standing, holder, lease, next).await?,
            None if self.try_lock(next).await? => {
                let now = self.found(holder, lease, next).await?;
                self.keep(next, now).await?
            }
            None => None,
        };
        match now {
            Some(now) => self.begin(now, next, lease).await.map(Some),
            None => Ok(None),
        }
    }

    /// Gives back the lock of an epoch that was locked and not taken: nobody must find it held later.
    async fn keep(&mut self, epoch: Epoch, taken: Option<Millis>) -> Result<Option<Millis>> {
        if taken.is_none() {
            self.unlock(epoch).await?;
        }
        Ok(taken)
    }

    /// Extends the lease when nothing is appended; returns the database's clock.
    ///
    /// # Errors
    /// [`AppendError::Fenced`] when the epoch is over.
    pub async fn renew(&mut self) -> Result<Millis, AppendError> {
        let term = self.term.ok_or(Error::NoEpoch)?;
        self.set_lease(term, term.lease).await
    }

    async fn set_lease(&mut self, mut term: Term, lease: Duration) -> Result<Millis, AppendError> {
        let sql = "UPDATE head SET lease_until = clock_millis() + $3 * interval '1 millisecond'
                   WHERE stream = $1 AND epoch = $2 RETURNING millis(clock_timestamp())";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", self.stream.0)?)
            .bind(to_bigint("epoch", term.epoch)?)
            .bind(to_millis("lease", lease)?);
        let rows: Vec<(i64,)> = self.send("renew the lease", query).await.map_err(AppendError::of)?;
        let (now,) = rows.first().ok_or(AppendError::Fenced { stream: self.stream, epoch: term.epoch })?;
        term.renewed = Instant::now();
        self.term = Some(term);
        Ok(from_bigint("clock", *now)?)
    }

    async fn standing(&mut self, holder: &str) -> Result<Option<Standing>> {
        let sql = "SELECT epoch, holder = $2, lease_until <= clock_timestamp() FROM head WHERE stream = $1";
        let query = sqlx::query_as(sql).bind(to_integer("stream", self.stream.0)?).bind(holder);
        let rows: Vec<(i64, bool, bool)> = self.send("read the head", query).await?;
        let row = rows.first();
        row.map(|(epoch, own, lapsed)| {
            Ok(Standing { epoch: from_bigint("head.epoch", *epoch)?, own: *own, lapsed: *lapsed })
        })
        .transpose()
    }

    /// Takes over from whoever holds the epoch, if that is allowed; returns the database's clock if it was done.
    async fn succeed(
        &mut self,
        standing: &Standing,
        holder: &str,
        lease: Duration,
        next: Epoch,
    ) -> Result<Option<Millis>> {
        // Succeeds when the holder's session is gone (or is this one).
        let gone = self.try_lock(standing.epoch).await?;
        let may = gone || standing.own || standing.lapsed;
        let taken = if may && self.try_lock(next).await? {
            let now = self.replace(standing, gone, holder, lease, next).await?;
            self.keep(next, now).await?
        } else {
            None
        };
        if gone {
            self.unlock(standing.epoch).await?;
        }
        Ok(taken)
    }

    /// Inserts the first head of a stream; `None` when somebody was faster.
    async fn found(&mut self, holder: &str, lease: Duration, epoch: Epoch) -> Result<Option<Millis>> {
        let sql = "INSERT INTO head (stream, epoch, holder, lease_until)
                   VALUES ($1, $2, $3, clock_millis() + $4 * interval '1 millisecond')
                   ON CONFLICT (stream) DO NOTHING RETURNING millis(clock_timestamp())";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", self.stream.0)?)
            .bind(to_bigint("epoch", epoch)?)
            .bind(holder)
            .bind(to_millis("lease", lease)?);
        let rows: Vec<(i64,)> = self.send("take the first epoch", query).await?;
        rows.first().map(|(now,)| from_bigint("clock", *now)).transpose()
    }

    /// Moves the head to the next epoch; `None` when it moved or was renewed meanwhile. Waits for an append under way.
    ///
    /// A leader stopped between two messages of one append holds the row's lock without being idle in a transaction,
    /// so no time-out of its session applies. Its backend is then ended: what it has not committed, it never will.
    async fn replace(
        &mut self,
        standing: &Standing,
        gone: bool,
        holder: &str,
        lease: Duration,
        next: Epoch,
    ) -> Result<Option<Millis>> {
        let regardless = gone || standing.own;
        match self.try_replace(standing.epoch, regardless, holder, lease, next).await {
            Err(error) if error.is_lock_timeout() => {
                self.end_holder(standing.epoch, regardless).await?;
                self.try_replace(standing.epoch, regardless, holder, lease, next).await
            }
            done => done,
        }
    }

    async fn try_replace(
        &mut self,
        old: Epoch,
        regardless: bool,
        holder: &str,
        lease: Duration,
        next: Epoch,
    ) -> Result<Option<Millis>> {
        let sql = "UPDATE head SET epoch = $4, holder = $5, lease_until = clock_millis() + $6 * interval '1 millisecond'
                   WHERE stream = $1 AND epoch = $2 AND ($3 OR lease_until <= clock_timestamp())
                   RETURNING millis(clock_timestamp())";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", self.stream.0)?)
            .bind(to_bigint("epoch", old)?)
            .bind(regardless)
            .bind(to_bigint("epoch", next)?)
            .bind(holder)
            .bind(to_millis("lease", lease)?);
        let rows: Vec<(i64,)> = self.send("take the epoch", query).await?;
        rows.first().map(|(now,)| from_bigint("clock", *now)).transpose()
    }

    /// Ends the session that holds an epoch's advisory lock, if its lease has lapsed or it is our own.
    async fn end_holder(&mut self, epoch: Epoch, regardless: bool) -> Result<()> {
        let sql = "SELECT pg_terminate_backend(l.pid, 1000) FROM pg_locks l, head h
                   WHERE h.stream = $1 AND h.epoch = $2 AND ($3 OR h.lease_until <= clock_timestamp())
                     AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.pid <> pg_backend_pid()
                     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND l.classid = $1::oid AND l.objid = ($2 & 4294967295)::oid";
        let query = sqlx::query_as(sql)
            .bind(to_integer("stream", self.stream.0)?)
            .bind(to_bigint("epoch", epoch)?)
            .bind(regardless);
        let ended: Vec<(bool,)> = self.send("end the session of a leader that hangs", query).await?;
        tracing::warn!(
            epoch,
            sessions = ended.len(),
            "ended the session of a leader that hangs inside an append"
        );
        Ok(())
    }

    /// Notes a taken epoch: reads how far the log goes, now that nobody else can add to it, and provides partitions.
    async fn begin(&mut self, now: Millis, epoch: Epoch, lease: Duration) -> Result<Taken> {
        let renewed = Instant::now();
        let sql = "SELECT seq FROM log WHERE stream = $1 ORDER BY seq DESC LIMIT 1";
        let query = sqlx::query_as(sql).bind(to_integer("stream", self.stream.0)?);
        let rows: Vec<(i64,)> = self.send("read how far the log goes", query).await?;
        let seq = from_bigint("log.seq", rows.first().map_or(0, |row| row.0))?;
        let partitioned = self.provide_partitions(seq).await?;
        self.term = Some(Term { epoch, lease, renewed, partitioned });
        Ok(Taken { epoch, seq, now })
    }

    /// Provides partitions for a whole partition's worth of positions ahead; returns up to where they reach.
    async fn provide_partitions(&mut self, seq: Seq) -> Result<Seq> {
        let up_to = to_bigint("position", seq)?.saturating_add(PARTITION_ROWS);
        let query = sqlx::query_as("SELECT ensure_log_partitions($1)").bind(up_to);
        let _: Vec<(i32,)> = self.send("provide partitions of the log", query).await?;
        from_bigint("position", up_to)
    }

    async fn try_lock(&mut self, epoch: Epoch) -> Result<bool> {
        let query = sqlx::query_as("SELECT pg_try_advisory_lock($1, $2)");
        let query = query.bind(to_integer("stream", self.stream.0)?).bind(lock_name(epoch));
        let rows: Vec<(bool,)> = self.send("ask whether a leader lives", query).await?;
        Ok(rows.first().is_some_and(|row| row.0))
    }

    async fn unlock(&mut self, epoch: Epoch) -> Result<()> {
        let query = sqlx::query_as("SELECT pg_advisory_unlock($1, $2)");
        let query = query.bind(to_integer("stream", self.stream.0)?).bind(lock_name(epoch));
        let _: Vec<(bool,)> = self.send("give back an advisory lock", query).await?;
        Ok(())
    }

    /// Sends a statement on this session. After anything but a certain answer the session has ended.
    async fn send<T>(
        &mut self,
        action: &'static str,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut conn = self.conn.take().ok_or(Error::SessionEnded)?;
        let answer =
            within(LEADER_ANSWER_TIMEOUT, query.fetch_all(&mut conn)).await.map_err(Error::writing(action));
        if !matches!(answer, Err(Error::Unknown { .. })) {
            self.conn = Some(conn);
        }
        answer
    }

    /// Whether the lease should be extended along with what is sent now.
    fn renewal_due(term: &Term) -> bool {
        term.renewed.elapsed() >= LEASE_RENEW_EVERY.min(term.lease / 3)
    }
}

/// The second half of an epoch's advisory lock; the first is the stream. Epochs 2^32 apart share it, which would
/// delay a takeover until the lease lapses and no more.
fn lock_name(epoch: Epoch) -> i32 {
    let [a, b, c, d, ..] = epoch.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}
