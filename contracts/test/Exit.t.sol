// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {Approval, ClaimPolicy, Mode, Phase, SparseWord} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";

/// @notice What changes for everybody when the authorities let them out, and the way back.
contract ExitTest is Base {
    using TestTree for TestTree.Tree;

    function _exitApproval(uint256 signers, uint256 nonce) private view returns (Approval memory) {
        bytes memory fields = abi.encode(Actions.EXIT, keccak256("why"), charter.phaseCounter(), nonce);
        return approve(fields, signers);
    }

    function _exit() private {
        uint64 counter = charter.phaseCounter();
        charter.exit("why", counter, 7, _exitApproval(3, 7));
    }

    function _resume() private {
        uint64 counter = charter.phaseCounter();
        bytes32 id = charter.scheduleResume(counter, 1, approve(abi.encode(Actions.RESUME, counter, 1), 4));
        pass(24 hours);
        charter.applyChange(id);
    }

    function test_exitTakesHalf() public {
        Approval memory a = _exitApproval(2, 1);
        vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        charter.exit("why", 0, 1, a);
        a = _exitApproval(3, 1);
        vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
        charter.exit("another reason", 0, 1, a);
        // Neither a sequencer's epoch nor a minority's removal of a sequencer spoils signatures being collected.
        vm.prank(control2);
        charter.takeEpoch(9);
        vm.expectEmit(address(charter));
        emit ICharter.PhaseChanged(Phase.EXIT, 1);
        charter.exit("why", 0, 1, a);
        vm.expectRevert(abi.encodeWithSelector(ICharter.WrongPhase.selector, Phase.EXIT));
        charter.exit("why", 0, 1, a);
        vm.prank(control);
        vm.expectRevert(abi.encodeWithSelector(ICharter.WrongPhase.selector, Phase.EXIT));
        charter.takeEpoch(10);
    }

    function test_oldExitSignaturesServeNoSecondExit() public {
        Approval memory a = _exitApproval(3, 1);
        charter.exit("why", 0, 1, a);
        _resume();
        vm.expectRevert(abi.encodeWithSignature("StalePhaseCounter(uint64,uint64)", 0, 2));
        charter.exit("why", 0, 1, a);
        vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
        charter.exit("why", 2, 1, a);
    }

    function test_anyoneSettlesInExit() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        _exit();
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        vm.prank(stranger);
        dist.settle(0, 0, 0, r, 0, 0, words, path);
        SparseWord[] memory chunks = new SparseWord[](1);
        chunks[0] = chunk(t, r, 0, 0x30);
        vm.prank(stranger);
        dist.settleSparse(99, 99, 0, chunks);
        eq(dist.paidWord(r, 0), 0x3f, "paid");
        eq(dist.nextBatch(), 1, "batch numbers mean nothing");
        for (uint256 i; i < 6; ++i) isTrue(isGot(i), "the listed recipients");
        _resume();
        vm.prank(stranger);
        vm.expectPartialRevert(ICharter.NotALane.selector);
        dist.settleSparse(1, 1, 0, chunks);
        settle(t, r, 0, 1);
        for (uint256 i; i < 8; ++i) isTrue(isGot(i), "nobody twice after resume");
    }

    function test_exitOnlyOpensClaims() public {
        dist = deploy(ClaimPolicy.EXIT_ONLY);
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        _exit();
        claim(t, r, 0);
        bytes memory sig = claimSignature(PERSON + 1, r, 1, person(1), amountOf(1), FAR);
        vm.prank(stranger);
        dist.claimFor(r, 1, t.bucket(1), t.proof(1), FAR, sig);
        isTrue(isGot(0) && isGot(1), "paid without us");
        _resume();
        vm.prank(person(2));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.ClaimsNotOpen.selector, Phase.ACTIVE));
        dist.claim(r, 2, t.bucket(2), t.proof(2));
    }

    /// @notice Time outside ACTIVE is added to closings, and closes nothing that was open nor opens what was closed.
    function test_closingRecedesDuringExit() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        uint64 closesAt = dist.closing(r);
        vm.warp(closesAt - 10);
        _exit();
        pass(100 days);
        claim(t, r, 0);
        eq(dist.closing(r), closesAt + 100 days, "moved by the exit so far");
        _resume();
        eq(dist.closing(r), closesAt + 101 days, "and no further");
        pass(10);
        claim(t, r, 1);
        pass(1);
        vm.prank(person(2));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Closed.selector, closesAt + 101 days));
        dist.claim(r, 2, t.bucket(2), t.proof(2));
        _exit();
        pass(50 days);
        vm.prank(person(2));
        vm.expectPartialRevert(IDistributor.Closed.selector);
        dist.claim(r, 2, t.bucket(2), t.proof(2));
    }

    function test_noSweepOutsideActive() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        vm.warp(dist.closing(r) + GRACE - 10);
        _exit();
        vm.expectRevert(abi.encodeWithSelector(IDistributor.NotActive.selector, Phase.EXIT));
        dist.sweep(r);
        _resume();
        uint64 at = dist.closing(r) + GRACE;
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, at));
        dist.sweep(r);
        vm.warp(at);
        dist.sweep(r);
        eq(token.balanceOf(refund), t.total, "after as much time in ACTIVE as promised");
    }

    /// @notice A round opened after an outage is not given that outage's time.
    function test_earlierOutagesAddNothing() public {
        _exit();
        pass(40 days);
        _resume();
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        eq(dist.closing(r), dist.round(r).closesAt, "as published");
    }

    function test_voidInExitTakesThreeQuarters() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        _exit();
        SparseWord memory c = chunk(t, r, 0, 2);
        bytes memory fields = abi.encode(Actions.VOID, address(dist), r, 0, 2);
        Approval memory a = approve(fields, 3);
        vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, 3, 4));
        dist.void(c, a);
        dist.void(c, approve(fields, 4));
        isTrue(dist.isVoid(r, 1), "void");
    }

    function test_resumeTakesThreeQuartersAndADay() public {
        Approval memory a = approve(abi.encode(Actions.RESUME, 0, 1), 4);
        vm.expectRevert(abi.encodeWithSelector(ICharter.WrongPhase.selector, Phase.ACTIVE));
        charter.scheduleResume(0, 1, a);
        _exit();
        a = approve(abi.encode(Actions.RESUME, 1, 1), 3);
        vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, 3, 4));
        charter.scheduleResume(1, 1, a);
        a = approve(abi.encode(Actions.RESUME, 1, 1), 4);
        bytes32 id = charter.scheduleResume(1, 1, a);
        pass(24 hours - 1);
        vm.expectPartialRevert(ICharter.ChangeNotReady.selector);
        charter.applyChange(id);
        pass(1);
        charter.applyChange(id);
        isTrue(charter.phase() == Phase.ACTIVE, "back");
        eq(charter.setVersion(), 1, "the set did not change");
        eq(charter.inactiveSeconds(), 24 hours, "counted");
    }
}
