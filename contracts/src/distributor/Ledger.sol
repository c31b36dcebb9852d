// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {IDistributor} from "../interfaces/IDistributor.sol";
import {ClaimPolicy, DistributorTerms, RoundState, RoundView} from "../interfaces/Types.sol";
import {Domain} from "../lib/Domain.sol";
import {Hot} from "../lib/Hot.sol";

/// @notice What a Distributor remembers, and every view of it. Storage layout: contracts/README.md.
abstract contract Ledger is IDistributor {
    /// @dev What only authorities, openings and sweeps look at.
    /// @param outageBefore seconds of pauses and of time outside ACTIVE that lay before the opening
    /// @param seal of a GATED round whose gate signs with one key: `Payments._seal` of root, that key and the rules
    struct Cold {
        uint128 total;
        uint128 voided;
        uint64 count;
        uint40 publishedAt;
        uint40 openedAt;
        uint64 outageBefore;
        uint32 supersedes;
        bytes32 rulesHash;
        bytes32 listHash;
        bytes32 seal;
    }

    /// @dev Bits of 256 entitlements.
    struct Word {
        uint256 bits;
    }

    struct Round {
        bytes32 root;
        Hot hot;
        Cold cold;
    }

    /// @dev The campaign's own counters, in one slot.
    /// @param batches batches settled so far
    /// @param pausedUntil end of the present or last pause
    /// @param heldUntil end of a campaign-wide hold
    /// @param pausedSeconds seconds of all pauses and campaign-wide holds, the present ones counted to their end
    /// @param rounds rounds published
    /// @param firstLive no round below this one can ever owe anything again
    /// @param gatesStopped a gate version was disabled once: until then paying need not look
    struct Campaign {
        uint64 batches;
        uint40 pausedUntil;
        uint40 heldUntil;
        uint40 pausedSeconds;
        uint24 rounds;
        uint24 firstLive;
        bool everOpened;
        bool gatesStopped;
    }

    /// @dev What paying reads of a gate version; the Warden keeps all of it.
    /// @param account its signer's first 20 bytes: an account, or a verifier whose key the Warden keeps
    struct GateKey {
        address account;
        uint40 disabledUntil;
        bool hasKey;
        bytes32 rulesHash;
    }

    // What forced claims will remember. Their functions come next; nothing writes these yet.

    /// @dev When the recipient asked for an entitlement, and when and how its transfer failed since.
    struct ForcedClaim {
        uint40 since;
        uint40 failedAt;
        bytes32 reasonHash;
    }

    /// @dev Rounds that may be live at once: `open` and `sweep` walk over them, at about 2,300 gas each.
    uint256 internal constant MAX_LIVE_ROUNDS = 1024;

    Campaign internal _campaign;
    mapping(uint256 roundNo => Round) internal _rounds;
    mapping(uint256 roundNo => mapping(uint256 word => Word)) internal _paid;
    mapping(uint256 roundNo => mapping(uint256 word => Word)) internal _void;
    mapping(uint256 roundNo => mapping(uint256 word => Word)) internal _held;
    /// @dev Approvals that may serve once, by struct hash.
    mapping(bytes32 action => bool) internal _used;
    mapping(uint16 gateVersion => GateKey) internal _gates;
    mapping(uint256 roundNo => mapping(uint256 index => ForcedClaim)) internal _forced;
    /// @dev Forced claims of a round that were open when last looked at: a sweep waits for them.
    mapping(uint256 roundNo => uint256[]) internal _forcedOpen;
    uint256 private transient _entered;

    /// @dev One guard for every entry point: a token with hooks finds all doors shut.
    modifier guarded() {
        if (_entered != 0) revert Reentered();
        _entered = 1;
        _;
        _entered = 0;
    }

    function _token() internal view virtual returns (address);

    function _charter() internal view virtual returns (address);

    function _refund() internal view virtual returns (address);

    function _exitOnly() internal view virtual returns (bool);

    function _grace() internal view virtual returns (uint64);

    function _openingDelay() internal view virtual returns (uint64);

    function _transferGas() internal view virtual returns (uint256);

    /// @dev Gas that must be in hand before a transfer: see `TermsCheck.gasNeeded`.
    function _gasNeeded() internal view virtual returns (uint256);

    function _outage() internal view returns (uint64) {
        uint256 paused = _campaign.pausedSeconds;
        if (_campaign.pausedUntil > block.timestamp) paused -= _campaign.pausedUntil - block.timestamp;
        if (_campaign.heldUntil > block.timestamp) paused -= _campaign.heldUntil - block.timestamp;
        return uint64(paused) + ICharter(_charter()).inactiveSeconds();
    }

    function _closing(Round storage r) internal view returns (uint64) {
        if (r.cold.openedAt == 0) return r.hot.closesAt();
        return r.hot.closesAt() + (_outage() - r.cold.outageBefore);
    }

    /// @dev What live rounds may still pay; with the whole totals of rounds not yet open if asked.
    function _owed(bool withPublished) internal view returns (uint256 sum) {
        uint256 last = _campaign.rounds;
        for (uint256 n = _campaign.firstLive; n <= last; ++n) {
            Hot hot = _rounds[n].hot;
            RoundState state = hot.state();
            bool counts = state == RoundState.OPEN || (withPublished && state == RoundState.PUBLISHED);
            if (counts) sum += hot.remaining();
        }
    }

    function isPaid(uint256 roundNo, uint256 index) external view returns (bool) {
        return _paid[roundNo][index >> 8].bits >> (index & 0xff) & 1 == 1;
    }

    function isVoid(uint256 roundNo, uint256 index) external view returns (bool) {
        return _void[roundNo][index >> 8].bits >> (index & 0xff) & 1 == 1;
    }

    function isHeld(uint256 roundNo, uint256 index) external view returns (bool) {
        return _held[roundNo][index >> 8].bits >> (index & 0xff) & 1 == 1;
    }

    function paidWord(uint256 roundNo, uint256 word) external view returns (uint256) {
        return _paid[roundNo][word].bits;
    }

    function voidWord(uint256 roundNo, uint256 word) external view returns (uint256) {
        return _void[roundNo][word].bits;
    }

    function heldWord(uint256 roundNo, uint256 word) external view returns (uint256) {
        return _held[roundNo][word].bits;
    }

    function round(uint256 roundNo) external view returns (RoundView memory v) {
        Round storage r = _rounds[roundNo];
        v.root = r.root;
        v.depth = uint8(r.hot.depth());
        v.count = r.cold.count;
        v.total = r.cold.total;
        v.remaining = uint128(r.hot.remaining());
        v.voided = r.cold.voided;
        v.rulesHash = r.cold.rulesHash;
        v.listHash = r.cold.listHash;
        v.publishedAt = r.cold.publishedAt;
        v.opensAt = r.hot.opensAt();
        v.openedAt = r.cold.openedAt;
        v.closesAt = r.hot.closesAt();
        v.mode = r.hot.mode();
        v.gate = r.hot.gate();
        v.supersedes = r.cold.supersedes;
        v.state = r.hot.state();
    }

    function roundCount() external view returns (uint256) {
        return _campaign.rounds;
    }

    function remaining(uint256 roundNo) external view returns (uint256) {
        return _rounds[roundNo].hot.remaining();
    }

    function owed() external view returns (uint256) {
        return _owed(false);
    }

    function closing(uint256 roundNo) external view returns (uint64) {
        return _closing(_rounds[roundNo]);
    }

    function nextBatch() external view returns (uint64) {
        return _campaign.batches + 1;
    }

    function pausedUntil() external view returns (uint64) {
        return _campaign.pausedUntil;
    }

    function terms() external view virtual returns (DistributorTerms memory) {
        ClaimPolicy policy = _exitOnly() ? ClaimPolicy.EXIT_ONLY : ClaimPolicy.ALWAYS;
        return DistributorTerms(
            _token(), _charter(), _refund(), policy, _grace(), _openingDelay(), uint64(_transferGas())
        );
    }

    function token() external view returns (address) {
        return _token();
    }

    function charter() external view returns (address) {
        return _charter();
    }

    function domainSeparator() external view returns (bytes32) {
        return Domain.separator(address(this));
    }
}
