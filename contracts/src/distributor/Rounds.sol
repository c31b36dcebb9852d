// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ICharter} from "../interfaces/ICharter.sol";
import {IWarden} from "../interfaces/IWarden.sol";
import {Approval, Mode, Phase, RoundState, RoundTerms, SparseWord} from "../interfaces/Types.sol";
import {Entries} from "../lib/Entries.sol";
import {HAS_VOIDS, WAS_PAUSED, pack} from "../lib/Hot.sol";
import {Notarized} from "../lib/Notarized.sol";
import {Payments} from "./Payments.sol";

/// @notice The life of a round, and the money that comes back: publish, open, cancel, veto, extend, void, sweep,
/// withdraw, rescue.
abstract contract Rounds is Payments {
    function publish(uint256 roundNo, RoundTerms calldata t, Approval calldata) external guarded {
        uint256 next = uint256(_campaign.rounds) + 1;
        if (roundNo != next) revert WrongRound(roundNo, next);
        if (t.closesAt <= block.timestamp + _openingDelay()) revert BadRound("closes before it may open");
        _requireApproval();
        bytes32 seal;
        if (t.mode == Mode.GATED) {
            // From here on a payment may take the version's rules for the round's.
            GateKey storage gate = _gates[t.gate];
            bool fits = gate.account != address(0) && gate.rulesHash == t.rulesHash;
            if (!fits) revert BadRound("its gate version is not installed for its rules");
            if (!gate.hasKey) seal = _seal(t.root, gate.account, t.rulesHash);
        }

        if (_campaign.firstLive == 0) _campaign.firstLive = 1;
        if (next - _campaign.firstLive >= MAX_LIVE_ROUNDS) revert BadRound("too many rounds are live: sweep some");
        _campaign.rounds = uint24(next);

        Round storage r = _rounds[roundNo];
        r.root = t.root;
        r.hot = pack(t.total, t.closesAt, t.opensAt, t.gate, t.depth, t.mode);
        if (_campaign.pausedUntil | _campaign.heldUntil > 0) r.hot = r.hot.withFlag(WAS_PAUSED);
        r.cold = Cold({
            total: t.total,
            voided: 0,
            count: t.count,
            publishedAt: uint40(block.timestamp),
            openedAt: 0,
            outageBefore: 0,
            supersedes: uint32(t.supersedes),
            rulesHash: t.rulesHash,
            listHash: t.listHash,
            seal: seal
        });
        emit RoundPublished(roundNo, t, uint64(block.timestamp));
    }

    function open(uint256 roundNo) external guarded {
        Round storage r = _rounds[roundNo];
        _requireState(roundNo, r.hot, RoundState.PUBLISHED);
        uint256 earliest = uint256(r.cold.publishedAt) + _openingDelay();
        if (earliest < r.hot.opensAt()) earliest = r.hot.opensAt();
        if (block.timestamp < earliest) revert TooEarly(uint64(earliest));
        if (block.timestamp >= r.hot.closesAt()) revert Closed(r.hot.closesAt());

        r.hot = r.hot.withState(RoundState.OPEN);
        r.cold.openedAt = uint40(block.timestamp);
        r.cold.outageBefore = _outage();
        _campaign.everOpened = true;

        uint256 needed = _owed(false);
        uint256 balance = IERC20(_token()).balanceOf(address(this));
        if (balance < needed) revert Underfunded(balance, needed);
        emit RoundOpened(roundNo, balance, needed);
    }

    function cancel(uint256 roundNo, Approval calldata) external guarded {
        _endUnopened(roundNo, RoundState.CANCELLED);
    }

    function veto(uint256 roundNo, Approval calldata) external guarded {
        _endUnopened(roundNo, RoundState.VETOED);
    }

    function _endUnopened(uint256 roundNo, RoundState state) private {
        Round storage r = _rounds[roundNo];
        _requireState(roundNo, r.hot, RoundState.PUBLISHED);
        _requireApproval();
        _end(r, state);
        emit RoundCancelled(roundNo, state == RoundState.VETOED);
    }

    function extendClosing(uint256 roundNo, uint64 closesAt, Approval calldata) external guarded {
        Round storage r = _rounds[roundNo];
        RoundState state = r.hot.state();
        if (state != RoundState.PUBLISHED && state != RoundState.OPEN) revert WrongState(roundNo, state);
        if (closesAt <= r.hot.closesAt()) revert BadRound("closing may only move to later");
        _requireApproval();
        r.hot = r.hot.withClosesAt(closesAt);
        emit ClosingExtended(roundNo, closesAt);
    }

    function void(SparseWord calldata chunk, Approval calldata) external guarded {
        uint256 roundNo = chunk.roundNo;
        Round storage r = _rounds[roundNo];
        RoundState state = r.hot.state();
        if (state != RoundState.PUBLISHED && state != RoundState.OPEN) revert WrongState(roundNo, state);
        _requireApproval();

        _proveChunk(r, r.hot.depth(), chunk);
        Word storage voids = _void[roundNo][chunk.word];
        uint256 clash = chunk.mask & _paid[roundNo][chunk.word].bits;
        if (clash != 0) revert AlreadyPaid(roundNo, _firstIndex(chunk.word, clash));
        clash = chunk.mask & voids.bits;
        if (clash != 0) revert AlreadyVoid(roundNo, _firstIndex(chunk.word, clash));

        (uint256 bits, uint256 sum) = Entries.sumOf(chunk.mask, chunk.words, _token(), _charter());
        if (bits != chunk.mask) revert NotPayable(roundNo, _firstIndex(chunk.word, chunk.mask & ~bits));
        voids.bits |= chunk.mask;
        r.cold.voided += uint128(sum);
        r.hot = _less(roundNo, r.hot, sum).withFlag(HAS_VOIDS);
        emit Voided(roundNo, chunk.word, chunk.mask, sum);
    }

    function sweep(uint256 roundNo) external guarded {
        Phase phase = ICharter(_charter()).phase();
        if (phase != Phase.ACTIVE) revert NotActive(phase);
        Round storage r = _rounds[roundNo];
        RoundState state = r.hot.state();
        if (state != RoundState.SWEPT) {
            _requireState(roundNo, r.hot, RoundState.OPEN);
            uint256 lastEnd = _requireNothingHeld(roundNo);
            // Whom a hold kept from being paid has the whole grace after its end.
            uint256 closed = _closing(r);
            uint64 at = uint64(closed > lastEnd ? closed : lastEnd) + _grace();
            if (block.timestamp < at) revert TooEarly(at);
            _end(r, RoundState.SWEPT);
        }
        uint256 balance = IERC20(_token()).balanceOf(address(this));
        uint256 kept = _owed(true);
        uint256 amount = balance > kept ? balance - kept : 0;
        emit Swept(roundNo, amount);
        _sendRefund(amount);
    }

    /// @return lastEnd when the last hold on the round ended, seconds
    function _requireNothingHeld(uint256 roundNo) private view returns (uint256 lastEnd) {
        uint256 holds;
        (holds, lastEnd) = IWarden(ICharter(_charter()).warden()).holdsOn(address(this), roundNo);
        if (holds != 0) revert HoldsStand(roundNo, holds);
        if (_campaign.heldUntil > block.timestamp) revert Paused(_campaign.heldUntil);
    }

    function withdraw(uint256 amount, uint256, Approval calldata) external guarded {
        if (_campaign.everOpened) revert AlreadyOpened();
        _useOnce(_requireApproval());
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

    /// @dev Ends a round for good and lets the walk over live rounds start above it where it can.
    function _end(Round storage r, RoundState state) private {
        r.hot = r.hot.withState(state);
        uint256 n = _campaign.firstLive;
        uint256 last = _campaign.rounds;
        while (n <= last && _rounds[n].hot.state() > RoundState.OPEN) ++n;
        _campaign.firstLive = uint24(n);
    }

    function _sendRefund(uint256 amount) private {
        if (amount == 0) return;
        if (!Entries.send(_token(), _refund(), amount, gasleft())) revert TransferFailed(Entries.reason());
    }

    /// @dev Proves that enough institutions approved this very call; the Notary knows how many.
    function _requireApproval() internal view returns (bytes32 action) {
        (action,) = Notarized.require_(ICharter(_charter()).notary());
    }

    function _useOnce(bytes32 action) internal {
        if (_used[action]) revert AlreadyUsed(action);
        _used[action] = true;
    }
}
