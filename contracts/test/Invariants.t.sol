// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {
    Approval,
    AuthoritySignature,
    GateWord,
    Mode,
    Redirect,
    RoundState,
    RoundTerms,
    SequencerKeys,
    SparseWord
} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Base} from "./support/Base.sol";
import {TestTree} from "./support/TestTree.sol";
import {OddToken} from "./support/Tokens.sol";

/// @notice Everybody who may touch a campaign, honest or not, in random order. Each call is tried and may be refused;
/// what it may never do is stated in InvariantsTest.
contract Actors is Base {
    using TestTree for TestTree.Tree;

    uint256 public constant PEOPLE = 270;
    uint256 public constant MAX_ROUNDS = 4;
    TestTree.Tree internal tree;
    /// @dev Where signed claims may send: nothing else but a listed address ever receives.
    address public constant PAYEE = address(0xbeef);
    uint256 public calls;
    uint256 public successes;
    /// @dev Times a call that must never succeed did.
    uint256 public breaches;

    constructor() {
        setUp();
        bytes32[] memory entries = new bytes32[](PEOPLE);
        for (uint256 i; i < PEOPLE; ++i) entries[i] = TestTree.entry(person(i), amountOf(i));
        tree = TestTree.build(entries);
        opened(tree, Mode.PUSH);
        opened(tree, Mode.PULL);
    }

    function distributor() external view returns (IDistributor) {
        return dist;
    }

    function coin() external view returns (OddToken) {
        return token;
    }

    function funded() public view returns (uint256) {
        return tree.total * 2 + extra;
    }

    uint256 public extra;

    modifier counted() {
        ++calls;
        _;
    }

    function _round(uint256 pick) private view returns (uint256) {
        return 1 + pick % dist.roundCount();
    }

    function _batchNo(uint256 pick) private view returns (uint64) {
        return pick % 8 == 0 ? uint64(pick) : dist.nextBatch();
    }

    /// @dev The sequencer with the epoch; sometimes a lane of the other one, or a stranger (a stolen key at work).
    function _lane(uint256 pick) private view returns (address) {
        if (pick % 11 == 0) return stranger;
        return charter.sequencerOf(charter.epoch()) == 1 ? lane : lane2;
    }

    function settleRange(uint256 pickRound, uint256 pickStart, uint8 levels, uint256 who) external counted {
        levels %= 7;
        uint256 size = uint256(4) << levels;
        uint256 start = pickStart % 512 / size * size;
        (bytes memory words, bytes32[] memory path) = tree.range(start, levels);
        // Asked for before, because a prank holds for one call only.
        uint64 epoch = charter.epoch();
        uint64 no = _batchNo(who);
        uint256 r = _round(pickRound);
        if (who % 5 == 0) start += uint256(512) * (1 + who % 3);
        vm.prank(_lane(who));
        try dist.settle(epoch, no, 0, r, start, levels, words, path) {
            ++successes;
            if (start >= 512 || _lane(who) == stranger) ++breaches;
        } catch {}
    }

    function settleSome(uint256 pickRound, uint256 mask, uint256 who) external counted {
        uint256 word = who % 2;
        if (mask == 0) mask = 1;
        uint64 epoch = charter.epoch();
        uint64 no = _batchNo(who);
        SparseWord[] memory chunks = new SparseWord[](2);
        chunks[0] = chunk(tree, _round(pickRound), word, mask);
        chunks[1] = chunk(tree, _round(pickRound / 2), 1 - word, mask | 1);
        vm.prank(_lane(who));
        try dist.settleSparse(epoch, no, 0, chunks) {
            ++successes;
            if (_lane(who) == stranger) ++breaches;
        } catch {}
    }

    function settleRedirected(uint256 pickRound, uint256 i, bool forged, uint256 who) external counted {
        i %= PEOPLE;
        uint64 epoch = charter.epoch();
        Redirect[] memory items = new Redirect[](1);
        items[0] = redirect(tree, _round(pickRound), i, PAYEE);
        if (forged) items[0].to = stranger;
        uint64 no = dist.nextBatch();
        vm.prank(_lane(who));
        try dist.settleTo(epoch, no, 0, items, new GateWord[](0)) {
            ++successes;
        } catch {}
    }

    function claimOwn(uint256 pickRound, uint256 i, uint256 shift) external counted {
        i %= PEOPLE;
        uint256 r = _round(pickRound);
        uint256 index = shift % 4 == 0 ? i + 512 * (1 + shift % 5) : i;
        vm.prank(person(i));
        try dist.claim(r, uint64(index), tree.bucket(i), tree.proof(i)) {
            ++successes;
            if (index != i) ++breaches;
        } catch {}
    }

    function claimSigned(uint256 pickRound, uint256 i, bool forged) external counted {
        i %= PEOPLE;
        uint256 r = _round(pickRound);
        bytes memory sig = claimSignature(PERSON + i, r, i, PAYEE, amountOf(i), FAR);
        address to = forged ? stranger : PAYEE;
        vm.prank(stranger);
        try dist.claimTo(r, i, tree.bucket(i), tree.proof(i), to, FAR, sig) {
            ++successes;
            if (forged) ++breaches;
        } catch {}
    }

    function voidSome(uint256 pickRound, uint256 mask, uint256 signers) external counted {
        uint256 r = _round(pickRound);
        mask &= 0xf0000000f00;
        if (mask == 0) mask = 0x100;
        signers %= 6;
        Approval memory a = approve(abi.encode(Actions.VOID, address(dist), r, 0, mask), signers);
        try dist.void(chunk(tree, r, 0, mask), a) {
            ++successes;
            if (signers < 3) ++breaches;
        } catch {}
    }

    function publishMore(uint256 mode, uint256 signers, bool fund) external counted {
        uint256 r = dist.roundCount() + 1;
        if (r > MAX_ROUNDS) return;
        signers %= 6;
        RoundTerms memory terms = termsFor(tree, Mode(mode % 2));
        Approval memory a = approve(publishFields(dist, r, terms), signers);
        try dist.publish(r, terms, a) {
            ++successes;
            if (signers < 3) ++breaches;
        } catch {
            return;
        }
        if (!fund) return;
        token.mint(address(dist), tree.total);
        extra += tree.total;
    }

    function openAny(uint256 pickRound) external counted {
        try dist.open(_round(pickRound)) {
            ++successes;
        } catch {}
    }

    /// @dev A coalition of floor(N/3)+1: it may veto what is not open yet, and nothing else.
    function coalition(uint256 pickRound, uint256 what) external counted {
        uint256 r = _round(pickRound);
        if (what % 3 == 0) {
            try dist.veto(r, approve(abi.encode(Actions.VETO, address(dist), r), 2)) {
                ++successes;
            } catch {}
        } else if (what % 3 == 1) {
            try dist.cancel(r, approve(abi.encode(Actions.CANCEL, address(dist), r), 2)) {
                ++breaches;
            } catch {}
        } else {
            try dist.withdraw(1, what, approve(abi.encode(Actions.WITHDRAW, address(dist), 1, what), 2)) {
                ++breaches;
            } catch {}
        }
    }

    /// @dev A stolen control key takes epochs; lanes follow whoever has the epoch.
    function takeEpoch(uint256 who, uint64 step) external counted {
        uint64 next = charter.epoch() + 1 + step % 3;
        vm.prank(who % 2 == 0 ? control : control2);
        try charter.takeEpoch(next) {
            ++successes;
        } catch {}
    }

    function misbehave(uint256 i, uint256 manner) external counted {
        // Only manners that pay all or nothing: a fee-taking token cannot keep "listed amounts go to listed recipients".
        OddToken.Manner[5] memory manners = [
            OddToken.Manner.GOOD,
            OddToken.Manner.REVERT,
            OddToken.Manner.FALSE,
            OddToken.Manner.SILENT,
            OddToken.Manner.BURN
        ];
        token.setManner(person(i % PEOPLE), manners[manner % 5]);
    }

    function hook(uint256 i, uint256 j) external counted {
        i %= PEOPLE;
        j %= PEOPLE;
        token.setManner(person(i), OddToken.Manner.HOOK);
        bytes memory sig = claimSignature(PERSON + j, 1, j, PAYEE, amountOf(j), FAR);
        token.setHook(
            address(dist), abi.encodeCall(dist.claimTo, (1, j, tree.bucket(j), tree.proof(j), PAYEE, FAR, sig))
        );
    }

    /// @dev A reorganisation: three things happen, are undone, and happen again in another order.
    function reorganise(uint256 pickRound, uint256 i, uint256 mask) external counted {
        uint256 before = vm.snapshotState();
        this.claimOwn(pickRound, i, 1);
        this.voidSome(pickRound, mask, 3);
        this.settleSome(pickRound, mask, 1);
        vm.revertToState(before);
        this.settleSome(pickRound, mask, 1);
        this.voidSome(pickRound, mask, 3);
        this.claimOwn(pickRound, i, 1);
    }

    function passTime(uint256 seconds_) external counted {
        pass(seconds_ % 3 days);
    }

    function sweepAny(uint256 pickRound) external counted {
        uint256 r = _round(pickRound);
        uint64 at = dist.closing(r) + GRACE;
        bool early = dist.round(r).state != RoundState.SWEPT && now_() < at;
        try dist.sweep(r) {
            ++successes;
            if (early) ++breaches;
        } catch {}
    }

    function totalOf(uint256 i) external view returns (uint256 paid) {
        for (uint256 r = 1; r <= dist.roundCount(); ++r) if (dist.isPaid(r, i)) paid += amountOf(i);
    }

    function listed(uint256 i) external pure returns (address) {
        return person(i);
    }

    function stray() external view returns (uint256) {
        return token.balanceOf(stranger) + token.balanceOf(lane) + token.balanceOf(lane2) + token.balanceOf(control)
            + token.balanceOf(control2) + token.balanceOf(address(charter)) + token.balanceOf(address(0));
    }
}

/// @notice What must hold after any sequence of calls by anybody.
contract InvariantsTest is Base {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Actors private actors;
    IDistributor private d;
    OddToken private coin;

    function setUp() public override {
        actors = new Actors();
        d = actors.distributor();
        coin = actors.coin();
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory s = new bytes4[](15);
        s[0] = Actors.settleRange.selector;
        s[1] = Actors.settleSome.selector;
        s[2] = Actors.settleRedirected.selector;
        s[3] = Actors.claimOwn.selector;
        s[4] = Actors.claimSigned.selector;
        s[5] = Actors.voidSome.selector;
        s[6] = Actors.publishMore.selector;
        s[7] = Actors.openAny.selector;
        s[8] = Actors.coalition.selector;
        s[9] = Actors.takeEpoch.selector;
        s[10] = Actors.misbehave.selector;
        s[11] = Actors.hook.selector;
        s[12] = Actors.passTime.selector;
        s[13] = Actors.sweepAny.selector;
        s[14] = Actors.reorganise.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(actors), s);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actors);
    }

    /// @notice After every call: open rounds are covered by the balance, and nothing forbidden ever succeeded.
    function invariant_coveredAndUnbreached() public view {
        isTrue(coin.balanceOf(address(d)) >= d.owed(), "covered");
        eq(actors.breaches(), 0, "nothing forbidden ever succeeded");
        eq(actors.stray(), 0, "no token strays");
    }

    /// @notice At the end of every run, because what breaks these stays broken: the sums over the whole list.
    function afterInvariant() public view {
        _paidOnceToWhomItBelongs();
        _booksBalance();
        // Guards against a vacuous run.
        if (actors.calls() > 30) isTrue(actors.successes() > 8, "the actors achieved something");
    }

    /// @dev Each entitlement is paid at most once: money received equals the paid bits, entry by entry, and nobody else
    /// than listed recipients, the signed payee and the refund address ever receives.
    function _paidOnceToWhomItBelongs() private view {
        uint256 received = coin.balanceOf(actors.PAYEE());
        uint256 marked;
        for (uint256 i; i < actors.PEOPLE(); ++i) {
            uint256 due = actors.totalOf(i);
            uint256 got = coin.balanceOf(actors.listed(i));
            isTrue(got <= due, "nobody gets more than the bits say");
            received += got;
            marked += due;
        }
        eq(received, marked, "paid bits = money received");
    }

    /// @dev total = paid + remaining + voided in every round; what left is what was marked.
    function _booksBalance() private view {
        uint256 paidAll;
        for (uint256 r = 1; r <= d.roundCount(); ++r) {
            uint256 paid;
            for (uint256 word; word < 2; ++word) {
                uint256 bits = d.paidWord(r, word);
                isTrue(bits & d.voidWord(r, word) == 0, "never paid and void");
                for (uint256 b; b < 256; ++b) if (bits >> b & 1 == 1) paid += amountOf(word * 256 + b);
            }
            eq(d.paidWord(r, 1) >> (actors.PEOPLE() - 256), 0, "padding is never paid");
            eq(d.round(r).total, paid + d.round(r).remaining + d.round(r).voided, "total = paid + remaining + voided");
            paidAll += paid;
        }
        eq(coin.balanceOf(address(d)) + paidAll + coin.balanceOf(address(refund)), actors.funded(), "money conserved");
    }
}
