//! Every bound of this crate, each with its reason.

/// Entitlements of one snapshot. Indexes are kept as u32 in the file, and the paid bitmap of a round is keyed by far
/// less.
pub const ENTITLEMENTS_MAX: u64 = u32::MAX as u64;

/// Lines of a list: as many as there may be entitlements.
pub const LINES_MAX: u64 = u32::MAX as u64;

/// Bytes of a list handed to one parsing task. Large enough to hide the hand-over, small enough that two cores share
/// a list of a few megabytes.
pub const BLOCK_BYTES: usize = 1 << 20;

/// The longest row of a list. An address, an amount and a person need 200 bytes; the rest is for columns we ignore.
pub const ROW_BYTES_MAX: usize = 1 << 20;

/// Blocks of a list, a tebibyte: what a place in the list has room for.
pub const BLOCKS_MAX: usize = 1 << 20;

/// Rows of a block: what a place in the list has room for. A block has at most 3 MB, and a row at least one byte.
pub const BLOCK_ROWS_MAX: u64 = 1 << 22;

/// Blocks read ahead of the parsers.
pub const BLOCKS_AHEAD: usize = 4;

/// Bad rows listed; all are counted. A hundred are enough to see what is wrong with a list.
pub const ERRORS_LISTED_MAX: usize = 100;

/// Characters of a bad value that are shown.
pub const VALUE_SHOWN_MAX: usize = 80;

/// Columns of a list. Far more than any export has.
pub const COLUMNS_MAX: usize = 1_024;

/// Bytes of an object that are fetched in one request: large enough that the request does not show, small enough that
/// several fit in memory.
pub const REMOTE_PART_BYTES: u64 = 8 << 20;

/// Such parts fetched at a time, and as many that wait to be read. One connection to a store does not fill a network.
pub const REMOTE_PARTS_AHEAD: usize = 4;

/// Rows of a Parquet file that are parsed at a time: their texts fit caches.
pub const COLUMNAR_ROWS: usize = 1 << 14;

/// Records of a partition, about: 2 MB of them, which the last level of any cache holds beside their sorted copy.
pub const PARTITION_RECORDS: usize = 1 << 15;

/// Records that room is asked for in advance, at most: 10 GiB, which a file of 12 GB may fill. The file's length alone
/// says how many there may be, and a file with holes has any length.
pub const ROOM_RECORDS_MAX: u64 = 1 << 28;

/// Bits of the address that choose a partition, at most: a block's records go to all of them, a dozen at a time.
pub const PARTITION_BITS_MAX: u32 = 10;

/// The same where nobody knows how long a list is.
pub const PARTITION_BITS_UNKNOWN: u32 = 8;

/// Records that one sweep of the sort leaves together, about.
pub const SORT_BUCKET: usize = 4;

/// Bits of the address that choose such a bucket, at most, which bounds the histogram.
pub const SORT_BUCKET_BITS_MAX: u32 = 16;

/// Records that are better sorted by all threads.
pub const SORT_BUCKET_LARGE: usize = 1 << 16;

/// Bytes written to a snapshot at once: a shard's words, and enough that the disk is never asked for little.
pub const WRITE_BYTES: usize = 2 << 20;

/// Threads that hash and write shards beside those that compute: so many may wait for the disk.
pub const WRITES_IN_FLIGHT: usize = 2;

/// The deepest native tree that is read or verified: 4 · 2^30 entitlements, the first depth at or above
/// [`ENTITLEMENTS_MAX`].
pub const DEPTH_MAX: u8 = 30;

/// Entitlements of one proof page: about 70 KB of JSON, and 2^8 buckets, so that its path is a plain subtree path.
pub const PAGE_ENTITLEMENTS: u64 = 1_024;

/// Proof pages written at once.
pub const PAGES_IN_FLIGHT: usize = 16;

/// Changes that `snapshot diff` prints; all are counted and all go to the file asked for.
pub const CHANGES_SHOWN_MAX: usize = 20;
