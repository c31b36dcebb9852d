//! Charter and Distributor, letter for letter as `contracts/src/interfaces/*.sol`, where every item is explained.
//! `tests.rs` compares signatures, events and errors with the committed ABI.

use alloy_sol_types::sol;

sol! {
    #[derive(Debug, PartialEq, Eq)]
    enum Phase {
        ACTIVE,
        TRIPPED,
        EXIT
    }
    #[derive(Debug, PartialEq, Eq)]
    enum Mode {
        PUSH,
        PULL,
        GATED
    }
    #[derive(Debug, PartialEq, Eq)]
    enum ClaimPolicy {
        ALWAYS,
        EXIT_ONLY
    }
    #[derive(Debug, PartialEq, Eq)]
    enum RoundState {
        NONE,
        PUBLISHED,
        OPEN,
        CANCELLED,
        VETOED,
        SWEPT
    }
    #[derive(Debug, PartialEq, Eq)]
    enum Quorum {
        ONE,
        THIRD,
        HALF,
        PUBLISH,
        THREE_QUARTERS
    }
    #[derive(Debug, PartialEq, Eq)]
    enum ChangeKind {
        AUTHORITIES,
        ADD_SEQUENCER,
        LANES,
        LOG_KEYS,
        RESUME
    }
    #[derive(Debug)]
    struct AuthoritySignature {
        bytes signer;
        bytes signature;
    }
    #[derive(Debug)]
    struct Approval {
        uint64 setVersion;
        uint64 deadline;
        AuthoritySignature[] signatures;
    }
    #[derive(Debug)]
    struct Institution {
        string name;
        bytes[] signers;
    }
    #[derive(Debug)]
    struct SequencerKeys {
        address control;
        address[] lanes;
    }
    #[derive(Debug)]
    struct LogKey {
        bytes32 key;
        string name;
    }
    #[derive(Debug)]
    struct Timers {
        uint64 w1;
        uint64 w2;
        uint64 finality;
        uint64 beatEvery;
        uint64 takeEpochEvery;
    }
    #[derive(Debug)]
    struct Founding {
        Institution[] institutions;
        uint8 publishThreshold;
        SequencerKeys[] sequencers;
        LogKey[] logKeys;
        Timers timers;
    }
    #[derive(Debug)]
    struct SequencerView {
        uint32 id;
        bool removed;
        address control;
        address[] lanes;
    }
    #[derive(Debug)]
    struct LogKeyView {
        bytes32 key;
        uint64 addedAt;
        uint64 revokedAt;
        string name;
    }
    #[derive(Debug)]
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
    #[derive(Debug)]
    struct DistributorTerms {
        address token;
        address charter;
        address refund;
        ClaimPolicy policy;
        uint64 grace;
        uint64 openingDelay;
        uint64 transferGas;
    }
    #[derive(Debug)]
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
    #[derive(Debug)]
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
    #[derive(Debug)]
    struct SparseWord {
        uint256 roundNo;
        uint256 word;
        uint256 mask;
        bytes words;
        bytes32[] proof;
    }
    #[derive(Debug)]
    struct Redirect {
        uint256 roundNo;
        uint256 index;
        address to;
        uint64 deadline;
        bytes signature;
        bytes32[4] bucket;
        bytes32[] proof;
    }
    #[derive(Debug)]
    struct GateWord {
        uint256 roundNo;
        uint256 word;
        uint256 mask;
        uint64 asOfSeq;
        uint64 expiry;
        bytes signature;
    }
    #[derive(Debug)]
    struct GateView {
        bytes signer;
        bytes32 rulesHash;
        uint64 installedAt;
        uint64 disabledUntil;
    }
    #[derive(Debug)]
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
    #[derive(Debug)]
    interface Charter {
        error TooLittleGasForSignature(uint256 gasLeft);
        error StaleSetVersion(uint64 given, uint64 current);
        error ApprovalExpired(uint64 deadline);
        error NotAnAuthority(bytes signer);
        error BadAuthoritySignature(bytes signer);
        error QuorumMissed(uint256 institutions, uint256 needed);
        error AlreadyUsed(bytes32 action);
        error BadConstitution(string rule);
        error AlreadyFounded();
        error OtherFounding(bytes32 given, bytes32 wanted);
        error WrongPhase(Phase phase);
        error StaleEpoch(uint64 given, uint64 current);
        error EpochOutOfRange(uint64 given, uint64 current);
        error EpochRateLimited(uint64 until);
        error NotALane(address account);
        error NotAControlKey(address account);
        error UnknownSequencer(uint32 id);
        error LastSequencer();
        error AlreadyRegistered(address distributor);
        error NotOurDistributor(address distributor);
        error UnknownChange(bytes32 id);
        error ChangeNotReady(uint64 readyAt, uint64 expiresAt);
        event SetChanged(uint64 indexed setVersion, ChangeKind kind);
        event ChangeScheduled(bytes32 indexed id, ChangeKind kind, uint64 readyAt, bytes data);
        event ChangeCancelled(bytes32 indexed id);
        event EpochTaken(uint64 indexed epoch, uint32 indexed sequencer, address control);
        event SequencerAdded(uint32 indexed id, address control, address[] lanes);
        event LanesChanged(uint32 indexed id, address[] lanes);
        event SequencerRemoved(uint32 indexed id);
        event LogKeyAdded(bytes32 indexed key, string name);
        event LogKeyRevoked(bytes32 indexed key);
        event DistributorRegistered(address indexed distributor);
        event PhaseChanged(Phase indexed phase, uint64 phaseCounter);
        function found(Founding calldata f) external;
        function takeEpoch(uint64 epoch) external;
        function registerDistributor(address distributor, Approval calldata approval) external;
        function removeSequencer(uint32 id, SequencerKeys[] calldata replacement, Approval calldata approval) external;
        function scheduleAuthorities(
            Institution[] calldata institutions,
            uint8 publishThreshold,
            Approval calldata approval
        ) external returns (bytes32 id);
        function scheduleSequencer(SequencerKeys calldata keys, Approval calldata approval) external returns (bytes32 id);
        function scheduleLanes(uint32 sequencer, address[] calldata lanes, Approval calldata approval)
            external
            returns (bytes32 id);
        function scheduleLogKeys(LogKey[] calldata add, bytes32[] calldata revoke, Approval calldata approval)
            external
            returns (bytes32 id);
        function cancelChange(bytes32 id, Approval calldata approval) external;
        function applyChange(bytes32 id) external;
        function requireQuorum(Quorum quorum, bytes32 structHash, Approval calldata approval)
            external
            view
            returns (uint256 institutions);
        function requireSettler(uint64 epoch, address account) external view returns (bool exit);
        function constitution() external view returns (Constitution memory);
        function epoch() external view returns (uint64);
        function phase() external view returns (Phase);
        function phaseCounter() external view returns (uint64);
        function inactiveSeconds() external view returns (uint64);
        function setVersion() external view returns (uint64);
        function sequencerOf(uint64 epoch) external view returns (uint32);
        function laneOf(address account) external view returns (uint32);
        function controlOf(address account) external view returns (uint32);
        function institutionOf(bytes calldata signer) external view returns (uint256);
        function institutionCount() external view returns (uint256);
        function quorumOf(Quorum quorum) external view returns (uint256);
        function isRegistered(address distributor) external view returns (bool);
        function notary() external view returns (address);
        function warden() external view returns (address);
        function timers() external view returns (Timers memory);
        function domainSeparator() external view returns (bytes32);
    }
    #[derive(Debug)]
    interface Distributor {
        error TooLittleGasForSignature(uint256 gasLeft);
        error BadTerms(string rule);
        error NotAClone();
        error Reentered();
        error WrongRound(uint256 given, uint256 next);
        error BadRound(string rule);
        error WrongState(uint256 round, RoundState state);
        error TooEarly(uint64 at);
        error Closed(uint64 at);
        error WrongMode(uint256 round, Mode mode);
        error Underfunded(uint256 balance, uint256 needed);
        error WrongBatch(uint64 given, uint64 next);
        error IndexOutOfRange(uint256 index);
        error BadInputLength(uint256 given, uint256 expected);
        error BadProofLength(uint256 given, uint256 expected);
        error BadProof();
        error TotalExceeded(uint256 round, uint256 remaining, uint256 wanted);
        error TooLittleGas(uint256 gasLeft, uint256 needed);
        error NothingPaid(bytes reason);
        error TransferFailed(bytes reason);
        error AlreadyPaid(uint256 round, uint256 index);
        error AlreadyVoid(uint256 round, uint256 index);
        error Held(uint256 round, uint256 index);
        error NotPayable(uint256 round, uint256 index);
        error BadDestination(address to);
        error NotRecipient(address caller, address recipient);
        error ClaimsNotOpen(Phase phase);
        error ClaimExpired(uint64 deadline);
        error BadClaimSignature(address recipient);
        error NotActive(Phase phase);
        error Paused(uint64 until);
        error AlreadyOpened();
        error AlreadyUsed(bytes32 action);
        error OwnToken();
        error NotApproved(uint256 round, uint256 word, uint256 mask);
        error GateExpired(uint64 expiry);
        error GateOff(uint16 gateVersion, uint64 until);
        error BadGateSignature(uint16 gateVersion);
        error HoldsStand(uint256 round, uint256 holds);
        event RoundPublished(uint256 indexed round, RoundTerms terms, uint64 publishedAt);
        event RoundOpened(uint256 indexed round, uint256 balance, uint256 owed);
        event RoundCancelled(uint256 indexed round, bool vetoed);
        event ClosingExtended(uint256 indexed round, uint64 closesAt);
        event BatchSettled(uint64 indexed batchNo, uint64 epoch, bytes32 logRoot);
        event Settled(uint256 indexed round, uint256 indexed word, uint256 mask);
        event ItemSkipped(uint256 indexed round, uint256 index, bytes reason);
        event Redirected(uint256 indexed round, uint256 index, address to);
        event Claimed(uint256 indexed round, uint256 index, address to);
        event Voided(uint256 indexed round, uint256 indexed word, uint256 mask, uint256 amount);
        event Swept(uint256 indexed round, uint256 amount);
        event Withdrawn(uint256 amount);
        event Rescued(address indexed token, uint256 amount);
        event GateInstalled(uint16 indexed gateVersion, bytes signer, bytes32 rulesHash);
        event GateDisabled(uint16 indexed gateVersion, uint64 until, uint256 institutions);
        event HoldPlaced(
            uint256 indexed hold,
            uint256 indexed round,
            uint256 indexed word,
            uint256 mask,
            uint64 until,
            uint256 institutions,
            bytes32 reason
        );
        event HoldConfirmed(uint256 indexed hold, uint64 until, uint256 institutions);
        event HoldEnded(
            uint256 indexed hold, uint256 indexed round, uint256 indexed word, uint256 mask, uint256 institutions
        );
        event CampaignHeld(uint64 until, uint256 institutions);
        event PauseSet(uint64 until, uint256 institutions);
        function publish(uint256 roundNo, RoundTerms calldata terms, Approval calldata approval) external;
        function open(uint256 roundNo) external;
        function cancel(uint256 roundNo, Approval calldata approval) external;
        function veto(uint256 roundNo, Approval calldata approval) external;
        function extendClosing(uint256 roundNo, uint64 closesAt, Approval calldata approval) external;
        function settle(
            uint64 epoch,
            uint64 batchNo,
            bytes32 logRoot,
            uint256 roundNo,
            uint256 start,
            uint8 levels,
            bytes calldata words,
            bytes32[] calldata path
        ) external;
        function settleSparse(uint64 epoch, uint64 batchNo, bytes32 logRoot, SparseWord[] calldata chunks) external;
        function settleGated(
            uint64 epoch,
            uint64 batchNo,
            bytes32 logRoot,
            SparseWord[] calldata chunks,
            bytes calldata gates
        ) external;
        function settleTo(
            uint64 epoch,
            uint64 batchNo,
            bytes32 logRoot,
            Redirect[] calldata items,
            GateWord[] calldata gates
        ) external;
        function claim(uint256 roundNo, uint64 index, bytes32[4] calldata bucket, bytes32[] calldata proof) external;
        function claimFor(
            uint256 roundNo,
            uint256 index,
            bytes32[4] calldata bucket,
            bytes32[] calldata proof,
            uint64 deadline,
            bytes calldata signature
        ) external;
        function claimTo(
            uint256 roundNo,
            uint256 index,
            bytes32[4] calldata bucket,
            bytes32[] calldata proof,
            address to,
            uint64 deadline,
            bytes calldata signature
        ) external;
        function claimAttested(
            uint256 roundNo,
            uint256 index,
            bytes32[4] calldata bucket,
            bytes32[] calldata proof,
            address to,
            uint64 deadline,
            bytes calldata signature,
            GateWord calldata gate
        ) external;
        function installGate(uint16 gateVersion, bytes calldata signer, bytes32 rulesHash, Approval calldata approval)
            external;
        function disableGate(uint16 gateVersion, uint64 until, uint8 together, uint256 nonce, Approval calldata approval) external;
        function hold(
            uint256 roundNo,
            uint256 word,
            uint256 mask,
            bytes32 reason,
            uint8 together,
            uint256 nonce,
            Approval calldata approval
        ) external returns (uint256 id);
        function confirmHold(uint256 id, uint8 together, uint256 nonce, Approval calldata approval) external;
        function release(uint256 id, uint8 together, uint256 nonce, Approval calldata approval) external;
        function lapse(uint256 id) external;
        function holdCampaign(uint64 until, uint8 together, uint256 nonce, Approval calldata approval) external;
        function pause(uint64 until, uint8 together, uint256 nonce, Approval calldata approval) external;
        function void(SparseWord calldata chunk, Approval calldata approval) external;
        function sweep(uint256 roundNo) external;
        function withdraw(uint256 amount, uint256 nonce, Approval calldata approval) external;
        function rescue(address foreign) external;
        function isPaid(uint256 roundNo, uint256 index) external view returns (bool);
        function isVoid(uint256 roundNo, uint256 index) external view returns (bool);
        function isHeld(uint256 roundNo, uint256 index) external view returns (bool);
        function paidWord(uint256 roundNo, uint256 word) external view returns (uint256);
        function voidWord(uint256 roundNo, uint256 word) external view returns (uint256);
        function heldWord(uint256 roundNo, uint256 word) external view returns (uint256);
        function round(uint256 roundNo) external view returns (RoundView memory);
        function roundCount() external view returns (uint256);
        function remaining(uint256 roundNo) external view returns (uint256);
        function owed() external view returns (uint256);
        function closing(uint256 roundNo) external view returns (uint64);
        function nextBatch() external view returns (uint64);
        function pausedUntil() external view returns (uint64);
        function heldUntil() external view returns (uint64);
        function terms() external view returns (DistributorTerms memory);
        function token() external view returns (address);
        function charter() external view returns (address);
        function domainSeparator() external view returns (bytes32);
    }
    /// What is asked of a Warden directly, and the errors that come through a Distributor from it.
    #[derive(Debug)]
    interface Warden {
        error BadGate(string rule);
        error TooLong(uint64 latest);
        error RationSpent(uint256 wanted, uint256 limit);
        error NothingToHold(uint256 round, uint256 word);
        error HeldBefore(uint256 round, uint256 word, uint256 mask);
        error NoSuchHold(uint256 hold);
        error HoldExpired(uint64 at);
        error SecondNeeded();
        error TooLittleGasForSignature(uint256 gasLeft);
        error QuorumMissed(uint256 institutions, uint256 needed);
        error TooEarly(uint64 at);
        error AlreadyUsed(bytes32 action);
        function gateOf(address distributor, uint16 gateVersion) external view returns (GateView memory);
        function holdOf(address distributor, uint256 id) external view returns (HoldView memory);
        function holdCount(address distributor) external view returns (uint256);
        function holdsOn(address distributor, uint256 roundNo) external view returns (uint256 standing, uint256 endedAt);
    }
}
