// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {Approval, ClaimPolicy, GateWord, Mode, Phase, Redirect, RoundState, SparseWord} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";
import {ContractWallet} from "./support/Wallets.sol";

/// @notice Each guard of the money path, reached and refused.
contract GuardsTest is Base {
    using TestTree for TestTree.Tree;

    // -- the tree's bounds ---------------------------------------------------------------------------------------

    /// @notice With an unbounded index one proof would verify for i, i + capacity, i + 2·capacity, … and pay again.
    function testFuzz_indexShiftedByCapacity(uint256 size, uint256 pick, uint128 times) public {
        TestTree.Tree memory t = people(within(size, 1, 300));
        uint256 r = opened(t, Mode.PUSH);
        uint256 i = pick % t.count;
        uint256 capacity = 4 * 2 ** t.depth;
        uint256 shifted = i + capacity * within(times, 1, type(uint32).max);
        bytes memory refusal = abi.encodeWithSelector(IDistributor.IndexOutOfRange.selector, shifted);

        vm.prank(person(i));
        vm.expectRevert(refusal);
        dist.claim(r, uint64(shifted), t.bucket(i), t.proof(i));

        Redirect[] memory items = new Redirect[](1);
        items[0] = Redirect(r, shifted, address(0xd), FAR, "", t.bucket(i), t.proof(i));
        vm.prank(lane);
        vm.expectRevert(refusal);
        dist.settleTo(1, 1, 0, items, new GateWord[](0));

        (bytes memory words, bytes32[] memory path) = t.range(i & ~uint256(3), 0);
        vm.prank(lane);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.IndexOutOfRange.selector, shifted & ~uint256(3)));
        dist.settle(1, 1, 0, r, shifted & ~uint256(3), 0, words, path);

        SparseWord[] memory chunks = new SparseWord[](1);
        chunks[0] = chunk(t, r, i >> 8, 1 << (i & 0xff));
        if (capacity < 256) {
            chunks[0].mask <<= capacity;
        } else {
            chunks[0].word = shifted >> 8;
        }
        vm.prank(lane);
        vm.expectPartialRevert(IDistributor.IndexOutOfRange.selector);
        dist.settleSparse(1, 1, 0, chunks);

        Approval memory a = _voidApproval(chunks[0], 3);
        vm.expectPartialRevert(IDistributor.IndexOutOfRange.selector);
        dist.void(chunks[0], a);
        eq(token.balanceOf(person(i)), 0, "nothing was paid");
    }

    function test_claimRefusesWrongData() public {
        TestTree.Tree memory t = people(20);
        uint256 r = opened(t, Mode.PULL);
        bytes32[4] memory bucket = t.bucket(6);
        bytes32[] memory proof = t.proof(6);

        bucket[2] = TestTree.entry(person(6), amountOf(6) + 1);
        _refusedClaim(r, 6, bucket, proof, IDistributor.BadProof.selector);
        _refusedClaim(r, 2, t.bucket(6), proof, IDistributor.BadProof.selector);
        proof[0] ^= bytes32(uint256(1));
        _refusedClaim(r, 6, t.bucket(6), proof, IDistributor.BadProof.selector);
        _refusedClaim(r, 6, t.bucket(6), t.path(6 >> 2, 1), IDistributor.BadProofLength.selector);
        _refusedClaim(r, 6, t.bucket(6), new bytes32[](4), IDistributor.BadProofLength.selector);
        _refusedClaim(r, 5, t.bucket(6), t.proof(6), IDistributor.NotRecipient.selector);
        _refusedClaim(r + 1, 6, t.bucket(6), t.proof(6), IDistributor.WrongState.selector);
    }

    function _refusedClaim(uint256 r, uint256 i, bytes32[4] memory bucket, bytes32[] memory proof, bytes4 why)
        private
    {
        vm.prank(person(6));
        vm.expectPartialRevert(why);
        dist.claim(r, uint64(i), bucket, proof);
    }

    function test_settleRefusesWrongShapes() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.PUSH);
        (bytes memory words, bytes32[] memory path) = t.range(32, 3);
        _refusedSettle(r, 36, 3, words, path, IDistributor.IndexOutOfRange.selector);
        _refusedSettle(r, 33, 3, words, path, IDistributor.IndexOutOfRange.selector);
        _refusedSettle(r, 64, 3, words, path, IDistributor.BadProof.selector);
        _refusedSettle(r, 32, 2, words, path, IDistributor.BadInputLength.selector);
        _refusedSettle(r, 32, 3, bytes.concat(words, hex"00"), path, IDistributor.BadInputLength.selector);
        _refusedSettle(r, 32, 8, words, path, IDistributor.BadProofLength.selector);
        _refusedSettle(r, 32, 3, words, new bytes32[](5), IDistributor.BadProofLength.selector);
        words[20] ^= 0x01;
        _refusedSettle(r, 32, 3, words, path, IDistributor.BadProof.selector);
    }

    function _refusedSettle(
        uint256 r,
        uint256 start,
        uint8 levels,
        bytes memory words,
        bytes32[] memory path,
        bytes4 why
    ) private {
        vm.prank(lane);
        vm.expectPartialRevert(why);
        dist.settle(1, 1, 0, r, start, levels, words, path);
    }

    /// @notice An inner node's 64 bytes can never pass as a bucket, nor a bucket as two nodes.
    function test_innerNodesAreNoBuckets() public {
        TestTree.Tree memory t = people(32);
        uint256 r = opened(t, Mode.PUSH);
        bytes memory nodes = bytes.concat(t.levels[0][0], t.levels[0][1]);
        vm.prank(lane);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.BadInputLength.selector, 64, 128));
        dist.settle(1, 1, 0, r, 0, 0, nodes, t.path(0, 1));
    }

    function test_paddingAndForbiddenRecipientsAreNeverPaid() public {
        bytes32[] memory entries = new bytes32[](6);
        entries[0] = TestTree.entry(person(0), amountOf(0));
        entries[1] = TestTree.entry(address(dist), 5e18);
        entries[2] = TestTree.entry(address(token), 5e18);
        entries[3] = TestTree.entry(address(charter), 5e18);
        entries[4] = TestTree.entry(address(0), 5e18);
        entries[5] = TestTree.entry(person(5), amountOf(5));
        TestTree.Tree memory t = TestTree.build(entries);
        uint256 r = opened(t, Mode.PUSH);
        settle(t, r, 0, 1);
        eq(dist.paidWord(r, 0), 0x21, "only the two persons");
        eq(dist.remaining(r), t.total - amountOf(0) - amountOf(5), "the rest is still there");
        eq(token.balanceOf(address(0)), 0, "zero address");
        eq(token.balanceOf(address(token)), 0, "token");
        eq(token.balanceOf(address(charter)), 0, "charter");
        settleSparse(t, r, 0, 0x3f);
        eq(dist.paidWord(r, 0), 0x21, "sparse as well");
        vm.prank(address(charter));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.NotPayable.selector, r, 3));
        dist.claim(r, 3, t.bucket(3), t.proof(3));
        vm.prank(address(0));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.NotPayable.selector, r, 7));
        dist.claim(r, 7, t.bucket(7), t.proof(7));
    }

    /// @notice Not even if it could sign: here the token is a wallet too.
    function test_forbiddenRecipientsCannotSignTheirClaims() public {
        bytes32[] memory entries = new bytes32[](1);
        entries[0] = TestTree.entry(address(token), 5e18);
        TestTree.Tree memory t = TestTree.build(entries);
        uint256 r = opened(t, Mode.PULL);
        vm.etch(address(token), address(new ContractWallet()).code);
        ContractWallet(address(token)).approve(claimDigest(r, 0, address(token), address(0xd), 5e18, FAR), true);
        ContractWallet(address(token)).approve(claimDigest(r, 0, address(token), address(token), 5e18, FAR), true);
        bytes memory refusal = abi.encodeWithSelector(IDistributor.NotPayable.selector, r, 0);
        vm.expectRevert(refusal);
        dist.claimTo(r, 0, t.bucket(0), t.proof(0), address(0xd), FAR, "");
        vm.expectRevert(refusal);
        dist.claimFor(r, 0, t.bucket(0), t.proof(0), FAR, "");
        Redirect[] memory items = new Redirect[](1);
        items[0] = Redirect(r, 0, address(0xd), FAR, "", t.bucket(0), t.proof(0));
        vm.prank(lane);
        vm.expectRevert(refusal);
        dist.settleTo(1, 1, 0, items, new GateWord[](0));
    }

    function test_neverMoreThanTotal() public {
        TestTree.Tree memory t = people(8);
        t.total = amountOf(0) + amountOf(1) + amountOf(2);
        uint256 r = opened(t, Mode.PUSH);
        token.mint(address(dist), 100e18);
        (bytes memory words, bytes32[] memory path) = t.range(0, 1);
        vm.prank(lane);
        vm.expectPartialRevert(IDistributor.TotalExceeded.selector);
        dist.settle(1, 1, 0, r, 0, 1, words, path);
        claim(t, r, 0);
        claim(t, r, 1);
        vm.prank(person(7));
        vm.expectPartialRevert(IDistributor.TotalExceeded.selector);
        dist.claim(r, 7, t.bucket(7), t.proof(7));
    }

    // -- who, when, in which order -------------------------------------------------------------------------------

    function test_onlyALaneOfTheEpochSettles() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        _settleAs(stranger, 1, 1, t, r, abi.encodeWithSelector(ICharter.NotALane.selector, stranger));
        _settleAs(control, 1, 1, t, r, abi.encodeWithSelector(ICharter.NotALane.selector, control));
        _settleAs(lane2, 1, 1, t, r, abi.encodeWithSelector(ICharter.NotALane.selector, lane2));
        _settleAs(lane, 2, 1, t, r, abi.encodeWithSelector(ICharter.StaleEpoch.selector, 2, 1));
        _settleAs(lane, 1, 2, t, r, abi.encodeWithSelector(IDistributor.WrongBatch.selector, 2, 1));
        _settleAs(lane, 1, 0, t, r, abi.encodeWithSelector(IDistributor.WrongBatch.selector, 0, 1));
        _settleAs(spare, 1, 1, t, r, "");
        _settleAs(lane, 1, 1, t, r, abi.encodeWithSelector(IDistributor.WrongBatch.selector, 1, 2));
        vm.prank(control2);
        charter.takeEpoch(7);
        _settleAs(lane, 1, 2, t, r, abi.encodeWithSelector(ICharter.StaleEpoch.selector, 1, 7));
        _settleAs(lane, 7, 2, t, r, abi.encodeWithSelector(ICharter.NotALane.selector, lane));
        _settleAs(lane2, 7, 2, t, r, "");
    }

    function _settleAs(
        address who,
        uint64 epoch,
        uint64 batchNo,
        TestTree.Tree memory t,
        uint256 r,
        bytes memory refusal
    ) private {
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        if (refusal.length != 0) vm.expectRevert(refusal);
        vm.prank(who);
        dist.settle(epoch, batchNo, 0, r, 0, 0, words, path);
    }

    function test_modes() public {
        TestTree.Tree memory t = people(4);
        uint256 pull = opened(t, Mode.PULL);
        uint256 gated = opened(t, Mode.GATED);
        _settleAs(lane, 1, 1, t, pull, abi.encodeWithSelector(IDistributor.WrongMode.selector, pull, Mode.PULL));
        _settleAs(lane, 1, 1, t, gated, abi.encodeWithSelector(IDistributor.WrongMode.selector, gated, Mode.GATED));
        bytes memory refusal = abi.encodeWithSelector(IDistributor.WrongMode.selector, gated, Mode.GATED);
        SparseWord[] memory chunks = new SparseWord[](1);
        chunks[0] = chunk(t, gated, 0, 1);
        vm.prank(lane);
        vm.expectRevert(refusal);
        dist.settleSparse(1, 1, 0, chunks);
        Redirect[] memory items = new Redirect[](1);
        items[0] = redirect(t, gated, 0, address(0xd));
        vm.prank(lane);
        vm.expectPartialRevert(IDistributor.NotApproved.selector);
        dist.settleTo(1, 1, 0, items, new GateWord[](0));
        vm.prank(person(0));
        vm.expectRevert(refusal);
        dist.claim(gated, 0, t.bucket(0), t.proof(0));
    }

    function test_nothingIsPaidBeforeOpening() public {
        TestTree.Tree memory t = people(4);
        uint256 r = publish(t, Mode.PUSH);
        token.mint(address(dist), t.total);
        bytes memory refusal =
            abi.encodeWithSelector(IDistributor.WrongState.selector, r, RoundState.PUBLISHED);
        _settleAs(lane, 1, 1, t, r, refusal);
        vm.prank(person(0));
        vm.expectRevert(refusal);
        dist.claim(r, 0, t.bucket(0), t.proof(0));
    }

    function test_exitOnlyClosesClaimsInActive() public {
        dist = deploy(ClaimPolicy.EXIT_ONLY);
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        bytes memory refusal = abi.encodeWithSelector(IDistributor.ClaimsNotOpen.selector, Phase.ACTIVE);
        vm.prank(person(0));
        vm.expectRevert(refusal);
        dist.claim(r, 0, t.bucket(0), t.proof(0));
        bytes memory sig = claimSignature(PERSON, r, 0, person(0), amountOf(0), FAR);
        vm.expectRevert(refusal);
        dist.claimFor(r, 0, t.bucket(0), t.proof(0), FAR, sig);
        vm.expectRevert(refusal);
        dist.claimTo(r, 0, t.bucket(0), t.proof(0), address(0xd), FAR, sig);
        settleSparse(t, r, 0, 1);
        isTrue(isGot(0), "a settlement still pays");
    }

    function test_claimsEndAtClosingAndSettlementsGoOn() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PUSH);
        uint64 closesAt = dist.round(r).closesAt;
        vm.warp(closesAt);
        claim(t, r, 0);
        vm.warp(closesAt + 1);
        vm.prank(person(1));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.Closed.selector, closesAt));
        dist.claim(r, 1, t.bucket(1), t.proof(1));
        settle(t, r, 0, 0);
        isTrue(isGot(1), "settled after closing");
    }

    // -- signed claims -------------------------------------------------------------------------------------------

    function test_signedClaimsBindEverything() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PULL);
        uint256 other = opened(t, Mode.PULL);
        bytes memory sig = claimSignature(PERSON + 1, r, 1, address(0xd), amountOf(1), FAR);
        _refusedTo(t, other, 1, address(0xd), FAR, sig);
        _refusedTo(t, r, 2, address(0xd), FAR, sig);
        _refusedTo(t, r, 1, address(0xe), FAR, sig);
        _refusedTo(t, r, 1, address(0xd), FAR - 1, sig);
        _refusedTo(t, r, 1, address(0xd), FAR, claimSignature(PERSON + 2, r, 1, address(0xd), amountOf(1), FAR));
        _refusedTo(t, r, 1, address(0xd), FAR, claimSignature(PERSON + 1, r, 1, address(0xd), 7, FAR));
        _refusedTo(t, r, 1, address(0xd), FAR, "");
        vm.expectRevert(abi.encodeWithSelector(IDistributor.BadClaimSignature.selector, person(1)));
        dist.claimFor(r, 1, t.bucket(1), t.proof(1), FAR, sig);
        vm.chainId(5);
        _refusedTo(t, r, 1, address(0xd), FAR, sig);
        vm.chainId(31337);
        dist.claimTo(r, 1, t.bucket(1), t.proof(1), address(0xd), FAR, sig);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.AlreadyPaid.selector, r, 1));
        dist.claimTo(r, 1, t.bucket(1), t.proof(1), address(0xd), FAR, sig);
    }

    function _refusedTo(TestTree.Tree memory t, uint256 r, uint256 i, address to, uint64 deadline, bytes memory sig)
        private
    {
        vm.expectPartialRevert(IDistributor.BadClaimSignature.selector);
        dist.claimTo(r, i, t.bucket(i), t.proof(i), to, deadline, sig);
    }

    function test_badDestinationsAndDeadlines() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        address[4] memory bad = [address(0), address(token), address(dist), address(charter)];
        for (uint256 k; k < 4; ++k) {
            bytes memory sig = claimSignature(PERSON, r, 0, bad[k], amountOf(0), FAR);
            vm.expectRevert(abi.encodeWithSelector(IDistributor.BadDestination.selector, bad[k]));
            dist.claimTo(r, 0, t.bucket(0), t.proof(0), bad[k], FAR, sig);
            Redirect[] memory items = new Redirect[](1);
            items[0] = redirect(t, r, 0, bad[k]);
            settleTo(items);
            eq(dist.paidWord(r, 0), 0, "skipped in a batch");
        }
        uint64 past = now_() - 1;
        bytes memory late = claimSignature(PERSON, r, 0, address(0xd), amountOf(0), past);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.ClaimExpired.selector, past));
        dist.claimTo(r, 0, t.bucket(0), t.proof(0), address(0xd), past, late);
    }

    /// @notice One wallet that takes its signature back, one that burns gas and one bad signature stop nobody else.
    function test_settleToSkipsInvalidClaims() public {
        ContractWallet good = new ContractWallet();
        ContractWallet burner = new ContractWallet();
        bytes32[] memory entries = new bytes32[](4);
        entries[0] = TestTree.entry(address(good), amountOf(0));
        entries[1] = TestTree.entry(address(burner), amountOf(1));
        entries[2] = TestTree.entry(person(2), amountOf(2));
        entries[3] = TestTree.entry(person(3), amountOf(3));
        TestTree.Tree memory t = TestTree.build(entries);
        uint256 r = opened(t, Mode.PULL);
        burner.setBurns(true);
        good.approve(claimDigest(r, 0, address(good), address(0xd0), amountOf(0), FAR), true);

        Redirect[] memory items = new Redirect[](4);
        for (uint256 i; i < 4; ++i) items[i] = redirect(t, r, i, address(uint160(0xd0 + i)));
        items[2].signature = "";
        uint256 before = gasleft();
        settleTo(items);
        isTrue(before - gasleft() < 2_000_000, "the burner burnt no more than a wallet's answer may cost");
        eq(dist.paidWord(r, 0), 0x9, "the contract wallet's and the last");
        eq(token.balanceOf(address(0xd0)), amountOf(0), "ERC-1271");
        eq(token.balanceOf(address(0xd3)), amountOf(3), "ECDSA");
    }

    /// @notice An account with a delegation (EIP-7702) keeps its own key.
    function test_delegatedAccountStillSigns() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        vm.etch(person(1), address(new ContractWallet()).code);
        bytes memory sig = claimSignature(PERSON + 1, r, 1, address(0xd), amountOf(1), FAR);
        dist.claimTo(r, 1, t.bucket(1), t.proof(1), address(0xd), FAR, sig);
        eq(token.balanceOf(address(0xd)), amountOf(1), "paid");
    }

    // -- voids ---------------------------------------------------------------------------------------------------

    function test_voidBeforePay() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        void(t, r, 0, 0x5);
        eq(dist.remaining(r), t.total - amountOf(0) - amountOf(2), "freed");
        eq(dist.round(r).voided, amountOf(0) + amountOf(2), "voided");
        settle(t, r, 0, 1);
        eq(dist.paidWord(r, 0), 0xfa, "void entries are skipped");
        eq(dist.remaining(r), 0, "total = paid + voided");
        vm.prank(person(0));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.AlreadyVoid.selector, r, 0));
        dist.claim(r, 0, t.bucket(0), t.proof(0));
        Redirect[] memory items = new Redirect[](1);
        items[0] = redirect(t, r, 2, address(0xd));
        settleTo(items);
        eq(token.balanceOf(address(0xd)), 0, "nor by redirection");
    }

    function test_payBeforeVoid() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        claim(t, r, 2);
        SparseWord memory c = chunk(t, r, 0, 0x5);
        Approval memory a = _voidApproval(c, 3);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.AlreadyPaid.selector, r, 2));
        dist.void(c, a);
        eq(dist.voidWord(r, 0), 0, "nothing of it");
    }

    /// @notice A reorganisation may put the two in the other order: never both, whatever the order.
    function test_voidAndPayUnderReorg() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.PULL);
        uint256 before = vm.snapshotState();
        claim(t, r, 1);
        isTrue(dist.isPaid(r, 1) && !dist.isVoid(r, 1), "paid first");
        vm.revertToState(before);
        void(t, r, 0, 2);
        vm.prank(person(1));
        vm.expectRevert(abi.encodeWithSelector(IDistributor.AlreadyVoid.selector, r, 1));
        dist.claim(r, 1, t.bucket(1), t.proof(1));
        isTrue(!dist.isPaid(r, 1) && dist.isVoid(r, 1), "void first");
        eq(token.balanceOf(person(1)), 0, "never both");
    }

    function test_voidRefusals() public {
        TestTree.Tree memory t = people(6);
        uint256 r = opened(t, Mode.PULL);
        void(t, r, 0, 0x2);
        SparseWord memory c = chunk(t, r, 0, 0x2);
        _refusedVoid(c, 3, abi.encodeWithSelector(IDistributor.AlreadyVoid.selector, r, 1));
        c = chunk(t, r, 0, 0x80);
        _refusedVoid(c, 3, abi.encodeWithSelector(IDistributor.NotPayable.selector, r, 7));
        c = chunk(t, r, 0, 0x1);
        _refusedVoid(c, 2, abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        // The amounts are proven, not believed.
        c.words[31] ^= 0x01;
        _refusedVoid(c, 3, abi.encodeWithSelector(IDistributor.BadProof.selector));
    }

    function _refusedVoid(SparseWord memory c, uint256 signers, bytes memory why) private {
        Approval memory a = _voidApproval(c, signers);
        vm.expectRevert(why);
        dist.void(c, a);
    }

    function _voidApproval(SparseWord memory c, uint256 signers) private view returns (Approval memory) {
        return approve(abi.encode(Actions.VOID, address(dist), c.roundNo, c.word, c.mask), signers);
    }
}
