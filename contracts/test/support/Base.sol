// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../../src/interfaces/ICharter.sol";
import {IDistributor} from "../../src/interfaces/IDistributor.sol";
import {IWarden} from "../../src/interfaces/IWarden.sol";
import {
    Approval,
    AuthoritySignature,
    ClaimPolicy,
    DistributorTerms,
    Founding,
    GateWord,
    Institution,
    LogKey,
    Mode,
    Redirect,
    RoundTerms,
    SequencerKeys,
    SparseWord,
    Timers
} from "../../src/interfaces/Types.sol";
import {Actions} from "../../src/lib/Actions.sol";
import {Checks} from "./Checks.sol";
import {TestTree} from "./TestTree.sol";
import {OddToken} from "./Tokens.sol";

/// @notice A Charter of five institutions (M = 3), one Distributor, and the people of a list whose keys are known.
abstract contract Base is Checks {
    using TestTree for TestTree.Tree;

    uint256 internal constant INSTITUTIONS = 5;
    uint256 internal constant PERSON = 0xbe0000;
    uint256 internal constant START = 1_800_000_000;
    uint64 internal constant FAR = 4_000_000_000;
    uint256 internal constant GATE_KEY = 0x9a7e;
    bytes32 internal constant RULES = keccak256("rules");
    uint64 internal constant DELAY = 3600;
    uint64 internal constant TERM = 30 days;
    uint64 internal constant GRACE = 10 days;
    uint64 internal constant GAS = 200_000;

    address internal control = address(0xc0);
    address internal lane = address(0x1a);
    address internal spare = address(0x1b);
    address internal control2 = address(0xc2);
    address internal lane2 = address(0x2a);
    address internal refund = address(0x4ef);
    address internal stranger = address(0x57);

    ICharter internal charter;
    IWarden internal warden;
    IDistributor internal dist;
    OddToken internal token;
    uint64 internal batch;

    function setUp() public virtual {
        vm.warp(START);
        token = new OddToken();
        charter = foundedBy(founding());
        warden = IWarden(charter.warden());
        dist = deploy(ClaimPolicy.ALWAYS);
        vm.prank(control);
        charter.takeEpoch(1);
    }

    // -- deployment ----------------------------------------------------------------------------------------------

    /// @dev A Charter that waits for the founding content of this hash.
    function promised(bytes32 hash) internal returns (ICharter) {
        return ICharter(vm.deployCode("Charter.sol:Charter", abi.encode(hash)));
    }

    function foundedBy(Founding memory f) internal returns (ICharter c) {
        c = promised(keccak256(abi.encode(f)));
        c.found(f);
    }

    /// @dev Key `k` of institution `i`; every institution has two.
    function authorityKey(uint256 i, uint256 k) internal pure returns (uint256) {
        return 0xa0000 + 16 * i + k;
    }

    function founding() internal view virtual returns (Founding memory f) {
        f.institutions = new Institution[](INSTITUTIONS);
        for (uint256 i; i < INSTITUTIONS; ++i) {
            f.institutions[i].name = string.concat("Institution ", vm.toString(i));
            f.institutions[i].signers = new bytes[](2);
            for (uint256 k; k < 2; ++k) f.institutions[i].signers[k] = abi.encodePacked(vm.addr(authorityKey(i, k)));
        }
        f.publishThreshold = 3;
        f.sequencers = new SequencerKeys[](2);
        f.sequencers[0] = keys(control, lane);
        f.sequencers[1] = keys(control2, lane2);
        f.logKeys = new LogKey[](1);
        f.logKeys[0] = LogKey(bytes32(uint256(1)), "sluice.example/log");
        f.timers = Timers({w1: 1 days, w2: 2 days, finality: 1 hours, beatEvery: 0, takeEpochEvery: 600});
    }

    function keys(address control_, address lane_) internal view returns (SequencerKeys memory k) {
        k.control = control_;
        k.lanes = new address[](lane_ == lane ? 2 : 1);
        k.lanes[0] = lane_;
        if (lane_ == lane) k.lanes[1] = spare;
    }

    function termsOf(ClaimPolicy policy) internal view returns (DistributorTerms memory) {
        return DistributorTerms(address(token), address(charter), refund, policy, GRACE, DELAY, GAS);
    }

    function deploy(ClaimPolicy policy) internal virtual returns (IDistributor) {
        return IDistributor(vm.deployCode("Distributor.sol:Distributor", abi.encode(termsOf(policy))));
    }

    // -- signatures ----------------------------------------------------------------------------------------------

    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", charter.domainSeparator(), structHash));
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev `fields` is the action's abi-encoded struct up to the set version; institutions 0 to count − 1 sign.
    function approve(bytes memory fields, uint256 count) internal view returns (Approval memory a) {
        a.setVersion = charter.setVersion();
        a.deadline = FAR;
        bytes32 digest = digestOf(keccak256(bytes.concat(fields, abi.encode(a.setVersion, a.deadline))));
        a.signatures = new AuthoritySignature[](count);
        for (uint256 i; i < count; ++i) a.signatures[i] = by(authorityKey(i, 0), digest);
    }

    function by(uint256 key, bytes32 digest) internal pure returns (AuthoritySignature memory) {
        return AuthoritySignature(abi.encodePacked(vm.addr(key)), signed(key, digest));
    }

    function publishFields(IDistributor d, uint256 roundNo, RoundTerms memory t)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory head = abi.encode(
            Actions.PUBLISH, address(d), roundNo, t.root, t.depth, t.count, t.total, t.rulesHash, t.opensAt, t.closesAt
        );
        return bytes.concat(
            head, abi.encode(t.mode, t.gate, t.supersedes, keccak256(bytes(t.listUri)), t.listHash)
        );
    }

    function claimSignature(uint256 key, uint256 roundNo, uint256 index, address to, uint96 amount, uint64 deadline)
        internal
        view
        returns (bytes memory)
    {
        return signed(key, claimDigest(roundNo, index, vm.addr(key), to, amount, deadline));
    }

    function claimDigest(
        uint256 roundNo,
        uint256 index,
        address recipient,
        address to,
        uint96 amount,
        uint64 deadline
    ) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            "Claim(uint256 round,uint256 index,address recipient,address to,uint96 amount,uint64 deadline)"
        );
        bytes32 structHash = keccak256(abi.encode(typeHash, roundNo, index, recipient, to, amount, deadline));
        return keccak256(abi.encodePacked(hex"1901", dist.domainSeparator(), structHash));
    }

    // -- lists and rounds ----------------------------------------------------------------------------------------

    function person(uint256 i) internal pure returns (address) {
        return vm.addr(PERSON + i);
    }

    function amountOf(uint256 i) internal pure returns (uint96) {
        return uint96(1e18 + i);
    }

    /// @dev Persons 0 to count − 1 at their own index.
    function people(uint256 count) internal pure returns (TestTree.Tree memory) {
        bytes32[] memory entries = new bytes32[](count);
        for (uint256 i; i < count; ++i) entries[i] = TestTree.entry(person(i), amountOf(i));
        return TestTree.build(entries);
    }

    function termsFor(TestTree.Tree memory t, Mode mode) internal view returns (RoundTerms memory r) {
        r.root = t.root;
        r.depth = uint8(t.depth);
        r.count = uint64(t.count);
        r.total = uint128(t.total);
        r.rulesHash = RULES;
        r.opensAt = now_();
        r.closesAt = now_() + TERM;
        r.mode = mode;
        r.gate = mode == Mode.GATED ? 1 : 0;
        r.listUri = "https://example.org/list";
        r.listHash = keccak256("list");
    }

    /// @dev GATED rounds name gate version 1, whose key is GATE_KEY unless a test installed another.
    function publish(TestTree.Tree memory t, Mode mode) internal returns (uint256 roundNo) {
        bool missing = warden.gateOf(address(dist), 1).installedAt == 0;
        if (mode == Mode.GATED && missing) installGate(1, abi.encodePacked(vm.addr(GATE_KEY)), 3);
        return publish(termsFor(t, mode));
    }

    function publish(RoundTerms memory terms) internal returns (uint256 roundNo) {
        roundNo = dist.roundCount() + 1;
        dist.publish(roundNo, terms, approve(publishFields(dist, roundNo, terms), 3));
    }

    /// @dev Publishes, funds with exactly the total, waits and opens.
    function opened(TestTree.Tree memory t, Mode mode) internal returns (uint256) {
        return openedOnce(publish(t, mode), t.total);
    }

    function openedOnce(uint256 roundNo, uint256 total) internal returns (uint256) {
        token.mint(address(dist), total);
        pass(DELAY);
        dist.open(roundNo);
        return roundNo;
    }

    function installFields(uint16 version, bytes memory signer, bytes32 rules) internal view returns (bytes memory) {
        return abi.encode(Actions.INSTALL_GATE, address(dist), version, keccak256(signer), rules);
    }

    function installGate(uint16 version, bytes memory signer, uint256 count) internal {
        dist.installGate(version, signer, RULES, approve(installFields(version, signer, RULES), count));
    }

    // -- payments ------------------------------------------------------------------------------------------------

    function settle(TestTree.Tree memory t, uint256 roundNo, uint256 start, uint8 levels) internal {
        (bytes memory words, bytes32[] memory path) = t.range(start, levels);
        vm.prank(lane);
        dist.settle(1, ++batch, keccak256("log"), roundNo, start, levels, words, path);
    }

    function chunk(TestTree.Tree memory t, uint256 roundNo, uint256 word, uint256 mask)
        internal
        pure
        returns (SparseWord memory)
    {
        (bytes memory words, bytes32[] memory proof) = t.sparse(word, mask);
        return SparseWord(roundNo, word, mask, words, proof);
    }

    function settleSparse(TestTree.Tree memory t, uint256 roundNo, uint256 word, uint256 mask) internal {
        SparseWord[] memory chunks = new SparseWord[](1);
        chunks[0] = chunk(t, roundNo, word, mask);
        vm.prank(lane);
        dist.settleSparse(1, ++batch, keccak256("log"), chunks);
    }

    function redirect(TestTree.Tree memory t, uint256 roundNo, uint256 index, address to)
        internal
        view
        returns (Redirect memory)
    {
        bytes memory signature = claimSignature(PERSON + index, roundNo, index, to, amountOf(index), FAR);
        return Redirect(roundNo, index, to, FAR, signature, t.bucket(index), t.proof(index));
    }

    function settleTo(Redirect[] memory items) internal {
        vm.prank(lane);
        dist.settleTo(1, ++batch, keccak256("log"), items, new GateWord[](0));
    }

    function claim(TestTree.Tree memory t, uint256 roundNo, uint256 index) internal {
        vm.prank(person(index));
        dist.claim(roundNo, uint64(index), t.bucket(index), t.proof(index));
    }

    function void(TestTree.Tree memory t, uint256 roundNo, uint256 word, uint256 mask) internal {
        bytes memory fields = abi.encode(Actions.VOID, address(dist), roundNo, word, mask);
        dist.void(chunk(t, roundNo, word, mask), approve(fields, 3));
    }

    function isGot(uint256 i) internal view returns (bool) {
        return token.balanceOf(person(i)) == amountOf(i);
    }
}
