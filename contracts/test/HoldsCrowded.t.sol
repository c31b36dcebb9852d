// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Approval, Mode} from "../src/interfaces/Types.sol";
import {Gated} from "./support/Gated.sol";

/// @notice Words on which single institutions placed as many holds as they can: what that costs those who come after.
contract HoldsCrowdedTest is Gated {
    uint256 private constant ALL = type(uint256).max;

    /// @notice M's hold walks the single holds on its word. Whatever those did before, it fits a transaction with room to
    /// spare: ended and confirmed holds do not lengthen the walk, and 256 standing ones are the most a word has.
    function test_mHoldAWordFullOfSingleHolds() public {
        uint256 r = opened(people(256), Mode.PUSH);
        // Two institutions hold and release each entitlement by itself, a third holds each and leaves it.
        for (uint256 i; i < 256; ++i) {
            release(hold(r, 0, 1 << i, 0, 1), 0, 1);
            release(hold(r, 0, 1 << i, 1, 1), 1, 1);
            hold(r, 0, 1 << i, 2, 1);
        }
        standingOn(r, 256);
        uint256 gas = _gasOfHold(r, 3);
        isTrue(gas < 4_000_000, vm.toString(gas));
        standingOn(r, 1);
        eq(warden.holdOf(address(dist), 769).mask, ALL, "M's hold has all");
        // The list is empty now: another such hold finds nothing to walk.
        release(769, 0, 3);
        hold(r, 0, 1, 3, 1);
        gas = _gasOfHold(r, 4);
        isTrue(gas < 250_000, vm.toString(gas));
        standingOn(r, 1);
    }

    /// @dev Of a hold on all of word 0 by many, with every slot cold, as it is in a transaction; refunds not taken off.
    function _gasOfHold(uint256 r, uint256 count) private returns (uint256 gas) {
        Approval memory a = asHold(r, 0, ALL, 0, count);
        vm.cool(address(dist));
        vm.cool(address(warden));
        gas = gasleft();
        dist.hold(r, 0, ALL, "why", uint8(count), nonce, a);
        gas -= gasleft();
    }

    /// @notice Releasing one hold of a full word is bounded as well.
    function test_releaseFromAWordFullOfSingleHolds() public {
        uint256 r = opened(people(256), Mode.PUSH);
        for (uint256 i; i < 256; ++i) hold(r, 0, 1 << i, 0, 1);
        Approval memory a = asRelease(256, 0, 1);
        vm.cool(address(dist));
        vm.cool(address(warden));
        uint256 gas = gasleft();
        dist.release(256, 1, nonce, a);
        gas -= gasleft();
        isTrue(gas < 800_000, vm.toString(gas));
        standingOn(r, 255);
        // What was swapped to its place is found.
        release(255, 0, 1);
        confirm(254, 1, 1);
        release(1, 0, 1);
        standingOn(r, 253);
        hold(r, 0, ALL, 0, 3);
        standingOn(r, 2);
        eq(warden.holdOf(address(dist), 257).mask, ALL & ~(uint256(1) << 253), "all but what was confirmed");
    }
}
