// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "./interfaces/ICharter.sol";
import {IDistributor} from "./interfaces/IDistributor.sol";
import {IWarden} from "./interfaces/IWarden.sol";
import {Approval, GateView, HoldView, Phase, Quorum, Ruling} from "./interfaces/Types.sol";
import {Actions} from "./lib/Actions.sol";
import {Counted} from "./lib/Counted.sol";
import {Signatures} from "./lib/Signatures.sol";

/// @title Warden: see IWarden
/// @dev Whoever calls is taken for a Distributor and finds only what it wrote itself. Fewer institutions than M are worth
/// no more than one: the ration of the lowest-numbered of them is used. Rations are kept by set version, because a new
/// set numbers its institutions anew.
contract Warden is Counted, IWarden {
    /// @dev Longest stop or hold that one vote may order.
    uint256 private constant STRETCH = 30 days;
    /// @dev Longest ERC-7913 signer of a gate, in bytes: an address and two 64-byte keys fit.
    uint256 private constant MAX_SIGNER = 160;
    /// @dev Longest hold, and longest disabling of a gate version, by one institution alone.
    uint256 private constant ALONE = 72 hours;
    /// @dev What one institution alone may pause in any 30 days.
    uint256 private constant PAUSE_ALONE = 24 hours;
    /// @dev Entitlements that one institution alone may hold in any 72 hours.
    uint256 private constant HOLD_ALONE = 256;
    /// @dev When a ration is whole again that never is: whoever wants more needs others.
    uint256 private constant NEVER = type(uint64).max;

    /// @dev `spent` so far, all of it to be had again at `wholeAt`.
    struct Ration {
        uint64 spent;
        uint64 wholeAt;
    }

    struct RoundHolds {
        uint64 standing;
        uint64 endedAt;
    }

    mapping(address distributor => HoldView[]) private _holds;
    mapping(address distributor => mapping(uint256 roundNo => RoundHolds)) private _onRound;
    /// @dev The standing holds of single institutions on a word, which nobody confirmed. Each has entitlements of its own,
    /// so there are never more than a word has bits, whatever was held and released before.
    mapping(address distributor => mapping(uint256 roundNo => mapping(uint256 word => uint256[]))) private _alone;
    mapping(address distributor => mapping(uint16 gateVersion => GateView)) private _gates;
    mapping(bytes32 whose => Ration) private _rations;
    /// @dev Entitlements of a word held before, by Distributor, round, word and by whom.
    mapping(bytes32 whose => uint256 bits) private _heldBefore;
    /// @dev Approvals serve once, by struct hash, which names the Distributor.
    mapping(bytes32 action => bool) private _used;

    // -- gates ---------------------------------------------------------------------------------------------------

    function installGate(uint16 gateVersion, bytes calldata signer, bytes32 rulesHash, Approval calldata approval)
        external
        returns (Ruling memory h)
    {
        GateView storage gate = _gates[msg.sender][gateVersion];
        if (gateVersion == 0) revert BadGate("versions count from 1");
        if (gate.installedAt != 0) revert BadGate("the version is installed already");
        _checkSigner(signer);
        bytes memory fields =
            abi.encode(Actions.INSTALL_GATE, msg.sender, gateVersion, keccak256(signer), rulesHash);
        (, h.institutions) = _require(Quorum.PUBLISH, fields, approval);
        (gate.signer, gate.rulesHash, gate.installedAt) = (signer, rulesHash, uint64(block.timestamp));
    }

    /// @dev A gate that a sequencer holds the key of would be no second pair of eyes.
    function _checkSigner(bytes calldata signer) private view {
        if (signer.length < 20 || signer.length > MAX_SIGNER) {
            revert BadGate("a signer must be 20 to 160 bytes");
        }
        address account = address(bytes20(signer));
        if (account == address(0)) revert BadGate("a signer must not begin with the zero address");
        if (CHARTER.laneOf(account) != 0 || CHARTER.controlOf(account) != 0) {
            revert BadGate("a sequencer's key must not be a gate's");
        }
    }

    function disableGate(uint16 gateVersion, uint64 until, uint8 together, uint256 nonce, Approval calldata approval)
        external
        returns (Ruling memory h)
    {
        GateView storage gate = _gates[msg.sender][gateVersion];
        if (gate.installedAt == 0) revert BadGate("no such version is installed");
        bytes memory fields = abi.encode(Actions.DISABLE_GATE, msg.sender, gateVersion, until, together, nonce);
        h.institutions = _once(together, fields, approval);
        uint256 added = _added(gate.disabledUntil, until);
        if (_isQuorum(together, Quorum.PUBLISH)) {
            _spendTogether(Actions.DISABLE_GATE, gateVersion, together, added, until);
        } else {
            _requireActive(together);
            _onlyLengthen(together, added);
            _spend(_whose(Actions.DISABLE_GATE, gateVersion, h.institutions, approval), added, ALONE, NEVER);
        }
        h.until = _notPast(until);
        gate.disabledUntil = uint64(h.until);
    }

    function isGateSignature(uint16 gateVersion, bytes32 digest, bytes calldata signature)
        external
        view
        returns (bool)
    {
        bytes memory signer = _gates[msg.sender][gateVersion].signer;
        bytes memory key = new bytes(signer.length - 20);
        for (uint256 i; i < key.length; ++i) key[i] = signer[20 + i];
        return Signatures.isValid(address(bytes20(signer)), key, digest, signature);
    }

    // -- stops ---------------------------------------------------------------------------------------------------

    function pause(uint64 until, uint8 together, uint256 nonce, Approval calldata approval)
        external
        returns (Ruling memory h)
    {
        h.institutions = _once(together, abi.encode(Actions.PAUSE, msg.sender, until, together, nonce), approval);
        uint256 added = _added(IDistributor(msg.sender).pausedUntil(), until);
        if (!_isQuorum(together, Quorum.PUBLISH)) {
            _onlyLengthen(together, added);
            _spend(_whose(Actions.PAUSE, 0, h.institutions, approval), added, PAUSE_ALONE, until + STRETCH);
        }
        h.until = _notPast(until);
    }

    function holdCampaign(uint64 until, uint8 together, uint256 nonce, Approval calldata approval)
        external
        returns (Ruling memory h)
    {
        bytes memory fields = abi.encode(Actions.HOLD_CAMPAIGN, msg.sender, until, together, nonce);
        h.institutions = _once(together, fields, approval);
        _requireQuorum(together, Quorum.PUBLISH);
        uint256 added = _added(IDistributor(msg.sender).heldUntil(), until);
        _spendTogether(Actions.HOLD_CAMPAIGN, 0, together, added, until);
        h.until = _notPast(until);
    }

    // -- holds ---------------------------------------------------------------------------------------------------

    function hold(
        uint256 roundNo,
        uint256 word,
        uint256 mask,
        bytes32 reason,
        uint8 together,
        uint256 nonce,
        Approval calldata approval
    ) external returns (Ruling memory h) {
        bytes memory fields = abi.encode(Actions.HOLD, msg.sender, roundNo, word, mask, reason, together, nonce);
        h.institutions = _once(together, fields, approval);
        // What was paid, annulled or held meanwhile drops out: it must not save the rest from being held.
        IDistributor d = IDistributor(msg.sender);
        bool firm = _isQuorum(together, Quorum.PUBLISH);
        uint256 held = d.heldWord(roundNo, word);
        mask &= ~(d.paidWord(roundNo, word) | d.voidWord(roundNo, word));
        h.mask = mask & ~held;
        if (firm && mask & held != 0) h.mask |= _takeOver(roundNo, word, mask & held);
        if (h.mask == 0) revert NothingToHold(roundNo, word);

        if (firm) {
            _rememberFirm(roundNo, word, h.mask, together);
        } else {
            _requireActive(together);
            _requireGrace(d, roundNo, together);
            _holdAlone(roundNo, word, h, approval);
        }
        h.until = block.timestamp + (firm ? STRETCH : ALONE);
        _onRound[msg.sender][roundNo].standing += 1;
        HoldView[] storage all = _holds[msg.sender];
        all.push(
            HoldView({
                roundNo: roundNo,
                word: word,
                mask: h.mask,
                placedAt: uint64(block.timestamp),
                expiresAt: uint64(h.until),
                placedBy: uint32(h.institutions),
                setVersion: approval.setVersion,
                firm: firm
            })
        );
        h.id = all.length;
        if (!firm) _alone[msg.sender][roundNo][word].push(h.id);
    }

    /// @dev What single institutions hold passes to a hold of M. Else whoever held first, ahead of M, would save it from
    /// M's hold by releasing its own afterwards. A hold that nothing is left of has ended.
    /// @return taken those of `bits` that they held
    function _takeOver(uint256 roundNo, uint256 word, uint256 bits) private returns (uint256 taken) {
        uint256[] storage ids = _alone[msg.sender][roundNo][word];
        for (uint256 i = ids.length; i > 0; --i) {
            HoldView storage v = _holds[msg.sender][ids[i - 1] - 1];
            uint256 left = v.mask;
            if (left & bits == 0) continue;
            taken |= left & bits;
            v.mask = left &= ~bits;
            if (left == 0) {
                _onRound[msg.sender][roundNo].standing -= 1;
                ids[i - 1] = ids[ids.length - 1];
                ids.pop();
            }
        }
    }

    /// @dev A hold of one that ends or is confirmed leaves its word's list: what stays there is walked by M's hold.
    function _leave(HoldView storage v, uint256 id) private {
        uint256[] storage ids = _alone[msg.sender][v.roundNo][v.word];
        uint256 i;
        while (ids[i] != id) ++i;
        ids[i] = ids[ids.length - 1];
        ids.pop();
    }

    function confirmHold(uint256 id, uint8 together, uint256 nonce, Approval calldata approval)
        external
        returns (Ruling memory h)
    {
        h.institutions = _once(together, abi.encode(Actions.CONFIRM_HOLD, msg.sender, id, together, nonce), approval);
        HoldView storage v = _standing(id);
        if (block.timestamp >= v.expiresAt) revert HoldExpired(v.expiresAt);
        if (v.firm) {
            _requireQuorum(together, Quorum.THREE_QUARTERS);
            h.until = block.timestamp + STRETCH;
        } else {
            if (!_isQuorum(together, Quorum.PUBLISH)) {
                _requireActive(together);
                _requireSecond(v, h.institutions, together, approval.setVersion);
            }
            _rememberFirm(v.roundNo, v.word, v.mask, together);
            _leave(v, id);
            v.firm = true;
            h.until = v.placedAt + STRETCH;
        }
        v.expiresAt = uint64(h.until);
    }

    function release(uint256 id, uint8 together, uint256 nonce, Approval calldata approval)
        external
        returns (Ruling memory h)
    {
        h.institutions = _once(together, abi.encode(Actions.RELEASE, msg.sender, id, together, nonce), approval);
        HoldView storage v = _standing(id);
        bool own = !v.firm && approval.setVersion == v.setVersion && h.institutions & v.placedBy != 0;
        if (!own) _requireQuorum(together, Quorum.PUBLISH);
        _end(v, id, h);
    }

    function lapse(uint256 id) external returns (Ruling memory h) {
        HoldView storage v = _standing(id);
        if (block.timestamp < v.expiresAt) revert IDistributor.TooEarly(v.expiresAt);
        _end(v, id, h);
    }

    function _standing(uint256 id) private view returns (HoldView storage v) {
        HoldView[] storage all = _holds[msg.sender];
        if (id == 0 || id > all.length) revert NoSuchHold(id);
        v = all[id - 1];
        if (v.mask == 0) revert NoSuchHold(id);
    }

    function _end(HoldView storage v, uint256 id, Ruling memory h) private {
        if (!v.firm) _leave(v, id);
        (h.roundNo, h.word, h.mask) = (v.roundNo, v.word, v.mask);
        v.mask = 0;
        RoundHolds storage on = _onRound[msg.sender][v.roundNo];
        (on.standing, on.endedAt) = (on.standing - 1, uint64(block.timestamp));
    }

    /// @dev One institution alone holds so many, and each entitlement once: what lapsed it cannot renew.
    function _holdAlone(uint256 roundNo, uint256 word, Ruling memory h, Approval calldata approval) private {
        bytes32 whose = _whose(Actions.HOLD, 0, h.institutions, approval);
        _spend(whose, _countOf(h.mask), HOLD_ALONE, block.timestamp + ALONE);
        bytes32 before = keccak256(abi.encode(whose, roundNo, word));
        uint256 again = h.mask & _heldBefore[before];
        if (again != 0) revert HeldBefore(roundNo, word, again);
        _heldBefore[before] |= h.mask;
    }

    /// @dev Holds that may last 30 days. Another one on the same entitlement is a renewal by another name.
    function _rememberFirm(uint256 roundNo, uint256 word, uint256 mask, uint256 together) private {
        bytes32 before = keccak256(abi.encode(Actions.HOLD, msg.sender, roundNo, word));
        if (mask & _heldBefore[before] != 0) _requireQuorum(together, Quorum.THREE_QUARTERS);
        _heldBefore[before] |= mask;
    }

    /// @dev Another institution than those that placed it. After a change of the set nobody knows who that was: two.
    function _requireSecond(HoldView storage v, uint256 institutions, uint256 together, uint64 setVersion)
        private
        view
    {
        bool another = setVersion == v.setVersion ? institutions & ~uint256(v.placedBy) != 0 : together > 1;
        if (!another) revert SecondNeeded();
    }

    // -- how far a word carries ----------------------------------------------------------------------------------

    /// @dev What was signed serves once, and with no fewer institutions than it says act together: else whoever saw one
    /// signature of an act of M could put it forward alone. What they may do follows from that number and not from how
    /// many signed, so that what each signed for itself never adds up to an act of M.
    function _once(uint256 together, bytes memory fields, Approval calldata approval)
        private
        returns (uint256 institutions)
    {
        bytes32 action;
        (action, institutions) = _require(Quorum.ONE, fields, approval);
        uint256 count = _countOf(institutions);
        if (count < together) revert ICharter.QuorumMissed(count, together);
        if (_used[action]) revert IDistributor.AlreadyUsed(action);
        _used[action] = true;
    }

    function _isQuorum(uint256 together, Quorum quorum) private view returns (bool) {
        return together >= CHARTER.quorumOf(quorum);
    }

    function _requireQuorum(uint256 together, Quorum quorum) private view {
        if (!_isQuorum(together, quorum)) revert ICharter.QuorumMissed(together, CHARTER.quorumOf(quorum));
    }

    /// @dev Outside ACTIVE it takes M: nobody alone delays an exit.
    function _requireActive(uint256 together) private view {
        if (CHARTER.phase() != Phase.ACTIVE) _requireQuorum(together, Quorum.PUBLISH);
    }

    /// @dev Once a round's grace is over, a hold takes M: a sweep waits for holds and for the grace after them, and whoever
    /// always finds somebody not held before would put it off for ever. A stop moves this moment by no more than it lasts,
    /// so what is over stays over; but where stops overlap (a pause, a campaign-wide hold, time outside ACTIVE), each moves
    /// it by its own length (`_outage` adds them up), and that can bring single holds back for as long as they overlapped.
    function _requireGrace(IDistributor d, uint256 roundNo, uint256 together) private view {
        uint256 sweepAt = uint256(d.closing(roundNo)) + d.terms().grace;
        if (block.timestamp >= sweepAt) _requireQuorum(together, Quorum.PUBLISH);
    }

    /// @dev Whoever acts alone may lengthen a stop, never end or shorten it.
    function _onlyLengthen(uint256 together, uint256 added) private view {
        if (added == 0) _requireQuorum(together, Quorum.PUBLISH);
    }

    /// @dev Seconds by which a stop gets longer if it ends at `until` instead of `present`.
    function _added(uint256 present, uint256 until) private view returns (uint256) {
        if (until > block.timestamp + STRETCH) revert TooLong(uint64(block.timestamp + STRETCH));
        uint256 from = present > block.timestamp ? present : block.timestamp;
        return until > from ? until - from : 0;
    }

    function _notPast(uint256 until) private view returns (uint256) {
        return until > block.timestamp ? until : block.timestamp;
    }

    /// @dev A stop that bars the exit too: M have 30 days of it in all, to be had again 30 days after its end.
    function _spendTogether(bytes32 kind, uint256 what, uint256 together, uint256 added, uint256 until) private {
        if (added == 0 || _isQuorum(together, Quorum.THREE_QUARTERS)) return;
        _spend(keccak256(abi.encode(kind, msg.sender, what)), added, STRETCH, until + STRETCH);
    }

    /// @dev Takes from a ration that is whole again at `wholeAt`, counted from its last use: so no span of that length
    /// ever sees more than `limit`.
    function _spend(bytes32 whose, uint256 amount, uint256 limit, uint256 wholeAt) private {
        Ration storage ration = _rations[whose];
        uint256 spent = amount + (block.timestamp < ration.wholeAt ? ration.spent : 0);
        if (spent > limit) revert RationSpent(spent, limit);
        (ration.spent, ration.wholeAt) = (uint64(spent), uint64(wholeAt));
    }

    /// @dev The ration of the lowest-numbered of these institutions.
    function _whose(bytes32 kind, uint256 what, uint256 institutions, Approval calldata approval)
        private
        view
        returns (bytes32)
    {
        uint256 lowest = institutions & (~institutions + 1);
        return keccak256(abi.encode(kind, msg.sender, what, approval.setVersion, lowest));
    }

    function _countOf(uint256 bits) private pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) ++count;
    }

    // -- views ---------------------------------------------------------------------------------------------------

    function gateOf(address distributor, uint16 gateVersion) external view returns (GateView memory) {
        return _gates[distributor][gateVersion];
    }

    function holdOf(address distributor, uint256 id) external view returns (HoldView memory v) {
        if (id == 0 || id > _holds[distributor].length) return v;
        return _holds[distributor][id - 1];
    }

    function holdCount(address distributor) external view returns (uint256) {
        return _holds[distributor].length;
    }

    function holdsOn(address distributor, uint256 roundNo) external view returns (uint256, uint256) {
        RoundHolds storage on = _onRound[distributor][roundNo];
        return (on.standing, on.endedAt);
    }
}
