// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {BucketTree} from "../../src/lib/BucketTree.sol";

/// @notice BucketTree as callable functions, compiled as the contracts are.
contract TreeHarness {
    function rangeRoot(bytes calldata words, uint256 levels, uint256 position, bytes32[] calldata path)
        external
        pure
        returns (bytes32)
    {
        return BucketTree.climb(BucketTree.rangeNode(words, levels), position, path);
    }

    function sparseRoot(uint256 mask, bytes calldata words, bytes32[] calldata proof, uint256 word, uint256 depth)
        external
        pure
        returns (bytes32)
    {
        return BucketTree.sparseRoot(BucketTree.bucketsOf(mask), words, proof, word, depth);
    }

    function countOf(uint256 mask) external pure returns (uint256) {
        return BucketTree.countOf(BucketTree.bucketsOf(mask));
    }
}
