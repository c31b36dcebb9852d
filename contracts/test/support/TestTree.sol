// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice A native tree in memory, built the obvious way: whole levels, no tricks shared with BucketTree.
library TestTree {
    struct Tree {
        bytes32[] words;
        bytes32[][] levels;
        uint256 count;
        uint256 depth;
        bytes32 root;
        uint256 total;
    }

    function entry(address recipient, uint96 amount) internal pure returns (bytes32) {
        return bytes32(bytes.concat(bytes20(recipient), bytes12(amount)));
    }

    function build(bytes32[] memory entries) internal pure returns (Tree memory t) {
        t.count = entries.length;
        while (4 * 2 ** t.depth < t.count) t.depth += 1;
        t.words = new bytes32[](4 * 2 ** t.depth);
        for (uint256 i; i < entries.length; ++i) {
            t.words[i] = entries[i];
            t.total += uint96(uint256(entries[i]));
        }
        t.levels = new bytes32[][](t.depth + 1);
        t.levels[0] = new bytes32[](2 ** t.depth);
        for (uint256 b; b < t.levels[0].length; ++b) t.levels[0][b] = keccak256(bucketBytes(t, b));
        for (uint256 level = 1; level <= t.depth; ++level) {
            t.levels[level] = new bytes32[](t.levels[level - 1].length / 2);
            for (uint256 i; i < t.levels[level].length; ++i) {
                t.levels[level][i] =
                    keccak256(bytes.concat(t.levels[level - 1][2 * i], t.levels[level - 1][2 * i + 1]));
            }
        }
        t.root = t.levels[t.depth][0];
    }

    function bucketBytes(Tree memory t, uint256 b) internal pure returns (bytes memory) {
        return bytes.concat(t.words[4 * b], t.words[4 * b + 1], t.words[4 * b + 2], t.words[4 * b + 3]);
    }

    function bucket(Tree memory t, uint256 index) internal pure returns (bytes32[4] memory words) {
        for (uint256 i; i < 4; ++i) words[i] = t.words[(index & ~uint256(3)) + i];
    }

    /// @notice Siblings of the `position`-th node of level `from`, up to the root.
    function path(Tree memory t, uint256 position, uint256 from) internal pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](t.depth - from);
        for (uint256 i; i < siblings.length; ++i) {
            siblings[i] = t.levels[from + i][position ^ 1];
            position >>= 1;
        }
    }

    function proof(Tree memory t, uint256 index) internal pure returns (bytes32[] memory) {
        return path(t, index >> 2, 0);
    }

    function range(Tree memory t, uint256 start, uint256 levels)
        internal
        pure
        returns (bytes memory words, bytes32[] memory siblings)
    {
        for (uint256 b; b < 2 ** levels; ++b) words = bytes.concat(words, bucketBytes(t, start / 4 + b));
        siblings = path(t, start / 4 >> levels, levels);
    }

    /// @dev A proof under construction: the nodes known on the present level, and the siblings found missing so far.
    struct Sparse {
        uint256[] known;
        uint256 n;
        bytes32[] found;
        uint256 used;
    }

    /// @notice Buckets with a bit in `mask` and the siblings that are missing, level by level, left to right.
    function sparse(Tree memory t, uint256 word, uint256 mask)
        internal
        pure
        returns (bytes memory words, bytes32[] memory siblings)
    {
        Sparse memory s = Sparse(new uint256[](64), 0, new bytes32[](64 * (t.depth + 1)), 0);
        for (uint256 b; b < 64; ++b) {
            if (mask >> (4 * b) & 15 == 0) continue;
            s.known[s.n++] = 64 * word + b;
            words = bytes.concat(words, bucketBytes(t, 64 * word + b));
        }
        for (uint256 level; level < t.depth; ++level) _ascend(s, t.levels[level]);
        siblings = new bytes32[](s.used);
        for (uint256 i; i < s.used; ++i) siblings[i] = s.found[i];
    }

    function _ascend(Sparse memory s, bytes32[] memory nodes) private pure {
        uint256 parents;
        for (uint256 i; i < s.n; ++i) {
            uint256 position = s.known[i];
            bool paired = position & 1 == 0 && i + 1 < s.n && s.known[i + 1] == position + 1;
            if (!paired) s.found[s.used++] = nodes[position ^ 1];
            s.known[parents++] = position >> 1;
            if (paired) ++i;
        }
        s.n = parents;
    }
}
