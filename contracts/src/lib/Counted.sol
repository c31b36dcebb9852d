// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {Approval, Quorum} from "../interfaces/Types.sol";

/// @notice A contract that a Charter deployed to rebuild what authorities sign, and that has the Charter count them.
abstract contract Counted {
    ICharter internal immutable CHARTER;

    constructor() {
        CHARTER = ICharter(msg.sender);
    }

    /// @dev Appends what every action ends in and has the Charter count.
    /// @param fields the action's struct, encoded up to its set version
    /// @return action the struct's hash
    /// @return institutions who signed, as a bitmap
    function _require(Quorum quorum, bytes memory fields, Approval calldata approval)
        internal
        view
        returns (bytes32 action, uint256 institutions)
    {
        action = keccak256(bytes.concat(fields, abi.encode(approval.setVersion, approval.deadline)));
        institutions = CHARTER.requireQuorum(quorum, action, approval);
    }
}
