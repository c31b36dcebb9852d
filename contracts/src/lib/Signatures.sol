// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC7913SignatureVerifier} from "@openzeppelin/contracts/interfaces/IERC7913.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice Proves that a signer consented to a digest.
/// @dev Not OpenZeppelin's SignatureChecker, for two reasons: it never tries ECDSA on an account that has code, so an
/// account with an EIP-7702 delegation would lose its own key; and it gives a signer's code all remaining gas, so one
/// malicious wallet could burn a whole batch.
library Signatures {
    /// @notice Gas a signer's contract may use for its answer. Enough for a passkey checked in plain Solidity.
    uint256 internal constant CHECK_GAS = 500_000;

    /// @notice So little gas is left that a signer's "no" might only mean "no gas".
    error TooLittleGasForSignature(uint256 gasLeft);

    /// @notice Whether `account` consented: by its key first, by its code (ERC-1271) second.
    function isValid(address account, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address recovered, ECDSA.RecoverError error,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (error == ECDSA.RecoverError.NoError && recovered == account) return true;
        if (account.code.length == 0) return false;
        return _ask(
            account, abi.encodeCall(IERC1271.isValidSignature, (digest, signature)), IERC1271.isValidSignature.selector
        );
    }

    /// @notice Whether an ERC-7913 signer consented. 20 bytes are an account; longer ones a verifier and its key.
    function isValid(bytes calldata signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        if (signer.length < 20) return false;
        address account = address(bytes20(signer));
        if (signer.length == 20) return isValid(account, digest, signature);
        return isValid(account, signer[20:], digest, signature);
    }

    /// @notice Whether the holder of `key` consented, as its ERC-7913 verifier sees it.
    function isValid(address verifier, bytes memory key, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        if (verifier.code.length == 0) return false;
        return _ask(
            verifier,
            abi.encodeCall(IERC7913SignatureVerifier.verify, (key, digest, signature)),
            IERC7913SignatureVerifier.verify.selector
        );
    }

    function _ask(address account, bytes memory question, bytes4 yes) private view returns (bool valid) {
        // 64/63 because a call keeps a 64th back; the rest pays for the call itself.
        if (gasleft() < CHECK_GAS + CHECK_GAS / 63 + 10_000) revert TooLittleGasForSignature(gasleft());
        assembly ("memory-safe") {
            let ok := staticcall(CHECK_GAS, account, add(question, 0x20), mload(question), 0x00, 0x20)
            valid := and(and(ok, gt(returndatasize(), 0x1f)), eq(mload(0x00), yes))
        }
    }
}
