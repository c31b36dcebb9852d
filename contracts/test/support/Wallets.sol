// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice An ERC-1271 wallet that approves chosen digests, and may misbehave.
contract ContractWallet {
    mapping(bytes32 => bool) public approved;
    bool public burns;

    function approve(bytes32 digest, bool yes) external {
        approved[digest] = yes;
    }

    function setBurns(bool yes) external {
        burns = yes;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        if (burns) while (true) {}
        return approved[digest] ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @notice An ERC-7913 verifier whose keys are numbers: a signature is keccak256(key, digest).
contract NumberVerifier {
    function verify(bytes calldata key, bytes32 digest, bytes calldata signature) external pure returns (bytes4) {
        return bytes32(signature) == keccak256(abi.encode(key, digest)) ? this.verify.selector : bytes4(0);
    }
}
