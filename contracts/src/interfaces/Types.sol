// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Where the Charter stands. Only ACTIVE lets sequencers settle; only EXIT lets anyone.
enum Phase {
    ACTIVE,
    TRIPPED,
    EXIT
}

/// @notice How a round may be paid; fixed at publication.
/// PUSH: whole ranges without being asked. PULL: only what was claimed. GATED: nothing without a gate's signature.
enum Mode {
    PUSH,
    PULL,
    GATED
}

/// @notice When wallets may pay themselves: at any time, or only while the Charter is not ACTIVE.
enum ClaimPolicy {
    ALWAYS,
    EXIT_ONLY
}

/// @notice The life of a round. Numbers never come back: a cancelled or vetoed round keeps its number.
enum RoundState {
    NONE,
    PUBLISHED,
    OPEN,
    CANCELLED,
    VETOED,
    SWEPT
}

/// @notice How many distinct institutions an action takes. With N institutions:
/// ONE = 1, THIRD = floor(N/3)+1, HALF = floor(N/2)+1, PUBLISH = the Charter's M, THREE_QUARTERS = ceil(3N/4).
enum Quorum {
    ONE,
    THIRD,
    HALF,
    PUBLISH,
    THREE_QUARTERS
}

/// @notice What a scheduled change of the Charter will do.
enum ChangeKind {
    AUTHORITIES,
    ADD_SEQUENCER,
    LANES,
    LOG_KEYS,
    RESUME
}

/// @notice One authority's signature. `signer` is ERC-7913: a bare 20-byte address (ECDSA first, ERC-1271
/// second), or a 20-byte verifier followed by a key.
struct AuthoritySignature {
    bytes signer;
    bytes signature;
}

/// @notice Signatures for one action, with the two fields every action's typed struct ends in.
/// @param setVersion the Charter's set version the signatures bind; any other is refused
/// @param deadline last second at which they may be used
struct Approval {
    uint64 setVersion;
    uint64 deadline;
    AuthoritySignature[] signatures;
}

/// @notice A body with keys. Thresholds count institutions, never keys.
/// @param signers its ERC-7913 signers, any one of which speaks for it
struct Institution {
    string name;
    bytes[] signers;
}

/// @notice A sequencer's keys: one to take epochs with, and its settlement accounts.
struct SequencerKeys {
    address control;
    address[] lanes;
}

/// @notice An Ed25519 public key that signs checkpoints, receipts and tickets, with its signed-note name.
struct LogKey {
    bytes32 key;
    string name;
}

/// @notice The Charter's time constants, all in seconds.
/// @param w1 age at which an unserved forced claim lets anyone trip
/// @param w2 how long repair may take before anyone may exit
/// @param finality time the chain needs to finalise; bounds the grace of Distributors from below
/// @param beatEvery 0, or the longest silence of a live sequencer
/// @param takeEpochEvery rate limit of `takeEpoch` per control key (with a burst); 0 means none
struct Timers {
    uint64 w1;
    uint64 w2;
    uint64 finality;
    uint64 beatEvery;
    uint64 takeEpochEvery;
}

/// @notice Everything a Charter starts with.
struct Founding {
    Institution[] institutions;
    uint8 publishThreshold;
    SequencerKeys[] sequencers;
    LogKey[] logKeys;
    Timers timers;
}

/// @notice A sequencer as views show it. Ids start at 1 and are never used again.
struct SequencerView {
    uint32 id;
    bool removed;
    address control;
    address[] lanes;
}

/// @notice A log key as views show it. Times in seconds; `revokedAt` 0 while it is in force.
struct LogKeyView {
    bytes32 key;
    uint64 addedAt;
    uint64 revokedAt;
    string name;
}

/// @notice All of a Charter in one answer. `quorums` is indexed by `Quorum`.
struct Constitution {
    Phase phase;
    uint64 epoch;
    uint64 setVersion;
    uint64 phaseCounter;
    uint8[5] quorums;
    Institution[] institutions;
    SequencerView[] sequencers;
    LogKeyView[] logKeys;
    Timers timers;
}

/// @notice A Distributor's fixed terms.
/// @param refund where `sweep`, `withdraw` and `rescue` send, and nowhere else
/// @param grace seconds between a round's closing and its sweep; at least w1 + w2 + finality of the Charter
/// @param openingDelay seconds between a publication and the earliest opening, in which it may be vetoed
/// @param transferGas gas every token transfer is given, exactly: less in hand and the whole call reverts
struct DistributorTerms {
    address token;
    address charter;
    address refund;
    ClaimPolicy policy;
    uint64 grace;
    uint64 openingDelay;
    uint64 transferGas;
}

/// @notice What M of N authorities sign when they publish a round.
/// @param root root of the native tree over the snapshot
/// @param depth levels between a 4-entitlement bucket and the root: the least with 4·2^depth ≥ count
/// @param count entitlements in the snapshot
/// @param total their sum in base units; the round never pays more
/// @param rulesHash hash of the rule sets that gate the round
/// @param opensAt earliest opening, seconds; never sooner than the opening delay after publication
/// @param closesAt end of wallets' claims, seconds
/// @param gate the gate version a GATED round asks for; 0 in the other modes
/// @param supersedes the round this one corrects, or 0
/// @param listUri where the list and its proof pages are
/// @param listHash hash of the published list
struct RoundTerms {
    bytes32 root;
    uint8 depth;
    uint64 count;
    uint128 total;
    bytes32 rulesHash;
    uint64 opensAt;
    uint64 closesAt;
    Mode mode;
    uint16 gate;
    uint256 supersedes;
    string listUri;
    bytes32 listHash;
}

/// @notice A round as stored. Amounts in base units: total = paid + remaining + voided.
struct RoundView {
    bytes32 root;
    uint8 depth;
    uint64 count;
    uint128 total;
    uint128 remaining;
    uint128 voided;
    bytes32 rulesHash;
    bytes32 listHash;
    uint64 publishedAt;
    uint64 opensAt;
    uint64 openedAt;
    uint64 closesAt;
    Mode mode;
    uint16 gate;
    uint256 supersedes;
    RoundState state;
}

/// @notice Some entitlements of one 256-entitlement word, proven together.
/// @param word index of the word: entitlement 256·word + i is bit i of `mask`
/// @param mask the entitlements meant
/// @param words 128 bytes for every bucket (4 entitlements) that has a bit in `mask`, ascending
/// @param proof the sibling hashes that are missing, level by level from the buckets up, left to right
struct SparseWord {
    uint256 roundNo;
    uint256 word;
    uint256 mask;
    bytes words;
    bytes32[] proof;
}

/// @notice One entitlement paid where its recipient signed. `amount` and recipient come from the proven bucket.
/// @param bucket the four words of the bucket that holds the entitlement
/// @param signature the recipient's over `Claim(round,index,recipient,to,amount,deadline)`
struct Redirect {
    uint256 roundNo;
    uint256 index;
    address to;
    uint64 deadline;
    bytes signature;
    bytes32[4] bucket;
    bytes32[] proof;
}

/// @notice A gate's signed statement that the entitlements in `mask` may be paid: the masks of one word only grow. The
/// gate signs `Gate(round,gateVersion,word,mask,rulesHash,asOfSeq,expiry)`; version and rules are the round's own.
/// @param asOfSeq position of the log up to which the gate had looked
/// @param expiry last second at which it may serve
struct GateWord {
    uint256 roundNo;
    uint256 word;
    uint256 mask;
    uint64 asOfSeq;
    uint64 expiry;
    bytes signature;
}

/// @notice A gate version as stored; all zero if it is not installed. Times in seconds.
/// @param signer its key (ERC-7913), any kind
/// @param rulesHash the rule sets it stands for: only rounds with the same may name it
/// @param disabledUntil nothing is paid on its word until then
struct GateView {
    bytes signer;
    bytes32 rulesHash;
    uint64 installedAt;
    uint64 disabledUntil;
}

/// @notice What a Warden answers a Distributor. What the question has no use for is zero.
/// @param until end of the hold or stop, seconds, never before now
/// @param institutions who signed, as a bitmap
struct Ruling {
    uint256 id;
    uint256 roundNo;
    uint256 word;
    uint256 mask;
    uint256 until;
    uint256 institutions;
}

/// @notice A hold as stored. Times in seconds.
/// @param mask what it holds of the word, less what a hold of M took over; 0 once it has ended
/// @param expiresAt from then on anyone may end it; until somebody does, it holds
/// @param placedBy the institutions that signed it, as a bitmap under `setVersion`
/// @param firm placed by M or confirmed by a second institution
struct HoldView {
    uint256 roundNo;
    uint256 word;
    uint256 mask;
    uint64 placedAt;
    uint64 expiresAt;
    uint32 placedBy;
    uint64 setVersion;
    bool firm;
}
