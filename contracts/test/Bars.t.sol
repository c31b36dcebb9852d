// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {Approval, Mode, Redirect} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";

/// @notice Paying already obeys holds and pauses, whose functions come later: here their storage is set directly, in
/// the layout that contracts/README.md promises.
contract BarsTest is Base {
    using TestTree for TestTree.Tree;

    uint256 private constant CAMPAIGN = 0;
    uint256 private constant ROUNDS = 1;
    uint256 private constant HELD = 4;

    function _flag(uint256 r, uint256 flag) private {
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(r, ROUNDS))) + 1);
        vm.store(address(dist), slot, bytes32(uint256(vm.load(address(dist), slot)) | flag << 248));
    }

    function _hold(uint256 r, uint256 word, uint256 bits) private {
        vm.store(address(dist), keccak256(abi.encode(word, keccak256(abi.encode(r, HELD)))), bytes32(bits));
        _flag(r, 2);
    }

    /// @dev pausedUntil stands at bits 64 to 103 of the campaign's slot, heldUntil at 104 to 143.
    function _until(uint256 r, uint256 shift, uint256 at) private {
        uint256 slot = uint256(vm.load(address(dist), bytes32(CAMPAIGN)));
        slot = slot & ~(uint256(type(uint40).max) << shift) | at << shift;
        vm.store(address(dist), bytes32(CAMPAIGN), bytes32(slot));
        _flag(r, 4);
    }

    function test_heldEntitlementsAreSkipped() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        _hold(r, 0, 0x12);
        isTrue(dist.isHeld(r, 1) && dist.isHeld(r, 4) && !dist.isHeld(r, 2), "the layout is as promised");
        settle(t, r, 0, 1);
        eq(dist.paidWord(r, 0), 0xed, "held entries are skipped");
        Redirect[] memory items = new Redirect[](1);
        items[0] = redirect(t, r, 1, address(0xd));
        settleTo(items);
        vm.prank(person(4));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Held.selector, r, 4));
        dist.claim(r, 4, t.bucket(4), t.proof(4));
        eq(dist.paidWord(r, 0), 0xed, "by every way");
        _hold(r, 0, 0);
        settleSparse(t, r, 0, 0x12);
        eq(dist.paidWord(r, 0), 0xff, "and paid after the release");
    }

    function test_pauseStopsPaymentsButNotTheExit() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        uint256 until = now_() + 100;
        _until(r, 64, until);
        eq(dist.pausedUntil(), until, "the layout is as promised");
        bytes memory refusal = abi.encodeWithSelector(IDistributor.Paused.selector, until);
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        vm.prank(lane);
        vm.expectRevert(refusal);
        dist.settle(1, 1, 0, r, 0, 0, words, path);
        vm.prank(person(0));
        vm.expectRevert(refusal);
        dist.claim(r, 0, t.bucket(0), t.proof(0));

        Approval memory a = approve(abi.encode(Actions.EXIT, keccak256("why"), 0, 1), 3);
        charter.exit("why", 0, 1, a);
        claim(t, r, 0);
        vm.prank(stranger);
        dist.settle(0, 0, 0, r, 0, 0, words, path);
        eq(dist.paidWord(r, 0), 0xf, "a pause never blocks the exit");
    }

    function test_campaignHoldStopsTheExitToo() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        uint256 until = now_() + 100;
        _until(r, 104, until);
        charter.exit("why", 0, 1, approve(abi.encode(Actions.EXIT, keccak256("why"), 0, 1), 3));
        vm.prank(person(0));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Paused.selector, until));
        dist.claim(r, 0, t.bucket(0), t.proof(0));
        vm.warp(until);
        claim(t, r, 0);
    }
}
