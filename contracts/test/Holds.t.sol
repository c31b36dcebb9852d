// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {IWarden} from "../src/interfaces/IWarden.sol";
import {Approval, Mode, Redirect, RoundState} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Gated} from "./support/Gated.sol";
import {TestTree} from "./support/TestTree.sol";

/// @notice Holds on entitlements and on the whole campaign: what they stop, how long, and whose word it takes.
contract HoldsTest is Gated {
    using TestTree for TestTree.Tree;

    uint256 private constant ALL = type(uint256).max;

    function _missed(uint256 count, uint256 needed) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICharter.QuorumMissed.selector, count, needed);
    }

    // -- what a hold stops -------------------------------------------------------------------------------------------

    function test_heldEntitlementsArePaidByNoWay() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        vm.expectEmit(address(dist));
        emit IDistributor.HoldPlaced(1, r, 0, 0x12, now_() + 72 hours, 1, "why");
        uint256 id = hold(r, 0, 0x12, 0, 1);
        isTrue(dist.isHeld(r, 1) && dist.isHeld(r, 4) && !dist.isHeld(r, 2), "held");
        settle(t, r, 0, 1);
        settleSparse(t, r, 0, 0x12);
        settleTo(one(redirect(t, r, 1, address(0xd))));
        eq(dist.paidWord(r, 0), 0xed, "skipped by every batch");
        _refusedClaim(t, r, 4);
        vm.expectEmit(address(dist));
        emit IDistributor.HoldEnded(id, r, 0, 0x12, 1);
        release(id, 0, 1);
        claim(t, r, 4);
        settleSparse(t, r, 0, 0x12);
        eq(dist.paidWord(r, 0), 0xff, "paid after the release");
    }

    function _refusedClaim(TestTree.Tree memory t, uint256 r, uint256 i) private {
        vm.prank(person(i));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Held.selector, r, i));
        dist.claim(r, uint64(i), t.bucket(i), t.proof(i));
    }

    function test_heldInAGatedRound() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.GATED);
        hold(r, 0, 0x2, 0, 1);
        settleGated(t, r, 0, 0xf, 0xff);
        eq(dist.paidWord(r, 0), 0xd, "skipped");
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Held.selector, r, 1));
        this.claimHeld(t, r);
    }

    function claimHeld(TestTree.Tree memory t, uint256 r) external {
        claimAttested(t, r, 1, gateWord(GATE_KEY, r, 0, 0xff));
    }

    /// @notice A hold stands in the exit as well.
    function test_heldInTheExit() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        hold(r, 0, 0x2, 0, 1);
        toExit();
        _refusedClaim(t, r, 1);
        pass(72 hours);
        _refusedClaim(t, r, 1);
        dist.lapse(1);
        claim(t, r, 1);
    }

    /// @notice What is paid, void or held already drops out, so that nobody saves the rest by a payment in between.
    function test_whatCannotBeHeldDropsOut() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PULL);
        claim(t, r, 0);
        void(t, r, 0, 0x2);
        uint256 first = hold(r, 0, 0x4, 0, 1);
        uint256 second = hold(r, 0, 0xf, 1, 1);
        eq(warden.holdOf(address(dist), second).mask, 0x8, "only the free one");
        refusedHold(r, 0, 0xf, 2, 1, abi.encodeWithSelector(IWarden.NothingToHold.selector, r, 0));
        release(second, 1, 1);
        eq(dist.heldWord(r, 0), 0x4, "ending one does not free the other's");
        release(first, 0, 1);
        eq(dist.heldWord(r, 0), 0, "none");
    }

    /// @notice M's hold takes over what single institutions hold: nobody saves anything from it by holding first and
    /// releasing afterwards.
    function test_mTakeOverWhatOneHolds() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        uint256 first = hold(r, 0, 0x3, 0, 1);
        uint256 gone = hold(r, 0, 0x4, 0, 1);
        uint256 kept = hold(r, 0, 0x8, 0, 1);
        uint256 firm = hold(r, 0, 0x10, 1, 1);
        confirm(firm, 2, 1);
        vm.expectEmit(address(dist));
        emit IDistributor.HoldPlaced(5, r, 0, 0x26, now_() + 30 days, 7, "why");
        uint256 big = hold(r, 0, 0x36, 0, 3);
        eq(warden.holdOf(address(dist), first).mask, 0x1, "what is left");
        eq(warden.holdOf(address(dist), firm).mask, 0x10, "a confirmed one keeps what it has");
        standingOn(r, 4);
        release(first, 0, 1);
        refusedRelease(gone, 0, 1, abi.encodeWithSelector(IWarden.NoSuchHold.selector, gone));
        eq(dist.heldWord(r, 0), 0x3e, "M's hold stands");
        // Again, with what is left of the list, and what was freed meanwhile.
        hold(r, 0, 0x9, 2, 3);
        eq(warden.holdOf(address(dist), kept).mask, 0, "all taken");
        standingOn(r, 3);
        refusedHold(r, 0, 0xf, 0, 3, abi.encodeWithSelector(IWarden.NothingToHold.selector, r, 0));
        release(big, 0, 3);
        eq(dist.heldWord(r, 0), 0x19, "and ends with it");
        claim(t, r, 1);
        void(t, r, 0, 0x8);
        release(6, 0, 3);
        eq(dist.heldWord(r, 0), 0x10, "the confirmed one");
        release(firm, 0, 3);
        standingOn(r, 0);
    }

    function test_onlyInLiveRounds() public {
        TestTree.Tree memory t = people(4);
        uint256 r = publish(t, Mode.PULL);
        refusedHold(2, 0, 1, 0, 1, abi.encodeWithSelector(IDistributor.WrongState.selector, 2, RoundState.NONE));
        hold(r, 0, 1, 0, 1);
        Approval memory a = approve(abi.encode(Actions.CANCEL, address(dist), r), 3);
        dist.cancel(r, a);
        refusedHold(r, 0, 2, 0, 1, abi.encodeWithSelector(IDistributor.WrongState.selector, r, RoundState.CANCELLED));
    }

    // -- one institution alone -----------------------------------------------------------------------------------

    function test_lapsesAfter72Hours() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        uint64 until = now_() + 72 hours;
        hold(r, 0, 0x3, 0, 1);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, until));
        dist.lapse(1);
        vm.warp(until);
        vm.expectEmit(address(dist));
        emit IDistributor.HoldEnded(1, r, 0, 0x3, 0);
        vm.prank(stranger);
        dist.lapse(1);
        claim(t, r, 0);
        bytes memory gone = abi.encodeWithSelector(IWarden.NoSuchHold.selector, 1);
        vm.expectRevert(gone);
        dist.lapse(1);
        refusedRelease(1, 0, 1, gone);
        refusedConfirm(1, 1, 1, gone);
        vm.expectRevert(abi.encodeWithSelector(IWarden.NoSuchHold.selector, 0));
        dist.lapse(0);
        vm.expectRevert(abi.encodeWithSelector(IWarden.NoSuchHold.selector, 2));
        dist.lapse(2);
        // What lapsed it cannot renew; another institution may, and so may M.
        refusedHold(r, 0, 0x2, 0, 1, abi.encodeWithSelector(IWarden.HeldBefore.selector, r, 0, 2));
        refusedHold(r, 0, 0x2, 0, 2, abi.encodeWithSelector(IWarden.HeldBefore.selector, r, 0, 2));
        hold(r, 0, 0x2, 1, 1);
        hold(r, 0, 0x4, 0, 1);
    }

    function test_limitedNumberIn72Hours() public {
        TestTree.Tree memory t = people(600);
        uint256 r = opened(t, Mode.PUSH);
        uint256 half = type(uint128).max;
        hold(r, 0, half, 0, 1);
        pass(71 hours);
        hold(r, 1, half, 0, 1);
        bytes memory spent = abi.encodeWithSelector(IWarden.RationSpent.selector, 257, 256);
        refusedHold(r, 2, 1, 0, 1, spent);
        hold(r, 2, 1, 1, 1);
        // A span of 72 hours never sees more, wherever it begins: the ration comes back 72 hours after its last use.
        pass(71 hours);
        refusedHold(r, 2, 2, 0, 1, spent);
        pass(1 hours);
        hold(r, 2, ~half & ~uint256(1), 0, 1);
        // M are not rationed.
        hold(r, 0, ~half, 0, 3);
        hold(r, 1, ~half, 0, 3);
    }

    function test_releasedByWhoPlacedItUntilConfirmed() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        hold(r, 0, 0x1, 1, 1);
        hold(r, 0, 0x2, 1, 1);
        refusedRelease(1, 0, 1, _missed(1, 3));
        release(1, 1, 1);
        confirm(2, 3, 1);
        refusedRelease(2, 1, 1, _missed(1, 3));
        refusedRelease(2, 3, 1, _missed(1, 3));
        release(2, 0, 3);
        hold(r, 0, 0x4, 0, 3);
        refusedRelease(3, 0, 2, _missed(2, 3));
    }

    // -- a second one, M, three quarters -------------------------------------------------------------------------

    function test_confirmedItLasts30Days() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        uint64 placed = now_();
        hold(r, 0, 0x3, 0, 1);
        hold(r, 0, 0x4, 0, 1);
        pass(1 days);
        refusedConfirm(1, 0, 1, abi.encodeWithSelector(IWarden.SecondNeeded.selector));
        vm.expectEmit(address(dist));
        emit IDistributor.HoldConfirmed(1, placed + 30 days, 2);
        confirm(1, 1, 1);
        pass(2 days);
        refusedConfirm(2, 1, 1, abi.encodeWithSelector(IWarden.HoldExpired.selector, placed + 72 hours));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, placed + 30 days));
        dist.lapse(1);
        // 30 days more take three quarters.
        vm.warp(placed + 29 days);
        refusedConfirm(1, 0, 3, _missed(3, 4));
        confirm(1, 0, 4);
        vm.warp(placed + 59 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, placed + 59 days));
        dist.lapse(1);
        pass(1);
        dist.lapse(1);
        // Nor do M get around it by holding again.
        refusedHold(r, 0, 0x2, 0, 3, _missed(3, 4));
        hold(r, 0, 0x2, 0, 4);
        hold(r, 0, 0x8, 0, 3);
        eq(warden.holdOf(address(dist), 4).expiresAt, now_() + 30 days, "M: 30 days at once");
        isTrue(warden.holdOf(address(dist), 4).firm, "firm");
    }

    /// @notice Confirming again what was firm before is a renewal too.
    function test_confirmingAgainIsARenewal() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        hold(r, 0, 0x1, 0, 3);
        release(1, 0, 3);
        hold(r, 0, 0x1, 0, 1);
        refusedConfirm(2, 1, 1, _missed(1, 4));
        confirm(2, 0, 4);
    }

    /// @notice In the exit nobody alone holds, nor two make a hold last.
    function test_outsideActiveItTakesM() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        hold(r, 0, 0x1, 0, 1);
        toExit();
        refusedHold(r, 0, 0x2, 0, 1, _missed(1, 3));
        refusedHold(r, 0, 0x2, 0, 2, _missed(2, 3));
        hold(r, 0, 0x2, 0, 3);
        refusedConfirm(1, 1, 2, _missed(2, 3));
        confirm(1, 0, 3);
    }

    function test_afterAChangeOfTheSetItTakesTwo() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        address[] memory lanes = new address[](1);
        lanes[0] = lane;
        bytes memory fields = abi.encode(Actions.CHANGE_LANES, uint32(1), keccak256(abi.encodePacked(lanes)));
        bytes32 change = charter.scheduleLanes(1, lanes, approve(fields, 4));
        pass(7 days - 1 hours);
        hold(r, 0, 0x1, 0, 1);
        hold(r, 0, 0x2, 0, 1);
        Approval memory old = asConfirm(1, 1, 1);
        uint256 oldNonce = nonce;
        pass(1 hours);
        charter.applyChange(change);
        vm.expectRevert(abi.encodeWithSelector(ICharter.StaleSetVersion.selector, 1, 2));
        dist.confirmHold(1, 1, oldNonce, old);
        refusedConfirm(1, 1, 1, abi.encodeWithSelector(IWarden.SecondNeeded.selector));
        confirm(1, 1, 2);
        refusedRelease(2, 0, 1, _missed(1, 3));
    }

    function test_approvalsServeOnceAndForWhatTheySay() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.PUSH);
        uint256 other = opened(t, Mode.PUSH);
        Approval memory a = asHold(r, 0, 0x3, 0, 3);
        vm.expectPartialRevert(IDistributor.IndexOutOfRange.selector);
        dist.hold(r, 2, 0x3, "why", 3, nonce, a);
        bytes4 bad = ICharter.BadAuthoritySignature.selector;
        vm.expectPartialRevert(bad);
        dist.hold(other, 0, 0x3, "why", 3, nonce, a);
        vm.expectPartialRevert(bad);
        dist.hold(r, 1, 0x3, "why", 3, nonce, a);
        vm.expectPartialRevert(bad);
        dist.hold(r, 0, 0x7, "why", 3, nonce, a);
        vm.expectPartialRevert(bad);
        dist.hold(r, 0, 0x3, "because", 3, nonce, a);
        vm.expectPartialRevert(bad);
        dist.hold(r, 0, 0x3, "why", 3, nonce + 1, a);
        // Whoever asks the Warden itself changes nothing: it keeps everything by who asks.
        (bool asked,) = address(warden).call(abi.encodeCall(dist.hold, (r, 0, 0x3, "why", 3, nonce, a)));
        isTrue(!asked, "not a Distributor");
        dist.hold(r, 0, 0x3, "why", 3, nonce, a);
        release(1, 0, 3);
        vm.expectPartialRevert(IDistributor.AlreadyUsed.selector);
        dist.hold(r, 0, 0x3, "why", 3, nonce - 1, a);
        Approval memory none;
        none.setVersion = 1;
        none.deadline = FAR;
        vm.expectRevert(_missed(0, 1));
        dist.hold(r, 0, 0x3, "why", 0, 1, none);
    }

    // -- closing and sweep ---------------------------------------------------------------------------------------

    function test_sweepWaitsForHolds() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        vm.warp(dist.closing(r) + GRACE - 1 days);
        hold(r, 0, 0x1, 0, 1);
        hold(r, 0, 0x2, 0, 1);
        pass(1 days);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.HoldsStand.selector, r, 2));
        dist.sweep(r);
        release(1, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.HoldsStand.selector, r, 1));
        dist.sweep(r);
        release(2, 0, 1);
        uint64 at = now_() + GRACE;
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, at));
        dist.sweep(r);
        // Whom the hold kept from being paid is paid in the meantime.
        settle(t, r, 0, 1);
        isTrue(isGot(0) && isGot(1), "paid");
        vm.warp(at);
        dist.sweep(r);
    }

    /// @notice Once a round could be swept, nobody alone puts that off: a new hold takes M.
    function test_aloneNobodyHoldsOnceTheGraceIsOver() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        vm.warp(dist.closing(r) + GRACE - 1);
        hold(r, 0, 0x1, 0, 1);
        pass(1);
        refusedHold(r, 0, 0x2, 1, 1, _missed(1, 3));
        refusedHold(r, 0, 0x2, 1, 2, _missed(2, 3));
        hold(r, 0, 0x2, 1, 3);
        release(2, 1, 3);
        // A pause moves the closing no faster than time passes, so it does not give the time back.
        pause(now_() + 24 hours, 0, 1);
        pass(1 hours);
        refusedHold(r, 0, 0x4, 0, 1, _missed(1, 3));
        // M move the closing, and with it all that hangs on it.
        uint64 later = now_() + 1 days;
        dist.extendClosing(r, later, approve(abi.encode(Actions.EXTEND_CLOSING, address(dist), r, later), 3));
        hold(r, 0, 0x4, 0, 1);
    }

    /// @notice Whatever one institution does after the closing, with ever new entitlements to hold, a sweep waits for it no
    /// longer than one hold's 72 hours and one grace more, beside the time it may pause.
    function testFuzz_oneInstitutionDelaysASweepOnce(uint256[20] memory steps) public {
        uint256 r = opened(people(64), Mode.PUSH);
        vm.warp(dist.closing(r));
        for (uint256 i; i < 20; ++i) {
            _tryAlone(r, 1 << i, steps[i]);
            _passAndLapse(1 + (steps[i] >> 8) % 71 hours);
        }
        uint256 bound;
        while (now_() < (bound = dist.closing(r) + GRACE + 72 hours + GRACE)) _passAndLapse(bound - now_());
        _tryAlone(r, 1 << 20, 1);
        dist.sweep(r);
        isTrue(dist.round(r).state == RoundState.SWEPT, "swept");
    }

    /// @dev Holds another entitlement, and pauses at times; whatever of it is refused is.
    function _tryAlone(uint256 r, uint256 mask, uint256 how) private {
        Approval memory a = asHold(r, 0, mask, 0, 1);
        try dist.hold(r, 0, mask, "why", 1, nonce, a) {} catch {}
        if (how % 4 != 0) return;
        uint64 until = now_() + uint64(1 + (how >> 64) % 24 hours);
        a = asPause(until, 0, 1);
        try dist.pause(until, 1, nonce, a) {} catch {}
    }

    /// @dev Passes time, and ends every hold in the moment in which it expires.
    function _passAndLapse(uint256 seconds_) private {
        uint256 end = now_() + seconds_;
        for (uint256 id = 1; id <= warden.holdCount(address(dist)); ++id) {
            // In the order in which they were placed, and so in that in which they expire.
            if (warden.holdOf(address(dist), id).mask == 0) continue;
            uint256 at = warden.holdOf(address(dist), id).expiresAt;
            if (at > end) break;
            vm.warp(at);
            dist.lapse(id);
        }
        vm.warp(end);
    }

    function test_campaignHold() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        uint64 closesAt = dist.closing(r);
        uint64 until = now_() + 30 days;
        refusedHoldCampaign(until, 2, _missed(2, 3));
        refusedHoldCampaign(until + 1, 4, abi.encodeWithSelector(IWarden.TooLong.selector, until));
        vm.expectEmit(address(dist));
        emit IDistributor.CampaignHeld(until, 7);
        holdCampaign(until, 3);
        eq(dist.heldUntil(), until, "until");
        _refusedAll(t, r, until);
        toExit();
        _refusedAll(t, r, until);
        vm.warp(until);
        eq(dist.closing(r), closesAt + 60 days, "both the hold and the time outside ACTIVE move the closing");
        refusedHoldCampaign(
            until + 1, 3, abi.encodeWithSelector(IWarden.RationSpent.selector, 30 days + 1, 30 days)
        );
        holdCampaign(until + 10, 4);
        _refusedAll(t, r, until + 10);
        holdCampaign(0, 3);
        claim(t, r, 0);
        // M's 30 days come back 30 days after the last hold's end.
        vm.warp(until + 10 + 30 days);
        holdCampaign(now_() + 30 days, 3);
    }

    function _refusedAll(TestTree.Tree memory t, uint256 r, uint256 until) private {
        bytes memory refusal = abi.encodeWithSelector(IDistributor.Paused.selector, until);
        vm.prank(person(0));
        vm.expectRevert(refusal);
        dist.claim(r, 0, t.bucket(0), t.proof(0));
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        vm.prank(lane);
        vm.expectRevert(refusal);
        dist.settle(1, 1, 0, r, 0, 0, words, path);
    }

    function test_sweepWaitsForACampaignHold() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        vm.warp(dist.closing(r) + GRACE);
        uint64 until = now_() + 1 days;
        holdCampaign(until, 3);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Paused.selector, until));
        dist.sweep(r);
        holdCampaign(0, 3);
        dist.sweep(r);
    }

    /// @notice Holds of many institutions in any order: the held word is always the union of the holds that stand.
    function testFuzz_heldWordIsTheUnionOfStandingHolds(uint256[8] memory masks, uint256 ends) public {
        TestTree.Tree memory t = people(256);
        uint256 r = opened(t, Mode.PUSH);
        for (uint256 i; i < 8; ++i) {
            uint256 mask = masks[i] & (i % 2 == 0 ? ALL : type(uint64).max) & ~dist.heldWord(r, 0);
            if (mask == 0) continue;
            hold(r, 0, mask, 0, 4);
        }
        uint256 count = warden.holdCount(address(dist));
        uint256 union;
        uint256 standing;
        for (uint256 id = 1; id <= count; ++id) {
            if (ends >> id & 1 == 1) release(id, 0, 3);
            uint256 mask = warden.holdOf(address(dist), id).mask;
            isTrue(union & mask == 0, "no two on the same entitlement");
            union |= mask;
            if (mask != 0) ++standing;
        }
        eq(dist.heldWord(r, 0), union, "union");
        (uint256 open,) = warden.holdsOn(address(dist), r);
        eq(open, standing, "counted");
    }
}
