// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {
    Approval,
    AuthoritySignature,
    ChangeKind,
    ClaimPolicy,
    Constitution,
    DistributorTerms,
    Founding,
    Institution,
    LogKey,
    Mode,
    Quorum,
    RoundTerms,
    SequencerKeys
} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";
import {ContractWallet, NumberVerifier} from "./support/Wallets.sol";

/// @notice Who counts, who settles, and how the constitution changes.
contract CharterTest is Base {
    using TestTree for TestTree.Tree;

    bytes32 private constant ACTION = keccak256("some action");

    // -- counting institutions -----------------------------------------------------------------------------------

    function _count(AuthoritySignature[] memory signatures, Quorum quorum, bytes memory why) private {
        Approval memory a = Approval(charter.setVersion(), FAR, signatures);
        if (why.length != 0) vm.expectRevert(why);
        charter.requireQuorum(quorum, ACTION, a);
    }

    function test_emptyListCountsNobody() public {
        _count(new AuthoritySignature[](0), Quorum.ONE, abi.encodeWithSelector(ICharter.QuorumMissed.selector, 0, 1));
    }

    function test_outsiderIsRefused() public {
        AuthoritySignature[] memory s = new AuthoritySignature[](4);
        for (uint256 i; i < 3; ++i) s[i] = by(authorityKey(i, 0), digestOf(ACTION));
        s[3] = by(0xbad, digestOf(ACTION));
        _count(s, Quorum.PUBLISH, abi.encodeWithSelector(ICharter.NotAnAuthority.selector, s[3].signer));
    }

    function test_twoKeysOfOneInstitutionCountOnce() public {
        AuthoritySignature[] memory s = new AuthoritySignature[](4);
        for (uint256 i; i < 4; ++i) s[i] = by(authorityKey(i / 2, i % 2), digestOf(ACTION));
        _count(s, Quorum.PUBLISH, abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        s[3] = by(authorityKey(4, 1), digestOf(ACTION));
        _count(s, Quorum.PUBLISH, "");
        s[1] = s[0];
        s[3] = s[0];
        _count(s, Quorum.PUBLISH, abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
    }

    function test_signatureOfAnotherActionIsRefused() public {
        AuthoritySignature[] memory s = new AuthoritySignature[](1);
        s[0] = by(authorityKey(0, 0), digestOf(keccak256("other")));
        _count(s, Quorum.ONE, abi.encodeWithSelector(ICharter.BadAuthoritySignature.selector, s[0].signer));
        s[0] = by(authorityKey(0, 0), digestOf(ACTION));
        s[0].signer = abi.encodePacked(vm.addr(authorityKey(1, 0)));
        _count(s, Quorum.ONE, abi.encodeWithSelector(ICharter.BadAuthoritySignature.selector, s[0].signer));
    }

    function test_staleVersionAndDeadline() public {
        AuthoritySignature[] memory s = new AuthoritySignature[](1);
        s[0] = by(authorityKey(0, 0), digestOf(ACTION));
        vm.expectRevert(abi.encodeWithSelector(ICharter.StaleSetVersion.selector, 2, 1));
        charter.requireQuorum(Quorum.ONE, ACTION, Approval(2, FAR, s));
        uint64 past = now_() - 1;
        vm.expectRevert(abi.encodeWithSelector(ICharter.ApprovalExpired.selector, past));
        charter.requireQuorum(Quorum.ONE, ACTION, Approval(1, past, s));
    }

    /// @notice Every kind of signer: plain key, plain key with delegated code (EIP-7702), contract (ERC-1271), ERC-7913.
    function test_kindsOfSigners() public {
        ContractWallet safe = new ContractWallet();
        NumberVerifier verifier = new NumberVerifier();
        Founding memory f = founding();
        f.institutions[1].signers[0] = abi.encodePacked(address(safe));
        f.institutions[2].signers[0] = abi.encodePacked(address(verifier), uint256(77));
        charter = foundedBy(f);
        vm.etch(vm.addr(authorityKey(0, 0)), address(new ContractWallet()).code);
        bytes32 digest = digestOf(ACTION);

        AuthoritySignature[] memory s = new AuthoritySignature[](3);
        s[0] = by(authorityKey(0, 0), digest);
        s[1] = AuthoritySignature(f.institutions[1].signers[0], "whatever the Safe takes");
        s[2] = AuthoritySignature(
            f.institutions[2].signers[0], abi.encode(keccak256(abi.encode(abi.encodePacked(uint256(77)), digest)))
        );
        _count(s, Quorum.PUBLISH, abi.encodeWithSelector(ICharter.BadAuthoritySignature.selector, s[1].signer));
        safe.approve(digest, true);
        _count(s, Quorum.PUBLISH, "");
        s[2].signature = abi.encode(uint256(1));
        _count(s, Quorum.PUBLISH, abi.encodeWithSelector(ICharter.BadAuthoritySignature.selector, s[2].signer));
    }

    function test_quorums() public {
        uint256[5][7] memory wanted = [
            [uint256(1), 1, 1, 1, 1],
            [uint256(2), 1, 2, 2, 2],
            [uint256(3), 2, 2, 2, 3],
            [uint256(4), 2, 3, 3, 3],
            [uint256(5), 2, 3, 4, 4],
            [uint256(8), 3, 5, 7, 6],
            [uint256(32), 11, 17, 20, 24]
        ];
        for (uint256 k; k < wanted.length; ++k) {
            uint256 n = wanted[k][0];
            ICharter c = _withInstitutions(n, wanted[k][3]);
            eq(c.quorumOf(Quorum.ONE), 1, "one");
            eq(c.quorumOf(Quorum.THIRD), wanted[k][1], "third");
            eq(c.quorumOf(Quorum.HALF), wanted[k][2], "half");
            eq(c.quorumOf(Quorum.PUBLISH), wanted[k][3], "publish");
            eq(c.quorumOf(Quorum.THREE_QUARTERS), wanted[k][4], "three quarters");
            for (uint256 q; q < 5 && n >= 4; ++q) {
                isTrue(c.quorumOf(Quorum(q)) <= n - 1, "one lost key locks nothing from four on");
            }
        }
    }

    function _withInstitutions(uint256 n, uint256 threshold) private returns (ICharter) {
        return foundedBy(_foundingOf(n, threshold));
    }

    function _foundingOf(uint256 n, uint256 threshold) private view returns (Founding memory f) {
        f = founding();
        f.publishThreshold = uint8(threshold);
        f.institutions = new Institution[](n);
        for (uint256 i; i < n; ++i) {
            f.institutions[i].name = "x";
            f.institutions[i].signers = new bytes[](1);
            f.institutions[i].signers[0] = abi.encodePacked(vm.addr(authorityKey(i, 0)));
        }
    }

    function _refusedFounding(Founding memory f) private {
        ICharter c = promised(keccak256(abi.encode(f)));
        (bool made,) = address(c).call(abi.encodeCall(ICharter.found, (f)));
        isTrue(!made, "refused");
        eq(c.setVersion(), 0, "not founded");
    }

    function test_foundingIsAsPromisedAndOnce() public {
        Founding memory f = founding();
        ICharter c = promised(keccak256(abi.encode(f)));
        f.publishThreshold += 1;
        bytes32 other = keccak256(abi.encode(f));
        f.publishThreshold -= 1;
        bytes32 promise_ = keccak256(abi.encode(f));
        f.publishThreshold += 1;
        vm.expectRevert(abi.encodeWithSelector(ICharter.OtherFounding.selector, other, promise_));
        c.found(f);
        f.publishThreshold -= 1;
        c.found(f);
        eq(c.setVersion(), 1, "founded");
        vm.expectRevert(abi.encodeWithSelector(ICharter.AlreadyFounded.selector));
        c.found(f);
    }

    /// @notice Before the founding there is nobody to count, so nothing may pass by counting nobody.
    function test_beforeTheFoundingNothingIsApproved() public {
        ICharter c = promised(bytes32(uint256(1)));
        vm.expectRevert(abi.encodeWithSelector(ICharter.StaleSetVersion.selector, 0, 0));
        c.requireQuorum(Quorum.PUBLISH, ACTION, Approval(0, FAR, new AuthoritySignature[](0)));
        vm.expectRevert(abi.encodeWithSelector(ICharter.StaleSetVersion.selector, 0, 0));
        c.exit("", 0, 0, Approval(0, FAR, new AuthoritySignature[](0)));
        DistributorTerms memory t = termsOf(ClaimPolicy.ALWAYS);
        t.charter = address(c);
        vm.expectRevert(abi.encodeWithSelector(IDistributor.BadTerms.selector, "the Charter is not founded yet"));
        vm.deployCode("Distributor.sol:Distributor", abi.encode(t));
    }

    /// @notice Room for what a large constitution needs: the creation code does not grow with it (EIP-3860).
    function test_creationFitsATransaction() public view {
        bytes memory code = bytes.concat(vm.getCode("Charter.sol:Charter"), bytes32(0));
        isTrue(code.length <= 49_152, "EIP-3860");
    }

    function test_foundingIsChecked() public {
        _refusedFounding(_foundingOf(0, 0));
        _refusedFounding(_foundingOf(33, 20));
        _refusedFounding(_foundingOf(5, 2));
        _refusedFounding(_foundingOf(5, 5));
        _refusedFounding(_foundingOf(4, 4));
        Founding memory f = founding();
        f.institutions[1].signers[0] = f.institutions[0].signers[1];
        _refusedFounding(f);
        f = founding();
        f.institutions[1].signers[0] = abi.encodePacked(address(0));
        _refusedFounding(f);
        f = founding();
        f.institutions[1].signers[0] = hex"1234";
        _refusedFounding(f);
        f = founding();
        f.institutions[1].signers = new bytes[](0);
        _refusedFounding(f);
        f = founding();
        f.sequencers = new SequencerKeys[](0);
        _refusedFounding(f);
        f = founding();
        f.sequencers[1].lanes[0] = lane;
        _refusedFounding(f);
        f = founding();
        f.sequencers[1].control = control;
        _refusedFounding(f);
        f = founding();
        f.sequencers[0].lanes = new address[](0);
        _refusedFounding(f);
        f = founding();
        f.timers.w1 = 0;
        _refusedFounding(f);
        f = founding();
        f.timers.w2 = 91 days;
        _refusedFounding(f);
        f = founding();
        f.logKeys[0].key = 0;
        _refusedFounding(f);
    }

    function test_constitution() public view {
        Constitution memory c = charter.constitution();
        eq(c.institutions.length, INSTITUTIONS, "institutions");
        eq(keccak256(c.institutions[2].signers[1]), keccak256(abi.encodePacked(vm.addr(authorityKey(2, 1)))), "signer");
        eq(c.sequencers.length, 2, "sequencers");
        eq(c.sequencers[0].control, control, "control");
        eq(c.sequencers[0].lanes[1], spare, "lane");
        eq(c.logKeys[0].key, bytes32(uint256(1)), "log key");
        eq(c.quorums[3], 3, "M");
        eq(c.epoch, 1, "epoch");
        eq(c.setVersion, 1, "version");
        eq(c.timers.w2, 2 days, "timers");
    }

    // -- epochs and lanes ----------------------------------------------------------------------------------------

    function test_takeEpoch() public {
        vm.expectRevert(abi.encodeWithSelector(ICharter.NotAControlKey.selector, address(this)));
        charter.takeEpoch(2);
        vm.prank(lane);
        vm.expectRevert(abi.encodeWithSelector(ICharter.NotAControlKey.selector, lane));
        charter.takeEpoch(2);
        vm.prank(control2);
        vm.expectRevert(abi.encodeWithSelector(ICharter.EpochOutOfRange.selector, 1, 1));
        charter.takeEpoch(1);
        vm.prank(control2);
        vm.expectRevert(abi.encodeWithSelector(ICharter.EpochOutOfRange.selector, 1002, 1));
        charter.takeEpoch(1002);
        vm.expectEmit(address(charter));
        emit ICharter.EpochTaken(1001, 2, control2);
        vm.prank(control2);
        charter.takeEpoch(1001);
        eq(charter.sequencerOf(1001), 2, "sequencer of the epoch");
        eq(charter.sequencerOf(1), 1, "the old one stays on record");
    }

    /// @notice A stolen control key can fence the others only so often.
    function test_epochRateLimit() public {
        for (uint64 e = 2; e < 10; ++e) {
            vm.prank(control2);
            charter.takeEpoch(e);
        }
        vm.prank(control2);
        vm.expectRevert(abi.encodeWithSelector(ICharter.EpochRateLimited.selector, START + 600));
        charter.takeEpoch(10);
        vm.prank(control);
        charter.takeEpoch(10);
        vm.warp(START + 600);
        vm.prank(control2);
        charter.takeEpoch(11);
        vm.prank(control2);
        vm.expectPartialRevert(ICharter.EpochRateLimited.selector);
        charter.takeEpoch(12);
    }

    function _remove(uint32 id, SequencerKeys[] memory replacement) private view returns (Approval memory) {
        bytes32[] memory parts = new bytes32[](replacement.length);
        for (uint256 i; i < parts.length; ++i) parts[i] = _keysHash(replacement[i]);
        return approve(abi.encode(Actions.REMOVE_SEQUENCER, id, keccak256(abi.encodePacked(parts))), 2);
    }

    function _keysHash(SequencerKeys memory k) private pure returns (bytes32) {
        return keccak256(abi.encode(Actions.SEQUENCER_KEYS, k.control, keccak256(abi.encodePacked(k.lanes))));
    }

    function test_lanesOfARemovedSequencerAreOut() public {
        TestTree.Tree memory t = people(8);
        uint256 r = opened(t, Mode.PUSH);
        settle(t, r, 0, 0);
        charter.removeSequencer(1, new SequencerKeys[](0), _remove(1, new SequencerKeys[](0)));
        (bytes memory words, bytes32[] memory path) = t.range(4, 0);
        for (uint256 k; k < 2; ++k) {
            address account = k == 0 ? lane : spare;
            eq(charter.laneOf(account), 0, "no lane");
            vm.prank(account);
            vm.expectRevert(abi.encodeWithSelector(ICharter.NotALane.selector, account));
            dist.settle(1, 2, 0, r, 4, 0, words, path);
        }
        vm.prank(control);
        vm.expectRevert(abi.encodeWithSelector(ICharter.NotAControlKey.selector, control));
        charter.takeEpoch(2);
        eq(charter.setVersion(), 1, "signatures being collected are not spoilt");
    }

    function test_lastSequencerGoesOnlyWithAReplacement() public {
        SequencerKeys[] memory none = new SequencerKeys[](0);
        charter.removeSequencer(2, none, _remove(2, none));
        Approval memory a = _remove(1, none);
        vm.expectRevert(ICharter.LastSequencer.selector);
        charter.removeSequencer(1, none, a);
        SequencerKeys[] memory one = new SequencerKeys[](1);
        one[0] = keys(address(0xc3), address(0x3a));
        a = _remove(1, one);
        charter.removeSequencer(1, one, a);
        eq(charter.laneOf(address(0x3a)), 3, "a new id");
        vm.expectRevert(abi.encodeWithSelector(ICharter.UnknownSequencer.selector, 1));
        charter.removeSequencer(1, one, a);
    }

    // -- changes -------------------------------------------------------------------------------------------------

    function _schedule(Institution[] memory set, uint8 threshold, uint256 signers) private returns (bytes32) {
        bytes32[] memory parts = new bytes32[](set.length);
        for (uint256 i; i < parts.length; ++i) {
            bytes32[] memory hashes = new bytes32[](set[i].signers.length);
            for (uint256 k; k < hashes.length; ++k) hashes[k] = keccak256(set[i].signers[k]);
            parts[i] = keccak256(
                abi.encode(
                    Actions.INSTITUTION, keccak256(bytes(set[i].name)), keccak256(abi.encodePacked(hashes))
                )
            );
        }
        bytes memory fields =
            abi.encode(Actions.CHANGE_AUTHORITIES, keccak256(abi.encodePacked(parts)), threshold);
        Approval memory a = approve(fields, signers);
        if (signers < 4) vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, signers, 4));
        return charter.scheduleAuthorities(set, threshold, a);
    }

    function test_changeOfAuthorities() public {
        Institution[] memory set = _foundingOf(4, 3).institutions;
        _schedule(set, 3, 3);
        bytes32 id = _schedule(set, 3, 4);
        vm.expectPartialRevert(ICharter.ChangeNotReady.selector);
        charter.applyChange(id);
        pass(7 days);
        RoundTerms memory terms = termsFor(people(4), Mode.PULL);
        Approval memory old = approve(publishFields(dist, 1, terms), 3);
        charter.applyChange(id);
        eq(charter.institutionCount(), 4, "four now");
        eq(charter.setVersion(), 2, "a new version");
        eq(charter.institutionOf(abi.encodePacked(vm.addr(authorityKey(4, 0)))), 0, "the fifth is out");
        eq(charter.institutionOf(abi.encodePacked(vm.addr(authorityKey(0, 1)))), 0, "as are second keys");
        vm.expectRevert(abi.encodeWithSelector(ICharter.StaleSetVersion.selector, 1, 2));
        dist.publish(1, terms, old);
        vm.expectRevert(abi.encodeWithSelector(ICharter.UnknownChange.selector, id));
        charter.applyChange(id);
        publish(people(4), Mode.PULL);
    }

    function test_aChangeVoidsOtherPendingChanges() public {
        bytes32 first = _schedule(_foundingOf(4, 3).institutions, 3, 4);
        bytes32 second = _schedule(_foundingOf(6, 4).institutions, 4, 4);
        pass(7 days);
        charter.applyChange(first);
        vm.expectRevert(abi.encodeWithSelector(ICharter.StaleSetVersion.selector, 1, 2));
        charter.applyChange(second);
    }

    function test_changesLapseAndMayBeCancelled() public {
        bytes32 id = _schedule(_foundingOf(4, 3).institutions, 3, 4);
        pass(21 days + 1);
        vm.expectPartialRevert(ICharter.ChangeNotReady.selector);
        charter.applyChange(id);
        Institution[] memory set = _foundingOf(6, 4).institutions;
        id = _schedule(set, 4, 4);
        charter.cancelChange(id, approve(abi.encode(Actions.CANCEL_CHANGE, id), 2));
        pass(7 days);
        vm.expectRevert(abi.encodeWithSelector(ICharter.UnknownChange.selector, id));
        charter.applyChange(id);
        eq(charter.institutionCount(), 5, "unchanged");
    }

    function test_addSequencerLanesAndLogKeys() public {
        SequencerKeys memory k = keys(address(0xc3), address(0x3a));
        bytes32 id = charter.scheduleSequencer(k, approve(abi.encode(Actions.ADD_SEQUENCER, _keysHash(k)), 4));
        pass(7 days);
        charter.applyChange(id);
        eq(charter.laneOf(address(0x3a)), 3, "its lane");
        address[] memory lanes = new address[](16);
        for (uint256 i; i < 16; ++i) lanes[i] = address(uint160(0x3000 + i));
        bytes memory fields =
            abi.encode(Actions.CHANGE_LANES, uint32(3), keccak256(abi.encodePacked(lanes)));
        id = charter.scheduleLanes(3, lanes, approve(fields, 4));
        pass(7 days);
        charter.applyChange(id);
        eq(charter.laneOf(address(0x3a)), 0, "replaced");
        eq(charter.laneOf(lanes[15]), 3, "sixteen");

        LogKey[] memory add = new LogKey[](1);
        add[0] = LogKey(bytes32(uint256(9)), "new");
        bytes32[] memory revoke = new bytes32[](1);
        revoke[0] = bytes32(uint256(1));
        bytes32 hash = keccak256(abi.encode(Actions.LOG_KEY, add[0].key, keccak256("new")));
        fields = abi.encode(
            Actions.CHANGE_LOG_KEYS, keccak256(abi.encodePacked(hash)), keccak256(abi.encodePacked(revoke))
        );
        id = charter.scheduleLogKeys(add, revoke, approve(fields, 4));
        pass(7 days);
        charter.applyChange(id);
        Constitution memory c = charter.constitution();
        eq(c.logKeys[0].revokedAt, now_(), "revoked");
        eq(c.logKeys[1].key, bytes32(uint256(9)), "added");
        eq(c.setVersion, 4, "each change raises the version");
    }

    function test_seventeenLanesAreTooMany() public {
        address[] memory lanes = new address[](17);
        for (uint256 i; i < 17; ++i) lanes[i] = address(uint160(0x3000 + i));
        bytes memory fields =
            abi.encode(Actions.CHANGE_LANES, uint32(1), keccak256(abi.encodePacked(lanes)));
        bytes32 id = charter.scheduleLanes(1, lanes, approve(fields, 4));
        pass(7 days);
        vm.expectPartialRevert(ICharter.BadConstitution.selector);
        charter.applyChange(id);
    }

    // -- distributors --------------------------------------------------------------------------------------------

    function test_registerDistributor() public {
        bytes memory fields = abi.encode(Actions.REGISTER_DISTRIBUTOR, address(dist));
        Approval memory a = approve(fields, 2);
        vm.expectRevert(abi.encodeWithSelector(ICharter.QuorumMissed.selector, 2, 3));
        charter.registerDistributor(address(dist), a);
        a = approve(fields, 3);
        charter.registerDistributor(address(dist), a);
        isTrue(charter.isRegistered(address(dist)), "registered");
        vm.expectRevert(abi.encodeWithSelector(ICharter.AlreadyRegistered.selector, address(dist)));
        charter.registerDistributor(address(dist), a);
        a = approve(abi.encode(Actions.REGISTER_DISTRIBUTOR, address(0x77)), 3);
        vm.expectRevert(abi.encodeWithSelector(ICharter.NotOurDistributor.selector, address(0x77)));
        charter.registerDistributor(address(0x77), a);
    }
}
