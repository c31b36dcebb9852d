// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Approval, AuthoritySignature, GateWord, Redirect, SparseWord} from "../../src/interfaces/Types.sol";
import {Actions} from "../../src/lib/Actions.sol";
import {Base} from "./Base.sol";
import {TestTree} from "./TestTree.sol";

/// @notice What gates sign, and what authorities do with few signatures.
abstract contract Gated is Base {
    using TestTree for TestTree.Tree;

    uint256 internal nonce;

    /// @dev What version 1's key, or another, signs over a word of a round with these tests' rules.
    function gateWord(uint256 key, uint256 roundNo, uint256 word, uint256 mask)
        internal
        view
        returns (GateWord memory g)
    {
        g = GateWord(roundNo, word, mask, 7, FAR, "");
        g.signature = signed(key, gateDigest(1, RULES, g));
    }

    function gateDigest(uint16 version, bytes32 rules, GateWord memory g) internal view returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Gate(uint256 round,uint16 gateVersion,uint256 word,uint256 mask,bytes32 rulesHash,uint64 asOfSeq,uint64 expiry)"
                ),
                g.roundNo,
                version,
                g.word,
                g.mask,
                rules,
                g.asOfSeq,
                g.expiry
            )
        );
        return keccak256(abi.encodePacked(hex"1901", dist.domainSeparator(), structHash));
    }

    /// @dev Gates' words as `settleGated` takes them, each naming its rules.
    function packed(SparseWord[] memory chunks, GateWord[] memory gates) internal pure returns (bytes memory all) {
        for (uint256 i; i < gates.length; ++i) {
            all = bytes.concat(all, packed(chunks[i].mask, gates[i], RULES));
        }
    }

    function packed(uint256 mask, GateWord memory g, bytes32 rules) internal pure returns (bytes memory) {
        uint16 head = uint16(1 << 15 | g.signature.length);
        return abi.encodePacked(head, g.asOfSeq, g.expiry, g.mask & ~mask, rules, g.signature);
    }

    /// @dev The same, under the rules of the word before.
    function unnamed(uint256 mask, GateWord memory g) internal pure returns (bytes memory) {
        return abi.encodePacked(uint16(g.signature.length), g.asOfSeq, g.expiry, g.mask & ~mask, g.signature);
    }

    function one(GateWord memory g) internal pure returns (GateWord[] memory gates) {
        gates = new GateWord[](1);
        gates[0] = g;
    }

    function one(SparseWord memory c) internal pure returns (SparseWord[] memory chunks) {
        chunks = new SparseWord[](1);
        chunks[0] = c;
    }

    function one(Redirect memory item) internal pure returns (Redirect[] memory items) {
        items = new Redirect[](1);
        items[0] = item;
    }

    /// @dev Settles `mask` of a word with a gate's word over `approved`.
    function settleGated(TestTree.Tree memory t, uint256 r, uint256 word, uint256 mask, uint256 approved) internal {
        SparseWord[] memory chunks = one(chunk(t, r, word, mask));
        bytes memory gates = packed(chunks, one(gateWord(GATE_KEY, r, word, approved)));
        uint64 no = dist.nextBatch();
        vm.prank(lane);
        dist.settleGated(1, no, 0, chunks, gates);
    }

    function refusedGated(SparseWord memory c, GateWord memory g, bytes memory why) internal {
        uint64 no = dist.nextBatch();
        SparseWord[] memory chunks = one(c);
        vm.prank(lane);
        vm.expectRevert(why);
        dist.settleGated(1, no, 0, chunks, packed(chunks, one(g)));
    }

    function refusedGated(SparseWord[] memory chunks, bytes memory gates, bytes memory why) internal {
        uint64 no = dist.nextBatch();
        vm.prank(lane);
        vm.expectRevert(why);
        dist.settleGated(1, no, 0, chunks, gates);
    }

    function claimAttested(TestTree.Tree memory t, uint256 r, uint256 i, GateWord memory g) internal {
        vm.prank(person(i));
        dist.claimAttested(r, i, t.bucket(i), t.proof(i), person(i), 0, "", g);
    }

    function toExit() internal {
        uint64 counter = charter.phaseCounter();
        bytes memory fields = abi.encode(Actions.EXIT, keccak256("why"), counter, ++nonce);
        charter.exit("why", counter, nonce, approve(fields, 3));
    }

    // -- what authorities sign: `from` is the first institution, `count` how many act together -------------------------------------

    function approveFrom(bytes memory fields, uint256 from, uint256 count) internal view returns (Approval memory a) {
        a.setVersion = charter.setVersion();
        a.deadline = FAR;
        bytes32 digest = digestOf(keccak256(bytes.concat(fields, abi.encode(a.setVersion, a.deadline))));
        a.signatures = new AuthoritySignature[](count);
        for (uint256 i; i < count; ++i) a.signatures[i] = by(authorityKey(from + i, 1), digest);
    }

    function asPause(uint64 until, uint256 from, uint256 count) internal returns (Approval memory) {
        bytes memory fields = abi.encode(Actions.PAUSE, address(dist), until, count, ++nonce);
        return approveFrom(fields, from, count);
    }

    function pause(uint64 until, uint256 from, uint256 count) internal {
        Approval memory a = asPause(until, from, count);
        dist.pause(until, uint8(count), nonce, a);
    }

    function refusedPause(uint64 until, uint256 from, uint256 count, bytes memory why) internal {
        Approval memory a = asPause(until, from, count);
        vm.expectRevert(why);
        dist.pause(until, uint8(count), nonce, a);
    }

    function asHoldCampaign(uint64 until, uint256 count) internal returns (Approval memory) {
        bytes memory fields = abi.encode(Actions.HOLD_CAMPAIGN, address(dist), until, count, ++nonce);
        return approveFrom(fields, 0, count);
    }

    function holdCampaign(uint64 until, uint256 count) internal {
        Approval memory a = asHoldCampaign(until, count);
        dist.holdCampaign(until, uint8(count), nonce, a);
    }

    function refusedHoldCampaign(uint64 until, uint256 count, bytes memory why) internal {
        Approval memory a = asHoldCampaign(until, count);
        vm.expectRevert(why);
        dist.holdCampaign(until, uint8(count), nonce, a);
    }

    function asHold(uint256 r, uint256 word, uint256 mask, uint256 from, uint256 count)
        internal
        returns (Approval memory)
    {
        bytes memory fields = abi.encode(Actions.HOLD, address(dist), r, word, mask, bytes32("why"), count, ++nonce);
        return approveFrom(fields, from, count);
    }

    function hold(uint256 r, uint256 word, uint256 mask, uint256 from, uint256 count) internal returns (uint256 id) {
        Approval memory a = asHold(r, word, mask, from, count);
        return dist.hold(r, word, mask, "why", uint8(count), nonce, a);
    }

    function refusedHold(uint256 r, uint256 word, uint256 mask, uint256 from, uint256 count, bytes memory why)
        internal
    {
        Approval memory a = asHold(r, word, mask, from, count);
        vm.expectRevert(why);
        dist.hold(r, word, mask, "why", uint8(count), nonce, a);
    }

    function asConfirm(uint256 id, uint256 from, uint256 count) internal returns (Approval memory) {
        bytes memory fields = abi.encode(Actions.CONFIRM_HOLD, address(dist), id, count, ++nonce);
        return approveFrom(fields, from, count);
    }

    function confirm(uint256 id, uint256 from, uint256 count) internal {
        Approval memory a = asConfirm(id, from, count);
        dist.confirmHold(id, uint8(count), nonce, a);
    }

    function refusedConfirm(uint256 id, uint256 from, uint256 count, bytes memory why) internal {
        Approval memory a = asConfirm(id, from, count);
        vm.expectRevert(why);
        dist.confirmHold(id, uint8(count), nonce, a);
    }

    function asRelease(uint256 id, uint256 from, uint256 count) internal returns (Approval memory) {
        return approveFrom(abi.encode(Actions.RELEASE, address(dist), id, count, ++nonce), from, count);
    }

    function release(uint256 id, uint256 from, uint256 count) internal {
        Approval memory a = asRelease(id, from, count);
        dist.release(id, uint8(count), nonce, a);
    }

    function refusedRelease(uint256 id, uint256 from, uint256 count, bytes memory why) internal {
        Approval memory a = asRelease(id, from, count);
        vm.expectRevert(why);
        dist.release(id, uint8(count), nonce, a);
    }

    function asDisable(uint16 version, uint64 until, uint256 from, uint256 count) internal returns (Approval memory) {
        bytes memory fields = abi.encode(Actions.DISABLE_GATE, address(dist), version, until, count, ++nonce);
        return approveFrom(fields, from, count);
    }

    function disable(uint16 version, uint64 until, uint256 from, uint256 count) internal {
        Approval memory a = asDisable(version, until, from, count);
        dist.disableGate(version, until, uint8(count), nonce, a);
    }

    function refusedDisable(uint16 version, uint64 until, uint256 from, uint256 count, bytes memory why) internal {
        Approval memory a = asDisable(version, until, from, count);
        vm.expectRevert(why);
        dist.disableGate(version, until, uint8(count), nonce, a);
    }

    /// @dev How many holds stand on the round.
    function standingOn(uint256 r, uint256 expected) internal view {
        (uint256 standing,) = warden.holdsOn(address(dist), r);
        eq(standing, expected, "holds that stand");
    }
}
