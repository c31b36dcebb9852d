// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "./interfaces/IDistributor.sol";
import {
    Approval,
    Institution,
    LogKey,
    Mode,
    Phase,
    Quorum,
    RoundTerms,
    SequencerKeys,
    SparseWord
} from "./interfaces/Types.sol";
import {Actions} from "./lib/Actions.sol";
import {Counted} from "./lib/Counted.sol";

/// @title Notary: what each action's signatures are over, and whose it takes
/// @notice A Charter deploys its Notary. For every function that takes an `Approval` (those of a Warden apart), Charter and Distributors ask the
/// function of the same name here, with the very calldata they were called with; it rebuilds the typed struct, with the
/// asking contract as `distributor`, and has the Charter count the institutions. It holds nothing and changes nothing;
/// it is a contract of its own only to keep the two others small (EIP-170).
/// @dev Each function returns the action's struct hash and the institutions that signed, as a bitmap.
contract Notary is Counted {
    /// @dev Deepest tree: 4·2^40 entitlements are more than will ever be, and shifts stay far from overflow.
    uint256 private constant MAX_DEPTH = 40;
    /// @dev Longest list location in bytes: it is signed, emitted and never stored.
    uint256 private constant MAX_URI = 512;

    /// @notice The signatures bind another count of phase changes: they were given for another situation.
    error StalePhaseCounter(uint64 given, uint64 current);

    function publish(uint256 roundNo, RoundTerms calldata t, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        _checkTerms(roundNo, t);
        // Two halves only because one abi.encode of eighteen values is too deep for the stack.
        bytes memory head = abi.encode(
            Actions.PUBLISH,
            msg.sender,
            roundNo,
            t.root,
            t.depth,
            t.count,
            t.total,
            t.rulesHash,
            t.opensAt,
            t.closesAt
        );
        bytes memory tail =
            abi.encode(t.mode, t.gate, t.supersedes, keccak256(bytes(t.listUri)), t.listHash);
        return _require(Quorum.PUBLISH, bytes.concat(head, tail), approval);
    }

    function cancel(uint256 roundNo, Approval calldata approval) external view returns (bytes32, uint256) {
        return _require(Quorum.PUBLISH, abi.encode(Actions.CANCEL, msg.sender, roundNo), approval);
    }

    function veto(uint256 roundNo, Approval calldata approval) external view returns (bytes32, uint256) {
        return _require(Quorum.THIRD, abi.encode(Actions.VETO, msg.sender, roundNo), approval);
    }

    function extendClosing(uint256 roundNo, uint64 closesAt, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        _requireCalendar(closesAt);
        bytes memory fields = abi.encode(Actions.EXTEND_CLOSING, msg.sender, roundNo, closesAt);
        return _require(Quorum.PUBLISH, fields, approval);
    }

    function void(SparseWord calldata chunk, Approval calldata approval) external view returns (bytes32, uint256) {
        Quorum quorum = CHARTER.phase() == Phase.EXIT ? Quorum.THREE_QUARTERS : Quorum.PUBLISH;
        bytes memory fields = abi.encode(Actions.VOID, msg.sender, chunk.roundNo, chunk.word, chunk.mask);
        return _require(quorum, fields, approval);
    }

    function withdraw(uint256 amount, uint256 nonce, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        return _require(Quorum.PUBLISH, abi.encode(Actions.WITHDRAW, msg.sender, amount, nonce), approval);
    }

    function registerDistributor(address distributor, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        return _require(Quorum.PUBLISH, abi.encode(Actions.REGISTER_DISTRIBUTOR, distributor), approval);
    }

    function removeSequencer(uint32 sequencer, SequencerKeys[] calldata replacement, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        bytes32[] memory parts = new bytes32[](replacement.length);
        for (uint256 i; i < parts.length; ++i) parts[i] = _keys(replacement[i]);
        bytes memory fields =
            abi.encode(Actions.REMOVE_SEQUENCER, sequencer, keccak256(abi.encodePacked(parts)));
        return _require(Quorum.THIRD, fields, approval);
    }

    function scheduleAuthorities(
        Institution[] calldata institutions,
        uint8 publishThreshold,
        Approval calldata approval
    ) external view returns (bytes32, uint256) {
        bytes32[] memory parts = new bytes32[](institutions.length);
        for (uint256 i; i < parts.length; ++i) parts[i] = _institution(institutions[i]);
        bytes memory fields =
            abi.encode(Actions.CHANGE_AUTHORITIES, keccak256(abi.encodePacked(parts)), publishThreshold);
        return _require(Quorum.THREE_QUARTERS, fields, approval);
    }

    function scheduleSequencer(SequencerKeys calldata keys, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        return _require(Quorum.THREE_QUARTERS, abi.encode(Actions.ADD_SEQUENCER, _keys(keys)), approval);
    }

    function scheduleLanes(uint32 sequencer, address[] calldata lanes, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        bytes memory fields =
            abi.encode(Actions.CHANGE_LANES, sequencer, keccak256(abi.encodePacked(lanes)));
        return _require(Quorum.THREE_QUARTERS, fields, approval);
    }

    function scheduleLogKeys(LogKey[] calldata add, bytes32[] calldata revoke, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        bytes32[] memory parts = new bytes32[](add.length);
        for (uint256 i; i < parts.length; ++i) {
            parts[i] = keccak256(abi.encode(Actions.LOG_KEY, add[i].key, keccak256(bytes(add[i].name))));
        }
        bytes memory fields = abi.encode(
            Actions.CHANGE_LOG_KEYS, keccak256(abi.encodePacked(parts)), keccak256(abi.encodePacked(revoke))
        );
        return _require(Quorum.THREE_QUARTERS, fields, approval);
    }

    function exit(string calldata reason, uint64 counter, uint256 nonce, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        _requireCounter(counter);
        return _require(
            Quorum.HALF, abi.encode(Actions.EXIT, keccak256(bytes(reason)), counter, nonce), approval
        );
    }

    function scheduleResume(uint64 counter, uint256 nonce, Approval calldata approval)
        external
        view
        returns (bytes32, uint256)
    {
        _requireCounter(counter);
        return _require(Quorum.THREE_QUARTERS, abi.encode(Actions.RESUME, counter, nonce), approval);
    }

    function _requireCounter(uint64 counter) private view {
        uint64 current = CHARTER.phaseCounter();
        if (counter != current) revert StalePhaseCounter(counter, current);
    }

    function cancelChange(bytes32 change, Approval calldata approval) external view returns (bytes32, uint256) {
        return _require(Quorum.THIRD, abi.encode(Actions.CANCEL_CHANGE, change), approval);
    }

    function _checkTerms(uint256 roundNo, RoundTerms calldata t) private pure {
        if (t.root == 0) revert IDistributor.BadRound("root is zero");
        if (t.depth > MAX_DEPTH) revert IDistributor.BadRound("depth is above 40");
        if (t.count == 0) revert IDistributor.BadRound("count is zero");
        if (uint256(4) << t.depth < t.count) revert IDistributor.BadRound("depth is too small for count");
        if (t.depth > 0 && uint256(2) << t.depth >= t.count) {
            revert IDistributor.BadRound("depth is too large for count");
        }
        if (t.total == 0) revert IDistributor.BadRound("total is zero");
        _requireCalendar(t.closesAt);
        if (t.closesAt <= t.opensAt) revert IDistributor.BadRound("closes before it opens");
        if (t.supersedes >= roundNo) revert IDistributor.BadRound("supersedes no earlier round");
        if ((t.mode == Mode.GATED) != (t.gate != 0)) {
            revert IDistributor.BadRound("a gate belongs to GATED rounds, and only there");
        }
        if (bytes(t.listUri).length > MAX_URI) revert IDistributor.BadRound("list URI is above 512 bytes");
    }

    /// @dev A Distributor keeps closings in 40 bits.
    function _requireCalendar(uint64 closesAt) private pure {
        if (closesAt > type(uint40).max) revert IDistributor.BadRound("closing lies beyond the calendar");
    }

    function _institution(Institution calldata institution) private pure returns (bytes32) {
        bytes32[] memory signers = new bytes32[](institution.signers.length);
        for (uint256 i; i < signers.length; ++i) signers[i] = keccak256(institution.signers[i]);
        bytes32 name = keccak256(bytes(institution.name));
        return keccak256(abi.encode(Actions.INSTITUTION, name, keccak256(abi.encodePacked(signers))));
    }

    function _keys(SequencerKeys calldata keys) private pure returns (bytes32) {
        return keccak256(abi.encode(Actions.SEQUENCER_KEYS, keys.control, keccak256(abi.encodePacked(keys.lanes))));
    }
}
