// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice The native tree. An entitlement is one word (20-byte address, uint96 amount); a leaf is keccak256 of a
/// bucket of four words (128 bytes); a node is keccak256(left ‖ right), the index's bits choosing the side. The lengths
/// keep leaves and nodes apart. The tree is perfect: 2^depth buckets, zero words from `count` on.
/// @dev Every function trusts its caller to have checked lengths and bounds.
library BucketTree {
    /// @notice Bytes of a bucket.
    uint256 internal constant BUCKET = 128;
    /// @notice Levels from a bucket to the node over one 256-entitlement word.
    uint256 internal constant WORD_LEVELS = 6;
    uint256 private constant EVERY_BUCKET = 0x1111111111111111111111111111111111111111111111111111111111111111;
    uint256 private constant EVERY_BYTE = 0x0101010101010101010101010101010101010101010101010101010101010101;
    uint256 private constant EVERY_BYTE_LOW = 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f;

    /// @notice Leaf of one bucket.
    function leaf(bytes32[4] calldata bucket) internal pure returns (bytes32 node) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            calldatacopy(scratch, bucket, 128)
            node := keccak256(scratch, 128)
        }
    }

    /// @notice Node over 2^levels consecutive buckets.
    function rangeNode(bytes calldata words, uint256 levels) internal pure returns (bytes32 node) {
        assembly ("memory-safe") {
            // The leaf hashes stand in free memory, which is not claimed: nothing of it is needed afterwards.
            let nodes := mload(0x40)
            let count := shl(levels, 1)
            let scratch := add(nodes, shl(5, count))
            let source := words.offset
            for { let at := nodes } lt(at, scratch) { at := add(at, 0x20) } {
                calldatacopy(scratch, source, 128)
                mstore(at, keccak256(scratch, 128))
                source := add(source, 128)
            }
            for {} gt(count, 1) {} {
                count := shr(1, count)
                let end := add(nodes, shl(5, count))
                let from := nodes
                for { let to := nodes } lt(to, end) { to := add(to, 0x20) } {
                    mstore(to, keccak256(from, 0x40))
                    from := add(from, 0x40)
                }
            }
            node := mload(nodes)
        }
    }

    /// @notice Root reached from `node`, the `position`-th of its level, along `path`.
    function climb(bytes32 node, uint256 position, bytes32[] calldata path) internal pure returns (bytes32 root) {
        assembly ("memory-safe") {
            // The level's bit of the position stands at 0x20: it is the node's place in the scratch space.
            function parent(child, place, sibling) -> hash {
                let side := and(place, 0x20)
                mstore(side, child)
                mstore(xor(side, 0x20), sibling)
                hash := keccak256(0x00, 0x40)
            }
            root := node
            let at := path.offset
            let left := path.length
            position := shl(5, position)
            // Unrolled, because turns would cost half as much as the hashes: eight levels a turn, after those that do
            // not fill one.
            for {} and(left, 3) {} {
                root := parent(root, position, calldataload(at))
                position := shr(1, position)
                at := add(at, 0x20)
                left := sub(left, 1)
            }
            if and(left, 4) {
                root := parent(root, position, calldataload(at))
                root := parent(root, shr(1, position), calldataload(add(at, 0x20)))
                root := parent(root, shr(2, position), calldataload(add(at, 0x40)))
                root := parent(root, shr(3, position), calldataload(add(at, 0x60)))
                position := shr(4, position)
                at := add(at, 0x80)
            }
            for { left := shr(3, left) } left { left := sub(left, 1) } {
                root := parent(root, position, calldataload(at))
                root := parent(root, shr(1, position), calldataload(add(at, 0x20)))
                root := parent(root, shr(2, position), calldataload(add(at, 0x40)))
                root := parent(root, shr(3, position), calldataload(add(at, 0x60)))
                root := parent(root, shr(4, position), calldataload(add(at, 0x80)))
                root := parent(root, shr(5, position), calldataload(add(at, 0xa0)))
                root := parent(root, shr(6, position), calldataload(add(at, 0xc0)))
                root := parent(root, shr(7, position), calldataload(add(at, 0xe0)))
                position := shr(8, position)
                at := add(at, 0x100)
            }
        }
    }

    /// @notice The buckets that hold a bit of `mask`: bit 4b for entitlements 4b to 4b + 3 of the word.
    function bucketsOf(uint256 mask) internal pure returns (uint256) {
        mask |= mask >> 1;
        return (mask | mask >> 2) & EVERY_BUCKET;
    }

    /// @notice How many buckets `bucketsOf` found.
    function countOf(uint256 buckets) internal pure returns (uint256) {
        unchecked {
            // Sums of two in each byte, then all bytes into the highest: at most 64, so nothing spills.
            return ((buckets + (buckets >> 4)) & EVERY_BYTE_LOW) * EVERY_BYTE >> 248;
        }
    }

    /// @notice Root reached from the given buckets of one word with the missing siblings.
    /// @param buckets which buckets are given, as `bucketsOf` has it; not zero
    /// @param word index of the word in the tree
    /// @param depth levels between buckets and root
    /// @return root the root reached; zero if siblings are missing or left over
    function sparseRoot(uint256 buckets, bytes calldata words, bytes32[] calldata proof, uint256 word, uint256 depth)
        internal
        pure
        returns (bytes32 root)
    {
        uint256 levels = depth < WORD_LEVELS ? depth : WORD_LEVELS;
        uint256 used;
        uint256 level;
        assembly ("memory-safe") {
            let nodes := mload(0x40)
            // Leaf hashes of the given buckets, closely packed and ascending.
            let scratch := add(nodes, 0x800)
            let to := nodes
            let sourceEnd := add(words.offset, words.length)
            for { let source := words.offset } lt(source, sourceEnd) { source := add(source, 128) } {
                calldatacopy(scratch, source, 128)
                mstore(to, keccak256(scratch, 128))
                to := add(to, 0x20)
            }
            // A node of the present level stands for `span` bits of the word and is marked by the lowest of them.
            let span := 4
            // Level by level, until one node is left (from there it is a plain climb) or the word's node is reached.
            for {} and(lt(level, levels), iszero(iszero(and(buckets, sub(buckets, 1))))) { level := add(level, 1) } {
                let from := nodes
                to := nodes
                let parents := 0
                let pair := shl(1, span)
                let parent := 1
                for { let rest := buckets } rest {} {
                    let left := and(rest, 1)
                    let right := and(shr(span, rest), 1)
                    rest := shr(pair, rest)
                    if or(left, right) {
                        parents := or(parents, parent)
                        switch and(left, right)
                        case 1 {
                            mstore(to, keccak256(from, 0x40))
                            from := add(from, 0x40)
                        }
                        default {
                            let side := shl(5, right)
                            mstore(side, mload(from))
                            // A missing sibling reads as whatever follows in calldata: the count is checked below.
                            mstore(xor(side, 0x20), calldataload(add(proof.offset, shl(5, used))))
                            used := add(used, 1)
                            mstore(to, keccak256(0x00, 0x40))
                            from := add(from, 0x20)
                        }
                        to := add(to, 0x20)
                    }
                    parent := shl(pair, parent)
                }
                buckets := parents
                span := pair
            }
            root := mload(nodes)
        }
        if (proof.length < used || proof.length - used != depth - level) return bytes32(0);
        // One mark is left: the node's place in its level is the mark's bit number over the span.
        uint256 position = Math.log2(buckets) >> (2 + level) | word << (levels - level);
        return climb(root, position, proof[used:]);
    }
}
