//! Every bound of the listening half, each with its reason. Those of the system as a whole stand in
//! [`sluice_core::limits`].

use std::num::NonZeroU32;
use std::time::Duration;

/// Connections open at once; more wait in the kernel's queue. Each costs some tens of KiB.
pub(crate) const CONNECTIONS_MAX: usize = 10_000;
/// A client sends a whole head within this time, also when it keeps a connection for later.
pub(crate) const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// What is written to a client it takes at this pace, or its connection ends and what it did not read is given back: a page
/// of the feed is a megabyte, and ten thousand clients that read nothing would have us keep ten gigabytes. Slower than a
/// line of the second generation of mobile networks, and long enough for one that is away for a moment.
pub(crate) const READ_EVERY: Duration = Duration::from_secs(30);
/// So many bytes in so long, unless there are no more.
pub(crate) const READ_BYTES_LEAST: usize = 64 * 1024;
/// Answers up to this size are kept for whoever does not read them, until the pace above is not met: of each connection one,
/// 640 MB in all, and the system takes most of each.
pub(crate) const SMALL_ANSWER_BYTES: u64 = 64 * 1024;
/// Larger answers that are not read yet; of them a network has half of what others leave. A page is a megabyte at most, so
/// these are one GB where each is as large as that.
pub(crate) const LARGE_ANSWERS_MAX: usize = 1_024;
/// A head larger than this is refused; the longest of ours, with a key, stays below 1 KiB.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest pause inside a body.
pub(crate) const BODY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A demand's body that takes longer than this is a slow one: time enough for packets from afar, and for one that is lost.
pub(crate) const BODY_SOON: Duration = Duration::from_secs(1);
/// Slow bodies awaited at once, those of commands apart from those of claims; once as many are, bodies come soon or are sent away.
/// Each may be as large as a body may be, and take as long as a request.
pub(crate) const SLOW_BODIES_MAX: usize = 256;
/// Bodies of commands and masks awaited at once, with the slow ones; none of them keeps a turn. As many of the largest are
/// 1 GiB, for [`BODY_SOON`].
pub(crate) const ORDER_BODIES_MAX: usize = 1_024;
/// Bodies of claims awaited at once. They are small, and a country may sit behind one carrier NAT: so many that the half that
/// one network may have is all connections.
pub(crate) const CLAIM_BODIES_MAX: usize = 2 * CONNECTIONS_MAX;
/// The longest a request may take in all: the decision wait, a bounded wait for `Min-Seq` and slow look-ups.
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(30);
/// A claim's body: the longest signature in hexadecimal, and room for names.
pub(crate) const CLAIM_BYTES_MAX: usize = 8 * 1024;
/// How long a shutdown waits for requests in flight; longer than one may take to be decided.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Requests that use the database at once, while it answers as quickly as it can: more would only wait for its connections.
pub(crate) const DATABASE_REQUESTS_MAX: usize = 256;
/// The fewest of them, however slow it is: as many as it has connections to this node.
pub(crate) const TURNS_LEAST: usize = 16;
/// Over so long their time is averaged before the bound moves.
pub(crate) const TURNS_WINDOW: Duration = Duration::from_millis(100);
/// Requests of operators and projects about projects, keys and erasures at once. They are few, and apart from what everybody
/// reads: an erasure waits for its leader, and bodies come as slowly as their senders like.
pub(crate) const MANAGING_MAX: usize = 16;
/// Claims at once; each waits for its decision, and the waiting room bounds them again. One campaign has half of them at most:
/// at the thousand and more a second that it then gets in while each waits as long as it may, it fills its queue soon enough.
/// One network has half of a campaign's at most: of a country behind one carrier's NAT 1,024 wait at once, for 1.5 seconds
/// at worst, and decisions that come sooner let more in.
pub(crate) const CLAIMS_MAX: usize = 4_096;
/// Commands and masks at once, apart from claims: no crowd stands before a hold, and no network has more than half.
pub(crate) const ORDERS_MAX: usize = 1_024;
/// How long a request waits for its turn before it is sent away.
pub(crate) const TURN_WAIT: Duration = Duration::from_secs(1);
/// How long a request with `Min-Seq` waits for this node to get there. A follower polls several times a second.
pub(crate) const MIN_SEQ_WAIT: Duration = Duration::from_secs(2);
/// What a client is told when this node cannot answer now and does not know better.
pub(crate) const COME_BACK: Duration = Duration::from_secs(2);

/// Refused requests one network may make: enough for a country behind one carrier NAT whose people mistype,
/// too few to keep a core busy with recovering signatures (0.1 ms each).
pub(crate) const REFUSALS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
/// As many at once.
pub(crate) const REFUSALS_BURST: NonZeroU32 = NonZeroU32::new(200).expect("not zero");
/// Requests one API key may make: a project's back office pages through rounds and sends claims for its people.
pub(crate) const KEY_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");
/// As many at once.
pub(crate) const KEY_REQUESTS_BURST: NonZeroU32 = NonZeroU32::new(2_000).expect("not zero");
/// What all networks or keys that are not remembered share, once as many are remembered as may be.
pub(crate) const OVERFLOW_PER_SECOND: NonZeroU32 = NonZeroU32::new(2_000).expect("not zero");
/// How often limiters forget what has recovered.
pub(crate) const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);
/// An API key is looked up again after this time: how long a revoked one may still be honoured at a node.
pub(crate) const KEY_KNOWN_FOR: Duration = Duration::from_secs(30);
/// API keys a node remembers between look-ups.
pub(crate) const KEYS_KNOWN_MAX: usize = 10_000;

/// The longest an office's statement may be good for: whoever takes one from the wire reads no longer than this, and a
/// program signs anew without asking anybody.
pub(crate) const READING_FOR_MAX: Duration = Duration::from_secs(600);
/// Compiled mandates of readers that a node remembers: some tens of KiB each.
pub(crate) const MANDATES_COMPILED_MAX: usize = 1_000;

/// Attestations of one bulk delivery under way: the queue behind is shared, and a few keep a core busy.
pub(crate) const BULK_IN_FLIGHT_MAX: usize = 256;
/// Lines of one bulk delivery; the rest is sent again in another.
pub(crate) const BULK_LINES_MAX: u64 = 1_000_000;
/// How long one bulk delivery may take; whoever does not read the answers holds its place no longer.
pub(crate) const BULK_FOR: Duration = Duration::from_secs(600);
/// Bulk deliveries at once: each holds [`BULK_IN_FLIGHT_MAX`] attestations of up to 64 KiB.
pub(crate) const BULKS_MAX: usize = 16;
/// How often a line waits for room in the queue before it is answered 503.
pub(crate) const BULK_TRIES_MAX: usize = 5;
/// Bodies of single attestations awaited at once, of 64 KiB at most: as many of the largest are half a GiB, for
/// [`BODY_SOON`]. None of them keeps a turn.
pub(crate) const ATTESTATION_BODIES_MAX: usize = 8_192;
/// Single attestations at once.
pub(crate) const ATTESTATIONS_MAX: usize = 1_024;

/// The longest a reader of the change feed waits for the next entry.
pub(crate) const FEED_WAIT_MAX: Duration = Duration::from_secs(20);
/// Readers of the change feed at once: most of them wait, and hold no connection of the database meanwhile.
pub(crate) const FEEDS_MAX: usize = 1_024;
/// Pages of rows read at once, of the change feed and of appeals: half of the connections that a node has beside its
/// leader's. The other half is left to whatever reads single rows.
pub(crate) const PAGES_MAX: usize = 8;
/// Entries looked through for what changed a stale command's subject; more are read in the change feed.
pub(crate) const STALE_LOOK_BACK: u64 = 1_000;
/// Changes told with a stale command, the latest ones.
pub(crate) const STALE_CHANGES_MAX: usize = 20;

/// Appeals of one page with their texts: each is an entry that is read, all by one query.
pub(crate) const APPEAL_TEXTS_MAX: usize = 100;

/// Payments traced at once: each reads the whole log, for seconds when it is long.
pub(crate) const STORIES_MAX: usize = 2;
