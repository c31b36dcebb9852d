// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {IWarden} from "../src/interfaces/IWarden.sol";
import {Approval, GateWord, Mode, Phase, Redirect, RoundTerms, SparseWord} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Gated} from "./support/Gated.sol";
import {TestTree} from "./support/TestTree.sol";
import {OddToken} from "./support/Tokens.sol";

/// @notice Thieves and authorities around two GATED rounds, in random order. The first round's gate is honest and signs
/// what was approved; the second one's key is stolen and signs anything. The lanes are stolen too: whoever relays, relays
/// what it likes. What may never happen counts as a breach here, or is stated in GatesInvariantsTest.
contract GateActors is Gated {
    using TestTree for TestTree.Tree;

    uint256 public constant PEOPLE = 40;
    uint256 private constant ALL = (1 << PEOPLE) - 1;
    uint256 private constant STOLEN_KEY = 0xbad;
    address public constant PAYEE = address(0xbeef);
    uint256 public constant HONEST = 1;
    uint256 public constant STOLEN = 2;

    TestTree.Tree internal tree;
    uint256 public approved;
    uint256 public breaches;
    uint256 public calls;
    uint256 public successes;
    mapping(uint256 round => uint64) private _closed;

    constructor() {
        setUp();
        bytes32[] memory entries = new bytes32[](PEOPLE);
        for (uint256 i; i < PEOPLE; ++i) entries[i] = TestTree.entry(person(i), amountOf(i));
        tree = TestTree.build(entries);
        opened(tree, Mode.GATED);
        installGate(2, abi.encodePacked(vm.addr(STOLEN_KEY)), 3);
        RoundTerms memory terms = termsFor(tree, Mode.GATED);
        terms.gate = 2;
        dist.publish(STOLEN, terms, approve(publishFields(dist, STOLEN, terms), 3));
        token.mint(address(dist), tree.total);
        pass(DELAY);
        dist.open(STOLEN);
    }

    function distributor() external view returns (IDistributor) {
        return dist;
    }

    function keeper() external view returns (IWarden) {
        return warden;
    }

    function coin() external view returns (OddToken) {
        return token;
    }

    function total() external view returns (uint256) {
        return 2 * tree.total;
    }

    function listed(uint256 i) external pure returns (address) {
        return person(i);
    }

    /// @dev How things stood before a call, by round.
    struct Before {
        bool still;
        bool[3] off;
        uint256[3] held;
        uint256[3] barred;
        uint256[3] paid;
    }

    Before private _before;

    /// @dev Whatever a call pays, held and annulled entitlements are not among it, and nothing is while payments stand
    /// still; and what was paid stays paid.
    modifier watched() {
        ++calls;
        _look();
        _;
        _compare();
    }

    function _look() private {
        bool exit = charter.phase() == Phase.EXIT;
        _before.still = dist.heldUntil() > now_() || (dist.pausedUntil() > now_() && !exit);
        for (uint16 r = 1; r <= 2; ++r) {
            _before.off[r] = warden.gateOf(address(dist), r).disabledUntil > now_();
            _before.held[r] = dist.heldWord(r, 0);
            _before.barred[r] = dist.voidWord(r, 0);
            _before.paid[r] = dist.paidWord(r, 0);
        }
    }

    function _compare() private {
        for (uint256 r = 1; r <= 2; ++r) {
            uint256 paid = dist.paidWord(r, 0) & ~_before.paid[r];
            if (paid & (_before.held[r] | _before.barred[r]) != 0) ++breaches;
            if (_before.paid[r] & ~dist.paidWord(r, 0) != 0) ++breaches;
            if (paid != 0 && (_before.still || _before.off[r])) ++breaches;
            uint64 closing = dist.closing(r);
            if (closing < _closed[r]) ++breaches;
            _closed[r] = closing;
        }
    }

    /// @dev The best word a thief has for a round: what the honest gate published, or anything by the stolen key; and a
    /// forgery of the honest one at times.
    function _word(uint256 r, uint256 mask, bool forge) private view returns (GateWord memory g) {
        if (r == HONEST) return gateWord(forge ? STOLEN_KEY : GATE_KEY, r, 0, forge ? ALL : approved);
        g = GateWord(r, 0, mask, 9, FAR, "");
        g.signature = signed(STOLEN_KEY, gateDigest(2, RULES, g));
        // The honest round's word, put forward for this one.
        if (forge) (g = gateWord(GATE_KEY, HONEST, 0, approved)).roundNo = r;
    }

    function decide(uint256 mask) external watched {
        approved |= mask & ALL;
    }

    function relay(uint256 pick, uint256 mask, uint256 who) external watched {
        uint256 r = 1 + pick % 2;
        mask &= ALL;
        if (mask == 0) mask = 1;
        bool forge = who % 7 == 0;
        if (r == HONEST && who % 3 == 0 && approved != 0) mask = approved;
        bool exit = charter.phase() == Phase.EXIT;
        address from = who % 5 == 0 ? vm.addr(STOLEN_KEY) : lane;
        SparseWord[] memory chunks = one(chunk(tree, r, 0, mask));
        bytes memory gates = packed(chunks, one(_word(r, mask, forge)));
        uint64 no = dist.nextBatch();
        vm.prank(from);
        try dist.settleGated(1, no, 0, chunks, gates) {
            ++successes;
            if (forge || (from != lane && !exit)) ++breaches;
        } catch {}
    }

    function relayTo(uint256 pick, uint256 i, uint256 who) external watched {
        uint256 r = 1 + pick % 2;
        i %= PEOPLE;
        Redirect[] memory items = one(redirect(tree, r, i, PAYEE));
        bool stolen = who % 3 == 0;
        if (stolen) items[0].to = stranger;
        GateWord[] memory gates = one(_word(r, 1 << i, false));
        uint64 no = dist.nextBatch();
        vm.prank(lane);
        try dist.settleTo(1, no, 0, items, who % 4 == 0 ? new GateWord[](0) : gates) {
            ++successes;
        } catch {}
    }

    /// @dev A thief with lanes alone: no entry point pays from a GATED round without its gate.
    function withoutGate(uint256 pick, uint256 mask, uint256 i) external watched {
        uint256 r = 1 + pick % 2;
        mask = mask & ALL | 1;
        i %= PEOPLE;
        uint64 no = dist.nextBatch();
        SparseWord[] memory chunks = one(chunk(tree, r, 0, mask));
        vm.prank(lane);
        try dist.settleSparse(1, no, 0, chunks) {
            ++breaches;
        } catch {}
        _withoutWord(r, mask, no, chunks);
        (bytes memory words, bytes32[] memory path) = tree.range(0, 0);
        vm.prank(lane);
        try dist.settle(1, no, 0, r, 0, 0, words, path) {
            ++breaches;
        } catch {}
        vm.prank(person(i));
        try dist.claim(r, uint64(i), tree.bucket(i), tree.proof(i)) {
            ++breaches;
        } catch {}
    }

    /// @dev No word at all, and one behind a word of the gate's own that nobody signed.
    function _withoutWord(uint256 r, uint256 mask, uint64 no, SparseWord[] memory chunks) private {
        vm.prank(lane);
        try dist.settleGated(1, no, 0, chunks, "") {
            ++breaches;
        } catch {}
        if (approved == 0) return;
        SparseWord[] memory two = new SparseWord[](2);
        (two[0], two[1]) = (chunk(tree, HONEST, 0, approved), chunks[0]);
        GateWord memory nobodys = GateWord(r, 0, mask, 9, FAR, new bytes(65));
        bytes memory first = packed(approved, gateWord(GATE_KEY, HONEST, 0, approved), RULES);
        vm.prank(lane);
        try dist.settleGated(1, no, 0, two, bytes.concat(first, packed(mask, nobodys, RULES))) {
            ++breaches;
        } catch {}
    }

    function claimSelf(uint256 pick, uint256 i, uint256 who) external watched {
        uint256 r = 1 + pick % 2;
        i %= PEOPLE;
        bool wallet = who % 3 != 0;
        GateWord memory g = _word(r, 1 << i, false);
        vm.prank(wallet ? person(i) : vm.addr(STOLEN_KEY));
        try dist.claimAttested(r, i, tree.bucket(i), tree.proof(i), person(i), FAR, "", g) {
            ++successes;
            if (!wallet) ++breaches;
        } catch {}
    }

    function holdSome(uint256 pick, uint256 mask, uint256 from, uint256 count) external watched {
        uint256 r = 1 + pick % 2;
        mask &= 0xf0f0f;
        if (mask == 0) mask = 1;
        (from, count) = (from % 2, count % 4);
        uint8 together = _says(mask >> 8, count);
        bytes memory fields = abi.encode(Actions.HOLD, address(dist), r, 0, mask, bytes32("why"), together, ++nonce);
        Approval memory a = approveFrom(fields, from, count);
        try dist.hold(r, 0, mask, "why", together, nonce, a) returns (uint256 id) {
            ++successes;
            bool several = _several(together, count);
            if (!several && charter.phase() != Phase.ACTIVE) ++breaches;
            if (warden.holdOf(address(dist), id).firm != several) ++breaches;
        } catch {}
    }

    /// @dev How many act together, as the signed act says: at times fewer than sign it, at times more.
    function _says(uint256 pick, uint256 count) private pure returns (uint8) {
        return uint8(pick % 4 == 0 ? 3 : pick % 4 == 1 ? 1 : count);
    }

    /// @dev Whether an act that was let through is one of M. Every act takes somebody, and as many as it says.
    function _several(uint256 together, uint256 count) private returns (bool) {
        if (count == 0 || count < together) ++breaches;
        return together >= 3;
    }

    function voidSome(uint256 pick, uint256 mask, uint256 count) external watched {
        uint256 r = 1 + pick % 2;
        // Few, among those that are held at times as well.
        mask &= 0x30f00;
        if (mask == 0) mask = 0x100;
        count = 2 + count % 3;
        bool exit = charter.phase() == Phase.EXIT;
        bytes memory fields = abi.encode(Actions.VOID, address(dist), r, 0, mask);
        Approval memory a = approveFrom(fields, 0, count);
        try dist.void(chunk(tree, r, 0, mask), a) {
            ++successes;
            if (count < (exit ? 4 : 3)) ++breaches;
            if (mask & (_before.paid[r] | _before.barred[r]) != 0) ++breaches;
        } catch {}
    }

    function endSome(uint256 id, uint256 from, uint256 count) external watched {
        id = 1 + id % (warden.holdCount(address(dist)) + 1);
        (from, count) = (from % 2, count % 4);
        bool firm = warden.holdOf(address(dist), id).firm;
        if (count == 0) {
            bool early = now_() < warden.holdOf(address(dist), id).expiresAt;
            try dist.lapse(id) {
                if (early) ++breaches;
            } catch {}
            return;
        }
        uint8 together = _says(id, count);
        Approval memory a =
            approveFrom(abi.encode(Actions.RELEASE, address(dist), id, together, ++nonce), from, count);
        try dist.release(id, together, nonce, a) {
            ++successes;
            if (!_several(together, count) && firm) ++breaches;
        } catch {}
    }

    function confirmSome(uint256 id, uint256 from, uint256 count) external watched {
        id = 1 + id % (warden.holdCount(address(dist)) + 1);
        (from, count) = (from % 2, count % 4);
        Approval memory a = asConfirm(id, from, count);
        bool firm = warden.holdOf(address(dist), id).firm;
        try dist.confirmHold(id, uint8(count), nonce, a) {
            ++successes;
            if (firm || count == 0) ++breaches;
        } catch {}
    }

    function stop(uint256 kind, uint32 seconds_, uint256 from, uint256 count) external watched {
        // Short, and ended soon: under a stop that lasts nothing else happens.
        uint64 until = now_() + seconds_ % 2 hours;
        (from, count) = (from % 2, count % 4);
        uint8 together = _says(seconds_ >> 16, count);
        ++nonce;
        if (kind % 6 == 0) {
            bytes memory fields = abi.encode(Actions.PAUSE, address(dist), until, together, nonce);
            try dist.pause(until, together, nonce, approveFrom(fields, from, count)) {
                ++successes;
                _several(together, count);
            } catch {}
        } else if (kind % 6 == 1) {
            bytes memory fields = abi.encode(Actions.HOLD_CAMPAIGN, address(dist), until, together, nonce);
            try dist.holdCampaign(until, together, nonce, approveFrom(fields, from, count)) {
                ++successes;
                if (!_several(together, count)) ++breaches;
            } catch {}
        } else if (kind % 6 == 2) {
            uint16 version = uint16(1 + seconds_ % 2);
            bytes memory fields = abi.encode(Actions.DISABLE_GATE, address(dist), version, until, together, nonce);
            try dist.disableGate(version, until, together, nonce, approveFrom(fields, from, count)) {
                ++successes;
                if (!_several(together, count) && charter.phase() != Phase.ACTIVE) ++breaches;
            } catch {}
        }
    }

    function passTime(uint256 seconds_) external watched {
        pass(seconds_ % 1 days);
    }

    function exitAtLast(uint256 pick) external watched {
        if (pick % 16 == 0 && charter.phase() == Phase.ACTIVE) toExit();
    }
}

/// @notice What must hold after any sequence of calls, whoever's keys are stolen.
contract GatesInvariantsTest is Gated {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    GateActors private actors;
    IDistributor private d;
    OddToken private coin;

    function setUp() public override {
        actors = new GateActors();
        d = actors.distributor();
        coin = actors.coin();
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory s = new bytes4[](13);
        s[0] = GateActors.decide.selector;
        s[1] = GateActors.relay.selector;
        s[2] = GateActors.relay.selector;
        s[3] = GateActors.relayTo.selector;
        s[4] = GateActors.withoutGate.selector;
        s[5] = GateActors.claimSelf.selector;
        s[6] = GateActors.holdSome.selector;
        s[7] = GateActors.endSome.selector;
        s[8] = GateActors.confirmSome.selector;
        s[9] = GateActors.stop.selector;
        s[10] = GateActors.passTime.selector;
        s[11] = GateActors.exitAtLast.selector;
        s[12] = GateActors.voidSome.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(actors), s);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actors);
    }

    /// @notice An honest gate's round pays what it approved and nothing else; a stolen gate's no more than the list.
    function invariant_onlyWhatTheGateApproved() public view {
        eq(d.paidWord(1, 0) & ~actors.approved(), 0, "paid without the gate");
        eq(d.paidWord(2, 0) >> actors.PEOPLE(), 0, "padding");
        eq(actors.breaches(), 0, "nothing forbidden ever succeeded");
    }

    /// @notice What is annulled is never paid, whatever the gate's masks say, and every round's books balance.
    function invariant_neverBothVoidAndPaid() public view {
        for (uint256 r = 1; r <= 2; ++r) {
            (uint256 paid, uint256 barred) = (d.paidWord(r, 0), d.voidWord(r, 0));
            eq(paid & barred, 0, "paid and void");
            uint256 sum;
            uint256 annulled;
            for (uint256 i; i < actors.PEOPLE(); ++i) {
                if (paid >> i & 1 == 1) sum += amountOf(i);
                if (barred >> i & 1 == 1) annulled += amountOf(i);
            }
            eq(d.round(r).voided, annulled, "voided");
            eq(sum + annulled + d.remaining(r), d.round(r).total, "total = paid + voided + remaining");
        }
    }

    /// @notice The held word is the union of the holds that stand, whatever the order they came and went in.
    function invariant_heldIsWhatHoldsSay() public view {
        uint256[3] memory union;
        uint256[3] memory standing;
        uint256 count = actors.keeper().holdCount(address(d));
        for (uint256 id = 1; id <= count; ++id) {
            uint256 mask = actors.keeper().holdOf(address(d), id).mask;
            uint256 r = actors.keeper().holdOf(address(d), id).roundNo;
            isTrue(union[r] & mask == 0, "two holds on one entitlement");
            union[r] |= mask;
            if (mask != 0) ++standing[r];
        }
        eq(d.heldWord(1, 0), union[1], "first round");
        eq(d.heldWord(2, 0), union[2], "second round");
        for (uint256 r = 1; r <= 2; ++r) {
            (uint256 counted,) = actors.keeper().holdsOn(address(d), r);
            eq(counted, standing[r], "a sweep waits for what stands, and nothing else");
        }
    }

    /// @notice Money goes to listed wallets, or where they signed, once for each bit.
    function afterInvariant() public view {
        uint256 marked;
        uint256 received = coin.balanceOf(actors.PAYEE());
        for (uint256 i; i < actors.PEOPLE(); ++i) {
            if (d.isPaid(1, i)) marked += amountOf(i);
            if (d.isPaid(2, i)) marked += amountOf(i);
            received += coin.balanceOf(actors.listed(i));
        }
        eq(received, marked, "paid bits = money received");
        eq(coin.balanceOf(address(d)) + marked, actors.total(), "money conserved");
        if (actors.calls() > 55) isTrue(actors.successes() > 2, "the actors achieved something");
    }
}
