// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "./Vm.sol";

/// @notice Assertions that say what differed.
abstract contract Checks {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    error Differs(string what, uint256 got, uint256 wanted);
    error DiffersWord(string what, bytes32 got, bytes32 wanted);
    error Untrue(string what);

    function eq(uint256 got, uint256 wanted, string memory what) internal pure {
        if (got != wanted) revert Differs(what, got, wanted);
    }

    function eq(bytes32 got, bytes32 wanted, string memory what) internal pure {
        if (got != wanted) revert DiffersWord(what, got, wanted);
    }

    function eq(address got, address wanted, string memory what) internal pure {
        eq(bytes32(uint256(uint160(got))), bytes32(uint256(uint160(wanted))), what);
    }

    function isTrue(bool condition, string memory what) internal pure {
        if (!condition) revert Untrue(what);
    }

    /// @dev `value` mapped into [low, high], as forge-std's bound does in spirit.
    function within(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }

    /// @dev The present second. The optimizer takes `block.timestamp` for constant within a call, which a warp belies.
    function now_() internal view returns (uint64) {
        return uint64(vm.getBlockTimestamp());
    }

    function pass(uint256 seconds_) internal {
        vm.warp(now_() + seconds_);
    }
}
