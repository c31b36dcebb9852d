// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {Approval, Mode, Phase, RoundState, RoundTerms} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";

/// @notice The life of rounds and the money that goes back.
contract RoundsTest is Base {
    using TestTree for TestTree.Tree;

    function _refusedPublish(uint256 roundNo, RoundTerms memory terms, bytes memory why) private {
        Approval memory a = approve(publishFields(dist, roundNo, terms), 3);
        vm.expectRevert(why);
        dist.publish(roundNo, terms, a);
    }

    function _bad(RoundTerms memory terms, string memory rule) private {
        _refusedPublish(1, terms, abi.encodeWithSelector(IDistributor.BadRound.selector, rule));
    }

    // -- publication ---------------------------------------------------------------------------------------------

    /// @notice A lost answer and a retry can never create a second round.
    function test_publishRetried() public {
        TestTree.Tree memory t = people(4);
        RoundTerms memory terms = termsFor(t, Mode.PULL);
        Approval memory a = approve(publishFields(dist, 1, terms), 3);
        dist.publish(1, terms, a);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.WrongRound.selector, 1, 2));
        dist.publish(1, terms, a);
        vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
        dist.publish(2, terms, a);
        _refusedPublish(3, terms, abi.encodeWithSelector(IDistributor.WrongRound.selector, 3, 2));
        eq(dist.roundCount(), 1, "one round");
    }

    /// @notice Every term is under the signatures: altering any one of them voids them.
    function test_everyTermIsSigned() public {
        TestTree.Tree memory t = people(5);
        RoundTerms memory good = termsFor(t, Mode.PULL);
        Approval memory a = approve(publishFields(dist, 1, good), 3);
        for (uint256 k; k < 10; ++k) {
            RoundTerms memory terms = termsFor(t, Mode.PULL);
            if (k == 0) terms.root ^= bytes32(uint256(1));
            if (k == 1) terms.count = 6;
            if (k == 2) terms.total += 1;
            if (k == 3) terms.rulesHash = 0;
            if (k == 4) terms.opensAt += 1;
            if (k == 5) terms.closesAt += 1;
            if (k == 6) terms.mode = Mode.PUSH;
            if (k == 7) terms.listUri = "https://example.org/other";
            if (k == 8) terms.listHash = 0;
            if (k == 9) (terms.mode, terms.gate) = (Mode.GATED, 2);
            vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
            dist.publish(1, terms, a);
        }
        // Nor do they serve another Distributor, chain or Charter version.
        IDistributor other = deploy(dist.terms().policy);
        vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
        other.publish(1, good, a);
        vm.chainId(10);
        vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
        dist.publish(1, good, a);
        vm.chainId(31337);
        dist.publish(1, good, a);
    }

    function test_termsAreChecked() public {
        TestTree.Tree memory t = people(5);
        RoundTerms memory terms = termsFor(t, Mode.PULL);
        terms.root = 0;
        _bad(terms, "root is zero");
        terms = termsFor(t, Mode.PULL);
        terms.count = 0;
        _bad(terms, "count is zero");
        terms.count = 9;
        _bad(terms, "depth is too small for count");
        terms.count = 4;
        _bad(terms, "depth is too large for count");
        terms = termsFor(t, Mode.PULL);
        terms.depth = 41;
        _bad(terms, "depth is above 40");
        terms = termsFor(t, Mode.PULL);
        terms.total = 0;
        _bad(terms, "total is zero");
        terms = termsFor(t, Mode.PULL);
        terms.closesAt = terms.opensAt;
        _bad(terms, "closes before it may open");
        terms.closesAt = now_() + DELAY;
        _bad(terms, "closes before it may open");
        terms.opensAt = terms.closesAt += 10;
        _bad(terms, "closes before it opens");
        terms = termsFor(t, Mode.PULL);
        terms.closesAt = uint64(type(uint40).max) + 1;
        _bad(terms, "closing lies beyond the calendar");
        terms = termsFor(t, Mode.PULL);
        terms.supersedes = 1;
        _bad(terms, "supersedes no earlier round");
        terms = termsFor(t, Mode.PULL);
        terms.gate = 1;
        _bad(terms, "a gate belongs to GATED rounds, and only there");
        terms = termsFor(t, Mode.GATED);
        terms.gate = 0;
        _bad(terms, "a gate belongs to GATED rounds, and only there");
        terms = termsFor(t, Mode.PULL);
        terms.listUri = string(new bytes(513));
        _bad(terms, "list URI is above 512 bytes");
    }

    // -- opening -------------------------------------------------------------------------------------------------

    function test_openNotBeforeItsTime() public {
        TestTree.Tree memory t = people(4);
        uint256 r = publish(t, Mode.PULL);
        token.mint(address(dist), t.total);
        uint64 at = now_() + DELAY;
        vm.warp(at - 1);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, at));
        dist.open(r);
        vm.warp(at);
        vm.prank(stranger);
        dist.open(r);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.WrongState.selector, r, RoundState.OPEN));
        dist.open(r);

        RoundTerms memory later = termsFor(t, Mode.PULL);
        later.opensAt = at + 5 days;
        dist.publish(2, later, approve(publishFields(dist, 2, later), 3));
        token.mint(address(dist), t.total);
        vm.warp(at + 4 days);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, at + 5 days));
        dist.open(2);
        vm.warp(at + 60 days);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Closed.selector, later.closesAt));
        dist.open(2);
    }

    /// @notice Two rounds never share a balance that covers only one of them.
    function test_twoRoundsSharingAShortBalance() public {
        TestTree.Tree memory t = people(4);
        uint256 a = publish(t, Mode.PULL);
        uint256 b = publish(t, Mode.PULL);
        token.mint(address(dist), 2 * t.total - 1);
        pass(DELAY);
        dist.open(a);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Underfunded.selector, 2 * t.total - 1, 2 * t.total));
        dist.open(b);
        claim(t, a, 0);
        vm.expectPartialRevert(IDistributor.Underfunded.selector);
        dist.open(b);
        token.mint(address(dist), 1);
        dist.open(b);
        eq(dist.owed(), 2 * t.total - amountOf(0), "owed");
    }

    function test_vetoAndCancel() public {
        TestTree.Tree memory t = people(4);
        uint256 r = publish(t, Mode.PULL);
        bytes memory fields = abi.encode(Actions.VETO, address(dist), r);
        Approval memory a = approve(fields, 1);
        vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, 1, 2));
        dist.veto(r, a);
        vm.expectEmit(address(dist));
        emit IDistributor.RoundCancelled(r, true);
        dist.veto(r, approve(fields, 2));
        token.mint(address(dist), t.total);
        pass(DELAY);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.WrongState.selector, r, RoundState.VETOED));
        dist.open(r);

        r = publish(t, Mode.PULL);
        eq(r, 2, "a vetoed round keeps its number");
        fields = abi.encode(Actions.CANCEL, address(dist), r);
        a = approve(fields, 2);
        vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        dist.cancel(r, a);
        dist.cancel(r, approve(fields, 3));
        isTrue(dist.round(r).state == RoundState.CANCELLED, "cancelled");

        r = publish(t, Mode.PULL);
        pass(DELAY);
        dist.open(r);
        a = approve(abi.encode(Actions.CANCEL, address(dist), r), 3);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.WrongState.selector, r, RoundState.OPEN));
        dist.cancel(r, a);
        a = approve(abi.encode(Actions.VETO, address(dist), r), 5);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.WrongState.selector, r, RoundState.OPEN));
        dist.veto(r, a);
    }

    function test_closingMovesOnlyToLater() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        uint64 closesAt = dist.round(r).closesAt;
        for (uint64 k; k < 2; ++k) {
            Approval memory a = approve(abi.encode(Actions.EXTEND_CLOSING, address(dist), r, closesAt - k), 3);
            vm.expectRevert(
                abi.encodeWithSelector(IDistributor.BadRound.selector, "closing may only move to later")
            );
            dist.extendClosing(r, closesAt - k, a);
        }
        uint64 beyond = uint64(type(uint40).max) + 1 + closesAt;
        Approval memory late = approve(abi.encode(Actions.EXTEND_CLOSING, address(dist), r, beyond), 3);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.BadRound.selector, "closing lies beyond the calendar"));
        dist.extendClosing(r, beyond, late);
        vm.warp(closesAt + 1);
        vm.prank(person(0));
        vm.expectPartialRevert(IDistributor.Closed.selector);
        dist.claim(r, 0, t.bucket(0), t.proof(0));
        dist.extendClosing(
            r, closesAt + 10, approve(abi.encode(Actions.EXTEND_CLOSING, address(dist), r, closesAt + 10), 3)
        );
        claim(t, r, 0);
        eq(dist.closing(r), closesAt + 10, "extended");
        eq(dist.round(r).remaining, t.total - amountOf(0), "the rest of the word is untouched");
    }

    // -- money back ----------------------------------------------------------------------------------------------

    function test_sweep() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        claim(t, r, 0);
        uint64 at = dist.closing(r) + GRACE;
        vm.warp(at - 1);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.TooEarly.selector, at));
        dist.sweep(r);
        settleSparse(t, r, 0, 2);
        vm.warp(at);
        vm.prank(stranger);
        dist.sweep(r);
        eq(token.balanceOf(refund), t.total - amountOf(0) - amountOf(1), "the rest");
        eq(dist.owed(), 0, "nothing owed");
        vm.expectPartialRevert(IDistributor.WrongState.selector);
        dist.extendClosing(r, at + 1, approveNothing());
        vm.prank(person(2));
        vm.expectPartialRevert(IDistributor.WrongState.selector);
        dist.claim(r, 2, t.bucket(2), t.proof(2));
        token.mint(address(dist), 5);
        dist.sweep(r);
        eq(token.balanceOf(refund), t.total - amountOf(0) - amountOf(1) + 5, "a later surplus");
    }

    function approveNothing() private pure returns (Approval memory a) {
        a.setVersion = 1;
        a.deadline = FAR;
    }

    /// @notice A sweep leaves what open rounds still owe and what was sent for published ones.
    function test_sweepLeavesOtherRounds() public {
        TestTree.Tree memory t = people(4);
        uint256 a = opened(t, Mode.PULL);
        vm.warp(dist.closing(a) + GRACE - DELAY);
        uint256 b = opened(t, Mode.PULL);
        uint256 c = publish(t, Mode.PULL);
        token.mint(address(dist), 10);
        claim(t, b, 3);
        dist.sweep(a);
        eq(token.balanceOf(refund), 10, "b needs its rest, c its whole");
        eq(dist.remaining(b), t.total - amountOf(3), "b");
        claim(t, b, 0);
        dist.cancel(c, approve(abi.encode(Actions.CANCEL, address(dist), c), 3));
        dist.sweep(a);
        eq(token.balanceOf(refund), t.total + 10, "a's money is free once c is gone");
        eq(token.balanceOf(address(dist)), dist.owed(), "what stays is owed");
        claim(t, b, 1);
        claim(t, b, 2);
    }

    function test_voidFreesMoneyForTheNextRound() public {
        TestTree.Tree memory t = people(4);
        uint256 a = opened(t, Mode.PULL);
        void(t, a, 0, 0xf);
        uint256 b = publish(t, Mode.PULL);
        pass(DELAY);
        dist.open(b);
        claim(t, b, 2);
        eq(dist.owed(), t.total - amountOf(2), "b alone");
    }

    function test_withdraw() public {
        token.mint(address(dist), 100);
        bytes memory fields = abi.encode(Actions.WITHDRAW, address(dist), 40, 1);
        Approval memory a = approve(fields, 2);
        vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        dist.withdraw(40, 1, a);
        a = approve(fields, 3);
        dist.withdraw(40, 1, a);
        eq(token.balanceOf(refund), 40, "to the refund address");
        vm.expectPartialRevert(IDistributor.AlreadyUsed.selector);
        dist.withdraw(40, 1, a);
        dist.withdraw(40, 2, approve(abi.encode(Actions.WITHDRAW, address(dist), 40, 2), 3));
        TestTree.Tree memory t = people(4);
        opened(t, Mode.PULL);
        a = approve(abi.encode(Actions.WITHDRAW, address(dist), 1, 3), 3);
        vm.expectRevert(IDistributor.AlreadyOpened.selector);
        dist.withdraw(1, 3, a);
    }

    function test_manyRounds() public {
        TestTree.Tree memory t = people(4);
        for (uint256 i; i < 12; ++i) {
            uint256 r = opened(t, Mode.PUSH);
            settle(t, r, 0, 0);
        }
        eq(token.balanceOf(person(3)), 12 * uint256(amountOf(3)), "each round pays once");
        eq(dist.owed(), 0, "all paid");
    }
}
