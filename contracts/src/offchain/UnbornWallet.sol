// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice Asks a wallet that may not exist yet whether it signed (ERC-6492).
/// @dev Never deployed. Its creation code is the data of an `eth_call` without `to`, and what it "deploys" is the answer:
/// one byte, 1 for yes. The wallet is made by its factory inside that call and is gone with it.
contract UnbornWallet {
    /// @dev As much as the Distributor gives a wallet that is there (`Signatures.CHECK_GAS`).
    uint256 private constant CHECK_GAS = 500_000;

    constructor(address wallet, bytes32 digest, address factory, bytes memory factoryData, bytes memory signature) {
        if (wallet.code.length == 0) {
            assembly ("memory-safe") {
                // Whether it worked is seen by whether the wallet is there; what the factory says is not read.
                pop(call(gas(), factory, 0, add(factoryData, 0x20), mload(factoryData), 0, 0))
            }
        }
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes4 yes = IERC1271.isValidSignature.selector;
        bool there = wallet.code.length != 0;
        assembly ("memory-safe") {
            let ok := staticcall(CHECK_GAS, wallet, add(question, 0x20), mload(question), 0x00, 0x20)
            let signed := and(and(ok, there), and(gt(returndatasize(), 0x1f), eq(mload(0x00), yes)))
            mstore8(0x00, signed)
            return(0x00, 0x01)
        }
    }
}
