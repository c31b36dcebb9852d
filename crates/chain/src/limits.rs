//! Every bound of this crate, each with its reason.

use std::time::Duration;

/// RPC URLs of a chain. The second is a witness of finality and a fallback for reads; a third would only cost.
pub const URLS_MAX: usize = 2;
/// One request, from the first byte out to the last byte in. A slow `eth_getLogs` takes seconds, nothing takes longer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Opening a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for the outbound limiter before it is told to come back.
pub const LIMITER_WAIT: Duration = Duration::from_secs(10);
/// Of each URL's requests a second, look-ups for claimants (ERC-1271) may take one in this many; the rest is kept for
/// settlement and the watcher. Anyone can ask for a look-up by signing badly.
pub const LOOKUP_SHARE: u32 = 4;
/// Of the look-ups' requests, what is looked up for claims and attestations as they are handed in may take one in this many:
/// whoever signs badly causes one, and what was accepted must still be decided in time.
pub const DOOR_SHARE: u32 = 2;
/// The same for commands and gates' masks, apart from claims: no flood of claims stands before a hold.
pub const ORDERS_SHARE: u32 = 4;
/// Attempts of a read; broadcasts are never repeated here.
pub const READ_ATTEMPTS: u32 = 4;
/// Wait before the second attempt of a read; doubled each time.
pub const READ_RETRY_AFTER: Duration = Duration::from_millis(100);
/// Reads of one batch under way at a time: enough to hide latency, few enough not to look like an attack.
pub const READS_IN_FLIGHT: usize = 8;
/// Uids that one request asks a registry about: 17 KB of creation code, where nodes take 48 (EIP-3860), and 8 KB of answer,
/// where they take 24 (EIP-170).
pub const REVOCATIONS_ASKED_MAX: usize = 256;
/// `eth_getLogs` requests one read of events may take: twice the leaves of a bisected range of 500 blocks.
pub const LOG_REQUESTS_MAX: u32 = 1_000;
/// `eth_getLogs` requests one look for revocations may take. Where so much is revoked, claims ask the registry itself.
pub const REVOCATION_LOG_REQUESTS_MAX: u32 = 16;
/// Logs one request may bring; more is treated as "range too large". 50 thousand logs are some 30 MB of JSON.
pub const LOGS_MAX: usize = 50_000;
/// Bytes of a failed transfer's return data that are kept (the contract cuts at the same length).
pub const REASON_BYTES_MAX: usize = 256;
/// Gas a signer's contract may use on chain for its answer (`Signatures.CHECK_GAS`); asked off-chain with the same.
pub const SIGNATURE_CHECK_GAS: u64 = 500_000;
/// Gas that making a wallet and asking the node for it may take in a look-up (ERC-6492): a proxy takes a few hundred
/// thousand, a whole wallet three million.
pub const WALLET_CREATION_GAS: u64 = 6_000_000;
/// Gas of one transaction since Osaka (EIP-7825).
pub const TX_GAS_CAP: u64 = 16_777_216;
/// How long an operator's transaction is waited for.
pub const MINED_WITHIN: Duration = Duration::from_secs(300);
/// Longest pause between two looks for a transaction receipt; the first ones are shorter.
pub const RECEIPT_POLL: Duration = Duration::from_secs(2);
/// Blocks whose tips `eth_feeHistory` shows us.
pub const FEE_HISTORY_BLOCKS: u64 = 10;

/// Deposits of more bits than this are passed over: 2^120 is 2^24 of the largest entitlements.
pub const DEPOSIT_BITS_MAX: usize = 120;
