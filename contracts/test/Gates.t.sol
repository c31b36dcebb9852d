// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {IWarden} from "../src/interfaces/IWarden.sol";
import {Approval, ClaimPolicy, GateWord, Mode, Phase, Redirect, RoundTerms, SparseWord} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Gated} from "./support/Gated.sol";
import {TestTree} from "./support/TestTree.sol";
import {ContractWallet, NumberVerifier} from "./support/Wallets.sol";

/// @notice GATED rounds: what the gate's word lets be paid, whose word it is, and who may stop it.
contract GatesTest is Gated {
    using TestTree for TestTree.Tree;

    bytes private BAD = abi.encodeWithSelector(IDistributor.BadGateSignature.selector, 1);

    // -- paying --------------------------------------------------------------------------------------------------

    function testFuzz_onlyWhatTheGateApproved(uint256 mask, uint256 approved, uint16 size) public {
        uint256 count = within(size, 1, 256);
        TestTree.Tree memory t = people(count);
        uint256 r = opened(t, Mode.GATED);
        uint256 all = count == 256 ? type(uint256).max : (1 << count) - 1;
        (mask, approved) = (mask & all, approved & all);
        vm.assume(mask & approved != 0);
        SparseWord memory c = chunk(t, r, 0, mask);
        if (mask & ~approved != 0) refusedGated(c, gateWord(GATE_KEY, r, 0, approved), BAD);
        settleGated(t, r, 0, mask & approved, approved);
        eq(dist.paidWord(r, 0), mask & approved, "exactly the approved ones of those meant");
        for (uint256 i; i < count; ++i) {
            eq(token.balanceOf(person(i)), (mask & approved) >> i & 1 == 1 ? amountOf(i) : 0, "each its amount");
        }
    }

    function test_masksGrowAndNothingIsPaidTwice() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.GATED);
        settleGated(t, r, 0, 0x3, 0x3);
        vm.expectEmit(address(dist));
        emit IDistributor.Settled(r, 0, 0xfc);
        settleGated(t, r, 0, 0xff, 0xff);
        settleGated(t, r, 0, 0x3, 0x3);
        eq(dist.paidWord(r, 0), 0xff, "the older word serves as well, and pays nothing again");
        eq(token.balanceOf(person(0)), amountOf(0), "once");

        SparseWord[] memory chunks = new SparseWord[](2);
        GateWord[] memory gates = new GateWord[](2);
        chunks[0] = chunk(t, r, 0, 1 << 200);
        chunks[1] = chunk(t, r, 1, 1 << 43);
        gates[0] = gateWord(GATE_KEY, r, 0, 1 << 200);
        gates[1] = gateWord(GATE_KEY, r, 1, 1 << 43);
        bytes memory all = packed(chunks, gates);
        vm.prank(lane);
        dist.settleGated(1, 4, 0, chunks, all);
        isTrue(isGot(200) && isGot(299), "two words");
        (gates[0], gates[1]) = (gates[1], gates[0]);
        refusedGated(chunks, packed(chunks, gates), BAD);
    }

    /// @notice The gate's word alone does not settle: it takes a lane of the epoch's sequencer as well.
    function test_aRelayedPaymentTakesBothKeys() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        SparseWord[] memory chunks = one(chunk(t, r, 0, 1));
        bytes memory gates = packed(chunks, one(gateWord(GATE_KEY, r, 0, 1)));
        vm.prank(vm.addr(GATE_KEY));
        vm.expectRevert(abi.encodeWithSelector(ICharter.NotALane.selector, vm.addr(GATE_KEY)));
        dist.settleGated(1, 1, 0, chunks, gates);
        refusedGated(chunks[0], gateWord(0xbad, r, 0, 1), BAD);
        settleGated(t, r, 0, 1, 1);
    }

    /// @notice Nothing else pays from a GATED round, and gates pay from no other.
    function test_modes() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        uint256 pull = opened(t, Mode.PULL);
        bytes memory refusal = abi.encodeWithSelector(IDistributor.WrongMode.selector, r, Mode.GATED);
        bytes memory sig = claimSignature(PERSON, r, 0, person(0), amountOf(0), FAR);
        vm.expectRevert(refusal);
        dist.claimFor(r, 0, t.bucket(0), t.proof(0), FAR, sig);
        vm.expectRevert(refusal);
        dist.claimTo(r, 0, t.bucket(0), t.proof(0), person(0), FAR, sig);
        refusal = abi.encodeWithSelector(IDistributor.WrongMode.selector, pull, Mode.PULL);
        refusedGated(chunk(t, pull, 0, 1), gateWord(GATE_KEY, pull, 0, 1), refusal);
        GateWord memory g = gateWord(GATE_KEY, pull, 0, 1);
        vm.prank(person(0));
        vm.expectRevert(refusal);
        dist.claimAttested(pull, 0, t.bucket(0), t.proof(0), person(0), 0, "", g);
    }

    // -- the gate's word -------------------------------------------------------------------------------------------

    /// @notice A mask is of one round: on the next one, of the same list and gate, it is worth nothing.
    function test_maskReplayedOnTheNextRound() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.GATED);
        uint256 next = opened(t, Mode.GATED);
        GateWord memory g = gateWord(GATE_KEY, r, 0, 0xff);
        settleGated(t, r, 0, 0xff, 0xff);
        SparseWord memory c = chunk(t, next, 0, 0xff);
        refusedGated(c, g, BAD);
        Redirect[] memory items = one(redirect(t, next, 1, address(0xd)));
        vm.prank(lane);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.NotApproved.selector, next, 0, 2));
        dist.settleTo(1, 2, 0, items, one(g));
        _refusedClaim(t, next, 1, g, abi.encodeWithSelector(IDistributor.NotApproved.selector, next, 0, 2));
        g.roundNo = next;
        refusedGated(c, g, BAD);
        vm.prank(lane);
        vm.expectRevert(BAD);
        dist.settleTo(1, 2, 0, items, one(g));
        _refusedClaim(t, next, 1, g, BAD);
        eq(dist.paidWord(next, 0), 0, "nothing");
    }

    function _refusedClaim(TestTree.Tree memory t, uint256 r, uint256 i, GateWord memory g, bytes memory why) private {
        vm.prank(person(i));
        vm.expectRevert(why);
        dist.claimAttested(r, i, t.bucket(i), t.proof(i), person(i), 0, "", g);
    }

    function test_everyFieldIsSigned() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.GATED);
        SparseWord memory c = chunk(t, r, 0, 0x2);
        for (uint256 k; k < 6; ++k) {
            GateWord memory g = gateWord(GATE_KEY, r, 0, 0x2);
            if (k == 0) g.mask = 0x6;
            if (k == 1) g.asOfSeq += 1;
            if (k == 2) g.expiry += 1;
            if (k == 3) g.signature = signed(GATE_KEY, gateDigest(2, RULES, g));
            // A gate that signs under other rules than the round's has decided something else.
            if (k == 4) g.signature = signed(GATE_KEY, gateDigest(1, keccak256("other rules"), g));
            if (k == 5) g.signature = "";
            refusedGated(c, g, BAD);
            // Nor does it help to name those rules.
            if (k == 4) refusedGated(one(c), packed(c.mask, g, keccak256("other rules")), BAD);
        }
        // The same bit of the next word is somebody else.
        GateWord memory other = gateWord(GATE_KEY, r, 0, 0x2);
        bytes memory why = abi.encodeWithSelector(IDistributor.NotApproved.selector, r, 1, 2);
        refusedGated(chunk(t, r, 1, 0x2), other, BAD);
        _refusedClaim(t, r, 257, other, why);
        Redirect[] memory items = one(redirect(t, r, 257, address(0xd)));
        vm.prank(lane);
        vm.expectRevert(why);
        dist.settleTo(1, 1, 0, items, one(other));
        other.word = 1;
        refusedGated(chunk(t, r, 1, 0x2), other, BAD);
        vm.chainId(5);
        refusedGated(c, gateWordOn(31337, r), BAD);
        vm.chainId(31337);
        IDistributor first = dist;
        GateWord memory ours = gateWord(GATE_KEY, r, 0, 0x2);
        dist = deploy(ClaimPolicy.ALWAYS);
        opened(t, Mode.GATED);
        batch = 0;
        refusedGated(c, ours, BAD);
        dist = first;
        settleGated(t, r, 0, 0x2, 0x2);
    }

    function gateWordOn(uint256 chain, uint256 r) private returns (GateWord memory g) {
        vm.chainId(chain);
        g = gateWord(GATE_KEY, r, 0, 0x2);
        vm.chainId(5);
    }

    function test_expired() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory g = GateWord(r, 0, 1, 7, now_() + 10, "");
        g.signature = signed(GATE_KEY, gateDigest(1, RULES, g));
        uint256 before = vm.snapshotState();
        pass(10);
        claimAttested(t, r, 0, g);
        vm.revertToState(before);
        pass(11);
        bytes memory why = abi.encodeWithSelector(IDistributor.GateExpired.selector, g.expiry);
        refusedGated(chunk(t, r, 0, 1), g, why);
        _refusedClaim(t, r, 0, g, why);
        Redirect[] memory items = one(redirect(t, r, 0, address(0xd)));
        vm.prank(lane);
        vm.expectRevert(why);
        dist.settleTo(1, 1, 0, items, one(g));
    }

    // -- versions --------------------------------------------------------------------------------------------------

    /// @notice With the gate unset, or set for other rules, the round cannot even be announced.
    function test_gateUnset() public {
        TestTree.Tree memory t = people(4);
        RoundTerms memory terms = termsFor(t, Mode.GATED);
        bytes memory why = abi.encodeWithSelector(
            IDistributor.BadRound.selector, "its gate version is not installed for its rules"
        );
        Approval memory a = approve(publishFields(dist, 1, terms), 3);
        vm.expectRevert(why);
        dist.publish(1, terms, a);
        RoundTerms memory noRules = termsFor(t, Mode.GATED);
        noRules.rulesHash = 0;
        Approval memory c = approve(publishFields(dist, 1, noRules), 3);
        vm.expectRevert(why);
        dist.publish(1, noRules, c);
        installGate(1, abi.encodePacked(vm.addr(GATE_KEY)), 3);
        terms.rulesHash = keccak256("others");
        Approval memory b = approve(publishFields(dist, 1, terms), 3);
        vm.expectRevert(why);
        dist.publish(1, terms, b);
        dist.publish(1, termsFor(t, Mode.GATED), a);
        eq(dist.round(1).gate, 1, "published");
    }

    function test_installing() public {
        bytes memory signer = abi.encodePacked(vm.addr(GATE_KEY));
        _refusedInstall(0, signer, 3, _rule("versions count from 1"));
        _refusedInstall(1, "", 3, _rule("a signer must be 20 to 160 bytes"));
        _refusedInstall(1, new bytes(19), 3, _rule("a signer must be 20 to 160 bytes"));
        _refusedInstall(1, bytes.concat(signer, new bytes(141)), 3, _rule("a signer must be 20 to 160 bytes"));
        _refusedInstall(1, new bytes(20), 3, _rule("a signer must not begin with the zero address"));
        _refusedInstall(1, new bytes(60), 3, _rule("a signer must not begin with the zero address"));
        _refusedInstall(1, abi.encodePacked(lane), 3, _rule("a sequencer's key must not be a gate's"));
        _refusedInstall(1, abi.encodePacked(spare), 3, _rule("a sequencer's key must not be a gate's"));
        _refusedInstall(1, abi.encodePacked(control2), 3, _rule("a sequencer's key must not be a gate's"));
        _refusedInstall(1, signer, 2, abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        vm.expectEmit(address(dist));
        emit IDistributor.GateInstalled(1, signer, RULES);
        installGate(1, signer, 3);
        eq(keccak256(warden.gateOf(address(dist), 1).signer), keccak256(signer), "signer");
        eq(warden.gateOf(address(dist), 1).rulesHash, RULES, "rules");
        eq(warden.gateOf(address(this), 1).installedAt, 0, "each Distributor has its own");
        // Not even M change a version: a new key is a new version.
        _refusedInstall(1, abi.encodePacked(stranger), 5, _rule("the version is installed already"));
        installGate(65_535, abi.encodePacked(stranger), 3);
    }

    function _rule(string memory rule) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IWarden.BadGate.selector, rule);
    }

    function _refusedInstall(uint16 version, bytes memory signer, uint256 count, bytes memory why) private {
        Approval memory a = approve(installFields(version, signer, RULES), count);
        vm.expectRevert(why);
        dist.installGate(version, signer, RULES, a);
    }

    /// @notice A round keeps the version that it was published with.
    function test_aNewVersionDoesNotReachPublishedRounds() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        installGate(2, abi.encodePacked(vm.addr(0xe1)), 3);
        GateWord memory g = GateWord(r, 0, 1, 7, FAR, "");
        g.signature = signed(0xe1, gateDigest(2, RULES, g));
        refusedGated(chunk(t, r, 0, 1), g, BAD);
        settleGated(t, r, 0, 1, 1);
    }

    function test_gatesOfEveryKind() public {
        TestTree.Tree memory t = people(8);
        bytes memory key = "a passkey's 64 bytes, say, which is more than one storage slot...";
        installGate(1, bytes.concat(bytes20(address(new NumberVerifier())), key), 3);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory g = GateWord(r, 0, 3, 7, FAR, "");
        g.signature = abi.encode(keccak256(abi.encode("another key", gateDigest(1, RULES, g))));
        refusedGated(chunk(t, r, 0, 3), g, BAD);
        g.signature = abi.encode(keccak256(abi.encode(key, gateDigest(1, RULES, g))));
        claimAttested(t, r, 0, g);
        isTrue(isGot(0), "ERC-7913");
        _settlesFirst(t, r, 0x2, g);
        g.signature = "";
        refusedGated(chunk(t, r, 0, 1), g, BAD);

        // Of a verifier with a key it is the key that counts: what the verifier itself signs, were it an account, does not.
        dist = deploy(ClaimPolicy.ALWAYS);
        installGate(1, bytes.concat(abi.encodePacked(vm.addr(GATE_KEY)), key), 3);
        r = opened(t, Mode.GATED);
        refusedGated(chunk(t, r, 0, 1), gateWord(GATE_KEY, r, 0, 1), BAD);

        ContractWallet wallet = new ContractWallet();
        dist = deploy(ClaimPolicy.ALWAYS);
        installGate(1, abi.encodePacked(address(wallet)), 3);
        r = opened(t, Mode.GATED);
        g = GateWord(r, 0, 8, 7, FAR, "");
        refusedGated(chunk(t, r, 0, 8), g, BAD);
        wallet.approve(gateDigest(1, RULES, g), true);
        claimAttested(t, r, 3, g);
        isTrue(isGot(3), "ERC-1271");
        g = GateWord(r, 0, 4, 7, FAR, "");
        wallet.approve(gateDigest(1, RULES, g), true);
        _settlesFirst(t, r, 0x4, g);
    }

    /// @dev A batch under a contract's signature, and the same with a false proof or under other rules.
    function _settlesFirst(TestTree.Tree memory t, uint256 r, uint256 mask, GateWord memory g) private {
        SparseWord[] memory chunks = one(chunk(t, r, 0, mask));
        bytes memory gates = packed(chunks, one(g));
        chunks[0].proof[0] ^= bytes32(uint256(1));
        refusedGated(chunks, gates, abi.encodeWithSelector(IDistributor.BadProof.selector));
        chunks[0].proof[0] ^= bytes32(uint256(1));
        refusedGated(chunks, packed(mask, g, keccak256("other rules")), BAD);
        uint256 before = dist.paidWord(r, 0);
        uint64 no = dist.nextBatch();
        vm.prank(lane);
        dist.settleGated(1, no, 0, chunks, gates);
        eq(dist.paidWord(r, 0), before | mask, "a batch under a contract's signature");
    }

    // -- redirected, and by wallets --------------------------------------------------------------------------------

    function test_settleToInAGatedRound() public {
        TestTree.Tree memory t = people(300);
        uint256 r = opened(t, Mode.GATED);
        uint256 pull = opened(t, Mode.PULL);
        Redirect[] memory items = new Redirect[](3);
        items[0] = redirect(t, r, 2, address(0xd2));
        items[1] = redirect(t, r, 299, address(0xd3));
        items[2] = redirect(t, pull, 4, address(0xd4));
        GateWord[] memory gates = new GateWord[](2);
        gates[0] = gateWord(GATE_KEY, r, 0, 0x4);
        gates[1] = gateWord(GATE_KEY, r, 1, 0x1);
        bytes memory why = abi.encodeWithSelector(IDistributor.NotApproved.selector, r, 1, 1 << 43);
        vm.prank(lane);
        vm.expectRevert(why);
        dist.settleTo(1, 1, 0, items, gates);
        vm.prank(lane);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.NotApproved.selector, r, 0, 4));
        dist.settleTo(1, 1, 0, items, new GateWord[](0));
        // A forged word beside a good one is not looked past.
        gates[1] = gateWord(0xbad, r, 1, 1 << 43);
        vm.prank(lane);
        vm.expectRevert(BAD);
        dist.settleTo(1, 1, 0, items, gates);
        gates[1] = gateWord(GATE_KEY, r, 1, 1 << 43);
        vm.prank(lane);
        dist.settleTo(1, 1, 0, items, gates);
        eq(token.balanceOf(address(0xd2)), amountOf(2), "word 0");
        eq(token.balanceOf(address(0xd3)), amountOf(299), "word 1");
        eq(token.balanceOf(address(0xd4)), amountOf(4), "a plain round beside it");
    }

    function test_claimAttested() public {
        TestTree.Tree memory t = people(9);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory g = gateWord(GATE_KEY, r, 0, 0x10f);
        vm.expectEmit(address(dist));
        emit IDistributor.Claimed(r, 0, person(0));
        claimAttested(t, r, 0, g);
        bytes memory forSig = claimSignature(PERSON + 8, r, 8, person(8), amountOf(8), FAR);
        vm.prank(stranger);
        dist.claimAttested(r, 8, t.bucket(8), t.proof(8), person(8), FAR, forSig, g);
        bytes memory toSig = claimSignature(PERSON + 3, r, 3, address(0xd3), amountOf(3), FAR);
        vm.prank(stranger);
        dist.claimAttested(r, 3, t.bucket(3), t.proof(3), address(0xd3), FAR, toSig, g);
        isTrue(isGot(0) && isGot(8), "to the listed wallet");
        eq(token.balanceOf(address(0xd3)), amountOf(3), "where it signed");
        _refusedClaim(t, r, 0, g, abi.encodeWithSelector(IDistributor.AlreadyPaid.selector, r, 0));
        _refusedClaim(t, r, 4, g, abi.encodeWithSelector(IDistributor.NotApproved.selector, r, 0, 0x10));
    }

    /// @notice The gate's word alone pays nobody: it takes the listed wallet as well.
    function test_aSelfPaidPaymentTakesGateAndWallet() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory g = gateWord(GATE_KEY, r, 0, 0xf);
        bytes memory why = abi.encodeWithSelector(IDistributor.BadClaimSignature.selector, person(1));
        vm.prank(vm.addr(GATE_KEY));
        vm.expectRevert(why);
        dist.claimAttested(r, 1, t.bucket(1), t.proof(1), person(1), FAR, "", g);
        bytes memory gates = signed(GATE_KEY, claimDigest(r, 1, person(1), person(1), amountOf(1), FAR));
        vm.expectRevert(why);
        dist.claimAttested(r, 1, t.bucket(1), t.proof(1), person(1), FAR, gates, g);
        // Not even the wallet itself sends elsewhere without signing where to.
        vm.prank(person(1));
        vm.expectRevert(why);
        dist.claimAttested(r, 1, t.bucket(1), t.proof(1), address(0xd), FAR, "", g);
        bytes memory late = claimSignature(PERSON + 1, r, 1, address(0xd), amountOf(1), 1);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.ClaimExpired.selector, 1));
        dist.claimAttested(r, 1, t.bucket(1), t.proof(1), address(0xd), 1, late, g);
        _refusedClaim(t, r, 1, gateWord(0xbad, r, 0, 0xf), BAD);
        claimAttested(t, r, 1, g);
    }

    function test_claimAttestedObeysClosingAndPolicy() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory g = gateWord(GATE_KEY, r, 0, 0xf);
        uint64 closesAt = dist.round(r).closesAt;
        vm.warp(closesAt + 1);
        _refusedClaim(t, r, 0, g, abi.encodeWithSelector(IDistributor.Closed.selector, closesAt));
        settleGated(t, r, 0, 1, 1);
        isTrue(isGot(0), "settlements go on");

        dist = deploy(ClaimPolicy.EXIT_ONLY);
        r = opened(t, Mode.GATED);
        g = gateWord(GATE_KEY, r, 0, 0xf);
        _refusedClaim(t, r, 1, g, abi.encodeWithSelector(IDistributor.ClaimsNotOpen.selector, Phase.ACTIVE));
        toExit();
        claimAttested(t, r, 1, g);
    }

    /// @notice An exit pays exactly what was approved and nobody else.
    function test_exit() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory g = gateWord(GATE_KEY, r, 0, 0x7);
        toExit();
        SparseWord[] memory chunks = one(chunk(t, r, 0, 0xf));
        bytes memory gates = packed(chunks, one(g));
        vm.prank(stranger);
        vm.expectRevert(BAD);
        dist.settleGated(0, 0, 0, chunks, gates);
        chunks = one(chunk(t, r, 0, 0x7));
        gates = packed(chunks, one(g));
        vm.prank(stranger);
        dist.settleGated(0, 0, 0, chunks, gates);
        eq(dist.paidWord(r, 0), 0x7, "approved");
        _refusedClaim(t, r, 3, g, abi.encodeWithSelector(IDistributor.NotApproved.selector, r, 0, 8));
    }

    // -- disabling -------------------------------------------------------------------------------------------------

    function test_oneInstitutionDisablesFor72Hours() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        GateWord memory g = gateWord(GATE_KEY, r, 0, 0xf);
        uint64 until = now_() + 72 hours;
        bytes memory spent = abi.encodeWithSelector(IWarden.RationSpent.selector, 72 hours + 1, 72 hours);
        refusedDisable(1, until + 1, 2, 1, spent);
        refusedDisable(2, until, 2, 1, abi.encodeWithSelector(IWarden.BadGate.selector, "no such version is installed"));
        vm.expectEmit(address(dist));
        emit IDistributor.GateDisabled(1, until, 4);
        disable(1, until, 2, 1);
        bytes memory off = abi.encodeWithSelector(IDistributor.GateOff.selector, 1, until);
        refusedGated(chunk(t, r, 0, 1), g, off);
        _refusedClaim(t, r, 0, g, off);
        Redirect[] memory items = one(redirect(t, r, 0, address(0xd)));
        vm.prank(lane);
        vm.expectRevert(off);
        dist.settleTo(1, 1, 0, items, one(g));
        // It cannot make it longer, nor again, nor take it back; two are worth no more.
        refusedDisable(1, until + 1, 2, 1, spent);
        refusedDisable(1, until + 1, 2, 2, spent);
        refusedDisable(1, 0, 2, 1, abi.encodeWithSelector(ICharter.QuorumMissed.selector, 1, 3));
        vm.warp(until);
        claimAttested(t, r, 0, g);
        settleGated(t, r, 0, 0x2, 0x2);
        isTrue(isGot(0) && isGot(1), "it counts again");
        pass(400 days);
        refusedDisable(1, now_() + 1, 2, 1, spent);
        disable(1, now_() + 60, 3, 1);
        // Its rations are of this version.
        installGate(2, abi.encodePacked(stranger), 3);
        disable(2, now_() + 60, 2, 1);
    }

    function test_mDisableFor30DaysAndEndIt() public {
        TestTree.Tree memory t = people(4);
        uint256 r = opened(t, Mode.GATED);
        uint64 until = now_() + 30 days;
        refusedDisable(1, until + 1, 0, 3, abi.encodeWithSelector(IWarden.TooLong.selector, until));
        disable(1, until, 0, 3);
        disable(1, 0, 0, 3);
        claimAttested(t, r, 0, gateWord(GATE_KEY, r, 0, 1));
        refusedDisable(
            1, now_() + 1, 0, 3, abi.encodeWithSelector(IWarden.RationSpent.selector, 30 days + 1, 30 days)
        );
        disable(1, until, 0, 4);
        pass(30 days);
        uint64 next = now_() + 30 days;
        refusedDisable(1, next, 0, 3, abi.encodeWithSelector(IWarden.RationSpent.selector, 60 days, 30 days));
        disable(1, next, 0, 4);
    }

    /// @notice Nobody alone stops the exit.
    function test_outsideActiveItTakesM() public {
        TestTree.Tree memory t = people(4);
        opened(t, Mode.GATED);
        toExit();
        refusedDisable(1, now_() + 60, 0, 2, abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        disable(1, now_() + 60, 0, 3);
    }

    function test_approvalsServeOnce() public {
        TestTree.Tree memory t = people(4);
        opened(t, Mode.GATED);
        uint64 until = now_() + 60;
        Approval memory a = asDisable(1, until, 0, 3);
        dist.disableGate(1, until, 3, nonce, a);
        disable(1, 0, 0, 3);
        vm.expectPartialRevert(IDistributor.AlreadyUsed.selector);
        dist.disableGate(1, until, 3, nonce - 1, a);
    }
}
