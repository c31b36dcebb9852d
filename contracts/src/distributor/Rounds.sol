// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ICharter} from "../interfaces/ICharter.sol";
import {Approval, Mode, Phase, Quorum, RoundState, RoundTerms, SparseWord} from "../interfaces/Types.sol";
import {Actions} from "../lib/Actions.sol";
import {Entries} from "../lib/Entries.sol";
import {Payments} from "./Payments.sol";

/// @notice The life of a round, and the money that comes back: publish, open, cancel, veto, extend, void, sweep,
/// withdraw, rescue.
abstract contract Rounds is Payments {
    /// @dev Deepest tree: 4·2^40 entitlements are more than will ever be, and shifts stay far from overflow.
    uint256 private constant MAX_DEPTH = 40;
    /// @dev Longest list location in bytes: it is signed, emitted and never stored.
    uint256 private constant MAX_URI = 512;

    function publish(uint256 roundNo, RoundTerms calldata t, Approval calldata approval) external guarded {
        uint256 next = uint256(_campaign.rounds) + 1;
        if (roundNo != next) revert WrongRound(roundNo, next);
        _checkTerms(roundNo, t);
        _require(Quorum.PUBLISH, Actions.publish(roundNo, t, approval), approval);

        if (_campaign.firstLive == 0) _campaign.firstLive = 1;
        if (next - _campaign.firstLive >= MAX_LIVE_ROUNDS) revert BadRound("too many rounds are live: sweep some");
        _campaign.rounds = uint24(next);

        Round storage r = _rounds[roundNo];
        r.root = t.root;
        r.hot = Hot({
            remaining: t.total,
            closesAt: uint40(t.closesAt),
            opensAt: uint40(t.opensAt),
            gate: t.gate,
            depth: t.depth,
            mode: t.mode,
            state: RoundState.PUBLISHED,
            flags: _campaign.pausedUntil > 0 ? WAS_PAUSED : 0
        });
        r.cold = Cold({
            total: t.total,
            voided: 0,
            count: t.count,
            publishedAt: uint40(block.timestamp),
            openedAt: 0,
            outageBefore: 0,
            supersedes: uint32(t.supersedes),
            rulesHash: t.rulesHash,
            listHash: t.listHash
        });
        emit RoundPublished(roundNo, t, uint64(block.timestamp));
    }

    function open(uint256 roundNo) external guarded {
        Round storage r = _rounds[roundNo];
        _requireState(roundNo, r, RoundState.PUBLISHED);
        uint256 earliest = uint256(r.cold.publishedAt) + _openingDelay();
        if (earliest < r.hot.opensAt) earliest = r.hot.opensAt;
        if (block.timestamp < earliest) revert TooEarly(uint64(earliest));
        if (block.timestamp >= r.hot.closesAt) revert Closed(r.hot.closesAt);

        r.hot.state = RoundState.OPEN;
        r.cold.openedAt = uint40(block.timestamp);
        r.cold.outageBefore = _outage();
        _campaign.everOpened = true;

        uint256 needed = _owed(0, false);
        uint256 balance = IERC20(_token()).balanceOf(address(this));
        if (balance < needed) revert Underfunded(balance, needed);
        emit RoundOpened(roundNo, balance, needed);
    }

    function cancel(uint256 roundNo, Approval calldata approval) external guarded {
        Round storage r = _rounds[roundNo];
        _requireState(roundNo, r, RoundState.PUBLISHED);
        _require(Quorum.PUBLISH, Actions.cancel(roundNo, approval), approval);
        _end(r, RoundState.CANCELLED);
        emit RoundCancelled(roundNo, false);
    }

    function veto(uint256 roundNo, Approval calldata approval) external guarded {
        Round storage r = _rounds[roundNo];
        _requireState(roundNo, r, RoundState.PUBLISHED);
        _require(Quorum.THIRD, Actions.veto(roundNo, approval), approval);
        _end(r, RoundState.VETOED);
        emit RoundCancelled(roundNo, true);
    }

    function extendClosing(uint256 roundNo, uint64 closesAt, Approval calldata approval) external guarded {
        Round storage r = _rounds[roundNo];
        RoundState state = r.hot.state;
        if (state != RoundState.PUBLISHED && state != RoundState.OPEN) revert WrongState(roundNo, state);
        if (closesAt <= r.hot.closesAt) revert BadRound("closing may only move to later");
        if (closesAt > type(uint40).max) revert BadRound("closing lies beyond the calendar");
        _require(Quorum.PUBLISH, Actions.extendClosing(roundNo, closesAt, approval), approval);
        r.hot.closesAt = uint40(closesAt);
        emit ClosingExtended(roundNo, closesAt);
    }

    function void(SparseWord calldata chunk, Approval calldata approval) external guarded {
        uint256 roundNo = chunk.roundNo;
        Round storage r = _rounds[roundNo];
        RoundState state = r.hot.state;
        if (state != RoundState.PUBLISHED && state != RoundState.OPEN) revert WrongState(roundNo, state);
        Quorum quorum =
            ICharter(_charter()).phase() == Phase.EXIT ? Quorum.THREE_QUARTERS : Quorum.PUBLISH;
        _require(quorum, Actions.void(roundNo, chunk.word, chunk.mask, approval), approval);

        _proveChunk(r, chunk);
        uint256 clash = chunk.mask & _paid[roundNo][chunk.word];
        if (clash != 0) revert AlreadyPaid(roundNo, _firstIndex(chunk.word, clash));
        clash = chunk.mask & _void[roundNo][chunk.word];
        if (clash != 0) revert AlreadyVoid(roundNo, _firstIndex(chunk.word, clash));

        (uint256 bits, uint256 sum) = _payableOf(chunk.mask, chunk.mask, chunk.words);
        if (bits != chunk.mask) revert NotPayable(roundNo, _firstIndex(chunk.word, chunk.mask & ~bits));
        _void[roundNo][chunk.word] |= chunk.mask;
        _reserve(roundNo, r, sum);
        r.cold.voided += uint128(sum);
        r.hot.flags |= HAS_VOIDS;
        emit Voided(roundNo, chunk.word, chunk.mask, sum);
    }

    function sweep(uint256 roundNo) external guarded {
        Phase phase = ICharter(_charter()).phase();
        if (phase != Phase.ACTIVE) revert NotActive(phase);
        Round storage r = _rounds[roundNo];
        RoundState state = r.hot.state;
        if (state != RoundState.SWEPT) {
            _requireState(roundNo, r, RoundState.OPEN);
            uint64 at = _closing(r) + _grace();
            if (block.timestamp < at) revert TooEarly(at);
            _end(r, RoundState.SWEPT);
        }
        uint256 balance = IERC20(_token()).balanceOf(address(this));
        uint256 kept = _owed(0, true);
        uint256 amount = balance > kept ? balance - kept : 0;
        emit Swept(roundNo, amount);
        _sendRefund(amount);
    }

    function withdraw(uint256 amount, uint256 nonce, Approval calldata approval) external guarded {
        if (_campaign.everOpened) revert AlreadyOpened();
        bytes32 action = Actions.withdraw(amount, nonce, approval);
        _require(Quorum.PUBLISH, action, approval);
        _useOnce(action);
        emit Withdrawn(amount);
        _sendRefund(amount);
    }

    function rescue(address foreign) external guarded {
        address own = _token();
        if (foreign == own) revert OwnToken();
        uint256 before = IERC20(own).balanceOf(address(this));
        uint256 amount = IERC20(foreign).balanceOf(address(this));
        emit Rescued(foreign, amount);
        if (!Entries.send(foreign, _refund(), amount, gasleft())) revert TransferFailed(Entries.reason());
        // Some tokens have two addresses; the second one must not be a way around `foreign == own`.
        if (IERC20(own).balanceOf(address(this)) != before) revert OwnToken();
    }

    function _checkTerms(uint256 roundNo, RoundTerms calldata t) private view {
        if (t.root == 0) revert BadRound("root is zero");
        if (t.depth > MAX_DEPTH) revert BadRound("depth is above 40");
        if (t.count == 0) revert BadRound("count is zero");
        if (uint256(4) << t.depth < t.count) revert BadRound("depth is too small for count");
        if (t.depth > 0 && uint256(2) << t.depth >= t.count) revert BadRound("depth is too large for count");
        if (t.total == 0) revert BadRound("total is zero");
        if (t.closesAt > type(uint40).max) revert BadRound("closing lies beyond the calendar");
        if (t.closesAt <= t.opensAt) revert BadRound("closes before it opens");
        if (t.closesAt <= block.timestamp + _openingDelay()) revert BadRound("closes before it may open");
        if (t.supersedes >= roundNo) revert BadRound("supersedes no earlier round");
        if ((t.mode == Mode.GATED) != (t.gate != 0)) revert BadRound("a gate belongs to GATED rounds, and only there");
        if (bytes(t.listUri).length > MAX_URI) revert BadRound("list URI is above 512 bytes");
    }

    /// @dev Ends a round for good and lets the walk over live rounds start above it where it can.
    function _end(Round storage r, RoundState state) private {
        r.hot.state = state;
        uint256 n = _campaign.firstLive;
        uint256 last = _campaign.rounds;
        while (n <= last && _rounds[n].hot.state > RoundState.OPEN) ++n;
        _campaign.firstLive = uint24(n);
    }

    function _sendRefund(uint256 amount) private {
        if (amount == 0) return;
        if (!Entries.send(_token(), _refund(), amount, gasleft())) revert TransferFailed(Entries.reason());
    }

    function _require(Quorum quorum, bytes32 action, Approval calldata approval) internal view {
        ICharter(_charter()).requireQuorum(quorum, action, approval);
    }

    function _useOnce(bytes32 action) internal {
        if (_used[action]) revert AlreadyUsed(action);
        _used[action] = true;
    }
}
