// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {GateWord, Mode, RoundTerms, SparseWord} from "../src/interfaces/Types.sol";
import {Gated} from "./support/Gated.sol";
import {TestTree} from "./support/TestTree.sol";

/// @notice Gates' words as `settleGated` gets them, several behind one another.
contract PackedGatesTest is Gated {
    using TestTree for TestTree.Tree;

    bytes private BAD = abi.encodeWithSelector(IDistributor.BadGateSignature.selector, 1);

    /// @notice Each chunk has a gate's word of its own, and nothing is left over.
    function test_asManyWordsAsChunks() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.GATED);
        SparseWord[] memory chunks = new SparseWord[](2);
        (chunks[0], chunks[1]) = (chunk(t, r, 0, 0x3), chunk(t, r, 1, 0x3));
        bytes memory first = packed(0x3, gateWord(GATE_KEY, r, 0, 0x3), RULES);
        bytes memory second = packed(0x3, gateWord(GATE_KEY, r, 1, 0x3), RULES);
        uint256 one_ = first.length;
        // What is read behind the last word is zeros here: a word that expired in 1970.
        refusedGated(chunks, first, abi.encodeWithSelector(IDistributor.GateExpired.selector, 0));
        bytes memory more = bytes.concat(first, second, hex"00");
        refusedGated(chunks, more, abi.encodeWithSelector(IDistributor.BadInputLength.selector, 2 * one_ + 1, 2 * one_));
        bytes memory three = bytes.concat(first, second, second);
        refusedGated(chunks, three, abi.encodeWithSelector(IDistributor.BadInputLength.selector, 3 * one_, 2 * one_));
        bytes memory both = bytes.concat(first, second);
        // The last byte of a signature is 27 or 28, so it is missed; a call that says it gives less than it does, too.
        refusedGated(chunks, _shorter(both), BAD);
        bytes memory data = abi.encodeCall(IDistributor.settleGated, (1, 1, 0, chunks, both));
        assembly ("memory-safe") {
            let length := add(add(data, 0x24), mload(add(data, 0xa4)))
            mstore(length, sub(mload(length), 1))
        }
        vm.prank(lane);
        (bool ok, bytes memory answer) = address(dist).call(data);
        bytes memory why = abi.encodeWithSelector(IDistributor.BadInputLength.selector, 2 * one_ - 1, 2 * one_);
        isTrue(!ok && keccak256(answer) == keccak256(why), "said less");
        vm.prank(lane);
        dist.settleGated(1, 1, 0, chunks, bytes.concat(first, second));
        isTrue(isGot(0) && isGot(257), "both");
    }

    /// @notice What the word before was signed by says nothing of the next one.
    function test_junkBehindAGoodWord() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.GATED);
        SparseWord[] memory chunks = new SparseWord[](2);
        (chunks[0], chunks[1]) = (chunk(t, r, 0, 0x3), chunk(t, r, 1, 0x3));
        bytes memory first = packed(0x3, gateWord(GATE_KEY, r, 0, 0x3), RULES);
        bytes memory good = gateWord(GATE_KEY, r, 1, 0x3).signature;
        bytes[5] memory junk = [new bytes(65), bytes.concat(good, hex"00"), new bytes(64), new bytes(0), good];
        junk[4][64] = 0x00;
        for (uint256 k; k < junk.length; ++k) {
            GateWord memory g = GateWord(r, 1, 0x3, 7, FAR, junk[k]);
            refusedGated(chunks, bytes.concat(first, packed(0x3, g, RULES)), BAD);
            // Neither with the good signature in the place where a longer one would be.
            if (junk[k].length == 0) {
                refusedGated(chunks, bytes.concat(first, packed(0x3, g, RULES), good), BAD);
            }
        }
        eq(dist.paidWord(r, 0) | dist.paidWord(r, 1), 0, "nothing");
    }

    function _shorter(bytes memory all) private pure returns (bytes memory less) {
        less = bytes.concat(all);
        assembly ("memory-safe") {
            mstore(less, sub(mload(less), 1))
        }
    }

    /// @notice Rounds of several gates in one call: a word names its rules where they differ from those before.
    function test_rulesOfSeveralGatesInOneCall() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.GATED);
        bytes32 others = keccak256("others");
        bytes memory signer = abi.encodePacked(vm.addr(0xe1));
        dist.installGate(2, signer, others, approve(installFields(2, signer, others), 3));
        RoundTerms memory terms = termsFor(t, Mode.GATED);
        (terms.gate, terms.rulesHash) = (2, others);
        uint256 q = openedOnce(publish(terms), t.total);
        SparseWord[] memory chunks = new SparseWord[](3);
        (chunks[0], chunks[1], chunks[2]) = (chunk(t, r, 0, 0x1), chunk(t, r, 0, 0x2), chunk(t, q, 0, 0x4));
        GateWord memory theirs = GateWord(q, 0, 0xff, 7, FAR, "");
        theirs.signature = signed(0xe1, gateDigest(2, others, theirs));
        _eachUnderItsOwn(chunks, gateWord(GATE_KEY, r, 0, 0x3), theirs, others);
    }

    function _eachUnderItsOwn(
        SparseWord[] memory chunks,
        GateWord memory ours,
        GateWord memory theirs,
        bytes32 others
    ) private {
        bytes memory two = bytes.concat(packed(0x1, ours, RULES), unnamed(0x2, ours));
        bytes memory why = abi.encodeWithSelector(IDistributor.BadGateSignature.selector, 2);
        refusedGated(chunks, bytes.concat(two, unnamed(0x4, theirs)), why);
        bytes memory last = packed(0x4, theirs, others);
        refusedGated(chunks, bytes.concat(unnamed(0x1, ours), unnamed(0x2, ours), last), BAD);
        vm.prank(lane);
        dist.settleGated(1, 1, 0, chunks, bytes.concat(two, last));
        isTrue(isGot(0) && isGot(1) && isGot(2), "each under its own rules");
    }

    /// @notice Of a signature there is one form: with the other s that the curve allows it is none.
    function test_theOtherFormOfASignature() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory twin = gateWord(GATE_KEY, r, 0, 0x2);
        twin.signature = otherForm(twin.signature);
        refusedGated(chunk(t, r, 0, 0x2), twin, BAD);
        settleGated(t, r, 0, 0x2, 0x2);
    }

    function otherForm(bytes memory signature) private pure returns (bytes memory) {
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        (bytes32 r, uint256 s) = (bytes32(0), 0);
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
        }
        return abi.encodePacked(r, order - s, uint8(signature[64]) == 27 ? uint8(28) : uint8(27));
    }
}
