//! Every bound of the system, each with its reason. A queue, retry, loop, page or body that is not bounded here is a
//! defect.

use std::time::Duration;

/// Entitlements in a shard: the unit of sums in State and of parallel hashing. 2^16 words of 32 bytes are 2 MiB.
pub const SHARD: u64 = 65_536;

/// Inputs decided and appended together. Measured: larger groups gain little and delay the first answer.
pub const GROUP_INPUTS_MAX: usize = 256;
/// Of these, those that were observed on chains or planned: the other half is kept for demands, so that a chain that is caught up
/// with starves no claims.
pub const GROUP_OBSERVED_MAX: usize = GROUP_INPUTS_MAX / 2;
/// Turns that a campaign may have for one of another's: were it more, whoever comes to the other would stand behind a whole group
/// of it, however few wait.
pub const WEIGHT_MAX: u32 = 100;
/// Bytes of a group's entries and of the facts behind them, after which it takes no more demands: an eighth of what one append
/// may carry, so that neither the last of them nor what a chain yields besides brings it there, and little enough to be on
/// disk within the append's two seconds. A hold or void of ten thousand items is 400 KB; a group of claims some 200 KB.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// Items falling due that one group takes; what was decided before them would stand before its time, so a group with
/// more of them takes no inputs.
pub const GROUP_DUE_MAX: usize = 1_000;
/// Groups that are not full follow each other no faster than this, intake's and the log's: a commit costs half a
/// millisecond of processor time whatever is in it. The first after a pause waits for nothing.
pub const GROUP_EVERY: Duration = Duration::from_millis(10);
/// How long the leader looks for inputs before it sees whether its lease is to be renewed and whether anything fell due.
pub const GROUP_WAIT: Duration = Duration::from_millis(5);

/// Rows one intake commit carries.
pub const INTAKE_GROUP_MAX: usize = 256;
/// Demands waiting in a node's memory for their intake row; more are answered 503 before any work.
pub const INTAKE_QUEUE_MAX: usize = 8_192;
/// How long a demand may have waited there when its row's turn comes; after that it is answered 503 and nothing is written. A
/// database that stood still must not first write what its callers have given up.
pub const INTAKE_QUEUE_WAIT: Duration = Duration::from_secs(3);
/// Refused demands at once of which a node looks whether they were decided before: four times the connections for it, and no
/// more, however many send garbage.
pub const ASKED_AGAIN_MAX: usize = 64;
/// How long one of them waits for its turn before it is answered 503.
pub const ASKED_AGAIN_WAIT: Duration = Duration::from_secs(1);
/// Claims one node keeps between intake row and decision before it answers 429: the waiting room.
pub const WAITING_ROOM_MAX: usize = 200_000;
/// Commands and gate masks it keeps there, in places of their own that no crowd of claims takes: each is signed by somebody who is
/// known, and so many are a minute of all that its door lets in at once while nobody decides.
pub const ORDERS_WAITING_MAX: usize = 50_000;
/// Rows the leader reads of one (campaign, node) at a time.
pub const INTAKE_READ_MAX: i64 = 512;
/// Rows of its own that a leading node keeps in memory between intake and verification; more are read from the database, as
/// other nodes' rows are.
pub const HANDED_OVER_MAX: usize = 4_096;
/// Rows above a cursor that may be decided before the row at the cursor: what a slow look-up may be overtaken by.
pub const CURSOR_WINDOW_MAX: usize = 4_096;

/// Verifications under way in the pool of a node.
pub const VERIFY_QUEUE_MAX: usize = 4_096;
/// Of rows whose look-up has failed, those that are verified again at once, with permits of their own: while a chain is silent each
/// holds one for as long as a look-up may take, and none of them may stand before a row that nobody has looked at yet. So many
/// are four requests' worth of what is asked for together.
pub const VERIFY_LATE_MAX: usize = VERIFY_QUEUE_MAX / 8;
/// Look-ups (EIP-1271) of accepted demands under way on each chain; they wait in a queue of their own, so that slow RPC
/// delays no EOA.
pub const LOOKUPS_MAX: usize = 32;
/// Look-ups under way at the door for claims: anybody can cause one by signing badly, so they take none of those above, and
/// who finds no room comes back. Those for claims on private lists, before the list is looked at, are as many again.
pub const DOOR_LOOKUPS_MAX: usize = 32;
/// Look-ups under way at the door for claims on private lists.
pub const PRIVATE_LOOKUPS_MAX: usize = 32;
/// Look-ups under way at the door for commands and gates' masks, apart from claims: no crowd stands before a hold.
pub const ORDER_LOOKUPS_MAX: usize = 32;
/// Look-ups in vain that one network may cause at the door, at once: people who sign with the wrong account.
pub const VAIN_LOOKUPS_AT_ONCE: u32 = 20;
/// One of them is forgotten after this time: where a provider allows 25 requests a second, a network's are a third of what
/// the door may look up.
pub const VAIN_LOOKUP_FORGOTTEN: Duration = Duration::from_secs(2);
/// Look-ups under way for attestations that come in: as many as claims have, and none of theirs.
pub const ATTESTATION_LOOKUPS_MAX: usize = 32;
/// Attestations that wait for their look-ups; more are told to come back. Those that need none pass them by.
pub const ATTESTATIONS_LOOKED_UP_MAX: usize = 1_024;
/// Mandates kept compiled, some tens of kilobytes each: every office's that acts at the time.
pub const MANDATES_KEPT_MAX: usize = 4_096;
/// A look-up's answer is good for this long; afterwards the claim is verified again.
pub const LOOKUP_VALID: Duration = Duration::from_secs(600);

/// A demand is decided within this time of its intake row; the ticket promises it.
pub const DECIDE_WITHIN: Duration = Duration::from_secs(60);
/// A claim's deadline lies at least this long after `decide_by`, so that a decided claim can still be settled.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(24 * 3_600);
/// How long a request waits for its decision before it is answered 202.
pub const DECISION_WAIT: Duration = Duration::from_millis(1_500);

/// A signature longer than this is refused. ERC-1271 wallets with many owners and ERC-6492 wrappers stay below, and
/// [`BATCH_REDIRECTS_MAX`] of them fit [`BATCH_BYTES_MAX`].
pub const SIGNATURE_BYTES_MAX: usize = 2_560;
/// A request body. The largest is a command with its approvals.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Free text in a command.
pub const REASON_BYTES_MAX: usize = 1_000;
/// Entitlements one void may name: its entry stays below a few hundred KiB.
pub const VOID_ITEMS_MAX: usize = 10_000;
/// Institutions of a Charter, and so approvals of a command.
pub const APPROVALS_MAX: usize = 64;

/// Batches of one Distributor between planning and their block. More would only wait behind each other's nonces.
pub const BATCHES_OPEN_MAX: usize = 4;
/// Batches of one Distributor between planning and finality. Ethereum makes 64 to 96 blocks final at a time, with two
/// or three full batches in each; State holds their words, some twelve kilobytes each.
pub const BATCHES_IN_FLIGHT_MAX: usize = 256;
/// Payable words that the planner looks at for one batch: several of the largest batches' worth, in a
/// millisecond or two.
pub const PLAN_WORDS_MAX: usize = 1_024;
/// Gas a batch is planned within: EIP-7825 caps a transaction at 16,777,216, and an estimate may be short.
pub const BATCH_GAS_MAX: u64 = 14_000_000;
/// A batch never names more 256-bit words than this, which bounds its calldata and its entry.
pub const BATCH_WORDS_MAX: usize = 256;
/// Calldata of a batch: geth and others refuse transactions above 128 KiB.
pub const BATCH_BYTES_MAX: usize = 120_000;
/// Redirected claims in a batch: each carries its own proof and signature.
pub const BATCH_REDIRECTS_MAX: usize = 32;
/// How often a skipped entitlement is tried again before it stays `skipped`.
pub const SKIP_RETRIES_MAX: u32 = 3;
/// Wait before the first retry of a skipped entitlement; doubled each time.
pub const SKIP_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Attempts for one nonce. With 12.5 % a bump this is a factor of over 100 in fees.
pub const ATTEMPTS_PER_NONCE_MAX: usize = 40;
/// Transactions of one lane between broadcast and finality.
pub const LANE_IN_FLIGHT_MAX: usize = 16;
/// The least that is guessed of a node's cap on what a transaction may cost, wei (0.001 coin; geth's own default is 1).
/// Without it a node that refuses everything would have it halved to nothing, and nothing would be sent for the term.
pub const NODE_CAP_GUESSED_MIN: u128 = 1_000_000_000_000_000;
/// Lanes of a sequencer (CONTRACTS.md).
pub const LANES_MAX: usize = 16;

/// Blocks the watcher asks logs of at once; bisected when the provider refuses.
pub const LOG_BLOCKS_MAX: u64 = 500;
/// Final blocks of campaigns new to the log that one look reads: two requests, then everything else has its turn.
pub const CATCH_UP_BLOCKS_MAX: u64 = 1_000;
/// The cursor is written at least every so many blocks even when nothing happened, so that a restart reads little.
pub const CURSOR_BLOCKS_MAX: u64 = 256;
/// The deepest un-final stretch the watcher keeps; a longer one means finality has stopped, and settlement waits.
pub const UNFINAL_BLOCKS_MAX: u64 = 100_000;

/// Rows a follower reads at once.
pub const FOLLOW_ROWS_MAX: i64 = 10_000;
/// The leader writes a state dump after so many entries. A start replays at most about as many behind a dump, which takes
/// one of its two seconds; a dump of 50 million entitlements is some 20 MB, every 17 seconds at 30,000 entries a second.
pub const DUMP_EVERY: u64 = 500_000;
/// The leader's lease: a dead leader is replaced after it (DESIGN.md §1 and sequencer protocol: lease 3 s).
pub const LEASE: Duration = Duration::from_secs(3);
/// The lease is renewed at most this often.
pub const LEASE_RENEW_EVERY: Duration = Duration::from_secs(1);
/// A difference between the database's clock and the leader's above this makes the leader resign.
pub const CLOCK_DRIFT_MAX: Duration = Duration::from_secs(1);
/// Log rows in a partition.
pub const PARTITION_ROWS: i64 = 10_000_000;

/// Items a page of the API holds.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Keys a request limiter remembers; above it a global limiter stands in.
pub const LIMITER_KEYS_MAX: usize = 100_000;

/// Entitlements one hold covers, and one announced round brings under holds of persons (LOG.md §3.7): an entry stays
/// below a few hundred KiB.
pub const HOLD_ITEMS_MAX: usize = 10_000;
/// A hold of one institution ends by itself after this, unless a second confirms it (CONTRACTS.md).
pub const HOLD_ALONE: Duration = Duration::from_secs(72 * 3_600);
/// A confirmed hold ends by itself after this, unless three quarters renew it (CONTRACTS.md).
pub const HOLD_CONFIRMED: Duration = Duration::from_secs(30 * 86_400);
/// Entitlements one institution alone holds within [`HOLD_ALONE`]; more takes the Charter's threshold.
pub const HOLDS_ALONE_MAX: u64 = 256;
/// A pause of one institution (CONTRACTS.md).
pub const PAUSE_ALONE: Duration = Duration::from_secs(24 * 3_600);
/// A pause by the Charter's threshold; it can be renewed.
pub const PAUSE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Addresses of a person that attestations may be about; the lowest make room for more.
pub const VOUCHED_MAX: usize = 16;
/// An appeal is answered within this, or lapses for everybody to see.
pub const APPEAL_WITHIN: Duration = Duration::from_secs(30 * 86_400);
/// Commands signed as one list.
pub const LIST_ITEMS_MAX: usize = 10_000;
/// Keys of an institution.
pub const KEYS_MAX: usize = 16;
/// A jurisdiction's tag: ISO 3166-2 has six characters, a municipality's key behind it a few more.
pub const JURISDICTION_BYTES_MAX: usize = 32;
/// A name for people.
pub const NAME_BYTES_MAX: usize = 200;
/// A rule set's or a mandate's bytes: hundreds of policies.
pub const RULES_BYTES_MAX: usize = 64 * 1_024;
/// Rule sets of one owner that wait for approval: more than an office has in hand. What it no longer wants it withdraws.
pub const RULES_PROPOSED_MAX: usize = 32;
/// Rule sets in State, 64 KiB each at most. A thousand in force and as many waiting leave room for retired ones, of which
/// the oldest makes room for a new one; the log keeps them all.
pub const RULE_SETS_MAX: usize = 4_096;
/// Bytes of what is kept beside the log of one gated claim: facts and, of a refusal, its causes.
pub const FACT_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of the facts themselves: a claim rests on a few attestations of a few kilobytes each. What a refusal adds has
/// the rest of [`FACT_BYTES_MAX`].
pub const CLAIM_FACTS_BYTES_MAX: usize = 48 * 1_024;
/// Deciding policies that evidence names, in the order of the rule sets asked: an id has at most 64 bytes, and nobody
/// reads more.
pub const POLICIES_NAMED_MAX: usize = 64;
/// Facts that one entry erases. The fenced append deletes them all, and whoever cannot append for two seconds leads no
/// more: 11 ms for so many usual ones (pages in memory). Of the largest, whose bodies lie in 33 pieces each, far fewer go at
/// once: the store bounds their bytes, too.
pub const ERASED_FACTS_MAX: usize = 2_000;
/// Attestations that one entry erases, in the same two seconds. Fewer, because each takes its key and its subjects along.
pub const ERASED_ATTESTATIONS_MAX: usize = 256;
/// Lineages that one gate asks: every claim is evaluated against each.
pub const GATE_RULE_SETS_MAX: usize = 8;
/// Kinds of attestations that one gate accepts.
pub const GATE_ACCEPTS_MAX: usize = 16;
/// The bytes of one kind of attestation in a gate.
pub const GATE_ACCEPT_BYTES_MAX: usize = 4_096;
/// Masks in one entry of a gate: a few hundred KiB.
pub const GATE_WORDS_MAX: usize = 1_024;
/// Entitlements that one correction repeats of the round it supersedes: an entry stays below a few hundred KiB.
pub const CORRECTS_MAX: usize = 10_000;
