// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Checks} from "./support/Checks.sol";
import {TestTree} from "./support/TestTree.sol";

interface ITreeHarness {
    function rangeRoot(bytes calldata words, uint256 levels, uint256 position, bytes32[] calldata path)
        external
        pure
        returns (bytes32);

    function sparseRoot(uint256 mask, bytes calldata words, bytes32[] calldata proof, uint256 word, uint256 depth)
        external
        pure
        returns (bytes32);

    function countOf(uint256 mask) external pure returns (uint256);
}

/// @notice The on-chain tree against vectors made by tools/native-tree.mjs, which shares no code with it.
contract VectorsTest is Checks {
    using TestTree for TestTree.Tree;

    string private json;
    ITreeHarness private tree_;

    function setUp() public {
        tree_ = ITreeHarness(vm.deployCode("TreeHarness.sol:TreeHarness", ""));
        json = vm.readFile("test/vectors/native-tree.json");
    }

    function _at(string memory list, string memory kind, uint256 i, string memory field)
        private
        pure
        returns (string memory)
    {
        return string.concat(list, ".", kind, "[", vm.toString(i), "].", field);
    }

    function _tree(string memory list) private view returns (TestTree.Tree memory) {
        address[] memory addresses = vm.parseJsonAddressArray(json, string.concat(list, ".addresses"));
        uint256[] memory amounts = vm.parseJsonUintArray(json, string.concat(list, ".amounts"));
        bytes32[] memory entries = new bytes32[](addresses.length);
        for (uint256 i; i < entries.length; ++i) entries[i] = TestTree.entry(addresses[i], uint96(amounts[i]));
        return TestTree.build(entries);
    }

    function test_everyVector() public view {
        uint256 lists;
        for (; vm.keyExistsJson(json, string.concat(".lists[", vm.toString(lists), "]")); ++lists) {
            string memory list = string.concat(".lists[", vm.toString(lists), "]");
            TestTree.Tree memory tree = _tree(list);
            bytes32 root = vm.parseJsonBytes32(json, string.concat(list, ".root"));
            uint256 depth = vm.parseJsonUint(json, string.concat(list, ".depth"));
            eq(tree.root, root, "root");
            eq(tree.depth, depth, "depth");
            eq(tree.total, vm.parseJsonUint(json, string.concat(list, ".total")), "total");
            _checkEntries(list, tree);
            _checkRanges(list, root);
            _checkSparse(list, root, depth);
        }
        eq(lists, 8, "lists in the file");
    }

    function _checkEntries(string memory list, TestTree.Tree memory tree) private view {
        for (uint256 i; vm.keyExistsJson(json, _at(list, "entries", i, "index")); ++i) {
            uint256 index = vm.parseJsonUint(json, _at(list, "entries", i, "index"));
            bytes memory bucket = vm.parseJsonBytes(json, _at(list, "entries", i, "bucket"));
            bytes32[] memory proof = vm.parseJsonBytes32Array(json, _at(list, "entries", i, "proof"));
            eq(tree_.rangeRoot(bucket, 0, index >> 2, proof), tree.root, "entry");
            eq(keccak256(abi.encode(proof)), keccak256(abi.encode(tree.proof(index))), "entry proof");
        }
    }

    function _checkRanges(string memory list, bytes32 root) private view {
        for (uint256 i; vm.keyExistsJson(json, _at(list, "ranges", i, "start")); ++i) {
            uint256 start = vm.parseJsonUint(json, _at(list, "ranges", i, "start"));
            uint256 levels = vm.parseJsonUint(json, _at(list, "ranges", i, "levels"));
            bytes memory words = vm.parseJsonBytes(json, _at(list, "ranges", i, "words"));
            bytes32[] memory path = vm.parseJsonBytes32Array(json, _at(list, "ranges", i, "path"));
            eq(tree_.rangeRoot(words, levels, start >> 2 >> levels, path), root, "range");
        }
    }

    function _checkSparse(string memory list, bytes32 root, uint256 depth) private view {
        for (uint256 i; vm.keyExistsJson(json, _at(list, "sparse", i, "word")); ++i) {
            uint256 word = vm.parseJsonUint(json, _at(list, "sparse", i, "word"));
            uint256 mask = vm.parseJsonUint(json, _at(list, "sparse", i, "mask"));
            bytes memory words = vm.parseJsonBytes(json, _at(list, "sparse", i, "words"));
            bytes32[] memory proof = vm.parseJsonBytes32Array(json, _at(list, "sparse", i, "proof"));
            eq(tree_.sparseRoot(mask, words, proof, word, depth), root, "sparse");
            eq(words.length, 128 * tree_.countOf(mask), "buckets counted");
        }
    }

    /// @notice Paths of any length, far longer than the vectors' trees: the climb is unrolled, so every level is its own.
    function testFuzz_climb(uint256 length, uint256 position, bytes32 seed) public view {
        bytes memory bucket = abi.encode(seed, 1, 2, 3);
        bytes32[] memory path = new bytes32[](within(length, 0, 40));
        bytes32 node = keccak256(bucket);
        position = within(position, 0, 2 ** path.length - 1);
        for (uint256 i; i < path.length; ++i) {
            path[i] = keccak256(abi.encode(seed, i));
            bool right = position >> i & 1 == 1;
            node = keccak256(right ? bytes.concat(path[i], node) : bytes.concat(node, path[i]));
        }
        eq(tree_.rangeRoot(bucket, 0, position, path), node, "climbed");
    }

    /// @notice Any mask over any small list: proven with exactly the missing siblings, refused with one more or less.
    function testFuzz_sparse(uint256 mask, uint16 size, uint256 pick) public view {
        uint256 count = within(size, 1, 700);
        bytes32[] memory entries = new bytes32[](count);
        for (uint256 i; i < count; ++i) entries[i] = keccak256(abi.encode(i));
        TestTree.Tree memory tree = TestTree.build(entries);
        uint256 capacity = 4 * 2 ** tree.depth;
        uint256 word = pick % (capacity > 256 ? capacity / 256 : 1);
        if (capacity < 256) mask &= (1 << capacity) - 1;
        vm.assume(mask != 0);
        (bytes memory words, bytes32[] memory proof) = tree.sparse(word, mask);
        eq(tree_.sparseRoot(mask, words, proof, word, tree.depth), tree.root, "proven");
        eq(words.length, 128 * tree_.countOf(mask), "buckets counted");

        bytes32[] memory longer = new bytes32[](proof.length + 1);
        for (uint256 i; i < proof.length; ++i) longer[i] = proof[i];
        eq(tree_.sparseRoot(mask, words, longer, word, tree.depth), bytes32(0), "one sibling too many");
        if (proof.length == 0) return;
        bytes32[] memory shorter = new bytes32[](proof.length - 1);
        for (uint256 i; i < shorter.length; ++i) shorter[i] = proof[i];
        eq(tree_.sparseRoot(mask, words, shorter, word, tree.depth), bytes32(0), "one sibling too few");
        proof[pick % proof.length] ^= bytes32(uint256(1));
        isTrue(tree_.sparseRoot(mask, words, proof, word, tree.depth) != tree.root, "altered sibling");
    }
}
