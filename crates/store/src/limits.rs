//! The bounds of talking to the database, each with its reason. Bounds of the domain are in `sluice_core::limits`.

use std::time::Duration;

/// How long the server may work on a statement of the pool. The slowest is a campaign's ledger over all its postings.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer of the pool is awaited: the server's own bound, and the way back.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
/// How long a connection is awaited, new or from the pool; a request rather gets its 503.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may work on a leader's statement. An append takes milliseconds; a leader that cannot append
/// for this long is no leader.
pub(crate) const LEADER_STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a leader's answer is awaited: not longer than its lease, after which somebody else works.
pub(crate) const LEADER_ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// A leader stopped inside a transaction is cut off after this, or it would block its successor (LOG.md §2).
pub(crate) const IDLE_IN_TRANSACTION: Duration = Duration::from_millis(500);
/// How long a leader's statement waits for a lock. Longer than [`IDLE_IN_TRANSACTION`], which frees it if anything.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(750);
/// The server looks this often whether the other end is still there while it works (the value Canton uses).
pub(crate) const CLIENT_CHECK: Duration = Duration::from_secs(5);

/// How often an intake group is done again because another node inserted one of its ids meanwhile. Each time at least
/// one more of its at most 256 ids is found, and nobody can keep colliding with ids that are known.
pub(crate) const INTAKE_REDO_MAX: usize = sluice_core::limits::INTAKE_GROUP_MAX + 2;
/// How long ids are looked for before rows are inserted, once one was found to exist. Without a look an insert is a third
/// cheaper; whoever sends the same ids again and again spoils one insert in so long.
pub(crate) const INTAKE_LOOKS_FIRST: Duration = Duration::from_secs(1);
/// How often an intake group whose answer was lost is done again. Once finds it when the server lives; a second time
/// covers a connection of the pool that broke in the same moment.
pub(crate) const INTAKE_UNKNOWN_MAX: usize = 2;

/// Rows of one append: a group of 256 inputs with what falls due before them, and what a block of a chain yields.
pub const APPEND_ROWS_MAX: usize = 4_096;
/// Bytes of the entries and transactions of one append; far below the gigabyte that PostgreSQL allows a message.
pub const APPEND_BYTES_MAX: usize = 64 << 20;
/// Bytes of the facts behind one entry, as the schema has it.
pub const FACT_BYTES_MAX: usize = sluice_core::limits::FACT_BYTES_MAX;
/// Bytes of entries that one read of the log answers with (at least one entry): what a follower holds at once.
pub(crate) const READ_BYTES_MAX: i64 = 32 << 20;
/// Bytes of a state dump's page: few rows for a State of 20 MB, each far below a message's bound.
pub const DUMP_PAGE_BYTES: usize = 1 << 20;
/// Pages of a state dump. State is 20 MB for 50 million entitlements and some 50 more where gates signed each of their
/// words; a dump far above that would be read into more memory than a node may need to serve.
pub const DUMP_PAGES_MAX: u32 = 512;
/// Rows of the log that are handed on together by a reader of all of it: as many as a follower reads at once, so that the
/// state hash is taken as rarely.
#[expect(clippy::cast_possible_truncation, reason = "ten thousand")]
pub(crate) const POUR_ROWS: usize = sluice_core::limits::FOLLOW_ROWS_MAX.unsigned_abs() as usize;
/// Bytes of entries handed on together; few such parts are under way at a time.
pub(crate) const POUR_BYTES: usize = 4 << 20;
/// Dumps that are kept: the newest, and one before it in case the newest is found bad.
pub(crate) const DUMPS_KEPT: i64 = 2;
/// Rows of a listing (nodes, projects, keys, attempts of a batch).
pub(crate) const LIST_MAX: i64 = 100_000;

/// Data keys put under another seal key in one statement: some tenths of a second, and as much is done again after a cut.
pub const REWRAPPED_ROWS: i64 = 5_000;
/// Bytes of facts and attestations that one `Erased` entry destroys (at least one row), because the append that destroys them
/// has [`LEADER_STATEMENT_TIMEOUT`]. Large bodies lie in pieces of 2 KB beside their rows, which nobody has read for months:
/// some 1,000 pages for so many bytes, a third of a second from a disk that reads 3,000 pages a second.
pub const ERASED_BYTES_MAX: usize = 8 << 20;
/// Attestations kept in one statement: a few hundred KiB, and a commit shared by as many.
pub const ATTESTATIONS_GROUP_MAX: usize = 256;
/// Attestations read about one subject: a person has few of each accepted schema.
pub(crate) const ATTESTATIONS_ABOUT_MAX: i64 = 32;
