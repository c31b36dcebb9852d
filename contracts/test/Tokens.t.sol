// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {
    Approval,
    AuthoritySignature,
    ClaimPolicy,
    DistributorTerms,
    GateWord,
    Mode,
    Redirect,
    RoundTerms,
    SparseWord
} from "../src/interfaces/Types.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";
import {Alias, NoDecimals, OddToken} from "./support/Tokens.sol";

/// @notice Tokens and recipients that misbehave, too little gas, and re-entrance.
contract TokensTest is Base {
    using TestTree for TestTree.Tree;

    function _manner(uint256 i, OddToken.Manner m) private {
        token.setManner(person(i), m);
    }

    /// @notice A failing recipient blocks nobody and can be paid later, whatever way it fails.
    function test_failingRecipientsBlockNobody() public {
        TestTree.Tree memory t = people(12);
        uint256 r = opened(t, Mode.PUSH);
        _manner(0, OddToken.Manner.REVERT);
        _manner(1, OddToken.Manner.SILENT);
        _manner(2, OddToken.Manner.FALSE);
        _manner(4, OddToken.Manner.BURN);
        _manner(5, OddToken.Manner.BOMB);
        _manner(7, OddToken.Manner.EMPTY_REVERT);
        _manner(8, OddToken.Manner.SILENT);
        uint256 bad = 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7;
        vm.expectEmit(address(dist));
        emit IDistributor.BatchSettled(1, 1, keccak256("log"));
        vm.expectEmit(address(dist));
        emit IDistributor.ItemSkipped(r, 0, abi.encodeWithSelector(OddToken.Refused.selector, person(0)));
        settle(t, r, 0, 2);
        eq(dist.paidWord(r, 0), 0xfff & ~bad, "all but the failing");
        for (uint256 i; i < 12; ++i) eq(token.balanceOf(person(i)), bad >> i & 1 == 1 ? 0 : amountOf(i), "balance");
        uint256 left = amountOf(0) + amountOf(2) + amountOf(4) + amountOf(5) + amountOf(7);
        eq(dist.remaining(r), left, "what failed is still owed");
        for (uint256 i; i < 12; ++i) _manner(i, OddToken.Manner.GOOD);
        settleSparse(t, r, 0, 0xfff);
        for (uint256 i; i < 12; ++i) isTrue(isGot(i), "paid later, once");
        eq(dist.remaining(r), 0, "all paid");
    }

    /// @notice A token that returns nothing reads no stale word, and a strange word is no success.
    function test_strangeReturnData() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PULL);
        _manner(1, OddToken.Manner.TWO);
        _manner(3, OddToken.Manner.SHORT);
        _manner(5, OddToken.Manner.FALSE);
        _manner(6, OddToken.Manner.SILENT);
        settleSparse(t, r, 0, 0xff);
        eq(dist.paidWord(r, 0), 0xd5, "two, short and false are refusals, silence is not");
        vm.prank(person(5));
        vm.expectPartialRevert(IDistributor.TransferFailed.selector);
        dist.claim(r, 5, t.bucket(5), t.proof(5));
        eq(dist.paidWord(r, 0), 0xd5, "a failed claim leaves no mark");
    }

    function test_allFailingReverts() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        for (uint256 i; i < 4; ++i) _manner(i, OddToken.Manner.REVERT);
        bytes memory refusal = abi.encodeWithSelector(
            IDistributor.NothingPaid.selector, abi.encodeWithSelector(OddToken.Refused.selector, person(0))
        );
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        vm.prank(lane);
        vm.expectRevert(refusal);
        dist.settle(1, 1, 0, r, 0, 0, words, path);
        SparseWord[] memory chunks = new SparseWord[](1);
        chunks[0] = chunk(t, r, 0, 1);
        vm.prank(lane);
        vm.expectRevert(refusal);
        dist.settleSparse(1, 1, 0, chunks);
        Redirect[] memory items = new Redirect[](1);
        items[0] = redirect(t, r, 0, address(0xd));
        token.setManner(address(0xd), OddToken.Manner.FALSE);
        vm.prank(lane);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.NothingPaid.selector, abi.encode(false)));
        dist.settleTo(1, 1, 0, items, new GateWord[](0));
        eq(dist.nextBatch(), 1, "no batch number is spent");
    }

    /// @notice With any amount of gas a settlement either reverts or does exactly what ample gas does, though the token
    /// refuses whoever brings it less than it was promised.
    function test_tooLittleGasNeverFailsAPayment() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        for (uint256 i; i < 8; ++i) _manner(i, OddToken.Manner.HUNGRY);
        _everyGas(lane, _settleAllCall(t, r), r, 0xff);
        _everyGas(lane, _redirectCall(t, r), r, 0x9);
        _everyGas(person(3), abi.encodeCall(IDistributor.claim, (r, 3, t.bucket(3), t.proof(3))), r, 0x8);
    }

    function _everyGas(address who, bytes memory call, uint256 r, uint256 wanted) private {
        uint256 reverted;
        uint256 paid;
        for (uint256 gas_ = 30_000; gas_ < 1_000_000; gas_ += 3_001) {
            uint256 before = vm.snapshotState();
            vm.prank(who);
            (bool ok,) = address(dist).call{gas: gas_}(call);
            eq(dist.paidWord(r, 0), ok ? wanted : 0, "all or nothing");
            if (ok) ++paid;
            else ++reverted;
            vm.revertToState(before);
        }
        isTrue(reverted > 50 && paid > 50, "both sides of the edge were seen");
    }

    function _settleAllCall(TestTree.Tree memory t, uint256 r) private pure returns (bytes memory) {
        (bytes memory words, bytes32[] memory path) = t.range(0, 1);
        return abi.encodeCall(IDistributor.settle, (1, 1, 0, r, 0, 1, words, path));
    }

    function _redirectCall(TestTree.Tree memory t, uint256 r) private returns (bytes memory) {
        Redirect[] memory items = new Redirect[](2);
        items[0] = redirect(t, r, 0, address(0xd0));
        items[1] = redirect(t, r, 3, address(0xd3));
        token.setManner(address(0xd0), OddToken.Manner.HUNGRY);
        token.setManner(address(0xd3), OddToken.Manner.HUNGRY);
        return abi.encodeCall(IDistributor.settleTo, (1, 1, 0, items, new GateWord[](0)));
    }

    /// @notice Every transfer gets the same gas, so a recipient that needs less than that is always paid.
    function test_gasBurnerCostsAtMostItsAllowance() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        _manner(3, OddToken.Manner.BURN);
        (bytes memory words, bytes32[] memory path) = t.range(0, 1);
        uint256 before = gasleft();
        vm.prank(lane);
        dist.settle(1, ++batch, 0, r, 0, 1, words, path);
        isTrue(before - gasleft() < GAS + 600_000, "bounded");
        eq(dist.paidWord(r, 0), 0xf7, "all but the burner");
    }

    // -- re-entrance ---------------------------------------------------------------------------------------------

    function _reenter(TestTree.Tree memory t, uint256 r, bytes memory call, string memory what) private {
        uint256 before = vm.snapshotState();
        _manner(0, OddToken.Manner.HOOK);
        token.setHook(address(dist), call);
        claim(t, r, 0);
        isTrue(isGot(0), "the outer claim is paid");
        isTrue(!token.hookSucceeded(), what);
        eq(bytes4(token.hookAnswer()), IDistributor.Reentered.selector, what);
        vm.revertToState(before);
    }

    function test_hookTokenFindsDoorsOfRoundsShut() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        Approval memory none = Approval(1, FAR, new AuthoritySignature[](0));
        RoundTerms memory terms = termsFor(t, Mode.PUSH);
        _reenter(t, r, abi.encodeCall(IDistributor.publish, (2, terms, none)), "publish");
        _reenter(t, r, abi.encodeCall(IDistributor.open, (r)), "open");
        _reenter(t, r, abi.encodeCall(IDistributor.cancel, (r, none)), "cancel");
        _reenter(t, r, abi.encodeCall(IDistributor.veto, (r, none)), "veto");
        _reenter(t, r, abi.encodeCall(IDistributor.extendClosing, (r, FAR, none)), "extendClosing");
        _reenter(t, r, abi.encodeCall(IDistributor.void, (chunk(t, r, 0, 2), none)), "void");
        _reenter(t, r, abi.encodeCall(IDistributor.sweep, (r)), "sweep");
        _reenter(t, r, abi.encodeCall(IDistributor.withdraw, (1, 1, none)), "withdraw");
        _reenter(t, r, abi.encodeCall(IDistributor.rescue, (address(1))), "rescue");
    }

    function test_hookTokenFindsDoorsOfPaymentsShut() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        _reenter(t, r, _settleCall(t, r), "settle");
        SparseWord[] memory chunks = new SparseWord[](1);
        chunks[0] = chunk(t, r, 0, 2);
        _reenter(t, r, abi.encodeCall(IDistributor.settleSparse, (1, 1, 0, chunks)), "settleSparse");
        Redirect[] memory items = new Redirect[](1);
        items[0] = redirect(t, r, 1, address(0xd));
        _reenter(t, r, abi.encodeCall(IDistributor.settleTo, (1, 1, 0, items, new GateWord[](0))), "settleTo");
        _reenter(t, r, _claimCall(items[0], 0), "claim");
        _reenter(t, r, _claimCall(items[0], 1), "claimFor");
        _reenter(t, r, _claimCall(items[0], 2), "claimTo");
    }

    function _settleCall(TestTree.Tree memory t, uint256 r) private pure returns (bytes memory) {
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        return abi.encodeCall(IDistributor.settle, (1, 1, 0, r, 0, 0, words, path));
    }

    function _claimCall(Redirect memory i, uint256 kind) private pure returns (bytes memory) {
        if (kind == 0) return abi.encodeCall(IDistributor.claim, (i.roundNo, uint64(i.index), i.bucket, i.proof));
        if (kind == 1) {
            return abi.encodeCall(
                IDistributor.claimFor, (i.roundNo, i.index, i.bucket, i.proof, i.deadline, i.signature)
            );
        }
        return abi.encodeCall(
            IDistributor.claimTo, (i.roundNo, i.index, i.bucket, i.proof, i.to, i.deadline, i.signature)
        );
    }

    function test_reentranceFromABatch() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        _manner(2, OddToken.Manner.HOOK);
        bytes memory sig = claimSignature(PERSON + 3, r, 3, person(3), amountOf(3), FAR);
        token.setHook(
            address(dist), abi.encodeCall(IDistributor.claimFor, (r, 3, t.bucket(3), t.proof(3), FAR, sig))
        );
        settle(t, r, 0, 1);
        isTrue(!token.hookSucceeded(), "shut");
        for (uint256 i; i < 8; ++i) isTrue(isGot(i), "each once");
    }

    // -- deployment and strange tokens ---------------------------------------------------------------------------

    function _refusedTerms(DistributorTerms memory t) private {
        bytes memory code = bytes.concat(vm.getCode("Distributor.sol:Distributor"), abi.encode(t));
        address made;
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        eq(made, address(0), "refused");
    }

    function test_deploymentTerms() public {
        DistributorTerms memory t = termsOf(ClaimPolicy.ALWAYS);
        t.token = address(0x1234);
        _refusedTerms(t);
        t.token = address(new NoDecimals());
        _refusedTerms(t);
        t = termsOf(ClaimPolicy.ALWAYS);
        t.charter = address(0x1234);
        _refusedTerms(t);
        t = termsOf(ClaimPolicy.ALWAYS);
        t.refund = address(0);
        _refusedTerms(t);
        t.refund = address(token);
        _refusedTerms(t);
        t = termsOf(ClaimPolicy.ALWAYS);
        t.grace = 3 days + 1 hours - 1;
        _refusedTerms(t);
        t.grace = 3651 days;
        _refusedTerms(t);
        t = termsOf(ClaimPolicy.ALWAYS);
        t.openingDelay = 0;
        _refusedTerms(t);
        t.openingDelay = 31 days;
        _refusedTerms(t);
        t = termsOf(ClaimPolicy.ALWAYS);
        t.transferGas = 59_999;
        _refusedTerms(t);
        t.transferGas = 2_000_001;
        _refusedTerms(t);
        eq(dist.terms().grace, GRACE, "and the good ones stand");
    }

    /// @notice A token that keeps a tenth on the way still marks each entitlement once and never more than the total.
    function test_feeTakingTokenPaysOnce() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        _manner(1, OddToken.Manner.FEE);
        settle(t, r, 0, 0);
        settle(t, r, 0, 0);
        eq(token.balanceOf(person(1)), amountOf(1) - amountOf(1) / 10, "less arrives");
        eq(token.balanceOf(address(dist)), 0, "no more leaves");
    }

    /// @notice A token that takes money back leaves payments failing, not doubled, and they go on once it is there again.
    function test_tokenThatTookMoneyBack() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        token.burn(address(dist), amountOf(3));
        settle(t, r, 0, 0);
        eq(dist.paidWord(r, 0), 0x7, "three of four");
        token.mint(address(dist), amountOf(3));
        settle(t, r, 0, 0);
        isTrue(isGot(3), "the fourth");
    }

    function test_rescue() public {
        OddToken foreign = new OddToken();
        foreign.mint(address(dist), 7);
        vm.prank(stranger);
        dist.rescue(address(foreign));
        eq(foreign.balanceOf(refund), 7, "to the refund address");
        token.mint(address(dist), 100);
        vm.expectRevert(IDistributor.OwnToken.selector);
        dist.rescue(address(token));
        Alias second = new Alias(token);
        vm.expectRevert(IDistributor.OwnToken.selector);
        dist.rescue(address(second));
        eq(token.balanceOf(address(dist)), 100, "the campaign's token stays, under any address");
    }
}
