// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Asks a Notary about the call being made, with the calldata as it came.
library Notarized {
    /// @return action the struct hash of the approved action
    /// @return institutions who approved it, as a bitmap
    function require_(address notary) internal view returns (bytes32 action, uint256 institutions) {
        (bool ok, bytes memory answer) = notary.staticcall(msg.data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
        return abi.decode(answer, (bytes32, uint256));
    }
}
