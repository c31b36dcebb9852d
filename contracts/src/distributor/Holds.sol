// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {Approval, RoundState, Ruling} from "../interfaces/Types.sol";
import {HAS_HOLDS, Hot, WAS_PAUSED} from "../lib/Hot.sol";
import {Claims} from "./Claims.sol";

/// @notice Holds, and stops of the whole campaign. Who may do what for how long the Warden decides; here is what paying
/// reads: held bits and times. Holds keep entitlements from being paid by every way and in every phase; a pause never
/// blocks the exit, a campaign-wide hold does. The time of both of these moves closings to later.
abstract contract Holds is Claims {
    function hold(uint256 roundNo, uint256 word, uint256 mask, bytes32 reason, uint8, uint256, Approval calldata)
        external
        guarded
        returns (uint256 id)
    {
        Hot hot = _rounds[roundNo].hot;
        RoundState state = hot.state();
        if (!_isLive(state)) revert WrongState(roundNo, state);
        // Outside the tree there is nothing to hold, and who reads events would meet words no round has.
        _requireInTree(hot.depth(), word, mask);
        Ruling memory h = _ruling();
        _held[roundNo][word].bits |= h.mask;
        _rounds[roundNo].hot = hot.withFlag(HAS_HOLDS);
        emit HoldPlaced(h.id, roundNo, word, h.mask, uint64(h.until), h.institutions, reason);
        return h.id;
    }

    function confirmHold(uint256 id, uint8, uint256, Approval calldata) external guarded {
        Ruling memory h = _ruling();
        emit HoldConfirmed(id, uint64(h.until), h.institutions);
    }

    function release(uint256 id, uint8, uint256, Approval calldata) external guarded {
        _endHold(id);
    }

    function lapse(uint256 id) external guarded {
        _endHold(id);
    }

    /// @dev No two holds stand on the same entitlement, so ending one never frees what another holds.
    function _endHold(uint256 id) private {
        Ruling memory h = _ruling();
        _held[h.roundNo][h.word].bits &= ~h.mask;
        emit HoldEnded(id, h.roundNo, h.word, h.mask, h.institutions);
    }

    function holdCampaign(uint64, uint8, uint256, Approval calldata) external guarded {
        Ruling memory h = _ruling();
        _count(_campaign.heldUntil, h.until);
        _campaign.heldUntil = uint40(h.until);
        emit CampaignHeld(uint64(h.until), h.institutions);
    }

    function pause(uint64, uint8, uint256, Approval calldata) external guarded {
        Ruling memory h = _ruling();
        _count(_campaign.pausedUntil, h.until);
        _campaign.pausedUntil = uint40(h.until);
        emit PauseSet(uint64(h.until), h.institutions);
    }

    /// @dev Counts the seconds of a stop that ends at `until` instead of `present`, and lets live rounds look at stops
    /// from now on.
    function _count(uint256 present, uint256 until) private {
        uint256 from = present > block.timestamp ? present : block.timestamp;
        _campaign.pausedSeconds = uint40(_campaign.pausedSeconds + until - from);
        uint256 last = _campaign.rounds;
        for (uint256 n = _campaign.firstLive; n <= last; ++n) {
            Hot hot = _rounds[n].hot;
            if (_isLive(hot.state()) && hot.flags() & WAS_PAUSED == 0) _rounds[n].hot = hot.withFlag(WAS_PAUSED);
        }
    }

    function _isLive(RoundState state) private pure returns (bool) {
        return state == RoundState.PUBLISHED || state == RoundState.OPEN;
    }

    /// @dev Asks the Warden about the call being made, with the calldata as it came.
    function _ruling() internal returns (Ruling memory) {
        (bool ok, bytes memory answer) = ICharter(_charter()).warden().call(msg.data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
        return abi.decode(answer, (Ruling));
    }

    function heldUntil() external view returns (uint64) {
        return _campaign.heldUntil;
    }
}
