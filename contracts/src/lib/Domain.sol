// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice The EIP-712 domain that Charter and Distributor share: name "Sluice", version "1", chain id and contract.
/// Nothing is cached, so a clone and a forked chain each get their own separator.
library Domain {
    bytes32 private constant TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME = keccak256("Sluice");
    bytes32 private constant VERSION = keccak256("1");

    /// @notice Separator of `verifier` on the present chain.
    function separator(address verifier) internal view returns (bytes32) {
        return keccak256(abi.encode(TYPE, NAME, VERSION, block.chainid, verifier));
    }

    /// @notice What is signed: keccak256(0x1901 ‖ separator ‖ struct hash).
    function digest(address verifier, bytes32 structHash) internal view returns (bytes32) {
        return digestIn(separator(verifier), structHash);
    }

    /// @notice The same, with a separator at hand.
    function digestIn(bytes32 separator_, bytes32 structHash) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore(scratch, hex"1901")
            mstore(add(scratch, 0x02), separator_)
            mstore(add(scratch, 0x22), structHash)
            hash := keccak256(scratch, 0x42)
        }
    }
}
