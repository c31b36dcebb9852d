// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {IWarden} from "../src/interfaces/IWarden.sol";
import {Approval, GateWord, Mode, Phase, SparseWord} from "../src/interfaces/Types.sol";
import {Gated} from "./support/Gated.sol";
import {TestTree} from "./support/TestTree.sol";

/// @notice Pauses: who may order them for how long, what they stop, and what they cost nobody.
contract PausesTest is Gated {
    using TestTree for TestTree.Tree;

    function _paused(uint64 until) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDistributor.Paused.selector, until);
    }

    function _missed(uint256 count) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICharter.QuorumMissed.selector, count, 3);
    }

    function _refusedClaim(TestTree.Tree memory t, uint256 r, uint256 i, bytes memory why) private {
        vm.prank(person(i));
        vm.expectRevert(why);
        dist.claim(r, uint64(i), t.bucket(i), t.proof(i));
    }

    function test_stopsEverythingThatPays() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        uint256 gated = opened(t, Mode.GATED);
        uint64 until = now_() + 24 hours;
        vm.expectEmit(address(dist));
        emit IDistributor.PauseSet(until, 2);
        pause(until, 1, 1);
        eq(dist.pausedUntil(), until, "until");
        bytes memory why = _paused(until);
        _refusedClaim(t, r, 0, why);
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        vm.prank(lane);
        vm.expectRevert(why);
        dist.settle(1, 1, 0, r, 0, 0, words, path);
        SparseWord[] memory chunks = one(chunk(t, r, 0, 1));
        vm.prank(lane);
        vm.expectRevert(why);
        dist.settleSparse(1, 1, 0, chunks);
        vm.expectRevert(why);
        this.settleToNow(t, r);
        GateWord memory g = gateWord(GATE_KEY, gated, 0, 1);
        refusedGated(chunk(t, gated, 0, 1), g, why);
        vm.prank(person(0));
        vm.expectRevert(why);
        dist.claimAttested(gated, 0, t.bucket(0), t.proof(0), person(0), 0, "", g);
        vm.warp(until);
        claim(t, r, 0);
        settleGated(t, gated, 0, 1, 1);
    }

    function settleToNow(TestTree.Tree memory t, uint256 r) external {
        settleTo(one(redirect(t, r, 1, address(0xd))));
    }

    /// @notice A round published or opened during a pause is paused as well.
    function test_roundsPublishedDuringAPause() public {
        pause(now_() + 10 days, 0, 3);
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        _refusedClaim(t, r, 0, _paused(dist.pausedUntil()));
        pause(0, 0, 3);
        claim(t, r, 0);
        holdCampaign(now_() + 1 days, 3);
        _refusedClaim(t, r, 1, _paused(dist.heldUntil()));
    }

    function test_neverBlocksTheExit() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        uint256 gated = opened(t, Mode.GATED);
        pause(now_() + 30 days, 0, 3);
        toExit();
        claim(t, r, 0);
        claimAttested(t, gated, 0, gateWord(GATE_KEY, gated, 0, 1));
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        vm.prank(stranger);
        dist.settle(0, 0, 0, r, 0, 0, words, path);
        SparseWord[] memory chunks = one(chunk(t, gated, 0, 2));
        bytes memory gates = packed(chunks, one(gateWord(GATE_KEY, gated, 0, 2)));
        vm.prank(stranger);
        dist.settleGated(0, 0, 0, chunks, gates);
        eq(dist.paidWord(r, 0), 0xf, "the exit pays");
    }

    /// @notice In TRIPPED wallets claim as in EXIT. (Nothing trips yet: the phase is set where the Charter keeps it.)
    function test_norWalletsInTripped() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PULL);
        uint256 gated = opened(t, Mode.GATED);
        pause(now_() + 1 days, 0, 3);
        bytes32 head = vm.load(address(charter), 0);
        vm.store(address(charter), 0, bytes32(uint256(head) & ~uint256(0xff) | uint256(Phase.TRIPPED)));
        isTrue(charter.phase() == Phase.TRIPPED, "the layout is as promised");
        claim(t, r, 0);
        claimAttested(t, gated, 0, gateWord(GATE_KEY, gated, 0, 1));
    }

    // -- how long -------------------------------------------------------------------------------------------------

    function test_oneInstitutionAlone24HoursIn30Days() public {
        uint64 start = now_();
        bytes memory spent = abi.encodeWithSelector(IWarden.RationSpent.selector, 24 hours + 1, 24 hours);
        refusedPause(start + 24 hours + 1, 0, 1, spent);
        refusedPause(start + 24 hours + 1, 0, 2, spent);
        pause(start + 10 hours, 0, 1);
        pause(start + 24 hours, 0, 1);
        refusedPause(start + 24 hours + 1, 0, 1, spent);
        // It cannot shorten what stands; another institution has hours of its own.
        refusedPause(start + 1 hours, 0, 1, _missed(1));
        refusedPause(start + 24 hours, 1, 1, _missed(1));
        pause(start + 30 hours, 1, 1);
        pass(30 hours);
        refusedPause(now_() + 1, 0, 1, spent);
        vm.warp(start + 24 hours + 30 days - 1);
        refusedPause(now_() + 1, 0, 1, spent);
        pass(1);
        pause(now_() + 24 hours, 0, 1);
    }

    function test_mForLongerAndShorter() public {
        uint64 most = now_() + 30 days;
        refusedPause(most + 1, 0, 3, abi.encodeWithSelector(IWarden.TooLong.selector, most));
        refusedPause(most, 0, 2, abi.encodeWithSelector(IWarden.RationSpent.selector, 30 days, 24 hours));
        pause(most, 0, 3);
        pass(20 days);
        pause(now_() + 30 days, 0, 3);
        pause(1, 0, 3);
        eq(dist.pausedUntil(), now_(), "ended");
    }

    function test_approvalsServeOnce() public {
        uint64 until = now_() + 1 hours;
        Approval memory a = asPause(until, 0, 3);
        vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
        dist.pause(until + 1, 3, nonce, a);
        vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
        dist.pause(until, 3, nonce + 1, a);
        dist.pause(until, 3, nonce, a);
        pause(0, 0, 3);
        vm.expectPartialRevert(IDistributor.AlreadyUsed.selector);
        dist.pause(until, 3, nonce - 1, a);
    }

    // -- time -----------------------------------------------------------------------------------------------------

    function test_closingDuringAPause() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        uint64 closesAt = dist.closing(r);
        vm.warp(closesAt - 1 hours);
        pause(closesAt + 23 hours, 0, 1);
        eq(dist.closing(r), closesAt, "no time has passed yet");
        vm.warp(closesAt + 10 hours);
        eq(dist.closing(r), closesAt + 11 hours, "it moves with the pause");
        vm.warp(closesAt + 23 hours);
        eq(dist.closing(r), closesAt + 24 hours, "by all of it");
        claim(t, r, 0);
        vm.warp(closesAt + 24 hours);
        claim(t, r, 1);
        pass(1);
        _refusedClaim(t, r, 2, abi.encodeWithSelector(IDistributor.Closed.selector, closesAt + 24 hours));
        vm.warp(closesAt + 24 hours + GRACE - 1);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, closesAt + 24 hours + GRACE));
        dist.sweep(r);
        pass(1);
        dist.sweep(r);
    }

    /// @notice Pauses before a round opened are not its own.
    function test_earlierPausesDoNotCount() public {
        pause(now_() + 1 days, 0, 1);
        pass(2 days);
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        eq(dist.closing(r), dist.round(r).closesAt, "nothing of it");
    }

    /// @notice However pauses are set, lengthened and ended, a closing moves by exactly the time really paused.
    function testFuzz_closingMovesByTheTimePaused(uint32[12] memory steps) public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        uint64 closesAt = dist.closing(r);
        uint256 paused;
        uint256 until;
        for (uint256 i; i < 12; ++i) {
            uint256 at = now_();
            until = at + steps[i] % 4 days;
            pause(uint64(until), 0, 3);
            uint256 next = steps[(i + 5) % 12] % 5 days;
            pass(next);
            paused += until < at + next ? until - at : next;
            eq(dist.closing(r), closesAt + paused, "so far");
        }
    }
}
