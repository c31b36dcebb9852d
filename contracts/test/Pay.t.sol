// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {Mode, Redirect, RoundState, SparseWord} from "../src/interfaces/Types.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";
import {OddToken} from "./support/Tokens.sol";

/// @notice Paying as it should go, by every entry point.
contract PayTest is Base {
    using TestTree for TestTree.Tree;

    function test_settleWholeList() public {
        TestTree.Tree memory t = people(1000);
        uint256 r = opened(t, Mode.PUSH);
        settle(t, r, 0, 6);
        settle(t, r, 256, 6);
        settle(t, r, 512, 7);
        for (uint256 i; i < 1000; ++i) isTrue(isGot(i), "paid its amount");
        eq(token.balanceOf(address(dist)), 0, "nothing left");
        eq(dist.remaining(r), 0, "nothing owed");
        eq(dist.paidWord(r, 2), type(uint256).max, "full word");
        eq(dist.paidWord(r, 3), (1 << 232) - 1, "padding is not marked paid");
        eq(dist.nextBatch(), 4, "three batches");
    }

    function test_settleSmallRanges() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.PUSH);
        settle(t, r, 0, 0);
        settle(t, r, 60, 0);
        settle(t, r, 16, 2);
        settle(t, r, 288, 3);
        eq(dist.paidWord(r, 0), 0xf | uint256(0xf) << 60 | uint256(0xffff) << 16, "word 0");
        eq(dist.paidWord(r, 1), uint256(0xfff) << 32, "word 1: 288 to 299");
        isTrue(isGot(0) && isGot(63) && isGot(31) && isGot(299) && !isGot(32), "the right ones");
    }

    function test_settleEmitsWhatItPaid() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        claim(t, r, 5);
        vm.expectEmit(address(dist));
        emit IDistributor.BatchSettled(1, 1, keccak256("log"));
        vm.expectEmit(address(dist));
        emit IDistributor.Settled(r, 0, 0xdf);
        settle(t, r, 0, 1);
    }

    function testFuzz_sparse(uint256 mask, uint256 before, uint16 size) public {
        uint256 count = within(size, 1, 256);
        TestTree.Tree memory t = people(count);
        uint256 r = opened(t, Mode.PULL);
        uint256 all = count == 256 ? type(uint256).max : (1 << count) - 1;
        mask &= all;
        before &= all;
        vm.assume(mask != 0 && before != 0);
        settleSparse(t, r, 0, before);
        settleSparse(t, r, 0, mask);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            bool wanted = (mask | before) >> i & 1 == 1;
            eq(token.balanceOf(person(i)), wanted ? amountOf(i) : 0, "exactly once, exactly the wanted");
            if (wanted) sum += amountOf(i);
        }
        eq(dist.paidWord(r, 0), mask | before, "paid word");
        eq(dist.remaining(r), t.total - sum, "remaining");
    }

    function test_sparseManyWordsAndRounds() public {
        TestTree.Tree memory t = people(600);
        uint256 a = opened(t, Mode.PULL);
        uint256 b = opened(t, Mode.PUSH);
        SparseWord[] memory chunks = new SparseWord[](3);
        chunks[0] = chunk(t, a, 0, 1 << 255);
        chunks[1] = chunk(t, a, 2, 1 << 87);
        chunks[2] = chunk(t, b, 0, 3);
        vm.prank(lane);
        dist.settleSparse(1, ++batch, 0, chunks);
        isTrue(isGot(255) && isGot(599) && isGot(0) && isGot(1), "all three chunks");
    }

    function test_sameWordTwiceInOneBatchPaysOnce() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PULL);
        SparseWord[] memory chunks = new SparseWord[](2);
        chunks[0] = chunk(t, r, 0, 0x11);
        chunks[1] = chunk(t, r, 0, 0x13);
        vm.prank(lane);
        dist.settleSparse(1, ++batch, 0, chunks);
        isTrue(isGot(0) && isGot(1) && isGot(4), "once each");
    }

    function test_settleToPaysWhereSigned() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PULL);
        Redirect[] memory items = new Redirect[](3);
        items[0] = redirect(t, r, 2, address(0xd2));
        items[1] = redirect(t, r, 7, address(0xd7));
        items[2] = items[0];
        vm.expectEmit(address(dist));
        emit IDistributor.BatchSettled(1, 1, keccak256("log"));
        vm.expectEmit(address(dist));
        emit IDistributor.Redirected(r, 2, address(0xd2));
        settleTo(items);
        eq(token.balanceOf(address(0xd2)), amountOf(2), "signed destination, once");
        eq(token.balanceOf(address(0xd7)), amountOf(7), "signed destination");
        eq(token.balanceOf(person(2)), 0, "not the listed address");
        eq(dist.paidWord(r, 0), 0x84, "marked");
    }

    function test_claims() public {
        TestTree.Tree memory t = people(9);
        uint256 r = opened(t, Mode.PULL);
        vm.expectEmit(address(dist));
        emit IDistributor.Claimed(r, 0, person(0));
        claim(t, r, 0);
        bytes memory forSig = claimSignature(PERSON + 8, r, 8, person(8), amountOf(8), FAR);
        vm.prank(stranger);
        dist.claimFor(r, 8, t.bucket(8), t.proof(8), FAR, forSig);
        bytes memory toSig = claimSignature(PERSON + 3, r, 3, address(0xd3), amountOf(3), FAR);
        vm.prank(stranger);
        dist.claimTo(r, 3, t.bucket(3), t.proof(3), address(0xd3), FAR, toSig);
        isTrue(isGot(0) && isGot(8), "claimed");
        eq(token.balanceOf(address(0xd3)), amountOf(3), "claimed to");
        eq(dist.remaining(r), t.total - amountOf(0) - amountOf(8) - amountOf(3), "remaining");
    }

    function test_settleSkipsWhatWasClaimed() public {
        TestTree.Tree memory t = people(256);
        uint256 r = opened(t, Mode.PUSH);
        claim(t, r, 100);
        settle(t, r, 0, 6);
        isTrue(isGot(100) && isGot(99) && isGot(101), "each once");
        settle(t, r, 0, 6);
        eq(dist.nextBatch(), 3, "a batch with nothing to do settles as nothing");
        eq(token.balanceOf(address(dist)), 0, "all paid once");
    }

    function test_agentReceivesForMany() public {
        bytes32[] memory entries = new bytes32[](6);
        for (uint256 i; i < 6; ++i) entries[i] = TestTree.entry(i < 4 ? person(0) : person(i), amountOf(i));
        TestTree.Tree memory t = TestTree.build(entries);
        uint256 r = opened(t, Mode.PUSH);
        settle(t, r, 0, 1);
        eq(token.balanceOf(person(0)), amountOf(0) + amountOf(1) + amountOf(2) + amountOf(3), "all four entries");
    }

    function test_roundView() public {
        TestTree.Tree memory t = people(5);
        uint256 r = opened(t, Mode.PULL);
        isTrue(dist.round(r).state == RoundState.OPEN, "state");
        eq(dist.round(r).total, t.total, "total");
        eq(dist.round(r).count, 5, "count");
        eq(dist.round(r).depth, 1, "depth");
        eq(dist.round(r).root, t.root, "root");
        eq(dist.owed(), t.total, "owed");
        eq(dist.round(r).listHash, keccak256("list"), "list hash");
    }
}
