// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A wallet that is a contract: its owner's key signs for it (ERC-1271). For demonstrations and tests only.
/// @dev The owner is the first storage slot, so that a development chain may put code and owner where it likes.
contract TestWallet is IERC1271 {
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError error,) = ECDSA.tryRecoverCalldata(digest, signature);
        bool yes = error == ECDSA.RecoverError.NoError && signer == owner && signer != address(0);
        return yes ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
